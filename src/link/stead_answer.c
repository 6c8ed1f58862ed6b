/*
 * stead_answer.c: libstead's answers: a head that is collected, a body in pieces or whole or from a
 * file, the end.
 *
 * Called by the app's own code. The head is kept as bytes of struct link_head and goes with the
 * first piece of the body, so that an answer of one piece is one frame. What was promised by
 * Content-Length is kept account of here, so that the app learns of its mistake; the gate counts
 * again.
 */
#include "stead_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void stead_answer_reset(struct stead_req *r)
{
	r->head_len = 0;
	r->nheaders = 0;
	r->status = 200;
	r->knows_method = r->head_sent = r->ended = r->mute = false;
	r->length = -1;
	r->sent = 0;
}

/* Is it a HEAD? Without taking the whole request apart for it. */
static bool is_head(struct stead_req *r)
{
	size_t n;
	const char *p, *end;

	if (r->knows_method)
		return r->is_head;
	r->knows_method = true;
	if (r->parsed)
		return r->is_head = strcmp(stead_method(r), "HEAD") == 0;
	r->is_head = false;
	p = link_req_env(r->link, &n);
	end = p + n;
	while ((size_t)(end - p) >= sizeof(struct link_env_entry)) {
		struct link_env_entry e;
		size_t left;

		memcpy(&e, p, sizeof(e));
		p += sizeof(e);
		left = (size_t)(end - p);
		if (e.name_len > left || e.value_len > left - e.name_len)
			break;
		p += e.name_len;
		if (e.code == ENV_METHOD)
			return r->is_head = e.value_len == 4 && memcmp(p, "HEAD", 4) == 0;
		p += e.value_len;
	}
	return false;
}

/* Room for n more bytes of the head; NULL: *err says why. */
static char *head_room(struct stead_req *r, size_t n, int *err)
{
	*err = -EMSGSIZE;
	if (n > STEAD_HEAD_MAX - r->head_len)
		return NULL;
	if (r->head_len + n > r->head_cap) {
		size_t cap = r->head_cap ? r->head_cap * 2 : 1024;
		char *more;

		while (cap < r->head_len + n)
			cap *= 2;
		more = realloc(r->head, cap);
		*err = -ENOMEM;
		if (!more)
			return NULL;
		r->head = more;
		r->head_cap = cap;
	}
	*err = 0;
	return r->head + r->head_len;
}

static int head_begin(struct stead_req *r, unsigned status, const char *reason, size_t n)
{
	struct link_head h = {
		.status = (uint16_t)status, .reason_len = (uint32_t)n, .content_length = -1};
	char *at;
	int err;

	r->head_len = 0;
	r->nheaders = 0;
	r->length = -1;
	r->status = status;
	at = head_room(r, sizeof(h) + n, &err);
	if (!at)
		return err;
	memcpy(at, &h, sizeof(h));
	if (n)
		memcpy(at + sizeof(h), reason, n);
	r->head_len = sizeof(h) + n;
	return 0;
}

/* May the head still be changed? */
static int head_open(const struct stead_req *r)
{
	if (!r || !r->link)
		return -EINVAL;
	return r->head_sent || r->ended ? -EALREADY : 0;
}

int stead_status(struct stead_req *r, unsigned status, const char *reason)
{
	size_t n = reason ? strlen(reason) : 0;
	int err = head_open(r);

	if (err)
		return err;
	if (status < 200 || status > 999 || n > 1000 ||
		!link_field_value_ok(reason ? reason : "", n))
		return -EINVAL;
	return head_begin(r, status, reason, n);
}

int stead_header(struct stead_req *r, const char *name, const char *value)
{
	size_t name_len = name ? strlen(name) : 0, n = value ? strlen(value) : 0;
	struct {
		uint16_t name_len, zero;
		uint32_t value_len;
	} head = {(uint16_t)name_len, 0, (uint32_t)n};
	int err = head_open(r);
	char *at;

	if (err)
		return err;
	if (!name || !value || name_len > 1000 || !link_field_name_ok(name, name_len) ||
		!link_field_value_ok(value, n))
		return -EINVAL;
	if (!r->head_len && (err = head_begin(r, 200, NULL, 0)) < 0)
		return err;
	if (name_len == 14 && strcasecmp(name, "content-length") == 0) {
		int64_t length = link_field_length(value, n);

		if (length < 0)
			return -EINVAL;
		r->length = length;
		return 0;
	}
	if (r->nheaders == STEAD_FIELDS_MAX)
		return -EMSGSIZE;
	if (n > STEAD_HEAD_MAX)
		return -EMSGSIZE;
	at = head_room(r, sizeof(head) + name_len + n, &err);
	if (!at)
		return err;
	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), name, name_len);
	memcpy(at + sizeof(head) + name_len, value, n);
	r->head_len += sizeof(head) + name_len + n;
	r->nheaders++;
	return 0;
}

/* All that is known of the head is in its bytes. */
static int head_close(struct stead_req *r)
{
	struct link_head h;
	int err = 0;

	if (!r->head_len)
		err = head_begin(r, 200, NULL, 0);
	if (err)
		return err;
	memcpy(&h, r->head, sizeof(h));
	h.nfields = (uint16_t)r->nheaders;
	h.content_length = r->length;
	memcpy(r->head, &h, sizeof(h));
	r->mute = is_head(r) || r->status == 204 || r->status == 304;
	return 0;
}

enum how { PIECE, LAST, WHOLE };

/* One frame. */
static int push_once(struct stead_req *r, const char *p, size_t n, enum how how, size_t *took)
{
	const void *head = r->head_sent ? NULL : r->head;
	size_t head_len = r->head_sent ? 0 : r->head_len;

	if (how == WHOLE)
		return link_req_whole(r->link, head, head_len, p, n, took);
	if (head)
		return link_req_head(r->link, head, head_len, p, n, how == LAST, took);
	return link_req_body(r->link, p, n, how == LAST, took);
}

/* The same until it went, or with STEAD_NONBLOCK once. */
static int push(struct stead_req *r, const char *p, size_t n, enum how how, size_t *took)
{
	int res;

	for (;;) {
		uint64_t seen;

		res = push_once(r, p, n, how, took);
		if (res != -EAGAIN || r->s->nonblock)
			break;
		seen = link_worker_seen(r->s->worker);
		res = push_once(r, p, n, how, took);
		if (res != -EAGAIN)
			break;
		res = link_worker_wait(r->s->worker, seen);
		if (res < 0 && res != -EINTR)
			break;
	}
	if (res == 0) {
		r->head_sent = true;
		r->sent += *took;
		r->ended = link_req_ended(r->link);
	}
	return res;
}

/* The answer has no body: head and end. */
static int push_mute(struct stead_req *r)
{
	size_t took;

	return r->head_sent ? 0 : push(r, NULL, 0, LAST, &took);
}

/* Before each piece. */
static int piece_check(struct stead_req *r, const void *p, size_t n)
{
	if (!r || !r->link || (!p && n))
		return -EINVAL;
	if (r->ended && !r->mute)
		return -EALREADY;
	if (r->length >= 0 && n > (uint64_t)r->length - r->sent)
		return -EMSGSIZE;
	return r->head_sent ? 0 : head_close(r);
}

ssize_t stead_write(struct stead_req *r, const void *p, size_t n)
{
	const char *from = p ? p : "";
	size_t done = 0, took;
	int res = piece_check(r, p, n);

	if (res < 0)
		return res;
	if (r->mute) {
		res = push_mute(r);
		r->sent += res < 0 ? 0 : n;
		return res < 0 ? res : (ssize_t)n;
	}
	while (done < n || !r->head_sent) {
		res = push(r, from + done, n - done, PIECE, &took);
		if (res < 0)
			return done ? (ssize_t)done : res;
		done += took;
		if (r->s->nonblock)
			break;
	}
	return n && !done ? -EAGAIN : (ssize_t)done;
}

/* Fewer bytes than were promised: the client must not take it for whole. */
static int cut(struct stead_req *r)
{
	int res = stead_fail(r);

	return res < 0 && res != -EPIPE ? res : -ENODATA;
}

int stead_end(struct stead_req *r)
{
	size_t took;
	int res = piece_check(r, NULL, 0);

	if (res < 0)
		return res;
	if (r->mute)
		return push_mute(r);
	if (r->length >= 0 && r->sent < (uint64_t)r->length)
		return cut(r);
	return push(r, NULL, 0, LAST, &took);
}

int stead_send(struct stead_req *r, const void *p, size_t n)
{
	const char *from = p ? p : "";
	size_t took;
	int res;

	/* What a HEAD is told of the body's length is what a GET gets. */
	if (r && r->link && !r->head_sent && r->length < 0 && r->status != 204 &&
		r->status != 304) {
		res = r->head_len ? 0 : head_begin(r, 200, NULL, 0);
		if (res < 0)
			return res;
		r->length = (int64_t)n;
	}
	res = piece_check(r, p, n);
	if (res < 0)
		return res;
	if (r->mute)
		return push_mute(r);
	if (r->length >= 0 && n < (uint64_t)r->length - r->sent)
		return cut(r);
	if (r->s->nonblock)
		return push(r, from, n, WHOLE, &took);
	while (!r->ended) {
		res = push(r, from, n, LAST, &took);
		if (res < 0)
			return res;
		from += took;
		n -= took;
	}
	return 0;
}

static int push_file(struct stead_req *r, int fd, uint64_t off, uint64_t len)
{
	for (;;) {
		uint64_t seen = link_worker_seen(r->s->worker);
		int res = link_req_file(r->link, fd, off, len);

		if (res == -EAGAIN && !r->s->nonblock)
			res = link_worker_wait(r->s->worker, seen);
		else
			return res;
		if (res < 0 && res != -EINTR)
			return res;
	}
}

int stead_file(struct stead_req *r, int fd, uint64_t off, uint64_t len)
{
	size_t took;
	int res;

	if (!r || !r->link || !link_file_good(fd, off, len))
		return -EINVAL;
	if (!r->head_sent && r->length < 0) {
		res = r->head_len ? 0 : head_begin(r, 200, NULL, 0);
		if (res < 0)
			return res;
		r->length = (int64_t)len;
	}
	res = piece_check(r, "", 0);
	if (res < 0)
		return res;
	if (r->mute)
		return push_mute(r);
	if (r->length >= 0 && len != (uint64_t)r->length - r->sent)
		return len > (uint64_t)r->length - r->sent ? -EMSGSIZE : cut(r);
	if (!len)
		return stead_end(r);
	if (!r->head_sent) {
		res = push(r, NULL, 0, PIECE, &took);
		if (res < 0)
			return res;
	}
	res = push_file(r, fd, off, len);
	if (res == 0) {
		r->sent += len;
		r->ended = true;
	}
	return res;
}

int stead_fail(struct stead_req *r)
{
	if (!r || !r->link)
		return -EINVAL;
	while (!link_req_ended(r->link)) {
		uint64_t seen = link_worker_seen(r->s->worker);
		int res = link_req_fail(r->link);

		if (res == -EAGAIN && !r->s->nonblock)
			res = link_worker_wait(r->s->worker, seen);
		if (res < 0 && res != -EINTR)
			return res;
	}
	r->ended = true;
	return 0;
}
