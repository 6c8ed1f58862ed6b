/*
 * fake_gate.c: see fake_gate.h. Checks on the way what a protocol may rely on: one head, one end,
 * nothing after it.
 */
#include "fake_gate.h"
#include "lib/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

op_done *const fake_ops[FAKE_KINDS] = {TO_APP_OP_TABLE(FAKE_OP_BASE)};

static const struct snap_app the_apps[] = {{.number = FAKE_APP, .workers = 1, .threads = 1},
	{.number = OTHER_APP, .workers = 1, .threads = 1}};

/* The snapshot, played: NULL has both apps, fake_snap_of_other the other one alone. */
static const char other_alone;
const struct snap *const fake_snap_of_other = (const void *)&other_alone;

const struct snap_app *snap_app(const struct snap *s, uint32_t i)
{
	i += s == fake_snap_of_other;
	return i < ARRAY_LEN(the_apps) ? &the_apps[i] : NULL;
}
unsigned snap_napps(const struct snap *s)
{
	return ARRAY_LEN(the_apps) - (s == fake_snap_of_other);
}
const char *snap_str(const struct snap *s, struct snap_str str, size_t *ret_len)
{
	(void)s;
	(void)str;
	*ret_len = 4;
	return "test";
}

struct to_app *gate_to_app(const struct gate *g)
{
	return g->t;
}

static void say(struct gate *g, enum msg_type type, const struct msg_worker *w)
{
	switch (type) {
	case MSG_WORKER_UP:
		g->ups++;
		return;
	case MSG_WORKER_BAD:
		g->bads++;
		g->other_bads += w->app == OTHER_APP;
		g->last_bad = (enum close_id)w->reason;
		return;
	case MSG_WORKER_IDLE:
		g->idles++;
		return;
	case MSG_WORKER_STUCK:
		g->stucks++;
		return;
	default:
		must_failed(__FILE__, __LINE__, __func__, "a message that is the handler's");
	}
}

static void event(struct gate *g, enum event ev, const char *app, uint32_t slot, uint64_t ms,
	const char *text)
{
	(void)app;
	(void)slot;
	(void)ms;
	(void)text;
	g->hung += ev == EV_WORKER_HUNG;
	g->deadlines += ev == EV_REQUEST_DEADLINE;
}

void fake_gate_init(struct gate *g, struct loop *l)
{
	struct to_app_env env = {
		.gate = g,
		.loop = l,
		.op_base = FAKE_OP_BASE,
		.gate_generation = 3,
		.counters = &g->counters,
		.budget_used = &g->budget_used,
		.budget_max = 16 * 1024 * 1024,
		.say = say,
		.event = event,
	};

	memset(g, 0, sizeof(*g));
	g->loop = l;
	g->next_id = (3ull << 40) + 1;
	arena_pool_init(&g->pool, 16384, 100000, 16);
	g->route.request_timeout_ms = 30000;
	g->other_route = g->route;
	g->other_route.app = 1;
	g->site = (struct snap_site){.queue = 128, .queue_timeout_ms = 10000};
	must(to_app_new(&env, &g->t) == 0);
	to_app_on_snap(g->t, NULL);
}

void fake_gate_done(struct gate *g)
{
	must(g->live == 0);
	must(to_app_active(g->t) == 0);
	to_app_free(g->t);
	must(g->budget_used == 0);
	arena_pool_done(&g->pool);
}

struct fake_req *fake_req_new(struct gate *g, const char *method, const char *path, int64_t length)
{
	static const char *const names[] = {[METHOD_GET] = "GET",
		[METHOD_HEAD] = "HEAD",
		[METHOD_POST] = "POST",
		[METHOD_OPTIONS] = "OPTIONS"};
	struct fake_req *f = calloc(1, sizeof(*f));
	struct req *r = &f->r;

	must(f != NULL);
	f->g = g;
	f->room = SIZE_MAX;
	f->length = -2;
	buf_init(&f->body, SIZE_MAX);
	arena_init(&r->arena, &g->pool);
	g->live++;
	r->gate = g;
	r->user = "";
	r->site = &g->site;
	r->route = &g->route;
	r->id = g->next_id++;
	r->start_us = loop_now_us(g->loop);
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		if (names[i] && !strcmp(names[i], method))
			r->method = (uint8_t)i;
	}
	r->version_minor = 1;
	r->content_length = length;
	r->method_str = method;
	r->method_len = (uint32_t)strlen(method);
	r->target = r->path = r->path_raw = path;
	r->target_len = r->path_len = r->path_raw_len = (uint32_t)strlen(path);
	r->query = "";
	r->host = "localhost";
	r->host_len = 9;
	r->local_port = 8080;
	snprintf(r->peer, sizeof(r->peer), "127.0.0.1");
	r->fields = arena_alloc(&r->arena, REQ_FIELDS_MAX * sizeof(*r->fields));
	if (length > 0) {
		char *text = arena_printf(&r->arena, "%lld", (long long)length);

		fake_req_field(f, "content-length", text);
	}
	return f;
}

void fake_req_field(struct fake_req *f, const char *name, const char *value)
{
	must(f->r.nfields < REQ_FIELDS_MAX);
	f->r.fields[f->r.nfields++] =
		(struct field){name, value, (uint32_t)strlen(name), (uint32_t)strlen(value)};
}

void fake_req_upgrade(struct fake_req *f)
{
	f->r.upgrade = "websocket";
	f->r.upgrade_len = 9;
}

void fake_req_start(struct fake_req *f)
{
	to_app_handler.start(&f->r);
}

void fake_req_body(struct fake_req *f, const char *p, size_t n, bool end)
{
	if (n && !f->over)
		to_app_handler.body(&f->r, p, n);
	if (end && !f->over)
		to_app_handler.body_end(&f->r);
}

void fake_req_room(struct fake_req *f, size_t n)
{
	f->room = f->room > SIZE_MAX - n ? SIZE_MAX : f->room + n;
	if (!f->over)
		to_app_handler.room(&f->r);
}

static void over(struct fake_req *f)
{
	must(!f->over);
	f->over = true;
	must(f->r.handler_state == NULL);
	/* As the protocol may do: whatever still points here is found by the sanitizer. */
	arena_reset(&f->r.arena);
}

void fake_req_abort(struct fake_req *f)
{
	to_app_handler.abort(&f->r, CLOSE_CLIENT_GONE);
	over(f);
}

void fake_req_free(struct fake_req *f)
{
	must(f->over);
	f->g->live--;
	buf_done(&f->body);
	arena_reset(&f->r.arena);
	free(f);
}

static struct fake_req *of(struct req *r)
{
	return container_of(r, struct fake_req, r);
}

int req_resp_head(struct req *r, const struct resp_head *h, bool end)
{
	struct fake_req *f = of(r);
	struct buf head;

	must(!f->over && !f->heads++);
	r->status = h->status;
	f->length = h->content_length;
	buf_fixed(&head, f->head, sizeof(f->head));
	for (unsigned i = 0; i < h->nfields; i++) {
		buf_put(&head, h->fields[i].name, h->fields[i].name_len);
		buf_puts(&head, ": ");
		buf_put(&head, h->fields[i].value, h->fields[i].value_len);
		buf_puts(&head, "\n");
	}
	(void)buf_str(&head);
	if (end) {
		f->ends++;
		over(f);
	}
	return 0;
}

size_t req_resp_body(struct req *r, const void *p, size_t n, bool end)
{
	struct fake_req *f = of(r);
	size_t take = n < f->room ? n : f->room;

	must(!f->over && f->heads == 1);
	buf_put(&f->body, p, take);
	if (f->room != SIZE_MAX)
		f->room -= take;
	if (end && take == n) {
		f->ends++;
		over(f);
	}
	return take;
}

int req_resp_tunnel(struct req *r)
{
	must(!of(r)->over && of(r)->heads == 1 && r->status == 101 && !of(r)->tunnels++);
	r->tunnel = true;
	r->body_done = false;
	return 0;
}

int req_resp_file(struct req *r, int fd, uint64_t off, uint64_t len, bool owned)
{
	struct fake_req *f = of(r);
	char *p = malloc(len);

	must(!f->over && f->heads == 1 && owned && p);
	must(pread(fd, p, len, (off_t)off) == (ssize_t)len);
	buf_put(&f->body, p, len);
	free(p);
	close(fd);
	f->ends++;
	over(f);
	return 0;
}

size_t req_resp_room(struct req *r)
{
	return of(r)->room;
}

void req_consume(struct req *r, size_t n)
{
	of(r)->consumed += n;
}

void req_fail(struct req *r, enum close_id why, unsigned retry_after_s)
{
	struct fake_req *f = of(r);

	(void)retry_after_s;
	f->fails++;
	f->failed = why;
	over(f);
}

const char *req_id(const struct req *r, char mem[static REQ_ID_MEM], size_t *ret_len)
{
	*ret_len = (size_t)snprintf(mem, REQ_ID_MEM, "%032llx", (unsigned long long)r->id);
	return mem;
}

const struct field *req_field_n(const struct req *r, const char *name, size_t n)
{
	for (unsigned i = 0; i < r->nfields; i++) {
		if (r->fields[i].name_len == n && !memcmp(r->fields[i].name, name, n))
			return &r->fields[i];
	}
	return NULL;
}
