/*
 * jail.h: the system calls that a serving gate may make.
 */
#ifndef STEAD_GATE_JAIL_H
#define STEAD_GATE_JAIL_H

/* From here on nothing else. 0 or -errno; without the kernel's support -ENOSYS. For ever. */
int jail_close(void);

#endif
