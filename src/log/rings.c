/*
 * rings.c: the log rings of the other processes, drained in batches.
 *
 * Called by the loop and for RING. Owns the page that the writers look at: while it says
 * `sleeping`, a writer wakes this process once; after a wake it drains, looks again after a pause
 * that follows the load while there is work, and only then says that it sleeps, so a high load
 * costs few wake-ups and idleness costs none. The tails are in the page, which the parent keeps for
 * the next log process.
 */
#include "log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/must.h"
#include "lib/sys.h"

int rings_init(struct log *g)
{
	void *map;
	int pipe_fds[2], err;

	for (unsigned i = 0; i < LOGRING_SLOTS; i++)
		g->inherited[i] = UINT64_MAX;
	err = sys_shm_create("stead-log-page", sizeof(struct logring_page), &g->page_fd, &map);
	if (err < 0)
		return err;
	g->page = map;
	err = loop_sys_pipe(g->loop, pipe_fds);
	if (err < 0)
		return err;
	g->wake_write = pipe_fds[1];
	err = loop_add(g->loop, &g->wake, pipe_fds[0]);
	if (err < 0)
		return err;
	g->wake_op.kind = OP_WAKE;
	g->rest.op.kind = OP_REST;
	g->rest_ms = REST_MS_START;
	loop_readable(g->loop, &g->wake, &g->wake_op);
	return 0;
}

void rings_done(struct log *g)
{
	for (unsigned i = 0; i < LOGRING_SLOTS; i++)
		if (g->ring[i].open)
			logring_close(&g->ring[i].reader);
	loop_timer_stop(g->loop, &g->rest);
	loop_close(g->loop, &g->wake);
	close(g->wake_write);
	close(g->page_fd);
	sys_shm_unmap(g->page, sizeof *g->page);
}

void rings_inherit(struct log *g, int page_fd)
{
	const struct logring_page *old;
	const void *map;

	if (sys_shm_map(page_fd, sizeof *old, 0, NULL, &map) < 0)
		return;
	old = map;
	for (unsigned i = 0; i < LOGRING_SLOTS; i++) {
		g->inherited[i] = atomic_load_explicit(&old->slot[i].tail, memory_order_acquire);
		g->inherited_generation[i] = old->slot[i].generation;
	}
	sys_shm_unmap(map, sizeof *old);
}

/* How many access records are missing before this one. A number is the gate's word only: it says at most as
 * many as the bytes that were overtaken can have been. */
static void count_lost(struct log *g, struct ring *r, size_t n)
{
	uint64_t most = (r->reader.dropped - r->dropped_told) / sizeof(struct record_head);
	struct record_head h;

	if (n < sizeof h)
		return;
	memcpy(&h, g->record, sizeof h);
	if (r->next && h.number > r->next)
		r->lost += min_of(h.number - r->next, most);
	r->next = h.number + 1;
}

static void take(struct log *g, struct ring *r, enum logrec type, uint64_t wall_us, size_t n)
{
	if (type == LOGREC_ACCESS)
		count_lost(g, r, n);
	buf_reset(&g->line);
	if (type == LOGREC_EVENT)
		render_event(&g->line, wall_us, g->record, n);
	else if (type == LOGREC_ACCESS)
		render_access(&g->line, &g->lines, wall_us, g->record, n);
	log_line(g);
	if (type == LOGREC_EVENT) {
		journal_event(&g->journal, g->record, n);
		alert_look(g, g->record, n);
	}
}

static const char *role_name(const struct ring *r)
{
	return r->role > PROC_NONE && r->role < PROC_END ? proc_rows[r->role].name : "?";
}

static void tell_dropped(struct log *g, struct ring *r)
{
	char name[64];

	if (r->reader.dropped == r->dropped_told)
		return;
	(void)snprintf(name, sizeof name, "%s %u", role_name(r), r->index);
	buf_reset(&g->line);
	render_dropped(&g->line, loop_wall_us(g->loop), name, r->reader.dropped - r->dropped_told,
		r->lost);
	log_line(g);
	r->dropped_told = r->reader.dropped;
	r->lost = 0;
}

/* At most as much as one ring holds, so that one writer cannot keep the others waiting. */
static bool drain_one(struct log *g, unsigned slot)
{
	struct ring *r = &g->ring[slot];
	uint64_t from = r->reader.tail, dropped = r->reader.dropped;
	enum logrec type;
	uint64_t wall_us;
	char name[64];
	size_t n;
	int got = 0;

	/* What was skipped has cost nothing. */
	while (r->reader.tail - from - (r->reader.dropped - dropped) <= LOGRING_BYTES &&
		(got = logring_next(&r->reader, g->record, &type, &wall_us, &n)) > 0)
		take(g, r, type, wall_us, n);
	tell_dropped(g, r);
	if (got < 0) {
		/* Its writer is broken or hostile; the parent gives a new ring with a new process.
		 */
		buf_reset(&g->line);
		(void)snprintf(name, sizeof name, "%s %u", role_name(r), r->index);
		render_ring_broken(&g->line, loop_wall_us(g->loop), name);
		log_line(g);
		logring_close(&r->reader);
		r->open = false;
		return true;
	}
	return r->reader.tail != from;
}

void rings_add(struct log *g, struct msg *m)
{
	struct msg_page info;
	struct ring *r;
	uint64_t tail = UINT64_MAX;

	if (msg_get(m, &info, sizeof info, sizeof info) < 0 || info.slot >= LOGRING_SLOTS ||
		m->nfds < 1)
		return;
	r = &g->ring[info.slot];
	/* The last words of the process before are in its ring. */
	if (r->open && drain_one(g, info.slot))
		log_flush(g);
	if (r->open)
		logring_close(&r->reader);
	r->open = false;
	if (g->inherited_generation[info.slot] == (uint32_t)info.generation)
		tail = g->inherited[info.slot];
	if (logring_open(&r->reader, m->fds[0], tail) < 0)
		return;
	r->open = true;
	r->generation = info.generation;
	r->role = info.role;
	r->index = info.index;
	r->dropped_told = r->next = r->lost = 0;
	/* At no moment does the page name a ring and the tail of another. */
	atomic_store_explicit(&g->page->slot[info.slot].tail, UINT64_MAX, memory_order_release);
	g->page->slot[info.slot].generation = (uint32_t)info.generation;
	atomic_store_explicit(&g->page->slot[info.slot].tail, r->reader.tail, memory_order_release);
	log_work(g);
}

bool rings_drain(struct log *g)
{
	uint64_t most = 0;
	bool any = false;

	for (unsigned i = 0; i < LOGRING_SLOTS; i++) {
		uint64_t from = g->ring[i].reader.tail;

		if (!g->ring[i].open || !drain_one(g, i))
			continue;
		any = true;
		if (g->ring[i].open)
			most = max_of(most, g->ring[i].reader.tail - from);
	}
	if (most > RING_MUCH_BYTES)
		g->rest_ms = max_of(g->rest_ms / 2, (uint64_t)REST_MS_MIN);
	else if (most < RING_LITTLE_BYTES)
		g->rest_ms = min_of(g->rest_ms * 2, (uint64_t)REST_MS);
	log_flush(g);
	/* Only what is in a file counts as read. */
	for (unsigned i = 0; i < LOGRING_SLOTS; i++)
		if (g->ring[i].open)
			atomic_store_explicit(&g->page->slot[i].tail, g->ring[i].reader.tail,
				memory_order_release);
	return any;
}

static void set_sleeping(struct log *g, uint32_t sleeping)
{
	for (unsigned i = 0; i < LOGRING_SLOTS; i++)
		atomic_store_explicit(&g->page->slot[i].sleeping, sleeping, memory_order_relaxed);
	/* Either a writer sees that we sleep, or we see what it wrote. */
	atomic_thread_fence(memory_order_seq_cst);
}

void log_work(struct log *g)
{
	if (g->working)
		return;
	g->working = true;
	set_sleeping(g, 0);
	loop_timer_in(g->loop, &g->rest, g->rest_ms);
}

void rings_on_wake(struct loop *l, struct op *op, int res)
{
	struct log *g = container_of(op, struct log, wake_op);
	char bytes[512];

	(void)res;
	/* Bounded: a writer that never stops waking us keeps nobody else waiting. */
	for (unsigned i = 0; i < 128 && loop_sys_read(l, g->wake.fd, bytes, sizeof bytes) > 0; i++)
		;
	loop_readable(l, &g->wake, &g->wake_op);
	if (!g->working)
		g->rest_ms = REST_MS_START;
	log_work(g);
	(void)rings_drain(g);
}

void rings_on_rest(struct loop *l, struct op *op, int res)
{
	struct log *g = container_of(op, struct log, rest.op);

	(void)l;
	(void)res;
	g->working = false;
	if (rings_drain(g)) {
		log_work(g);
		return;
	}
	set_sleeping(g, 1);
	if (rings_drain(g))
		log_work(g);
}
