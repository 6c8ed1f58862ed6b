/*
 * to_static.c: static files: GET and HEAD, conditions, ranges, index, folders (RFC 9110
 * sections 8.8, 13, 14).
 *
 * Called by req.c as HANDLER_STATIC. Holds one cached file for each request. Never serves what
 * begins with a dot (but .well-known), nor stead.conf; lists a folder only where Listing= says so;
 * never follows a symlink out.
 */
#include "to_static.h"
#include "compress.h"
#include "filecache.h"
#include "gate.h"
#include "httpdate.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "listing.h"
#include "parts.h"
#include "script.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FIELDS_MAX = 8 };

struct served {
	struct file *file;   /* NULL: a listing */
	struct parts *parts; /* NULL: not multipart */
	struct buf list;
	size_t list_at;
	const char
		*type; /* of the file that was asked for, when an encoded one beside it is served */
	uint32_t type_len;
	uint8_t coding;
};

bool static_is_hidden(const char *p, size_t n)
{
	const char *end = p + n;

	while (p < end) {
		const char *slash;

		p++;
		slash = memchr(p, '/', (size_t)(end - p));
		if (!slash)
			slash = end;
		if (p < slash && *p == '.' && !(slash - p == 11 && !memcmp(p, ".well-known", 11)))
			return true;
		if (slash - p == 10 && !memcmp(p, "stead.conf", 10))
			return true;
		p = slash;
	}
	return false;
}

static struct field field(const char *name, const char *value, size_t len)
{
	return (struct field){name, value, (uint32_t)strlen(name), (uint32_t)len};
}

static void fail_open(struct req *r, int err)
{
	switch (err) {
	case -ENOENT:
	case -EISDIR:
		req_fail(r, CLOSE_NOT_FOUND, 0);
		return;
	case -EACCES:
	case -EPERM:
		req_fail(r, CLOSE_FORBIDDEN, 0);
		return;
	default:
		req_fail(r, CLOSE_FILE_ERROR, 0);
	}
}

void static_redirect(struct req *r)
{
	const char *raw = r->path_raw;
	size_t n = r->path_raw_len;
	char *to;
	struct field f;
	struct resp_head h = {.status = 301, .content_length = 0, .fields = &f, .nfields = 1};

	/* "//host/…" would be another site. */
	while (n > 1 && raw[1] == '/') {
		raw++;
		n--;
	}
	to = arena_printf(&r->arena, "%.*s/%s%.*s", (int)n, raw, r->query_len ? "?" : "",
		(int)r->query_len, r->query);
	if (!to) {
		req_fail(r, CLOSE_NO_MEMORY, 0);
		return;
	}
	f = field("Location", to, strlen(to));
	req_resp_head(r, &h, true);
}

/* Conditions (RFC 9110 section 13). */

/* Is the file's tag in the list? W/ matches only when `weak`. */
static bool etag_in(const struct field *list, const struct file *f, bool weak)
{
	const char *p = list->value, *end = p + list->value_len;

	if (list->value_len == 1 && *p == '*')
		return true;
	while (p < end) {
		bool is_weak = false;
		const char *close;

		while (p < end && (*p == ' ' || *p == '\t' || *p == ','))
			p++;
		if (end - p > 2 && p[0] == 'W' && p[1] == '/') {
			is_weak = true;
			p += 2;
		}
		if (p == end || *p != '"')
			return false;
		close = memchr(p + 1, '"', (size_t)(end - p - 1));
		if (!close)
			return false;
		if ((weak || !is_weak) && (size_t)(close + 1 - p) == f->etag_len &&
			!memcmp(p, f->etag, f->etag_len))
			return true;
		p = close + 1;
	}
	return false;
}

static bool date_of(const struct field *f, int64_t *ret_s)
{
	return f && http_date_parse(f->value, f->value_len, ret_s);
}

/* 0: go on; 304, 412. */
static unsigned check_conditions(const struct req *r, const struct file *f)
{
	const struct field *match = req_field(r, "if-match"), *none = req_field(r, "if-none-match");
	int64_t date;

	if (match) {
		if (!etag_in(match, f, false))
			return 412;
	} else if (date_of(req_field(r, "if-unmodified-since"), &date) && f->mtime_s > date) {
		return 412;
	}
	if (none)
		return etag_in(none, f, true) ? 304 : 0;
	if (date_of(req_field(r, "if-modified-since"), &date) && f->mtime_s <= date)
		return 304;
	return 0;
}

/* May the range be answered, or has the file changed since the client got its first part? */
static bool if_range_holds(const struct req *r, const struct file *f)
{
	const struct field *c = req_field(r, "if-range");

	if (!c)
		return true;
	if (c->value_len && (*c->value == '"' || *c->value == 'W'))
		return c->value_len == f->etag_len && !memcmp(c->value, f->etag, f->etag_len);
	return c->value_len == HTTP_DATE_BYTES && !memcmp(c->value, f->modified, HTTP_DATE_BYTES);
}

/* Answers. */

static void send_bytes(
	struct req *r, struct file *f, struct resp_head *h, uint64_t from, uint64_t len)
{
	h->content_length = (int64_t)len;
	if (r->method == METHOD_HEAD || len == 0) {
		req_resp_head(r, h, true);
		return;
	}
	if (req_resp_head(r, h, false) < 0)
		return;
	if (f->body)
		req_resp_body(r, f->body + from, (size_t)len, true);
	else
		req_resp_file(r, f->fd, from, len, false);
}

static void fail_range(struct req *r, const struct file *f)
{
	char *value = arena_printf(&r->arena, "bytes */%llu", (unsigned long long)f->size);
	struct field range;

	if (value)
		range = field("Content-Range", value, strlen(value));
	req_fail_with(r, CLOSE_RANGE_BAD, 0, value ? &range : NULL);
}

/* A Range field that counts. True: answered. */
static bool answer_ranges(struct req *r, struct served *s, struct resp_head *h, struct field *f)
{
	const struct field *asked = r->method == METHOD_GET ? req_field(r, "range") : NULL;
	struct range ranges[RANGES_MAX];
	struct file *file = s->file;
	char *value;
	int n;

	if (!asked || !if_range_holds(r, file))
		return false;
	n = range_parse(asked->value, asked->value_len, file->size, ranges);
	if (n == 0)
		return false;
	if (n < 0) {
		fail_range(r, file);
		return true;
	}
	h->status = 206;
	if (n > 1) {
		s->parts = parts_begin(r, file, ranges, (unsigned)n, h, &f[0]);
		return true;
	}
	value = arena_printf(&r->arena, "bytes %llu-%llu/%llu", (unsigned long long)ranges[0].from,
		(unsigned long long)(ranges[0].from + ranges[0].len - 1),
		(unsigned long long)file->size);
	if (!value) {
		req_fail(r, CLOSE_NO_MEMORY, 0);
		return true;
	}
	f[h->nfields++] = field("Content-Range", value, strlen(value));
	send_bytes(r, file, h, ranges[0].from, ranges[0].len);
	return true;
}

/* Never the source of a script, where scripts are run. */
static int get_file(struct req *r, const char *root, size_t root_len, const char *path, size_t len,
	struct file **ret_file)
{
	if (r->route->flags & SNAP_ROUTE_NO_SOURCE && script_is_source(path, len))
		return -ENOENT;
	return filecache_get(r->gate, root, root_len, path, len, ret_file);
}

/* The encoded one beside it, when the client takes it. Only the whole file: parts are of the text.
 */
static void take_sibling(
	struct req *r, struct served *s, const char *root, size_t root_len, unsigned accepted)
{
	enum coding coding = encoding_best(accepted & s->file->siblings);
	struct file *other;
	const char *name;

	if (coding == CODING_IDENTITY || req_field(r, "range"))
		return;
	name = arena_printf(&r->arena, "%s%s", filecache_path(s->file), coding_extensions[coding]);
	if (!name || filecache_get(r->gate, root, root_len, name, strlen(name), &other) < 0)
		return;
	s->type = s->file->type;
	s->type_len = s->file->type_len;
	s->coding = (uint8_t)coding;
	file_release(r->gate, s->file);
	s->file = other;
}

/* How the file goes to a client that takes some encodings. True: other clients get other bytes of it.
 * Where nothing else works on the answer, what the filter of compression would find out of its head is known here. */
static bool choose_coding(struct req *r, struct served *s, const char *root, size_t root_len)
{
	bool alone = r->filters == 1u << FILTER_COMPRESS && !(r->route->rules & SNAP_RULE_CACHE);
	bool encoded = s->file->text && s->file->size >= COMPRESS_BYTES_MIN;
	bool siblings = s->file->siblings;
	unsigned accepted;

	if (!siblings && !alone)
		return false;
	accepted = compress_accepted(r);
	if (siblings)
		take_sibling(r, s, root, root_len, accepted);
	if (alone && (s->coding || !encoded || encoding_best(accepted) == CODING_IDENTITY))
		r->filters = 0;
	return siblings || (alone && encoded);
}

static void answer(struct req *r, struct served *s, bool vary)
{
	struct file *f = s->file;
	struct field fields[FIELDS_MAX] = {
		{"Content-Type", f->type, 12, f->type_len},
		{"ETag", f->etag, 4, f->etag_len},
		{"Last-Modified", f->modified, 13, HTTP_DATE_BYTES},
		{"Accept-Ranges", "bytes", 13, 5},
	};
	struct resp_head h = {.status = 200, .fields = fields, .nfields = 4};
	unsigned status = check_conditions(r, f);

	if (status) {
		h.status = (uint16_t)status;
		/* What the client holds already is not told again, only by what to know it and
		 * for whom it holds (RFC 9110 section 15.4.5). */
		if (vary)
			fields[3] = field("Vary", "Accept-Encoding", 15);
		h.fields = fields + 1;
		h.nfields = vary ? 3 : 2;
		req_resp_head(r, &h, true);
		return;
	}
	if (s->coding) {
		fields[0] = (struct field){"Content-Type", s->type, 12, s->type_len};
		fields[h.nfields++] = field("Content-Encoding", coding_names[s->coding],
			strlen(coding_names[s->coding]));
	}
	if (vary)
		fields[h.nfields++] = field("Vary", "Accept-Encoding", 15);
	if (!answer_ranges(r, s, &h, fields))
		send_bytes(r, f, &h, 0, f->size);
}

static int open_index(struct req *r, const char *root, size_t root_len, const char *path,
	size_t len, const char *index, size_t index_len, struct file **ret_file)
{
	char *with = arena_alloc(&r->arena, len + index_len + 2);
	size_t n = max_of(len, (size_t)1);

	if (!with)
		return -ENOMEM;
	memcpy(with, path, len);
	if (!len)
		with[0] = '/';
	memcpy(with + n, index, index_len);
	with[n + index_len] = 0;
	return get_file(r, root, root_len, with, n + index_len, ret_file);
}

/* The file that the path names, or the first index that is there of the folder that it names. */
static int open_path(struct req *r, const char *root, size_t root_len, const char *path, size_t len,
	struct file **ret_file)
{
	const struct snap_str *name;
	int err = -ENOENT;

	if (len && path[len - 1] != '/')
		return get_file(r, root, root_len, path, len, ret_file);
	if (!r->route->index.n)
		return open_index(r, root, root_len, path, len, "index.html", 10, ret_file);
	for (uint32_t i = 0; (name = snap_item(r->snap, r->route->index, i, sizeof(*name))); i++) {
		size_t n;
		const char *index = snap_str(r->snap, *name, &n);

		err = open_index(r, root, root_len, path, len, index, n, ret_file);
		if (err != -ENOENT && err != -EISDIR)
			break;
	}
	return err;
}

const char *static_path(const struct req *r, size_t *ret_len)
{
	bool own = r->route->match == SNAP_MATCH_PREFIX && !(r->route->flags & SNAP_ROUTE_WHOLE);
	size_t strip = own ? r->route->path.len : 0;

	if ((r->route->flags & (SNAP_ROUTE_SCRIPTS | SNAP_ROUTE_STRIP)) == SNAP_ROUTE_SCRIPTS)
		strip = 0;
	*ret_len = r->path_len;
	/* A prefix's own path names the folder; what is left begins with its slash. */
	if (strip <= 1 || strip > r->path_len)
		return r->path;
	strip -= r->path[strip - 1] == '/';
	*ret_len -= strip;
	return r->path + strip;
}

bool static_exists(struct req *r, const char *path, size_t len)
{
	size_t root_len;
	const char *root = snap_str(r->snap, r->route->root, &root_len);
	struct file *f;

	if (!root_len || !len || *path != '/' || static_is_hidden(path, len) ||
		open_path(r, root, root_len, path, len, &f) < 0)
		return false;
	file_release(r->gate, f);
	return true;
}

static void push_list(struct req *r, struct served *s)
{
	s->list_at += req_resp_body(r, s->list.p + s->list_at, s->list.len - s->list_at, true);
}

/* False: there is no such folder, or it may not be listed. */
static bool list_folder(struct req *r, struct served *s, const char *root, size_t root_len,
	const char *path, size_t len)
{
	static const char html[] = "text/html; charset=utf-8", js[] = "application/json";
	bool json = listing_wants_json(r);
	struct field f[2] = {
		field("Content-Type", json ? js : html, json ? sizeof(js) - 1 : sizeof(html) - 1),
		{"Vary", "Accept", 4, 6}};
	struct resp_head h = {.status = 200, .fields = f, .nfields = 2};
	int fd, err;

	if (!(r->route->flags & SNAP_ROUTE_LISTING) || path[len - 1] != '/' ||
		filecache_folder(r->gate, root, root_len, path, len, &fd) < 0)
		return false;
	buf_init(&s->list, LISTING_BYTES_MAX);
	err = listing_make(r, fd, json, &s->list);
	close(fd);
	r->handler_state = s;
	if (err) {
		req_fail(r, err == -ENOMEM ? CLOSE_NO_MEMORY : CLOSE_FILE_ERROR, 0);
		return true;
	}
	h.content_length = (int64_t)s->list.len;
	if (req_resp_head(r, &h, r->method == METHOD_HEAD) == 0 && !r->ended)
		push_list(r, s);
	return true;
}

static void start(struct req *r)
{
	static const struct field allow = {"Allow", "GET, HEAD", 5, 9};
	size_t root_len, len;
	const char *root = snap_str(r->snap, r->route->root, &root_len), *path;
	struct served *s;
	int err;

	if (r->method != METHOD_GET && r->method != METHOD_HEAD) {
		req_fail_with(r, CLOSE_BAD_METHOD, 0, &allow);
		return;
	}
	path = r->file_path ? r->file_path : static_path(r, &len);
	if (r->file_path)
		len = strlen(path);
	if (!root_len || static_is_hidden(path, len)) {
		req_fail(r, CLOSE_NOT_FOUND, 0);
		return;
	}
	if (!len) {
		static_redirect(r);
		return;
	}
	s = arena_zalloc(&r->arena, sizeof(*s));
	if (!s) {
		req_fail(r, CLOSE_NO_MEMORY, 0);
		return;
	}
	err = open_path(r, root, root_len, path, len, &s->file);
	if (err == -EISDIR && path[len - 1] != '/') {
		static_redirect(r);
		return;
	}
	if (err == -ENOENT && list_folder(r, s, root, root_len, path, len))
		return;
	if (err) {
		fail_open(r, err);
		return;
	}
	r->handler_state = s;
	answer(r, s,
		r->route->flags & SNAP_ROUTE_COMPRESS && choose_coding(r, s, root, root_len));
}

static void done(struct req *r)
{
	struct served *s = r->handler_state;

	if (s && s->file)
		file_release(r->gate, s->file);
	else if (s)
		buf_done(&s->list);
}

static void room(struct req *r)
{
	struct served *s = r->handler_state;

	if (s->file)
		parts_push(r, s->parts);
	else
		push_list(r, s);
}

const struct handler_ops to_static_handler = {
	.name = "static",
	.start = start,
	.room = room,
	.done = done,
};
