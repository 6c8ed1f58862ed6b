/*
 * workers.c: app processes (worker, service, postgres) and the links between workers and gates.
 *
 * Called by watch through parent_ops (spawn, drain), by wire.c for a new gate, by hear.c for what
 * gates say of a worker. Owns the parent's end of each worker's one-way channel and the kept read
 * ends of its output. Never reads from an app process: its side of the channel is shut for reading,
 * and a worker that does not read is replaced, not waited for.
 *
 * A link socket is made for each (gate, worker) and passed on unread: one end by WORKER to the
 * gate, one by LINK to the worker.
 */
#include "parent.h"
#include "mounts.h"
#include "places.h"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { LINK_GONE_MS = 1000 };

/* ---- start ---- */

struct app_fds {
	int out[2], err[2]; /* pipes: read end, write end */
	int down[2];        /* the one-way channel: ours, the worker's */
};

static void close_pair(int fds[2])
{
	for (int i = 0; i < 2; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

/* Where its output goes nowhere, one side is /dev/null, and nobody reads the other. */
static int mute(int fds[2])
{
	close_pair(fds);
	fds[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
	return fds[1] < 0 ? -errno : 0;
}

static int app_fds_open(struct app_fds *f, bool link, uint32_t life)
{
	int e = 0;

	*f = (struct app_fds){{-1, -1}, {-1, -1}, {-1, -1}};
	if (pipe2(f->out, O_CLOEXEC) < 0 || pipe2(f->err, O_CLOEXEC) < 0)
		e = -errno;
	else if (link && (e = sys_socketpair_seqpacket(f->down)) == 0 &&
		 shutdown(f->down[0], SHUT_RD) < 0)
		e = -errno;
	if (e == 0 && (life & SERVICE_LIFE_MUTE_OUT) != 0)
		e = mute(f->out);
	if (e == 0 && (life & SERVICE_LIFE_MUTE_ERR) != 0)
		e = mute(f->err);
	if (e < 0) {
		close_pair(f->out);
		close_pair(f->err);
		close_pair(f->down);
	}
	return e;
}

/* The app's cgroups, with what it is held to by now. */
static void hold_group(struct parent *p, struct spawn *ask, const struct spec *spec)
{
	if (spec->jail.version == 0 || spec->set.role == PROC_POSTGRES)
		return;
	ask->group = limits_group(p, spec->jail.group);
	if (ask->group != NULL)
		limits_apply(p, ask->group, &spec->jail, spec->name);
}

void app_ask(struct spawn *ask, struct parent *p, const struct spec *spec)
{
	enum proc role = (enum proc)spec->set.role;

	spawn_init(ask, p);
	ask->path = spec->path;
	ask->argv = spec->argv;
	ask->cwd = spec->cwd[0] != '\0' ? spec->cwd : NULL;
	ask->cwd_optional = (spec->set.life & SERVICE_LIFE_NO_CWD) != 0;
	ask->nice = priority_of(spec, false);
	ask->mask = spec->set.umask_bits != 0 ? spec->set.umask_bits : 022;
	ask->death_signal = role == PROC_POSTGRES ? SIGINT : SIGTERM;
	ask->jail.kind = proc_rows[role].jail;
	ask->jail.role = (uint8_t)role;
	ask->jail.uid = spec->set.uid;
	ask->jail.gid = ask->jail.gid_extra = spec->set.gid;
	if (role == PROC_POSTGRES)
		ask->jail.gid_extra = p->postgres.gid;
	ask->jail.exe = spec->path;
	ask->hold = spec->jail.version != 0 ? &spec->jail : NULL;
	ask->jail.spec = ask->hold != NULL ? spec : NULL;
	hold_group(p, ask, spec);
}

int app_view(struct parent *p, struct spec *spec, struct spawn *ask)
{
	return spec->set.role == PROC_POSTGRES
		       ? view_role(p, PROC_POSTGRES, &ask->jail.mounts_fd, ask->failed)
		       : view_app(p, spec, &ask->jail.mounts_fd, ask->failed);
}

/* Where it is asked, or where its own runtime folders are. */
static bool wants_place(const struct spec *spec)
{
	bool wants = spec->set.role == PROC_SERVICE;

	for (uint32_t i = 0; i < spec->jail.paths; i++)
		wants |= (spec->paths[i].kind & JAIL_PATH_KINDS) == JAIL_PATH_RUNTIME;
	return wants;
}

int app_spawn(struct parent *p, struct run *r)
{
	struct spec *spec = r->spec;
	bool link = (spec->set.flags & PROC_SET_LINK) != 0;
	const char **env = NULL, *step = "pipe";
	struct app_fds f;
	struct spawn ask;
	bool fresh = place_begins(r);
	int e = wants_place(spec) ? place_make(p, r, &step) : 0;

	if (e == 0)
		e = (env = app_environment(p, r, NULL)) != NULL
			    ? app_fds_open(&f, link, spec->set.life)
			    : -ENOMEM;
	if (e == 0) {
		app_ask(&ask, p, spec);
		step = ask.failed;
		e = app_view(p, spec, &ask);
		ask.envp = (char *const *)env;
		ask.nice = priority_of(spec, r->nicer);
		if (r->place != NULL) {
			ask.argv = r->place->argv;
			memcpy(ask.pid_at, r->place->pid_at, sizeof(ask.pid_at));
		}
		ask.fresh = fresh;
		ask.jail.own_pids = p->root && (spec->jail.flags & JAIL_OWN_PIDS) != 0;
		ask.fd[1] = f.out[1];
		ask.fd[2] = f.err[1];
		ask.fd[3] = link ? f.down[1] : r->listen_fd;
		r->child.generation = r->generation;
		if (e == 0)
			e = child_start(p, &r->child, &ask, &step);
		if (e < 0) {
			close_pair(f.out);
			close_pair(f.err);
			close_pair(f.down);
		}
	}
	free(env);
	if (e < 0) {
		place_quiet(p, r);
		slot_spawn_failed(r->slot, -e, step);
		say_run(p, EV_SPAWN_FAILED, r, "error", (uint64_t)-e, step);
		return e;
	}
	close(f.out[1]);
	close(f.err[1]);
	if (f.down[1] >= 0)
		close(f.down[1]);
	r->stream[0] = f.out[0];
	r->stream[1] = f.err[0];
	r->down_fd = f.down[0];
	r->last_pid = r->child.pid;
	keep_give_streams(p, r);
	return 0;
}

/* ---- links ---- */

/* One message down the one-way channel. Never waits. */
static int send_down(const struct run *worker, uint16_t type, const void *p, size_t n, int fd)
{
	struct msg_head h = {.len = (uint32_t)n, .type = type, .major = MSG_MAJOR_MAX};
	struct iovec iov[2] = {{&h, sizeof(h)}, {(void *)p, n}};
	union {
		struct cmsghdr h;
		char mem[CMSG_SPACE(sizeof(int))];
	} c = {.mem = {0}};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};

	if (worker->down_fd < 0)
		return -ENOTCONN;
	if (fd >= 0) {
		m.msg_control = c.mem;
		m.msg_controllen = sizeof(c.mem);
		c.h.cmsg_level = SOL_SOCKET;
		c.h.cmsg_type = SCM_RIGHTS;
		c.h.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&c.h), &fd, sizeof(fd));
	}
	return sendmsg(worker->down_fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int workers_send_link(struct parent *p, struct run *worker, const struct msg_worker *m, int fd)
{
	(void)p;
	return send_down(worker, MSG_LINK, m, sizeof(*m), fd);
}

static struct msg_worker name_of(const struct run *worker)
{
	return (struct msg_worker){.app = worker->slot->set->app,
		.slot = worker->slot->index,
		.generation = worker->generation};
}

static void link_pair(struct parent *p, struct run *gate, struct run *worker)
{
	struct msg_worker m = name_of(worker);
	int fds[2];

	if (sys_socketpair_seqpacket(fds) < 0)
		return;
	m.gate = gate->slot->index;
	m.gate_generation = gate->generation;
	m.requests = recycle_told_every(worker);
	/* A worker that is dying already (EPIPE) is reaped in a moment; a full channel is a worker
	 * that does not read. */
	int e = p->ops->link(p, worker, &m, fds[1]);
	if (e == 0)
		p->ops->send(p, gate, MSG_WORKER, 0, &m, sizeof(m), NULL, 0, fds, 1);
	close(fds[0]);
	close(fds[1]);
	if (e == -EAGAIN)
		watch_event(worker, WATCH_BAD);
}

static bool is_linked(const struct run *r)
{
	return r->slot->role == PROC_WORKER && run_alive(r) && r->spec != NULL &&
	       (r->spec->set.flags & PROC_SET_LINK) != 0;
}

void workers_link_new(struct parent *p, struct run *worker)
{
	struct msg_hello hello = {.min = MSG_MAJOR_MIN,
		.max = MSG_MAJOR_MAX,
		.role = PROC_PARENT,
		.build = STEAD_VERSION};

	if (!is_linked(worker))
		return;
	if (worker->down_fd >= 0)
		send_down(worker, MSG_HELLO, &hello, sizeof(hello), -1);
	for (unsigned i = 0; i < gate_runs(p); i++)
		if (core_gate(p, i) != NULL && run_alive(worker))
			link_pair(p, core_gate(p, i), worker);
}

void workers_link_all(struct parent *p, struct run *gate)
{
	for (struct set *set = p->sets; set != NULL; set = set->next)
		for (struct slot *s = set->slots; s != NULL; s = s->next)
			for (unsigned i = 0; i < ARRAY_LEN(s->run); i++)
				if (is_linked(&s->run[i]) && run_serves(&s->run[i]))
					link_pair(p, gate, &s->run[i]);
}

void workers_tell_gone(struct parent *p, struct run *worker)
{
	struct msg_worker m = name_of(worker);

	m.status = worker->slot->status;
	tell_gates(p, MSG_WORKER_GONE, &m, sizeof(m), NULL, 0, NULL, 0);
}

bool workers_tell_drain(struct parent *p, struct run *gate, const struct run *worker, enum drain_stage stage)
{
	struct msg_worker m = name_of(worker);

	m.stage = (uint32_t)stage;
	return p->ops->send(p, gate, MSG_WORKER_DRAIN, 0, &m, sizeof(m), NULL, 0, NULL, 0);
}

bool workers_drain(struct parent *p, struct run *worker)
{
	memset(worker->drain_gates, 0, sizeof(worker->drain_gates));
	if (!is_linked(worker))
		return false;
	for (unsigned i = 0; i < gate_runs(p); i++) {
		struct run *gate = core_gate(p, i);

		if (gate != NULL && workers_tell_drain(p, gate, worker, DRAIN_BEGIN))
			worker->drain_gates[i / 64] |= 1ULL << i % 64;
	}
	return run_awaits_gates(worker);
}

void run_gate_idle(struct run *r, unsigned gate)
{
	uint64_t *word = &r->drain_gates[gate / 64], bit = 1ULL << gate % 64;

	if (r->phase != PHASE_DRAINING || (*word & bit) == 0)
		return;
	*word &= ~bit;
	if (!run_awaits_gates(r))
		watch_event(r, WATCH_IDLE);
}

void workers_gate_gone(struct parent *p, unsigned gate)
{
	for (struct set *set = p->sets; set != NULL; set = set->next)
		for (struct slot *s = set->slots; s != NULL; s = s->next)
			for (unsigned i = 0; i < ARRAY_LEN(s->run); i++)
				run_gate_idle(&s->run[i], gate);
}

/* ---- what gates say ---- */

struct run *workers_find(struct parent *p, const struct msg_worker *m)
{
	struct set *set = sets_find(p, PROC_WORKER, m->app);

	for (struct slot *s = set != NULL ? set->slots : NULL; s != NULL; s = s->next)
		for (unsigned i = 0; s->index == m->slot && i < ARRAY_LEN(s->run); i++)
			if (s->run[i].generation == m->generation && run_alive(&s->run[i]))
				return &s->run[i];
	return NULL;
}

static void link_bad(struct parent *p, struct run *worker, uint32_t reason)
{
	bool died = reason == CLOSE_LINK_DEAD || reason == CLOSE_LINK_END;
	const char *why =
		reason < CLOSE_END && reason != CLOSE_NONE ? close_rows[reason].name : "?";

	if (!died) {
		say_run(p, EV_WORKER_BROKE_LINK, worker, "slot", worker->slot->index, why);
		watch_event(worker, WATCH_BAD);
	} else if (run_serves(worker)) {
		/* Its death is on the way; if it only closed the link it is of no use either. */
		loop_timer_in(p->loop, &worker->timer, LINK_GONE_MS);
	}
}

void workers_heard(struct parent *p, struct run *gate, struct msg *m)
{
	struct msg_worker w;

	if (msg_get(m, &w, sizeof(w), sizeof(w)) < 0)
		return;
	struct run *worker = workers_find(p, &w);
	if (worker == NULL)
		return; /* died meanwhile; the gate has been told */
	switch ((enum msg_type)m->h.type) {
	case MSG_WORKER_UP:
		watch_event(worker, WATCH_READY);
		break;
	case MSG_WORKER_BAD:
		link_bad(p, worker, w.reason);
		break;
	case MSG_WORKER_STUCK:
		slot_stuck(worker);
		break;
	case MSG_WORKER_RAN:
		recycle_ran(worker, w.requests);
		break;
	default:
		run_gate_idle(worker, gate_place(gate));
	}
}
