/*
 * protection.c: what holds the app's processes: its configuration's msg_jail for the parent, and
 * what the parent says that this machine lets it hold them to (PROTECTION), for `stead status`.
 *
 * Called by wants.c and wants_service.c for each PROC_SET, by peers.c and status.c. Resolves shares
 * of the machine's memory and tasks. Owns nothing.
 */
#include "ctl.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/sys.h"

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

void protection_jail(const struct conf_app *conf, uint32_t app, struct msg_jail *ret)
{
	uint64_t memory = memory_bytes();

	*ret = conf->jail;
	ret->group = app;
	ret->memory_max = resolved(ret->memory_max, memory);
	ret->memory_high = resolved(ret->memory_high, memory);
	ret->swap_max = resolved(ret->swap_max, memory);
	ret->tasks_max = resolved(ret->tasks_max, tasks_most());
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

json_t *protection_json(const struct ctl *c)
{
	const struct msg_protection *p = &c->protection.can;
	json_t *where = json_object();

	for (unsigned i = 0; i < PROTECTION_CONTROLLERS; i++)
		(void)json_object_set_new(where, controllers[i],
			json_string(p->controller[i] < ARRAY_LEN(trees) ? trees[p->controller[i]]
									: "none"));
	return json_pack("{s:o, s:b, s:i, s:s, s:o}", "controllers", where, "kill",
		p->kill != 0, "landlock", (int)p->landlock, "why", c->protection.why,
		"apps_memory_max", bytes_or_null(p->apps_memory_max));
}
