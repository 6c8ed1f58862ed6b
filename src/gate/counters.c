/*
 * counters.c: makes the counters page and adds what each request was. Called by gate.c, control.c and req.c.
 * Owns the page; ctl maps it read-only. What a gate before this one in its place has counted is read once,
 * at the start, and counted on; what was only true while that one lived (connections open, …) is not.
 */
#include "counters.h"

#include "lib/must.h"
#include "lib/sys.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

int counters_new(struct gate *g)
{
	struct counters_page *c;
	void *map;
	int err = sys_shm_create("stead-counters", sizeof(*c), &g->counters_fd, &map);

	if (err)
		return err;
	c = g->counters = map;
	c->magic = COUNTERS_MAGIC;
	c->metrics = METRIC_END;
	c->sites = COUNTER_SITES_MAX;
	c->upstreams = COUNTER_UPSTREAMS_MAX;
	c->site_columns = SITE_END;
	c->upstream_columns = UPSTREAM_END;
	c->buckets = METRIC_BUCKETS;
	return 0;
}

void counters_free(struct gate *g)
{
	if (!g->counters)
		return;
	sys_shm_unmap(g->counters, sizeof(struct counters_page));
	close(g->counters_fd);
	g->counters = NULL;
}

static void take(_Atomic uint64_t *to, uint64_t v)
{
	/* Rows that nobody used stay holes in the new page. */
	if (v)
		atomic_store_explicit(to, v, memory_order_relaxed);
}

static void take_row(_Atomic uint64_t *to, const uint64_t *from, const struct metric_row *rows, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (rows[i].type != METRIC_GAUGE)
			take(&to[i], from[i]);
	for (unsigned i = 0; i < METRIC_BUCKETS; i++)
		take(&to[n + i], from[n + i]);
}
_Static_assert(sizeof(struct counters_site) == 8 * (SITE_END + METRIC_BUCKETS), "a row is one array");
_Static_assert(sizeof(struct counters_upstream) == 8 * (UPSTREAM_END + METRIC_BUCKETS), "a row is one array");

/* The first byte from `at` on that was ever written; `end`: none before it. */
static uint64_t first_written(int fd, uint64_t at, uint64_t end)
{
	off_t found = lseek(fd, (off_t)at, SEEK_DATA);

	if (found < 0)
		return errno == ENXIO ? end : at;
	return (uint64_t)found > at ? (uint64_t)found : at;
}

/* The n rows that begin at `from`, of `columns` and the buckets. There is room for thousands, of which few are used:
 * holes are passed over, and what is between is read by pread(), because a mapping makes memory of each hole that it
 * meets. To read all of it was most of what a gate needed to come back. */
static void take_rows(int fd, uint64_t from, unsigned n, _Atomic uint64_t *to, const struct metric_row *rows,
	unsigned columns)
{
	enum { ROWS = 64, WORDS = ((int)SITE_END > (int)UPSTREAM_END ? (int)SITE_END : (int)UPSTREAM_END) + METRIC_BUCKETS };
	uint64_t piece[ROWS * WORDS] __attribute__((uninitialized));
	const unsigned words = columns + METRIC_BUCKETS, bytes = words * 8;
	const uint64_t end = from + (uint64_t)n * bytes;

	for (uint64_t at = from; (at = first_written(fd, at, end)) < end;) {
		unsigned i = (unsigned)((at - from) / bytes), k;
		ssize_t got;

		at = from + (uint64_t)i * bytes;
		got = pread(fd, piece, (size_t)min_of((uint64_t)ROWS * bytes, end - at), (off_t)at);
		if (got < (ssize_t)bytes)
			return;
		for (k = 0; k < (size_t)got / bytes; k++)
			take_row(to + (size_t)(i + k) * words, piece + k * words, rows, columns);
		at += (uint64_t)k * bytes;
	}
}

void counters_inherit(struct gate *g, int fd)
{
	const struct counters_page *old;
	const void *map;

	if (sys_shm_map(fd, sizeof(*old), 0, NULL, &map) < 0)
		return;
	old = map;
	if (counters_page_good(old)) {
		for (enum metric m = 0; m < METRIC_END; m++)
			if (metric_is_counter(m))
				take(&g->counters->gate[m], atomic_load_explicit(&old->gate[m], memory_order_relaxed));
		take_rows(fd, offsetof(struct counters_page, site), COUNTER_SITES_MAX, g->counters->site[0].col,
			site_metric_rows, SITE_END);
		take_rows(fd, offsetof(struct counters_page, upstream), COUNTER_UPSTREAMS_MAX,
			g->counters->upstream[0].col, upstream_metric_rows, UPSTREAM_END);
	}
	sys_shm_unmap(map, sizeof(*old));
}

static struct counters_site *row_of(const struct req *r)
{
	uint32_t row =
		r->site->number < COUNTER_SITES_MAX ? r->site->number : COUNTER_SITES_MAX - 1;

	return &r->gate->counters->site[row];
}

static void add(_Atomic uint64_t *c, uint64_t n)
{
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

void counters_site(const struct req *r, unsigned column, int64_t n)
{
	add(&row_of(r)->col[column], (uint64_t)n);
}

void counters_request(const struct req *r, bool active)
{
	static const uint8_t classes[] = {SITE_ANSWERS_NONE, SITE_ANSWERS_1XX, SITE_ANSWERS_2XX, SITE_ANSWERS_3XX,
		SITE_ERRORS_4XX, SITE_ERRORS_5XX};
	uint64_t us = loop_now_us(r->gate->loop) - r->start_us;
	struct counters_site *c;

	if (!r->metrics)
		gate_count(r->gate, METRIC_REQUESTS, 1);
	if (!r->site)
		return;
	c = row_of(r);
	if (active)
		add(&c->col[SITE_ACTIVE], (uint64_t)-1);
	add(&c->col[SITE_REQUESTS], 1);
	add(&c->col[classes[r->status < 600 ? r->status / 100 : 5]], 1);
	add(&c->col[SITE_BYTES_IN], r->body_in);
	add(&c->col[SITE_BYTES_OUT], r->body_out);
	add(&c->col[SITE_TIME_US], us);
	add(&c->bucket[metric_bucket(us)], 1);
}

static struct counters_upstream *upstream_row(struct gate *g, uint32_t number)
{
	return &g->counters->upstream[number < COUNTER_UPSTREAMS_MAX ? number : COUNTER_UPSTREAMS_MAX - 1];
}

void counters_upstream(struct gate *g, uint32_t number, unsigned column, int64_t n)
{
	add(&upstream_row(g, number)->col[column], (uint64_t)n);
}

void counters_answer(struct gate *g, uint32_t number, uint16_t status, uint64_t us)
{
	struct counters_upstream *c = upstream_row(g, number);
	unsigned class = status / 100;

	if (class >= 1 && class <= 5)
		add(&c->col[UPSTREAM_ANSWERS_1XX + class - 1], 1);
	add(&c->col[UPSTREAM_TIME_US], us);
	add(&c->bucket[metric_bucket(us)], 1);
}
