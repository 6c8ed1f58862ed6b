/*
 * jail.c: what holds an app: Limit*=, MemoryMax= and its kin, UMask=, Nice=; the typed struct
 * msg_jail.
 *
 * Called by value.c for the types of these values and by app.c. Says what a value is, in systemd's
 * way of writing it (systemd.exec(5), systemd.resource-control(5)); how much memory a share in per
 * cent is, ctl says, who knows the machine. Owns nothing and touches no file.
 */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "conf_priv.h"
#include "lib/must.h"

static bool digit(char ch)
{
	return ch >= '0' && ch <= '9';
}

/* All of `text` up to `n` as a decimal number. -EINVAL, -ERANGE. */
static int whole(const char *text, size_t n, uint64_t *ret)
{
	uint64_t v = 0;

	if (n == 0)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (!digit(text[i]))
			return -EINVAL;
		if (__builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(v, (uint64_t)(text[i] - '0'), &v))
			return -ERANGE;
	}
	*ret = v;
	return 0;
}

/* N% or N.NN%, in 1/10000. */
static int share(const char *text, uint64_t *ret)
{
	size_t n = strlen(text), dot = strcspn(text, ".");
	uint64_t v, part = 0;
	int e;

	if (n < 2 || text[n - 1] != '%')
		return -EINVAL;
	if (dot == n)
		dot = n - 1;
	if ((e = whole(text, dot, &v)) < 0)
		return e;
	if (dot < n - 1) {
		if (n - 2 - dot > 2 || whole(text + dot + 1, n - 2 - dot, &part) < 0)
			return -EINVAL;
		part *= n - 2 - dot == 1 ? 10 : 1;
	}
	if (v > UINT32_MAX / 100 - 1)
		return -ERANGE;
	*ret = v * 100 + part;
	return 0;
}

static int check_amount(const struct conf_row *row, const char *text, struct conf_value *v,
	struct buf *why, struct buf *todo)
{
	bool quota = row == &conf_rows[CONF_SERVICE_CPU_QUOTA];
	bool tasks = row == &conf_rows[CONF_SERVICE_TASKS_MAX];
	uint64_t n = 0;
	int e;

	if (strcmp(text, "infinity") == 0 && !quota) {
		v->number = JAIL_INFINITY;
		return 0;
	}
	e = share(text, &n);
	if (e == 0 && (quota ? n > 0 : n <= 100 * 100)) {
		v->number = CONF_AMOUNT_SHARE | n;
		return 0;
	}
	if (e < 0 && !quota) {
		e = tasks ? whole(text, strlen(text), &n) : conf_size_parse(text, &n);
		if (e == 0 && n < CONF_AMOUNT_SHARE && (n > 0 || !tasks)) {
			v->number = n;
			return 0;
		}
	}
	buf_printf(why, "\"%.60s\" is not %s", text,
		quota   ? "a share of a core's time"
		: tasks ? "a number of tasks above 0"
			: "an amount of memory");
	buf_puts(todo, quota   ? "write it in %, like 50% or 200%"
		       : tasks ? "write a number like 100, a share like 10%, or infinity"
			       : "write it like 300M, 2G, 25%, or infinity");
	return -EINVAL;
}

enum { RESOURCES = JAIL_LIMITS };
static const struct resource {
	enum conf_key key;
	int number; /* of setrlimit(2) */
} resources[RESOURCES] = {
	{CONF_SERVICE_LIMIT_CPU, RLIMIT_CPU},
	{CONF_SERVICE_LIMIT_FSIZE, RLIMIT_FSIZE},
	{CONF_SERVICE_LIMIT_DATA, RLIMIT_DATA},
	{CONF_SERVICE_LIMIT_STACK, RLIMIT_STACK},
	{CONF_SERVICE_LIMIT_CORE, RLIMIT_CORE},
	{CONF_SERVICE_LIMIT_RSS, RLIMIT_RSS},
	{CONF_SERVICE_LIMIT_NOFILE, RLIMIT_NOFILE},
	{CONF_SERVICE_LIMIT_AS, RLIMIT_AS},
	{CONF_SERVICE_LIMIT_NPROC, RLIMIT_NPROC},
	{CONF_SERVICE_LIMIT_MEMLOCK, RLIMIT_MEMLOCK},
	{CONF_SERVICE_LIMIT_LOCKS, RLIMIT_LOCKS},
	{CONF_SERVICE_LIMIT_SIGPENDING, RLIMIT_SIGPENDING},
	{CONF_SERVICE_LIMIT_MSGQUEUE, RLIMIT_MSGQUEUE},
	{CONF_SERVICE_LIMIT_NICE, RLIMIT_NICE},
	{CONF_SERVICE_LIMIT_RTPRIO, RLIMIT_RTPRIO},
	{CONF_SERVICE_LIMIT_RTTIME, RLIMIT_RTTIME},
};

/* One side of SOFT:HARD, in setrlimit(2)'s unit. */
static int limit_side(const struct conf_row *row, const char *text, uint64_t *ret)
{
	uint64_t n;
	int e;

	if (strcmp(text, "infinity") == 0) {
		*ret = JAIL_INFINITY;
		return 0;
	}
	if (row == &conf_rows[CONF_SERVICE_LIMIT_CPU]) {
		/* In whole seconds, and never less than what is written. */
		if ((e = conf_time_parse(text, &n)) == 0)
			*ret = (n + 999) / 1000;
		return e;
	}
	if (row == &conf_rows[CONF_SERVICE_LIMIT_RTTIME]) {
		/* A number alone is of microseconds. */
		if (whole(text, strlen(text), ret) == 0)
			return 0;
		if ((e = conf_time_parse(text, &n)) == 0 && __builtin_mul_overflow(n, 1000, ret))
			e = -ERANGE;
		return e;
	}
	if (row == &conf_rows[CONF_SERVICE_LIMIT_NICE] && (text[0] == '+' || text[0] == '-')) {
		if (whole(text + 1, strlen(text + 1), &n) < 0 || n > (text[0] == '+' ? 19 : 20))
			return -EINVAL;
		*ret = text[0] == '+' ? 20 - n : 20 + n;
		return 0;
	}
	if (row == &conf_rows[CONF_SERVICE_LIMIT_NICE])
		return whole(text, strlen(text), ret) < 0 || *ret > 40 ? -EINVAL : 0;
	return strcmp(row->unit, "bytes") == 0 ? conf_size_parse(text, ret)
					       : whole(text, strlen(text), ret);
}

static int limit_parse(const struct conf_row *row, const char *text, uint64_t ret[static 2])
{
	char side[2][40];
	const char *colon = strchr(text, ':');
	size_t n = colon != NULL ? (size_t)(colon - text) : strlen(text);
	int e;

	if (n >= sizeof(side[0]) || (colon != NULL && strlen(colon + 1) >= sizeof(side[1])))
		return -EINVAL;
	memcpy(side[0], text, n);
	side[0][n] = '\0';
	memcpy(side[1], colon != NULL ? colon + 1 : side[0],
		strlen(colon != NULL ? colon + 1 : side[0]) + 1);
	if ((e = limit_side(row, side[0], &ret[0])) < 0 ||
		(e = limit_side(row, side[1], &ret[1])) < 0)
		return e;
	return ret[0] <= ret[1] ? 0 : -EDOM;
}

static int check_limit(const struct conf_row *row, const char *text, struct conf_value *v,
	struct buf *why, struct buf *todo)
{
	uint64_t both[2] = {0, 0};
	int e = limit_parse(row, text, both);

	v->number = both[0];
	if (e == 0)
		return 0;
	if (e == -EDOM) {
		buf_printf(why, "\"%.60s\": the soft limit is above the hard one", text);
		buf_puts(todo, "write the smaller one first");
	} else {
		buf_printf(why, "\"%.60s\" is not a limit", text);
		buf_printf(todo, "write a number of %s, SOFT:HARD, or infinity; for example %s",
			row->unit, row->example);
	}
	return -EINVAL;
}

static int check_mode(const char *text, struct conf_value *v, struct buf *why, struct buf *todo)
{
	uint64_t n = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '7' && n <= 07777; p++)
		n = n * 8 + (uint64_t)(*p - '0');
	if (p != text && *p == '\0' && n <= 07777) {
		v->number = n;
		return 0;
	}
	buf_printf(why, "\"%.60s\" is not an octal mode", text);
	buf_puts(todo, "write it like 0022 or 0750");
	return -EINVAL;
}

static int check_signed(const struct conf_row *row, const char *text, struct conf_value *v,
	struct buf *why, struct buf *todo)
{
	bool minus = text[0] == '-';
	const char *p = text + (minus || text[0] == '+');
	uint64_t n;

	if (whole(p, strlen(p), &n) == 0 && n <= (minus ? row->min : row->max)) {
		v->number = minus ? 0 - n : n;
		return 0;
	}
	buf_printf(why, "\"%.60s\" is not a whole number from -%llu to %llu", text,
		(unsigned long long)row->min, (unsigned long long)row->max);
	buf_printf(todo, "for example %s", row->example);
	return -EINVAL;
}

int conf_jail_check(const struct conf_row *row, const char *text, struct conf_value *v,
	struct buf *why, struct buf *todo)
{
	switch ((enum conf_type)row->type) {
	case CONF_TYPE_LIMIT:
		return check_limit(row, text, v, why, todo);
	case CONF_TYPE_AMOUNT:
		return check_amount(row, text, v, why, todo);
	case CONF_TYPE_MODE:
		return check_mode(text, v, why, todo);
	case CONF_TYPE_SIGNED:
		return check_signed(row, text, v, why, todo);
	case CONF_TYPE_JAILPATH:
	case CONF_TYPE_SANDBOX:
		return conf_sandbox_check(row, text, v, why, todo);
	case CONF_TYPE_ACCOUNT:
	case CONF_TYPE_OWN_DIRECTORY:
		return conf_own_check(row, text, why, todo);
	default:
		must(row == NULL); /* a type that nobody reads */
		return -EINVAL;
	}
}

/* ---- the typed result ---- */

static const struct conf_value *value(const struct conf *c, enum conf_key k)
{
	return c->plain.head[k];
}

static uint64_t number(const struct conf *c, enum conf_key k)
{
	return value(c, k) != NULL ? value(c, k)->number : 0;
}

static bool written(const struct conf *c, enum conf_key k)
{
	return value(c, k) != NULL && value(c, k)->origin != CONF_FROM_DEFAULT;
}

void conf_jail_fill(struct conf *c)
{
	struct msg_jail *j = &c->app.jail;
	uint64_t quota = number(c, CONF_SERVICE_CPU_QUOTA);

	*j = (struct msg_jail){
		.version = JAIL_VERSION,
		.memory_max = number(c, CONF_SERVICE_MEMORY_MAX),
		.memory_high = number(c, CONF_SERVICE_MEMORY_HIGH),
		.swap_max = number(c, CONF_SERVICE_MEMORY_SWAP_MAX),
		.tasks_max = number(c, CONF_SERVICE_TASKS_MAX),
		.cpu_permille =
			(uint32_t)min_of((quota & ~CONF_AMOUNT_SHARE) / 10, (uint64_t)UINT32_MAX),
		.cpu_weight = (uint32_t)number(c, CONF_SERVICE_CPU_WEIGHT),
		.io_weight = (uint32_t)number(c, CONF_SERVICE_IO_WEIGHT),
		.nice = (int32_t)(int64_t)number(c, CONF_SERVICE_NICE),
		.oom_adjust = (int32_t)(int64_t)number(c, CONF_SERVICE_OOM_SCORE_ADJUST),
		.umask_bits = (uint32_t)number(c, CONF_SERVICE_UMASK) & 0777,
	};
	if (written(c, CONF_SERVICE_NICE))
		j->has |= JAIL_HAS_NICE;
	if (written(c, CONF_SERVICE_OOM_SCORE_ADJUST))
		j->has |= JAIL_HAS_OOM;
	if (written(c, CONF_SERVICE_UMASK))
		j->has |= JAIL_HAS_UMASK;
	if (written(c, CONF_SERVICE_MEMORY_SWAP_MAX))
		j->has |= JAIL_HAS_SWAP;
	for (unsigned i = 0; i < RESOURCES; i++) {
		const struct conf_row *row = &conf_rows[resources[i].key];

		must(resources[i].number < JAIL_LIMITS);
		if (written(c, resources[i].key) &&
			limit_parse(row, value(c, resources[i].key)->text,
				j->limit[resources[i].number]) == 0)
			j->limits |= 1U << resources[i].number;
	}
}
