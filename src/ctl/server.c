/*
 * server.c: the server of a machine: it goes live at its start by itself, from the operator's folder.
 *
 * Called at the start, for SIGHUP, and by the up flow at its end. The flow is that of `stead up` without a client. What
 * cannot be served as it is written never keeps the server from starting: the last good configuration is tried, then
 * the defaults, which always hold; and when not even an address can be had, again with growing pauses. Each end, good or
 * bad, is told to the parent (SERVING), for whom systemd waits. Owns the findings that status shows.
 */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_FIRST_MS = 1000, WAIT_MAX_MS = 60 * 1000, FOUND_MAX = 50 };

static const char *const source_names[SERVER_SOURCES] = {
	[SERVER_AS_WRITTEN] = "what is written", [SERVER_LAST_GOOD] = "the last good configuration", [SERVER_DEFAULTS] = "the defaults"};

/* ---- what the parent is told ---- */

static unsigned sites_not_as_written(const struct ctl *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->sites.n; i++)
		n += c->sites.all[i]->kept;
	return n;
}

static void tell(struct ctl *c)
{
	struct msg_serving m = {.done = 1};
	unsigned kept = sites_not_as_written(c), apps = 0;
	char text[200], more[110] = "";

	FOR_APPS(c, a)
		apps += a->run->serves;
	if (c->live_us == 0)
		(void)snprintf(text, sizeof text, "nothing is served: %.150s", c->server.why);
	else if (c->server.source != SERVER_AS_WRITTEN)
		(void)snprintf(text, sizeof text, "serving %s, not what %s says: %.110s", source_names[c->server.source],
			SERVER_FOLDER, c->server.why);
	else {
		if (c->server.failed)
			(void)snprintf(more, sizeof more, "; not reloaded: %.80s", c->server.why);
		else if (kept || c->server.found_n)
			(void)snprintf(more, sizeof more, "; %u finding%s, see `stead status`", c->server.found_n,
				c->server.found_n == 1 ? "" : "s");
		(void)snprintf(text, sizeof text, "serving %u site%s%s", c->sites.n + apps, c->sites.n + apps == 1 ? "" : "s", more);
	}
	(void)parent_send(c, MSG_SERVING, 0, &m, sizeof m, text, strlen(text), NULL, 0);
}

/* ---- findings ---- */

void server_forget_found(struct ctl *c)
{
	json_decref(c->server.found);
	c->server.found = NULL;
	c->server.found_n = 0;
}

void server_found(struct ctl *c, unsigned level, const char *file, unsigned line, unsigned col, const char *text,
	const char *todo)
{
	char place[600];

	if (!c->start.server || level > CONF_WARNING)
		return;
	if (file[0])
		(void)snprintf(place, sizeof place, "%.500s:%u:%u", file, line, col);
	else
		(void)snprintf(place, sizeof place, "%s", SERVER_FOLDER);
	say(c, EV_CONF_FOUND, "place", place, "found", text, "help", todo, NULL);
	if (!c->server.found)
		c->server.found = json_array();
	if (c->server.found_n++ < FOUND_MAX)
		(void)json_array_append_new(c->server.found,
			json_pack("{s:i, s:s?, s:i, s:i, s:s?, s:s?}", "level", (int)level, "file", file, "line", (int)line,
				"column", (int)col, "text", text, "todo", todo));
}

json_t *server_json(const struct ctl *c)
{
	if (!c->start.server)
		return json_null();
	return json_pack("{s:s, s:s, s:s, s:i, s:O?}", "serves", source_names[c->server.source], "error", c->server.why, "todo",
		c->server.help, "findings", (int)c->server.found_n, "found", c->server.found);
}

void server_free(struct ctl *c)
{
	loop_timer_stop(c->loop, &c->server.timer);
	server_forget_found(c);
}

/* ---- a server's defaults ---- */

static bool is_written(const struct app *a, const char *key)
{
	for (const struct app_value *v = a->values; v; v = v->next)
		if (strcmp(v->section, "Server") == 0 && strcmp(v->key, key) == 0 && strcmp(v->origin, "default") != 0)
			return true;
	return false;
}

int server_defaults(struct ctl *c, struct app *a)
{
	static const char *const rows[][2] = {{"Listen", "0.0.0.0:80"}, {"Listen", "[::]:80"}, {"ListenTls", "0.0.0.0:443"},
		{"ListenTls", "[::]:443"}};
	bool written[] = {is_written(a, "Listen"), is_written(a, "ListenTls")};
	int err = 0;

	if (!c->start.server)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(rows) && err == 0; i++) {
		const char *const text[6] = {"Server", "", rows[i][0], rows[i][1], "detected", ""};

		/* A machine without IPv6 has no such address. */
		if (written[i / 2] || (rows[i][1][0] == '[' && access("/proc/net/if_inet6", F_OK) < 0))
			continue;
		err = app_value_add(a, text, 0, 0);
	}
	return err;
}

/* ---- the start ---- */

static void try(struct ctl *c, enum server_source source)
{
	struct up *u = c->up || c->stopping ? NULL : up_new(c, NULL);

	if (!u)
		return;
	c->server.failed = false;
	c->server.source = (uint8_t)source;
	if (source == SERVER_AS_WRITTEN)
		server_forget_found(c);
	up_folder(u, SERVER_FOLDER);
	u->given = source == SERVER_LAST_GOOD ? UP_LAST_VALUES : source == SERVER_DEFAULTS ? UP_NO_VALUES : UP_CHECKED;
	up_advance(u);
}

void server_start(struct ctl *c)
{
	c->server.timer.op.kind = OP_SERVER;
	if (!c->start.server)
		return;
	if (c->live_us)
		tell(c);
	else
		try(c, SERVER_AS_WRITTEN);
}

void server_reload(struct ctl *c)
{
	if (!c->start.server || c->stopping)
		return;
	/* What the flow under way has read may be old already. */
	c->server.reload_due = c->up != NULL;
	if (c->up)
		return;
	loop_timer_stop(c->loop, &c->server.timer);
	if (c->live_us == 0) {
		try(c, SERVER_AS_WRITTEN);
		return;
	}
	reload_start(c, NULL);
	/* It could not even begin. */
	if (!c->up)
		tell(c);
}

void server_on_timer(struct loop *l, struct op *op, int res)
{
	struct ctl *c = container_of(op, struct ctl, server.timer.op);

	(void)l;
	(void)res;
	try(c, SERVER_AS_WRITTEN);
}

void server_flow_failed(struct up *u)
{
	struct ctl_server *s = &u->ctl->server;

	/* What a deployed app's own files say is for whoever deploys it. */
	if (u->deploy)
		return;
	s->failed = true;
	(void)snprintf(s->why, sizeof s->why, "%.*s", (int)sizeof s->why - 1, u->fail_error);
	(void)snprintf(s->help, sizeof s->help, "%.*s", (int)sizeof s->help - 1, u->fail_todo);
}

static void fall_back(struct ctl *c)
{
	enum server_source next = c->server.source + 1;
	char ms[24];

	if (next == SERVER_LAST_GOOD && (!c->app.known || strcmp(c->app.folder, SERVER_FOLDER) != 0))
		next = SERVER_DEFAULTS;
	if (next < SERVER_SOURCES) {
		char why[sizeof c->server.why], help[sizeof c->server.help];

		memcpy(why, c->server.why, sizeof why);
		memcpy(help, c->server.help, sizeof help);
		say(c, EV_SERVER_FALLS_BACK, "why", why, "help", help, "to", source_names[next], NULL);
		try(c, next);
		return;
	}
	c->server.wait_ms = c->server.wait_ms ? min_of(2 * c->server.wait_ms, (uint64_t)WAIT_MAX_MS) : WAIT_FIRST_MS;
	(void)snprintf(ms, sizeof ms, "%llu", (unsigned long long)c->server.wait_ms);
	say(c, EV_SERVER_WAITS, "why", c->server.why, "help", c->server.help, "next_ms", ms, NULL);
	loop_timer_in(c->loop, &c->server.timer, c->server.wait_ms);
	tell(c);
}

void server_flow_ended(struct ctl *c, bool deployed)
{
	if (!c->start.server || c->stopping)
		return;
	if (!deployed && c->live_us == 0 && c->server.failed) {
		fall_back(c);
		return;
	}
	if (!deployed && !c->server.failed) {
		c->server.wait_ms = 0;
		if (c->server.source == SERVER_AS_WRITTEN)
			c->server.why[0] = c->server.help[0] = '\0';
	}
	if (c->server.reload_due)
		server_reload(c);
	else
		tell(c);
}
