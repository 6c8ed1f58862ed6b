/*
 * landlock.c: what Landlock (landlock(7)) can do here.
 *
 * Called by limits.c for `stead status`. Owns nothing.
 */
#include "parent.h"
#include <sys/syscall.h>
#include <unistd.h>

enum { CREATE_RULESET_VERSION = 1 };

int jail_landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

	return abi > 0 ? (int)abi : 0;
}
