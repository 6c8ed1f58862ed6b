/*
 * parse.c: untrusted text is parsed in a child that can only compute; what it says is input.
 *
 * Called by folder.c and sites.c, and by detect_program.c for other tools' files. The child writes
 * packed records to a pipe: values and findings of one text after the other. The parent bounds
 * them, checks each value again by its row, and never sees the text's structure. A child that dies
 * is an error of the text that it was at; the texts behind that get another child.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <fcntl.h>

#include "check.h"
#include "lib/must.h"

enum { RECORD_VALUE = 1, RECORD_FINDING = 2, RECORD_END = 3 };
enum { RECORDS_MAX = 64 * 1024 * 1024, WORK_MAX = 16 * 1024 * 1024, PARSE_MS = 10000 };

static void pack_values(
	struct buf *b, uint32_t section, const char *arg, const struct conf_value *v)
{
	for (; v != NULL; v = v->next) {
		pack_u32(b, RECORD_VALUE);
		pack_u32(b, section);
		pack_str(b, arg);
		pack_u32(b, v->key);
		pack_u32(b, v->origin);
		pack_str(b, v->pos.file);
		pack_u32(b, v->pos.line);
		pack_u32(b, v->pos.col);
		pack_str(b, v->text);
	}
}

static void pack_all(const struct conf *c, struct buf *b)
{
	for (enum conf_key i = 0; i < CONF_END; i++)
		pack_values(b, conf_rows[i].section, "", conf_get(c, i));
	for (const struct conf_scope *s = NULL; (s = conf_scope_next(c, s)) != NULL;)
		for (enum conf_key i = 0; i < CONF_END; i++)
			pack_values(
				b, conf_scope_section(s), conf_scope_arg(s), conf_scope_get(s, i));
	for (const struct conf_finding *f = conf_findings(c); f != NULL; f = f->next) {
		pack_u32(b, RECORD_FINDING);
		pack_u32(b, f->level);
		pack_str(b, f->pos.file);
		pack_u32(b, f->pos.line);
		pack_u32(b, f->pos.col);
		pack_str(b, f->text);
		pack_str(b, f->todo);
	}
	pack_u32(b, RECORD_END);
}

/* The child. Of each text all is told before the next is begun, so that it is known which one was its end. */
static _Noreturn void parse_child(const struct parse_text *t, unsigned n, int out)
{
	struct buf b;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (sandbox_enter() < 0)
		_exit(2);
	buf_init(&b, RECORDS_MAX);
	for (unsigned i = 0; i < n; i++) {
		struct conf *fresh = conf_new_like(t[i].conf);
		size_t at = 0;

		if (fresh == NULL || (t[i].env_file ? conf_read_env : conf_read)(fresh, t[i].file,
					     t[i].text, t[i].n) == -ENOMEM)
			_exit(3);
		buf_reset(&b);
		pack_all(fresh, &b);
		conf_free(fresh);
		while (b.error == 0 && at < b.len) {
			ssize_t w = write(out, b.p + at, b.len - at);

			if (w <= 0)
				_exit(4);
			at += (size_t)w;
		}
		if (b.error != 0)
			_exit(3);
	}
	_exit(0);
}

int check_read_all(int fd, struct buf *b)
{
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		char *room;
		ssize_t n;

		if (poll(&p, 1, PARSE_MS) <= 0)
			return -ETIMEDOUT;
		room = buf_room(b, 16 * 1024);
		if (room == NULL)
			return b->error;
		n = read(fd, room, 16 * 1024);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		buf_grew(b, (size_t)n);
	}
}

static bool take_value(struct conf *c, struct unpack *u)
{
	uint32_t section = unpack_u32(u);
	const char *arg = unpack_str(u), *text;
	uint32_t key = unpack_u32(u), origin = unpack_u32(u);
	struct conf_pos pos;

	pos.file = unpack_str(u);
	pos.line = unpack_u32(u);
	pos.col = unpack_u32(u);
	text = unpack_str(u);
	if (u->bad || section >= SECTION_END || key >= CONF_END ||
		(origin != CONF_FROM_FILE && origin != CONF_FROM_ENV_FILE))
		return false;
	return conf_put(c, section_rows[section].name, arg, conf_rows[key].key, text,
		       (enum conf_origin)origin, &pos) == 0;
}

static bool take_finding(struct conf *c, struct unpack *u)
{
	uint32_t level = unpack_u32(u);
	struct conf_pos pos;
	const char *text, *todo;

	pos.file = unpack_str(u);
	pos.line = unpack_u32(u);
	pos.col = unpack_u32(u);
	text = unpack_str(u);
	todo = unpack_str(u);
	if (u->bad || level > CONF_NOTE)
		return false;
	conf_find(c, (enum conf_level)level, &pos, todo, "%s", text);
	return true;
}

/* Those of one text. */
static bool take_text(struct conf *c, struct unpack *u)
{
	for (;;) {
		uint32_t kind = unpack_u32(u);

		if (u->bad || kind == RECORD_END)
			return !u->bad;
		if (kind == RECORD_VALUE ? !take_value(c, u)
					 : kind != RECORD_FINDING || !take_finding(c, u))
			return false;
	}
}

bool parse_take_records(struct conf *c, const char *p, size_t bytes)
{
	struct unpack u;

	unpack_init(&u, p, bytes);
	return take_text(c, &u) && unpack_done(&u);
}

/* One child's work. How many texts came whole; the next one is what it failed at, when `n` did not. */
static int parse_some(struct parse_text *t, unsigned n)
{
	struct unpack u;
	int fds[2], r;
	unsigned done = 0;
	struct buf b;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		parse_child(t, n, fds[1]);
	r = pid < 0 ? -errno : 0;
	(void)close(fds[1]);
	buf_init(&b, RECORDS_MAX + 16 * 1024);
	if (r == 0) {
		if (check_read_all(fds[0], &b) < 0)
			(void)kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		unpack_init(&u, b.p, b.len);
		while (done < n && take_text(t[done].conf, &u))
			done++;
	}
	(void)close(fds[0]);
	buf_done(&b);
	return r < 0 ? r : (int)done;
}

/* ---- files of other tools ---- */

static _Noreturn void work_child(check_work *work, const char *text, size_t n, int out)
{
	struct buf b;
	size_t at = 0;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (sandbox_enter() < 0)
		_exit(2);
	buf_init(&b, WORK_MAX);
	work(text, n, &b);
	/* Its end is told apart from what a child that died has left. */
	pack_u32(&b, RECORD_END);
	while (b.error == 0 && at < b.len) {
		ssize_t w = write(out, b.p + at, b.len - at);

		if (w <= 0)
			_exit(4);
		at += (size_t)w;
	}
	_exit(b.error != 0 ? 3 : 0);
}

int check_jailed(check_work *work, const char *text, size_t n, struct buf *ret)
{
	int fds[2], r, status = -1;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		work_child(work, text, n, fds[1]);
	r = pid < 0 ? -errno : 0;
	(void)close(fds[1]);
	if (r == 0) {
		if (check_read_all(fds[0], ret) < 0)
			(void)kill(pid, SIGKILL);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		if (status != 0 || ret->error != 0 || ret->len < sizeof(uint32_t))
			r = ret->error == -ENOMEM ? -ENOMEM : -EBADMSG;
		else
			ret->len -= sizeof(uint32_t);
	}
	(void)close(fds[0]);
	return r;
}

int check_parse_all(struct parse_text *t, unsigned n)
{
	for (unsigned at = 0; at < n;) {
		int done = parse_some(t + at, n - at);

		if (done < 0)
			return done;
		at += (unsigned)done;
		if (at < n) {
			struct conf_pos top = {.file = t[at].file, .line = 1, .col = 1};

			conf_find(t[at++].conf, CONF_ERROR, &top, "", "the file could not be parsed");
		}
	}
	return 0;
}

int check_parse(struct check *k, const char *file, const char *text, size_t n, bool env_file)
{
	struct parse_text t = {
		.conf = k->conf, .file = file, .text = text, .n = n, .env_file = env_file};

	return check_parse_all(&t, 1);
}
