/*
 * test_logring_runaway.c: a writer whose positions run away while a record is copied, with each look that the reader takes,
 * as no honest writer's do: the reader stops looking, and is at a place where a record may begin.
 *
 * The copy is wrapped by the linker (meson.build), so that the writer comes in between for certain.
 */
#include "test.h"

#include "lib/logring.h"

#include <stdatomic.h>
#include <string.h>

enum { RING_HEAD = 4096, RECORD = 32, LEN = 16 };

/* The ring whose writer runs away, and how often it did; NULL: nobody's. */
static struct away {
	char *map;
	unsigned times;
} *away(void)
{
	static struct away one;

	return &one;
}

static void runs(size_t n)
{
	struct away *a = away();

	if (a->map && n == LEN) {
		/* struct ring: magic, bytes, reserved, head */
		_Atomic uint64_t *reserved = (_Atomic uint64_t *)(a->map + 16), *head = reserved + 1;
		uint64_t at = atomic_load(head) + 4 * LOGRING_BYTES;

		atomic_store(reserved, at);
		atomic_store(head, at);
		a->times++;
	}
}

void *__real_memcpy(void *to, const void *from, size_t n);
void *__wrap_memcpy(void *to, const void *from, size_t n);
void *__wrap_memcpy(void *to, const void *from, size_t n)
{
	runs(n);
	return __real_memcpy(to, from, n);
}

/* What clang calls with the address sanitizer. */
void *__real___asan_memcpy(void *to, const void *from, size_t n) __attribute__((weak));
void *__wrap___asan_memcpy(void *to, const void *from, size_t n);
void *__wrap___asan_memcpy(void *to, const void *from, size_t n)
{
	runs(n);
	return __real___asan_memcpy(to, from, n);
}

static void the_reader_stops_looking(void **state)
{
	static char mem[LOGRING_RECORD_MAX];
	struct logring_writer w;
	struct logring_reader r;
	enum logrec type;
	uint64_t wall;
	size_t n;

	(void)state;
	assert_int_equal(logring_create(&w), 0);
	assert_int_equal(logring_open(&r, w.fd, 0), 0);
	/* A record at each place where one can begin. */
	for (unsigned i = 0; i < LOGRING_BYTES / RECORD; i++)
		logring_put(&w, LOGREC_EVENT, 1, "0123456789abcdef", LEN);
	logring_flush(&w);
	*away() = (struct away){.map = w.map};
	assert_int_equal(logring_next(&r, mem, &type, &wall, &n), 0);
	away()->map = NULL;
	assert_int_equal(away()->times, 4);
	assert_int_equal(r.tail, 13 * (uint64_t)LOGRING_BYTES);
	assert_int_equal(r.dropped, r.tail);
	/* It goes on with what stands there, once the writer stands still. */
	assert_int_equal(logring_next(&r, mem, &type, &wall, &n), 0);
	logring_close(&r);
	logring_done(&w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(the_reader_stops_looking)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
