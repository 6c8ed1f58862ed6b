/*
 * tls_demand.c: names of sites with OnDemand= that have no certificate yet: ctl is asked for one, and the handshake waits
 * for it; see tls_server.h.
 *
 * Called by tls_server.c for a hello whose site has OnDemand= and no certificate for its name, by control.c with ctl's word
 * and when a snapshot has come, and by its timer. Owns two bounded tables, made with the first such hello: names that ctl
 * was asked for lately, and connections that wait. A connection waits in its hello (SSL_set_client_hello_cb(3)): nothing of
 * it was answered, it has no stack and no job, and it reads no more. It costs no other site anything.
 */
#include "tls_server.h"

#include "gate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	ASKS_MAX = 256, /* names */
	ASK_AGAIN_MS = 5000,
	ANSWERED_MS = 1000,
	TELL_AGAIN_MS = 10 * 60 * 1000,
	KEEP_MS_MAX = 10 * 60 * 1000,
	WAITS_OF_NAME_MAX = 8,
};

struct ask {
	uint64_t at_ms; /* when ctl was asked last; 0: it was not */
	uint64_t no_ms; /* until then there is none */
	uint32_t site;
	bool used;      /* it was only told */
	unsigned waits; /* connections */
	size_t name_n;  /* 0: this place is free */
	char name[TLS_NAME_MAX];
};
struct wait {
	struct tls_conn *conn; /* NULL: this place is free */
	struct ask *of;
	uint64_t until_ms;
};
struct tls_demands {
	struct tls_server *ts;
	struct ask asks[ASKS_MAX];
	struct wait waits[TLS_DEMAND_WAITS_MAX];
	struct timer timer;
};

static uint64_t now_ms(const struct tls_server *ts)
{
	return loop_now_ms(ts->gate->loop);
}

/* ---- names ---- */

static struct ask *find(struct tls_demands *d, uint32_t site, const char *name, size_t n)
{
	for (unsigned i = 0; i < ASKS_MAX; i++)
		if (d->asks[i].name_n == n && d->asks[i].site == site && memcmp(d->asks[i].name, name, n) == 0)
			return &d->asks[i];
	return NULL;
}

/* What was asked lately stays, so that ctl hears of one name once in a while only, and of many at that pace. A refusal may be
 * forgotten sooner, for ctl knows it longer: names that nobody permits shall not keep others out. */
static bool is_free(const struct ask *a, uint64_t now)
{
	uint64_t stays = a->used ? TELL_AGAIN_MS : a->no_ms ? ANSWERED_MS : ASK_AGAIN_MS;

	return !a->name_n || (!a->waits && now - a->at_ms >= stays);
}

static struct ask *ask_for(struct tls_server *ts, uint32_t site, const char *name, size_t n)
{
	struct ask *a = find(ts->demands, site, name, n), *oldest = NULL;
	uint64_t now = now_ms(ts);

	if (a)
		return a;
	for (unsigned i = 0; i < ASKS_MAX; i++) {
		struct ask *at = &ts->demands->asks[i];

		if (is_free(at, now) && (!oldest || at->at_ms < oldest->at_ms))
			oldest = at;
	}
	if (!oldest)
		return NULL;
	*oldest = (struct ask){.site = site, .name_n = n};
	memcpy(oldest->name, name, n);
	return oldest;
}

static void tell(struct tls_server *ts, struct ask *a, bool used)
{
	struct gate *g = ts->gate;
	struct msg_cert_demand m = {.site = a->site, .used = used};

	if (!chan_open(&g->ctl) || !g->ctl_hello ||
		chan_send(&g->ctl, MSG_CERT_DEMAND, 0, &m, sizeof(m), a->name, a->name_n, NULL, 0) < 0)
		return;
	a->at_ms = now_ms(ts);
	a->used = used;
}

/* ---- connections ---- */

static struct wait *wait_of(struct tls_demands *d, const struct tls_conn *t)
{
	for (unsigned i = 0; i < TLS_DEMAND_WAITS_MAX; i++)
		if (d->waits[i].conn == t)
			return &d->waits[i];
	return NULL;
}

static void arm(struct tls_server *ts)
{
	struct tls_demands *d = ts->demands;
	uint64_t first = UINT64_MAX, now = now_ms(ts);

	for (unsigned i = 0; i < TLS_DEMAND_WAITS_MAX; i++)
		if (d->waits[i].conn)
			first = min_of(first, d->waits[i].until_ms);
	loop_timer_stop(ts->gate->loop, &d->timer);
	/* While somebody waits a question that ctl did not get is asked again. */
	if (first != UINT64_MAX)
		loop_timer_in(ts->gate->loop, &d->timer, min_of(first > now ? first - now : 0, (uint64_t)ASK_AGAIN_MS));
}

void tls_demand_leave(struct tls_server *ts, struct tls_conn *t)
{
	struct wait *w = t->asking ? wait_of(ts->demands, t) : NULL;

	t->asking = false;
	if (!w)
		return;
	/* Its client has what was left of its time before. */
	t->conn->since_ms -= w->until_ms - min_of(w->until_ms, now_ms(ts));
	w->of->waits--;
	*w = (struct wait){0};
	arm(ts);
}

static bool begin_wait(struct tls_server *ts, struct tls_conn *t, struct ask *a)
{
	struct wait *w = wait_of(ts->demands, NULL);

	if (!w || a->waits >= WAITS_OF_NAME_MAX)
		return false;
	*w = (struct wait){.conn = t, .of = a, .until_ms = now_ms(ts) + TLS_DEMAND_MS};
	a->waits++;
	t->asking = true;
	/* It is we who take time. */
	t->conn->since_ms += TLS_DEMAND_MS;
	arm(ts);
	return true;
}

static bool need(struct tls_server *ts)
{
	if (ts->demands)
		return true;
	ts->demands = calloc(1, sizeof(*ts->demands));
	if (!ts->demands)
		return false;
	ts->demands->ts = ts;
	ts->demands->timer.op.kind = OP_TLS_DEMAND;
	return true;
}

bool tls_demand_wait(struct tls_server *ts, struct tls_conn *t, uint32_t site, const char *name, size_t n)
{
	struct wait *w = t->asking ? wait_of(ts->demands, t) : NULL;
	struct ask *a;

	if (!need(ts))
		return false;
	a = w ? w->of : ask_for(ts, site, name, n);
	if (!a || a->no_ms > now_ms(ts) || (w && w->until_ms <= now_ms(ts))) {
		tls_demand_leave(ts, t);
		return false;
	}
	if (!a->at_ms || a->used || now_ms(ts) - a->at_ms >= ASK_AGAIN_MS)
		tell(ts, a, false);
	return w || begin_wait(ts, t, a);
}

void tls_demand_used(struct tls_server *ts, uint32_t site, const char *name, size_t n)
{
	struct ask *a = need(ts) ? ask_for(ts, site, name, n) : NULL;

	if (a && (!a->at_ms || now_ms(ts) - a->at_ms >= TELL_AGAIN_MS))
		tell(ts, a, true);
}

/* ---- what happens meanwhile ---- */

/* They look again, each in a turn of its own. */
static void wake(struct tls_demands *d, const struct ask *of)
{
	for (unsigned i = 0; i < TLS_DEMAND_WAITS_MAX; i++)
		if (d->waits[i].conn && (!of || d->waits[i].of == of))
			loop_defer(d->ts->gate->loop, &d->waits[i].conn->turn);
}

void tls_demand_on_timer(struct loop *l, struct op *op, int res)
{
	struct tls_demands *d = container_of(op, struct tls_demands, timer.op);

	(void)l;
	(void)res;
	wake(d, NULL);
	arm(d->ts);
}

void tls_demand_on_snap(struct gate *g)
{
	if (g->tls && g->tls->demands)
		wake(g->tls->demands, NULL);
}

void tls_demand_ctl_up(struct gate *g)
{
	struct tls_demands *d = g->tls ? g->tls->demands : NULL;

	for (unsigned i = 0; d && i < ASKS_MAX; i++)
		if (d->asks[i].waits)
			tell(g->tls, &d->asks[i], false);
}

int tls_demand_heard(struct gate *g, const struct msg *m)
{
	struct tls_demands *d = g->tls ? g->tls->demands : NULL;
	struct msg_cert_demanded said;
	struct ask *a;
	const char *name;
	size_t n;

	if (msg_get(m, &said, sizeof(said), sizeof(said)) < 0)
		return -EPROTO;
	name = msg_tail(m, sizeof(said), &n);
	if (n == 0 || n >= TLS_NAME_MAX)
		return -EPROTO;
	a = d ? find(d, said.site, name, n) : NULL;
	if (!a)
		return 0;
	a->no_ms = now_ms(g->tls) + min_of(said.keep_ms, (uint32_t)KEEP_MS_MAX);
	wake(d, a);
	return 0;
}

void tls_demands_free(struct tls_server *ts)
{
	if (ts->demands)
		loop_timer_stop(ts->gate->loop, &ts->demands->timer);
	free(ts->demands);
	ts->demands = NULL;
}
