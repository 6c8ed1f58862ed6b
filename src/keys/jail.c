/*
 * jail.c: what keys gives up when it has all that it needs: being looked into by others of its
 * user, core dumps, memory that may be swapped out, and every system call but those of messages,
 * memory, time and the end (libseccomp). Called once, when START came.
 */
#include "keys.h"

#include "aide/aide.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static const int more[] = {
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(ftruncate),
	SCMP_SYS(memfd_create),
	SCMP_SYS(mlock),
};

/* All memory, also what comes later, where the limit allows so much; else what there is now. */
static bool lock_memory(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_MEMLOCK, &lim) < 0)
		return false;
	lim.rlim_cur = lim.rlim_max;
	(void)setrlimit(RLIMIT_MEMLOCK, &lim);
	if (lim.rlim_cur == RLIM_INFINITY)
		return mlockall(MCL_CURRENT | MCL_FUTURE) == 0;
	/* What will come could fail for the limit; what there is, with the secret in it, may fit.
	 */
	(void)mlockall(MCL_CURRENT);
	return false;
}

int keys_jail_close(uint32_t *ret_guards)
{
	struct rlimit none = {0, 0};

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
	*ret_guards = lock_memory() ? KEYS_LOCKED : 0;
	if (aide_filter(&(struct aide_filter){.more = more, .n = sizeof(more) / sizeof(more[0])}) ==
		0)
		*ret_guards |= KEYS_FILTERED;
	/* A kernel without filters is rare and no reason not to serve; ctl says what is off. */
	return 0;
}
