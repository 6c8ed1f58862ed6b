/*
 * hear.c: messages from gate, ctl and log, each to the file that answers it.
 *
 * Called by core.c with messages whose form, sender and number of descriptors tbl/msgs.h allows.
 * What a handler finds wrong beyond that is answered with an errno, or breaks the channel. Owns
 * nothing.
 */
#include "parent.h"
#include "upgrade.h"
#include <string.h>

int hear_hello(struct parent *p, struct run *from, struct msg *m)
{
	struct msg_hello h;

	(void)p;
	(void)from;
	if (msg_get(m, &h, sizeof(h), sizeof(h)) < 0)
		return -EPROTO;
	return h.min <= MSG_MAJOR_MAX && h.max >= MSG_MAJOR_MIN ? 0 : -EPROTO;
}

static void hear_page(struct parent *p, struct run *from, struct msg *m)
{
	if (keep_page(p, from, m) < 0) {
		say_run(p, EV_CHANNEL_BROKEN, from, NULL, 0, "a page that it may not have");
		watch_event(from, WATCH_BAD);
	}
}

static void hear_want(struct parent *p, struct run *from, struct msg *m)
{
	struct msg_want want;

	if (msg_get(m, &want, sizeof(want), sizeof(want)) == 0 && want.role == PROC_WORKER) {
		sets_wake(p, want.app);
	} else if (core_want(p, from, m) < 0) {
		say_run(p, EV_CHANNEL_BROKEN, from, NULL, 0, "it wants what is no aide");
		watch_event(from, WATCH_BAD);
	}
}

static void hear_kept(struct parent *p, struct msg *m)
{
	if (m->h.type == MSG_SNAP)
		keep_snap(p, m);
	else if (m->h.type == MSG_VAULT)
		keep_vault(p, m);
	else
		keep_keys(p, m);
}

static void hear_gates(struct parent *p, struct run *from, struct msg *m)
{
	if (m->h.type == MSG_GATES)
		core_gates(p, m);
	else
		gates_heard(from, m);
}

void hear_message(struct parent *p, struct run *from, struct msg *m)
{
	switch ((enum msg_type)m->h.type) {
	case MSG_READY:
		watch_event(from, WATCH_READY);
		break;
	case MSG_STOPPED:
		break; /* its exit follows and is what counts */
	case MSG_PAGE:
		hear_page(p, from, m);
		break;
	case MSG_WORKER_UP:
	case MSG_WORKER_BAD:
	case MSG_WORKER_IDLE:
	case MSG_WORKER_STUCK:
	case MSG_WORKER_RAN:
		workers_heard(p, from, m);
		break;
	case MSG_SERVICE_UP:
	case MSG_SERVICE_IDLE:
		services_heard(p, from, m);
		break;
	case MSG_SAID:
	case MSG_SAID_MORE:
		(m->h.type == MSG_SAID ? services_said : services_said_more)(p, m);
		break;
	case MSG_SNAP:
	case MSG_VAULT:
	case MSG_KEYS_KEEP:
		hear_kept(p, m);
		break;
	case MSG_BIND:
		listen_bind(p, m);
		break;
	case MSG_UNBIND:
		listen_unbind(p, m);
		break;
	case MSG_PROC_SET:
	case MSG_PROC_DROP:
	case MSG_PROC_RESTART:
	case MSG_PROC_RELOAD:
		sets_heard(p, m);
		break;
	case MSG_ONESHOT:
	case MSG_ONESHOT_KILL:
		(m->h.type == MSG_ONESHOT ? oneshot_start : oneshot_kill)(p, m);
		break;
	case MSG_WANT:
		hear_want(p, from, m);
		break;
	case MSG_GATE_DRAINS:
	case MSG_GATES:
		hear_gates(p, from, m);
		break;
	case MSG_SERVING:
		notify_serving(p, m);
		break;
	case MSG_DISK_MADE:
		inodes_heard(p, m);
		break;
	case MSG_UPGRADE:
	case MSG_UPGRADE_TRIED:
		upgrade_heard(p, m);
		break;
	case MSG_SHUTDOWN:
		stop_begin(p, "stead stop");
		break;
	default:
		say_run(p, EV_CHANNEL_BROKEN, from, NULL, 0, "a message that has no meaning here");
		watch_event(from, WATCH_BAD);
	}
}
