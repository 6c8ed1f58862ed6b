/*
 * chan.h: messages between stead's processes, framed, with descriptors.
 *
 * A channel is one end of an AF_UNIX SOCK_SEQPACKET socketpair made by the parent: the kernel keeps
 * message boundaries and carries descriptors with exactly the message they belong to. Each message is a
 * struct msg_head and `len` bytes of payload, at most CHAN_PAYLOAD_MAX. The first message each way is
 * HELLO. A peer that breaks the form (short, wrong length, too many descriptors, unknown type) loses
 * the channel: chan_ops.gone is called with -EPROTO and the parent restarts the sender. Which (sender,
 * type) pairs are allowed is tbl/msgs.h; chan checks each message through chan_ops.allowed.
 *
 * Sending never blocks: what the socket does not take waits in a queue bounded in messages and bytes;
 * a full queue is -ENOBUFS and the owner decides.
 */
#ifndef STEAD_LIB_CHAN_H
#define STEAD_LIB_CHAN_H

#include "loop.h"

enum {
	CHAN_PAYLOAD_MAX = 60 * 1024,
	CHAN_FDS_MAX = 40,
	CHAN_QUEUE_MAX = 1024, /* messages */
	CHAN_QUEUE_BYTES_MAX = 4 * 1024 * 1024,
};

struct msg_head {
	uint32_t len;   /* payload bytes behind the head */
	uint16_t type;  /* tbl/msgs.h */
	uint16_t major; /* of the message's meaning; fields are only ever appended */
	uint64_t id;    /* the request that this belongs to, or 0; an answer carries its question's */
};

/* One received message. The payload is valid during the call; descriptors that the handler does not
 * take (msg_take_fd) are closed behind it. */
struct msg {
	struct msg_head h;
	const void *payload;
	int fds[CHAN_FDS_MAX];
	unsigned nfds;
};

/* The i-th descriptor, now the caller's; -1 when there is none. */
int msg_take_fd(struct msg *m, unsigned i);
/* Copy a fixed payload struct of `bytes`: fields that an older sender did not have are zero, those that
 * a newer one added are ignored. -EPROTO when shorter than `bytes_min` (the struct of major 1). */
int msg_get(const struct msg *m, void *ret_struct, size_t bytes, size_t bytes_min);
/* The bytes behind a fixed struct. */
const char *msg_tail(const struct msg *m, size_t struct_bytes, size_t *ret_n);

/* Check one received datagram of n bytes and fill *ret_msg (its payload points into p, its descriptors
 * stay as they are). No input or output. -EPROTO. */
int chan_parse(const void *p, size_t n, unsigned nfds, struct msg *ret_msg);

struct chan;
struct chan_ops {
	/* True when this peer may send this message with this many bytes and descriptors. */
	bool (*allowed)(struct chan *c, const struct msg_head *h, unsigned nfds);
	void (*got)(struct chan *c, struct msg *m);
	/* The channel is dead (0 the peer closed, else -errno) and already closed; may free it. */
	void (*gone)(struct chan *c, int why);
};

struct chan_out;
struct chan {
	struct loop *loop;
	struct lfd lfd;
	struct op in, out;
	const struct chan_ops *ops;
	void *owner;
	struct chan_out *q, **q_tail; /* unsent, oldest first */
	unsigned q_len;
	size_t q_bytes;
	bool *closed_in_call; /* told when chan_close() runs inside got(): the rest is dropped */
};

/* Takes fd; on an error it stays the caller's. Starts receiving. */
int chan_init(struct chan *c, struct loop *l, int fd, const struct chan_ops *ops, void *owner);
/* The same for a channel on which this side only sends: shuts the reading side down, so that whatever
 * the peer writes fails there; got() and gone() are never called. */
int chan_init_oneway(struct chan *c, struct loop *l, int fd, const struct chan_ops *ops, void *owner);
/* Idempotent; does not call gone(). Unsent messages are dropped. After it, also inside got(), the
 * owner may free c. */
void chan_close(struct chan *c);
static inline bool chan_open(const struct chan *c)
{
	return c->lfd.fd >= 0;
}
/* payload = a then b (b may be NULL). Descriptors are duplicated by the kernel; the caller keeps its
 * own. 0, -ENOBUFS, -EPIPE; -EMSGSIZE is a bug of the caller. */
int chan_send(struct chan *c, uint16_t type, uint64_t id, const void *a, size_t a_len, const void *b,
	size_t b_len, const int *fds, unsigned nfds);
/* Messages sent to the socket and queued ones all gone? */
bool chan_drained(const struct chan *c);

/* Blocking forms for one-shot processes (check, db, build, act), which have no loop: one message in or
 * out. msg's payload lies in `mem` (CHAN_PAYLOAD_MAX bytes). 0; -EPIPE at the end; -EPROTO. */
int chan_recv_blocking(int fd, struct msg *ret_msg, void *mem);
int chan_send_blocking(int fd, uint16_t type, uint64_t id, const void *a, size_t a_len, const void *b,
	size_t b_len, const int *fds, unsigned nfds);

op_done chan_on_in, chan_on_out;
/* For a process's op table: op_done *const table[] = {CHAN_OPS, [OP_USER] = …}; */
#define CHAN_OPS [OP_CHAN_IN] = chan_on_in, [OP_CHAN_OUT] = chan_on_out

#endif
