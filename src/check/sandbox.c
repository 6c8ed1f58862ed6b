/*
 * sandbox.c: a process that reads untrusted text and then can do nothing with what it might become.
 *
 * Called by parse.c in its child, before the first byte is parsed. Allowed: memory, what is open,
 * the end. Anything else kills the process.
 */
#include <errno.h>
#include <seccomp.h>

#include "check.h"
#include "lib/must.h"

int sandbox_enter(void)
{
	static const int allowed[] = {SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(brk),
		SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
		SCMP_SYS(futex), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(rt_sigreturn),
		SCMP_SYS(clock_gettime), SCMP_SYS(getrandom), SCMP_SYS(getpid)};
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = f != NULL ? 0 : -ENOMEM;

	for (unsigned i = 0; i < ARRAY_LEN(allowed) && r == 0; i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, allowed[i], 0);
	if (r == 0)
		r = seccomp_load(f);
	if (f != NULL)
		seccomp_release(f);
	return r;
}
