/*
 * stead-build: makes what an app needs to run: a virtual environment from a requirements file, and its
 * files from a stream (unpack.c).
 *
 * A one-shot process: ctl asks (BUILD_ASK: folder, state folder, interpreter, requirements file, what
 * stays; or UNPACK_ASK), steps are told by DB_STEP, the answer is BUILD_END with the interpreter to use.
 * It runs as the app's user, because package set-up is code of strangers. It owns STATE/venv; it never
 * writes into the app's folder and never runs a shell.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/must.h"

#include "build.h"
#include "unpack.h"

static int copy_text(char *to, size_t cap, const char *from)
{
	size_t n = strlen(from);

	if (n >= cap)
		return -ENAMETOOLONG;
	memcpy(to, from, n + 1);
	return 0;
}

static int read_ask(struct oneshot *o, struct build *b)
{
	struct unpack u;
	int r = 0;

	unpack_init(&u, o->ask.payload, o->ask.h.len);
	r |= copy_text(b->folder, sizeof b->folder, unpack_str(&u));
	r |= copy_text(b->state, sizeof b->state, unpack_str(&u));
	r |= copy_text(b->interpreter, sizeof b->interpreter, unpack_str(&u));
	r |= copy_text(b->requirements, sizeof b->requirements, unpack_str(&u));
	while (!unpack_done(&u) && !u.bad && b->kept_n < BUILD_KEPT_MAX)
		b->kept[b->kept_n++] = unpack_str(&u);
	if (r == 0 && !*b->interpreter)
		r = copy_text(b->interpreter, sizeof b->interpreter, "/usr/bin/python3");
	if (r != 0 || !unpack_done(&u) || *b->folder != '/' || *b->state != '/' ||
		*b->interpreter != '/' || *b->requirements == '-')
		return -EPROTO;
	return 0;
}

int main(void)
{
	const char *env[BUILD_ENV_MAX];
	struct failure f = {0};
	struct build b = {.f = &f, .env = env};
	struct oneshot o;
	int r;

	(void)sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	(void)umask(0022);
	env_select(environ, env);
	r = oneshot_open(&o, 3, PROC_BUILD);
	if (r == 0)
		r = oneshot_receive(&o, 0);
	if (r < 0)
		fatal("build", "descriptor 3 is not ctl's channel: %s", strerror(-r));
	b.o = &o;
	if (o.ask.h.type == MSG_UNPACK_ASK)
		r = unpack_answer(&o, &f) == -EPROTO ? -EPROTO : 0;
	else
		r = read_ask(&o, &b);
	if (r < 0)
		fatal("build", "malformed question from ctl");
	if (o.ask.h.type == MSG_BUILD_ASK)
		(void)venv_make(&b);
	r = oneshot_end(&o, MSG_BUILD_END, &f, f.err ? "" : b.python);
	oneshot_close(&o);
	return r < 0 ? 1 : 0;
}
