/*
 * wire.c: what gate, ctl and log are given when they have said HELLO.
 *
 * Called once per run, by core.c. First START, then a fresh channel to each peer that is there
 * already (one that comes later brings it along), then what was kept for this role. Owns nothing:
 * both ends of a pair are passed on unread and closed here.
 */
#include "parent.h"
#include <unistd.h>

void wire_start(struct parent *p, struct run *r, bool trial)
{
	struct slot *s = r->slot;
	struct msg_start st = {
		.role = s->role,
		.index = s->index,
		.generation = r->generation,
		.gates = p->gates_wanted,
		.root = p->root,
		.server = p->server.on,
		.trial = trial,
		.place = s->role == PROC_GATE ? (uint16_t)gate_place(r) : 0,
		.ca = p->ca_dir_fd >= 0 && (s->role == PROC_KEYS || s->role == PROC_CTL),
	};
	int fds[3];
	unsigned nfds = 0;
	struct buf b;

	buf_init(&b, CHAN_PAYLOAD_MAX);
	pack_str(&b, p->state_dir);
	pack_str(&b, p->run_dir);
	pack_str(&b, p->roles_dir);
	pack_str(&b, p->instance);
	if (s->role == PROC_LOG && !trial) {
		fds[nfds++] = p->log_dir_fd;
		/* Where the last log process stood in each ring. */
		if (p->log_page.fd >= 0)
			fds[nfds++] = p->log_page.fd;
	}
	/* What the gate before it in this place has counted. */
	if (s->role == PROC_GATE && !trial && p->counters[s->index].fd >= 0)
		fds[nfds++] = p->counters[s->index].fd;
	/* Its folder, that of the user's authority, and what its predecessor had. */
	if (s->role == PROC_KEYS && p->keys_dir_fd >= 0) {
		fds[nfds++] = p->keys_dir_fd;
		if (p->ca_dir_fd >= 0)
			fds[nfds++] = p->ca_dir_fd;
		if (p->keys_fd >= 0)
			fds[nfds++] = p->keys_fd;
	}
	if (b.error == 0)
		p->ops->send(p, r, MSG_START, 0, &st, sizeof(st), b.p, b.len, fds, nfds);
	buf_done(&b);
}

static void pair_up(struct parent *p, struct run *a, struct run *b)
{
	struct run *side[2] = {a, b};
	int fds[2];

	if (a == NULL || b == NULL || sys_socketpair_seqpacket(fds) < 0)
		return;
	for (int i = 0; i < 2; i++) {
		struct run *peer = side[i ^ 1];
		struct msg_channel m = {.role = peer->slot->role,
			.index = peer->slot->index,
			.generation = peer->generation};

		p->ops->send(p, side[i], MSG_CHANNEL, 0, &m, sizeof(m), NULL, 0, &fds[i], 1);
	}
	close(fds[0]);
	close(fds[1]);
}

static void tell_all_states(struct parent *p)
{
	struct slot *core[2] = {p->ctl, p->log};

	for (unsigned i = 0; i < 2; i++)
		tell_state(p, slot_run(core[i]));
	for (unsigned i = 0; i < p->gates; i++) {
		if (slot_other(p->gate[i])->phase != PHASE_DOWN)
			tell_state(p, slot_other(p->gate[i]));
		/* What an empty slot was for is another's by now. */
		if (p->gate[i]->wanted || !slot_down(p->gate[i]))
			tell_state(p, slot_run(p->gate[i]));
	}
	for (unsigned i = 0; i < AIDES; i++)
		if (p->aide[i]->wanted)
			tell_state(p, slot_run(p->aide[i]));
	for (struct set *set = p->sets; set != NULL; set = set->next)
		for (struct slot *s = set->slots; s != NULL; s = s->next) {
			if (slot_other(s)->phase != PHASE_DOWN)
				tell_state(p, slot_other(s));
			tell_state(p, slot_run(s));
		}
}

void wire_greet(struct parent *p, struct run *r)
{
	wire_start(p, r, false);
	switch ((enum proc)r->slot->role) {
	case PROC_GATE:
		pair_up(p, r, core_ctl(p));
		for (unsigned i = 0; i < AIDES; i++)
			if (core_aide(p, i) != core_aide_of(p, PROC_CERTS))
				pair_up(p, r, core_aide(p, i));
		keep_give_writer(p, r);
		keep_give_gate(p, r);
		workers_link_all(p, r);
		services_give_gate(p, r);
		listen_give_gate(p, r);
		break;
	case PROC_CTL:
		for (unsigned i = 0; i < GATES_MAX; i++)
			pair_up(p, r, core_gate_now(p, i));
		pair_up(p, r, core_log(p));
		pair_up(p, r, core_keys(p));
		pair_up(p, r, core_aide_of(p, PROC_CERTS));
		keep_give_writer(p, r);
		keep_give_ctl(p, r);
		limits_tell(p);
		allow_tell(p);
		listen_give_ctl(p);
		tell_all_states(p);
		/* The one before it may have died over it: it is asked for until somebody says that it is done. */
		if (p->server.reload_due || p->server.notify.reloading)
			notify_reload(p);
		break;
	case PROC_RESOLVE:
	case PROC_AUTH:
		for (unsigned i = 0; i < gate_runs(p); i++)
			pair_up(p, r, core_gate(p, i));
		if (r->slot->role == PROC_RESOLVE)
			pair_up(p, r, core_aide_of(p, PROC_CERTS));
		break;
	case PROC_CERTS:
		pair_up(p, r, core_keys(p));
		pair_up(p, r, core_aide_of(p, PROC_RESOLVE));
		pair_up(p, r, core_ctl(p));
		break;
	case PROC_KEYS:
		/* Before anybody can ask for one of them. */
		keep_give_keys(p, r);
		for (unsigned i = 0; i < gate_runs(p); i++)
			pair_up(p, r, core_gate(p, i));
		pair_up(p, r, core_ctl(p));
		pair_up(p, r, core_aide_of(p, PROC_CERTS));
		break;
	case PROC_LOG:
		pair_up(p, r, core_ctl(p));
		keep_give_log(p, r);
		services_give_log(p, r);
		break;
	default:
		must(r == NULL);
	}
}
