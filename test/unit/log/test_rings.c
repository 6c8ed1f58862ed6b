/*
 * test_rings.c: other processes' rings: read whole, counted when overtaken, and gone on with by the
 * next log process.
 */
#include "rig.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void add(struct rig *r, struct logring_writer *w, unsigned slot, uint64_t generation)
{
	struct msg_page page = {.kind = PAGE_LOGRING,
		.role = PROC_GATE,
		.index = slot,
		.slot = slot,
		.generation = generation};
	struct msg m = rig_msg(MSG_RING, 0, &page, sizeof page, w->fd);

	rings_add(r->g, &m);
}

static void put(struct logring_writer *w, unsigned number)
{
	char mem[RECORD_RAW_MAX], text[64];

	(void)snprintf(text, sizeof text, "n%u.", number);
	logring_put(w, LOGREC_ACCESS, 1767323045678901ull + number, mem,
		rig_access(mem, "", 200, text, number + 1));
	logring_flush(w);
}

static unsigned times(struct rig *r, unsigned number)
{
	char text[64];

	(void)snprintf(text, sizeof text, "\"n%u.\"", number);
	return rig_count(r, "current.jsonl", text);
}

static void a_sleeper_is_woken(void **state)
{
	struct logring_writer w;
	struct rig r;

	(void)state;
	rig_open(&r);
	assert_int_equal(logring_create(&w), 0);
	put(&w, 0);
	add(&r, &w, 3, 11);
	assert_int_equal(logring_attach(&w, r.g->page_fd, 3, dup(r.g->wake_write)), 0);
	rig_turns(&r, 200);
	assert_int_equal(times(&r, 0), 1);
	assert_int_equal(r.g->page->slot[3].sleeping, 1);
	assert_false(r.g->working);
	put(&w, 1);
	rig_turns(&r, 3);
	assert_int_equal(times(&r, 1), 1);
	assert_int_equal(r.g->page->slot[3].sleeping, 0);
	put(&w, 2);
	rig_turns(&r, 200);
	assert_int_equal(times(&r, 2), 1);
	assert_int_equal(r.g->page->slot[3].sleeping, 1);
	logring_done(&w);
	rig_done(&r);
}

/* Killed after it wrote a batch and after it read more: nothing is lost, only the batch may be
 * double. */
static void the_next_process_goes_on(void **state)
{
	struct logring_writer w;
	struct rig r;
	int page;

	(void)state;
	rig_open(&r);
	assert_int_equal(logring_create(&w), 0);
	add(&r, &w, 5, 11);
	for (unsigned i = 0; i < 100; i++)
		put(&w, i);
	(void)rings_drain(r.g);
	assert_int_equal(r.g->page->slot[5].tail, w.head);
	for (unsigned i = 100; i < 150; i++)
		put(&w, i);
	page = dup(r.g->page_fd);
	rig_kill(&r);
	for (unsigned i = 150; i < 200; i++)
		put(&w, i);
	rig_start(&r, page);
	close(page);
	add(&r, &w, 5, 11);
	(void)rings_drain(r.g);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(times(&r, i), 1);
	/* Died between writing and saying so: the batch comes twice, and no more than it. */
	for (unsigned i = 200; i < 210; i++)
		put(&w, i);
	uint64_t before = r.g->page->slot[5].tail;
	(void)rings_drain(r.g);
	r.g->page->slot[5].tail = before;
	page = dup(r.g->page_fd);
	rig_kill(&r);
	rig_start(&r, page);
	close(page);
	add(&r, &w, 5, 11);
	(void)rings_drain(r.g);
	for (unsigned i = 0; i < 210; i++)
		assert_int_equal(times(&r, i), i < 200 ? 1 : 2);
	logring_done(&w);
	rig_done(&r);
}

/* A gate that died and its successor in the same slot: last words are kept, tails are not mixed up.
 */
static void a_new_ring_in_the_slot(void **state)
{
	struct logring_writer w, next;
	struct rig r;
	int page;

	(void)state;
	rig_open(&r);
	assert_int_equal(logring_create(&w), 0);
	assert_int_equal(logring_create(&next), 0);
	add(&r, &w, 0, 11);
	put(&w, 1);
	put(&w, 2);
	put(&next, 3);
	add(&r, &next, 0, 12);
	(void)rings_drain(r.g);
	page = dup(r.g->page_fd);
	rig_kill(&r);
	rig_start(&r, page);
	close(page);
	/* Its generation is not the page's: read from its begin. */
	add(&r, &w, 0, 13);
	(void)rings_drain(r.g);
	assert_int_equal(times(&r, 1), 2);
	assert_int_equal(times(&r, 2), 2);
	assert_int_equal(times(&r, 3), 1);
	logring_done(&next);
	logring_done(&w);
	rig_done(&r);
}

static void an_overtaken_reader_says_so(void **state)
{
	struct logring_writer w;
	struct rig r;

	(void)state;
	rig_open(&r);
	assert_int_equal(logring_create(&w), 0);
	add(&r, &w, 63, 11);
	for (unsigned i = 0; i < 20000; i++)
		put(&w, i);
	(void)rings_drain(r.g);
	assert_int_equal(times(&r, 0), 0);
	assert_int_equal(times(&r, 19999), 1);
	assert_int_equal(rig_count(&r, "current.jsonl", "\"LOG_DROPPED\""), 1);
	assert_int_equal(rig_count(&r, "current.jsonl", "\"ring\":\"gate 63\""), 1);
	(void)rings_drain(r.g);
	assert_int_equal(rig_count(&r, "current.jsonl", "\"LOG_DROPPED\""), 1);
	logring_done(&w);
	rig_done(&r);
}

static void garbage_ends_one_ring(void **state)
{
	struct logring_writer w, good;
	struct msg_page page = {.slot = LOGRING_SLOTS};
	struct msg m = rig_msg(MSG_RING, 0, &page, sizeof page, 0);
	struct rig r;

	(void)state;
	rig_open(&r);
	rings_add(r.g, &m);
	assert_int_equal(logring_create(&w), 0);
	assert_int_equal(logring_create(&good), 0);
	add(&r, &w, 0, 11);
	add(&r, &good, 1, 12);
	put(&w, 1);
	memset((char *)w.map + 4096, 0xff, 16);
	put(&good, 2);
	(void)rings_drain(r.g);
	assert_false(r.g->ring[0].open);
	assert_int_equal(times(&r, 2), 1);
	assert_int_equal(
		rig_count(&r, "current.jsonl", "\"LOG_RING_BROKEN\",\"ring\":\"gate 0\""), 1);
	logring_done(&good);
	logring_done(&w);
	rig_done(&r);
}

/* Written and read, or counted: of each access record one of the two is said. */
static void what_was_overtaken_is_counted(void **state)
{
	enum { ALL = 30000 };
	struct logring_writer w;
	unsigned read = 0;
	struct rig r;

	(void)state;
	rig_open(&r);
	assert_int_equal(logring_create(&w), 0);
	put(&w, 0);
	add(&r, &w, 3, 11);
	rig_turns(&r, 200);
	for (unsigned i = 1; i < ALL; i++)
		put(&w, i);
	assert_true(rings_drain(r.g));
	read = rig_count(&r, "current.jsonl", "\"kind\":\"access\"");
	assert_true(read > 100 && read < ALL);
	assert_int_equal(rig_count(&r, "current.jsonl", "LOG_DROPPED"), 1);
	{
		char text[64];

		(void)snprintf(text, sizeof text, "\"records\":%u,", ALL - read);
		assert_int_equal(rig_count(&r, "current.jsonl", text), 1);
	}
	logring_done(&w);
	rig_done(&r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_overtaken_is_counted),
		cmocka_unit_test(a_sleeper_is_woken),
		cmocka_unit_test(the_next_process_goes_on),
		cmocka_unit_test(a_new_ring_in_the_slot),
		cmocka_unit_test(an_overtaken_reader_says_so),
		cmocka_unit_test(garbage_ends_one_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
