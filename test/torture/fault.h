/*
 * fault.h: makes the Nth call of the program under test fail.
 *
 * Linked into test programs only: the linker leads every allocation and system call of stead's own
 * objects through fault.c (--wrap, see meson.build), so that the released programs contain nothing
 * of it. Calls that the C library makes for itself are not counted.
 */
#ifndef STEAD_TEST_TORTURE_FAULT_H
#define STEAD_TEST_TORTURE_FAULT_H

#include <stdbool.h>

enum fault_kind {
	FAULT_HARD,  /* the call's worst answer: no memory, no descriptor left, an error of the
			device */
	FAULT_EINTR, /* a signal came first; only calls that a signal can interrupt are counted */
	FAULT_KINDS
};

/* From now on count calls and let the nth of them (from 1) fail, once. 0: count only. */
void fault_arm(unsigned nth, enum fault_kind kind);
/* Stop counting. Did the fault come? */
bool fault_disarm(void);
/* Between true and false no call is counted: what a case does for itself. */
void fault_hold(bool on);
/* The name of the call that failed last. */
const char *fault_name(void);
/* Blocks that stead's objects allocated and did not free. */
long fault_blocks(void);

#endif
