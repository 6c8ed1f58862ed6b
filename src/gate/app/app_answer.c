/*
 * app_answer.c: what workers answer: frames checked, heads validated, bodies passed on.
 *
 * Called with one frame at a time. A worker may write anything into its memory at any time, so a
 * head is copied into the request's arena before it is looked at, and body bytes are only ever
 * copied on. What does not fit the client at once waits in the request's own buffer, which cannot
 * exceed the window that the worker was given. -EPROTO ends the worker's link, never anything else.
 */
#include "app_priv.h"
#include "lib/must.h"
#include "link/link_field.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool same(const struct field *f, const char *name)
{
	return f->name_len == strlen(name) && strncasecmp(f->name, name, f->name_len) == 0;
}

/* Belongs to the connection (RFC 9110 section 7.6.1) or is said by the protocol itself. */
static bool is_ours(const struct field *f)
{
	switch (f->name[0] | 0x20) {
	case 'c':
		return same(f, "connection") || same(f, "content-length");
	case 'k':
		return same(f, "keep-alive");
	case 'p':
		return same(f, "proxy-connection");
	case 't':
		return same(f, "te") || same(f, "trailer") || same(f, "transfer-encoding");
	case 'u':
		return same(f, "upgrade");
	case 'd':
		return same(f, "date");
	case 's':
		return same(f, "server");
	default:
		return false;
	}
}

/* p, n: a private copy. Fields point into it. */
static int parse_head(struct app_req *a, char *p, size_t n, bool tunnel, struct resp_head *ret)
{
	struct link_head h;
	struct field *f;
	unsigned used = 0;
	size_t at;

	if (n < sizeof(h))
		return -EPROTO;
	memcpy(&h, p, sizeof(h));
	at = sizeof(h);
	if (h.status < (tunnel ? 101 : 200) || h.status > (tunnel ? 101 : 999) || h.nfields > 1000 || h.content_length < -1 ||
		h.reason_len > n - at || !link_field_value_ok(p + at, h.reason_len))
		return -EPROTO;
	f = arena_alloc(&a->r->arena, (h.nfields + 1u) * sizeof(*f));
	ret->reason = arena_strndup(&a->r->arena, p + at, h.reason_len);
	if (!f || !ret->reason)
		return -ENOMEM;
	at += h.reason_len;
	for (unsigned i = 0; i < h.nfields; i++) {
		uint16_t name_len;
		uint32_t value_len;

		if (n - at < 8)
			return -EPROTO;
		memcpy(&name_len, p + at, 2);
		memcpy(&value_len, p + at + 4, 4);
		at += 8;
		if (name_len > n - at || value_len > n - at - name_len)
			return -EPROTO;
		f[used] = (struct field){p + at, p + at + name_len, name_len, value_len};
		at += name_len + value_len;
		if (!link_field_name_ok(f[used].name, name_len) || !link_field_value_ok(f[used].value, value_len))
			return -EPROTO;
		if (!is_ours(&f[used]))
			used++;
	}
	if (at != n)
		return -EPROTO;
	ret->status = h.status;
	ret->content_length = h.content_length;
	ret->fields = f;
	ret->nfields = used;
	if (!h.reason_len)
		ret->reason = NULL;
	return 0;
}

static void grant(struct app_req *a, uint32_t n)
{
	a->grant += n;
	if (!a->out_ended && a->grant >= a->window / 4)
		app_tell_room(a);
}

void app_tell_room(struct app_req *a)
{
	struct app_worker *w = a->w;
	struct link_desc d = {.type = LINK_ROOM, .arg = a->grant, .seat = a->seat};
	int err;

	if (!w || !a->grant || a->out_ended)
		return;
	d.id = a->r->id;
	if (!link_room(&w->link.end, 0, &err)) {
		w->pending = true;
		return;
	}
	link_put(&w->link.end, &d, 0);
	w->link.put = true;
	app_seat_at(w, a->seat)->room += a->grant;
	a->grant = 0;
}

/* The last bytes, for which there is room. The request is forgotten first: with its answer whole it
 * may be gone when the call returns. */
static void finish(struct app_req *a, const char *p, size_t n)
{
	struct req *r = a->r;

	/* With the app's end a tunnel has none to go on for. */
	if (a->tunnel)
		r->body_done = true;
	app_forget(a);
	(void)req_resp_body(r, p, n, true);
}

void app_push_out(struct app_req *a)
{
	struct to_app *t = a->t;
	struct app_guard g;
	size_t took;

	if (!a->out.len)
		return;
	if (a->out_ended && req_resp_room(a->r) >= a->out.len) {
		struct app_buf last = a->out;

		if (a->tunnel)
			app_uncharge(t, last.len);
		memset(&a->out, 0, sizeof(a->out));
		finish(a, last.p + last.at, last.len);
		free(last.p);
		return;
	}
	app_guard(t, &g, a);
	took = req_resp_body(a->r, a->out.p + a->out.at, a->out.len, false);
	if (!app_guarded(t, &g))
		return;
	app_buf_drop(&a->out, took);
	if (a->tunnel) {
		app_uncharge(t, (uint32_t)took);
		grant(a, (uint32_t)took);
	} else if (a->out_ended) {
		/* The window was given back at the end, but for what still waits. */
		app_uncharge(t, (uint32_t)took);
		a->window -= (uint32_t)took;
	} else {
		grant(a, (uint32_t)took);
	}
}

/* n bytes of the n_all that came: what the client does not take at once waits. */
static void pass(struct app_req *a, const char *p, size_t n, size_t n_all, bool end)
{
	struct to_app *t = a->t;
	struct app_guard g;
	size_t took = 0;

	if (!a->out.len && end && (!n || req_resp_room(a->r) >= n)) {
		finish(a, p, n);
		return;
	}
	app_guard(t, &g, a);
	if (!a->out.len && n)
		took = req_resp_body(a->r, p, n, false);
	if (!app_guarded(t, &g))
		return;
	if (took < n) {
		struct req *r = a->r;
		bool charged = !a->tunnel || app_charge(t, (uint32_t)(n - took));

		if (!charged || app_buf_put(&a->out, p + took, n - took)) {
			if (charged && a->tunnel)
				app_uncharge(t, (uint32_t)(n - took));
			app_stop(a);
			req_fail(r, charged ? CLOSE_NO_MEMORY : CLOSE_BUDGET, 0);
			return;
		}
	}
	if (!end) {
		grant(a, (uint32_t)(n_all - n + took));
		return;
	}
	a->out_ended = true;
	loop_timer_stop(t->env.loop, &a->deadline);
	/* All was taken, but not as the end: an empty piece says it. */
	if (!a->out.len) {
		finish(a, "", 0);
		return;
	}
	if (a->tunnel)
		return;
	app_uncharge(t, a->window - a->out.len);
	a->window = a->out.len;
}

/* Body bytes of the worker, in shared memory. */
static int answer_bytes(struct app_req *a, const char *p, size_t n, bool end)
{
	size_t all = n;

	if (a->left >= 0) {
		if (end && n < (uint64_t)a->left) {
			app_fail(a, CLOSE_APP_SHORT, 0);
			return 0;
		}
		/* More than it promised is cut off: the next answer on the connection must not
		 * begin with it. */
		if (n > (uint64_t)a->left)
			n = (size_t)a->left;
		a->left -= (int64_t)n;
	}
	pass(a, p, n, all, end);
	return 0;
}

static int on_head(
	struct app_worker *w, struct app_req *a, const struct link_desc *d, const char *p)
{
	struct to_app *t = a->t;
	struct app_guard g;
	struct resp_head h = {0};
	bool end = d->flags & LINK_END, no_body;
	size_t body = d->len - d->arg;
	char *copy = arena_strndup(&a->r->arena, p, d->arg);
	bool tunnel = d->flags & LINK_TUNNEL;
	int err = copy ? parse_head(a, copy, d->arg, tunnel, &h) : -ENOMEM;

	if (err == -ENOMEM) {
		app_fail(a, CLOSE_NO_MEMORY, 0);
		return 0;
	}
	if (err)
		return err;
	a->head_sent = true;
	a->r->up.status = h.status;
	a->r->up.us = loop_now_us(t->env.loop) - app_seat_at(w, d->seat)->given_us;
	if (tunnel)
		return app_tunnel_begin(a, &h);
	no_body = a->r->method == METHOD_HEAD || h.status == 204 || h.status == 304;
	if (end && h.content_length < 0 && !no_body)
		h.content_length = (int64_t)body;
	a->left = h.content_length;
	if (end && a->left >= 0 && body < (uint64_t)a->left && !no_body) {
		a->head_sent = false;
		app_fail(a, CLOSE_APP_SHORT, 0);
		return 0;
	}
	if (no_body || (end && !body)) {
		struct req *r = a->r;

		/* Forgotten first: the answer is whole, and the request may be gone when the call
		 * returns. What the app still makes of a body is for nobody. */
		if (end)
			app_forget(a);
		else
			app_stop(a);
		(void)req_resp_head(r, &h, true);
		return 0;
	}
	app_guard(t, &g, a);
	(void)req_resp_head(a->r, &h, false);
	if (!app_guarded(t, &g))
		return 0;
	return body ? answer_bytes(a, p + d->arg, body, end) : 0;
}

static int on_file(
	struct app_worker *w, struct app_req *a, const struct link_desc *d, const char *p)
{
	struct link_file f;
	struct req *r = a ? a->r : NULL;
	int fd;

	if (d->len != sizeof(f))
		return -EPROTO;
	memcpy(&f, p, sizeof(f));
	fd = link_gate_file(&w->link, f.number);
	if (fd == -EPROTO)
		return -EPROTO;
	if (fd < 0) {
		if (a)
			app_fail(a, CLOSE_FILE_ERROR, 0);
		return 0;
	}
	if (f.off > INT64_MAX || f.len > INT64_MAX - f.off) {
		close(fd);
		return -EPROTO;
	}
	if (!a) {
		close(fd);
		return 0;
	}
	/* What was sent as bytes before must have gone first; a worker that mixes them waits for no
	 * room. */
	if (a->out.len || (a->left >= 0 && f.len < (uint64_t)a->left)) {
		close(fd);
		app_fail(a, CLOSE_APP_SHORT, 0);
		return 0;
	}
	if (a->left >= 0)
		f.len = (uint64_t)a->left;
	app_forget(a);
	if (f.len == 0) {
		close(fd);
		(void)req_resp_body(r, "", 0, true);
	} else if (req_resp_file(r, fd, f.off, f.len, true) < 0) {
		req_fail(r, CLOSE_FILE_ERROR, 0);
	}
	return 0;
}

static int on_credit(struct app_req *a, const struct link_desc *d)
{
	if (!a)
		return 0;
	if (d->arg > (a->tunnel ? LINK_WINDOW_TUNNEL : LINK_WINDOW) - a->in_credit)
		return -EPROTO;
	a->in_credit += d->arg;
	app_pump_in(a);
	return 0;
}

static void progress(struct app_req *a)
{
	if (a && !a->out_ended && !a->tunnel)
		loop_timer_in(a->t->env.loop, &a->deadline, a->r->route->request_timeout_ms);
}

static int run_frame(struct app_worker *w, struct app_req *a, const struct link_desc *d,
	const char *p, size_t body)
{
	bool end = d->flags & LINK_END;

	if (!end)
		progress(a);
	switch (d->type) {
	case LINK_HEAD:
		return a ? on_head(w, a, d, p) : 0;
	case LINK_BODY:
		return a ? answer_bytes(a, p, body, end) : 0;
	case LINK_CREDIT:
		return end ? -EPROTO : on_credit(a, d);
	case LINK_FILE:
		return on_file(w, a, d, p);
	case LINK_FAIL:
		if (a)
			app_fail(a, CLOSE_APP_ERROR, 0);
		return 0;
	case LINK_WITHDRAWN:
		/* It was stopped just when it was to begin: it waits again. */
		if (a)
			app_replay(a, false, CLOSE_APP_GARBAGE);
		return 0;
	default:
		return -EPROTO;
	}
}

int app_on_frame(struct app_worker *w, const struct link_desc *d, const char *p)
{
	struct app_seat *s = app_seat_at(w, d->seat);
	struct app_req *a = s ? s->a : NULL;
	bool end = d->flags & LINK_END, tunnel = d->flags & LINK_TUNNEL;
	size_t body = 0;
	int res;

	if (!d->id || !s || s->id != d->id || (tunnel && d->type != LINK_HEAD))
		return -EPROTO;
	if (d->type == LINK_HEAD) {
		if (s->head_seen || d->arg > d->len)
			return -EPROTO;
		s->head_seen = true;
		body = d->len - d->arg;
		/* Nothing follows it in its frame: what comes behind it is no body. */
		if (tunnel && (!s->may_tunnel || end || body))
			return -EPROTO;
	} else if (d->type == LINK_BODY) {
		body = d->len;
	}
	if (body > s->room || (!s->head_seen && (d->type == LINK_BODY || d->type == LINK_FILE)) ||
		(s->tunnel && d->type == LINK_FILE))
		return -EPROTO;
	s->room -= (uint32_t)body;
	s->begun = true;
	if (end) {
		/* Checked while the seat still says whose it is: only a stopped one may be
		 * withdrawn. */
		if (d->type == LINK_WITHDRAWN && (!s->stopped || s->head_seen))
			return -EPROTO;
		a = app_seat_leave(w, d->seat);
	} else if (d->type == LINK_WITHDRAWN || d->type == LINK_FILE || d->type == LINK_FAIL) {
		return -EPROTO;
	}
	res = run_frame(w, a, d, p, body);
	/* It has no seat any more by which the end of the link would find it. */
	if (res < 0 && end && a)
		app_fail(a, CLOSE_APP_GARBAGE, 0);
	return res;
}
