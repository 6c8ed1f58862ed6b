/*
 * verb_domain.c: `stead domain add|remove|list`: names of apps, the record that leads them here, and waiting for it.
 *
 * Called by main.c. ctl decides whose a name is; what this machine's addresses are and where the name leads is asked of the
 * system here. Holds nothing.
 */
#include "cli.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "lib/hostname.h"

enum { ADDRESSES_MAX = 16, PAUSE_S = 5, WAIT_MIN = 60 };

struct addresses {
	unsigned n;
	char text[ADDRESSES_MAX][INET6_ADDRSTRLEN];
};

static bool among(const struct addresses *list, const char *text)
{
	for (unsigned i = 0; i < list->n; i++)
		if (strcmp(list->text[i], text) == 0)
			return true;
	return false;
}

static bool text_of(const struct sockaddr *a, char ret[INET6_ADDRSTRLEN])
{
	if (a && a->sa_family == AF_INET)
		return inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)a)->sin_addr, ret, INET6_ADDRSTRLEN) != NULL;
	return a && a->sa_family == AF_INET6 &&
	       inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr, ret, INET6_ADDRSTRLEN) != NULL;
}

/* Those of the machine that are open to everybody; with none, those that are not its own alone: a router may stand before it. */
static void own_addresses(struct addresses *ret, bool *ret_public)
{
	struct ifaddrs *all = NULL;
	char text[INET6_ADDRSTRLEN];

	*ret = (struct addresses){0};
	if (getifaddrs(&all) < 0)
		return;
	for (unsigned turn = 0; turn < 2 && ret->n == 0; turn++) {
		*ret_public = turn == 0;
		for (const struct ifaddrs *i = all; i && ret->n < ADDRESSES_MAX; i = i->ifa_next) {
			if (!(i->ifa_flags & IFF_UP) || i->ifa_flags & IFF_LOOPBACK || !text_of(i->ifa_addr, text) ||
				strncmp(text, "fe80:", 5) == 0 || among(ret, text))
				continue;
			if (turn == 1 || hostname_is_public_address(text))
				(void)snprintf(ret->text[ret->n++], INET6_ADDRSTRLEN, "%s", text);
		}
	}
	freeifaddrs(all);
}

/* Where the name leads now, by the system's resolver. */
static void resolved(const char *name, struct addresses *ret)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *all = NULL;
	char text[INET6_ADDRSTRLEN];

	*ret = (struct addresses){0};
	if (getaddrinfo(name, NULL, &hints, &all) != 0)
		return;
	for (const struct addrinfo *i = all; i && ret->n < ADDRESSES_MAX; i = i->ai_next)
		if (text_of(i->ai_addr, text) && !among(ret, text))
			(void)snprintf(ret->text[ret->n++], INET6_ADDRSTRLEN, "%s", text);
	freeaddrinfo(all);
}

static bool leads_here(const struct addresses *own, const struct addresses *seen)
{
	for (unsigned i = 0; i < seen->n; i++)
		if (!among(own, seen->text[i]))
			return false;
	return seen->n > 0;
}

static void show_records(const char *name, const struct addresses *own, bool public)
{
	if (own->n == 0) {
		(void)puts("this machine has no address that others reach; enter the one that leads to it:");
		(void)printf("  %s.  A  ADDRESS\n", name);
		return;
	}
	(void)puts(public ? "enter at the DNS provider of the name:"
			  : "no address of this machine is public: enter the one that leads to it instead, if there is another");
	for (unsigned i = 0; i < own->n; i++)
		(void)printf("  %s.  %s  %s\n", name, strchr(own->text[i], ':') ? "AAAA" : "A", own->text[i]);
}

static void show_seen(const char *name, const struct addresses *seen)
{
	(void)printf("%s leads %s", name, seen->n ? "to" : "nowhere yet");
	for (unsigned i = 0; i < seen->n; i++)
		(void)printf(" %s", seen->text[i]);
	(void)puts("");
	(void)fflush(stdout);
}

/* 0 when it leads here, and to no other place. What is seen is told when it changes. */
static int wait_for(struct cli *c, const char *name, const struct addresses *own)
{
	time_t until = time(NULL) + WAIT_MIN * 60;
	const struct timespec pause = {.tv_sec = PAUSE_S};
	struct addresses seen, before = {.n = ADDRESSES_MAX + 1};

	for (;;) {
		resolved(name, &seen);
		if (memcmp(&seen, &before, sizeof seen) != 0 && !c->quiet && !c->json)
			show_seen(name, &seen);
		before = seen;
		if (leads_here(own, &seen))
			return 0;
		if (time(NULL) >= until)
			break;
		(void)nanosleep(&pause, NULL);
	}
	show_error(c, "the name did not lead here within an hour", "it is attached all the same; `stead domain add NAME --wait` waits again");
	return VERB_EXIT_FAILED;
}

static int add(struct cli *c, const char *name, const char *app)
{
	struct addresses own;
	char canonical[256];
	bool public = false;
	int code = 0;
	json_t *records, *end = verb_ask_end(c, json_pack("{s:s, s:s, s:s}", "verb", "domain-add", "domain", name, "app", app), &code);
	char *text;

	if (!end)
		return code;
	(void)snprintf(canonical, sizeof canonical, "%s", json_string_value(json_object_get(end, "domain")));
	name = canonical;
	own_addresses(&own, &public);
	if (c->json) {
		records = json_array();
		for (unsigned i = 0; i < own.n; i++)
			(void)json_array_append_new(records, json_pack("{s:s, s:s, s:s}", "name", name, "type",
								     strchr(own.text[i], ':') ? "AAAA" : "A", "value", own.text[i]));
		(void)json_object_set_new(end, "records", records);
		text = json_dumps(end, JSON_COMPACT);
		if (text)
			(void)puts(text);
		free(text);
	} else if (!c->quiet) {
		(void)printf("%s answers to %s\n", json_string_value(json_object_get(end, "app")), name);
		show_records(name, &own, public);
		(void)fflush(stdout);
	}
	json_decref(end);
	return c->args.option[OPTION_WAIT] ? wait_for(c, name, &own) : 0;
}

static int list(struct cli *c, const char *app)
{
	int code = 0;
	json_t *o, *end = verb_ask_end(c, json_pack("{s:s, s:s}", "verb", "domain-list", "app", app), &code);
	const json_t *all = json_object_get(end, "domains");
	char *text;
	size_t i;

	if (!end)
		return code;
	text = c->json ? json_dumps(all, JSON_INDENT(2)) : NULL;
	if (text)
		(void)puts(text);
	free(text);
	if (!c->json)
		json_array_foreach(all, i, o)(void) printf("%-32s %-20s %s\n", json_string_value(json_object_get(o, "name")),
			json_string_value(json_object_get(o, "app")), json_string_value(json_object_get(o, "origin")));
	if (!c->json && !c->quiet && json_array_size(all) == 0)
		(void)puts("no names: what serves answers to every name");
	json_decref(end);
	return 0;
}

int verb_domain(struct cli *c)
{
	const char *what = c->args.arg[0], *name = c->args.nargs > 1 ? c->args.arg[1] : "";
	const char *app = c->args.nargs > 2 ? c->args.arg[2] : "";
	bool adds = strcmp(what, "add") == 0, removes = strcmp(what, "remove") == 0;

	if (strcmp(what, "list") == 0 && c->args.nargs < 3)
		return list(c, name);
	if ((!adds && !removes) || !*name || (removes && c->args.option[OPTION_WAIT])) {
		show_error(c, "what shall be done with which name is not said",
			"stead domain add NAME [APP] [--wait], stead domain remove NAME [APP], or stead domain list");
		return VERB_EXIT_USAGE;
	}
	if (adds)
		return add(c, name, app);
	return verb_ask(c, json_pack("{s:s, s:s, s:s}", "verb", "domain-remove", "domain", name, "app", app));
}
