/*
 * query.c: lines for whoever asks: the last N that match, and perhaps each new one.
 *
 * Called for LOG_QUERY and LOG_CANCEL, by the loop, and with each new line. Owns the queries. The stored
 * lines are gathered newest first within a bound and sent oldest first as the channel takes them; a
 * follower that reads too slowly loses lines, is told how that looks (a gap record), and holds nobody up.
 */
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"

enum { PUMP_LINES = 256, PUMP_MS = 2 };

static unsigned level_of(const char *line, size_t n)
{
	static const char mark[] = "\"level\":\"";
	const char *at = memmem(line, min_of(n, (size_t)120), mark, sizeof mark - 1);
	char c = at && at + sizeof mark < line + n ? at[sizeof mark - 1] : 'i';

	switch (c) {
	case 'c':
		return LEVEL_CRITICAL;
	case 'e':
		return LEVEL_ERROR;
	case 'w':
		return LEVEL_WARNING;
	case 'n':
		return LEVEL_NOTICE;
	case 'd':
		return LEVEL_DEBUG;
	default:
		return LEVEL_INFO;
	}
}

static bool names(const char *line, size_t n, const char *member, const char *app)
{
	char mark[96];
	int len = snprintf(mark, sizeof mark, "\"%s\":\"%s\"", member, app);

	return len > 0 && (size_t)len < sizeof mark && memmem(line, n, mark, (size_t)len) != NULL;
}

bool query_matches(const struct query *q, const char *line, size_t n)
{
	static const size_t ts_at = sizeof "{\"ts\":\"" - 1;

	if (q->since[0] && (n < ts_at + TS_LEN || memcmp(line + ts_at, q->since, TS_LEN) < 0))
		return false;
	if (q->ask.level && level_of(line, n) > q->ask.level)
		return false;
	return !q->app[0] || names(line, n, "app", q->app) || names(line, n, "site", q->app);
}

static void keep(struct query *q, const char *line, size_t n)
{
	if (q->out.len - q->out_at + n > QUERY_BYTES_MAX) {
		q->overrun = true;
		return;
	}
	pack_u32(&q->out, (uint32_t)n);
	buf_put(&q->out, line, n);
}

/* Newest first: gathered in reverse, turned round afterwards. */
struct gather {
	struct query *q;
	struct buf lines;
};

static bool gather_one(void *arg, const char *line, size_t n)
{
	struct gather *ga = arg;
	static const size_t ts_at = sizeof "{\"ts\":\"" - 1;

	if (n > RECORD_BYTES_MAX)
		return true;
	/* Older than asked for: everything before it is too. */
	if (ga->q->since[0] && n >= ts_at + TS_LEN && memcmp(line + ts_at, ga->q->since, TS_LEN) < 0)
		return false;
	if (!query_matches(ga->q, line, n))
		return true;
	if (ga->lines.len + n > QUERY_BYTES_MAX)
		return false;
	buf_put(&ga->lines, line, n);
	pack_u32(&ga->lines, (uint32_t)n);
	return ++ga->q->found < ga->q->ask.lines;
}

static void gather(struct log *g, struct query *q)
{
	struct gather ga = {.q = q};
	size_t at;

	buf_init(&ga.lines, QUERY_BYTES_MAX + RECORD_BYTES_MAX);
	if (q->ask.lines)
		store_back(&g->store, gather_one, &ga);
	at = ga.lines.error ? 0 : ga.lines.len;
	while (at >= 4) {
		struct unpack u;
		uint32_t n;

		unpack_init(&u, ga.lines.p + at - 4, 4);
		n = unpack_u32(&u);
		at -= 4 + (size_t)n;
		keep(q, ga.lines.p + at, n);
	}
	buf_done(&ga.lines);
}

static void query_free(struct log *g, struct query *q)
{
	struct query **at = &g->queries;

	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	g->queries_n--;
	buf_done(&q->out);
	free(q);
}

/* True while there is more to send. */
static bool pump(struct log *g, struct query *q)
{
	for (unsigned i = 0; i < PUMP_LINES && q->out_at < q->out.len; i++) {
		struct unpack u;
		uint32_t n;

		unpack_init(&u, q->out.p + q->out_at, 4);
		n = unpack_u32(&u);
		if (chan_send(&g->ctl, MSG_LOG_LINE, q->id, q->out.p + q->out_at + 4, n, NULL, 0, NULL, 0) < 0)
			return true;
		q->out_at += 4 + (size_t)n;
	}
	if (q->out_at < q->out.len)
		return true;
	buf_done(&q->out);
	buf_init(&q->out, QUERY_BYTES_MAX + RECORD_BYTES_MAX);
	q->out_at = 0;
	if (q->overrun) {
		static const char gap[] = "{\"kind\":\"event\",\"level\":\"warning\",\"text\":\"lines were left "
					  "out here: they came faster than they were read\"}";

		q->overrun = false;
		(void)chan_send(&g->ctl, MSG_LOG_LINE, q->id, gap, sizeof gap - 1, NULL, 0, NULL, 0);
	}
	return false;
}

static void pump_all(struct log *g)
{
	bool more = false;

	for (struct query *q = g->queries, *next; q; q = next) {
		next = q->next;
		if (!chan_drained(&g->ctl)) {
			more = true;
			break;
		}
		if (pump(g, q)) {
			more = true;
		} else if (!q->ask.follow) {
			(void)chan_send(&g->ctl, MSG_LOG_END, q->id, NULL, 0, NULL, 0, NULL, 0);
			query_free(g, q);
		}
	}
	if (more)
		loop_timer_in(g->loop, &g->pump, PUMP_MS);
}

void query_on_pump(struct loop *l, struct op *op, int res)
{
	(void)l;
	(void)res;
	pump_all(container_of(op, struct log, pump.op));
}

void query_start(struct log *g, const struct msg *m)
{
	struct query *q;
	struct unpack u;
	const char *tail, *app;
	size_t n;

	q = g->queries_n < QUERIES_MAX ? calloc(1, sizeof *q) : NULL;
	if (!q || msg_get(m, &q->ask, sizeof q->ask, sizeof q->ask) < 0) {
		free(q);
		(void)chan_send(&g->ctl, MSG_LOG_END, m->h.id, NULL, 0, NULL, 0, NULL, 0);
		return;
	}
	tail = msg_tail(m, sizeof q->ask, &n);
	unpack_init(&u, tail, n);
	app = n ? unpack_str(&u) : "";
	(void)snprintf(q->app, sizeof q->app, "%s", app);
	if (q->ask.since_wall_us)
		render_time(q->ask.since_wall_us, q->since);
	q->ask.lines = min_of(q->ask.lines, (uint32_t)QUERY_LINES_MAX);
	q->id = m->h.id;
	buf_init(&q->out, QUERY_BYTES_MAX + RECORD_BYTES_MAX);
	(void)rings_drain(g);
	gather(g, q);
	q->past = true;
	q->next = g->queries;
	g->queries = q;
	g->queries_n++;
	pump_all(g);
}

void query_cancel(struct log *g, uint64_t id)
{
	for (struct query *q = g->queries, *next; q; q = next) {
		next = q->next;
		if (q->id == id)
			query_free(g, q);
	}
}

void query_cancel_all(struct log *g)
{
	while (g->queries)
		query_free(g, g->queries);
}

void query_line(struct log *g, const char *line, size_t n)
{
	bool any = false;

	if (n && line[n - 1] == '\n')
		n--;
	for (struct query *q = g->queries; q; q = q->next) {
		if (q->past && q->ask.follow && n <= RECORD_BYTES_MAX && query_matches(q, line, n)) {
			keep(q, line, n);
			any = true;
		}
	}
	if (any && !g->pump.at_ms)
		loop_timer_in(g->loop, &g->pump, PUMP_MS);
}
