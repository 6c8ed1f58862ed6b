/*
 * read.c: an archive is read in whatever pieces it comes (archive.h).
 *
 * Called by check.c and unpack.c with bytes of a file that anybody may have made; every length is
 * bounded before it is used, and what is handed on is whole records. Sums are looked at when their
 * part is over: whoever acts on what he hears does it in a place of its own until archive_feed()
 * has said that all of it holds. Owns its sums.
 */
#include "archive.h"

#include <errno.h>
#include <string.h>

#include "lib/must.h"

enum { AT_HEAD, AT_RECORD, AT_TEXTS, AT_SUM, AT_PIECE, AT_DATA, AT_OVER };

static uint64_t number(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 8 | p[n];
	return v;
}

static int bad(struct archive_in *in, const char *why)
{
	in->why = why;
	return -EBADMSG;
}

int archive_in_init(struct archive_in *in, const struct archive_ops *ops, void *arg)
{
	memset(in, 0, sizeof *in);
	in->ops = ops;
	in->arg = arg;
	in->need = ARCHIVE_HEAD_BYTES;
	in->part_sum = EVP_MD_CTX_new();
	in->all_sum = EVP_MD_CTX_new();
	return in->part_sum && in->all_sum &&
			       EVP_DigestInit_ex(in->all_sum, EVP_sha256(), NULL) == 1
		       ? 0
		       : -ENOMEM;
}

void archive_in_done(struct archive_in *in)
{
	EVP_MD_CTX_free(in->part_sum);
	EVP_MD_CTX_free(in->all_sum);
	in->part_sum = in->all_sum = NULL;
}

bool archive_path_valid(const char *path)
{
	unsigned depth = 0;

	for (const char *part = path;; part++) {
		size_t n = strcspn(part, "/");

		if (n == 0 || n > 255 || ++depth > ARCHIVE_DEPTH_MAX ||
			(n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		part += n;
		if (!*part)
			return (size_t)(part - path) <= ARCHIVE_PATH_MAX;
	}
}

/* ---- the head ---- */

static bool text_valid(const char *p, size_t n)
{
	size_t len = strnlen(p, n);

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)p[i] < ' ' || (unsigned char)p[i] > '~')
			return false;
	return len < n;
}

static int on_head(struct archive_in *in)
{
	struct archive_head *h = &in->head;
	uint8_t sum[EVP_MAX_MD_SIZE];
	const uint8_t *m = in->mem;
	unsigned n = 0;

	if (memcmp(m, "STEADB01", 8) != 0)
		return bad(in, "it does not begin as a backup of stead does");
	if (EVP_Digest(m, ARCHIVE_HEAD_BYTES - ARCHIVE_SUM_BYTES, sum, &n, EVP_sha256(), NULL) !=
			1 ||
		memcmp(sum, m + ARCHIVE_HEAD_BYTES - ARCHIVE_SUM_BYTES, ARCHIVE_SUM_BYTES) != 0)
		return bad(in, "its head is damaged");
	h->format = (uint32_t)number(m + 8, 4);
	h->min_reader = (uint32_t)number(m + 12, 4);
	h->file_bytes = number(m + 16, 8);
	h->content_bytes = number(m + 24, 8);
	h->entries = number(m + 32, 8);
	h->made_us = number(m + 40, 8);
	memcpy(h->version, m + 48, sizeof h->version);
	memcpy(h->host, m + 48 + sizeof h->version, sizeof h->host);
	if (h->min_reader > ARCHIVE_FORMAT) {
		in->why = "a newer version of stead wrote it";
		return -EPROTONOSUPPORT;
	}
	if (h->min_reader == 0 || !text_valid(h->version, sizeof h->version) ||
		!text_valid(h->host, sizeof h->host))
		return bad(in, "its head is malformed");
	memcpy(in->head_mem, m, sizeof in->head_mem);
	in->at = AT_RECORD;
	in->need = ARCHIVE_RECORD_BYTES;
	return in->ops->head ? in->ops->head(in->arg, h) : 0;
}

/* ---- records ---- */

/* What comes behind a record that is done with. */
static int next_record(struct archive_in *in)
{
	in->at = AT_RECORD;
	in->have = 0;
	in->need = ARCHIVE_RECORD_BYTES;
	return 0;
}

static int on_record(struct archive_in *in)
{
	const uint8_t *m = in->mem;
	enum archive_kind kind = m[0];
	size_t path = number(m + 4, 2), target = number(m + 6, 2);
	bool texts = kind == ARCHIVE_NAME || kind == ARCHIVE_PART || kind == ARCHIVE_FOLDER ||
		     kind == ARCHIVE_FILE || kind == ARCHIVE_LINK;

	if (kind < ARCHIVE_NAME || kind > ARCHIVE_END || m[1])
		return bad(in, "a record is of no known kind");
	if ((kind == ARCHIVE_PART || kind == ARCHIVE_END) == in->in_part)
		return bad(in, "a record stands where it does not belong");
	if (path > ARCHIVE_PATH_MAX || target > ARCHIVE_PATH_MAX || (path > 0) != texts ||
		(kind == ARCHIVE_LINK && target == 0) ||
		(target > 0 && kind != ARCHIVE_LINK && kind != ARCHIVE_PART))
		return bad(in, "a record's texts are of a wrong length");
	if (kind == ARCHIVE_PART && EVP_DigestInit_ex(in->part_sum, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	if (kind == ARCHIVE_PART)
		in->part = (struct archive_part){.name = NULL};
	if (kind == ARCHIVE_PART_END || kind == ARCHIVE_END) {
		in->at = AT_SUM;
		in->need = ARCHIVE_RECORD_BYTES + ARCHIVE_SUM_BYTES;
		return 0;
	}
	in->at = AT_TEXTS;
	in->need = ARCHIVE_RECORD_BYTES + path + target;
	return 0;
}

/* A sum that has begun needs no memory and cannot fail. */
static void sum_of_part(struct archive_in *in, const void *p, size_t n)
{
	must(EVP_DigestUpdate(in->part_sum, p, n) == 1);
}

static int on_entry(struct archive_in *in)
{
	const uint8_t *m = in->mem;
	struct archive_entry e = {.kind = m[0],
		.mode = (uint16_t)(number(m + 2, 2) & 0777),
		.owner = (uint16_t)number(m + 8, 2),
		.group = (uint16_t)number(m + 10, 2),
		.changed_us = number(m + 16, 8),
		.path = in->path,
		.target = in->target};

	if (!archive_path_valid(in->path))
		return bad(in, "the path of an entry is malformed");
	if (e.owner >= in->names_n[0] || e.group >= in->names_n[1])
		return bad(in, "an entry belongs to nobody");
	in->entries++;
	in->part.entries++;
	in->file_bytes = 0;
	if (e.kind == ARCHIVE_FILE) {
		in->at = AT_PIECE;
		in->have = 0;
		in->need = 8;
	} else {
		(void)next_record(in);
	}
	return in->ops->entry ? in->ops->entry(in->arg, &e) : 0;
}

static int on_name(struct archive_in *in)
{
	unsigned group = (unsigned)number(in->mem + 2, 2);
	size_t n = strlen(in->path);

	(void)next_record(in);
	if (group > 1 || n >= ARCHIVE_NAME_MAX || !text_valid(in->path, n + 1) ||
		strpbrk(in->path, " :/") || in->names_n[group] == ARCHIVE_NAMES_MAX)
		return bad(in, "the name of a user or group is malformed");
	in->names_n[group]++;
	return in->ops->name ? in->ops->name(in->arg, group, in->path) : 0;
}

static int on_part(struct archive_in *in)
{
	size_t n = strlen(in->path), user = strlen(in->target);

	(void)next_record(in);
	_Static_assert(sizeof in->part_name >= sizeof in->path, "any path fits");
	if (user >= ARCHIVE_NAME_MAX || !text_valid(in->path, n + 1) || !text_valid(in->target, user + 1))
		return bad(in, "the name of a part is malformed");
	memcpy(in->part_name, in->path, n + 1);
	memcpy(in->part_user, in->target, user + 1);
	in->part.name = in->part_name;
	in->part.user = in->part_user;
	in->in_part = true;
	return in->ops->part ? in->ops->part(in->arg, &in->part) : 0;
}

static int on_texts(struct archive_in *in)
{
	size_t path = number(in->mem + 4, 2), target = number(in->mem + 6, 2);
	enum archive_kind kind = in->mem[0];

	memcpy(in->path, in->mem + ARCHIVE_RECORD_BYTES, path);
	memcpy(in->target, in->mem + ARCHIVE_RECORD_BYTES + path, target);
	in->path[path] = in->target[target] = '\0';
	if (strlen(in->path) != path || strlen(in->target) != target)
		return bad(in, "a text of a record is malformed");
	sum_of_part(in, in->mem, in->need);
	return kind == ARCHIVE_NAME   ? on_name(in)
	       : kind == ARCHIVE_PART ? on_part(in)
				      : on_entry(in);
}

/* ---- sums ---- */

static int on_part_end(struct archive_in *in)
{
	const uint8_t *told = in->mem + ARCHIVE_RECORD_BYTES;
	uint8_t sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	sum_of_part(in, in->mem, ARCHIVE_RECORD_BYTES);
	must(EVP_DigestFinal_ex(in->part_sum, sum, &n) == 1);
	must(EVP_DigestUpdate(in->all_sum, told, ARCHIVE_SUM_BYTES) == 1);
	if (memcmp(sum, told, ARCHIVE_SUM_BYTES) != 0)
		return bad(in, "a part is damaged");
	if (number(in->mem + 24, 8) != in->part.bytes ||
		number(in->mem + 32, 8) != in->part.entries)
		return bad(in, "a part has not what it says");
	memcpy(in->part.sum, told, ARCHIVE_SUM_BYTES);
	in->in_part = false;
	in->parts++;
	(void)next_record(in);
	return in->ops->part_end ? in->ops->part_end(in->arg, &in->part) : 0;
}

static int on_end(struct archive_in *in)
{
	uint8_t sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	must(EVP_DigestUpdate(in->all_sum, in->head_mem, sizeof in->head_mem) == 1);
	must(EVP_DigestUpdate(in->all_sum, in->mem, ARCHIVE_RECORD_BYTES) == 1);
	must(EVP_DigestFinal_ex(in->all_sum, sum, &n) == 1);
	if (memcmp(sum, in->mem + ARCHIVE_RECORD_BYTES, ARCHIVE_SUM_BYTES) != 0)
		return bad(in, "its end is damaged");
	if (number(in->mem + 24, 8) != in->parts || in->entries != in->head.entries ||
		in->content != in->head.content_bytes || in->read != in->head.file_bytes)
		return bad(in, "it has not what it says");
	in->at = AT_OVER;
	in->need = 0;
	return 0;
}

static int on_sum(struct archive_in *in)
{
	return in->mem[0] == ARCHIVE_END ? on_end(in) : on_part_end(in);
}

/* ---- what is in a file ---- */

static int on_piece(struct archive_in *in)
{
	uint64_t word = number(in->mem, 8), n = word & ~ARCHIVE_PIECE_HOLE;

	sum_of_part(in, in->mem, 8);
	in->have = 0;
	if (word == 0) {
		(void)next_record(in);
		return in->ops->end ? in->ops->end(in->arg) : 0;
	}
	if (n == 0 || n > ARCHIVE_FILE_MAX - in->file_bytes || (word == n && n > ARCHIVE_PIECE_MAX))
		return bad(in, "a piece of a file is of a wrong length");
	in->file_bytes += n;
	if (word != n)
		return in->ops->piece ? in->ops->piece(in->arg, NULL, n) : 0;
	in->at = AT_DATA;
	in->left = n;
	return 0;
}

static int on_data(struct archive_in *in, const uint8_t *p, size_t n)
{
	sum_of_part(in, p, n);
	in->left -= n;
	in->content += n;
	in->part.bytes += n;
	if (in->left == 0) {
		in->at = AT_PIECE;
		in->have = 0;
		in->need = 8;
	}
	return in->ops->piece ? in->ops->piece(in->arg, p, n) : 0;
}

static int step(struct archive_in *in)
{
	static int (*const steps[])(struct archive_in *) = {[AT_HEAD] = on_head,
		[AT_RECORD] = on_record,
		[AT_TEXTS] = on_texts,
		[AT_SUM] = on_sum,
		[AT_PIECE] = on_piece};
	int r = steps[in->at](in);

	/* A record goes on behind its fixed part; everything else begins anew. */
	if (in->at == AT_RECORD && r == 0)
		in->have = 0;
	return r;
}

int archive_feed(struct archive_in *in, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	int r = 0;

	while (n && r == 0) {
		size_t some;

		if (in->at == AT_OVER)
			return bad(in, "something stands behind its end");
		if (in->at == AT_DATA) {
			some = n < in->left ? n : (size_t)in->left;
			in->read += some;
			r = on_data(in, p, some);
		} else {
			must(in->need <= sizeof in->mem && in->have < in->need);
			some = min_of(n, in->need - in->have);
			memcpy(in->mem + in->have, p, some);
			in->have += some;
			in->read += some;
			if (in->have == in->need)
				r = step(in);
		}
		p += some;
		n -= some;
	}
	return r < 0 ? r : in->at == AT_OVER;
}
