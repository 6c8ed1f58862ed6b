/*
 * calendar_next.c: when an OnCalendar= expression comes true next.
 *
 * Called by ctl. From the year down each field is moved to its next match; a field that has none
 * moves the one above it, and everything below begins again. libc's mktime() says which local times
 * there are: as with systemd, one that the clock skips in spring does not come on that day, and one
 * that it shows twice in autumn comes once. Bounded: years end at 2199, and no more than ROUNDS_MAX
 * steps are made.
 */
#include "calendar.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SECOND = 1000000, YEAR_MAX = 2199, ROUNDS_MAX = 1000 };

struct now {
	struct tm tm;
	int us;
	bool utc;
};

static time_t to_time(struct tm *tm, bool utc)
{
	return utc ? timegm(tm) : mktime(tm);
}

static int days_of(const struct tm *tm)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int year = tm->tm_year + 1900;

	if (tm->tm_mon == 1 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))
		return 29;
	return days[tm->tm_mon];
}

/* The smallest value of this field from *val on. 1: it is another, 0: it is this one, -ENOENT:
 * there is none. */
static int match(const struct calendar *c, enum calendar_field f, const struct tm *tm, int *val)
{
	int best = -1, was = *val;

	if (!c->n[f])
		return 0;
	for (unsigned i = 0; i < c->n[f]; i++) {
		const struct calendar_part *p = &c->part[f][i];
		int start = p->start, stop = p->stop, k = -1;

		if (f == CAL_DAY && c->end_of_month) {
			/* Counted from the end: the last of the range is its first day. */
			start = days_of(tm) + 1 - p->start;
			stop = p->stop < 0 ? -1 : days_of(tm) + 1 - p->stop;
			if (stop > 0) {
				start = stop;
				stop = days_of(tm) + 1 - p->start;
			}
		}
		if (start >= was)
			k = start;
		else if (p->repeat > 0)
			k = start + (was - start + p->repeat - 1) / p->repeat * p->repeat;
		if (k > start && stop >= 0 && k > stop)
			k = -1;
		if (k >= 0 && (best < 0 || k < best))
			best = k;
	}
	if (best < 0)
		return -ENOENT;
	*val = best;
	return best != was;
}

/* Is there such a time? 1; 0: it has another name, and *n is the beginning of what that names;
 * -ERANGE: no time that lies ahead. */
static int exists(struct now *n)
{
	struct tm t = n->tm;
	int ahead;

	if (t.tm_year + 1900 > YEAR_MAX || to_time(&t, n->utc) < 0)
		return -ERANGE;
	/* The 31st of February is the 3rd of March, but what is looked for may be the 1st. */
	if ((ahead = t.tm_year - n->tm.tm_year) != 0)
		t.tm_mon = 0;
	else if ((ahead = t.tm_mon - n->tm.tm_mon) != 0)
		t.tm_mday = 1;
	else if ((ahead = t.tm_mday - n->tm.tm_mday) != 0)
		t.tm_hour = 0;
	else if ((ahead = t.tm_hour - n->tm.tm_hour) != 0)
		t.tm_min = 0;
	else if ((ahead = t.tm_min - n->tm.tm_min) != 0)
		t.tm_sec = 0;
	else
		ahead = t.tm_sec - n->tm.tm_sec;
	if (ahead > 0)
		n->tm = t;
	return ahead < 0 ? -ERANGE : ahead == 0;
}

/* Everything below the field begins. */
static void begin_below(struct now *n, enum calendar_field f)
{
	if (f < CAL_MONTH)
		n->tm.tm_mon = 0;
	if (f < CAL_DAY)
		n->tm.tm_mday = 1;
	if (f < CAL_HOUR)
		n->tm.tm_hour = 0;
	if (f < CAL_MINUTE)
		n->tm.tm_min = 0;
	n->tm.tm_sec = n->us = 0;
}

/* One more of the field. */
static void advance(struct now *n, enum calendar_field f)
{
	int *const at[] = {
		&n->tm.tm_year, &n->tm.tm_mon, &n->tm.tm_mday, &n->tm.tm_hour, &n->tm.tm_min};

	++*at[f];
	begin_below(n, f);
}

static bool on_weekday(const struct calendar *c, const struct now *n)
{
	struct tm t = n->tm;

	if (!c->weekdays)
		return true;
	/* The day's name does not depend on the hour, which may not exist. */
	t.tm_hour = 12;
	(void)timegm(&t);
	return c->weekdays >> (t.tm_wday + 6) % 7 & 1;
}

/* Move one field to its match. 1: go on with the next one; 0: begin again from the year; -ENOENT:
 * never. */
static int step(const struct calendar *c, struct now *n, enum calendar_field f)
{
	int *const at[] = {
		&n->tm.tm_year, &n->tm.tm_mon, &n->tm.tm_mday, &n->tm.tm_hour, &n->tm.tm_min};
	int shift = f == CAL_YEAR ? 1900 : f == CAL_MONTH ? 1 : 0, val = *at[f] + shift, res;

	res = match(c, f, &n->tm, &val);
	if (res > 0) {
		*at[f] = val - shift;
		begin_below(n, f);
	}
	if (res >= 0)
		res = exists(n);
	if (res < 0) {
		if (f == CAL_YEAR)
			return -ENOENT;
		advance(n, f - 1);
		return 0;
	}
	return res;
}

static int find(const struct calendar *c, struct now *n)
{
	for (int round = 0; round < ROUNDS_MAX; round++) {
		int val, res = 1;

		(void)to_time(&n->tm, n->utc);
		n->tm.tm_isdst = -1;
		for (enum calendar_field f = CAL_YEAR; f <= CAL_MINUTE && res > 0; f++) {
			res = step(c, n, f);
			if (res > 0 && f == CAL_DAY && !on_weekday(c, n)) {
				advance(n, CAL_DAY);
				res = 0;
			}
		}
		if (res < 0)
			return res;
		if (res == 0)
			continue;
		val = n->tm.tm_sec * SECOND + n->us;
		res = match(c, CAL_SECOND, &n->tm, &val);
		if (res < 0) {
			advance(n, CAL_MINUTE);
			continue;
		}
		n->tm.tm_sec = val / SECOND;
		n->us = val % SECOND;
		res = exists(n);
		if (res > 0)
			return 0;
		if (res < 0)
			return -ENOENT;
	}
	return -ENOENT;
}

static int next_here(const struct calendar *c, int64_t after_us, int64_t *ret_us)
{
	int64_t from = after_us + 1;
	time_t t = (time_t)(from / SECOND);
	struct now n = {.us = (int)(from % SECOND), .utc = strcmp(c->zone, "UTC") == 0};
	int err;

	if (!(n.utc ? gmtime_r(&t, &n.tm) : localtime_r(&t, &n.tm)))
		return -ENOENT;
	err = find(c, &n);
	if (err)
		return err;
	t = to_time(&n.tm, n.utc);
	if (t < 0 || (int64_t)t * SECOND + n.us <= after_us)
		return -ENOENT;
	*ret_us = (int64_t)t * SECOND + n.us;
	return 0;
}

int calendar_next(const struct calendar *c, int64_t after_us, int64_t *ret_us)
{
	const char *tz = getenv("TZ");
	char *was = tz ? strdup(tz) : NULL, zone[CAL_ZONE_MAX + 1] = ":";
	int err;

	if (after_us < 0 || (tz && !was)) {
		free(was);
		return tz && after_us >= 0 ? -ENOMEM : -ENOENT;
	}
	if (c->zone[0] && strcmp(c->zone, "UTC") != 0) {
		memcpy(zone + 1, c->zone, strlen(c->zone) + 1);
		setenv("TZ", zone, 1);
	}
	tzset();
	err = next_here(c, after_us, ret_us);
	if (was)
		setenv("TZ", was, 1);
	else
		unsetenv("TZ");
	tzset();
	free(was);
	return err;
}
