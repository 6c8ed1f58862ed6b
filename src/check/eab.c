/*
 * eab.c: AcmeEabKid= and AcmeEabKey=: the key by which an authority knows its customer is read, sealed for the process
 * keys, and handed on as a value; nobody behind it can read it.
 *
 * Called by folder.c, once for a folder. Owns nothing; what was read of the key is wiped.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "check.h"
#include "lib/base64.h"
#include "lib/sys.h"
#include "seal/mac.h"
#include "seal/seal.h"

enum { TEXT_MAX = 4096 };

int eab_decode(const char *p, size_t n, uint8_t ret[MAC_KEY_MAX], size_t *ret_n)
{
	char text[MAC_KEY_MAX / 3 * 4 + 8], bytes[sizeof text];
	size_t len = 0;
	long got;

	while (n > 0 && (p[n - 1] == '\n' || p[n - 1] == '\r' || p[n - 1] == ' ' || p[n - 1] == '='))
		n--;
	if (n > sizeof text - 4)
		return -EBADMSG;
	for (size_t i = 0; i < n; i++)
		text[len++] = p[i] == '-' ? '+' : p[i] == '_' ? '/' : p[i];
	while (len % 4 != 0)
		text[len++] = '=';
	got = base64_decode(text, len, bytes);
	if (got >= MAC_KEY_MIN && got <= MAC_KEY_MAX) {
		memcpy(ret, bytes, (size_t)got);
		*ret_n = (size_t)got;
	}
	explicit_bzero(text, sizeof text);
	explicit_bzero(bytes, sizeof bytes);
	return got >= MAC_KEY_MIN && got <= MAC_KEY_MAX ? 0 : -EBADMSG;
}

/* Its id, then the box. */
static int put_box(struct check *k, const uint8_t *key, size_t n, const struct conf_pos *pos)
{
	enum { PLAIN_MAX = MAC_BOX_MARK_BYTES + MAC_KEY_MAX };
	uint8_t plain[PLAIN_MAX], all[32 + PLAIN_MAX + SEAL_MORE_BYTES];
	char text[BASE64_BYTES(sizeof all)];
	int r = mac_key_id(key, n, all);

	memcpy(plain, MAC_BOX_MARK, MAC_BOX_MARK_BYTES);
	memcpy(plain + MAC_BOX_MARK_BYTES, key, n);
	n += MAC_BOX_MARK_BYTES;
	if (r == 0)
		r = seal_close(k->ask.seal_for, all, 32, plain, n, all + 32);
	explicit_bzero(plain, sizeof plain);
	if (r < 0)
		return r;
	base64_encode(all, 32 + n + SEAL_MORE_BYTES, text);
	return conf_put(k->conf, "Server", "", "AcmeEabBox", text, CONF_FROM_FILE, pos);
}

static int read_key(struct check *k, const struct conf_value *v)
{
	char path[PATH_MAX], *text = NULL;
	uint8_t key[MAC_KEY_MAX];
	struct stat st = {0};
	size_t n = 0, key_n = 0;
	int r;

	check_path(k, v->text, path);
	r = sys_read_file(AT_FDCWD, path, TEXT_MAX, &text, &n);
	if (r == 0 && stat(path, &st) < 0)
		r = -errno;
	if (r < 0) {
		conf_find(k->conf, CONF_ERROR, &v->pos,
			r == -EACCES ? "let the user that it is read as have it (chown, or chgrp and chmod 640)"
				     : "write what the authority's customer desk gave into that file",
			"AcmeEabKey=: %s: %s", path, strerror(-r));
		r = 0;
	} else if (eab_decode(text, n, key, &key_n) < 0) {
		conf_find(k->conf, CONF_ERROR, &v->pos,
			"write the HMAC key that the authority's customer desk gave, in one line, and nothing else",
			"AcmeEabKey=: %s is not a key of 16 to 128 bytes in base64url", path);
	} else {
		if ((st.st_mode & (S_IROTH | S_IWOTH | S_IWGRP)) != 0)
			conf_find(k->conf, CONF_WARNING, &v->pos,
				"chmod 600 it; if it may have been read, have a new one made",
				"AcmeEabKey=: other users of this machine can read or change the key (mode %04o)",
				(unsigned)(st.st_mode & 07777));
		r = k->ask.seals ? put_box(k, key, key_n, &v->pos) : 0;
	}
	explicit_bzero(key, sizeof key);
	if (text != NULL)
		explicit_bzero(text, n);
	free(text);
	return r;
}

int check_eab(struct check *k)
{
	const struct conf_value *kid = conf_get(k->conf, CONF_SERVER_ACME_EAB_KID);
	const struct conf_value *key = conf_get(k->conf, CONF_SERVER_ACME_EAB_KEY);
	bool has_kid = kid != NULL && kid->text[0] != '\0', has_key = key != NULL && key->text[0] != '\0';

	if (has_kid && !has_key)
		conf_find(k->conf, CONF_ERROR, &kid->pos, "write AcmeEabKey= with the file of its key",
			"AcmeEabKid=: the key is missing");
	if (has_key && !has_kid)
		conf_find(k->conf, CONF_ERROR, &key->pos, "write AcmeEabKid= with what the key is known by there",
			"AcmeEabKey=: the key identifier is missing");
	return has_kid && has_key ? read_key(k, key) : 0;
}
