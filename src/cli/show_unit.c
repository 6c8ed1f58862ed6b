/*
 * show_unit.c: one app as `systemctl status` shows a unit: the same lines in the same order.
 *
 * Called by verb_units.c with what ctl says; what the kernel knows of its processes (tasks, CPU time, command lines) is
 * read from /proc here, by whoever asks, and what cannot be read is left out. Owns nothing.
 */
#include "cli.h"
#include "lib/visible.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/sys.h"

enum { SHOWN_MAX = 64, WORDS_SHOWN = 160 };

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static long long number_of(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

/* What of a file of /proc is text, in `ret`; control characters become blanks. */
static void proc_text(long long pid, const char *name, char *ret, size_t cap)
{
	char path[64];
	ssize_t n = -1;
	int fd;

	(void)snprintf(path, sizeof path, "/proc/%lld/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, ret, cap - 1);
		(void)close(fd);
	}
	ret[n > 0 ? n : 0] = '\0';
	/* Words of a command line end with a NUL each. */
	for (ssize_t i = 0; i < n; i++)
		if (ret[i] == '\0' || ret[i] == '\t' || ret[i] == '\n')
			ret[i] = ' ';
	visible_make(ret, ' ');
	n = (ssize_t)strlen(ret);
	while (n > 0 && ret[n - 1] == ' ')
		ret[--n] = '\0';
}

/* proc(5), stat: threads are field 20, user and system time 14 and 15, behind the name in brackets. */
static void add_stat(long long pid, unsigned long *tasks, unsigned long long *ticks)
{
	char text[1024], *at, *end = NULL;
	unsigned long long field[21] = {0};

	proc_text(pid, "stat", text, sizeof text);
	at = strrchr(text, ')');
	/* Behind it the state, which is no number, and then field 4. */
	at = at ? strchr(at + 2, ' ') : NULL;
	for (unsigned i = 4; at && i <= 20; i++, at = end)
		field[i] = (unsigned long long)strtoll(at, &end, 10);
	*tasks += (unsigned long)field[20];
	*ticks += field[14] + field[15];
}

/* Does that row run for the app? */
static bool runs(const json_t *p, const char *app)
{
	return strcmp(text_of(p, "app"), app) == 0 && number_of(p, "pid") > 0;
}

static void show_sums(const char *app, const json_t *site, const json_t *processes)
{
	const json_t *limit = json_object_get(json_object_get(site, "limits"), "tasks_max");
	unsigned long long ticks = 0, ms;
	unsigned long tasks = 0;
	long long memory = 0;
	const json_t *p;
	size_t i;

	json_array_foreach(processes, i, p)
	{
		if (!runs(p, app))
			continue;
		add_stat(number_of(p, "pid"), &tasks, &ticks);
		memory += number_of(p, "memory");
	}
	if (tasks == 0)
		return;
	(void)printf("      Tasks: %lu", tasks);
	if (json_is_integer(limit))
		(void)printf(" (limit: %lld)", (long long)json_integer_value(limit));
	ms = ticks * 1000 / (unsigned long long)sysconf(_SC_CLK_TCK);
	(void)printf("\n     Memory: %.1fM\n        CPU: ", (double)memory / (1 << 20));
	if (ms >= 1000)
		(void)printf("%llu.%03llus\n", ms / 1000, ms % 1000);
	else
		(void)printf("%llums\n", ms);
}

/* The cgroup of v2, or the first of v1 that is not the root. */
static void cgroup_of(long long pid, char ret[300])
{
	char path[64], line[300];
	FILE *f;

	ret[0] = '\0';
	(void)snprintf(path, sizeof path, "/proc/%lld/cgroup", pid);
	f = fopen(path, "re");
	while (f && !ret[0] && fgets(line, sizeof line, f)) {
		char *at = strchr(line, ':');

		at = at ? strchr(at + 1, ':') : NULL;
		if (!at)
			continue;
		at[strcspn(at, "\n")] = '\0';
		if (strcmp(at, ":/") != 0)
			(void)snprintf(ret, 300, "%s", at + 1);
	}
	if (f)
		(void)fclose(f);
}

static void show_tree(const char *app, const json_t *processes)
{
	const json_t *shown[SHOWN_MAX], *p;
	char cgroup[300] = "", words[WORDS_SHOWN];
	unsigned n = 0;
	size_t i;

	json_array_foreach(processes, i, p) if (runs(p, app) && n < SHOWN_MAX) shown[n++] = p;
	if (n == 0)
		return;
	cgroup_of(number_of(shown[0], "pid"), cgroup);
	(void)printf("     CGroup: %s\n", cgroup[0] ? cgroup : "/");
	for (unsigned k = 0; k < n; k++) {
		proc_text(number_of(shown[k], "pid"), "cmdline", words, sizeof words);
		(void)printf("             %s%lld %s\n", k + 1 < n ? "├─" : "└─", number_of(shown[k], "pid"),
			words[0] ? words : text_of(shown[k], "role"));
	}
}

/* "since Fri 2026-11-27 22:00:00 UTC; 3min 2s ago", as systemctl writes a time. */
static void show_since(long long since_us)
{
	time_t s = (time_t)(since_us / 1000000);
	long long ago_ms = (long long)time(NULL) * 1000 - since_us / 1000;
	char when[64], ago[32];
	struct tm tm;

	if (since_us <= 0 || !localtime_r(&s, &tm) || strftime(when, sizeof when, "%a %Y-%m-%d %H:%M:%S %Z", &tm) == 0)
		return;
	(void)printf(" since %s; %s ago", when, show_span(ago_ms > 0 ? ago_ms : 0, ago));
}

static void coloured(const struct cli *c, const char *colour, const char *a, const char *b)
{
	if (c->tty)
		(void)printf("\033[%sm%s%s\033[0m", colour, a, b);
	else
		(void)printf("%s%s", a, b);
}

static void show_head(const struct cli *c, const json_t *site, const json_t *unit)
{
	const char *active = text_of(unit, "active"), *file = text_of(unit, "file");
	bool good = strcmp(active, "active") == 0, bad = strcmp(active, "failed") == 0;
	const char *colour = good ? "32" : bad ? "31" : "0";
	char state[48];

	coloured(c, colour, good ? "●" : bad ? "×" : "○", "");
	(void)printf(" %s - %s\n", text_of(site, "name"), *text_of(site, "url") ? text_of(site, "url") : text_of(site, "name"));
	(void)printf("     Loaded: loaded (%s; %s)\n", *file ? file : "found in the folder",
		json_is_true(json_object_get(unit, "enabled")) ? "enabled" : "disabled");
	(void)fputs("     Active: ", stdout);
	if (bad && strcmp(text_of(unit, "result"), "success") != 0)
		(void)snprintf(state, sizeof state, " (Result: %.30s)", text_of(unit, "result"));
	else
		(void)snprintf(state, sizeof state, " (%.20s)", text_of(unit, "sub"));
	coloured(c, colour, active, state);
	show_since(number_of(unit, "since_us"));
	(void)putchar('\n');
}

void show_unit(const struct cli *c, const json_t *site, const json_t *processes, const json_t *lines)
{
	const char *app = text_of(site, "name");
	char comm[32];
	const json_t *o;
	size_t i;

	show_head(c, site, json_object_get(site, "unit"));
	json_array_foreach(processes, i, o)
	{
		if (!runs(o, app) || *text_of(o, "program"))
			continue;
		proc_text(number_of(o, "pid"), "comm", comm, sizeof comm);
		(void)printf("   Main PID: %lld (%s)\n", number_of(o, "pid"), comm[0] ? comm : text_of(o, "role"));
		break;
	}
	show_sums(app, site, processes);
	show_tree(app, processes);
	if (json_array_size(lines))
		(void)putchar('\n');
	json_array_foreach(lines, i, o)
		show_record(c, o);
}
