/*
 * verb_units.c: start, stop, restart, enable, disable, is-active and status of apps, as systemctl has them: several names
 * in one call, its words and its exit codes.
 *
 * Called by main.c and verbs.c. Each name is one request; a name that fails does not keep the next from being asked. Holds
 * nothing.
 */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNIT_LINES = 10 };

/* The first that went wrong counts. */
static int worst(int a, int b)
{
	return a ? a : b;
}

/* That request for each app. */
static int each(struct cli *c, const char *verb)
{
	int code = 0;

	for (unsigned i = 0; i < c->args.nargs; i++)
		code = worst(code, verb_ask(c, json_pack("{s:s, s:s}", "verb", verb, "app", c->args.arg[i])));
	return code;
}

int verb_start(struct cli *c)
{
	return each(c, "start");
}

int units_stop(struct cli *c)
{
	return each(c, "app-stop");
}

int units_restart(struct cli *c)
{
	return each(c, "restart");
}

int units_reload(struct cli *c)
{
	return each(c, "app-reload");
}

int verb_enable(struct cli *c)
{
	return each(c, "enable");
}

int verb_disable(struct cli *c)
{
	return each(c, "disable");
}

/* The status of that app, a new reference; NULL: *ret_code says why there is none, and it was shown unless `quiet`. */
static json_t *status_of(struct cli *c, const char *app, int *ret_code)
{
	json_t *end = verb_ask_end(c, json_pack("{s:s, s:s, s:b}", "verb", "status", "app", app, "json", 1), ret_code), *status;

	if (!end)
		return NULL;
	status = json_incref(json_object_get(end, "status"));
	json_decref(end);
	if (!json_is_object(status)) {
		json_decref(status);
		*ret_code = VERB_EXIT_FAILED;
		return NULL;
	}
	return status;
}

static const json_t *site_of(const json_t *status, const char *app)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(status, "sites"), i, o)
	{
		const char *name = json_string_value(json_object_get(o, "name"));

		if (name && strcmp(name, app) == 0)
			return o;
	}
	return NULL;
}

/* A site without an app is there as long as its file is. */
static const char *active_of(const json_t *site)
{
	const char *word = json_string_value(json_object_get(json_object_get(site, "unit"), "active"));

	return !site ? "inactive" : word ? word : "active";
}

static int code_of(const json_t *site)
{
	return strcmp(active_of(site), "active") == 0 ? VERB_EXIT_DONE : VERB_EXIT_NOT_RUNNING;
}

static void show_active(const struct cli *c, const char *app, const char *word)
{
	json_t *o = c->json ? json_pack("{s:s, s:s}", "app", app, "active", word) : NULL;
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	(void)puts(text ? text : word);
	free(text);
	json_decref(o);
}

int verb_is_active(struct cli *c)
{
	bool any = false;
	int code = 0;

	for (unsigned i = 0; i < c->args.nargs; i++) {
		int one = 0;
		json_t *status = status_of(c, c->args.arg[i], &one);
		const json_t *site = status ? site_of(status, c->args.arg[i]) : NULL;

		one = status ? code_of(site) : one;
		any |= one == 0;
		code = worst(code, one);
		if (!c->quiet)
			show_active(c, c->args.arg[i], active_of(site));
		json_decref(status);
	}
	return any ? VERB_EXIT_DONE : code;
}

/* Its last lines, new; what cannot be had is left out. */
static json_t *lines_of(struct cli *c, const char *app)
{
	json_t *list = json_array(), *o;
	struct client cl;
	int got;

	if (verb_open(c, &cl))
		return list;
	got = client_ask(&cl, json_pack("{s:s, s:s, s:i}", "verb", "logs", "app", app, "lines", UNIT_LINES)) < 0 ? 0 : 1;
	while (got > 0 && (got = client_next(&cl, 5000, &o)) > 0) {
		const char *event = json_string_value(json_object_get(o, "event"));

		if (event && strcmp(event, "end") == 0 && !json_object_get(o, "kind"))
			got = 0;
		else if (json_array_size(list) < UNIT_LINES)
			(void)json_array_append(list, o);
		json_decref(o);
	}
	client_close(&cl);
	return list;
}

static int one_status(struct cli *c, const char *app, bool more)
{
	int code = 0;
	json_t *status = status_of(c, app, &code), *lines;
	const json_t *site = status ? site_of(status, app) : NULL;
	char *text;

	if (!status)
		return code;
	code = code_of(site);
	show_measure(status);
	if (c->json) {
		text = json_dumps(status, JSON_INDENT(2));
		if (text)
			(void)puts(text);
		free(text);
	} else if (json_is_object(json_object_get(site, "unit"))) {
		lines = lines_of(c, app);
		show_unit(c, site, json_object_get(status, "processes"), lines);
		json_decref(lines);
	} else {
		show_status(c, status);
	}
	if (more && !c->json)
		(void)putchar('\n');
	json_decref(status);
	return code;
}

int units_status(struct cli *c)
{
	int code = 0;

	for (unsigned i = 0; i < c->args.nargs; i++)
		code = worst(code, one_status(c, c->args.arg[i], i + 1 < c->args.nargs));
	return code;
}
