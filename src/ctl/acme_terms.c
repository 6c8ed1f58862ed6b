/*
 * acme_terms.c: the terms of the authority: shown and agreed to once (RFC 8555 section 7.3), by AcmeEmail=, by `stead up
 * --yes`, or by `stead cert agree`.
 *
 * Called with the verbs cert-terms and cert-agree, by the up flow, and when certs has come or has answered. Who agreed to what
 * stands in the state by the authority's directory (state_authority.c), so another authority is another question.
 */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { PATIENCE_MS = 60 * 1000 };

bool acme_agreed(const struct ctl *c, const struct conf_app *conf)
{
	const struct acme_account *a = c->certs.accounts;

	while (a && strcmp(a->directory, conf->acme_directory) != 0)
		a = a->next;
	return conf->acme_email[0] || (a && a->terms[0]);
}

int acme_agree(struct ctl *c, const char *directory, const char *terms)
{
	struct acme_account *a = acme_account_at(c, directory);

	if (!a)
		return -ENOMEM;
	(void)snprintf(a->terms, sizeof a->terms, "%s", terms[0] ? terms : "none");
	return state_save_authority(c, a);
}

json_t *acme_unagreed(const struct ctl *c)
{
	if (!c->certs.unagreed)
		return NULL;
	return json_pack("{s:s, s:s, s:i}", "authority", c->certs.directory, "name", c->certs.unagreed_name, "sites",
		(int)c->certs.unagreed);
}

/* ---- cert-terms ---- */

static void answer(struct client *cl, const char *terms)
{
	struct ctl *c = cl->ctl;

	cl->reading_terms = false;
	loop_timer_stop(c->loop, &cl->timer);
	client_end(cl, VERB_EXIT_DONE, "", "",
		json_pack("{s:s, s:s, s:b, s:s, s:i}", "authority", c->certs.directory, "terms", terms, "agreed",
			c->certs.agreed, "name", c->certs.unagreed_name, "sites", (int)c->certs.unagreed));
}

void cert_terms_start(struct client *cl)
{
	struct ctl *c = cl->ctl;

	if (!c->live_us) {
		client_end(cl, VERB_EXIT_NOT_RUNNING, "Nothing is live here: not running.",
			"`stead up` takes the folder live", NULL);
	} else if (c->certs.agreed || !c->certs.unagreed) {
		answer(cl, "");
	} else {
		cl->reading_terms = true;
		client_progress(cl, "cert", "asking the authority for its terms", UINT32_MAX);
		loop_timer_in(c->loop, &cl->timer, PATIENCE_MS);
		acme_want_processes(c);
		acme_ask_terms(c);
	}
}

static void failed(struct client *cl, const char *why)
{
	char text[CERT_TEXT_MAX + 100];

	cl->reading_terms = false;
	loop_timer_stop(cl->ctl->loop, &cl->timer);
	(void)snprintf(text, sizeof text, "The authority's terms cannot be read: %s.", why);
	client_end(cl, VERB_EXIT_FAILED, text, "see that this machine reaches the authority, then try again", NULL);
}

void cert_terms_late(struct client *cl)
{
	failed(cl, "it has not answered for a minute");
}

/* One question for all who wait for it. */
void acme_ask_terms(struct ctl *c)
{
	struct msg_cert_ask m = {.what = CERT_LOOK_TERMS};
	bool any = false;
	struct buf b;

	for (const struct client *cl = c->clients; cl; cl = cl->next)
		any |= cl->reading_terms;
	if (!any || c->certs.terms_job || !c->certs.greeted)
		return;
	buf_init(&b, CHAN_PAYLOAD_MAX - sizeof m);
	pack_str(&b, c->certs.directory);
	for (unsigned i = 0; i < 8; i++)
		pack_str(&b, "");
	if (!b.error &&
		chan_send(&c->certs.chan, MSG_CERT_ASK, c->ids + 1, &m, sizeof m, b.p, b.len, NULL, 0) == 0)
		c->certs.terms_job = ++c->ids;
	buf_done(&b);
}

void acme_terms_heard(struct ctl *c, const struct msg *msg)
{
	const char *what = "";
	struct msg_cert_end m;
	struct unpack u;
	size_t n;

	c->certs.terms_job = 0;
	if (msg_get(msg, &m, sizeof m, sizeof m) < 0)
		m.outcome = CERT_FAILED;
	else {
		what = msg_tail(msg, sizeof m, &n);
		unpack_init(&u, what, n);
		(void)unpack_str(&u);
		(void)unpack_str(&u);
		what = unpack_str(&u);
	}
	for (struct client *cl = c->clients; cl; cl = cl->next) {
		if (cl->reading_terms && m.outcome == CERT_TERMS)
			answer(cl, what);
		else if (cl->reading_terms)
			failed(cl, what);
	}
}

/* ---- cert-agree ---- */

void cert_agree_start(struct client *cl)
{
	struct ctl *c = cl->ctl;

	if (!c->live_us)
		client_end(cl, VERB_EXIT_NOT_RUNNING, "Nothing is live here: not running.",
			"`stead up` takes the folder live", NULL);
	else if (acme_agree(c, c->certs.directory, cl->req.url) < 0)
		client_end(cl, VERB_EXIT_FAILED, "It could not be written down.", "free disk space, then try again", NULL);
	else
		client_end(cl, VERB_EXIT_DONE, "", "", NULL);
}
