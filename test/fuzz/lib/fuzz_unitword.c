/*
 * fuzz_unitword.c: the words of one key. They are whole words of the text, one blank between them, and fit; and a key that
 * says a value has all words of that value.
 */
#include "lib/must.h"
#include "lib/unitword.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t cap = size > 0 ? data[0] % 64 + 1u : 1;
	char got[64];

	if (size == 0)
		return 0;
	int e = unitword_find((const char *)data + 1, size - 1, "Server", "AllowUsers", got, cap);
	size_t n = strlen(got);
	must(n < cap && (e == 0 || n == 0));
	must(n == 0 || (got[0] != ' ' && got[n - 1] != ' ' && strpbrk(got, "\t\r\n") == NULL && strstr(got, "  ") == NULL));
	for (size_t at = 0; at < n; at += strcspn(got + at, " ") + 1) {
		char word[64];

		memcpy(word, got + at, strcspn(got + at, " "));
		word[strcspn(got + at, " ")] = '\0';
		must(unitword_has(got, word));
	}
	must(unitword_says((const char *)data + 1, size - 1, "AllowUsers", false, "") <= 0);
	if (unitword_says((const char *)data + 1, size - 1, "Root", false, "/srv/a b") > 0)
		must(memmem(data + 1, size - 1, "Root", 4) != NULL && memmem(data + 1, size - 1, "/srv/a b", 8) != NULL);
	if (unitword_says((const char *)data + 1, size - 1, "Static", true, "/srv") > 0)
		must(memmem(data + 1, size - 1, "/srv", 4) != NULL);
	return 0;
}
