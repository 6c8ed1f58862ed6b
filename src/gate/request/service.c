/*
 * service.c: the runs of programs that stead runs, as servers of upstreams.
 *
 * Called by control.c with the parent's words, by up_upstream.c with snapshots and time, by
 * up_health.c with what a probe found. Owns one row for each run. While a run is tried, its servers
 * (the socket handed over, its port, or both) are probed and given nothing else; the first that
 * answers is told to the parent, which tells all gates where to go. A run that drains gets nothing
 * new, and the parent is told when its last call is over. While ctl says that no run of an app
 * comes up, calls to it are over at once.
 */
#include "service.h"
#include "lib/must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRY_MS_MIN = 10, TRY_MS_MAX = 500, AT_SOCKET = 0, AT_PORT, PLACES };

struct service_at {
	struct up_server *server; /* NULL: not there, or not placed yet */
	uint64_t try_ms;          /* not before */
	uint32_t pause_ms, good;
};

struct app_down {
	struct app_down *next;
	uint32_t app, retry_s;
};

struct service {
	struct service *next;
	struct msg_service m;
	char *path, *probe;
	struct service_at at[PLACES];
	bool draining;
	bool told;   /* the parent, that it answered */
	bool unwell; /* the log, that it answers with errors */
};

static struct service *find(struct up *up, const struct msg_service *m)
{
	struct service *s = up->services;

	while (s && (s->m.app != m->app || s->m.slot != m->slot || s->m.generation != m->generation))
		s = s->next;
	return s;
}

static bool has_place(const struct service *s, unsigned at)
{
	if (s->m.listen == SERVICE_AUTO)
		return true;
	return (s->m.listen == SERVICE_PORT) == (at == AT_PORT) && s->m.listen != SERVICE_NONE;
}

/* Leave what it no longer needs to the sweep. */
static void detach(struct service *s, unsigned at)
{
	struct up_server *server = s->at[at].server;

	if (!server)
		return;
	server->known = false;
	server->service = NULL;
	s->at[at].server = NULL;
}

static void service_free(struct service *s)
{
	for (unsigned i = 0; i < PLACES; i++)
		detach(s, i);
	free(s->path);
	free(s->probe);
	free(s);
}

static void drop(struct up *up, struct service *s)
{
	struct service **at = &up->services;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	service_free(s);
	up_tick_in(up, 1);
}

/* ---- apps that are down ---- */

static struct app_down **down_at(struct up *up, uint32_t app)
{
	struct app_down **at = &up->downs;

	while (*at && (*at)->app != app)
		at = &(*at)->next;
	return at;
}

static void forget_down(struct up *up, uint32_t app)
{
	struct app_down **at = down_at(up, app), *d = *at;

	if (!d)
		return;
	*at = d->next;
	free(d);
}

/* What this gate sees is newer than what ctl was told. */
static bool serves(const struct up *up, uint32_t app)
{
	for (const struct service *s = up->services; s; s = s->next)
		if (s->m.app == app && s->m.state == SERVICE_SERVES && !s->draining)
			return true;
	return false;
}

void services_on_overlay(struct up *up, const struct msg_overlay *o)
{
	struct app_down *d;

	if (o->kind != OVERLAY_APP_DOWN)
		return;
	forget_down(up, o->key);
	if (!o->on || serves(up, o->key) || !(d = calloc(1, sizeof(*d))))
		return;
	*d = (struct app_down){.next = up->downs, .app = o->key, .retry_s = o->retry_after_s};
	up->downs = d;
	for (struct upstream *u = up->all; u; u = u->next)
		while (u->app == o->key && u->first)
			up_call_over(u->first, CLOSE_APP_DOWN);
}

bool service_is_down(const struct upstream *u, unsigned *ret_retry_s)
{
	const struct app_down *d = u->app ? *down_at(u->up, u->app) : NULL;

	if (d)
		*ret_retry_s = d->retry_s;
	return d;
}

void services_free(struct up *up)
{
	while (up->downs)
		forget_down(up, up->downs->app);
	while (up->services) {
		struct service *s = up->services;

		up->services = s->next;
		service_free(s);
	}
}

static struct upstream *upstream_of(struct up *up, const struct service *s)
{
	struct upstream *u = up->all;

	while (u && (!u->known || !u->app || u->app != s->m.app || u->protocol != s->m.protocol))
		u = u->next;
	return u;
}

static void place_at(struct service *s, struct upstream *u, unsigned at)
{
	static const uint8_t loopback[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
	struct up_server *server = s->at[at].server;
	bool serves = s->m.state == SERVICE_SERVES;

	/* It was tried as what is coming, and is the app's own since this snapshot. */
	if (server && server->u != u) {
		detach(s, at);
		server = NULL;
	}
	if (!server) {
		server = up_server_add(u, (uint32_t)s->m.generation,
			at == AT_PORT ? "127.0.0.1" : s->path, at == AT_PORT ? loopback : NULL,
			at == AT_PORT ? (uint16_t)s->m.port : 0);
		if (!server)
			return;
		server->service = s;
		s->at[at] = (struct service_at){.server = server};
	}
	server->known = serves;
}

static void place(struct up *up, struct service *s)
{
	struct upstream *u = s->draining ? NULL : upstream_of(up, s);

	for (unsigned i = 0; i < PLACES; i++) {
		if (!has_place(s, i))
			detach(s, i);
		else if (u)
			place_at(s, u, i);
	}
	up_tick_in(up, 1);
}

void services_place(struct up *up)
{
	for (struct service *s = up->services; s; s = s->next)
		place(up, s);
}

bool service_needs(const struct up_server *s)
{
	const struct service *service = s->service;

	return !service->draining && s->u->app == service->m.app &&
	       s->u->protocol == service->m.protocol;
}

void service_lost(struct up_server *s)
{
	for (unsigned i = 0; i < PLACES; i++)
		if (s->service->at[i].server == s)
			s->service->at[i] = (struct service_at){0};
	s->service = NULL;
}

/* ---- what the parent says ---- */

static void told(struct up *up, const struct msg_service *m, struct unpack *texts)
{
	const char *path = unpack_str(texts), *probe = unpack_str(texts);
	struct service *s = find(up, m);

	if (texts->bad || m->listen > SERVICE_PATH)
		return;
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return;
		s->path = strdup(path);
		s->probe = strdup(*probe == '/' ? probe : "/");
		if (!s->path || !s->probe) {
			service_free(s);
			return;
		}
		s->next = up->services;
		up->services = s;
	}
	s->m = *m;
	if (m->state == SERVICE_SERVES)
		forget_down(up, m->app);
	place(up, s);
}

void service_heard(struct gate *g, struct msg *m)
{
	struct up *up = gate_up(g);
	struct msg_service said;
	struct unpack texts;
	struct service *s;
	const char *tail;
	size_t n;

	if (msg_get(m, &said, sizeof(said), sizeof(said)) < 0)
		return;
	s = find(up, &said);
	if (m->h.type == MSG_SERVICE) {
		tail = msg_tail(m, sizeof(said), &n);
		unpack_init(&texts, tail, n);
		told(up, &said, &texts);
	} else if (m->h.type == MSG_SERVICE_GONE) {
		if (s)
			drop(up, s);
	} else if (s) {
		s->draining = true;
		for (unsigned i = 0; i < PLACES && said.stage == DRAIN_OVER; i++)
			if (s->at[i].server)
				up_server_end_calls(s->at[i].server, CLOSE_APP_DRAINED);
		up_tick_in(up, 1);
	} else {
		/* Nothing of it was ever here. */
		(void)chan_send(&g->parent, MSG_SERVICE_IDLE, 0, &said, sizeof(said), NULL, 0, NULL, 0);
	}
}

/* ---- trying ---- */

static void say_up(struct gate *g, struct service *s, const struct up_server *server)
{
	struct msg_service m = s->m;

	s->told = true;
	if (m.listen == SERVICE_AUTO)
		m.listen = server == s->at[AT_PORT].server ? SERVICE_PORT : SERVICE_FD;
	(void)chan_send(&g->parent, MSG_SERVICE_UP, 0, &m, sizeof(m), NULL, 0, NULL, 0);
}

static void say_unwell(struct gate *g, struct service *s, const struct up_server *server, unsigned status)
{
	char text[12];

	if (s->unwell)
		return;
	s->unwell = true;
	(void)snprintf(text, sizeof(text), "%u", status);
	gate_event(g, EV_APP_UNWELL, "app", server->u->name, "path", s->probe, "status", text, (char *)NULL);
}

void service_probed(struct up_server *server, bool well, unsigned status)
{
	struct service *s = server->service;
	struct up *up = server->u->up;

	for (unsigned i = 0; i < PLACES; i++) {
		struct service_at *at = &s->at[i];

		if (at->server != server)
			continue;
		at->good = well ? at->good + 1 : 0;
		at->pause_ms = well ? 0 : min_of(at->pause_ms + at->pause_ms / 2 + TRY_MS_MIN, (uint32_t)TRY_MS_MAX);
		at->try_ms = loop_now_ms(up->gate->loop) + at->pause_ms;
		if (well && at->good >= s->m.answers && !s->told)
			say_up(up->gate, s, server);
		/* What it is as a server begins when it serves. */
		server->fails = 0;
		server->out_until_ms = 0;
		server->out_ms = 0;
	}
	if (!well && status >= 500)
		say_unwell(up->gate, s, server, status);
	up_tick_in(up, 1);
}

static uint64_t try_run(struct service *s, uint64_t now_ms)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < PLACES; i++) {
		struct service_at *at = &s->at[i];

		if (!at->server || at->server->probe)
			continue;
		if (now_ms >= at->try_ms)
			up_probe_server(at->server, s->probe);
		else
			next = min_of(next, at->try_ms);
	}
	return next;
}

/* Its servers are gone, and so are its calls. */
static bool is_idle(const struct service *s)
{
	for (unsigned i = 0; i < PLACES; i++)
		if (s->at[i].server)
			return false;
	return true;
}

uint64_t services_look(struct up *up, uint64_t now_ms)
{
	uint64_t next = UINT64_MAX, at;
	struct service *s, *after;

	for (s = up->services; s; s = after) {
		after = s->next;
		if (s->draining && is_idle(s)) {
			(void)chan_send(&up->gate->parent, MSG_SERVICE_IDLE, 0, &s->m, sizeof(s->m),
				NULL, 0, NULL, 0);
			drop(up, s);
		} else if (!s->draining && s->m.state == SERVICE_TRY && !s->told) {
			at = try_run(s, now_ms);
			next = min_of(next, at);
		}
	}
	return next;
}
