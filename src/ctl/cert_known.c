/*
 * cert_known.c: certificates of sites that check need not look at again, because it had nothing to say
 * of them and their files are the same.
 *
 * Called by the up flow, before check is asked and with each site that it tells. The digests are
 * check's own (src/check/cert_known.c) and opaque here. What an answer depends on besides, the day, is
 * decided here: a certificate that is not valid yet, or ends soon, is looked at each time, so that it is
 * told each time. Owns the table, not the sites.
 */
#include "cert_known.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base64.h"
#include "lib/sys.h"
#include "site.h"
#include "tbl/tbl.h"

enum { ENDS_SOON_S = 15 * 86400, KNOWN_MAX = 100000 };

struct known {
	uint8_t inputs[CHECK_KNOWN_BYTES];
	const struct site *site;
};
struct cert_known {
	size_t n;
	struct known all[];
};

static bool is_site_value(const struct site_value *v, const char *key)
{
	return strcmp(v->key, key) == 0 && strcmp(v->section, "Site") == 0;
}

/* CertificateInputs=. */
static bool inputs_of(const char *text, uint8_t ret[CHECK_KNOWN_BYTES])
{
	char bytes[CHECK_KNOWN_BYTES + 3];
	size_t n = strlen(text);

	if (n != BASE64_BYTES(CHECK_KNOWN_BYTES) - 1 ||
		base64_decode(text, n, bytes) != CHECK_KNOWN_BYTES)
		return false;
	memcpy(ret, bytes, CHECK_KNOWN_BYTES);
	return true;
}

/* CertificateBox= begins with it. */
static bool head_of(const char *text, struct cert_box *ret)
{
	enum { CHARS = (sizeof(struct cert_box) + 2) / 3 * 4 };
	char bytes[CHARS / 4 * 3];

	if (strlen(text) <= CHARS || base64_decode(text, CHARS, bytes) < (long)sizeof *ret)
		return false;
	memcpy(ret, bytes, sizeof *ret);
	return true;
}

static bool know(const struct site *s, uint64_t now_s, struct known *ret)
{
	bool inputs = false, lasts = false;
	struct cert_box head;
	struct site_value v;
	struct unpack u;

	unpack_init(&u, s->values, s->bytes);
	while (site_value_next(&u, &v)) {
		if (is_site_value(&v, "CertificateInputs"))
			inputs = inputs_of(v.text, ret->inputs);
		else if (is_site_value(&v, "CertificateBox") && head_of(v.text, &head))
			lasts = head.not_before_s <= now_s && head.not_after_s > now_s + ENDS_SOON_S;
	}
	ret->site = s;
	return inputs && lasts;
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, CHECK_KNOWN_BYTES);
}

struct cert_known *cert_known_new(const struct site_list *sites, uint64_t now_s)
{
	size_t room = sites->n < KNOWN_MAX ? sites->n : KNOWN_MAX;
	struct cert_known *k = room ? malloc(sizeof *k + room * sizeof k->all[0]) : NULL;

	if (!k)
		return NULL;
	k->n = 0;
	for (unsigned i = 0; i < sites->n && k->n < room; i++)
		k->n += know(sites->all[i], now_s, &k->all[k->n]);
	if (!k->n) {
		free(k);
		return NULL;
	}
	qsort(k->all, k->n, sizeof k->all[0], compare);
	return k;
}

void cert_known_free(struct cert_known *k)
{
	free(k);
}

int cert_known_fd(const struct cert_known *k)
{
	struct msg_check_known head = {.n = (uint32_t)k->n};
	struct buf b;
	int fd = -1, err;

	buf_init(&b, sizeof head + k->n * CHECK_KNOWN_BYTES);
	buf_put(&b, &head, sizeof head);
	for (size_t i = 0; i < k->n; i++)
		buf_put(&b, k->all[i].inputs, CHECK_KNOWN_BYTES);
	err = b.error ? b.error : sys_memfd_sealed("stead-known", b.p, b.len, &fd);
	buf_done(&b);
	return err < 0 ? err : fd;
}

static void copy_values(const struct site *s, struct buf *b)
{
	struct site_value v;
	struct unpack u;

	unpack_init(&u, s->values, s->bytes);
	while (site_value_next(&u, &v)) {
		if (!is_site_value(&v, "CertificateChain") && !is_site_value(&v, "CertificateBox"))
			continue;
		pack_str(b, v.section);
		pack_str(b, v.arg);
		pack_str(b, v.key);
		pack_str(b, v.text);
		pack_u32(b, v.line);
		pack_u32(b, v.col);
	}
}

bool cert_known_add(const struct cert_known *k, struct buf *values)
{
	uint8_t inputs[CHECK_KNOWN_BYTES];
	bool told = false, whole = false;
	const struct known *one;
	struct site_value v;
	struct unpack u;

	unpack_init(&u, values->p, values->len);
	while (site_value_next(&u, &v)) {
		if (is_site_value(&v, "CertificateInputs"))
			told = inputs_of(v.text, inputs);
		whole |= is_site_value(&v, "CertificateBox");
	}
	if (!told || whole)
		return true;
	one = k ? bsearch(inputs, k->all, k->n, sizeof k->all[0], compare) : NULL;
	if (one)
		copy_values(one->site, values);
	return one != NULL;
}
