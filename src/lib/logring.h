/*
 * logring.h: records from a process to the log process through memory, without waiting.
 *
 * One ring per writing process: a sealed memfd that only its writer can write (rule 2), a power of two
 * in bytes, overwriting: a writer never waits for a reader that is slow or dead. Records are
 * {u32 len, u16 type, u16 flags, u64 wall_us} + bytes, padded to 8, never wrapped (a filler record ends
 * the ring). The writer publishes `head` (bytes ever written) with release order; the reader keeps its
 * own tail, reads head, copies, then reads head again: what was overwritten meanwhile is counted as
 * dropped, never used. Wake-ups: a byte into a pipe, sent once per turn and only while the reader's page
 * (written by the log process only, mapped read-only by writers) says `sleeping`.
 */
#ifndef STEAD_LIB_LOGRING_H
#define STEAD_LIB_LOGRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LOGRING_BYTES = 256 * 1024,
	LOGRING_RECORD_MAX = 16 * 1024,
	LOGRING_SLOTS = 128, /* rings that one log process reads */
};

enum logrec { LOGREC_FILLER = 0, LOGREC_EVENT = 1, LOGREC_ACCESS = 2 };

/* The reader's page: one word per ring slot, and the tail for the next log process to go on at. */
struct logring_page {
	struct {
		_Atomic uint32_t sleeping;
		uint32_t generation;
		_Atomic uint64_t tail;
	} slot[LOGRING_SLOTS];
};

struct logring_writer {
	void *map;                        /* own ring */
	int fd;                           /* to hand to the parent */
	const struct logring_page *page;  /* NULL until the log process is known: no wake-ups */
	unsigned slot;
	int wake_fd;                      /* write end, non-blocking, or -1 */
	uint64_t head;
	bool dirty;                       /* written since the last logring_flush() */
};

int logring_create(struct logring_writer *w);
/* Tell the writer of a (new) log process; takes wake_fd; maps page_fd, which stays the caller's. */
int logring_attach(struct logring_writer *w, int page_fd, unsigned slot, int wake_fd);
void logring_put(struct logring_writer *w, enum logrec type, uint64_t wall_us, const void *p, size_t n);
/* Publish and wake when needed; once per turn (loop_defer). */
void logring_flush(struct logring_writer *w);
void logring_done(struct logring_writer *w);

struct logring_reader {
	const void *map;
	uint64_t tail;
	uint64_t dropped; /* records' bytes lost by overwriting */
};
/* -EBADMSG: not a ring. tail UINT64_MAX: begin at the oldest record that is still whole. */
int logring_open(struct logring_reader *r, int fd, uint64_t tail);
/* The next record copied to mem (LOGRING_RECORD_MAX). 1 got one, 0 none, -EBADMSG the writer wrote
 * garbage (the ring is to be dropped). */
int logring_next(struct logring_reader *r, void *mem, enum logrec *ret_type, uint64_t *ret_wall_us,
	size_t *ret_n);
void logring_close(struct logring_reader *r);

#endif
