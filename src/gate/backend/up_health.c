/*
 * up_health.c: which servers are well: what calls found (passive), and what probes find (active).
 *
 * Called by up_call.c and the tick. Owns the probes under way: one a server at most. A server that
 * failed fail_max times in a row rests, each time twice as long; then one call tries it. Where nothing
 * else could answer, the rest stays short.
 */
#include "up.h"
#include "lib/must.h"
#include "service.h"

#include <stdlib.h>
#include <string.h>

enum { ALONE_MAX_MS = 2000 };

struct up_probe {
	struct up_call call;
	struct arena arena;
	struct up_server *server;
	uint16_t status;
	struct up_script script; /* strings in the arena */
};

static bool is_alone(const struct up_server *s)
{
	uint64_t now = loop_now_ms(s->u->up->gate->loop);

	for (const struct up_server *o = s->u->servers; o; o = o->next)
		if (o != s && up_server_usable(o, now))
			return false;
	return true;
}

void up_server_failed(struct up_server *s)
{
	uint64_t now = loop_now_ms(s->u->up->gate->loop);
	uint32_t max = is_alone(s) ? ALONE_MAX_MS : UP_OUT_MAX_MS;

	if (++s->fails < s->u->fail_max && !s->out_until_ms)
		return;
	if (s->out_until_ms > now)
		return;
	s->out_ms = s->out_ms ? s->out_ms * 2 : UP_OUT_MIN_MS;
	s->out_ms = min_of(s->out_ms, max);
	s->out_until_ms = now + s->out_ms;
	up_tick_in(s->u->up, s->out_ms);
}

void up_server_refused(struct up_server *s, int err)
{
	/* A program of ours that is not there now: it rests until it is said to be there. */
	if (s->service) {
		s->fails = s->u->fail_max;
		return;
	}
	if (s->kind != SNAP_SERVER_UNIX || s->told_socket)
		return;
	s->told_socket = true;
	gate_event(s->u->up->gate, EV_BACKEND_SOCKET, "upstream", s->u->name, "path", s->name, "error",
		strerror(-err), (char *)NULL);
}

void up_server_answered(struct up_server *s)
{
	struct up *up = s->u->up;

	s->fails = 0;
	s->told_socket = false;
	if (!s->out_until_ms)
		return;
	s->out_until_ms = 0;
	s->out_ms = 0;
	s->up_since_ms = loop_now_ms(up->gate->loop);
	if (s->u->first)
		up_tick_in(up, 1);
}

void up_tell_down(struct upstream *u, const char *why)
{
	if (u->told_down)
		return;
	u->told_down = true;
	gate_event(u->up->gate, EV_TCP_DOWN, "tcp", u->name, "why", why, (char *)NULL);
}

void up_tell_back(struct upstream *u)
{
	if (!u->told_down)
		return;
	u->told_down = false;
	gate_event(u->up->gate, EV_TCP_BACK, "tcp", u->name, (char *)NULL);
}

static void probe_free(struct up_probe *p)
{
	p->server->probe = NULL;
	arena_reset(&p->arena);
	free(p);
}

void up_probe_cancel(struct up_server *s)
{
	if (!s->probe)
		return;
	up_call_cancel(&s->probe->call);
	probe_free(s->probe);
}

static void probed(struct up_probe *p, bool well)
{
	struct up_server *s = p->server;
	uint16_t status = p->status;

	probe_free(p);
	if (s->service) {
		service_probed(s, well, status);
		return;
	}
	if (well) {
		s->probe_fails = 0;
		if (s->probed_down) {
			s->probed_down = false;
			s->up_since_ms = loop_now_ms(s->u->up->gate->loop);
		}
		up_tell_back(s->u);
		if (s->u->first)
			up_tick_in(s->u->up, 1);
	} else if (++s->probe_fails >= s->u->fail_max) {
		s->probed_down = true;
	}
}

static struct up_probe *probe_of(struct up_call *c)
{
	return container_of(c, struct up_probe, call);
}

static void got_head(struct up_call *c, struct up_head *h, bool end)
{
	(void)end;
	probe_of(c)->status = h->status;
}

static size_t got_body(struct up_call *c, const char *p, size_t n, bool last)
{
	(void)c;
	(void)p;
	(void)last;
	return n;
}

static void ended(struct up_call *c)
{
	struct up_probe *p = probe_of(c);

	/* Of a program that is just starting, any answer shows that it is there. */
	probed(p, c->connect_only || (p->status >= 200 &&
					     p->status < (p->server->service ? 500 : 400)));
}

static void failed(struct up_call *c, enum close_id why, unsigned retry_after_s)
{
	(void)why;
	(void)retry_after_s;
	probed(probe_of(c), false);
}

const struct up_owner_ops up_probe_owner = {
	.head = got_head,
	.body = got_body,
	.end = ended,
	.fail = failed,
};

/* The script that the path itself names; of a folder the front controller. The pages that PHP-FPM makes by
 * itself (ping, status) go by SCRIPT_NAME too. */
static bool set_script(struct up_probe *p, const struct upstream *u, const char *path)
{
	const char *root = u->script_root ? u->script_root : "";
	size_t n = strlen(path);

	if (!u->script_index || u->protocol != SNAP_PROTO_FASTCGI)
		return true;
	p->script = (struct up_script){.info = "",
		.root = root,
		.name = arena_printf(&p->arena, "%s%s", path, path[n - 1] == '/' ? u->script_index : "")};
	p->script.file = p->script.name ? arena_printf(&p->arena, "%s%s", root, p->script.name) : NULL;
	p->call.ask.script = &p->script;
	return p->script.file != NULL;
}

void up_probe_server(struct up_server *s, const char *path)
{
	static const struct field agent = {"user-agent", "stead-probe", 10, 11};
	struct gate *g = s->u->up->gate;
	struct up_probe *p = calloc(1, sizeof(*p));

	if (!p)
		return;
	arena_init(&p->arena, &g->pool);
	p->server = s;
	p->call.gate = g;
	p->call.arena = &p->arena;
	p->call.owner = UP_OWNER_PROBE;
	p->call.sticky_number = UINT32_MAX;
	p->call.connect_only = s->u->protocol == SNAP_PROTO_TCP;
	p->call.ask = (struct up_ask){.method = "GET",
		.method_len = 3,
		.method_id = METHOD_GET,
		.target = path,
		.target_len = (uint32_t)strlen(path),
		.path = path,
		.path_len = (uint32_t)strlen(path),
		.prefix = "",
		.query = "",
		.host = s->kind == SNAP_SERVER_UNIX ? "localhost" : s->name,
		.fields = &agent,
		.nfields = 1};
	p->call.ask.host_len = (uint32_t)strlen(p->call.ask.host);
	if (!set_script(p, s->u, path)) {
		arena_reset(&p->arena);
		free(p);
		return;
	}
	s->probe = p;
	up_call_begin_at(&p->call, s);
}

void up_probe(struct upstream *u)
{
	const char *path = *u->check == '/' ? u->check : "/";

	for (struct up_server *s = u->servers; s; s = s->next)
		if (s->known && !s->probe && (s->kind == SNAP_SERVER_UNIX || s->naddresses))
			up_probe_server(s, path);
}
