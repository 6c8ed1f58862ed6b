/*
 * logring.c: records from one process to the log process through memory; both ends.
 *
 * The writer's side is called by every process that logs, the reader's by the log process only. The
 * ring is a page of head and then the data. Positions count bytes ever written and never wrap; a
 * record never crosses the ring's end, so every multiple of the ring's size is where a record
 * begins, which is where a reader that was overtaken goes on. The reader trusts nothing in the
 * ring: each figure is read once, bounded, and used; and what it copied counts only if the writer
 * had not begun to overwrite it.
 */
#include "lib/logring.h"
#include "lib/must.h"
#include "lib/sys.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { RING_HEAD_BYTES = 4096, RECORD_HEAD_BYTES = 16 };
#define RING_MAGIC 0x31676e6952676f4cull /* "LogRing1" */

struct ring {
	uint64_t magic;
	uint64_t bytes;
	/* Written before the bytes are: a reader whose copy ends below head may still have been
	 * overtaken by what is being written and is not published yet. */
	_Atomic uint64_t reserved;
	_Atomic uint64_t head;
	char pad[RING_HEAD_BYTES - 32];
	char data[LOGRING_BYTES];
};
_Static_assert(offsetof(struct ring, data) == RING_HEAD_BYTES, "data begins at a page");

struct record {
	uint32_t len;
	uint16_t type;
	uint16_t flags;
	uint64_t wall_us;
};
_Static_assert(sizeof(struct record) == RECORD_HEAD_BYTES, "as logring.h says");

enum { RECORD_CUT = 1 }; /* flags: longer than LOGRING_RECORD_MAX, the rest is missing */

static uint64_t record_bytes(uint64_t len)
{
	return RECORD_HEAD_BYTES + (len + 7) / 8 * 8;
}

/* The writer. */

int logring_create(struct logring_writer *w)
{
	struct ring *r;
	void *map;
	int fd, err = sys_shm_create("stead-log", sizeof(*r), &fd, &map);

	if (err)
		return err;
	r = map;
	r->bytes = LOGRING_BYTES;
	r->magic = RING_MAGIC;
	*w = (struct logring_writer){.map = map, .fd = fd, .wake_fd = -1};
	return 0;
}

int logring_attach(struct logring_writer *w, int page_fd, unsigned slot, int wake_fd)
{
	const void *page;
	int err;

	if (slot >= LOGRING_SLOTS)
		return -EINVAL;
	err = sys_shm_map(page_fd, sizeof(struct logring_page), 0, NULL, &page);
	if (err)
		return err;
	sys_shm_unmap(w->page, sizeof(struct logring_page));
	if (w->wake_fd >= 0)
		close(w->wake_fd);
	w->page = page;
	w->slot = slot;
	w->wake_fd = wake_fd;
	/* What was written before this reader came waits for it. */
	w->dirty = true;
	return 0;
}

static void publish(struct logring_writer *w)
{
	struct ring *r = w->map;

	atomic_store_explicit(&r->head, w->head, memory_order_release);
}

static void reserve(struct logring_writer *w, uint64_t to)
{
	struct ring *r = w->map;

	atomic_store_explicit(&r->reserved, to, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

void logring_put(
	struct logring_writer *w, enum logrec type, uint64_t wall_us, const void *p, size_t n)
{
	struct ring *r = w->map;
	uint64_t off = w->head % LOGRING_BYTES, left = LOGRING_BYTES - off;
	struct record rec = {.type = (uint16_t)type, .wall_us = wall_us};
	uint64_t bytes;

	if (n > LOGRING_RECORD_MAX) {
		n = LOGRING_RECORD_MAX;
		rec.flags = RECORD_CUT;
	}
	bytes = record_bytes(n);
	if (bytes > left) {
		struct record filler = {.type = LOGREC_FILLER};

		reserve(w, w->head + left + bytes);
		/* Room for less than a record's head is skipped by both sides without one. */
		if (left >= RECORD_HEAD_BYTES) {
			filler.len = (uint32_t)(left - RECORD_HEAD_BYTES);
			memcpy(r->data + off, &filler, sizeof(filler));
		}
		w->head += left;
		off = 0;
	} else {
		reserve(w, w->head + bytes);
	}
	rec.len = (uint32_t)n;
	memcpy(r->data + off, &rec, sizeof(rec));
	if (n)
		memcpy(r->data + off + RECORD_HEAD_BYTES, p, n);
	w->head += bytes;
	w->dirty = true;
	/* In a turn that writes very much the reader starts early, without being woken. */
	if (w->head - atomic_load_explicit(&r->head, memory_order_relaxed) > LOGRING_BYTES / 4)
		publish(w);
}

void logring_flush(struct logring_writer *w)
{
	if (!w->dirty || !w->map)
		return;
	w->dirty = false;
	publish(w);
	/* Pairs with the reader, which says `sleeping` and then looks at head once more: one of the
	 * two sees the other. */
	atomic_thread_fence(memory_order_seq_cst);
	if (w->page && w->wake_fd >= 0 && atomic_load(&w->page->slot[w->slot].sleeping)) {
		/* A full pipe is a wake-up under way; a dead reader is the parent's matter. */
		ssize_t ignored = write(w->wake_fd, "", 1);

		(void)ignored;
	}
}

void logring_done(struct logring_writer *w)
{
	if (!w->map)
		return;
	sys_shm_unmap(w->map, sizeof(struct ring));
	sys_shm_unmap(w->page, sizeof(struct logring_page));
	close(w->fd);
	if (w->wake_fd >= 0)
		close(w->wake_fd);
	*w = (struct logring_writer){.fd = -1, .wake_fd = -1};
}

/* The reader. */

static uint64_t ring_reserved(const struct ring *r)
{
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&r->reserved, memory_order_relaxed);
}

int logring_open(struct logring_reader *r, int fd, uint64_t tail)
{
	const struct ring *ring;
	const void *map;
	int err = sys_shm_map(fd, sizeof(*ring), 0, NULL, &map);

	if (err)
		return err;
	ring = map;
	if (ring->magic != RING_MAGIC || ring->bytes != LOGRING_BYTES) {
		sys_shm_unmap(map, sizeof(*ring));
		return -EBADMSG;
	}
	if (tail == UINT64_MAX) {
		uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);

		tail = ring_reserved(ring) <= LOGRING_BYTES ? 0
							    : head / LOGRING_BYTES * LOGRING_BYTES;
	}
	*r = (struct logring_reader){.map = map, .tail = tail};
	return 0;
}

/* Overtaken: go on at the newest place where a record is known to begin. */
static void skip_to_whole(struct logring_reader *r, uint64_t head, uint64_t reserved)
{
	uint64_t turn = reserved / LOGRING_BYTES * LOGRING_BYTES;
	uint64_t to = min_of(turn, head);

	/* Both lie before it: the head was looked at, and the turn began less than a ring's bytes ago. */
	must(to > r->tail);
	r->dropped += to - r->tail;
	r->tail = to;
}

/* 1 got one, 0 overtaken (tail moved on) or a filler passed: look again, -EBADMSG. */
static int take_record(struct logring_reader *r, uint64_t head, void *mem, struct record *ret_rec)
{
	const struct ring *ring = r->map;
	uint64_t off = r->tail % LOGRING_BYTES, left = LOGRING_BYTES - off;
	uint64_t bytes, reserved;
	struct record rec = {0};
	bool sane;

	if (left >= RECORD_HEAD_BYTES)
		memcpy(&rec, ring->data + off, sizeof(rec));
	else
		rec = (struct record){.type = LOGREC_FILLER};
	bytes = rec.type == LOGREC_FILLER ? left : record_bytes(rec.len);
	sane = rec.type == LOGREC_FILLER
		       ? left < RECORD_HEAD_BYTES || rec.len == left - RECORD_HEAD_BYTES
		       : rec.len <= LOGRING_RECORD_MAX && bytes <= left;
	sane = sane && rec.type <= LOGREC_ACCESS && bytes <= head - r->tail;
	if (sane && rec.type != LOGREC_FILLER && rec.len)
		memcpy(mem, ring->data + off + RECORD_HEAD_BYTES, rec.len);
	reserved = ring_reserved(ring);
	if (reserved < head)
		return -EBADMSG;
	if (reserved - r->tail > LOGRING_BYTES) {
		skip_to_whole(r, head, reserved);
		return 0;
	}
	if (!sane)
		return -EBADMSG;
	r->tail += bytes;
	*ret_rec = rec;
	return rec.type == LOGREC_FILLER ? 0 : 1;
}

int logring_next(struct logring_reader *r, void *mem, enum logrec *ret_type, uint64_t *ret_wall_us,
	size_t *ret_n)
{
	const struct ring *ring = r->map;

	/* Overtaken, a filler, and then a record: more looks than that only a hostile writer needs,
	 * and it may wait for its next turn. */
	for (int looks = 0; looks < 4; looks++) {
		uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
		struct record rec;
		int got;

		if (head == r->tail)
			return 0;
		if (head < r->tail || head % 8)
			return -EBADMSG;
		got = take_record(r, head, mem, &rec);
		if (got < 0)
			return got;
		if (got) {
			*ret_type = (enum logrec)rec.type;
			*ret_wall_us = rec.wall_us;
			*ret_n = rec.len;
			return 1;
		}
	}
	return 0;
}

void logring_close(struct logring_reader *r)
{
	sys_shm_unmap(r->map, sizeof(struct ring));
	*r = (struct logring_reader){0};
}
