/*
 * fuzz_keys.c: a file of public ssh keys. What is taken is lines of a type, base64 and plain text, each behind the
 * prefix; reading them again gives the same.
 */
#include <stdint.h>
#include <string.h>

#include "lib/must.h"
#include "person/person.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *why = NULL, *todo = NULL;
	struct buf out, again, marked;
	unsigned line = 0;
	int n;

	buf_init(&out, 1 << 20);
	buf_init(&again, 1 << 20);
	buf_init(&marked, 1 << 20);
	n = person_keys((const char *)data, size, "", &out, &line, &why, &todo);
	if (n > 0) {
		must(n <= PERSON_KEYS_MAX);
		for (size_t i = 0; i < out.len; i++)
			must(out.p[i] == '\n' || (out.p[i] >= ' ' && out.p[i] < 0x7f));
		must(person_keys(out.p, out.len, "", &again, &line, &why, &todo) == n);
		must(again.len == out.len && memcmp(again.p, out.p, out.len) == 0);
		must(person_keys(out.p, out.len, "restrict", &marked, &line, &why, &todo) == n);
		must(marked.len == out.len + (size_t)n * strlen("restrict "));
	} else {
		must(n < 0 && why && *why && todo && *todo);
	}
	buf_done(&out);
	buf_done(&again);
	buf_done(&marked);
	return 0;
}
