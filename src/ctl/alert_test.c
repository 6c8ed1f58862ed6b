/*
 * alert_test.c: `stead alert test [APP]`: a message to each whom [Alert] names, now, and what became of it.
 *
 * Called by verbs.c, and by control.c when a client goes. Owns c->alerts.test while one is under way; the client waits, and hears of
 * each target by itself. What is sent is no alert: it is not queued, not tried again, not counted against the hour, and waits for
 * no other. One at a time, so that nobody makes a mail server of it.
 */
#include "ctl.h"
#include "alerts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct alert_test {
	struct ctl *c;
	struct client *cl;
	unsigned n, at, bad;
	char app[64];
	char target[ALERT_TARGETS_MAX][ALERT_TARGET_BYTES];
};

static void next(struct alert_test *t);

static void over(struct alert_test *t)
{
	struct client *cl = t->cl;
	char text[100];

	(void)snprintf(text, sizeof text, "%u of %u could not be sent", t->bad, t->n);
	t->c->alerts.test = NULL;
	client_end(cl, t->bad ? VERB_EXIT_FAILED : VERB_EXIT_DONE, t->bad ? text : "", "",
		json_pack("{s:i, s:i}", "sent", (int)(t->n - t->bad), "failed", (int)t->bad));
	free(t);
}

static void answered(struct ask *a, const struct ask_end *end)
{
	struct alert_test *t = a->owner;
	char shown[256];

	alerts_shown(t->target[t->at], shown);
	client_say(t->cl, json_pack("{s:s, s:s, s:b, s:s, s:s}", "event", "alert", "target", shown, "sent", end->err == 0, "error",
				  end->err ? end->error : "", "todo", end->err ? end->todo : ""));
	t->bad += end->err != 0;
	t->at++;
	next(t);
}

static void next(struct alert_test *t)
{
	static const struct ask_ops ops = {.ended = answered};
	char host[65], id[160], subject[300], shown[256], *body = NULL;
	const char *target = t->target[t->at];
	struct buf text;
	json_t *list;

	if (t->at == t->n) {
		over(t);
		return;
	}
	alerts_host(host);
	alerts_shown(target, shown);
	(void)snprintf(id, sizeof id, "stead-test-%llu-%u", (unsigned long long)loop_wall_us(t->c->loop), t->at);
	(void)snprintf(subject, sizeof subject, "[stead %s] a test: alerts%s%s come here", host, *t->app ? " of " : "", t->app);
	buf_init(&text, ALERT_TEXT_BYTES);
	buf_printf(&text, "Somebody typed `stead alert test` on %s. Nothing is wrong.\n", host);
	list = json_pack("[{s:s, s:s, s:s}]", "state", "test", "level", "info", "text", "somebody typed `stead alert test`; nothing is wrong");
	if (list && !text.error)
		body = alerts_body(&text, target, id, host, list);
	client_progress(t->cl, "alert", shown, UINT32_MAX);
	if (!body || !alerts_hand(t->c, target, id, subject, body, &ops, t)) {
		t->bad++;
		t->n = t->at + 1;
		t->at = t->n;
		over(t);
	}
	free(body);
	json_decref(list);
	buf_done(&text);
}

void alert_test_start(struct client *cl)
{
	struct ctl *c = cl->ctl;
	const struct app *a = cl->req.app[0] ? apps_named(c, cl->req.app) : &c->app;
	struct alert_test *t;

	if (!a) {
		client_end(cl, VERB_EXIT_USAGE, "Only an app has an [Alert] of its own; of other sites the operator's is told.",
			"stead alert test", NULL);
		return;
	}
	if (c->alerts.test) {
		client_end(cl, VERB_EXIT_BUSY, "Another test is under way.", "try it again in a minute", NULL);
		return;
	}
	t = calloc(1, sizeof *t);
	if (!t) {
		client_end(cl, VERB_EXIT_FAILED, "There is no memory.", "", NULL);
		return;
	}
	t->c = c;
	t->cl = cl;
	t->n = alerts_targets(a, t->target);
	(void)snprintf(t->app, sizeof t->app, "%s", cl->req.app);
	if (t->n == 0) {
		free(t);
		client_end(cl, VERB_EXIT_USAGE, "[Alert] names nobody.",
			"write Mail= or Webhook= into its [Alert], and have it read: `stead reload`, or `stead deploy`", NULL);
		return;
	}
	c->alerts.test = t;
	next(t);
}

void alert_test_gone(struct ctl *c, const struct client *cl)
{
	struct alert_test *t = c->alerts.test;

	if (!t || t->cl != cl)
		return;
	c->alerts.test = NULL;
	ask_forget(c, t);
	free(t);
}
