/*
 * link_worker.c: the worker's end as a whole: its links, its status page, waiting and waking.
 *
 * Called by the Python extension and C apps. Owns the memfds, pipes and sockets of every link. The
 * thread that waits first polls for all; the others wait for it. Writes to nobody's memory but its
 * own, and never to the parent.
 */
#include "link/link_worker_priv.h"
#include "lib/chan.h"
#include "lib/must.h"
#include "lib/sys.h"
#include "tbl/tbl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* The process has one worker end; a fork handler has no argument, so this is the one global that
 * the interface of pthread_atfork() demands. Written before threads exist, and in a forked child.
 */
static struct link_worker *forkable;

static void on_fork_child(void)
{
	if (forkable)
		atomic_store(&forkable->forked, true);
}

static int make_status(struct link_worker *w)
{
	void *map;
	int err = sys_shm_create("stead-status", sizeof(*w->status), &w->status_fd, &map);

	if (err)
		return err;
	w->status = map;
	w->status->magic = LINK_MAGIC;
	w->status->version = LINK_VERSION_MAX;
	w->status->threads = w->nthreads;
	return 0;
}

int link_worker_new(unsigned nthreads, int parent_fd, struct link_worker **ret)
{
	struct link_worker *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	w->nthreads = nthreads < 1 ? 1 : nthreads > LINK_THREADS_MAX ? LINK_THREADS_MAX : nthreads;
	w->parent_fd = parent_fd;
	w->status_fd = w->wakeup[0] = w->wakeup[1] = w->epoll_fd = -1;
	w->waiting_tail = &w->waiting;
	w->touched_tail = &w->touched;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->changed, NULL);
	w->msg_mem = malloc(CHAN_PAYLOAD_MAX + sizeof(struct msg_head));
	err = w->msg_mem ? make_status(w) : -ENOMEM;
	if (!err && pipe2(w->wakeup, O_CLOEXEC | O_NONBLOCK) < 0)
		err = -errno;
	if (!err && !forkable)
		err = -pthread_atfork(NULL, NULL, on_fork_child);
	if (err) {
		link_worker_free(w);
		return err;
	}
	forkable = w;
	*ret = w;
	return 0;
}

void link_worker_async(struct link_worker *w, unsigned concurrency, enum link_form form)
{
	w->concurrency = concurrency;
	w->form = form;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void link_free(struct link_worker_link *k)
{
	close_fd(&k->sock);
	close_fd(&k->wake_rd);
	close_fd(&k->wake_wr);
	for (unsigned i = 0; i < LINK_FAR / LINK_FAR_BLOCK; i++)
		free(k->far[i]);
	link_end_done(&k->end);
	free(k);
}

void link_worker_free(struct link_worker *w)
{
	if (!w)
		return;
	while (w->waiting) {
		struct link_req *r = w->waiting;

		w->waiting = r->next;
		link_req_free(r);
	}
	for (unsigned i = 0; i < w->nlinks; i++)
		link_free(w->links[i]);
	while (w->free) {
		struct link_req *r = w->free;

		w->free = r->next;
		free(r->env);
		free(r->in);
		free(r);
	}
	if (w->status)
		sys_shm_unmap(w->status, sizeof(*w->status));
	close_fd(&w->status_fd);
	close_fd(&w->wakeup[0]);
	close_fd(&w->wakeup[1]);
	close_fd(&w->epoll_fd);
	if (forkable == w)
		forkable = NULL;
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->changed);
	free(w->msg_mem);
	free(w);
}

/* Into the set of link_worker_fd(), if there is one. One that cannot be watched must not be waited
 * for. */
static int watch(struct link_worker *w, int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

	if (w->epoll_fd < 0 || fd < 0)
		return 0;
	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

static void unwatch(struct link_worker *w, int fd)
{
	if (w->epoll_fd >= 0 && fd >= 0)
		(void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/* Who runs them learns that nobody waits any more. */
static void touch_all(struct link_worker_link *k)
{
	for (unsigned i = 0; k->w->concurrency && i < LINK_SEATS_ALL; i++) {
		struct link_req **seat = link_seat(k, i, false);

		if (seat && *seat)
			link_touch(*seat);
	}
}

void link_break(struct link_worker_link *k)
{
	if (k->dead)
		return;
	k->dead = true;
	k->w->events++;
	unwatch(k->w, k->sock);
	unwatch(k->w, k->wake_rd);
	touch_all(k);
	/* The gate sees the end of the link; descriptors stay until no request points here. */
	shutdown(k->sock, SHUT_RDWR);
}

/* Send descriptors with one datagram. */
static int send_fds(int sock, const void *p, size_t n, const int *fds, unsigned nfds)
{
	struct iovec iov = {(void *)p, n};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct msghdr h = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(nfds * sizeof(int))};
	struct cmsghdr *c;

	memset(&control, 0, sizeof(control));
	c = CMSG_FIRSTHDR(&h);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
	memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	return sendmsg(sock, &h, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static int say_hello(struct link_worker *w, struct link_worker_link *k)
{
	struct link_hello hello;
	int fds[2], err;

	err = link_end_create(&k->end, &fds[0]);
	if (err)
		return err;
	fds[1] = w->status_fd;
	link_hello_fill(&hello);
	hello.threads = w->nthreads;
	hello.concurrency = w->concurrency;
	hello.form = w->form;
	err = send_fds(k->sock, &hello, sizeof(hello), fds, 2);
	close(fds[0]);
	return err;
}

/* A gate that is gone leaves its place to its successor. */
static void reap_links(struct link_worker *w)
{
	for (unsigned i = 0; i < w->nlinks; i++) {
		if (!w->links[i]->dead || w->links[i]->running)
			continue;
		link_free(w->links[i]);
		w->links[i--] = w->links[--w->nlinks];
	}
}

static int add_link(struct link_worker *w, int fd)
{
	struct link_worker_link *k;
	int err;

	k = w->nlinks < LINK_WORKER_LINKS_MAX ? calloc(1, sizeof(*k)) : NULL;
	if (!k) {
		close(fd);
		return -EMFILE;
	}
	k->w = w;
	k->sock = fd;
	k->wake_rd = k->wake_wr = -1;
	err = sys_cloexec(fd, true);
	if (!err)
		err = say_hello(w, k);
	if (!err)
		err = watch(w, fd);
	if (err)
		link_free(k);
	else
		w->links[w->nlinks++] = k;
	w->events++;
	return err;
}

int link_worker_add(struct link_worker *w, int fd)
{
	int err;

	pthread_mutex_lock(&w->lock);
	err = add_link(w, fd);
	pthread_mutex_unlock(&w->lock);
	/* The thread that polls must learn of the new descriptor. */
	(void)!write(w->wakeup[1], "", 1);
	return err;
}

void link_worker_stop(struct link_worker *w)
{
	atomic_store(&w->stopping, true);
	(void)!write(w->wakeup[1], "", 1);
}

bool link_worker_stopping(const struct link_worker *w)
{
	return atomic_load(&w->stopping);
}

int link_worker_wakeup_fd(const struct link_worker *w)
{
	return w->wakeup[1];
}

uint64_t link_worker_seen(struct link_worker *w)
{
	uint64_t seen;

	pthread_mutex_lock(&w->lock);
	seen = w->events;
	pthread_mutex_unlock(&w->lock);
	return seen;
}

/* A datagram of the link socket: the gate's hello, or its end. */
static void read_sock(struct link_worker_link *k)
{
	struct link_hello hello;
	struct iovec iov = {&hello, sizeof(hello)};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(8 * sizeof(int))];
	} control;
	struct msghdr h = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	int fds[8], n = 0;
	ssize_t got;

	got = recvmsg(k->sock, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	for (struct cmsghdr *c = got > 0 ? CMSG_FIRSTHDR(&h) : NULL; c; c = CMSG_NXTHDR(&h, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && !n) {
			n = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			n = n > 8 ? 8 : n;
			memcpy(fds, CMSG_DATA(c), (size_t)n * sizeof(int));
		}
	}
	if (got <= 0 || k->up || n != 3 || link_hello_check(&hello, (size_t)got) < 0 ||
		link_end_attach(&k->end, fds[0]) < 0) {
		while (n > 0)
			close(fds[--n]);
		link_break(k);
		return;
	}
	close(fds[0]);
	k->wake_rd = fds[1];
	k->wake_wr = fds[2];
	k->up = true;
	if (watch(k->w, k->wake_rd) < 0)
		link_break(k);
}

static void read_parent(struct link_worker *w)
{
	struct msg m;
	int err = chan_recv_blocking(w->parent_fd, &m, w->msg_mem);

	if (err) {
		/* The parent is gone: nobody would start, watch or end this process. */
		unwatch(w, w->parent_fd);
		w->parent_fd = -1;
		atomic_store(&w->stopping, true);
		w->events++;
		return;
	}
	for (unsigned i = 0; i < m.nfds; i++) {
		int fd = msg_take_fd(&m, i);

		if (m.h.type == MSG_LINK && i == 0)
			(void)add_link(w, fd);
		else if (fd >= 0)
			close(fd);
	}
	reap_links(w);
}

/* After `asleep`: has something come that no wake-up will tell of? */
static bool must_look(struct link_worker_link *k)
{
	int err;

	if (link_pending(&k->end))
		return true;
	for (unsigned i = 0; i < LINK_SEATS && k->running; i++) {
		struct link_req *r = k->seats[i];

		if (r && r->state == LINK_REQ_RUNNING && !r->gone_told &&
			link_stopped(&k->end, r->seat, r->id)) {
			link_touch(r);
			return r->gone_told = true;
		}
	}
	return k->want && link_room(&k->end, 64, &err) != NULL;
}

static void drain_pipe(int fd)
{
	char junk[64];

	while (read(fd, junk, sizeof(junk)) == (ssize_t)sizeof(junk)) {
	}
}

/* What one waits for, and the links that it belongs to. */
struct polled {
	struct pollfd p[2 + 2 * LINK_WORKER_LINKS_MAX];
	struct link_worker_link *links[LINK_WORKER_LINKS_MAX];
	unsigned n, nlinks;
};

/* Under the lock: be asleep for every gate. True: there is something to look at already. */
static bool fall_asleep(struct link_worker *w, struct polled *q)
{
	bool look = false;

	q->n = 2;
	q->nlinks = 0;
	q->p[0] = (struct pollfd){.fd = w->wakeup[0], .events = POLLIN};
	q->p[1] = (struct pollfd){.fd = w->parent_fd, .events = POLLIN};
	for (unsigned i = 0; i < w->nlinks; i++) {
		struct link_worker_link *k = w->links[i];

		if (k->dead)
			continue;
		q->links[q->nlinks++] = k;
		q->p[q->n++] = (struct pollfd){.fd = k->sock, .events = POLLIN};
		q->p[q->n++] = (struct pollfd){.fd = k->wake_rd, .events = POLLIN};
		if (k->up) {
			link_asleep(&k->end, k->want);
			look |= must_look(k);
		}
	}
	return look;
}

/* Under the lock: be awake again, and see what has come. `any`: some descriptor is readable. */
static void wake_up(struct link_worker *w, const struct polled *q, bool any)
{
	for (unsigned i = 0; i < q->nlinks; i++) {
		if (q->links[i]->up)
			link_awake(&q->links[i]->end);
		q->links[i]->want = false;
	}
	w->events++;
	w->ended_us = 0;
	if (any) {
		if (q->p[0].revents)
			drain_pipe(w->wakeup[0]);
		for (unsigned i = 0; i < q->nlinks; i++) {
			if (q->p[3 + 2 * i].revents)
				drain_pipe(q->links[i]->wake_rd);
			if (q->p[2 + 2 * i].revents)
				read_sock(q->links[i]);
		}
		/* Last: it may add a link, and free dead ones. */
		if (q->p[1].revents && w->parent_fd >= 0)
			read_parent(w);
	}
	link_pump(w);
}

/* Under the lock; gives it up while polling. */
static int poll_once(struct link_worker *w)
{
	struct polled q __attribute__((uninitialized));
	int res = 0, got = 0;

	if (!fall_asleep(w, &q)) {
		pthread_mutex_unlock(&w->lock);
		got = poll(q.p, q.n, -1);
		res = got < 0 ? -errno : 0;
		pthread_mutex_lock(&w->lock);
	}
	wake_up(w, &q, got > 0);
	return res;
}

int link_worker_fd(struct link_worker *w)
{
	int err = 0;

	pthread_mutex_lock(&w->lock);
	if (w->epoll_fd < 0) {
		w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		err = w->epoll_fd < 0 ? -errno : watch(w, w->wakeup[0]);
		if (!err)
			err = watch(w, w->parent_fd);
		for (unsigned i = 0; i < w->nlinks && !err; i++) {
			struct link_worker_link *k = w->links[i];

			if (!k->dead && !(err = watch(w, k->sock)))
				err = watch(w, k->wake_rd);
		}
		if (err)
			close_fd(&w->epoll_fd);
	}
	pthread_mutex_unlock(&w->lock);
	return err ? err : w->epoll_fd;
}

/* Which of those descriptors are readable now: from the set, where there is one, because asking for
 * each costs more. */
static int look(struct link_worker *w, struct polled *q)
{
	struct epoll_event ready[16]; /* of more than so many the rest is seen the next time */
	int n;

	if (w->epoll_fd < 0)
		return poll(q->p, q->n, 0);
	n = epoll_wait(w->epoll_fd, ready, ARRAY_LEN(ready), 0);
	for (int i = 0; i < n; i++) {
		for (unsigned k = 0; k < q->n; k++)
			if (q->p[k].fd == ready[i].data.fd)
				q->p[k].revents = POLLIN;
	}
	return n;
}

int link_worker_arm(struct link_worker *w, bool again)
{
	struct polled q __attribute__((uninitialized));
	int res = 0, got;

	if (atomic_load(&w->forked))
		return -ECHILD;
	pthread_mutex_lock(&w->lock);
	if (w->polling) {
		res = -EBUSY;
	} else {
		res = fall_asleep(w, &q) || w->events != w->armed ||
		      (w->waiting && w->busy < w->nthreads);
		/* What is readable ends the wait at once, so a second look is for the rings alone.
		 */
		got = again ? 0 : look(w, &q);
		if (res || got > 0) {
			wake_up(w, &q, got > 0);
			res = 1;
		}
		w->armed = w->events;
	}
	pthread_mutex_unlock(&w->lock);
	return res;
}

struct link_req *link_worker_touched(struct link_worker *w)
{
	struct link_req *r;

	pthread_mutex_lock(&w->lock);
	r = w->touched;
	if (r) {
		w->touched = r->next_touched;
		if (!w->touched)
			w->touched_tail = &w->touched;
		r->touched = false;
	}
	pthread_mutex_unlock(&w->lock);
	return r;
}

int link_worker_wait(struct link_worker *w, uint64_t seen)
{
	int res = 0;

	if (atomic_load(&w->forked))
		return -ECHILD;
	pthread_mutex_lock(&w->lock);
	while (w->events == seen && !res) {
		if (w->polling) {
			pthread_cond_wait(&w->changed, &w->lock);
			continue;
		}
		w->polling = true;
		res = poll_once(w);
		w->polling = false;
		pthread_cond_broadcast(&w->changed);
	}
	pthread_mutex_unlock(&w->lock);
	return res;
}
