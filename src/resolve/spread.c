/*
 * spread.c: has a TXT record reached all name servers that answer for its zone? See resolve.h.
 *
 * Called by names.c with a question of certs, by c-ares, and by the loop between two steps. First the
 * system's name servers are asked whether the name is another's (CNAME), where its zone begins (the
 * nearest name above it that has NS records), and which addresses that zone's servers have; then each
 * server itself, without recursion, because what caches between us and it remember that the record
 * was not there is nothing to an authority. Owns the questions under way, bounded in number; each has
 * a channel of c-ares of its own for the server that is asked, made anew for each.
 */
#include "resolve.h"

#include <ares.h>
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/buf.h"
#include "lib/must.h"

enum { NAME_MAX_BYTES = 253, TEXT_MAX_BYTES = 255, SERVERS_MAX = 8, ALIASES_MAX = 4, TRY_MS = 2000, TRIES = 2 };

enum spread_step { STEP_ALIAS = 1, STEP_ZONE, STEP_SERVER, STEP_TEXT };

struct spread {
	struct spread *next;
	struct resolver *resolver;
	struct aide_peer *from; /* NULL: it is gone */
	uint64_t id;
	enum spread_step step;
	char name[NAME_MAX_BYTES + 1], text[TEXT_MAX_BYTES + 1];
	char zone[NAME_MAX_BYTES + 1]; /* that is tried, or was found */
	char server[SERVERS_MAX][NAME_MAX_BYTES + 1];
	char address[SERVERS_MAX][64];
	unsigned servers, at, aliases, first; /* first: that has it not */
	struct msg_spread_told told;
	struct lookups of; /* of the server; its channel NULL: there is none */
	struct op turn;     /* the next step, when c-ares is not on the stack any more */
};

static int open_channel(struct spread *s)
{
	struct ares_options o = {.timeout = TRY_MS,
		.tries = TRIES,
		.flags = ARES_FLAG_NORECURSE | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
		.sock_state_cb = sockets_want,
		.sock_state_cb_data = &s->of};
	ares_channel channel;

	s->of.resolver = s->resolver;
	if (ares_init_options(&channel, &o,
		    ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB) != ARES_SUCCESS)
		return -ENOMEM;
	s->of.channel = channel;
	s->of.next = s->resolver->others;
	s->resolver->others = &s->of;
	return 0;
}

/* Not while c-ares is on the stack. */
static void close_channel(struct spread *s)
{
	struct lookups **at = &s->resolver->others;

	if (!s->of.channel)
		return;
	while (*at != &s->of)
		at = &(*at)->next;
	*at = s->of.next;
	ares_destroy(s->of.channel);
	s->of.channel = NULL;
}

static void end(struct spread *s, uint32_t err)
{
	struct resolver *r = s->resolver;
	struct spread **at = &r->spreads;

	s->told.err = err;
	if (s->from)
		aide_answer(s->from, MSG_SPREAD_TOLD, s->id, &s->told, sizeof(s->told),
			s->told.missing ? s->server[s->first] : "",
			s->told.missing ? strlen(s->server[s->first]) + 1 : 1);
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	r->spreads_n--;
	r->queries_n--;
	loop_defer_cancel(r->loop, &s->turn);
	close_channel(s);
	free(s);
}

static void go(struct spread *s, enum spread_step step)
{
	s->step = step;
	loop_defer(s->resolver->loop, &s->turn);
}

/* ---- is the name another's? ---- */

static void alias_heard(void *arg, int status, int timeouts, unsigned char *p, int n)
{
	struct spread *s = arg;
	struct hostent *host = NULL;

	(void)timeouts;
	if (status == ARES_SUCCESS && ares_parse_a_reply(p, n, &host, NULL, NULL) == ARES_SUCCESS && host &&
		host->h_name && strlen(host->h_name) <= NAME_MAX_BYTES &&
		strcasecmp(host->h_name, s->name) != 0 && s->aliases++ < ALIASES_MAX) {
		(void)snprintf(s->name, sizeof(s->name), "%s", host->h_name);
		go(s, STEP_ALIAS);
	} else {
		memcpy(s->zone, s->name, sizeof(s->zone));
		go(s, STEP_ZONE);
	}
	if (host)
		ares_free_hostent(host);
}

/* ---- where does its zone begin? ---- */

static void zone_heard(void *arg, int status, int timeouts, unsigned char *p, int n)
{
	struct spread *s = arg;
	struct hostent *host = NULL;
	const char *dot = strchr(s->zone, '.');

	(void)timeouts;
	if (status == ARES_SUCCESS && ares_parse_ns_reply(p, n, &host) == ARES_SUCCESS && host)
		for (char **name = host->h_aliases; *name && s->servers < SERVERS_MAX; name++)
			if (strlen(*name) <= NAME_MAX_BYTES)
				(void)snprintf(s->server[s->servers++], NAME_MAX_BYTES + 1, "%s", *name);
	if (host)
		ares_free_hostent(host);
	if (s->servers) {
		go(s, STEP_SERVER);
	} else if (dot && strchr(dot + 1, '.')) {
		memmove(s->zone, dot + 1, strlen(dot + 1) + 1);
		go(s, STEP_ZONE);
	} else {
		end(s, ENOENT);
	}
}

/* ---- its servers' addresses: one of each is enough ---- */

static void server_heard(void *arg, int status, int timeouts, struct ares_addrinfo *result)
{
	struct spread *s = arg;
	const struct ares_addrinfo_node *n = status == ARES_SUCCESS && result ? result->nodes : NULL;

	(void)timeouts;
	if (n && n->ai_family == AF_INET)
		(void)inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)n->ai_addr)->sin_addr,
			s->address[s->at], sizeof(s->address[0]));
	else if (n && n->ai_family == AF_INET6)
		(void)inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)n->ai_addr)->sin6_addr,
			s->address[s->at], sizeof(s->address[0]));
	ares_freeaddrinfo(result);
	if (++s->at < s->servers) {
		go(s, STEP_SERVER);
	} else {
		s->at = 0;
		go(s, STEP_TEXT);
	}
}

/* ---- the record at one server ---- */

static bool has_text(const struct spread *s, const unsigned char *p, int n)
{
	struct ares_txt_ext *all = NULL;
	bool found = false;

	if (ares_parse_txt_reply_ext(p, n, &all) != ARES_SUCCESS)
		return false;
	for (const struct ares_txt_ext *one = all; one; one = one->next)
		found |= one->record_start && one->length == strlen(s->text) &&
			 memcmp(one->txt, s->text, one->length) == 0;
	ares_free_data(all);
	return found;
}

static void text_heard(void *arg, int status, int timeouts, unsigned char *p, int n)
{
	struct spread *s = arg;

	(void)timeouts;
	if (status == ARES_SUCCESS && has_text(s, p, n)) {
		s->told.there++;
	} else if (status == ARES_SUCCESS || status == ARES_ENODATA || status == ARES_ENOTFOUND) {
		if (!s->told.missing++)
			s->first = s->at;
	} else {
		s->told.silent++;
	}
	s->at++;
	go(s, STEP_TEXT);
}

static void ask_text(struct spread *s)
{
	close_channel(s);
	while (s->at < s->servers && !s->address[s->at][0]) {
		s->told.silent++;
		s->at++;
	}
	if (s->at == s->servers) {
		end(s, 0);
		return;
	}
	if (open_channel(s) < 0 || ares_set_servers_csv(s->of.channel, s->address[s->at]) != ARES_SUCCESS) {
		end(s, ENOMEM);
		return;
	}
	ares_query(s->of.channel, s->name, ns_c_in, ns_t_txt, text_heard, s);
}

/* ---- from step to step ---- */

void spread_on_turn(struct loop *l, struct op *op, int res)
{
	struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NOSORT, .ai_socktype = SOCK_DGRAM};
	struct spread *s = container_of(op, struct spread, turn);
	struct resolver *r = s->resolver;

	(void)l;
	(void)res;
	switch (s->step) {
	case STEP_ALIAS:
		ares_query(r->names.channel, s->name, ns_c_in, ns_t_cname, alias_heard, s);
		break;
	case STEP_ZONE:
		ares_query(r->names.channel, s->zone, ns_c_in, ns_t_ns, zone_heard, s);
		break;
	case STEP_SERVER:
		ares_getaddrinfo(r->names.channel, s->server[s->at], NULL, &hints, server_heard, s);
		break;
	case STEP_TEXT:
		ask_text(s);
		break;
	}
	sockets_time(r);
}

void spread_heard(struct resolver *r, struct aide_peer *from, const struct msg *m)
{
	struct spread *s = r->spreads_n < SPREADS_MAX ? calloc(1, sizeof(*s)) : NULL;
	struct msg_spread_told refused = {.err = ENOBUFS};
	const char *name, *text;
	struct unpack u;

	unpack_init(&u, m->payload, m->h.len);
	name = unpack_str(&u);
	text = unpack_str(&u);
	if (!s || !unpack_done(&u) || !name[0] || strlen(name) > NAME_MAX_BYTES || strlen(text) > TEXT_MAX_BYTES) {
		free(s);
		aide_answer(from, MSG_SPREAD_TOLD, m->h.id, &refused, sizeof(refused), "", 1);
		return;
	}
	s->resolver = r;
	s->from = from;
	s->id = m->h.id;
	s->turn.kind = OP_RESOLVE_SPREAD;
	memcpy(s->name, name, strlen(name) + 1);
	memcpy(s->text, text, strlen(text) + 1);
	s->next = r->spreads;
	r->spreads = s;
	r->spreads_n++;
	r->queries_n++;
	go(s, STEP_ALIAS);
}

void spread_gone(struct resolver *r, const struct aide_peer *peer)
{
	for (struct spread *s = r->spreads; s; s = s->next)
		if (s->from == peer)
			s->from = NULL;
}
