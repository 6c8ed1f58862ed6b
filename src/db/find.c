/*
 * find.c: where is the installed PostgreSQL? Debian and Ubuntu keep each version below
 * /usr/lib/postgresql/VERSION/bin and not on the PATH; others put initdb on the PATH. A data folder
 * that exists decides: only the major version that made it can read it. STEAD_PG_DIRS
 * (colon-separated bin folders) replaces the whole search, for tests and for servers in unusual
 * places.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/sys.h"
#include "oneshot/run.h"

#include "db.h"

#define FIND_DEBIAN "/usr/lib/postgresql"

static unsigned leading_number(const char *s)
{
	char *end;
	unsigned long v = *s >= '0' && *s <= '9' ? strtoul(s, &end, 10) : 0;

	return v > 0 && v < 1000 ? (unsigned)v : 0;
}

static unsigned version_asked(const char *bin)
{
	static const char *const env[] = {"LC_ALL=C", NULL};
	static const char mark[] = "(PostgreSQL) ";
	char path[DB_PATH_MAX + 16];
	const char *argv[] = {path, "-V", NULL};
	struct run run = {.argv = argv, .envp = env, .timeout_ms = 10000};
	struct run_end end;
	const char *at;

	(void)snprintf(path, sizeof path, "%s/postgres", bin);
	if (run_program(&run, &end) < 0 || end.status != 0)
		return 0;
	at = strstr(end.tail, mark);
	return at ? leading_number(at + sizeof mark - 1) : 0;
}

unsigned find_version(const char *bin)
{
	static const char debian[] = FIND_DEBIAN "/";
	unsigned v = 0;

	if (strncmp(bin, debian, sizeof debian - 1) == 0)
		v = leading_number(bin + sizeof debian - 1);
	return v ? v : version_asked(bin);
}

static bool has_server(const char *bin)
{
	char path[DB_PATH_MAX + 16];

	(void)snprintf(path, sizeof path, "%s/postgres", bin);
	if (access(path, X_OK) < 0)
		return false;
	(void)snprintf(path, sizeof path, "%s/initdb", bin);
	return access(path, X_OK) == 0;
}

struct search {
	unsigned wanted; /* 0: any, the newest */
	unsigned best;
	char best_bin[DB_PATH_MAX];
	char seen[256]; /* versions there are, for the error */
};

static void consider(struct search *s, const char *bin)
{
	size_t len = strlen(s->seen);
	unsigned v;

	if (!has_server(bin))
		return;
	v = find_version(bin);
	if (!v)
		return;
	(void)snprintf(s->seen + len, sizeof s->seen - len, "%s%u", len ? ", " : "", v);
	if (s->wanted ? v != s->wanted : v <= s->best)
		return;
	s->best = v;
	(void)snprintf(s->best_bin, sizeof s->best_bin, "%s", bin);
}

static void search_debian(struct search *s)
{
	DIR *d = opendir(FIND_DEBIAN);
	struct dirent *e;
	char bin[DB_PATH_MAX];

	while (d && (e = readdir(d)) != NULL) {
		if (!leading_number(e->d_name))
			continue;
		(void)snprintf(bin, sizeof bin, FIND_DEBIAN "/%s/bin", e->d_name);
		consider(s, bin);
	}
	if (d)
		(void)closedir(d);
}

/* Each folder of a colon-separated list; a link to initdb is followed to the server beside it. */
static void search_list(struct search *s, const char *list)
{
	char path[DB_PATH_MAX], real[PATH_MAX];

	while (*list) {
		size_t n = strcspn(list, ":");

		if (n > 0 && *list == '/' && n + sizeof "/initdb" < sizeof path) {
			char *slash;

			(void)snprintf(path, sizeof path, "%.*s/initdb", (int)n, list);
			slash = realpath(path, real) ? strrchr(real, '/') : NULL;
			if (slash && (size_t)(slash - real) < DB_PATH_MAX) {
				*slash = 0;
				consider(s, real);
			}
		}
		list += n + (list[n] == ':');
	}
}

/* The major version that made the data folder; 0 when there is none to read. */
static unsigned data_version(const char *data)
{
	char path[DB_PATH_MAX + 16], *text;
	unsigned v;
	size_t n;

	(void)snprintf(path, sizeof path, "%s/PG_VERSION", data);
	if (sys_read_file(AT_FDCWD, path, 64, &text, &n) < 0)
		return 0;
	v = leading_number(text);
	free(text);
	return v;
}

int find_bin(struct db *db)
{
	struct search s = {.wanted = *db->data ? data_version(db->data) : 0};
	const char *dirs = getenv("STEAD_PG_DIRS"), *path = getenv("PATH");

	if (dirs) {
		search_list(&s, dirs);
	} else {
		search_debian(&s);
		if (!s.best)
			search_list(&s, path ? path : "/usr/local/bin:/usr/bin:/bin");
	}
	if (s.best) {
		(void)snprintf(db->bin, sizeof db->bin, "%s", s.best_bin);
		return 0;
	}
	if (s.seen[0]) {
		char todo[160];

		(void)snprintf(todo, sizeof todo, "apt install postgresql-%u", s.wanted);
		return failure_set(db->f, ENOENT, EXIT_CODE_FAILED, todo,
			"The database in %s was made by PostgreSQL %u, and only %s is installed.",
			db->data, s.wanted, s.seen);
	}
	return failure_set(db->f, ENOENT, EXIT_CODE_FAILED, "apt install postgresql",
		"PostgreSQL is not installed: there is no server below " FIND_DEBIAN
		" and no initdb on the PATH, and this app uses a database.");
}

int find_bin_again(struct db *db)
{
	unsigned made = data_version(db->data);

	/* What was found once may have been upgraded away since. */
	if (*db->bin && has_server(db->bin) && (!made || find_version(db->bin) == made))
		return 0;
	return find_bin(db);
}
