/*
 * state_load.c: a struct parent from the bytes of another one's state; the form is in state.h.
 *
 * Called by adopt.c in a new parent, and by --check-state in a process that only says whether it could. The bytes are
 * input: each figure is bounded before it is used. Touches neither the loop nor a descriptor; a deadline of a run
 * waits in due_ms and its channel in chan_fd until adopt.c takes both.
 */
#include "state.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct load {
	struct parent *p;
	struct state_fd *have;
	unsigned have_n;
	bool by_number;
	struct saved_fd *fds; /* number: what it is here, -1 when there is none or it is taken */
	unsigned fds_n;
	struct spec **specs;
	unsigned specs_n;
	struct set *set;
	struct slot *slot;
	bool parent, ended;
};

/* The descriptor of that number: the caller's from now on. -1: none. */
static int take_fd(struct load *l, uint32_t number)
{
	int fd = -1;

	if (number >= 1 && number <= l->fds_n) {
		fd = l->fds[number - 1].number;
		l->fds[number - 1].number = -1;
	}
	return fd;
}

static int load_fd(struct load *l, const void *bytes, size_t n)
{
	struct saved_fd m = {.number = -1}, *room;

	if (n < sizeof(m) || l->fds_n >= STATE_FDS_MAX)
		return -EBADMSG;
	memcpy(&m, bytes, sizeof(m));
	m.name[sizeof(m.name) - 1] = '\0';
	if (!l->by_number) {
		m.number = -1;
		for (unsigned i = 0; i < l->have_n && m.number < 0; i++)
			if (strcmp(l->have[i].name, m.name) == 0) {
				l->have[i].used = true;
				m.number = l->have[i].fd;
			}
		/* Two places may keep the same file: the second has a descriptor of its own. */
		for (unsigned i = 0; i < l->fds_n && m.number >= 0; i++)
			if (strcmp(l->fds[i].name, m.name) == 0) {
				m.number = fcntl(m.number, F_DUPFD_CLOEXEC, 0);
				break;
			}
	}
	if ((l->fds_n & (l->fds_n - 1)) == 0) {
		room = realloc(l->fds, max_of(l->fds_n * 2, 16U) * sizeof(*room));
		if (room == NULL)
			return -ENOMEM;
		l->fds = room;
	}
	l->fds[l->fds_n++] = m;
	return 0;
}

static bool is_text(const char *s, size_t cap)
{
	return memchr(s, '\0', cap) != NULL;
}

static int load_parent(struct load *l, const struct saved_parent *m)
{
	struct parent *p = l->p;

	if (l->parent || m->gates < 1 || m->gates > GATES_MAX || m->gates_wanted < 1 || m->gates_wanted > m->gates ||
		m->drain_max_ms > DRAIN_MAX_MS || m->stop_step >= STOP_DONE || !is_text(m->cgroup_name, sizeof(m->cgroup_name)) ||
		!is_text(m->instance, sizeof(m->instance)) || strchr(m->cgroup_name, '/') != NULL)
		return -EBADMSG;
	p->gates = m->gates;
	l->parent = true;
	int e = core_new(p);
	if (e < 0)
		return e;
	p->gates_wanted = m->gates_wanted;
	p->drain_max_ms = m->drain_max_ms;
	p->generation = m->generation;
	p->seed = m->seed != 0 ? m->seed : 1;
	p->ctl_first = m->ctl_first != 0;
	p->stop_now = m->stop_now != 0;
	p->stop_step = m->stop_step;
	p->stop_ms = m->stop_ms;
	p->server.notify.ready = l->by_number && m->ready != 0;
	p->files_soft = m->files_soft;
	p->files_hard = m->files_hard;
	p->store_number = m->store_number;
	p->lock_fd = take_fd(l, m->lock);
	p->limits_fd = take_fd(l, m->limits);
	p->vault_fd = take_fd(l, m->vault);
	p->keys_fd = take_fd(l, m->keys);
	p->role_mounts[PROC_GATE] = take_fd(l, m->gates_view);
	p->upgrade_id = m->upgrade_id;
	p->upgrade_ms = m->upgrade_ms;
	memcpy(p->cgroup_name, m->cgroup_name, sizeof(p->cgroup_name));
	memcpy(p->instance, m->instance, sizeof(p->instance));
	return 0;
}

static int load_snap_fd(struct load *l, const struct saved_snap_fd *m)
{
	if (l->p->snap_n >= SNAP_FDS_MAX)
		return -EBADMSG;
	l->p->snap_fd[l->p->snap_n++] = take_fd(l, m->fd);
	return 0;
}

/* The manager hands these over by itself to whoever it starts. */
static int load_given(struct load *l, const struct saved_snap_fd *m)
{
	struct server *s = &l->p->server;

	if (l->by_number && s->given_n < ARRAY_LEN(s->given))
		s->given[s->given_n++] = take_fd(l, m->fd);
	return 0;
}

static int load_page(struct load *l, const struct saved_page *m)
{
	struct parent *p = l->p;
	struct page *page = m->kind == SAVED_RING && m->index < LOGRING_SLOTS && m->index != RING_PARENT ? &p->ring[m->index]
			    : m->kind == SAVED_COUNTERS && m->index < GATES_MAX				 ? &p->counters[m->index]
			    : m->kind == SAVED_LOG_PAGE							 ? &p->log_page
													 : NULL;

	if (page == NULL || page->fd >= 0 || page->generation != 0)
		return -EBADMSG;
	*page = (struct page){.fd = take_fd(l, m->fd), .wake_fd = take_fd(l, m->wake), .generation = m->generation};
	return 0;
}

static int load_listener(struct load *l, const struct saved_listener *m)
{
	struct parent *p = l->p;
	struct sockaddr_storage addr;
	socklen_t len;
	struct listener *new, **last = &p->listeners;

	if (p->listeners_n >= LISTENERS_MAX || !is_text(m->address, sizeof(m->address)) ||
		listen_parse(m->address, &addr, &len) < 0)
		return -EBADMSG;
	if ((new = malloc(sizeof(*new))) == NULL)
		return -ENOMEM;
	while (*last != NULL)
		last = &(*last)->next;
	*new = (struct listener){.number = m->number, .kind = m->kind, .fd = take_fd(l, m->fd)};
	memcpy(new->address, m->address, sizeof(new->address));
	*last = new;
	p->listeners_n++;
	return 0;
}

static int load_spec(struct load *l, const void *bytes, size_t n)
{
	struct spec **room = realloc(l->specs, (l->specs_n + 1) * sizeof(*room));
	struct spec *spec;
	int e;

	if (room == NULL)
		return -ENOMEM;
	l->specs = room;
	if (n > CHAN_PAYLOAD_MAX || (e = spec_new(bytes, n, &spec)) == -EINVAL)
		return -EBADMSG;
	if (e < 0)
		return e;
	l->specs[l->specs_n++] = spec;
	return 0;
}

static struct spec *spec_of(const struct load *l, uint32_t number)
{
	return number >= 1 && number <= l->specs_n ? l->specs[number - 1] : NULL;
}

static int load_set(struct load *l, const struct saved_set *m)
{
	struct spec *spec = spec_of(l, m->spec);
	struct parent *p = l->p;
	struct set *set, **last = &p->sets;

	if (spec == NULL || spec->set.role != m->role || spec->set.app != m->app || m->count > SET_SLOTS_MAX ||
		p->sets_n >= SETS_MAX || !is_text(m->name, sizeof(m->name)) || sets_find(p, m->role, m->app) != NULL ||
		(m->role != PROC_WORKER && m->role != PROC_SERVICE && m->role != PROC_POSTGRES))
		return -EBADMSG;
	if ((set = calloc(1, sizeof(*set))) == NULL)
		return -ENOMEM;
	set->role = (uint8_t)m->role;
	set->app = m->app;
	set->dropped = m->dropped != 0;
	set->soon = m->soon != 0;
	set->count = m->count;
	set->spec = spec_ref(spec);
	memcpy(set->name, m->name, sizeof(set->name));
	while (*last != NULL)
		last = &(*last)->next;
	*last = set;
	p->sets_n++;
	l->set = set;
	return 0;
}

static struct slot *core_slot(struct parent *p, const struct saved_slot *m)
{
	uint32_t at = m->at != 0 ? m->at - 1 : m->index;

	if (m->role == PROC_GATE) {
		if (at >= p->gates || m->index >= GATES_MAX)
			return NULL;
		p->gate[at]->index = m->index;
		return p->gate[at];
	}
	if (m->index != 0)
		return NULL;
	if (m->role == PROC_LOG || m->role == PROC_CTL)
		return m->role == PROC_LOG ? p->log : p->ctl;
	for (unsigned i = 0; i < AIDES; i++)
		if (p->aide[i]->role == m->role)
			return p->aide[i];
	return NULL;
}

static int set_slot(struct load *l, const struct saved_slot *m, struct slot **ret)
{
	struct slot *s, **last = &l->set->slots;

	if (m->role != l->set->role || m->index >= SET_SLOTS_MAX)
		return -EBADMSG;
	for (; *last != NULL; last = &(*last)->next)
		if ((*last)->index == m->index)
			return -EBADMSG;
	if ((s = malloc(sizeof(*s))) == NULL)
		return -ENOMEM;
	slot_init(s, l->p, (enum proc)m->role, m->index, l->set);
	*last = *ret = s;
	return 0;
}

static int load_slot(struct load *l, const struct saved_slot *m)
{
	struct slot *s = NULL;
	bool app = m->role == PROC_WORKER || m->role == PROC_SERVICE || m->role == PROC_POSTGRES;
	int e = 0;

	if (m->current > 1 || m->tired > RECYCLE_RSS || m->wait_ms > BACKOFF_MAX_MS || m->backoff_ms > BACKOFF_MAX_MS ||
		!is_text(m->spawn_step, SPAWN_STEP_MAX) || (app && l->set == NULL))
		return -EBADMSG;
	if (app)
		e = set_slot(l, m, &s);
	else
		s = core_slot(l->p, m);
	if (s == NULL)
		return e < 0 ? e : -EBADMSG;
	s->wanted = m->wanted != 0;
	s->at_once = m->at_once != 0;
	s->stale = m->stale != 0;
	s->current = m->current;
	s->tired = m->tired;
	s->restarts = m->restarts;
	s->backoff_ms = m->backoff_ms;
	s->wait_ms = m->wait_ms;
	s->status = m->status;
	s->unready = m->unready;
	s->spawn_err = m->spawn_err;
	s->oom_kills = m->oom_kills;
	s->dumped = m->dumped != 0;
	s->limit_ms = m->limit_ms;
	s->limit_n = m->limit_n;
	memcpy(s->spawn_step, m->spawn_step, sizeof(s->spawn_step));
	l->slot = s;
	return 0;
}

static void run_fds(struct load *l, struct run *r, const struct saved_run *m)
{
	r->child.pidfd = take_fd(l, m->pidfd);
	r->child.cgroup_fd = take_fd(l, m->cgroup);
	r->chan_fd = take_fd(l, m->chan);
	r->down_fd = take_fd(l, m->down);
	r->stream[0] = take_fd(l, m->stream[0]);
	r->stream[1] = take_fd(l, m->stream[1]);
	r->listen_fd = take_fd(l, m->listen_fd);
	r->notify_fd = take_fd(l, m->notify);
}

static void load_unit(struct load *l, struct run *r, const struct saved_run *m)
{
	r->hook.pid = m->hook_pid > 0 ? m->hook_pid : 0;
	r->hook.pidfd = take_fd(l, m->hook_pidfd);
	r->hook.cgroup_fd = take_fd(l, m->hook_cgroup);
	r->hook.generation = m->hook_generation;
	r->hook.foreign = r->hook.pid != 0 && m->hook_foreign != 0;
	r->hook.group_app = m->group;
	r->hook_next = m->hook_next;
	r->hook_status = m->hook_status;
	r->hook_ignored = m->hook_ignored != 0;
	r->refreshed = m->refreshed != 0;
	r->spawn_failed = m->spawn_failed != 0;
	r->main_ended = m->main_ended != 0;
	r->final_sent = m->final_sent != 0;
	r->asked = m->asked != 0, r->result = m->result, r->status = m->status;
	r->watchdog_at_ms = m->watchdog_at_ms, r->runtime_at_ms = m->runtime_at_ms, r->reload_at_ms = m->reload_at_ms;
	r->reloads = m->reloads, r->reload_waits = m->reload_waits != 0, r->reload_said = m->reload_said != 0;
}

static int load_run(struct load *l, const struct saved_run *m)
{
	/* Between two commands of Type=oneshot the one that runs is a hook. */
	bool alive = m->pid > 0, lives = m->phase == PHASE_UP || m->phase == PHASE_DRAINING || (m->phase == PHASE_STARTING && m->hook_pid <= 0);
	struct spec *spec = spec_of(l, m->spec);
	struct slot *s = l->slot;
	struct run *r = s != NULL && m->which < ARRAY_LEN(s->run) ? &s->run[m->which] : NULL;

	if (r == NULL || r->generation != 0 || r->phase != PHASE_DOWN || m->phase > PHASE_DEAD || (lives && !alive) || (alive && (m->phase == PHASE_DOWN || m->phase == PHASE_BACKOFF)) ||
		m->generation > l->p->generation || m->port > UINT16_MAX || m->listen > SERVICE_PATH ||
		(spec != NULL && (s->set == NULL || spec->set.role != s->role)) || (alive && s->set != NULL && spec == NULL) ||
		(m->phase == PHASE_DRAINING && (m->drain_gates[0] | m->drain_gates[1]) == 0))
		return -EBADMSG;
	r->child.pid = alive ? m->pid : 0;
	r->child.generation = r->generation = m->generation;
	r->last_pid = m->last_pid;
	r->phase = m->phase;
	r->wants_kill = m->wants_kill != 0;
	r->greeted = m->greeted != 0;
	r->tried = m->tried != 0;
	r->unsent = m->unsent != 0;
	r->child.group_app = m->group;
	r->child.foreign = alive && m->foreign != 0;
	r->listen = m->listen;
	r->port = (uint16_t)m->port;
	r->due_ms = m->timer_ms;
	memcpy(r->drain_gates, m->drain_gates, sizeof(r->drain_gates));
	r->started_ms = m->started_ms;
	r->up_ms = m->up_ms;
	r->since_wall_us = m->since_wall_us;
	r->life_ms = m->life_ms;
	r->requests_max = m->requests_max;
	r->requests = m->requests;
	r->nicer = m->nicer != 0;
	r->drain_told = m->drain_told, r->drain_end_ms = m->drain_end_ms, r->tunnel_end_ms = m->tunnel_end_ms;
	r->conns = m->conns, r->tunnels = m->tunnels;
	r->spec = spec != NULL ? spec_ref(spec) : NULL;
	run_fds(l, r, m);
	load_unit(l, r, m);
	return 0;
}

static int load_oneshot(struct load *l, const struct saved_oneshot *m)
{
	struct oneshot *o = l->p->oneshot;

	while (o < l->p->oneshot + ONESHOTS_MAX && o->child.pid != 0)
		o++;
	if (o == l->p->oneshot + ONESHOTS_MAX || m->pid <= 0 || m->role >= PROC_END || !proc_rows[m->role].oneshot)
		return -EBADMSG;
	o->child.pid = m->pid;
	o->child.pidfd = take_fd(l, m->pidfd);
	o->child.cgroup_fd = take_fd(l, m->cgroup);
	o->child.generation = m->generation;
	o->role = (uint8_t)m->role;
	o->id = m->id;
	o->child.group_app = m->group;
	o->child.foreign = m->foreign != 0;
	o->due_ms = m->timer_ms;
	return 0;
}

static int load_late(struct load *l, const struct saved_late *m)
{
	struct parent *p = l->p;
	int fd = take_fd(l, m->fd);

	if (p->late_n >= LATE_STREAMS_MAX || !is_text(m->name, sizeof(m->name)))
		return -EBADMSG;
	if (fd < 0)
		return 0; /* nothing is left to be read */
	struct late_stream *late = &p->late[p->late_n++];

	*late = (struct late_stream){.fd = fd,
		.m = {.app = m->app,
			.kind = m->kind,
			.slot = m->slot,
			.which = m->which,
			.generation = m->generation,
			.pid = m->pid}};
	memcpy(late->name, m->name, sizeof(late->name));
	return 0;
}

#define FIXED(TYPE, LOAD)                                                                                              \
	{                                                                                                              \
		struct TYPE m = {0};                                                                                   \
		memcpy(&m, bytes, min_of(n, sizeof(m)));                                                               \
		return LOAD(l, &m);                                                                                    \
	}

static int load_record(struct load *l, enum state_type type, const void *bytes, size_t n)
{
	if (!l->parent && type != STATE_FD && type != STATE_PARENT)
		return -EBADMSG;
	switch (type) {
	case STATE_FD:
		return load_fd(l, bytes, n);
	case STATE_PARENT:
		FIXED(saved_parent, load_parent)
	case STATE_SNAP:
		memcpy(&l->p->snap, bytes, min_of(n, sizeof(l->p->snap)));
		return 0;
	case STATE_SNAP_FD:
		FIXED(saved_snap_fd, load_snap_fd)
	case STATE_GIVEN:
		FIXED(saved_snap_fd, load_given)
	case STATE_VAULT:
		memcpy(&l->p->vault, bytes, min_of(n, sizeof(l->p->vault)));
		return 0;
	case STATE_PAGE:
		FIXED(saved_page, load_page)
	case STATE_LISTENER:
		FIXED(saved_listener, load_listener)
	case STATE_SPEC:
		return load_spec(l, bytes, n);
	case STATE_SET:
		FIXED(saved_set, load_set)
	case STATE_SLOT:
		FIXED(saved_slot, load_slot)
	case STATE_RUN:
		FIXED(saved_run, load_run)
	case STATE_ONESHOT:
		FIXED(saved_oneshot, load_oneshot)
	case STATE_LATE:
		FIXED(saved_late, load_late)
	case STATE_END:
		l->ended = true;
		return 0;
	}
	return 0; /* of a later version */
}

static int load_records(struct load *l, const char *at, const char *end)
{
	int e = 0;

	while (e == 0 && !l->ended) {
		struct state_rec rec;
		size_t left = (size_t)(end - at), whole;

		if (left < sizeof(rec))
			return -EBADMSG;
		memcpy(&rec, at, sizeof(rec));
		whole = ((size_t)rec.bytes + 7) / 8 * 8;
		if (whole > left - sizeof(rec))
			return -EBADMSG;
		e = load_record(l, (enum state_type)rec.type, at + sizeof(rec), rec.bytes);
		at += sizeof(rec) + whole;
	}
	return e;
}

/* All descriptors of the snapshot are there, or there is none; half of one serves nobody. */
static void settle_snap(struct parent *p)
{
	bool whole = p->snap_n == 1 + p->snap.segments + (p->snap.cache != 0);

	for (unsigned i = 0; i < p->snap_n; i++)
		whole = whole && p->snap_fd[i] >= 0;
	for (unsigned i = 0; !whole && i < p->snap_n; i++)
		if (p->snap_fd[i] >= 0)
			close(p->snap_fd[i]);
	if (!whole)
		p->snap_n = 0;
}

int state_load(struct parent *p, const void *bytes, size_t n, struct state_fd *have, unsigned have_n)
{
	struct load l = {.p = p, .have = have, .have_n = have_n, .by_number = have == NULL};
	struct state_head head;
	const char *at = bytes;

	if (n < sizeof(head))
		return -EBADMSG;
	memcpy(&head, bytes, sizeof(head));
	if (head.magic != STATE_MAGIC || head.bytes > n - sizeof(head))
		return -EBADMSG;
	if (head.min_reader > STATE_VERSION)
		return -EPROTONOSUPPORT;
	at += sizeof(head);
	if (sys_checksum(at, head.bytes) != head.checksum)
		return -EBADMSG;
	int e = load_records(&l, at, at + head.bytes);
	if (e == 0 && !l.parent)
		e = -EBADMSG;
	if (e == 0) {
		memcpy(p->saved_by, head.build, sizeof(p->saved_by) - 1);
		settle_snap(p);
	}
	for (unsigned i = 0; i < l.specs_n; i++)
		spec_unref(l.specs[i]);
	free(l.specs);
	free(l.fds);
	return e;
}

int state_names(const void *bytes, size_t n, struct state_fd **ret, unsigned *ret_n)
{
	struct load l = {.by_number = true};
	struct state_head head;
	const char *at = (const char *)bytes + sizeof(head);
	struct state_rec rec;

	*ret = NULL;
	*ret_n = 0;
	memcpy(&head, bytes, sizeof(head));
	must(n >= sizeof(head) && head.bytes <= n - sizeof(head)); /* it was loaded */
	for (const char *end = at + head.bytes; at < end; at += sizeof(rec) + ((size_t)rec.bytes + 7) / 8 * 8) {
		memcpy(&rec, at, sizeof(rec));
		if (rec.type == STATE_FD && load_fd(&l, at + sizeof(rec), rec.bytes) == -ENOMEM)
			break;
	}
	*ret = calloc((size_t)l.fds_n + 1, sizeof(**ret));
	for (unsigned i = 0; *ret != NULL && i < l.fds_n; i++, ++*ret_n)
		memcpy((*ret)[i].name, l.fds[i].name, sizeof(l.fds[i].name));
	free(l.fds);
	return *ret != NULL ? 0 : -ENOMEM;
}

static void drop_slot(struct slot *s)
{
	for (unsigned i = 0; s != NULL && i < ARRAY_LEN(s->run); i++)
		spec_unref(s->run[i].spec);
	free(s);
}

void state_drop(struct parent *p)
{
	struct set *set;
	struct slot *s;

	drop_slot(p->log);
	drop_slot(p->ctl);
	for (unsigned i = 0; i < AIDES; i++)
		drop_slot(p->aide[i]);
	for (unsigned i = 0; i < p->gates && i < GATES_MAX; i++)
		drop_slot(p->gate[i]);
	while ((set = p->sets) != NULL) {
		p->sets = set->next;
		while ((s = set->slots) != NULL) {
			set->slots = s->next;
			drop_slot(s);
		}
		spec_unref(set->spec);
		free(set);
	}
	while (p->listeners != NULL) {
		struct listener *l = p->listeners;

		p->listeners = l->next;
		free(l);
	}
}
