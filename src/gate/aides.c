/*
 * aides.c: channels to the processes that help the gate; see aides.h. Called by control.c, auth.c
 * and the upstreams. Owns the channels.
 */
#include "aides.h"
#include "auth.h"
#include "lib/must.h"
#include "resolve.h"
#include "tls_server.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static const uint8_t roles[AIDE_KINDS] = {[AIDE_RESOLVE] = PROC_RESOLVE, [AIDE_AUTH] = PROC_AUTH,
	[AIDE_KEYS] = PROC_KEYS};

const struct aide_user_ops *const aide_users[AIDE_KINDS] = {
	[AIDE_RESOLVE] = &resolve_user_ops,
	[AIDE_AUTH] = &auth_user_ops,
	[AIDE_KEYS] = &tls_user_ops,
};

static unsigned kind_of(const struct aide_link *l)
{
	struct gate *g = l->chan.owner;

	return (unsigned)(l - g->aides);
}

static bool allowed(struct chan *c, const struct msg_head *h, unsigned nfds)
{
	struct aide_link *l = container_of(c, struct aide_link, chan);

	return msg_allowed((enum proc)roles[kind_of(l)], PROC_GATE, h->type, h->len, nfds);
}

static void gone(struct chan *c, int why)
{
	struct aide_link *l = container_of(c, struct aide_link, chan);
	unsigned kind = kind_of(l);
	bool was = l->greeted;

	(void)why;
	l->greeted = false;
	if (was && aide_users[kind])
		aide_users[kind]->down(c->owner);
}

static void got(struct chan *c, struct msg *m)
{
	struct aide_link *l = container_of(c, struct aide_link, chan);
	const struct aide_user_ops *ops = aide_users[kind_of(l)];

	if (l->greeted) {
		if (ops)
			ops->heard(c->owner, m);
		return;
	}
	if (!gate_hello_holds(m)) {
		chan_close(c);
		return;
	}
	l->greeted = true;
	if (ops)
		ops->up(c->owner);
}

static const struct chan_ops ops = {allowed, got, gone};

void aides_want(struct gate *g, unsigned kind)
{
	struct msg_want m = {.role = roles[kind]};

	if (g->aides[kind].wanted || !chan_open(&g->parent))
		return;
	g->aides[kind].wanted = true;
	(void)chan_send(&g->parent, MSG_WANT, 0, &m, sizeof(m), NULL, 0, NULL, 0);
}

int aides_send(
	struct gate *g, unsigned kind, enum msg_type type, uint64_t id, const void *p, size_t n)
{
	struct aide_link *l = &g->aides[kind];

	if (!l->greeted) {
		aides_want(g, kind);
		return -EAGAIN;
	}
	return chan_send(&l->chan, (uint16_t)type, id, p, n, NULL, 0, NULL, 0);
}

bool aides_channel(struct gate *g, uint32_t role, int fd)
{
	for (unsigned i = 0; i < AIDE_KINDS; i++) {
		struct aide_link *l = &g->aides[i];

		if (roles[i] != role)
			continue;
		if (chan_open(&l->chan)) {
			chan_close(&l->chan);
			gone(&l->chan, 0);
		}
		if (chan_init(&l->chan, g->loop, fd, &ops, g) < 0)
			close(fd);
		else
			gate_hello(&l->chan);
		return true;
	}
	return false;
}

int aides_new(struct gate *g)
{
	g->aides = calloc(AIDE_KINDS, sizeof(*g->aides));
	for (unsigned i = 0; g->aides && i < AIDE_KINDS; i++) {
		g->aides[i].chan.lfd = (struct lfd)LFD_INIT;
		g->aides[i].chan.owner = g;
	}
	return g->aides ? 0 : -ENOMEM;
}

void aides_free(struct gate *g)
{
	for (unsigned i = 0; g->aides && i < AIDE_KINDS; i++)
		if (chan_open(&g->aides[i].chan))
			chan_close(&g->aides[i].chan);
	free(g->aides);
	g->aides = NULL;
}
