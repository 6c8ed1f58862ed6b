/*
 * folder.c: folders below stead's own two roots, with an owner from a short list. No symlink is
 * ever followed on the way, so whoever owns a folder there cannot lead root out of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/sys.h"

#include "act.h"

int act_open_below(const char *root, const char *rel, int *ret_fd)
{
	char part[256];
	int fd, next;

	if (mkdir(root, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = open(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (*rel) {
		size_t n = strcspn(rel, "/");

		if (n >= sizeof part) {
			(void)close(fd);
			return -ENAMETOOLONG;
		}
		memcpy(part, rel, n);
		part[n] = 0;
		rel += n + (rel[n] == '/');
		next = mkdirat(fd, part, 0755) < 0 && errno != EEXIST ? -errno : 0;
		if (next == 0)
			next = sys_open_nosymlink(fd, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
		(void)close(fd);
		if (next < 0)
			return next;
		fd = next;
	}
	*ret_fd = fd;
	return 0;
}

/* An app's number, or the name of one of stead's own accounts, root or postgres. */
static bool account_allowed(const char *name)
{
	return strcmp(name, "root") == 0 || strcmp(name, "postgres") == 0 ||
	       strcmp(name, "stead") == 0 ||
	       (strncmp(name, ACT_ROLE_PREFIX, sizeof ACT_ROLE_PREFIX - 1) == 0 &&
		       act_role_valid(name + sizeof ACT_ROLE_PREFIX - 1));
}

static bool owner_of(const char *text, uid_t *ret)
{
	struct passwd *pw;
	unsigned long v;

	if (act_number(text, ACT_UID_MIN, ACT_UID_MAX, &v)) {
		*ret = (uid_t)v;
		return true;
	}
	pw = account_allowed(text) ? getpwnam(text) : NULL;
	if (pw)
		*ret = pw->pw_uid;
	return pw != NULL || act_user_allowed(text, ret);
}

static bool group_of(const char *text, gid_t *ret)
{
	struct group *gr;
	unsigned long v;

	if (act_number(text, ACT_UID_MIN, ACT_UID_MAX, &v)) {
		*ret = (gid_t)v;
		return true;
	}
	gr = account_allowed(text) ? getgrnam(text) : NULL;
	if (gr)
		*ret = gr->gr_gid;
	return gr != NULL;
}

static bool mode_of(const char *text, mode_t *ret)
{
	mode_t mode = 0;

	if (strlen(text) != 4 || text[0] != '0' || strspn(text, "01234567") != 4)
		return false;
	for (const char *p = text; *p; p++)
		mode = mode << 3 | (mode_t)(*p - '0');
	*ret = mode;
	return (mode & 002) == 0;
}

/* May it become that user's? It is root's still, or his, or it is the app's already, as its group says, and only as whom
 * the app runs has changed. */
static bool may_have(const char *path, const struct stat *st, uid_t uid, gid_t gid)
{
	static const char *const kept[] = {"data", "cache", "logs", "persist"};
	const char *name = strrchr(path, '/') + 1;
	bool apps = false;

	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
		apps |= gid >= ACT_UID_MIN && gid <= ACT_UID_MAX && strcmp(name, kept[i]) == 0;
	bool another_apps = uid >= ACT_UID_MIN && uid <= ACT_UID_MAX && uid != gid;

	return st->st_uid == 0 || st->st_uid == uid || (apps && st->st_gid == gid && !another_apps);
}

int act_folder_make(struct act_ctx *ctx, const char *path, const char *owner, const char *group,
	const char *mode)
{
	const char *root = ctx->state_root, *rel = act_below(root, path);
	struct stat st;
	mode_t bits;
	uid_t uid;
	gid_t gid;
	int fd, r;

	if (!rel) {
		root = ctx->run_root;
		rel = act_below(root, path);
	}
	if (!rel || !act_folder_allowed(ctx, path) || !mode_of(mode, &bits) || !owner_of(owner, &uid) || !group_of(group, &gid))
		return failure_set(ctx->f, EINVAL, EXIT_CODE_USAGE, "",
			"stead makes folders of apps and their databases below %s and %s only, for its own accounts only "
			"(asked: "
			"\"%.200s\", owner \"%.60s\", group \"%.60s\", mode \"%.8s\").",
			ctx->state_root, ctx->run_root, path, owner, group, mode);
	r = act_open_below(root, rel, &fd);
	if (r < 0)
		return failure_set(ctx->f, -r, EXIT_CODE_FAILED,
			r == -ELOOP ? "remove the symlink"
				    : "see that the filesystem can be written",
			"The folder %s cannot be made: %s.", path, strerror(-r));
	if (fstat(fd, &st) < 0 || !may_have(path, &st, uid, gid))
		r = failure_set(ctx->f, EPERM, EXIT_CODE_NOT_PERMITTED, "move that folder away",
			"The folder %s belongs to the user number %u.", path, (unsigned)st.st_uid);
	else if (st.st_uid != 0 && st.st_uid != uid && (r = act_own_inside(fd, st.st_uid, uid)) < 0)
		r = failure_set(ctx->f, -r, EXIT_CODE_FAILED, "see what lies there",
			"What is in the folder %s cannot be given to %s: %s.", path, owner, strerror(-r));
	else if (fchmod(fd, 0700) < 0 || fchown(fd, uid, gid) < 0 || fchmod(fd, bits) < 0)
		r = failure_set(ctx->f, errno, EXIT_CODE_FAILED,
			"see that the filesystem can be written",
			"The folder %s cannot be given to %s:%s: %s.", path, owner, group,
			strerror(errno));
	(void)close(fd);
	return r;
}
