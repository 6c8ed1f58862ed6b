/*
 * fuzz_range.c: a Range field and dates: every range lies in the file, and they are not more than
 * it. The first eight bytes are the file's size.
 */
#include "httpdate.h"
#include "lib/must.h"
#include "range.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct range r[RANGES_MAX];
	uint64_t bytes, sum = 0;
	int64_t t;
	int n;

	if (size < 8)
		return 0;
	memcpy(&bytes, data, 8);
	bytes &= INT64_MAX;
	n = range_parse((const char *)data + 8, size - 8, bytes, r);
	must(n >= -1 && n <= RANGES_MAX);
	for (int i = 0; i < n; i++) {
		must(r[i].len > 0 && r[i].from < bytes && r[i].len <= bytes - r[i].from);
		sum += r[i].len;
	}
	must(n < 2 || sum <= bytes);
	(void)http_date_parse((const char *)data + 8, size - 8, &t);
	return 0;
}
