/*
 * forward_auth.c: see forward_auth.h. Called by phases.c and, with the answer, by up_call.c. Owns
 * one call to the server for each request that waits, and a bounded copy of its answer. What a
 * client sends under the names that the server speaks for never gets further on such a route.
 */
#include "forward_auth.h"
#include "edit.h"
#include "lib/must.h"

#include <string.h>
#include <strings.h>

enum { BODY_MAX = 64 * 1024, FIELDS_MAX = 32, ASK_FIELDS = 8 };

struct forward {
	struct req *r;
	struct up_call call;
	struct field ask[ASK_FIELDS];
	struct field fields[FIELDS_MAX]; /* of the answer, copied */
	unsigned nfields;
	uint16_t status;
	uint8_t why; /* enum close_id: there is no answer */
	unsigned retry_after_s;
	bool over;
	char *body;
	size_t len;
};

static struct forward *forward_of(struct up_call *c)
{
	return container_of(c, struct forward, call);
}

static bool begins(const struct field *f, const char *prefix)
{
	size_t n = strlen(prefix);

	return f->name_len >= n && strncasecmp(f->name, prefix, n) == 0;
}

static bool is(const struct field *f, const char *name)
{
	return f->name_len == strlen(name) && begins(f, name);
}

/* The names under which the server speaks to whoever answers the request. */
static bool is_told(const struct field *f)
{
	return begins(f, "remote-") || begins(f, "x-auth-");
}

/* What of a refusal the client sees. */
static bool is_passed_on(const struct field *f)
{
	return is(f, "location") || is(f, "set-cookie") || is(f, "www-authenticate") ||
	       is(f, "content-type") || is(f, "cache-control") || is(f, "retry-after");
}

static void settle(struct forward *w)
{
	w->over = true;
	phases_resume(w->r);
}

static void head(struct up_call *c, struct up_head *h, bool end)
{
	struct forward *w = forward_of(c);
	struct arena *a = &w->r->arena;

	(void)end;
	w->status = h->status;
	for (unsigned i = 0; i < h->nfields && w->nfields < FIELDS_MAX; i++) {
		const struct field *f = &h->fields[i];
		struct field copy = {arena_strndup(a, f->name, f->name_len),
			arena_strndup(a, f->value, f->value_len), f->name_len, f->value_len};

		if ((is_told(f) || is_passed_on(f)) && copy.name && copy.value)
			w->fields[w->nfields++] = copy;
	}
}

/* More than is shown is read all the same, so that its connection can be kept. */
static size_t body(struct up_call *c, const char *p, size_t n, bool last)
{
	struct forward *w = forward_of(c);
	size_t room = BODY_MAX - w->len;

	(void)last;
	if (!w->body && w->status >= 300)
		w->body = arena_alloc(&w->r->arena, BODY_MAX);
	if (w->body && room) {
		memcpy(w->body + w->len, p, min_of(n, room));
		w->len += min_of(n, room);
	}
	return n;
}

static void end(struct up_call *c)
{
	settle(forward_of(c));
}

static void fail(struct up_call *c, enum close_id why, unsigned retry_after_s)
{
	struct forward *w = forward_of(c);

	w->why = (uint8_t)why;
	w->retry_after_s = retry_after_s;
	settle(w);
}

const struct up_owner_ops forward_auth_owner = {
	.head = head, .body = body, .end = end, .fail = fail};

void forward_auth_cancel(struct req *r)
{
	struct forward *w = r->phase_state;

	if (w)
		up_call_cancel(&w->call);
}

/* ---- the question ---- */

static void add(struct forward *w, const char *name, const char *value, size_t n)
{
	struct up_ask *a = &w->call.ask;

	w->ask[a->nfields++] = (struct field){name, value, (uint32_t)strlen(name), (uint32_t)n};
}

static void add_received(struct forward *w, const char *name)
{
	const struct field *f = req_field(w->r, name);

	if (f)
		add(w, name, f->value, f->value_len);
}

/* What it is asked for is told as the backend will read it, so that the two judge the same path. */
static int fill(struct forward *w, struct upstream *u)
{
	struct req *r = w->r;
	struct up_ask *a = &w->call.ask, asked = {0};
	int err = up_target(r, &asked, 0);
	size_t n;
	const char *path = snap_str(r->snap, r->route->auth_path, &n);

	a->method = "GET";
	a->method_len = 3;
	a->method_id = METHOD_GET;
	a->target = a->path = n ? path : "/";
	a->target_len = a->path_len = n ? (uint32_t)n : 1;
	a->prefix = a->query = "";
	a->host = u->servers ? u->servers->name : "";
	a->host_len = (uint32_t)strlen(a->host);
	a->fields = w->ask;
	add(w, "x-forwarded-method", r->method_str, r->method_len);
	add(w, "x-forwarded-uri", asked.target, asked.target_len);
	add(w, "x-forwarded-host", r->host, r->host_len);
	add(w, "x-forwarded-proto", r->tls ? "https" : "http", r->tls ? 5 : 4);
	add(w, "x-forwarded-for", r->peer, strlen(r->peer));
	add_received(w, "cookie");
	add_received(w, "authorization");
	add_received(w, "user-agent");
	return err;
}

static void drop_told(struct req *r)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < r->nfields; i++)
		if (!is_told(&r->fields[i]))
			r->fields[kept++] = r->fields[i];
	r->nfields = kept;
}

static enum phase_end ask(struct req *r)
{
	struct upstream *u = up_find(gate_up(r->gate), r->snap, r->route->auth_upstream);
	struct forward *w = u ? arena_zalloc(&r->arena, sizeof(*w)) : NULL;

	drop_told(r);
	if (!w) {
		req_fail(r, u ? CLOSE_NO_MEMORY : CLOSE_UP_NONE, 0);
		return PHASE_ANSWERED;
	}
	w->r = r;
	w->call.gate = r->gate;
	w->call.arena = &r->arena;
	w->call.owner = UP_OWNER_AUTH;
	w->call.body_may_repeat = true;
	w->call.sticky_number = UINT32_MAX;
	if (fill(w, u) < 0) {
		req_fail(r, CLOSE_NO_MEMORY, 0);
		return PHASE_ANSWERED;
	}
	r->phase_state = w;
	up_call_begin(&w->call, u);
	return PHASE_WAIT;
}

/* ---- the answer ---- */

static enum phase_end pass(struct req *r, const struct forward *w)
{
	for (unsigned i = 0; i < w->nfields; i++) {
		const struct field *f = &w->fields[i];
		char *name = (char *)f->name;

		if (!is_told(f))
			continue;
		for (char *p = name; *p; p++)
			*p = (char)(*p >= 'A' && *p <= 'Z' ? *p + ('a' - 'A') : *p);
		if (is(f, "remote-user"))
			r->user = f->value;
		if (edit_set(r, name, f->value, f->value_len, false) < 0) {
			req_fail(r, CLOSE_NO_MEMORY, 0);
			return PHASE_ANSWERED;
		}
	}
	return PHASE_NEXT;
}

static enum phase_end refuse(struct req *r, struct forward *w)
{
	struct resp_head h = {.status = w->status, .content_length = (int64_t)w->len};
	unsigned kept = 0;

	for (unsigned i = 0; i < w->nfields; i++)
		if (is_passed_on(&w->fields[i]))
			w->fields[kept++] = w->fields[i];
	h.fields = w->fields;
	h.nfields = kept;
	r->handler = HANDLER_ERROR;
	r->close = CLOSE_FORWARD_AUTH;
	if (r->method == METHOD_HEAD || w->len == 0)
		(void)req_resp_head(r, &h, true);
	else if (req_resp_head(r, &h, false) == 0)
		(void)req_resp_body(r, w->body, w->len, true);
	return PHASE_ANSWERED;
}

enum phase_end phase_forward_auth(struct req *r)
{
	struct forward *w = r->phase_state;

	if (!w || !w->over)
		return ask(r);
	if (w->why) {
		req_fail(r, (enum close_id)w->why, w->retry_after_s);
		return PHASE_ANSWERED;
	}
	if (w->status >= 200 && w->status < 300)
		return pass(r, w);
	return refuse(r, w);
}
