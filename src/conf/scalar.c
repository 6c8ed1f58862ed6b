/*
 * scalar.c: values that are one number or one word: yes and no, times, sizes, counts, enums.
 *
 * Called by value.c, and by the CLI for its options. Owns nothing. Overflow is an error and never
 * wraps; a fraction (1.5G, 0.5s) is cut to the unit.
 */
#include <errno.h>
#include <string.h>

#include "conf_priv.h"
#include "lib/must.h"

struct suffix {
	const char *name;
	uint64_t factor; /* in the smallest unit */
};

/* In microseconds, as systemd.time(7) names them. */
static const struct suffix time_suffixes[] = {{"us", 1}, {"usec", 1}, {"ms", 1000}, {"msec", 1000},
	{"s", 1000000}, {"sec", 1000000}, {"second", 1000000}, {"seconds", 1000000},
	{"m", 60000000}, {"min", 60000000}, {"minute", 60000000}, {"minutes", 60000000},
	{"h", 3600000000}, {"hr", 3600000000}, {"hour", 3600000000}, {"hours", 3600000000},
	{"d", 86400000000}, {"day", 86400000000}, {"days", 86400000000}, {"w", 604800000000},
	{"week", 604800000000}, {"weeks", 604800000000}, {NULL, 0}};

static const struct suffix size_suffixes[] = {{"B", 1}, {"K", 1ull << 10}, {"M", 1ull << 20},
	{"G", 1ull << 30}, {"T", 1ull << 40}, {"P", 1ull << 50}, {NULL, 0}};

static bool digit(char ch)
{
	return ch >= '0' && ch <= '9';
}

static bool lower(char ch)
{
	return ch >= 'a' && ch <= 'z';
}

/* Decimal digits at *p. -EINVAL without one, -ERANGE when it does not fit. */
static int digits(const char **p, uint64_t *ret)
{
	uint64_t v = 0;

	if (!digit(**p))
		return -EINVAL;
	for (; digit(**p); (*p)++)
		if (__builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(v, (uint64_t)(**p - '0'), &v))
			return -ERANGE;
	*ret = v;
	return 0;
}

/* The suffix at *p (letters only); `plain` when there is none. NULL when it is not known. */
static const struct suffix *suffix_at(
	const char **p, const struct suffix *all, const struct suffix *plain)
{
	size_t n = 0;

	while (lower((*p)[n]) || ((*p)[n] >= 'A' && (*p)[n] <= 'Z'))
		n++;
	if (n == 0)
		return plain;
	for (; all->name != NULL; all++)
		if (strlen(all->name) == n && memcmp(all->name, *p, n) == 0) {
			*p += n;
			return all;
		}
	return NULL;
}

/* The decimal fraction at p, of `whole`, cut to a whole number. Its first nine digits count. */
static uint64_t part_of(uint64_t whole, const char *p)
{
	uint64_t digits_seen = 0, scale = 1;

	for (; digit(*p) && scale < 1000000000; p++, scale *= 10)
		digits_seen = digits_seen * 10 + (uint64_t)(*p - '0');
	return whole / scale * digits_seen + whole % scale * digits_seen / scale;
}

/* NUMBER[.FRACTION][SUFFIX] at *p, in the smallest unit. */
static int quantity(
	const char **p, const struct suffix *all, const struct suffix *plain, uint64_t *ret)
{
	const struct suffix *sfx;
	const char *fraction = NULL;
	uint64_t v, more = 0;
	int r = digits(p, &v);

	if (r < 0)
		return r;
	if (**p == '.') {
		fraction = ++*p;
		if (!digit(**p))
			return -EINVAL;
		while (digit(**p))
			(*p)++;
	}
	/* systemd.time(7): a unit may stand behind blanks. */
	if (all == time_suffixes && lower((*p)[strspn(*p, " ")]))
		*p += strspn(*p, " ");
	sfx = suffix_at(p, all, plain);
	if (sfx == NULL)
		return -EINVAL;
	if (fraction != NULL)
		more = part_of(sfx->factor, fraction);
	if (__builtin_mul_overflow(v, sfx->factor, &v) || __builtin_add_overflow(v, more, &v))
		return -ERANGE;
	*ret = v;
	return 0;
}

int conf_time_parse(const char *text, uint64_t *ret_ms)
{
	static const struct suffix second = {"", 1000000};
	uint64_t total = 0;

	do {
		uint64_t us;
		int r = quantity(&text, time_suffixes, &second, &us);

		if (r < 0)
			return r;
		if (__builtin_add_overflow(total, us, &total))
			return -ERANGE;
		text += strspn(text, " ");
	} while (*text != '\0');
	*ret_ms = total / 1000;
	return 0;
}

int conf_size_parse(const char *text, uint64_t *ret_bytes)
{
	static const struct suffix byte = {"", 1};
	uint64_t v;
	int r = quantity(&text, size_suffixes, &byte, &v);

	if (r < 0)
		return r;
	if (*text != '\0')
		return -EINVAL;
	*ret_bytes = v;
	return 0;
}

static int whole_number(const char *text, uint64_t *ret)
{
	uint64_t v;
	int r = digits(&text, &v);

	if (r < 0)
		return r;
	if (*text != '\0')
		return -EINVAL;
	*ret = v;
	return 0;
}

static void put_time(struct buf *b, uint64_t ms)
{
	if (ms % 60000 == 0 && ms > 0)
		buf_printf(b, "%llumin", (unsigned long long)(ms / 60000));
	else if (ms % 1000 == 0)
		buf_printf(b, "%llus", (unsigned long long)(ms / 1000));
	else
		buf_printf(b, "%llums", (unsigned long long)ms);
}

static void put_size(struct buf *b, uint64_t n)
{
	static const char units[] = "KMGTPE"; /* of 64 bits no more can be divided */
	int u = -1;

	while (n > 0 && n % 1024 == 0) {
		n /= 1024;
		u++;
	}
	buf_putu(b, n);
	if (u >= 0)
		buf_putc(b, units[u]);
}

static void put_number(struct buf *b, const struct conf_row *row, uint64_t n)
{
	if (row->type == CONF_TYPE_TIME) {
		put_time(b, n);
	} else if (row->type == CONF_TYPE_SIZE) {
		put_size(b, n);
	} else {
		buf_putu(b, n);
	}
}

static int check_bool(const char *text, struct conf_value *v, struct buf *why)
{
	static const char *const words[] = {
		"no", "yes", "0", "1", "false", "true", "off", "on", "n", "y", "f", "t"};

	for (unsigned i = 0; i < ARRAY_LEN(words); i++)
		if (strcasecmp(text, words[i]) == 0) {
			v->number = i % 2;
			v->text = words[i % 2];
			return 0;
		}
	buf_printf(why, "\"%.60s\" is neither yes nor no", text);
	return -EINVAL;
}

static int check_enum(const struct conf_row *row, const char *text, struct conf_value *v,
	struct buf *why, struct buf *todo)
{
	const char *at = row->unit;
	char near[32];

	for (uint64_t i = 0; *at != '\0'; i++) {
		size_t n = strcspn(at, " ");

		if (strlen(text) == n && memcmp(at, text, n) == 0) {
			v->number = i;
			return 0;
		}
		at += n + strspn(at + n, " ");
	}
	buf_printf(why, "\"%.60s\" is none of: %s", text, row->unit);
	if (conf_nearest(text, row->unit, near, sizeof(near))[0] != '\0')
		buf_printf(todo, "did you mean %s?", near);
	return -EINVAL;
}

static const char *example_of(const struct conf_row *row)
{
	return row->type == CONF_TYPE_TIME    ? "a time is written 10s, 5min or 500ms"
	       : row->type == CONF_TYPE_SIZE  ? "a size is written 100, 16K, 32M or 1G"
	       : row->type == CONF_TYPE_COUNT ? "write a whole number, or cores"
	       : row->type == CONF_TYPE_SPAN  ? "write a whole number, MIN:MAX, or cores"
					      : "write a whole number";
}

static int check_number(struct conf *c, const struct conf_row *row, const char *text,
	struct conf_value *v, struct buf *why, struct buf *todo)
{
	uint64_t n = 0;
	int r;

	if (row->type == CONF_TYPE_COUNT && strcmp(text, "cores") == 0) {
		v->number = min_of((uint64_t)c->facts.cores, row->max);
		/* On two cores the apps and the database need the one that a second gate would
		 * take. */
		if (row == &conf_rows[CONF_SERVER_GATES] && v->number == 2)
			v->number = 1;
		return 0;
	}
	/* systemd's word for "as long as it takes". */
	if (row->section == SECTION_SERVICE && row->type == CONF_TYPE_TIME &&
		strcmp(text, "infinity") == 0) {
		v->number = row->max;
		return 0;
	}
	if (strcmp(row->deflt, "off") == 0 && strcmp(text, "off") == 0) {
		v->number = 0;
		return 0;
	}
	r = row->type == CONF_TYPE_TIME   ? conf_time_parse(text, &n)
	    : row->type == CONF_TYPE_SIZE ? conf_size_parse(text, &n)
					  : whole_number(text, &n);
	if (r == -EINVAL && row->type == CONF_TYPE_COUNT && strchr(text, ':') != NULL) {
		buf_printf(why,
			"\"%.60s\": how many processes of a program run is fixed, because stead "
			"does not see how busy each is",
			text);
		buf_puts(todo, "write one number; MIN:MAX is for the apps of [Python] and [Php]");
		return r;
	}
	if (r == -EINVAL) {
		buf_printf(why, "\"%.60s\" is not a %s", text,
			row->type == CONF_TYPE_TIME   ? "time"
			: row->type == CONF_TYPE_SIZE ? "size"
						      : "number");
		buf_puts(todo, example_of(row));
		return r;
	}
	if (r == 0 && n >= row->min && n <= row->max) {
		v->number = n;
		return 0;
	}
	buf_printf(why, "%.60s is not between ", text);
	put_number(why, row, row->min);
	buf_puts(why, " and ");
	put_number(why, row, row->max);
	if (row->type != CONF_TYPE_TIME && row->unit[0] != '\0')
		buf_printf(why, " %s", row->unit);
	return -EINVAL;
}

/* N, cores, or MIN:MAX; each within the row's bounds. */
static int check_span(struct conf *c, const struct conf_row *row, const char *text,
	struct conf_value *v, struct buf *why, struct buf *todo)
{
	struct conf_row part = *row;
	const char *colon = strchr(text, ':');
	struct conf_value low = {0}, high = {0};
	char first[24];
	int r;

	part.type = CONF_TYPE_COUNT;
	if (colon == NULL) {
		r = check_number(c, &part, text, &low, why, todo);
		v->number = low.number | low.number << 32;
		return r;
	}
	if ((size_t)(colon - text) >= sizeof(first)) {
		buf_printf(why, "\"%.60s\" is not a number", text);
		buf_puts(todo, example_of(row));
		return -EINVAL;
	}
	memcpy(first, text, (size_t)(colon - text));
	first[colon - text] = '\0';
	r = check_number(c, &part, first, &low, why, todo);
	if (r == 0)
		r = check_number(c, &part, colon + 1, &high, why, todo);
	if (r == 0 && low.number > high.number) {
		buf_printf(why, "%.60s begins above its end", text);
		buf_puts(todo, "write the smaller number first");
		r = -EINVAL;
	}
	v->number = low.number | high.number << 32;
	return r;
}

int conf_scalar_check(struct conf *c, const struct conf_row *row, const char *text,
	struct conf_value *v, struct buf *why, struct buf *todo)
{
	if (row->type == CONF_TYPE_BOOL)
		return check_bool(text, v, why);
	if (row->type == CONF_TYPE_ENUM)
		return check_enum(row, text, v, why, todo);
	if (row->type == CONF_TYPE_SPAN)
		return check_span(c, row, text, v, why, todo);
	return check_number(c, row, text, v, why, todo);
}
