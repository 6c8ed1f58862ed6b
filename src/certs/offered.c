/*
 * offered.c: what proves a name is in its place, or cannot be; of a record in DNS the job waits until it has
 * reached all servers of its zone.
 *
 * Called by job.c, and by main.c with what resolve says. Owns nothing. The pauses grow from a quarter
 * of a second to ten.
 */
#include "process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/must.h"
#include "order.h"

void job_spread(struct job *j)
{
	char record[ACME_NAME_BYTES + 32];
	struct order_next next;
	struct buf b;

	order_next(&j->order, &next);
	(void)snprintf(record, sizeof record, "_acme-challenge.%s", next.name);
	buf_init(&b, 2048);
	pack_str(&b, record);
	pack_str(&b, next.text);
	j->wait = WAIT_SPREAD;
	j->sent = ++j->certs->ids;
	if (!b.error)
		job_tell(j, PROC_RESOLVE, MSG_SPREAD, j->sent, b.p, b.len, NULL, 0);
	buf_done(&b);
}

/* False: it cannot be, and the order has failed. */
static bool is_offered(struct job *j, const struct msg *m)
{
	const char *what, *todo;
	struct order_next next;
	struct unpack u;

	unpack_init(&u, m->payload, m->h.len);
	what = unpack_str(&u);
	todo = unpack_str(&u);
	if (unpack_done(&u) && !what[0])
		return true;
	order_next(&j->order, &next);
	order_fail(&j->order, next.name, u.bad ? "" : todo, "%.400s",
		u.bad ? "it cannot be proved" : what);
	return false;
}

void job_offered(struct job *j, const struct msg *m)
{
	struct order_next next;

	if (!is_offered(j, m)) {
		job_go_on(j);
		return;
	}
	order_next(&j->order, &next);
	if (next.way == CERT_BY_DNS) {
		j->spreads = 0;
		j->spread_ms = loop_now_ms(j->certs->loop);
		job_spread(j);
		return;
	}
	order_went(&j->order);
	job_go_on(j);
}

void job_spread_told(struct certs *c, const struct msg *m)
{
	struct job *j = job_by_question(c, m->h.id, WAIT_SPREAD);
	struct msg_spread_told told;
	struct order_next next;
	const char *server;
	size_t n;

	if (!j || msg_get(m, &told, sizeof told, sizeof told) < 0)
		return;
	server = msg_tail(m, sizeof told, &n);
	switch (spread_judge(&told, loop_now_ms(c->loop) - j->spread_ms)) {
	case SPREAD_AGAIN:
		j->wait = WAIT_AGAIN;
		loop_timer_in(c->loop, &j->timer, order_pause(j->spreads++, 0));
		return;
	case SPREAD_FAIL:
		order_next(&j->order, &next);
		order_fail(&j->order, next.name,
			"see why that server does not take the zone's changes; it is tried again by itself",
			"%.200s, one of the zone's name servers, does not have the record after 10 min "
			"(%u of %u have it)",
			n && !server[n - 1] ? server : "?", told.there,
			told.there + told.missing + told.silent);
		break;
	case SPREAD_GO:
		order_went(&j->order);
		break;
	}
	job_go_on(j);
}
