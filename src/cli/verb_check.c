/*
 * verb_check.c: `stead check`: the effective configuration of a folder, with the origin of each
 * value, and every error in it.
 *
 * Called by main.c. Needs no running stead: it starts stead-check itself and asks over a socketpair
 * as ctl does. What check answers is input: it is bounded here and shown without control
 * characters.
 */
#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/chan.h"
#include "lib/must.h"
#include "lib/sys.h"

enum { NOBODY = 65534 };

struct answer {
	bool json;
	const char *prefix; /* before a file's name, so that it can be opened from here */
	unsigned errors, warnings;
	unsigned values, findings;
	char section[1100];
	struct buf out;   /* values; in JSON too */
	struct buf notes; /* findings */
	struct check_sites sites;
};

static void json_str(struct buf *b, const char *name, const char *value)
{
	buf_printf(b, "\"%s\":", name);
	buf_put_json(b, value, strlen(value));
}

static void got_value(struct answer *a, struct unpack *u)
{
	const char *section = unpack_str(u), *arg = unpack_str(u), *key = unpack_str(u);
	const char *value = unpack_str(u), *origin = unpack_str(u), *file = unpack_str(u);
	uint32_t line = unpack_u32(u), col = unpack_u32(u);
	const char *eq = strchr(value, '=');
	char shown[256], header[sizeof(a->section)], path[sizeof(a->section)];
	size_t at;

	if (u->bad)
		return;
	/* A file of variables is there to keep them from being seen. */
	if (strcmp(key, "Environment") == 0 && eq != NULL) {
		char name[128];

		(void)snprintf(name, sizeof(name), "%.*s", (int)min_of(eq - value, 127l), value);
		if (!conf_env_showable(name) || strcmp(origin, "environment file") == 0) {
			(void)snprintf(shown, sizeof(shown), "%s=(hidden)", name);
			value = shown;
		}
	}
	if (strcmp(key, "BasicAuthUser") == 0) {
		(void)snprintf(shown, sizeof(shown), "%.*s:(hidden)",
			(int)conf_showable(CONF_SITE_BASIC_AUTH_USER, value), value);
		value = shown;
	}
	(void)snprintf(path, sizeof(path), "%.*s", (int)strcspn(arg, "\n"), arg);
	if (a->json) {
		buf_puts(&a->out, a->values++ > 0 ? ",\n{" : "\n{");
		json_str(&a->out, "section", section);
		buf_putc(&a->out, ',');
		json_str(&a->out, "argument", path);
		buf_putc(&a->out, ',');
		json_str(&a->out, "key", key);
		buf_putc(&a->out, ',');
		json_str(&a->out, "value", value);
		buf_putc(&a->out, ',');
		json_str(&a->out, "origin", origin);
		buf_putc(&a->out, ',');
		json_str(&a->out, "file", file);
		buf_printf(&a->out, ",\"line\":%u,\"column\":%u}", line, col);
		return;
	}
	(void)snprintf(header, sizeof(header), "%s%s%s", section, arg[0] != '\0' ? " " : "", arg);
	if (strcmp(a->section, header) != 0) {
		buf_printf(&a->out, "%s[%s%s%s]\n", a->values > 0 ? "\n" : "", section,
			arg[0] != '\0' ? " " : "", path);
		(void)snprintf(a->section, sizeof(a->section), "%s", header);
	}
	a->values++;
	at = a->out.len;
	show_plain(&a->out, key, "");
	buf_putc(&a->out, '=');
	show_plain(&a->out, value, "\\n");
	at = a->out.len - at;
	buf_printf(&a->out, "%*s", at < 40 ? (int)(40 - at) : 2, "");
	if (line > 0)
		buf_printf(&a->out, "%s:%u\n", file, line);
	else
		buf_printf(&a->out, "%s\n", origin);
}

static void got_finding(struct answer *a, struct unpack *u)
{
	static const char *const names[] = {"error", "warning", "note"};
	uint32_t level = unpack_u32(u);
	const char *file = unpack_str(u);
	uint32_t line = unpack_u32(u), col = unpack_u32(u);
	const char *text = unpack_str(u), *todo = unpack_str(u);

	if (u->bad || level > CONF_NOTE)
		return;
	a->errors += level == CONF_ERROR;
	a->warnings += level == CONF_WARNING;
	if (a->json) {
		buf_puts(&a->notes, a->findings++ > 0 ? ",\n{" : "\n{");
		json_str(&a->notes, "level", names[level]);
		buf_putc(&a->notes, ',');
		json_str(&a->notes, "file", file);
		buf_printf(&a->notes, ",\"line\":%u,\"column\":%u,", line, col);
		json_str(&a->notes, "text", text);
		buf_putc(&a->notes, ',');
		json_str(&a->notes, "todo", todo);
		buf_putc(&a->notes, '}');
		return;
	}
	a->findings++;
	if (file[0] != '\0') {
		show_plain(&a->notes, file[0] == '/' ? "" : a->prefix, "");
		show_plain(&a->notes, file, "");
		buf_printf(&a->notes, ":%u:%u: ", line, col);
	}
	buf_printf(&a->notes, "%s: ", names[level]);
	show_plain(&a->notes, text, "");
	buf_putc(&a->notes, '\n');
	if (todo[0] != '\0') {
		buf_puts(&a->notes, "    ");
		show_plain(&a->notes, todo, "    ");
		buf_putc(&a->notes, '\n');
	}
}

/* As root the app is looked at as its folder's owner, and never as root. */
static void fill_user(const char *path, struct msg_check_ask *ask)
{
	struct stat st;

	if (geteuid() != 0)
		return;
	ask->uid = NOBODY;
	ask->gid = NOBODY;
	if (stat(path, &st) == 0 && st.st_uid != 0) {
		ask->uid = st.st_uid;
		ask->gid = st.st_gid;
	}
}

static bool heard(void *arg, const struct msg *m)
{
	struct answer *a = arg;
	struct unpack u;

	unpack_init(&u, m->payload, m->h.len);
	if (m->h.type == MSG_CHECK_VALUE)
		got_value(a, &u);
	else if (m->h.type == MSG_CHECK_FINDING)
		got_finding(a, &u);
	else if (m->h.type == MSG_CHECK_SITES && !check_sites_heard(&a->sites, &u))
		return false;
	return !u.bad;
}

static void show(struct answer *a, const char *path, int code)
{
	if (a->json) {
		struct buf head;

		buf_init(&head, PATH_MAX * 8);
		json_str(&head, "path", path);
		printf("{%s,\"ok\":%s,\"values\":[%s],\"sites\":[%s],\"findings\":[%s]}\n",
			buf_str(&head), code == VERB_EXIT_DONE ? "true" : "false",
			buf_str(&a->out), buf_str(&a->sites.out), buf_str(&a->notes));
		buf_done(&head);
		return;
	}
	if (code == VERB_EXIT_DONE || a->sites.n)
		printf("%s", buf_str(&a->out));
	check_sites_show(&a->sites);
	(void)fflush(stdout);
	fprintf(stderr, "%s%s",
		(code == VERB_EXIT_DONE || a->sites.n) && a->findings > 0 ? "\n" : "",
		buf_str(&a->notes));
	if (a->errors > 0)
		fprintf(stderr, "%u error%s\n", a->errors, a->errors == 1 ? "" : "s");
}

/* "" for the current folder, else the folder's name with a slash. */
static void prefix_of(const char *path, char ret[PATH_MAX + 1])
{
	const char *slash = strrchr(path, '/');
	struct stat st;
	size_t n = strlen(path);

	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		n = slash != NULL ? (size_t)(slash - path) : 0;
	while (n > 1 && path[n - 1] == '/')
		n--;
	ret[0] = '\0';
	if (n > 0 && n < PATH_MAX - 1 && !(n == 1 && path[0] == '.'))
		(void)snprintf(
			ret, PATH_MAX + 1, "%.*s%s", (int)n, path, path[n - 1] == '/' ? "" : "/");
}

/* The state folder: given, of the environment, or FOLDER/.stead. */
static void state_of(const char *path, const char *given, char ret[PATH_MAX])
{
	const char *env = getenv("STEAD_STATE");
	char full[PATH_MAX];
	struct stat st;

	if (given == NULL && env != NULL && env[0] != '\0')
		given = env;
	ret[0] = '\0';
	if (given != NULL) {
		if (realpath(given, full) == NULL ||
			snprintf(ret, PATH_MAX, "%s", full) >= PATH_MAX)
			(void)snprintf(ret, PATH_MAX, "%s", given);
		return;
	}
	if (realpath(path, full) == NULL)
		return;
	if (stat(full, &st) == 0 && !S_ISDIR(st.st_mode))
		*strrchr(full, '/') = '\0';
	if (snprintf(ret, PATH_MAX, "%s/.stead", full) >= PATH_MAX)
		ret[0] = '\0';
}

int verb_check(const char *roles_dir, const char *path, const char *state_dir_or_null, bool json)
{
	struct answer a = {.json = json, .sites = {.json = json}};
	struct msg_check_ask q = {.mode = CHECK_FOLDER};
	char prefix[PATH_MAX + 1], state[PATH_MAX], runtime[300];
	int r;

	prefix_of(path, prefix);
	state_of(path, state_dir_or_null, state);
	instance_runtime(state, runtime, sizeof runtime);
	fill_user(path, &q);
	a.prefix = prefix;
	buf_init(&a.out, 64 * 1024 * 1024);
	buf_init(&a.notes, 1024 * 1024);
	buf_init(&a.sites.out, 64 * 1024 * 1024);
	r = check_ask(roles_dir, &q, (const char *const[4]){path, "", state, runtime}, heard, &a);
	/* A file of Sites= that is wrong stops nobody else, but it is what was asked for here. */
	if (r == VERB_EXIT_DONE && a.errors > 0)
		r = VERB_EXIT_USAGE;
	if (r >= 0)
		show(&a, path, r);
	else
		r = VERB_EXIT_FAILED;
	buf_done(&a.out);
	buf_done(&a.notes);
	buf_done(&a.sites.out);
	return r;
}
