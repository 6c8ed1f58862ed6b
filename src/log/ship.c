/*
 * ship.c: LogTo=: every record also to journald (systemd's native protocol) or to syslog (RFC 5424, over /dev/log).
 *
 * Called with each rendered line. Owns one socket. Never waits: what the other side does not take at once is lost there,
 * counted, and said once it takes something again; the files have it. A record's members become the journal's fields:
 * STEAD_ and the name in capitals, its text MESSAGE.
 */
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/must.h"

enum { TRY_AGAIN_US = 1000 * 1000, EVENT_AT = 8 + TS_LEN + 14 /* behind the time and the kind */ };

/* ---- members of a line ---- */

static bool hex4(const char *p, const char *end, unsigned *ret)
{
	unsigned v = 0;

	if (end - p < 4)
		return false;
	for (unsigned i = 0; i < 4; i++) {
		char c = p[i];

		v = v << 4 | (unsigned)(c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 99);
		if (v & ~0xffffu)
			return false;
	}
	*ret = v;
	return true;
}

/* A string from behind its quote; appended to b as it reads. Behind its end, or NULL. */
static const char *take_string(const char *p, const char *end, struct buf *b)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";

	while (p < end && *p != '"') {
		const char *at;
		unsigned v;

		if (*p != '\\') {
			buf_putc(b, *p++);
			continue;
		}
		if (++p == end)
			return NULL;
		if (*p == 'u') {
			if (!hex4(p + 1, end, &v))
				return NULL;
			/* What stead itself escapes so is a control character; an app's own line may have others. */
			buf_putc(b, v && v < 128 ? (char)v : '?');
			p += 5;
			continue;
		}
		at = *p ? strchr(from, *p) : NULL;
		if (!at)
			return NULL;
		buf_putc(b, to[at - from]);
		p++;
	}
	return p < end ? p + 1 : NULL;
}

/* A number, a word, or what nests: as it stands. Behind its end, or NULL. */
static const char *take_raw(const char *p, const char *end, struct buf *b)
{
	unsigned depth = 0;
	bool quoted = false;

	for (; p < end; p++) {
		if (quoted) {
			if (*p == '\\' && p + 1 < end)
				buf_putc(b, *p++);
			else if (*p == '"')
				quoted = false;
		} else if (*p == '"') {
			quoted = true;
		} else if (*p == '{' || *p == '[') {
			depth++;
		} else if (*p == '}' || *p == ']') {
			if (!depth--)
				return p;
		} else if (*p == ',' && !depth) {
			return p;
		}
		buf_putc(b, *p);
	}
	return NULL;
}

bool ship_members(const char *p, size_t n, bool (*each)(void *arg, const char *name, const char *value, size_t len), void *arg)
{
	char name_mem[128], value_mem[RECORD_BYTES_MAX];
	const char *end = p + n;
	bool good = n && *p == '{';

	for (p++; good;) {
		struct buf name, value;

		buf_fixed(&name, name_mem, sizeof name_mem);
		buf_fixed(&value, value_mem, sizeof value_mem);
		if (p < end && *p == '}')
			return p + 1 == end;
		if (p >= end || *p++ != '"' || !(p = take_string(p, end, &name)) || p >= end || *p++ != ':' || p >= end)
			return false;
		while (p < end && *p == ' ')
			p++;
		if (p >= end)
			return false;
		p = *p == '"' ? take_string(p + 1, end, &value) : take_raw(p, end, &value);
		if (!p || name.error || value.error || !each(arg, buf_str(&name), value.p ? value.p : "", value.len))
			return false;
		if (p < end && *p == ',') {
			p++;
			while (p < end && *p == ' ')
				p++;
		}
	}
	return false;
}

/* ---- the record as datagram ---- */

struct record_out {
	struct buf *b;
	bool journal;
	unsigned priority;
	char kind[16], app[64], method[24], target[256], status[8], client[48];
	bool has_text;
};

static void keep(char *to, size_t cap, const char *value, size_t n)
{
	n = min_of(n, cap - 1);
	memcpy(to, value, n);
	to[n] = '\0';
}

static bool is_level(const char *value, size_t n, unsigned *ret)
{
	static const char *const names[] = {
		[2] = "critical", [3] = "error", [4] = "warning", [5] = "notice", [6] = "info", [7] = "debug"};

	for (unsigned i = 2; i < ARRAY_LEN(names); i++)
		if (strlen(names[i]) == n && memcmp(names[i], value, n) == 0) {
			*ret = i;
			return true;
		}
	return false;
}

static bool take(void *arg, const char *name, const char *value, size_t n)
{
	static const struct {
		const char *name;
		size_t at, cap;
	} kept[] = {{"kind", offsetof(struct record_out, kind), 16}, {"app", offsetof(struct record_out, app), 64},
		{"site", offsetof(struct record_out, app), 64}, {"method", offsetof(struct record_out, method), 24},
		{"target", offsetof(struct record_out, target), 256}, {"status", offsetof(struct record_out, status), 8},
		{"client", offsetof(struct record_out, client), 48}};
	struct record_out *o = arg;
	char upper[72] = "STEAD_";
	size_t len = 6;

	(void)is_level(strcmp(name, "level") == 0 ? value : "", strcmp(name, "level") == 0 ? n : 0, &o->priority);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		if (strcmp(name, kept[i].name) == 0)
			keep((char *)o + kept[i].at, kept[i].cap, value, n);
	if (!o->journal)
		return true;
	if (strcmp(name, "text") == 0) {
		o->has_text = true;
		journal_put(o->b, "MESSAGE", value, n);
		return true;
	}
	/* The journal's names: capitals, digits and underscores, 64 at most. */
	for (; *name && len < 64; name++)
		upper[len++] = *name >= 'a' && *name <= 'z' ? (char)(*name - 32)
			       : (*name >= 'A' && *name <= 'Z') || (*name >= '0' && *name <= '9') ? *name : '_';
	upper[len] = '\0';
	journal_put(o->b, upper, value, n);
	return true;
}

static void build_journal(struct record_out *o)
{
	char text[400];

	if (!o->has_text) {
		(void)snprintf(text, sizeof text, "%s \"%s %s\" %s", o->client, o->method, o->target, o->status);
		journal_put(o->b, "MESSAGE", text, strlen(text));
	}
	(void)snprintf(text, sizeof text, "%u", o->priority);
	journal_put(o->b, "PRIORITY", text, strlen(text));
	journal_put(o->b, "SYSLOG_IDENTIFIER", "stead", 5);
}

/* Facility daemon; the record itself is the message. */
static void build_syslog(struct record_out *o, const char *line, size_t n)
{
	char host[65] = "-";

	if (gethostname(host, sizeof host) < 0 || !*host)
		(void)snprintf(host, sizeof host, "-");
	host[sizeof host - 1] = '\0';
	buf_printf(o->b, "<%u>1 %.27s %s stead %d %s - ", 3 * 8 + o->priority, line + 7, host, (int)getpid(), *o->kind ? o->kind : "-");
	buf_put(o->b, line, n);
}

bool ship_build(struct buf *ret, bool journal, const char *line, size_t n)
{
	struct record_out o = {.b = ret, .journal = journal, .priority = LEVEL_INFO};

	if (n < 8 + TS_LEN || memcmp(line, "{\"ts\":\"", 7) != 0 || !ship_members(line, n, take, &o))
		return false;
	if (journal)
		build_journal(&o);
	else
		build_syslog(&o, line, n);
	return ret->error == 0;
}

/* ---- sending ---- */

static const char *name_of(uint32_t to)
{
	return to == LOG_TO_JOURNALD ? "journald" : "syslog";
}

static int try_socket(struct ship *s, const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int err = 0;

	(void)snprintf(addr.sun_path, sizeof addr.sun_path, "%s", path);
	s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		return -errno;
	if (connect(s->fd, (struct sockaddr *)&addr, sizeof addr) < 0) {
		err = -errno;
		(void)close(s->fd);
		s->fd = -1;
	}
	return err;
}

static void open_socket(struct ship *s)
{
	if (s->to == LOG_TO_JOURNALD)
		(void)try_socket(s, "/run/systemd/journal/socket");
	else if (try_socket(s, "/dev/log") < 0)
		/* Where /dev is this process's own, and where the link is missing. */
		(void)try_socket(s, "/run/systemd/journal/dev-log");
}

void ship_set(struct log *g, uint32_t to)
{
	struct ship *s = &g->ship;

	if (s->to == to || to > LOG_TO_SYSLOG)
		return;
	if (s->fd >= 0)
		(void)close(s->fd);
	s->fd = -1;
	s->to = to;
	s->tried_us = 0;
}

static void told(struct log *g)
{
	struct ship *s = &g->ship;
	uint64_t lost = s->lost;

	if (!lost || s->telling)
		return;
	s->telling = true;
	s->lost = 0;
	buf_reset(&g->line);
	render_dropped(&g->line, loop_wall_us(g->loop), name_of(s->to), s->lost_bytes, lost);
	s->lost_bytes = 0;
	log_line(g);
	s->telling = false;
}

void ship_line(struct log *g, const char *line, size_t n)
{
	struct ship *s = &g->ship;
	uint64_t now = loop_wall_us(g->loop);
	char mem[RECORD_BYTES_MAX + 8192];
	struct buf b;
	bool went = false;

	if (s->to == LOG_TO_OFF)
		return;
	n -= n && line[n - 1] == '\n';
	/* stead's own events are there already (journal.c). */
	if (s->to == LOG_TO_JOURNALD && g->journal.on && n > EVENT_AT && memcmp(line + EVENT_AT - 14, ",\"kind\":\"event", 14) == 0)
		return;
	buf_fixed(&b, mem, sizeof mem);
	/* Where nobody listens, it is tried again once a second. */
	if (s->fd < 0 && (now < s->tried_us || now - s->tried_us >= TRY_AGAIN_US)) {
		s->tried_us = now;
		open_socket(s);
	}
	if (s->fd >= 0 && ship_build(&b, s->to == LOG_TO_JOURNALD, line, n)) {
		went = send(s->fd, b.p, b.len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
		if (!went && errno != EAGAIN && errno != ENOBUFS && errno != EMSGSIZE) {
			(void)close(s->fd); /* it was started anew */
			s->fd = -1;
		}
	}
	if (!went) {
		s->lost++;
		s->lost_bytes += n;
	}
	s->took = went;
}

void ship_tell(struct log *g)
{
	if (g->ship.took)
		told(g);
}
