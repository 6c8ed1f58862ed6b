/*
 * test_state.c: the parent's state, saved and loaded: by number after an exec, by name from a store; damage; versions.
 */
#include "state.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct parent *fresh(void)
{
	struct parent *p = calloc(1, sizeof(*p));

	must(p != NULL);
	parent_init(p, &parent_real_ops);
	return p;
}

static void drop(struct parent *p)
{
	state_drop(p);
	free(p);
}

/* One with two gates, a listener and a gate that runs; its descriptors are pipes. */
static struct parent *example(int fds[static 4])
{
	struct parent *p = fresh();
	struct listener *l = calloc(1, sizeof(*l));

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(pipe(fds + 2), 0);
	p->gates = 2;
	assert_int_equal(core_new(p), 0);
	p->generation = 9;
	snprintf(p->instance, sizeof(p->instance), "0123");
	must(l != NULL);
	*l = (struct listener){.number = 3, .kind = LISTENER_TLS, .fd = fds[0]};
	snprintf(l->address, sizeof(l->address), "127.0.0.1:443");
	p->listeners = l;
	p->listeners_n = 1;
	struct run *r = &p->gate[1]->run[0];
	p->gate[1]->wanted = true;
	r->phase = PHASE_UP;
	r->generation = r->child.generation = 7;
	r->child.pid = 4711;
	r->child.pidfd = fds[1];
	r->notify_fd = fds[2];
	r->stream[1] = fds[3];
	r->greeted = true;
	return p;
}

static void close_all(const int fds[static 4])
{
	for (int i = 0; i < 4; i++)
		close(fds[i]);
}

static void check_loaded(const struct parent *p, const int want[static 4])
{
	const struct run *r = &p->gate[1]->run[0];

	assert_int_equal(p->gates, 2);
	assert_int_equal(p->generation, 9);
	assert_string_equal(p->instance, "0123");
	assert_int_equal(p->listeners->number, 3);
	assert_string_equal(p->listeners->address, "127.0.0.1:443");
	assert_int_equal(p->listeners->fd, want[0]);
	assert_true(p->gate[1]->wanted && !p->gate[0]->wanted);
	assert_int_equal(r->phase, PHASE_UP);
	assert_int_equal(r->child.pid, 4711);
	assert_int_equal(r->child.pidfd, want[1]);
	assert_int_equal(r->notify_fd, want[2]);
	assert_int_equal(r->stream[1], want[3]);
	assert_int_equal(r->stream[0], -1);
	assert_true(r->greeted);
}

static void test_by_number(void **unused)
{
	struct parent *p, *q = fresh();
	struct state s;
	int fds[4];

	(void)unused;
	p = example(fds);
	assert_int_equal(state_save(p, &s), 0);
	assert_int_equal(s.fds_n, 4);
	assert_int_equal(state_load(q, s.b.p, s.b.len, NULL, 0), 0);
	check_loaded(q, fds);
	assert_string_equal(q->saved_by, STEAD_VERSION);
	state_done(&s);
	drop(p);
	drop(q);
	close_all(fds);
}

static void test_by_name(void **unused)
{
	struct state_fd have[3];
	struct parent *p, *q = fresh();
	struct state s;
	int fds[4], want[4] = {100, -1, 102, -1};

	(void)unused;
	p = example(fds);
	assert_int_equal(state_save(p, &s), 0);
	/* The listener's and the notify socket's come back, the process handle's and the output's do not. */
	for (unsigned i = 0, n = 0; i < s.fds_n; i++)
		if (s.fds[i].fd == fds[0] || s.fds[i].fd == fds[2]) {
			have[n] = s.fds[i];
			have[n++].fd = s.fds[i].fd == fds[0] ? 100 : 102;
		}
	have[2] = (struct state_fd){.name = "stead-of-nobody", .fd = 103};
	assert_int_equal(state_load(q, s.b.p, s.b.len, have, 3), 0);
	check_loaded(q, want);
	assert_true(have[0].used && have[1].used && !have[2].used);
	state_done(&s);
	drop(p);
	drop(q);
	close_all(fds);
}

static int try_load(const void *bytes, size_t n)
{
	struct parent *p = fresh();
	struct state_fd none[1];
	int e = state_load(p, bytes, n, none, 0);

	drop(p);
	return e;
}

static void test_damage(void **unused)
{
	struct parent *p;
	struct state s;
	int fds[4];

	(void)unused;
	p = example(fds);
	assert_int_equal(state_save(p, &s), 0);
	char *copy = malloc(s.b.len);
	must(copy != NULL);
	for (size_t n = 0; n < s.b.len; n++)
		assert_int_equal(try_load(s.b.p, n), -EBADMSG);
	for (size_t i = sizeof(struct state_head); i < s.b.len; i += 7) {
		memcpy(copy, s.b.p, s.b.len);
		copy[i] ^= 1;
		assert_int_equal(try_load(copy, s.b.len), -EBADMSG);
	}
	assert_int_equal(try_load(s.b.p, s.b.len), 0);
	free(copy);
	state_done(&s);
	drop(p);
	close_all(fds);
}

/* Records that a later version appended to, or made up, are no hindrance; its word that they are is heard. */
static void test_versions(void **unused)
{
	struct state_rec unknown = {.type = 4711, .bytes = 5};
	struct state_head head;
	struct parent *p;
	struct state s;
	int fds[4];

	(void)unused;
	p = example(fds);
	assert_int_equal(state_save(p, &s), 0);
	size_t n = s.b.len + 16;
	char *later = calloc(1, n);
	must(later != NULL);
	memcpy(&head, s.b.p, sizeof(head));
	/* Behind the head and the first record, which is that of the parent's descriptors or itself. */
	size_t end = s.b.len - sizeof(struct state_rec);
	memcpy(later, s.b.p, end);
	memcpy(later + end, &unknown, sizeof(unknown));
	memcpy(later + end + 16, s.b.p + end, sizeof(struct state_rec));
	head.version++;
	head.bytes += 16;
	head.checksum = sys_checksum(later + sizeof(head), head.bytes);
	memcpy(later, &head, sizeof(head));
	assert_int_equal(try_load(later, n), 0);
	head.min_reader = STATE_VERSION + 1;
	memcpy(later, &head, sizeof(head));
	assert_int_equal(try_load(later, n), -EPROTONOSUPPORT);
	free(later);
	state_done(&s);
	drop(p);
	close_all(fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_number),
		cmocka_unit_test(test_by_name),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
