/*
 * inodes.h: an app that uses up the inodes of the file system of stead's state: inodes.c. Part of disk.h.
 */
#ifndef STEAD_PARENT_INODES_H
#define STEAD_PARENT_INODES_H

#include <stdbool.h>
#include <stdint.h>

struct msg;
struct parent;
struct statvfs;

/* Who made files is counted in so many ms at most (act/made.c, ctl), then nobody answers any more. */
enum { INODES_ANSWER_MS = 30 * 1000, INODES_RESERVE_MAX = 1024 };

/* What a look is to be followed by, together. */
enum inodes_do {
	INODES_SAY_LOW = 1,
	INODES_SAY_FINE = 2,
	INODES_ASK = 4,     /* who made them */
	INODES_GIVE_UP = 8, /* the reserve */
};
struct inodes {
	bool counted; /* this file system counts them */
	bool low;
	uint64_t floor;
	/* When there was much still, and how many; what went since then is somebody's doing. */
	uint64_t mark_ms, mark_free;
	uint64_t last_free;
	uint64_t asked_ms; /* an answer is waited for; 0: none is */
	int reserve_fd;    /* STATE/reserve.inodes; -1: there is none */
	uint64_t reserve;  /* files in it */
};

/* ---- the decisions, which touch nothing else ---- */
void inodes_begin(struct inodes *d, uint64_t total, uint64_t left, uint64_t now_ms);
/* So many are left by now: enum inodes_do. now_ms is not 0. */
unsigned inodes_judge(struct inodes *d, uint64_t total, uint64_t left, uint64_t now_ms);
/* How many an app must have made of those that went since the mark, to be ended. */
uint64_t inodes_enough(const struct inodes *d, uint64_t left);
/* Is it worth to look again soon? */
bool inodes_near(const struct inodes *d, uint64_t left, uint64_t lost);
/* It is known who made them, or that nobody did: what goes from now on counts anew. */
void inodes_answered(struct inodes *d, uint64_t left, uint64_t now_ms);

/* ---- called by disk.c ---- */
void inodes_init(struct parent *p, const struct statvfs *v);
/* True: look again soon; *ret_lost: how many went since the look before. */
bool inodes_look(struct parent *p, const struct statvfs *v, uint64_t *ret_lost);
void inodes_done(struct parent *p);
/* DISK_MADE of ctl. */
void inodes_heard(struct parent *p, struct msg *m);

#endif
