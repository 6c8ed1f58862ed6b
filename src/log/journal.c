/*
 * journal.c: stead's own events to the system's journal, with their fields, when stead is a machine's server.
 *
 * Called for each event that a ring brings, beside the store: what the journal does not take is in the store all the same.
 * Owns one datagram socket. Nothing is waited for: a full queue costs the events that do not fit, which are counted and
 * told once there is room; a journal that is not there, or no more, is looked for again with a later event. What other
 * processes wrote is untrusted: a value's bytes are sent with their length, so that none of them is a field of its own.
 * Source: systemd's "Native Journal Protocol".
 */
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/event.h"
#include "lib/must.h"
#include "lib/sys.h"

enum { VALUE_MAX = 2048, FIELDS_MAX = 16, NAME_MAX_BYTES = 40 };

static const char path[] = "/run/systemd/journal/socket";

void journal_on(struct journal *j)
{
	j->on = true;
	j->fd = -1;
	buf_fixed(&j->message, j->mem, sizeof j->mem);
}

static int journal_connect(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), e;

	if (fd < 0)
		return -errno;
	memcpy(addr.sun_path, path, sizeof path);
	if (connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0)
		return fd;
	e = -errno;
	close(fd);
	return e;
}

void journal_put(struct buf *b, const char *name, const char *value, size_t n)
{
	unsigned char length[8];

	for (unsigned i = 0; i < sizeof length; i++)
		length[i] = (unsigned char)((uint64_t)n >> 8 * i);
	buf_puts(b, name);
	buf_putc(b, '\n');
	buf_put(b, length, sizeof length);
	buf_put(b, value, n);
	buf_putc(b, '\n');
}

struct fields {
	struct buf *b;
	unsigned n;
	char text[VALUE_MAX]; /* the fields again, for the line that people read */
	size_t len;
};

/* STEAD_ and the field's name in capitals; one that is no name is left out. */
static void put_field(void *arg, const char *name, const char *value)
{
	struct fields *f = arg;
	size_t n = strlen(name), len = strnlen(value, VALUE_MAX);
	char full[NAME_MAX_BYTES] = "STEAD_";

	if (f->n++ >= FIELDS_MAX || n == 0 || n > sizeof full - sizeof "STEAD_" ||
		strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != n)
		return;
	for (size_t i = 0; i < n; i++)
		full[6 + i] = name[i] >= 'a' && name[i] <= 'z' ? (char)(name[i] - 32) : name[i];
	full[6 + n] = '\0';
	journal_put(f->b, full, value, len);
	if (len && f->len < sizeof f->text)
		f->len += (size_t)snprintf(f->text + f->len, sizeof f->text - f->len, " %s=%.*s", name, (int)len, value);
}

bool journal_render(struct buf *b, const void *event, size_t n)
{
	const struct event_row *row;
	struct fields f = {.b = b, .text = ""};
	char number[16], text[VALUE_MAX + 400];
	uint32_t id = 0;
	int len;

	if (event_decode(event, n, &id, NULL, NULL) < 0 || (row = event_row(id)) == NULL)
		return false;
	buf_reset(b);
	(void)event_decode(event, n, &id, put_field, &f);
	(void)snprintf(number, sizeof number, "%u", (unsigned)row->level);
	journal_put(b, "PRIORITY", number, strlen(number));
	journal_put(b, "SYSLOG_IDENTIFIER", "stead", 5);
	journal_put(b, "STEAD_EVENT", row->name, strlen(row->name));
	(void)snprintf(number, sizeof number, "%u", (unsigned)row->id);
	journal_put(b, "STEAD_EVENT_ID", number, strlen(number));
	len = snprintf(text, sizeof text, "%s:%s", row->meaning, f.text);
	journal_put(b, "MESSAGE", text, min_of((size_t)len, sizeof text - 1));
	return !b->error;
}

static bool send_message(struct journal *j)
{
	ssize_t sent;

	if (j->fd < 0)
		j->fd = journal_connect();
	if (j->fd < 0)
		return false;
	sent = send(j->fd, j->message.p, j->message.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	/* It was started anew: its socket is another one. */
	if (sent < 0 && errno != EAGAIN && errno != ENOBUFS && errno != EMSGSIZE) {
		close(j->fd);
		j->fd = journal_connect();
		sent = j->fd < 0 ? -1 : send(j->fd, j->message.p, j->message.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	return sent >= 0;
}

void journal_event(struct journal *j, const void *event, size_t n)
{
	char text[80];

	if (!j->on || !journal_render(&j->message, event, n))
		return;
	if (!send_message(j)) {
		j->lost++;
		return;
	}
	if (j->lost == 0)
		return;
	(void)snprintf(text, sizeof text, "%llu events of stead were lost on their way to the journal", (unsigned long long)j->lost);
	buf_reset(&j->message);
	journal_put(&j->message, "PRIORITY", "4", 1);
	journal_put(&j->message, "SYSLOG_IDENTIFIER", "stead", 5);
	journal_put(&j->message, "MESSAGE", text, strlen(text));
	if (send_message(j))
		j->lost = 0;
}

void journal_off(struct journal *j)
{
	if (j->on && j->fd >= 0)
		close(j->fd);
	j->on = false;
}
