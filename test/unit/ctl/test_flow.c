/*
 * test_flow.c: ctl's conversations, with the test as the parent and as the one-shots: asks that end
 * in every way, what the parent is told to run, the up flow from question to failure, processes'
 * states.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/sys.h"
#include "rig.h"
#include "wants.h"

/* ---- asks ---- */

struct seen {
	unsigned ended, err, exit_code, steps;
	char error[256];
};

static void seen_step(struct ask *a, const char *text, uint32_t permille)
{
	struct seen *s = a->owner;

	assert_string_equal(text, "working");
	assert_int_equal(permille, 500);
	s->steps++;
}

static void seen_ended(struct ask *a, const struct ask_end *end)
{
	struct seen *s = a->owner;

	s->ended++;
	s->err = end->err;
	s->exit_code = end->exit_code;
	(void)snprintf(s->error, sizeof s->error, "%s", end->error);
}

static const struct ask_ops seen_ops = {.step = seen_step, .ended = seen_ended};

/* Starts an ask of db; its channel's other end. */
static int ask_db(struct rig *r, struct seen *s, uint64_t *ret_id)
{
	struct msg_oneshot spawned = {.role = PROC_DB};
	struct buf b;
	int pair[2];

	buf_init(&b, 4096);
	buf_puts(&b, "the question");
	assert_non_null(ask_start(r->c, PROC_DB, 0, 0, 0, MSG_DB_ASK, &b, &seen_ops, s));
	rig_expect(r, MSG_ONESHOT);
	*ret_id = r->msg.h.id;
	assert_int_equal(sys_socketpair_seqpacket(pair), 0);
	rig_say(r, MSG_SPAWNED, *ret_id, &spawned, sizeof spawned, pair[0]);
	close(pair[0]);
	assert_int_equal(chan_recv_blocking(pair[1], &r->msg, r->mem), 0);
	assert_int_equal(r->msg.h.type, MSG_HELLO);
	assert_int_equal(chan_recv_blocking(pair[1], &r->msg, r->mem), 0);
	assert_int_equal(r->msg.h.type, MSG_DB_ASK);
	assert_memory_equal(r->msg.payload, "the question", 12);
	return pair[1];
}

static void tell(struct rig *r, int fd, uint16_t type, uint64_t id, const void *p, size_t n)
{
	assert_int_equal(chan_send_blocking(fd, type, id, p, n, NULL, 0, NULL, 0), 0);
	rig_settle(r);
}

static void tell_hello(struct rig *r, int fd)
{
	struct msg_hello h = {.min = 1, .max = 1, .role = PROC_DB};

	tell(r, fd, MSG_HELLO, 0, &h, sizeof h);
}

static void tell_end(
	struct rig *r, int fd, uint16_t type, uint64_t id, uint32_t err, const char *error)
{
	struct msg_end end = {.err = err};
	struct buf b;

	buf_init(&b, 4096);
	buf_put(&b, &end, sizeof end);
	pack_str(&b, error);
	pack_str(&b, "do that");
	pack_str(&b, "");
	tell(r, fd, type, id, b.p, b.len);
	buf_done(&b);
}

static void tell_exit(struct rig *r, uint64_t id, int status)
{
	struct msg_oneshot m = {.role = PROC_DB, .status = status};

	rig_say(r, MSG_EXITED, id, &m, sizeof m, -1);
}

static void test_ask_answered(void **state)
{
	struct seen s = {0};
	struct rig r;
	struct buf b;
	uint64_t id;
	int fd;

	(void)state;
	rig_init(&r);
	fd = ask_db(&r, &s, &id);
	tell_hello(&r, fd);
	buf_init(&b, 256);
	pack_str(&b, "working");
	pack_u32(&b, 500);
	tell(&r, fd, MSG_DB_STEP, id, b.p, b.len);
	buf_done(&b);
	tell_end(&r, fd, MSG_DB_END, id, ENOSPC, "no space");
	assert_int_equal(s.steps, 1);
	assert_int_equal(s.ended, 1);
	assert_int_equal(s.err, ENOSPC);
	assert_int_equal(s.exit_code, VERB_EXIT_FAILED);
	assert_string_equal(s.error, "no space");
	tell_exit(&r, id, 0);
	assert_int_equal(s.ended, 1);
	assert_null(r.c->asks);
	close(fd);
	rig_done(&r);
}

static void test_ask_dies(void **state)
{
	struct seen s = {0};
	struct rig r;
	uint64_t id;
	int fd;

	(void)state;
	rig_init(&r);
	fd = ask_db(&r, &s, &id);
	tell_hello(&r, fd);
	/* Its death may be told before its channel's end is seen, or after. */
	tell_exit(&r, id, -9);
	assert_int_equal(s.ended, 0);
	close(fd);
	rig_settle(&r);
	assert_int_equal(s.ended, 1);
	assert_non_null(strstr(s.error, "signal 9"));
	fd = ask_db(&r, &s, &id);
	close(fd);
	rig_settle(&r);
	assert_int_equal(s.ended, 1);
	tell_exit(&r, id, 3);
	assert_int_equal(s.ended, 2);
	assert_non_null(strstr(s.error, "status 3"));
	rig_done(&r);
}

static void test_ask_that_lies(void **state)
{
	struct seen s = {0};
	struct rig r;
	uint64_t id;
	int fd;

	(void)state;
	rig_init(&r);
	/* No HELLO. */
	fd = ask_db(&r, &s, &id);
	tell_end(&r, fd, MSG_DB_END, id, 0, "");
	assert_int_equal(s.ended, 1);
	assert_int_not_equal(s.err, 0);
	close(fd);
	/* What only another role may say. */
	fd = ask_db(&r, &s, &id);
	tell_hello(&r, fd);
	tell_end(&r, fd, MSG_BUILD_END, id, 0, "");
	assert_int_equal(s.ended, 2);
	assert_int_not_equal(s.err, 0);
	close(fd);
	/* An answer cut short. */
	fd = ask_db(&r, &s, &id);
	tell_hello(&r, fd);
	tell(&r, fd, MSG_DB_END, id, &(struct msg_end){0}, sizeof(struct msg_end));
	assert_int_equal(s.ended, 3);
	assert_int_not_equal(s.err, 0);
	close(fd);
	rig_done(&r);
}

static void test_ask_not_spawned_or_forgotten(void **state)
{
	struct msg_oneshot m = {.role = PROC_DB, .err = EAGAIN};
	struct seen s = {0};
	struct rig r;
	struct buf b;
	uint64_t id;
	int fd;

	(void)state;
	rig_init(&r);
	buf_init(&b, 64);
	assert_non_null(ask_start(r.c, PROC_DB, 0, 0, 0, MSG_DB_ASK, &b, &seen_ops, &s));
	rig_expect(&r, MSG_ONESHOT);
	rig_say(&r, MSG_SPAWNED, r.msg.h.id, &m, sizeof m, -1);
	assert_int_equal(s.ended, 1);
	fd = ask_db(&r, &s, &id);
	ask_forget(r.c, &s);
	rig_expect(&r, MSG_ONESHOT_KILL);
	assert_int_equal(r.msg.h.id, id);
	tell_exit(&r, id, -9);
	close(fd);
	rig_settle(&r);
	assert_int_equal(s.ended, 1);
	assert_null(r.c->asks);
	rig_done(&r);
}

/* ---- what the parent is told to run ---- */

static void rig_app(struct rig *r, struct app *a)
{
	rig_init(r);
	a->number = a->set = APP_NUMBER;
	a->run = r->c->app.run;
}

static struct conf *conf_of(struct rig *r, struct app *a)
{
	const char *const wsgi[6] = {"Python", "", "Wsgi", "app:app", "detected", ""};
	const char *const env[6] = {
		"Service", "", "Environment", "STEAD_RELEASE=mine", "file", "stead.conf"};
	const char *const path[6] = {"Python", "", "Path", "src", "file", "stead.conf"};
	char why[256] = "";
	struct conf *conf;

	assert_int_equal(app_value_add(a, wsgi, 0, 0), 0);
	assert_int_equal(app_value_add(a, env, 3, 1), 0);
	assert_int_equal(app_value_add(a, path, 4, 1), 0);
	conf = effective_conf(r->c, a, why, sizeof why);
	assert_string_equal(why, "");
	assert_non_null(conf);
	return conf;
}

/* What only a program that is not on the link has is empty; then what the app is held to. */
static void expect_no_service(struct unpack *u)
{
	struct msg_jail jail;
	const char *block;
	size_t n;

	assert_string_equal(unpack_str(u), "");
	assert_string_equal(unpack_str(u), "");
	block = unpack_bytes(u, &n);
	assert_int_equal(n, sizeof jail);
	memcpy(&jail, block, sizeof jail);
	for (uint32_t i = 0; i < jail.paths; i++) {
		assert_int_not_equal(unpack_u32(u), 0);
		assert_int_equal(unpack_str(u)[0], '/');
	}
	/* No commands beside it, and no variables passed or taken (want_vars()). */
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(unpack_u32(u), 0);
	assert_true(unpack_done(u));
	assert_int_equal(jail.version, JAIL_VERSION);
	assert_int_equal(jail.group, 1);
	assert_int_equal(jail.tasks_max, 1024);
	assert_int_equal(jail.memory_high, JAIL_INFINITY);
	/* Shares are numbers of this machine by now. */
	assert_true(jail.memory_max > 0 && jail.memory_max < CONF_AMOUNT_SHARE);
}

static void test_worker_is_described(void **state)
{
	struct app a = {.name = "shop",
		.folder = "/srv/shop",
		.work = "/srv/shop",
		.python = "/usr/bin/python3",
		.bin = "/usr/lib/postgresql/15/bin",
		.release = 4};
	char path[200], first[CHAN_PAYLOAD_MAX];
	struct msg_proc_set set;
	struct conf *conf;
	struct unpack u;
	const char *tail;
	unsigned release = 0, urls = 0;
	bool changed;
	size_t n, first_n;
	struct rig r;

	(void)state;
	rig_app(&r, &a);
	(void)snprintf(path, sizeof path, "%s/python", r.dir);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof path, "%s/python/stead_worker.py", r.dir);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	conf = conf_of(&r, &a);
	assert_int_equal(wants_worker(r.c, &a, conf_app(conf), 5, &changed), 0);
	assert_true(changed);
	rig_expect(&r, MSG_PROC_SET);
	first_n = r.msg.h.len;
	memcpy(first, r.msg.payload, first_n);
	assert_int_equal(msg_get(&r.msg, &set, sizeof set, sizeof set), 0);
	assert_int_equal(set.role, PROC_WORKER);
	assert_int_equal(set.flags, PROC_SET_LINK | PROC_SET_ROLLING | PROC_SET_STACKS);
	tail = msg_tail(&r.msg, sizeof set, &n);
	unpack_init(&u, tail, n);
	assert_string_equal(unpack_str(&u), "shop");
	assert_string_equal(unpack_str(&u), "/srv/shop");
	assert_string_equal(unpack_str(&u), "/usr/bin/python3");
	for (unsigned i = 0; i < set.argc; i++) {
		const char *arg = unpack_str(&u);

		if (i == 1)
			assert_string_equal(arg, path);
		if (i == 3)
			assert_string_equal(arg, "app:app");
		if (i == 5)
			assert_string_equal(arg, "/srv/shop/src");
	}
	assert_string_equal(unpack_str(&u), "");
	for (unsigned i = 0; i < set.envc; i++) {
		const char *v = unpack_str(&u);
		char url[200];

		(void)snprintf(url, sizeof url, "DATABASE_URL=postgresql:///shop?host=%s", r.dir);
		urls += strcmp(v, url) == 0;
		if (strncmp(v, "STEAD_RELEASE=", 14) == 0 && release++ == 0)
			assert_string_equal(v, "STEAD_RELEASE=mine");
	}
	assert_string_equal(unpack_str(&u), "");
	assert_string_equal(unpack_str(&u), "TERM");
	expect_no_service(&u);
	assert_int_equal(release, 1);
	assert_int_equal(urls, 1);
	/* The same state gives the same bytes: nothing is replaced when ctl was. */
	assert_int_equal(wants_worker(r.c, &a, conf_app(conf), 6, &changed), 0);
	assert_false(changed);
	rig_expect(&r, MSG_PROC_SET);
	assert_int_equal(r.msg.h.len, first_n);
	assert_memory_equal(r.msg.payload, first, first_n);
	conf_free(conf);
	app_values_free(&a);
	rig_done(&r);
}

static void test_values_are_checked_again(void **state)
{
	const char *const bad[6] = {"Python", "", "Workers", "-3", "detected", ""};
	const char *const unknown[6] = {"Nowhere", "", "Key", "x", "file", ""};
	struct app a = {.name = "shop", .work = "/srv/shop"};
	char why[256] = "", path[CTL_PATH_MAX];
	struct rig r;

	(void)state;
	rig_init(&r);
	assert_int_equal(app_value_add(&a, bad, 0, 0), 0);
	assert_null(effective_conf(r.c, &a, why, sizeof why));
	assert_string_not_equal(why, "");
	app_values_free(&a);
	assert_int_equal(app_value_add(&a, unknown, 0, 0), 0);
	assert_null(effective_conf(r.c, &a, why, sizeof why));
	app_values_free(&a);
	effective_path(&a, "./static", path);
	assert_string_equal(path, "/srv/shop/static");
	effective_path(&a, "/abs", path);
	assert_string_equal(path, "/abs");
	effective_path(&a, ".", path);
	assert_string_equal(path, "/srv/shop");
	rig_done(&r);
}

/* ---- the control socket and the up flow ---- */

static json_int_t exit_of(struct rig *r, int fd)
{
	json_t *o;
	json_int_t code;

	for (;;) {
		o = rig_line(r, fd);
		if (strcmp(json_string_value(json_object_get(o, "event")), "end") == 0)
			break;
		json_decref(o);
	}
	code = json_integer_value(json_object_get(o, "exit"));
	json_decref(o);
	return code;
}

static void test_verbs_on_the_socket(void **state)
{
	static const struct {
		const char *text;
		json_int_t code;
	} rows[] = {{"{\"verb\":\"ping\"}\n", 0}, {"nonsense\n", 2}, {"{\"verb\":\"status\"}\n", 3},
		{"{\"verb\":\"reload\"}\n", 3}, {"{\"verb\":\"restart\"}\n", 3},
		{"{\"verb\":\"logs\"}\n", 1}, {"{\"verb\":\"stop\"}\n", 0}};
	struct rig r;

	(void)state;
	rig_init(&r);
	assert_int_equal(control_open(r.c), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int fd = rig_connect(&r);

		rig_ask(fd, rows[i].text);
		assert_int_equal(exit_of(&r, fd), rows[i].code);
		close(fd);
	}
	rig_expect(&r, MSG_SHUTDOWN);
	rig_done(&r);
}

static void test_up_with_a_port_in_use(void **state)
{
	struct msg_bound bound = {.listener = LISTENER_NUMBER, .err = EADDRINUSE};
	struct rig r;
	json_t *o;
	int fd, second;

	(void)state;
	rig_init(&r);
	fd = rig_up(&r);
	rig_expect(&r, MSG_BIND);
	second = rig_connect(&r);
	rig_ask(second, "{\"verb\":\"up\",\"folder\":\"/srv/shop\"}\n");
	assert_int_equal(exit_of(&r, second), VERB_EXIT_BUSY);
	close(second);
	rig_say(&r, MSG_BOUND, r.msg.h.id, &bound, sizeof bound, -1);
	do {
		o = rig_line(&r, fd);
		if (json_object_get(o, "error"))
			break;
		json_decref(o);
	} while (o);
	assert_int_equal(json_integer_value(json_object_get(o, "exit")), VERB_EXIT_FAILED);
	assert_non_null(strstr(json_string_value(json_object_get(o, "todo")), "--http"));
	json_decref(o);
	rig_expect(&r, MSG_SHUTDOWN);
	assert_null(r.c->up);
	close(fd);
	rig_done(&r);
}

static void test_up_whose_client_goes_away(void **state)
{
	struct rig r;
	int fd;

	(void)state;
	rig_init(&r);
	fd = rig_up(&r);
	rig_expect(&r, MSG_ONESHOT);
	close(fd);
	rig_settle(&r);
	rig_settle(&r);
	assert_non_null(r.c->up);
	assert_null(r.c->up->client);
	assert_int_equal(r.c->clients_n, 0);
	rig_done(&r);
}

/* ---- processes ---- */

static void state_of(
	struct ctl *c, uint32_t index, uint64_t generation, enum proc_phase phase, int pid)
{
	struct msg_proc_state st = {.role = PROC_WORKER,
		.app = APP_NUMBER,
		.index = index,
		.generation = generation,
		.phase = phase,
		.pid = pid};

	procs_heard(c, &st);
}

static void test_processes(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	state_of(r.c, 0, 5, PHASE_STARTING, 100);
	state_of(r.c, 1, 6, PHASE_STARTING, 101);
	state_of(r.c, 0, 5, PHASE_UP, 100);
	state_of(r.c, 1, 6, PHASE_UP, 101);
	assert_int_equal(procs_count(r.c, PROC_WORKER, APP_NUMBER, PHASE_UP), 2);
	assert_int_equal(procs_newest(r.c, PROC_WORKER, APP_NUMBER), 6);
	/* A replacement: both generations are there for a while. */
	state_of(r.c, 0, 7, PHASE_STARTING, 102);
	assert_int_equal(r.c->procs_n, 3);
	assert_int_equal(procs_newer(r.c, PROC_WORKER, APP_NUMBER, 6), 0);
	state_of(r.c, 0, 7, PHASE_UP, 102);
	state_of(r.c, 0, 5, PHASE_DRAINING, 100);
	state_of(r.c, 0, 5, PHASE_DOWN, 0);
	assert_int_equal(r.c->procs_n, 2);
	assert_int_equal(procs_newer(r.c, PROC_WORKER, APP_NUMBER, 6), 1);
	/* A death: the next generation takes its row. */
	state_of(r.c, 1, 6, PHASE_BACKOFF, 0);
	state_of(r.c, 1, 8, PHASE_STARTING, 103);
	assert_int_equal(r.c->procs_n, 2);
	rig_done(&r);
}

/* What gates are told: down while starts come to nothing and while one more is tried; a worker that
 * is up ends it, and so does it when none is wanted any more. */
static void test_trouble(void **state)
{
	struct rig r;
	struct msg_proc_state st = {.role = PROC_WORKER,
		.app = APP_NUMBER,
		.generation = 5,
		.phase = PHASE_BACKOFF,
		.backoff_ms = 1500,
		.unready = 1};
	static const struct {
		uint32_t phase, unready, backoff_ms;
		bool down;
		uint32_t retry_after_s;
	} steps[] = {
		{PHASE_BACKOFF, 1, 1500, false, 0},
		{PHASE_STARTING, 1, 0, false, 0},
		{PHASE_BACKOFF, 2, 1500, true, 3},
		{PHASE_STARTING, 2, 0, true, 3},
		{PHASE_BACKOFF, 3, 3000, true, 4},
		{PHASE_STARTING, 3, 0, true, 4},
		{PHASE_UP, 0, 0, false, 0},
		{PHASE_BACKOFF, 2, 500, true, 2},
		{PHASE_DOWN, 2, 0, false, 0},
	};

	(void)state;
	rig_init(&r);
	r.c->app.run->role = PROC_WORKER;
	for (unsigned i = 0; i < ARRAY_LEN(steps); i++) {
		st.phase = steps[i].phase;
		st.unready = steps[i].unready;
		st.backoff_ms = steps[i].backoff_ms;
		procs_heard(r.c, &st);
		trouble_update(&r.c->app);
		assert_int_equal(r.c->app.run->trouble.down, steps[i].down);
		assert_int_equal(r.c->app.run->trouble.retry_after_s, steps[i].retry_after_s);
	}
	rig_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_ask_answered),
		cmocka_unit_test(test_ask_dies), cmocka_unit_test(test_ask_that_lies),
		cmocka_unit_test(test_ask_not_spawned_or_forgotten),
		cmocka_unit_test(test_worker_is_described),
		cmocka_unit_test(test_values_are_checked_again),
		cmocka_unit_test(test_verbs_on_the_socket),
		cmocka_unit_test(test_up_with_a_port_in_use),
		cmocka_unit_test(test_up_whose_client_goes_away), cmocka_unit_test(test_processes),
		cmocka_unit_test(test_trouble)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
