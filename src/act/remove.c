/*
 * remove.c: one tree below stead's state goes; and paths of a release become links into the app's data folder.
 *
 * What may be removed is told by its place alone: a numbered tree of a releases, public or incoming folder, or one of
 * the folders that an app has below apps/NAME. What lies there may be another's: no link is followed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/sys.h"
#include "oneshot/persist.h"
#include "oneshot/tree.h"

#include "act.h"

enum { REMOVE_NUMBER_MAX = 1000000000, PARTS_MAX = 8 };

/* Its parts, the last first. How many. */
static unsigned parts_of(char *rel, const char *ret[PARTS_MAX])
{
	unsigned n = 0;

	while (n < PARTS_MAX) {
		char *slash = strrchr(rel, '/');

		ret[n++] = slash ? slash + 1 : rel;
		if (!slash)
			break;
		*slash = '\0';
	}
	return n;
}

static bool one_of(const char *name, const char *const *names)
{
	while (*names && strcmp(name, *names) != 0)
		names++;
	return *names != NULL;
}

static bool removable(const char *rel)
{
	static const char *const numbered[] = {"releases", "public", "incoming", NULL};
	static const char *const whole[] = {"releases", "own", "data", "incoming", "php", "cache", "logs", "config", NULL};
	char mem[ACT_PATH_MAX];
	const char *part[PARTS_MAX];
	unsigned long number;
	unsigned n;

	if (!rel || strlen(rel) >= sizeof mem)
		return false;
	(void)snprintf(mem, sizeof mem, "%s", rel);
	n = parts_of(mem, part);
	if (n >= 2 && act_number(part[0], 1, REMOVE_NUMBER_MAX, &number) && one_of(part[1], numbered))
		return true;
	/* public/app7/3, and public/app7: of a deployed app */
	if (n >= 3 && act_number(part[0], 1, REMOVE_NUMBER_MAX, &number) && strcmp(part[2], "public") == 0 &&
		strncmp(part[1], "app", 3) == 0 && act_number(part[1] + 3, 1, REMOVE_NUMBER_MAX, &number))
		return true;
	if (n >= 2 && strcmp(part[1], "public") == 0 && strncmp(part[0], "app", 3) == 0 &&
		act_number(part[0] + 3, 1, REMOVE_NUMBER_MAX, &number))
		return true;
	return n >= 3 && one_of(part[0], whole) && act_app_valid(part[1]) && strcmp(part[2], "apps") == 0;
}

/* The folder above it, open; the last part in *ret_name. */
static int open_above(struct act_ctx *ctx, const char *rel, const char **ret_name)
{
	const char *slash = strrchr(rel, '/');
	char above[ACT_PATH_MAX];
	int root = open(ctx->state_root, O_PATH | O_DIRECTORY | O_CLOEXEC), fd;

	if (root < 0)
		return -errno;
	(void)snprintf(above, sizeof above, "%.*s", slash ? (int)(slash - rel) : 1, slash ? rel : ".");
	*ret_name = slash ? slash + 1 : rel;
	fd = sys_open_nosymlink(root, above, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	(void)close(root);
	return fd;
}

int act_tree_remove(struct act_ctx *ctx, const char *path)
{
	const char *rel = act_below(ctx->state_root, path), *name;
	int dir, r;

	if (!removable(rel))
		return failure_set(ctx->f, EINVAL, EXIT_CODE_USAGE, "",
			"stead removes trees of releases and the folders of apps below %s only (asked: "
			"\"%.200s\").",
			ctx->state_root, path);
	dir = open_above(ctx, rel, &name);
	r = dir < 0 ? dir : tree_remove(dir, name);
	if (dir >= 0)
		(void)close(dir);
	if (r < 0 && r != -ENOENT)
		return failure_set(ctx->f, -r, EXIT_CODE_FAILED, "see what lies there",
			"%s cannot be removed: %s.", path, strerror(-r));
	return 0;
}

int act_persist(struct act_ctx *ctx, const char *release, const char *keep, const char *paths)
{
	const char *rel = act_below(ctx->state_root, release), *name;
	int dir, fd = -EINVAL, r;

	if (!rel || !act_persist_allowed(ctx, release, keep) || !persist_valid(paths))
		return failure_set(ctx->f, EINVAL, EXIT_CODE_USAGE, "",
			"A release below %s keeps paths in its app's data folder only (asked: \"%.200s\", "
			"\"%.200s\").",
			ctx->state_root, release, keep);
	dir = open_above(ctx, rel, &name);
	if (dir >= 0)
		fd = sys_open_nosymlink(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (dir >= 0)
		(void)close(dir);
	if (dir < 0 || fd < 0)
		return failure_set(ctx->f, dir < 0 ? -dir : -fd, EXIT_CODE_FAILED, "deploy again",
			"The release %s cannot be opened: %s.", release, strerror(dir < 0 ? -dir : -fd));
	r = persist_link(ctx->f, fd, keep, paths);
	(void)close(fd);
	return r;
}
