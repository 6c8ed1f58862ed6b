/*
 * clear.c: numbered trees that nobody runs from any more: STATE/releases/N and STATE/public/N.
 *
 * Only folders of those two names are cleared, only of entries that are a number, and only of those
 * below the one that is said: what is being made has a higher one. No symlink is followed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/sys.h"
#include "oneshot/tree.h"

#include "act.h"

enum { TREE_NUMBER_MAX = 1000000000 };

static bool clearable(const char *rel)
{
	const char *slash = rel ? strrchr(rel, '/') : NULL, *name = slash ? slash + 1 : rel;

	/* A server's state is the whole root of all states. */
	return name && (strcmp(name, "releases") == 0 || strcmp(name, "public") == 0);
}

static int clear(int fd, unsigned long below, unsigned *ret_count)
{
	int dup = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = dup < 0 ? NULL : fdopendir(dup);
	struct dirent *e;
	unsigned long n;

	if (!d) {
		r = -errno;
		if (dup >= 0)
			(void)close(dup);
		return r;
	}
	while (r == 0 && (errno = 0, e = readdir(d)) != NULL) {
		if (!act_number(e->d_name, 0, TREE_NUMBER_MAX, &n) || n >= below)
			continue;
		r = tree_remove(fd, e->d_name);
		*ret_count += r == 0;
	}
	if (r == 0 && errno)
		r = -errno;
	(void)closedir(d);
	return r;
}

int act_trees_clear(struct act_ctx *ctx, const char *folder, const char *number)
{
	const char *rel = act_below(ctx->state_root, folder);
	unsigned long below;
	unsigned count = 0;
	int root, fd = -ENOENT, r;

	if (!clearable(rel) || !act_number(number, 1, TREE_NUMBER_MAX, &below))
		return failure_set(ctx->f, EINVAL, EXIT_CODE_USAGE, "",
			"stead removes numbered trees of a releases or public folder below %s only "
			"(asked: \"%.200s\", \"%.20s\").",
			ctx->state_root, folder, number);
	root = open(ctx->state_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root >= 0)
		fd = sys_open_nosymlink(root, rel, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	r = fd < 0 ? fd : clear(fd, below, &count);
	if (fd >= 0)
		(void)close(fd);
	if (root >= 0)
		(void)close(root);
	if (r < 0 && r != -ENOENT)
		return failure_set(ctx->f, -r, EXIT_CODE_FAILED, "see what lies there",
			"Old trees of %s cannot be removed: %s.", folder, strerror(-r));
	(void)snprintf(ctx->result, sizeof ctx->result, "%u", count);
	return 0;
}
