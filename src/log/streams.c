/*
 * streams.c: stdout and stderr of the apps' processes.
 *
 * Called by the loop and for STREAM. Owns the read ends, of which the parent keeps a second
 * descriptor for the next log process. An app is never made to wait for the disk: what comes faster
 * than the rate bound is read, dropped and counted, whole lines at a time: what stands around the
 * hole goes with it. A line longer than LINE_BYTES_MAX is cut in pieces.
 */
#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/must.h"

/* What a line of a program is by syslog's levels (sd-daemon(3)): <N> before it says so. */
static unsigned level_of(const char **p, size_t *n)
{
	enum { PREFIX = 3 };
	unsigned level;

	if (*n < PREFIX || (*p)[0] != '<' || (*p)[1] < '0' || (*p)[1] > '7' || (*p)[2] != '>')
		return LEVEL_INFO;
	level = (unsigned)((*p)[1] - '0');
	*p += PREFIX;
	*n -= PREFIX;
	return level;
}

static void emit(struct stream *st, const char *p, size_t n)
{
	const char *text = p;
	size_t left = n;
	unsigned level = st->info.kind == PROC_SERVICE ? level_of(&text, &left) : LEVEL_INFO;
	struct log *g = st->log;

	if (st->info.level_max && level >= st->info.level_max)
		return;
	if (text == p && st->info.which == 2)
		level = LEVEL_NOTICE;
	buf_reset(&g->line);
	render_stream(&g->line, loop_wall_us(g->loop), st, max_of(level, (unsigned)LEVEL_CRITICAL), text, left);
	log_line(g);
}

static bool may_take(struct stream *st, size_t n)
{
	uint64_t now = loop_now_ms(st->log->loop);
	uint64_t more = (now - st->tokens_ms) * STREAM_RATE_BYTES / 1000;

	if (more) {
		st->tokens = min_of(st->tokens + more, (uint64_t)4 * STREAM_RATE_BYTES);
		st->tokens_ms = now;
	}
	if (st->tokens < n)
		return false;
	st->tokens -= n;
	return true;
}

/* At most once a second: a flood is not answered with another. */
static void tell_dropped(struct stream *st, bool at_end)
{
	struct log *g = st->log;
	uint64_t now = loop_now_ms(g->loop);

	if (!st->dropped)
		return;
	if (!at_end && st->told_ms && now - st->told_ms < 1000) {
		loop_timer_in(g->loop, &st->tell, st->told_ms + 1000 - now);
		return;
	}
	st->told_ms = now;
	buf_reset(&g->line);
	render_dropped(&g->line, loop_wall_us(g->loop), st->app, st->dropped, 0);
	log_line(g);
	st->dropped = 0;
}

static void emit_line(struct stream *st, const char *p, size_t n)
{
	emit(st, p, n && p[n - 1] == '\r' ? n - 1 : n);
}

/* A piece of a line that is too long, not cut inside a character (RFC 3629). */
static void emit_piece(struct stream *st)
{
	size_t n = st->line.len, back = 0;

	while (back < 3 && back < n && ((unsigned char)st->line.p[n - 1 - back] & 0xc0) == 0x80)
		back++;
	/* Now before the byte that begins the last character, unless it is none or a whole one. */
	if (back < n) {
		unsigned char c = (unsigned char)st->line.p[n - 1 - back];
		size_t want = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;

		n = want > back + 1 ? n - 1 - back : n;
	}
	emit(st, st->line.p, n);
	buf_drop(&st->line, n);
}

static void take(struct stream *st, const char *p, size_t n)
{
	while (n > 0) {
		const char *nl = memchr(p, '\n', n);
		size_t part = nl ? (size_t)(nl - p) : n;
		size_t room = LINE_BYTES_MAX - st->line.len;

		if (part > room) {
			part = room;
			nl = NULL;
		}
		if (nl && st->line.len == 0) {
			emit_line(st, p, part);
		} else {
			buf_put(&st->line, p, part);
			if (nl) {
				emit_line(st, st->line.p, st->line.len);
				buf_reset(&st->line);
			} else if (st->line.len >= LINE_BYTES_MAX) {
				emit_piece(st);
			}
		}
		p += part + (nl ? 1 : 0);
		n -= part + (nl ? 1 : 0);
	}
}

/* These bytes are lost, and with them the lines that they are a part of. */
static void lose(struct stream *st, const char *p, size_t n)
{
	st->dropped += n + st->line.len;
	buf_reset(&st->line);
	st->skipping = p[n - 1] != '\n';
}

/* Behind a hole: from the next line on. */
static void take_whole(struct stream *st, const char *p, size_t n)
{
	const char *nl = st->skipping ? memchr(p, '\n', n) : NULL;
	size_t skip = nl ? (size_t)(nl - p) + 1 : n;

	if (st->skipping) {
		st->dropped += skip;
		st->skipping = !nl;
		p += skip;
		n -= skip;
	}
	take(st, p, n);
}

static void stream_end(struct stream *st)
{
	struct log *g = st->log;
	struct stream **at = &g->streams;

	if (st->line.len)
		emit_line(st, st->line.p, st->line.len);
	tell_dropped(st, true);
	loop_timer_stop(g->loop, &st->tell);
	while (*at != st)
		at = &(*at)->next;
	*at = st->next;
	g->streams_n--;
	loop_close(g->loop, &st->lfd);
	buf_done(&st->line);
	free(st);
}

/* Read what is there, bounded a turn so that one app's flood does not starve the rest. */
static bool read_some(struct stream *st)
{
	char mem[16384];
	ssize_t n = 0;

	for (unsigned i = 0; i < 16; i++) {
		n = loop_sys_read(st->log->loop, st->lfd.fd, mem, sizeof mem);
		if (n == -EINTR)
			continue;
		if (n <= 0)
			break;
		if (may_take(st, (size_t)n))
			take_whole(st, mem, (size_t)n);
		else
			lose(st, mem, (size_t)n);
	}
	tell_dropped(st, false);
	return n > 0 || n == -EAGAIN || n == -EINTR;
}

void streams_look(struct log *g, const char *app)
{
	/* Where one has ended its op says so, and ends it. */
	for (struct stream *st = g->streams; st; st = st->next)
		if (!app[0] || strcmp(st->app, app) == 0)
			(void)read_some(st);
}

void streams_on_readable(struct loop *l, struct op *op, int res)
{
	struct stream *st = container_of(op, struct stream, op);
	struct log *g = st->log;

	if (res < 0 || !read_some(st))
		stream_end(st);
	else
		loop_readable(l, &st->lfd, &st->op);
	log_flush(g);
}

void streams_on_tell(struct loop *l, struct op *op, int res)
{
	struct stream *st = container_of(op, struct stream, tell.op);

	(void)l;
	(void)res;
	tell_dropped(st, false);
	log_flush(st->log);
}

/* The parent keeps the reading end, so the app is stopped by a full pipe and not by SIGPIPE. */
static void refuse(struct stream *st, int err)
{
	struct log *g = st->log;

	buf_reset(&g->line);
	render_refused(&g->line, loop_wall_us(g->loop), st, strerror(-err));
	log_line(g);
	log_flush(g);
}

void streams_add(struct log *g, struct msg *m)
{
	struct stream *st;
	const char *name;
	size_t n;
	int err;

	st = calloc(1, sizeof *st);
	if (!st)
		return;
	if (msg_get(m, &st->info, sizeof st->info, sizeof st->info) < 0) {
		free(st);
		return;
	}
	name = msg_tail(m, sizeof st->info, &n);
	if (n)
		memcpy(st->app, name, min_of(strnlen(name, n), sizeof st->app - 1));
	st->log = g;
	st->op.kind = OP_STREAM;
	st->tell.op.kind = OP_TELL;
	st->lfd.fd = -1;
	st->tokens = 4 * STREAM_RATE_BYTES;
	st->tokens_ms = loop_now_ms(g->loop);
	buf_init(&st->line, LINE_BYTES_MAX + 1);
	err = m->nfds < 1                      ? -EPROTO
	      : g->streams_n >= g->streams_max ? -EMFILE
					       : loop_add(g->loop, &st->lfd, m->fds[0]);
	if (err < 0) {
		refuse(st, err);
		free(st);
		return;
	}
	(void)msg_take_fd(m, 0);
	st->next = g->streams;
	g->streams = st;
	g->streams_n++;
	loop_readable(g->loop, &st->lfd, &st->op);
}

void streams_finish(struct log *g)
{
	while (g->streams) {
		(void)read_some(g->streams);
		stream_end(g->streams);
	}
}
