/*
 * jail.c: a process that reads a backup which anybody may have made gives up all that reading and
 * writing does not need (libseccomp, chroot(2), capabilities). Called once by unpack.c, before the
 * first byte.
 */
#include <errno.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "aide/aide.h"
#include "lib/must.h"

#include "backup.h"

static const int reading[] = {SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(lseek)};
static const int writing[] = {SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(lseek),
	SCMP_SYS(fstatfs), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(mkdirat),
	SCMP_SYS(symlinkat), SCMP_SYS(fchown), SCMP_SYS(fchownat), SCMP_SYS(fchmod),
	SCMP_SYS(ftruncate), SCMP_SYS(utimensat), SCMP_SYS(syncfs)};

/* Of root's rights those to give things away, and to make something in what was given away. */
static int drop_rights(bool writes)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL)
			return -errno;
	if (writes)
		data[0].effective = data[0].permitted = 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE |
							1u << CAP_FOWNER | 1u << CAP_FSETID;
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

int backup_jail(int root)
{
	const struct rlimit none = {0, 0};
	struct aide_filter f = {.more = reading, .n = ARRAY_LEN(reading), .lenient = true};
	int r = 0;

	if (geteuid() == 0) {
		/* Without a folder of its own it sees none. */
		if ((root >= 0 && fchdir(root) < 0) ||
			(root < 0 && chdir("/proc/self/fdinfo") < 0) || chroot(".") < 0)
			return -errno;
		r = drop_rights(root >= 0);
	}
	if (r == 0 &&
		(setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0))
		r = -errno;
	if (r < 0)
		return r;
	if (root >= 0) {
		f.more = writing;
		f.n = ARRAY_LEN(writing);
	}
	return aide_filter(&f);
}
