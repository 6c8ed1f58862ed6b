/*
 * filter.c: the system calls that a jailed process may not make, as a program for seccomp(2).
 *
 * Called in the child by jail.c, between its new uid and its program. The program is written here,
 * from a fixed table and from numbers that ctl sent and sets.c bounded: nothing that the kernel
 * runs comes from elsewhere, and the parent needs no library for it. A call that is refused gives
 * EPERM, so that a program which only tries (Node with io_uring, Ruby with setns) goes on; only
 * another machine's calls end the process. Owns nothing.
 *
 * A filter sees registers, never memory: clone3(2) and openat2(2), whose flags lie in memory, are
 * said not to exist, and the C library takes the older call.
 */
#include "filter.h"
#include "lib/must.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
	FOREIGN_BIT = 0x40000000,
	NAMESPACES = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
		     CLONE_NEWPID | CLONE_NEWNET,
	NEWTIME = 0x80,
	SUID_BITS = S_ISUID | S_ISGID,
};

/* Kept from everybody: what changes the machine, looks into other processes, or is known for holes.
 */
static const uint16_t denied[] = {SYS_acct, SYS_add_key, SYS_adjtimex, SYS_bpf, SYS_chroot,
	SYS_clock_adjtime, SYS_clock_settime, SYS_delete_module, SYS_fanotify_init,
	SYS_finit_module, SYS_fsconfig, SYS_fsmount, SYS_fsopen, SYS_fspick, SYS_init_module,
	SYS_io_uring_enter, SYS_io_uring_register, SYS_io_uring_setup, SYS_kcmp,
	SYS_kexec_file_load, SYS_kexec_load, SYS_keyctl, SYS_lookup_dcookie, SYS_mount,
	SYS_mount_setattr, SYS_move_mount, SYS_move_pages, SYS_open_by_handle_at, SYS_open_tree,
	SYS_perf_event_open, SYS_pidfd_getfd, SYS_pivot_root, SYS_process_madvise,
	SYS_process_vm_readv, SYS_process_vm_writev, SYS_ptrace, SYS_quotactl, SYS_quotactl_fd,
	SYS_reboot, SYS_request_key, SYS_setdomainname, SYS_sethostname, SYS_setns,
	SYS_settimeofday, SYS_swapoff, SYS_swapon, SYS_syslog, SYS_umount2, SYS_userfaultfd,
	SYS_vhangup};

static const struct filter_mode_call modes[] = {{SYS_fchmod, 1, 0}, {SYS_fchmodat, 2, 0},
	{452 /* fchmodat2 */, 2, 0}, {SYS_mkdirat, 2, 0}, {SYS_mknodat, 2, 0}, {SYS_openat, 3, 2}};

static void add(struct filter *f, struct sock_filter one)
{
	must(f->n < FILTER_MAX);
	f->code[f->n++] = one;
}

static void load(struct filter *f, size_t offset)
{
	add(f, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

/* The low half: every argument that is looked at here has 32 bits. */
static void load_arg(struct filter *f, unsigned i)
{
	load(f, offsetof(struct seccomp_data, args) + i * sizeof(uint64_t));
}

static void ret(struct filter *f, uint32_t action)
{
	add(f, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

static uint32_t refuse(int e)
{
	return SECCOMP_RET_ERRNO | ((uint32_t)e & SECCOMP_RET_DATA);
}

/* When it is that call, go on behind this; else over the next `skip` instructions, which end with a
 * return. */
static unsigned begin_call(struct filter *f, uint16_t number)
{
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 0));
	return f->n - 1;
}

static void end_call(struct filter *f, unsigned at)
{
	unsigned skip = f->n - at - 1;

	must(skip <= UINT8_MAX);
	f->code[at].jf = (uint8_t)skip;
}

static void deny(struct filter *f, uint16_t number, int e)
{
	unsigned at = begin_call(f, number);

	ret(f, refuse(e));
	end_call(f, at);
}

/* … when one of these bits is set in its argument. */
static void deny_bits(struct filter *f, uint16_t number, unsigned arg, uint32_t bits, int e)
{
	unsigned at = begin_call(f, number);

	load_arg(f, arg);
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1));
	ret(f, refuse(e));
	ret(f, SECCOMP_RET_ALLOW);
	end_call(f, at);
}

/* … when both of these bits are set in it. */
static void deny_both(struct filter *f, uint16_t number, unsigned arg, uint32_t bits)
{
	unsigned at = begin_call(f, number);

	load_arg(f, arg);
	add(f, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, bits));
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, bits, 0, 1));
	ret(f, refuse(EPERM));
	ret(f, SECCOMP_RET_ALLOW);
	end_call(f, at);
}

/* Files that would run as their owner: by mode; of open(2) only where it makes the file. */
static void deny_suid(struct filter *f, const struct filter_mode_call *c)
{
	unsigned at = begin_call(f, c->number);

	if (c->flags_at != 0) {
		load_arg(f, c->flags_at);
		add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_CREAT, 1, 0));
		ret(f, SECCOMP_RET_ALLOW);
	}
	load_arg(f, c->mode_at);
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, SUID_BITS, 0, 1));
	ret(f, refuse(EPERM));
	ret(f, SECCOMP_RET_ALLOW);
	end_call(f, at);
}

/* Only these families; of netlink, where nobody asked for it, only what tells of addresses and
 * routes. */
static void only_families(struct filter *f, const struct msg_jail *j)
{
	static const uint64_t base = 1ULL << AF_UNIX | 1ULL << AF_INET | 1ULL << AF_INET6;
	bool asked = j != NULL && (j->has & JAIL_HAS_FAMILIES) != 0;
	uint64_t families = asked ? j->families : base;
	unsigned at = begin_call(f, SYS_socket);

	load_arg(f, 0);
	for (unsigned i = 0; i < 64; i++)
		if ((families >> i & 1) != 0) {
			add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, i, 0, 1));
			ret(f, SECCOMP_RET_ALLOW);
		}
	if (!asked) {
		add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 0, 3));
		load_arg(f, 2);
		add(f, (struct sock_filter)BPF_JUMP(
			       BPF_JMP | BPF_JEQ | BPF_K, 0 /* NETLINK_ROUTE */, 0, 1));
		ret(f, SECCOMP_RET_ALLOW);
	}
	ret(f, refuse(EAFNOSUPPORT));
	end_call(f, at);
}

/* personality(2) only to ask, or to say what it is. */
static void lock_personality(struct filter *f)
{
	unsigned at = begin_call(f, SYS_personality);

	load_arg(f, 0);
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0));
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0xffffffff, 0, 1));
	ret(f, SECCOMP_RET_ALLOW);
	ret(f, refuse(EPERM));
	end_call(f, at);
}

/* Blocks that nobody wrote would be nobody's doing (disk.c); giving some back is fine. The C library's posix_fallocate(3)
 * writes them instead. */
static void deny_allocation(struct filter *f)
{
	unsigned at = begin_call(f, SYS_fallocate);

	load_arg(f, 1);
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K,
		       FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE, 1, 0));
	ret(f, refuse(EOPNOTSUPP));
	ret(f, SECCOMP_RET_ALLOW);
	end_call(f, at);
}

/* ioctl(2)s that put words into a terminal as if its user had typed them. */
static void deny_typing(struct filter *f)
{
	unsigned at = begin_call(f, SYS_ioctl);

	load_arg(f, 1);
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCSTI, 1, 0));
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCLINUX, 0, 1));
	ret(f, refuse(EPERM));
	ret(f, SECCOMP_RET_ALLOW);
	end_call(f, at);
}

static void deny_realtime(struct filter *f)
{
	static const uint32_t good[] = {SCHED_OTHER, SCHED_BATCH, SCHED_IDLE};
	unsigned at = begin_call(f, SYS_sched_setscheduler);

	load_arg(f, 1);
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, good[i], 0, 1));
		ret(f, SECCOMP_RET_ALLOW);
	}
	ret(f, refuse(EPERM));
	end_call(f, at);
}

static void head(struct filter *f)
{
	f->n = 0;
	load(f, offsetof(struct seccomp_data, arch));
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, filter_own_arch, 1, 0));
	ret(f, SECCOMP_RET_KILL_PROCESS);
	load(f, offsetof(struct seccomp_data, nr));
	/* The numbers of x32, by which each call could be made under another name; nobody else has
	 * that many. */
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, FOREIGN_BIT, 0, 1));
	ret(f, refuse(ENOSYS));
}

void filter_base(struct filter *f, const struct msg_jail *j)
{
	uint32_t flags = j != NULL ? j->flags : 0;
	uint32_t spaces = NAMESPACES | NEWTIME;

	if (j != NULL && (j->has & JAIL_HAS_NAMESPACES) != 0)
		spaces &= ~j->namespaces;
	head(f);
	for (size_t i = 0; i < ARRAY_LEN(denied); i++)
		if (denied[i] != SYS_setns || (spaces & NAMESPACES) == NAMESPACES)
			deny(f, denied[i], EPERM);
	for (size_t i = 0; i < filter_own_calls_n; i++)
		deny(f, filter_own_calls[i], EPERM);
	/* The bit of NEWTIME is a signal's number in clone(2). */
	if (spaces != 0) {
		deny_bits(f, SYS_clone, 0, spaces & NAMESPACES, EPERM);
		deny_bits(f, SYS_unshare, 0, spaces, EPERM);
		deny(f, SYS_clone3, ENOSYS);
	}
	if (j != NULL) /* our own open files of others beneath a folder by it */
		deny(f, SYS_openat2, ENOSYS);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		deny_suid(f, &modes[i]);
	for (size_t i = 0; i < filter_own_modes_n; i++)
		deny_suid(f, &filter_own_modes[i]);
	only_families(f, j);
	lock_personality(f);
	deny_typing(f);
	if (j != NULL)
		deny_allocation(f);
	if (j == NULL || (j->limits & 1U << 14 /* RLIMIT_RTPRIO */) == 0)
		deny_realtime(f);
	if ((flags & JAIL_DENY_EXEC_WRITE) != 0) {
		deny_both(f, SYS_mmap, 2, PROT_EXEC | PROT_WRITE);
		deny_bits(f, SYS_mprotect, 2, PROT_EXEC, EPERM);
		deny_bits(f, SYS_pkey_mprotect, 2, PROT_EXEC, EPERM);
		deny_bits(f, SYS_shmat, 2, 0100000 /* SHM_EXEC */, EPERM);
	}
	ret(f, SECCOMP_RET_ALLOW);
}

void filter_calls(struct filter *f, const struct msg_jail *j, const uint32_t *calls)
{
	bool only = j->call_mode == JAIL_CALLS_ONLY;
	uint32_t other = j->call_errno != 0 ? refuse((int)j->call_errno) : SECCOMP_RET_KILL_PROCESS;

	f->n = 0;
	if (j->call_mode == JAIL_CALLS_ANY)
		return;
	head(f);
	for (uint32_t i = 0; i < j->calls; i++) {
		uint32_t e = calls[i] >> 16;
		unsigned at = begin_call(f, (uint16_t)calls[i]);

		ret(f, e != 0 ? refuse((int)e) : only ? SECCOMP_RET_ALLOW : other);
		end_call(f, at);
	}
	ret(f, only ? other : SECCOMP_RET_ALLOW);
}

int filter_install(const struct filter *f)
{
	struct sock_fprog prog = {
		.len = (unsigned short)f->n, .filter = (struct sock_filter *)f->code};

	if (f->n == 0)
		return 0;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0 ? -errno : 0;
}
