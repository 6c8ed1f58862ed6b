/*
 * hello.c: the smallest app in C: it says hello to the path that it was asked for, and echoes what is posted.
 *
 *	make -C examples/c-hello          builds ./hello with libstead (pkg-config finds it once stead is installed)
 *	stead up examples/c-hello         serves it
 *
 * libstead(3) explains each function.
 */
#include <errno.h>
#include <signal.h>
#include <stead.h>
#include <stdio.h>
#include <string.h>

static struct stead *app;

/* stead asks a process to end with SIGTERM, once it has nothing to do any more. */
static void on_term(int sig)
{
	(void)sig;
	stead_stop(app);
}

static void echo(struct stead_req *r)
{
	char bytes[65536];
	ssize_t n;

	while ((n = stead_read(r, bytes, sizeof(bytes))) > 0)
		if (stead_write(r, bytes, (size_t)n) < 0)
			return; /* the client has gone */
	if (n == 0)
		stead_end(r);
}

static void hello(struct stead_req *r)
{
	char text[4096];
	int n = snprintf(text, sizeof(text), "Hello from %.4000s\n", stead_path(r));

	stead_header(r, "Content-Type", "text/plain; charset=utf-8");
	stead_send(r, text, (size_t)n);
}

int main(void)
{
	struct stead_req *r;
	int err = stead_open(&app, 0, 0);

	if (err < 0) {
		fprintf(stderr, "hello: %s; start it with `stead up`\n", strerror(-err));
		return 1;
	}
	sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_term}, NULL);
	while ((err = stead_next(app, &r)) == 0 || err == -EINTR) {
		if (err)
			continue;
		if (strcmp(stead_method(r), "POST") == 0)
			echo(r);
		else
			hello(r);
		stead_done(r);
	}
	stead_close(app);
	return 0;
}
