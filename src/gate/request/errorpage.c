/*
 * errorpage.c: pages for failed requests: the site's ErrorPage= file, else one that says in plain
 * words what happened, with the request's id, by which its record is found in the log.
 *
 * Called by req.c. Holds the open file of a large own page until the request is done. Never says
 * what a client need not know: paths, versions, what the app printed.
 */
#include "errorpage.h"
#include "filecache.h"
#include "gate.h"
#include "httpdate.h"
#include "script.h"

#include <string.h>

enum { FIELDS_MAX = 4 };

static struct file *maintenance_page(struct req *r)
{
	struct file *f;
	size_t n;
	const char *path = snap_str(r->snap, r->site->maintenance, &n);

	return n && filecache_get(r->gate, "/", 1, path, n, &f) == 0 ? f : NULL;
}

static struct file *own_page(struct req *r, uint16_t status)
{
	const struct snap_route *route = req_route(r);
	struct file *f;

	if (!route)
		return NULL;
	for (uint32_t i = 0; i < route->error_pages.n; i++) {
		const struct snap_error_page *e =
			snap_item(r->snap, route->error_pages, i, sizeof(*e));
		const char *path;
		size_t n;

		if (!e || e->status != status)
			continue;
		path = snap_str(r->snap, e->file, &n);
		if (route->flags & SNAP_ROUTE_NO_SOURCE && script_is_source(path, n))
			continue;
		if (n && filecache_get(r->gate, "/", 1, path, n, &f) == 0)
			return f;
	}
	return NULL;
}

static void put_field(struct field *f, unsigned *n, const char *name, const char *value, size_t len)
{
	f[(*n)++] = (struct field){name, value, (uint32_t)strlen(name), (uint32_t)len};
}

static const char *built_in(struct req *r, enum close_id why, size_t *ret_n)
{
	uint16_t status = close_rows[why].status;
	const char *reason = http_reason(status), *id;
	char mem[REQ_ID_MEM], *page;
	size_t id_len;

	id = req_id(r, mem, &id_len);
	page = arena_printf(&r->arena,
		"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
		"<meta name=\"viewport\" content=\"width=device-width\">"
		"<title>%u %s</title><style>body{font:16px/1.5 sans-serif;max-width:36em;"
		"margin:15vh auto;padding:0 1em;color:#222}small{color:#666}</style></head>\n"
		"<body><h1>%u %s</h1><p>%c%s.</p><p><small>Request "
		"%.*s</small></p></body></html>\n",
		status, reason, status, reason, close_rows[why].text[0] & ~0x20,
		close_rows[why].text + 1, (int)id_len, id);

	*ret_n = page ? strlen(page) : 0;
	return page ? page : "";
}

/* Does the client ask for JSON, and not for a page? (RFC 9110 section 12.5.1, without its weights: who names the
 * one and not the other leaves no doubt.) */
static bool wants_json(const struct req *r)
{
	const struct field *f = req_field(r, "accept");

	return f && memmem(f->value, f->value_len, "application/json", 16) &&
	       !memmem(f->value, f->value_len, "text/html", 9);
}

static const char *in_json(struct req *r, enum close_id why, size_t *ret_n)
{
	char mem[REQ_ID_MEM], *text;
	const char *id;
	size_t id_len;

	/* What a proxy that is trusted gave as the id is checked to have no quotes. */
	id = req_id(r, mem, &id_len);
	text = arena_printf(&r->arena, "{\"status\":%u,\"error\":\"%s\",\"request\":\"%.*s\"}\n",
		close_rows[why].status, close_rows[why].text, (int)id_len, id);
	*ret_n = text ? strlen(text) : 0;
	return text ? text : "";
}

void errorpage_send(
	struct req *r, enum close_id why, unsigned retry_after_s, const struct field *extra)
{
	static const char html[] = "text/html; charset=utf-8", json[] = "application/json";
	bool as_json = (why == CLOSE_MAINTENANCE || why == CLOSE_STOPPED) && wants_json(r);
	struct field fields[FIELDS_MAX];
	struct resp_head h = {.status = close_rows[why].status, .fields = fields};
	struct file *f =
		why == CLOSE_MAINTENANCE && r->site && !as_json ? maintenance_page(r) : NULL;
	const char *body = NULL;
	size_t n = 0;
	char retry[12];

	if (!f && !as_json)
		f = own_page(r, h.status);

	if (f) {
		r->handler_state = f;
		put_field(fields, &h.nfields, "Content-Type", f->type, f->type_len);
		h.content_length = (int64_t)f->size;
	} else if (as_json) {
		body = in_json(r, why, &n);
		put_field(fields, &h.nfields, "Content-Type", json, sizeof(json) - 1);
		h.content_length = (int64_t)n;
	} else {
		body = built_in(r, why, &n);
		put_field(fields, &h.nfields, "Content-Type", html, sizeof(html) - 1);
		h.content_length = (int64_t)n;
	}
	if (retry_after_s) {
		unsigned at = sizeof(retry);

		for (unsigned v = retry_after_s; v; v /= 10)
			retry[--at] = (char)('0' + v % 10);
		put_field(fields, &h.nfields, "Retry-After", retry + at, sizeof(retry) - at);
	}
	if (extra)
		fields[h.nfields++] = *extra;
	put_field(fields, &h.nfields, "Cache-Control", "no-store", 8);
	if (r->method == METHOD_HEAD || h.content_length == 0) {
		req_resp_head(r, &h, true);
		return;
	}
	if (req_resp_head(r, &h, false) < 0)
		return;
	if (!f)
		req_resp_body(r, body, n, true);
	else if (f->body)
		req_resp_body(r, f->body, (size_t)f->size, true);
	else
		req_resp_file(r, f->fd, 0, f->size, false);
}

static void start(struct req *r)
{
	req_fail(r, CLOSE_NOT_FOUND, 0);
}

static void done(struct req *r)
{
	if (r->handler_state)
		file_release(r->gate, r->handler_state);
}

const struct handler_ops errorpage_handler = {.name = "error", .start = start, .done = done};
