/*
 * parts.c: several ranges of one file in one answer; see parts.h. Called by to_static.c. Owns nothing: what is under way
 * lies in the request's arena.
 */
#include "parts.h"
#include "lib/buf.h"
#include "lib/must.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PART_BYTES = 16 * 1024, PART_HEAD_MAX = 256 };

struct parts {
	const struct file *file;
	struct range range[RANGES_MAX];
	unsigned n, at;
	uint64_t done;  /* bytes of the part at hand */
	bool head_done; /* its head is out */
	char boundary[24];
	char piece[PART_BYTES];
	size_t piece_len, piece_at;
};

static int part_head(char *p, const struct parts *m)
{
	const struct range *g = &m->range[m->at];
	const struct file *f = m->file;
	struct buf b;

	buf_fixed(&b, p, PART_HEAD_MAX);
	buf_printf(&b,
		"\r\n--%s\r\nContent-Type: %s\r\nContent-Range: bytes %llu-%llu/%llu\r\n\r\n",
		m->boundary, f->type, (unsigned long long)g->from,
		(unsigned long long)(g->from + g->len - 1), (unsigned long long)f->size);
	return b.error ? -1 : (int)b.len;
}

/* Fill the next piece: a part's head, some of a part, or the end. False: the file could not be
 * read. */
static bool next_piece(struct parts *m)
{
	const struct range *g = &m->range[m->at];
	const struct file *f = m->file;
	size_t n;

	m->piece_at = 0;
	if (m->at == m->n) {
		m->piece_len = strlen(m->boundary) + 8;
		memcpy(m->piece, "\r\n--", 4);
		memcpy(m->piece + 4, m->boundary, m->piece_len - 8);
		memcpy(m->piece + m->piece_len - 4, "--\r\n", 4);
		m->at++;
		return true;
	}
	if (!m->head_done) {
		int len = part_head(m->piece, m);

		m->piece_len = len > 0 ? (size_t)len : 0;
		m->head_done = true;
		m->done = 0;
		return len > 0;
	}
	n = (size_t)min_of(g->len - m->done, (uint64_t)sizeof(m->piece));
	if (f->body) {
		memcpy(m->piece, f->body + g->from + m->done, n);
	} else {
		ssize_t got = pread(f->fd, m->piece, n, (off_t)(g->from + m->done));

		if (got <= 0)
			return false;
		n = (size_t)got;
	}
	m->piece_len = n;
	m->done += n;
	if (m->done == g->len) {
		m->at++;
		m->head_done = false;
	}
	return true;
}

void parts_push(struct req *r, struct parts *m)
{
	while (!r->ended && req_resp_room(r)) {
		bool last;
		size_t took;

		if (m->piece_at == m->piece_len && !next_piece(m)) {
			req_fail(r, CLOSE_FILE_ERROR, 0);
			return;
		}
		last = m->at > m->n;
		took = req_resp_body(r, m->piece + m->piece_at, m->piece_len - m->piece_at, last);
		m->piece_at += took;
		if (r->ended || !took)
			return;
	}
}

/* What all parts take, their heads too; 0: a head is too long. */
static uint64_t bytes_of(struct parts *m)
{
	uint64_t bytes = strlen(m->boundary) + 8;
	char head[PART_HEAD_MAX];

	for (m->at = 0; m->at < m->n; m->at++) {
		int len = part_head(head, m);

		if (len < 0)
			return 0;
		bytes += (uint64_t)len + m->range[m->at].len;
	}
	m->at = 0;
	return bytes;
}

struct parts *parts_begin(struct req *r, const struct file *file, const struct range *ranges, unsigned n,
	struct resp_head *h, struct field *type)
{
	struct parts *m = arena_zalloc(&r->arena, sizeof(*m));
	char *value;

	if (!m) {
		req_fail(r, CLOSE_NO_MEMORY, 0);
		return NULL;
	}
	m->file = file;
	m->n = n;
	memcpy(m->range, ranges, n * sizeof(*ranges));
	(void)snprintf(m->boundary, sizeof(m->boundary), "stead%016llx", (unsigned long long)r->id);
	h->content_length = (int64_t)bytes_of(m);
	value = arena_printf(&r->arena, "multipart/byteranges; boundary=%s", m->boundary);
	if (!h->content_length || !value) {
		req_fail(r, value ? CLOSE_FILE_ERROR : CLOSE_NO_MEMORY, 0);
		return NULL;
	}
	*type = (struct field){"Content-Type", value, 12, (uint32_t)strlen(value)};
	if (req_resp_head(r, h, r->method == METHOD_HEAD) == 0)
		parts_push(r, m);
	return m;
}
