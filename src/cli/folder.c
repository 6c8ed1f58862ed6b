/*
 * folder.c: the folder that is deployed, as a stream.
 *
 * Called by verb_deploy.c. It is listed whole first, so that its size is known before a byte is sent; each file is
 * then read as far as it was long, and one that has become shorter ends the deploy. Nothing is followed: a symbolic link
 * goes along as one, when it stays in the folder. Left out are .git and .stead, environments of Python, whose paths are
 * those of another place, and what is no file. Nothing of what is read is looked at.
 */
#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 256 * 1024 };

static int bad(struct folder *f, int e, const char *path, const char *why)
{
	(void)snprintf(f->error, sizeof f->error, "%s: %s", path, why);
	return -e;
}

static void leave_out(struct folder *f, const char *path, const char *why)
{
	f->left_out++;
	if (!f->first_out && asprintf(&f->first_out, "%s (%s)", path, why) < 0)
		f->first_out = NULL;
}

static int add(struct folder *f, const struct folder_entry *e)
{
	struct folder_entry *to;

	if (f->n == f->room) {
		size_t room = f->room * 2 + 256;
		struct folder_entry *all = reallocarray(f->all, room, sizeof *all);

		if (!all)
			return bad(f, ENOMEM, e->path, "no memory");
		f->all = all;
		f->room = room;
	}
	if (f->n >= PARCEL_ENTRIES_MAX)
		return bad(f, EFBIG, e->path, "the folder holds too many files");
	to = &f->all[f->n];
	*to = *e;
	to->path = strdup(e->path);
	to->target = e->target ? strdup(e->target) : NULL;
	if (!to->path || (e->target && !to->target)) {
		free(to->path);
		return bad(f, ENOMEM, e->path, "no memory");
	}
	f->n++;
	f->bytes += e->kind == PARCEL_FILE ? e->size : 0;
	return f->bytes > PARCEL_BYTES_MAX ? bad(f, EFBIG, e->path, "the folder is too large") : 0;
}

static int list(struct folder *f, int fd, const char *at);

static int add_link(struct folder *f, int dir, const char *name, const char *path)
{
	char target[PARCEL_PATH_MAX + 2];
	ssize_t n = readlinkat(dir, name, target, sizeof target - 1);

	if (n < 0)
		return bad(f, errno, path, strerror(errno));
	target[n] = '\0';
	if (!parcel_target_valid(path, target)) {
		leave_out(f, path, "a link that leads out of the folder");
		return 0;
	}
	return add(f, &(struct folder_entry){.path = (char *)(uintptr_t)path,
			      .target = target,
			      .kind = PARCEL_LINK,
			      .size = (uint64_t)n});
}

static int add_folder(struct folder *f, int dir, const char *name, const char *path)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r;

	if (fd < 0)
		return bad(f, errno, path, strerror(errno));
	if (faccessat(fd, "pyvenv.cfg", F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		leave_out(f, path, "a virtual environment; the server makes its own");
		close(fd);
		return 0;
	}
	r = add(f, &(struct folder_entry){.path = (char *)(uintptr_t)path, .kind = PARCEL_FOLDER});
	if (r == 0)
		r = list(f, fd, path);
	close(fd);
	return r;
}

static int add_one(struct folder *f, int dir, const char *name, const char *at)
{
	char path[PARCEL_PATH_MAX + 1];
	struct stat st;

	if ((size_t)snprintf(path, sizeof path, "%s%s%s", at, *at ? "/" : "", name) >= sizeof path ||
		!parcel_path_valid(path))
		return bad(f, EINVAL, name, "its path is too long, too deep or holds a byte that no path should");
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return bad(f, errno, path, strerror(errno));
	if (S_ISLNK(st.st_mode))
		return add_link(f, dir, name, path);
	if (S_ISDIR(st.st_mode))
		return add_folder(f, dir, name, path);
	if (!S_ISREG(st.st_mode)) {
		leave_out(f, path, "no file");
		return 0;
	}
	return add(f, &(struct folder_entry){.path = path,
			      .kind = PARCEL_FILE,
			      .executable = (st.st_mode & 0111) != 0,
			      .size = (uint64_t)st.st_size});
}

static int list(struct folder *f, int fd, const char *at)
{
	int dup = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = dup < 0 ? NULL : fdopendir(dup);
	struct dirent *e;

	if (!d) {
		r = bad(f, errno, *at ? at : ".", strerror(errno));
		if (dup >= 0)
			close(dup);
		return r;
	}
	while (r == 0 && (e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
			strcmp(e->d_name, ".git") != 0 && strcmp(e->d_name, ".stead") != 0)
			r = add_one(f, fd, e->d_name, at);
	(void)closedir(d);
	return r;
}

int folder_open(struct folder *f, const char *path, const char *only)
{
	*f = (struct folder){.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	if (f->fd < 0)
		return bad(f, errno, path, strerror(errno));
	return only ? add_one(f, f->fd, only, "") : list(f, f->fd, "");
}

static int put(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n) {
		ssize_t got = send(fd, at, n, MSG_NOSIGNAL);

		if (got < 0 && errno != EINTR)
			return -errno;
		at += got > 0 ? got : 0;
		n -= got > 0 ? (size_t)got : 0;
	}
	return 0;
}

static int put_content(struct folder *f, const struct folder_entry *e, int fd, char *mem)
{
	int in = openat(f->fd, e->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), r = 0;
	uint64_t left = e->size;

	if (in < 0)
		return bad(f, errno, e->path, strerror(errno));
	while (r == 0 && left) {
		ssize_t n = read(in, mem, left < PIECE ? (size_t)left : PIECE);

		if (n <= 0)
			r = bad(f, EAGAIN, e->path, n < 0 ? strerror(errno) : "it became shorter while it was read");
		else if ((r = put(fd, mem, (size_t)n)) == 0)
			left -= (uint64_t)n;
	}
	close(in);
	return r;
}

int folder_send(struct folder *f, int fd)
{
	uint8_t head[PARCEL_HEAD_BYTES], entry[PARCEL_ENTRY_BYTES];
	char *mem = malloc(PIECE);
	int r = mem ? 0 : bad(f, ENOMEM, ".", "no memory");

	parcel_put_head(head, f->bytes, (uint32_t)f->n);
	if (r == 0)
		r = put(fd, head, sizeof head);
	for (size_t i = 0; r == 0 && i < f->n; i++) {
		const struct folder_entry *e = &f->all[i];
		size_t n = strlen(e->path);

		parcel_put_entry(entry, e->kind, e->executable, n, e->size);
		r = put(fd, entry, sizeof entry);
		if (r == 0)
			r = put(fd, e->path, n);
		if (r == 0 && e->kind == PARCEL_LINK)
			r = put(fd, e->target, (size_t)e->size);
		if (r == 0 && e->kind == PARCEL_FILE)
			r = put_content(f, e, fd, mem);
	}
	parcel_put_entry(entry, PARCEL_END, false, 0, 0);
	if (r == 0)
		r = put(fd, entry, sizeof entry);
	free(mem);
	return r;
}

void folder_close(struct folder *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->all[i].path);
		free(f->all[i].target);
	}
	free(f->all);
	free(f->first_out);
	if (f->fd >= 0)
		close(f->fd);
	*f = (struct folder){.fd = -1};
}
