/*
 * fuzz_authorized.c: a person's authorized_keys. Putting a block in and taking it out again leaves what was there
 * outside of it; putting it in twice is as once; and what was put in comes out as it was given.
 */
#include <stdint.h>
#include <string.h>

#include "lib/must.h"
#include "person/person.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char keys[] = "ssh-ed25519 AAAA someone\n";
	const char *text = size ? (const char *)data : "";
	struct buf out, plain, once, twice, own;

	buf_init(&own, 1 << 20);
	person_keys_own(text, size, &own);
	must(own.error == 0 && own.len <= size);
	buf_reset(&own);
	buf_init(&out, 1 << 20);
	buf_init(&plain, 1 << 20);
	buf_init(&once, 1 << 20);
	buf_init(&twice, 1 << 20);
	if (person_keys_splice(text, size, keys, sizeof keys - 1, &once) == 0) {
		must(person_keys_splice(text, size, "", 0, &plain) == 0);
		must(person_keys_splice(once.p, once.len, "", 0, &out) == 0);
		must(out.len == plain.len || (out.len == plain.len + 1 && out.p[plain.len] == '\n'));
		must(memcmp(out.p ? out.p : "", plain.p ? plain.p : "", plain.len) == 0);
		must(person_keys_splice(once.p, once.len, keys, sizeof keys - 1, &twice) == 0);
		must(twice.len == once.len && memcmp(twice.p, once.p, once.len) == 0);
		person_keys_own(once.p, once.len, &own);
		must(own.len == sizeof keys - 1 && memcmp(own.p, keys, own.len) == 0);
	}
	buf_done(&out);
	buf_done(&plain);
	buf_done(&once);
	buf_done(&twice);
	buf_done(&own);
	return 0;
}
