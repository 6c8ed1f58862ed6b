/*
 * cert_box.c: CertificateBox=, written and read; see cert_box.h. Called by check, keys, ctl and
 * tests. Owns nothing. The names go on into the gates' snapshot, so nothing but names gets through
 * here.
 */
#include "cert_box.h"

#include <string.h>

#include "snap/vault.h"

void cert_box_put(struct buf *b, const struct cert_box_view *v)
{
	buf_put(b, &v->head, sizeof v->head);
	pack_str(b, v->names);
	pack_str(b, v->issuer);
	pack_str(b, v->serial);
	pack_bytes(b, v->box, v->box_n);
}

static bool are_names(const char *p)
{
	static const char taken[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.*: ";
	size_t n = strlen(p);

	return n <= CERT_NAMES_TEXT_MAX && strspn(p, taken) == n;
}

static bool is_shown(const char *p, size_t max)
{
	size_t n = strlen(p);

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
			return false;
	return n <= max;
}

bool cert_box_read(const void *p, size_t n, struct cert_box_view *ret)
{
	struct cert_box_view v;
	struct unpack u;

	if (n < sizeof v.head)
		return false;
	memcpy(&v.head, p, sizeof v.head);
	unpack_init(&u, (const char *)p + sizeof v.head, n - sizeof v.head);
	v.names = unpack_str(&u);
	v.issuer = unpack_str(&u);
	v.serial = unpack_str(&u);
	v.box = unpack_bytes(&u, &v.box_n);
	if (!unpack_done(&u) || !v.box_n || v.box_n > VAULT_BOX_MAX || !are_names(v.names) ||
		!is_shown(v.issuer, CERT_ISSUER_TEXT_MAX) ||
		!is_shown(v.serial, CERT_SERIAL_TEXT_MAX))
		return false;
	*ret = v;
	return true;
}
