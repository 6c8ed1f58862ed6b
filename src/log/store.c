/*
 * store.c: the bounded files: STATE/log/current.jsonl and four older ones, 1.jsonl the newest of
 * them.
 *
 * Called by the log process only. Owns the files. Lines are gathered and written in one call; when
 * the current file is full the others move up by rename and the oldest goes. A disk that is full
 * loses lines, which are counted, and never stops the process: it tries again with the next batch.
 */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MIB = 1024 * 1024 };

static const char current[] = "current.jsonl";

static void name_of(unsigned i, char ret[32])
{
	if (i == 0)
		(void)snprintf(ret, 32, "%s", current);
	else
		(void)snprintf(ret, 32, "%u.jsonl", i);
}

/* A line that a crash cut short is ended, so that the next one is whole. */
static void mend_end(struct store *s)
{
	char last = '\n';

	s->half = s->bytes > 0 && pread(s->fd, &last, 1, (off_t)s->bytes - 1) == 1 && last != '\n';
	if (s->half && write(s->fd, "\n", 1) == 1) {
		s->half = false;
		s->bytes++;
	}
}

static void open_current(struct store *s)
{
	struct stat st;

	s->fd = openat(
		s->dir_fd, current, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	s->bytes = s->fd >= 0 && fstat(s->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	if (s->fd >= 0)
		mend_end(s);
}

void store_open(struct store *s, int dir_fd)
{
	*s = (struct store){.dir_fd = dir_fd, .fd = -1, .file_bytes = STORE_FILE_MIB * (uint64_t)MIB};
	buf_init(&s->batch, 2 * STORE_BATCH_BYTES);
	open_current(s);
}

void store_close(struct store *s)
{
	store_flush(s);
	buf_done(&s->batch);
	if (s->fd >= 0)
		close(s->fd);
	close(s->dir_fd);
}

/* Files of a time when the bound was a larger one. */
static void drop_what_is_too_much(struct store *s)
{
	uint64_t all = s->bytes;

	for (unsigned i = 1; i < STORE_FILES; i++) {
		struct stat st;
		char name[32];

		name_of(i, name);
		if (fstatat(s->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		all += (uint64_t)st.st_size;
		if (all > STORE_FILES * s->file_bytes)
			(void)unlinkat(s->dir_fd, name, 0);
	}
}

static void rotate(struct store *s)
{
	char from[32], to[32];
	int err = 0;

	for (unsigned i = STORE_FILES - 1; i > 0; i--) {
		name_of(i - 1, from);
		name_of(i, to);
		err = renameat(s->dir_fd, from, s->dir_fd, to) < 0 ? errno : 0;
	}
	/* A name that cannot be given must not make the file grow for ever. */
	if (err && err != ENOENT && s->fd >= 0 && ftruncate(s->fd, 0) == 0) {
		s->lost_bytes += s->bytes;
		s->error_count++;
	}
	if (s->fd >= 0)
		close(s->fd);
	open_current(s);
	drop_what_is_too_much(s);
}

/* The file may have been cut or deleted by an administrator. */
static void look_at_current(struct store *s)
{
	struct stat st;

	if (s->fd >= 0 && fstat(s->fd, &st) == 0) {
		s->bytes = (uint64_t)st.st_size;
		if (st.st_nlink > 0)
			return;
	}
	if (s->fd >= 0)
		close(s->fd);
	open_current(s);
}

void store_put(struct store *s, const char *line, size_t n)
{
	buf_put(&s->batch, line, n);
	if (s->batch.error) {
		/* No memory: this line is lost, those before it are whole. */
		s->batch.error = 0;
		s->lost_bytes += n;
		s->error_count++;
	}
	if (s->batch.len >= STORE_BATCH_BYTES)
		store_flush(s);
}

void store_flush(struct store *s)
{
	size_t at = 0;

	if (s->batch.len == 0)
		return;
	look_at_current(s);
	if (s->bytes > 0 && s->bytes + s->batch.len > s->file_bytes)
		rotate(s);
	if (s->half)
		mend_end(s);
	while (at < s->batch.len && s->fd >= 0 && !s->half) {
		ssize_t n = write(s->fd, s->batch.p + at, s->batch.len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		at += (size_t)n;
		s->bytes += (uint64_t)n;
	}
	s->failing = at < s->batch.len;
	if (s->failing) {
		s->lost_bytes += s->batch.len - at;
		s->error_count++;
		/* Half a line gets its end now, or before the next batch. */
		if (s->fd >= 0)
			mend_end(s);
	}
	buf_reset(&s->batch);
}

void store_bound(struct store *s, uint32_t max_mib)
{
	if (max_mib == 0)
		return;
	s->file_bytes = max_mib * (uint64_t)MIB / STORE_FILES;
	look_at_current(s);
	if (s->bytes > s->file_bytes)
		rotate(s);
	else
		drop_what_is_too_much(s);
}

/* The lines of one file from its end. False when `each` had enough. */
static bool file_back(
	const char *p, size_t n, bool (*each)(void *, const char *, size_t), void *arg)
{
	while (n > 0) {
		size_t end = p[n - 1] == '\n' ? n - 1 : n;
		const char *nl = end ? memrchr(p, '\n', end) : NULL;
		size_t from = nl ? (size_t)(nl - p) + 1 : 0;

		if (end > from && !each(arg, p + from, end - from))
			return false;
		n = from;
	}
	return true;
}

void store_back(struct store *s, bool (*each)(void *arg, const char *line, size_t n), void *arg)
{
	bool more = true;

	store_flush(s);
	for (unsigned i = 0; i < STORE_FILES && more; i++) {
		char name[32];
		struct stat st;
		void *map;
		int fd;

		name_of(i, name);
		fd = openat(s->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (fd < 0)
			continue;
		if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
			map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
			if (map != MAP_FAILED) {
				more = file_back(map, (size_t)st.st_size, each, arg);
				(void)munmap(map, (size_t)st.st_size);
			}
		}
		close(fd);
	}
}
