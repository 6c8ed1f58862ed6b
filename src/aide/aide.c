/*
 * aide.c: see aide.h. Called by the main functions of auth, resolve and keys. Owns the channels. What
 * comes on them is checked against tbl/msgs.h before it is looked at; the parent's end is the
 * process's own.
 */
#include "aide.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "lib/must.h"

static void hello(const struct aide *a, struct chan *c)
{
	struct msg_hello h = {.min = MSG_MAJOR_MIN,
		.max = MSG_MAJOR_MAX,
		.role = a->role,
		.build = STEAD_VERSION};

	(void)chan_send(c, MSG_HELLO, 0, &h, sizeof(h), NULL, 0, NULL, 0);
}

static bool hello_holds(const struct msg *m)
{
	struct msg_hello h;

	return m->h.type == MSG_HELLO && msg_get(m, &h, sizeof(h), sizeof(h)) == 0 &&
	       h.min <= MSG_MAJOR_MAX && h.max >= MSG_MAJOR_MIN;
}

/* ---- gates ---- */

static bool peer_allowed(struct chan *c, const struct msg_head *h, unsigned nfds)
{
	const struct aide_peer *p = c->owner;

	return msg_allowed((enum proc)p->role, p->aide->role, h->type, h->len, nfds);
}

static void peer_gone(struct chan *c, int why)
{
	struct aide_peer *p = c->owner;
	struct aide *a = p->aide;

	(void)why;
	if (a->ops->gone)
		a->ops->gone(a, p);
	p->aide = NULL;
}

static void peer_drop(struct aide_peer *p)
{
	chan_close(&p->chan);
	peer_gone(&p->chan, 0);
}

static void peer_got(struct chan *c, struct msg *m)
{
	struct aide_peer *p = c->owner;

	if (p->greeted) {
		p->aide->ops->heard(p->aide, p, m);
		return;
	}
	p->greeted = hello_holds(m);
	if (!p->greeted)
		peer_drop(p);
	else if (p->aide->ops->up)
		p->aide->ops->up(p->aide, p);
}

static const struct chan_ops peer_ops = {peer_allowed, peer_got, peer_gone};

void aide_answer(struct aide_peer *to, uint16_t type, uint64_t id, const void *p, size_t n,
	const void *q, size_t m)
{
	if (to->aide && chan_open(&to->chan) &&
		chan_send(&to->chan, type, id, p, n, q, m, NULL, 0) == -ENOBUFS)
		peer_drop(to);
}

static void hear_channel(struct aide *a, struct msg *m)
{
	struct aide_peer *p = NULL;
	struct msg_channel to;
	int fd;

	if (msg_get(m, &to, sizeof(to), sizeof(to)) < 0 ||
		(to.role != PROC_GATE && to.role != PROC_CTL && to.role != PROC_CERTS && to.role != PROC_KEYS &&
			to.role != PROC_RESOLVE))
		return;
	for (unsigned i = 0; i < AIDE_PEERS_MAX && !p; i++)
		if (!a->peer[i].aide)
			p = &a->peer[i];
	if (!p)
		return;
	fd = msg_take_fd(m, 0);
	*p = (struct aide_peer){.aide = a,
		.role = to.role,
		.index = to.index,
		.generation = to.generation};
	if (chan_init(&p->chan, a->loop, fd, &peer_ops, p) < 0) {
		close(fd);
		p->aide = NULL;
		return;
	}
	hello(a, &p->chan);
}

/* ---- the parent ---- */

static bool parent_allowed(struct chan *c, const struct msg_head *h, unsigned nfds)
{
	const struct aide *a = c->owner;

	return msg_allowed(PROC_PARENT, a->role, h->type, h->len, nfds);
}

static void hear_start(struct aide *a, struct msg *m)
{
	int err = a->started ? -EPROTO : a->ops->started(a, m);

	if (err)
		fatal(proc_rows[a->role].name, "cannot start: %s", strerror(-err));
	a->started = true;
	(void)chan_send(&a->parent, MSG_READY, 0, NULL, 0, NULL, 0, NULL, 0);
}

static void parent_got(struct chan *c, struct msg *m)
{
	struct aide *a = c->owner;

	if (!a->greeted) {
		if (!hello_holds(m))
			fatal(proc_rows[a->role].name, "the parent speaks another version");
		a->greeted = true;
	} else if (m->h.type == MSG_START) {
		hear_start(a, m);
	} else if (m->h.type == MSG_CHANNEL) {
		hear_channel(a, m);
	} else if (m->h.type == MSG_STOP) {
		(void)chan_send(&a->parent, MSG_STOPPED, 0, NULL, 0, NULL, 0, NULL, 0);
		loop_stop(a->loop);
	} else if (a->ops->told) {
		a->ops->told(a, m);
	}
}

static void parent_gone(struct chan *c, int why)
{
	struct aide *a = c->owner;

	(void)why;
	loop_stop(a->loop);
}

static const struct chan_ops parent_ops = {parent_allowed, parent_got, parent_gone};

int aide_open(struct aide *a, struct loop *l, enum proc role, const struct aide_ops *ops)
{
	int err;

	a->loop = l;
	a->role = role;
	a->ops = ops;
	err = chan_init(&a->parent, l, AIDE_PARENT_FD, &parent_ops, a);
	if (!err)
		hello(a, &a->parent);
	return err;
}
