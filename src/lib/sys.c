/*
 * sys.c: system calls that need care: descriptors, opening below a folder, processes, small files.
 *
 * Called by every process. Owns nothing; every descriptor that it makes is close-on-exec and the
 * caller's. Never retries for ever and never prints.
 */
#include "lib/sys.h"
#include "lib/must.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int sys_cloexec(int fd, bool on)
{
	return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) < 0 ? -errno : 0;
}

int sys_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);
	int want;

	if (flags < 0)
		return -errno;
	want = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	if (want == flags)
		return 0;
	return fcntl(fd, F_SETFL, want) < 0 ? -errno : 0;
}

int sys_socketpair_seqpacket(int ret_fds[2])
{
	/* A message is one datagram and must fit whole; the kernel doubles the figure and may cap
	 * it at net.core.wmem_max, whose default holds three of the largest. */
	int fds[2], bytes = 256 * 1024;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	for (int i = 0; i < 2; i++)
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	ret_fds[0] = fds[0];
	ret_fds[1] = fds[1];
	return 0;
}

int sys_pidfd_open(pid_t pid)
{
	long fd = syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : (int)fd;
}

int sys_pidfd_signal(int pidfd, int sig)
{
	return syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

static int open_how(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		/* openat2() refuses a mode where nothing can be created. */
		.mode = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? mode : 0,
		.resolve = resolve,
	};
	long fd;

	/* EAGAIN: a rename elsewhere made the kernel unsure whether the path stayed below; it may
	 * well be sure the next time. */
	for (int tries = 0; tries < 64; tries++) {
		fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		if (errno != EAGAIN && errno != EINTR)
			break;
	}
	return -errno;
}

int sys_open_beneath(int dirfd, const char *path, int flags, mode_t mode)
{
	return open_how(dirfd, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

int sys_open_nosymlink(int dirfd, const char *path, int flags, mode_t mode)
{
	return open_how(dirfd, path, flags, mode,
		RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS);
}

int sys_close_from(int lowest)
{
	return syscall(SYS_close_range, (unsigned)lowest, ~0u, 0) < 0 ? -errno : 0;
}

int sys_random(void *p, size_t n)
{
	char *at = p;

	while (n) {
		ssize_t got = getrandom(at, n, 0);

		if (got < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		at += got;
		n -= (size_t)got;
	}
	return 0;
}

uint64_t sys_pss_bytes(pid_t pid)
{
	char path[64], *text, *line;
	uint64_t kib = 0;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	if (sys_read_file(AT_FDCWD, path, 64 * 1024, &text, &n) < 0)
		return 0;
	line = strstr(text, "\nPss:");
	if (line)
		kib = strtoull(line + 5, NULL, 10);
	free(text);
	return kib * 1024;
}

int sys_read_file(int dirfd, const char *path, size_t max, char **ret_text, size_t *ret_n)
{
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t len = 0, cap = min_of(max, (size_t)4096) + 1;
	char *text = NULL, *more;
	int err = 0;

	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t got;

		more = realloc(text, cap + 1);
		if (!more) {
			err = -ENOMEM;
			break;
		}
		text = more;
		got = read(fd, text + len, cap - len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			err = -errno;
		if (got <= 0)
			break;
		len += (size_t)got;
		if (len > max) {
			err = -EFBIG;
			break;
		}
		/* One byte beyond max is asked for, which tells a file of max bytes from a larger
		 * one. */
		if (len == cap)
			cap = cap > max / 2 ? max + 1 : cap * 2;
	}
	close(fd);
	if (err) {
		free(text);
		return err;
	}
	text[len] = 0;
	*ret_text = text;
	*ret_n = len;
	return 0;
}

int sys_exe_dir(char *ret_dir, size_t cap)
{
	char path[4096], *slash;
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n < 0)
		return -errno;
	if ((size_t)n >= sizeof(path) - 1)
		return -ENAMETOOLONG;
	path[n] = 0;
	slash = strrchr(path, '/');
	if (!slash)
		return -ENOENT;
	*slash = 0;
	n = slash - path;
	if ((size_t)n >= cap)
		return -ENAMETOOLONG;
	memcpy(ret_dir, path, (size_t)n + 1);
	return 0;
}

uint64_t sys_checksum(const void *p, size_t n)
{
	const unsigned char *at = p;
	uint64_t sum = 0xcbf29ce484222325ull ^ (uint64_t)n, word;

	for (; n >= sizeof(word); n -= sizeof(word), at += sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		sum = (sum ^ word) * 0x100000001b3ull;
		/* The multiplication carries upwards only; this brings the high bits back down. */
		sum ^= sum >> 47;
	}
	word = 0;
	if (n)
		memcpy(&word, at, n);
	sum = (sum ^ word) * 0x100000001b3ull;
	return sum ^ sum >> 32;
}
