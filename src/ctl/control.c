/*
 * control.c: STATE/control, a unix stream socket: one JSON object per line each way.
 *
 * Called by the loop, and by whoever answers a client. Owns the clients and what they have not read
 * yet, bounded; a client that does not read loses its connection and nobody waits for it. Who may speak here and what
 * he may ask is people.c's to say, by the peer's credentials; where root runs the instance everybody may connect.
 */
#include "ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const char fresh[] = "control.new";

/* Bound under another name and renamed, so that whoever sees the file can connect. The folder's
 * path may be longer than a socket address takes: it is reached through its descriptor. */
static int bind_socket(struct ctl *c, int fd)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	(void)snprintf(
		addr.sun_path, sizeof addr.sun_path, "/proc/self/fd/%d/%s", c->state_fd, fresh);
	if (unlinkat(c->state_fd, fresh, 0) < 0 && errno != ENOENT)
		return -errno;
	if (bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 ||
		fchmodat(c->state_fd, fresh, c->start.root ? 0666 : 0600, 0) < 0 || listen(fd, 16) < 0 ||
		renameat(c->state_fd, fresh, c->state_fd, "control") < 0)
		return -errno;
	return 0;
}

int control_open(struct ctl *c)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;

	if (fd < 0)
		return -errno;
	err = bind_socket(c, fd);
	if (err == 0)
		err = loop_add(c->loop, &c->listener, fd);
	if (err < 0) {
		close(fd);
		return err;
	}
	c->accept.kind = OP_ACCEPT;
	loop_accept(c->loop, &c->listener, &c->accept);
	return 0;
}

void control_close(struct ctl *c)
{
	/* Behind one that the parent ends comes the next, who puts his own in its place: whoever asks meanwhile is told that nobody
	 * listens yet, and not that there is no stead. When all of it ends the parent takes it away. */
	if (c->listener.fd >= 0 && (!c->told || c->stopping))
		(void)unlinkat(c->state_fd, "control", 0);
	loop_close(c->loop, &c->listener);
}

/* Is there a place for him? Nobody but the owner can take all of them. */
static bool has_place(const struct ctl *c, const struct peer *p)
{
	unsigned his = 0;

	if (p->who == WHO_OWNER)
		return c->clients_n < CTL_CLIENTS_MAX;
	for (const struct client *cl = c->clients; cl; cl = cl->next)
		his += cl->peer.uid == p->uid;
	return his < CTL_CLIENTS_EACH && c->clients_n < CTL_CLIENTS_MAX - CTL_CLIENTS_OWNERS;
}

/* He is told, as far as his socket takes it at once, and holds no place. */
static void turn_away(int fd, const struct peer *p, bool busy)
{
	char line[1024];
	ssize_t sent;

	people_refuse(p, busy, line, sizeof line);
	sent = send(fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)sent;
	close(fd);
}

static struct client *client_new(struct ctl *c, int fd)
{
	struct client *cl = calloc(1, sizeof *cl);

	if (!cl)
		return NULL;
	cl->ctl = c;
	cl->lfd.fd = -1;
	cl->recv.kind = OP_CLIENT_RECV;
	cl->send.op.kind = OP_CLIENT_SEND;
	cl->timer.op.kind = OP_CLIENT_TIMER;
	buf_init(&cl->in, REQUEST_BYTES_MAX + 1);
	buf_init(&cl->out, CTL_CLIENT_OUT_MAX);
	buf_init(&cl->lent, CTL_CLIENT_OUT_MAX);
	if (loop_add(c->loop, &cl->lfd, fd) < 0) {
		free(cl);
		return NULL;
	}
	cl->next = c->clients;
	c->clients = cl;
	c->clients_n++;
	return cl;
}

void control_on_accept(struct loop *l, struct op *op, int res)
{
	struct ctl *c = container_of(op, struct ctl, accept);
	struct client *cl = NULL;
	struct peer peer;

	if (res >= 0) {
		people_peer(c, res, &peer);
		if (peer.who != WHO_END && has_place(c, &peer))
			cl = client_new(c, res);
		if (cl) {
			cl->peer = peer;
			loop_recv(l, &cl->lfd, &cl->recv);
		} else {
			turn_away(res, &peer, peer.who != WHO_END);
		}
	}
	loop_accept(l, &c->listener, &c->accept);
}

static void client_free(struct client *cl)
{
	struct ctl *c = cl->ctl;
	struct client **at = &c->clients;

	while (*at != cl)
		at = &(*at)->next;
	*at = cl->next;
	c->clients_n--;
	logs_stop(cl);
	json_decref(cl->lines);
	up_client_gone(c, cl);
	backup_gone(c, cl);
	alert_test_gone(c, cl);
	loop_timer_stop(c->loop, &cl->timer);
	loop_close(c->loop, &cl->lfd);
	buf_done(&cl->in);
	request_done(&cl->req);
	buf_done(&cl->out);
	buf_done(&cl->lent);
	buf_done(&cl->text);
	free(cl);
}

/* Send what waits. The client may be marked closed; it is freed by its receive, never here. */
static void push(struct client *cl)
{
	while (!cl->sending && !cl->closed && cl->out.len) {
		struct buf empty = cl->lent;
		int err;

		cl->lent = cl->out;
		cl->out = empty;
		buf_reset(&cl->out);
		cl->send.iov[0] = (struct iovec){cl->lent.p, cl->lent.len};
		cl->send.iovcnt = 1;
		err = loop_send(cl->ctl->loop, &cl->lfd, &cl->send);
		cl->sending = err == -EINPROGRESS;
		if (err < 0 && err != -EINPROGRESS)
			cl->closed = true;
	}
	/* A dead connection completes its receive at once. */
	if (cl->closed)
		(void)loop_sys_shutdown(cl->ctl->loop, cl->lfd.fd, SHUT_RDWR);
}

void client_on_send(struct loop *l, struct op *op, int res)
{
	struct client *cl = container_of(op, struct client, send.op);

	(void)l;
	cl->sending = false;
	if (res < 0)
		cl->closed = true;
	push(cl);
	if (cl->telling)
		metrics_more(cl);
}

void client_say_text(struct client *cl, const char *text, size_t n)
{
	if (!cl || cl->ended || cl->closed)
		return;
	buf_put(&cl->out, text, n);
	buf_putc(&cl->out, '\n');
	if (cl->out.error)
		cl->closed = true;
	push(cl);
}

void client_say(struct client *cl, json_t *object)
{
	char *text = cl && object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	if (text)
		client_say_text(cl, text, strlen(text));
	free(text);
}

void client_progress(struct client *cl, const char *step, const char *text, uint32_t permille)
{
	json_t *o = json_pack("{s:s, s:s, s:s?}", "event", "progress", "step", step, "text", text);

	if (o && permille <= 1000)
		(void)json_object_set_new(o, "permille", json_integer(permille));
	client_say(cl, o);
}

void client_finding(struct client *cl, unsigned level, const char *file, unsigned line,
	unsigned col, const char *text, const char *todo)
{
	client_say(cl, json_pack("{s:s, s:i, s:s?, s:i, s:i, s:s?, s:s?}", "event", "finding",
			       "level", (int)level, "file", file, "line", (int)line, "column",
			       (int)col, "text", text, "todo", todo));
}

void client_end(
	struct client *cl, unsigned exit_code, const char *error, const char *todo, json_t *more)
{
	json_t *o = json_pack("{s:s, s:i}", "event", "end", "exit", (int)exit_code);

	if (o && error && *error)
		(void)json_object_set_new(o, "error", json_string(error));
	if (o && todo && *todo)
		(void)json_object_set_new(o, "todo", json_string(todo));
	if (o && more)
		(void)json_object_update(o, more);
	json_decref(more);
	client_say(cl, o);
	if (cl)
		cl->ended = true;
}

static void take_request(struct client *cl, size_t n)
{
	const char *why;

	cl->asked = true;
	if (request_parse(cl->in.p, n, &cl->req, &why) < 0)
		client_end(cl, VERB_EXIT_USAGE, why, "use the `stead` command of the same version",
			NULL);
	else if (people_may(cl))
		verbs_run(cl);
}

void client_on_recv(struct loop *l, struct op *op, int res)
{
	struct client *cl = container_of(op, struct client, recv);
	const char *end;

	if (res <= 0 || cl->closed) {
		client_free(cl);
		return;
	}
	/* One request a connection: what comes behind it is read and dropped. */
	if (!cl->asked) {
		buf_put(&cl->in, op->buf, (size_t)res);
		end = cl->in.len ? memchr(cl->in.p, '\n', cl->in.len) : NULL;
		if (end)
			take_request(cl, (size_t)(end - cl->in.p));
		else if (cl->in.error)
			take_request(cl, REQUEST_BYTES_MAX + 1);
	}
	if (cl->handed) {
		client_free(cl);
		return;
	}
	loop_recv(l, &cl->lfd, &cl->recv);
}
