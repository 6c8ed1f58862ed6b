/*
 * sim_gate.c: the gate's connections on the simulated loop, many seeds: bytes in pieces, short
 * writes, resets, EMFILE, clients that stop, leave or send garbage, an app that answers when it
 * likes.
 *
 * Invariants, for each seed: every connection ends with exactly one close reason, every request
 * leaves exactly one record, a client that behaved has its answers whole and in order, and in the
 * end no connection, no arena block, no buffer, no byte of the budget is out.
 *
 *   sim-gate [FIRST [COUNT]]
 */
#include "gate_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CLIENTS = 12, EXCHANGES = 8, BUF = 600000, BIG = 150000, STEPS_MAX = 400000 };

/* What a client asks for, and what it must get. */
enum ask {
	ASK_SMALL,
	ASK_BIG,
	ASK_NONE,
	ASK_RANGE,
	ASK_HEAD,
	ASK_APP,
	ASK_UPLOAD,
	ASK_CHUNKS,
	ASK_POST_STATIC,
	ASKS
};

struct client {
	int fd; /* -1: gone */
	enum ask asks[EXCHANGES];
	unsigned n, answered;
	char *out;
	size_t out_len, out_at;
	char *in;
	size_t in_len;
	bool hostile; /* sends garbage, or leaves: what it gets does not matter */
	uint64_t leaves_us, sleeps_until_us;
};

struct world {
	struct gate_world h;
	struct logring_reader ring;
	unsigned records, connected;
	struct client clients[CLIENTS];
};

/* The app: answers in pieces, after a while. */
struct answering {
	struct timer timer;
	struct req *r;
	size_t left, unread;
	bool ended, wrong; /* wrong: not the bytes that a client who behaves sends */
};

static struct sim *sim_of(const struct gate *g)
{
	return ((struct world *)g->test)->h.s;
}

static void app_start(struct req *r)
{
	struct answering *a = arena_zalloc(&r->arena, sizeof(*a));

	must(a);
	r->handler_state = a;
	a->r = r;
	a->timer.op.kind = OP_FAKE_TURN;
	a->left = sim_below(sim_of(r->gate), 4) ? sim_below(sim_of(r->gate), 3000) : 100000;
	loop_timer_in(r->gate->loop, &a->timer, sim_below(sim_of(r->gate), 30));
}

static void app_body(struct req *r, const void *p, size_t n)
{
	struct answering *a = r->handler_state;

	for (size_t i = 0; i < n; i++)
		a->wrong |= ((const char *)p)[i] != 'u';
	a->unread += n;
	must(a->unread <= STREAM_WINDOW);
	if (sim_chance(sim_of(r->gate), 500)) {
		a->unread -= n;
		req_consume(r, n);
	}
}

static void app_room(struct req *r)
{
	struct answering *a = r->handler_state;

	loop_timer_in(r->gate->loop, &a->timer, sim_below(sim_of(r->gate), 5));
}

static void app_body_end(struct req *r)
{
	struct answering *a = r->handler_state;
	const struct field *bytes = req_field(r, "x-bytes");

	a->ended = true;
	a->wrong |= bytes && strtoul(bytes->value, NULL, 10) != r->body_in;
}

static void app_on_turn(struct loop *l, struct op *op, int res)
{
	struct answering *a = container_of(op, struct answering, timer.op);
	static char text[4096];
	struct req *r = a->r;
	struct resp_head h = {.status = 200, .content_length = -1};
	size_t n, took;

	(void)res;
	memset(text, 'p', sizeof(text));
	if (a->unread) {
		n = a->unread;
		a->unread = 0;
		req_consume(r, n);
	}
	/* An upload is answered once it is whole, so that the client's count of bytes can be
	 * checked. */
	if (r->content_length && !a->ended) {
		loop_timer_in(l, &a->timer, 1);
		return;
	}
	h.status = a->wrong ? 400 : 200;
	if (!r->head_sent && sim_chance(sim_of(r->gate), 500))
		h.content_length = (int64_t)a->left;
	if (!r->head_sent && req_resp_head(r, &h, false) < 0)
		return;
	n = 1 + (size_t)sim_below(sim_of(r->gate), sizeof(text) - 1);
	n = min_of(a->left, n);
	took = req_resp_body(r, text, n, n == a->left);
	a->left -= took;
	/* No more timer: the protocol must say when there is room. */
	if (took < n)
		return;
	if (a->left)
		loop_timer_in(l, &a->timer, sim_below(sim_of(r->gate), 5));
}

static void app_done(struct req *r)
{
	struct answering *a = r->handler_state;

	loop_timer_stop(r->gate->loop, &a->timer);
}

static const struct handler_ops app_handler = {.name = "sim",
	.start = app_start,
	.body = app_body,
	.body_end = app_body_end,
	.room = app_room,
	.done = app_done};
static const struct handler_ops *const handlers[HANDLER_END] = {
	[HANDLER_ERROR] = &errorpage_handler,
	[HANDLER_STATIC] = &to_static_handler,
	[HANDLER_APP] = &app_handler};
static const struct stream_ops *const protos[PROTO_END] = {[PROTO_HTTP1] = &http1_stream_ops};
static op_done *const ops[OP_GATE_END] = {GATE_WORLD_OPS, [OP_FAKE_TURN] = app_on_turn};
static const struct gate_world_parts parts = {ops, protos, handlers};

void gate_drained(struct gate *g)
{
	(void)g;
}

/* Clients. */

static void say(struct client *c, const char *p, size_t n)
{
	must(c->out_len + n <= BUF);
	memcpy(c->out + c->out_len, p, n);
	c->out_len += n;
}

static void say_text(struct client *c, const char *text)
{
	say(c, text, strlen(text));
}

static void say_upload(struct world *w, struct client *c, bool chunked)
{
	static char body[20000];
	char line[64];
	size_t n = sim_below(w->h.s, sizeof(body) - 1) + 1, chunk;

	memset(body, 'u', sizeof(body));
	(void)snprintf(line, sizeof(line), "POST /app HTTP/1.1\r\nHost: a\r\nX-Bytes: %zu\r\n", n);
	say_text(c, line);
	if (!chunked) {
		(void)snprintf(line, sizeof(line), "Content-Length: %zu\r\n\r\n", n);
		say_text(c, line);
		say(c, body, n);
		return;
	}
	say_text(c, "Transfer-Encoding: chunked\r\n\r\n");
	for (; n; n -= chunk) {
		chunk = min_of(n, (size_t)sim_below(w->h.s, 3000) + 1);
		(void)snprintf(line, sizeof(line), "%zx\r\n", chunk);
		say_text(c, line);
		say(c, body, chunk);
		say_text(c, "\r\n");
	}
	say_text(c, "0\r\nA: b\r\n\r\n");
}

static void plan(struct world *w, struct client *c)
{
	static const char *const plain[ASKS] = {
		[ASK_SMALL] = "GET /small HTTP/1.1\r\nHost: a\r\n\r\n",
		[ASK_BIG] = "GET /big HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
		[ASK_NONE] = "GET /none HTTP/1.1\r\nHost: a\r\n\r\n",
		[ASK_RANGE] =
			"GET /big HTTP/1.1\r\nHost: a\r\nRange: bytes=0-9,100000-120000\r\n\r\n",
		[ASK_HEAD] = "HEAD /big HTTP/1.1\r\nHost: a\r\n\r\n",
		[ASK_APP] = "GET /app/x HTTP/1.1\r\nHost: a\r\n\r\n",
		[ASK_POST_STATIC] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nuuuuu",
	};

	c->hostile = sim_chance(w->h.s, 350);
	c->n = 1 + (unsigned)sim_below(w->h.s, EXCHANGES - 1);
	for (unsigned i = 0; i < c->n; i++) {
		c->asks[i] = (enum ask)sim_below(w->h.s, ASKS);
		if (c->asks[i] == ASK_UPLOAD || c->asks[i] == ASK_CHUNKS)
			say_upload(w, c, c->asks[i] == ASK_CHUNKS);
		else
			say_text(c, plain[c->asks[i]]);
	}
	if (!c->hostile)
		return;
	if (sim_chance(w->h.s, 400))
		c->out[sim_below(w->h.s, c->out_len)] = (char)sim_below(w->h.s, 256);
	if (sim_chance(w->h.s, 300))
		c->out_len = sim_below(w->h.s, c->out_len) + 1;
	if (sim_chance(w->h.s, 500))
		c->leaves_us = sim_now_us(w->h.s) + sim_below(w->h.s, 300000);
}

/* The end of the answer that begins at p; 0: not whole yet. */
static size_t answer_end(const char *p, size_t n, enum ask ask, int *ret_status)
{
	const char *end = memmem(p, n, "\r\n\r\n", 4), *f;
	size_t at;

	if (!end)
		return 0;
	must(!strncmp(p, "HTTP/1.1 ", 9));
	*ret_status = (int)strtoul(p + 9, NULL, 10);
	at = (size_t)(end - p) + 4;
	if (ask == ASK_HEAD)
		return at;
	f = memmem(p, at, "Content-Length: ", 16);
	if (f)
		return at + strtoul(f + 16, NULL, 10) <= n ? at + strtoul(f + 16, NULL, 10) : 0;
	must(memmem(p, at, "Transfer-Encoding: chunked", 26));
	for (;;) {
		const char *line = memmem(p + at, n - at, "\r\n", 2);
		size_t size;

		if (!line)
			return 0;
		size = strtoul(p + at, NULL, 16);
		at = (size_t)(line - p) + 2 + size + 2;
		if (at > n)
			return 0;
		must(p[at - 2] == '\r' && p[at - 1] == '\n');
		if (size == 0)
			return at;
	}
}

static void check_answers(struct client *c)
{
	static const int want[ASKS] = {200, 200, 404, 206, 200, 200, 200, 200, 405};

	while (c->answered < c->n && c->in_len) {
		int status = 0;
		size_t end = answer_end(c->in, c->in_len, c->asks[c->answered], &status);

		if (!end)
			return;
		must(status == want[c->asks[c->answered]]);
		memmove(c->in, c->in + end, c->in_len - end);
		c->in_len -= end;
		c->answered++;
	}
	must(c->answered < c->n || c->in_len == 0);
}

static void leave(struct world *w, struct client *c)
{
	if (sim_chance(w->h.s, 500))
		sim_reset(w->h.s, c->fd);
	else
		sim_close(w->h.s, c->fd);
	c->fd = -1;
}

static void client_reads(struct world *w, struct client *c)
{
	ssize_t n = sim_read(w->h.s, c->fd, c->in + c->in_len, BUF - c->in_len);

	if (n > 0) {
		c->in_len += (size_t)n;
		if (c->hostile)
			c->in_len = 0;
		else
			check_answers(c);
	} else if (n != -EAGAIN) {
		/* The gate ends a connection of its own will only when it is idle, or the client
		 * was bad. */
		if (!c->hostile && c->answered != c->n)
			fprintf(stderr,
				"client %zu: %u of %u answers, asks %d, sent %zu of %zu, read %zd, "
				"time %llu\n",
				(size_t)(c - w->clients), c->answered, c->n,
				(int)c->asks[c->answered], c->out_at, c->out_len, n,
				(unsigned long long)sim_now_us(w->h.s));
		must(c->hostile || c->answered == c->n);
		sim_close(w->h.s, c->fd);
		c->fd = -1;
	}
}

static void client_turn(struct world *w, struct client *c)
{
	if (c->fd < 0 || sim_now_us(w->h.s) < c->sleeps_until_us)
		return;
	if (c->leaves_us && sim_now_us(w->h.s) >= c->leaves_us) {
		leave(w, c);
		return;
	}
	if (c->out_at < c->out_len) {
		size_t n = min_of(c->out_len - c->out_at, (size_t)sim_below(w->h.s, 2000) + 1);
		ssize_t wrote = sim_write(w->h.s, c->fd, c->out + c->out_at, n);

		if (wrote > 0)
			c->out_at += (size_t)wrote;
		else if (wrote != -EAGAIN)
			must(c->hostile);
	}
	if (sim_chance(w->h.s, 20))
		c->sleeps_until_us = sim_now_us(w->h.s) + sim_below(w->h.s, 100000);
	client_reads(w, c);
	if (c->fd >= 0 && !c->hostile && c->answered == c->n && sim_chance(w->h.s, 100))
		leave(w, c);
}

static void count_records(struct world *w)
{
	static char mem[LOGRING_RECORD_MAX];
	enum logrec type;
	uint64_t wall;
	size_t n;

	logring_flush(&w->h.g->ring);
	while (logring_next(&w->ring, mem, &type, &wall, &n) == 1)
		w->records += type == LOGREC_ACCESS;
}

static bool is_over(const struct world *w)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		if (w->clients[i].fd >= 0)
			return false;
	return w->connected == CLIENTS && !w->h.g->conns_n;
}

static void run(struct world *w)
{
	for (unsigned steps = 0; !is_over(w); steps++) {
		must(steps < STEPS_MAX);
		if (w->connected < CLIENTS && sim_chance(w->h.s, 50)) {
			struct client *c = &w->clients[w->connected];

			c->fd = sim_connect(w->h.s, w->h.listener);
			if (c->fd >= 0) {
				plan(w, c);
				w->connected++;
			}
		}
		must(sim_step(w->h.s));
		for (unsigned i = 0; i < w->connected; i++)
			client_turn(w, &w->clients[i]);
		if (steps % 64 == 0)
			count_records(w);
		if (steps == STEPS_MAX / 2)
			gate_drain(w->h.g, 3000, 3000);
	}
}

static void check_end(struct world *w)
{
	count_records(w);
	must(w->h.g->req_seq == w->records && w->ring.dropped == 0);
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct client *c = &w->clients[i];

		must(c->hostile || c->answered == c->n);
		free(c->out);
		free(c->in);
	}
	logring_close(&w->ring);
	gate_world_free(&w->h);
}

static void one_seed(uint64_t seed, const char *folder)
{
	struct sim_options o = {.seed = seed,
		.pieces_permille = 300,
		.short_permille = 300,
		.refuse_permille = 100,
		.reorder_permille = 200,
		.emfile_permille = seed % 3 ? 0 : 100,
		.latency_us_max = 2000,
		.stream_bytes = seed % 2 ? 4096 : 0};
	static struct world w;

	memset(&w, 0, sizeof(w));
	gate_world_new(&w.h, &o, &parts, folder);
	w.h.g->test = &w;
	w.h.g->ring_ready = true;
	must(logring_open(&w.ring, w.h.g->ring.fd, 0) == 0);
	for (unsigned i = 0; i < CLIENTS; i++) {
		w.clients[i].fd = -1;
		w.clients[i].out = malloc(BUF);
		w.clients[i].in = malloc(BUF);
		must(w.clients[i].out && w.clients[i].in);
	}
	run(&w);
	check_end(&w);
}

int main(int argc, char **argv)
{
	gate_world_seeds(argc, argv, 150, BIG, one_seed);
	return 0;
}
