/*
 * disk.h: an app that fills the disk of stead's state: disk.c. Part of parent.h.
 */
#ifndef STEAD_PARENT_DISK_H
#define STEAD_PARENT_DISK_H

#include "inodes.h"
#include "lib/loop.h"
#include <stdbool.h>
#include <stdint.h>

struct parent;

enum { DISK_WRITERS_MAX = 1024 };

/* What the processes of an app have written, as the kernel counts. */
struct disk_writer {
	uint32_t app; /* msg_jail.group */
	uint64_t before, now;
	bool hides; /* some of its processes keep theirs from being read */
	uint64_t system_before_us, system_us; /* how long it was in the kernel; 0: not known */
};
struct disk {
	struct timer timer;
	int reserve_fd; /* STATE/reserve; -1: there is none */
	bool on, low;
	uint64_t floor, reserve; /* bytes; reserve 0: it is given up, or could not be had */
	uint64_t free_last, pause_ms;
	uint64_t room_ms; /* in which what is above the floor could be used up */
	struct inodes inodes;
	struct disk_writer writer[DISK_WRITERS_MAX];
	unsigned n;
};

/* As root, when p->state_dir and the loop are there. */
void disk_init(struct parent *p);
/* How much is free by now; below the floor the app that took it is ended, and ctl told (DISK). Also called by the
 * watchdog's timer, so that a quiet server wakes up for nothing else. */
void disk_look(struct parent *p);
void disk_done(struct parent *p);
/* Which app wrote most of `lost` bytes that went since the look before; NULL: none wrote a quarter. */
const struct disk_writer *disk_most(const struct disk *d, uint64_t lost);
/* All processes of that app are killed. */
void disk_end_app(struct parent *p, uint32_t app);
op_done disk_on_timer;

#endif
