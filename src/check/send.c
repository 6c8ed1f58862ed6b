/*
 * send.c: check's side of the channel: HELLO, the question, the answer.
 *
 * Called by main.c. Owns nothing. The answer is every value and finding of the conf, then
 * CHECK_END.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "lib/must.h"

int check_open(struct check *k, char *mem)
{
	struct msg_hello hello = {.min = MSG_MAJOR_MIN, .max = MSG_MAJOR_MAX, .role = PROC_CHECK};
	struct msg_hello peer;
	struct msg m;
	int r;

	(void)snprintf(hello.build, sizeof(hello.build), "%s", STEAD_VERSION);
	r = chan_send_blocking(k->fd, MSG_HELLO, 0, &hello, sizeof(hello), NULL, 0, NULL, 0);
	if (r == 0)
		r = chan_recv_blocking(k->fd, &m, mem);
	if (r == 0 && m.h.type != MSG_HELLO)
		r = -EPROTO;
	if (r == 0)
		r = msg_get(&m, &peer, sizeof(peer), sizeof(peer));
	if (r < 0)
		return r;
	return peer.min <= MSG_MAJOR_MAX && peer.max >= MSG_MAJOR_MIN ? 0 : -EPROTO;
}

int check_receive(struct check *k, struct msg *ret_msg, char *mem)
{
	int r = chan_recv_blocking(k->fd, ret_msg, mem);

	if (r < 0)
		return r;
	if (!msg_allowed(PROC_CTL, PROC_CHECK, ret_msg->h.type, ret_msg->h.len, ret_msg->nfds) ||
		ret_msg->h.type != MSG_CHECK_ASK)
		return -EPROTO;
	k->id = ret_msg->h.id;
	return 0;
}

static int send_buf(struct check *k, uint16_t type, struct buf *b)
{
	int r = b->error != 0
			? b->error
			: chan_send_blocking(k->fd, type, k->id, b->p, b->len, NULL, 0, NULL, 0);

	buf_reset(b);
	return r;
}

static int send_value(struct check *k, enum conf_section section, const char *arg,
	const struct conf_value *v, struct buf *b)
{
	pack_str(b, section_rows[section].name);
	pack_str(b, arg);
	pack_str(b, conf_rows[v->key].key);
	pack_str(b, v->text);
	pack_str(b, conf_origin_names[v->origin]);
	pack_str(b, v->pos.file);
	pack_u32(b, v->pos.line);
	pack_u32(b, v->pos.col);
	return send_buf(k, MSG_CHECK_VALUE, b);
}

static int send_finding(struct check *k, const struct conf_finding *f, struct buf *b)
{
	buf_reset(b);
	pack_u32(b, f->level);
	pack_str(b, f->pos.file);
	pack_u32(b, f->pos.line);
	pack_u32(b, f->pos.col);
	pack_str(b, f->text);
	pack_str(b, f->todo);
	return send_buf(k, MSG_CHECK_FINDING, b);
}

static int send_scope(struct check *k, const struct conf_scope *s, struct buf *b)
{
	int r = 0;

	for (enum conf_key i = 0; i < CONF_END && r == 0; i++)
		for (const struct conf_value *v = conf_scope_get(s, i); v != NULL && r == 0;
			v = v->next)
			r = send_value(k, conf_scope_section(s), conf_scope_arg(s), v, b);
	return r;
}

int check_send_finding(struct check *k, const struct conf_finding *f)
{
	struct buf b;
	int r;

	buf_init(&b, CHAN_PAYLOAD_MAX);
	r = send_finding(k, f, &b);
	buf_done(&b);
	return r;
}

int check_flush_sites(struct check *k, struct buf *records)
{
	return records->len > 0 ? send_buf(k, MSG_CHECK_SITES, records) : 0;
}

/* One more record, behind the others or in a message of its own. */
static int put_record(struct check *k, struct buf *records, const struct buf *one)
{
	int r = one->error;

	if (r == 0 && records->len + one->len > CHAN_PAYLOAD_MAX)
		r = check_flush_sites(k, records);
	buf_put(records, one->p, one->len);
	return r < 0 ? r : records->error;
}

/* Defaults are the receiver's own. */
static int put_values(struct check *k, struct buf *records, struct buf *one,
	enum conf_section section, const char *arg, const struct conf_value *v)
{
	int r = 0;

	for (; v != NULL && r == 0; v = v->next) {
		if (v->origin == CONF_FROM_DEFAULT)
			continue;
		buf_reset(one);
		pack_u32(one, SITE_RECORD_VALUE);
		pack_str(one, section_rows[section].name);
		pack_str(one, arg);
		pack_str(one, conf_rows[v->key].key);
		pack_str(one, v->text);
		pack_u32(one, v->pos.line);
		pack_u32(one, v->pos.col);
		r = put_record(k, records, one);
	}
	return r;
}

int check_send_site(struct check *k, struct buf *records, const struct conf *c, const char *file)
{
	struct buf one;
	int r;

	buf_init(&one, CHAN_PAYLOAD_MAX);
	pack_u32(&one, SITE_RECORD_FILE);
	pack_str(&one, file);
	r = put_record(k, records, &one);
	for (enum conf_key i = 0; i < CONF_END && r == 0 && conf_errors(c) == 0; i++)
		r = put_values(k, records, &one, (enum conf_section)conf_rows[i].section, "",
			conf_get(c, i));
	for (const struct conf_scope *s = NULL;
		r == 0 && conf_errors(c) == 0 && (s = conf_scope_next(c, s));)
		for (enum conf_key i = 0; i < CONF_END && r == 0; i++)
			r = put_values(k, records, &one, conf_scope_section(s), conf_scope_arg(s),
				conf_scope_get(s, i));
	buf_reset(&one);
	pack_u32(&one, SITE_RECORD_END);
	pack_u32(&one, conf_errors(c));
	if (r == 0)
		r = put_record(k, records, &one);
	buf_done(&one);
	return r;
}

int check_answer(struct check *k)
{
	struct buf b;
	int r = 0;

	buf_init(&b, CHAN_PAYLOAD_MAX);
	for (enum conf_key i = 0; i < CONF_END && r == 0; i++)
		for (const struct conf_value *v = conf_get(k->conf, i); v != NULL && r == 0;
			v = v->next)
			r = send_value(k, (enum conf_section)conf_rows[i].section, "", v, &b);
	for (const struct conf_scope *s = NULL; r == 0 && (s = conf_scope_next(k->conf, s));)
		r = send_scope(k, s, &b);
	for (const struct conf_finding *f = conf_findings(k->conf); f != NULL && r == 0;
		f = f->next)
		r = send_finding(k, f, &b);
	buf_done(&b);
	return r;
}

int check_end(struct check *k)
{
	bool bad = conf_errors(k->conf) > 0;
	struct msg_end end = {
		.err = bad ? EINVAL : 0, .exit_code = bad ? VERB_EXIT_USAGE : VERB_EXIT_DONE};

	return chan_send_blocking(k->fd, MSG_CHECK_END, k->id, &end, sizeof(end), NULL, 0, NULL, 0);
}
