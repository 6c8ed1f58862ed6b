/*
 * room.h: how much of a file system is kept free for those who must go on when somebody fills it: bytes, and inodes.
 */
#ifndef STEAD_LIB_ROOM_H
#define STEAD_LIB_ROOM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/statvfs.h>

enum { ROOM_SHARE = 20, ROOM_FLOOR_MIN = 32 << 20, ROOM_FLOOR_MAX = 1 << 30 };
/* With the smaller share of a small file system. The most is what one process makes in some seconds. */
enum { ROOM_INODES_MIN = 1024, ROOM_INODES_MIN_SHARE = 8, ROOM_INODES_MAX = 128 << 10 };

/* Of `total` bytes: a twentieth, at least 32 MB and at most 1 GB. With less than that free it counts as full. */
static inline uint64_t room_floor(uint64_t total)
{
	uint64_t floor = total / ROOM_SHARE;

	return floor < ROOM_FLOOR_MIN ? ROOM_FLOOR_MIN : floor > ROOM_FLOOR_MAX ? ROOM_FLOOR_MAX : floor;
}

static inline uint64_t room_total(const struct statvfs *v)
{
	return (uint64_t)v->f_blocks * v->f_frsize;
}

/* For who is not root. */
static inline uint64_t room_free(const struct statvfs *v)
{
	return (uint64_t)v->f_bavail * v->f_frsize;
}

/* One that makes inodes as they are needed (btrfs, tmpfs with nr_inodes=0) says 0 of 0: only its bytes can be used up. */
static inline bool room_counts_inodes(const struct statvfs *v)
{
	return v->f_files != 0;
}

/* Of `total` inodes: a twentieth, at least 1,024 (of few an eighth) and at most 131,072. With less than that free none is
 * to be had soon. */
static inline uint64_t room_inodes_floor(uint64_t total)
{
	uint64_t floor = total / ROOM_SHARE, least = total / ROOM_INODES_MIN_SHARE;

	least = least < ROOM_INODES_MIN ? least : ROOM_INODES_MIN;
	return floor < least ? least : floor > ROOM_INODES_MAX ? ROOM_INODES_MAX : floor;
}

#endif
