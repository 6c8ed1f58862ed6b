/* fuzz_calendar.c: any bytes as an OnCalendar= expression; and then the times at which it comes
 * true. */
#include "fuzz.h"

#include "conf/calendar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const int64_t bases[] = {0, 1774742399999999, 1835388000000000, 7258118399000000};
	struct calendar c;
	const char *why;
	char text[1200];

	if (n >= sizeof(text))
		return 0;
	memcpy(text, data, n);
	text[n] = 0;
	if (calendar_parse(text, &c, &why) < 0) {
		must(*why);
		return 0;
	}
	/* Names of time zones would have libc read files. */
	if (c.zone[0])
		memcpy(c.zone, "UTC", 4);
	for (unsigned i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		int64_t at = bases[i], next;

		for (int k = 0; k < 3 && calendar_next(&c, at, &next) == 0; k++) {
			must(next > at && next < 7258204800000000);
			at = next;
		}
	}
	return 0;
}
