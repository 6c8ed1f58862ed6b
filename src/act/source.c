/*
 * source.c: which folder of the machine the gates may be shown, and the way to it.
 *
 * Called by mount.c. ctl names a folder; root alone decides. A folder outside of the operator's own (/etc/stead) has to stand in a
 * file of his that nobody else may write, as Root= or Static=, so who took ctl over can publish nothing that
 * is not published anyway. What the machine or stead itself needs to keep to itself is refused whatever the file says.
 *
 * The way there may lead through folders of other users: each part is opened by itself and no link is followed but by
 * its text, root's own ones and those of the folder's owner, so nobody can lead root to what is another's.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/unitword.h"

#include "act.h"

enum { LINKS_MAX = 40 };

/* ---- what is never shown ---- */

struct closed {
	const char *path;
	bool below; /* what lies in it neither */
	const char *why;
};
static const struct closed closed[] = {
	{"/", false, "it is the whole machine"},
	{"/boot", true, "it is what the machine starts with"},
	{"/dev", true, "it holds devices"},
	{"/etc", true, "it holds the machine's configuration, with its secrets"},
	{"/home", false, "it holds everybody's homes"},
	{"/lost+found", true, "it holds what a check of the disk found"},
	{"/proc", true, "it holds the machine's processes"},
	{"/root", true, "it is root's home"},
	{"/run", true, "programs keep their sockets and secrets there"},
	{"/sys", true, "it is the kernel's"},
	{"/tmp", true, "everybody can write there"},
	{"/usr", false, "it holds the machine's programs"},
	{"/var", false, "it holds the machine's data"},
	{"/var/lib", false, "it holds the machine's data"},
	{"/var/tmp", true, "everybody can write there"},
};

static bool is_below(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	return strncmp(path, folder, n) == 0 && path[n] == '/';
}

/* The same, or one lies in the other. */
static bool overlaps(const char *path, const char *folder)
{
	return strcmp(path, "/") == 0 || strcmp(path, folder) == 0 || is_below(path, folder) || is_below(folder, path);
}

/* NULL: it may be shown. */
static const char *why_not(const struct act_ctx *ctx, const char *real, const char *file)
{
	if (is_below(real, ctx->operators))
		return is_below(file, real) ? "it holds stead's configuration" : NULL;
	for (size_t i = 0; i < sizeof closed / sizeof *closed; i++)
		if (strcmp(real, closed[i].path) == 0 || (closed[i].below && is_below(real, closed[i].path)))
			return closed[i].why;
	if (overlaps(real, ctx->operators))
		return "it holds stead's configuration";
	if (overlaps(real, ctx->state_root) || overlaps(real, ctx->run_root))
		return "it holds what stead keeps to itself: keys, databases, the apps' data";
	if (is_below(real, "/home") && strchr(real + strlen("/home/"), '/') == NULL)
		return "it is somebody's whole home; name a folder in it";
	return NULL;
}

/* ---- what the operator says ---- */

/* Every folder from the operator's own to the file is root's, and nobody else's to write. */
static int roots_way(const struct act_ctx *ctx, const char *file)
{
	char at[ACT_PATH_MAX];
	struct stat st;

	if (!act_below(ctx->operators, file))
		return -EINVAL;
	(void)snprintf(at, sizeof at, "%s", file);
	while (strlen(at) > strlen(ctx->operators)) {
		*strrchr(at, '/') = '\0';
		if (lstat(at, &st) < 0)
			return -errno;
		if (!S_ISDIR(st.st_mode) || st.st_uid != 0 || (st.st_mode & 022) != 0)
			return -EPERM;
	}
	return 0;
}

static int said(struct act_ctx *ctx, const char *from, const char *file)
{
	int r = roots_way(ctx, file);

	if (r == 0)
		r = unitword_file_says(file, "Root", false, from);
	if (r == 0)
		r = unitword_file_says(file, "Static", true, from);
	if (r > 0)
		return 0;
	if (r == -EPERM)
		return failure_set(ctx->f, EPERM, EXIT_CODE_USAGE,
			"give the file and the folders above it to root, and let nobody else write there (chown root, chmod go-w)",
			"The folder %s is not published: %.1000s is not root's alone to write.", from, file);
	return failure_set(ctx->f, r == 0 ? EPERM : -r, EXIT_CODE_USAGE,
		"write the path there as it is, without specifiers, then reload again",
		"The folder %s is not published: %.1000s does not name it%s%s.", from, file, r < 0 ? ": " : "",
		r < 0 ? strerror(-r) : "");
}

/* ---- the way ---- */

struct way {
	int fd;       /* where it is */
	unsigned links;
	uid_t others; /* whose links it came by besides root's; 0: nobody's */
	bool mixed;   /* … of several users */
	char rest[2 * ACT_PATH_MAX];
};

static int step_to(struct way *w, int fd)
{
	(void)close(w->fd);
	w->fd = fd;
	return 0;
}

/* Its text comes before the rest of the way. */
static int follow(struct way *w, int link, const struct stat *st)
{
	char target[ACT_PATH_MAX], all[sizeof w->rest];
	ssize_t n = readlinkat(link, "", target, sizeof target - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	if (st->st_uid != 0) {
		w->mixed |= w->others != 0 && w->others != st->st_uid;
		w->others = st->st_uid;
	}
	if (snprintf(all, sizeof all, "%s/%s", target, w->rest) >= (int)sizeof all)
		return -ENAMETOOLONG;
	memcpy(w->rest, all, sizeof all);
	if (target[0] != '/')
		return 0;
	n = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return n < 0 ? -errno : step_to(w, (int)n);
}

static int walk_part(struct way *w, const char *part)
{
	int fd = openat(w->fd, part, O_PATH | O_NOFOLLOW | O_CLOEXEC), r;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		r = -errno;
	else if (S_ISLNK(st.st_mode))
		r = follow(w, fd, &st);
	else if (!S_ISDIR(st.st_mode))
		r = -ENOTDIR;
	else
		return step_to(w, fd);
	(void)close(fd);
	return r;
}

/* 0: w->fd is the folder, the caller's. */
static int walk(struct way *w, const char *path)
{
	char part[NAME_MAX + 1];
	int r = 0;

	*w = (struct way){.fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)};
	if (w->fd < 0)
		return -errno;
	(void)snprintf(w->rest, sizeof w->rest, "%s", path);
	while (r == 0 && w->rest[0]) {
		size_t n = strcspn(w->rest, "/"), over = n + strspn(w->rest + n, "/");

		if (n >= sizeof part) {
			r = -ENAMETOOLONG;
			break;
		}
		memcpy(part, w->rest, n);
		part[n] = '\0';
		memmove(w->rest, w->rest + over, strlen(w->rest + over) + 1);
		if (n > 0)
			r = walk_part(w, part);
	}
	if (r < 0)
		(void)close(w->fd);
	return r;
}

/* By whose links it was reached: root's, or those of its own owner. */
static bool may_lead(const struct way *w)
{
	struct stat st;

	return !w->mixed && (w->others == 0 || (fstat(w->fd, &st) == 0 && st.st_uid == w->others));
}

int act_source_open(struct act_ctx *ctx, const char *from, const char *file, char ret_real[static ACT_PATH_MAX])
{
	char link[40];
	struct way w;
	const char *why;
	bool same;
	ssize_t n;
	int r;

	if (from[0] != '/' || strlen(from) >= ACT_PATH_MAX)
		return failure_set(ctx->f, EINVAL, EXIT_CODE_USAGE, "", "A folder to publish has a path of its own (asked: \"%.200s\").", from);
	if (!is_below(from, ctx->operators) && said(ctx, from, file) < 0)
		return -ctx->f->err;
	r = walk(&w, from);
	if (r < 0)
		return failure_set(ctx->f, -r, EXIT_CODE_FAILED,
			r == -ENOENT ? "make it, or mount what it lies on, then reload again" : "see what lies there, then reload again",
			"The folder %s cannot be published: %s.", from, strerror(-r));
	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", w.fd);
	n = readlink(link, ret_real, ACT_PATH_MAX - 1);
	ret_real[n > 0 ? n : 0] = '\0';
	same = strcmp(from, ret_real) == 0;
	why = n <= 0                ? "its place cannot be told"
	      : !may_lead(&w)       ? "a symbolic link on the way belongs to another user than the folder that it leads to"
				    : why_not(ctx, ret_real, file);
	if (why) {
		(void)close(w.fd);
		return failure_set(ctx->f, EPERM, EXIT_CODE_USAGE, "name a folder that holds the site's files and nothing else",
			"The folder %s%s%.1000s%s is not published: %s.", from, same ? "" : ", which is ", same ? "" : ret_real,
			same ? "" : ",", why);
	}
	return w.fd;
}
