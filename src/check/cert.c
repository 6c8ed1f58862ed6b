/*
 * cert.c: Certificate= and CertificateKey=: read, looked at, and handed on as values.
 *
 * Called by folder.c for each site that has them. PEM and DER are parsed in a child that can only
 * compute (sandbox.c); what it says is input. The private key is sealed there for the process keys,
 * so that nobody behind it can read it. Owns nothing; what was read of the key is wiped.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "lib/base64.h"
#include "lib/must.h"
#include "lib/sys.h"
#include "seal/seal.h"
#include "snap/cert_box.h"

enum {
	CHAIN_MAX = 16,
	DER_MAX = 32 * 1024,
	RECORDS_MAX = 1024 * 1024,
	NAMES_MAX = 128,
	SERIAL_BYTES_MAX = 23,
	SOON_DAYS = 14
};
enum record { FINDING_CERT = 1, FINDING_KEY, DER, BOX, END };

/* What the child works on. */
struct work {
	const char *cert_text, *key_text;
	size_t cert_n, key_n;
	const char *names[NAMES_MAX]; /* of the site */
	unsigned nnames;
	const uint8_t *seal_for; /* NULL: nobody */
	X509_STORE *authorities;
	struct buf out;
};

/* ---- in the child ---- */

static void say(struct work *w, enum record about, enum conf_level level, const char *todo,
	const char *text)
{
	pack_u32(&w->out, about);
	pack_u32(&w->out, level);
	pack_str(&w->out, text);
	pack_str(&w->out, todo);
}

static int no_password(char *buf, int n, int writing, void *arg)
{
	(void)buf;
	(void)n;
	(void)writing;
	(void)arg;
	return -1;
}

/* Every certificate of the file, as far as there is room. */
static STACK_OF(X509) * read_chain(struct work *w)
{
	BIO *b = BIO_new_mem_buf(w->cert_text, (int)w->cert_n);
	STACK_OF(X509) *all = sk_X509_new_null();
	X509 *x;

	while (b && all && sk_X509_num(all) <= CHAIN_MAX &&
		(x = PEM_read_bio_X509(b, NULL, no_password, NULL)))
		sk_X509_push(all, x);
	BIO_free(b);
	if (sk_X509_num(all) <= 0)
		say(w, FINDING_CERT, CONF_ERROR,
			"name a PEM file, which has -----BEGIN CERTIFICATE----- in it",
			"there is no certificate in the file that can be read");
	else if (sk_X509_num(all) > CHAIN_MAX)
		say(w, FINDING_CERT, CONF_ERROR,
			"leave the site's certificate and those between it and the authority",
			"there are more than 16 certificates in the file");
	else
		return all;
	sk_X509_pop_free(all, X509_free);
	return NULL;
}

static EVP_PKEY *read_key(struct work *w)
{
	BIO *b = BIO_new_mem_buf(w->key_text, (int)w->key_n);
	EVP_PKEY *key = b ? PEM_read_bio_PrivateKey(b, NULL, no_password, NULL) : NULL;

	BIO_free(b);
	if (key)
		return key;
	if (memmem(w->key_text, w->key_n, "ENCRYPTED", 9))
		say(w, FINDING_KEY, CONF_ERROR,
			"take the password off: openssl pkey -in FILE -out NEW",
			"the private key is protected by a password");
	else
		say(w, FINDING_KEY, CONF_ERROR,
			"name a PEM file, which has -----BEGIN PRIVATE KEY----- in it",
			"there is no private key in the file that can be read");
	return NULL;
}

static bool is_usable(struct work *w, EVP_PKEY *key)
{
	char group[32] = "";
	size_t n;

	if (EVP_PKEY_is_a(key, "ED25519"))
		return true;
	if (EVP_PKEY_is_a(key, "RSA")) {
		if (EVP_PKEY_get_bits(key) >= 2048 && EVP_PKEY_get_bits(key) <= 8192)
			return true;
		say(w, FINDING_CERT, CONF_ERROR,
			"have a certificate made with a new key: EC P-256, or RSA with 2048 bits",
			"an RSA key needs 2048 to 8192 bits");
		return false;
	}
	if (EVP_PKEY_is_a(key, "EC") &&
		EVP_PKEY_get_group_name(key, group, sizeof(group), &n) == 1 &&
		(strcmp(group, "prime256v1") == 0 || strcmp(group, "secp384r1") == 0 ||
			strcmp(group, "secp521r1") == 0))
		return true;
	say(w, FINDING_CERT, CONF_ERROR,
		"have a certificate made with a new key: EC P-256, or RSA with 2048 bits",
		"clients do not know that kind of key");
	return false;
}

static void look_at_names(struct work *w, X509 *leaf)
{
	for (unsigned i = 0; i < w->nnames; i++) {
		const char *name = w->names[i];
		char text[400], probe[300];

		/* A wildcard's names are covered when any of them is. */
		(void)snprintf(probe, sizeof(probe), "%s%s", name[0] == '*' ? "any" : "",
			name[0] == '*' ? name + 1 : name);
		if (X509_check_host(leaf, probe, 0, 0, NULL) == 1 ||
			X509_check_ip_asc(leaf, probe, 0) == 1)
			continue;
		(void)snprintf(text, sizeof(text),
			"the certificate is not for %.255s: browsers will warn there", name);
		say(w, FINDING_CERT, CONF_WARNING,
			"have one made with all names of Domain= and Alias= in it", text);
	}
}

/* In seconds since 1970. */
static int64_t seconds_of(const ASN1_TIME *at)
{
	struct tm tm;

	return ASN1_TIME_to_tm(at, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static int64_t end_of(const X509 *leaf)
{
	return seconds_of(X509_get0_notAfter(leaf));
}

static void look_at_time(struct work *w, const X509 *leaf)
{
	char text[120], day[32];
	time_t end = (time_t)end_of(leaf), now = time(NULL);
	struct tm tm;

	/* strftime(3) would look for the time zone's file. */
	(void)gmtime_r(&end, &tm);
	(void)snprintf(
		day, sizeof(day), "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
	if (X509_cmp_current_time(X509_get0_notBefore(leaf)) > 0)
		say(w, FINDING_CERT, CONF_WARNING, "set this machine's clock, or wait",
			"the certificate is not valid yet: browsers will warn");
	else if (end < now) {
		(void)snprintf(
			text, sizeof(text), "the certificate ended on %s: browsers will warn", day);
		say(w, FINDING_CERT, CONF_WARNING, "renew it, then `stead reload`", text);
	} else if (end < now + SOON_DAYS * 86400) {
		(void)snprintf(text, sizeof(text), "the certificate ends on %s", day);
		say(w, FINDING_CERT, CONF_WARNING, "renew it, then `stead reload`", text);
	}
}

/* As a browser here would, with this machine's authorities. */
static bool is_trusted(struct work *w, X509 *leaf, STACK_OF(X509) * all)
{
	X509_STORE_CTX *ctx = w->authorities ? X509_STORE_CTX_new() : NULL;
	bool good = ctx && X509_STORE_CTX_init(ctx, w->authorities, leaf, all) == 1 &&
		    X509_STORE_CTX_set_default(ctx, "ssl_server") == 1 &&
		    X509_verify_cert(ctx) == 1;

	X509_STORE_CTX_free(ctx);
	return good;
}

/* ---- what it is for, and whose ---- */

static void put_name(struct buf *b, const void *p, size_t n)
{
	static const char taken[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.*:";
	char text[256];

	if (n == 0 || n >= sizeof(text) || b->len + n + 1 > CERT_NAMES_TEXT_MAX)
		return;
	for (size_t i = 0; i < n; i++) {
		char c = ((const char *)p)[i];

		text[i] = (char)(c >= 'A' && c <= 'Z' ? c | 32 : c);
		/* What no browser asks for is no name. */
		if (!text[i] || !strchr(taken, text[i]))
			return;
	}
	if (b->len)
		buf_putc(b, ' ');
	buf_put(b, text, n);
}

static void put_address(struct buf *b, const uint8_t *p, size_t n)
{
	char text[INET6_ADDRSTRLEN];

	if ((n == 4 || n == 16) && inet_ntop(n == 4 ? AF_INET : AF_INET6, p, text, sizeof(text)))
		put_name(b, text, strlen(text));
}

/* Of subjectAltName only: nothing else counts for a browser (RFC 6125 section 6.4.4). */
static void put_names(struct buf *b, X509 *leaf)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);

		if (name->type == GEN_DNS)
			put_name(b, ASN1_STRING_get0_data(name->d.dNSName),
				(size_t)ASN1_STRING_length(name->d.dNSName));
		else if (name->type == GEN_IPADD)
			put_address(b, ASN1_STRING_get0_data(name->d.iPAddress),
				(size_t)ASN1_STRING_length(name->d.iPAddress));
	}
	GENERAL_NAMES_free(all);
}

/* As a person names it: its common name, else its organisation. */
static void issuer_of(const X509 *leaf, char ret[CERT_ISSUER_TEXT_MAX])
{
	static const int nids[] = {NID_commonName, NID_organizationName, NID_organizationalUnitName};

	ret[0] = '\0';
	for (size_t i = 0; i < sizeof(nids) / sizeof(nids[0]) && ret[0] == '\0'; i++)
		(void)X509_NAME_get_text_by_NID(
			X509_get_issuer_name(leaf), nids[i], ret, CERT_ISSUER_TEXT_MAX);
	for (char *p = ret; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
}

static void serial_of(const X509 *leaf, char ret[CERT_SERIAL_TEXT_MAX])
{
	static const char hex[] = "0123456789abcdef";
	const ASN1_INTEGER *serial = X509_get0_serialNumber(leaf);
	const uint8_t *p = ASN1_STRING_get0_data(serial);
	int n = min_of(ASN1_STRING_length(serial), (int)SERIAL_BYTES_MAX);

	for (int i = 0; i < n; i++) {
		ret[2 * i] = hex[p[i] >> 4];
		ret[2 * i + 1] = hex[p[i] & 15];
	}
	ret[2 * max_of(n, 0)] = '\0';
}

/* All that ctl and the gates need to know of it, and the sealed key, if it is to be sealed. */
static bool put_box(
	struct work *w, X509 *leaf, STACK_OF(X509) * all, EVP_PKEY *key, const struct buf *chain)
{
	uint8_t plain[DER_MAX], box[DER_MAX + SEAL_MORE_BYTES];
	char issuer[CERT_ISSUER_TEXT_MAX], serial[CERT_SERIAL_TEXT_MAX];
	struct cert_box head = {.not_after_s = (uint64_t)max_of(end_of(leaf), (int64_t)0),
		.not_before_s = (uint64_t)max_of(
			seconds_of(X509_get0_notBefore(leaf)), (int64_t)0),
		.trusted = is_trusted(w, leaf, all)};
	unsigned char *spki = NULL, *at = plain;
	struct buf names, whole;
	int n = i2d_PUBKEY(key, &spki), der_n = i2d_PrivateKey(key, NULL);
	bool good =
		n > 0 && der_n > 0 && der_n <= DER_MAX && i2d_PrivateKey(key, &at) == der_n &&
		EVP_Digest(spki, (size_t)n, head.key, NULL, EVP_sha256(), NULL) == 1 &&
		EVP_Digest(chain->p, chain->len, head.id, NULL, EVP_sha256(), NULL) == 1 &&
		seal_close(w->seal_for, head.key, sizeof(head.key), plain, (size_t)der_n, box) == 0;

	explicit_bzero(plain, sizeof(plain));
	OPENSSL_free(spki);
	if (!good)
		return false;
	issuer_of(leaf, issuer);
	serial_of(leaf, serial);
	buf_init(&names, CERT_NAMES_TEXT_MAX + 1);
	buf_init(&whole, RECORDS_MAX);
	put_names(&names, leaf);
	cert_box_put(&whole, &(struct cert_box_view){.head = head,
				     .names = buf_str(&names),
				     .issuer = issuer,
				     .serial = serial,
				     .box = (const char *)box,
				     .box_n = (size_t)der_n + SEAL_MORE_BYTES});
	pack_u32(&w->out, BOX);
	pack_bytes(&w->out, whole.p, whole.len);
	good = !whole.error && !names.error;
	buf_done(&names);
	buf_done(&whole);
	return good;
}

static bool put_chain(struct work *w, STACK_OF(X509) * all, struct buf *chain)
{
	for (int i = 0; i < sk_X509_num(all); i++) {
		unsigned char *der = NULL;
		int n = i2d_X509(sk_X509_value(all, i), &der);

		if (n <= 0 || n > DER_MAX) {
			OPENSSL_free(der);
			return false;
		}
		pack_u32(&w->out, DER);
		pack_bytes(&w->out, der, (size_t)n);
		buf_put(chain, der, (size_t)n);
		OPENSSL_free(der);
	}
	return chain->error == 0;
}

static void look(struct work *w)
{
	STACK_OF(X509) *all = read_chain(w);
	EVP_PKEY *key = all ? read_key(w) : NULL;
	X509 *leaf = all ? sk_X509_value(all, 0) : NULL;
	struct buf chain;

	buf_init(&chain, RECORDS_MAX);
	if (key && X509_check_private_key(leaf, key) != 1) {
		say(w, FINDING_KEY, CONF_ERROR, "name the key that the certificate was made with",
			"the private key is not the certificate's");
	} else if (key && is_usable(w, key)) {
		look_at_time(w, leaf);
		look_at_names(w, leaf);
		if (!put_chain(w, all, &chain))
			say(w, FINDING_CERT, CONF_ERROR, "", "the certificate is too large");
		else if (w->seal_for && !put_box(w, leaf, all, key, &chain))
			say(w, FINDING_KEY, CONF_ERROR, "", "the private key could not be sealed");
	}
	buf_done(&chain);
	EVP_PKEY_free(key);
	sk_X509_pop_free(all, X509_free);
	pack_u32(&w->out, END);
}

static _Noreturn void child(struct work *w, int out)
{
	size_t at = 0;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (sandbox_enter() < 0)
		_exit(2);
	buf_init(&w->out, RECORDS_MAX);
	look(w);
	while (w->out.error == 0 && at < w->out.len) {
		ssize_t n = write(out, w->out.p + at, w->out.len - at);

		if (n <= 0)
			_exit(4);
		at += (size_t)n;
	}
	_exit(w->out.error ? 3 : 0);
}

/* ---- what it says ---- */

static int put_base64(
	struct conf *c, const char *key, const void *p, size_t n, const struct conf_pos *pos)
{
	char *text = malloc(BASE64_BYTES(n));
	int r = text != NULL ? 0 : -ENOMEM;

	if (r == 0) {
		base64_encode(p, n, text);
		r = conf_put(c, "Site", "", key, text, CONF_FROM_FILE, pos);
	}
	free(text);
	return r;
}

static bool take_finding(
	struct conf *c, struct unpack *u, const char *key, const struct conf_pos *pos)
{
	uint32_t level = unpack_u32(u);
	const char *text = unpack_str(u), *todo = unpack_str(u);

	if (u->bad || level > CONF_NOTE)
		return false;
	conf_find(c, (enum conf_level)level, pos, todo, "%s=: %s", key, text);
	return true;
}

static bool take_box(struct conf *c, struct unpack *u, const struct conf_pos *pos)
{
	struct cert_box_view v;
	size_t n;
	const char *box = unpack_bytes(u, &n);

	return !u->bad && cert_box_read(box, n, &v) &&
	       put_base64(c, "CertificateBox", box, n, pos) == 0;
}

bool cert_take_records(struct conf *c, const char *p, size_t bytes, const struct conf_pos *cert,
	const struct conf_pos *key)
{
	unsigned ders = 0;
	struct unpack u;
	const char *der;
	size_t n;

	unpack_init(&u, p, bytes);
	for (;;) {
		uint32_t kind = unpack_u32(&u);

		if (u.bad || kind == END)
			return !u.bad && unpack_done(&u);
		switch ((enum record)kind) {
		case FINDING_CERT:
			if (!take_finding(c, &u, "Certificate", cert))
				return false;
			break;
		case FINDING_KEY:
			if (!take_finding(c, &u, "CertificateKey", key))
				return false;
			break;
		case DER:
			der = unpack_bytes(&u, &n);
			if (u.bad || n > DER_MAX || ++ders > CHAIN_MAX ||
				put_base64(c, "CertificateChain", der, n, cert) < 0)
				return false;
			break;
		case BOX:
			if (!take_box(c, &u, key))
				return false;
			break;
		default:
			return false;
		}
	}
}

/* ---- one site's ---- */

/* The file's text; NULL with a finding. */
static char *read_file(
	struct check *k, const struct conf_value *v, size_t *ret_n, struct stat *ret_st)
{
	char path[PATH_MAX], *text = NULL;
	int r;

	check_path(k, v->text, path);
	r = sys_read_file(AT_FDCWD, path, CHECK_FILE_BYTES_MAX, &text, ret_n);
	if (r == 0 && stat(path, ret_st) < 0)
		r = -errno;
	if (r == 0)
		return text;
	free(text);
	conf_find(k->conf, CONF_ERROR, &v->pos,
		r == -EACCES
			? "let the user that it is read as have it (chown, or chgrp and chmod 640)"
			: "",
		r == -EFBIG ? "%s=: %s is larger than 256 KB" : "%s=: %s: %s",
		conf_rows[v->key].key, path, strerror(-r));
	return NULL;
}

static void gather_names(struct work *w, const struct conf_value *v)
{
	for (; v != NULL && w->nnames < NAMES_MAX; v = v->next)
		if (v->text[0] != '\0')
			w->names[w->nnames++] = v->text;
}

/* What this machine trusts; read once. */
static X509_STORE *authorities(struct check *k)
{
	if (k->authorities == NULL) {
		k->authorities = X509_STORE_new();
		(void)X509_STORE_load_file(k->authorities, "/etc/ssl/certs/ca-certificates.crt");
		ERR_clear_error();
	}
	return k->authorities;
}

static int run_child(
	struct check *k, struct work *w, const struct conf_pos *cert, const struct conf_pos *key)
{
	struct buf b;
	int fds[2], r;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		child(w, fds[1]);
	r = pid < 0 ? -errno : 0;
	(void)close(fds[1]);
	buf_init(&b, RECORDS_MAX + 16 * 1024);
	if (r == 0) {
		if (check_read_all(fds[0], &b) < 0)
			(void)kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		if (!cert_take_records(k->conf, b.p, b.len, cert, key))
			conf_find(k->conf, CONF_ERROR, cert, "",
				"Certificate=: the file could not be parsed");
	}
	(void)close(fds[0]);
	buf_done(&b);
	return r;
}

/* Are both there? */
static bool is_whole(struct check *k, const struct conf_value *cert, const struct conf_value *key)
{
	bool has_cert = cert != NULL && cert->text[0] != '\0',
	     has_key = key != NULL && key->text[0] != '\0';

	if (has_cert && !has_key)
		conf_find(k->conf, CONF_ERROR, &cert->pos,
			"write CertificateKey= with the file of its private key",
			"Certificate=: the private key is missing");
	if (has_key && !has_cert)
		conf_find(k->conf, CONF_ERROR, &key->pos,
			"write Certificate= with the file of the certificate",
			"CertificateKey=: the certificate is missing");
	return has_cert && has_key;
}

int check_cert(struct check *k)
{
	const struct conf_value *cert = conf_get(k->conf, CONF_SITE_CERTIFICATE);
	const struct conf_value *key = conf_get(k->conf, CONF_SITE_CERTIFICATE_KEY);
	struct work w = {.seal_for = k->ask.seals ? k->ask.seal_for : NULL};
	char *cert_text, *key_text;
	struct stat st;
	int r = 0;

	if (!is_whole(k, cert, key))
		return 0;
	/* Nothing of the machine's own settings for the library counts; in the child no file can be
	 * opened. */
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL);
	tzset();
	w.cert_text = cert_text = read_file(k, cert, &w.cert_n, &st);
	w.key_text = key_text = cert_text != NULL ? read_file(k, key, &w.key_n, &st) : NULL;
	if (key_text != NULL) {
		if ((st.st_mode & (S_IROTH | S_IWOTH | S_IWGRP)) != 0)
			conf_find(k->conf, CONF_WARNING, &key->pos,
				"chmod 600 it; if it may have been read, have a new one made",
				"CertificateKey=: other users of this machine can read or change "
				"the private key (mode %04o)",
				(unsigned)(st.st_mode & 07777));
		gather_names(&w, conf_get(k->conf, CONF_SITE_DOMAIN));
		gather_names(&w, conf_get(k->conf, CONF_SITE_ALIAS));
		w.authorities = authorities(k);
		r = run_child(k, &w, &cert->pos, &key->pos);
		explicit_bzero(key_text, w.key_n);
	}
	free(cert_text);
	free(key_text);
	return r;
}

void check_cert_done(struct check *k)
{
	X509_STORE_free(k->authorities);
	k->authorities = NULL;
}
