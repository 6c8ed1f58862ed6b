/*
 * inodes.c: who used up the inodes of the state's file system? The parent asks (DISK of INODES_WHO), act counts, and the
 * parent is told of the app that it is to end (DISK_MADE); what follows then is as for bytes (off.c).
 *
 * Called with what the parent tells. One count at a time; an answer is always sent, so that the parent can go on. Owns
 * nothing.
 */
#include "ctl.h"
#include "off.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* act ends by itself within ten. */
enum { PATIENCE_MS = 20 * 1000 };

static void answer(struct ctl *c, uint32_t app, uint64_t made)
{
	struct msg_disk m = {.app = app, .what = DISK_INODES, .wrote = made};

	(void)parent_send(c, MSG_DISK_MADE, 0, &m, sizeof m, NULL, 0, NULL, 0);
}

static void counted(struct ask *ask, const struct ask_end *end)
{
	struct ctl *c = ask->ctl;
	const struct app *a = NULL;
	char *name = NULL;
	uint64_t made;

	if (end->err)
		say(c, EV_INODES_UNCOUNTED, "error", end->error, NULL);
	made = end->err ? 0 : strtoull(end->result, &name, 10);
	if (made == 0 || *name++ != ' ') {
		answer(c, 0, 0);
		return;
	}
	a = strcmp(name, ".") == 0 ? &c->app : apps_named(c, name);
	/* What it makes may be the coming release: that is given up first, and if others go on to vanish it is asked again. */
	if (c->up && !c->up->failing && strcmp(c->up->app.name, a ? a->name : name) == 0) {
		up_fail(c->up, VERB_EXIT_FAILED, "let it make fewer files, or remove some (`df -i` shows how many can be made), then try again",
			"%s made %llu files, and hardly any more can be made on the file system of stead's state.", c->up->app.name,
			(unsigned long long)made);
		a = NULL;
	}
	answer(c, a ? a->number : 0, made);
}

static const struct ask_ops ops = {.ended = counted};

static const char *name_of(struct ctl *c, uint32_t number)
{
	const struct app *a = apps_numbered(c, number);

	return !a ? NULL : a == &c->app ? "." : a->name;
}

/* The parent's list, with names. False: it is malformed. */
static bool put_folders(struct ctl *c, struct unpack *u, struct buf *b)
{
	while (u->p < u->end && !u->bad) {
		const char *name = name_of(c, unpack_u32(u));
		uint32_t uid = unpack_u32(u);
		const char *folder = unpack_str(u);

		if (u->bad)
			return false;
		/* It may have been taken off by now. */
		if (!name)
			continue;
		pack_str(b, name);
		pack_u32(b, uid);
		pack_str(b, folder);
	}
	return !u->bad;
}

void inodes_ask(struct ctl *c, const struct msg_disk *d, const char *tail, size_t n)
{
	struct msg_act_ask q = {.act = ACT_INODES_MADE};
	char since[24], ms[24], enough[24];
	uint64_t since_ms;
	struct unpack u;
	struct buf b;

	unpack_init(&u, tail, n);
	since_ms = unpack_u64(&u);
	(void)snprintf(since, sizeof since, "%llu", (unsigned long long)(since_ms / 1000));
	(void)snprintf(ms, sizeof ms, "%u", (unsigned)(since_ms % 1000));
	(void)snprintf(enough, sizeof enough, "%llu", (unsigned long long)d->wrote);
	buf_init(&b, CHAN_PAYLOAD_MAX);
	buf_put(&b, &q, sizeof q);
	pack_str(&b, c->state_dir);
	pack_str(&b, since);
	pack_str(&b, ms);
	pack_str(&b, enough);
	if (u.bad || !put_folders(c, &u, &b)) {
		buf_done(&b);
		answer(c, 0, 0);
	} else if (!ask_start(c, PROC_ACT, 0, 0, PATIENCE_MS, MSG_ACT_ASK, &b, &ops, c)) {
		answer(c, 0, 0);
	}
}
