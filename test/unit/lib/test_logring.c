/*
 * test_logring.c: the log ring, writer and reader, overtaken readers, hostile writers.
 */
#include "test.h"

#include "lib/logring.h"
#include "lib/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char mem[LOGRING_RECORD_MAX];

static int next(struct logring_reader *r, uint64_t *ret_wall, size_t *ret_n)
{
	enum logrec type;

	return logring_next(r, mem, &type, ret_wall, ret_n);
}

static void records_come_in_order(void **state)
{
	struct logring_writer w;
	struct logring_reader r;
	enum logrec type;
	uint64_t wall;
	size_t n;

	(void)state;
	assert_int_equal(logring_create(&w), 0);
	assert_int_equal(logring_open(&r, w.fd, 0), 0);
	assert_int_equal(next(&r, &wall, &n), 0);
	logring_put(&w, LOGREC_EVENT, 11, "one", 3);
	logring_put(&w, LOGREC_ACCESS, 12, "", 0);
	assert_int_equal(next(&r, &wall, &n), 0);
	logring_flush(&w);
	assert_int_equal(logring_next(&r, mem, &type, &wall, &n), 1);
	assert_int_equal(type, LOGREC_EVENT);
	assert_int_equal(wall, 11);
	assert_int_equal(n, 3);
	assert_memory_equal(mem, "one", 3);
	assert_int_equal(logring_next(&r, mem, &type, &wall, &n), 1);
	assert_int_equal(type, LOGREC_ACCESS);
	assert_int_equal(n, 0);
	assert_int_equal(next(&r, &wall, &n), 0);
	logring_close(&r);
	logring_done(&w);
	logring_done(&w);
}

/* Sizes that meet the ring's end in every way; nothing is lost while the reader keeps up. */
static void wraps_without_loss(void **state)
{
	struct logring_writer w;
	struct logring_reader r;
	static char big[LOGRING_RECORD_MAX];
	uint64_t wall;
	size_t n;

	(void)state;
	assert_int_equal(logring_create(&w), 0);
	assert_int_equal(logring_open(&r, w.fd, 0), 0);
	for (unsigned i = 0; i < 20000; i++) {
		size_t len = (i * 7919u) % (i % 64 ? 90 : LOGRING_RECORD_MAX);

		memset(big, (char)i, len);
		logring_put(&w, LOGREC_EVENT, i, big, len);
		logring_flush(&w);
		assert_int_equal(next(&r, &wall, &n), 1);
		assert_int_equal(wall, i);
		assert_int_equal(n, len);
		assert_memory_equal(mem, big, len);
	}
	assert_int_equal(r.dropped, 0);
	assert_int_equal(r.tail, w.head);
	logring_close(&r);
	logring_done(&w);
}

static void a_slow_reader_loses_and_counts(void **state)
{
	struct logring_writer w;
	struct logring_reader r, late;
	uint64_t wall, last = 0, got_bytes = 0;
	unsigned got = 0;
	size_t n;

	(void)state;
	assert_int_equal(logring_create(&w), 0);
	assert_int_equal(logring_open(&r, w.fd, 0), 0);
	for (unsigned i = 1; i <= 10000; i++)
		logring_put(&w, LOGREC_EVENT, i, "0123456789012345678901234567890123456789", 40);
	logring_flush(&w);
	assert_int_equal(logring_open(&late, w.fd, UINT64_MAX), 0);
	while (next(&r, &wall, &n) == 1) {
		assert_true(wall > last);
		assert_int_equal(n, 40);
		last = wall;
		got++;
		got_bytes += 56;
	}
	/* The newest are there, and what is missing is counted. */
	assert_int_equal(last, 10000);
	assert_true(got > 0 && got < 10000);
	assert_true(r.dropped > 0 && r.dropped + got_bytes <= w.head);
	assert_true(w.head - r.dropped - got_bytes < 128);
	assert_int_equal(next(&late, &wall, &n), 1);
	assert_int_equal(late.dropped, 0);
	logring_close(&late);
	logring_close(&r);
	logring_done(&w);
}

/* What the writer is overwriting but has not published yet is not used either. */
static void unpublished_writing_counts_as_overtaken(void **state)
{
	struct logring_writer w;
	struct logring_reader r;
	uint64_t wall;
	size_t n;

	(void)state;
	assert_int_equal(logring_create(&w), 0);
	assert_int_equal(logring_open(&r, w.fd, 0), 0);
	while (w.head < LOGRING_BYTES - 1024)
		logring_put(&w, LOGREC_EVENT, 1, mem, 1000);
	logring_flush(&w);
	logring_put(&w, LOGREC_EVENT, 2, mem, 3000);
	assert_int_equal(next(&r, &wall, &n), 0);
	assert_true(r.dropped > 0);
	logring_flush(&w);
	assert_int_equal(next(&r, &wall, &n), 1);
	assert_int_equal(wall, 2);
	logring_close(&r);
	logring_done(&w);
}

static void longer_than_a_record_is_cut(void **state)
{
	static char big[LOGRING_RECORD_MAX + 1];
	struct logring_writer w;
	struct logring_reader r;
	uint64_t wall;
	size_t n;

	(void)state;
	assert_int_equal(logring_create(&w), 0);
	assert_int_equal(logring_open(&r, w.fd, 0), 0);
	logring_put(&w, LOGREC_EVENT, 1, big, sizeof(big));
	logring_flush(&w);
	assert_int_equal(next(&r, &wall, &n), 1);
	assert_int_equal(n, LOGRING_RECORD_MAX);
	logring_close(&r);
	logring_done(&w);
}

static void wakes_only_a_sleeper(void **state)
{
	struct logring_writer w;
	struct logring_page *page;
	void *raw;
	int page_fd, pipe_fds[2];
	char p[8];

	(void)state;
	assert_int_equal(logring_create(&w), 0);
	assert_int_equal(sys_shm_create("page", sizeof(*page), &page_fd, &raw), 0);
	page = raw;
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(logring_attach(&w, page_fd, LOGRING_SLOTS, -1), -EINVAL);
	assert_int_equal(logring_attach(&w, w.fd, 3, -1), -EBADMSG);
	assert_int_equal(logring_attach(&w, page_fd, 3, pipe_fds[1]), 0);
	logring_put(&w, LOGREC_EVENT, 1, "x", 1);
	logring_flush(&w);
	assert_int_equal(read(pipe_fds[0], p, sizeof(p)), -1);
	page->slot[2].sleeping = 1;
	logring_put(&w, LOGREC_EVENT, 1, "x", 1);
	logring_flush(&w);
	assert_int_equal(read(pipe_fds[0], p, sizeof(p)), -1);
	page->slot[3].sleeping = 1;
	logring_flush(&w);
	assert_int_equal(read(pipe_fds[0], p, sizeof(p)), -1);
	logring_put(&w, LOGREC_EVENT, 1, "x", 1);
	logring_put(&w, LOGREC_EVENT, 1, "x", 1);
	logring_flush(&w);
	assert_int_equal(read(pipe_fds[0], p, sizeof(p)), 1);
	logring_done(&w);
	assert_int_equal(read(pipe_fds[0], p, sizeof(p)), 0);
	close(pipe_fds[0]);
	sys_shm_unmap(page, sizeof(*page));
	close(page_fd);
}

/* A writer is shown another reader: the old one's wake-up is closed; without one, nobody is woken. */
static void a_reader_that_follows_another(void **state)
{
	struct logring_writer w, none = {.fd = -1, .wake_fd = -1};
	struct logring_page *page;
	void *raw;
	int page_fd, pipe_fds[2];
	char p[8];

	(void)state;
	assert_int_equal(logring_create(&w), 0);
	assert_int_equal(sys_shm_create("page", sizeof(*page), &page_fd, &raw), 0);
	page = raw;
	page->slot[3].sleeping = 1;
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(logring_attach(&w, page_fd, 3, pipe_fds[1]), 0);
	assert_int_equal(logring_attach(&w, page_fd, 3, -1), 0);
	assert_int_equal(read(pipe_fds[0], p, sizeof(p)), 0);
	logring_put(&w, LOGREC_EVENT, 1, "x", 1);
	logring_flush(&w);
	assert_false(w.dirty);
	/* One that has no ring yet has nothing to tell. */
	assert_int_equal(logring_attach(&none, page_fd, 3, -1), 0);
	logring_flush(&none);
	assert_true(none.dirty);
	sys_shm_unmap(none.page, sizeof(*page));
	logring_done(&w);
	close(pipe_fds[0]);
	sys_shm_unmap(page, sizeof(*page));
	close(page_fd);
}

struct race {
	struct logring_writer w;
	_Atomic bool stop;
};

static void *write_on(void *arg)
{
	struct race *race = arg;
	unsigned char text[256];

	for (unsigned i = 1; !race->stop; i++) {
		size_t n = 1 + i % 255;

		memset(text, (int)(unsigned char)i, n);
		logring_put(&race->w, LOGREC_EVENT, i, text, n);
		if (i % 8 == 0)
			logring_flush(&race->w);
	}
	return NULL;
}

/* A writer that overtakes the reader all the time: whatever is read is whole and newer than before.
 */
static void a_torn_record_is_never_seen(void **state)
{
	struct race race = {0};
	struct logring_reader r;
	uint64_t wall, last = 0;
	pthread_t thread;
	unsigned got = 0;
	time_t start = time(NULL);

	(void)state;
	assert_int_equal(logring_create(&race.w), 0);
	assert_int_equal(logring_open(&r, race.w.fd, 0), 0);
	pthread_create(&thread, NULL, write_on, &race);
	while (got < 20000 && time(NULL) < start + 10) {
		size_t n;
		int res = next(&r, &wall, &n);

		assert_true(res >= 0);
		if (res == 0) {
			sched_yield();
			continue;
		}
		got++;
		assert_true(wall > last);
		last = wall;
		assert_int_equal(n, 1 + wall % 255);
		for (size_t i = 0; i < n; i++)
			assert_int_equal((unsigned char)mem[i], (unsigned char)wall);
	}
	race.stop = true;
	pthread_join(thread, NULL);
	assert_true(got > 0);
	assert_true(r.dropped > 0);
	logring_close(&r);
	logring_done(&race.w);
}

/* Records that no honest writer makes, at the place that is read next. */
static void refuses_a_mad_writer(void **state)
{
	static const struct {
		uint32_t len;
		uint16_t type;
	} bad[] = {{LOGRING_RECORD_MAX + 1, LOGREC_EVENT}, {UINT32_MAX, LOGREC_EVENT},
		{UINT32_MAX - 14, LOGREC_ACCESS}, {3, 9}, {64, LOGREC_FILLER}, {0, LOGREC_FILLER}};
	static char room[2 * LOGRING_RECORD_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct logring_writer w;
		struct logring_reader r;
		enum logrec type;
		uint64_t wall;
		size_t n;

		assert_int_equal(logring_create(&w), 0);
		assert_int_equal(logring_open(&r, w.fd, 0), 0);
		for (unsigned k = 0; k < 10; k++)
			logring_put(&w, LOGREC_EVENT, 1, mem, LOGRING_RECORD_MAX);
		logring_flush(&w);
		memcpy((char *)w.map + 4096, &bad[i], 6);
		memset((char *)w.map + 4096 + 16, 1, 2 * LOGRING_RECORD_MAX);
		assert_int_equal(logring_next(&r, room, &type, &wall, &n), -EBADMSG);
		for (size_t k = 0; k < sizeof(room); k++)
			assert_int_equal(room[k], 0);
		assert_int_equal(r.tail, 0);
		logring_close(&r);
		logring_done(&w);
	}
}

/* A record that says that it goes on behind the ring's end, at the last place where one may begin. */
static void refuses_a_record_over_the_end(void **state)
{
	enum { HEAD = 16, STEP = HEAD + LOGRING_RECORD_MAX };
	static const struct {
		uint32_t len;
		uint16_t type;
	} over = {LOGRING_RECORD_MAX, LOGREC_EVENT};
	struct logring_writer w;
	struct logring_reader r;
	uint64_t wall, at;
	size_t n;

	(void)state;
	assert_int_equal(logring_create(&w), 0);
	assert_int_equal(logring_open(&r, w.fd, 0), 0);
	while (w.head + STEP <= LOGRING_BYTES) {
		logring_put(&w, LOGREC_EVENT, 1, mem, LOGRING_RECORD_MAX);
		logring_flush(&w);
		assert_int_equal(next(&r, &wall, &n), 1);
	}
	at = r.tail;
	assert_true(LOGRING_BYTES - at < STEP && LOGRING_BYTES - at >= HEAD);
	logring_put(&w, LOGREC_EVENT, 1, mem, LOGRING_RECORD_MAX);
	logring_flush(&w);
	memcpy((char *)w.map + 4096 + at, &over, 6);
	assert_int_equal(next(&r, &wall, &n), -EBADMSG);
	assert_int_equal(r.tail, at);
	logring_close(&r);
	logring_done(&w);
}

static void refuses_what_is_no_ring(void **state)
{
	struct logring_reader r;
	void *map;
	int fd;

	(void)state;
	assert_int_equal(sys_shm_create("t", 4096, &fd, &map), 0);
	assert_int_equal(logring_open(&r, fd, 0), -EBADMSG);
	sys_shm_unmap(map, 4096);
	close(fd);
	assert_int_equal(sys_shm_create("t", LOGRING_BYTES + 4096, &fd, &map), 0);
	assert_int_equal(logring_open(&r, fd, 0), -EBADMSG);
	/* its magic, and another size */
	memcpy(map, "LogRing1", 8);
	assert_int_equal(logring_open(&r, fd, 0), -EBADMSG);
	((uint64_t *)map)[1] = LOGRING_BYTES;
	assert_int_equal(logring_open(&r, fd, 0), 0);
	logring_close(&r);
	sys_shm_unmap(map, LOGRING_BYTES + 4096);
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_come_in_order),
		cmocka_unit_test(wraps_without_loss),
		cmocka_unit_test(a_slow_reader_loses_and_counts),
		cmocka_unit_test(unpublished_writing_counts_as_overtaken),
		cmocka_unit_test(longer_than_a_record_is_cut),
		cmocka_unit_test(wakes_only_a_sleeper),
		cmocka_unit_test(a_torn_record_is_never_seen),
		cmocka_unit_test(refuses_a_mad_writer),
		cmocka_unit_test(a_reader_that_follows_another),
		cmocka_unit_test(refuses_a_record_over_the_end),
		cmocka_unit_test(refuses_what_is_no_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
