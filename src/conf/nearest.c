/*
 * nearest.c: "did you mean": the distance of two words, and the nearest of several.
 *
 * Called by the checker and by the command line. Owns nothing. The distance is that of optimal
 * string alignment: insert, delete, replace and swap of neighbours cost 1; a letter in the other
 * case costs nothing unless the words are else equal.
 */
#include <ctype.h>
#include <string.h>

#include "conf_priv.h"
#include "lib/must.h"

enum { WORD_MAX = 48 };

static int lower(char c)
{
	return tolower((unsigned char)c);
}

unsigned conf_distance(const char *a, const char *b, unsigned max)
{
	size_t n = strlen(a), m = strlen(b);
	unsigned rows[3][WORD_MAX + 1];
	unsigned *prev2 = rows[0], *prev = rows[1], *cur = rows[2];

	if (strcmp(a, b) == 0)
		return 0;
	/* Each letter that one has more is a change of its own. */
	if (n > WORD_MAX || m > WORD_MAX || n > m + max || m > n + max)
		return max + 1;
	for (size_t j = 0; j <= m; j++)
		prev[j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned *t;

		cur[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned cost = lower(a[i - 1]) != lower(b[j - 1]);
			unsigned d = min_of(prev[j] + 1, cur[j - 1] + 1);

			d = min_of(d, prev[j - 1] + cost);
			if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
				lower(a[i - 2]) == lower(b[j - 1]))
				d = min_of(d, prev2[j - 2] + 1);
			cur[j] = d;
		}
		t = prev2;
		prev2 = prev;
		prev = cur;
		cur = t;
	}
	/* The words differ, so a distance of 0 is one of case only. */
	return prev[m] == 0 ? 1 : min_of(prev[m], max + 1);
}

bool conf_near(const char *s, unsigned distance)
{
	size_t n = strlen(s);

	return distance <= (n <= 3 ? 1u : n <= 8 ? 2u : 3u);
}

const char *conf_nearest(const char *s, const char *words, char *ret, size_t cap)
{
	unsigned best = 4;

	must(cap > 0);
	ret[0] = '\0';
	while (*words != '\0') {
		size_t n = strcspn(words, " ");
		char word[WORD_MAX + 1];

		if (n > 0 && n < sizeof(word) && n < cap) {
			unsigned d;

			memcpy(word, words, n);
			word[n] = '\0';
			d = conf_distance(s, word, 4);
			if (d < best && conf_near(s, d)) {
				best = d;
				memcpy(ret, word, n + 1);
			}
		}
		words += n;
		words += strspn(words, " ");
	}
	return ret;
}
