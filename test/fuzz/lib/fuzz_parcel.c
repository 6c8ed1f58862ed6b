/*
 * fuzz_parcel.c: a folder as a stream: whatever comes, in whatever pieces, what is handed on is within its bounds, and
 * the pieces make no difference.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"
#include "lib/parcel.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct seen {
	uint64_t bytes, told, left, sum;
	uint32_t entries, told_entries;
	unsigned heads;
};

static int head(void *arg, uint64_t bytes, uint32_t entries)
{
	struct seen *s = arg;

	must(s->heads++ == 0 && bytes <= PARCEL_BYTES_MAX && entries <= PARCEL_ENTRIES_MAX);
	s->told = bytes;
	s->told_entries = entries;
	return 0;
}

static int entry(void *arg, const struct parcel_entry *e)
{
	struct seen *s = arg;
	unsigned parts = 1;

	must(s->heads == 1 && s->left == 0 && ++s->entries <= s->told_entries);
	must(e->path[0] && e->path[0] != '/' && strlen(e->path) <= PARCEL_PATH_MAX);
	must(strcmp(e->path, "..") != 0 && strncmp(e->path, "../", 3) != 0 && !strstr(e->path, "/../") &&
		!strstr(e->path, "//"));
	for (const char *c = e->path; *c; c++)
		parts += *c == '/';
	must(parts <= PARCEL_DEPTH_MAX);
	must(e->kind == PARCEL_LINK ? e->target[0] && e->target[0] != '/' : !e->target[0]);
	s->left = e->size;
	s->bytes += e->size;
	must(s->bytes <= s->told);
	for (const char *c = e->path; *c; c++)
		s->sum = s->sum * 31 + (uint8_t)*c;
	return 0;
}

static int data(void *arg, const void *p, size_t n)
{
	struct seen *s = arg;

	must(n && n <= s->left);
	s->left -= n;
	for (size_t i = 0; i < n; i++)
		s->sum = s->sum * 31 + ((const uint8_t *)p)[i];
	return 0;
}

static int end(void *arg)
{
	must(((struct seen *)arg)->left == 0);
	return 0;
}

static const struct parcel_ops ops = {head, entry, data, end};

static int feed(const uint8_t *p, size_t n, size_t piece, struct seen *s)
{
	struct parcel parcel;
	int r = 0;

	*s = (struct seen){0};
	parcel_init(&parcel, &ops, s);
	for (size_t at = 0; at < n && r >= 0; at += piece)
		r = parcel_feed(&parcel, p + at, n - at < piece ? n - at : piece);
	must(r == 0 || r == 1 || (r == -EBADMSG && parcel.why));
	if (r == 1)
		must(s->bytes == s->told && s->entries == s->told_entries && s->left == 0);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct seen whole, parts;
	int r = feed(p, n, n ? n : 1, &whole);

	must(feed(p, n, 1, &parts) == r && parts.sum == whole.sum && parts.entries == whole.entries);
	must(feed(p, n, 7, &parts) == r && parts.sum == whole.sum);
	return 0;
}
