/*
 * sim_http2.c: HTTP/2 connections of a gate on the simulated loop, many seeds. The clients are
 * nghttp2's own: some do all right, some take requests back, some send a wrong byte, stop or leave.
 *
 * Invariants, for each seed: a client that behaves gets each answer whole, its own bytes back and
 * nothing else; every connection ends with one close reason and every request with one record; in
 * the end no arena block, no buffer and no byte of the budget is out.
 *
 *   sim-http2 [FIRST [COUNT]]
 */
#include "h2_world.h"

#include <stdio.h>
#include <stdlib.h>

enum { CLIENTS = 6, EXCHANGES = 12, BIG = 150000, STEPS_MAX = 600000, UPLOAD_MAX = 90000 };

enum ask { ASK_SMALL, ASK_BIG, ASK_NONE, ASK_HEAD, ASK_APP, ASK_UPLOAD, ASK_TAKEN_BACK, ASKS };

struct exchange {
	enum ask ask;
	int32_t id;
	size_t up_left, up, down;
	unsigned status;
	bool sent, ended;
};

struct client {
	struct world *w;
	nghttp2_session *session;
	int fd; /* -1: gone */
	struct exchange of[EXCHANGES];
	unsigned n, asked, ended;
	bool hostile;
	uint64_t leaves_us;
	char out[20000];
	size_t out_at, out_len;
};

struct world {
	struct gate_world h;
	unsigned connected;
	struct client clients[CLIENTS];
};

static struct exchange *of(struct client *c, int32_t id)
{
	for (unsigned i = 0; i < c->asked; i++)
		if (c->of[i].id == id)
			return &c->of[i];
	return NULL;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
	size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
	struct exchange *e = of(arg, frame->hd.stream_id);

	(void)session;
	(void)flags;
	if (e && name_len == 7 && !memcmp(name, ":status", 7) && value_len == 3)
		e->status = (unsigned)strtoul((const char *)value, NULL, 10);
	return 0;
}

static int on_data(
	nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	static const char want[ASKS] = {
		[ASK_SMALL] = 's', [ASK_BIG] = 'b', [ASK_APP] = 'p', [ASK_UPLOAD] = 'u'};
	struct client *c = arg;
	struct exchange *e = of(c, id);

	(void)session;
	(void)flags;
	must(e || c->hostile);
	for (size_t i = 0; e && want[e->ask] && !c->hostile && i < n; i++)
		must((char)p[i] == want[e->ask]);
	if (e)
		e->down += n;
	return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg)
{
	struct client *c = arg;
	struct exchange *e = of(c, id);

	(void)session;
	if (!e)
		return 0;
	e->ended = true;
	c->ended++;
	if (c->hostile || e->ask == ASK_TAKEN_BACK)
		return 0;
	must(error == NGHTTP2_NO_ERROR);
	must(e->status == (e->ask == ASK_NONE ? 404 : 200));
	if (e->ask == ASK_BIG)
		must(e->down == BIG);
	if (e->ask == ASK_SMALL)
		must(e->down == 1000);
	if (e->ask == ASK_HEAD)
		must(e->down == 0);
	if (e->ask == ASK_APP)
		must(e->down == 12345);
	if (e->ask == ASK_UPLOAD)
		must(e->down == e->up && e->up_left == 0);
	return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct exchange *e = of(arg, frame->hd.stream_id);

	(void)session;
	if (e && frame->hd.type == NGHTTP2_HEADERS)
		e->sent = true;
	return 0;
}

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t n,
	uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct client *c = arg;
	struct exchange *e = source->ptr;

	(void)session;
	(void)id;
	n = min_of(n, (size_t)sim_below(c->w->h.s, 4000) + 1);
	n = min_of(n, e->up_left);
	memset(buf, 'u', n);
	e->up_left -= n;
	e->up += n;
	if (!e->up_left)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

#define NV(name, value)                                                                            \
	{                                                                                          \
		(uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, strlen(value),            \
			NGHTTP2_NV_FLAG_NONE                                                       \
	}

static void ask(struct client *c)
{
	static const char *const paths[ASKS] = {
		"/small", "/big", "/none", "/big", "/app/12345", "/app", "/big"};
	struct exchange *e = &c->of[c->asked++];
	nghttp2_data_provider body = {.source.ptr = e, .read_callback = on_read};
	struct sim *s = c->w->h.s;

	e->ask = (enum ask)sim_below(s, ASKS);
	e->up_left = 1 + (size_t)sim_below(s, sim_chance(s, 500) ? 100 : UPLOAD_MAX);
	nghttp2_nv nv[] = {NV(":method", e->ask == ASK_HEAD     ? "HEAD"
					 : e->ask == ASK_UPLOAD ? "POST"
								: "GET"),
		NV(":path", paths[e->ask]), NV(":scheme", "http"), NV(":authority", "a"),
		NV("cookie", "x=1"), NV("cookie", "y=2")};
	e->id = nghttp2_submit_request(c->session, NULL, nv, sizeof(nv) / sizeof(nv[0]),
		e->ask == ASK_UPLOAD ? &body : NULL, e);
	must(e->id > 0);
}

static void begin(struct world *w, struct client *c)
{
	nghttp2_session_callbacks *k;
	const nghttp2_settings_entry window = {
		NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)sim_below(w->h.s, 70000) + 1000};

	c->w = w;
	c->hostile = sim_chance(w->h.s, 400);
	c->n = 1 + (unsigned)sim_below(w->h.s, EXCHANGES);
	must(nghttp2_session_callbacks_new(&k) == 0);
	nghttp2_session_callbacks_set_on_frame_send_callback(k, on_frame_send);
	nghttp2_session_callbacks_set_on_header_callback(k, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(k, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(k, on_close);
	must(nghttp2_session_client_new(&c->session, k, c) == 0);
	nghttp2_session_callbacks_del(k);
	must(nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, &window, 1) == 0);
	if (c->hostile && sim_chance(w->h.s, 500))
		c->leaves_us = sim_now_us(w->h.s) + sim_below(w->h.s, 300000);
}

static void leave(struct client *c)
{
	struct sim *s = c->w->h.s;

	if (sim_chance(s, 500))
		sim_reset(s, c->fd);
	else
		sim_close(s, c->fd);
	c->fd = -1;
}

static void client_writes(struct client *c)
{
	struct sim *s = c->w->h.s;
	const uint8_t *p;
	ssize_t n;

	while (c->out_len < sizeof(c->out) / 4 &&
		(n = nghttp2_session_mem_send(c->session, &p)) > 0) {
		must((size_t)n <= sizeof(c->out) - c->out_len);
		memcpy(c->out + c->out_len, p, (size_t)n);
		if (c->hostile && sim_chance(s, 30))
			c->out[c->out_len + sim_below(s, (uint64_t)n)] ^=
				(char)(1 << sim_below(s, 8));
		c->out_len += (size_t)n;
	}
	if (c->out_at == c->out_len)
		return;
	n = sim_write(s, c->fd, c->out + c->out_at,
		min_of(c->out_len - c->out_at, (size_t)sim_below(s, 3000) + 1));
	if (n < 0 && n != -EAGAIN)
		must(c->hostile);
	c->out_at += n > 0 ? (size_t)n : 0;
	if (c->out_at == c->out_len)
		c->out_at = c->out_len = 0;
}

static void client_reads(struct client *c)
{
	uint8_t in[4096];
	ssize_t n = sim_read(c->w->h.s, c->fd, in, sizeof(in));

	if (n > 0) {
		ssize_t used = nghttp2_session_mem_recv(c->session, in, (size_t)n);

		must(used == n || c->hostile);
	} else if (n != -EAGAIN) {
		must(c->hostile || c->ended == c->n);
		sim_close(c->w->h.s, c->fd);
		c->fd = -1;
	}
}

static void client_turn(struct client *c)
{
	struct sim *s = c->w->h.s;

	if (c->fd < 0)
		return;
	if (c->leaves_us && sim_now_us(s) >= c->leaves_us) {
		leave(c);
		return;
	}
	if (c->asked < c->n && sim_chance(s, 200))
		ask(c);
	for (unsigned i = 0; i < c->asked; i++)
		if (c->of[i].ask == ASK_TAKEN_BACK && c->of[i].sent && !c->of[i].ended &&
			sim_chance(s, 50))
			(void)nghttp2_submit_rst_stream(
				c->session, NGHTTP2_FLAG_NONE, c->of[i].id, NGHTTP2_CANCEL);
	client_writes(c);
	client_reads(c);
	if (c->fd >= 0 && c->ended == c->n && sim_chance(s, 100))
		leave(c);
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
				begin(w, c);
				w->connected++;
			}
		}
		must(sim_step(w->h.s));
		for (unsigned i = 0; i < w->connected; i++)
			client_turn(&w->clients[i]);
		if (steps == STEPS_MAX / 2)
			gate_drain(w->h.g, 3000, 3000);
	}
}

static void one_seed(uint64_t seed, const char *folder)
{
	struct sim_options o = {.seed = seed,
		.pieces_permille = 300,
		.short_permille = 300,
		.refuse_permille = 100,
		.reorder_permille = 200,
		.latency_us_max = 2000,
		.stream_bytes = seed % 2 ? 4096 : 0};
	static struct world w;

	memset(&w, 0, sizeof(w));
	gate_world_new(&w.h, &o, &h2_parts, folder);
	for (unsigned i = 0; i < CLIENTS; i++)
		w.clients[i].fd = -1;
	run(&w);
	for (unsigned i = 0; i < CLIENTS; i++) {
		must(w.clients[i].hostile || w.clients[i].ended == w.clients[i].n);
		nghttp2_session_del(w.clients[i].session);
	}
	gate_world_free(&w.h);
}

void gate_drained(struct gate *g)
{
	(void)g;
}

int main(int argc, char **argv)
{
	const char *many = getenv("STEAD_SIM_SEEDS");

	gate_world_seeds(argc, argv, many ? strtoull(many, NULL, 10) : 60, BIG, one_seed);
	return 0;
}
