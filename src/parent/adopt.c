/*
 * adopt.c: see adopt.h.
 *
 * Called by main.c, once, before the loop runs. After an exec everything is as it was but the program: the children are
 * its own, and every core process is to be replaced by one of this version (roll.c). After a kill they are somebody
 * else's children by now: their ends are seen by their pidfds, and what the parent before made and could not store any
 * more is ended here. ctl is replaced then, because what it told last may be lost; a new one tells all of it again.
 */
#include "adopt.h"
#include "store.h"
#include "upgrade.h"
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { END_MS = 2000, GENERATIONS_LOST_MAX = 100000 }; /* given out in the turn in which it was killed: far fewer */

static int load_exec(struct parent *p, int fd, struct state_fd **ret_have, unsigned *ret_n)
{
	const void *bytes;
	size_t n;
	int e = state_map(fd, &bytes, &n);

	if (e < 0)
		return e;
	/* Those that the state names were opened for the exec alone. */
	(void)syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
	e = state_load(p, bytes, n, NULL, 0);
	if (e == 0)
		e = state_names(bytes, n, ret_have, ret_n);
	munmap((void *)(uintptr_t)bytes, n);
	close(fd);
	return e;
}

/* It cannot be gone on with: what the one before had started ends here, so that the next start finds neither that nor its
 * state, and begins anew instead of failing in the same way for ever. */
static void give_up(struct parent *p, struct state_fd *have, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct pollfd ended = {.fd = have[i].fd, .events = POLLIN};

		/* Only the handle of a process takes a signal. */
		if (sys_pidfd_signal(have[i].fd, SIGKILL) == 0)
			(void)poll(&ended, 1, END_MS);
	}
	store_forget(p, have, n);
	cgroup_kill_left(p);
}

int adopt_load(struct parent *p, int fd, bool stored)
{
	struct state_fd *have = NULL;
	unsigned have_n = 0;
	int e;

	if (fd >= 0) {
		e = load_exec(p, fd, &have, &have_n);
	} else {
		e = stored ? store_take(&have, &have_n) : -ENOENT;
		if (e == 0)
			e = store_load(p, have, have_n);
		if (e == 0)
			p->generation += GENERATIONS_LOST_MAX;
		else if (e != -ENOENT && e != -ENOMEM)
			give_up(p, have, have_n);
		for (unsigned i = 0; i < have_n; i++)
			if (!have[i].used)
				close(have[i].fd);
		p->killed = e == 0;
	}
	if ((e == 0 || e == -ENOENT) && stored && store_init(p, have, have_n) < 0)
		e = -ENOMEM;
	free(have);
	return e == 0 ? 1 : e == -ENOENT ? 0 : e;
}

void adopt_real(struct parent *p, struct run *r)
{
	if (r->hook.pid != 0 && child_adopt(p, &r->hook, p->killed || r->hook.foreign) == 0)
		p->adopted++;
	if (!run_alive(r))
		return;
	/* One whose process handle is lost cannot be told from another with its number: it counts as dead. */
	if (child_adopt(p, &r->child, p->killed || r->child.foreign) < 0 || r->child.pidfd < 0)
		child_signal(p, &r->child, SIGKILL, true);
	p->adopted++;
	if (r->chan_fd >= 0 && chan_init(&r->chan, p->loop, r->chan_fd, &core_chan_ops, r) < 0)
		close(r->chan_fd);
	r->chan_fd = -1;
	if (r->slot->set == NULL && !chan_open(&r->chan))
		child_signal(p, &r->child, SIGKILL, true);
}

static void adopt_run(struct parent *p, struct run *r)
{
	bool alive = run_alive(r);

	if (alive || r->hook.pid != 0)
		p->ops->adopt(p, r);
	if (r->due_ms != 0)
		loop_timer(p->loop, &r->timer, r->due_ms);
	r->due_ms = 0;
	/* Half of what it was to hear is gone. */
	if (alive && r->slot->set == NULL && r->unsent)
		r->slot->roll = true;
	r->unsent = false;
}

static void adopt_slot(struct parent *p, struct slot *s)
{
	for (unsigned i = 0; i < ARRAY_LEN(s->run); i++)
		adopt_run(p, &s->run[i]);
}

static void adopt_oneshots(struct parent *p)
{
	for (unsigned i = 0; i < ONESHOTS_MAX; i++) {
		struct oneshot *o = &p->oneshot[i];

		if (o->child.pid == 0)
			continue;
		(void)child_adopt(p, &o->child, p->killed || o->child.foreign);
		/* Who waits for its answer goes on waiting, or is gone with the ctl that asked. */
		loop_timer(p->loop, &o->timer, o->due_ms != 0 ? o->due_ms : 1);
		p->adopted++;
	}
}

/* A listener that was bound in the last turn of all is the gates' alone; ctl asks for it again. */
static void drop_lost_listeners(struct parent *p)
{
	for (struct listener **at = &p->listeners; *at != NULL;) {
		struct listener *l = *at;

		if (l->fd >= 0) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		p->listeners_n--;
		free(l);
	}
}

static void say_adopted(struct parent *p)
{
	char processes[16], lost[16];
	unsigned gone = 0;

	for (const struct child *c = p->children; c != NULL; c = c->next)
		gone += c->pidfd < 0 || sys_pidfd_signal(c->pidfd, 0) < 0;
	snprintf(processes, sizeof(processes), "%u", p->adopted - gone);
	snprintf(lost, sizeof(lost), "%u", gone);
	say_text(p, EV_ADOPTED, "processes", processes, "lost", lost);
}

void adopt_go(struct parent *p)
{
	cgroup_init(p);
	drop_lost_listeners(p);
	adopt_slot(p, p->log);
	adopt_slot(p, p->ctl);
	for (unsigned i = 0; i < AIDES; i++)
		adopt_slot(p, p->aide[i]);
	for (unsigned i = 0; i < p->gates; i++)
		adopt_slot(p, p->gate[i]);
	for (struct set *set = p->sets; set != NULL; set = set->next)
		for (struct slot *s = set->slots; s != NULL; s = s->next)
			adopt_slot(p, s);
	adopt_oneshots(p);
	keep_own_ring(p);
	recycle_arm(p);
	if (p->killed) {
		cgroup_kill_unknown(p);
		say_adopted(p);
	} else {
		/* Who died between the last turn of the one program and the first of the other. */
		reap_all(p);
	}
	if (p->ctl->wanted)
		p->ctl->roll = true;
	roll_start(p, !p->killed || strcmp(p->saved_by, STEAD_VERSION) != 0);
	parent_settle_soon(p);
}
