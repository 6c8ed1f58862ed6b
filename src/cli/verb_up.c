/*
 * verb_up.c: from a folder to a live site: start the parent, ask ctl, show what happens.
 *
 * In the foreground the CLI holds one end of a pipe, the lifeline: when it goes, however it goes,
 * the parent sees the end and stops everything gracefully. With --detach there is no lifeline and
 * the parent has a session of its own; whoever asked gets the terminal back when the site is live.
 */
#include "backup_ask.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/must.h"
#include "lib/sys.h"

enum { CONTROL_WAIT_MS = 20000 };

struct up {
	struct cli *c;
	pid_t parent;
	int pidfd, lifeline, signals;
	bool detach, stopping, told;
	bool asks; /* whoever sits there can be asked whether he agrees to the authority's terms */
	struct client cl;
};

/* What the parent's processes say on stderr before the log runs, and when it cannot. */
static int boot_log(const struct cli *c)
{
	char path[PATH_MAX + 16];

	(void)snprintf(path, sizeof path, "%s/boot.log", c->state);
	return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static _Noreturn void exec_parent(const struct up *u, int lifeline, int err_fd)
{
	char path[PATH_MAX + 16], fd[16];
	const struct cli *c = u->c;
	const char *argv[14] = {path, "--state", c->state, "--run", c->run, "--roles", c->roles};
	unsigned n = 7;
	sigset_t none;

	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)snprintf(path, sizeof path, "%s/stead-parent", c->roles);
	/* Ctrl-C is for the CLI, which asks for a graceful stop. */
	(void)setsid();
	if (c->ca[0]) {
		argv[n++] = "--ca";
		argv[n++] = c->ca;
	}
	if (u->detach) {
		argv[n++] = "--detached";
		(void)dup2(err_fd, STDOUT_FILENO);
	} else {
		(void)snprintf(fd, sizeof fd, "%d", lifeline);
		(void)sys_cloexec(lifeline, false);
		argv[n++] = "--lifeline";
		argv[n++] = fd;
	}
	(void)dup2(err_fd, STDERR_FILENO);
	argv[n] = NULL;
	(void)execv(path, (char *const *)(uintptr_t)argv);
	_exit(127);
}

static int start_parent(struct up *u)
{
	int pipe_fds[2], err_fd = boot_log(u->c);
	sigset_t set;

	if (err_fd < 0 || pipe2(pipe_fds, O_CLOEXEC) < 0) {
		show_error(u->c, strerror(errno),
			errno == ENOSPC
				? "free disk space, or choose another folder with --state"
				: "the state folder must be writable: choose another with --state");
		return VERB_EXIT_FAILED;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	u->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	u->parent = fork();
	if (u->parent == 0)
		exec_parent(u, pipe_fds[0], err_fd);
	close(err_fd);
	close(pipe_fds[0]);
	if (u->detach || u->parent < 0)
		close(pipe_fds[1]);
	else
		u->lifeline = pipe_fds[1];
	u->pidfd = u->parent > 0 ? sys_pidfd_open(u->parent) : -1;
	if (u->pidfd < 0) {
		show_error(u->c, "the parent process cannot be started", NULL);
		return VERB_EXIT_FAILED;
	}
	return 0;
}

/* The parent is gone: pass on what it said, as its own words, and its exit code. */
static int parent_ended(struct up *u)
{
	char path[PATH_MAX + 16], *text = NULL;
	int status = 0, code = VERB_EXIT_FAILED;
	size_t n = 0;

	if (waitpid(u->parent, &status, 0) == u->parent && WIFEXITED(status))
		code = WEXITSTATUS(status);
	u->parent = 0;
	if (u->stopping || code == 0)
		return code;
	(void)snprintf(path, sizeof path, "%s/boot.log", u->c->state);
	(void)sys_read_file(AT_FDCWD, path, 65536, &text, &n);
	if (n && !u->c->json)
		(void)fwrite(text, 1, n, stderr);
	else
		show_error(u->c, n ? text : "stead's parent process ended at once",
			"see boot.log in the state folder");
	free(text);
	return code == 127 ? VERB_EXIT_FAILED : code;
}

static void stop_parent(struct up *u)
{
	if (u->parent > 0 && u->pidfd >= 0)
		(void)sys_pidfd_signal(u->pidfd, SIGTERM);
	u->stopping = true;
}

/* One wait on what may happen: fd (-1: none), the parent's end, a signal. What of them did, as
 * bits. */
enum { SAW_FD = 1, SAW_PARENT = 2, SAW_SIGNAL = 4 };
static int wait_for(struct up *u, int fd, int timeout_ms)
{
	struct pollfd p[3] = {{fd, POLLIN, 0}, {u->pidfd, POLLIN, 0}, {u->signals, POLLIN, 0}};
	struct signalfd_siginfo si;
	int saw = 0;

	if (poll(p, 3, timeout_ms) <= 0)
		return 0;
	if (p[0].revents)
		saw |= SAW_FD;
	if (p[1].revents)
		saw |= SAW_PARENT;
	if (p[2].revents && read(u->signals, &si, sizeof si) == (ssize_t)sizeof si)
		saw |= SAW_SIGNAL;
	return saw;
}

static int finish_stop(struct up *u)
{
	if (!u->c->quiet && !u->c->json) {
		show_line_done(u->c);
		(void)puts("stopping: finishing what runs …");
		(void)fflush(stdout);
	}
	stop_parent(u);
	for (;;) {
		int saw = wait_for(u, -1, -1);

		if (saw & SAW_PARENT)
			break;
		/* A second Ctrl-C: now. */
		if (saw & SAW_SIGNAL)
			stop_parent(u);
	}
	(void)parent_ended(u);
	if (!u->c->quiet && !u->c->json)
		(void)puts("stopped");
	return VERB_EXIT_DONE;
}

/* The control socket appears by rename when ctl is ready. */
static int connect_control(struct up *u)
{
	int in = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), left = CONTROL_WAIT_MS, code = -1;
	char mem[4096];

	if (in < 0 || inotify_add_watch(in, u->c->state, IN_MOVED_TO | IN_CREATE) < 0) {
		show_error(u->c, strerror(errno), NULL);
		return VERB_EXIT_FAILED;
	}
	while (code < 0) {
		int saw;

		/* What a dead ctl left there refuses. */
		if (client_connect(&u->cl, u->c->state) == 0) {
			code = 0;
			break;
		}
		saw = wait_for(u, in, 250);
		left -= saw ? 0 : 250;
		while (read(in, mem, sizeof mem) > 0)
			;
		if (saw & SAW_PARENT)
			code = parent_ended(u);
		else if (saw & SAW_SIGNAL)
			code = finish_stop(u);
		else if (left <= 0) {
			show_error(u->c, "the control process does not start",
				"see boot.log in the state folder");
			code = VERB_EXIT_FAILED;
		}
		if (code == 0)
			code = -2;
	}
	close(in);
	return code == -2 ? VERB_EXIT_DONE : code;
}

static int ask(struct up *u, json_t *request)
{
	if (client_ask(&u->cl, request) == 0)
		return 0;
	show_error(u->c, "the control process ended", "see `stead logs`, then try again");
	return VERB_EXIT_FAILED;
}

static void show_live(struct up *u, const json_t *end)
{
	const json_t *urls = json_object_get(end, "urls");
	const json_t *unagreed = json_object_get(end, "unagreed");
	json_t *url;
	size_t i;

	u->asks = unagreed && u->c->tty && !u->c->json && !u->c->quiet && !u->detach && isatty(STDIN_FILENO);
	if (!u->c->json && json_array_size(urls)) {
		(void)fputs("live", stdout);
		json_array_foreach(urls, i, url) if (json_is_string(url))(void)
			printf("  %s", json_string_value(url));
		(void)fputc('\n', stdout);
	}
	if (unagreed && !u->asks)
		show_unagreed(u->c, unagreed);
	(void)fflush(stdout);
}

/* The events of one request until its end: its exit code; -1 when it has to be asked again. */
static int follow(struct up *u, bool up)
{
	for (;;) {
		json_t *o;
		int got = client_next(&u->cl, 0, &o), saw;

		if (got > 0) {
			const char *event = json_string_value(json_object_get(o, "event"));
			bool end =
				event && strcmp(event, "end") == 0 && !json_object_get(o, "kind");
			int code = 0;

			if (!end)
				show_event(u->c, o);
			else if (up || !u->told)
				code = show_end(u->c, o);
			/* A log that cannot be followed is asked for again; that is said once. */
			u->told = end && !up;
			if (end && up && code == 0)
				show_live(u, o);
			json_decref(o);
			if (end)
				return code;
			continue;
		}
		saw = wait_for(u, u->cl.fd, got == -EAGAIN ? -1 : 0);
		if (saw & SAW_SIGNAL)
			u->stopping = true;
		if (u->stopping)
			return 0;
		/* What was said before it ended is read first: the reason is in it. */
		if ((saw & SAW_PARENT) && (got != -EAGAIN || !(saw & SAW_FD)))
			return parent_ended(u);
		if (got != -EAGAIN)
			return -1;
	}
}

static json_t *up_request(const struct cli *c)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:b}", "verb", "up", "folder", c->folder, "http", c->http, "https", c->https,
		"agree", c->args.option[OPTION_YES] != NULL);
}

static int go_live(struct up *u)
{
	int code = ask(u, up_request(u->c));

	if (code == 0)
		code = follow(u, true);
	if (code == -1) {
		show_error(u->c, "the control process died while the app was started",
			"see `stead logs`, then try again");
		code = VERB_EXIT_FAILED;
	}
	return code;
}

/* Live, in the foreground: show the log until somebody ends it. A ctl that dies is asked again. */
static int watch(struct up *u)
{
	int pause_ms = 50;

	for (;;) {
		int code;

		/* One request a connection. */
		client_close(&u->cl);
		code = connect_control(u);
		if (u->parent <= 0 || code != 0)
			return code;
		code = client_ask(&u->cl,
			json_pack("{s:s, s:i, s:b}", "verb", "logs", "lines", 0, "follow", 1));
		if (code == 0)
			code = follow(u, false);
		/* Its log or control process is just being replaced: not asked in a hurry. */
		pause_ms = u->told ? min_of(pause_ms * 2, 1000) : 50;
		if (u->parent > 0 && !u->stopping && (wait_for(u, -1, pause_ms) & SAW_SIGNAL))
			u->stopping = true;
		if (u->parent <= 0)
			return code;
		if (u->stopping)
			return finish_stop(u);
	}
}

/* One address of the command line; "" when it is not given. A wrong one is found before anything is started. */
static int check_address(struct cli *c, enum option option, char *ret, size_t cap)
{
	const char *given = c->args.option[option], *name = option == OPTION_HTTPS ? "--https" : "--http";
	const char *like = option == OPTION_HTTPS ? "8443" : "8080";
	char text[300], todo[120];
	struct buf b;
	int err;

	if (!given)
		return 0;
	buf_fixed(&b, ret, cap - 1);
	err = conf_addr_canonical(given, &b);
	if (err == 0 && !b.error) {
		ret[b.len] = '\0';
		return 0;
	}
	(void)snprintf(text, sizeof text, "%s %.200s is not an address and a port", name, given);
	(void)snprintf(todo, sizeof todo, "write %s ADDR:PORT, as in %s 127.0.0.1:%s or %s :%s", name, name, like, name, like);
	show_error(c, text, todo);
	return VERB_EXIT_USAGE;
}

/* Somebody serves there already: say so without touching what is theirs. */
static int already_runs(struct up *u)
{
	struct cli *c = u->c;
	char text[PATH_MAX * 2 + 200];
	const json_t *site;
	const char *url;
	json_t *o = NULL;

	if (client_connect(&u->cl, c->state) < 0)
		return 0;
	if (client_ask(&u->cl, json_pack("{s:s}", "verb", "status")) < 0 ||
		client_next(&u->cl, 5000, &o) <= 0)
		o = NULL;
	site = json_array_get(json_object_get(json_object_get(o, "status"), "sites"), 0);
	url = json_string_value(json_object_get(site, "url"));
	if (url && !*url)
		url = NULL;
	if (url)
		(void)snprintf(text, sizeof text,
			"%s is live already at %s; it is running with its state in %s", c->folder,
			url, c->state);
	else
		(void)snprintf(text, sizeof text, "a stead is already running with its state in %s",
			c->state);
	json_decref(o);
	show_error(c, text,
		"`stead status` shows it, `stead reload` reads stead.conf again, `stead stop` ends "
		"it");
	return VERB_EXIT_BUSY;
}

int verb_up(struct cli *c)
{
	struct up u = {.c = c,
		.pidfd = -1,
		.lifeline = -1,
		.signals = -1,
		.cl = {.fd = -1},
		.detach = c->args.option[OPTION_DETACH] != NULL};
	int code = check_address(c, OPTION_HTTP, c->http, sizeof c->http);

	if (code == 0)
		code = check_address(c, OPTION_HTTPS, c->https, sizeof c->https);

	if (code == 0)
		code = instance_for_up(c);
	if (code == 0)
		code = already_runs(&u);
	if (code == 0)
		code = backup_carry_on(c);
	if (code == 0)
		code = start_parent(&u);
	if (code == 0 && (code = connect_control(&u)) == 0 && u.parent > 0)
		code = go_live(&u);
	if (code == 0 && u.parent == 0 && !u.stopping) {
		show_error(c, "stead was stopped before the app was live",
			"somebody else ended it, by `stead stop` or a signal to its processes: try it again");
		code = VERB_EXIT_FAILED;
	}
	if (u.parent > 0 && (code != 0 || u.stopping)) {
		/* What did not go live leaves nothing running. */
		int failed = code;

		if (u.stopping) {
			code = finish_stop(&u);
		} else {
			stop_parent(&u);
			while (!(wait_for(&u, -1, -1) & SAW_PARENT))
				;
			(void)parent_ended(&u);
			code = failed;
		}
	} else if (u.parent > 0 && !u.detach) {
		/* A no, or an authority that cannot be reached, is no reason to end: the site is live. */
		if (u.asks)
			(void)verb_agree(c, u.signals);
		code = watch(&u);
	}
	client_close(&u.cl);
	return code;
}
