/*
 * person.c: names of people and the file that says what each of them may.
 *
 * Called by act, which writes it, and by ctl and the command line, which read it. Owns nothing. A file that is not
 * root's, or that somebody else may write, says nothing.
 */
#include "person/person.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/sys.h"

static bool name_of(const char *text, size_t n, size_t max)
{
	if (n < 1 || n > max || text[0] < 'a' || text[0] > 'z')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-", text[i]) || text[i] == '\0')
			return false;
	return true;
}

bool person_name_valid(const char *name)
{
	return name_of(name, strlen(name), PERSON_NAME_MAX) && strncmp(name, "app-", 4) != 0 &&
	       strcmp(name, "stead") != 0 && strncmp(name, "stead-", 6) != 0;
}

bool person_deploys(const struct person *p, const char *app)
{
	for (unsigned i = 0; i < p->napps; i++)
		if (strcmp(p->app[i], app) == 0)
			return true;
	return false;
}

static int apps_set(struct person *p, const char *text, size_t n)
{
	size_t at = 0;

	p->napps = 0;
	while (at < n) {
		size_t from = at;

		while (at < n && text[at] != ' ' && text[at] != ',')
			at++;
		if (!name_of(text + from, at - from, PERSON_APP_MAX) || p->napps == PERSON_APPS_MAX)
			return -EINVAL;
		memcpy(p->app[p->napps], text + from, at - from);
		p->app[p->napps][at - from] = '\0';
		if (person_deploys(p, p->app[p->napps]))
			return -EINVAL;
		p->napps++;
		at += at < n;
	}
	return 0;
}

int person_apps_set(struct person *p, const char *text)
{
	return apps_set(p, text, strlen(text));
}

int person_put(const struct person *p, struct buf *ret)
{
	buf_printf(ret, "name=%s\nuid=%u\nsudo=%s\ndeploy=", p->name, (unsigned)p->uid, p->sudo ? "yes" : "no");
	for (unsigned i = 0; i < p->napps; i++)
		buf_printf(ret, "%s%s", i ? " " : "", p->app[i]);
	buf_putc(ret, '\n');
	return ret->error;
}

static bool is(const char *text, size_t n, const char *word)
{
	return strlen(word) == n && memcmp(text, word, n) == 0;
}

static int uid_of(const char *text, size_t n, uint32_t *ret)
{
	uint64_t v = 0;

	if (n < 1 || n > 10)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		v = v * 10 + (unsigned)(text[i] - '0');
	}
	/* 2^32 - 1 is nobody (chown(2)). */
	if (v == 0 || v >= UINT32_MAX)
		return -EINVAL;
	*ret = (uint32_t)v;
	return 0;
}

static int line_of(struct person *p, const char *key, size_t key_n, const char *value, size_t n)
{
	if (is(key, key_n, "name")) {
		if (p->name[0] || !name_of(value, n, PERSON_NAME_MAX))
			return -EINVAL;
		memcpy(p->name, value, n);
		p->name[n] = '\0';
		return 0;
	}
	if (is(key, key_n, "uid"))
		return p->uid ? -EINVAL : uid_of(value, n, &p->uid);
	if (is(key, key_n, "sudo")) {
		p->sudo = is(value, n, "yes");
		return p->sudo || is(value, n, "no") ? 0 : -EINVAL;
	}
	if (is(key, key_n, "deploy"))
		return p->napps ? -EINVAL : apps_set(p, value, n);
	return 0;
}

int person_parse(const char *text, size_t n, struct person *ret)
{
	struct person p = {0};

	while (n > 0) {
		const char *end = memchr(text, '\n', n), *eq;
		size_t len = end ? (size_t)(end - text) : 0;

		eq = end ? memchr(text, '=', len) : NULL;
		if (!eq || line_of(&p, text, (size_t)(eq - text), eq + 1, len - (size_t)(eq + 1 - text)) < 0)
			return -EINVAL;
		text += len + 1;
		n -= len + 1;
	}
	if (!p.name[0] || p.uid == 0)
		return -EINVAL;
	*ret = p;
	return 0;
}

/* Root's alone to write. */
static bool is_roots(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_uid == 0 && (st.st_mode & 022) == 0;
}

static int read_in(int dir, const char *name, struct person *ret)
{
	char text[PERSON_FILE_MAX];
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), r = -EPERM;
	ssize_t n;

	if (fd < 0)
		return -errno;
	if (is_roots(fd)) {
		n = read(fd, text, sizeof text);
		r = n < 0 ? -errno : n == (ssize_t)sizeof text ? -EINVAL : person_parse(text, (size_t)n, ret);
	}
	(void)close(fd);
	return r < 0 ? r : strcmp(ret->name, name) == 0 ? 0 : -EINVAL;
}

int person_read(const char *state_root, const char *name, struct person *ret)
{
	char path[256];
	int dir, r;

	if (!person_name_valid(name))
		return -ENOENT;
	if ((size_t)snprintf(path, sizeof path, "%s/" PERSON_FOLDER, state_root) >= sizeof path)
		return -ENAMETOOLONG;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	r = is_roots(dir) ? read_in(dir, name, ret) : -EPERM;
	(void)close(dir);
	return r;
}
