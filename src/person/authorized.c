/*
 * authorized.c: stead's own lines of a person's ~/.ssh/authorized_keys.
 *
 * Called by act with a file that is the person's: what stands outside of the marked block stays byte for byte. Marks that
 * do not pair are the person's doing and nothing is guessed about them. Owns nothing.
 */
#include "person/person.h"
#include "lib/must.h"

#include <errno.h>
#include <string.h>

static const char begin[] = "# stead: begin (these keys are stead's: see `stead user`; other lines are yours)";
static const char end[] = "# stead: end";

/* The next line that is this one, from `at` on, also as the last one without its newline; SIZE_MAX: none. */
static size_t find(const char *text, size_t n, size_t at, const char *line)
{
	size_t len = strlen(line);

	while (at < n) {
		const char *nl = memchr(text + at, '\n', n - at);
		size_t here = nl ? (size_t)(nl - (text + at)) : n - at;

		if (here == len && memcmp(text + at, line, len) == 0)
			return at;
		at += here + 1;
	}
	return SIZE_MAX;
}

int person_keys_splice(const char *text, size_t n, const char *keys, size_t keys_n, struct buf *ret)
{
	size_t from = find(text, n, 0, begin), to = find(text, n, 0, end), behind = n;

	if ((from == SIZE_MAX) != (to == SIZE_MAX) || (from != SIZE_MAX && to < from) ||
		(from != SIZE_MAX && find(text, n, from + 1, begin) != SIZE_MAX) ||
		(to != SIZE_MAX && find(text, n, to + 1, end) != SIZE_MAX))
		return -EBADMSG;
	if (from != SIZE_MAX)
		behind = to + sizeof end - 1 + (to + sizeof end - 1 < n); /* and its newline */
	else
		from = n;
	buf_put(ret, text, from);
	if (keys_n > 0 && from > 0 && text[from - 1] != '\n')
		buf_putc(ret, '\n');
	if (keys_n > 0) {
		buf_printf(ret, "%s\n", begin);
		buf_put(ret, keys, keys_n);
		buf_printf(ret, "%s\n", end);
	}
	buf_put(ret, text + behind, n - behind);
	return ret->error;
}

void person_keys_own(const char *text, size_t n, struct buf *ret)
{
	static const char behind[] = "\",restrict ";
	size_t from = find(text, n, 0, begin), to = find(text, n, 0, end);

	if (from == SIZE_MAX || to == SIZE_MAX)
		return;
	for (from += sizeof begin; from < to;) {
		const char *key = text + from, *nl = memchr(key, '\n', to - from);
		size_t len;

		must(nl); /* the end's mark begins a line, so the one before it has an end */
		len = (size_t)(nl - key);
		const char *forced = len > 9 && memcmp(key, "command=\"", 9) == 0 ? memmem(key, len, behind, sizeof behind - 1) : NULL;
		size_t cut = forced ? (size_t)(forced - key) + sizeof behind - 1 : 0;

		buf_put(ret, key + cut, len - cut);
		buf_putc(ret, '\n');
		from += len + 1;
	}
}
