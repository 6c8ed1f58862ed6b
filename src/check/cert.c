/*
 * cert.c: Certificate= and CertificateKey=: read, looked at, and handed on as values.
 *
 * Called by folder.c for each site that has them, and by main.c for `stead cert import` and `stead
 * cert trust`. PEM and DER are parsed in a child that can only compute (cert_reader.c); what it
 * says is input. Owns nothing; what was read of the key is wiped.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cert.h"
#include "check.h"
#include "lib/base64.h"
#include "lib/must.h"
#include "lib/sys.h"
#include "snap/cert_box.h"

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

		if (u.bad || kind == CERT_END)
			return !u.bad && unpack_done(&u);
		switch ((enum cert_record)kind) {
		case CERT_FINDING:
			if (!take_finding(c, &u, "Certificate", cert))
				return false;
			break;
		case CERT_KEY_FINDING:
			if (!take_finding(c, &u, "CertificateKey", key))
				return false;
			break;
		case CERT_DER:
			der = unpack_bytes(&u, &n);
			if (u.bad || n > CERT_DER_MAX || ++ders > CERT_CHAIN_MAX ||
				put_base64(c, "CertificateChain", der, n, cert) < 0)
				return false;
			break;
		case CERT_BOX:
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

static void gather_names(struct cert_work *w, const struct conf_value *v)
{
	for (; v != NULL && w->nnames < CERT_NAMES_MAX; v = v->next)
		if (v->text[0] != '\0')
			w->names[w->nnames++] = v->text;
}

static int look(struct check *k, struct cert_work *w, const struct conf_pos *cert,
	const struct conf_pos *key)
{
	struct buf b;
	int r;

	buf_init(&b, CERT_RECORDS_MAX);
	r = cert_read(k, w, &b);
	if (r == -EBADMSG || (r == 0 && !cert_take_records(k->conf, b.p, b.len, cert, key))) {
		conf_find(k->conf, CONF_ERROR, cert, "",
			"Certificate=: the file could not be parsed");
		r = 0;
	}
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

static void warn_of_mode(struct check *k, const struct stat *st, const struct conf_pos *pos)
{
	if ((st->st_mode & (S_IROTH | S_IWOTH | S_IWGRP)) != 0)
		conf_find(k->conf, CONF_WARNING, pos,
			"chmod 600 it; if it may have been read, have a new one made",
			"CertificateKey=: other users of this machine can read or change "
			"the private key (mode %04o)",
			(unsigned)(st->st_mode & 07777));
}

/* Of all that is said of this conf. */
static unsigned findings_of(const struct conf *c)
{
	unsigned n = 0;

	for (const struct conf_finding *f = conf_findings(c); f != NULL; f = f->next)
		n++;
	return n;
}

/* The certificate of a site among many is only looked at when that was not done before. */
static int look_or_know(struct check *k, struct cert_work *w, const struct conf_pos *cert,
	const struct conf_pos *key)
{
	bool may = k->folderless && w->seal_for != NULL;
	unsigned before = findings_of(k->conf);
	uint8_t inputs[CHECK_KNOWN_BYTES];
	char text[BASE64_BYTES(CHECK_KNOWN_BYTES)];
	int r = may ? cert_known_inputs(k, w, inputs) : 0;

	if (r == 0 && (!may || !cert_known_has(k, inputs)))
		r = look(k, w, cert, key);
	/* Who knows an answer says nothing of it, so there must have been nothing to say. */
	if (r < 0 || !may || findings_of(k->conf) != before)
		return r;
	base64_encode(inputs, sizeof(inputs), text);
	return conf_put(k->conf, "Site", "", "CertificateInputs", text, CONF_FROM_FILE, cert);
}

int check_cert(struct check *k)
{
	const struct conf_value *cert = conf_get(k->conf, CONF_SITE_CERTIFICATE);
	const struct conf_value *key = conf_get(k->conf, CONF_SITE_CERTIFICATE_KEY);
	struct cert_work w = {.job = CERT_JOB_PAIR,
		.seal_for = k->ask.seals == CHECK_SEALS ? k->ask.seal_for : NULL};
	char *cert_text, *key_text;
	struct stat st;
	int r = 0;

	/* Of certificates nothing is said yet, so that nothing is said twice. */
	if (k->ask.seals == CHECK_SEALS_LATER && (cert != NULL || key != NULL))
		return conf_put(k->conf, "Site", "", "CertificateChain", "MAA=", CONF_FROM_FILE,
			cert != NULL ? &cert->pos : &key->pos);
	if (!is_whole(k, cert, key))
		return 0;
	w.cert_text = cert_text = read_file(k, cert, &w.cert_n, &st);
	w.key_text = key_text = cert_text != NULL ? read_file(k, key, &w.key_n, &st) : NULL;
	if (key_text != NULL) {
		warn_of_mode(k, &st, &key->pos);
		gather_names(&w, conf_get(k->conf, CONF_SITE_DOMAIN));
		gather_names(&w, conf_get(k->conf, CONF_SITE_ALIAS));
		r = look_or_know(k, &w, &cert->pos, &key->pos);
		explicit_bzero(key_text, w.key_n);
	}
	free(cert_text);
	free(key_text);
	return r;
}

static int put(struct check *k, const char *key, const char *text)
{
	struct conf_pos pos = {.file = "", .line = 0, .col = 0};

	return *text ? conf_put(k->conf, "Site", "", key, text, CONF_FROM_COMMAND, &pos) : 0;
}

int check_cert_files(struct check *k, const char *cert, const char *key, const char *names)
{
	char name[300];
	int r;

	k->conf = check_conf_new(k);
	if (k->conf == NULL)
		return -ENOMEM;
	r = put(k, "Certificate", cert);
	if (r == 0)
		r = put(k, "CertificateKey", key);
	for (size_t n; r == 0 && *names; names += n + strspn(names + n, " ")) {
		n = strcspn(names, " ");
		(void)snprintf(name, sizeof(name), "%.*s", (int)min_of(n, sizeof(name) - 1), names);
		r = put(k, "Domain", name);
	}
	/* A text that cannot be a value is a finding. */
	return r == 0 || r == -EINVAL ? (conf_errors(k->conf) == 0 ? check_cert(k) : 0) : r;
}

int check_cert_authority(struct check *k, const char *path)
{
	struct conf_pos pos = {.file = path, .line = 1, .col = 1};
	struct cert_work w = {.job = CERT_JOB_AUTHORITY, .key_text = ""};
	char *text = NULL;
	int r;

	k->conf = check_conf_new(k);
	if (k->conf == NULL)
		return -ENOMEM;
	r = sys_read_file(AT_FDCWD, path, CHECK_FILE_BYTES_MAX, &text, &w.cert_n);
	w.cert_text = text;
	if (r < 0)
		conf_find(k->conf, CONF_ERROR, &pos, "", "%s: %s", path, strerror(-r));
	r = r < 0 ? 0 : look(k, &w, &pos, &pos);
	free(text);
	return r;
}
