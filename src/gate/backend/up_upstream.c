/*
 * up_upstream.c: the upstreams of a gate, kept by name over snapshots, and what is looked at now and then.
 *
 * Called by control.c with snapshots, by up_call.c and the loop. Owns upstreams and servers. One timer
 * runs only while something waits for it: rests, probes, queues, kept connections, names.
 */
#include "up.h"
#include "lib/must.h"
#include "resolve.h"
#include "service.h"
#include "tcp.h"
#include "tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RETRY_AFTER_S = 2 };

int up_new(struct up **ret, struct gate *g, uint16_t op_base)
{
	struct up *up = calloc(1, sizeof(*up));

	if (!up)
		return -ENOMEM;
	up->gate = g;
	up->op_base = op_base;
	up->ca_fd = -1;
	up->turn.kind = (uint16_t)(op_base + UP_OP_TURN);
	up->tick.op.kind = (uint16_t)(op_base + UP_OP_TICK);
	*ret = up;
	return 0;
}

static void server_free(struct up_server *s)
{
	up_probe_cancel(s);
	if (s->service)
		service_lost(s);
	while (s->idle)
		up_conn_close(s->idle);
	tls_session_free(s->tls_session);
	free(s->name);
	free(s->label);
	free(s);
}

static void upstream_free(struct upstream *u)
{
	while (u->servers) {
		struct up_server *s = u->servers;

		u->servers = s->next;
		server_free(s);
	}
	free(u->name);
	free(u->check);
	free(u->sticky);
	free(u->script_root);
	free(u->script_index);
	free(u);
}

void up_free(struct up *up)
{
	if (!up)
		return;
	services_free(up);
	while (up->all) {
		struct upstream *u = up->all;

		for (struct up_server *s = u->servers; s; s = s->next)
			up_probe_cancel(s);
		must(!u->active && !u->first);
		up->all = u->next;
		upstream_free(u);
	}
	loop_timer_stop(up->gate->loop, &up->tick);
	loop_defer_cancel(up->gate->loop, &up->turn);
	up_on_turn(up->gate->loop, &up->turn, 0);
	tls_ctx_free(up->tls_ctx);
	tls_ctx_free(up->tls_ctx_noverify);
	if (up->ca_fd >= 0)
		close(up->ca_fd);
	free(up->by_index);
	free(up);
}

/* Ten thousand sites may have as many. */
static struct upstream **bucket(struct up *up, const char *name)
{
	static const uint8_t key[16] = "stead-upstreams";

	return &up->by_name[up_siphash(key, name, strlen(name)) % UP_BUCKETS];
}

static struct upstream *find(struct up *up, const char *name)
{
	struct upstream *u = *bucket(up, name);

	while (u && strcmp(u->name, name) != 0)
		u = u->name_next;
	return u;
}

static void forget_name(struct upstream *u)
{
	struct upstream **at = bucket(u->up, u->name);

	while (*at != u)
		at = &(*at)->name_next;
	*at = u->name_next;
}

struct upstream *up_find(struct up *up, struct snap *s, uint32_t index)
{
	const struct snap_upstream *row;

	if (s == up->snap)
		return index < up->nby_index ? up->by_index[index] : NULL;
	/* A request that began under an older snapshot. */
	row = snap_upstream(s, index);
	return row ? find(up, snap_str(s, row->name, NULL)) : NULL;
}

/* False: no memory, *at is as before. */
static bool set_text(char **at, const char *text)
{
	char *copy = *text ? strdup(text) : NULL;

	if (*text && !copy)
		return false;
	free(*at);
	*at = copy;
	return true;
}

static bool same_server(const struct up_server *s, const struct snap_server *row, const char *name)
{
	return s->kind == row->kind && s->number == row->number && s->port == row->port &&
	       !strcmp(s->name, name);
}

static char *label_of(const struct snap_server *row, const char *name)
{
	char *label;
	int n;

	if (row->kind == SNAP_SERVER_UNIX)
		n = asprintf(&label, "unix:%s", name);
	else if (strchr(name, ':'))
		n = asprintf(&label, "[%s]:%u", name, row->port);
	else
		n = asprintf(&label, "%s:%u", name, row->port);
	return n < 0 ? NULL : label;
}

static struct up_server *server_new(struct upstream *u, const struct snap_server *row, const char *name)
{
	static const uint8_t key[16] = "stead-upstream";
	struct up_server *s = calloc(1, sizeof(*s)), **at;

	if (!s)
		return NULL;
	s->name = strdup(name);
	s->label = s->name ? label_of(row, name) : NULL;
	if (!s->label) {
		free(s->name);
		free(s);
		return NULL;
	}
	s->label_len = (uint32_t)strlen(s->label);
	s->u = u;
	s->kind = row->kind;
	s->number = row->number;
	s->port = row->port;
	s->hash = up_siphash(key, name, strlen(name)) ^ row->port;
	if (row->kind == SNAP_SERVER_ADDRESS) {
		memcpy(s->addresses[0], row->address, 16);
		s->naddresses = 1;
	}
	for (at = &u->servers; *at; at = &(*at)->next)
		;
	*at = s;
	return s;
}

struct up_server *up_server_add(struct upstream *u, uint32_t number, const char *path, const uint8_t *address, uint16_t port)
{
	struct snap_server row = {.kind = address ? SNAP_SERVER_ADDRESS : SNAP_SERVER_UNIX,
		.number = number,
		.port = port};
	struct up_server *s;

	if (address)
		memcpy(row.address, address, sizeof(row.address));
	s = server_new(u, &row, path);
	if (s)
		s->weight = 1;
	return s;
}

static void set_servers(struct upstream *u, struct snap *snap, const struct snap_upstream *row)
{
	u->weights = 0;
	for (struct up_server *s = u->servers; s; s = s->next)
		s->known = s->known && s->service;
	for (uint32_t i = 0; i < row->servers.n; i++) {
		const struct snap_server *r = snap_item(snap, row->servers, i, sizeof(*r));
		struct up_server *s = u->servers;
		const char *name = r ? snap_str(snap, r->name, NULL) : NULL;

		if (!r)
			continue;
		while (s && !same_server(s, r, name))
			s = s->next;
		if (!s)
			s = server_new(u, r, name);
		if (!s)
			continue;
		s->known = true;
		s->weight = r->weight ? r->weight : 1;
		u->weights += s->weight;
	}
}

/* Servers and upstreams that are not in the configuration any more, once nobody uses them. */
static void sweep(struct up *up)
{
	for (struct upstream **at = &up->all; *at;) {
		struct upstream *u = *at;

		for (struct up_server **sat = &u->servers; *sat;) {
			struct up_server *s = *sat;

			if (u->known && (s->service ? service_needs(s) : s->known)) {
				sat = &s->next;
				continue;
			}
			s->known = false;
			while (s->idle)
				up_conn_close(s->idle);
			up_probe_cancel(s);
			if (s->active || s->conns) {
				sat = &s->next;
				continue;
			}
			*sat = s->next;
			server_free(s);
		}
		if (u->known || u->servers || u->active || u->first) {
			at = &u->next;
			continue;
		}
		*at = u->next;
		forget_name(u);
		upstream_free(u);
	}
}

static struct upstream *upstream_set(struct up *up, struct snap *s, const struct snap_upstream *row)
{
	const char *name = snap_str(s, row->name, NULL);
	struct upstream *u = find(up, name);

	if (!u) {
		u = calloc(1, sizeof(*u));
		if (!u || !(u->name = strdup(name))) {
			free(u);
			return NULL;
		}
		u->up = up;
		u->next = up->all;
		up->all = u;
		u->name_next = *bucket(up, name);
		*bucket(up, name) = u;
	}
	u->known = true;
	u->number = row->number;
	u->app = row->app;
	u->protocol = row->protocol;
	u->needs_length = row->protocol < UP_CODECS && up_codecs[row->protocol] &&
			  up_codecs[row->protocol]->needs_length;
	u->balance = row->balance;
	u->flags = row->flags;
	u->check_ms = row->check_ms ? row->check_ms : 5000;
	u->fail_max = row->fail_max ? row->fail_max : 1;
	u->retry = row->retry;
	u->keep_alive = row->keep_alive;
	u->slow_start_ms = row->slow_start_ms;
	u->connections_max = row->connections_max;
	u->idle_ms = row->idle_ms ? row->idle_ms : UP_IDLE_MS;
	if (up_is_shared(u))
		u->idle_ms = min_of(u->idle_ms, (uint32_t)UP_SHARE_MS);
	u->queue = row->queue;
	u->queue_timeout_ms = row->queue_timeout_ms;
	u->timeout_ms = row->timeout_ms ? row->timeout_ms : 60000;
	memcpy(u->sticky_key, row->sticky_key, sizeof(u->sticky_key));
	if (!set_text(&u->check, snap_str(s, row->check, NULL)) ||
		!set_text(&u->sticky, snap_str(s, row->sticky, NULL)) ||
		!set_text(&u->script_root, snap_str(s, row->root, NULL)) ||
		!set_text(&u->script_index, snap_str(s, row->index, NULL)))
		return NULL;
	set_servers(u, s, row);
	return u;
}

void up_on_snap(struct up *up, struct snap *s)
{
	unsigned n = snap_nupstreams(s);
	struct upstream **table = calloc(n + 1, sizeof(struct upstream *));

	for (struct upstream *u = up->all; u; u = u->next)
		u->known = false;
	for (unsigned i = 0; i < n; i++) {
		const struct snap_upstream *row = snap_upstream(s, i);
		struct upstream *u = row ? upstream_set(up, s, row) : NULL;

		if (table)
			table[i] = u;
	}
	free(up->by_index);
	up->by_index = table;
	up->nby_index = table ? n : 0;
	up->snap = table ? s : NULL;
	sweep(up);
	services_place(up);
	if (up->all)
		up_tick_in(up, 1);
}

unsigned up_retry_after_s(const struct upstream *u, enum close_id why)
{
	unsigned retry_s = RETRY_AFTER_S;

	switch (why) {
	case CLOSE_APP_DOWN:
		(void)(u && service_is_down(u, &retry_s));
		return retry_s;
	case CLOSE_UP_NONE:
	case CLOSE_UP_QUEUE_FULL:
	case CLOSE_UP_BUSY:
	case CLOSE_NO_MEMORY:
	case CLOSE_BUDGET:
		return RETRY_AFTER_S;
	default:
		return 0;
	}
}

void up_tick_in(struct up *up, uint64_t ms)
{
	uint64_t at = loop_now_ms(up->gate->loop) + ms;

	if (!up->tick.at_ms || up->tick.at_ms > at)
		loop_timer(up->gate->loop, &up->tick, at);
}

/* Ask for a name's addresses when they are old. */
static uint64_t look_up(struct up *up, struct up_server *s, uint64_t now)
{
	if (s->kind != SNAP_SERVER_NAME || !s->known)
		return UINT64_MAX;
	if (now >= s->resolve_at_ms && resolve_ask(up->gate, s->name) == 0)
		s->resolve_at_ms = now + RESOLVE_AGAIN_MS;
	return s->resolve_at_ms > now ? s->resolve_at_ms : now + RESOLVE_AGAIN_MS;
}

void up_ask_again(struct up *up)
{
	for (struct upstream *u = up->all; u; u = u->next)
		for (struct up_server *s = u->servers; s; s = s->next)
			if (!s->naddresses)
				s->resolve_at_ms = 0;
	if (up->all)
		up_tick_in(up, 1);
}

void up_on_resolved(struct up *up, const char *name, const uint8_t (*addresses)[16], unsigned n, uint32_t ttl_ms)
{
	uint64_t now = loop_now_ms(up->gate->loop);

	n = min_of(n, (unsigned)UP_ADDRESSES_MAX);
	for (struct upstream *u = up->all; u; u = u->next) {
		for (struct up_server *s = u->servers; s; s = s->next) {
			if (s->kind != SNAP_SERVER_NAME || strcmp(s->name, name) != 0)
				continue;
			s->resolve_at_ms = now + ttl_ms;
			if (!n)
				continue;
			if (s->naddresses != n || memcmp(s->addresses, addresses, n * 16) != 0)
				while (s->idle)
					up_conn_close(s->idle);
			memcpy(s->addresses, addresses, n * 16);
			s->naddresses = (uint8_t)n;
		}
		if (u->first)
			up_call_dispatch(u);
		if (u->protocol == SNAP_PROTO_TCP)
			tcp_on_resolved(u);
	}
	up_tick_in(up, ttl_ms);
}

/* One upstream; the time at which it must be looked at next. */
static uint64_t look_at(struct upstream *u, uint64_t now)
{
	uint64_t next = UINT64_MAX;

	for (struct up_server *s = u->servers; s; s = s->next) {
		uint64_t at = look_up(u->up, s, now);

		next = min_of(next, at);
		up_conn_close_idle(s, now > u->idle_ms ? now - u->idle_ms : 0);
		up_conn_close_spare(s, now > UP_SPARE_MS ? now - UP_SPARE_MS : 0);
		if (s->out_until_ms > now && u->first)
			next = min_of(next, s->out_until_ms);
		if (s->idle)
			next = min_of(next, now + (u->idle_n > u->keep_alive ? UP_SPARE_MS : u->idle_ms / 8));
	}
	if (u->check && u->known) {
		if (now >= u->probe_at_ms) {
			u->probe_at_ms = now + u->check_ms;
			up_probe(u);
		}
		next = min_of(next, u->probe_at_ms);
	}
	if (u->first) {
		up_call_dispatch(u);
		next = min_of(next, now + UP_TICK_MS);
	}
	return next;
}

void up_on_tick(struct loop *l, struct op *op, int res)
{
	struct up *up = container_of(container_of(op, struct timer, op), struct up, tick);
	uint64_t now = loop_now_ms(l), next = UINT64_MAX, services;

	(void)res;
	for (struct upstream *u = up->all; u; u = u->next) {
		uint64_t at = look_at(u, now);

		next = min_of(next, at);
	}
	sweep(up);
	services = services_look(up, now);
	next = min_of(next, services);
	if (next != UINT64_MAX)
		up_tick_in(up, next > now ? next - now : 1);
}
