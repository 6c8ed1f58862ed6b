/*
 * write.c: an archive is written, from its head to its last sum (archive.h).
 *
 * Called by pack.c. What fails first sticks, and the rest is dropped: whoever writes looks once, at
 * the end. The head is written last, so a file that was cut short has none. Owns its sums and a
 * piece of memory.
 */
#include "archive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MEM = 256 * 1024 };

static void put_number(uint8_t *to, uint64_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		to[i] = (uint8_t)(v >> (8 * i));
}

static void flush(struct archive_out *o)
{
	const uint8_t *at = o->mem;

	while (o->mem_n && !o->err) {
		ssize_t put = write(o->fd, at, o->mem_n);

		if (put < 0 && errno != EINTR)
			o->err = -errno;
		if (put > 0) {
			at += put;
			o->mem_n -= (size_t)put;
		}
	}
	o->mem_n = 0;
}

/* sum NULL: it is of no part. */
static void put(struct archive_out *o, const void *p, size_t n, EVP_MD_CTX *sum)
{
	const uint8_t *at = p;

	if (o->err)
		return;
	if (sum && EVP_DigestUpdate(sum, p, n) != 1)
		o->err = -EIO;
	o->head.file_bytes += n;
	while (n) {
		size_t some = n < MEM - o->mem_n ? n : MEM - o->mem_n;

		memcpy(o->mem + o->mem_n, at, some);
		o->mem_n += some;
		at += some;
		n -= some;
		if (o->mem_n == MEM)
			flush(o);
	}
}

int archive_out_init(struct archive_out *o, int fd)
{
	static const uint8_t empty[ARCHIVE_HEAD_BYTES];
	struct timespec now;

	*o = (struct archive_out){
		.fd = fd, .head = {.format = ARCHIVE_FORMAT, .min_reader = ARCHIVE_FORMAT}};
	(void)clock_gettime(CLOCK_REALTIME, &now);
	o->head.made_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	o->mem = malloc(MEM);
	o->part_sum = EVP_MD_CTX_new();
	o->all_sum = EVP_MD_CTX_new();
	for (unsigned i = 0; i < 2; i++)
		o->names[i] = malloc(ARCHIVE_NAMES_MAX * sizeof *o->names[i]);
	if (!o->mem || !o->part_sum || !o->all_sum || !o->names[0] || !o->names[1]) {
		o->err = -ENOMEM;
		return o->err;
	}
	if (EVP_DigestInit_ex(o->all_sum, EVP_sha256(), NULL) != 1)
		o->err = -EIO;
	(void)snprintf(o->head.version, sizeof o->head.version, "%s", STEAD_VERSION);
	(void)gethostname(o->head.host, sizeof o->head.host - 1);
	put(o, empty, sizeof empty, NULL);
	return o->err;
}

void archive_out_done(struct archive_out *o)
{
	EVP_MD_CTX_free(o->part_sum);
	EVP_MD_CTX_free(o->all_sum);
	free(o->names[0]);
	free(o->names[1]);
	free(o->mem);
	*o = (struct archive_out){.fd = -1};
}

static void put_record(struct archive_out *o, const struct archive_entry *e, uint64_t a, uint64_t b,
	EVP_MD_CTX *sum)
{
	uint8_t r[ARCHIVE_RECORD_BYTES] = {0};
	size_t path = strlen(e->path), target = strlen(e->target);

	r[0] = (uint8_t)e->kind;
	put_number(r + 2, e->mode, 2);
	put_number(r + 4, path, 2);
	put_number(r + 6, target, 2);
	put_number(r + 8, e->owner, 2);
	put_number(r + 10, e->group, 2);
	put_number(r + 16, e->changed_us, 8);
	put_number(r + 24, a, 8);
	put_number(r + 32, b, 8);
	put(o, r, sizeof r, sum);
	put(o, e->path, path, sum);
	put(o, e->target, target, sum);
}

void archive_put_part(struct archive_out *o, const char *name, const char *user)
{
	const struct archive_entry e = {.kind = ARCHIVE_PART, .path = name, .target = user};

	if (!o->err && EVP_DigestInit_ex(o->part_sum, EVP_sha256(), NULL) != 1)
		o->err = -EIO;
	o->part = (struct archive_part){.name = NULL};
	put_record(o, &e, 0, 0, o->part_sum);
}

static void put_sum(struct archive_out *o, EVP_MD_CTX *of, EVP_MD_CTX *into)
{
	uint8_t sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (!o->err && (EVP_DigestFinal_ex(of, sum, &n) != 1 || n != ARCHIVE_SUM_BYTES))
		o->err = -EIO;
	put(o, sum, ARCHIVE_SUM_BYTES, into);
}

void archive_put_part_end(struct archive_out *o)
{
	const struct archive_entry e = {.kind = ARCHIVE_PART_END, .path = "", .target = ""};

	put_record(o, &e, o->part.bytes, o->part.entries, o->part_sum);
	put_sum(o, o->part_sum, o->all_sum);
	o->parts++;
}

uint16_t archive_put_name(struct archive_out *o, unsigned group, const char *name)
{
	const struct archive_entry e = {
		.kind = ARCHIVE_NAME, .mode = (uint16_t)group, .path = name, .target = ""};
	unsigned n = o->names_n[group];

	if (o->err)
		return 0;
	for (unsigned i = n; i-- > 0;)
		if (strcmp(o->names[group][i], name) == 0)
			return (uint16_t)i;
	if (strlen(name) >= ARCHIVE_NAME_MAX || n == ARCHIVE_NAMES_MAX) {
		o->err = -EOVERFLOW;
		return 0;
	}
	memcpy(o->names[group][n], name, strlen(name) + 1);
	o->names_n[group]++;
	put_record(o, &e, 0, 0, o->part_sum);
	return (uint16_t)n;
}

void archive_put_entry(struct archive_out *o, const struct archive_entry *e)
{
	o->part.entries++;
	o->head.entries++;
	put_record(o, e, 0, 0, o->part_sum);
}

void archive_put_piece(struct archive_out *o, const void *p, size_t n)
{
	uint8_t word[8];

	if (n == 0)
		return;
	put_number(word, n, 8);
	put(o, word, sizeof word, o->part_sum);
	put(o, p, n, o->part_sum);
	o->part.bytes += n;
	o->head.content_bytes += n;
}

void archive_put_hole(struct archive_out *o, uint64_t n)
{
	uint8_t word[8];

	if (n == 0)
		return;
	put_number(word, n | ARCHIVE_PIECE_HOLE, 8);
	put(o, word, sizeof word, o->part_sum);
}

void archive_put_end(struct archive_out *o)
{
	static const uint8_t word[8];

	put(o, word, sizeof word, o->part_sum);
}

static void make_head(struct archive_out *o, uint8_t m[ARCHIVE_HEAD_BYTES])
{
	const struct archive_head *h = &o->head;
	unsigned n = 0;

	memset(m, 0, ARCHIVE_HEAD_BYTES);
	memcpy(m, "STEADB01", 8);
	put_number(m + 8, h->format, 4);
	put_number(m + 12, h->min_reader, 4);
	put_number(m + 16, h->file_bytes, 8);
	put_number(m + 24, h->content_bytes, 8);
	put_number(m + 32, h->entries, 8);
	put_number(m + 40, h->made_us, 8);
	memcpy(m + 48, h->version, sizeof h->version);
	memcpy(m + 48 + sizeof h->version, h->host, sizeof h->host);
	if (EVP_Digest(m, ARCHIVE_HEAD_BYTES - ARCHIVE_SUM_BYTES,
		    m + ARCHIVE_HEAD_BYTES - ARCHIVE_SUM_BYTES, &n, EVP_sha256(), NULL) != 1)
		o->err = -EIO;
}

int archive_out_close(struct archive_out *o)
{
	const struct archive_entry e = {.kind = ARCHIVE_END, .path = "", .target = ""};
	uint8_t head[ARCHIVE_HEAD_BYTES];

	/* How long it is going to be is part of the head, whose sum is part of the end. */
	o->head.file_bytes += ARCHIVE_RECORD_BYTES + ARCHIVE_SUM_BYTES;
	make_head(o, head);
	if (!o->err && EVP_DigestUpdate(o->all_sum, head, sizeof head) != 1)
		o->err = -EIO;
	put_record(o, &e, o->parts, 0, o->all_sum);
	put_sum(o, o->all_sum, NULL);
	flush(o);
	if (!o->err && pwrite(o->fd, head, sizeof head, 0) != (ssize_t)sizeof head)
		o->err = errno ? -errno : -EIO;
	if (!o->err && fsync(o->fd) < 0)
		o->err = -errno;
	return o->err;
}
