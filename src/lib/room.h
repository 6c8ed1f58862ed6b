/*
 * room.h: how much of a file system is kept free for those who must go on when somebody fills it.
 */
#ifndef STEAD_LIB_ROOM_H
#define STEAD_LIB_ROOM_H

#include <stdint.h>
#include <sys/statvfs.h>

enum { ROOM_SHARE = 20, ROOM_FLOOR_MIN = 32 << 20, ROOM_FLOOR_MAX = 1 << 30 };

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

#endif
