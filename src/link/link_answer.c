/*
 * link_answer.c: the worker's end, one request: taking it, reading its body, answering it.
 *
 * Called by the threads that run the app (python/, C apps). Each function takes the worker's lock
 * for as long as it copies and never blocks; -EAGAIN means window or ring are used up.
 */
#include "link/link_worker_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

uint64_t link_mono_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void link_flush(struct link_worker_link *k)
{
	link_publish(&k->end);
	if (link_must_wake(&k->end, false))
		(void)!write(k->wake_wr, "", 1);
}

/* Before the frame that tells it, so that a gate that sees the end also sees the worker idle. */
static void count_end(struct link_req *r)
{
	struct link_worker *w = r->link->w;
	uint64_t now = link_mono_us(), took = now - r->begun_us;
	uint32_t us = took > 100000000 ? 100000000 : (uint32_t)took;

	w->busy--;
	r->counted = false;
	/* An eighth of the new one; rounded up, so that a short one is not told as 0 for ever. */
	w->service_us = w->service_us ? (uint32_t)(((uint64_t)w->service_us * 7 + us + 7) / 8) : us;
	atomic_store_explicit(&w->status->service_us, w->service_us, memory_order_relaxed);
	atomic_store_explicit(&w->status->running[r->thread], 0, memory_order_relaxed);
	atomic_store_explicit(&w->status->busy, w->busy, memory_order_relaxed);
	/* One writer, under the lock. */
	atomic_store_explicit(&w->status->done,
		atomic_load_explicit(&w->status->done, memory_order_relaxed) + 1, memory_order_relaxed);
	w->ended_us = now;
}

/* Append one frame of two pieces. -EAGAIN: no room in the ring. */
static int put(struct link_req *r, uint16_t type, uint16_t flags, uint32_t arg, const void *a,
	size_t a_len, const void *b, size_t b_len)
{
	struct link_worker_link *k = r->link;
	struct link_desc d = {
		.id = r->id, .type = type, .flags = flags, .arg = arg, .seat = r->seat};
	char *p;
	int err;

	if (k->dead)
		return -EPIPE;
	p = link_room(&k->end, a_len + b_len, &err);
	if (err) {
		link_break(k);
		return -EPIPE;
	}
	if (!p) {
		k->want = true;
		return a_len + b_len > LINK_FRAME_MAX ? -EMSGSIZE : -EAGAIN;
	}
	if (a_len)
		memcpy(p, a, a_len);
	if (b_len)
		memcpy(p + a_len, b, b_len);
	if (flags & LINK_END) {
		if (r->counted)
			count_end(r);
		r->ended = true;
		*link_seat(k, r->seat, false) = NULL;
	}
	link_put(&k->end, &d, a_len + b_len);
	return 0;
}

void link_pay(struct link_worker_link *k)
{
	bool left = false;

	for (unsigned i = 0; i < LINK_SEATS; i++) {
		struct link_req *r = k->seats[i];

		if (!r || r->state != LINK_REQ_OWES)
			continue;
		if (put(r, LINK_WITHDRAWN, LINK_END, 0, NULL, 0, NULL, 0))
			left = true;
		else
			link_req_free(r);
	}
	k->owes = left;
	if (!k->dead)
		link_flush(k);
}

/* Under the lock. Begin r, or give it back when it was stopped. */
static bool begin(struct link_worker *w, struct link_req *r, unsigned thread)
{
	struct link_worker_link *k = r->link;

	if (!link_begin(&k->end, r->seat, r->id)) {
		r->state = LINK_REQ_OWES;
		k->owes = true;
		link_pay(k);
		return false;
	}
	r->state = LINK_REQ_RUNNING;
	r->thread = thread;
	/* Of requests in a row one's end is the next one's beginning. */
	r->begun_us = w->ended_us && w->nthreads == 1 && !w->concurrency ? w->ended_us : link_mono_us();
	r->counted = true;
	w->busy++;
	atomic_store_explicit(&w->status->running[thread], r->id, memory_order_relaxed);
	atomic_store_explicit(&w->status->busy, w->busy, memory_order_relaxed);
	return true;
}

int link_worker_take(struct link_worker *w, unsigned thread, struct link_req **ret)
{
	int res = -EAGAIN;

	if (w->forked)
		return -ECHILD;
	pthread_mutex_lock(&w->lock);
	if (!w->waiting)
		link_pump(w);
	while (res == -EAGAIN && w->waiting && !atomic_load(&w->stopping)) {
		struct link_req *r = w->waiting;

		w->waiting = r->next;
		if (!w->waiting)
			w->waiting_tail = &w->waiting;
		if (r->link->dead) {
			link_req_free(r);
		} else if (begin(w, r, thread)) {
			*ret = r;
			res = 0;
		}
	}
	if (res == -EAGAIN && atomic_load(&w->stopping))
		res = -ESHUTDOWN;
	pthread_mutex_unlock(&w->lock);
	return res;
}

const char *link_req_env(const struct link_req *r, size_t *ret_n)
{
	*ret_n = r->env_len;
	return r->env ? r->env : "";
}

char *link_req_env_own(struct link_req *r, size_t *ret_n)
{
	*ret_n = r->env_len;
	return r->env;
}

bool link_req_has_body(const struct link_req *r)
{
	return r->has_body;
}

bool link_req_ended(const struct link_req *r)
{
	return r->ended;
}

static bool gone(struct link_req *r)
{
	if (!r->gone && (r->link->dead || link_stopped(&r->link->end, r->seat, r->id)))
		r->gone = true;
	return r->gone;
}

uint64_t link_req_id(const struct link_req *r)
{
	return r->id;
}

void *link_req_user(const struct link_req *r)
{
	return r->user;
}

void link_req_set_user(struct link_req *r, void *user)
{
	r->user = user;
}

bool link_req_body_over(const struct link_req *r)
{
	return r->in_end && !r->in_len;
}

size_t link_req_room(const struct link_req *r)
{
	return r->room;
}

bool link_req_may_tunnel(const struct link_req *r)
{
	return r->may_tunnel;
}

bool link_req_away(const struct link_req *r)
{
	return r->away;
}

bool link_req_gone(const struct link_req *r)
{
	return r->gone || r->link->dead ||
	       (!r->link->w->forked && link_stopped(&r->link->end, r->seat, r->id));
}

/* Credit is told in parts of the window, and at once when nothing else is under way; a tunnel's, whose
 * messages come one by one, in parts only. */
static void tell_credit(struct link_req *r)
{
	uint32_t part = r->tunnel ? LINK_WINDOW_TUNNEL / 4 : LINK_WINDOW / 4;

	if (!r->credit || r->in_end || (r->credit < part && (r->in_len || r->tunnel)))
		return;
	if (put(r, LINK_CREDIT, 0, r->credit, NULL, 0, NULL, 0) == 0) {
		r->credit = 0;
		link_flush(r->link);
	}
}

long link_req_read(struct link_req *r, void *p, size_t n)
{
	struct link_worker *w = r->link->w;
	long res;

	if (w->forked)
		return -ECHILD;
	pthread_mutex_lock(&w->lock);
	if (!r->in_len && !r->in_end)
		link_pump(w);
	if (r->in_len && n) {
		uint32_t take = n < r->in_len ? (uint32_t)n : r->in_len;

		/* Up to the circle's end; the caller asks again for more. */
		if (take > r->in_cap - r->in_at)
			take = r->in_cap - r->in_at;
		memcpy(p, r->in + r->in_at, take);
		r->in_at = (r->in_at + take) % r->in_cap;
		r->in_len -= take;
		if (!r->in_len)
			r->in_at = 0;
		r->credit += take;
		res = take;
	} else {
		res = r->in_end || !n ? 0 : r->ended || gone(r) ? -EPIPE : -EAGAIN;
	}
	if (!r->ended)
		tell_credit(r);
	pthread_mutex_unlock(&w->lock);
	return res;
}

/* One frame with as much of the body as the window and the ring take; `whole`: with all of it, or
 * none. */
static int answer(struct link_req *r, uint16_t type, const void *head, size_t head_len,
	const void *body, size_t n, bool end, bool whole, size_t *ret_took)
{
	struct link_worker *w = r->link->w;
	size_t max, took = n;
	int res;

	*ret_took = 0;
	if (w->forked)
		return -ECHILD;
	pthread_mutex_lock(&w->lock);
	if (took > r->room)
		took = r->room;
	if (took > LINK_FRAME_MAX - head_len)
		took = LINK_FRAME_MAX - head_len;
	if (n && (whole ? took < n : !took && type == LINK_BODY)) {
		/* Only the gate can help: see what it says. */
		link_pump(w);
		took = n < r->room ? n : r->room;
	}
	if (gone(r)) {
		res = -EPIPE;
		goto out;
	}
	if (n && (whole ? took < n : !took && type == LINK_BODY)) {
		res = -EAGAIN;
		goto out;
	}
	if (took < n)
		end = false;
	res = put(r, type, end ? LINK_END : 0, (uint32_t)head_len, head, head_len, body, took);
	if (res == -EAGAIN && took > 4096 && !whole) {
		int err;

		max = link_room_max(&r->link->end, &err);
		if (!err && max > head_len) {
			took = max - head_len < took ? max - head_len : took;
			res = put(r, type, 0, (uint32_t)head_len, head, head_len, body, took);
		}
	}
	if (res == 0) {
		r->head_sent = true;
		r->room -= (uint32_t)took;
		*ret_took = took;
		link_flush(r->link);
	}
out:
	pthread_mutex_unlock(&w->lock);
	return res;
}

int link_req_head(struct link_req *r, const void *head, size_t head_len, const void *body, size_t n,
	bool end, size_t *ret_took)
{
	if (head_len > LINK_FRAME_MAX)
		return -EMSGSIZE;
	return answer(r, LINK_HEAD, head, head_len, body, n, end, false, ret_took);
}

int link_req_tunnel(struct link_req *r, const void *head, size_t head_len)
{
	struct link_worker *w = r->link->w;
	int res;

	if (w->forked)
		return -ECHILD;
	if (!r->may_tunnel || r->head_sent || head_len > LINK_FRAME_MAX)
		return -EINVAL;
	pthread_mutex_lock(&w->lock);
	res = gone(r) ? -EPIPE
		      : put(r, LINK_HEAD, LINK_TUNNEL, (uint32_t)head_len, head, head_len, NULL, 0);
	if (res == 0) {
		/* It runs no more; the gate may give another. */
		count_end(r);
		r->head_sent = r->tunnel = true;
		r->in_end = false;
		r->room = LINK_WINDOW_TUNNEL;
		link_flush(r->link);
	}
	pthread_mutex_unlock(&w->lock);
	return res;
}

int link_req_body(struct link_req *r, const void *p, size_t n, bool end, size_t *ret_took)
{
	return answer(r, LINK_BODY, NULL, 0, p, n, end, false, ret_took);
}

int link_req_whole(struct link_req *r, const void *head, size_t head_len, const void *body,
	size_t n, size_t *ret_took)
{
	*ret_took = 0;
	if (n > r->window || n + head_len > LINK_FRAME_MAX)
		return -EMSGSIZE;
	return answer(
		r, head ? LINK_HEAD : LINK_BODY, head, head_len, body, n, true, true, ret_took);
}

/* The file systems whose server can leave a reader waiting for ever. */
static bool may_hang(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return true;
	switch ((unsigned long)fs.f_type) {
	case 0x6969ul:     /* NFS */
	case 0x65735546ul: /* FUSE */
	case 0xff534d42ul: /* CIFS */
	case 0xfe534d42ul: /* SMB2 */
	case 0x517bul:     /* SMB */
	case 0x01021997ul: /* 9p */
	case 0x00c36400ul: /* Ceph */
	case 0x5346414ful: /* AFS */
		return true;
	default:
		return false;
	}
}

bool link_file_good(int fd, uint64_t off, uint64_t len)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && !may_hang(fd) && st.st_size >= 0 &&
	       off <= (uint64_t)st.st_size && len <= (uint64_t)st.st_size - off;
}

static int send_file_msg(struct link_worker_link *k, int fd)
{
	struct link_file_msg m = {LINK_FILE_MAGIC, k->files + 1};
	struct iovec iov = {&m, sizeof(m)};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr h = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.room)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);

	memset(&control, 0, sizeof(control));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (sendmsg(k->sock, &h, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	k->files++;
	return 0;
}

int link_req_file(struct link_req *r, int fd, uint64_t off, uint64_t len)
{
	struct link_worker *w = r->link->w;
	struct link_file f = {.off = off, .len = len};
	int res, err;

	if (w->forked)
		return -ECHILD;
	if (!link_file_good(fd, off, len))
		return -EINVAL;
	pthread_mutex_lock(&w->lock);
	if (gone(r)) {
		res = -EPIPE;
	} else if (!link_room(&r->link->end, sizeof(f), &err)) {
		res = -EAGAIN;
		r->link->want = true;
	} else {
		/* The descriptor goes first: when its frame is seen it is already there. */
		res = send_file_msg(r->link, fd);
		f.number = r->link->files;
		if (!res) {
			res = put(r, LINK_FILE, LINK_END, 0, &f, sizeof(f), NULL, 0);
		}
		if (!res)
			link_flush(r->link);
	}
	pthread_mutex_unlock(&w->lock);
	return res;
}

int link_req_fail(struct link_req *r)
{
	struct link_worker *w = r->link->w;
	int res = 0;

	if (w->forked)
		return -ECHILD;
	pthread_mutex_lock(&w->lock);
	if (!r->ended) {
		res = put(r, LINK_FAIL, LINK_END, 0, NULL, 0, NULL, 0);
		if (!res)
			link_flush(r->link);
	}
	pthread_mutex_unlock(&w->lock);
	return res;
}

/* A request whose end was not told keeps its seat at the gate, so this must not happen on a live
 * link: the app's side tells LINK_FAIL first. */
int link_req_done(struct link_req *r)
{
	struct link_worker *w = r->link->w;

	if (w->forked)
		return -ECHILD;
	pthread_mutex_lock(&w->lock);
	if (r->counted)
		count_end(r);
	link_req_free(r);
	pthread_mutex_unlock(&w->lock);
	return 0;
}
