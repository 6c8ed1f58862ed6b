/*
 * counters.c: makes the counters page and adds what each request was. Called by gate.c and req.c.
 * Owns the page; ctl maps it read-only.
 */
#include "counters.h"

#include "lib/sys.h"

#include <unistd.h>

int counters_new(struct gate *g)
{
	void *map;
	int err = sys_shm_create(
		"stead-counters", sizeof(struct counters_page), &g->counters_fd, &map);

	if (err)
		return err;
	g->counters = map;
	g->counters->magic = COUNTERS_MAGIC;
	g->counters->sites = COUNTER_SITES_MAX;
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

void counters_site(const struct req *r, unsigned column, int64_t n)
{
	uint32_t row =
		r->site->number < COUNTER_SITES_MAX ? r->site->number : COUNTER_SITES_MAX - 1;
	uint64_t *c = (uint64_t *)&r->gate->counters->site[row][column];

	__atomic_store_n(c, __atomic_load_n(c, __ATOMIC_RELAXED) + (uint64_t)n, __ATOMIC_RELAXED);
}

void counters_request(const struct req *r, bool active)
{
	gate_count(r->gate, METRIC_REQUESTS, 1);
	if (!r->site)
		return;
	if (active)
		counters_site(r, SITE_ACTIVE, -1);
	counters_site(r, SITE_REQUESTS, 1);
	if (r->status >= 500)
		counters_site(r, SITE_ERRORS_5XX, 1);
	else if (r->status >= 400)
		counters_site(r, SITE_ERRORS_4XX, 1);
	counters_site(r, SITE_BYTES_OUT, (int64_t)r->body_out);
	counters_site(r, SITE_TIME_US, (int64_t)(loop_now_us(r->gate->loop) - r->start_us));
}
