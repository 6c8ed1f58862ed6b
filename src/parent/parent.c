/*
 * parent.c: what holds the parent's files together: its beginning and end, the end of each turn,
 * and the functions by which it reaches the system.
 *
 * Called by main.c, and by the simulation with other struct parent_ops. Owns struct parent.
 */
#include "adopt.h"
#include "parent.h"
#include "mounts.h"
#include "places.h"
#include "store.h"
#include "upgrade.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

op_done *const parent_op_table[PARENT_OP_KINDS] = {
	CHAN_OPS,
	[OP_SIGNALS] = stop_on_signals,
	[OP_RUN_TIMER] = watch_on_timer,
	[OP_ONESHOT_TIMER] = oneshot_on_timer,
	[OP_LIFELINE] = stop_on_lifeline,
	[OP_SETTLE] = parent_on_settle,
	[OP_RECYCLE] = recycle_on_tick,
	[OP_NOTIFY] = notify_on_timer,
	[OP_FOREIGN] = child_on_foreign_end,
	[OP_STORE_AGAIN] = store_on_again,
	[OP_UPGRADE_TIMER] = upgrade_on_timer,
	[OP_DISK] = disk_on_timer,
};

void parent_init(struct parent *p, const struct parent_ops *ops)
{
	p->ops = ops;
	p->state_fd = p->log_dir_fd = p->keys_dir_fd = p->ca_dir_fd = p->lock_fd = p->cgroup_fd = -1;
	p->cgroups = (struct cgroups){.own = -1, .apps = -1, .v1_apps = {-1, -1, -1, -1}};
	p->signals.fd = p->lifeline.fd = p->server.notify.fd = -1;
	p->settle.kind = OP_SETTLE;
	p->recycle.op.kind = OP_RECYCLE;
	p->disk.reserve_fd = p->disk.inodes.reserve_fd = -1;
	keep_init(p);
	for (unsigned i = 0; i < ONESHOTS_MAX; i++) {
		child_init(&p->oneshot[i].child, CHILD_ONESHOT);
		p->oneshot[i].parent = p;
		p->oneshot[i].timer.op.kind = OP_ONESHOT_TIMER;
	}
}

void parent_settle_soon(struct parent *p)
{
	if (p->settle_due)
		return;
	p->settle_due = true;
	loop_defer(p->loop, &p->settle);
}

void parent_on_settle(struct loop *l, struct op *op, int res)
{
	struct parent *p = container_of(op, struct parent, settle);

	(void)l;
	(void)res;
	/* What settling changes may need settling again. */
	for (int i = 0; i < 64 && p->settle_due; i++) {
		p->settle_due = false;
		sets_settle(p);
		gates_settle(p);
		roll_settle(p);
		stop_settle(p);
		/* settle_due may be set by now without being submitted anew: this loop is its turn.
		 */
	}
	p->settle_due = false;
	if (p->own_ring.map != NULL)
		logring_flush(&p->own_ring);
	store_update(p);
}

void parent_release(struct parent *p, struct run *r)
{
	struct slot *s = r->slot;

	r->greeted = false;
	switch ((enum proc)s->role) {
	case PROC_GATE:
		workers_gate_gone(p, gate_place(r));
		break;
	case PROC_CTL:
		oneshot_kill_all(p);
		break;
	case PROC_WORKER:
		workers_tell_gone(p, r);
		break;
	case PROC_SERVICE:
		services_gone(p, r);
		break;
	default:
		break;
	}
}

void parent_done(struct parent *p)
{
	store_done(p);
	upgrade_done(p);
	listen_done(p);
	inherit_done(p);
	notify_done(p);
	keep_done(p);
	sets_done(p);
	places_done(p);
	core_free(p);
	for (unsigned i = 0; i < SPAWN_ENV_BASE; i++)
		free(p->env[i]);
	for (unsigned i = 0; i < ONESHOTS_MAX; i++)
		loop_timer_stop(p->loop, &p->oneshot[i].timer);
	loop_timer_stop(p->loop, &p->recycle);
	disk_done(p);
}

/* ---- the real world ---- */

static int real_spawn(struct parent *p, struct run *r)
{
	return r->slot->set != NULL ? app_spawn(p, r) : core_spawn(p, r);
}

static void real_signal(struct parent *p, struct run *r, int sig, bool all)
{
	/* A worker and postgres look after their own children; of a service its unit says who does. */
	child_signal(p, &r->child, sig,
		all && r->slot->role == PROC_SERVICE && r->spec->set.kill == SERVICE_KILL_GROUP);
}

static void real_release(struct parent *p, struct run *r)
{
	chan_close(&r->chan);
	if (r->down_fd >= 0)
		close(r->down_fd);
	r->down_fd = -1;
	parent_release(p, r);
	if (r->slot->set != NULL)
		keep_end_streams(p, r);
}

static uint32_t real_random(struct parent *p)
{
	/* xorshift32: jitter needs no secret. */
	p->seed ^= p->seed << 13;
	p->seed ^= p->seed >> 17;
	p->seed ^= p->seed << 5;
	return p->seed;
}

static void real_sweep(struct parent *p)
{
	reap_sweep(p);
	view_done(p);
	cgroup_done(p);
}

const struct parent_ops parent_real_ops = {
	.spawn = real_spawn,
	.signal = real_signal,
	.hook_spawn = hook_spawn,
	.hook_signal = hook_signal,
	.adopt = adopt_real,
	.release = real_release,
	.send = core_send,
	.link = workers_send_link,
	.random = real_random,
	.rss = recycle_rss,
	.stacks = stack_say,
	.sweep = real_sweep,
	.say = say_real,
};
