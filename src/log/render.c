/*
 * render.c: what came in, as one line of JSON.
 *
 * Pure: called with bytes, appends to a buf. Untrusted bytes come in here: an event of another stead
 * process, an access record that a gate wrote as JSON text, an app's output. Nothing of them can end the
 * line or leave its string.
 */
#include "log.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/event.h"

static const char *const level_names[] = {[2] = "critical", [3] = "error", [4] = "warning",
	[5] = "notice", [6] = "info", [7] = "debug"};

void render_time(uint64_t wall_us, char ret[TS_LEN + 1])
{
	time_t s = (time_t)(wall_us / 1000000);
	struct tm tm;
	size_t n;

	/* A year of five digits would break the form: such a time is none of a clock's. */
	if (s > 253402300799 || !gmtime_r(&s, &tm))
		(void)memset(&tm, 0, sizeof tm);
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

static void member(struct buf *b, const char *name, const char *value, size_t n)
{
	buf_putc(b, ',');
	buf_put_json(b, name, strlen(name));
	buf_putc(b, ':');
	buf_put_json(b, value, n);
}

static void end(struct buf *b)
{
	buf_puts(b, "}\n");
}

struct fields {
	struct buf *b;
	unsigned n;
};

static void event_field(void *arg, const char *name, const char *value)
{
	struct fields *f = arg;

	/* A row names at most a handful; a flood of them is not written. */
	if (f->n++ < 16)
		member(f->b, name, value, strnlen(value, 2048));
}

void render_event(struct buf *b, uint64_t wall_us, const void *p, size_t n)
{
	const struct event_row *row;
	struct fields f = {.b = b};
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
	if (row->todo && *row->todo)
		member(b, "todo", row->todo, strlen(row->todo));
	end(b);
}

/* One object of printable text on one line? Its inside is for whoever reads it to parse. */
static bool is_one_object(const char *p, size_t n)
{
	if (n < 2 || p[0] != '{' || p[n - 1] != '}')
		return false;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
			return false;
	return true;
}

static bool is_fault(const char *p, size_t n)
{
	static const char mark[] = "\"status\":5";

	return memmem(p, n, mark, sizeof mark - 1) != NULL;
}

void render_access(struct buf *b, uint64_t wall_us, const char *p, size_t n)
{
	static const char own_ts[] = "{\"ts\":\"";
	const char *rest = p + 1, *close = NULL;

	if (!is_one_object(p, n)) {
		begin(b, wall_us, "access", LEVEL_WARNING);
		member(b, "text", p, n > LINE_BYTES_MAX ? LINE_BYTES_MAX : n);
		end(b);
		return;
	}
	begin(b, wall_us, "access", is_fault(p, n) ? LEVEL_ERROR : LEVEL_INFO);
	/* The ring's time is the record's; one that the text brings is left out. */
	if (n > sizeof own_ts && memcmp(p, own_ts, sizeof own_ts - 1) == 0)
		close = memchr(p + sizeof own_ts - 1, '"', n - sizeof own_ts);
	if (close && close + 1 < p + n && close[1] == ',')
		rest = close + 2;
	if (*rest != '}')
		buf_putc(b, ',');
	buf_put(b, rest, n - (size_t)(rest - p));
	buf_putc(b, '\n');
}

void render_stream(struct buf *b, uint64_t wall_us, const struct stream *st, const char *p, size_t n)
{
	const char *which = st->info.which == 2 ? "stderr" : "stdout";

	begin(b, wall_us, "app", st->info.which == 2 ? LEVEL_NOTICE : LEVEL_INFO);
	member(b, "app", st->app, strlen(st->app));
	member(b, "stream", which, strlen(which));
	member(b, "process", st->info.kind < PROC_END ? proc_rows[st->info.kind].name : "",
		st->info.kind < PROC_END ? strlen(proc_rows[st->info.kind].name) : 0);
	buf_printf(b, ",\"slot\":%u,\"pid\":%d", st->info.slot, st->info.pid);
	member(b, "text", p, n);
	end(b);
}

void render_dropped(struct buf *b, uint64_t wall_us, const char *ring, uint64_t bytes)
{
	const struct event_row *row = event_row(EV_LOG_DROPPED);

	begin(b, wall_us, "event", row->level);
	member(b, "event", row->name, strlen(row->name));
	buf_printf(b, ",\"bytes\":%llu", (unsigned long long)bytes);
	member(b, "ring", ring, strlen(ring));
	member(b, "text", row->meaning, strlen(row->meaning));
	end(b);
}
