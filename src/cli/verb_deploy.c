/*
 * verb_deploy.c: deploy, releases, rollback and remove: what a running instance is asked about its deployed apps.
 *
 * A deploy has two connections: one for the request and what happens, one for the folder, which ctl passes on to
 * build unread. Whoever typed it reads the folder with his own rights (folder.c).
 */
#include "cli.h"
#include "folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct deploy {
	struct cli *c;
	struct folder folder;
	char path[PATH_MAX], name[64];
	const char *only; /* one file of it; NULL: all */
	int failed;       /* an exit code, because the folder could not be read */
};

/* ---- which folder, and the app's name ---- */

static int which(struct deploy *d)
{
	const char *given = d->c->args.nargs ? d->c->args.arg[0] : ".";
	const char *app = d->c->args.option[OPTION_APP];
	char *slash, stem[PATH_MAX];
	struct stat st;

	if (!realpath(given, d->path) || stat(d->path, &st) < 0) {
		int code = errno == ENOENT ? VERB_EXIT_NO_SUCH : VERB_EXIT_FAILED;

		(void)snprintf(stem, sizeof stem, "%.1000s: %s", given, strerror(errno));
		show_error(d->c, stem, "name the app's folder: stead deploy FOLDER, or stead deploy FILE.service");
		return code;
	}
	(void)snprintf(stem, sizeof stem, "%s", d->path);
	if (S_ISREG(st.st_mode)) {
		char *dot = strrchr(stem, '.');

		if (dot && strcmp(dot, ".timer") == 0) {
			show_error(d->c, "a systemd timer alone is no app",
				"write [Timer NAME] with its OnCalendar= and an ExecStart= into the app's stead.conf or .service file");
			return VERB_EXIT_USAGE;
		}
		if (!dot || strcmp(dot, ".service") != 0) {
			show_error(d->c, "that is a file, and not a systemd unit (NAME.service)",
				"stead deploy FOLDER, or stead deploy FILE.service");
			return VERB_EXIT_USAGE;
		}
		*dot = '\0';
		slash = strrchr(d->path, '/');
		*slash = '\0';
		d->only = slash + 1;
	} else if (!S_ISDIR(st.st_mode)) {
		show_error(d->c, "that is no folder", "stead deploy FOLDER, or stead deploy FILE.service");
		return VERB_EXIT_USAGE;
	}
	if (app)
		(void)snprintf(d->name, sizeof d->name, "%s", app);
	else
		conf_name_from_folder(stem, d->name);
	return 0;
}

/* ---- the folder's way ---- */

/* Build says that it reads from here on. */
static bool goes(int fd)
{
	static const char go[] = "go\n";

	for (const char *at = go; *at; at++) {
		char byte = 0;
		ssize_t n;

		do
			n = recv(fd, &byte, 1, 0);
		while (n < 0 && errno == EINTR);
		if (n <= 0 || byte != *at)
			return false;
	}
	return true;
}

static void send_folder(struct deploy *d, const char *token)
{
	struct client cl;
	int err = client_connect(&cl, d->c->state);

	if (err == 0)
		err = client_ask(&cl, json_pack("{s:s, s:s, s:s}", "verb", "deploy-send", "app", d->name, "token", token));
	if (err == 0 && goes(cl.fd))
		err = folder_send(&d->folder, cl.fd);
	/* Why nothing was taken stands in the answer to the request. */
	if (err < 0 && d->folder.error[0]) {
		show_line_done(d->c);
		show_error(d->c, d->folder.error, "correct it, then deploy again; what served before serves on");
		d->failed = VERB_EXIT_FAILED;
	}
	client_close(&cl);
}

static void show_deployed(struct cli *c, const json_t *end)
{
	const char *name = json_string_value(json_object_get(end, "deployed"));
	json_int_t release = json_integer_value(json_object_get(end, "release"));

	if (!name || c->json || c->quiet)
		return;
	show_line_done(c);
	if (json_is_true(json_object_get(end, "removed")))
		(void)printf("removed  %s\n", name);
	else
		(void)printf("live  %s, release %lld  %s\n", name, (long long)release, show_where(end));
}

/* The request's events until its end. d: whose folder is asked for; NULL: nobody's. */
static int follow(struct cli *c, struct client *cl, struct deploy *d)
{
	int code = -1, got;
	json_t *o;

	while (code < 0 && (got = client_next(cl, -1, &o)) != 0) {
		const char *event = got > 0 ? json_string_value(json_object_get(o, "event")) : NULL;

		if (got == -EAGAIN)
			continue;
		if (got < 0)
			break;
		if (d && event && strcmp(event, "send") == 0) {
			send_folder(d, json_string_value(json_object_get(o, "token")));
		} else if (event && strcmp(event, "end") == 0) {
			code = d && d->failed ? d->failed : show_end(c, o);
			if (code == 0)
				show_deployed(c, o);
		} else {
			show_event(c, o);
		}
		json_decref(o);
	}
	if (code >= 0)
		return code;
	show_error(c, "the answer ended early: the control process was restarted in between",
		"`stead status` shows what serves; try it again");
	return VERB_EXIT_FAILED;
}

static int ask(struct cli *c, json_t *request, struct deploy *d)
{
	struct client cl;
	int code = verb_open(c, &cl);

	if (code) {
		json_decref(request);
		return code;
	}
	if (client_ask(&cl, request) < 0) {
		show_error(c, "the control process ended", "try it again");
		code = VERB_EXIT_FAILED;
	} else {
		code = follow(c, &cl, d);
	}
	client_close(&cl);
	return code;
}

/* systemd still runs what is to run here: then there are two, and of a fixed port only one can have it. */
static void tell_of_systemds(const struct deploy *d)
{
	char path[300], text[300], todo[200];
	json_t *o;

	/* systemd makes that link, which leads nowhere, while it has started the unit. */
	if (!d->only || snprintf(path, sizeof path, "/run/systemd/units/invocation:%s", d->only) >= (int)sizeof path ||
		faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	(void)snprintf(text, sizeof text, "systemd has started %.200s, too, so it runs twice from now on", d->only);
	(void)snprintf(todo, sizeof todo, "systemctl disable --now %.150s", d->only);
	o = json_pack("{s:s, s:i, s:s, s:s}", "event", "finding", "level", (int)CONF_WARNING, "text", text, "todo", todo);
	if (o)
		show_event(d->c, o);
	json_decref(o);
}

int verb_deploy(struct cli *c)
{
	struct deploy d = {.c = c, .folder = {.fd = -1}};
	int code = which(&d);

	if (code)
		return code;
	if (folder_open(&d.folder, d.path, d.only) < 0) {
		show_error(c, d.folder.error, "deploy as a user who may read it");
		code = VERB_EXIT_FAILED;
	} else if (d.folder.left_out && !c->quiet && !c->json) {
		(void)fprintf(stderr, "left out: %u, the first is %s\n", d.folder.left_out,
			d.folder.first_out ? d.folder.first_out : "?");
	}
	if (code == 0) {
		tell_of_systemds(&d);
		code = ask(c, json_pack("{s:s, s:s, s:s}", "verb", "deploy", "app", d.name, "folder", d.path), &d);
	}
	folder_close(&d.folder);
	return code;
}

/* ---- the others ---- */

static void show_release(const json_t *o)
{
	time_t at = (time_t)(json_integer_value(json_object_get(o, "at_us")) / 1000000);
	char text[32] = "";
	struct tm tm;

	if (gmtime_r(&at, &tm))
		(void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	(void)printf("%s %-6lld %s\n", json_is_true(json_object_get(o, "serves")) ? "*" : " ",
		(long long)json_integer_value(json_object_get(o, "release")), text);
}

int verb_releases(struct cli *c)
{
	int code;
	json_t *end = verb_ask_end(
		c, json_pack("{s:s, s:s}", "verb", "releases", "app", c->args.nargs ? c->args.arg[0] : ""), &code);
	const json_t *list = json_object_get(end, "releases"), *o;
	size_t i;

	if (!end)
		return code;
	if (c->json || !json_is_array(list)) {
		code = show_end(c, end);
	} else {
		code = 0;
		json_array_foreach (list, i, o)
			show_release(o);
	}
	json_decref(end);
	return code;
}

int verb_rollback(struct cli *c)
{
	const char *release = c->args.option[OPTION_RELEASE];
	char *end = NULL;
	unsigned long n = release ? strtoul(release, &end, 10) : 0;

	if (release && (*release < '1' || *release > '9' || *end || n > 1000000000)) {
		show_error(c, "--release takes a release's number", "`stead releases` shows those that are kept");
		return VERB_EXIT_USAGE;
	}
	return ask(c,
		json_pack("{s:s, s:s, s:i}", "verb", "rollback", "app", c->args.nargs ? c->args.arg[0] : "", "release",
			(int)n),
		NULL);
}

int verb_remove(struct cli *c)
{
	const char *confirm = c->args.option[OPTION_CONFIRM];

	return ask(c,
		json_pack("{s:s, s:s, s:b, s:s}", "verb", "remove", "app", c->args.arg[0], "data",
			c->args.option[OPTION_DATA] != NULL, "confirm", confirm ? confirm : ""),
		NULL);
}
