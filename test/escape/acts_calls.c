/*
 * acts_calls.c: forbidden system calls: those that change the machine, make namespaces, raise
 * privileges. Each is made so that it would harm nothing where it succeeds.
 */
#include "escape.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <linux/reboot.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>
#include <grp.h>
#include <unistd.h>

static int errno_of(long r)
{
	return r < 0 ? errno : 0;
}

#define CALL(NAME, EXPRESSION)                                                                     \
	static int NAME(const struct targets *t)                                                   \
	{                                                                                          \
		(void)t;                                                                           \
		return errno_of((long)(EXPRESSION));                                               \
	}

static const gid_t root_group[1] = {0};

CALL(become_root, setuid(0))
CALL(become_root_group, setgid(0))
CALL(become_root_for_now, seteuid(0))
CALL(become_root_all, setresuid(0, 0, 0))
CALL(join_root_group, setgroups(1, root_group))
CALL(take_privileges_again,
	prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) < 0 && errno == EINVAL ? (errno = EPERM, -1) : 0)
CALL(raise_ambient, prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0))
CALL(read_bounding_set,
	prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) == 1 ? 0 : (errno = EPERM, -1))
CALL(make_user_namespace, unshare(CLONE_NEWUSER))
CALL(make_mount_namespace, unshare(CLONE_NEWNS))
CALL(make_net_namespace, unshare(CLONE_NEWNET))
CALL(make_pid_namespace, unshare(CLONE_NEWPID))
CALL(make_uts_namespace, unshare(CLONE_NEWUTS))
CALL(make_ipc_namespace, unshare(CLONE_NEWIPC))
CALL(make_cgroup_namespace, unshare(CLONE_NEWCGROUP))
CALL(make_time_namespace, unshare(0x80))
CALL(mount_tmpfs, mount("x", "/tmp", "tmpfs", 0, NULL))
CALL(mount_proc, mount("x", "/proc", "proc", 0, NULL))
CALL(unmount, umount2("/tmp", MNT_DETACH))
CALL(make_writable, mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL))
CALL(pivot, syscall(SYS_pivot_root, "/", "/"))
CALL(change_root, chroot("/"))
CALL(open_a_tree, syscall(SYS_open_tree, AT_FDCWD, "/", 1))
CALL(open_filesystem, syscall(SYS_fsopen, "tmpfs", 0))
CALL(move_a_mount, syscall(SYS_move_mount, AT_FDCWD, "/proc", AT_FDCWD, "/tmp", 0))
CALL(set_mount_attributes, syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, (uint64_t[4]){0}, 32UL))
CALL(load_module, syscall(SYS_init_module, "", 0UL, ""))
CALL(load_module_file, syscall(SYS_finit_module, 0, "", 0))
CALL(unload_module, syscall(SYS_delete_module, "no-such-module", O_NONBLOCK))
CALL(load_kernel, syscall(SYS_kexec_load, 0UL, 0UL, NULL, 0UL))
CALL(load_kernel_file, syscall(SYS_kexec_file_load, -1, -1, 0UL, "", 0UL))
CALL(restart_machine, syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
			      LINUX_REBOOT_CMD_CAD_OFF, NULL))
CALL(swap_on, syscall(SYS_swapon, "/no-such-swap", 0))
CALL(swap_off, syscall(SYS_swapoff, "/no-such-swap"))
CALL(set_host_name, sethostname("x", 1))
CALL(set_domain_name, setdomainname("x", 1))
CALL(account_processes, acct(NULL))
CALL(set_quota, syscall(SYS_quotactl, 0x800001, NULL, 0, NULL))
CALL(read_messages, syscall(SYS_syslog, 3, (char[16]){0}, 16))
CALL(hang_up, vhangup())
CALL(watch_files, syscall(SYS_fanotify_init, 0, 0))
CALL(open_by_handle, syscall(SYS_open_by_handle_at, AT_FDCWD, (uint64_t[4]){8, 0}, 0))
CALL(add_a_key, syscall(SYS_add_key, "user", "escape", "x", 1UL, -3))
CALL(join_keyring, syscall(SYS_keyctl, 1, NULL))
CALL(ask_for_key, syscall(SYS_request_key, "user", "escape", NULL, -3))
CALL(handle_page_faults, syscall(SYS_userfaultfd, 0))
CALL(make_ring, syscall(SYS_io_uring_setup, 4, (uint64_t[15]){0}))
CALL(be_another_machine, personality(ADDR_NO_RANDOMIZE))
CALL(go_before_others, setpriority(PRIO_PROCESS, 0, -20))
CALL(run_in_real_time,
	sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1}))
CALL(reach_ports, syscall(SYS_iopl, 3))
CALL(reach_one_port, syscall(SYS_ioperm, 0x80UL, 1UL, 1))
CALL(change_segments, syscall(SYS_modify_ldt, 1, (uint64_t[2]){0}, 16UL))

static int set_clock(const struct targets *t)
{
	struct timeval now;

	(void)t;
	gettimeofday(&now, NULL);
	return errno_of(settimeofday(&now, NULL));
}

static int set_clock_precisely(const struct targets *t)
{
	struct timespec now;

	(void)t;
	clock_gettime(CLOCK_REALTIME, &now);
	return errno_of(clock_settime(CLOCK_REALTIME, &now));
}

static int bend_clock(const struct targets *t)
{
	struct timex x = {.modes = ADJ_STATUS};

	(void)t;
	return errno_of(syscall(SYS_adjtimex, &x));
}

static int take_all_capabilities(const struct targets *t)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{~0U, ~0U, ~0U}, {~0U, ~0U, ~0U}};

	(void)t;
	return errno_of(syscall(SYS_capset, &head, data));
}

static int clone_user_namespace(const struct targets *t)
{
	(void)t;
	long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		_exit(0);
	return errno_of(pid);
}

static int clone3_user_namespace(const struct targets *t)
{
	struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};

	(void)t;
	long pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		_exit(0);
	return errno_of(pid);
}

static int load_bpf(const struct targets *t)
{
	struct bpf_insn code[2] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K}, {.code = BPF_JMP | BPF_EXIT}};
	union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
		.insn_cnt = 2,
		.insns = (uint64_t)(uintptr_t)code,
		.license = (uint64_t)(uintptr_t) "GPL"};

	(void)t;
	return errno_of(syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr)));
}

static int watch_processor(const struct targets *t)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK};

	(void)t;
	return errno_of(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0));
}

static int have_more_files(const struct targets *t)
{
	struct rlimit now;

	(void)t;
	getrlimit(RLIMIT_NOFILE, &now);
	now.rlim_cur = ++now.rlim_max;
	return errno_of(setrlimit(RLIMIT_NOFILE, &now));
}

static int run_setuid_program(const struct targets *t)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execl(t->suid, t->suid, "--am-i-root", (char *)NULL);
		_exit(errno == ENOENT ? 2 : 1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0   ? 0
	       : WIFEXITED(status) && WEXITSTATUS(status) == 2 ? ENOENT
							       : EPERM;
}

#define ROW(NAME)                                                                                  \
	{                                                                                          \
#NAME, NAME, 0                                                                     \
	}
const struct act acts_calls[] = {ROW(become_root), ROW(become_root_group), ROW(become_root_for_now),
	ROW(become_root_all), ROW(join_root_group), ROW(take_all_capabilities), ROW(raise_ambient),
	ROW(read_bounding_set), ROW(take_privileges_again), ROW(run_setuid_program),
	ROW(make_user_namespace), ROW(make_mount_namespace), ROW(make_net_namespace),
	ROW(make_pid_namespace), ROW(make_uts_namespace), ROW(make_ipc_namespace),
	ROW(make_cgroup_namespace), ROW(make_time_namespace), ROW(clone_user_namespace),
	ROW(clone3_user_namespace), ROW(mount_tmpfs), ROW(mount_proc), ROW(unmount),
	ROW(make_writable), ROW(pivot), ROW(change_root), ROW(open_a_tree), ROW(open_filesystem),
	ROW(move_a_mount), ROW(set_mount_attributes), ROW(load_module), ROW(load_module_file),
	ROW(unload_module), ROW(load_kernel), ROW(load_kernel_file), ROW(restart_machine),
	ROW(swap_on), ROW(swap_off), ROW(set_host_name), ROW(set_domain_name), ROW(set_clock),
	ROW(set_clock_precisely), ROW(bend_clock), ROW(account_processes), ROW(set_quota),
	ROW(read_messages), ROW(hang_up), ROW(watch_files), ROW(open_by_handle), ROW(add_a_key),
	ROW(join_keyring), ROW(ask_for_key), ROW(handle_page_faults), ROW(make_ring),
	ROW(be_another_machine), ROW(load_bpf), ROW(watch_processor), ROW(go_before_others),
	ROW(run_in_real_time), ROW(have_more_files), ROW(reach_ports), ROW(reach_one_port),
	ROW(change_segments)};
const size_t acts_calls_n = sizeof(acts_calls) / sizeof(*acts_calls);
