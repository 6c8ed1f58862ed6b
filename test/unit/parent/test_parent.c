/*
 * test_parent.c: the parent's pure parts: addresses, specs, accounts; and spawn with a real child.
 */
#include "parent.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void test_listen_parse(void **state)
{
	static const struct {
		const char *text;
		int family; /* 0: refused */
	} cases[] = {
		{"127.0.0.1:8080", AF_INET},
		{"0.0.0.0:0", AF_INET},
		{"255.255.255.255:65535", AF_INET},
		{"[::1]:80", AF_INET6},
		{"[::]:65535", AF_INET6},
		{"[::ffff:1.2.3.4]:1", AF_INET6},
		{"", 0},
		{":", 0},
		{":80", 0},
		{"127.0.0.1", 0},
		{"127.0.0.1:", 0},
		{"127.0.0.1:65536", 0},
		{"127.0.0.1:-1", 0},
		{"127.0.0.1:+1", 0},
		{"127.0.0.1: 1", 0},
		{"127.0.0.1:1x", 0},
		{"127.1:80", 0},
		{"localhost:80", 0},
		{"::1:80", 0},
		{"[::1:80", 0},
		{"[]:80", 0},
		{"[127.0.0.1]:80", 0},
		{"127.0.0.1:99999999999999999999", 0},
		{" 127.0.0.1:80", 0},
		{"[::1%lo]:80", 0},
		{"1111111111111111111111111111111111111111111111111111111111111111111111:80", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sockaddr_storage a;
		socklen_t len = 0;
		int e = listen_parse(cases[i].text, &a, &len);

		if (cases[i].family == 0) {
			assert_int_equal(e, -EINVAL);
		} else {
			assert_int_equal(e, 0);
			assert_int_equal(a.ss_family, cases[i].family);
		}
	}
}

static void put_spec(struct buf *b, const struct msg_proc_set *set, const char *path,
	const char *cwd, const char *stop)
{
	buf_reset(b);
	buf_put(b, set, sizeof(*set));
	pack_str(b, "shop");
	pack_str(b, cwd);
	pack_str(b, path);
	for (uint32_t i = 0; i < set->argc && i < 4; i++)
		pack_str(b, "arg");
	pack_str(b, "");
	for (uint32_t i = 0; i < set->envc && i < 4; i++)
		pack_str(b, "A=1");
	pack_str(b, "");
	pack_str(b, stop);
	pack_str(b, set->listen == SERVICE_PATH ? "/run/app.sock" : "");
	pack_str(b, "/health");
	assert_int_equal(b->error, 0);
}

/* What fits together in a program that is not on the link, and what does not. */
static void test_service_spec(void **state)
{
	static const struct {
		uint32_t role, flags, listen, ready, notify;
		int want;
	} cases[] = {
		{PROC_SERVICE, PROC_SET_ROLLING, SERVICE_AUTO, SERVICE_PROBED, SERVICE_NOTIFY_NONE, 0},
		{PROC_SERVICE, 0, SERVICE_PATH, SERVICE_NOTIFIES, SERVICE_NOTIFY_MAIN, 0},
		{PROC_SERVICE, 0, SERVICE_NONE, SERVICE_SPAWNED, SERVICE_NOTIFY_NONE, 0},
		{PROC_SERVICE, 0, SERVICE_NONE, SERVICE_NOTIFIES, SERVICE_NOTIFY_ALL, 0},
		{PROC_SERVICE, PROC_SET_LINK, SERVICE_FD, SERVICE_PROBED, SERVICE_NOTIFY_NONE, -EINVAL},
		{PROC_SERVICE, 0, SERVICE_PATH + 1, SERVICE_PROBED, SERVICE_NOTIFY_NONE, -EINVAL},
		{PROC_SERVICE, 0, SERVICE_FD, SERVICE_EXITS + 1, SERVICE_NOTIFY_MAIN, -EINVAL},
		{PROC_SERVICE, 0, SERVICE_FD, SERVICE_NOTIFIES, SERVICE_NOTIFY_NONE, -EINVAL},
		{PROC_SERVICE, 0, SERVICE_FD, SERVICE_PROBED, SERVICE_NOTIFY_EXEC + 1, -EINVAL},
		{PROC_SERVICE, 0, SERVICE_NONE, SERVICE_PROBED, SERVICE_NOTIFY_NONE, -EINVAL},
		{PROC_SERVICE, 0, SERVICE_NONE, SERVICE_EXITS, SERVICE_NOTIFY_EXEC, 0},
		{PROC_SERVICE, 0, SERVICE_FD, SERVICE_EXITS, SERVICE_NOTIFY_NONE, -EINVAL},
		{PROC_SERVICE, 0, SERVICE_AUTO, SERVICE_SPAWNED, SERVICE_NOTIFY_NONE, -EINVAL},
		{PROC_WORKER, PROC_SET_LINK, SERVICE_FD, SERVICE_SPAWNED, SERVICE_NOTIFY_NONE, -EINVAL},
		{PROC_POSTGRES, 0, SERVICE_NONE, SERVICE_PROBED, SERVICE_NOTIFY_NONE, -EINVAL},
	};
	struct spec *s;
	struct buf b;

	(void)state;
	buf_init(&b, CHAN_PAYLOAD_MAX);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct msg_proc_set set = {.role = cases[i].role,
			.count = 1,
			.argc = 1,
			.flags = cases[i].flags,
			.listen = cases[i].listen,
			.ready = cases[i].ready,
			.notify = cases[i].notify};

		put_spec(&b, &set, "/bin/app", "/", "TERM");
		assert_int_equal(spec_new(b.p, b.len, &s), cases[i].want);
		if (cases[i].want == 0) {
			assert_string_equal(s->probe, "/health");
			spec_unref(s);
		}
	}
	buf_done(&b);
}

static void put_hook(struct buf *b, uint32_t kind, const char *path)
{
	pack_u32(b, kind);
	pack_u32(b, HOOK_IGNORE);
	pack_str(b, path);
	pack_u32(b, 2);
	pack_str(b, "hook");
	pack_str(b, "");
}

/* The rest of a program's message: its commands, in the order of a life, and names of variables. */
static void test_spec_more(void **state)
{
	static const struct {
		uint32_t role, kind[2];
		const char *path;
		int want;
	} cases[] = {
		{PROC_SERVICE, {HOOK_PRE, HOOK_PRE}, "/bin/hook", 0},
		{PROC_SERVICE, {HOOK_CONDITION, HOOK_AFTER}, "/bin/hook", 0},
		{PROC_SERVICE, {HOOK_POST, HOOK_PRE}, "/bin/hook", -EINVAL},
		{PROC_SERVICE, {HOOK_PRE, HOOKS}, "/bin/hook", -EINVAL},
		{PROC_SERVICE, {HOOK_PRE, HOOK_PRE}, "hook", -EINVAL},
		{PROC_WORKER, {HOOK_PRE, HOOK_PRE}, "/bin/hook", -EINVAL},
	};
	struct spec *s;
	struct buf b;

	(void)state;
	buf_init(&b, CHAN_PAYLOAD_MAX);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct msg_proc_set set = {.role = cases[i].role, .count = 1, .argc = 1};

		put_spec(&b, &set, "/bin/app", "/", "64");
		pack_bytes(&b, "", 0);
		pack_u32(&b, 2);
		put_hook(&b, cases[i].kind[0], cases[i].path);
		put_hook(&b, cases[i].kind[1], cases[i].path);
		pack_u32(&b, 1);
		pack_str(&b, "TZ");
		pack_u32(&b, 1);
		pack_str(&b, "LANG=C");
		assert_int_equal(spec_new(b.p, b.len, &s), cases[i].want);
		if (cases[i].want != 0)
			continue;
		assert_int_equal(s->hooks_n, 2);
		assert_int_equal(s->hooks[1].kind, cases[i].kind[1]);
		assert_string_equal(s->hooks[1].argv[1], "");
		assert_null(s->hooks[1].argv[2]);
		assert_string_equal(s->pass[0], "TZ");
		assert_string_equal(s->unset[0], "LANG=C");
		assert_int_equal(s->stop_signal, 64);
		spec_unref(s);
		for (size_t n = b.len - 60; n < b.len; n++)
			assert_int_equal(spec_new(b.p, n, &s), -EINVAL);
	}
	buf_done(&b);
}

static void test_spec(void **state)
{
	struct msg_proc_set good = {.role = PROC_WORKER, .count = 2, .argc = 2, .envc = 1};
	struct spec *s;
	struct buf b;

	(void)state;
	buf_init(&b, CHAN_PAYLOAD_MAX);
	put_spec(&b, &good, "/bin/app", "/srv", "SIGQUIT");
	assert_int_equal(spec_new(b.p, b.len, &s), 0);
	assert_string_equal(s->name, "shop");
	assert_string_equal(s->path, "/bin/app");
	assert_string_equal(s->argv[1], "arg");
	assert_null(s->argv[2]);
	assert_string_equal(s->envp[0], "A=1");
	assert_null(s->envp[1]);
	assert_int_equal(s->stop_signal, SIGQUIT);
	spec_unref(s);
	/* Cut anywhere, or with a byte too much, it is refused whole. */
	for (size_t n = 0; n < b.len; n++)
		assert_int_equal(spec_new(b.p, n, &s), -EINVAL);
	buf_putc(&b, 'x');
	assert_int_equal(spec_new(b.p, b.len, &s), -EINVAL);
	put_spec(&b, &good, "bin/app", "/srv", "TERM");
	assert_int_equal(spec_new(b.p, b.len, &s), -EINVAL);
	put_spec(&b, &good, "/bin/app", "srv", "TERM");
	assert_int_equal(spec_new(b.p, b.len, &s), -EINVAL);
	put_spec(&b, &good, "/bin/app", "", "STOP");
	assert_int_equal(spec_new(b.p, b.len, &s), -EINVAL);
	struct msg_proc_set bad[] = {good, good, good, good, good, good};
	bad[0].count = 0;
	bad[1].count = SET_SLOTS_MAX + 1;
	bad[2].argc = 0;
	bad[3].argc = UINT32_MAX;
	bad[4].nice_plus20 = 40;
	bad[5].umask_bits = 01000;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		put_spec(&b, &bad[i], "/bin/app", "", "TERM");
		assert_int_equal(spec_new(b.p, b.len, &s), -EINVAL);
	}
	buf_done(&b);
}

static void test_accounts(void **state)
{
	struct parent p = {.root = true, .postgres = {101, 104}};
	static const struct {
		enum proc role;
		uint32_t uid, gid;
		bool good;
	} cases[] = {
		{PROC_WORKER, 50000, 50000, true},
		{PROC_WORKER, 59999, 59999, true},
		{PROC_WORKER, 49999, 50000, false},
		{PROC_WORKER, 60000, 50000, false},
		{PROC_WORKER, 0, 0, false},
		{PROC_WORKER, 50000, 0, false},
		{PROC_WORKER, 101, 104, false},
		{PROC_SERVICE, 50001, 50001, true},
		{PROC_SERVICE, 1000, 1000, false},
		{PROC_POSTGRES, 101, 104, true},
		{PROC_POSTGRES, 101, 50001, true},
		{PROC_POSTGRES, 101, 0, false},
		{PROC_POSTGRES, 50001, 50001, false},
		{PROC_POSTGRES, 0, 0, false},
		{PROC_CHECK, 0, 0, true},
		{PROC_CHECK, 50001, 50001, true},
		{PROC_CHECK, 50001, 0, false},
		{PROC_BUILD, 0, 0, false},
		{PROC_BUILD, 50001, 50001, true},
		{PROC_DB, 101, 104, true},
		{PROC_DB, 0, 0, false},
		{PROC_ACT, 0, 0, true},
		{PROC_ACT, 50001, 50001, false},
		{PROC_GATE, 50001, 50001, false},
		{PROC_CTL, 0, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(account_allowed(&p, cases[i].role, cases[i].uid, cases[i].gid),
			cases[i].good ? 0 : -EPERM);
	/* A system without PostgreSQL has no account 0 for it. */
	p.postgres = (struct account){0, 0};
	assert_int_equal(account_allowed(&p, PROC_POSTGRES, 0, 0), -EPERM);
	assert_int_equal(account_allowed(&p, PROC_DB, 0, 0), -EPERM);
	struct account root;
	assert_int_equal(account_find("root", &root), 0);
	assert_int_equal(root.uid, 0);
	assert_int_equal(account_find("no-such-user-here", &root), -ENOENT);
}

static void test_spawn(void **state)
{
	struct parent p = {.files_soft = 256, .files_hard = 1024};
	struct rlimit lim;
	struct spawn ask;
	const char *step;
	int out[2], pidfd;
	char got[256];
	siginfo_t si;
	pid_t pid;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &lim), 0);
	p.files_hard = lim.rlim_max;
	assert_int_equal(pipe(out), 0);
	spawn_init(&ask, &p);
	ask.path = "/bin/sh";
	ask.argv = (char *[]){(char[]){"sh"}, (char[]){"-c"},
		(char[]){
			"echo $A $(ulimit -Sn) $(umask) $(pwd) $(ps -o sid= -p $$ | tr -d ' ') $$"},
		NULL};
	ask.envp = (char *[]){(char[]){"A=b"}, NULL};
	ask.cwd = "/usr";
	ask.mask = 027;
	ask.fd[1] = out[1];
	assert_int_equal(spawn_run(&ask, &pid, &pidfd, &step), 0);
	close(out[1]);
	assert_int_equal(waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED), 0);
	close(pidfd);
	ssize_t n = read(out[0], got, sizeof(got) - 1);
	close(out[0]);
	assert_true(n > 0);
	got[n] = '\0';
	char want[128];
	snprintf(want, sizeof(want), "b 256 0027 /usr %d %d\n", (int)pid, (int)pid);
	assert_string_equal(got, want);
}

static void test_spawn_fails(void **state)
{
	struct parent p = {.files_soft = 256};
	struct rlimit lim;
	struct spawn ask;
	const char *step = NULL;
	pid_t pid;
	int pidfd;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &lim), 0);
	p.files_hard = lim.rlim_max;
	spawn_init(&ask, &p);
	ask.path = "/no/such/program";
	ask.argv = (char *[]){(char[]){"x"}, NULL};
	ask.envp = (char *[]){NULL};
	assert_int_equal(spawn_run(&ask, &pid, &pidfd, &step), -ENOENT);
	assert_string_equal(step, "exec");
	ask.cwd = "/no/such/folder";
	assert_int_equal(spawn_run(&ask, &pid, &pidfd, &step), -ENOENT);
	assert_string_equal(step, "working folder");
	/* It was buried: nobody is left to wait for. */
	assert_int_equal(waitid(P_ALL, 0, &(siginfo_t){0}, WEXITED | WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listen_parse),
		cmocka_unit_test(test_spec),
		cmocka_unit_test(test_spec_more), cmocka_unit_test(test_service_spec),
		cmocka_unit_test(test_accounts),
		cmocka_unit_test(test_spawn),
		cmocka_unit_test(test_spawn_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
