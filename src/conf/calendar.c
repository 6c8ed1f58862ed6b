/*
 * calendar.c: the text of OnCalendar= (systemd.time(7), "Calendar events") to a checked struct
 * calendar.
 *
 * Called by the check of values. The text is a user's: every number and every list is bounded, and
 * what comes out is in the bounds that calendar_next.c relies on. What systemd 252 takes is taken,
 * and read in the same way; test/unit/conf/check_calendar.py compares the two.
 */
#include "calendar.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { SECOND = 1000000, YEAR_MIN = 1970, YEAR_MAX = 2199, TEXT_MAX = 1024 };

struct bounds {
	int from, to;
};
static const struct bounds bounds[CAL_FIELDS] = {
	[CAL_YEAR] = {YEAR_MIN, YEAR_MAX},
	[CAL_MONTH] = {1, 12},
	[CAL_DAY] = {1, 31},
	[CAL_HOUR] = {0, 23},
	[CAL_MINUTE] = {0, 59},
	[CAL_SECOND] = {0, 60 * SECOND - 1},
};

/* A list that is not placed yet: whether it is years or hours is known by what follows. */
struct chain {
	unsigned n;
	struct calendar_part part[CAL_PARTS_MAX];
};

struct at {
	const char *p;
	const char *why;
};

static int bad(struct at *a, const char *why)
{
	a->why = why;
	return -EINVAL;
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Up to six digits count, the seventh rounds. */
static int fraction(struct at *a)
{
	int us = 0;

	for (int i = 0; i < 6; i++)
		us = us * 10 + (digit(*a->p) ? *a->p++ - '0' : 0);
	if (*a->p >= '5' && *a->p <= '9')
		us++;
	while (digit(*a->p))
		a->p++;
	return us;
}

/* A number; of seconds with up to six digits behind a point, in microseconds. */
static int number(struct at *a, bool seconds, int *ret)
{
	int64_t v = 0;

	if (!digit(*a->p))
		return bad(a, "a number is missing");
	for (; digit(*a->p); a->p++) {
		v = v * 10 + (*a->p - '0');
		if (v > INT_MAX / SECOND && (seconds || v > INT_MAX / 10))
			return bad(a, "the number is too large");
	}
	if (seconds) {
		v *= SECOND;
		/* Two points are a range. */
		if (a->p[0] == '.' && a->p[1] != '.') {
			a->p++;
			if (!digit(*a->p))
				return bad(a, "digits are missing behind the point");
			v += fraction(a);
		}
	}
	if (v > INT_MAX)
		return bad(a, "the number is too large");
	*ret = (int)v;
	return 0;
}

static int one_part(struct at *a, bool seconds, struct calendar_part *ret)
{
	struct calendar_part p = {0, -1, 0};
	int err = number(a, seconds, &p.start);

	if (!err && a->p[0] == '.' && a->p[1] == '.') {
		a->p += 2;
		err = number(a, seconds, &p.stop);
		p.repeat = seconds ? SECOND : 1;
	}
	if (!err && *a->p == '/') {
		a->p++;
		err = number(a, seconds, &p.repeat);
		if (!err && !p.repeat)
			return bad(a, "a repetition of 0 never comes");
	}
	if (!err && *a->p && !strchr(" ,-~:", *a->p))
		return bad(a, "there is a character that belongs to no time");
	*ret = p;
	return err;
}

/* "*", or parts with commas between them. */
static int chain(struct at *a, bool seconds, struct chain *ret)
{
	ret->n = 0;
	if (*a->p == '*') {
		a->p++;
		if (seconds)
			ret->part[ret->n++] = (struct calendar_part){0, -1, SECOND};
		return 0;
	}
	for (;;) {
		int err;

		if (ret->n == CAL_PARTS_MAX)
			return bad(a, "there are more than 64 items in a list");
		err = one_part(a, seconds, &ret->part[ret->n++]);
		if (err)
			return err;
		if (*a->p != ',')
			return 0;
		a->p++;
	}
}

static void put(struct calendar *c, enum calendar_field f, const struct chain *from)
{
	c->n[f] = from->n;
	memcpy(c->part[f], from->part, from->n * sizeof(from->part[0]));
}

static void put_one(struct calendar *c, enum calendar_field f, int start)
{
	c->part[f][c->n[f]++] = (struct calendar_part){start, -1, 0};
}

/* How long the weekday's name at p is; 0: there is none. */
static size_t weekday(const char *p, unsigned *ret)
{
	static const char *const names[] = {
		"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"};

	for (unsigned i = 0; i < 7; i++) {
		size_t n = strlen(names[i]);

		*ret = i;
		if (strncasecmp(p, names[i], n) == 0)
			return n;
		if (strncasecmp(p, names[i], 3) == 0)
			return 3;
	}
	return 0;
}

/* Names, ranges with "..", and "-" as systemd wrote them once. */
static int weekdays(struct at *a, struct calendar *c)
{
	int from = -1;

	for (bool first = true;; first = false) {
		unsigned day;
		size_t n = weekday(a->p, &day);

		if (!n)
			return first ? 0 : bad(a, "a weekday is missing");
		a->p += n;
		if (*a->p && !strchr("-., ", *a->p))
			return bad(a, "there is no such weekday");
		if (from > (int)day)
			return bad(
				a, "the range of weekdays runs backwards; weeks begin on Monday");
		for (unsigned d = from < 0 ? day : (unsigned)from; d <= day; d++)
			c->weekdays |= 1u << d;
		if (!*a->p || *a->p == ' ')
			break;
		if (*a->p == ',') {
			a->p++;
			from = -1;
		} else if (from >= 0) {
			return bad(a, "a range of weekdays has two ends");
		} else if (*a->p == '-') {
			a->p++;
			from = (int)day;
		} else if (a->p[1] == '.') {
			a->p += 2;
			from = (int)day;
		} else {
			return bad(a, "a range is written with two points");
		}
		/* A comma may end the list, an open range may not. */
		if (!*a->p || *a->p == ' ') {
			if (from >= 0)
				return bad(a, "a range of weekdays has two ends");
			break;
		}
	}
	a->p += strspn(a->p, " ");
	return 0;
}

/* @SECONDS since 1970, as a date of UTC. */
static int epoch(struct at *a, struct calendar *c)
{
	int64_t v = 0, days, era, doe, yoe, doy, mp, s;

	for (a->p++; digit(*a->p); a->p++) {
		v = v * 10 + (*a->p - '0');
		if (v > 7258118399) /* 2199-12-31 23:59:59 */
			return bad(a, "the time lies behind the year 2199");
	}
	if (a->p[-1] == '@' || *a->p)
		return bad(a, "behind @ come seconds since 1970");
	/* Days to a date of the Gregorian calendar, in years that begin in March. */
	days = v / 86400 + 719468;
	s = v % 86400;
	era = days / 146097;
	doe = days % 146097;
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	put_one(c, CAL_YEAR, (int)(yoe + era * 400 + (mp >= 10)));
	put_one(c, CAL_MONTH, (int)(mp < 10 ? mp + 3 : mp - 9));
	put_one(c, CAL_DAY, (int)(doy - (153 * mp + 2) / 5 + 1));
	put_one(c, CAL_HOUR, (int)(s / 3600));
	put_one(c, CAL_MINUTE, (int)(s / 60 % 60));
	put_one(c, CAL_SECOND, (int)(s % 60) * SECOND);
	memcpy(c->zone, "UTC", 4);
	return 1;
}

static int day_mark(struct at *a, struct calendar *c)
{
	if (*a->p != '-' && *a->p != '~')
		return bad(a, "a date is written YEAR-MONTH-DAY");
	c->end_of_month = *a->p == '~';
	a->p++;
	return 0;
}

/* YEAR-MONTH-DAY or MONTH-DAY; with "~" before the day it counts from the month's end. 1: nothing
 * may follow. */
static int date(struct at *a, struct calendar *c)
{
	struct at begin = *a;
	struct chain one, two, three;
	int err;

	if (!*a->p)
		return 0;
	if (*a->p == '@')
		return epoch(a, c);
	err = chain(a, false, &one);
	if (err)
		return err;
	if (!*a->p || *a->p == ':') {
		/* It is a time. */
		*a = begin;
		return 0;
	}
	err = day_mark(a, c);
	if (!err)
		err = chain(a, false, &two);
	if (err)
		return err;
	if (!*a->p || *a->p == ' ') {
		put(c, CAL_MONTH, &one);
		put(c, CAL_DAY, &two);
	} else {
		if (c->end_of_month)
			return bad(a, "~ stands before the day only");
		err = day_mark(a, c);
		if (!err)
			err = chain(a, false, &three);
		if (!err && *a->p && *a->p != ' ')
			return bad(a, "a date has three parts");
		if (err)
			return err;
		put(c, CAL_YEAR, &one);
		put(c, CAL_MONTH, &two);
		put(c, CAL_DAY, &three);
	}
	a->p += strspn(a->p, " ");
	return 0;
}

/* HOUR:MINUTE[:SECOND]; left out it is midnight. */
static int time_of_day(struct at *a, struct calendar *c)
{
	struct chain one;
	int err;

	if (!*a->p) {
		put_one(c, CAL_HOUR, 0);
		put_one(c, CAL_MINUTE, 0);
		put_one(c, CAL_SECOND, 0);
		return 0;
	}
	err = chain(a, false, &one);
	if (err)
		return err;
	if (*a->p != ':')
		return bad(a, "a time is written HOUR:MINUTE or HOUR:MINUTE:SECOND");
	a->p++;
	put(c, CAL_HOUR, &one);
	err = chain(a, false, &one);
	if (err)
		return err;
	put(c, CAL_MINUTE, &one);
	if (!*a->p) {
		put_one(c, CAL_SECOND, 0);
		return 0;
	}
	if (*a->p != ':')
		return bad(a, "a time is written HOUR:MINUTE or HOUR:MINUTE:SECOND");
	a->p++;
	err = chain(a, true, &one);
	if (err)
		return err;
	if (*a->p)
		return bad(a, "there is more behind the time; a time zone must have a name that "
			      "tzselect(8) knows");
	put(c, CAL_SECOND, &one);
	return 0;
}

/* daily and the like. */
static bool shorthand(const char *text, struct calendar *c)
{
	enum { MINUTELY, HOURLY, DAILY, WEEKLY, MONTHLY, QUARTERLY, SEMIANNUALLY, YEARLY };
	static const struct {
		const char *word;
		int what;
	} words[] = {{"minutely", MINUTELY}, {"hourly", HOURLY}, {"daily", DAILY},
		{"weekly", WEEKLY}, {"monthly", MONTHLY}, {"quarterly", QUARTERLY},
		{"semiannually", SEMIANNUALLY}, {"semi-annually", SEMIANNUALLY},
		{"biannually", SEMIANNUALLY}, {"bi-annually", SEMIANNUALLY}, {"yearly", YEARLY},
		{"annually", YEARLY}, {"anually", YEARLY}};
	int what = -1;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcasecmp(text, words[i].word) == 0)
			what = words[i].what;
	}
	if (what < 0)
		return false;
	put_one(c, CAL_SECOND, 0);
	if (what >= HOURLY)
		put_one(c, CAL_MINUTE, 0);
	if (what >= DAILY)
		put_one(c, CAL_HOUR, 0);
	if (what == WEEKLY)
		c->weekdays = 1;
	if (what >= MONTHLY)
		put_one(c, CAL_DAY, 1);
	if (what >= QUARTERLY)
		put_one(c, CAL_MONTH, 1);
	if (what == QUARTERLY)
		put_one(c, CAL_MONTH, 4);
	if (what == QUARTERLY || what == SEMIANNUALLY)
		put_one(c, CAL_MONTH, 7);
	if (what == QUARTERLY)
		put_one(c, CAL_MONTH, 10);
	return true;
}

/* Two digits are a year of 1970 to 2069. */
static void fix_year(int *year)
{
	if (*year >= 0 && *year < 70)
		*year += 2000;
	else if (*year >= 70 && *year < 100)
		*year += 1900;
}

/* A range ends at its last repetition; what cannot repeat does not. */
static void normalize(struct calendar_part *p)
{
	/* one_part() gives each range a repetition. */
	if (p->stop > p->start)
		p->stop -= (p->stop - p->start) % p->repeat;
	if (p->start == p->stop) {
		p->repeat = 0;
		p->stop = -1;
	}
}

static int part_check(
	struct at *a, const struct calendar_part *p, struct bounds b, bool end_of_month)
{
	/* Every month has a 28th day before its end, and not every one a 29th. */
	if (end_of_month)
		b.to -= 3;
	if (p->start < b.from || p->start > b.to || p->stop > b.to ||
		(p->stop >= 0 && p->stop < b.from))
		return bad(a, "a part of it is out of its bounds");
	if (p->repeat > b.to - b.from)
		return bad(a, "a repetition is longer than what it repeats in");
	if (p->stop >= 0 && p->start + p->repeat > p->stop)
		return bad(a, "a range runs backwards");
	if (p->stop < 0 &&
		(end_of_month ? p->start - p->repeat < b.from : p->start + p->repeat > b.to))
		return bad(a, "a repetition does not come once");
	return 0;
}

static int check(struct at *a, struct calendar *c)
{
	if (c->weekdays == 0x7f)
		c->weekdays = 0;
	if (!c->n[CAL_DAY])
		c->end_of_month = false;
	for (unsigned f = 0; f < CAL_FIELDS; f++) {
		for (unsigned i = 0; i < c->n[f]; i++) {
			struct calendar_part *p = &c->part[f][i];
			int err;

			if (f == CAL_YEAR) {
				fix_year(&p->start);
				fix_year(&p->stop);
			}
			normalize(p);
			err = part_check(a, p, bounds[f], c->end_of_month && f == CAL_DAY);
			if (err)
				return err;
		}
	}
	return 0;
}

/* A last word that begins with a letter is a time zone's name. It is cut off. */
static int cut_zone(struct at *a, char *text, struct calendar *c)
{
	char *last = strrchr(text, ' ');
	size_t n;

	if (!last || !((last[1] | 0x20) >= 'a' && (last[1] | 0x20) <= 'z'))
		return 0;
	n = strlen(last + 1);
	if (n >= CAL_ZONE_MAX || strstr(last, "..") || strstr(last, "//") || last[n] == '/' ||
		strspn(last + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "0123456789_+-/") != n)
		return bad(a, "the last word is no time zone's name");
	memcpy(c->zone, last + 1, n + 1);
	if (strcasecmp(c->zone, "UTC") == 0)
		memcpy(c->zone, "UTC", 4);
	*last = 0;
	return 0;
}

int calendar_parse(const char *text, struct calendar *ret, const char **ret_why)
{
	char copy[TEXT_MAX];
	struct at a = {copy, ""};
	size_t n = strlen(text);
	int err = 0;

	memset(ret, 0, sizeof(*ret));
	*ret_why = "it is longer than 1000 bytes";
	if (n >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, n + 1);
	err = cut_zone(&a, copy, ret);
	if (!err && !*copy)
		err = bad(&a, "it is empty");
	if (!err && !shorthand(copy, ret)) {
		err = weekdays(&a, ret);
		if (!err)
			err = date(&a, ret);
		if (!err)
			err = time_of_day(&a, ret);
		else if (err == 1)
			err = 0;
	}
	if (!err)
		err = check(&a, ret);
	*ret_why = a.why;
	return err;
}

bool calendar_zone_there(const char *zone)
{
	char path[CAL_ZONE_MAX + 32];

	if (!*zone || strcmp(zone, "UTC") == 0)
		return true;
	(void)snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", zone);
	return access(path, R_OK) == 0;
}
