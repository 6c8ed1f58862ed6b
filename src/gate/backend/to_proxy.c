/*
 * to_proxy.c: the handler of requests that a backend answers (RFC 9110 sections 3.7 and 7.6).
 *
 * Called by req.c with the request and through to_proxy_owner by up_call.c with the answer. Owns the
 * request's body while it waits: received whole before a backend hears of it where the route says so (in
 * memory, then in a file without a name), else bounded by the stream's window. What arrives of an answer
 * is passed on in the same turn, from where it lies.
 */
#include "to_proxy.h"
#include "httpdate.h"
#include "lib/must.h"
#include "said.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	MEMORY_MAX = 64 * 1024,              /* of a buffered body; what is more goes to a file */
	FILES_MAX = 256 * 1024 * 1024,       /* bytes of all such files of a gate */
	PIECE_BYTES = 16 * 1024,
	STICKY_DIGITS = 16,
	EXTRA_FIELDS = 3,
};

struct proxy {
	struct req *r;
	struct upstream *u; /* while it is asked: a reload may take it away before and behind */
	struct up_call call;
	bool buffering; /* the backend hears of it when the body is whole */
	bool needs_length;
	bool repeats;   /* all of the body is kept: it can be sent again */
	bool over;      /* the backend has no more part in it */
	const char *direct; /* body that is being handed over just now */
	size_t direct_len;
	struct up_buf in;  /* body that waits for the backend to take it */
	struct up_buf mem; /* buffered body: its beginning */
	size_t mem_at;     /* sent of it */
	int fd;            /* … and its rest; -1: none */
	uint64_t fd_len, fd_at;
	char *piece; /* of the file, from fd_at on */
	size_t piece_len;
	uint32_t sticky; /* the server that the client's cookie names */
	struct said said;
};

static struct proxy *proxy_of(struct up_call *c)
{
	return container_of(c, struct proxy, call);
}

static void drop_body(struct proxy *p)
{
	struct gate *g = p->r->gate;

	if (p->in.p)
		up_buf_drop(g, &p->in, p->in.len);
	if (p->mem.p)
		up_buf_drop(g, &p->mem, p->mem.len);
	if (p->fd >= 0) {
		close(p->fd);
		gate_up(g)->spooled -= p->fd_len;
	}
	p->fd = -1;
}

/* The buffered body. */

static int store_file(struct proxy *p, const char *data, size_t n)
{
	struct up *up = gate_up(p->r->gate);

	if (up->spooled + n > FILES_MAX)
		return -ENOBUFS;
	if (p->fd < 0)
		p->fd = memfd_create("body", MFD_CLOEXEC);
	if (p->fd < 0)
		return -errno;
	for (size_t at = 0; at < n;) {
		ssize_t wrote = write(p->fd, data + at, n - at);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return wrote < 0 ? -errno : -EIO;
		at += (size_t)wrote;
		p->fd_len += (uint64_t)wrote;
		up->spooled += (uint64_t)wrote;
	}
	return 0;
}

static int store(struct proxy *p, const char *data, size_t n)
{
	if (p->fd < 0 && p->mem.len + n <= MEMORY_MAX)
		return up_buf_put(p->r->gate, &p->mem, data, n);
	return store_file(p, data, n);
}

/* The next piece of the file into memory. False: it cannot be read. */
static bool load_piece(struct proxy *p)
{
	ssize_t n;

	if (p->piece_len)
		return true;
	if (!p->piece)
		p->piece = arena_alloc(&p->r->arena, PIECE_BYTES);
	if (!p->piece)
		return false;
	n = pread(p->fd, p->piece, PIECE_BYTES, (off_t)p->fd_at);
	if (n <= 0)
		return false;
	p->piece_len = (size_t)n;
	return true;
}

static void pull(struct up_call *c, const char **ret_p, size_t *ret_n, bool *ret_end)
{
	struct proxy *p = proxy_of(c);
	bool whole = p->r->body_done;

	*ret_n = 0;
	*ret_end = false;
	if (p->mem_at < p->mem.len) {
		*ret_p = p->mem.p + p->mem.at + p->mem_at;
		*ret_n = p->mem.len - p->mem_at;
	} else if (p->fd_at < p->fd_len) {
		if (load_piece(p)) {
			*ret_p = p->piece;
			*ret_n = p->piece_len;
		}
	} else if (p->in.len) {
		*ret_p = p->in.p + p->in.at;
		*ret_n = p->in.len;
	} else {
		*ret_p = p->direct;
		*ret_n = p->direct_len;
		*ret_end = whole;
	}
}

static void pulled(struct up_call *c, size_t n)
{
	struct proxy *p = proxy_of(c);

	if (p->mem_at < p->mem.len) {
		p->mem_at += n;
		return;
	}
	if (p->fd_at < p->fd_len) {
		p->fd_at += n;
		p->piece_len -= n;
		if (p->piece_len)
			memmove(p->piece, p->piece + n, p->piece_len);
		return;
	}
	if (p->in.len) {
		up_buf_drop(p->r->gate, &p->in, n);
	} else {
		p->direct += n;
		p->direct_len -= n;
	}
	req_consume(p->r, n);
}

static void rewind_body(struct up_call *c)
{
	struct proxy *p = proxy_of(c);

	p->mem_at = 0;
	p->fd_at = 0;
	p->piece_len = 0;
}

/* The sticky cookie: which server it names is known to whoever has the key. */

static void sticky_value(const struct upstream *u, uint32_t number, char digits[static STICKY_DIGITS])
{
	uint64_t v = up_siphash(u->sticky_key, &number, sizeof(number));

	for (int i = 0; i < STICKY_DIGITS; i++)
		digits[i] = "0123456789abcdef"[v >> (60 - 4 * i) & 15];
}

static uint32_t server_of_cookie(const struct upstream *u, const char *value)
{
	char digits[STICKY_DIGITS];

	for (const struct up_server *s = u->servers; s; s = s->next) {
		sticky_value(u, s->number, digits);
		if (!memcmp(digits, value, STICKY_DIGITS))
			return s->number;
	}
	return UINT32_MAX;
}

static uint32_t find_cookie(const struct req *r, const struct upstream *u)
{
	size_t n = strlen(u->sticky);

	for (unsigned i = 0; i < r->nfields; i++) {
		const struct field *f = &r->fields[i];
		const char *p = f->value, *end = p + f->value_len;

		if (f->name_len != 6 || memcmp(f->name, "cookie", 6) != 0)
			continue;
		while (p < end) {
			const char *next = memchr(p, ';', (size_t)(end - p));

			while (p < end && *p == ' ')
				p++;
			next = next ? next : end;
			if ((size_t)(next - p) == n + 1 + STICKY_DIGITS && !memcmp(p, u->sticky, n) &&
				p[n] == '=')
				return server_of_cookie(u, p + n + 1);
			p = next + 1;
		}
	}
	return UINT32_MAX;
}

static const char *sticky_cookie(struct proxy *p)
{
	const struct upstream *u = p->u;
	char digits[STICKY_DIGITS];

	if (!u->sticky || !p->call.server || p->call.server->number == p->sticky)
		return NULL;
	sticky_value(u, p->call.server->number, digits);
	return arena_printf(&p->r->arena, "%s=%.*s; Path=/; HttpOnly; SameSite=Lax%s", u->sticky,
		STICKY_DIGITS, digits, p->r->tls ? "; Secure" : "");
}

/* The answer. */

static void on_interim(struct up_call *c, const struct up_head *h)
{
	/* 100 was said by us; of the others only early hints mean something to a client. */
	if (h->status == 103)
		req_resp_interim(proxy_of(c)->r, 103, h->fields, h->nfields);
}

static bool is(const struct field *f, const char *name, size_t n)
{
	return f->name_len == n && !memcmp(f->name, name, n);
}

/* What the protocol says of itself in every answer; the backend's own Date goes on, in its one
 * form. */
static void take_own(const struct req *r, struct up_head *h, struct resp_head *out)
{
	bool keep_date = r->filters & 1u << FILTER_CACHE; /* the cache reckons with it */
	unsigned kept = 0;

	for (unsigned i = 0; i < h->nfields; i++) {
		const struct field *f = &h->fields[i];
		bool date = is(f, "date", 4);
		int64_t s;

		/* Nearly always it is this second's. */
		if (date && f->value_len == HTTP_DATE_BYTES &&
			memcmp(f->value, http_date_now(r->gate), HTTP_DATE_BYTES) != 0 &&
			http_date_parse(f->value, f->value_len, &s))
			out->date = f->value;
		if ((keep_date || !date) && !is(f, "server", 6))
			h->fields[kept++] = *f;
	}
	h->nfields = kept;
}

static void on_head(struct up_call *c, struct up_head *h, bool end)
{
	struct proxy *p = proxy_of(c);
	struct req *r = p->r;
	struct resp_head out = {.status = h->status, .content_length = h->content_length};
	char reason[64];
	const char *cookie;
	struct field *f;

	take_own(r, h, &out);
	out.fields = h->fields;
	out.nfields = h->nfields;
	if (h->reason_len && h->reason_len < sizeof(reason)) {
		memcpy(reason, h->reason, h->reason_len);
		reason[h->reason_len] = 0;
		out.reason = reason;
	}
	cookie = sticky_cookie(p);
	if (cookie || h->status == 101) {
		f = arena_alloc(&r->arena, (h->nfields + EXTRA_FIELDS) * sizeof(*f));
		if (!f) {
			up_call_cancel(c);
			p->over = true;
			req_fail(r, CLOSE_NO_MEMORY, 0);
			return;
		}
		memcpy(f, h->fields, h->nfields * sizeof(*f));
		out.fields = f;
		if (cookie)
			f[out.nfields++] = (struct field){"Set-Cookie", cookie, 10, (uint32_t)strlen(cookie)};
		if (h->status == 101) {
			f[out.nfields++] = (struct field){"Connection", "upgrade", 10, 7};
			f[out.nfields++] = (struct field){"Upgrade", h->upgrade, 7, h->upgrade_len};
		}
	}
	if (h->status == 101)
		r->filters = 0;
	req_resp_head(r, &out, end);
	if (h->status == 101) {
		drop_body(p);
		req_resp_tunnel(r);
	}
}

static size_t on_body(struct up_call *c, const char *data, size_t n, bool last)
{
	return req_resp_body(proxy_of(c)->r, data, n, last);
}

static void on_trailers(struct up_call *c, const struct field *f, unsigned n)
{
	req_resp_trailers(proxy_of(c)->r, f, n);
}

static const char *name_of(const struct proxy *p)
{
	return p->r->snap ? snap_str(p->r->snap, p->call.ask.up->name, NULL)
			  : ""; /* of a tunnel nobody says anything */
}

static void on_log(struct up_call *c, const char *data, size_t n)
{
	struct proxy *p = proxy_of(c);

	said_take(p->r, &p->said, name_of(p), data, n);
}

/* The call is over. */
static void leave(struct proxy *p)
{
	p->over = true;
	said_end(p->r, &p->said, name_of(p));
}

static void on_end(struct up_call *c)
{
	struct proxy *p = proxy_of(c);

	leave(p);
	drop_body(p);
	if (!p->r->ended)
		req_resp_body(p->r, "", 0, true);
}

static void on_fail(struct up_call *c, enum close_id why, unsigned retry_after_s)
{
	struct proxy *p = proxy_of(c);

	leave(p);
	drop_body(p);
	if (p->r->tunnel && why == CLOSE_DONE)
		return;
	req_fail(p->r, why, retry_after_s);
}

const struct up_owner_ops to_proxy_owner = {
	.interim = on_interim,
	.head = on_head,
	.body = on_body,
	.trailers = on_trailers,
	.end = on_end,
	.fail = on_fail,
	.pull = pull,
	.pulled = pulled,
	.rewind = rewind_body,
	.log = on_log,
};

/* The request. */

static void ask(struct proxy *p)
{
	struct req *r = p->r;
	struct up_call *c = &p->call;

	p->u = up_find(gate_up(r->gate), r->snap, r->route->upstream);
	if (!p->u) {
		p->over = true;
		req_fail(r, CLOSE_UP_NONE, 2);
		return;
	}
	/* A body that is whole has a length, unless trailers follow it. */
	if (p->buffering && c->ask.content_length < 0 && !r->ntrailers)
		c->ask.content_length = (int64_t)(p->mem.len + p->fd_len);
	c->body_may_repeat = p->buffering || r->content_length == 0;
	p->buffering = false;
	up_call_begin(c, p->u);
}

static void start(struct req *r)
{
	struct up *up = gate_up(r->gate);
	struct upstream *u = up_find(up, r->snap, r->route->upstream);
	struct proxy *p;
	int err;

	if (!u) {
		req_fail(r, CLOSE_UP_NONE, 2);
		return;
	}
	p = arena_zalloc(&r->arena, sizeof(*p));
	if (!p) {
		req_fail(r, CLOSE_NO_MEMORY, 2);
		return;
	}
	r->handler_state = p;
	p->r = r;
	p->needs_length = u->needs_length;
	p->fd = -1;
	p->call.gate = r->gate;
	p->call.arena = &r->arena;
	p->call.owner = UP_OWNER_PROXY;
	p->call.told = &r->up;
	r->up.kind = REQ_UP_UPSTREAM;
	p->call.ask.up = snap_upstream(r->snap, r->route->upstream);
	p->call.idle_ms = r->site->idle_timeout_ms;
	p->call.timeout_ms = r->route->request_timeout_ms;
	p->sticky = u->sticky ? find_cookie(r, u) : UINT32_MAX;
	p->call.sticky_number = p->sticky;
	if (u->balance == SNAP_BALANCE_HASH)
		p->call.key = up_siphash((const uint8_t[16]){1}, r->peer, strlen(r->peer));
	err = up_forward(r, &p->call.ask);
	if (err) {
		req_fail(r, (enum close_id) - err, 0);
		return;
	}
	p->buffering = r->content_length != 0 && (r->route->flags & SNAP_ROUTE_BODY_BUFFER ||
							 (r->content_length < 0 && p->needs_length));
	if (!p->buffering)
		ask(p);
}

static void body(struct req *r, const void *data, size_t n)
{
	struct proxy *p = r->handler_state;

	if (!p || p->over) {
		req_consume(r, n);
		return;
	}
	if (p->buffering) {
		int err = store(p, data, n);

		if (!err) {
			req_consume(r, n);
			return;
		}
		if (err != -ENOBUFS || p->needs_length) {
			req_fail(r, CLOSE_BUDGET, 2);
			return;
		}
		/* No more room: the rest comes as fast as the backend takes it. */
		p->buffering = false;
		ask(p);
		p->call.body_may_repeat = false;
	}
	p->direct = data;
	p->direct_len = n;
	if (!p->in.len)
		up_call_kick(&p->call);
	if (p->direct_len && !p->over && up_buf_put(r->gate, &p->in, p->direct, p->direct_len) < 0) {
		p->direct_len = 0;
		up_call_cancel(&p->call);
		req_fail(r, CLOSE_BUDGET, 2);
		return;
	}
	p->direct_len = 0;
}

static void body_end(struct req *r)
{
	struct proxy *p = r->handler_state;

	if (!p || p->over)
		return;
	if (p->buffering)
		ask(p);
	else
		up_call_kick(&p->call);
}

static void room(struct req *r)
{
	struct proxy *p = r->handler_state;

	if (p && !p->over)
		up_call_room(&p->call);
}

static void forget(struct req *r)
{
	struct proxy *p = r->handler_state;

	if (!p)
		return;
	r->handler_state = NULL;
	up_call_cancel(&p->call);
	leave(p);
	drop_body(p);
}

static void abort_req(struct req *r, enum close_id why)
{
	(void)why;
	forget(r);
}

const struct handler_ops to_proxy_handler = {
	.name = "proxy",
	.start = start,
	.body = body,
	.body_end = body_end,
	.room = room,
	.abort = abort_req,
	.done = forget,
};
