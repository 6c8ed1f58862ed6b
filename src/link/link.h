/*
 * link.h: the memory and the messages between one gate and one app worker.
 *
 * Each side owns one sealed memfd (lib/sys.h, rule 2: one writer) with a page of positions, a ring
 * of descriptors and a data area; the other side maps it read-only. A ring's head lies in its
 * producer's memfd and its tail in the consumer's, so that nobody ever writes into memory of the
 * other. What is read from the other side is read once into a local variable, bounded, and only
 * then used; whatever does not hold is -EPROTO and the end of this link, never of the process.
 *
 * WAKE-UP. Who is about to wait makes `sleep` in its own page odd, then looks at the other's head
 * once more. Who has published a head looks at the other's `sleep` behind a full fence and writes
 * one byte to the other's pipe when it is odd and was not woken yet. Either the sleeper sees the
 * head or the other sees the sleep (Dekker); test/sim/link tries every interleaving.
 *
 * SEATS. A request that was handed to a worker has a seat, a small number, until the worker has
 * ended it. seat[] in the worker's page says which request id was begun on it; seat[] in the gate's
 * page says which id shall not be run (withdrawn, or its client has gone). Both store, fence, then
 * load: if the gate does not see its id begun, the worker is certain to see the stop and will not
 * run it. A worker that runs many requests at once (link_hello.concurrency) has far seats as well,
 * from LINK_SEATS on: they have no such words. What lies on one counts as begun when it is given,
 * and that its client has gone is told by a GONE frame.
 *
 * TUNNELS. A request with the flag LINK_TUNNEL offers to go over to WebSocket; it always has a far
 * seat. A HEAD of status 101 with that flag accepts: from there on REQ_BODY and BODY are raw bytes,
 * each way with the same credit as a body, until either side says LINK_END. A tunnel is no request
 * that runs: the worker takes others beside it, and it may live as long as it likes.
 *
 * HELLO goes over the link's SEQPACKET socket, first each way. From the gate: its memfd, the read
 * end of the pipe that wakes the worker, the write end of the pipe that wakes the gate; the gate
 * makes both pipes, so that no open file description of a descriptor that it writes to is shared
 * with the worker (who could make it blocking). From the worker: its memfd, and its status page,
 * which every gate reads. Afterwards the worker sends a regular file's descriptor here before the
 * FILE frame that names it.
 */
#ifndef STEAD_LINK_LINK_H
#define STEAD_LINK_LINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINK_MAGIC 0x314b4e494c545331ull
enum {
	LINK_VERSION_MIN = 1,
	LINK_VERSION_MAX = 2,
	LINK_SLOTS = 256,             /* descriptors in a ring; a power of two */
	LINK_DATA_BYTES = 256 * 1024, /* of one direction */
	LINK_FRAME_MAX = 120 * 1024,  /* data of one frame; two of them always fit */
	LINK_SEATS = 64,              /* with words in the pages */
	LINK_FAR = 8192,              /* without */
	LINK_SEATS_ALL = LINK_SEATS + LINK_FAR,
	LINK_WINDOW = 64 * 1024, /* body bytes of one request under way, each direction */
	LINK_WINDOW_MIN = 4 * 1024,
	LINK_WINDOW_TUNNEL = 16 * 1024, /* of a tunnel, each direction */
	LINK_FILES_MAX = 16, /* descriptors sent ahead of their FILE frames */
	LINK_THREADS_MAX = 64,
};

enum link_type {
	/* gate to worker */
	LINK_REQ = 1,  /* data: environ block (link_env.h); arg: the window for the answer's body */
	LINK_REQ_BODY, /* data: bytes of the request's body */
	LINK_ROOM,     /* arg: so many more bytes of the answer's body may be sent */
	LINK_GONE,     /* of a far seat: nobody waits for the answer any more */
	LINK_AWAY,     /* of a tunnel: the gate ends soon; take leave of the client */
	/* worker to gate */
	LINK_HEAD = 16, /* data: struct link_head, fields, then body bytes from offset `arg` on */
	LINK_BODY,      /* data: bytes of the answer's body */
	LINK_CREDIT,    /* arg: so many bytes of the request's body were read */
	LINK_FILE,      /* data: struct link_file; the rest of the answer */
	LINK_WITHDRAWN, /* was stopped before it began */
	LINK_FAIL,      /* the app failed: an error page, or a cut */
};
enum link_flag {
	LINK_END = 1,    /* no more body follows; from the worker: the seat is free again */
	LINK_TUNNEL = 2, /* REQ: it may become a tunnel; HEAD: it is one from here on */
};
/* What a worker wants of a request: variables as of CGI, or fields as they came (link_env.h). */
enum link_form { LINK_FORM_CGI = 0, LINK_FORM_FIELDS };

struct link_desc {
	uint64_t id;
	uint32_t off, len;
	uint16_t type, flags;
	uint32_t arg;
	uint16_t seat, pad;
	uint32_t pad2;
};

/* The answer's head: nfields times {u16 name_len, u16 0, u32 value_len, name, value}, unaligned. */
struct link_head {
	uint16_t status, nfields;
	uint32_t reason_len;    /* the phrase stands before the fields */
	int64_t content_length; /* -1: the app did not say */
};
struct link_file {
	uint64_t off, len;
	uint32_t number; /* of the descriptor, as sent over the socket */
	uint32_t pad;
};
struct link_file_msg {
	uint32_t magic; /* LINK_FILE_MAGIC */
	uint32_t number;
};
#define LINK_FILE_MAGIC 0x4c494631u

/* The beginning of each side's memfd. Each group has its own cache line. */
struct link_page {
	uint64_t magic;
	uint32_t version, slots, data_bytes, pad;
	_Alignas(64) _Atomic uint32_t head;  /* of the ring in this memfd */
	_Alignas(64) _Atomic uint32_t tail;  /* of the other's ring */
	_Alignas(64) _Atomic uint32_t sleep; /* odd: waits, or is about to */
	_Atomic uint32_t want;               /* waits for room in its own ring */
	_Alignas(64) _Atomic uint64_t seat[LINK_SEATS];
	_Alignas(
		64) _Atomic uint64_t gone[LINK_SEATS]; /* gate: nobody waits for this id any more */
	_Alignas(64) struct link_desc desc[LINK_SLOTS];
};
enum { LINK_PAGE_BYTES = (sizeof(struct link_page) + 4095) / 4096 * 4096 };
enum { LINK_MEM_BYTES = LINK_PAGE_BYTES + LINK_DATA_BYTES };

/* The worker's status page: one for all gates. */
struct link_status {
	uint64_t magic;
	uint32_t version, threads;
	_Alignas(64) _Atomic uint32_t busy; /* requests being run */
	_Atomic uint32_t service_us;        /* what one takes, smoothed */
	_Atomic uint64_t done;
	_Alignas(64) _Atomic uint64_t running[LINK_THREADS_MAX]; /* id per thread, 0: none */
};

struct link_hello {
	uint64_t magic;
	uint16_t min, max;
	uint32_t slots, data_bytes;
	uint32_t threads;    /* worker */
	uint32_t gate, pid;  /* gate; worker, for people */
	uint64_t generation; /* of the sender */
	char build[40];
	/* version 2, from the worker */
	uint32_t concurrency; /* requests that it runs at once, beside tunnels; 0: its threads */
	uint32_t form;        /* enum link_form */
};
enum { LINK_HELLO_BYTES_MIN = offsetof(struct link_hello, concurrency) };

/* One side's view of a link. Everything here is private memory; page and peer are the two memfds.
 */
struct link_end {
	struct link_page *page;       /* own, read-write */
	const struct link_page *peer; /* the other's, read-only */
	char *data;
	const char *peer_data;
	uint32_t head;             /* of the own ring; published by link_publish() */
	uint32_t tail_seen;        /* the peer's tail as last read */
	uint32_t rx_tail, rx_head; /* of the peer's ring: where we are, the head as last read */
	uint32_t data_head, data_tail, data_used;
	uint32_t data_looked;      /* data_head when the peer's tail was read; behind it when the circle began anew */
	uint32_t skip;             /* lost before the piece that link_room() lent last */
	uint32_t woken;            /* the peer's sleep word for which a wake-up was sent */
	uint32_t cost[LINK_SLOTS]; /* data bytes of each slot, with what was skipped before it */
};

/* The version both speak, or -EPROTONOSUPPORT; -EPROTO when it is no hello. */
int link_hello_check(const struct link_hello *h, size_t n);
void link_hello_fill(struct link_hello *h);

/* Make this side's memfd. 0 or -errno. */
int link_end_create(struct link_end *e, int *ret_fd);
/* Map the other side's. -EPERM not sealed, -EBADMSG another size. The descriptor stays the
 * caller's. */
int link_end_attach(struct link_end *e, int fd);
void link_end_done(struct link_end *e);
/* Both over memory of the caller, for tests (LINK_MEM_BYTES each, aligned to 64). */
void link_end_over(struct link_end *e, void *own, const void *peer);

/* Room for a frame of n bytes: its bytes (8-aligned) to be filled before link_put(); NULL: full.
 * *err is -EPROTO when the peer's tail cannot be. */
char *link_room(struct link_end *e, size_t n, int *err);
/* The largest n for which link_room() yields something now. */
size_t link_room_max(struct link_end *e, int *err);
/* Append the frame whose n bytes link_room() lent (n may be less than asked). Not visible before
 * link_publish(). */
void link_put(struct link_end *e, const struct link_desc *d, size_t n);
void link_publish(struct link_end *e);
/* After publishing: must the other be woken? Tells true once per sleep. only_room: nothing was
 * appended but frames were taken, which matters only to one who waits for room. */
bool link_must_wake(struct link_end *e, bool only_room);

/* The next frame of the peer: 1 and *ret_desc (a copy) with its bytes, 0 none, -EPROTO. The bytes
 * are the peer's memory, valid until link_take(), and may change under the reader. */
int link_peek(struct link_end *e, struct link_desc *ret_desc, const char **ret_bytes);
void link_take(struct link_end *e);
/* Is there something to read? Reads the peer's head; no check. */
bool link_pending(const struct link_end *e);

/* Begin to sleep: call link_pending() (and for a producer that waits for room link_room())
 * afterwards and wait only when it is false. link_awake() ends it. */
void link_asleep(struct link_end *e, bool want_room);
void link_awake(struct link_end *e);

static inline bool link_is_far(unsigned seat)
{
	return seat >= LINK_SEATS;
}
/* Seats. The gate gives a seat: forget an older stop of it, which may name the same id, because a
 * withdrawn request keeps its id and may come to the seat that it had. Before link_put(). Where
 * there was none nothing is stored: the worker looks at this word for each request, and its copy of
 * the line stays good. */
static inline void link_give(struct link_end *e, unsigned seat)
{
	if (!link_is_far(seat) &&
		atomic_load_explicit(&e->page->seat[seat], memory_order_relaxed) != 0)
		atomic_store_explicit(&e->page->seat[seat], 0, memory_order_relaxed);
}
/* The gate stops an id: false when the worker has begun it (then only the worker ends it). */
bool link_stop(struct link_end *e, unsigned seat, uint64_t id);
/* The worker begins an id: false when it was stopped (then it must not be run). */
bool link_begin(struct link_end *e, unsigned seat, uint64_t id);
/* The gate tells that nobody waits for the answer; then it wakes the worker, as after publishing.
 * Not of a far seat: there LINK_GONE says it. */
static inline void link_abandon(struct link_end *e, unsigned seat, uint64_t id)
{
	atomic_store_explicit(&e->page->gone[seat], id, memory_order_relaxed);
}
/* Worker: has the client of this running request gone? */
static inline bool link_stopped(const struct link_end *e, unsigned seat, uint64_t id)
{
	return !link_is_far(seat) &&
	       atomic_load_explicit(&e->peer->gone[seat], memory_order_relaxed) == id;
}
/* Gate: has the worker begun it? */
static inline bool link_begun(const struct link_end *e, unsigned seat, uint64_t id)
{
	return link_is_far(seat) ||
	       atomic_load_explicit(&e->peer->seat[seat], memory_order_relaxed) == id;
}

#endif
