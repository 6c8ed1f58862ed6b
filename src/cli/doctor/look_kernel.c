/*
 * look_kernel.c: what the kernel has for isolation, and which PostgreSQL is installed.
 */
#include "doctor.h"

#include <dirent.h>
#include <errno.h>
#include <linux/sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Each is asked with arguments that are refused for another reason than being unknown. */
static bool known(long r)
{
	return r >= 0 || errno != ENOSYS;
}

void look_kernel(struct doctor *d)
{
	static const char *const controllers[] = {"memory", "cpu", "pids", "io"};
	long landlock = syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* its version */);
	long pidfd = syscall(SYS_pidfd_open, getpid(), 0), secret = syscall(SYS_memfd_secret, 0);
	char lacks[200] = "", missing[64] = "", *v2, *v1;
	bool pure;

	(void)snprintf(lacks, sizeof lacks, "%s%s%s%s%s%s", landlock > 0 ? "" : "Landlock, ", pidfd >= 0 ? "" : "pidfd, ",
		secret >= 0 ? "" : "memfd_secret (secretmem.enable=1), ", known(syscall(SYS_clone3, NULL, 0)) ? "" : "clone3, ",
		prctl(PR_GET_SECCOMP) >= 0 ? "" : "seccomp, ",
		known(syscall(SYS_mount_setattr, -1, "", 0, NULL, 0)) ? "" : "mount_setattr, ");
	if (pidfd >= 0)
		(void)close((int)pidfd);
	if (secret >= 0)
		(void)close((int)secret);
	if (*lacks)
		lacks[strlen(lacks) - 2] = '\0';
	if (*lacks)
		found(d, FINDING_KERNEL_LACKS, NULL, "%s", lacks);
	else
		found(d, FINDING_KERNEL_OK, NULL, "Landlock %ld, pidfd, clone3, memfd_secret, seccomp", landlock);
	v2 = doctor_text("/sys/fs/cgroup/cgroup.controllers");
	v1 = doctor_text("/proc/cgroups");
	pure = *v2 != '\0';
	for (size_t i = 0; i < ARRAY_LEN(controllers); i++) {
		char path[64];

		/* On v1 each has a tree of its own; io is called blkio there. */
		(void)snprintf(path, sizeof path, "/sys/fs/cgroup/%s", strcmp(controllers[i], "io") == 0 ? "blkio" : controllers[i]);
		if (pure ? strstr(v2, controllers[i]) == NULL : access(path, F_OK) < 0)
			(void)snprintf(missing + strlen(missing), sizeof missing - strlen(missing), "%s%s", *missing ? ", " : "",
				controllers[i]);
	}
	found(d, *missing ? FINDING_CGROUP_LACKS : FINDING_CGROUP_OK, NULL, "%s%s%s", pure ? "v2" : *v1 ? "v1 or hybrid" : "none",
		*missing ? ", without " : ", with memory, cpu, pids, io", missing);
	free(v1);
	free(v2);
}

void look_postgres(struct doctor *d)
{
	const json_t *db = json_object_get(d->status, "database");
	const char *state = json_string_value(json_object_get(db, "state")), *name = json_string_value(json_object_get(db, "name"));
	DIR *dir = opendir("/usr/lib/postgresql");
	char mem[80];
	struct buf versions;
	struct dirent *e;

	buf_fixed(&versions, mem, sizeof mem);
	while (dir && (e = readdir(dir)) != NULL) {
		char path[300];

		(void)snprintf(path, sizeof path, "/usr/lib/postgresql/%s/bin/postgres", e->d_name);
		if (e->d_name[0] != '.' && access(path, X_OK) == 0 && versions.len + strlen(e->d_name) + 3 < sizeof mem)
			buf_printf(&versions, "%s%s", versions.len ? ", " : "", e->d_name);
	}
	if (dir)
		(void)closedir(dir);
	if (versions.len)
		found(d, FINDING_POSTGRES_OK, NULL, "%s%s%s%s", buf_str(&versions), state ? "; the app's database " : "", state && name ? name : "",
			state && strcmp(state, "running") == 0 ? " runs" : "");
	else
		found(d, FINDING_POSTGRES_NONE, NULL, "%s", "/usr/lib/postgresql");
	if (state && strcmp(state, "running") != 0)
		found(d, FINDING_POSTGRES_DOWN, NULL, "%s", name ? name : "");
}
