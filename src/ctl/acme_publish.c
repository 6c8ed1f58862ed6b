/*
 * acme_publish.c: certificates that have come are put before the gates.
 *
 * Called by acme_job.c for each, and by its timer. A snapshot has all sites, so with many of them each costs something, and many
 * certificates may come at once: those that come within a pause share one. The pause grows with the sites, so that a small
 * instance has none, and no instance spends more than about a fifth of a processor. Owns nothing but the timer: what came stands in
 * the state, from which another ctl makes its first snapshot.
 */
#include "ctl.h"

enum { SITES_PER_MS = 5, PAUSE_MAX_MS = 2000 };

static void publish(struct ctl *c)
{
	c->certs.published_ms = loop_now_ms(c->loop) + min_of(c->sites.n / SITES_PER_MS, (unsigned)PAUSE_MAX_MS);
	(void)sites_again(c);
}

void acme_publish(struct ctl *c)
{
	uint64_t now = loop_now_ms(c->loop);

	if (c->certs.publishing)
		return;
	if (now >= c->certs.published_ms) {
		publish(c);
		return;
	}
	c->certs.publishing = true;
	c->certs.publish.op.kind = OP_CERT_PUBLISH;
	loop_timer_in(c->loop, &c->certs.publish, c->certs.published_ms - now);
}

void acme_publish_on_timer(struct loop *l, struct op *op, int res)
{
	struct ctl *c = container_of(op, struct ctl, certs.publish.op);

	(void)l;
	(void)res;
	c->certs.publishing = false;
	publish(c);
}
