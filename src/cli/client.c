/*
 * client.c: the CLI's end of the control socket: one JSON object per line each way.
 *
 * Called by the verbs. Owns the connection and what was read ahead.
 */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 8 * 1024 * 1024 };

int client_connect(struct client *cl, const char *state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int dir, err = 0;

	*cl = (struct client){.fd = -1};
	/* The folder's path may be longer than a socket's address takes. */
	dir = open(state, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	(void)snprintf(addr.sun_path, sizeof addr.sun_path, "/proc/self/fd/%d/control", dir);
	cl->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (cl->fd < 0 || connect(cl->fd, (struct sockaddr *)&addr, sizeof addr) < 0)
		err = -errno;
	close(dir);
	if (err)
		client_close(cl);
	return err;
}

void client_close(struct client *cl)
{
	if (cl->fd >= 0)
		close(cl->fd);
	free(cl->mem);
	*cl = (struct client){.fd = -1};
}

int client_ask(struct client *cl, json_t *request)
{
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	size_t n = text ? strlen(text) : 0, at = 0;
	int err = text ? 0 : -ENOMEM;

	json_decref(request);
	if (text)
		text[n++] = '\n'; /* in the place of its NUL */
	while (!err && at < n) {
		ssize_t got = send(cl->fd, text + at, n - at, MSG_NOSIGNAL);

		if (got > 0)
			at += (size_t)got;
		else if (errno == EPIPE || errno == ECONNRESET)
			break; /* turned away: the answer is there already */
		else if (errno != EINTR)
			err = -errno;
	}
	free(text);
	return err;
}

/* A whole line that was read already: 1, else 0. */
static int take_line(struct client *cl, json_t **ret_object)
{
	char *from, *nl;

	if (cl->len <= cl->at)
		return 0;
	from = cl->mem + cl->at;
	nl = memchr(from, '\n', cl->len - cl->at);
	if (!nl)
		return 0;
	cl->at = (size_t)(nl - cl->mem) + 1;
	*ret_object = json_loadb(from, (size_t)(nl - from), 0, NULL);
	if (!*ret_object)
		*ret_object =
			json_pack("{s:s, s:s%}", "kind", "app", "text", from, (size_t)(nl - from));
	return *ret_object ? 1 : -EPROTO;
}

static int read_more(struct client *cl)
{
	ssize_t n;

	if (cl->at) {
		memmove(cl->mem, cl->mem + cl->at, cl->len - cl->at);
		cl->len -= cl->at;
		cl->at = 0;
	}
	if (cl->cap - cl->len < 4096) {
		size_t cap = cl->cap ? cl->cap * 2 : 65536;
		char *mem = cap <= LINE_MAX_BYTES ? realloc(cl->mem, cap) : NULL;

		if (!mem)
			return -EMSGSIZE;
		cl->mem = mem;
		cl->cap = cap;
	}
	do
		n = recv(cl->fd, cl->mem + cl->len, cl->cap - cl->len, 0);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		cl->len += (size_t)n;
	return n < 0 ? -errno : n > 0;
}

int client_next(struct client *cl, int timeout_ms, json_t **ret_object)
{
	for (;;) {
		struct pollfd pfd = {.fd = cl->fd, .events = POLLIN};
		int got = take_line(cl, ret_object);

		if (got)
			return got;
		got = poll(&pfd, 1, timeout_ms);
		if (got == 0 || (got < 0 && errno == EINTR))
			return -EAGAIN;
		if (got < 0)
			return -errno;
		got = read_more(cl);
		if (got <= 0)
			return got;
	}
}
