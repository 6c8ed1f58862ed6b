/*
 * test_sim.c: the simulated world itself: an echo service under every fault, and that a seed
 * repeats.
 */
#include "test.h"

#include "lib/loop.h"
#include "lib/must.h"
#include "lib/sim.h"

#include <errno.h>
#include <string.h>

enum { OP_ACCEPT = OP_USER, OP_RECV, OP_SENT, OP_RETRY, OP_KINDS };
enum { CLIENTS = 8, BYTES = 5000 };

struct conn {
	struct lfd f;
	struct op recv;
	struct send_op send;
	char out[20000];
	bool open, ending;
};

struct server {
	struct lfd listener;
	struct op accept;
	struct timer retry;
	struct conn conns[CLIENTS];
	unsigned emfile;
};

static void on_accept(struct loop *l, struct op *op, int res)
{
	struct server *s = container_of(op, struct server, accept);
	struct conn *c = s->conns;

	if (res < 0) {
		assert_int_equal(res, -EMFILE);
		s->emfile++;
		loop_timer_in(l, &s->retry, 10);
		return;
	}
	while (c->open)
		c++;
	assert_true(c < s->conns + CLIENTS);
	memset(c, 0, sizeof(*c));
	c->open = true;
	c->recv.kind = OP_RECV;
	c->send.op.kind = OP_SENT;
	assert_int_equal(loop_add(l, &c->f, res), 0);
	loop_recv(l, &c->f, &c->recv);
	loop_accept(l, &s->listener, op);
}

static void on_retry(struct loop *l, struct op *op, int res)
{
	struct server *s = container_of(op, struct server, retry.op);

	(void)res;
	loop_accept(l, &s->listener, &s->accept);
}

static void end(struct loop *l, struct conn *c)
{
	loop_close(l, &c->f);
	c->open = false;
}

static void on_sent(struct loop *l, struct op *op, int res)
{
	struct conn *c = container_of(op, struct conn, send.op);

	if (res < 0)
		end(l, c);
	else
		loop_recv(l, &c->f, &c->recv);
}

static void on_recv(struct loop *l, struct op *op, int res)
{
	struct conn *c = container_of(op, struct conn, recv);
	int sent;

	if (res <= 0) {
		end(l, c);
		return;
	}
	memcpy(c->out, op->buf, (size_t)res);
	c->send.iov[0] = (struct iovec){c->out, (size_t)res};
	c->send.iovcnt = 1;
	sent = loop_send(l, &c->f, &c->send);
	if (sent == 0)
		loop_recv(l, &c->f, op);
	else if (sent != -EINPROGRESS)
		end(l, c);
}

static op_done *const table[OP_KINDS] = {
	[OP_ACCEPT] = on_accept,
	[OP_RECV] = on_recv,
	[OP_SENT] = on_sent,
	[OP_RETRY] = on_retry,
};

struct client {
	int fd;
	size_t sent, got;
};

/* One move of a client: writes a bit, reads a bit, now and then vanishes. */
static void client_move(struct sim *s, struct client *c, uint64_t *trace)
{
	unsigned char p[700];
	ssize_t n;

	if (c->fd < 0)
		return;
	if (sim_chance(s, 3)) {
		sim_reset(s, c->fd);
		c->fd = -1;
		return;
	}
	if (c->sent < BYTES) {
		size_t want = 1 + (size_t)sim_below(s, min_of(sizeof(p), BYTES - c->sent));

		for (size_t i = 0; i < want; i++)
			p[i] = (unsigned char)((c->sent + i) % 251);
		n = sim_write(s, c->fd, p, want);
		assert_true(n > 0 || n == -EAGAIN);
		c->sent += n > 0 ? (size_t)n : 0;
	}
	n = sim_read(s, c->fd, p, sizeof(p));
	assert_true(n > 0 || n == -EAGAIN);
	for (ssize_t i = 0; i < n; i++)
		assert_int_equal(p[i], (c->got + (size_t)i) % 251);
	c->got += n > 0 ? (size_t)n : 0;
	*trace = *trace * 31 + (uint64_t)n + sim_now_us(s);
	if (c->got == BYTES) {
		sim_close(s, c->fd);
		c->fd = -1;
	}
}

static uint64_t run_seed(uint64_t seed)
{
	struct sim_options o = {
		.seed = seed,
		.pieces_permille = 300,
		.short_permille = 200,
		.refuse_permille = 100,
		.reorder_permille = 300,
		.emfile_permille = 200,
		.latency_us_max = seed % 2 ? 5000 : 0,
		.stream_bytes = 1000,
	};
	static struct server server;
	struct client clients[CLIENTS];
	uint64_t trace = 0;
	struct loop *l;
	struct sim *s;
	int listener;
	unsigned open;

	assert_int_equal(sim_new(&s, &o), 0);
	assert_int_equal(loop_new_sim(&l, s, table, OP_KINDS), 0);
	memset(&server, 0, sizeof(server));
	server.accept.kind = OP_ACCEPT;
	server.retry.op.kind = OP_RETRY;
	listener = sim_listen(s, CLIENTS);
	assert_int_equal(loop_add(l, &server.listener, listener), 0);
	loop_accept(l, &server.listener, &server.accept);
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = (struct client){.fd = sim_connect(s, listener)};
		assert_true(clients[i].fd >= 0);
	}
	do {
		open = 0;
		for (int i = 0; i < CLIENTS; i++) {
			client_move(s, &clients[i], &trace);
			open += clients[i].fd >= 0;
		}
		for (int i = 0; i < 4; i++)
			sim_step(s);
		assert_true(sim_now_us(s) < 1000000000);
	} while (open);
	/* Every connection ends, whatever its client did, and no descriptor is left. */
	sim_calm(s);
	assert_int_equal(sim_run_ms(s, 1000), 0);
	assert_int_equal(sim_open_fds(s), 1);
	loop_close(l, &server.listener);
	loop_timer_stop(l, &server.retry);
	loop_free(l);
	assert_int_equal(sim_open_fds(s), 0);
	sim_free(s);
	return trace;
}

static void echo_under_faults(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		uint64_t trace = run_seed(seed);

		if (seed <= 5)
			assert_true(run_seed(seed) == trace);
		else
			assert_true(trace != run_seed(seed + 1000));
	}
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

static void on_spin(struct loop *l, struct op *op, int res)
{
	(void)res;
	loop_defer(l, op);
}

static void ends_of_a_run(void **state)
{
	static op_done *const spin[OP_USER + 1] = {[OP_USER] = on_spin};
	struct sim_options o = {.seed = 1};
	struct op op = {.kind = OP_USER};
	struct loop *l;
	struct sim *s;

	(void)state;
	assert_int_equal(sim_new(&s, &o), 0);
	assert_int_equal(loop_new_sim(&l, s, spin, OP_USER + 1), 0);
	assert_int_equal(sim_run_until(s, never, NULL, 10), -EDEADLK);
	loop_defer(l, &op);
	assert_int_equal(sim_run_until(s, never, NULL, 10), -ELOOP);
	loop_free(l);
	sim_free(s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(echo_under_faults),
		cmocka_unit_test(ends_of_a_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
