/*
 * filter_aarch64.c: arm64 has the common system calls alone: there is next to nothing to add to
 * filter.c. Constant data.
 */
#include "filter.h"
#include <linux/audit.h>
#include <sys/syscall.h>

const uint32_t filter_own_arch = AUDIT_ARCH_AARCH64;
const uint16_t filter_own_calls[] = {SYS_nfsservctl};
const size_t filter_own_calls_n = 1;
const struct filter_mode_call filter_own_modes[1] = {{SYS_fchmod, 1, 0}};
const size_t filter_own_modes_n = 0;
