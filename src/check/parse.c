/*
 * parse.c: untrusted text is parsed in a child that can only compute; what it says is input.
 *
 * Called by folder.c. The child writes packed records to a pipe: values and findings. The parent
 * bounds them, checks each value again by its row, and never sees the text's structure. A child
 * that dies is an error of the file.
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
enum { RECORDS_MAX = 4 * 1024 * 1024, PARSE_MS = 10000 };

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

/* The child. `fresh` is an empty conf made before the sandbox closed. */
static _Noreturn void parse_child(
	struct conf *fresh, int out, const char *file, const char *text, size_t n, bool env_file)
{
	struct buf b;
	size_t at = 0;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (sandbox_enter() < 0)
		_exit(2);
	if ((env_file ? conf_read_env : conf_read)(fresh, file, text, n) == -ENOMEM)
		_exit(3);
	buf_init(&b, RECORDS_MAX);
	pack_all(fresh, &b);
	while (b.error == 0 && at < b.len) {
		ssize_t w = write(out, b.p + at, b.len - at);

		if (w <= 0)
			_exit(4);
		at += (size_t)w;
	}
	_exit(b.error != 0 ? 3 : 0);
}

static int read_all(int fd, struct buf *b)
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

static bool take_value(struct check *k, struct unpack *u)
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
	return conf_put(k->conf, section_rows[section].name, arg, conf_rows[key].key, text,
		       (enum conf_origin)origin, &pos) == 0;
}

static bool take_finding(struct check *k, struct unpack *u)
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
	conf_find(k->conf, (enum conf_level)level, &pos, todo, "%s", text);
	return true;
}

bool parse_take_records(struct check *k, const char *p, size_t bytes)
{
	struct unpack u;

	unpack_init(&u, p, bytes);
	for (;;) {
		uint32_t kind = unpack_u32(&u);

		if (u.bad || kind == RECORD_END)
			return unpack_done(&u);
		if (kind == RECORD_VALUE ? !take_value(k, &u)
					 : kind != RECORD_FINDING || !take_finding(k, &u))
			return false;
	}
}

/* The facts of the conf in work, so that specifiers mean the same in the child. */
int check_parse(struct check *k, const char *file, const char *text, size_t n, bool env_file)
{
	struct conf_pos top = {.file = file, .line = 1, .col = 1};
	struct conf *fresh = check_conf_new(k);
	int fds[2], status = -1, r = -ENOMEM;
	struct buf b;
	pid_t pid;

	if (fresh == NULL)
		return r;
	if (pipe2(fds, O_CLOEXEC) < 0) {
		r = -errno;
		conf_free(fresh);
		return r;
	}
	pid = fork();
	if (pid == 0)
		parse_child(fresh, fds[1], file, text, n, env_file);
	r = pid < 0 ? -errno : 0;
	(void)close(fds[1]);
	conf_free(fresh);
	buf_init(&b, RECORDS_MAX + 16 * 1024);
	if (r == 0) {
		r = read_all(fds[0], &b);
		if (r < 0)
			(void)kill(pid, SIGKILL);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		if (r < 0 || status != 0 || !parse_take_records(k, b.p, b.len))
			conf_find(k->conf, CONF_ERROR, &top, "", "the file could not be parsed");
		r = 0;
	}
	(void)close(fds[0]);
	buf_done(&b);
	return r;
}
