/*
 * rig.c: see rig.h.
 */
#include "rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/must.h"
#include "lib/sys.h"

static op_done *const ops[LOG_OP_KINDS] = {
	CHAN_OPS,
	[OP_WAKE] = rings_on_wake,
	[OP_REST] = rings_on_rest,
	[OP_STREAM] = streams_on_readable,
	[OP_TELL] = streams_on_tell,
	[OP_PUMP] = query_on_pump,
};

static bool allowed(struct chan *c, const struct msg_head *h, unsigned nfds)
{
	(void)c;
	(void)h;
	(void)nfds;
	return true;
}

static void got(struct chan *c, struct msg *m)
{
	(void)c;
	(void)m;
}

static void gone(struct chan *c, int why)
{
	(void)why;
	query_cancel_all(c->owner);
}

static const struct chan_ops chan_ops = {allowed, got, gone};

void rig_start(struct rig *r, int page_fd)
{
	struct log *g = calloc(1, sizeof *g);
	int fds[2], dir = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	r->g = g;
	g->wake.fd = -1;
	g->pump.op.kind = OP_PUMP;
	g->streams_max = STREAMS_MAX;
	buf_init(&g->line, 256 * 1024);
	assert_int_equal(loop_new_epoll(&g->loop, ops, LOG_OP_KINDS), 0);
	assert_int_equal(rings_init(g), 0);
	store_open(&g->store, dir);
	if (page_fd >= 0)
		rings_inherit(g, page_fd);
	assert_int_equal(sys_socketpair_seqpacket(fds), 0);
	assert_int_equal(chan_init(&g->ctl, g->loop, fds[0], &chan_ops, g), 0);
	assert_int_equal(sys_nonblock(fds[1], true), 0);
	r->ctl = fds[1];
	log_work(g);
}

void rig_open(struct rig *r)
{
	*r = (struct rig){.ctl = -1};
	(void)snprintf(r->dir, sizeof r->dir, "/tmp/stead-log-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	rig_start(r, -1);
}

static void end(struct rig *r)
{
	struct log *g = r->g;

	query_cancel_all(g);
	chan_close(&g->ctl);
	close(r->ctl);
	loop_timer_stop(g->loop, &g->pump);
	rings_done(g);
	store_close(&g->store);
	loop_free(g->loop);
	buf_done(&g->line);
	free(g);
	r->g = NULL;
}

void rig_kill(struct rig *r)
{
	buf_reset(&r->g->store.batch);
	while (r->g->streams) {
		buf_reset(&r->g->streams->line);
		streams_finish(r->g);
	}
	buf_reset(&r->g->store.batch);
	end(r);
}

void rig_done(struct rig *r)
{
	DIR *d;

	streams_finish(r->g);
	end(r);
	d = opendir(r->dir);
	for (struct dirent *e = readdir(d); e; e = readdir(d))
		if (e->d_name[0] != '.')
			assert_true(unlinkat(dirfd(d), e->d_name, 0) == 0 ||
				    unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR) == 0);
	closedir(d);
	rmdir(r->dir);
}

void rig_turns(struct rig *r, unsigned ms)
{
	uint64_t end_ms = loop_now_ms(r->g->loop) + ms;

	do
		assert_int_equal(loop_step(r->g->loop, 1), 0);
	while (loop_now_ms(r->g->loop) < end_ms);
}

json_t *rig_object(const char *line, size_t n)
{
	json_error_t e;
	json_t *o;

	assert_true(n > 1 && line[n - 1] == '\n');
	assert_null(memchr(line, '\n', n - 1));
	o = json_loadb(line, n - 1, JSON_REJECT_DUPLICATES, &e);
	if (!o)
		print_message("%s: %.*s\n", e.text, (int)n, line);
	assert_true(json_is_object(o));
	return o;
}

const char *rig_text(json_t *o, const char *name)
{
	const char *text = json_string_value(json_object_get(o, name));

	return text ? text : "(none)";
}

static char *whole(struct rig *r, const char *file, size_t *ret_n)
{
	char path[128], *text = NULL;

	(void)snprintf(path, sizeof path, "%s/%s", r->dir, file);
	*ret_n = 0;
	if (sys_read_file(AT_FDCWD, path, 64u << 20, &text, ret_n) < 0)
		return NULL;
	return text;
}

unsigned rig_count(struct rig *r, const char *file, const char *text)
{
	size_t n;
	char *all = whole(r, file, &n);
	unsigned found = 0;

	for (char *at = all; at && (at = memmem(at, n - (size_t)(at - all), text, strlen(text)));
		at++)
		found++;
	free(all);
	return found;
}

void rig_write(struct rig *r, const char *file, const char *p, size_t n)
{
	char path[128];
	int fd;

	(void)snprintf(path, sizeof path, "%s/%s", r->dir, file);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && write(fd, p, n) == (ssize_t)n);
	close(fd);
}

struct msg rig_msg(uint16_t type, uint64_t id, const void *payload, size_t n, int fd)
{
	struct msg m = {
		.h = {.len = (uint32_t)n, .type = type, .major = 1, .id = id}, .payload = payload};

	if (fd >= 0) {
		m.fds[0] = fd;
		m.nfds = 1;
	}
	return m;
}

int rig_hear(struct rig *r, char *ret, size_t cap)
{
	static char mem[64 * 1024];
	struct msg_head h;
	ssize_t n = recv(r->ctl, mem, sizeof mem, MSG_DONTWAIT);

	ret[0] = 0;
	if (n < (ssize_t)sizeof h)
		return 0;
	memcpy(&h, mem, sizeof h);
	if (h.type == MSG_LOG_LINE) {
		json_t *o = json_loadb(
			mem + sizeof h, (size_t)n - sizeof h, JSON_REJECT_DUPLICATES, NULL);

		assert_non_null(o);
		assert_string_not_equal(rig_text(o, "ts"), "(none)");
		(void)snprintf(ret, cap, "%s", rig_text(o, "text"));
		json_decref(o);
	}
	return h.type;
}

void rig_ask(struct rig *r, struct msg_log_query ask, const char *app, char *ret, size_t cap)
{
	char text[LINE_BYTES_MAX + 1];
	struct buf b;
	struct msg m;
	size_t len = 0;

	ret[0] = 0;
	buf_init(&b, SIZE_MAX);
	buf_put(&b, &ask, sizeof ask);
	if (app)
		pack_str(&b, app);
	m = rig_msg(MSG_LOG_QUERY, 7, b.p, b.len, -1);
	query_start(r->g, &m);
	buf_done(&b);
	for (unsigned waits = 0; waits < 2000;) {
		int type = rig_hear(r, text, sizeof text);

		if (type == MSG_LOG_END)
			return;
		if (type == MSG_LOG_LINE)
			len += (size_t)snprintf(ret + len, cap - len, "%s%s", len ? " " : "", text);
		else if (ask.follow)
			return;
		else
			waits++, rig_turns(r, 1);
		assert_true(len < cap);
	}
	fail_msg("no end");
}

void rig_line(struct rig *r, uint64_t wall_us, const char *app, unsigned which, const char *text)
{
	struct stream st = {.info = {.kind = PROC_WORKER, .which = which}};

	(void)snprintf(st.app, sizeof st.app, "%s", app);
	buf_reset(&r->g->line);
	render_stream(&r->g->line, wall_us, &st, which == 2 ? LEVEL_NOTICE : LEVEL_INFO, text, strlen(text));
	log_line(r->g);
}

size_t rig_access(char mem[static RECORD_RAW_MAX], const char *site, unsigned status, const char *target,
	uint64_t number)
{
	struct record r = {.head = {.status = (uint16_t)status, .number = number}};

	r.text[RECORD_SITE] = (struct record_str){site, strlen(site)};
	r.text[RECORD_TARGET] = (struct record_str){target, strlen(target)};
	return record_put(&r, mem);
}
