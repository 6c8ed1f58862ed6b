/*
 * stead.h: an app in C on stead's link: requests come by shared memory, and answers go back by it.
 *
 *	struct stead *s;
 *	struct stead_req *r;
 *
 *	if (stead_open(&s, 0, 0) < 0)
 *		return 1;
 *	while (stead_next(s, &r) == 0) {
 *		stead_header(r, "Content-Type", "text/plain");
 *		stead_send(r, "Hello, world!\n", 14);
 *		stead_done(r);
 *	}
 *	stead_close(s);
 *
 * with [Service] ExecStart= and Listen=link in stead.conf, built with `pkg-config --cflags
 * --libs libstead`. libstead(3) is the whole story; stead.conf(5) has the keys.
 *
 * RESULTS. Functions that can fail return 0 (or a number of bytes) or a negative errno:
 *
 *	-EPIPE     the client has gone, or stead has: nobody waits for this answer.
 *	           Call stead_done().
 *	-EAGAIN    with STEAD_NONBLOCK only: nothing to do now; see stead_arm().
 *	-ESHUTDOWN no more requests will come: close and exit.
 *	-EINVAL    an argument that cannot be: NULL, a status of 1xx, a field with
 *	           control characters.
 *	-EALREADY  the head was sent, so it cannot be changed.
 *	-ENODATA   fewer bytes were sent than Content-Length promised: the answer was cut.
 *	-EMSGSIZE  more bytes than it promised, or a head of more than 60 KB.
 *	-EBUSY     as many requests are open as were asked for with stead_open().
 *	-ECHILD    in a child of fork(): the link stayed with its parent.
 *	-ENOMEM    no memory.
 *
 * LIFETIME. What a request's accessors return belongs to the request: valid until stead_done(),
 * never freed or written by the app. Every request that stead_next() gave must be given to
 * stead_done() once.
 *
 * THREADS. A handle may be used by any number of threads: each calls stead_next() and gets
 * requests of its own. One request is one thread's at a time. Without threads, many requests
 * can be open at once with STEAD_NONBLOCK.
 *
 * VERSIONS. Functions are added, none is taken away or changed, as long as the library is
 * libstead.so.0. STEAD_API counts the additions; stead_api() is that of the library that is
 * loaded.
 */
#ifndef STEAD_H
#define STEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STEAD_API 1
#define STEAD_PUBLIC __attribute__((visibility("default")))

struct stead;
struct stead_req;

STEAD_PUBLIC unsigned stead_api(void);

/* ---- the app ---- */

enum { STEAD_NONBLOCK = 1 };

/* Open the link that stead gave to this process; once for a process, before it starts threads.
 * at_once: how many requests it will have open at the same time (its threads, or what its event
 * loop carries), at most 64; 0 takes Threads= of stead.conf. -ENOTCONN: this process was not
 * started by stead with Listen=link. */
STEAD_PUBLIC int stead_open(struct stead **ret, unsigned at_once, unsigned flags);
/* No request may be open any more. NULL does nothing. */
STEAD_PUBLIC void stead_close(struct stead *s);
/* The next request: waits for it, or is -EAGAIN with STEAD_NONBLOCK. -ESHUTDOWN: the end. -EINTR: a
 * signal came. */
STEAD_PUBLIC int stead_next(struct stead *s, struct stead_req **ret);
/* Let stead_next() be -ESHUTDOWN from now on, in every thread. For a handler of SIGTERM:
 * async-signal-safe. */
STEAD_PUBLIC void stead_stop(struct stead *s);

/* For event loops, with STEAD_NONBLOCK. A descriptor to be watched for reading, of which nothing is
 * read; always the same one. -errno. */
STEAD_PUBLIC int stead_fd(struct stead *s);
/* Call it before each wait for that descriptor. 0: wait. 1: something has happened since the last
 * call: call stead_next() and what was -EAGAIN again, and then this. Who waits without a 0 of it
 * may wait for ever. */
STEAD_PUBLIC int stead_arm(struct stead *s);

/* ---- the request ---- */

/* Never NULL; "" when there is none. */
STEAD_PUBLIC const char *stead_method(struct stead_req *r); /* "GET" */
STEAD_PUBLIC const char *stead_target(
	struct stead_req *r);                             /* as the client wrote it: "/a%20b?c=d" */
STEAD_PUBLIC const char *stead_path(struct stead_req *r); /* decoded: "/a b" */
STEAD_PUBLIC const char *stead_query(struct stead_req *r); /* behind the "?", as written: "c=d" */
STEAD_PUBLIC const char *stead_protocol(struct stead_req *r); /* "HTTP/1.1" */
STEAD_PUBLIC const char *stead_scheme(struct stead_req *r);   /* "http", "https" */
STEAD_PUBLIC const char *stead_host(
	struct stead_req *r); /* the site's name as asked for, without a port */
STEAD_PUBLIC unsigned stead_port(struct stead_req *r);
STEAD_PUBLIC const char *stead_peer(struct stead_req *r); /* the client's address */
STEAD_PUBLIC unsigned stead_peer_port(struct stead_req *r);
STEAD_PUBLIC const char *stead_user(
	struct stead_req *r); /* who logged in with BasicAuth= or ForwardAuth= */
STEAD_PUBLIC const char *stead_id(struct stead_req *r); /* as in `stead logs` */

/* The value of a header field; its name in any case; NULL when it did not come. Fields that came
 * more than once are one, joined with ", " (Cookie with "; "). */
STEAD_PUBLIC const char *stead_field(struct stead_req *r, const char *name);
/* Field number i, from 0, name in lower case; false: there is none. */
STEAD_PUBLIC bool stead_field_at(
	struct stead_req *r, size_t i, const char **ret_name, const char **ret_value);

/* How long the body is; -1: it ends when it ends (chunked); 0: there is none. */
STEAD_PUBLIC int64_t stead_length(struct stead_req *r);
/* Bytes of the body: > 0, 0 at its end. At most 64 KB are under way: a client sends on as fast as
 * this is called. */
STEAD_PUBLIC ssize_t stead_read(struct stead_req *r, void *p, size_t n);
/* Has the client gone? Costs nothing. What is sent to it is -EPIPE from then on. */
STEAD_PUBLIC bool stead_gone(struct stead_req *r);

/* ---- the answer ---- */

/* 200 when it is not called. reason NULL: the usual one. Takes fields that were given before away.
 */
STEAD_PUBLIC int stead_status(struct stead_req *r, unsigned status, const char *reason);
/* One more field. Content-Length says how long the body will be, which stead checks; without it,
 * and with more than one piece, it is sent chunked. Date, Server and what concerns the connection
 * are stead's own and left out. */
STEAD_PUBLIC int stead_header(struct stead_req *r, const char *name, const char *value);
/* Bytes of the body, with the head before the first of them: all n, or with STEAD_NONBLOCK as many
 * as go now; then -EAGAIN. n 0: the head alone, now. The body of an answer to HEAD, and of a 204 or
 * 304, is left out. */
STEAD_PUBLIC ssize_t stead_write(struct stead_req *r, const void *p, size_t n);
/* The end of the body. */
STEAD_PUBLIC int stead_end(struct stead_req *r);
/* The whole body, or the last piece of it, and the end; in one frame when nothing was sent before.
 * With STEAD_NONBLOCK all or nothing: -EAGAIN, or -EMSGSIZE when it is more than can be under way
 * (then stead_write() it). */
STEAD_PUBLIC int stead_send(struct stead_req *r, const void *p, size_t n);
/* The body, or the rest of it, from a file, without copying: len bytes from off on; and the end. fd
 * stays the app's and may be closed at once. -EINVAL: no regular file of a local file system that
 * has these bytes: read and write it. */
STEAD_PUBLIC int stead_file(struct stead_req *r, int fd, uint64_t off, uint64_t len);
/* It went wrong: an error page of the site when the head was not sent, else the answer is cut. */
STEAD_PUBLIC int stead_fail(struct stead_req *r);
/* r is dead after it, whatever it returns but -EAGAIN. One that was not ended is failed. */
STEAD_PUBLIC int stead_done(struct stead_req *r);

/* One line of the app's log, with the request's id before it unless r is NULL. Written whole,
 * whatever other threads write; line breaks in it become blanks. */
STEAD_PUBLIC void stead_log(struct stead_req *r, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#ifdef __cplusplus
}
#endif
#endif
