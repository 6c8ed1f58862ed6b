/*
 * up_listen.c: the step of the up flow that binds: one address from --http, or all of Listen=.
 *
 * Called by the up flow; status and the end of `up` ask for the URLs. The parent binds each address
 * by itself; here it is all or nothing: when one cannot be had, those that were bound are given back
 * and each that failed is named with its place in the file. Owns the flow's list of addresses; what
 * came of it is kept in the app's row as one blank-separated text, whose first address is the one
 * that the first real request goes to.
 */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void up_listen(struct up *u, const char *const *addresses)
{
	struct ctl *c = u->ctl;

	u->binding = true;
	u->listen_id = c->ids + 1;
	for (u->listen_n = 0; u->listen_n < CTL_LISTEN_MAX && addresses[u->listen_n];
		u->listen_n++) {
		struct msg_listener m = {.listener = LISTENER_NUMBER + u->listen_n};
		const char *address = addresses[u->listen_n];

		(void)snprintf(u->listen[u->listen_n].address, CTL_ADDRESS_MAX, "%s", address);
		(void)parent_send(c, MSG_BIND, ++c->ids, &m, sizeof m, address, strlen(address) + 1,
			NULL, 0);
	}
	u->listen_left = u->listen_n;
}

/* Where the file says this one; NULL when it was given with --http or is the default. */
static const struct app_value *written(const struct up *u, unsigned index)
{
	for (const struct app_value *v = u->app.values; v; v = v->next)
		if (strcmp(v->section, "Server") == 0 && strcmp(v->key, "Listen") == 0 &&
			v->text[0] && index-- == 0)
			return v->line && !u->client_chose ? v : NULL;
	return NULL;
}

static void give_back(struct up *u)
{
	for (unsigned i = 0; i < u->listen_n; i++) {
		struct msg_listener m = {.listener = LISTENER_NUMBER + i};

		if (!u->listen[i].err)
			(void)parent_send(
				u->ctl, MSG_UNBIND, 0, &m, sizeof m, NULL, 0, NULL, 0);
	}
}

static void refused(struct up *u)
{
	char text[sizeof u->fail_error] = "";
	uint32_t err = 0;
	size_t n = 0;

	for (unsigned i = 0; i < u->listen_n; i++) {
		const struct app_value *v = written(u, i);
		char place[600] = "";

		if (!u->listen[i].err)
			continue;
		if (v)
			(void)snprintf(place, sizeof place, "%.500s:%u:%u: ", v->file,
				(unsigned)v->line, (unsigned)v->col);
		if (n < sizeof text)
			n += (size_t)snprintf(text + n, sizeof text - n,
				"%s%sCannot listen on %s: %s.", n ? "\n" : "", place,
				u->listen[i].address, strerror((int)u->listen[i].err));
		err = err ? err : u->listen[i].err;
	}
	if (!err)
		return;
	give_back(u);
	up_fail(u, err == EACCES ? VERB_EXIT_NOT_PERMITTED : VERB_EXIT_FAILED,
		err == EADDRINUSE ? "end what uses it (`stead doctor ports` or `ss -ltnp` shows what), or choose another "
				    "with --http or Listen="
		: err == EACCES ? "choose a port from 1024 on with --http, or run stead as root"
		: err == EADDRNOTAVAIL
			? "no network interface here has that address (`ip address` shows those "
			  "that there are): choose another with --http or Listen="
			: "choose another address with --http or Listen=",
		"%s", text);
}

void up_bound(struct ctl *c, uint64_t id, uint32_t err, const char *address)
{
	struct up *u = c->up;
	size_t n = 0;

	if (!u || id < u->listen_id || id - u->listen_id >= u->listen_n || !u->listen_left)
		return;
	u->listen[id - u->listen_id].err = err;
	if (!err && address[0])
		(void)snprintf(u->listen[id - u->listen_id].address, CTL_ADDRESS_MAX, "%s", address);
	if (--u->listen_left > 0 || u->failing)
		return;
	refused(u);
	if (u->failing)
		return;
	u->bound = true;
	u->app.http[0] = '\0';
	for (unsigned i = 0; i < u->listen_n && n < sizeof u->app.http; i++)
		n += (size_t)snprintf(u->app.http + n, sizeof u->app.http - n, "%s%s", i ? " " : "",
			u->listen[i].address);
	up_advance(u);
}

/* ---- what is bound, for others ---- */

void listen_first(const struct app *a, char ret[static CTL_ADDRESS_MAX])
{
	(void)snprintf(ret, CTL_ADDRESS_MAX, "%.*s",
		(int)min_of(strcspn(a->http, " "), (size_t)CTL_ADDRESS_MAX - 1), a->http);
}

void listen_url(const struct app *a, char ret[static CTL_URL_MAX])
{
	char address[CTL_ADDRESS_MAX];

	listen_first(a, address);
	(void)snprintf(ret, CTL_URL_MAX, "http://%s", address);
}

/* By the name that its certificate is for, where that is the local one. */
static void add_urls(json_t *list, const char *scheme, const char *at, bool local)
{
	while (*at) {
		int n = (int)strcspn(at, " "), colon = n;

		while (local && colon && at[colon] != ':')
			colon--;
		(void)json_array_append_new(list,
			local ? json_sprintf("%s://localhost%.*s", scheme, n - colon, at + colon)
			      : json_sprintf("%s://%.*s", scheme, n, at));
		at += n;
		at += strspn(at, " ");
	}
}

json_t *listen_urls(const struct ctl *c, const struct app *a)
{
	json_t *list = json_array();

	add_urls(list, "http", a->http, false);
	add_urls(list, "https", c->https, local_serves_own(c));
	return list;
}
