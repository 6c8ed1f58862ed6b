/*
 * sets.c: what ctl wants to run: PROC_SET, PROC_DROP, PROC_RESTART.
 *
 * Called with ctl's messages, and at the end of a turn to roll what is stale and bury what is down.
 * Owns the sets, their slots and the specs. As root it holds ctl to the fixed table: the uid lies
 * in stead's range, or it is postgres' and the program is PostgreSQL's. A PROC_SET with the same
 * contents changes nothing; another number of slots starts or ends slots; anything else is rolled
 * out, one slot after the other, and stops at the first that does not come up.
 */
#include "parent.h"
#include "mounts.h"
#include "places.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Would a process of the one be a process of the other? The number of slots does not matter. */
static bool spec_equal(const struct spec *a, const struct spec *b)
{
	struct msg_proc_set set[2] = {a->set, b->set};
	size_t tail = sizeof(a->set);

	for (int i = 0; i < 2; i++) {
		set[i].count = set[i].wake = 0;
		set[i].drain_s = set[i].tunnel_s = 0;
		set[i].flags &= ~(uint32_t)(PROC_SET_KEEP | PROC_SET_STAYS);
	}
	return a->bytes_n == b->bytes_n && memcmp(&set[0], &set[1], sizeof(set[0])) == 0 &&
	       memcmp(a->bytes + tail, b->bytes + tail, a->bytes_n - tail) == 0;
}

/* PostgreSQL's own program, at a place that only root can write. */
static int postgres_path(const char *path)
{
	static const char *const prefixes[] = {"/usr/lib/postgresql/", "/usr/bin/"};
	struct stat st;
	int e = -EPERM;

	for (size_t i = 0; i < ARRAY_LEN(prefixes) && e == -EPERM; i++) {
		size_t n = strlen(prefixes[i]);

		if (strncmp(path, prefixes[i], n) != 0)
			continue;
		int dir = open(prefixes[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
		int fd = dir >= 0 ? sys_open_nosymlink(dir, path + n, O_PATH | O_CLOEXEC, 0)
				  : -ENOENT;

		if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == 0 &&
			(st.st_mode & 022) == 0)
			e = 0;
		if (fd >= 0)
			close(fd);
		if (dir >= 0)
			close(dir);
	}
	return e;
}

static int allowed(const struct parent *p, const struct spec *s)
{
	enum proc role = (enum proc)s->set.role;

	if (role != PROC_WORKER && role != PROC_SERVICE && role != PROC_POSTGRES)
		return -EINVAL;
	int e = account_allowed(p, role, s->set.uid, s->set.gid);
	if (e == 0)
		e = account_groups(p, s->set.uid, s->jail.groups);
	if (e == 0 && p->root && role == PROC_POSTGRES)
		e = postgres_path(s->path);
	return e;
}

/* ---- sets ---- */

struct set *sets_find(struct parent *p, uint32_t role, uint32_t app)
{
	for (struct set *set = p->sets; set != NULL; set = set->next)
		if (set->role == role && set->app == app)
			return set;
	return NULL;
}

static struct set *set_new(struct parent *p, const struct spec *spec)
{
	struct set *set = p->sets_n < SETS_MAX ? calloc(1, sizeof(*set)) : NULL;

	if (set == NULL)
		return NULL;
	set->app = spec->set.app;
	set->role = (uint8_t)spec->set.role;
	set->next = p->sets;
	p->sets = set;
	p->sets_n++;
	return set;
}

static struct slot *slot_at(struct set *set, uint32_t index)
{
	struct slot *s = set->slots;

	while (s != NULL && s->index != index)
		s = s->next;
	return s;
}

/* Slots 0 … count-1 are wanted, others not. */
static int set_count(struct parent *p, struct set *set, uint32_t count)
{
	set->count = count;
	for (struct slot *s = set->slots; s != NULL; s = s->next)
		if (s->index >= count)
			slot_unwant(s);
	for (uint32_t i = 0; i < count; i++) {
		struct slot *s = slot_at(set, i);

		if (s == NULL) {
			if ((s = malloc(sizeof(*s))) == NULL)
				return -ENOMEM;
			slot_init(s, p, (enum proc)set->role, i, set);
			s->next = set->slots;
			set->slots = s;
		}
		if (!s->wanted)
			slot_want(s);
	}
	return 0;
}

static int set_apply(struct parent *p, const void *bytes, size_t n)
{
	struct spec *spec;
	int e = spec_new(bytes, n, &spec);

	if (e < 0)
		return e;
	if ((e = allowed(p, spec)) < 0 || p->stop_step != STOP_NOT) {
		spec_unref(spec);
		return e < 0 ? e : -ESHUTDOWN;
	}
	struct set *set = sets_find(p, spec->set.role, spec->set.app);
	bool keep = set != NULL && !set->dropped && (spec->set.flags & PROC_SET_KEEP) != 0;
	if (set == NULL && (set = set_new(p, spec)) == NULL) {
		spec_unref(spec);
		return -ENOMEM;
	}
	if (set->spec != NULL && (spec->set.flags & PROC_SET_STAYS) == 0 && !spec_equal(set->spec, spec))
		for (struct slot *s = set->slots; s != NULL; s = s->next)
			s->stale = s->wanted;
	spec_unref(set->spec);
	set->spec = spec;
	set->dropped = set->soon = false;
	snprintf(set->name, sizeof(set->name), "%.63s", spec->name);
	recycle_arm(p);
	e = set_count(p, set, keep ? set->count : spec->set.count);
	parent_settle_soon(p);
	return e;
}

static void done(struct parent *p, uint64_t id, int e)
{
	struct msg_done m = {.err = (uint32_t)-e};
	const char *text = e < 0 ? strerror(-e) : "";

	tell_ctl(p, MSG_DONE, id, &m, sizeof(m), text, strlen(text) + 1, NULL, 0);
}

static void hear_set(struct parent *p, struct msg *m)
{
	done(p, m->h.id, set_apply(p, m->payload, m->h.len));
}

static struct set *named(struct parent *p, const struct msg *m, bool *ret_soon)
{
	struct msg_proc_ref ref;

	if (msg_get(m, &ref, sizeof(ref), sizeof(ref)) < 0)
		return NULL;
	*ret_soon = (ref.role & PROC_REF_SOON) != 0;
	return sets_find(p, ref.role & ~(uint32_t)PROC_REF_SOON, ref.app);
}

static void hear_drop(struct parent *p, struct msg *m)
{
	bool soon = false;
	struct set *set = named(p, m, &soon);

	if (set != NULL) {
		set->dropped = true;
		set->soon = soon;
		for (struct slot *s = set->slots; s != NULL; s = s->next) {
			for (unsigned i = 0; soon && i < ARRAY_LEN(s->run); i++)
				drain_hurry(&s->run[i]);
			slot_unwant(s);
		}
		parent_settle_soon(p);
	}
	done(p, m->h.id, set != NULL ? 0 : -ENOENT);
}

static void hear_restart(struct parent *p, struct msg *m)
{
	struct set *set = named(p, m, &(bool){false});

	if (set != NULL) {
		for (struct slot *s = set->slots; s != NULL; s = s->next)
			s->stale = s->wanted;
		parent_settle_soon(p);
	}
	done(p, m->h.id, set != NULL ? 0 : -ENOENT);
}

static void hear_reload(struct parent *p, struct msg *m)
{
	struct set *set = named(p, m, &(bool){false});

	for (struct slot *s = set != NULL ? set->slots : NULL; s != NULL; s = s->next)
		watch_event(slot_run(s), WATCH_RELOAD);
	done(p, m->h.id, set != NULL ? 0 : -ENOENT);
}

void sets_heard(struct parent *p, struct msg *m)
{
	switch ((enum msg_type)m->h.type) {
	case MSG_PROC_SET:
		hear_set(p, m);
		break;
	case MSG_PROC_DROP:
		hear_drop(p, m);
		break;
	case MSG_PROC_RESTART:
		hear_restart(p, m);
		break;
	default:
		hear_reload(p, m);
	}
}

void sets_wake(struct parent *p, uint32_t app)
{
	struct set *set = sets_find(p, PROC_WORKER, app);

	if (set == NULL || set->dropped || set->count != 0 || p->stop_step != STOP_NOT)
		return;
	/* Without memory for a slot the request's own time ends it. */
	(void)set_count(p, set, set->spec->set.wake);
	parent_settle_soon(p);
}

/* ---- the end of a turn ---- */

/* One slot at a time: while a new generation has not proven itself beside the one it shall replace,
 * the others keep what works. */
static void roll(struct set *set)
{
	bool rolling = (set->spec->set.flags & PROC_SET_ROLLING) != 0;

	for (struct slot *s = set->slots; rolling && s != NULL; s = s->next)
		if (slot_run(s)->phase != PHASE_UP && slot_other(s)->phase == PHASE_UP && !s->stale)
			return;
	for (struct slot *s = set->slots; s != NULL; s = s->next) {
		if (!s->stale)
			continue;
		if (rolling && slot_run(s)->phase == PHASE_UP && slot_other(s)->phase != PHASE_DOWN) {
			drain_hurry(slot_other(s));
			continue;
		}
		bool one = rolling && slot_run(s)->phase == PHASE_UP;

		slot_replace(s, rolling);
		if (one)
			return;
	}
}

/* What was not wanted for a while, and drains as yet, does not keep its successor waiting; the one before it does, for
 * as long as its tunnels need to take leave. */
static void revive(struct set *set)
{
	for (struct slot *s = set->slots; s != NULL; s = s->next) {
		if (!s->wanted || slot_run(s)->phase != PHASE_DRAINING || slot_run(s)->wants_kill)
			continue;
		if (slot_other(s)->phase == PHASE_DOWN)
			slot_succeed(s);
		else
			drain_hurry(slot_other(s));
	}
}

static void slot_bury(struct parent *p, struct slot *s)
{
	for (unsigned i = 0; i < ARRAY_LEN(s->run); i++) {
		struct run *r = &s->run[i];

		must(!run_alive(r) && r->hook.pid == 0);
		loop_timer_stop(p->loop, &r->timer);
		place_bury(p, r);
		for (unsigned k = 0; k < 2; k++)
			if (r->stream[k] >= 0)
				close(r->stream[k]);
	}
	free(s);
}

static void set_settle(struct parent *p, struct set *set)
{
	for (struct slot **at = &set->slots; *at != NULL;) {
		struct slot *s = *at;

		if (s->wanted || !slot_down(s)) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		slot_bury(p, s);
	}
	if (p->stop_step == STOP_NOT && !set->dropped) {
		recycle_settle(set);
		roll(set);
		if ((set->spec->set.flags & PROC_SET_ROLLING) != 0)
			revive(set);
	}
}

/* The app's cgroups go with its last set. */
static void set_forget(struct parent *p, const struct set *gone)
{
	for (const struct set *o = p->sets; o != NULL; o = o->next)
		if (o->spec->jail.version != 0 && o->spec->jail.group == gone->spec->jail.group)
			return;
	if (gone->spec->jail.version != 0)
		limits_forget(p, gone->spec->jail.group);
}

void sets_settle(struct parent *p)
{
	for (struct set **at = &p->sets; *at != NULL;) {
		struct set *set = *at;

		set_settle(p, set);
		if (!set->dropped || set->slots != NULL) {
			at = &set->next;
			continue;
		}
		*at = set->next;
		p->sets_n--;
		set_forget(p, set);
		spec_unref(set->spec);
		free(set);
	}
}

/* ---- stopping ---- */

void sets_unwant(struct parent *p, bool postgres)
{
	for (struct set *set = p->sets; set != NULL; set = set->next)
		for (struct slot *s = set->slots; s != NULL; s = s->next)
			if ((set->role == PROC_POSTGRES) == postgres)
				slot_unwant(s);
}

bool sets_down(struct parent *p, bool postgres)
{
	for (struct set *set = p->sets; set != NULL; set = set->next)
		for (struct slot *s = set->slots; s != NULL; s = s->next)
			if ((set->role == PROC_POSTGRES) == postgres && !slot_down(s))
				return false;
	return true;
}

void sets_done(struct parent *p)
{
	while (p->sets != NULL) {
		struct set *set = p->sets;

		p->sets = set->next;
		while (set->slots != NULL) {
			struct slot *s = set->slots;

			set->slots = s->next;
			for (unsigned i = 0; i < ARRAY_LEN(s->run); i++) {
				spec_unref(s->run[i].spec);
				s->run[i].spec = NULL;
				s->run[i].child.pid = s->run[i].hook.pid = 0; /* the sweep saw to it */
				if (s->run[i].down_fd >= 0)
					close(s->run[i].down_fd);
			}
			slot_bury(p, s);
		}
		spec_unref(set->spec);
		free(set);
	}
	p->sets_n = 0;
}
