/*
 * access.c: a request's access record, as bytes in the log ring; the log process makes text of it. Called by
 * req_done(). Owns nothing but the one wake-up of the reader, batched to one a turn. Bounded: what of a text
 * is longer than src/record says is cut there, and said to be.
 */
#include "access.h"

#include "gate.h"
#include "lib/must.h"
#include "record/record.h"
#include "route.h"
#include "tls_server.h"

#include <string.h>
#include <strings.h>

/* "worker 7" */
static size_t put_worker(char *to, uint32_t slot)
{
	static const char word[] = "worker ";
	char digits[10], *d = digits + sizeof(digits);
	size_t n;

	do
		*--d = (char)('0' + slot % 10);
	while (slot /= 10);
	n = (size_t)(digits + sizeof(digits) - d);
	memcpy(to, word, sizeof(word) - 1);
	memcpy(to + sizeof(word) - 1, d, n);
	return sizeof(word) - 1 + n;
}

enum { KEPT_SITE, KEPT_UPSTREAM, KEPT_FORMAT, KEPT_TEXTS };
static const enum record_text kept_texts[KEPT_TEXTS] = {
	RECORD_SITE, RECORD_UPSTREAM, RECORD_FORMAT};

struct access_kept {
	struct snap_site site;
	struct snap_route route;
	struct record_str text[KEPT_TEXTS];
};

static void set_str(const struct req *r, struct record *rec, enum record_text i, struct snap_str s)
{
	for (unsigned k = 0; r->kept && k < KEPT_TEXTS; k++)
		if (kept_texts[k] == i)
			rec->text[i] = r->kept->text[k];
	if (r->kept)
		return;
	rec->text[i].p = snap_str(r->snap, s, &rec->text[i].n);
}

static void set_upstream_name(const struct req *r, struct record *rec)
{
	const struct snap_upstream *u;
	const struct snap_app *a;

	if (r->kept)
		set_str(r, rec, RECORD_UPSTREAM, (struct snap_str){0});
	else if (r->up.kind == REQ_UP_APP && (a = snap_app(r->snap, r->route->app)))
		set_str(r, rec, RECORD_UPSTREAM, a->name);
	else if (r->up.kind != REQ_UP_APP && (u = snap_upstream(r->snap, r->route->upstream)))
		set_str(r, rec, RECORD_UPSTREAM, u->name);
}

static void set_upstream(const struct req *r, struct record *rec, char *worker)
{
	set_upstream_name(r, rec);
	if (r->up.kind == REQ_UP_APP) {
		if (r->up.asked)
			rec->text[RECORD_SERVER] = (struct record_str){worker, put_worker(worker, r->up.slot)};
	} else {
		rec->text[RECORD_SERVER] = (struct record_str){r->up.server, r->up.server_len};
	}
	rec->head.upstream_status = r->up.status;
	rec->head.upstream_us = r->up.us;
}

static void set_fields(const struct req *r, struct record *rec)
{
	for (unsigned i = 0; i < r->nfields; i++) {
		const struct field *f = &r->fields[i];

		if (f->name_len == 7 && !rec->text[RECORD_REFERER].n && !memcmp(f->name, "referer", 7))
			rec->text[RECORD_REFERER] = (struct record_str){f->value, f->value_len};
		else if (f->name_len == 10 && !rec->text[RECORD_AGENT].n &&
			 !memcmp(f->name, "user-agent", 10))
			rec->text[RECORD_AGENT] = (struct record_str){f->value, f->value_len};
	}
}

static void set_text(struct record *rec, enum record_text i, const char *p, size_t n)
{
	rec->text[i] = (struct record_str){p, n};
}

/* Of a request that was not understood so far that a site is known, the default site's. */
static void set_format(const struct req *r, struct record *rec, const struct snap_route *route)
{
	const struct snap_site *site = route || !r->snap ? NULL : route_default_site(r->snap);

	if (site)
		route = snap_route(r->snap, site, 0);
	if (route && route->access == SNAP_ACCESS_COMBINED)
		rec->head.flags |= RECORD_COMBINED;
	else if (route && route->access == SNAP_ACCESS_FORMAT)
		set_str(r, rec, RECORD_FORMAT, route->access_format);
}

void access_keep(struct req *r)
{
	struct access_kept *k =
		r->snap && r->site && r->route ? arena_alloc(&r->arena, sizeof(*k)) : NULL;
	struct record rec = {0};

	if (!k)
		return;
	set_str(r, &rec, RECORD_SITE, r->site->name);
	set_upstream_name(r, &rec);
	set_format(r, &rec, r->route);
	for (unsigned i = 0; i < KEPT_TEXTS; i++) {
		const struct record_str *t = &rec.text[kept_texts[i]];
		const char *p = t->n ? arena_strndup(&r->arena, t->p, t->n) : "";

		if (!p)
			return;
		k->text[i] = (struct record_str){p, t->n};
	}
	k->site = *r->site;
	k->route = *r->route;
	r->site = &k->site;
	r->route = &k->route;
	r->kept = k;
	snap_unref(r->snap);
	r->snap = NULL;
}

void access_record(struct req *r)
{
	struct gate *g = r->gate;
	const struct snap_route *route = req_route(r);
	char mem[RECORD_RAW_MAX] __attribute__((uninitialized)), worker[20];
	struct record rec __attribute__((uninitialized));

	/* Nor a question of the gate's own, in the background. */
	if (!g->ring_ready || r->metrics || r->stream->proto == PROTO_CACHE || (route && route->access == SNAP_ACCESS_OFF))
		return;
	memset(&rec, 0, sizeof(rec));
	rec.head.flags = (uint16_t)((r->tls ? RECORD_IS_TLS : 0) | (r->version_minor ? 0 : RECORD_HTTP_1_0) | (r->http2 ? RECORD_HTTP_2 : 0) |
				    (r->head_us ? RECORD_HAS_FIRST : 0));
	memcpy(rec.head.id, r->public_id, sizeof(rec.head.id));
	rec.head.number = ++g->records;
	rec.head.whole_us = loop_now_us(g->loop) - r->start_us;
	rec.head.first_us = r->head_us ? r->head_us - r->start_us : 0;
	rec.head.body_in = r->body_in;
	rec.head.body_out = r->body_out;
	rec.head.status = r->status;
	rec.head.port = r->peer_port;
	rec.head.close = (uint16_t)r->close;
	if (r->site)
		set_str(r, &rec, RECORD_SITE, r->site->name);
	set_text(&rec, RECORD_CLIENT, r->peer, strlen(r->peer));
	if (r->user[0])
		set_text(&rec, RECORD_USER, r->user, strlen(r->user));
	set_text(&rec, RECORD_METHOD, r->method_str, r->method_len);
	set_text(&rec, RECORD_TARGET, r->target, r->target_len);
	set_text(&rec, RECORD_HOST, r->host, r->host_len);
	set_text(&rec, RECORD_ID, r->given_id, r->given_id_len);
	set_fields(r, &rec);
	if (r->up.kind && r->route)
		set_upstream(r, &rec, worker);
	if (r->tls_version) {
		size_t n = strlen(r->tls_name);

		set_text(&rec, RECORD_TLS, r->tls_version, strlen(r->tls_version));
		set_text(&rec, RECORD_CIPHER, r->tls_cipher, strlen(r->tls_cipher));
		/* Nearly always the host, which stands there already. */
		if (n != r->host_len || strncasecmp(r->tls_name, r->host, n) != 0)
			set_text(&rec, RECORD_SNI, r->tls_name, n);
	}
	if (r->cert)
		set_text(&rec, RECORD_SUBJECT, r->cert->subject, strlen(r->cert->subject));
	if (r->cache_status)
		set_text(&rec, RECORD_CACHE, r->cache_status, strlen(r->cache_status));
	set_format(r, &rec, route);
	logring_put(&g->ring, LOGREC_ACCESS, loop_wall_us(g->loop), mem, record_put(&rec, mem));
	loop_defer(g->loop, &g->access_flush);
}

void access_on_flush(struct loop *l, struct op *op, int res)
{
	struct gate *g = container_of(op, struct gate, access_flush);

	(void)l;
	(void)res;
	logring_flush(&g->ring);
}
