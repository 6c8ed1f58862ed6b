/*
 * fuzz_target.c: a request's target to a path: never climbs, never holds a NUL or an undone dot
 * segment, begins with one slash; the other readings of it are there when slashes leave any open.
 */
#include "lib/must.h"
#include "target.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has_dot_segment(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t end = i + 1;

		if (p[i] != '/')
			continue;
		while (end < n && p[end] != '/')
			end++;
		if ((end - i == 2 && p[i + 1] == '.') ||
			(end - i == 3 && p[i + 1] == '.' && p[i + 2] == '.'))
			return true;
	}
	return false;
}

static void check_readings(const struct req *r)
{
	const char *p = r->path, *q = r->path_literal;
	bool empty = false, encoded = false;
	char merged[8192];
	size_t n;

	for (size_t i = 0; i < r->path_len; i++) {
		empty |= i && p[i] == '/' && p[i - 1] == '/';
		encoded |= q && q[i] == TARGET_SLASH;
		must(!q || q[i] == p[i] || (q[i] == TARGET_SLASH && p[i] == '/'));
	}
	must((q != NULL) == (empty || encoded));
	must(r->path_len < 2 || p[1] != '/' || (q && q[1] == TARGET_SLASH));
	n = target_merge(merged, p, r->path_len);
	must(n > 0 && n <= r->path_len);
	for (size_t i = 1; i < n; i++)
		must(merged[i] != '/' || merged[i - 1] != '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena_pool pool;
	struct req r = {0};

	if (size > 8192)
		return 0;
	arena_pool_init(&pool, 4096, 64, 0);
	arena_init(&r.arena, &pool);
	r.path_raw = arena_strndup(&r.arena, (const char *)data, size);
	r.path_raw_len = (uint32_t)size;
	if (r.path_raw && target_parse(&r)) {
		must(r.path_len > 0 && r.path[r.path_len] == 0);
		if (*r.path != '*') {
			must(*r.path == '/');
			must(!has_dot_segment(r.path, r.path_len));
			check_readings(&r);
		}
		must(memchr(data, 0, size) || !memchr(r.path, 0, r.path_len));
	}
	arena_reset(&r.arena);
	arena_pool_done(&pool);
	return 0;
}
