/*
 * forget.c: the folder of an app that is not deployed goes, as far as there is nothing in it that is anybody's.
 *
 * That is what the first release of an app leaves which never served, and what a removal with all data leaves. What a release is made
 * of goes always; the folder itself only when what is left of it is folders in folders, and the caller knows of nothing else that
 * the app has (a database). No link is followed. Owns nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/bare.h"
#include "lib/sys.h"
#include "oneshot/tree.h"

#include "act.h"

/* STATE/apps/NAME: the folder above it, open; *ret_name is its last part. */
static int open_apps(struct act_ctx *ctx, const char *rel, const char **ret_name)
{
	const char *slash = rel ? strrchr(rel, '/') : NULL;
	char above[ACT_PATH_MAX];
	size_t n = slash ? (size_t)(slash - rel) : 0;
	int root, fd;

	if (n < 4 || n >= sizeof above || strncmp(slash - 4, "apps", 4) != 0 || (n > 4 && slash[-5] != '/') || !act_app_valid(slash + 1))
		return -EINVAL;
	(void)snprintf(above, sizeof above, "%.*s", (int)n, rel);
	*ret_name = slash + 1;
	root = open(ctx->state_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -errno;
	fd = sys_open_nosymlink(root, above, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	(void)close(root);
	return fd;
}

int act_app_forget(struct act_ctx *ctx, const char *path, const char *has)
{
	static const char *const made[] = {"releases", "incoming", "own", "php", "cache"};
	const char *name = "";
	int apps = open_apps(ctx, act_below(ctx->state_root, path), &name), fd, r = 0;

	if (apps == -EINVAL)
		return failure_set(ctx->f, EINVAL, EXIT_CODE_USAGE, "",
			"stead forgets folders of apps below %s only (asked: \"%.200s\").", ctx->state_root, path);
	fd = apps < 0 ? apps : sys_open_nosymlink(apps, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	for (unsigned i = 0; fd >= 0 && r == 0 && i < sizeof made / sizeof *made; i++)
		r = tree_remove(fd, made[i]);
	if (fd >= 0)
		(void)close(fd);
	else if (fd != -ENOENT)
		r = fd;
	if (r == 0 && apps >= 0 && !*has && bare_folder(apps, name))
		r = bare_remove(apps, name);
	if (apps >= 0)
		(void)close(apps);
	if (r < 0)
		return failure_set(ctx->f, -r, EXIT_CODE_FAILED, "see what lies there", "%s cannot be removed: %s.", path, strerror(-r));
	return 0;
}
