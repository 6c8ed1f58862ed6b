/*
 * fuzz_archive.c: a backup as anybody may have made it: whatever comes, in whatever pieces, what is
 * handed on is within its bounds, nothing but a whole file is taken for one, and the pieces make no
 * difference.
 *
 * A first byte with its high bit has the sums of what follows mended, so that the reader gets
 * beyond them.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "archive.h"
#include "lib/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

struct seen {
	unsigned heads, names[2];
	bool in_part, in_file;
	uint64_t sum, entries, bytes;
};

static int head(void *arg, const struct archive_head *h)
{
	struct seen *s = arg;

	must(s->heads++ == 0 && h->min_reader == ARCHIVE_FORMAT);
	must(memchr(h->version, 0, sizeof h->version) && memchr(h->host, 0, sizeof h->host));
	return 0;
}

static int name(void *arg, unsigned group, const char *text)
{
	struct seen *s = arg;

	must(s->in_part && !s->in_file && group < 2 && *text && strlen(text) < ARCHIVE_NAME_MAX &&
		!strchr(text, '\n'));
	must(++s->names[group] <= ARCHIVE_NAMES_MAX);
	return 0;
}

static int part(void *arg, const struct archive_part *p)
{
	struct seen *s = arg;

	must(s->heads == 1 && !s->in_part && *p->name && strlen(p->name) <= ARCHIVE_PART_MAX &&
		strlen(p->user) < ARCHIVE_NAME_MAX);
	s->in_part = true;
	return 0;
}

static int entry(void *arg, const struct archive_entry *e)
{
	struct seen *s = arg;

	must(s->in_part && !s->in_file && e->owner < s->names[0] && e->group < s->names[1] &&
		e->mode <= 0777);
	must(e->kind == ARCHIVE_FOLDER || e->kind == ARCHIVE_FILE || e->kind == ARCHIVE_LINK);
	must(e->path[0] && e->path[0] != '/' && strlen(e->path) <= ARCHIVE_PATH_MAX &&
		strcmp(e->path, "..") != 0 && strncmp(e->path, "../", 3) != 0 &&
		!strstr(e->path, "/../") && !strstr(e->path, "//"));
	must((e->kind == ARCHIVE_LINK) == (e->target[0] != '\0'));
	s->in_file = e->kind == ARCHIVE_FILE;
	s->bytes = 0;
	s->entries++;
	for (const char *c = e->path; *c; c++)
		s->sum = s->sum * 31 + (uint8_t)*c;
	return 0;
}

static int piece(void *arg, const void *p, size_t n)
{
	struct seen *s = arg;

	must(s->in_file && n);
	s->bytes += n;
	must(s->bytes <= ARCHIVE_FILE_MAX);
	for (size_t i = 0; p && i < n; i++)
		s->sum = s->sum * 31 + ((const uint8_t *)p)[i];
	return 0;
}

static int end(void *arg)
{
	struct seen *s = arg;

	must(s->in_file);
	s->in_file = false;
	return 0;
}

static int part_end(void *arg, const struct archive_part *p)
{
	struct seen *s = arg;

	must(s->in_part && !s->in_file && p->name);
	s->in_part = false;
	return 0;
}

static const struct archive_ops ops = {head, name, part, entry, piece, end, part_end};

static int read_in(const uint8_t *p, size_t n, size_t step, struct seen *ret)
{
	struct archive_in *in = malloc(sizeof *in);
	int r = 0;

	memset(ret, 0, sizeof *ret);
	must(in && archive_in_init(in, &ops, ret) == 0);
	for (size_t at = 0; at < n && r == 0; at += step)
		r = archive_feed(in, p + at, min_of(step, n - at));
	must(r == 0 || r == 1 || (r == -EBADMSG && in->why) || (r == -EPROTONOSUPPORT && in->why));
	must(r != 1 || (!ret->in_part && ret->entries == in->head.entries));
	archive_in_done(in);
	free(in);
	return r;
}

/* The head's sum, so that what is behind it is reached. */
static void mend(uint8_t *p, size_t n)
{
	unsigned len = 0;

	if (n >= ARCHIVE_HEAD_BYTES)
		(void)EVP_Digest(p, ARCHIVE_HEAD_BYTES - ARCHIVE_SUM_BYTES,
			p + ARCHIVE_HEAD_BYTES - ARCHIVE_SUM_BYTES, &len, EVP_sha256(), NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct seen whole, pieces;
	uint8_t *copy;
	int r;

	if (n < 1)
		return 0;
	copy = malloc(n);
	must(copy);
	memcpy(copy, p + 1, n - 1);
	if (p[0] & 0x80)
		mend(copy, n - 1);
	r = read_in(copy, n - 1, n, &whole);
	must(read_in(copy, n - 1, 1 + p[0] % 61, &pieces) == r && whole.sum == pieces.sum &&
		whole.entries == pieces.entries);
	free(copy);
	return 0;
}
