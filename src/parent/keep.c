/*
 * keep.c: descriptors that outlive the processes which made or use them: the snapshot, log rings,
 * counters pages, the log's own page, what the gates count together, sealed keys, and the apps' output.
 *
 * Called with what gate, ctl and log send, and for each newcomer. Owns these descriptors. Never
 * maps one of them and never looks inside: whoever receives it checks it.
 */
#include "parent.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void keep_init(struct parent *p)
{
	for (unsigned i = 0; i < LOGRING_SLOTS; i++)
		p->ring[i] = (struct page){.fd = -1, .wake_fd = -1};
	for (unsigned i = 0; i < GATES_MAX; i++)
		p->counters[i] = (struct page){.fd = -1, .wake_fd = -1};
	p->log_page = (struct page){.fd = -1, .wake_fd = -1};
	p->limits_fd = p->vault_fd = p->keys_fd = -1;
}

void keep_limits(struct parent *p)
{
	struct limits_start start = {.magic = LIMITS_MAGIC};

	if (sys_random(start.secret, sizeof(start.secret)) < 0 ||
		sys_shm_common("stead-limits", sizeof(struct limits_page), &start, sizeof(start),
			&p->limits_fd) < 0)
		p->limits_fd = -1;
}

/* ---- the snapshot ---- */

void keep_give_snap(struct parent *p, struct run *gate)
{
	if (p->snap_n == 0)
		return;
	p->ops->send(
		p, gate, MSG_SNAP, 0, &p->snap, sizeof(p->snap), NULL, 0, p->snap_fd, p->snap_n);
}

void keep_snap(struct parent *p, struct msg *m)
{
	struct msg_done done = {0};
	struct msg_snap snap;

	if (msg_get(m, &snap, sizeof(snap), sizeof(snap)) < 0 || m->nfds != 1 + snap.segments + (snap.cache != 0) ||
		m->nfds > SNAP_FDS_MAX) {
		done.err = EINVAL;
	} else {
		for (unsigned i = 0; i < p->snap_n; i++)
			close_fd(&p->snap_fd[i]);
		p->snap = snap;
		p->snap_n = m->nfds;
		for (unsigned i = 0; i < p->snap_n; i++)
			p->snap_fd[i] = msg_take_fd(m, i);
		parent_settle_soon(p); /* store.c */
		for (unsigned i = 0; i < gate_runs(p); i++)
			if (core_gate(p, i) != NULL)
				keep_give_snap(p, core_gate(p, i));
	}
	tell_ctl(p, MSG_DONE, m->h.id, &done, sizeof(done), NULL, 0, NULL, 0);
}

/* ---- private keys, which nobody but keys can read ---- */

void keep_give_keys(struct parent *p, struct run *keys)
{
	if (p->vault_fd >= 0)
		p->ops->send(p, keys, MSG_VAULT, 0, &p->vault, sizeof(p->vault), NULL, 0, &p->vault_fd, 1);
}

void keep_vault(struct parent *p, struct msg *m)
{
	struct msg_done done = {0};
	struct msg_vault vault;

	if (msg_get(m, &vault, sizeof(vault), sizeof(vault)) < 0) {
		done.err = EINVAL;
	} else {
		close_fd(&p->vault_fd);
		p->vault = vault;
		p->vault_fd = msg_take_fd(m, 0);
		parent_settle_soon(p);
		if (core_keys(p) != NULL)
			keep_give_keys(p, core_keys(p));
	}
	tell_ctl(p, MSG_DONE, m->h.id, &done, sizeof(done), NULL, 0, NULL, 0);
}

void keep_keys(struct parent *p, struct msg *m)
{
	close_fd(&p->keys_fd);
	p->keys_fd = msg_take_fd(m, 0);
	parent_settle_soon(p);
}

/* ---- pages ---- */

static unsigned ring_slot(const struct run *r)
{
	return r->slot->role == PROC_CTL ? RING_CTL : RING_GATE + gate_place(r);
}

static void give_ring(struct parent *p, unsigned slot)
{
	struct run *log = core_log(p);
	struct msg_page m = {.kind = PAGE_LOGRING,
		.slot = slot,
		.generation = p->ring[slot].generation,
		.role = slot == RING_PARENT ? PROC_PARENT
			: slot == RING_CTL  ? PROC_CTL
					    : PROC_GATE,
		.index = slot >= RING_GATE && (slot - RING_GATE) / 2 < p->gates ? p->gate[(slot - RING_GATE) / 2]->index : 0};

	if (log != NULL && p->ring[slot].fd >= 0)
		p->ops->send(p, log, MSG_RING, 0, &m, sizeof(m), NULL, 0, &p->ring[slot].fd, 1);
}

static void give_counters(struct parent *p, unsigned gate)
{
	struct msg_page m = {.kind = PAGE_COUNTERS,
		.role = PROC_GATE,
		.index = gate,
		.generation = p->counters[gate].generation};

	if (p->counters[gate].fd >= 0)
		tell_ctl(p, MSG_COUNTERS, 0, &m, sizeof(m), NULL, 0, &p->counters[gate].fd, 1);
}

void keep_give_writer(struct parent *p, struct run *writer)
{
	struct msg_page m = {.kind = PAGE_LOG,
		.role = PROC_LOG,
		.slot = ring_slot(writer),
		.generation = p->log_page.generation};
	int fds[2] = {p->log_page.fd, p->log_page.wake_fd};

	if (fds[0] >= 0 && fds[1] >= 0)
		p->ops->send(p, writer, MSG_LOG_PAGE, 0, &m, sizeof(m), NULL, 0, fds, 2);
}

static void attach_own(struct parent *p)
{
	int wake = p->log_page.wake_fd >= 0 ? fcntl(p->log_page.wake_fd, F_DUPFD_CLOEXEC, 0) : -1;

	/* The attached ring takes the wake-up's end, as each writer's does. */
	if (wake >= 0 && logring_attach(&p->own_ring, p->log_page.fd, RING_PARENT, wake) < 0)
		close(wake);
}

static void log_page_came(struct parent *p)
{
	attach_own(p);
	if (core_ctl(p) != NULL)
		keep_give_writer(p, core_ctl(p));
	for (unsigned i = 0; i < gate_runs(p); i++)
		if (core_gate(p, i) != NULL)
			keep_give_writer(p, core_gate(p, i));
}

static void page_take(struct page *page, struct run *from, struct msg *m)
{
	close_fd(&page->fd);
	close_fd(&page->wake_fd);
	*page = (struct page){.fd = msg_take_fd(m, 0),
		.wake_fd = msg_take_fd(m, 1),
		.generation = from->generation};
	parent_settle_soon(from->slot->parent);
}

int keep_page(struct parent *p, struct run *from, struct msg *m)
{
	struct slot *s = from->slot;
	struct msg_page page;

	if (msg_get(m, &page, sizeof(page), sizeof(page)) < 0)
		return -EPROTO;
	if (page.kind == PAGE_LOGRING && s->role != PROC_LOG && m->nfds == 1) {
		page_take(&p->ring[ring_slot(from)], from, m);
		give_ring(p, ring_slot(from));
	} else if (page.kind == PAGE_COUNTERS && s->role == PROC_GATE && m->nfds == 1) {
		page_take(&p->counters[s->index], from, m);
		give_counters(p, s->index);
	} else if (page.kind == PAGE_LOG && s->role == PROC_LOG && m->nfds == 2) {
		page_take(&p->log_page, from, m);
		log_page_came(p);
	} else {
		return -EPROTO;
	}
	return 0;
}

void keep_own_ring(struct parent *p)
{
	p->ring[RING_PARENT] = (struct page){.fd = p->own_ring.fd, .wake_fd = -1, .generation = ++p->generation};
	give_ring(p, RING_PARENT);
	attach_own(p);
}

/* ---- newcomers ---- */

void keep_give_gate(struct parent *p, struct run *gate)
{
	if (p->limits_fd >= 0)
		p->ops->send(p, gate, MSG_LIMITS, 0, NULL, 0, NULL, 0, &p->limits_fd, 1);
	keep_give_snap(p, gate);
}

void keep_give_ctl(struct parent *p, struct run *ctl)
{
	(void)ctl;
	for (unsigned i = 0; i < p->gates; i++)
		give_counters(p, i);
}

static void give_late(struct parent *p, struct run *log)
{
	for (unsigned i = 0; i < p->late_n; i++) {
		struct late_stream *l = &p->late[i];

		p->ops->send(p, log, MSG_STREAM, 0, &l->m, sizeof(l->m), l->name,
			strlen(l->name) + 1, &l->fd, 1);
		close_fd(&l->fd);
	}
	p->late_n = 0;
}

void keep_give_log(struct parent *p, struct run *log)
{
	for (unsigned i = 0; i < LOGRING_SLOTS; i++)
		give_ring(p, i);
	give_late(p, log);
	for (struct set *set = p->sets; set != NULL; set = set->next)
		for (struct slot *s = set->slots; s != NULL; s = s->next) {
			keep_give_streams(p, slot_other(s));
			keep_give_streams(p, slot_run(s));
		}
}

/* Last words that no log process has read: kept for the next one, the oldest dropped when there are
 * too many. */
static void keep_late(struct parent *p, const struct msg_stream *m, const char *name, int fd)
{
	if (p->late_n == LATE_STREAMS_MAX) {
		close_fd(&p->late[0].fd);
		memmove(&p->late[0], &p->late[1], sizeof(p->late) - sizeof(p->late[0]));
		p->late_n--;
	}
	struct late_stream *l = &p->late[p->late_n++];
	*l = (struct late_stream){.m = *m, .fd = fd};
	snprintf(l->name, sizeof(l->name), "%.63s", name);
}

void keep_give_streams(struct parent *p, struct run *r)
{
	struct slot *s = r->slot;
	struct run *log = core_log(p);

	for (unsigned i = 0; i < 2; i++) {
		struct msg_stream m = {.app = s->set->app,
			.kind = s->role,
			.slot = s->index,
			.which = i + 1,
			.generation = r->generation,
			.pid = r->last_pid,
			.level_max = r->spec != NULL ? r->spec->set.log_level : 0};
		size_t n = strlen(s->set->name) + 1;

		if (r->stream[i] < 0)
			continue;
		if (log != NULL)
			p->ops->send(p, log, MSG_STREAM, 0, &m, sizeof(m), s->set->name, n,
				&r->stream[i], 1);
		if (run_alive(r))
			continue;
		if (log == NULL)
			keep_late(p, &m, s->set->name, r->stream[i]);
		else
			close_fd(&r->stream[i]);
		r->stream[i] = -1;
	}
}

void keep_give_pair(struct parent *p, const struct run *r, int fds[2])
{
	const struct slot *s = r->slot;
	struct run *log = core_log(p);

	for (unsigned i = 0; i < 2; i++) {
		struct msg_stream m = {.app = s->set->app,
			.kind = s->role,
			.slot = s->index,
			.which = i + 1,
			.generation = r->hook.generation,
			.pid = r->hook.pid,
			.level_max = r->spec != NULL ? r->spec->set.log_level : 0};

		if (fds[i] < 0)
			continue;
		if (log == NULL) {
			keep_late(p, &m, s->set->name, fds[i]);
			fds[i] = -1;
			continue;
		}
		p->ops->send(p, log, MSG_STREAM, 0, &m, sizeof(m), s->set->name,
			strlen(s->set->name) + 1, &fds[i], 1);
		close_fd(&fds[i]);
	}
}

void keep_end_streams(struct parent *p, struct run *r)
{
	for (unsigned i = 0; i < 2; i++) {
		if (core_log(p) != NULL)
			close_fd(
				&r->stream[i]); /* the log has its own descriptor since the start */
	}
	keep_give_streams(p, r);
}

void keep_done(struct parent *p)
{
	for (unsigned i = 0; i < p->snap_n; i++)
		close_fd(&p->snap_fd[i]);
	p->snap_n = 0;
	for (unsigned i = 0; i < p->late_n; i++)
		close_fd(&p->late[i].fd);
	p->ring[RING_PARENT].fd = -1; /* own_ring's */
	for (unsigned i = 0; i < LOGRING_SLOTS; i++)
		close_fd(&p->ring[i].fd);
	for (unsigned i = 0; i < GATES_MAX; i++)
		close_fd(&p->counters[i].fd);
	close_fd(&p->limits_fd);
	close_fd(&p->vault_fd);
	close_fd(&p->keys_fd);
	close_fd(&p->log_page.fd);
	close_fd(&p->log_page.wake_fd);
}
