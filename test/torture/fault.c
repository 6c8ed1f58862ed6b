/*
 * fault.c: the calls that can be made to fail: __wrap_X is what a test program's objects reach
 * instead of X, __real_X is X. Owns one counter, which the linker's wrapping leaves no other place
 * for.
 *
 * A whole process is armed by its environment before main(): STEAD_FAULT_NTH, STEAD_FAULT_KIND
 * (hard, eintr). What failed is told on standard error as "fault: N NAME". close() and munmap()
 * always do their work: a caller could not try again. epoll_wait() is only ever interrupted,
 * because without it a process has nothing left to do.
 */
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static struct {
	unsigned nth, calls;
	enum fault_kind kind;
	const char *name;
	bool armed, held, hit, tell;
	long blocks;
} fault;

ssize_t __real_write(int fd, const void *p, size_t n);

void fault_arm(unsigned nth, enum fault_kind kind)
{
	fault.nth = nth;
	fault.kind = kind;
	fault.calls = 0;
	fault.hit = false;
	fault.armed = true;
}

bool fault_disarm(void)
{
	fault.armed = false;
	return fault.hit;
}

void fault_hold(bool on)
{
	fault.held = on;
}

const char *fault_name(void)
{
	return fault.name ? fault.name : "nothing";
}

long fault_blocks(void)
{
	return fault.blocks;
}

__attribute__((constructor)) static void arm_by_environment(void)
{
	const char *nth = getenv("STEAD_FAULT_NTH"), *kind = getenv("STEAD_FAULT_KIND");

	if (!nth)
		return;
	fault.tell = true;
	fault_arm((unsigned)strtoul(nth, NULL, 10),
		kind && strcmp(kind, "eintr") == 0 ? FAULT_EINTR : FAULT_HARD);
}

/* hard or eintr 0: the call cannot fail in that way. */
static bool fails(const char *name, int hard, int eintr)
{
	int err = fault.kind == FAULT_HARD ? hard : eintr;

	if (!fault.armed || fault.held || !err || ++fault.calls != fault.nth)
		return false;
	fault.hit = true;
	fault.name = name;
	if (fault.tell) {
		char text[64];
		int n = snprintf(text, sizeof(text), "fault: %u %s\n", fault.nth, name);
		ssize_t ignored = __real_write(STDERR_FILENO, text, (size_t)n);

		(void)ignored;
	}
	errno = err;
	return true;
}

/* Allocations. */

#define WRAP_ALLOC(name, params, args)                                                             \
	void *__real_##name params;                                                                \
	void *__wrap_##name params;                                                                \
	void *__wrap_##name params                                                                 \
	{                                                                                          \
		void *p = fails(#name, ENOMEM, 0) ? NULL : __real_##name args;                     \
		fault.blocks += p != NULL;                                                         \
		return p;                                                                          \
	}

WRAP_ALLOC(malloc, (size_t n), (n))
WRAP_ALLOC(calloc, (size_t n, size_t m), (n, m))
WRAP_ALLOC(strdup, (const char *s), (s))
WRAP_ALLOC(strndup, (const char *s, size_t n), (s, n))

void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n)
{
	void *q = fails("realloc", ENOMEM, 0) ? NULL : __real_realloc(p, n);

	fault.blocks += q != NULL && p == NULL;
	return q;
}

void __real_free(void *p);
void __wrap_free(void *p);
void __wrap_free(void *p)
{
	fault.blocks -= p != NULL;
	__real_free(p);
}

/* System calls: result, name, parameters, arguments, what a refusal returns, errno hard and soft.
 */

#define WRAP(type, name, params, args, bad, hard, eintr)                                           \
	type __real_##name params;                                                                 \
	type __wrap_##name params;                                                                 \
	type __wrap_##name params                                                                  \
	{                                                                                          \
		return fails(#name, hard, eintr) ? bad : __real_##name args;                       \
	}

WRAP(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n), -1, EIO, EINTR)
WRAP(ssize_t, __read_chk, (int fd, void *p, size_t n, size_t cap), (fd, p, n, cap), -1, EIO, EINTR)
WRAP(ssize_t, pread64, (int fd, void *p, size_t n, off_t at), (fd, p, n, at), -1, EIO, EINTR)
WRAP(ssize_t, __pread64_chk, (int fd, void *p, size_t n, off_t at, size_t cap), (fd, p, n, at, cap),
	-1, EIO, EINTR)
WRAP(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n), -1, ENOSPC, EINTR)
WRAP(ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n), -1, ENOSPC, EINTR)
WRAP(ssize_t, recv, (int fd, void *p, size_t n, int how), (fd, p, n, how), -1, ECONNRESET, EINTR)
WRAP(ssize_t, recvmsg, (int fd, struct msghdr *m, int how), (fd, m, how), -1, ECONNRESET, EINTR)
WRAP(ssize_t, send, (int fd, const void *p, size_t n, int how), (fd, p, n, how), -1, EPIPE, EINTR)
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *m, int how), (fd, m, how), -1, EPIPE, EINTR)
WRAP(ssize_t, sendfile64, (int fd, int file, off_t *at, size_t n), (fd, file, at, n), -1, EIO,
	EINTR)
WRAP(int, accept4, (int fd, struct sockaddr *a, socklen_t *n, int how), (fd, a, n, how), -1, EMFILE,
	EINTR)
WRAP(int, epoll_wait, (int fd, struct epoll_event *ev, int n, int ms), (fd, ev, n, ms), -1, 0,
	EINTR)
WRAP(int, epoll_create1, (int how), (how), -1, EMFILE, 0)
WRAP(int, epoll_ctl, (int ep, int op, int fd, struct epoll_event *ev), (ep, op, fd, ev), -1,
	op == EPOLL_CTL_DEL ? 0 : ENOMEM, 0)
WRAP(int, socketpair, (int a, int type, int proto, int fds[2]), (a, type, proto, fds), -1, EMFILE,
	0)
WRAP(int, pipe2, (int fds[2], int how), (fds, how), -1, EMFILE, 0)
WRAP(int, setsockopt, (int fd, int l, int o, const void *p, socklen_t n), (fd, l, o, p, n), -1,
	ENOMEM, 0)
WRAP(int, getsockopt, (int fd, int l, int o, void *p, socklen_t *n), (fd, l, o, p, n), -1, ENOMEM,
	0)
WRAP(int, shutdown, (int fd, int how), (fd, how), -1, ENOTCONN, 0)
WRAP(int, memfd_create, (const char *name, unsigned how), (name, how), -1, EMFILE, 0)
WRAP(int, ftruncate64, (int fd, off_t n), (fd, n), -1, ENOSPC, 0)
WRAP(void *, mmap64, (void *p, size_t n, int prot, int how, int fd, off_t at),
	(p, n, prot, how, fd, at), (void *)-1, ENOMEM, 0)
WRAP(int, madvise, (void *p, size_t n, int how), (p, n, how), -1, ENOMEM, 0)
WRAP(int, timerfd_create, (int clock, int how), (clock, how), -1, EMFILE, 0)
WRAP(int, fstat64, (int fd, void *st), (fd, st), -1, EIO, 0)
WRAP(int, stat64, (const char *path, void *st), (path, st), -1, EACCES, 0)
WRAP(int, statx, (int fd, const char *path, int how, unsigned mask, void *st),
	(fd, path, how, mask, st), -1, EIO, 0)
WRAP(int, fchmod, (int fd, mode_t mode), (fd, mode), -1, EIO, 0)
WRAP(int, fsync, (int fd), (fd), -1, EIO, 0)
WRAP(int, renameat, (int from, const char *a, int to, const char *b), (from, a, to, b), -1, ENOSPC,
	0)
WRAP(ssize_t, readlink, (const char *path, char *p, size_t n), (path, p, n), -1, EACCES, 0)
WRAP(ssize_t, getrandom, (void *p, size_t n, unsigned how), (p, n, how), -1, ENOSYS, EINTR)

/* Variadic ones. */

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	va_list ap;
	unsigned mode = 0;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, unsigned);
	va_end(ap);
	return fails("open64", EMFILE, 0) ? -1 : __real_open64(path, flags, mode);
}

int __real_openat64(int dir, const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...);
int __wrap_openat64(int dir, const char *path, int flags, ...)
{
	va_list ap;
	unsigned mode = 0;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, unsigned);
	va_end(ap);
	return fails("openat64", EMFILE, 0) ? -1 : __real_openat64(dir, path, flags, mode);
}

/* Declared with all that stead ever gives, in registers: what was not given is passed on unlooked
 * at. */

int __real_fcntl64(int fd, int what, ...);
int __wrap_fcntl64(int fd, int what, long arg);
int __wrap_fcntl64(int fd, int what, long arg)
{
	if (fails("fcntl64", what == F_DUPFD_CLOEXEC ? EMFILE : ENOLCK, 0))
		return -1;
	return __real_fcntl64(fd, what, arg);
}

long __real_syscall(long nr, ...);
long __wrap_syscall(long nr, long a, long b, long c, long d, long e);
long __wrap_syscall(long nr, long a, long b, long c, long d, long e)
{
	if (fails("syscall", EMFILE, nr == SYS_openat2 ? EINTR : 0))
		return -1;
	return __real_syscall(nr, a, b, c, d, e);
}
