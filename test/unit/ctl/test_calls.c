/*
 * test_calls.c: SystemCallFilter= as numbers, by systemd's rules.
 */
#include "calls.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "lib/must.h"

static struct msg_jail jail;
static uint32_t list[JAIL_CALLS_MAX];

static uint32_t pack(const char *const *lines)
{
	struct unpack u;
	struct buf b;
	uint32_t n;

	buf_init(&b, 16 * 1024);
	n = calls_pack(lines, &jail, &b);
	assert_int_equal(b.error, 0);
	unpack_init(&u, b.p, b.len);
	for (uint32_t i = 0; i < n; i++)
		list[i] = unpack_u32(&u);
	assert_true(unpack_done(&u));
	buf_done(&b);
	return n;
}

static bool has(uint32_t n, uint32_t call)
{
	for (uint32_t i = 0; i < n; i++)
		if (list[i] == call)
			return true;
	return false;
}

static void test_nothing(void **state)
{
	(void)state;
	assert_int_equal(pack(NULL), 0);
	assert_int_equal(jail.call_mode, JAIL_CALLS_ANY);
	assert_int_equal(pack((const char *const[]){NULL}), 0);
	assert_int_equal(jail.call_mode, JAIL_CALLS_ANY);
}

static void test_what_may_be_done(void **state)
{
	uint32_t n = pack((const char *const[]){"@system-service", "~kill @chown", "reboot", NULL});

	(void)state;
	assert_int_equal(jail.call_mode, JAIL_CALLS_ONLY);
	assert_true(n > 200);
	assert_true(has(n, SYS_read) && has(n, SYS_openat) && has(n, SYS_reboot));
	/* Sets of sets, and what every program needs. */
	assert_true(has(n, SYS_epoll_wait) && has(n, SYS_execve) && has(n, SYS_exit_group));
	assert_false(
		has(n, SYS_kill) || has(n, SYS_fchown) || has(n, SYS_mount) || has(n, SYS_ptrace));
}

static void test_what_may_not(void **state)
{
	uint32_t n =
		pack((const char *const[]){"~@mount ptrace:ENOSYS no_such_call", "chroot", NULL});

	(void)state;
	assert_int_equal(jail.call_mode, JAIL_CALLS_NOT);
	assert_true(has(n, SYS_mount) && has(n, SYS_ptrace | ENOSYS << 16));
	assert_false(has(n, SYS_chroot) || has(n, SYS_read));
	assert_true(n < 20);
}

static void test_an_errno_in_a_list_of_what_may(void **state)
{
	uint32_t n = pack((const char *const[]){"read write", "~write:EACCES", NULL});

	(void)state;
	assert_true(has(n, SYS_read) && has(n, SYS_write | EACCES << 16) && !has(n, SYS_write));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_what_may_be_done),
		cmocka_unit_test(test_what_may_not),
		cmocka_unit_test(test_an_errno_in_a_list_of_what_may),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
