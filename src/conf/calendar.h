/*
 * calendar.h: OnCalendar=: an expression as systemd.time(7) writes it, and when it comes true next.
 *
 * check parses what a user wrote, ctl parses the same again and asks for the next time. The parser
 * reads nothing but its text; calendar_next() is pure but for time zones, which it has libc look up
 * (TZ), so it is not thread-safe.
 */
#ifndef STEAD_CONF_CALENDAR_H
#define STEAD_CONF_CALENDAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum calendar_field { CAL_YEAR, CAL_MONTH, CAL_DAY, CAL_HOUR, CAL_MINUTE, CAL_SECOND, CAL_FIELDS };
enum { CAL_PARTS_MAX = 64, CAL_ZONE_MAX = 64 };

/* START, START..STOP, START/REPEAT, START..STOP/REPEAT. Seconds are in microseconds. */
struct calendar_part {
	int start, stop; /* stop -1: there is none */
	int repeat;      /* 0: once */
};

struct calendar {
	unsigned weekdays;       /* bit 0 is Monday; 0: any */
	bool end_of_month;       /* days count back from the month's last, which is 1 */
	char zone[CAL_ZONE_MAX]; /* "": local time */
	unsigned n[CAL_FIELDS];  /* 0: any (of seconds never) */
	struct calendar_part part[CAL_FIELDS][CAL_PARTS_MAX];
};

/* 0; -EINVAL: *ret_why says what is wrong. A time zone is checked for its form only:
 * calendar_zone_there(). */
int calendar_parse(const char *text, struct calendar *ret, const char **ret_why);
/* Does the machine know this time zone? "" and UTC always. */
bool calendar_zone_there(const char *zone);
/* The first time behind after_us (microseconds since 1970) at which it comes true. -ENOENT: never
 * again. */
int calendar_next(const struct calendar *c, int64_t after_us, int64_t *ret_us);

#endif
