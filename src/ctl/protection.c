/*
 * protection.c: what holds the app's processes: its configuration's msg_jail for the parent, and
 * what the parent says that this machine lets it hold them to (PROTECTION), for `stead status`.
 *
 * Called by wants.c and wants_service.c for each PROC_SET, by peers.c and status.c. Resolves shares
 * of the machine's memory and tasks. Owns nothing.
 */
#include "wants.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "calls.h"
#include "lib/sys.h"
#include "lib/within.h"

static uint64_t memory_bytes(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : 0;
}

/* How many tasks the kernel makes at all. */
static uint64_t tasks_most(void)
{
	uint64_t least = 32768;
	char *text;
	size_t n;

	if (sys_read_file(AT_FDCWD, "/proc/sys/kernel/threads-max", 64, &text, &n) == 0) {
		least = strtoull(text, NULL, 10);
		free(text);
	}
	return least;
}

static uint64_t resolved(uint64_t amount, uint64_t whole)
{
	if (amount == JAIL_INFINITY || !(amount & CONF_AMOUNT_SHARE))
		return amount;
	amount &= ~CONF_AMOUNT_SHARE;
	return whole ? whole / 10000 * amount + whole % 10000 * amount / 10000 : JAIL_INFINITY;
}

struct paths {
	struct buf b;
	uint32_t n;
};

static void put_path(struct paths *p, uint32_t kind, const char *path)
{
	if (p->n >= JAIL_PATHS_MAX || path[0] != '/')
		return;
	pack_u32(&p->b, kind);
	pack_str(&p->b, path);
	p->n++;
}

static void put_below(struct paths *p, uint32_t kind, const char *folder, const char *name)
{
	char path[CTL_PATH_MAX];

	if (snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path)
		put_path(p, kind | JAIL_PATH_OPTIONAL, path);
}

/* Of stead's own folders, which are hidden from apps, those that are this one's. */
static void put_own(struct paths *p, const struct ctl *c, const struct app *a)
{
	char path[CTL_PATH_MAX];

	put_below(p, JAIL_PATH_READ, c->state_dir, "python");
	put_below(p, JAIL_PATH_READ, c->state_dir, "php");
	if (app_deployed(a)) {
		(void)snprintf(path, sizeof path, "apps/%s", a->name);
		put_below(p, JAIL_PATH_WRITE, c->state_dir, path);
	} else {
		put_below(p, JAIL_PATH_WRITE, c->state_dir, "data");
		put_below(p, JAIL_PATH_WRITE, c->state_dir, "own");
		put_below(p, JAIL_PATH_WRITE, c->state_dir, "cache");
		put_below(p, JAIL_PATH_WRITE, c->state_dir, "logs");
		put_below(p, JAIL_PATH_READ, c->state_dir, "config");
	}
	put_path(p, JAIL_PATH_READ | JAIL_PATH_OPTIONAL, a->work);
	wants_sockets(c, path);
	put_path(p, JAIL_PATH_READ | JAIL_PATH_OPTIONAL, path);
}

static void put_own_directory(void *arg, uint32_t kind, const char *path)
{
	put_path(arg, kind, path);
}

/* Does it lie in one of stead's own folders, and not in what is this app's? Nobody who deploys may have another app's
 * files shown: that they are closed by their modes is a second wall, not the first. */
static bool is_others(const struct ctl *c, const struct app *a, const char *path)
{
	static const char *const own[] = {"/var/lib/stead", "/run/stead", "/etc/stead"};
	char mine[CTL_PATH_MAX];
	bool inside = path_is_within(path, c->state_dir) || path_is_within(path, c->run_dir);

	for (unsigned i = 0; i < ARRAY_LEN(own); i++)
		inside |= path_is_within(path, own[i]);
	wants_below(c, a, "", mine);
	if (app_deployed(a) && path_is_within(path, mine))
		return false;
	wants_runtime(c, a->set, mine);
	return inside && !path_is_within(path, mine) && !path_is_within(path, a->work);
}

void protection_pack(
	const struct ctl *c, const struct app *a, const struct conf_app *conf, uint32_t set, struct buf *b)
{
	uint64_t memory = memory_bytes();
	struct msg_jail j = conf->jail;
	struct paths p = {.n = 0};
	struct identity who;

	buf_init(&p.b, CHAN_PAYLOAD_MAX);
	put_own(&p, c, a);
	identity_paths(c, a, conf, set, put_own_directory, &p);
	identity_of(c, a, conf, &who);
	memcpy(j.groups, who.groups, sizeof j.groups);
	for (unsigned i = 0; i < conf->njail_paths; i++)
		if (!c->start.root || !is_others(c, a, conf->jail_paths[i].path))
			put_path(&p, conf->jail_paths[i].kind, conf->jail_paths[i].path);
	j.group = a->number;
	j.memory_max = resolved(j.memory_max, memory);
	j.memory_high = resolved(j.memory_high, memory);
	j.swap_max = resolved(j.swap_max, memory);
	j.tasks_max = resolved(j.tasks_max, tasks_most());
	j.paths = p.n;
	j.calls = calls_pack(conf->jail_calls, &j, &p.b);
	a->run->jail = j;
	pack_bytes(b, &j, sizeof j);
	if (p.b.error)
		b->error = p.b.error;
	else
		buf_put(b, p.b.p, p.b.len);
	buf_done(&p.b);
}

void protection_heard(struct ctl *c, const struct msg *m)
{
	struct msg_protection p;
	const char *why;
	struct unpack u;
	size_t n;

	if (msg_get(m, &p, sizeof p, sizeof p) < 0)
		return;
	why = msg_tail(m, sizeof p, &n);
	unpack_init(&u, why, n);
	c->protection.can = p;
	(void)snprintf(c->protection.why, sizeof c->protection.why, "%s", unpack_str(&u));
}

static const char *const controllers[PROTECTION_CONTROLLERS] = {
	[PROTECTION_MEMORY] = "memory",
	[PROTECTION_CPU] = "cpu",
	[PROTECTION_TASKS] = "tasks",
	[PROTECTION_IO] = "io",
};
static const char *const trees[] = {
	[PROTECTION_NONE] = "none", [PROTECTION_V1] = "v1", [PROTECTION_V2] = "v2"};

static json_t *bytes_or_null(uint64_t n)
{
	return n == 0 || n == JAIL_INFINITY ? json_null() : json_integer((json_int_t)n);
}

json_t *protection_limits(const struct msg_jail *j)
{
	if (j->version == 0)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o, s:I, s:I}", "memory_max",
		bytes_or_null(j->memory_max), "memory_high", bytes_or_null(j->memory_high),
		"tasks_max", bytes_or_null(j->tasks_max), "cpu_permille",
		bytes_or_null(j->cpu_permille), "cpu_weight", (json_int_t)j->cpu_weight,
		"io_weight", (json_int_t)j->io_weight);
}

/* Can the kernel make records of TLS? Its module may be loaded later; a gate that has begun does not look again. */
static bool has_kernel_tls(void)
{
	bool there = false;
	char *text, *rest, *word;
	size_t n;

	if (sys_read_file(AT_FDCWD, "/proc/sys/net/ipv4/tcp_available_ulp", 4096, &text, &n) < 0)
		return false;
	rest = text;
	while (!there && (word = strsep(&rest, " \t\n")) != NULL)
		there = strcmp(word, "tls") == 0;
	free(text);
	return there;
}

json_t *protection_json(const struct ctl *c)
{
	const struct msg_protection *p = &c->protection.can;
	json_t *where = json_object();

	for (unsigned i = 0; i < PROTECTION_CONTROLLERS; i++)
		(void)json_object_set_new(where, controllers[i],
			json_string(p->controller[i] < ARRAY_LEN(trees) ? trees[p->controller[i]]
									: "none"));
	return json_pack("{s:o, s:b, s:i, s:s, s:o, s:b}", "controllers", where, "kill",
		p->kill != 0, "landlock", (int)p->landlock, "why", c->protection.why,
		"apps_memory_max", bytes_or_null(p->apps_memory_max), "kernel_tls", has_kernel_tls());
}
