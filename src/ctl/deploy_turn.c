/*
 * deploy_turn.c: for how long one may hold the turn. One change of the instance is under way at a time, so who begins one and
 * does not go on with it would keep everybody else from theirs: the operator from a reload, other apps from a deploy.
 *
 * Called with the clock of the flow (up.c), and for each request that is refused or waits because of it. Whoever should send a
 * folder has to begin at once. Somebody with a deploy key, who may be anybody, has ten minutes as soon as others wait; an operator
 * has the whole patience. How slowly a folder may come is build's matter (build/unpack.c). Owns nothing.
 */
#include "deploy.h"

enum { BEGIN_MS = 30 * 1000, TURN_MS = 10 * 60 * 1000, LOOK_MS = 5 * 1000 };

static bool others_wait(const struct up *u)
{
	const struct ctl *c = u->ctl;

	for (const struct client *cl = c->clients; cl; cl = cl->next)
		if (cl->queued)
			return true;
	return c->server.reload_due || u->deploy->awaited;
}

void deploy_busy(struct client *cl)
{
	struct up *u = cl->ctl->up;

	if (u && u->deploy)
		u->deploy->awaited = true;
	client_end(cl, VERB_EXIT_BUSY, "Another change is under way here.", "wait for its end", NULL);
}

void deploy_turn_begins(struct up *u, bool deployers)
{
	u->deploy->deployers = deployers;
	if (deployers)
		loop_timer_in(u->ctl->loop, &u->timer, TURN_MS);
}

void deploy_turn_sends(struct up *u)
{
	u->deploy->asked_us = loop_now_us(u->ctl->loop);
	loop_timer_in(u->ctl->loop, &u->timer, BEGIN_MS);
}

bool deploy_turn(struct up *u, uint64_t patience_ms)
{
	struct deploy *d = u->deploy;
	uint64_t now = loop_now_us(u->ctl->loop), held = d ? (now - u->started_us) / 1000 : patience_ms;

	if (held >= patience_ms)
		return false;
	if (d->receives && (now - d->asked_us) / 1000 >= BEGIN_MS)
		up_fail(u, VERB_EXIT_FAILED, "deploy again", "Whoever should send the folder did not begin within %d seconds.",
			BEGIN_MS / 1000);
	else if (d->deployers && !d->committed && held >= TURN_MS && others_wait(u))
		up_fail(u, VERB_EXIT_BUSY, "deploy again, or have an operator do it, who has the time",
			"It took longer than %d minutes, and others wait for their turn.", TURN_MS / 60000);
	else
		loop_timer_in(u->ctl->loop, &u->timer, LOOK_MS < patience_ms - held ? LOOK_MS : patience_ms - held);
	return true;
}
