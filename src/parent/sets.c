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

enum { ARGS_MAX = 512, ENV_MAX = 1024 };

/* ---- specs ---- */

static int stop_signal_of(const char *name)
{
	static const struct {
		const char *name;
		int sig;
	} known[] = {{"TERM", SIGTERM}, {"INT", SIGINT}, {"QUIT", SIGQUIT}, {"HUP", SIGHUP},
		{"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"WINCH", SIGWINCH}, {"KILL", SIGKILL}};

	if (strncmp(name, "SIG", 3) == 0)
		name += 3;
	if (name[0] == '\0')
		return SIGTERM;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strcmp(name, known[i].name) == 0)
			return known[i].sig;
	return -EINVAL;
}

/* `n` strings and the empty one behind them, into a NULL-terminated array. */
static char **strings(struct unpack *u, uint32_t n, uint32_t max)
{
	char **v = n <= max ? calloc(n + 1, sizeof(*v)) : NULL;

	for (uint32_t i = 0; v != NULL && i < n; i++)
		v[i] = (char *)unpack_str(u);
	if (v != NULL && unpack_str(u)[0] != '\0')
		u->bad = true;
	return v;
}

/* What only a program that is not on the link may have. */
static bool service_fits(const struct spec *s)
{
	const struct msg_proc_set *set = &s->set;

	if (set->role != PROC_SERVICE)
		return set->listen == SERVICE_NONE && set->ready == SERVICE_SPAWNED;
	return set->listen <= SERVICE_PATH && set->port <= UINT16_MAX &&
	       set->ready <= SERVICE_NOTIFIES && set->notify <= SERVICE_NOTIFY_ALL &&
	       set->kill <= SERVICE_KILL_MAIN && (set->flags & PROC_SET_LINK) == 0 &&
	       (set->listen != SERVICE_PATH || s->socket[0] == '/') &&
	       /* Nobody could ever say of it that it is ready. */
	       (set->listen != SERVICE_NONE || set->ready != SERVICE_PROBED) &&
	       (set->listen != SERVICE_AUTO || set->ready != SERVICE_SPAWNED) &&
	       (set->ready != SERVICE_NOTIFIES || set->notify != SERVICE_NOTIFY_NONE);
}

static bool jail_fits(const struct msg_jail *j)
{
	bool good = j->paths <= JAIL_PATHS_MAX && j->calls <= JAIL_CALLS_MAX;

	good &= j->nice >= -20 && j->nice <= 19 && j->oom_adjust >= -1000 && j->oom_adjust <= 1000;
	good &= j->umask_bits <= 0777 && j->cpu_weight >= 1 && j->cpu_weight <= 10000;
	good &= j->system <= JAIL_STRICT && j->home <= JAIL_STRICT && j->call_mode <= JAIL_CALLS_NOT;
	good &= j->call_errno < 4096;
	good &= j->io_weight >= 1 && j->io_weight <= 10000 && j->tasks_max != 0;
	for (unsigned i = 0; i < JAIL_LIMITS; i++)
		good &= j->limit[i][0] <= j->limit[i][1];
	return good && j->limits < 1U << JAIL_LIMITS;
}

/* What ends a PROC_SET; a ctl that is older sends none. */
static bool jail_read(struct unpack *u, struct spec *s)
{
	const char *p;
	size_t n;

	if (unpack_done(u))
		return true;
	p = unpack_bytes(u, &n);
	memcpy(&s->jail, p, min_of(n, sizeof(s->jail)));
	if (s->jail.version != JAIL_VERSION || !jail_fits(&s->jail))
		return false;
	s->paths = calloc(s->jail.paths + 1, sizeof(*s->paths));
	s->calls = calloc(s->jail.calls + 1, sizeof(*s->calls));
	for (uint32_t i = 0; s->paths != NULL && i < s->jail.paths; i++) {
		s->paths[i].kind = unpack_u32(u);
		s->paths[i].path = unpack_str(u);
		if (s->paths[i].path[0] != '/')
			return false;
	}
	for (uint32_t i = 0; s->calls != NULL && i < s->jail.calls; i++)
		s->calls[i] = unpack_u32(u);
	return s->paths != NULL && s->calls != NULL && unpack_done(u);
}

int spec_new(const void *bytes, size_t n, struct spec **ret_spec)
{
	struct spec *s = n >= sizeof(s->set) ? calloc(1, sizeof(*s) + n) : NULL;
	struct unpack u;

	if (s == NULL)
		return n >= sizeof(s->set) ? -ENOMEM : -EINVAL;
	s->refs = 1;
	s->mounts_fd = -1;
	s->bytes_n = n;
	memcpy(s->bytes, bytes, n);
	memcpy(&s->set, bytes, sizeof(s->set));
	unpack_init(&u, s->bytes + sizeof(s->set), n - sizeof(s->set));
	s->name = unpack_str(&u);
	s->cwd = unpack_str(&u);
	s->path = unpack_str(&u);
	s->argv = strings(&u, s->set.argc, ARGS_MAX);
	s->envp = strings(&u, s->set.envc, ENV_MAX);
	s->stop_signal = stop_signal_of(unpack_str(&u));
	s->socket = unpack_str(&u);
	s->probe = unpack_str(&u);
	if (!jail_read(&u, s) || s->argv == NULL || s->envp == NULL || s->stop_signal < 0 ||
		s->set.argc == 0 || s->path[0] != '/' || (s->cwd[0] != '/' && s->cwd[0] != '\0') ||
		(s->set.count == 0 && s->set.wake == 0) || s->set.count > SET_SLOTS_MAX ||
		s->set.wake > SET_SLOTS_MAX || s->set.nice_plus20 > 39 ||
		s->set.umask_bits > 0777 || !service_fits(s)) {
		spec_unref(s);
		return -EINVAL;
	}
	*ret_spec = s;
	return 0;
}

struct spec *spec_ref(struct spec *s)
{
	s->refs++;
	return s;
}

void spec_unref(struct spec *s)
{
	if (s == NULL || --s->refs != 0)
		return;
	view_forget(s);
	free(s->paths);
	free(s->calls);
	free(s->argv);
	free(s->envp);
	free(s);
}

/* Would a process of the one be a process of the other? The number of slots does not matter. */
static bool spec_equal(const struct spec *a, const struct spec *b)
{
	struct msg_proc_set set[2] = {a->set, b->set};
	size_t tail = sizeof(a->set);

	for (int i = 0; i < 2; i++) {
		set[i].count = set[i].wake = 0;
		set[i].flags &= ~(uint32_t)PROC_SET_KEEP;
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
	if (set->spec != NULL && !spec_equal(set->spec, spec))
		for (struct slot *s = set->slots; s != NULL; s = s->next)
			s->stale = s->wanted;
	spec_unref(set->spec);
	set->spec = spec;
	set->dropped = false;
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

void sets_set(struct parent *p, struct msg *m)
{
	done(p, m->h.id, set_apply(p, m->payload, m->h.len));
}

static struct set *named(struct parent *p, const struct msg *m)
{
	struct msg_proc_ref ref;

	if (msg_get(m, &ref, sizeof(ref), sizeof(ref)) < 0)
		return NULL;
	return sets_find(p, ref.role, ref.app);
}

void sets_drop(struct parent *p, struct msg *m)
{
	struct set *set = named(p, m);

	if (set != NULL) {
		set->dropped = true;
		for (struct slot *s = set->slots; s != NULL; s = s->next)
			slot_unwant(s);
		parent_settle_soon(p);
	}
	done(p, m->h.id, set != NULL ? 0 : -ENOENT);
}

void sets_restart(struct parent *p, struct msg *m)
{
	struct set *set = named(p, m);

	if (set != NULL) {
		for (struct slot *s = set->slots; s != NULL; s = s->next)
			s->stale = s->wanted;
		parent_settle_soon(p);
	}
	done(p, m->h.id, set != NULL ? 0 : -ENOENT);
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
		if (!s->stale || (rolling && slot_run(s)->phase == PHASE_UP &&
					 slot_other(s)->phase != PHASE_DOWN))
			continue;
		bool one = rolling && slot_run(s)->phase == PHASE_UP;

		slot_replace(s, rolling);
		if (one)
			return;
	}
}

static void slot_bury(struct parent *p, struct slot *s)
{
	for (unsigned i = 0; i < ARRAY_LEN(s->run); i++) {
		struct run *r = &s->run[i];

		must(!run_alive(r));
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
				s->run[i].child.pid = 0; /* the sweep saw to it */
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
