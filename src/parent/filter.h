/*
 * filter.h: the system calls that a jailed process may not make (filter.c), as classic BPF for
 * seccomp(2).
 */
#ifndef STEAD_PARENT_FILTER_H
#define STEAD_PARENT_FILTER_H

#include "tbl/tbl.h"
#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

enum { FILTER_MAX = 4096 }; /* BPF_MAXINSNS */

struct filter {
	unsigned n;
	struct sock_filter code[FILTER_MAX];
};

/* Calls that only some kinds of machine have: chosen by Meson. */
extern const uint32_t filter_own_arch; /* AUDIT_ARCH_* */
extern const uint16_t filter_own_calls[];
extern const size_t filter_own_calls_n;
/* chmod(2), mkdir(2), open(2) and their like on such a machine: number, place of the mode, place of
 * the flags or 0. */
struct filter_mode_call {
	uint16_t number;
	uint8_t mode_at, flags_at;
};
extern const struct filter_mode_call filter_own_modes[];
extern const size_t filter_own_modes_n;

/* What every jailed process is kept from; j: an app's wishes, or NULL for a process of stead's own.
 */
void filter_base(struct filter *f, const struct msg_jail *j);
/* SystemCallFilter=: calls[] as msg_jail has them. Nothing is made when there is none. */
void filter_calls(struct filter *f, const struct msg_jail *j, const uint32_t *calls);
/* Into the kernel, for this process and what it starts; no_new_privs is set before. 0 or -errno. */
int filter_install(const struct filter *f);

#endif
