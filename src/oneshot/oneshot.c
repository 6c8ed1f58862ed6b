/*
 * oneshot.c: the conversation of a one-shot process with ctl (oneshot.h). Called by the entries of
 * db, build and act; owns the channel; never starts programs or touches files.
 */
#include "oneshot.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"

int failure_set(
	struct failure *f, int err, unsigned exit_code, const char *todo, const char *fmt, ...)
{
	va_list ap;

	if (f->err)
		return -f->err;
	f->err = err ? err : EIO;
	f->exit_code = exit_code;
	va_start(ap, fmt);
	(void)vsnprintf(f->text, sizeof f->text, fmt, ap);
	va_end(ap);
	(void)snprintf(f->todo, sizeof f->todo, "%s", todo);
	return -f->err;
}

int oneshot_open(struct oneshot *o, int fd, enum proc role)
{
	struct msg_hello hello = {.min = MSG_MAJOR_MIN, .max = MSG_MAJOR_MAX, .role = role};
	struct msg_hello peer;
	int r;

	*o = (struct oneshot){.fd = fd, .role = role};
	o->mem = malloc(CHAN_PAYLOAD_MAX);
	if (!o->mem)
		return -ENOMEM;
	(void)snprintf(hello.build, sizeof hello.build, "%s", STEAD_VERSION);
	r = chan_send_blocking(fd, MSG_HELLO, 0, &hello, sizeof hello, NULL, 0, NULL, 0);
	if (r < 0)
		return r;
	r = chan_recv_blocking(fd, &o->ask, o->mem);
	if (r < 0)
		return r;
	if (o->ask.h.type != MSG_HELLO || o->ask.nfds != 0)
		return -EPROTO;
	r = msg_get(&o->ask, &peer, sizeof peer, sizeof peer);
	if (r < 0)
		return r;
	return peer.min <= MSG_MAJOR_MAX && peer.max >= MSG_MAJOR_MIN ? 0 : -EPROTO;
}

int oneshot_receive(struct oneshot *o, uint16_t type)
{
	return oneshot_receive_from(o, PROC_CTL, type);
}

int oneshot_receive_from(struct oneshot *o, enum proc from, uint16_t type)
{
	int r = chan_recv_blocking(o->fd, &o->ask, o->mem);

	if (r < 0)
		return r;
	if ((type && o->ask.h.type != type) ||
		!msg_allowed(from, o->role, o->ask.h.type, o->ask.h.len, o->ask.nfds))
		r = -EPROTO;
	for (unsigned i = 0; r < 0 && i < o->ask.nfds; i++)
		(void)close(msg_take_fd(&o->ask, i));
	if (r < 0)
		return r;
	o->id = o->ask.h.id;
	return 0;
}

void oneshot_step(struct oneshot *o, uint32_t permille, const char *fmt, ...)
{
	char text[512];
	struct buf b;
	va_list ap;

	if (o->gone)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	buf_init(&b, CHAN_PAYLOAD_MAX);
	pack_str(&b, text);
	pack_u32(&b, permille);
	if (b.error ||
		chan_send_blocking(o->fd, MSG_DB_STEP, o->id, b.p, b.len, NULL, 0, NULL, 0) < 0)
		o->gone = true;
	buf_done(&b);
}

int oneshot_end(struct oneshot *o, uint16_t type, const struct failure *f, const char *result)
{
	struct msg_end end = {.err = (uint32_t)f->err, .exit_code = f->err ? f->exit_code : 0};
	struct buf b;
	int r;

	buf_init(&b, CHAN_PAYLOAD_MAX - sizeof end);
	pack_str(&b, f->err ? f->text : "");
	pack_str(&b, f->err ? f->todo : "");
	pack_str(&b, result);
	r = b.error ? b.error
		    : chan_send_blocking(o->fd, type, o->id, &end, sizeof end, b.p, b.len, NULL, 0);
	buf_done(&b);
	return r;
}

void oneshot_close(struct oneshot *o)
{
	free(o->mem);
	o->mem = NULL;
	if (o->fd >= 0)
		(void)close(o->fd);
	o->fd = -1;
}
