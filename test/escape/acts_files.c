/*
 * acts_files.c: forbidden acts on files, sockets in the file system, devices, /proc and /sys.
 */
#include "escape.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

static int open_it(int flags, const char *fmt, const char *a)
{
	char path[4096];

	snprintf(path, sizeof(path), fmt, a);
	int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return errno;
	/* Some of /proc can be opened and not read. */
	char byte;
	if ((flags & O_ACCMODE) == O_RDONLY && (flags & O_DIRECTORY) == 0 && read(fd, &byte, 1) < 0)
		return errno;
	return 0;
}

static int open_proc(int flags, int pid, const char *name)
{
	char path[100];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return open_it(flags, "%s", path);
}

static int dial(const char *fmt, const char *a)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	snprintf(addr.sun_path, sizeof(addr.sun_path), fmt, a);
	return connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? errno : 0;
}

#define READ(NAME, FMT, WHAT)                                                                      \
	static int NAME(const struct targets *t)                                                   \
	{                                                                                          \
		(void)t;                                                                           \
		return open_it(O_RDONLY, FMT, WHAT);                                               \
	}
#define WRITE(NAME, FMT, WHAT)                                                                     \
	static int NAME(const struct targets *t)                                                   \
	{                                                                                          \
		(void)t;                                                                           \
		return open_it(O_WRONLY, FMT, WHAT);                                               \
	}
#define MAKE(NAME, FMT, WHAT)                                                                      \
	static int NAME(const struct targets *t)                                                   \
	{                                                                                          \
		(void)t;                                                                           \
		return open_it(O_WRONLY | O_CREAT, FMT, WHAT);                                     \
	}
#define PROC(NAME, FLAGS, PID, FILE)                                                               \
	static int NAME(const struct targets *t)                                                   \
	{                                                                                          \
		(void)t;                                                                           \
		return open_proc(FLAGS, PID, FILE);                                                \
	}

READ(read_other_app, "%s/data", t->victim)
WRITE(write_other_app, "%s/data", t->victim)
READ(list_other_app, "%s", t->victim)
MAKE(add_to_other_app, "%s/new", t->victim)
READ(read_state_db, "%s/state.db", t->state)
WRITE(write_state_db, "%s/state.db", t->state)
READ(read_key_secret, "%s/keys/secret", t->state)
MAKE(add_to_state, "%s/escape", t->state)
WRITE(write_reserve, "%s/reserve", t->state)
READ(read_home, "%s", t->home)
READ(read_shadow, "%s", "/etc/shadow")
WRITE(write_passwd, "%s", "/etc/passwd")
READ(read_operators_conf, "%s", "/etc/stead/stead.conf")
WRITE(write_operators_conf, "%s", "/etc/stead/stead.conf")
MAKE(add_site, "%s", "/etc/stead/sites/escape.conf")
MAKE(add_to_etc, "%s", "/etc/escape")
MAKE(add_to_bin, "%s", "/usr/bin/escape")
MAKE(add_to_root, "%s", "/escape")
MAKE(add_cron_job, "%s", "/etc/cron.d/escape")
MAKE(add_unit, "%s", "/run/systemd/system/escape.service")
WRITE(write_role, "%s/stead-parent", t->roles)
MAKE(add_role, "%s/escape", t->roles)
WRITE(write_memory_device, "%s", "/dev/mem")
READ(read_memory_device, "%s", "/dev/mem")
READ(read_disk, "%s", "/dev/vda")
WRITE(write_kernel_log, "%s", "/dev/kmsg")
READ(read_kernel_log, "%s", "/proc/kmsg")
READ(read_kernel_memory, "%s", "/proc/kcore")
WRITE(write_core_pattern, "%s", "/proc/sys/kernel/core_pattern")
WRITE(write_sysctl, "%s", "/proc/sys/net/ipv4/ip_forward")
WRITE(write_sysrq, "%s", "/proc/sysrq-trigger")
WRITE(write_sys, "%s", "/sys/kernel/mm/transparent_hugepage/enabled")
WRITE(write_sys_power, "%s", "/sys/power/state")
WRITE(leave_cgroup, "%s", "/sys/fs/cgroup/cgroup.procs")
WRITE(leave_cgroup_v1, "%s", "/sys/fs/cgroup/memory/cgroup.procs")
WRITE(leave_cgroup_unified, "%s", "/sys/fs/cgroup/unified/cgroup.procs")
READ(read_debugfs, "%s", "/sys/kernel/debug/sched/debug")
PROC(read_init_environ, O_RDONLY, 1, "environ")
PROC(read_init_memory, O_RDONLY, 1, "mem")
PROC(reach_init_root, O_RDONLY | O_DIRECTORY, 1, "root/etc")
PROC(read_parent_environ, O_RDONLY, t->parent, "environ")
PROC(read_parent_memory, O_RDONLY, t->parent, "mem")
PROC(write_parent_memory, O_RDWR, t->parent, "mem")
PROC(list_parent_descriptors, O_RDONLY | O_DIRECTORY, t->parent, "fd")
PROC(take_parent_descriptor, O_RDWR, t->parent, "fd/5")
PROC(read_other_environ, O_RDONLY, t->other, "environ")
PROC(read_other_maps, O_RDONLY, t->other, "maps")
PROC(read_other_memory, O_RDONLY, t->other, "mem")
PROC(spare_other, O_WRONLY, t->other, "oom_score_adj")

static int see_other(const struct targets *t)
{
	return open_proc(O_RDONLY, t->other, "cmdline");
}

static int connect_control(const struct targets *t)
{
	return dial("%s", t->control);
}

static int connect_other_database(const struct targets *t)
{
	return dial("%s/db.sock", t->victim);
}

static int make_disk(const struct targets *t)
{
	static const char *const at[] = {"/tmp/disk", "/dev/shm/disk", "disk"};
	int e = 0;

	(void)t;
	for (size_t i = 0; i < sizeof(at) / sizeof(*at); i++) {
		if (mknod(at[i], S_IFBLK | 0600, makedev(254, 0)) == 0)
			return 0;
		e = errno;
	}
	return e;
}

static int link_shadow(const struct targets *t)
{
	(void)t;
	return link("/etc/shadow", "/tmp/shadow") < 0 ? errno : 0;
}

static int make_setuid_file(const struct targets *t)
{
	char path[] = "/tmp/suidXXXXXX";
	int fd = mkstemp(path);

	(void)t;
	if (fd < 0)
		fd = open("own-suid", O_CREAT | O_RDWR, 0700);
	if (fd < 0)
		return errno;
	return fchmod(fd, 04755) < 0 ? errno : 0;
}

static int remove_role(const struct targets *t)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/stead-parent", t->roles);
	return unlink(path) < 0 ? errno : 0;
}

#define ROW(NAME)                                                                                  \
	{                                                                                          \
#NAME, NAME, 0                                                                     \
	}
const struct act acts_files[] = {ROW(read_other_app), ROW(write_other_app), ROW(list_other_app),
	ROW(add_to_other_app), ROW(connect_other_database), ROW(read_state_db), ROW(write_state_db),
	ROW(read_key_secret), ROW(add_to_state),
	ROW(write_reserve), ROW(connect_control), ROW(read_home),
	ROW(read_shadow), ROW(write_passwd), ROW(read_operators_conf),
	ROW(write_operators_conf), ROW(add_site), ROW(add_to_etc), ROW(add_to_bin), ROW(add_to_root),
	ROW(add_cron_job), ROW(add_unit), ROW(write_role), ROW(add_role), ROW(remove_role),
	ROW(write_memory_device), ROW(read_memory_device), ROW(read_disk), ROW(make_disk),
	ROW(write_kernel_log), ROW(read_kernel_log), ROW(read_kernel_memory),
	ROW(write_core_pattern), ROW(write_sysctl), ROW(write_sysrq), ROW(write_sys),
	ROW(write_sys_power), ROW(leave_cgroup), ROW(leave_cgroup_v1), ROW(leave_cgroup_unified),
	ROW(read_debugfs), ROW(read_init_environ), ROW(read_init_memory), ROW(reach_init_root),
	ROW(read_parent_environ), ROW(read_parent_memory), ROW(write_parent_memory),
	ROW(list_parent_descriptors), ROW(take_parent_descriptor), ROW(see_other),
	ROW(read_other_environ), ROW(read_other_maps), ROW(read_other_memory), ROW(spare_other),
	ROW(link_shadow), ROW(make_setuid_file)};
const size_t acts_files_n = sizeof(acts_files) / sizeof(*acts_files);
