/*
 * test_ring.c: link/link_ring.c and link/link_gate.c by themselves: rings, seals, hellos,
 * descriptors.
 */
#include "lib/must.h"
#include "lib/sys.h"
#include "link/link_env.h"
#include "link/link_gate.h"
#include "link/link_worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void pair(struct link_end *a, struct link_end *b)
{
	int fa, fb;

	must(link_end_create(a, &fa) == 0 && link_end_create(b, &fb) == 0);
	must(link_end_attach(a, fb) == 0 && link_end_attach(b, fa) == 0);
	close(fa);
	close(fb);
}

static int put(struct link_end *e, uint64_t id, const void *p, size_t n)
{
	struct link_desc d = {.id = id, .type = LINK_BODY};
	int err;
	char *room = link_room(e, n, &err);

	if (err || !room)
		return err ? err : -EAGAIN;
	if (n)
		memcpy(room, p, n);
	link_put(e, &d, n);
	link_publish(e);
	return 0;
}

static void test_frames(void **state)
{
	static char big[LINK_FRAME_MAX];
	struct link_end a, b;
	struct link_desc d;
	const char *p;
	uint64_t in = 0, out = 0;
	unsigned seed = 5;

	(void)state;
	pair(&a, &b);
	assert_int_equal(link_peek(&b, &d, &p), 0);
	/* More than the positions' width in slots, sizes of every kind, never more than fits. */
	while (out < 20000) {
		size_t n = (size_t)rand_r(&seed) % (rand_r(&seed) % 3 ? 300 : sizeof(big));

		memset(big, (char)in, n);
		if (rand_r(&seed) % 2 && put(&a, in + 1, big, n) == 0)
			in++;
		if (rand_r(&seed) % 2 && link_peek(&b, &d, &p) == 1) {
			assert_int_equal(d.id, out + 1);
			if (d.len) {
				assert_int_equal(p[0], (char)out);
				assert_int_equal(p[d.len - 1], (char)out);
			}
			link_take(&b);
			out++;
		}
	}
	while (link_peek(&b, &d, &p) == 1)
		link_take(&b);
	/* Empty: some kilobytes on the data begins at its beginning again, and so it goes on. */
	for (unsigned i = 0, far = 0; i < 1000; i++) {
		assert_int_equal(put(&a, 1, big, 100), 0);
		assert_int_equal(link_peek(&b, &d, &p), 1);
		far = d.off ? far + d.len : 0;
		assert_in_range(far, 0, LINK_DATA_BYTES / 32 + 200);
		assert_true(i < 100 || d.off <= LINK_DATA_BYTES / 32 + 200);
		link_take(&b);
	}
	assert_int_equal(put(&a, 1, "x", 1), 0);
	for (unsigned i = 1; i < LINK_SLOTS; i++)
		assert_int_equal(put(&a, 1, "", 0), 0);
	assert_int_equal(put(&a, 1, "", 0), -EAGAIN);
	assert_int_equal(put(&a, 1, big, LINK_FRAME_MAX + 1), -EAGAIN);
	link_end_done(&a);
	link_end_done(&b);
}

static void test_lies(void **state)
{
	struct link_end a, b;
	struct link_desc d;
	const char *p;

	(void)state;
	pair(&a, &b);
	/* A tail before the head, one beyond it, a head that is too far. */
	atomic_store(&b.page->tail, 1);
	for (int i = 0; i < LINK_SLOTS / 2; i++)
		(void)put(&a, 1, "", 0);
	atomic_store(&b.page->tail, 5000);
	assert_int_equal(put(&a, 1, "", 0), -EPROTO);
	atomic_store(&b.page->head, LINK_SLOTS + 1);
	assert_int_equal(link_peek(&a, &d, &p), -EPROTO);
	atomic_store(&b.page->head, 1);
	b.page->desc[0].len = LINK_FRAME_MAX + 1;
	assert_int_equal(link_peek(&a, &d, &p), -EPROTO);
	b.page->desc[0].len = 8;
	b.page->desc[0].off = LINK_DATA_BYTES - 7;
	assert_int_equal(link_peek(&a, &d, &p), -EPROTO);
	b.page->desc[0].off = LINK_DATA_BYTES - 8;
	b.page->desc[0].seat = LINK_SEATS_ALL;
	assert_int_equal(link_peek(&a, &d, &p), -EPROTO);
	b.page->desc[0].seat = LINK_SEATS_ALL - 1;
	assert_int_equal(link_peek(&a, &d, &p), 1);
	link_end_done(&a);
	link_end_done(&b);
}

static void test_seals(void **state)
{
	struct link_end a, b;
	char path[64];
	void *map;
	int fd, again, status;

	(void)state;
	must(link_end_create(&a, &fd) == 0);
	/* Neither by the descriptor nor by opening it anew can anyone but the writer write. */
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_equal(map, MAP_FAILED);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR | O_CLOEXEC);
	if (again >= 0) {
		map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0);
		assert_ptr_equal(map, MAP_FAILED);
		assert_int_equal(write(again, "x", 1), -1);
		assert_int_equal(ftruncate(again, 0), -1);
		close(again);
	}
	/* A forked child has no mapping of it. */
	if (!fork()) {
		_exit(mincore(a.page, 4096, (unsigned char[1]){0}) == 0);
	}
	must(wait(&status) > 0);
	assert_int_equal(status, 0);
	/* A reader takes only what is sealed and of the right size. */
	again = memfd_create("plain", MFD_CLOEXEC);
	must(ftruncate(again, LINK_MEM_BYTES) == 0);
	memset(&b, 0, sizeof(b));
	assert_true(link_end_attach(&b, again) < 0);
	close(again);
	must(sys_shm_create("small", 4096, &again, &map) == 0);
	assert_int_equal(link_end_attach(&b, again), -EBADMSG);
	close(again);
	sys_shm_unmap(map, 4096);
	close(fd);
	link_end_done(&a);
}

static void test_hello(void **state)
{
	struct link_hello h;

	(void)state;
	link_hello_fill(&h);
	assert_int_equal(link_hello_check(&h, sizeof(h)), LINK_VERSION_MAX);
	assert_int_equal(link_hello_check(&h, LINK_HELLO_BYTES_MIN - 1), -EPROTO);
	/* One of the first version, which knew no more. */
	h.max = 1;
	assert_int_equal(link_hello_check(&h, LINK_HELLO_BYTES_MIN), 1);
	h.min = h.max = LINK_VERSION_MAX + 1;
	assert_int_equal(link_hello_check(&h, sizeof(h)), -EPROTONOSUPPORT);
	h.min = 2;
	h.max = 1;
	assert_int_equal(link_hello_check(&h, sizeof(h)), -EPROTO);
	link_hello_fill(&h);
	h.slots *= 2;
	assert_int_equal(link_hello_check(&h, sizeof(h)), -EPROTONOSUPPORT);
	link_hello_fill(&h);
	h.data_bytes /= 2;
	assert_int_equal(link_hello_check(&h, sizeof(h)), -EPROTONOSUPPORT);
	link_hello_fill(&h);
	h.min = h.max = 0;
	assert_int_equal(link_hello_check(&h, sizeof(h)), -EPROTONOSUPPORT);
	h.magic++;
	assert_int_equal(link_hello_check(&h, sizeof(h)), -EPROTO);
}

static void test_room(void **state)
{
	static char big[LINK_FRAME_MAX];
	struct link_end a, b;
	int err;

	(void)state;
	pair(&a, &b);
	assert_int_equal(link_room_max(&a, &err), LINK_FRAME_MAX);
	assert_int_equal(put(&a, 1, big, LINK_FRAME_MAX), 0);
	assert_int_equal(put(&a, 1, big, LINK_FRAME_MAX), 0);
	/* What is left of the data, in whole words. */
	assert_int_equal(link_room_max(&a, &err), LINK_DATA_BYTES - 2 * LINK_FRAME_MAX);
	assert_int_equal(err, 0);
	for (unsigned i = 2; i < LINK_SLOTS; i++)
		assert_int_equal(put(&a, 1, "", 0), 0);
	assert_int_equal(link_room_max(&a, &err), 0);
	assert_int_equal(err, 0);
	atomic_store(&b.page->tail, 5000);
	assert_int_equal(link_room_max(&a, &err), 0);
	assert_int_equal(err, -EPROTO);
	link_end_done(&a);
	link_end_done(&b);
}

static void test_wake(void **state)
{
	struct link_end a, b;

	(void)state;
	pair(&a, &b);
	assert_false(link_must_wake(&a, false));
	link_asleep(&b, false);
	assert_false(link_must_wake(&a, true)); /* nobody waits for room */
	assert_true(link_must_wake(&a, false));
	assert_false(link_must_wake(&a, false)); /* once for each sleep */
	link_asleep(&b, false); /* which goes on */
	assert_false(link_must_wake(&a, false));
	link_awake(&b);
	link_awake(&b);
	assert_false(link_stop(&a, LINK_SEATS, 77)); /* a seat without words in the pages */
	link_asleep(&b, true);
	assert_true(link_must_wake(&a, true));
	assert_true(link_stop(&a, 3, 77));
	assert_false(link_begin(&b, 3, 77));
	/* The same request comes to the same seat again. */
	assert_false(link_begun(&a, 3, 77));
	link_give(&a, 3);
	assert_true(link_begin(&b, 3, 77));
	assert_true(link_begun(&a, 3, 77));
	assert_false(link_stop(&a, 3, 77));
	assert_true(link_begin(&b, 4, 78));
	assert_false(link_stop(&a, 4, 78));
	assert_false(link_stopped(&b, 4, 78));
	link_abandon(&a, 4, 78);
	assert_true(link_stopped(&b, 4, 78));
	link_end_done(&a);
	link_end_done(&b);
}

static int sock_said;

static void on_sock(struct loop *l, struct op *op, int res)
{
	(void)l;
	(void)res;
	sock_said = link_gate_on_sock(container_of(op, struct link_gate, sock_op));
}

static void on_wake(struct loop *l, struct op *op, int res)
{
	(void)l;
	(void)res;
	assert_int_equal(link_gate_on_wake(container_of(op, struct link_gate, wake_op)), 0);
}

/* A gate that breaks a rule loses its link: the worker's end shuts it, and no request of it is run.
 */
static void test_bad_gate(void **state)
{
	static op_done *const table[] = {[OP_USER] = on_sock, [OP_USER + 1] = on_wake};
	static const struct link_desc rows[][2] = {
		{{.id = 1, .type = LINK_REQ, .seat = 1}, {.id = 2, .type = LINK_REQ, .seat = 1}},
		{{.id = 1, .type = LINK_REQ, .arg = LINK_WINDOW + 1}, {0}},
		{{.id = 0, .type = LINK_REQ}, {0}},
		{{.id = 1, .type = LINK_REQ},
			{.id = 1, .type = LINK_REQ_BODY, .len = LINK_WINDOW + 8}},
		{{.id = 1, .type = LINK_REQ, .flags = LINK_END},
			{.id = 1, .type = LINK_REQ_BODY, .len = 8}},
		{{.id = 1, .type = LINK_REQ, .arg = LINK_WINDOW},
			{.id = 1, .type = LINK_ROOM, .arg = 1}},
		{{.id = 1, .type = LINK_HEAD}, {0}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct link_worker *w;
		struct link_gate g;
		struct link_req *r;
		struct loop *l;
		int fds[2], err;

		must(loop_new_epoll(&l, table, ARRAY_LEN(table)) == 0);
		must(link_worker_new(1, -1, &w) == 0 && sys_socketpair_seqpacket(fds) == 0);
		must(link_gate_init(&g, l, fds[0], OP_USER, OP_USER + 1, 0, 1) == 0);
		must(link_worker_add(w, fds[1]) == 0);
		loop_step(l, 1000);
		must(link_worker_wait(w, link_worker_seen(w)) == 0);
		for (int k = 0; k < 2 && rows[i][k].type; k++) {
			must(link_room(&g.end, rows[i][k].len, &err) != NULL);
			link_put(&g.end, &rows[i][k], rows[i][k].len);
		}
		link_publish(&g.end);
		assert_int_equal(link_worker_take(w, 0, &r), -EAGAIN);
		sock_said = 0;
		loop_step(l, 1000);
		assert_int_equal(sock_said, -EPIPE);
		link_gate_done(&g);
		link_worker_free(w);
		loop_free(l);
	}
}

/* Both real ends, without a process between them. */
static void test_ends(void **state)
{
	static op_done *const table[] = {[OP_USER] = on_sock, [OP_USER + 1] = on_wake};
	struct link_worker *w;
	struct link_gate g;
	struct link_req *r;
	struct loop *l;
	struct link_desc d = {
		.id = 9, .type = LINK_REQ, .flags = LINK_END, .seat = 2, .arg = LINK_WINDOW};
	const char *p;
	char *room;
	size_t n, took;
	int fds[2], err, file;

	(void)state;
	must(loop_new_epoll(&l, table, ARRAY_LEN(table)) == 0);
	must(link_worker_new(1, -1, &w) == 0);
	must(sys_socketpair_seqpacket(fds) == 0);
	assert_int_equal(link_gate_init(&g, l, fds[0], OP_USER, OP_USER + 1, 0, 1), 0);
	assert_int_equal(link_worker_add(w, fds[1]), 0);
	loop_step(l, 1000);
	assert_int_equal(sock_said, 1);
	assert_int_equal(link_worker_take(w, 0, &r), -EAGAIN);
	assert_int_equal(link_worker_wait(w, link_worker_seen(w)), 0);
	room = link_room(&g.end, 3, &err);
	memcpy(room, "env", 3);
	link_put(&g.end, &d, 3);
	g.put = true;
	link_gate_flush(&g);
	assert_int_equal(link_worker_take(w, 0, &r), 0);
	assert_memory_equal(link_req_env(r, &n), "env", 3);
	assert_int_equal(atomic_load(&g.status->busy), 1);
	assert_int_equal(link_req_head(r, "head", 4, "body", 4, false, &took), 0);
	file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_int_equal(link_req_file(r, file, 4, 100), 0);
	close(file);
	assert_true(link_req_ended(r));
	assert_int_equal(atomic_load(&g.status->busy), 0);
	link_req_done(r);
	assert_int_equal(link_peek(&g.end, &d, &p), 1);
	assert_memory_equal(p, "headbody", 8);
	link_take(&g.end);
	assert_int_equal(link_peek(&g.end, &d, &p), 1);
	assert_int_equal(d.type, LINK_FILE);
	file = link_gate_file(&g, ((const struct link_file *)p)->number);
	assert_true(file >= 0);
	assert_int_equal(link_gate_file(&g, 2), -EPROTO);
	close(file);
	/* What is no file on a disk is refused by its sender. */
	assert_int_equal(pipe(fds), 0);
	d.id = 10;
	d.type = LINK_REQ;
	link_take(&g.end);
	must(link_room(&g.end, 0, &err) != NULL);
	link_put(&g.end, &d, 0);
	link_publish(&g.end);
	assert_int_equal(link_worker_take(w, 0, &r), 0);
	assert_int_equal(link_req_file(r, fds[0], 0, 1), -EINVAL);
	/* The gate goes: its request is over, the worker stays. */
	link_gate_done(&g);
	assert_int_equal(link_worker_wait(w, link_worker_seen(w)), 0);
	assert_int_equal(link_req_fail(r), -EPIPE);
	assert_true(link_req_gone(r));
	link_req_done(r);
	link_worker_stop(w);
	assert_int_equal(link_worker_take(w, 0, &r), -ESHUTDOWN);
	link_worker_free(w);
	close(fds[0]);
	close(fds[1]);
	loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_seals),
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_wake),
		cmocka_unit_test(test_bad_gate),
		cmocka_unit_test(test_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
