/*
 * up_drain.c: the calls that a server has: so that those of a program that was replaced can be ended when they have had
 * their time (DrainSec=).
 *
 * Called by up_call.c when a call is given to a server and when it leaves, and by service.c with the parent's word. A
 * call is in one list at most: it waits, or it is some server's. Owns nothing.
 */
#include "backend/up.h"

void up_call_link(struct up_call *c)
{
	struct up_server *s = c->server;

	c->prev = NULL;
	c->next = s->calls;
	if (s->calls)
		s->calls->prev = c;
	s->calls = c;
}

void up_call_unlink(struct up_call *c)
{
	*(c->prev ? &c->prev->next : &c->server->calls) = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->next = c->prev = NULL;
}

void up_server_end_calls(struct up_server *s, enum close_id why)
{
	for (struct up_call *c = s->calls, *next; c; c = next) {
		next = c->next;
		if (c->state != UP_CALL_ASKED && c->state != UP_CALL_CONNECTING)
			continue;
		up_call_over(c, why);
		/* Its owner may have ended others: what is left is looked at from the beginning. */
		next = s->calls;
		while (next && next->state != UP_CALL_ASKED && next->state != UP_CALL_CONNECTING)
			next = next->next;
	}
}
