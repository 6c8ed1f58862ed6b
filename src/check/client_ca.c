/*
 * client_ca.c: ClientCa= and OriginPulls=: who vouches for clients' certificates, read and handed
 * on as values.
 *
 * Called by folder.c. The PEM text is parsed in a child that can only compute (parse.c); what it
 * says is input. Certificates are told apart here, so that a finding names the line of the one that
 * is wrong. Owns nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "lib/base64.h"
#include "lib/sys.h"
#include "origin_pull.h"

enum { CLIENT_CAS_MAX = 32, DER_MAX = 16 * 1024, RECORDS_MAX = 1024 * 1024 };
enum record { FINDING = 1, DER };

/* ---- in the child ---- */

static void say(
	struct buf *out, enum conf_level level, unsigned line, const char *text, const char *todo)
{
	pack_u32(out, FINDING);
	pack_u32(out, level);
	pack_u32(out, line);
	pack_str(out, text);
	pack_str(out, todo);
}

static int no_password(char *mem, int n, int writing, void *arg)
{
	(void)mem;
	(void)n;
	(void)writing;
	(void)arg;
	return -1;
}

static void put(struct buf *out, unsigned line, X509 *x)
{
	unsigned char *der = NULL;
	int n = i2d_X509(x, &der);

	if (X509_cmp_current_time(X509_get0_notAfter(x)) < 0)
		say(out, CONF_WARNING, line,
			"the certificate is over: it vouches for nobody any more",
			"take it out, or name its successor");
	if (n > 0 && n <= DER_MAX) {
		pack_u32(out, DER);
		pack_bytes(out, der, (size_t)n);
	} else {
		say(out, CONF_ERROR, line, "the certificate is too large", "");
	}
	OPENSSL_free(der);
}

void client_ca_read(const char *text, size_t n, struct buf *ret)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----",
			  end[] = "-----END CERTIFICATE-----";
	const char *at = text, *stop = text + n, *seen = text;
	unsigned line = 1, count = 0;

	while ((at = memmem(at, (size_t)(stop - at), begin, sizeof(begin) - 1)) != NULL) {
		const char *to = memmem(at, (size_t)(stop - at), end, sizeof(end) - 1);
		BIO *b;
		X509 *x;

		for (; seen < at; seen++)
			line += *seen == '\n';
		to = to != NULL ? to + sizeof(end) - 1 : stop;
		if (++count > CLIENT_CAS_MAX) {
			say(ret, CONF_ERROR, line,
				"there are more than 32 certificates in the file",
				"leave those whose clients shall be served");
			return;
		}
		b = BIO_new_mem_buf(at, (int)(to - at));
		x = b != NULL ? PEM_read_bio_X509(b, NULL, no_password, NULL) : NULL;
		if (x != NULL)
			put(ret, line, x);
		else
			say(ret, CONF_ERROR, line,
				"the certificate that begins here cannot be read",
				"put it there whole, as `openssl x509` prints it");
		X509_free(x);
		BIO_free(b);
		at = to;
	}
	ERR_clear_error();
	if (count == 0)
		say(ret, CONF_ERROR, 1, "there is no certificate in the file",
			"name a PEM file, which has -----BEGIN CERTIFICATE----- in it");
}

/* ---- what it says ---- */

static int put_value(struct conf *c, const struct client_ca_place *to, const void *der, size_t n)
{
	char *text = malloc(BASE64_BYTES(n));
	int r = -ENOMEM;

	if (text != NULL) {
		base64_encode(der, n, text);
		r = conf_put(c, to->section, to->arg, "ClientCaCertificate", text, CONF_FROM_FILE,
			to->pos);
	}
	free(text);
	return r;
}

bool client_ca_take(struct conf *c, const char *p, size_t bytes, const char *file,
	const struct client_ca_place *to)
{
	unsigned n_der = 0;
	struct unpack u;
	size_t n;

	unpack_init(&u, p, bytes);
	while (!unpack_done(&u)) {
		uint32_t kind = unpack_u32(&u);

		if (kind == FINDING) {
			uint32_t level = unpack_u32(&u);
			struct conf_pos pos = {.file = file, .line = unpack_u32(&u), .col = 1};
			const char *text = unpack_str(&u), *todo = unpack_str(&u);

			if (u.bad || level > CONF_NOTE)
				return false;
			conf_find(c, (enum conf_level)level, &pos, todo, "ClientCa=: %s", text);
		} else if (kind == DER) {
			const char *der = unpack_bytes(&u, &n);

			if (u.bad || n == 0 || n > DER_MAX || ++n_der > CLIENT_CAS_MAX ||
				put_value(c, to, der, n) < 0)
				return false;
		} else {
			return false;
		}
	}
	return true;
}

/* ---- one section's ---- */

static int read_file(struct check *k, const struct conf_value *v, const struct client_ca_place *to)
{
	char path[PATH_MAX], *text = NULL;
	struct buf said;
	size_t n;
	int r;

	check_path(k, v->text, path);
	r = sys_read_file(AT_FDCWD, path, CHECK_FILE_BYTES_MAX, &text, &n);
	if (r < 0) {
		conf_find(k->conf, CONF_ERROR, &v->pos,
			r == -EACCES
				? "let the user that it is read as have it (chown, or chmod 644)"
				: "",
			r == -EFBIG ? "ClientCa=: %s is larger than 256 KB" : "ClientCa=: %s: %s",
			path, strerror(-r));
		return r == -ENOMEM ? r : 0;
	}
	/* Nothing of the machine's own settings for the library counts; in the child no file can be
	 * opened, nor that of the time zone, which comparing times looks for. */
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL);
	tzset();
	buf_init(&said, RECORDS_MAX);
	r = check_jailed(client_ca_read, text, n, &said);
	if (r == 0 && !client_ca_take(k->conf, said.p, said.len, v->text, to))
		r = -EBADMSG;
	if (r == -EBADMSG) {
		conf_find(k->conf, CONF_ERROR, &v->pos, "", "ClientCa=: %s could not be parsed",
			path);
		r = 0;
	}
	buf_done(&said);
	free(text);
	return r;
}

int check_client_ca(
	struct check *k, const struct conf_value *file, const char *section, const char *arg)
{
	struct client_ca_place to = {.section = section, .arg = arg};

	if (file == NULL || file->text[0] == '\0')
		return 0;
	to.pos = &file->pos;
	return read_file(k, file, &to);
}

int check_origin_pulls(struct check *k)
{
	const struct conf_value *v = conf_get(k->conf, CONF_SITE_ORIGIN_PULLS);

	if (v == NULL || v->number == 0)
		return 0;
	return conf_put(k->conf, "Site", "", "ClientCaCertificate", origin_pull_cloudflare,
		CONF_FROM_FILE, &v->pos);
}
