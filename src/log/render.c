/*
 * render.c: what came in, as one line of JSON.
 *
 * Pure: called with bytes, appends to a buf. Untrusted bytes come in here: an event of another
 * stead process, an access record that a gate wrote, an app's output. Nothing of them
 * can end the line or leave its string.
 */
#include "log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/event.h"
#include "lib/must.h"

static const char *const level_names[] = {[2] = "critical",
	[3] = "error",
	[4] = "warning",
	[5] = "notice",
	[6] = "info",
	[7] = "debug"};

void render_time(uint64_t wall_us, char ret[TS_LEN + 1])
{
	time_t s = (time_t)(wall_us / 1000000);
	struct tm tm;
	size_t n;

	/* A year of five digits would break the form: such a time is none of a clock's. */
	if (s > 253402300799) {
		wall_us = 0;
		s = 0;
	}
	must(gmtime_r(&s, &tm));
	n = strftime(ret, TS_LEN + 1, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(ret + n, TS_LEN + 1 - n, ".%06uZ", (unsigned)(wall_us % 1000000));
}

static void begin(struct buf *b, uint64_t wall_us, const char *kind, unsigned level)
{
	char ts[TS_LEN + 1];

	render_time(wall_us, ts);
	buf_puts(b, "{\"ts\":\"");
	buf_put(b, ts, TS_LEN);
	buf_puts(b, "\",\"kind\":\"");
	buf_puts(b, kind);
	buf_puts(b, "\",\"level\":\"");
	buf_puts(b, level_names[level]);
	buf_putc(b, '"');
}

/* The same; the second's text is kept, because records come many to a second. */
static void begin_access(struct buf *b, struct record_lines *lines, uint64_t wall_us, unsigned level)
{
	const size_t at = TS_LEN - 7; /* behind the seconds' dot */
	uint64_t us = wall_us % 1000000;

	if (!lines->utc[0] || lines->utc_s != wall_us / 1000000) {
		render_time(wall_us, lines->utc);
		lines->utc_s = wall_us / 1000000;
	}
	for (unsigned i = 6; i-- > 0; us /= 10)
		lines->utc[at + i] = (char)('0' + us % 10);
	buf_put(b, "{\"ts\":\"", 7);
	buf_put(b, lines->utc, TS_LEN);
	buf_puts(b, "\",\"kind\":\"access\",\"level\":\"");
	buf_puts(b, level_names[level]);
	buf_putc(b, '"');
}

static void member(struct buf *b, const char *name, const char *value, size_t n)
{
	char mem[LOGRING_RECORD_MAX] __attribute__((uninitialized));

	n = min_of(n, sizeof mem);
	/* Many readers refuse \u0000; what is no UTF-8 is replaced by U+FFFD. */
	if (n && memchr(value, 0, n)) {
		for (size_t i = 0; i < n; i++)
			mem[i] = value[i] ? value[i] : (char)0xff;
		value = mem;
	}
	buf_putc(b, ',');
	buf_put_json(b, name, strlen(name));
	buf_putc(b, ':');
	buf_put_json(b, value, n);
}

static void end(struct buf *b)
{
	buf_puts(b, "}\n");
}

/* What the log itself says of an event; nobody else may. */
static const char *const own_names[] = {"ts", "kind", "level", "event", "text", "todo", NULL};

struct fields {
	struct buf *b;
	size_t from;
	unsigned n;
};

static bool is_name(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	if (n == 0 || n > 32 || name[n])
		return false;
	for (const char *const *own = own_names; *own; own++)
		if (strcmp(name, *own) == 0)
			return false;
	return true;
}

static void event_field(void *arg, const char *name, const char *value)
{
	struct fields *f = arg;

	/* A row names at most a handful; a flood of them is not written, and each byte may take
	 * six. */
	if (f->n++ < 16 && f->b->len - f->from < RECORD_BYTES_MAX / 2 && is_name(name))
		member(f->b, name, value, strnlen(value, 2048));
}

void render_event(struct buf *b, uint64_t wall_us, const void *p, size_t n)
{
	const struct event_row *row;
	struct fields f = {.b = b, .from = b->len};
	uint32_t id = 0;

	if (event_decode(p, n, &id, NULL, NULL) < 0 || (row = event_row(id)) == NULL) {
		begin(b, wall_us, "event", LEVEL_WARNING);
		member(b, "text", "a malformed event", strlen("a malformed event"));
		end(b);
		return;
	}
	begin(b, wall_us, "event", row->level);
	member(b, "event", row->name, strlen(row->name));
	(void)event_decode(p, n, &id, event_field, &f);
	member(b, "text", row->meaning, strlen(row->meaning));
	if (*row->todo)
		member(b, "todo", row->todo, strlen(row->todo));
	end(b);
}

/* The line that the site wants beside the members; one that grows too long is cut. */
static void line_member(struct buf *b, struct record_lines *lines, uint64_t wall_us, const struct record *r)
{
	char mem[RECORD_LINE_MAX] __attribute__((uninitialized));
	struct buf line;

	buf_fixed(&line, mem, sizeof mem);
	if (record_line(lines, &line, wall_us, r) == 0)
		member(b, "line", line.p, line.len);
}

void render_access(struct buf *b, struct record_lines *lines, uint64_t wall_us, const char *p, size_t n)
{
	static const char bad[] = "a malformed access record";
	struct record r;

	if (record_get(p, n, &r) < 0) {
		begin(b, wall_us, "access", LEVEL_WARNING);
		member(b, "text", bad, sizeof bad - 1);
		end(b);
		return;
	}
	begin_access(b, lines, wall_us, r.head.status >= 500 ? LEVEL_ERROR : LEVEL_INFO);
	record_members(b, &r);
	if (r.text[RECORD_FORMAT].n || r.head.flags & RECORD_COMBINED)
		line_member(b, lines, wall_us, &r);
	end(b);
}

void render_stream(
	struct buf *b, uint64_t wall_us, const struct stream *st, unsigned level, const char *p, size_t n)
{
	const char *which = st->info.which == 2 ? "stderr" : "stdout";

	begin(b, wall_us, "app", level);
	member(b, "app", st->app, strlen(st->app));
	member(b, "stream", which, strlen(which));
	member(b, "process", st->info.kind < PROC_END ? proc_rows[st->info.kind].name : "",
		st->info.kind < PROC_END ? strlen(proc_rows[st->info.kind].name) : 0);
	buf_printf(b, ",\"slot\":%u,\"pid\":%d", st->info.slot, st->info.pid);
	member(b, "text", p, n);
	end(b);
}

void render_status(struct buf *b, uint64_t wall_us, const struct notify *from, int pid, const char *p, size_t n)
{
	static const char role[] = "service", which[] = "status";

	begin(b, wall_us, "app", LEVEL_INFO);
	member(b, "app", from->app, strlen(from->app));
	member(b, "stream", which, sizeof which - 1);
	member(b, "process", role, sizeof role - 1);
	buf_printf(b, ",\"slot\":%u,\"pid\":%d", from->info.slot, pid);
	member(b, "text", p, n);
	end(b);
}

static void begin_event(struct buf *b, uint64_t wall_us, enum event id)
{
	const struct event_row *row = event_row(id);

	begin(b, wall_us, "event", row->level);
	member(b, "event", row->name, strlen(row->name));
}

static void end_event(struct buf *b, enum event id)
{
	const struct event_row *row = event_row(id);

	member(b, "text", row->meaning, strlen(row->meaning));
	if (*row->todo)
		member(b, "todo", row->todo, strlen(row->todo));
	end(b);
}

void render_dropped(
	struct buf *b, uint64_t wall_us, const char *ring, uint64_t bytes, uint64_t records)
{
	begin_event(b, wall_us, EV_LOG_DROPPED);
	buf_printf(b, ",\"bytes\":%llu", (unsigned long long)bytes);
	if (records)
		buf_printf(b, ",\"records\":%llu", (unsigned long long)records);
	member(b, "ring", ring, strlen(ring));
	end_event(b, EV_LOG_DROPPED);
}

void render_ring_broken(struct buf *b, uint64_t wall_us, const char *ring)
{
	begin_event(b, wall_us, EV_LOG_RING_BROKEN);
	member(b, "ring", ring, strlen(ring));
	end_event(b, EV_LOG_RING_BROKEN);
}

void render_refused(struct buf *b, uint64_t wall_us, const struct stream *st, const char *why)
{
	const char *role = st->info.kind < PROC_END ? proc_rows[st->info.kind].name : "";

	begin_event(b, wall_us, EV_LOG_STREAM_REFUSED);
	member(b, "role", role, role ? strlen(role) : 0);
	buf_printf(b, ",\"index\":%u", st->info.slot);
	member(b, "app", st->app, strlen(st->app));
	member(b, "why", why, strlen(why));
	end_event(b, EV_LOG_STREAM_REFUSED);
}

void render_gap(struct buf *b, uint64_t wall_us)
{
	static const char text[] = "lines were left out here: they came faster than they were read";

	begin(b, wall_us, "event", LEVEL_WARNING);
	member(b, "text", text, sizeof text - 1);
	end(b);
}
