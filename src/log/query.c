/*
 * query.c: lines for whoever asks: the last N that match, and perhaps each new one.
 *
 * Called for LOG_QUERY and LOG_CANCEL, by the loop, and with each new line. Owns the queries. The
 * stored lines are gathered newest first within a bound and sent oldest first as the channel takes
 * them; a follower that reads too slowly loses lines, is told how that looks (a gap record), and
 * holds nobody up.
 */
#include "log.h"

#include <errno.h>
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

/* The time of a line that begins as store lines do, else NULL: a crash or a stranger wrote it. */
static const char *time_of(const char *line, size_t n)
{
	static const char begin[] = "{\"ts\":\"", form[] = "0000-00-00T00:00:00.000000Z\"";
	const char *ts = line + sizeof begin - 1;

	if (n < sizeof begin - 1 + sizeof form - 1 || memcmp(line, begin, sizeof begin - 1) != 0)
		return NULL;
	for (size_t i = 0; i < sizeof form - 1; i++)
		if (form[i] == '0' ? ts[i] < '0' || ts[i] > '9' : ts[i] != form[i])
			return NULL;
	return ts;
}

bool query_matches(const struct query *q, const char *line, size_t n)
{
	const char *ts = time_of(line, n);

	if (!ts || (q->since[0] && memcmp(ts, q->since, TS_LEN) < 0))
		return false;
	if (q->ask.level && level_of(line, n) > q->ask.level)
		return false;
	return !q->app[0] || names(line, n, "app", q->app) || names(line, n, "site", q->app);
}

static bool put_out(struct query *q, const char *line, size_t n)
{
	if (q->out_at > QUERY_BYTES_MAX) {
		buf_drop(&q->out, q->out_at);
		q->out_at = 0;
	}
	/* Room for both first: half of the pair would be read as something else. */
	if (!buf_room(&q->out, 4 + n)) {
		q->out.error = 0;
		return false;
	}
	pack_u32(&q->out, (uint32_t)n);
	buf_put(&q->out, line, n);
	return true;
}

/* After lines were left out the gap is said in their place, when half of the room is free again. */
static bool put_gap(struct log *g, struct query *q)
{
	char mem[256];
	struct buf b;

	buf_fixed(&b, mem, sizeof mem);
	render_gap(&b, loop_wall_us(g->loop));
	q->overrun = !put_out(q, b.p, b.len - 1);
	return !q->overrun;
}

static void keep(struct log *g, struct query *q, const char *line, size_t n)
{
	size_t waiting = q->out.len - q->out_at;

	if (q->overrun && (waiting > QUERY_BYTES_MAX / 2 || !put_gap(g, q)))
		return;
	if (waiting + n > QUERY_BYTES_MAX || !put_out(q, line, n))
		q->overrun = true;
}

/* Newest first: gathered in reverse, turned round afterwards. */
struct gather {
	struct query *q;
	struct buf lines;
};

static bool gather_one(void *arg, const char *line, size_t n)
{
	struct gather *ga = arg;
	const char *ts = time_of(line, n);

	if (!ts || n > RECORD_BYTES_MAX)
		return true;
	if (ga->q->since[0] && memcmp(ts, ga->q->stop, TS_LEN) < 0)
		return false;
	if (!query_matches(ga->q, line, n) || !json_is_members(line + 1, n - 1))
		return true;
	if (ga->lines.len + n > QUERY_BYTES_MAX - RECORD_BYTES_MAX)
		return false;
	buf_put(&ga->lines, line, n);
	pack_u32(&ga->lines, (uint32_t)n);
	return ++ga->q->found < ga->q->ask.lines;
}

static void gather(struct log *g, struct query *q)
{
	struct gather ga = {.q = q};
	size_t at;

	buf_init(&ga.lines, QUERY_BYTES_MAX);
	if (q->ask.lines)
		store_back(&g->store, gather_one, &ga);
	at = ga.lines.error ? 0 : ga.lines.len;
	while (at >= 4) {
		struct unpack u;
		uint32_t n;

		unpack_init(&u, ga.lines.p + at - 4, 4);
		n = unpack_u32(&u);
		at -= 4 + (size_t)n;
		keep(g, q, ga.lines.p + at, n);
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
		if (chan_send(&g->ctl, MSG_LOG_LINE, q->id, q->out.p + q->out_at + 4, n, NULL, 0,
			    NULL, 0) < 0)
			return true;
		q->out_at += 4 + (size_t)n;
	}
	if (q->out_at < q->out.len)
		return true;
	buf_done(&q->out);
	q->out_at = 0;
	return q->overrun && put_gap(g, q);
}

/* False: there is no room now. On a dead channel there is nobody to tell. */
static bool send_end(struct log *g, uint64_t id)
{
	return chan_send(&g->ctl, MSG_LOG_END, id, NULL, 0, NULL, 0, NULL, 0) != -ENOBUFS;
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
		if (pump(g, q))
			more = true;
		else if (!q->ask.follow && !send_end(g, q->id))
			more = true;
		else if (!q->ask.follow)
			query_free(g, q);
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
		(void)send_end(g, m->h.id);
		return;
	}
	tail = msg_tail(m, sizeof q->ask, &n);
	unpack_init(&u, tail, n);
	app = n ? unpack_str(&u) : "";
	(void)snprintf(q->app, sizeof q->app, "%s", app);
	if (q->ask.since_wall_us) {
		const uint64_t slack = (uint64_t)SINCE_SLACK_S * 1000000;

		/* Rings are read one after the other, a log process that died left them full, and
		 * clocks are set: lines stand only nearly in order. */
		render_time(q->ask.since_wall_us, q->since);
		render_time(q->ask.since_wall_us - min_of(q->ask.since_wall_us, slack), q->stop);
	}
	q->ask.lines = min_of(q->ask.lines, (uint32_t)QUERY_LINES_MAX);
	q->id = m->h.id;
	/* What is sent already stays in front until it is worth moving the rest. */
	buf_init(&q->out, 2 * QUERY_BYTES_MAX + 2 * RECORD_BYTES_MAX + 4096);
	(void)rings_drain(g);
	streams_look(g, q->app);
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
		if (q->past && q->ask.follow && n <= RECORD_BYTES_MAX &&
			query_matches(q, line, n)) {
			keep(g, q, line, n);
			any = true;
		}
	}
	if (any && !g->pump.at_ms)
		loop_timer_in(g->loop, &g->pump, PUMP_MS);
}
