/*
 * test_seal.c: sealed boxes: only who holds the private key reads them, and only as what they
 * belong to.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/sys.h"
#include "seal/seal.h"

enum { N = 100 };
struct world {
	uint8_t secret[SEAL_KEY_BYTES], public[SEAL_KEY_BYTES], plain[N], box[N + SEAL_MORE_BYTES],
		out[N];
	size_t n;
};

static void begin(struct world *w)
{
	memset(w, 0, sizeof(*w));
	assert_int_equal(sys_random(w->secret, sizeof(w->secret)), 0);
	assert_int_equal(seal_public(w->secret, w->public), 0);
	for (unsigned i = 0; i < N; i++)
		w->plain[i] = (uint8_t)i;
	assert_int_equal(seal_close(w->public, "about", 5, w->plain, N, w->box), 0);
}

static void opens_for_its_owner(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	assert_null(memmem(w.box, sizeof(w.box), w.plain, 8));
	assert_int_equal(seal_open(w.secret, "about", 5, w.box, sizeof(w.box), w.out, &w.n), 0);
	assert_int_equal(w.n, N);
	assert_memory_equal(w.out, w.plain, N);
}

/* Every bit of it counts, and what it is about. */
static void nothing_else_opens(void **state)
{
	struct world w;

	(void)state;
	begin(&w);
	for (size_t i = 0; i < sizeof(w.box); i++) {
		/* The highest bit of an X25519 key is no part of it (RFC 7748 section 5). */
		w.box[i] ^= 1;
		assert_int_equal(seal_open(w.secret, "about", 5, w.box, sizeof(w.box), w.out, &w.n),
			-EBADMSG);
		w.box[i] ^= 1;
	}
	assert_int_equal(
		seal_open(w.secret, "other", 5, w.box, sizeof(w.box), w.out, &w.n), -EBADMSG);
	assert_int_equal(
		seal_open(w.secret, "about", 5, w.box, sizeof(w.box) - 1, w.out, &w.n), -EBADMSG);
	assert_int_equal(
		seal_open(w.secret, "about", 5, w.box, SEAL_MORE_BYTES - 1, w.out, &w.n), -EBADMSG);
	/* A public key without a shared secret. */
	memset(w.box, 0, SEAL_KEY_BYTES);
	assert_int_equal(
		seal_open(w.secret, "about", 5, w.box, sizeof(w.box), w.out, &w.n), -EBADMSG);
	begin(&w);
	w.secret[0] ^= 0x80;
	assert_int_equal(
		seal_open(w.secret, "about", 5, w.box, sizeof(w.box), w.out, &w.n), -EBADMSG);
}

static void no_two_are_the_same(void **state)
{
	struct world w;
	uint8_t again[sizeof(w.box)];

	(void)state;
	begin(&w);
	assert_int_equal(seal_close(w.public, "about", 5, w.plain, N, again), 0);
	assert_memory_not_equal(again, w.box, sizeof(again));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(opens_for_its_owner),
		cmocka_unit_test(nothing_else_opens), cmocka_unit_test(no_two_are_the_same)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
