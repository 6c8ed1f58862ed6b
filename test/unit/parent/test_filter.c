/*
 * test_filter.c: the filters of system calls, run by a small machine of classic BPF: what each lets
 * pass.
 */
#include "filter.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cmocka.h>

/* What the kernel would do; every instruction that filter.c writes. */
static uint32_t run(const struct filter *f, const struct seccomp_data *d)
{
	uint32_t a = 0, word;

	for (unsigned pc = 0; pc < f->n; pc++) {
		const struct sock_filter *i = &f->code[pc];

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(i->k + 4 <= sizeof(*d) && i->k % 4 == 0);
			memcpy(&word, (const char *)d + i->k, 4);
			a = word;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += a == i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			pc += a >= i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			pc += (a & i->k) != 0 ? i->jt : i->jf;
			break;
		case BPF_RET | BPF_K:
			return i->k;
		default:
			fail_msg("instruction %u: code %x", pc, i->code);
		}
	}
	fail_msg("no return");
	return 0;
}

static uint32_t call(
	const struct filter *f, long number, uint64_t a, uint64_t b, uint64_t c, uint64_t e)
{
	struct seccomp_data d = {.nr = (int)number, .arch = filter_own_arch, .args = {a, b, c, e}};

	return run(f, &d);
}

static uint32_t refused(int e)
{
	return SECCOMP_RET_ERRNO | (uint32_t)e;
}

/* Sets that `systemd-analyze security` asks for: in test_security_profile.py they are said to be
 * refused. */
static void test_whole_sets_are_refused(void **state)
{
	static const char *const sets[] = {"@clock", "@cpu-emulation", "@debug", "@module",
		"@mount", "@obsolete", "@raw-io", "@reboot", "@swap"};
	struct filter f;
	unsigned seen = 0;

	(void)state;
	filter_base(&f, NULL);
	for (size_t s = 0; s < sizeof(sets) / sizeof(*sets); s++)
		for (size_t i = 0; i < calls_rows_n; i++) {
			char *names, *at, *name;

			if (strcmp(calls_rows[i].set, sets[s]) != 0)
				continue;
			at = names = strdup(calls_rows[i].names);
			while ((name = strsep(&at, " ")) != NULL) {
				int number =
					*name != '\0' ? seccomp_syscall_resolve_name(name) : -1;

				if (number < 0)
					continue;
				seen++;
				if (call(&f, number, 0, 0, 0, 0) == SECCOMP_RET_ALLOW)
					fail_msg("%s of %s is let pass", name, sets[s]);
			}
			free(names);
		}
	assert_true(seen > 40);
}

static void test_what_programs_need_passes(void **state)
{
	static const int numbers[] = {SYS_read, SYS_write, SYS_close, SYS_mmap, SYS_munmap,
		SYS_futex, SYS_execve, SYS_exit_group, SYS_epoll_wait, SYS_accept4, SYS_sendmsg,
		SYS_recvmsg, SYS_kill, SYS_wait4, SYS_getrandom, SYS_memfd_create, SYS_prlimit64,
		SYS_sched_setaffinity, SYS_fsync, SYS_sendfile, SYS_fchmod, SYS_fchown, SYS_statx,
		SYS_inotify_init1, SYS_shmget};
	struct msg_jail j = {.version = JAIL_VERSION};
	struct filter f;

	(void)state;
	for (int own = 0; own < 2; own++) {
		filter_base(&f, own ? NULL : &j);
		for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
			assert_int_equal(call(&f, numbers[i], 0, 0, 0, 0), SECCOMP_RET_ALLOW);
		assert_int_equal(
			call(&f, SYS_clone, CLONE_VM | CLONE_FS | CLONE_THREAD | 17, 0, 0, 0),
			SECCOMP_RET_ALLOW);
		assert_int_equal(call(&f, SYS_clone3, 0, 0, 0, 0), refused(ENOSYS));
		assert_int_equal(call(&f, SYS_unshare, CLONE_FILES, 0, 0, 0), SECCOMP_RET_ALLOW);
		assert_int_equal(call(&f, SYS_openat2, 0, 0, 0, 0),
			own ? SECCOMP_RET_ALLOW : refused(ENOSYS));
	}
}

static void test_arguments_decide(void **state)
{
	struct msg_jail j = {.version = JAIL_VERSION};
	const struct {
		long number;
		uint64_t a, b, c, d;
		uint32_t result;
	} cases[] = {
		{SYS_clone, CLONE_NEWUSER, 0, 0, 0, refused(EPERM)},
		{SYS_clone, CLONE_NEWNS | 17, 0, 0, 0, refused(EPERM)},
		{SYS_unshare, 0x80, 0, 0, 0, refused(EPERM)},
		{SYS_setns, 3, 0, 0, 0, refused(EPERM)},
		{SYS_socket, AF_UNIX, SOCK_STREAM, 0, 0, SECCOMP_RET_ALLOW},
		{SYS_socket, AF_INET6, SOCK_DGRAM, 0, 0, SECCOMP_RET_ALLOW},
		{SYS_socket, AF_NETLINK, SOCK_RAW, 0, 0, SECCOMP_RET_ALLOW},
		{SYS_socket, AF_NETLINK, SOCK_RAW, 9, 0, refused(EAFNOSUPPORT)},
		{SYS_socket, AF_PACKET, SOCK_RAW, 0, 0, refused(EAFNOSUPPORT)},
		{SYS_socket, AF_ALG, SOCK_SEQPACKET, 0, 0, refused(EAFNOSUPPORT)},
		{SYS_openat, 0, 0, O_RDONLY, 04755, SECCOMP_RET_ALLOW},
		{SYS_openat, 0, 0, O_CREAT | O_WRONLY, 0644, SECCOMP_RET_ALLOW},
		{SYS_openat, 0, 0, O_CREAT | O_WRONLY, 04755, refused(EPERM)},
		{SYS_fchmod, 3, 0755, 0, 0, SECCOMP_RET_ALLOW},
		{SYS_fchmod, 3, 02755, 0, 0, refused(EPERM)},
		{SYS_fchmodat, 0, 0, 04700, 0, refused(EPERM)},
		{452, 0, 0, 04700, 0, refused(EPERM)},
		{SYS_mkdirat, 0, 0, 0755, 0, SECCOMP_RET_ALLOW},
		{SYS_mkdirat, 0, 0, 02755, 0, refused(EPERM)},
		{SYS_personality, 0xffffffff, 0, 0, 0, SECCOMP_RET_ALLOW},
		{SYS_personality, 0x0040000, 0, 0, 0, refused(EPERM)},
		{SYS_ioctl, 0, FIONBIO, 0, 0, SECCOMP_RET_ALLOW},
		{SYS_ioctl, 0, TIOCSTI, 0, 0, refused(EPERM)},
		{SYS_ioctl, 0, 0xffffffff00000000ULL | TIOCSTI, 0, 0, refused(EPERM)},
		{SYS_sched_setscheduler, 0, SCHED_BATCH, 0, 0, SECCOMP_RET_ALLOW},
		{SYS_sched_setscheduler, 0, SCHED_RR, 0, 0, refused(EPERM)},
		{0x40000000 | SYS_read, 0, 0, 0, 0, refused(ENOSYS)},
	};
	struct filter f;

	(void)state;
	filter_base(&f, &j);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint32_t got =
			call(&f, cases[i].number, cases[i].a, cases[i].b, cases[i].c, cases[i].d);

		if (got != cases[i].result)
			fail_msg("case %zu: call %ld gives %x, not %x", i, cases[i].number, got,
				cases[i].result);
	}
	struct seccomp_data foreign = {.nr = SYS_read, .arch = filter_own_arch ^ 1};
	assert_int_equal(run(&f, &foreign), SECCOMP_RET_KILL_PROCESS);
}

static void test_wishes(void **state)
{
	struct msg_jail j = {.version = JAIL_VERSION,
		.has = JAIL_HAS_FAMILIES | JAIL_HAS_NAMESPACES,
		.families = 1ULL << AF_UNIX | 1ULL << AF_ALG,
		.namespaces = CLONE_NEWUSER,
		.flags = JAIL_DENY_EXEC_WRITE,
		.limits = 1U << 14};
	struct filter f;

	(void)state;
	filter_base(&f, &j);
	assert_int_equal(call(&f, SYS_socket, AF_ALG, 0, 0, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(call(&f, SYS_socket, AF_INET, 0, 0, 0), refused(EAFNOSUPPORT));
	assert_int_equal(call(&f, SYS_socket, AF_NETLINK, 0, 0, 0), refused(EAFNOSUPPORT));
	assert_int_equal(call(&f, SYS_unshare, CLONE_NEWUSER, 0, 0, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(
		call(&f, SYS_unshare, CLONE_NEWUSER | CLONE_NEWNET, 0, 0, 0), refused(EPERM));
	assert_int_equal(call(&f, SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(call(&f, SYS_mmap, 0, 4096, PROT_WRITE | PROT_EXEC, 0), refused(EPERM));
	assert_int_equal(call(&f, SYS_mprotect, 0, 4096, PROT_READ | PROT_EXEC, 0), refused(EPERM));
	assert_int_equal(call(&f, SYS_sched_setscheduler, 0, SCHED_FIFO, 0, 0), SECCOMP_RET_ALLOW);
}

static void test_lists(void **state)
{
	static const uint32_t calls[] = {SYS_read, SYS_write, SYS_openat | EACCES << 16};
	struct msg_jail j = {.version = JAIL_VERSION, .calls = 3, .call_mode = JAIL_CALLS_ONLY};
	struct filter f;

	(void)state;
	filter_calls(&f, &j, calls);
	assert_int_equal(call(&f, SYS_read, 0, 0, 0, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(call(&f, SYS_openat, 0, 0, 0, 0), refused(EACCES));
	assert_int_equal(call(&f, SYS_close, 0, 0, 0, 0), SECCOMP_RET_KILL_PROCESS);
	j.call_errno = EPERM;
	j.call_mode = JAIL_CALLS_NOT;
	filter_calls(&f, &j, calls);
	assert_int_equal(call(&f, SYS_read, 0, 0, 0, 0), refused(EPERM));
	assert_int_equal(call(&f, SYS_openat, 0, 0, 0, 0), refused(EACCES));
	assert_int_equal(call(&f, SYS_close, 0, 0, 0, 0), SECCOMP_RET_ALLOW);
	j.call_mode = JAIL_CALLS_ANY;
	filter_calls(&f, &j, calls);
	assert_int_equal(f.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_sets_are_refused),
		cmocka_unit_test(test_what_programs_need_passes),
		cmocka_unit_test(test_arguments_decide),
		cmocka_unit_test(test_wishes),
		cmocka_unit_test(test_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
