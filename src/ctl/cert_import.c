/*
 * cert_import.c: `stead cert import`: a certificate that the user has, with its key, into the
 * state.
 *
 * Called by verbs.c with two requests of the command line. The first asks for whom a key is to be
 * sealed and which names the site has; the command line then has both files looked at and the key
 * sealed by a stead-check of its own, with the rights of whoever typed it. The second brings the
 * certificate and the sealed box, which is all that is ever seen of the key here. What comes is
 * input of whoever may use the control socket: its form is looked at, and gates parse the
 * certificate as they parse any.
 */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base64.h"

enum { PATIENCE_MS = 20 * 1000 };

/* ---- for whom, and which names ---- */

static bool is_host_key(const char *section, const char *key)
{
	return strcmp(section, "Site") == 0 &&
	       (strcmp(key, "Domain") == 0 || strcmp(key, "Alias") == 0);
}

static json_t *names_of(const struct client *cl)
{
	const struct site *site = verbs_site(cl);
	json_t *list = json_array();
	struct site_value v;
	struct unpack u;

	if (site) {
		unpack_init(&u, site->values, site->bytes);
		while (site_value_next(&u, &v))
			if (is_host_key(v.section, v.key) && v.text[0])
				(void)json_array_append_new(list, json_string(v.text));
		return list;
	}
	for (const struct app_value *a = verbs_app(cl)->values; a; a = a->next)
		if (is_host_key(a->section, a->key) && a->text[0])
			(void)json_array_append_new(list, json_string(a->text));
	return list;
}

static void tell_key(struct client *cl)
{
	char hex[2 * sizeof cl->ctl->keys.public_key + 1];

	for (size_t i = 0; i < sizeof cl->ctl->keys.public_key; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", cl->ctl->keys.public_key[i]);
	cl->sealing = false;
	loop_timer_stop(cl->ctl->loop, &cl->timer);
	client_end(cl, VERB_EXIT_DONE, "", "",
		json_pack("{s:s, s:s, s:o}", "site", verbs_name(cl), "seal_for", hex, "names",
			names_of(cl)));
}

void cert_key_start(struct client *cl)
{
	struct ctl *c = cl->ctl;

	if (!cert_verb_may(cl))
		return;
	certs_want(c);
	cl->sealing = true;
	loop_timer_in(c->loop, &cl->timer, PATIENCE_MS);
	cert_import_settle(c);
}

/* ---- the certificate ---- */

static struct stored_cert *read_one(const struct client *cl)
{
	const void *der[STORED_CHAIN_MAX] = {NULL};
	size_t der_n[STORED_CHAIN_MAX], whole_n = 0;
	struct stored_cert *s = NULL;
	void *whole = base64_new(cl->req.box, strlen(cl->req.box), &whole_n);
	const char *at = cl->req.chain;
	unsigned n = 0;
	bool good = whole != NULL;

	for (; good && *at && n < STORED_CHAIN_MAX; at += *at == ' ') {
		size_t len = strcspn(at, " ");

		der[n] = base64_new(at, len, &der_n[n]);
		good = der[n] && der_n[n];
		n += der[n] != NULL;
		at += len;
	}
	if (good && !*at)
		s = stored_new(verbs_name(cl), der, der_n, n, whole, whole_n);
	while (n)
		free((void *)der[--n]);
	free(whole);
	return s;
}

/* Every gate has it before that is said. */
static void serve(struct client *cl, int err)
{
	struct ctl *c = cl->ctl;

	if (err == 0)
		err = sites_again(c);
	if (err) {
		client_end(cl, VERB_EXIT_FAILED, "It could not be kept.",
			err == -ENOSPC ? "free disk space, then try again"
				       : "check the state folder",
			NULL);
		return;
	}
	cl->importing = c->snap_generation;
	loop_timer_in(c->loop, &cl->timer, PATIENCE_MS);
	cert_import_settle(c);
}

void cert_import_start(struct client *cl)
{
	struct ctl *c = cl->ctl;
	struct stored_cert *s;

	if (!cert_verb_may(cl))
		return;
	if (cl->req.on) { /* it is taken back */
		if (!stored_find(c, verbs_name(cl)))
			client_end(cl, VERB_EXIT_NO_SUCH,
				"No certificate was imported for this site.", "", NULL);
		else
			serve(cl, stored_drop(c, verbs_name(cl)));
		return;
	}
	s = cl->req.chain && cl->req.box ? read_one(cl) : NULL;
	if (!s) {
		client_end(cl, VERB_EXIT_USAGE, "The certificate is not in form.",
			"use the `stead` command of the same version", NULL);
		return;
	}
	serve(cl, stored_take(c, s));
}

/* ---- later ---- */

void cert_import_settle(struct ctl *c)
{
	for (struct client *cl = c->clients; cl; cl = cl->next) {
		if (cl->sealing && c->keys.known)
			tell_key(cl);
		if (!cl->importing || !sites_loaded(c) || c->snap_generation < cl->importing)
			continue;
		cl->importing = 0;
		loop_timer_stop(c->loop, &cl->timer);
		client_end(cl, VERB_EXIT_DONE, "", "",
			json_pack("{s:o, s:b}", "certificates", certs_json(c, verbs_name(cl)),
				"listens", c->https[0] != '\0'));
	}
}

void cert_import_late(struct client *cl)
{
	bool sealing = cl->sealing;

	cl->sealing = false;
	cl->importing = 0;
	client_end(cl, VERB_EXIT_FAILED,
		sealing ? "The process of the private keys does not come up."
			: "It is kept, and a gate did not say that it serves it.",
		"`stead logs` says why", NULL);
}
