/*
 * show_status.c: what runs, as a person reads it: the site first, then the processes, the database
 * and the protections that are off.
 *
 * Called by the verbs with ctl's answer, which it takes as it comes: a member that is not there is
 * left out.
 */
#include "cli.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/sys.h"

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static long long number_of(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

const char *show_span(long long ms, char ret[32])
{
	long long s = ms / 1000;

	if (s >= 86400)
		(void)snprintf(ret, 32, "%lldd %lldh", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		(void)snprintf(ret, 32, "%lldh %lldmin", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		(void)snprintf(ret, 32, "%lldmin %llds", s / 60, s % 60);
	else
		(void)snprintf(ret, 32, "%llds", s);
	return ret;
}

static const char *size(long long bytes, char ret[32])
{
	if (bytes >= 1 << 20)
		(void)snprintf(ret, 32, "%.1f MB", (double)bytes / (1 << 20));
	else
		(void)snprintf(ret, 32, "%lld KB", bytes >> 10);
	return ret;
}

static void show_urls(const json_t *site)
{
	json_t *url;
	size_t i;

	json_array_foreach(json_object_get(site, "urls"), i, url) if (json_is_string(url))(void)
		printf("  %s", json_string_value(url));
}

const char *show_where(const json_t *site)
{
	if (*text_of(site, "url"))
		return text_of(site, "url");
	return json_is_false(json_object_get(site, "serves")) ? "no site" : "every other name";
}

static void show_site(const struct cli *c, const json_t *site)
{
	const char *state = text_of(site, "state"),
		   *colour = strcmp(state, "live") == 0 || strcmp(state, "ended") == 0 ? "32" : "31";
	bool own = json_object_get(site, "folder") != NULL;

	if (c->tty)
		(void)printf("\033[%sm●\033[0m ", colour);
	else
		(void)fputs("● ", stdout);
	(void)printf("%s  %s", text_of(site, "name"), *state ? state : "live");
	if (own)
		show_urls(site);
	else
		(void)printf("  %s", show_where(site));
	(void)fputc('\n', stdout);
	if (*text_of(site, "file"))
		(void)printf("  file       %s\n", text_of(site, "file"));
	if (*text_of(site, "folder"))
		(void)printf("  folder     %s\n", text_of(site, "folder"));
	if (own)
		(void)printf("  workers    %lld\n", number_of(site, "workers"));
	if (!json_is_false(json_object_get(site, "serves")))
		(void)printf("  requests   %lld, %lld of them errors\n", number_of(site, "requests"),
			number_of(site, "errors"));
	if (own && json_object_get(site, "queued"))
		(void)printf("  queued     %lld\n", number_of(site, "queued"));
}

static void show_trouble(const json_t *trouble)
{
	long long next = number_of(trouble, "next_ms");
	char when[32];

	(void)printf("  trouble    worker %lld %s; %lld restarts so far", number_of(trouble, "worker"),
		text_of(trouble, "how"), number_of(trouble, "restarts"));
	if (next)
		(void)printf(", the next in at most %s", show_span(next + 999, when));
	(void)fputc('\n', stdout);
	if (json_is_true(json_object_get(trouble, "dead")))
		(void)printf("             failed (Result=%s); it is not started again: `stead restart` does\n",
			text_of(trouble, "result"));
	if (json_is_true(json_object_get(trouble, "down")))
		(void)puts("             no worker comes up: requests are answered with 503");
	show_tail(stdout, json_object_get(trouble, "lines"));
}

static bool is_resident(const json_t *process)
{
	return strcmp(text_of(process, "memory_kind"), "rss") == 0;
}

void show_measure(json_t *status)
{
	json_t *p;
	size_t i;

	json_array_foreach(json_object_get(status, "processes"), i, p)
	{
		long long pid = number_of(p, "pid");
		bool exact = false;
		uint64_t bytes = 0;

		if (is_resident(p) && pid > 0 && pid <= INT_MAX)
			bytes = sys_memory_bytes(
				(pid_t)pid, strcmp(text_of(p, "role"), "postgres") == 0, &exact);
		if (!exact || !bytes)
			continue;
		(void)json_object_set_new(p, "memory", json_integer((json_int_t)bytes));
		(void)json_object_set_new(p, "memory_kind", json_string("pss"));
	}
}

static void show_process(const json_t *p)
{
	char memory[32], up[32], name[64];
	const char *app = text_of(p, "app");

	size(number_of(p, "memory"), memory);
	if (is_resident(p))
		(void)strncat(memory, "*", sizeof memory - strlen(memory) - 1);
	(void)snprintf(name, sizeof name, "%s %lld",
		*text_of(p, "program") ? text_of(p, "program") : text_of(p, "role"),
		number_of(p, "index"));
	(void)printf("  %-12s %-16s %7lld  %-10s %9s  %8lld  %s\n", name, app, number_of(p, "pid"),
		text_of(p, "phase"), memory, number_of(p, "restarts"),
		show_span(number_of(p, "uptime_ms"), up));
}

/* Below the row of a gate that was replaced. */
static void show_drain(const json_t *p)
{
	char left[32];

	if (json_object_get(p, "ends_in_ms"))
		(void)printf("    finishes %lld connections, %lld of them WebSockets or other tunnels; ends in %s at the latest\n",
			number_of(p, "connections"), number_of(p, "tunnels"),
			show_span(number_of(p, "ends_in_ms"), left));
}

/* Below a program's row. */
static void show_place(const json_t *p)
{
	const char *listen = text_of(p, "listen"), *says = text_of(p, "says");
	bool port = number_of(p, "port") != 0 && strcmp(listen, "fd") != 0;

	if (*listen) {
		if (port)
			(void)printf("    asked at 127.0.0.1:%lld", number_of(p, "port"));
		else
			(void)printf("    asked at the socket that %s",
				strcmp(listen, "path") == 0 ? "it made" : "it was handed");
		if (json_is_true(json_object_get(p, "exposed")))
			(void)fputs(", and open to the network past stead: let it listen at "
				    "127.0.0.1 only",
				stdout);
		(void)puts(strcmp(listen, "auto") == 0
				   ? ", or at one that it was handed: it is being tried"
				   : "");
	}
	if (*says)
		(void)printf("    it says: %s\n", says);
	if (number_of(p, "oom_kills"))
		(void)printf("    ended %lld times for want of memory (MemoryMax=)\n",
			number_of(p, "oom_kills"));
}

static void show_timer(const json_t *t)
{
	long long now = (long long)time(NULL) * 1000, last = number_of(t, "last_us") / 1000,
		  next = number_of(t, "next_us") / 1000, status = number_of(t, "status");
	char ago[32], in[32], how[64] = "ended well";

	if (json_is_true(json_object_get(t, "running")))
		(void)snprintf(how, sizeof how, "runs");
	else if (number_of(t, "ended_us") < number_of(t, "last_us"))
		(void)snprintf(how, sizeof how, "was cut off");
	else if (status < 0)
		(void)snprintf(how, sizeof how, "ended by signal %lld", -status);
	else if (status > 0)
		(void)snprintf(how, sizeof how, "failed with exit status %lld", status);
	(void)printf("  %-12s ", text_of(t, "name"));
	if (last)
		(void)printf("%s ago, %s", show_span(now > last ? now - last : 0, ago), how);
	else
		(void)fputs("never ran", stdout);
	if (next)
		(void)printf("; next in %s", show_span(next > now ? next - now : 0, in));
	(void)fputc('\n', stdout);
}

static void show_database(const json_t *db)
{
	char bytes[32];

	(void)printf("\ndatabase\n  %s  %s", text_of(db, "name"), text_of(db, "state"));
	if (*text_of(db, "version"))
		(void)printf("  PostgreSQL %s", text_of(db, "version"));
	if (json_object_get(db, "size"))
		(void)printf("  %s", size(number_of(db, "size"), bytes));
	(void)printf("\n  socket     %s\n", text_of(db, "socket"));
}

/* Apps that are deployed no more, or never were, and have data here. */
static void show_left(const json_t *left)
{
	const json_t *name;
	size_t i;

	if (json_array_size(left))
		(void)puts("\ndata of apps that are not deployed");
	json_array_foreach(left, i, name)
		if (json_is_string(name))
			(void)printf("  %-12s stead remove %s --data --confirm %s takes it away\n", json_string_value(name),
				json_string_value(name), json_string_value(name));
}

void show_status(const struct cli *c, const json_t *status)
{
	const json_t *off = json_object_get(status, "protections_off"), *db;
	bool resident = false;
	json_t *o;
	size_t i;

	json_array_foreach(json_object_get(status, "sites"), i, o)
	{
		show_site(c, o);
		show_protection(json_object_get(status, "protection"), json_object_get(o, "limits"));
		if (json_object_get(o, "trouble"))
			show_trouble(json_object_get(o, "trouble"));
	}
	if (number_of(status, "sites_more"))
		(void)printf("… and %lld more sites (`stead status --json` shows all, `stead status NAME` "
			     "one)\n",
			number_of(status, "sites_more"));
	if (number_of(status, "sites_kept"))
		(void)printf("\n  %lld of them by the last good version of the file: `stead check` says "
			     "why\n",
			number_of(status, "sites_kept"));
	(void)printf("\n  %-12s %-16s %7s  %-10s %9s  %8s  %s\n", "process", "app", "pid", "state",
		"memory", "restarts", "uptime");
	json_array_foreach(json_object_get(status, "processes"), i, o)
	{
		show_process(o);
		show_drain(o);
		show_place(o);
		resident |= is_resident(o);
	}
	if (resident)
		(void)puts(
			"  * resident, with the pages that it shares with others; root is told the "
			"exact share");
	if (json_array_size(json_object_get(status, "timers")))
		(void)puts("\ntimers");
	json_array_foreach(json_object_get(status, "timers"), i, o)
		show_timer(o);
	if (json_array_size(json_object_get(status, "certificates"))) {
		(void)puts("\ncertificates");
		show_certificates(json_object_get(status, "certificates"), false);
	}
	show_server(json_object_get(status, "server"), text_of(status, "state"), json_array_size(json_object_get(status, "sites")) > 0);
	show_left(json_object_get(status, "left"));
	db = json_object_get(status, "database");
	if (json_is_object(db))
		show_database(db);
	if (json_array_size(off)) {
		(void)puts("\noff, because stead does not run as root");
		json_array_foreach(off, i, o) if (json_is_string(o))(void)
			printf("  %s\n", json_string_value(o));
	}
	(void)fflush(stdout);
}
