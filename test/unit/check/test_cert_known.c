/*
 * test_cert_known.c: what makes a certificate another one than that which is known, and memory that
 * is not in form.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cert.h"
#include "lib/sys.h"

static const uint8_t whom[SEAL_KEY_BYTES] = {1}, other[SEAL_KEY_BYTES] = {2};

static struct cert_work work(void)
{
	return (struct cert_work){.job = CERT_JOB_PAIR, .cert_text = "certificate", .cert_n = 11,
		.key_text = "key", .key_n = 3, .names = {"a", "b"}, .nnames = 2, .seal_for = whom};
}

static void everything_counts(void **state)
{
	struct check k = {.fd = -1};
	struct cert_work w = work();
	uint8_t seen[8][CHECK_KNOWN_BYTES], again[CHECK_KNOWN_BYTES];

	(void)state;
	assert_int_equal(cert_known_inputs(&k, &w, seen[0]), 0);
	assert_int_equal(cert_known_inputs(&k, &w, again), 0);
	assert_memory_equal(seen[0], again, sizeof again);
	w.cert_text = "Certificate";
	assert_int_equal(cert_known_inputs(&k, &w, seen[1]), 0);
	w = work();
	w.key_text = "kez";
	assert_int_equal(cert_known_inputs(&k, &w, seen[2]), 0);
	w = work();
	w.nnames = 1;
	assert_int_equal(cert_known_inputs(&k, &w, seen[3]), 0);
	w.names[0] = "ab";
	assert_int_equal(cert_known_inputs(&k, &w, seen[4]), 0);
	w = work();
	w.seal_for = other;
	assert_int_equal(cert_known_inputs(&k, &w, seen[5]), 0);
	/* A byte moves from the one text to the other. */
	w = work();
	w.cert_n = 10;
	w.key_text = "ekey";
	w.key_n = 4;
	assert_int_equal(cert_known_inputs(&k, &w, seen[6]), 0);
	w = work();
	k.known.authorities[0] ^= 1;
	assert_int_equal(cert_known_inputs(&k, &w, seen[7]), 0);
	for (unsigned i = 0; i < 8; i++)
		for (unsigned j = 0; j < i; j++)
			assert_memory_not_equal(seen[i], seen[j], CHECK_KNOWN_BYTES);
}

static int take(struct check *k, const void *p, size_t n)
{
	int fd, r;

	assert_int_equal(sys_memfd_sealed("test", p, n, &fd), 0);
	r = cert_known_take(k, fd);
	close(fd);
	return r;
}

static void what_was_handed_over(void **state)
{
	struct {
		struct msg_check_known head;
		uint8_t all[3][CHECK_KNOWN_BYTES];
	} m = {.head = {.n = 3}};
	uint8_t none[CHECK_KNOWN_BYTES];
	struct check k = {.fd = -1};

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		memset(m.all[i], (int)(3 * i + 1), CHECK_KNOWN_BYTES);
	memset(none, 3, sizeof none);
	assert_false(cert_known_has(&k, m.all[0]));
	assert_int_equal(take(&k, &m, sizeof m), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_true(cert_known_has(&k, m.all[i]));
	assert_false(cert_known_has(&k, none));
	/* One more than there are; less than a head; not sealed. */
	k = (struct check){.fd = -1};
	assert_int_equal(take(&k, &m, sizeof m - 1), -EBADMSG);
	assert_int_equal(take(&k, &m, 3), -EBADMSG);
	m.head.n = UINT32_MAX;
	assert_int_equal(take(&k, &m, sizeof m), -EBADMSG);
	assert_true(cert_known_take(&k, STDERR_FILENO) < 0);
	assert_false(cert_known_has(&k, m.all[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_counts), cmocka_unit_test(what_was_handed_over)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
