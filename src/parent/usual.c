/*
 * usual.c: the folders that are an app's own, seen by it where systemd puts them: StateDirectory=shop is at
 * /var/lib/shop, too, RuntimeDirectory=shop at /run/shop. Units that others wrote have these paths written into them.
 *
 * Called by mounts.c in the child that makes an app's namespace: first to take the folders, last to show them. The
 * places are folders of the machine, made empty where there are none and only by names that are the app's, and of the namespace alone what is in them: what
 * the machine has at such a place is not touched, and not seen by the app. A folder is made and opened as the app, step
 * by step and without following a link, for what lies in it is the app's to choose.
 */
#include "parent.h"
#include "mounts.h"
#include "lib/ownname.h"
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const roots[] = {"/run", "/var/lib", "/var/cache", "/var/log", "/etc"};

/* What stands behind the root of a place, or NULL: it is none. */
static const char *name_of(const char *place)
{
	for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
		size_t n = strlen(roots[i]);

		if (strncmp(place, roots[i], n) == 0 && place[n] == '/' && place[n + 1] != '\0')
			return place + n + 1;
	}
	return NULL;
}

static bool climbs(const char *name)
{
	for (const char *at = name; *at != '\0'; at += strcspn(at, "/"), at += *at == '/') {
		size_t n = strcspn(at, "/");

		if (n == 0 || (n <= 2 && strncmp(at, "..", n) == 0))
			return true;
	}
	return false;
}

bool usual_fits(const char *app, const struct mounts_path *folder, const struct mounts_path *place)
{
	const char *name = name_of(place->path);
	size_t n = name != NULL ? strlen(name) : 0, m = strlen(folder->path);

	return name != NULL && (ownname_is(app, name) || strcmp(place->path, USUAL_PHP_SESSIONS) == 0) && !climbs(name) && m > n + 1 && folder->path[m - n - 1] == '/' &&
	       strcmp(folder->path + m - n, name) == 0;
}

/* The folder of that name below `dir`, which is closed then; made when it is not there and may be. -errno. */
static int descend(int dir, const char *name, bool may_make, mode_t mode)
{
	char part[NAME_MAX + 1];

	for (const char *at = name; dir >= 0 && *at != '\0'; at += *at == '/') {
		size_t n = strcspn(at, "/");
		int next, e = 0;

		if (n >= sizeof(part)) {
			close(dir);
			return -ENAMETOOLONG;
		}
		memcpy(part, at, n);
		part[n] = '\0';
		at += n;
		if (may_make && mkdirat(dir, part, *at == '\0' ? mode : 0755) < 0 && errno != EEXIST)
			e = -errno;
		next = e == 0 ? openat(dir, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : e;
		if (next < 0 && e == 0)
			next = -errno;
		close(dir);
		dir = next;
	}
	return dir;
}

static int open_folder(const char *path)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int root_of(const char *place)
{
	char root[PATH_MAX];
	const char *name = name_of(place);

	snprintf(root, sizeof(root), "%.*s", (int)(name - place - 1), place);
	return open_folder(root);
}

/* The app's own folder, as the app. */
static int take(const struct mounts_plan *m, const struct mounts_path *folder, const char *name)
{
	char base[PATH_MAX];
	size_t n = strlen(folder->path) - strlen(name) - 1;
	bool may_make = (folder->kind & JAIL_PATH_KINDS) != JAIL_PATH_READ;
	int dir;

	if (n >= sizeof(base))
		return -ENAMETOOLONG;
	memcpy(base, folder->path, n);
	base[n] = '\0';
	if ((dir = open_folder(base)) < 0)
		return dir;
	setfsgid(m->gid);
	setfsuid(m->uid);
	dir = descend(dir, name, may_make, folder->kind >> JAIL_PATH_MODE_SHIFT & 07777);
	setfsuid(0);
	setfsgid(0);
	/* Which that has made it not: then the parent, without CAP_SYS_PTRACE, could not take the namespace over. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	if (dir < 0)
		return dir;
	int fd = (int)syscall(SYS_open_tree, dir, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	int e = fd < 0 ? -errno : fd;
	close(dir);
	return e;
}

uint64_t usual_seen(const struct mounts_path *path, unsigned paths)
{
	uint64_t sum = 0;
	struct stat st;

	for (unsigned i = 0; i < paths; i++) {
		if ((path[i].kind & JAIL_PATH_KINDS) != JAIL_PATH_PLACE)
			continue;
		sum = sum * 1099511628211u + (lstat(path[i].path, &st) == 0 ? (uint64_t)st.st_ino : 0);
	}
	return sum;
}

int usual_take(struct usual *u, const struct mounts_plan *m)
{
	for (unsigned i = 1; i < m->paths; i++) {
		const struct mounts_path *folder = &m->path[i - 1], *place = &m->path[i];
		int fd, at;

		if ((place->kind & JAIL_PATH_KINDS) != JAIL_PATH_PLACE)
			continue;
		if (u->n == USUAL_MAX)
			return -E2BIG;
		/* What the machine refuses to have made there (a system that is read-only) is not to be seen there. */
		at = descend(root_of(place->path), name_of(place->path), true, 0755);
		if (at < 0)
			continue;
		close(at);
		fd = take(m, folder, name_of(place->path));
		if (fd == -ENOENT)
			continue; /* what it lies in is not there (yet) */
		if (fd < 0)
			return fd;
		u->at[u->n++] = (struct usual_place){
			.fd = fd, .path = place->path, .write = (folder->kind & JAIL_PATH_KINDS) != JAIL_PATH_READ};
	}
	return 0;
}

int usual_put(struct usual *u)
{
	int e = 0;

	for (unsigned i = 0; e == 0 && i < u->n; i++) {
		struct usual_place *p = &u->at[i];
		struct mount_attr a = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (p->write ? 0 : MOUNT_ATTR_RDONLY),
			.attr_clr = p->write ? MOUNT_ATTR_RDONLY : 0};
		/* Hidden from the app by its own wish: then it is not there. */
		int at = descend(root_of(p->path), name_of(p->path), false, 0);

		if (at >= 0 && syscall(SYS_mount_setattr, p->fd, "", AT_EMPTY_PATH, &a, sizeof(a)) < 0)
			e = -errno;
		if (at >= 0 && e == 0 &&
			syscall(SYS_move_mount, p->fd, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
			e = -errno;
		if (at >= 0)
			close(at);
		close(p->fd);
	}
	return e;
}
