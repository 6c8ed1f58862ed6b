/*
 * test_calendar.c: src/conf/calendar.c: what OnCalendar= refuses and how it says so, and times that
 * systemd's own answers do not show; check_calendar.py compares the rest with systemd.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "conf/calendar.h"
#include "lib/must.h"

static void test_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"", "it is empty"},
		{"Sat..Tue", "the range of weekdays runs backwards; weeks begin on Monday"},
		{"Mon..", "a range of weekdays has two ends"},
		{"Funday", "a number is missing"},
		{"10", "a time is written HOUR:MINUTE or HOUR:MINUTE:SECOND"},
		{"24:00", "a part of it is out of its bounds"},
		{"*-13-1", "a part of it is out of its bounds"},
		{"*-*~29", "a part of it is out of its bounds"},
		{"12..3:00", "a range runs backwards"},
		{"1:2:59/1", "a repetition does not come once"},
		{"*:0/0", "a repetition of 0 never comes"},
		{"99999999999-1-1", "the number is too large"},
		{"1:2:3 x/../y", "the last word is no time zone's name"},
		{"@99999999999", "the time lies behind the year 2199"},
		{"*~1-1", "~ stands before the day only"},
		{"*-*-5..0", "a part of it is out of its bounds"},
		{"*-*-0", "a part of it is out of its bounds"},
		{"0:0:2148", "the number is too large"},
		{"0:0:2147.9999999", "the number is too large"},
		{"0:2147483648", "the number is too large"},
		{"0:214748364", "a part of it is out of its bounds"},
		{"0:214748365", "the number is too large"},
		{"1:2 Europe//Berlin", "the last word is no time zone's name"},
		{"1:2 Europe/", "the last word is no time zone's name"},
		{"1:2 Eur..ope", "the last word is no time zone's name"},
		{"1:2 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
			"the last word is no time zone's name"},
	};
	struct calendar c;
	const char *why;
	char many[4000] = "0";

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(calendar_parse(rows[i].text, &c, &why), -EINVAL);
		assert_string_equal(why, rows[i].why);
	}
	for (int i = 0; i < 64; i++)
		strncat(many, ",1", sizeof(many) - strlen(many) - 1);
	strncat(many, ":0", sizeof(many) - strlen(many) - 1);
	assert_int_equal(calendar_parse(many, &c, &why), -EINVAL);
	assert_string_equal(why, "there are more than 64 items in a list");
	memset(many, ' ', sizeof(many) - 1);
	assert_int_equal(calendar_parse(many, &c, &why), -EINVAL);
	assert_string_equal(why, "it is longer than 1000 bytes");
	assert_true(calendar_zone_there("UTC"));
	assert_false(calendar_zone_there("Europe/Nowhere"));
}

static void next_is(const char *text, const char *after, const char *want)
{
	struct calendar c;
	struct tm tm = {0};
	const char *why;
	char got[64] = "never";
	int64_t us = 0;
	time_t t;

	assert_int_equal(calendar_parse(text, &c, &why), 0);
	must(strptime(after, "%Y-%m-%d %H:%M:%S", &tm) != NULL);
	if (calendar_next(&c, (int64_t)timegm(&tm) * 1000000, &us) == 0) {
		t = (time_t)(us / 1000000);
		strftime(got, sizeof(got), "%Y-%m-%d %H:%M:%S", gmtime_r(&t, &tm));
	}
	assert_string_equal(got, want);
}

static void test_next(void **state)
{
	(void)state;
	next_is("daily UTC", "2026-11-27 10:00:00", "2026-11-28 00:00:00");
	/* Behind it, never at it. */
	next_is("daily UTC", "2026-11-28 00:00:00", "2026-11-29 00:00:00");
	next_is("*-2-29 UTC", "2026-11-27 10:00:00", "2028-02-29 00:00:00");
	next_is("2150-1-1 UTC", "2026-11-27 10:00:00", "2150-01-01 00:00:00");
	next_is("Mon..Sun 10:00 UTC", "2026-11-27 10:00:00", "2026-11-28 10:00:00");
	next_is("*-2-30 UTC", "2026-11-27 10:00:00", "never");
	next_is("2020-1-1 UTC", "2026-11-27 10:00:00", "never");
	next_is("*-2~1 UTC", "2027-12-01 00:00:00", "2028-02-29 00:00:00");
	/* 02:30 is not there on the morning when clocks go forward, and is there twice when they go
	 * back. */
	next_is("*-*-* 02:30 Europe/Berlin", "2026-03-28 12:00:00", "2026-03-30 00:30:00");
	next_is("*-*-* 02:30 Europe/Berlin", "2026-10-24 12:00:00", "2026-10-25 00:30:00");
	next_is("*-*-* 02:30 Europe/Berlin", "2026-10-25 00:30:00", "2026-10-26 01:30:00");
}

/* The process's own time zone is what it was. */
static void test_zone_kept(void **state)
{
	struct calendar c;
	struct tm tm;
	const char *why;
	int64_t us;
	time_t t = 0;

	(void)state;
	setenv("TZ", "America/New_York", 1);
	tzset();
	assert_int_equal(calendar_parse("daily Europe/Berlin", &c, &why), 0);
	assert_int_equal(calendar_next(&c, 1000000, &us), 0);
	assert_string_equal(getenv("TZ"), "America/New_York");
	assert_int_equal(localtime_r(&t, &tm)->tm_hour, 19);
	unsetenv("TZ");
	assert_int_equal(calendar_next(&c, 1000000, &us), 0);
	assert_null(getenv("TZ"));
	assert_int_equal(calendar_next(&c, -1, &us), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_next),
		cmocka_unit_test(test_zone_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
