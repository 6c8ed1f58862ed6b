/*
 * upgrade.c: `stead upgrade`: what ctl has to do with another version of stead.
 *
 * Called by verbs.c, and by peers.c with the parent's words. The parent does it all; ctl passes the question on, asks
 * the gate that is tried a real request, and tells whoever asked how it ended. It is replaced itself behind that. Owns
 * the probe.
 */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { PROBE_MS = 10 * 1000 };

/* The version that serves: its files were installed again. */
static bool is_same(const struct client *cl)
{
	return strcmp(cl->req.version, STEAD_VERSION) == 0;
}

void upgrade_ask(struct client *cl)
{
	struct ctl *c = cl->ctl;
	char text[120];
	struct buf b;
	int err;

	for (const struct client *other = c->clients; other; other = other->next)
		if (other->upgrading) {
			client_end(cl, VERB_EXIT_BUSY, "Another upgrade goes on.", "wait for its end", NULL);
			return;
		}
	buf_init(&b, 256);
	pack_str(&b, cl->req.version);
	err = b.error ? b.error : parent_send(c, MSG_UPGRADE, ++c->ids, b.p, b.len, NULL, 0, NULL, 0);
	buf_done(&b);
	if (err) {
		client_end(cl, VERB_EXIT_FAILED, "The parent process cannot be asked.", "`stead status` shows whether it runs", NULL);
		return;
	}
	cl->upgrading = true;
	if (is_same(cl))
		(void)snprintf(text, sizeof text, "trying the files of " STEAD_VERSION " that are there now beside those that serve");
	else
		(void)snprintf(text, sizeof text, "trying %s beside " STEAD_VERSION, cl->req.version);
	client_progress(cl, "upgrade", text, UINT32_MAX);
}

/* ---- the gate that is tried ---- */

static void say_tried(struct ctl *c, const char *why)
{
	struct msg_done m = {.err = why[0] ? EPROTO : 0};
	struct buf b;

	buf_init(&b, 1024);
	pack_str(&b, why);
	(void)parent_send(c, MSG_UPGRADE_TRIED, c->trial_id, &m, sizeof m, b.p, b.len, NULL, 0);
	buf_done(&b);
}

static void ask(struct ctl *c, const char *address, bool any)
{
	struct conf *conf = c->app.known ? effective_conf(c, &c->app, (char[256]){""}, 256) : NULL;
	const struct conf_app *app = conf ? conf_app(conf) : NULL;

	probe_start(c, &c->trial, address, app && app->health[0] ? app->health : "/", 1, PROBE_MS);
	c->trial.trial = true;
	c->trial.any = any;
	conf_free(conf);
}

void upgrade_try(struct ctl *c, struct msg *m)
{
	char address[64] = "";
	struct unpack u;

	unpack_init(&u, m->payload, m->h.len);
	(void)snprintf(address, sizeof address, "%s", unpack_str(&u));
	c->trial_id = m->h.id;
	c->trial_status = 0;
	probe_stop(&c->trial);
	ask(c, address, true);
}

/* An app that is in trouble answers so through both versions; only what the new one does worse counts against it. */
void upgrade_probed(struct ctl *c, enum probe_end end)
{
	unsigned status = c->trial.status;
	char why[160], first[CTL_ADDRESS_MAX];

	if (end != PROBE_LIVE || !status) {
		if (!c->trial_status)
			say_tried(c, "the new gate does not answer in HTTP");
		else
			say_tried(c, "the new gate answers with an error, and the one that serves does not answer at all");
		return;
	}
	listen_first(&c->app, first);
	if (!c->trial_status && status >= 500 && first[0]) {
		c->trial_status = status;
		ask(c, first, true);
		return;
	}
	(void)snprintf(why, sizeof why, "the new gate answers with status %u, the one that serves with %u", (unsigned)c->trial_status, status);
	say_tried(c, c->trial_status && status < 500 ? why : "");
}

/* ---- the end ---- */

void upgrade_told(struct ctl *c, const struct msg *m)
{
	char error[800], todo[200];
	const char *step, *why, *tail;
	struct msg_done d;
	struct unpack u;
	size_t n;

	if (msg_get(m, &d, sizeof d, sizeof d) < 0)
		return;
	tail = msg_tail(m, sizeof d, &n);
	unpack_init(&u, tail, n);
	step = unpack_str(&u);
	why = unpack_str(&u);
	probe_stop(&c->trial);
	for (struct client *cl = c->clients; cl; cl = cl->next) {
		if (!cl->upgrading)
			continue;
		cl->upgrading = false;
		if (d.err == 0) {
			client_end(cl, VERB_EXIT_DONE, "", "", json_pack("{s:s}", "upgraded", cl->req.version));
			continue;
		}
		(void)snprintf(error, sizeof error,
			is_same(cl) ? "The files of stead %s that are there now were given up, and those before serve on: %s: %s."
				    : "stead %s was given up, and " STEAD_VERSION " serves on: %s: %s.",
			cl->req.version, step, why);
		if (d.err == EUSERS)
			(void)snprintf(todo, sizeof todo, "try again when one of them has ended (`stead status` shows them: stead upgrade), "
				"or end them sooner: a lower DrainMaxSec= in [Server], then `stead reload`");
		else
			(void)snprintf(todo, sizeof todo, "`stead logs` may say more; install another version and try again: stead upgrade");
		client_end(cl, d.err == EBUSY || d.err == EUSERS ? VERB_EXIT_BUSY : VERB_EXIT_FAILED, error, todo, NULL);
	}
}
