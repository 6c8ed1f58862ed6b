/*
 * verbs.c: the verbs that are one request: status, stop, reload, restart, logs.
 *
 * Called by main.c. Holds nothing.
 */
#include "cli.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/sys.h"

enum { AGAIN_MAX = 120, AGAIN_US = 25 * 1000 };

static int not_running(struct cli *c)
{
	if (c->json && c->args.verb == VERB_STATUS) {
		(void)puts("{\"state\":\"not running\",\"sites\":[],\"processes\":[]}");
		return VERB_EXIT_NOT_RUNNING;
	}
	show_error(c, "not running: nothing answers at the control socket",
		strcmp(c->state, "/run/stead") == 0 || strcmp(c->state, "/var/lib/stead") == 0
			? "`systemctl start stead` starts it; `systemctl status stead` says why it does not run"
			: "start it with `stead up FOLDER`, or name another state folder with --state");
	return VERB_EXIT_NOT_RUNNING;
}

int verb_open(struct cli *c, struct client *cl)
{
	int code = instance_find(c), err;

	if (code)
		return code;
	err = client_connect(cl, c->state);
	/* A socket of which nobody has an end: ctl has died, and the next one is a moment away, or all of it has. */
	for (unsigned i = 0; err == -ECONNREFUSED && i < AGAIN_MAX; i++) {
		(void)usleep(AGAIN_US);
		err = client_connect(cl, c->state);
	}
	if (err == -EACCES || err == -EPERM) {
		show_error(c, "the state folder is somebody else's", "run stead as its owner");
		return VERB_EXIT_NOT_PERMITTED;
	}
	return err < 0 ? not_running(c) : 0;
}

/* The end of a request. With --json, what was asked for and not its envelope. */
static int show_answer(struct cli *c, const json_t *end)
{
	json_t *status = json_object_get(end, "status");
	json_int_t code = json_integer_value(json_object_get(end, "exit"));
	const json_t *purged = json_object_get(end, "purged");
	const json_t *certificates = json_object_get(end, "certificates");
	const json_t *maintenance = json_object_get(end, "maintenance");

	if (json_is_integer(purged) && !c->json && !c->quiet)
		(void)printf("%lld forgotten\n", (long long)json_integer_value(purged));
	if (json_is_boolean(maintenance) && !c->json && !c->quiet)
		(void)printf("%s %s\n", json_string_value(json_object_get(end, "site")),
			json_is_true(maintenance) ? "is in maintenance; `stead maintenance off` ends it"
						  : "answers again");
	if (json_is_array(certificates) && !c->json && !c->quiet)
		show_certificates(certificates, c->whole);
	if (json_is_object(status))
		show_measure(status);
	if (json_is_object(status) && !c->json)
		show_status(c, status);
	else if (json_is_object(status)) {
		char *text = json_dumps(status, JSON_INDENT(2));

		if (text)
			(void)puts(text);
		free(text);
		return (int)code;
	} else if (c->json && (c->args.verb == VERB_LOGS || c->args.verb == VERB_METRICS) &&
		   code == 0) {
		return 0;
	}
	return show_end(c, end);
}

int verb_ask(struct cli *c, json_t *request)
{
	struct client cl;
	json_t *o;
	int got, code = verb_open(c, &cl);

	if (code) {
		json_decref(request);
		return code;
	}
	/* Who has died since it took the connection was running. */
	code = client_ask(&cl, request) < 0 ? VERB_EXIT_FAILED : -1;
	if (code > 0)
		show_error(c, "the control process was restarted in between", "try it again");
	while (code < 0 && (got = client_next(&cl, -1, &o)) != 0) {
		const char *event = got > 0 ? json_string_value(json_object_get(o, "event")) : "";

		if (got == -EAGAIN)
			continue;
		if (got < 0)
			break;
		if (event && strcmp(event, "end") == 0 && !json_object_get(o, "kind")) {
			code = show_answer(c, o);
		} else {
			show_event(c, o);
		}
		json_decref(o);
	}
	client_close(&cl);
	if (code < 0) {
		show_error(c,
			"the answer ended early: the control process was restarted in between",
			"try it again");
		code = VERB_EXIT_FAILED;
	}
	return code;
}

static json_t *with_app(struct cli *c, const char *verb)
{
	return json_pack("{s:s, s:s}", "verb", verb, "app", c->args.nargs ? c->args.arg[0] : "");
}

int verb_status(struct cli *c)
{
	json_t *request;

	if (c->args.nargs)
		return units_status(c);
	request = with_app(c, "status");
	(void)json_object_set_new(request, "json", json_boolean(c->json));
	return verb_ask(c, request);
}

int verb_metrics(struct cli *c)
{
	return verb_ask(c, json_pack("{s:s, s:b}", "verb", "metrics", "json", c->json));
}

int verb_reload(struct cli *c)
{
	return c->args.nargs ? units_reload(c) : verb_ask(c, json_pack("{s:s}", "verb", "reload"));
}

/* purge [APP] URL, or purge [APP] --tag TAG. */
int verb_cache(struct cli *c)
{
	const char *tag = c->args.option[OPTION_TAG];
	unsigned n = c->args.nargs, rest = tag ? 1 : 2;
	const char *app = n == rest + 1 ? c->args.arg[1] : "";

	if (strcmp(c->args.arg[0], "purge") != 0 || (n != rest && n != rest + 1)) {
		show_error(c, "what shall be forgotten is not said",
			"stead cache purge /page, or stead cache purge --tag news");
		return VERB_EXIT_USAGE;
	}
	return verb_ask(c, json_pack("{s:s, s:s, s:s, s:s}", "verb", "purge", "app", app, "url",
				    tag ? "" : c->args.arg[n - 1], "tag", tag ? tag : ""));
}

int verb_maintenance(struct cli *c)
{
	bool on = strcmp(c->args.arg[0], "on") == 0;

	if (!on && strcmp(c->args.arg[0], "off") != 0) {
		show_error(c, "it is neither on nor off", "stead maintenance on, or stead maintenance off");
		return VERB_EXIT_USAGE;
	}
	return verb_ask(c, json_pack("{s:s, s:s, s:b}", "verb", "maintenance", "app",
				   c->args.nargs > 1 ? c->args.arg[1] : "", "on", on));
}

int verb_restart(struct cli *c)
{
	return c->args.nargs ? units_restart(c) : verb_ask(c, with_app(c, "restart"));
}

/* The parent's process, from the lock's text; 0 when it cannot be read. */
static pid_t parent_of(const char *state)
{
	char path[PATH_MAX + 8], text[24] = "";
	FILE *f;
	long pid;

	(void)snprintf(path, sizeof path, "%s/lock", state);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (!fgets(text, sizeof text, f))
		text[0] = '\0';
	(void)fclose(f);
	pid = strtol(text, NULL, 10);
	return pid > 1 ? (pid_t)pid : 0;
}

int verb_stop(struct cli *c)
{
	struct pollfd pfd;
	int code, pidfd;
	pid_t pid;

	if (c->args.nargs)
		return units_stop(c);
	code = instance_find(c);
	if (code)
		return code;
	/* The descriptor is taken before the question, so that the number cannot be another's by
	 * then. */
	pid = parent_of(c->state);
	pidfd = pid ? sys_pidfd_open(pid) : -1;
	code = verb_ask(c, json_pack("{s:s}", "verb", "stop"));
	if (code == 0 && pidfd >= 0) {
		pfd = (struct pollfd){.fd = pidfd, .events = POLLIN};
		if (poll(&pfd, 1, 120000) != 1) {
			show_error(c, "it did not end within two minutes",
				"`stead status` shows what still runs");
			code = VERB_EXIT_FAILED;
		}
	}
	if (pidfd >= 0)
		close(pidfd);
	if (code == 0 && !c->quiet && !c->json)
		(void)puts("stopped");
	return code;
}

/* 10min and the like: ago; else a time as RFC 3339 writes it. */
static int since_us(const char *text, json_int_t *ret)
{
	struct tm tm = {0};
	uint64_t ms;
	const char *end;

	if (conf_time_parse(text, &ms) == 0) {
		*ret = (json_int_t)time(NULL) * 1000000 - (json_int_t)ms * 1000;
		return *ret < 0 ? -EINVAL : 0;
	}
	end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!end)
		end = strptime(text, "%Y-%m-%d", &tm);
	if (!end || (*end && strcmp(end, "Z") != 0))
		return -EINVAL;
	*ret = (json_int_t)timegm(&tm) * 1000000;
	return *ret < 0 ? -EINVAL : 0;
}

static int level_number(const char *name)
{
	static const char *const names[] = {[2] = "critical",
		[3] = "error",
		[4] = "warning",
		[5] = "notice",
		[6] = "info",
		[7] = "debug"};

	for (int i = 2; i < 8; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	return -1;
}

int verb_logs(struct cli *c)
{
	const char *lines = c->args.option[OPTION_LINES], *since = c->args.option[OPTION_SINCE];
	const char *level = c->args.option[OPTION_LEVEL];
	const char *format = c->args.option[OPTION_FORMAT];
	json_int_t n = 100, from = 0, at_least = 0;

	if (lines) {
		char *end;

		n = strtol(lines, &end, 10);
		if (*end || end == lines || n < 0 || n > 1000000) {
			show_error(c, "-n takes a number from 0 to 1000000", NULL);
			return VERB_EXIT_USAGE;
		}
	}
	if (since && since_us(since, &from) < 0) {
		show_error(c,
			"--since takes how long ago (10min, 2h) or a time (2026-01-31T23:59:59Z)",
			NULL);
		return VERB_EXIT_USAGE;
	}
	if (format && strcmp(format, "json") == 0) {
		c->json = true;
	} else if (format) {
		int code = show_format_set(c, format);

		if (code)
			return code;
	}
	if (level && (at_least = level_number(level)) < 0) {
		show_error(c, "--level is one of: debug info notice warning error critical", NULL);
		return VERB_EXIT_USAGE;
	}
	return verb_ask(
		c, json_pack("{s:s, s:s, s:I, s:I, s:I, s:b}", "verb", "logs", "app",
			   c->args.nargs ? c->args.arg[0] : "", "lines", n, "since_us", from,
			   "level", at_least, "follow", c->args.option[OPTION_FOLLOW] != NULL));
}
