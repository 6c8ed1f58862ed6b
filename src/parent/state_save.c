/*
 * state_save.c: the parent's state into bytes; the form is in state.h.
 *
 * Called by upgrade.c before an exec, and by store.c at the end of a turn. Owns nothing of the parent's; changes
 * nothing. Times are of CLOCK_MONOTONIC, which a later process of the same machine reads too.
 */
#include "state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void put(struct state *s, enum state_type type, const void *fixed, size_t n, const void *more, size_t more_n)
{
	static const char zero[8];
	struct state_rec rec = {.type = (uint32_t)type, .bytes = (uint32_t)(n + more_n)};

	buf_put(&s->b, &rec, sizeof(rec));
	buf_put(&s->b, fixed, n);
	buf_put(&s->b, more, more_n);
	buf_put(&s->b, zero, (8 - (n + more_n) % 8) % 8);
}

static uint32_t put_fd(struct state *s, int fd, const char *name)
{
	struct saved_fd saved = {.number = fd};
	struct state_fd *room;

	if (fd < 0 || s->b.error)
		return 0;
	if ((s->fds_n & (s->fds_n - 1)) == 0) { /* doubled whenever it is full */
		room = s->fds_n < STATE_FDS_MAX ? realloc(s->fds, max_of(s->fds_n * 2, 16U) * sizeof(*room)) : NULL;
		if (room == NULL) {
			s->b.error = s->fds_n < STATE_FDS_MAX ? -ENOMEM : -EOVERFLOW;
			return 0;
		}
		s->fds = room;
	}
	room = &s->fds[s->fds_n++];
	*room = (struct state_fd){.fd = fd};
	snprintf(room->name, sizeof(room->name), "%s", name);
	memcpy(saved.name, room->name, sizeof(saved.name));
	put(s, STATE_FD, &saved, sizeof(saved), NULL, 0);
	return s->fds_n;
}

/* One that a run has: no other run ever had it. */
static uint32_t put_own(struct state *s, int fd, char kind, uint64_t generation)
{
	char name[STATE_NAME_MAX];

	snprintf(name, sizeof(name), "stead-%c%llu", kind, (unsigned long long)generation);
	return put_fd(s, fd, name);
}

/* One that comes and goes by itself: the kernel's number of the file is its name. */
static uint32_t put_file(struct state *s, int fd)
{
	char name[STATE_NAME_MAX];
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;
	snprintf(name, sizeof(name), "stead-%llx-%llx", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	return put_fd(s, fd, name);
}

static uint32_t put_spec(struct state *s, const struct spec *spec)
{
	const struct spec **room;

	for (unsigned i = s->specs_n; i > 0; i--)
		if (s->specs[i - 1] == spec)
			return i;
	if (spec == NULL)
		return 0;
	room = realloc(s->specs, (s->specs_n + 1) * sizeof(*s->specs));
	if (room == NULL) {
		s->b.error = s->b.error ? s->b.error : -ENOMEM;
		return 0;
	}
	s->specs = room;
	s->specs[s->specs_n++] = spec;
	put(s, STATE_SPEC, spec->bytes, spec->bytes_n, NULL, 0);
	return s->specs_n;
}

static void put_parent(struct state *s, const struct parent *p)
{
	struct saved_parent m = {.generation = p->generation,
		.seed = p->seed,
		.gates = p->gates,
		.gates_wanted = p->gates_wanted,
		.drain_max_ms = p->drain_max_ms,
		.ctl_first = p->ctl_first,
		.stop_now = p->stop_now,
		.stop_step = p->stop_step,
		.ready = p->server.notify.ready,
		.stop_ms = p->stop_ms,
		.files_soft = p->files_soft,
		.files_hard = p->files_hard,
		.store_number = p->store_number,
		.lock = put_file(s, p->lock_fd),
		.limits = put_file(s, p->limits_fd),
		.vault = put_file(s, p->vault_fd),
		.keys = put_file(s, p->keys_fd),
		.upgrade_id = p->upgrade_id,
		.upgrade_ms = p->upgrade_ms,
		.gates_view = p->role_mounts[PROC_GATE] > 0 ? put_file(s, p->role_mounts[PROC_GATE]) : 0};

	memcpy(m.cgroup_name, p->cgroup_name, sizeof(m.cgroup_name));
	memcpy(m.instance, p->instance, sizeof(m.instance));
	put(s, STATE_PARENT, &m, sizeof(m), NULL, 0);
}

static void put_page(struct state *s, enum saved_page_kind kind, unsigned index, const struct page *page)
{
	struct saved_page m = {.kind = (uint32_t)kind, .index = index, .generation = page->generation};

	if (page->fd < 0)
		return;
	m.fd = put_file(s, page->fd);
	m.wake = put_file(s, page->wake_fd);
	put(s, STATE_PAGE, &m, sizeof(m), NULL, 0);
}

static void put_kept(struct state *s, const struct parent *p)
{
	for (unsigned i = 0; i < p->snap_n; i++) {
		struct saved_snap_fd m = {.fd = put_file(s, p->snap_fd[i])};

		put(s, STATE_SNAP_FD, &m, sizeof(m), NULL, 0);
	}
	if (p->snap_n != 0)
		put(s, STATE_SNAP, &p->snap, sizeof(p->snap), NULL, 0);
	if (p->vault_fd >= 0)
		put(s, STATE_VAULT, &p->vault, sizeof(p->vault), NULL, 0);
	/* Its own ring the parent makes anew: nobody maps a sealed one for writing a second time. */
	for (unsigned i = 0; i < LOGRING_SLOTS; i++)
		if (i != RING_PARENT)
			put_page(s, SAVED_RING, i, &p->ring[i]);
	for (unsigned i = 0; i < GATES_MAX; i++)
		put_page(s, SAVED_COUNTERS, i, &p->counters[i]);
	put_page(s, SAVED_LOG_PAGE, 0, &p->log_page);
	for (const struct listener *l = p->listeners; l != NULL; l = l->next) {
		struct saved_listener m = {.number = l->number, .kind = l->kind, .fd = put_file(s, l->fd)};

		memcpy(m.address, l->address, sizeof(m.address));
		put(s, STATE_LISTENER, &m, sizeof(m), NULL, 0);
	}
	for (unsigned i = 0; i < p->server.given_n; i++) {
		struct saved_snap_fd m = {.fd = put_file(s, p->server.given[i])};

		put(s, STATE_GIVEN, &m, sizeof(m), NULL, 0);
	}
	for (unsigned i = 0; i < p->late_n; i++) {
		const struct late_stream *l = &p->late[i];
		struct saved_late m = {.fd = put_file(s, l->fd),
			.app = l->m.app,
			.kind = l->m.kind,
			.slot = l->m.slot,
			.which = l->m.which,
			.generation = l->m.generation,
			.pid = l->m.pid};

		memcpy(m.name, l->name, sizeof(m.name));
		put(s, STATE_LATE, &m, sizeof(m), NULL, 0);
	}
}

static void put_run(struct state *s, const struct run *r, unsigned which)
{
	uint64_t generation = r->generation;
	struct saved_run m = {.which = which,
		.pid = r->child.pid,
		.last_pid = r->last_pid,
		.spec = put_spec(s, r->spec),
		.pidfd = put_own(s, r->child.pidfd, 'p', generation),
		.cgroup = put_own(s, r->child.cgroup_fd, 'g', generation),
		.chan = put_own(s, r->chan.lfd.fd, 'c', generation),
		.down = put_own(s, r->down_fd, 'd', generation),
		.stream = {put_own(s, r->stream[0], 'o', generation), put_own(s, r->stream[1], 'e', generation)},
		.listen_fd = put_file(s, r->listen_fd),
		.notify = put_own(s, r->notify_fd, 'n', generation),
		.phase = r->phase,
		.wants_kill = r->wants_kill,
		.greeted = r->greeted,
		.tried = r->tried,
		.listen = r->listen,
		.foreign = r->child.foreign,
		.unsent = chan_open(&r->chan) && !chan_drained(&r->chan),
		.port = r->port,
		.group = r->child.group != NULL ? r->child.group->app + 1 : 0,
		.generation = generation,
		.timer_ms = r->timer.at_ms,
		.drain_gates = {r->drain_gates[0], r->drain_gates[1]},
		.started_ms = r->started_ms,
		.up_ms = r->up_ms,
		.since_wall_us = r->since_wall_us,
		.life_ms = r->life_ms,
		.requests_max = r->requests_max,
		.requests = r->requests,
		.hook_pid = r->hook.pid,
		.hook_status = r->hook_status,
		.status = r->status,
		.hook_pidfd = put_own(s, r->hook.pidfd, 'P', r->hook.generation),
		.hook_cgroup = put_own(s, r->hook.cgroup_fd, 'G', r->hook.generation),
		.hook_next = r->hook_next,
		.hook_generation = r->hook.generation,
		.watchdog_at_ms = r->watchdog_at_ms,
		.runtime_at_ms = r->runtime_at_ms,
		.reload_at_ms = r->reload_at_ms,
		.hook_ignored = r->hook_ignored,
		.refreshed = r->refreshed,
		.spawn_failed = r->spawn_failed,
		.main_ended = r->main_ended,
		.final_sent = r->final_sent,
		.asked = r->asked,
		.result = r->result,
		.hook_foreign = r->hook.foreign,
		.reloads = r->reloads,
		.reload_waits = r->reload_waits,
		.reload_said = r->reload_said,
		.drain_told = r->drain_told,
		.nicer = r->nicer,
		.drain_end_ms = r->drain_end_ms,
		.tunnel_end_ms = r->tunnel_end_ms,
		.conns = r->conns,
		.tunnels = r->tunnels};

	put(s, STATE_RUN, &m, sizeof(m), NULL, 0);
}

static void put_slot(struct state *s, const struct slot *slot)
{
	struct saved_slot m = {.role = slot->role,
		.index = slot->index,
		.wanted = slot->wanted,
		.at_once = slot->at_once,
		.stale = slot->stale,
		.current = slot->current,
		.tired = slot->tired,
		.restarts = slot->restarts,
		.backoff_ms = slot->backoff_ms,
		.wait_ms = slot->wait_ms,
		.status = slot->status,
		.unready = slot->unready,
		.spawn_err = slot->spawn_err,
		.oom_kills = slot->oom_kills,
		.dumped = slot->dumped,
		.limit_ms = slot->limit_ms,
		.limit_n = slot->limit_n,
		.at = slot->role == PROC_GATE && slot->at != slot->index ? slot->at + 1 : 0};

	memcpy(m.spawn_step, slot->spawn_step, sizeof(slot->spawn_step));
	put(s, STATE_SLOT, &m, sizeof(m), NULL, 0);
	for (unsigned i = 0; i < ARRAY_LEN(slot->run); i++)
		put_run(s, &slot->run[i], i);
}

static void put_sets(struct state *s, const struct parent *p)
{
	for (const struct set *set = p->sets; set != NULL; set = set->next) {
		struct saved_set m = {.role = set->role,
			.app = set->app,
			.dropped = set->dropped,
			.soon = set->soon,
			.count = set->count,
			.spec = put_spec(s, set->spec)};

		memcpy(m.name, set->name, sizeof(m.name));
		put(s, STATE_SET, &m, sizeof(m), NULL, 0);
		for (const struct slot *slot = set->slots; slot != NULL; slot = slot->next)
			put_slot(s, slot);
	}
}

static void put_oneshots(struct state *s, const struct parent *p)
{
	for (unsigned i = 0; i < ONESHOTS_MAX; i++) {
		const struct oneshot *o = &p->oneshot[i];
		struct saved_oneshot m = {.pid = o->child.pid,
			.role = o->role,
			.generation = o->child.generation,
			.id = o->id,
			.foreign = o->child.foreign,
			.group = o->child.group != NULL ? o->child.group->app + 1 : 0,
			.timer_ms = o->timer.at_ms};

		if (o->child.pid == 0)
			continue;
		m.pidfd = put_own(s, o->child.pidfd, 'p', m.generation);
		m.cgroup = put_own(s, o->child.cgroup_fd, 'g', m.generation);
		put(s, STATE_ONESHOT, &m, sizeof(m), NULL, 0);
	}
}

int state_save(struct parent *p, struct state *ret)
{
	struct state_head head = {.magic = STATE_MAGIC,
		.version = STATE_VERSION,
		.min_reader = STATE_MIN_READER,
		.build = STEAD_VERSION};

	*ret = (struct state){.fds = NULL};
	buf_init(&ret->b, STATE_BYTES_MAX);
	buf_put(&ret->b, &head, sizeof(head));
	put_parent(ret, p);
	put_kept(ret, p);
	put_slot(ret, p->log);
	put_slot(ret, p->ctl);
	for (unsigned i = 0; i < AIDES; i++)
		put_slot(ret, p->aide[i]);
	for (unsigned i = 0; i < p->gates; i++)
		put_slot(ret, p->gate[i]);
	put_sets(ret, p);
	put_oneshots(ret, p);
	put(ret, STATE_END, NULL, 0, NULL, 0);
	if (ret->b.error)
		return ret->b.error;
	head.bytes = ret->b.len - sizeof(head);
	head.checksum = sys_checksum(ret->b.p + sizeof(head), head.bytes);
	memcpy(ret->b.p, &head, sizeof(head));
	return 0;
}

void state_done(struct state *s)
{
	buf_done(&s->b);
	free(s->fds);
	free(s->specs);
	*s = (struct state){.fds = NULL};
}
