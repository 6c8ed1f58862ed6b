/*
 * link_worker.h: a worker's end of its links, one per gate: for the Python extension and C apps.
 *
 * Uses libc and lib only, and no loop: the threads of the worker call link_worker_wait() when there
 * is nothing to do, and one of them polls for all. Every function may be called by any thread (one
 * mutex); none but link_worker_wait() blocks. After a fork the child can use nothing of it:
 * everything is -ECHILD there, and the rings are not mapped.
 *
 * A function that cannot go on says -EAGAIN: take link_worker_seen() before the call, then
 * link_worker_wait(seen) and call again.
 */
#ifndef STEAD_LINK_LINK_WORKER_H
#define STEAD_LINK_LINK_WORKER_H

#include "link/link.h"

struct link_worker;
struct link_req;

/* parent_fd: the channel from the parent, which brings the links; -1: only link_worker_add(). */
int link_worker_new(unsigned nthreads, int parent_fd, struct link_worker **ret);
void link_worker_free(struct link_worker *w);
/* Before the first link: it runs so many requests at once on one thread, beside any number of tunnels,
 * and wants them in this form. */
void link_worker_async(struct link_worker *w, unsigned concurrency, enum link_form form);
/* One more gate: takes its socket, waits for nothing. */
int link_worker_add(struct link_worker *w, int fd);
/* Take no more requests: link_worker_take() is -ESHUTDOWN from now on. Async-signal-safe. */
void link_worker_stop(struct link_worker *w);
/* … or the parent has gone. */
bool link_worker_stopping(const struct link_worker *w);
/* Make link_worker_wait() return; async-signal-safe. The descriptor for signal.set_wakeup_fd(). */
int link_worker_wakeup_fd(const struct link_worker *w);
uint64_t link_worker_seen(struct link_worker *w);
/* Until something happened that was not seen. 0, -EINTR (a signal), -ECHILD. */
int link_worker_wait(struct link_worker *w, uint64_t seen);
/* For one thread that waits by itself instead: a descriptor that becomes readable (an epoll set of
 * all that link_worker_wait() would poll); made at the first call. -errno. */
int link_worker_fd(struct link_worker *w);
/* Before waiting for it. 0: asleep, wait. 1: something has happened since the last call: try again
 * what said -EAGAIN. -EBUSY: another thread waits in link_worker_wait(). -ECHILD. `again`: behind a call
 * that said 1, with nothing waited for in between; cheaper. */
int link_worker_arm(struct link_worker *w, bool again);

/* The next of the running requests for which body, room, leave or its client's end came; NULL. */
struct link_req *link_worker_touched(struct link_worker *w);

/* The next request to run on this thread (0 … nthreads-1). 0, -EAGAIN, -ESHUTDOWN. */
int link_worker_take(struct link_worker *w, unsigned thread, struct link_req **ret);
/* The environ block, valid until the request's end. */
const char *link_req_env(const struct link_req *r, size_t *ret_n);
/* The same to be written to, with one byte behind it. */
char *link_req_env_own(struct link_req *r, size_t *ret_n);
/* Bytes of the request's body: > 0, 0 at its end, -EAGAIN, -EPIPE (client gone). */
long link_req_read(struct link_req *r, void *p, size_t n);
/* Is there a body, or may one come? */
bool link_req_has_body(const struct link_req *r);
bool link_req_gone(const struct link_req *r);
uint64_t link_req_id(const struct link_req *r);
/* Of who runs it. */
void *link_req_user(const struct link_req *r);
void link_req_set_user(struct link_req *r, void *user);
/* Has all of its body been read? */
bool link_req_body_over(const struct link_req *r);
/* Bytes that link_req_body() takes now, as far as the client goes; the ring may be full nevertheless. */
size_t link_req_room(const struct link_req *r);
/* Does it offer to become a tunnel? */
bool link_req_may_tunnel(const struct link_req *r);
/* Become one: the head of status 101. From here on link_req_read() and link_req_body() move raw bytes;
 * 0 of the first is the client's end. -EAGAIN, -EPIPE, -EINVAL (it was not offered). */
int link_req_tunnel(struct link_req *r, const void *head, size_t head_len);
/* The gate ends soon: take leave of the client. */
bool link_req_away(const struct link_req *r);
/* The head (struct link_head and what belongs to it) with the first bytes of the body, of which
 * *ret_took were taken; `end` holds when all of them were. -EAGAIN: nothing was done; -EMSGSIZE. */
int link_req_head(struct link_req *r, const void *head, size_t head_len, const void *body, size_t n,
	bool end, size_t *ret_took);
/* As many as window and ring take. -EAGAIN none, -EPIPE client gone. */
int link_req_body(struct link_req *r, const void *p, size_t n, bool end, size_t *ret_took);
/* The last n bytes of the body, and the head when it was not sent (else NULL), in one frame or not
 * at all: -EAGAIN; -EMSGSIZE: it never will fit. */
int link_req_whole(struct link_req *r, const void *head, size_t head_len, const void *body,
	size_t n, size_t *ret_took);
/* Is it a regular file, on a file system that cannot hang, with these bytes? */
bool link_file_good(int fd, uint64_t off, uint64_t len);
/* The rest of the body from a regular file on a local file system; ends the answer. -EINVAL: not
 * such a file (then read it). */
int link_req_file(struct link_req *r, int fd, uint64_t off, uint64_t len);
/* The app failed: an error page before the head, a cut after it. -EAGAIN. */
int link_req_fail(struct link_req *r);
bool link_req_ended(const struct link_req *r);
/* r is dead after it; must have ended (or its link gone). Returns -EAGAIN when its end could not be
 * told yet. */
int link_req_done(struct link_req *r);

#endif
