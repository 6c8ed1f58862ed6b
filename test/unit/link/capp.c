/*
 * capp.c: the C app that test_clib.c runs: one path for each thing that libstead can do, and each
 * misuse.
 *
 * Includes stead.h and nothing else of stead, as a user's program does. Argument 1: "block",
 * "threads" or "loop" (an event loop that keeps many requests open).
 */
#include "stead.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct stead *app;
static pthread_barrier_t barrier;

static void on_term(int sig)
{
	(void)sig;
	stead_stop(app);
}

static int is(struct stead_req *r, const char *path)
{
	return strcmp(stead_path(r), path) == 0;
}

static void say(struct stead_req *r, const char *text)
{
	(void)stead_send(r, text, strlen(text));
}

/* Every word that does not hold is in the answer. */
static void misuse(struct stead_req *r)
{
	struct stead_req *second;
	const char *name, *value;
	char bad[400] = "", byte;

#define EXPECT(call, result)                                                                       \
	do {                                                                                       \
		long got = (long)(call);                                                           \
		if (got != (long)(result))                                                         \
			snprintf(bad + strlen(bad), sizeof(bad) - strlen(bad), "%s is %ld; ",      \
				#call, got);                                                       \
	} while (0)
	EXPECT(stead_open(NULL, 0, 0), -EINVAL);
	EXPECT(stead_open(&app, 65, 0), -EINVAL);
	EXPECT(stead_open(&app, 1, 8), -EINVAL);
	EXPECT(stead_open(&app, 1, 0), -ENOTCONN); /* once only */
	EXPECT(stead_next(NULL, &second), -EINVAL);
	EXPECT(stead_next(app, NULL), -EINVAL);
	EXPECT(stead_next(app, &second), -EBUSY);
	EXPECT(stead_fd(app), -EINVAL); /* not opened for it */
	EXPECT(stead_arm(app), -EINVAL);
	EXPECT(stead_read(r, NULL, 1), -EINVAL);
	EXPECT(stead_read(r, &byte, 0), -EINVAL);
	EXPECT(stead_read(r, &byte, 1), 0);
	EXPECT(stead_field(r, NULL) == NULL, 1);
	EXPECT(stead_field_at(r, 10000, &name, &value), 0);
	EXPECT(stead_status(r, 101, NULL), -EINVAL);
	EXPECT(stead_status(r, 1000, NULL), -EINVAL);
	EXPECT(stead_status(r, 200, "a\nb"), -EINVAL);
	EXPECT(stead_header(r, "", "x"), -EINVAL);
	EXPECT(stead_header(r, "A B", "x"), -EINVAL);
	EXPECT(stead_header(r, "A", "x\r\nSet-Cookie: y"), -EINVAL);
	EXPECT(stead_header(r, "A", NULL), -EINVAL);
	EXPECT(stead_header(r, "Content-Length", "-1"), -EINVAL);
	EXPECT(stead_write(r, NULL, 1), -EINVAL);
	EXPECT(stead_file(r, 0, 0, 1), -EINVAL);
	EXPECT(stead_done(NULL), -EINVAL);
	EXPECT(stead_status(r, 200, NULL), 0);
	EXPECT(stead_header(r, "Content-Length", "400"), 0);
	EXPECT(stead_write(r, bad, 401), -EMSGSIZE);
	EXPECT(stead_write(r, NULL, 0), 0);
	EXPECT(stead_status(r, 404, NULL), -EALREADY);
	EXPECT(stead_header(r, "A", "b"), -EALREADY);
	EXPECT(stead_send(r, bad, 400), 0);
	EXPECT(stead_write(r, "x", 1), -EALREADY);
	EXPECT(stead_end(r), -EALREADY);
	if (*bad)
		fprintf(stderr, "%s\n", bad);
}

static void echo(struct stead_req *r)
{
	char bytes[10000];
	ssize_t n;

	(void)stead_header(r, "X-Length", stead_length(r) < 0 ? "-1" : "known");
	while ((n = stead_read(r, bytes, sizeof(bytes))) > 0) {
		if (stead_write(r, bytes, (size_t)n) < 0)
			return;
	}
	if (n == 0)
		(void)stead_end(r);
}

static void send_file(struct stead_req *r, const char *file, uint64_t off, uint64_t len)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	if (stead_file(r, fd, off, len) == -EINVAL)
		say(r, "no such file");
	close(fd);
}

/* In a child of fork() nothing works, and the parent's request goes on. */
static void forked(struct stead_req *r)
{
	char byte, text[64];
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(stead_read(r, &byte, 1) == -ECHILD && stead_write(r, "x", 1) == -ECHILD &&
					stead_done(r) == -ECHILD
				? 7
				: 1);
	waitpid(pid, &status, 0);
	snprintf(text, sizeof(text), "child %d", WEXITSTATUS(status));
	say(r, text);
}

static void fields(struct stead_req *r)
{
	const char *name, *value;
	char text[2000] = "";

	for (size_t i = 0; stead_field_at(r, i, &name, &value); i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s=%s\n", name, value);
	snprintf(text + strlen(text), sizeof(text) - strlen(text),
		"%s %s %s ?%s %s %s %u %s %u %s id %zu\n", stead_method(r), stead_target(r),
		stead_path(r), stead_query(r), stead_scheme(r), stead_host(r), stead_port(r),
		stead_peer(r), stead_peer_port(r), stead_protocol(r), strlen(stead_id(r)));
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s %s %s",
		stead_field(r, "X-ONE") ? stead_field(r, "X-ONE") : "none",
		stead_field(r, "x-two") ? "two" : "none", stead_user(r));
	say(r, text);
}

static void big(struct stead_req *r)
{
	static char bytes[1000000];

	memset(bytes, 'b', sizeof(bytes));
	for (int i = 0; i < 2; i++)
		(void)stead_write(r, bytes, sizeof(bytes));
	(void)stead_send(r, bytes, sizeof(bytes));
}

static void endless(struct stead_req *r)
{
	ssize_t n;

	do
		n = stead_write(r, "more and more\n", 14);
	while (n > 0);
	if (n != -EPIPE || !stead_gone(r))
		fprintf(stderr, "endless ended by %zd\n", n);
}

static void serve(struct stead_req *r)
{
	char many[2000];

	if (is(r, "/fields")) {
		fields(r);
	} else if (is(r, "/status")) {
		(void)stead_header(r, "X-Gone", "replaced by the status behind it");
		(void)stead_status(r, 418, "Short and stout");
		(void)stead_header(r, "X-Kept", "yes");
		say(r, "tea");
	} else if (is(r, "/pieces")) {
		(void)stead_write(r, NULL, 0);
		(void)stead_write(r, "one ", 4);
		(void)stead_write(r, "two ", 4);
		(void)stead_send(r, "three", 5);
	} else if (is(r, "/empty")) {
		(void)stead_status(r, 204, NULL);
		(void)stead_end(r);
	} else if (is(r, "/default")) {
		(void)stead_end(r);
	} else if (is(r, "/nothing")) {
	} else if (is(r, "/fail")) {
		(void)stead_fail(r);
	} else if (is(r, "/fail-late")) {
		(void)stead_write(r, "begun", 5);
		(void)stead_fail(r);
	} else if (is(r, "/short")) {
		(void)stead_header(r, "Content-Length", "10");
		if (stead_send(r, "1234", 4) != -ENODATA)
			fprintf(stderr, "short is not told\n");
	} else if (is(r, "/big")) {
		big(r);
	} else if (is(r, "/endless")) {
		endless(r);
	} else if (is(r, "/echo")) {
		echo(r);
	} else if (is(r, "/file")) {
		send_file(r, "file.txt", 0, 14);
	} else if (is(r, "/file-part")) {
		send_file(r, "file.txt", 5, 8);
	} else if (is(r, "/file-none")) {
		send_file(r, "file.txt", 0, 15);
	} else if (is(r, "/fork")) {
		forked(r);
	} else if (is(r, "/misuse")) {
		misuse(r);
	} else if (is(r, "/barrier")) {
		pthread_barrier_wait(&barrier);
		say(r, "met");
	} else if (is(r, "/log")) {
		stead_log(r, "a line\nof %s", "two");
		say(r, "logged");
	} else if (is(r, "/large-head")) {
		memset(many, 'h', sizeof(many) - 1);
		many[sizeof(many) - 1] = 0;
		for (int i = 0; i < 30; i++)
			(void)stead_header(r, "X-Large", many);
		say(r, stead_header(r, "X-Large", many) == -EMSGSIZE ? "large" : "too large");
	} else if (is(r, "/die")) {
		abort();
	} else {
		(void)stead_header(r, "Content-Type", "text/plain");
		say(r, "Hello, world!\n");
	}
}

static void *thread(void *none)
{
	struct stead_req *r;
	int res;

	while ((res = stead_next(app, &r)) == 0) {
		serve(r);
		if (stead_done(r) < 0)
			fprintf(stderr, "done\n");
	}
	if (res != -ESHUTDOWN)
		fprintf(stderr, "next: %d\n", res);
	return none;
}

/* ---- an event loop: every request that is open is an echo or a gate that another request opens
 * ---- */

struct open {
	struct stead_req *r;
	char bytes[5000];
	size_t at, n;
	int waits; /* for somebody to ask for /go */
	int sent_all;
};

/* 1: it is over. */
static int advance(struct open *o, int go)
{
	ssize_t n;

	if (o->waits)
		return go && stead_send(o->r, "gone", 4) != -EAGAIN;
	for (;;) {
		if (!o->n) {
			n = stead_read(o->r, o->bytes, sizeof(o->bytes));
			if (n == -EAGAIN)
				return 0;
			if (n <= 0)
				return n < 0 || stead_end(o->r) != -EAGAIN;
			o->at = 0;
			o->n = (size_t)n;
		}
		n = stead_write(o->r, o->bytes + o->at, o->n);
		if (n == -EAGAIN)
			return 0;
		if (n < 0)
			return 1;
		o->at += (size_t)n;
		o->n -= (size_t)n;
	}
}

static int loop(void)
{
	static struct open open[8];
	struct pollfd p = {.fd = stead_fd(app), .events = POLLIN};
	int res = 0, go = 0;

	if (p.fd < 0)
		return 3;
	while (res != -ESHUTDOWN) {
		struct stead_req *r;

		while ((res = stead_next(app, &r)) == 0) {
			struct open *o = open;

			while (o->r)
				o++;
			memset(o, 0, sizeof(*o));
			o->r = r;
			o->waits = is(r, "/wait");
			go |= is(r, "/go");
			if (is(r, "/go") && (stead_send(r, "go", 2) < 0 || stead_done(r) < 0))
				return 4;
			if (is(r, "/go"))
				o->r = NULL;
		}
		for (struct open *o = open; o < open + 8; o++) {
			if (o->r && advance(o, go) && stead_done(o->r) != -EAGAIN)
				o->r = NULL;
		}
		if (res == -EBUSY || res == -EAGAIN) {
			int armed = stead_arm(app);

			if (armed < 0)
				return 5;
			if (armed == 0 && poll(&p, 1, -1) < 0 && errno != EINTR)
				return 6;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "block";
	pthread_t others[3];
	int looped = strcmp(how, "loop") == 0, err;

	err = stead_open(&app, looped ? 8 : 0, looped ? STEAD_NONBLOCK : 0);
	if (err < 0) {
		fprintf(stderr, "stead_open: %s\n", strerror(-err));
		return 2;
	}
	if (getenv("STEAD_LINK_FD") || stead_api() < STEAD_API)
		return 2;
	sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_term}, NULL);
	if (looped)
		return loop();
	pthread_barrier_init(&barrier, NULL, 4);
	if (strcmp(how, "threads") == 0) {
		for (int i = 0; i < 3; i++)
			pthread_create(&others[i], NULL, thread, NULL);
	}
	thread(NULL);
	if (strcmp(how, "threads") == 0) {
		for (int i = 0; i < 3; i++)
			pthread_join(others[i], NULL);
	}
	stead_close(app);
	return 0;
}
