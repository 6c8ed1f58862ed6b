/*
 * stead-backup: packs all of an instance into one file, or unpacks one, and ends.
 *
 * Started by the command line with the rights of whoever typed it (descriptor 3 is the channel:
 * BACKUP_ASK, DB_STEP, BACKUP_PART, BACKUP_NAME, BACKUP_END). It has no say in what is asked: ctl
 * knows nothing of it, so whoever takes ctl over can neither read a server whole nor replace it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/must.h"
#include "oneshot/restored.h"

#include "backup.h"

int backup_failed(struct backup *b, int err, const char *what, const char *where)
{
	return failure_set(b->f, -err,
		err == -EACCES || err == -EPERM ? EXIT_CODE_NOT_PERMITTED : EXIT_CODE_FAILED,
		err == -ENOSPC || err == -EDQUOT ? "free some disk space, then try again"
						 : "correct that, then try again",
		"stead cannot %s %s: %s.", what, where, strerror(-err));
}

void backup_step(struct backup *b, uint64_t done, uint64_t all, const char *what)
{
	struct timespec now;
	uint64_t ms;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	if (b->told_ms == 0)
		b->told_ms = ms;
	if (ms < b->told_ms + 1000)
		return;
	b->told_ms = ms;
	oneshot_step(b->o, all ? (uint32_t)min_of(done * 1000 / all, (uint64_t)1000) : UINT32_MAX,
		"%s, %llu MB", what, (unsigned long long)(done >> 20));
}

static int finish(struct backup *b, bool clean)
{
	int fd = open(b->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = fd < 0 ? -errno : 0;

	if (r == 0)
		r = clean ? restored_clean(fd) : restored_finish(fd, true);
	if (fd >= 0)
		(void)close(fd);
	return r < 0 ? failure_set(b->f, -r, EXIT_CODE_FAILED,
			       "correct that, then restore again: it goes on where it was cut off",
			       "What was unpacked in %s/" RESTORED_FOLDER
			       " cannot be brought to its place: %s.",
			       b->state, strerror(-r))
		     : 0;
}

/* The question's texts, the absent ones "". */
static int answer(struct backup *b, enum backup_what what, struct unpack *u)
{
	struct pack_ask ask = {.config = "", .sockets = "", .bin = "", .databases = "", .own = ""};
	const char *users, *apps;

	b->file = unpack_str(u);
	b->state = unpack_str(u);
	if (u->bad || b->state[0] != '/')
		fatal("backup", "malformed question");
	if (what == BACKUP_FINISH || what == BACKUP_CLEAN)
		return finish(b, what == BACKUP_CLEAN);
	if (b->file[0] != '/')
		fatal("backup", "malformed question");
	if (what == BACKUP_CHECK)
		return check_file(b);
	if (what == BACKUP_UNPACK) {
		users = unpack_str(u);
		apps = unpack_str(u);
		return u->bad ? -EPROTO : unpack_file(b, users, apps);
	}
	ask.config = unpack_str(u);
	ask.sockets = unpack_str(u);
	ask.bin = unpack_str(u);
	ask.databases = unpack_str(u);
	ask.own = unpack_str(u);
	return u->bad || what != BACKUP_PACK ? -EPROTO : pack(b, &ask);
}

static int end(struct oneshot *o, const struct backup *b)
{
	const struct failure *f = b->f;
	struct msg_backup_end m = {.err = (uint32_t)f->err,
		.exit_code = f->err ? f->exit_code : 0,
		.file_bytes = b->head.file_bytes,
		.content_bytes = b->head.content_bytes,
		.entries = b->head.entries,
		.made_us = b->head.made_us,
		.left_out = b->left_out};
	struct buf t;
	int r;

	buf_init(&t, CHAN_PAYLOAD_MAX - sizeof m);
	pack_str(&t, f->err ? f->text : "");
	pack_str(&t, f->err ? f->todo : "");
	pack_str(&t, b->head.version);
	pack_str(&t, b->head.host);
	r = t.error ? t.error
		    : chan_send_blocking(
			      o->fd, MSG_BACKUP_END, o->id, &m, sizeof m, t.p, t.len, NULL, 0);
	buf_done(&t);
	return r;
}

int main(void)
{
	struct failure f = {0};
	struct backup b = {.f = &f, .fd = -1};
	struct msg_backup_ask ask;
	struct oneshot o;
	struct unpack u;
	const char *tail;
	size_t n;
	int r;

	(void)sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	(void)umask(0077);
	r = oneshot_open(&o, 3, PROC_BACKUP);
	if (r == 0)
		r = oneshot_receive_from(&o, PROC_CLI, MSG_BACKUP_ASK);
	if (r < 0 || msg_get(&o.ask, &ask, sizeof ask, sizeof ask) < 0)
		fatal("backup", "descriptor 3 is not the command line's channel: %s", strerror(-r));
	b.o = &o;
	tail = msg_tail(&o.ask, sizeof ask, &n);
	unpack_init(&u, tail, n);
	if (answer(&b, (enum backup_what)ask.what, &u) == -EPROTO && !f.err)
		fatal("backup", "malformed question");
	r = end(&o, &b);
	oneshot_close(&o);
	return r < 0 ? 1 : 0;
}
