/*
 * filter_x86_64.c: system calls that filter.c keeps from jailed processes and that x86-64 alone
 * has: those of its ports and segments, and those that newer machines have left behind. Constant
 * data.
 */
#include "filter.h"
#include "lib/must.h"
#include <linux/audit.h>
#include <sys/syscall.h>

const uint32_t filter_own_arch = AUDIT_ARCH_X86_64;
const uint16_t filter_own_calls[] = {SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_uselib, SYS_ustat,
	SYS_sysfs, SYS__sysctl, SYS_create_module, SYS_get_kernel_syms, SYS_query_module,
	SYS_nfsservctl, SYS_afs_syscall, SYS_getpmsg, SYS_putpmsg, SYS_security, SYS_tuxcall,
	SYS_vserver};
const size_t filter_own_calls_n = ARRAY_LEN(filter_own_calls);

const struct filter_mode_call filter_own_modes[] = {{SYS_chmod, 1, 0}, {SYS_mkdir, 1, 0},
	{SYS_mknod, 1, 0}, {SYS_creat, 1, 0}, {SYS_open, 2, 1}};
const size_t filter_own_modes_n = ARRAY_LEN(filter_own_modes);
