/*
 * detect_node.c: is there an app of Node's in the folder, and what starts it?
 *
 * Called by detect_program.c. A package.json names it by scripts.start, else by main; without both
 * npm itself would run server.js. A start line that is one program is run as that program, so that
 * stead watches it and hands its socket to it; one that needs a shell, or has a prestart before it,
 * is npm's to run.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "lib/must.h"
#include "program_files.h"

#define FILE_NAME "package.json"

static const struct conf_pos here = {.file = FILE_NAME, .line = 1, .col = 1};

/* Is PATH there, in this folder or one above it, as Node looks for packages? */
static bool above(const struct check *k, const char *path)
{
	char folder[PATH_MAX], full[PATH_MAX];

	memcpy(folder, k->folder, sizeof(folder));
	for (;;) {
		char *slash = strrchr(folder, '/');

		if (snprintf(full, sizeof(full), "%s/%s", folder, path) < PATH_MAX &&
			access(full, F_OK) == 0)
			return true;
		if (slash == NULL || folder[0] == '\0')
			return false;
		*slash = '\0';
	}
}

bool node_program(const struct check *k, const char *word, char ret[PATH_MAX])
{
	char full[PATH_MAX];

	if (strchr(word, '/') != NULL) {
		check_path(k, word, full);
		(void)snprintf(ret, PATH_MAX, "%s", word);
		return strlen(word) < PATH_MAX && access(full, X_OK) == 0;
	}
	if (snprintf(ret, PATH_MAX, "./node_modules/.bin/%s", word) >= PATH_MAX)
		return false;
	check_path(k, ret, full);
	if (access(full, X_OK) == 0)
		return true;
	(void)snprintf(ret, PATH_MAX, "%s", word);
	return check_in_path(word);
}

static const char *installer(const struct check *k)
{
	return program_file(k, "pnpm-lock.yaml") ? "pnpm"
	       : program_file(k, "yarn.lock")    ? "yarn"
						 : "npm";
}

/* What is asked for is there; else the finding names the first that is not. */
static bool has_packages(struct check *k, const struct package *p)
{
	char path[512];

	if (program_file(k, ".pnp.cjs"))
		return true;
	for (unsigned i = 0; i < p->ndeps; i++) {
		(void)snprintf(path, sizeof(path), "node_modules/%s", p->deps[i]);
		if (above(k, path))
			continue;
		(void)snprintf(path, sizeof(path), "run `%s install` in %.300s, then try again",
			installer(k), k->folder);
		conf_find(k->conf, CONF_ERROR, &here, path,
			"it asks for %s, which is not in node_modules", p->deps[i]);
		return false;
	}
	return true;
}

/* What Node would run by that name; "" there is none. */
static bool script_at(const struct check *k, const char *path, char ret[PATH_MAX])
{
	static const char *const ends[] = {"", ".js", ".mjs", ".cjs", "/index.js"};

	for (unsigned i = 0; i < ARRAY_LEN(ends); i++)
		if (snprintf(ret, PATH_MAX, "%s%s", path, ends[i]) < PATH_MAX &&
			program_file(k, ret))
			return true;
	return false;
}

static bool has_node(struct check *k)
{
	if (check_in_path("node"))
		return true;
	conf_find(k->conf, CONF_ERROR, NULL,
		"install it (apt install nodejs), or write ExecStart= in stead.conf with its path",
		"this is an app of Node's, and there is no program node in PATH (%s)",
		getenv("PATH") != NULL ? getenv("PATH") : "");
	return false;
}

static void put_env(struct check *k, const struct shell_line *l)
{
	program_env(k);
	for (unsigned i = 0; l != NULL && i < l->nenv; i++)
		(void)conf_put_key(
			k->conf, CONF_SERVICE_ENVIRONMENT, l->env[i], CONF_FROM_DETECTED, NULL);
}

/* The script that `node` is given in that line is there, as far as a look can tell. */
static bool has_script(struct check *k, const struct package *p)
{
	const struct shell_line *l = &p->start;
	char path[PATH_MAX];

	if (strcmp(l->words[0], "node") != 0 || l->nwords < 2 || l->words[1][0] == '-' ||
		strchr(l->words[1], '$') != NULL || l->words[1][0] == '/' ||
		script_at(k, l->words[1], path))
		return true;
	conf_find(k->conf, CONF_ERROR, &here,
		p->build
			? "it has a build script: run `npm run build` in the folder, then try again"
			: "mend scripts.start, or write ExecStart= in stead.conf",
		"scripts.start runs %.200s, which is not there", l->words[1]);
	return false;
}

/* By scripts.start. */
static void put_start(struct check *k, const struct package *p)
{
	static const char *const npm[] = {"npm", "start"};
	const char *words[LINE_WORDS_MAX];
	char program[PATH_MAX];

	if (!p->start.plain || p->prestart) {
		put_env(k, NULL);
		program_put(k, npm, ARRAY_LEN(npm));
		if (check_in_path("npm"))
			conf_find(k->conf, CONF_NOTE, &here, "",
				"scripts.start is run by npm, because %s: a socket cannot be "
				"handed over, so it has to listen at $PORT",
				p->prestart ? "there is a prestart before it" : "it needs a shell");
		else
			conf_find(k->conf, CONF_ERROR, &here,
				"install npm, or write ExecStart= in stead.conf",
				"scripts.start needs npm to run it, and there is no npm in PATH");
		return;
	}
	if (!node_program(k, p->start.words[0], program)) {
		conf_find(k->conf, CONF_ERROR, &here,
			"install what the app needs (npm install), or write ExecStart= in "
			"stead.conf",
			"scripts.start runs %.200s, and there is no such program in "
			"node_modules/.bin or in PATH",
			p->start.words[0]);
		return;
	}
	if (!has_script(k, p))
		return;
	memcpy(words, p->start.words, sizeof(words));
	words[0] = program;
	put_env(k, &p->start);
	program_put(k, words, p->start.nwords);
	conf_find(k->conf, CONF_NOTE, &here, "",
		"its scripts.start is the program that answers the site");
}

/* By main, else by the names that a server has. A page at the top is a static site with tools
 * beside it. */
static bool put_main(struct check *k, const struct package *p)
{
	static const char *const names[] = {
		"server.js", "app.js", "index.js", "server.mjs", "app.mjs", "index.mjs"};
	const char *words[] = {"node", NULL};
	bool by_main = p->main[0] != '\0';
	char path[PATH_MAX];

	if (program_file(k, "index.html"))
		return false;
	if (!by_main || !script_at(k, p->main, path)) {
		unsigned i = 0;

		while (i < ARRAY_LEN(names) && !program_file(k, names[i]))
			i++;
		if (i == ARRAY_LEN(names) && by_main) {
			conf_find(k->conf, CONF_ERROR, &here, "mend main, or write ExecStart= in stead.conf",
				"its main is %.200s, which is not there", p->main);
			return true;
		}
		if (i == ARRAY_LEN(names))
			return false;
		by_main = false;
		(void)snprintf(path, sizeof(path), "%s", names[i]);
	}
	if (!has_node(k) || !has_packages(k, p))
		return true;
	words[1] = path;
	put_env(k, NULL);
	program_put(k, words, ARRAY_LEN(words));
	conf_find(k->conf, CONF_NOTE, &here, "",
		by_main ? "it has no scripts.start: its main is the program that answers the site"
			: "it has neither scripts.start nor a main that is there: %s is the "
			  "program that answers the site",
		path);
	return true;
}

static bool put_package(struct check *k, const struct package *p)
{
	static const char *const drivers[] = {"pg", "pg-promise", "postgres", "slonik"};

	if (p->line > 0) {
		struct conf_pos pos = {.file = FILE_NAME, .line = p->line, .col = p->col};

		conf_find(k->conf, CONF_ERROR, &pos, "", "this is not JSON: %.200s", p->why);
		return true;
	}
	for (unsigned i = 0; i < p->ndeps; i++)
		for (unsigned d = 0; d < ARRAY_LEN(drivers); d++)
			k->postgres |= strcmp(p->deps[i], drivers[d]) == 0;
	if (p->start.raw[0] == '\0')
		return put_main(k, p);
	if (has_node(k) && has_packages(k, p))
		put_start(k, p);
	return true;
}

bool node_detect(struct check *k)
{
	struct package *p = calloc(1, sizeof(*p));
	struct buf packed;
	bool found = false;
	int r;

	/* The child could not ask the kernel for one any more. */
	json_object_seed(0);
	buf_init(&packed, SIZE_MAX);
	r = p != NULL ? program_read(k, FILE_NAME, package_work, &packed) : -ENOMEM;
	if (r == 0)
		found = package_take(packed.p, packed.len, p) && put_package(k, p);
	buf_done(&packed);
	free(p);
	return found || (r < 0 && r != -ENOENT);
}
