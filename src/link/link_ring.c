/*
 * link_ring.c: one side's ring, in memory that two processes share.
 *
 * Called by both ends (link_gate.c, link_worker.c), which own the memfds, pipes and sockets.
 * Positions count up and wrap at 2^32. The data area is a circle whose pieces are freed in order,
 * with their slots; it begins at 0 again when the ring is seen to be empty, so a link that carries
 * small requests one by one touches a few pages of it. Never allocates, never blocks and makes no system
 * call but to create and map the memory.
 */
#include "link/link.h"
#include "lib/sys.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

_Static_assert(sizeof(struct link_desc) == 32, "two descriptors share a cache line");
_Static_assert((LINK_SLOTS & (LINK_SLOTS - 1)) == 0, "slots are found by masking");
_Static_assert(2 * LINK_FRAME_MAX <= LINK_DATA_BYTES, "a frame fits whatever came before it");
_Static_assert(LINK_WINDOW <= LINK_FRAME_MAX, "a window goes in one frame");

void link_hello_fill(struct link_hello *h)
{
	memset(h, 0, sizeof(*h));
	h->magic = LINK_MAGIC;
	h->min = LINK_VERSION_MIN;
	h->max = LINK_VERSION_MAX;
	h->slots = LINK_SLOTS;
	h->data_bytes = LINK_DATA_BYTES;
	h->pid = (uint32_t)getpid();
	memcpy(h->build, STEAD_VERSION, sizeof(STEAD_VERSION));
}

int link_hello_check(const struct link_hello *h, size_t n)
{
	/* A newer one may have appended fields. */
	if (n < LINK_HELLO_BYTES_MIN || h->magic != LINK_MAGIC || h->min > h->max)
		return -EPROTO;
	if (h->min > LINK_VERSION_MAX || h->max < LINK_VERSION_MIN)
		return -EPROTONOSUPPORT;
	if (h->slots != LINK_SLOTS || h->data_bytes != LINK_DATA_BYTES)
		return -EPROTONOSUPPORT;
	return h->max < LINK_VERSION_MAX ? h->max : LINK_VERSION_MAX;
}

int link_end_create(struct link_end *e, int *ret_fd)
{
	void *map;
	int fd, err;

	memset(e, 0, sizeof(*e));
	err = sys_shm_create("stead-link", LINK_MEM_BYTES, &fd, &map);
	if (err)
		return err;
	e->page = map;
	e->data = (char *)map + LINK_PAGE_BYTES;
	e->page->magic = LINK_MAGIC;
	e->page->version = LINK_VERSION_MAX;
	e->page->slots = LINK_SLOTS;
	e->page->data_bytes = LINK_DATA_BYTES;
	*ret_fd = fd;
	return 0;
}

int link_end_attach(struct link_end *e, int fd)
{
	const void *map;
	int err = sys_shm_map(fd, LINK_MEM_BYTES, 0, NULL, &map);

	if (err)
		return err;
	e->peer = map;
	e->peer_data = (const char *)map + LINK_PAGE_BYTES;
	return 0;
}

void link_end_done(struct link_end *e)
{
	sys_shm_unmap(e->page, LINK_MEM_BYTES);
	sys_shm_unmap(e->peer, LINK_MEM_BYTES);
	memset(e, 0, sizeof(*e));
}

void link_end_over(struct link_end *e, void *own, const void *peer)
{
	memset(e, 0, sizeof(*e));
	e->page = own;
	e->data = (char *)own + LINK_PAGE_BYTES;
	e->peer = peer;
	e->peer_data = (const char *)peer + LINK_PAGE_BYTES;
}

/* Read how far the peer has come and free what it passed. */
static int reclaim(struct link_end *e)
{
	uint32_t tail = atomic_load_explicit(&e->peer->tail, memory_order_acquire);
	uint32_t moved = tail - e->tail_seen;

	if (moved > e->head - e->tail_seen)
		return -EPROTO;
	for (; e->tail_seen != tail; e->tail_seen++) {
		uint32_t cost = e->cost[e->tail_seen % LINK_SLOTS];

		e->data_tail = (e->data_tail + cost) % LINK_DATA_BYTES;
		e->data_used -= cost;
	}
	if (e->head == tail)
		e->data_head = e->data_tail = e->data_used = 0;
	e->data_looked = e->data_head;
	return 0;
}

static uint32_t round8(size_t n)
{
	return (uint32_t)((n + 7) & ~(size_t)7);
}

/* Free bytes in one piece at the head, or, when the piece at the circle's beginning is larger and
 * `want` does not fit here, there (with *skip bytes lost). */
static uint32_t piece(const struct link_end *e, size_t want, uint32_t *skip)
{
	uint32_t here;

	*skip = 0;
	if (e->data_used == LINK_DATA_BYTES)
		return 0;
	if (e->data_used && e->data_head <= e->data_tail)
		return e->data_tail - e->data_head;
	here = LINK_DATA_BYTES - e->data_head;
	if (want <= here || e->data_tail <= here)
		return here;
	*skip = here;
	return e->data_tail;
}

char *link_room(struct link_end *e, size_t n, int *err)
{
	uint32_t need = round8(n);

	*err = 0;
	if (n > LINK_FRAME_MAX)
		return NULL;
	/* Only a ring that looks full, or that may be empty, is worth the look at the other's cache
	 * line, which it writes for each frame that it takes: after each wait, and once in some kilobytes. */
	if (e->head - e->tail_seen >= LINK_SLOTS / 2 ||
		e->data_head - e->data_looked > LINK_DATA_BYTES / 32 ||
		piece(e, need, &e->skip) < need) {
		*err = reclaim(e);
		if (*err)
			return NULL;
	}
	if (e->head - e->tail_seen >= LINK_SLOTS || piece(e, need, &e->skip) < need)
		return NULL;
	return e->data + (e->data_head + e->skip) % LINK_DATA_BYTES;
}

size_t link_room_max(struct link_end *e, int *err)
{
	uint32_t skip, n;

	*err = reclaim(e);
	if (*err || e->head - e->tail_seen >= LINK_SLOTS)
		return 0;
	n = piece(e, LINK_FRAME_MAX, &skip);
	n &= ~7u;
	return n < LINK_FRAME_MAX ? n : LINK_FRAME_MAX;
}

void link_put(struct link_end *e, const struct link_desc *d, size_t n)
{
	uint32_t i = e->head % LINK_SLOTS, skip = e->skip, need = round8(n);
	struct link_desc out = *d;

	e->skip = 0;
	e->data_head = (e->data_head + skip) % LINK_DATA_BYTES;
	out.off = e->data_head;
	out.len = (uint32_t)n;
	out.pad = 0;
	out.pad2 = 0;
	e->page->desc[i] = out;
	e->cost[i] = need + skip;
	e->data_used += need + skip;
	e->data_head = (e->data_head + need) % LINK_DATA_BYTES;
	e->head++;
}

void link_publish(struct link_end *e)
{
	atomic_store_explicit(&e->page->head, e->head, memory_order_release);
}

bool link_must_wake(struct link_end *e, bool only_room)
{
	uint32_t s;

	atomic_thread_fence(memory_order_seq_cst);
	s = atomic_load_explicit(&e->peer->sleep, memory_order_relaxed);
	if (!(s & 1) || s == e->woken)
		return false;
	if (only_room && !atomic_load_explicit(&e->peer->want, memory_order_relaxed))
		return false;
	e->woken = s;
	return true;
}

int link_peek(struct link_end *e, struct link_desc *ret_desc, const char **ret_bytes)
{
	const volatile struct link_desc *d;

	if (e->rx_tail == e->rx_head) {
		uint32_t head = atomic_load_explicit(&e->peer->head, memory_order_acquire);

		if (head == e->rx_tail)
			return 0;
		if (head - e->rx_tail > LINK_SLOTS)
			return -EPROTO;
		e->rx_head = head;
	}
	/* Each field once: from here on only the copy counts. */
	d = &e->peer->desc[e->rx_tail % LINK_SLOTS];
	ret_desc->id = d->id;
	ret_desc->off = d->off;
	ret_desc->len = d->len;
	ret_desc->type = d->type;
	ret_desc->flags = d->flags;
	ret_desc->arg = d->arg;
	ret_desc->seat = d->seat;
	if (ret_desc->seat >= LINK_SEATS_ALL || ret_desc->len > LINK_FRAME_MAX ||
		ret_desc->off > LINK_DATA_BYTES - ret_desc->len)
		return -EPROTO;
	*ret_bytes = e->peer_data + ret_desc->off;
	return 1;
}

void link_take(struct link_end *e)
{
	e->rx_tail++;
	atomic_store_explicit(&e->page->tail, e->rx_tail, memory_order_release);
}

bool link_pending(const struct link_end *e)
{
	return atomic_load_explicit(&e->peer->head, memory_order_acquire) != e->rx_tail;
}

void link_asleep(struct link_end *e, bool want_room)
{
	uint32_t s = atomic_load_explicit(&e->page->sleep, memory_order_relaxed);

	atomic_store_explicit(&e->page->want, want_room, memory_order_relaxed);
	if (!(s & 1))
		atomic_store_explicit(&e->page->sleep, s + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
}

void link_awake(struct link_end *e)
{
	uint32_t s = atomic_load_explicit(&e->page->sleep, memory_order_relaxed);

	if (s & 1)
		atomic_store_explicit(&e->page->sleep, s + 1, memory_order_release);
	/* The other had time: the next frame looks how far it has come. */
	e->data_looked = e->data_head - LINK_DATA_BYTES;
}

bool link_stop(struct link_end *e, unsigned seat, uint64_t id)
{
	if (link_is_far(seat))
		return false;
	atomic_store_explicit(&e->page->seat[seat], id, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load_explicit(&e->peer->seat[seat], memory_order_relaxed) != id;
}

bool link_begin(struct link_end *e, unsigned seat, uint64_t id)
{
	if (link_is_far(seat))
		return true;
	atomic_store_explicit(&e->page->seat[seat], id, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&e->peer->seat[seat], memory_order_relaxed) != id)
		return true;
	/* Not begun after all: should the id come to this seat again, it must not look begun. */
	atomic_store_explicit(&e->page->seat[seat], 0, memory_order_relaxed);
	return false;
}
