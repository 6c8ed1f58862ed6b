/*
 * calendar_next_main.c: calendar-next: for each line "BASE N EXPRESSION" of its input (BASE:
 * microseconds since 1970) the next N times on one line, or `bad`. For check_calendar.py.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/calendar.h"

static void answer(char *line)
{
	struct calendar c;
	const char *why;
	char *at;
	int64_t base = strtoll(line, &at, 10);
	long n = strtol(at, &at, 10);

	if (*at != ' ' || calendar_parse(at + 1, &c, &why) < 0 || !calendar_zone_there(c.zone)) {
		puts("bad");
		return;
	}
	for (; n > 0 && calendar_next(&c, base, &base) == 0; n--)
		printf("%" PRId64 " ", base);
	putchar('\n');
}

int main(void)
{
	char line[4096];

	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		answer(line);
	}
	return 0;
}
