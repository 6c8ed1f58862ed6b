/*
 * jail.c: what is left to resolve: datagrams and streams of the internet, and reading the files about
 * names. Called when START came, before the first question. Files are bounded by Landlock where the kernel
 * has it, system calls by seccomp.
 */
#include "resolve.h"

#include "aide/aide.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const int more[] = {
	SCMP_SYS(poll),
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendto),
	SCMP_SYS(connect),
	SCMP_SYS(getsockname),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(writev),
	SCMP_SYS(openat),
	SCMP_SYS(lseek),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(rt_sigaction),
};

static const char *const files[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf",
	"/etc/svc.conf", "/dev/urandom", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager"};

/* Nothing but those may be opened. A kernel without Landlock leaves it to the user's rights. */
static void bound_files(void)
{
	struct landlock_ruleset_attr all = {
		.handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
				     LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
				     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE};
	int set = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);

	if (set < 0)
		return;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct landlock_path_beneath_attr one = {.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE};

		one.parent_fd = open(files[i], O_PATH | O_CLOEXEC);
		if (one.parent_fd < 0)
			continue;
		(void)syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH, &one, 0);
		close(one.parent_fd);
	}
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)syscall(SYS_landlock_restrict_self, set, 0);
	close(set);
}

int resolve_jail_close(void)
{
	bound_files();
	return aide_filter(&(struct aide_filter){
		.more = more, .n = sizeof(more) / sizeof(more[0]), .internet = true, .lenient = true});
}
