/*
 * test_chan.c: channels on both backends: messages, descriptors, bounds, faults; and the blocking
 * form.
 */
#include "rig.h"

#include "lib/chan.h"

static op_done *const table[] = {CHAN_OPS};

struct peer {
	struct chan c;
	unsigned got, gone;
	int why;
	uint64_t last_id;
	char payload[CHAN_PAYLOAD_MAX];
	uint32_t len;
	int fd; /* taken from the last message */
	bool close_in_got;
	uint16_t refuse; /* this type is not allowed */
};

static bool allowed(struct chan *c, const struct msg_head *h, unsigned nfds)
{
	struct peer *p = c->owner;

	(void)nfds;
	return h->type != p->refuse;
}

static void got(struct chan *c, struct msg *m)
{
	struct peer *p = c->owner;

	p->got++;
	p->last_id = m->h.id;
	p->len = m->h.len;
	memcpy(p->payload, m->payload, m->h.len);
	p->fd = msg_take_fd(m, 0);
	assert_int_equal(msg_take_fd(m, 0), -1);
	assert_int_equal(msg_take_fd(m, CHAN_FDS_MAX), -1);
	if (p->close_in_got) {
		chan_close(c);
		/* The owner may free it here. */
		memset(c, 0xee, sizeof(*c));
		c->lfd.fd = -1;
	}
}

static void gone(struct chan *c, int why)
{
	struct peer *p = c->owner;

	assert_false(chan_open(c));
	p->gone++;
	p->why = why;
}

static const struct chan_ops ops = {.allowed = allowed, .got = got, .gone = gone};

static void open_pair(struct rig *r, struct peer *a, struct peer *b)
{
	int fds[2];

	memset(a, 0, sizeof(*a));
	memset(b, 0, sizeof(*b));
	assert_int_equal(loop_sys_socketpair(r->l, fds), 0);
	assert_int_equal(chan_init(&a->c, r->l, fds[0], &ops, a), 0);
	assert_int_equal(chan_init(&b->c, r->l, fds[1], &ops, b), 0);
}

static void turns(struct rig *r, unsigned n)
{
	while (n--)
		assert_int_equal(loop_step(r->l, 0), 0);
}

static void messages_both_ways(void **state)
{
	static char big[CHAN_PAYLOAD_MAX];
	static struct peer a, b;
	struct rig r;

	rig_open(&r, state, table, ARRAY_LEN(table));
	open_pair(&r, &a, &b);
	assert_int_equal(chan_send(&a.c, 7, 99, "head", 4, "tail", 4, NULL, 0), 0);
	assert_int_equal(chan_send(&b.c, 8, 1, NULL, 0, NULL, 0, NULL, 0), 0);
	turns(&r, 5);
	assert_int_equal(b.got, 1);
	assert_int_equal(b.last_id, 99);
	assert_int_equal(b.len, 8);
	assert_memory_equal(b.payload, "headtail", 8);
	assert_int_equal(b.fd, -1);
	assert_int_equal(a.got, 1);
	assert_int_equal(a.len, 0);
	big[CHAN_PAYLOAD_MAX - 1] = 'z';
	assert_int_equal(chan_send(&a.c, 7, 0, big, sizeof(big), "x", 1, NULL, 0), -EMSGSIZE);
	assert_int_equal(chan_send(&a.c, 7, 0, big, sizeof(big), NULL, 0, NULL, 0), 0);
	turns(&r, 5);
	assert_int_equal(b.got, 2);
	assert_int_equal(b.payload[CHAN_PAYLOAD_MAX - 1], 'z');
	chan_close(&a.c);
	chan_close(&a.c);
	assert_int_equal(chan_send(&a.c, 7, 0, NULL, 0, NULL, 0, NULL, 0), -EPIPE);
	turns(&r, 5);
	assert_int_equal(b.gone, 1);
	assert_int_equal(b.why, 0);
	assert_int_equal(a.gone, 0);
	rig_done(&r);
}

/* The peer's last words are read although it ended with ours unread. */
static void last_words_before_the_end(void **state)
{
	static struct peer a, b;
	struct rig r;

	rig_open(&r, state, table, ARRAY_LEN(table));
	open_pair(&r, &a, &b);
	assert_int_equal(chan_send(&b.c, 7, 0, "unread", 6, NULL, 0, NULL, 0), 0);
	assert_int_equal(chan_send(&a.c, 7, 5, "last", 4, NULL, 0, NULL, 0), 0);
	chan_close(&a.c);
	turns(&r, 5);
	assert_int_equal(b.got, 1);
	assert_int_equal(b.last_id, 5);
	assert_int_equal(b.gone, 1);
	assert_int_equal(b.why, 0);
	assert_int_equal(a.got, 0);
	rig_done(&r);
}

static void descriptors_pass(void **state)
{
	static struct peer a, b;
	struct rig r;
	int fds[2], many[CHAN_FDS_MAX + 1];
	char p[8];

	rig_open(&r, state, table, ARRAY_LEN(table));
	open_pair(&r, &a, &b);
	assert_int_equal(loop_sys_pipe(r.l, fds), 0);
	assert_int_equal(chan_send(&a.c, 7, 0, "x", 1, NULL, 0, &fds[0], 1), 0);
	loop_sys_close(r.l, fds[0]);
	turns(&r, 5);
	assert_true(b.fd >= 0);
	if (!r.sim)
		assert_true(fcntl(b.fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(loop_sys_write(r.l, fds[1], "hi", 2), 2);
	assert_int_equal(loop_sys_read(r.l, b.fd, p, 8), 2);
	loop_sys_close(r.l, b.fd);
	/* Those that the handler leaves are closed behind it: the pipe's other end sees no reader.
	 */
	for (unsigned i = 0; i < ARRAY_LEN(many); i++)
		many[i] = fds[1];
	assert_int_equal(chan_send(&a.c, 7, 0, NULL, 0, NULL, 0, many, CHAN_FDS_MAX), 0);
	assert_int_equal(
		chan_send(&a.c, 7, 0, NULL, 0, NULL, 0, many, CHAN_FDS_MAX + 1), -EMSGSIZE);
	loop_sys_close(r.l, fds[1]);
	turns(&r, 5);
	assert_int_equal(b.got, 2);
	loop_sys_close(r.l, b.fd);
	chan_close(&a.c);
	chan_close(&b.c);
	rig_done(&r);
}

static void queue_is_bounded(void **state)
{
	static char big[CHAN_PAYLOAD_MAX];
	static struct peer a, b;
	unsigned sent = 0;
	struct rig r;
	int fds[2], res;

	rig_open(&r, state, table, ARRAY_LEN(table));
	open_pair(&r, &a, &b);
	assert_int_equal(loop_sys_pipe(r.l, fds), 0);
	while ((res = chan_send(&a.c, 7, sent, big, sizeof(big), NULL, 0, fds, 1)) == 0)
		sent++;
	assert_int_equal(res, -ENOBUFS);
	assert_false(chan_drained(&a.c));
	assert_true(sent * sizeof(big) >= CHAN_QUEUE_BYTES_MAX - sizeof(big));
	assert_true(sent * sizeof(big) <= 2 * CHAN_QUEUE_BYTES_MAX);
	/* All of them arrive, in order, each with its descriptor. */
	for (unsigned i = 0; i < 10000 && b.got < sent; i++) {
		unsigned before = b.got;

		b.fd = -1;
		turns(&r, 1);
		assert_true(b.got == before || b.last_id == b.got - 1);
		if (b.got > before && b.fd >= 0)
			loop_sys_close(r.l, b.fd);
		if (b.got > before + 1)
			break; /* a batch: descriptors of the earlier ones were left to the test's
				  end */
	}
	while (b.got < sent)
		turns(&r, 1);
	assert_true(chan_drained(&a.c));
	assert_int_equal(b.last_id, sent - 1);
	chan_close(&a.c);
	chan_close(&b.c);
	loop_sys_close(r.l, fds[0]);
	loop_sys_close(r.l, fds[1]);
	/* Every batch's descriptors but the last were overwritten in b.fd: the world closes them.
	 */
	loop_free(r.l);
	sim_free(r.sim);
}

static void small_messages_are_bounded_too(void **state)
{
	static struct peer a, b;
	unsigned sent = 0;
	struct rig r;

	rig_open(&r, state, table, ARRAY_LEN(table));
	open_pair(&r, &a, &b);
	while (sent < 100000 && chan_send(&a.c, 7, sent, "x", 1, NULL, 0, NULL, 0) == 0)
		sent++;
	assert_true(sent >= CHAN_QUEUE_MAX && sent < 100000);
	for (unsigned i = 0; i < 10000 && b.got < sent; i++)
		turns(&r, 1);
	assert_int_equal(b.got, sent);
	/* Closing with a full queue drops it. */
	while (chan_send(&a.c, 7, 0, "x", 1, NULL, 0, NULL, 0) == 0)
		;
	chan_close(&a.c);
	chan_close(&b.c);
	rig_done(&r);
}

static void send_raw(struct rig *r, int fd, const void *p, size_t n, const int *fds, unsigned nfds)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(64 * sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)p, n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (nfds) {
		m.msg_control = control.room;
		m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, nfds * sizeof(int));
	}
	assert_int_equal(loop_sys_sendmsg(r->l, fd, &m, MSG_NOSIGNAL), n);
}

static void faults_lose_the_channel(void **state)
{
	static char bytes[sizeof(struct msg_head) + CHAN_PAYLOAD_MAX + 100];
	static const struct {
		struct msg_head h;
		size_t n;
		unsigned nfds;
	} cases[] = {
		{{.len = 0, .type = 7, .major = 1}, 15, 0},
		{{.len = 5, .type = 7, .major = 1}, 20, 0},
		{{.len = 3, .type = 7, .major = 1}, 20, 0},
		{{.len = 0xffffffff, .type = 7, .major = 1}, 16, 0},
		{{.len = 0, .type = 0, .major = 1}, 16, 0},
		{{.len = 0, .type = 7, .major = 0}, 16, 0},
		{{.len = 0, .type = 66, .major = 1}, 16, 0}, /* not allowed */
		{{.len = CHAN_PAYLOAD_MAX + 1, .type = 7, .major = 1}, 16 + CHAN_PAYLOAD_MAX + 1,
			0},
		{{.len = CHAN_PAYLOAD_MAX, .type = 7, .major = 1}, 16 + CHAN_PAYLOAD_MAX + 50, 0},
		{{.len = 0, .type = 7, .major = 1}, 16, CHAN_FDS_MAX + 1},
		{{.len = 1, .type = 7, .major = 1}, 16, 3},
	};
	static struct peer b;
	struct rig r;

	rig_open(&r, state, table, ARRAY_LEN(table));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int fds[2], pass[64], pipe_fds[2];
		char p[1];

		memset(&b, 0, sizeof(b));
		b.refuse = 66;
		assert_int_equal(loop_sys_socketpair(r.l, fds), 0);
		assert_int_equal(loop_sys_pipe(r.l, pipe_fds), 0);
		assert_int_equal(chan_init(&b.c, r.l, fds[1], &ops, &b), 0);
		for (unsigned k = 0; k < 64; k++)
			pass[k] = pipe_fds[1];
		memcpy(bytes, &cases[i].h, sizeof(cases[i].h));
		send_raw(&r, fds[0], bytes, cases[i].n, pass, cases[i].nfds);
		turns(&r, 3);
		assert_int_equal(b.got, 0);
		assert_int_equal(b.gone, 1);
		assert_int_equal(b.why, -EPROTO);
		/* No descriptor of the refused message is left open. */
		loop_sys_close(r.l, pipe_fds[1]);
		assert_int_equal(loop_sys_read(r.l, pipe_fds[0], p, 1), 0);
		loop_sys_close(r.l, pipe_fds[0]);
		loop_sys_close(r.l, fds[0]);
	}
	rig_done(&r);
}

static void closing_in_got_drops_the_rest(void **state)
{
	static struct peer a, b;
	struct rig r;

	rig_open(&r, state, table, ARRAY_LEN(table));
	open_pair(&r, &a, &b);
	b.close_in_got = true;
	for (int i = 0; i < 3; i++)
		assert_int_equal(chan_send(&a.c, 7, 0, "x", 1, NULL, 0, NULL, 0), 0);
	turns(&r, 5);
	assert_int_equal(b.got, 1);
	assert_int_equal(b.gone, 0);
	assert_int_equal(a.gone, 1);
	assert_int_equal(a.why, 0);
	rig_done(&r);
}

static void one_way(void **state)
{
	static struct peer a, b;
	struct rig r;
	int fds[2];

	rig_open(&r, state, table, ARRAY_LEN(table));
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	assert_int_equal(loop_sys_socketpair(r.l, fds), 0);
	assert_int_equal(chan_init_oneway(&a.c, r.l, fds[0], &ops, &a), 0);
	assert_int_equal(chan_init(&b.c, r.l, fds[1], &ops, &b), 0);
	assert_int_equal(chan_send(&a.c, 7, 3, "x", 1, NULL, 0, NULL, 0), 0);
	assert_int_equal(chan_send(&b.c, 7, 3, "x", 1, NULL, 0, NULL, 0), -EPIPE);
	turns(&r, 5);
	assert_int_equal(b.got, 1);
	assert_int_equal(b.gone, 0);
	assert_int_equal(a.gone, 0);
	chan_close(&b.c);
	turns(&r, 5);
	assert_int_equal(a.gone, 0);
	assert_int_equal(chan_send(&a.c, 7, 3, "x", 1, NULL, 0, NULL, 0), -EPIPE);
	chan_close(&a.c);
	rig_done(&r);
}

static void reading_structs(void **state)
{
	struct {
		uint32_t a, b, c;
	} s;
	struct msg m = {.h.len = 8, .payload = "\1\0\0\0\2\0\0\0"};
	size_t n;

	(void)state;
	assert_int_equal(msg_get(&m, &s, sizeof(s), 8), 0);
	assert_int_equal(s.a, 1);
	assert_int_equal(s.b, 2);
	assert_int_equal(s.c, 0);
	assert_int_equal(msg_get(&m, &s, 4, 4), 0);
	assert_int_equal(msg_get(&m, &s, sizeof(s), 12), -EPROTO);
	assert_memory_equal(msg_tail(&m, 4, &n), "\2", 1);
	assert_int_equal(n, 4);
	msg_tail(&m, 8, &n);
	assert_int_equal(n, 0);
	msg_tail(&m, 100, &n);
	assert_int_equal(n, 0);
}

static void blocking(void **state)
{
	static char mem[CHAN_PAYLOAD_MAX], big[CHAN_PAYLOAD_MAX];
	static char longer[sizeof(struct msg_head) + CHAN_PAYLOAD_MAX + 5];
	struct msg m;
	int fds[2], pass;

	(void)state;
	assert_int_equal(sys_socketpair_seqpacket(fds), 0);
	assert_int_equal(chan_send_blocking(fds[0], 7, 9, "ab", 2, "cd", 2, &fds[0], 1), 0);
	assert_int_equal(chan_recv_blocking(fds[1], &m, mem), 0);
	assert_int_equal(m.h.type, 7);
	assert_int_equal(m.h.id, 9);
	assert_int_equal(m.h.len, 4);
	assert_memory_equal(m.payload, "abcd", 4);
	pass = msg_take_fd(&m, 0);
	assert_true(fcntl(pass, F_GETFD) & FD_CLOEXEC);
	close(pass);
	big[CHAN_PAYLOAD_MAX - 1] = 'q';
	assert_int_equal(chan_send_blocking(fds[0], 7, 9, big, sizeof(big), NULL, 0, NULL, 0), 0);
	assert_int_equal(chan_recv_blocking(fds[1], &m, mem), 0);
	assert_int_equal(((const char *)m.payload)[CHAN_PAYLOAD_MAX - 1], 'q');
	assert_int_equal(
		chan_send_blocking(fds[0], 7, 9, big, sizeof(big), "x", 1, NULL, 0), -EMSGSIZE);
	assert_int_equal(send(fds[0], "short", 5, 0), 5);
	assert_int_equal(chan_recv_blocking(fds[1], &m, mem), -EPROTO);
	/* Longer than the largest: cut to a size that would do. */
	memset(longer, 0, sizeof(longer));
	memcpy(longer, &(struct msg_head){.len = CHAN_PAYLOAD_MAX, .type = 7, .major = 1},
		sizeof(struct msg_head));
	assert_int_equal(send(fds[0], longer, sizeof(longer), 0), sizeof(longer));
	assert_int_equal(chan_recv_blocking(fds[1], &m, mem), -EPROTO);
	/* Unread words of ours do not hide the peer's last. */
	assert_int_equal(chan_send_blocking(fds[1], 7, 1, "unread", 6, NULL, 0, NULL, 0), 0);
	assert_int_equal(chan_send_blocking(fds[0], 7, 2, "last", 4, NULL, 0, NULL, 0), 0);
	close(fds[0]);
	assert_int_equal(chan_recv_blocking(fds[1], &m, mem), 0);
	assert_int_equal(m.h.id, 2);
	assert_int_equal(chan_recv_blocking(fds[1], &m, mem), -EPIPE);
	assert_int_equal(chan_send_blocking(fds[1], 7, 2, "x", 1, NULL, 0, NULL, 0), -EPIPE);
	close(fds[1]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		ON_BOTH(messages_both_ways),
		ON_BOTH(last_words_before_the_end),
		ON_BOTH(descriptors_pass),
		ON_BOTH(queue_is_bounded),
		ON_BOTH(small_messages_are_bounded_too),
		ON_BOTH(faults_lose_the_channel),
		ON_BOTH(closing_in_got_drops_the_rest),
		ON_BOTH(one_way),
		cmocka_unit_test(reading_structs),
		cmocka_unit_test(blocking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
