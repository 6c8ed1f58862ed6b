/*
 * limits.c: what cgroups hold an app to: memory, processors, tasks, disk; on v2, or on v1 where a
 * machine has its controllers there.
 *
 * Called by cgroup.c (init, done), workers.c and oneshot.c before a process is made, reap.c after
 * its death, sets.c when an app goes, wire.c for a new ctl. Owns the folders `apps` and app-N. A
 * limit that cannot be set is an event and never a reason not to start: `stead status` says what is
 * in effect.
 *
 * Under systemd only a subtree that was given to us is touched (Delegate=yes; its mark is an
 * extended attribute of the folder), as its page "Control Group APIs and Delegation" asks. The
 * kernel lets nobody stay in a v2 folder whose controllers are on, so the parent moves into a leaf.
 */
#include "parent.h"
#include "lib/event.h"
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

/* What the rest of the machine keeps when apps take all that they can get. */
enum { RESERVE_MIN = 96 << 20, RESERVE_MAX = 1 << 30, CPU_PERIOD_US = 100 * 1000 };

static const struct controller {
	const char *name, *v2, *v1; /* for people; in cgroup.controllers; its v1 hierarchy */
} controllers[PROTECTION_CONTROLLERS] = {
	[PROTECTION_MEMORY] = {"memory", "memory", "memory"},
	[PROTECTION_CPU] = {"cpu", "cpu", "cpu"},
	[PROTECTION_TASKS] = {"tasks", "pids", "pids"},
	[PROTECTION_IO] = {"io", "io", "blkio"},
};

/* Is `word` one of a list with this separator, up to the list's end? */
static bool listed(const char *list, size_t n, char separator, const char *word)
{
	size_t len = strlen(word);

	for (size_t at = 0; at < n;) {
		const char *next = memchr(list + at, separator, n - at);
		size_t end = next != NULL ? (size_t)(next - list) : n;

		if (end - at == len && memcmp(list + at, word, len) == 0)
			return true;
		at = end + 1;
	}
	return false;
}

/* ---- v2 ---- */

/* Did whoever manages this machine's cgroups give us this one? */
static bool delegated(const struct parent *p)
{
	static const char *const marks[] = {"user.delegate", "trusted.delegate"};
	char value[4];

	if (access("/run/systemd/system", F_OK) < 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(marks); i++)
		if (p->cgroups.own >= 0 &&
			fgetxattr(p->cgroups.own, marks[i], value, sizeof(value)) == 1 &&
			value[0] == '1')
			return true;
	return false;
}

static int turn_on(int dirfd, const char *controller)
{
	char text[24];

	snprintf(text, sizeof(text), "+%s", controller);
	return cgroup_write(dirfd, "cgroup.subtree_control", text);
}

/* Into a leaf of our own, so that the folder above may have controllers. */
static int move_parent(struct parent *p)
{
	int leaf = cgroup_folder(p->cgroup_fd, "parent");

	if (leaf < 0)
		return leaf;
	int e = cgroup_write(leaf, "cgroup.procs", "0");
	close(leaf);
	p->cgroups.moved = e == 0;
	return e;
}

static void init_v2(struct parent *p)
{
	struct cgroups *c = &p->cgroups;
	char *have = NULL;
	size_t n;

	if (p->cgroup_fd < 0 || sys_read_file(c->own, "cgroup.controllers", 4096, &have, &n) < 0)
		return;
	n = strcspn(have, "\n");
	for (unsigned i = 0; i < PROTECTION_CONTROLLERS; i++) {
		const char *name = controllers[i].v2;

		if (!listed(have, n, ' ', name))
			continue;
		int e = turn_on(c->own, name);
		if (e == -EBUSY && !c->moved && (e = move_parent(p)) == 0)
			e = turn_on(c->own, name);
		if (e == 0 && (e = turn_on(p->cgroup_fd, name)) == 0 &&
			(e = turn_on(c->apps, name)) == 0)
			c->where[i] = PROTECTION_V2;
		else if (c->why[0] == '\0')
			snprintf(c->why, sizeof(c->why),
				e == -EBUSY
					? "other processes are in the cgroup that stead was "
					  "started in"
					: "the kernel does not give the controller %s to it: %s",
				name, strerror(-e));
	}
	free(have);
}

/* ---- v1 ---- */

/* In the text of /proc/self/cgroup: our folder in the hierarchy of that controller. */
static bool v1_path(const char *text, const char *controller, char *ret, size_t cap)
{
	for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
		size_t n = strcspn(line, "\n");
		const char *names = memchr(line, ':', n);
		const char *path = names != NULL
					   ? memchr(names + 1, ':', n - (size_t)(names + 1 - line))
					   : NULL;

		if (path == NULL ||
			!listed(names + 1, (size_t)(path - names - 1), ',', controller)) {
			if (line[n] == '\0')
				break;
			continue;
		}
		size_t len = n - (size_t)(path + 1 - line);
		if (len >= cap)
			return false;
		memcpy(ret, path + 1, len);
		ret[len] = '\0';
		return ret[0] == '/';
	}
	return false;
}

/* The folder `apps` of ours in that hierarchy. */
static int v1_apps(struct parent *p, const char *text, const char *name)
{
	char top[64], path[PATH_MAX];
	struct statfs fs;
	int own = -1, mine = -1, apps = -1;

	snprintf(top, sizeof(top), "/sys/fs/cgroup/%s", name);
	int tree = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (tree >= 0 && fstatfs(tree, &fs) == 0 && fs.f_type == CGROUP_SUPER_MAGIC &&
		v1_path(text, name, path, sizeof(path)))
		own = openat(
			tree, path[1] != '\0' ? path + 1 : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (own >= 0) {
		cgroup_remove_dead(own, p->cgroup_name);
		mine = cgroup_folder(own, p->cgroup_name);
		close(own);
	}
	if (mine >= 0) {
		apps = cgroup_folder(mine, "apps");
		close(mine);
	}
	if (tree >= 0)
		close(tree);
	return apps;
}

static void init_v1(struct parent *p, const char *text)
{
	for (unsigned i = 0; i < PROTECTION_CONTROLLERS; i++) {
		if (p->cgroups.where[i] != PROTECTION_NONE)
			continue;
		p->cgroups.v1_apps[i] = v1_apps(p, text, controllers[i].v1);
		if (p->cgroups.v1_apps[i] >= 0)
			p->cgroups.where[i] = PROTECTION_V1;
	}
}

/* ---- all apps together ---- */

static void bound_apps(struct parent *p)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
	uint64_t all = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
	uint64_t quarter = max_of(all / 4, (uint64_t)RESERVE_MIN);
	uint64_t reserve = min_of(quarter, (uint64_t)RESERVE_MAX);
	uint8_t where = p->cgroups.where[PROTECTION_MEMORY];
	char text[24];
	int e;

	if (where == PROTECTION_NONE || all <= 2 * reserve)
		return;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)(all - reserve));
	e = where == PROTECTION_V2 ? cgroup_write(p->cgroups.apps, "memory.max", text)
				   : cgroup_write(p->cgroups.v1_apps[PROTECTION_MEMORY],
					     "memory.limit_in_bytes", text);
	if (e == 0)
		p->cgroups.apps_memory_max = all - reserve;
}

void limits_init(struct parent *p, const char *cgroup)
{
	struct cgroups *c = &p->cgroups;
	bool any = false;

	if (!delegated(p)) {
		snprintf(c->why, sizeof(c->why),
			"systemd did not give stead the cgroup that it was started in "
			"(Delegate=yes)");
		return;
	}
	if (p->cgroup_fd >= 0 && (c->apps = cgroup_folder(p->cgroup_fd, "apps")) >= 0)
		init_v2(p);
	init_v1(p, cgroup);
	for (unsigned i = 0; i < PROTECTION_CONTROLLERS; i++)
		any |= c->where[i] != PROTECTION_NONE;
	if (any)
		c->why[0] = '\0';
	else if (c->why[0] == '\0')
		snprintf(c->why, sizeof(c->why),
			"this machine has no cgroup controllers that stead could use");
	bound_apps(p);
}

/* ---- one app ---- */

static struct cgroup_group *group_new(struct parent *p, uint32_t app)
{
	struct cgroup_group *g = malloc(sizeof(*g));
	struct cgroups *c = &p->cgroups;
	char name[24];

	if (g == NULL)
		return NULL;
	*g = (struct cgroup_group){.app = app, .v2 = -1};
	snprintf(name, sizeof(name), "app-%u", (unsigned)app);
	if (c->apps >= 0)
		g->v2 = max_of(cgroup_folder(c->apps, name), -1);
	for (unsigned i = 0; i < PROTECTION_CONTROLLERS; i++) {
		g->v1[i] = g->procs[i] = -1;
		if (c->v1_apps[i] < 0 || (g->v1[i] = cgroup_folder(c->v1_apps[i], name)) < 0)
			continue;
		g->procs[i] = openat(g->v1[i], "cgroup.procs", O_WRONLY | O_CLOEXEC);
	}
	(void)limits_oom(g); /* of a group that is taken over: what was counted is told already */
	g->next = c->groups;
	c->groups = g;
	return g;
}

struct cgroup_group *limits_group(struct parent *p, uint32_t app)
{
	bool any = p->cgroups.apps >= 0;

	for (unsigned i = 0; i < PROTECTION_CONTROLLERS; i++)
		any |= p->cgroups.v1_apps[i] >= 0;
	if (!any)
		return NULL;
	for (struct cgroup_group *g = p->cgroups.groups; g != NULL; g = g->next)
		if (g->app == app)
			return g;
	return group_new(p, app);
}

static void say_off(struct parent *p, const char *app, const char *what, int e)
{
	char mem[256];
	struct buf b;

	buf_fixed(&b, mem, sizeof(mem));
	event_begin(&b, (uint32_t)EV_LIMIT_OFF);
	event_field_str(&b, "app", app);
	event_field_str(&b, "what", what);
	event_field_u64(&b, "error", (uint64_t)-e);
	if (b.error == 0)
		p->ops->say(p, b.p, b.len);
}

/* One file of a group: v2's or v1's, whichever its controller has. A file that is not there is one
 * that this kernel cannot do: no error when nobody asked for it. */
static void put(struct parent *p, struct cgroup_group *g, unsigned controller, const char *v2,
	const char *v1, const char *text, const char *v1_text, bool asked, const char *app)
{
	uint8_t where = p->cgroups.where[controller];
	bool second = where == PROTECTION_V1;
	int dir = second ? g->v1[controller] : g->v2;
	const char *file = second ? v1 : v2;
	int e = where == PROTECTION_NONE || dir < 0 ? -EOPNOTSUPP
		: file == NULL                      ? -ENOENT
			       : cgroup_write(dir, file, second ? v1_text : text);

	if (e < 0 && asked && where != PROTECTION_NONE)
		say_off(p, app, v2, e);
}

static void amount(char ret[static 24], uint64_t n, const char *infinity)
{
	if (n == JAIL_INFINITY)
		snprintf(ret, 24, "%s", infinity);
	else
		snprintf(ret, 24, "%llu", (unsigned long long)n);
}

static void put_amount(struct parent *p, struct cgroup_group *g, unsigned controller,
	const char *v2, const char *v1, uint64_t n, const char *app)
{
	char text[24], v1_text[24];

	amount(text, n, "max");
	amount(v1_text, n, controller == PROTECTION_TASKS ? "max" : "-1");
	put(p, g, controller, v2, v1, text, v1_text, n != JAIL_INFINITY, app);
}

static void put_cpu(
	struct parent *p, struct cgroup_group *g, const struct msg_jail *j, const char *app)
{
	/* At least what the kernel takes: 1 ms of each 100. */
	uint64_t quota = max_of((uint64_t)j->cpu_permille * CPU_PERIOD_US / 1000, (uint64_t)1000);
	bool bound = j->cpu_permille != 0;
	char v2[48], v1[24];

	snprintf(v1, sizeof(v1), "%lld", bound ? (long long)quota : -1LL);
	if (bound)
		snprintf(v2, sizeof(v2), "%llu %d", (unsigned long long)quota, CPU_PERIOD_US);
	else
		snprintf(v2, sizeof(v2), "max %d", CPU_PERIOD_US);
	put(p, g, PROTECTION_CPU, "cpu.max", "cpu.cfs_quota_us", v2, v1, bound, app);
	snprintf(v2, sizeof(v2), "%u", (unsigned)j->cpu_weight);
	snprintf(v1, sizeof(v1), "%llu",
		(unsigned long long)max_of((uint64_t)j->cpu_weight * 1024 / 100, (uint64_t)2));
	put(p, g, PROTECTION_CPU, "cpu.weight", "cpu.shares", v2, v1, true, app);
}

void limits_apply(
	struct parent *p, struct cgroup_group *g, const struct msg_jail *j, const char *app)
{
	char v2[24], v1[24];

	if (j->version == 0 || memcmp(&g->set, j, sizeof(*j)) == 0)
		return;
	g->set = *j;
	put_amount(p, g, PROTECTION_MEMORY, "memory.high", NULL, j->memory_high, app);
	put_amount(
		p, g, PROTECTION_MEMORY, "memory.max", "memory.limit_in_bytes", j->memory_max, app);
	if ((j->has & JAIL_HAS_SWAP) != 0)
		put_amount(p, g, PROTECTION_MEMORY, "memory.swap.max", NULL, j->swap_max, app);
	put_amount(p, g, PROTECTION_TASKS, "pids.max", "pids.max", j->tasks_max, app);
	put_cpu(p, g, j, app);
	snprintf(v2, sizeof(v2), "default %u", (unsigned)j->io_weight);
	snprintf(v1, sizeof(v1), "%u", min_of((unsigned)j->io_weight, 1000U));
	put(p, g, PROTECTION_IO, "io.weight", "blkio.bfq.weight", v2, v1, j->io_weight != 100, app);
}

uint64_t limits_oom(struct cgroup_group *g)
{
	int v1 = g->v1[PROTECTION_MEMORY];
	char *text, *at;
	uint64_t now = g->oom_kills, was = g->oom_kills;
	size_t n;

	if ((v1 < 0 && g->v2 < 0) ||
		sys_read_file(v1 >= 0 ? v1 : g->v2,
			v1 >= 0 ? "memory.oom_control" : "memory.events", 4096, &text, &n) < 0)
		return 0;
	at = strstr(text, "\noom_kill ");
	if (at != NULL)
		now = strtoull(at + strlen("\noom_kill "), NULL, 10);
	free(text);
	g->oom_kills = now;
	return now > was ? now - was : 0;
}

static void group_free(struct parent *p, struct cgroup_group *g)
{
	char name[24];

	snprintf(name, sizeof(name), "app-%u", (unsigned)g->app);
	if (g->v2 >= 0) {
		(void)cgroup_remove_empty(g->v2);
		close(g->v2);
		(void)unlinkat(p->cgroups.apps, name, AT_REMOVEDIR);
	}
	for (unsigned i = 0; i < PROTECTION_CONTROLLERS; i++) {
		if (g->procs[i] >= 0)
			close(g->procs[i]);
		if (g->v1[i] < 0)
			continue;
		close(g->v1[i]);
		(void)unlinkat(p->cgroups.v1_apps[i], name, AT_REMOVEDIR);
	}
	free(g);
}

void limits_forget(struct parent *p, uint32_t app)
{
	for (struct cgroup_group **at = &p->cgroups.groups; *at != NULL; at = &(*at)->next) {
		struct cgroup_group *g = *at;

		if (g->app != app || g->runs != 0)
			continue;
		*at = g->next;
		group_free(p, g);
		return;
	}
}

void limits_tell(struct parent *p)
{
	struct msg_protection m = {.kill = p->cgroup_fd >= 0,
		.landlock = (uint32_t)jail_landlock_abi(),
		.apps_memory_max = p->cgroups.apps_memory_max};
	struct buf b;

	for (unsigned i = 0; i < PROTECTION_CONTROLLERS; i++)
		m.controller[i] = p->cgroups.where[i];
	buf_init(&b, 1024);
	pack_str(&b, p->root ? p->cgroups.why : "stead does not run as root");
	if (b.error == 0)
		tell_ctl(p, MSG_PROTECTION, 0, &m, sizeof(m), b.p, b.len, NULL, 0);
	buf_done(&b);
}

void limits_done(struct parent *p)
{
	struct cgroups *c = &p->cgroups;

	while (c->groups != NULL) {
		struct cgroup_group *g = c->groups;

		c->groups = g->next;
		group_free(p, g);
	}
	for (unsigned i = 0; i < PROTECTION_CONTROLLERS; i++) {
		if (c->v1_apps[i] < 0)
			continue;
		int mine = openat(c->v1_apps[i], "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		int own = openat(c->v1_apps[i], "../..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		close(c->v1_apps[i]);
		c->v1_apps[i] = -1;
		if (mine >= 0) {
			(void)unlinkat(mine, "apps", AT_REMOVEDIR);
			close(mine);
		}
		if (own >= 0) {
			(void)unlinkat(own, p->cgroup_name, AT_REMOVEDIR);
			close(own);
		}
	}
	if (c->apps >= 0)
		close(c->apps);
	c->apps = -1;
	/* Back to where we were, or our folder could not go; first without controllers there. */
	if (c->moved) {
		for (unsigned i = 0; i < PROTECTION_CONTROLLERS; i++) {
			char text[24];

			snprintf(text, sizeof(text), "-%s", controllers[i].v2);
			(void)cgroup_write(c->own, "cgroup.subtree_control", text);
		}
		(void)cgroup_write(c->own, "cgroup.procs", "0");
	}
}
