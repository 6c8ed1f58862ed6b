/*
 * verb_import.c: `stead cert import`: a certificate and its key, from files to the state.
 *
 * Called by verb_cert.c. ctl says for whom keys are sealed and which names the site has; a
 * stead-check of ours reads both files with the rights of whoever typed this, says what is wrong
 * with them, and seals the key; then ctl is given the certificate and the sealed box. So neither
 * this program nor ctl ever holds the key.
 */
#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHAIN_TEXT_MAX = 44 * 1024, BOX_TEXT_MAX = 16 * 1024, NAMES_TEXT_MAX = 16 * 1024 };

struct import {
	struct cli *c;
	char cert[PATH_MAX], key[PATH_MAX];
	struct msg_check_ask q;
	struct buf names, chain, box;
	unsigned errors;
};

json_t *verb_ask_end(struct cli *c, json_t *request, int *ret_code)
{
	struct client cl;
	json_t *o = NULL;
	int got;

	*ret_code = verb_open(c, &cl);
	if (*ret_code) {
		json_decref(request);
		return NULL;
	}
	*ret_code = VERB_EXIT_FAILED;
	got = client_ask(&cl, request);
	while (got >= 0 && (got = client_next(&cl, -1, &o)) > 0) {
		const char *event = json_string_value(json_object_get(o, "event"));

		if (event && strcmp(event, "end") == 0)
			break;
		json_decref(o);
		o = NULL;
	}
	client_close(&cl);
	if (!o) {
		show_error(c, "the control process ended", "see `stead logs`, then try again");
		return NULL;
	}
	*ret_code = (int)json_integer_value(json_object_get(o, "exit"));
	if (*ret_code == 0)
		return o;
	(void)show_end(c, o);
	json_decref(o);
	return NULL;
}

static bool take_hex(const char *hex, uint8_t ret[32])
{
	for (unsigned i = 0; hex && i < 32; i++) {
		unsigned byte;

		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			return false;
		ret[i] = (uint8_t)byte;
	}
	return hex && strlen(hex) == 64;
}

/* For whom, and for which names. */
static int prepare(struct import *im, const char *site)
{
	const json_t *name;
	json_t *end;
	size_t i;
	int code;

	end = verb_ask_end(im->c, json_pack("{s:s, s:s}", "verb", "cert-key", "app", site), &code);
	if (!end)
		return code;
	if (!take_hex(json_string_value(json_object_get(end, "seal_for")), im->q.seal_for)) {
		json_decref(end);
		show_error(im->c, "the control process is of another version",
			"use the `stead` command of the same version");
		return VERB_EXIT_FAILED;
	}
	im->q.seals = CHECK_SEALS;
	json_array_foreach(json_object_get(end, "names"), i, name) buf_printf(&im->names, "%s%s",
		i ? " " : "", json_string_value(name) ? json_string_value(name) : "");
	json_decref(end);
	return im->names.error ? VERB_EXIT_FAILED : 0;
}

/* As it stands on the command line, and not as a key of a file. */
static void show_finding(struct import *im, uint32_t level, const char *text, const char *todo)
{
	static const char *const names[] = {"error", "warning", "note"};
	const char *file = "";

	if (strncmp(text, "CertificateKey=: ", 17) == 0) {
		file = im->key;
		text += 17;
	} else if (strncmp(text, "Certificate=: ", 14) == 0) {
		file = im->cert;
		text += 14;
	}
	im->errors += level == CONF_ERROR;
	if (im->c->quiet && level != CONF_ERROR)
		return;
	fprintf(stderr, "%s%s%s: %s\n", file, *file ? ": " : "", names[level], text);
	if (*todo)
		fprintf(stderr, "    %s\n", todo);
}

static bool heard(void *arg, const struct msg *m)
{
	struct import *im = arg;
	const char *key, *text, *todo;
	struct unpack u;
	uint32_t level;

	unpack_init(&u, m->payload, m->h.len);
	if (m->h.type == MSG_CHECK_FINDING) {
		level = unpack_u32(&u);
		(void)unpack_str(&u);
		(void)unpack_u32(&u);
		(void)unpack_u32(&u);
		text = unpack_str(&u);
		todo = unpack_str(&u);
		if (!u.bad && level <= CONF_NOTE)
			show_finding(im, level, text, todo);
		return !u.bad;
	}
	if (m->h.type != MSG_CHECK_VALUE)
		return true;
	(void)unpack_str(&u);
	(void)unpack_str(&u);
	key = unpack_str(&u);
	text = unpack_str(&u);
	if (!u.bad && strcmp(key, "CertificateChain") == 0)
		buf_printf(&im->chain, "%s%s", im->chain.len ? " " : "", text);
	if (!u.bad && strcmp(key, "CertificateBox") == 0)
		buf_puts(&im->box, text);
	return !u.bad;
}

static int look(struct import *im)
{
	int r;

	im->q.mode = CHECK_PAIR;
	r = check_ask(im->c->roles, &im->q,
		(const char *const[4]){im->cert, im->key, buf_str(&im->names), ""}, heard, im);
	if (r < 0)
		return VERB_EXIT_FAILED;
	if (im->errors || r)
		return r ? r : VERB_EXIT_USAGE;
	if (im->chain.error || im->box.error || !im->chain.len || !im->box.len) {
		show_error(im->c, "the certificate is too large to be taken into the state",
			"write its file into Certificate= instead");
		return VERB_EXIT_USAGE;
	}
	return 0;
}

/* Where a file is named from, ctl and check are not. */
static int find_file(struct cli *c, enum option option, char ret[PATH_MAX])
{
	char text[PATH_MAX + 80];

	if (realpath(c->args.option[option], ret))
		return 0;
	(void)snprintf(text, sizeof text, "%s: %s", c->args.option[option], strerror(errno));
	show_error(c, text, NULL);
	return errno == ENOENT ? VERB_EXIT_NO_SUCH : VERB_EXIT_FAILED;
}

/* It is kept; where nothing listens for TLS yet, it is from now on. */
static int finish(struct cli *c, json_t *end)
{
	bool listens = json_is_true(json_object_get(end, "listens"));

	if (!c->json && !c->quiet)
		show_certificates(json_object_get(end, "certificates"), false);
	if (c->json) {
		(void)json_dumpf(end, stdout, JSON_COMPACT);
		(void)fputc('\n', stdout);
	}
	json_decref(end);
	return listens ? 0 : verb_ask(c, json_pack("{s:s}", "verb", "reload"));
}

int verb_import(struct cli *c)
{
	struct import im = {.c = c};
	const char *site = c->args.nargs > 1 ? c->args.arg[1] : "";
	bool remove = c->args.option[OPTION_REMOVE] != NULL;
	json_t *end;
	int code = 0;

	if (!remove && (!c->args.option[OPTION_CERT] || !c->args.option[OPTION_KEY])) {
		show_error(c, "a certificate comes with its private key",
			"stead cert import [NAME] --cert fullchain.pem --key privkey.pem");
		return VERB_EXIT_USAGE;
	}
	buf_init(&im.names, NAMES_TEXT_MAX);
	buf_init(&im.chain, CHAIN_TEXT_MAX);
	buf_init(&im.box, BOX_TEXT_MAX);
	if (!remove)
		code = find_file(c, OPTION_CERT, im.cert);
	if (!remove && code == 0)
		code = find_file(c, OPTION_KEY, im.key);
	if (!remove && code == 0)
		code = prepare(&im, site);
	if (!remove && code == 0)
		code = look(&im);
	if (code == 0) {
		end = verb_ask_end(c,
			json_pack("{s:s, s:s, s:s, s:s, s:b}", "verb", "cert-import", "app", site,
				"chain", buf_str(&im.chain), "box", buf_str(&im.box), "on", remove),
			&code);
		code = end ? finish(c, end) : code;
	}
	buf_done(&im.names);
	buf_done(&im.chain);
	buf_done(&im.box);
	return code;
}
