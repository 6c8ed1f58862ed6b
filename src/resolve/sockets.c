/*
 * sockets.c: c-ares' sockets and timeouts on the loop. Called by c-ares (what it waits for), the loop
 * (what happened) and names.c. Owns the places of sockets; the descriptors are c-ares'.
 */
#include "resolve.h"

#include <ares.h>
#include <poll.h>
#include <sys/time.h>

#include "lib/must.h"

enum { READS_MAX = 64 };

void sockets_init(struct resolver *r)
{
	r->timer.op.kind = OP_RESOLVE_TIMER;
	for (unsigned i = 0; i < SOCKETS_MAX; i++) {
		struct socket_place *s = &r->sockets[i];

		s->resolver = r;
		s->lfd = (struct lfd)LFD_INIT;
		s->in.kind = OP_RESOLVE_IN;
		s->out.kind = OP_RESOLVE_OUT;
	}
}

static struct socket_place *place_of(struct resolver *r, int fd)
{
	for (unsigned i = 0; i < SOCKETS_MAX; i++)
		if (r->sockets[i].lfd.fd == fd)
			return &r->sockets[i];
	return NULL;
}

static void wait_on(struct socket_place *s)
{
	if (s->reads && !s->lfd.rd)
		loop_readable(s->resolver->loop, &s->lfd, &s->in);
	if (s->writes && !s->lfd.wr)
		loop_writable(s->resolver->loop, &s->lfd, &s->out);
}

void sockets_want(void *arg, int fd, int reads, int writes)
{
	struct lookups *of = arg;
	struct resolver *r = of->resolver;
	struct socket_place *s = place_of(r, fd);

	if (!reads && !writes) {
		if (s)
			(void)loop_del(r->loop, &s->lfd);
		return;
	}
	if (!s) {
		s = place_of(r, -1);
		/* Without a place its answer is never heard, and c-ares' own time limit ends it. */
		if (!s || loop_add(r->loop, &s->lfd, fd) < 0)
			return;
	}
	s->of = of;
	s->reads = reads != 0;
	s->writes = writes != 0;
	wait_on(s);
}

/* In how many ms that channel wants to be called; UINT64_MAX: it waits for nothing. */
static uint64_t time_of(const struct lookups *of)
{
	struct timeval tv, *left = ares_timeout(of->channel, NULL, &tv);

	return left ? (uint64_t)left->tv_sec * 1000 + (uint64_t)left->tv_usec / 1000 + 1 : UINT64_MAX;
}

void sockets_time(struct resolver *r)
{
	uint64_t wait = min_of(time_of(&r->names), time_of(&r->caa));

	for (const struct lookups *of = r->others; of; of = of->next)
		wait = min_of(wait, time_of(of));
	if (wait != UINT64_MAX)
		loop_timer_in(r->loop, &r->timer, wait);
	else
		loop_timer_stop(r->loop, &r->timer);
}

/* The loop tells of an edge; c-ares may read one message and leave the next. */
void sockets_on_readable(struct loop *l, struct op *op, int res)
{
	struct socket_place *s = container_of(op, struct socket_place, in);
	struct resolver *r = s->resolver;
	struct pollfd p = {s->lfd.fd, POLLIN, 0};

	(void)l;
	(void)res;
	for (int i = 0; i < READS_MAX && s->lfd.fd == p.fd && poll(&p, 1, 0) > 0; i++)
		ares_process_fd(s->of->channel, p.fd, ARES_SOCKET_BAD);
	if (s->lfd.fd >= 0)
		wait_on(s);
	sockets_time(r);
}

void sockets_on_writable(struct loop *l, struct op *op, int res)
{
	struct socket_place *s = container_of(op, struct socket_place, out);
	struct resolver *r = s->resolver;

	(void)l;
	(void)res;
	ares_process_fd(s->of->channel, ARES_SOCKET_BAD, s->lfd.fd);
	if (s->lfd.fd >= 0)
		wait_on(s);
	sockets_time(r);
}

void sockets_on_timer(struct loop *l, struct op *op, int res)
{
	struct resolver *r = container_of(container_of(op, struct timer, op), struct resolver, timer);

	(void)l;
	(void)res;
	ares_process_fd(r->names.channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	ares_process_fd(r->caa.channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	for (const struct lookups *of = r->others; of; of = of->next)
		ares_process_fd(of->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	sockets_time(r);
}
