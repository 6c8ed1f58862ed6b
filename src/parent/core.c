/*
 * core.c: gate, ctl, log and the gates' aides: their slots, how they are made, their channels to
 * the parent.
 *
 * Called by main (new, free), watch (spawn, release) and everybody who has something to tell them.
 * Owns the slots of the core roles and the channel in each run. Never reads a message's meaning:
 * that is hear.c.
 */
#include "parent.h"
#include "mounts.h"
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct slot *slot_new(struct parent *p, enum proc role, uint32_t index)
{
	struct slot *s = malloc(sizeof(*s));

	if (s != NULL) {
		slot_init(s, p, role, index, NULL);
		s->at = index;
	}
	return s;
}

static const uint8_t aide_roles[AIDES] = {PROC_RESOLVE, PROC_AUTH, PROC_KEYS, PROC_CERTS};

int core_new(struct parent *p)
{
	must(p->gates >= 1 && p->gates <= GATES_MAX);
	p->log = slot_new(p, PROC_LOG, 0);
	p->ctl = slot_new(p, PROC_CTL, 0);
	if (p->log == NULL || p->ctl == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < p->gates; i++)
		if ((p->gate[i] = slot_new(p, PROC_GATE, i)) == NULL)
			return -ENOMEM;
	for (unsigned i = 0; i < AIDES; i++)
		if ((p->aide[i] = slot_new(p, (enum proc)aide_roles[i], 0)) == NULL)
			return -ENOMEM;
	p->gates_wanted = p->gates;
	p->drain_max_ms = DRAIN_MS;
	return 0;
}

int core_want(struct parent *p, const struct run *from, struct msg *m)
{
	struct msg_want want;

	if (msg_get(m, &want, sizeof(want), sizeof(want)) < 0)
		return -EINVAL;
	for (unsigned i = 0; i < AIDES; i++)
		if (aide_roles[i] == want.role) {
			bool rests = from->slot->role == PROC_CTL && want.role == PROC_CERTS && want.app == WANT_NO_MORE;

			if (rests && p->aide[i]->wanted)
				slot_unwant(p->aide[i]);
			else if (!rests && p->stop_step == STOP_NOT && !p->aide[i]->wanted)
				slot_want(p->aide[i]);
			return 0;
		}
	return -EINVAL;
}

static void slot_free(struct slot *s)
{
	if (s != NULL)
		for (unsigned i = 0; i < ARRAY_LEN(s->run); i++) {
			loop_timer_stop(s->parent->loop, &s->run[i].timer);
			chan_close(&s->run[i].chan);
		}
	free(s);
}

void core_free(struct parent *p)
{
	slot_free(p->log);
	slot_free(p->ctl);
	for (unsigned i = 0; i < AIDES; i++)
		slot_free(p->aide[i]);
	for (unsigned i = 0; i < p->gates; i++)
		slot_free(p->gate[i]);
}

static bool chan_allowed(struct chan *c, const struct msg_head *h, unsigned nfds)
{
	struct run *r = c->owner;

	return msg_allowed((enum proc)r->slot->role, PROC_PARENT, h->type, h->len, nfds);
}

static void channel_broken(struct run *r, const char *why)
{
	struct parent *p = r->slot->parent;

	say_run(p, EV_CHANNEL_BROKEN, r, NULL, 0, why);
	chan_close(&r->chan);
	watch_event(r, WATCH_BAD);
}

static void chan_got(struct chan *c, struct msg *m)
{
	struct run *r = c->owner;
	struct parent *p = r->slot->parent;

	if (r->greeted) {
		if (m->h.type == MSG_HELLO)
			channel_broken(r, "a second HELLO");
		else
			hear_message(p, r, m);
	} else if (m->h.type != MSG_HELLO || hear_hello(p, r, m) < 0) {
		channel_broken(r, "no HELLO, or one that this version does not speak");
	} else {
		r->greeted = true;
		wire_greet(p, r);
	}
}

static void chan_gone(struct chan *c, int why)
{
	struct run *r = c->owner;

	if (why == -EPROTO) {
		channel_broken(r, "a message that is malformed or not its to send");
		return;
	}
	/* It is about to be reaped; one that only closed its channel is ended by the timer. */
	if (r->phase == PHASE_STARTING || r->phase == PHASE_UP)
		loop_timer_in(r->slot->parent->loop, &r->timer, 100);
}

const struct chan_ops core_chan_ops = {chan_allowed, chan_got, chan_gone};

bool core_send(struct parent *p, struct run *to, uint16_t type, uint64_t id, const void *a,
	size_t a_len, const void *b, size_t b_len, const int *fds, unsigned nfds)
{
	(void)p;
	if (!chan_open(&to->chan))
		return false;
	int e = chan_send(&to->chan, type, id, a, a_len, b, b_len, fds, nfds);

	if (e == -ENOBUFS)
		channel_broken(to, "it does not read its channel");
	return e == 0;
}

int core_start(struct parent *p, struct run *r, const char *roles_dir, const struct chan_ops *ops,
	char ret_step[static SPAWN_STEP_MAX])
{
	enum proc role = (enum proc)r->slot->role;
	struct msg_hello hello = {.min = MSG_MAJOR_MIN,
		.max = MSG_MAJOR_MAX,
		.role = PROC_PARENT,
		.build = STEAD_VERSION};
	const char *step = "socketpair";
	char path[PATH_MAX], name[32];
	char *argv[] = {name, NULL};
	struct spawn ask;
	int pair[2];

	snprintf(name, sizeof(name), "stead-%s", proc_rows[role].name);
	spawn_init(&ask, p);
	int e = spawn_role_in(&ask, p, roles_dir, role, path);
	ask.argv = argv;
	if (role == PROC_GATE)
		ask.files_max = p->files_hard;
	if (e == 0 && (e = view_role(p, role, &ask.jail.mounts_fd, ask.failed)) < 0)
		step = ask.failed;
	if (e == 0 && (e = sys_socketpair_seqpacket(pair)) == 0) {
		ask.fd[3] = pair[1];
		r->child.generation = r->generation;
		e = child_start(p, &r->child, &ask, &step);
		close(pair[1]);
		if (e < 0)
			close(pair[0]);
	}
	snprintf(ret_step, SPAWN_STEP_MAX, "%s", step);
	spawn_done(&ask);
	if (e < 0)
		return e;
	if ((e = chan_init(&r->chan, p->loop, pair[0], ops, r)) < 0) {
		close(pair[0]);
		child_signal(p, &r->child, SIGKILL, true);
		return 0; /* its death comes through the usual way */
	}
	core_send(p, r, MSG_HELLO, 0, &hello, sizeof(hello), NULL, 0, NULL, 0);
	return 0;
}

int core_spawn(struct parent *p, struct run *r)
{
	char step[SPAWN_STEP_MAX];
	int e = core_start(p, r, p->roles_dir, &core_chan_ops, step);

	if (e < 0) {
		slot_spawn_failed(r->slot, -e, step);
		say_run(p, EV_SPAWN_FAILED, r, "error", (uint64_t)-e, step);
	}
	return e;
}

static struct run *listening(struct slot *s)
{
	struct run *r = s != NULL ? slot_run(s) : NULL;

	return r != NULL && r->greeted && run_alive(r) ? r : NULL;
}

struct run *core_aide(struct parent *p, unsigned i)
{
	return listening(p->aide[i]);
}

struct run *core_aide_of(struct parent *p, enum proc role)
{
	for (unsigned i = 0; i < AIDES; i++)
		if (aide_roles[i] == role)
			return listening(p->aide[i]);
	return NULL;
}

struct run *core_keys(struct parent *p)
{
	return core_aide_of(p, PROC_KEYS);
}

struct run *core_ctl(struct parent *p)
{
	return listening(p->ctl);
}

struct run *core_log(struct parent *p)
{
	return listening(p->log);
}

void tell_ctl(struct parent *p, uint16_t type, uint64_t id, const void *a, size_t a_len,
	const void *b, size_t b_len, const int *fds, unsigned nfds)
{
	struct run *ctl = core_ctl(p);

	if (ctl != NULL)
		p->ops->send(p, ctl, type, id, a, a_len, b, b_len, fds, nfds);
}

void tell_gates(struct parent *p, uint16_t type, const void *a, size_t a_len, const void *b,
	size_t b_len, const int *fds, unsigned nfds)
{
	for (unsigned i = 0; i < gate_runs(p); i++) {
		struct run *gate = core_gate(p, i);

		if (gate != NULL)
			p->ops->send(p, gate, type, 0, a, a_len, b, b_len, fds, nfds);
	}
}

void tell_state(struct parent *p, struct run *r)
{
	struct slot *s = r->slot;
	struct msg_proc_state st = {
		.role = s->role,
		.index = s->index,
		.app = s->set != NULL ? s->set->app : 0,
		.phase = r->phase,
		.generation = r->generation,
		.pid = r->child.pid,
		.status = s->status,
		.restarts = s->restarts,
		.backoff_ms = r->phase == PHASE_BACKOFF ? s->wait_ms : 0,
		.since_wall_us = r->since_wall_us,
		.unready = s->unready,
		.spawn_err = s->spawn_err,
		.listen = r->listen,
		.port = r->port,
		.oom_kills = s->oom_kills,
		.result = r->result,
		.reloads = r->reloads,
		.conns = r->conns,
		.tunnels = r->tunnels,
		.ends_wall_us = gate_ends_us(r),
	};

	snprintf(st.spawn_step, sizeof(st.spawn_step), "%s", s->spawn_step);

	tell_ctl(p, MSG_PROC_STATE, 0, &st, sizeof(st), NULL, 0, NULL, 0);
}
