/*
 * ask.c: one question to a one-shot process, its findings and its end.
 *
 * Called by the up flow. Owns the asks: the parent is told to start the role (ONESHOT), gives its
 * channel (SPAWNED) and tells its death (EXITED). An answer counts when it came whole; a process
 * that ends without one is an error like any other. The words of a one-shot are input: bounded and
 * unpacked.
 */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void unlink_ask(struct ask *a)
{
	struct ask **at = &a->ctl->asks;

	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
}

void ask_give(struct ask *a, int fd)
{
	if (a->fd >= 0)
		close(a->fd);
	a->fd = fd;
}

static void let_go(struct ask *a)
{
	ask_give(a, -1);
	buf_done(&a->payload);
	free(a);
}

static void ask_free(struct ask *a)
{
	unlink_ask(a);
	chan_close(&a->chan);
	let_go(a);
}

/* The one end: told to the owner when it still waits. */
static void finish(struct ask *a, const struct ask_end *end)
{
	const struct ask_ops *ops = a->owner ? a->ops : NULL;

	/* Out of the list first: the owner may forget all of its asks from inside. */
	unlink_ask(a);
	chan_close(&a->chan);
	if (ops)
		ops->ended(a, end);
	let_go(a);
}

static void finish_with(struct ask *a, const char *why, const char *todo)
{
	char text[300];
	struct ask_end end = {
		.err = EIO, .exit_code = VERB_EXIT_FAILED, .error = text, .todo = todo, .result = ""};

	(void)snprintf(text, sizeof text, "stead-%s %s", proc_rows[a->role].name, why);
	finish(a, &end);
}

static void finish_without(struct ask *a, const char *why)
{
	finish_with(a, why, "`stead logs` may show more; this is a bug in stead if it comes again");
}

/* Did the parent end it, or not begin it, for a reason that is no fault of it? Then it is told. */
static bool say_why(struct ask *a, int why)
{
	if (why == ESHUTDOWN)
		finish_with(a, "could not go on: stead was stopped",
			"somebody else ended it, by `stead stop` or a signal: start it, then try again");
	else if (why == ETIMEDOUT)
		finish_with(a, "took too long and was ended", "see what else this machine has to do, then try again");
	else
		return false;
	return true;
}

static bool allowed(struct chan *ch, const struct msg_head *h, unsigned nfds)
{
	struct ask *a = ch->owner;

	return msg_allowed(a->role, PROC_CTL, h->type, h->len, nfds);
}

static void got_end(struct ask *a, const struct msg *m)
{
	struct ask_end end = {.error = "", .todo = "", .result = ""};
	struct msg_end fixed;
	struct unpack u;
	const char *tail;
	size_t n;

	if (msg_get(m, &fixed, sizeof fixed, sizeof fixed) < 0) {
		finish_without(a, "gave a malformed answer");
		return;
	}
	tail = msg_tail(m, sizeof fixed, &n);
	unpack_init(&u, tail, n);
	if (m->h.type != MSG_CHECK_END) {
		end.error = unpack_str(&u);
		end.todo = unpack_str(&u);
		end.result = unpack_str(&u);
	}
	if (u.bad) {
		finish_without(a, "gave a malformed answer");
		return;
	}
	end.err = fixed.err;
	end.exit_code = fixed.err && !fixed.exit_code ? VERB_EXIT_FAILED : fixed.exit_code;
	finish(a, &end);
}

static void got(struct chan *ch, struct msg *m)
{
	struct ask *a = ch->owner;
	struct unpack u;

	if (!a->greeted) {
		a->greeted = m->h.type == MSG_HELLO;
		if (!a->greeted)
			finish_without(a, "did not say HELLO");
		return;
	}
	switch ((enum msg_type)m->h.type) {
	case MSG_DB_STEP:
		unpack_init(&u, m->payload, m->h.len);
		if (a->owner && a->ops->step) {
			const char *text = unpack_str(&u);
			uint32_t permille = unpack_u32(&u);

			if (!u.bad)
				a->ops->step(a, text, permille);
		}
		break;
	case MSG_CHECK_END:
	case MSG_DB_END:
	case MSG_BUILD_END:
	case MSG_ACT_END:
	case MSG_ALERT_END:
		got_end(a, m);
		break;
	default:
		if (a->owner && a->ops->heard)
			a->ops->heard(a, m);
	}
}

static void say_exit(struct ask *a)
{
	char text[128];

	if (say_why(a, a->why))
		return;
	if (a->status < 0)
		(void)snprintf(
			text, sizeof text, "was ended by signal %d before it answered", -a->status);
	else
		(void)snprintf(
			text, sizeof text, "ended with status %d before it answered", a->status);
	finish_without(a, text);
}

static void gone(struct chan *ch, int why)
{
	struct ask *a = ch->owner;

	/* Its death is told by the parent and says more than a closed channel. */
	if (why == -EPROTO)
		finish_without(a, "broke the message protocol");
	else if (a->exited)
		say_exit(a);
}

static const struct chan_ops ops = {allowed, got, gone};

struct ask *ask_start(struct ctl *c, enum proc role, uint32_t uid, uint32_t gid,
	uint32_t deadline_ms, uint16_t type, struct buf *payload, const struct ask_ops *ask_ops,
	void *owner)
{
	struct msg_oneshot m = {.role = role, .uid = uid, .gid = gid, .deadline_ms = deadline_ms};
	struct ask *a = payload->error ? NULL : calloc(1, sizeof *a);

	if (!a) {
		buf_done(payload);
		return NULL;
	}
	*a = (struct ask){.next = c->asks,
		.ctl = c,
		.owner = owner,
		.ops = ask_ops,
		.id = ++c->ids,
		.role = role,
		.type = type,
		.payload = *payload,
		.fd = -1};
	a->chan.lfd.fd = -1;
	c->asks = a;
	if (parent_send(c, MSG_ONESHOT, a->id, &m, sizeof m, NULL, 0, NULL, 0) < 0) {
		ask_free(a);
		return NULL;
	}
	return a;
}

void ask_forget(struct ctl *c, const void *owner)
{
	struct msg_oneshot m = {0};

	for (struct ask *a = c->asks; a; a = a->next) {
		if (a->owner != owner)
			continue;
		a->owner = NULL;
		(void)parent_send(c, MSG_ONESHOT_KILL, a->id, &m, sizeof m, NULL, 0, NULL, 0);
	}
}

static struct ask *find(struct ctl *c, uint64_t id)
{
	struct ask *a = c->asks;

	while (a && a->id != id)
		a = a->next;
	return a;
}

void ask_spawned(struct ctl *c, struct msg *m)
{
	struct msg_hello h = {.min = MSG_MAJOR_MIN,
		.max = MSG_MAJOR_MAX,
		.role = PROC_CTL,
		.build = STEAD_VERSION};
	struct ask *a = find(c, m->h.id);
	struct msg_oneshot info;
	char text[200];
	int fd;

	if (!a || chan_open(&a->chan) || msg_get(m, &info, sizeof info, sizeof info) < 0)
		return;
	fd = info.err ? -1 : msg_take_fd(m, 0);
	if (fd < 0 || chan_init(&a->chan, c->loop, fd, &ops, a) < 0) {
		if (fd >= 0)
			close(fd);
		if (say_why(a, (int)info.err))
			return;
		(void)snprintf(
			text, sizeof text, "could not be started: %s", strerror((int)info.err));
		finish_without(a, text);
		return;
	}
	(void)chan_send(&a->chan, MSG_HELLO, 0, &h, sizeof h, NULL, 0, NULL, 0);
	(void)chan_send(&a->chan, a->type, a->id, a->payload.p, a->payload.len, NULL, 0, &a->fd,
		a->fd >= 0);
	ask_give(a, -1);
}

void ask_exited(struct ctl *c, struct msg *m)
{
	struct ask *a = find(c, m->h.id);
	struct msg_oneshot info;

	if (!a || msg_get(m, &info, sizeof info, sizeof info) < 0)
		return;
	a->exited = true;
	a->status = info.status;
	a->why = (int)info.err;
	/* What it said last may still wait in the channel; its end comes behind that. */
	if (!chan_open(&a->chan))
		say_exit(a);
}
