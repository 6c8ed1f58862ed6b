/*
 * copy.c: an app's folder copied below stead's state, root's and readable by the app's group only.
 *
 * The source belongs to somebody else, who may change it while root reads: every step goes by
 * descriptor, a symlink is copied as a symlink and never followed, devices, sockets and pipes are
 * left out, and a file of several names that its folder's owner does not own is refused (a hard
 * link is the way to have root copy what one may not read). The copy is made under a temporary
 * name, made durable, and takes its place by one rename; an older copy stays until then.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/must.h"
#include "lib/parcel.h"
#include "lib/room.h"
#include "lib/sys.h"
#include "oneshot/tree.h"

#include "act.h"

struct copy {
	struct act_ctx *ctx;
	uid_t owner; /* of the source folder */
	gid_t gid;
	unsigned files;
	uint64_t bytes;
	bool published;        /* for the gates, which hand no hidden names out */
	bool names_only;       /* of scripts */
	char at[ACT_PATH_MAX]; /* below the source, for errors */
};

static int copy_folder(struct copy *c, int from, int to, unsigned depth);

static int copy_failed(struct copy *c, int e, const char *what)
{
	return failure_set(c->ctx->f, e, EXIT_CODE_FAILED,
		e == ENOSPC || e == EDQUOT ? "free some disk space, then try again"
					   : "see that file in the app's folder",
		"%s could not be copied (%s): %s.", c->at, what, strerror(e));
}

/* As many as it had when it was looked at: somebody may write on meanwhile. */
static int copy_bytes(int in, int out, uint64_t size)
{
	static const uint64_t chunk = 1 << 20;
	char mem[65536];
	ssize_t n = 1;

	while (size && (n = copy_file_range(in, NULL, out, NULL, (size_t)min_of(size, chunk), 0)) > 0)
		size -= (uint64_t)n;
	if (n >= 0)
		return 0;
	if (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
		return -errno;
	while (size && (n = read(in, mem, (size_t)min_of(size, (uint64_t)sizeof mem))) > 0) {
		size -= (uint64_t)n;
		for (ssize_t done = 0, w; done < n; done += w) {
			w = write(out, mem + done, (size_t)(n - done));
			if (w < 0)
				return -errno;
		}
	}
	return n < 0 ? -errno : 0;
}

/* Root's writing is held by no guard of the disk and no reserve of the file system's. A file full of holes is written out,
 * so its size counts, and whoever owns the folder may have put it there just now. */
static int has_room(struct copy *c, int out, uint64_t size)
{
	struct statvfs v;

	if (size > PARCEL_BYTES_MAX - c->bytes)
		return copy_failed(c, EFBIG, "the folder holds more than 16 GB");
	c->bytes += size;
	if (size && fstatvfs(out, &v) == 0 && (room_free(&v) < size || room_free(&v) - size < room_floor(room_total(&v))))
		return copy_failed(c, ENOSPC, "what runs needs the rest of the disk");
	return 0;
}

static bool is_script(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot && strcasecmp(dot, ".php") == 0;
}

static int copy_file(struct copy *c, int from, int to, const char *name)
{
	int in, out, r;
	uint64_t size;
	struct stat st;

	in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (in < 0)
		return copy_failed(c, errno, "open");
	if (fstat(in, &st) < 0 || !S_ISREG(st.st_mode)) {
		(void)close(in);
		return copy_failed(c, EAGAIN, "it changed while it was read");
	}
	if (st.st_nlink > 1 && st.st_uid != c->owner) {
		(void)close(in);
		return copy_failed(
			c, EPERM, "it has several names and another owner than its folder");
	}
	size = c->names_only && is_script(name) ? 0 : (uint64_t)st.st_size;
	if ((r = has_room(c, to, size)) < 0) {
		(void)close(in);
		return r;
	}
	out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	r = out < 0 ? -errno : copy_bytes(in, out, size);
	if (r == 0 && (fchown(out, geteuid(), c->gid) < 0 ||
			      fchmod(out, st.st_mode & 0111 ? 0750 : 0640) < 0))
		r = -errno;
	(void)close(in);
	if (out >= 0 && close(out) < 0 && r == 0)
		r = -errno;
	return r == 0 ? 0 : copy_failed(c, -r, "write");
}

static int copy_link(struct copy *c, int from, int to, const char *name)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from, name, target, sizeof target - 1);

	if (n < 0)
		return copy_failed(c, errno, "read the link");
	target[n] = 0;
	if (symlinkat(target, to, name) < 0 ||
		fchownat(to, name, geteuid(), c->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return copy_failed(c, errno, "write the link");
	return 0;
}

static int copy_subfolder(struct copy *c, int from, int to, const char *name, unsigned depth)
{
	int in, out, r;

	in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (in < 0)
		return copy_failed(c, errno, "open");
	if (mkdirat(to, name, 0700) < 0) {
		(void)close(in);
		return copy_failed(c, errno, "make the folder");
	}
	out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = out < 0 ? copy_failed(c, errno, "open the copy") : copy_folder(c, in, out, depth + 1);
	(void)close(in);
	if (out >= 0)
		(void)close(out);
	return r;
}

/* What a gate may never serve it need not be able to read: .env, say, of an app whose files lie in its own folder. */
static bool skipped(const struct copy *c, const char *name)
{
	if (c->published && ((name[0] == '.' && strcmp(name, ".well-known") != 0) || strcmp(name, "stead.conf") == 0))
		return true;
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, ".git") == 0 ||
	       strcmp(name, ".stead") == 0;
}

static int copy_entry(struct copy *c, int from, int to, const char *name, unsigned depth)
{
	size_t len = strlen(c->at);
	struct stat st;
	int r = 0;

	if (skipped(c, name))
		return 0;
	if (len + strlen(name) + 2 > sizeof c->at)
		return copy_failed(c, ENAMETOOLONG, "its path is too long");
	(void)snprintf(c->at + len, sizeof c->at - len, "%s%s", len ? "/" : "", name);
	if (++c->files > ACT_FILES_MAX)
		return copy_failed(c, EFBIG, "the folder holds too many files");
	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return copy_failed(c, errno, "look at it");
	if (S_ISREG(st.st_mode))
		r = copy_file(c, from, to, name);
	else if (S_ISLNK(st.st_mode))
		r = copy_link(c, from, to, name);
	else if (S_ISDIR(st.st_mode))
		r = copy_subfolder(c, from, to, name, depth);
	if (r == 0)
		c->at[len] = 0;
	return r;
}

static int copy_folder(struct copy *c, int from, int to, unsigned depth)
{
	int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (depth > ACT_DEPTH_MAX)
		r = copy_failed(c, ELOOP, "folders within folders too deep");
	if (!d) {
		if (fd >= 0)
			(void)close(fd);
		return r < 0 ? r : copy_failed(c, EMFILE, "list the folder");
	}
	while (r == 0 && (errno = 0, e = readdir(d)) != NULL)
		r = copy_entry(c, from, to, e->d_name, depth);
	/* Half a folder is no copy of it. */
	if (r == 0 && errno)
		r = copy_failed(c, errno, "list the folder");
	(void)closedir(d);
	if (r == 0 && (fchown(to, geteuid(), c->gid) < 0 || fchmod(to, 0750) < 0))
		r = copy_failed(c, errno, "set the folder's group");
	return r;
}

/* The copy takes its place; the old one, if any, is removed after it. */
static int put_in_place(int parent, const char *temp, const char *name)
{
	if (renameat2(parent, temp, parent, name, RENAME_NOREPLACE) == 0)
		return fsync(parent) < 0 ? -errno : 0;
	if (errno != EEXIST)
		return -errno;
	if (renameat2(parent, temp, parent, name, RENAME_EXCHANGE) < 0 || fsync(parent) < 0)
		return -errno;
	return tree_remove(parent, temp);
}

static bool is_cut_off(const char *name)
{
	size_t n = strspn(name + 1, "0123456789");

	return name[0] == '.' && n > 0 && strcmp(name + 1 + n, ".new") == 0;
}

/* What a copy of another number left that was killed: nobody else comes back to it. */
static int clear_cut_off(int parent)
{
	int fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!d) {
		r = -errno;
		if (fd >= 0)
			(void)close(fd);
		return r;
	}
	while (r == 0 && (errno = 0, e = readdir(d)) != NULL)
		if (is_cut_off(e->d_name))
			r = tree_remove(parent, e->d_name);
	if (r == 0 && errno)
		r = -errno;
	(void)closedir(d);
	return r;
}

static int copy_into(struct copy *c, int from, int parent, const char *name)
{
	char temp[300];
	int to, r;

	(void)snprintf(temp, sizeof temp, ".%s.new", name);
	r = is_cut_off(temp) ? clear_cut_off(parent) : tree_remove(parent, temp);
	if (r == 0 && mkdirat(parent, temp, 0700) < 0)
		r = -errno;
	if (r < 0)
		return copy_failed(c, -r, "make the copy's folder");
	to = openat(parent, temp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = to < 0 ? copy_failed(c, errno, "open the copy") : copy_folder(c, from, to, 0);
	if (r == 0 && syncfs(to) < 0)
		r = copy_failed(c, errno, "write to the disk");
	if (to >= 0)
		(void)close(to);
	if (r < 0) {
		(void)tree_remove(parent, temp);
		return r;
	}
	r = put_in_place(parent, temp, name);
	return r == 0 ? 0 : copy_failed(c, -r, "put in place");
}

/* What the gates may read is a part of a copy that was made before: `from` lies below stead's state and
 * no symlink leads there, so nobody's stead.conf publishes a folder of the system. */
static int find_gate(struct act_ctx *ctx, const char *from, unsigned long *ret_gid, int *ret_fd)
{
	const char *rel = act_below(ctx->state_root, from);
	struct group *gr = getgrnam(ACT_GATE);
	int root = open(ctx->state_root, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -EINVAL;

	if (rel && root >= 0)
		fd = sys_open_nosymlink(root, rel, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (root >= 0)
		(void)close(root);
	if (fd < 0 || !gr) {
		if (fd >= 0)
			(void)close(fd);
		return failure_set(ctx->f, fd < 0 ? -fd : ENOENT, EXIT_CODE_FAILED,
			"name a folder below the app's own that is no symlink",
			"The folder %s cannot be published: %s.", from,
			fd < 0 ? strerror(-fd) : "there is no group " ACT_GATE);
	}
	*ret_gid = gr->gr_gid;
	*ret_fd = fd;
	return 0;
}

/* The operator's folder, for check? */
static bool is_checks(const char *from, const char *gid, unsigned long *ret_gid)
{
	const struct group *gr = strcmp(gid, ACT_CHECK) == 0 && strcmp(from, ACT_OPERATORS) == 0 ? getgrnam(ACT_CHECK) : NULL;

	if (gr)
		*ret_gid = gr->gr_gid;
	return gr != NULL;
}

static int tree_copy(
	struct act_ctx *ctx, const char *from, const char *to, const char *gid, bool names_only)
{
	const char *rel = act_below(ctx->state_root, to), *name;
	struct copy c = {.ctx = ctx, .published = strcmp(gid, ACT_GATE) == 0, .names_only = names_only};
	char parent_rel[ACT_PATH_MAX];
	size_t n = strlen(from);
	int src = -1, parent, r;
	unsigned long group;
	struct stat st;

	if (c.published && act_copy_allowed(ctx, from, to, true) && find_gate(ctx, from, &group, &src) < 0)
		return -ctx->f->err;
	if (!rel || *from != '/' || strlen(rel) > 200 || !act_copy_allowed(ctx, from, to, c.published) ||
		(src < 0 && !is_checks(from, gid, &group) && !act_number(gid, ACT_UID_MIN, ACT_UID_MAX, &group)))
		return failure_set(ctx->f, EINVAL, EXIT_CODE_USAGE, "",
			"stead copies a release's folder below %s, for its app's group, and parts of it for the gates only (asked: "
			"\"%.200s\" to \"%.200s\", group \"%.20s\").",
			ctx->state_root, from, to, gid);
	if (strncmp(to, from, n) == 0 &&
		(to[n] == '/' || to[n] == 0 || (n > 0 && from[n - 1] == '/')))
		return failure_set(ctx->f, EINVAL, EXIT_CODE_USAGE, "name the app's own folder",
			"%s contains stead's own state and cannot be an app's folder.", from);
	/* Below stead's own state a folder on the way may be an app's, which no link in it leads anywhere. */
	if (src < 0 && act_below(ctx->state_root, from)) {
		int root = open(ctx->state_root, O_PATH | O_DIRECTORY | O_CLOEXEC);

		src = root < 0 ? -1 : sys_open_nosymlink(root, act_below(ctx->state_root, from),
						 O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
		if (src < -1) {
			errno = -src;
			src = -1;
		}
		if (root >= 0)
			(void)close(root);
	} else if (src < 0) {
		src = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (src < 0 || fstat(src, &st) < 0)
		return failure_set(ctx->f, errno, EXIT_CODE_FAILED, "see that the folder exists",
			"The app's folder %s cannot be read: %s.", from, strerror(errno));
	c.owner = st.st_uid;
	c.gid = (gid_t)group;
	name = strrchr(rel, '/');
	(void)snprintf(parent_rel, sizeof parent_rel, "%.*s", name ? (int)(name - rel) : 0, rel);
	r = act_open_below(ctx->state_root, parent_rel, &parent);
	if (r < 0) {
		r = failure_set(ctx->f, -r, EXIT_CODE_FAILED,
			"see that the filesystem can be written",
			"The folder above %s cannot be made: %s.", to, strerror(-r));
	} else {
		r = copy_into(&c, src, parent, name ? name + 1 : rel);
		(void)close(parent);
	}
	(void)close(src);
	if (r == 0)
		(void)snprintf(ctx->result, sizeof ctx->result, "%u", c.files);
	return r;
}

int act_tree_copy(struct act_ctx *ctx, const char *from, const char *to, const char *gid)
{
	return tree_copy(ctx, from, to, gid, false);
}

int act_scripts_copy(struct act_ctx *ctx, const char *from, const char *to, const char *gid)
{
	if (strcmp(gid, ACT_GATE) != 0)
		return failure_set(ctx->f, EINVAL, EXIT_CODE_USAGE, "",
			"A copy without its scripts is for the gates only (asked: group "
			"\"%.20s\").",
			gid);
	return tree_copy(ctx, from, to, gid, true);
}
