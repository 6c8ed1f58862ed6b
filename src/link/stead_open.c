/*
 * stead_open.c: libstead's handle: opening, taking requests, waiting; stead.h says how each is
 * used.
 *
 * Called by the app's own code, in any thread. Owns struct stead, with a place for each request
 * that may be open at once. Changes nothing of the process but the close-on-exec flag of the
 * channel and the two variables that told of it: no signal handler, no thread, no global state.
 * What the gates write is read by link_pump.c.
 */
#include "stead_priv.h"
#include "lib/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

unsigned stead_api(void)
{
	return STEAD_API;
}

/* A small number in a variable that stead set; -1: it did not. */
static long number_of(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long n;

	if (!text || text[0] < '0' || text[0] > '9')
		return -1;
	n = strtol(text, &end, 10);
	return *end || n > 100000 ? -1 : n;
}

/* The descriptor is what stead gives: a packet socket. Not a file that happens to have that number.
 */
static bool is_channel(int fd)
{
	int type = 0;
	socklen_t n = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_SEQPACKET;
}

int stead_open(struct stead **ret, unsigned at_once, unsigned flags)
{
	long fd = number_of("STEAD_LINK_FD"), threads = number_of("STEAD_THREADS");
	struct stead *s;
	int err;

	if (!ret || at_once > STEAD_OPEN_MAX || (flags & ~(unsigned)STEAD_NONBLOCK))
		return -EINVAL;
	if (fd < 3 || !is_channel((int)fd))
		return -ENOTCONN;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	if (!at_once)
		at_once = threads < 1                ? 1
			  : threads > STEAD_OPEN_MAX ? STEAD_OPEN_MAX
						     : (unsigned)threads;
	s->at_once = at_once;
	s->nonblock = flags & STEAD_NONBLOCK;
	for (unsigned i = 0; i < STEAD_OPEN_MAX; i++) {
		s->req[i].s = s;
		s->req[i].place = i;
	}
	err = sys_cloexec((int)fd, true);
	if (!err)
		err = link_worker_new(at_once, (int)fd, &s->worker);
	if (err) {
		free(s);
		return err;
	}
	/* A child that the app starts has no link; it shall not look for one under this number. */
	unsetenv("STEAD_LINK_FD");
	unsetenv("STEAD_THREADS");
	*ret = s;
	return 0;
}

void stead_close(struct stead *s)
{
	if (!s)
		return;
	link_worker_free(s->worker);
	for (unsigned i = 0; i < STEAD_OPEN_MAX; i++) {
		free(s->req[i].fields);
		free(s->req[i].head);
	}
	free(s);
}

/* A free place; NULL: as many are taken as were asked for. */
static struct stead_req *place_take(struct stead *s)
{
	uint64_t used = atomic_load(&s->used), all = UINT64_MAX >> (64 - s->at_once), bit;

	do {
		if ((used & all) == all)
			return NULL;
		bit = (uint64_t)1 << __builtin_ctzll(~used);
	} while (!atomic_compare_exchange_weak(&s->used, &used, used | bit));
	return &s->req[__builtin_ctzll(bit)];
}

static void place_give(struct stead_req *r)
{
	r->link = NULL;
	atomic_fetch_and(&r->s->used, ~((uint64_t)1 << r->place));
}

/* For this place: 0, -EAGAIN, -ESHUTDOWN, -EINTR, -ECHILD. */
static int next_for(struct stead *s, struct stead_req *r)
{
	int wait = 0;

	for (;;) {
		uint64_t seen;
		int res = link_worker_take(s->worker, r->place, &r->link);

		if (res != -EAGAIN || s->nonblock)
			return res;
		/* The signal may have been the one that stops. */
		if (wait < 0)
			return wait;
		seen = link_worker_seen(s->worker);
		res = link_worker_take(s->worker, r->place, &r->link);
		if (res != -EAGAIN)
			return res;
		wait = link_worker_wait(s->worker, seen);
	}
}

int stead_next(struct stead *s, struct stead_req **ret)
{
	struct stead_req *r;
	int res;

	if (!s || !ret)
		return -EINVAL;
	r = place_take(s);
	if (!r)
		return -EBUSY;
	res = next_for(s, r);
	if (res < 0) {
		place_give(r);
		return res;
	}
	r->parsed = false;
	r->nfields = 0;
	stead_answer_reset(r);
	*ret = r;
	return 0;
}

void stead_stop(struct stead *s)
{
	if (s)
		link_worker_stop(s->worker);
}

int stead_fd(struct stead *s)
{
	return s && s->nonblock ? link_worker_fd(s->worker) : -EINVAL;
}

int stead_arm(struct stead *s)
{
	return s && s->nonblock ? link_worker_arm(s->worker, false) : -EINVAL;
}

int stead_done(struct stead_req *r)
{
	int res;

	if (!r || !r->link)
		return -EINVAL;
	res = stead_fail(r);
	if (res == -EAGAIN)
		return res;
	link_req_done(r->link);
	place_give(r);
	return res == -EPIPE ? 0 : res;
}
