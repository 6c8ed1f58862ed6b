/*
 * purge.c: `stead cache purge`: one gate is asked to forget stored answers, for all of them: they share
 * one store. Called by verbs.c, and by peers.c with the gate's answer. Owns nothing.
 */
#include "ctl.h"

#include <string.h>

enum { PATIENCE_MS = 30000 };

static struct gate_peer *any_gate(struct ctl *c)
{
	for (unsigned i = 0; i < c->start.gates && i < CTL_GATES_MAX; i++)
		if (c->gate[i].loaded && chan_open(&c->gate[i].chan))
			return &c->gate[i];
	return NULL;
}

void purge_start(struct client *cl)
{
	struct ctl *c = cl->ctl;
	struct gate_peer *g = any_gate(c);
	const char *what = cl->req.tag[0] ? cl->req.tag : cl->req.url;
	struct msg_purge m = {.site = verbs_number(cl), .by_tag = cl->req.tag[0] != 0};

	if (!what[0]) {
		client_end(cl, VERB_EXIT_USAGE, "Neither a URL nor a tag was given.",
			"stead cache purge /page, or stead cache purge --tag news", NULL);
		return;
	}
	if (c->live_us == 0 || !g) {
		client_end(cl, VERB_EXIT_NOT_RUNNING, "Nothing is live here: not running.",
			"`stead up` takes the folder live", NULL);
		return;
	}
	cl->purging = ++c->ids & UINT32_MAX;
	loop_timer_in(c->loop, &cl->timer, PATIENCE_MS);
	if (chan_send(&g->chan, MSG_CACHE_PURGE, cl->purging, &m, sizeof m, what, strlen(what), NULL, 0) < 0)
		purge_late(cl);
}

void purge_late(struct client *cl)
{
	cl->purging = 0;
	loop_timer_stop(cl->ctl->loop, &cl->timer);
	client_end(cl, VERB_EXIT_FAILED, "The gate did not say that they are forgotten.", "try it again", NULL);
}

void purge_told(struct ctl *c, const struct msg *m)
{
	struct msg_purged p;

	if (msg_get(m, &p, sizeof p, sizeof p) < 0)
		return;
	for (struct client *cl = c->clients; cl; cl = cl->next) {
		if (!cl->purging || cl->purging != m->h.id)
			continue;
		if (p.err) {
			purge_late(cl);
			return;
		}
		cl->purging = 0;
		loop_timer_stop(c->loop, &cl->timer);
		client_end(cl, VERB_EXIT_DONE, "", "",
			json_pack("{s:I}", "purged", (json_int_t)p.count));
		return;
	}
}
