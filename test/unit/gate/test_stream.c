/*
 * test_stream.c: a struct req meets its protocol only through struct stream: a protocol that is not
 * HTTP/1, with many requests at once on one connection, in and out of order, with resets in the
 * middle, runs the same routes and handlers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "access.h"
#include "record/record.h"
#include "conn.h"
#include "errorpage.h"
#include "lib/must.h"
#include "lib/sys.h"
#include "req.h"
#include "route.h"
#include "target.h"
#include "to_static.h"

#include "../snap/small_snap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STREAMS = 8, OUT_MAX = 300000, WINDOW = 1000 };

/* One stream of the multiplexing fake: what a frame layer would keep. */
struct fake {
	struct stream s;
	struct req *r;
	uint16_t status, interim;
	int64_t content_length;
	bool head, ended, was_reset, done;
	enum close_id why;
	size_t len, window; /* bytes that may still come */
	size_t consumed;
	char out[OUT_MAX];
};

static struct fake *fake_of(struct stream *s)
{
	return container_of(s, struct fake, s);
}

static int fake_interim(
	struct gate *g, struct stream *s, uint16_t status, const struct field *f, unsigned n)
{
	(void)g, (void)f, (void)n;
	fake_of(s)->interim = status;
	return 0;
}

static int fake_head(struct gate *g, struct stream *s, const struct resp_head *h, bool end)
{
	struct fake *f = fake_of(s);

	(void)g;
	assert_false(f->head);
	f->head = true;
	f->status = h->status;
	f->content_length = h->content_length;
	f->ended = end;
	return 0;
}

static size_t fake_room(struct gate *g, struct stream *s)
{
	(void)g;
	return fake_of(s)->window;
}

static size_t fake_body(struct gate *g, struct stream *s, const void *p, size_t n, bool end)
{
	struct fake *f = fake_of(s);
	size_t take = min_of(n, f->window);

	(void)g;
	assert_true(f->head && !f->ended);
	assert_true(f->len + take <= OUT_MAX);
	memcpy(f->out + f->len, p, take);
	f->len += take;
	f->window -= take;
	f->ended = end && take == n;
	return take;
}

static int fake_file(
	struct gate *g, struct stream *s, int fd, uint64_t off, uint64_t len, bool owned)
{
	struct fake *f = fake_of(s);

	(void)g;
	assert_false(owned);
	assert_true(f->len + len <= OUT_MAX);
	assert_int_equal(pread(fd, f->out + f->len, (size_t)len, (off_t)off), (ssize_t)len);
	f->len += (size_t)len;
	f->ended = true;
	return 0;
}

static void fake_consume(struct gate *g, struct stream *s, size_t n)
{
	(void)g;
	fake_of(s)->consumed += n;
}

static void fake_reset(struct gate *g, struct stream *s, enum close_id why)
{
	(void)g;
	fake_of(s)->was_reset = true;
	fake_of(s)->why = why;
}

static const struct stream_ops fake_ops = {
	.interim = fake_interim,
	.head = fake_head,
	.body = fake_body,
	.file = fake_file,
	.room = fake_room,
	.consume = fake_consume,
	.reset = fake_reset,
};
static const struct stream_ops *const protos[PROTO_END] = {[PROTO_FAKE] = &fake_ops};

/* The app: keeps what it is given, answers when it is told to. */
struct app_seen {
	unsigned started, ended, aborted, done, rooms;
	size_t body;
	enum close_id why;
};

static struct app_seen *seen_of(struct req *r)
{
	return r->handler_state;
}

static void app_start(struct req *r)
{
	r->handler_state = calloc(1, sizeof(struct app_seen));
	seen_of(r)->started++;
	/* the test reads it after the request */
	*(void **)r->gate->test = r->handler_state;
}

static void app_body(struct req *r, const void *p, size_t n)
{
	(void)p;
	seen_of(r)->body += n;
	req_consume(r, n);
}

static void app_body_end(struct req *r)
{
	seen_of(r)->ended++;
}

static void app_room(struct req *r)
{
	seen_of(r)->rooms++;
}

static void app_abort(struct req *r, enum close_id why)
{
	seen_of(r)->aborted++;
	seen_of(r)->why = why;
}

static void app_done(struct req *r)
{
	seen_of(r)->done++;
}

static const struct handler_ops fake_app = {.name = "fake",
	.start = app_start,
	.body = app_body,
	.body_end = app_body_end,
	.room = app_room,
	.abort = app_abort,
	.done = app_done};
static const struct handler_ops *const handlers[HANDLER_END] = {
	[HANDLER_ERROR] = &errorpage_handler,
	[HANDLER_STATIC] = &to_static_handler,
	[HANDLER_APP] = &fake_app,
};

static op_done *const ops[OP_GATE_END] = {
	[OP_ACCESS_FLUSH] = access_on_flush,
	[OP_DRAIN_TIMER] = drain_on_timer,
};

void gate_drained(struct gate *g)
{
	(void)g;
}

struct world {
	struct loop *l;
	struct gate *g;
	struct fake streams[STREAMS];
	struct app_seen *app;
	struct logring_reader ring;
	char folder[64];
	uint64_t ids[STREAMS];
};

static void write_file(const struct world *w, const char *name, const char *p, size_t n)
{
	char path[128];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", w->folder, name);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, n, f), n);
	fclose(f);
}

static void give_snap(struct world *w)
{
	const char *hosts[] = {"localhost"};
	const struct small_route routes[] = {{"/", w->folder, "index.html"}, {"/app", NULL, NULL}};
	struct small_snap in = {.name = "x",
		.hosts = hosts,
		.nhosts = 1,
		.routes = routes,
		.nroutes = 2,
		.rest = snap_route_default(),
		.generation = 1};
	int fds[SNAP_SEGMENTS_MAX + 1];
	unsigned n;
	struct snap *s;

	in.rest.access = SNAP_ACCESS_JSON;
	in.rest.body_max = 100000;
	assert_int_equal(small_snap_build(&in, fds, &n), 0);
	assert_int_equal(snap_load(fds, n, &s), 0);
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
	gate_set_snap(w->g, s);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	static char big[200000];

	assert_non_null(w);
	(void)snprintf(w->folder, sizeof(w->folder), "/tmp/stead-stream-XXXXXX");
	assert_non_null(mkdtemp(w->folder));
	memset(big, 'b', sizeof(big));
	write_file(w, "index.html", "hello", 5);
	write_file(w, "big", big, sizeof(big));
	assert_int_equal(loop_new_epoll(&w->l, ops, OP_GATE_END), 0);
	assert_int_equal(gate_new(&w->g, w->l, protos, handlers), 0);
	w->g->generation = 7;
	w->g->test = &w->app;
	give_snap(w);
	assert_int_equal(logring_open(&w->ring, w->g->ring.fd, 0), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	char path[128];

	assert_int_equal(w->g->counters->gate[METRIC_REQUESTS_ACTIVE], 0);
	logring_close(&w->ring);
	gate_free(w->g); /* aborts when a block is not home */
	loop_free(w->l);
	(void)snprintf(path, sizeof(path), "%s/index.html", w->folder);
	unlink(path);
	(void)snprintf(path, sizeof(path), "%s/big", w->folder);
	unlink(path);
	rmdir(w->folder);
	free(w);
	return 0;
}

static struct fake *new_stream(struct world *w, unsigned i)
{
	struct fake *f = &w->streams[i];
	struct arena a;

	memset(f, 0, offsetof(struct fake, out));
	f->s.proto = PROTO_FAKE;
	f->window = WINDOW;
	arena_init(&a, &w->g->pool);
	f->r = req_new(w->g, &f->s, &a);
	assert_non_null(f->r);
	w->ids[i] = f->r->id;
	f->r->host = "localhost";
	f->r->host_len = 9;
	return f;
}

static struct fake *open_stream(
	struct world *w, unsigned i, uint8_t method, const char *target, int64_t length)
{
	struct fake *f = new_stream(w, i);
	struct req *r = f->r;

	r->method = method;
	r->method_str = "M";
	r->method_len = 1;
	r->target = r->path_raw = arena_strndup(&r->arena, target, strlen(target));
	r->target_len = r->path_raw_len = (uint32_t)strlen(target);
	r->content_length = length;
	req_on_head(r);
	return f;
}

static void close_stream(struct fake *f, enum close_id why)
{
	struct req *r = f->r;
	struct arena a;

	f->r = NULL;
	req_done(r, r->close ? r->close : why);
	a = r->arena;
	arena_reset(&a);
}

/* Records so far: how many, and the last one's text. */
static unsigned records(struct world *w, char *last)
{
	static char mem[LOGRING_RECORD_MAX];
	enum logrec type;
	uint64_t wall;
	size_t n;
	unsigned count = 0;
	struct record r;
	struct buf b;

	logring_flush(&w->g->ring);
	while (logring_next(&w->ring, mem, &type, &wall, &n) == 1) {
		count += type == LOGREC_ACCESS;
		if (type != LOGREC_ACCESS)
			continue;
		assert_int_equal(record_get(mem, n, &r), 0);
		buf_fixed(&b, last, LOGRING_RECORD_MAX - 1);
		record_members(&b, &r);
		(void)buf_str(&b);
	}
	return count;
}

static void many_files_at_once(void **state)
{
	struct world *w = *state;
	static char last[LOGRING_RECORD_MAX];

	for (unsigned i = 0; i < STREAMS; i++)
		open_stream(w, i, METHOD_GET, i % 2 ? "/big" : "/", 0);
	assert_int_equal(w->g->counters->gate[METRIC_REQUESTS_ACTIVE], STREAMS);
	/* closed in another order than they were opened */
	for (unsigned k = 0; k < STREAMS; k++) {
		unsigned i = k * 3 % STREAMS;
		struct fake *f = &w->streams[i];

		assert_int_equal(f->status, 200);
		assert_true(f->ended);
		assert_int_equal(f->len, i % 2 ? 200000 : 5);
		assert_int_equal(f->content_length, f->len);
		close_stream(f, CLOSE_DONE);
	}
	for (unsigned i = 1; i < STREAMS; i++)
		assert_int_equal(w->ids[i], w->ids[i - 1] + 1);
	assert_int_equal(w->ids[0] >> 40, 7);
	assert_int_equal(records(w, last), STREAMS);
}

static void answer(struct req *r, const char *text, bool end)
{
	struct resp_head h = {.status = 200, .content_length = -1};

	if (!r->head_sent)
		assert_int_equal(req_resp_head(r, &h, false), 0);
	assert_int_equal(req_resp_body(r, text, strlen(text), end), strlen(text));
}

static void app_answers_out_of_order(void **state)
{
	struct world *w = *state;
	struct app_seen *seen[4];
	static char last[LOGRING_RECORD_MAX];

	for (unsigned i = 0; i < 4; i++) {
		open_stream(w, i, METHOD_POST, "/app/x", 10);
		seen[i] = w->app;
	}
	/* bodies come in turns */
	for (unsigned n = 0; n < 2; n++)
		for (unsigned i = 0; i < 4; i++)
			req_on_body(w->streams[i].r, "12345", 5);
	for (unsigned i = 0; i < 4; i++) {
		req_on_end(w->streams[i].r);
		assert_int_equal(seen[i]->body, 10);
		assert_int_equal(seen[i]->ended, 1);
		assert_int_equal(w->streams[i].consumed, 10);
	}
	answer(w->streams[2].r, "c", true);
	answer(w->streams[0].r, "a", false);
	/* one client goes in the middle; its neighbours do not notice */
	req_on_reset(w->streams[1].r, CLOSE_CLIENT_GONE);
	assert_int_equal(seen[1]->aborted, 1);
	assert_int_equal(seen[1]->why, CLOSE_CLIENT_GONE);
	close_stream(&w->streams[1], CLOSE_CLIENT_GONE);
	assert_int_equal(records(w, last), 1);
	assert_non_null(strstr(last, "\"close\":\"client_gone\""));
	answer(w->streams[3].r, "d", true);
	answer(w->streams[0].r, "A", true);
	close_stream(&w->streams[3], CLOSE_DONE);
	close_stream(&w->streams[0], CLOSE_DONE);
	close_stream(&w->streams[2], CLOSE_DONE);
	assert_memory_equal(w->streams[0].out, "aA", 2);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(seen[i]->done, 1);
		assert_int_equal(seen[i]->aborted, i == 1);
		free(seen[i]);
	}
	assert_int_equal(records(w, last), 3);
}

static void a_window_stops_one_only(void **state)
{
	struct world *w = *state;
	struct app_seen *seen[2];
	struct resp_head h = {.status = 200, .content_length = 1500};
	static char piece[1500];

	for (unsigned i = 0; i < 2; i++) {
		open_stream(w, i, METHOD_GET, "/app", 0);
		seen[i] = w->app;
		assert_int_equal(req_resp_head(w->streams[i].r, &h, false), 0);
	}
	assert_int_equal(req_resp_body(w->streams[0].r, piece, 1500, true), WINDOW);
	assert_false(w->streams[0].ended);
	assert_int_equal(req_resp_room(w->streams[0].r), 0);
	assert_int_equal(req_resp_body(w->streams[1].r, piece, 900, false), 900);
	w->streams[0].window = 600;
	req_on_room(w->streams[0].r);
	assert_int_equal(seen[0]->rooms, 1);
	assert_int_equal(req_resp_body(w->streams[0].r, piece, 500, true), 500);
	assert_true(w->streams[0].ended);
	close_stream(&w->streams[0], CLOSE_DONE);
	req_fail(w->streams[1].r, CLOSE_APP_DIED, 0);
	assert_true(w->streams[1].was_reset);
	assert_int_equal(w->streams[1].why, CLOSE_APP_DIED);
	close_stream(&w->streams[1], CLOSE_DONE);
	free(seen[0]);
	free(seen[1]);
}

static void failures_get_pages(void **state)
{
	struct world *w = *state;
	struct fake *f = open_stream(w, 0, METHOD_GET, "/none", 0);
	struct app_seen *seen;
	static char last[LOGRING_RECORD_MAX];

	assert_int_equal(f->status, 404);
	assert_true(f->ended && f->len == (size_t)f->content_length);
	close_stream(f, CLOSE_DONE);
	assert_int_equal(records(w, last), 1);
	assert_non_null(strstr(last, "\"close\":\"not_found\""));

	f = open_stream(w, 1, METHOD_GET, "/app", 0);
	seen = w->app;
	req_fail(f->r, CLOSE_APP_DIED, 3);
	assert_int_equal(f->status, 502);
	assert_int_equal(seen->aborted, 0);
	assert_int_equal(seen->done, 1);
	close_stream(f, CLOSE_DONE);
	free(seen);

	f = open_stream(w, 2, METHOD_POST, "/app", 200000);
	assert_int_equal(f->status, 413);
	close_stream(f, CLOSE_DONE);

	f = open_stream(w, 3, METHOD_GET, "/%zz", 0);
	assert_int_equal(f->status, 400);
	close_stream(f, CLOSE_DONE);
}

static void a_body_too_large_on_its_way(void **state)
{
	struct world *w = *state;
	static char piece[60000];
	struct fake *f = open_stream(w, 0, METHOD_POST, "/app", -1);
	struct app_seen *seen = w->app;

	req_on_body(f->r, piece, sizeof(piece));
	req_on_body(f->r, piece, sizeof(piece));
	assert_int_equal(seen->aborted, 1);
	assert_int_equal(seen->done, 1);
	assert_int_equal(f->status, 413);
	close_stream(f, CLOSE_DONE);
	free(seen);
}

static void head_has_no_body(void **state)
{
	struct world *w = *state;
	struct fake *f = open_stream(w, 0, METHOD_HEAD, "/big", 0);
	struct app_seen *seen;
	struct resp_head h = {.status = 200, .content_length = 3};

	assert_int_equal(f->status, 200);
	assert_int_equal(f->content_length, 200000);
	assert_int_equal(f->len, 0);
	assert_true(f->ended);
	close_stream(f, CLOSE_DONE);
	f = open_stream(w, 1, METHOD_HEAD, "/app", 0);
	seen = w->app;
	assert_int_equal(req_resp_head(f->r, &h, false), 0);
	assert_int_equal(req_resp_body(f->r, "abc", 3, true), 3);
	assert_int_equal(f->len, 0);
	assert_true(f->ended);
	assert_int_equal(req_resp_body(f->r, "more", 4, false), 0);
	close_stream(f, CLOSE_DONE);
	free(seen);
}

static void continue_is_said_when_wanted(void **state)
{
	struct world *w = *state;
	struct fake *f = open_stream(w, 0, METHOD_GET, "/app", 0);
	struct app_seen *seen;

	assert_int_equal(f->interim, 0);
	seen = w->app;
	answer(f->r, "x", true);
	close_stream(f, CLOSE_DONE);
	free(seen);
	f = new_stream(w, 0);
	f->r->method = METHOD_POST;
	f->r->path_raw = "/app";
	f->r->path_raw_len = 4;
	f->r->content_length = 3;
	f->r->expect_continue = true;
	req_on_head(f->r);
	assert_int_equal(f->interim, 100);
	seen = w->app;
	req_on_reset(f->r, CLOSE_CLIENT_GONE);
	close_stream(f, CLOSE_CLIENT_GONE);
	free(seen);
}

/* RFC 9110 section 7.4: a target of https is for connections that were secured, by us or by who is trusted. */
static void https_targets_come_secured(void **state)
{
	static const struct {
		const char *target;
		bool tls, trusted, refused;
	} rows[] = {{"https://localhost/", false, false, true}, {"HTTPS://localhost/", false, false, true},
		{"https://localhost/", true, false, false}, {"https://localhost/", false, true, false},
		{"http://localhost/", false, false, false}, {"/https:/", false, false, false}};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fake *f = new_stream(w, 0);

		f->r->target = rows[i].target;
		f->r->target_len = (uint32_t)strlen(rows[i].target);
		f->r->path_raw = "/";
		f->r->path_raw_len = 1;
		f->r->tls = rows[i].tls;
		f->r->peer_trusted = rows[i].trusted;
		f->r->snap = snap_ref(w->g->snap);
		assert_true(target_parse(f->r));
		assert_int_equal(phase_site(f->r), PHASE_NEXT);
		assert_int_equal(phase_route(f->r), rows[i].refused ? PHASE_ANSWERED : PHASE_NEXT);
		assert_int_equal(f->status, rows[i].refused ? 400 : 0);
		close_stream(f, CLOSE_CLIENT_GONE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(many_files_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(app_answers_out_of_order, setup, teardown),
		cmocka_unit_test_setup_teardown(a_window_stops_one_only, setup, teardown),
		cmocka_unit_test_setup_teardown(failures_get_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(a_body_too_large_on_its_way, setup, teardown),
		cmocka_unit_test_setup_teardown(head_has_no_body, setup, teardown),
		cmocka_unit_test_setup_teardown(continue_is_said_when_wanted, setup, teardown),
		cmocka_unit_test_setup_teardown(https_targets_come_secured, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
