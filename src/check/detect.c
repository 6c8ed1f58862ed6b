/*
 * detect.c: what is not written in the configuration is found out.
 *
 * Called by main.c when the file has no error. A folder with Python in it is looked at by the app's
 * own interpreter (python/stead_detect.py); one without may be a static site. What the run answers
 * is another program's word: each record is bounded, and each value is checked by its row.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "lib/must.h"

enum { FIELDS_MAX = 8, LOOK_DEPTH = 3, LOOK_ENTRIES = 4000 };

/* Is there a .py file, not deeper than `depth`? */
static bool has_python(int dir, unsigned depth, unsigned *left)
{
	DIR *d = fdopendir(dir);
	struct dirent *e;
	bool found = false;

	if (d == NULL) {
		if (dir >= 0)
			(void)close(dir);
		return false;
	}
	while (!found && *left > 0 && (e = readdir(d)) != NULL) {
		size_t n = strlen(e->d_name);

		(*left)--;
		if (e->d_name[0] == '.' || strcmp(e->d_name, "node_modules") == 0 ||
			strcmp(e->d_name, "venv") == 0)
			continue;
		if (n > 3 && strcmp(e->d_name + n - 3, ".py") == 0)
			found = true;
		else if (depth > 1 && (e->d_type == DT_DIR || e->d_type == DT_UNKNOWN))
			found = has_python(openat(dirfd(d), e->d_name,
						   O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW),
				depth - 1, left);
	}
	(void)closedir(d);
	return found;
}

static void put(struct check *k, enum conf_key key, const char *text)
{
	(void)conf_put_key(k->conf, key, text, CONF_FROM_DETECTED, NULL);
}

/* A static site: a folder with an index. */
static bool detect_static(struct check *k)
{
	static const char *const places[] = {
		".", "public", "dist", "_site", "site", "build", "www", "htdocs", "html"};

	if (conf_get(k->conf, CONF_SITE_ROOT) != NULL)
		return true;
	/* With Sites= the folder is an operator's: what it shall show itself is written. */
	if (conf_get(k->conf, CONF_SERVER_SITES) != NULL)
		return true;
	for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
		char path[64];
		struct stat st;

		(void)snprintf(path, sizeof(path), "%s/index.html", places[i]);
		if (fstatat(k->dir, path, &st, 0) == 0 && S_ISREG(st.st_mode)) {
			put(k, CONF_SITE_ROOT, places[i]);
			return true;
		}
	}
	return false;
}

static void no_app(struct check *k, const char *text, const char *todo)
{
	if (conf_target(k->conf) == NULL && conf_get(k->conf, CONF_SITE_ROOT) == NULL &&
		program_detect(k))
		return;
	if (!detect_static(k))
		conf_find(k->conf, CONF_ERROR, NULL, todo, "%s", text);
}

/* Text of the user's program, for a terminal: no control characters but line ends. */
static void make_plain(char *s)
{
	for (; *s != '\0'; s++)
		if (((unsigned char)*s < 0x20 && *s != '\n') || *s == 0x7f)
			*s = '?';
}

static void take_finding(struct check *k, char *const f[], unsigned n)
{
	const struct conf_value *target = conf_target(k->conf);
	struct conf_pos pos = {.file = ""};
	enum conf_level level;

	if (n != 7)
		return;
	level = strcmp(f[1], "error") == 0     ? CONF_ERROR
		: strcmp(f[1], "warning") == 0 ? CONF_WARNING
					       : CONF_NOTE;
	if (strcmp(f[2], "@target") == 0) {
		if (target != NULL)
			pos = target->pos;
	} else {
		pos.file = f[2];
		pos.line = (unsigned)min_of(strtoul(f[3], NULL, 10), 1ul << 30);
		pos.col = (unsigned)min_of(strtoul(f[4], NULL, 10), 1ul << 30);
	}
	conf_find(k->conf, level, &pos, f[6], "%s", f[5]);
}

/* The environment that `build` makes before the start. */
static void take_build(struct check *k, const struct python *py, char *const f[], unsigned n)
{
	char venv[PATH_MAX];

	if (n != 3)
		return;
	if (k->state[0] == '\0')
		(void)snprintf(venv, sizeof(venv), "%s", ".stead/venv");
	else if (snprintf(venv, sizeof(venv), "%s/venv", k->state) >= PATH_MAX)
		return;
	k->build = true;
	put(k, CONF_PYTHON_REQUIREMENTS, f[1]);
	put(k, CONF_PYTHON_VENV, venv);
	put(k, CONF_PYTHON_INTERPRETER, py->base);
	conf_find(k->conf, CONF_NOTE, NULL, "",
		"%s asks for what is not there (%s): it is installed into %s at the start", f[1],
		f[2], venv);
}

/* One record. True when it was the last. */
static bool take(struct check *k, const struct python *py, char *const f[], unsigned n)
{
	if (strcmp(f[0], "end") == 0)
		return true;
	if (strcmp(f[0], "finding") == 0) {
		take_finding(k, f, n);
	} else if (strcmp(f[0], "build") == 0) {
		take_build(k, py, f, n);
	} else if (strcmp(f[0], "none") == 0 && n == 3) {
		no_app(k, f[1], f[2]);
	} else if (strcmp(f[0], "value") == 0 && n == 4) {
		enum conf_key key = conf_key_by_name(f[1], f[2]);

		/* The mark of a row that can be detected is also the list of what may be said here.
		 */
		if (key == CONF_END || !(conf_rows[key].flags & CONF_DETECT))
			return false;
		k->app_found |= key == CONF_PYTHON_WSGI || key == CONF_PYTHON_ASGI;
		put(k, key, f[3]);
	}
	return false;
}

bool detect_take_records(struct check *k, const struct python *py, const char *p, size_t bytes)
{
	struct unpack u;

	unpack_init(&u, p, bytes);
	while (!unpack_done(&u)) {
		char *f[FIELDS_MAX];
		uint32_t n = unpack_u32(&u);

		if (u.bad || n == 0 || n > FIELDS_MAX)
			return false;
		for (uint32_t i = 0; i < n; i++)
			f[i] = (char *)unpack_str(&u);
		if (u.bad)
			return false;
		for (uint32_t i = 0; i < n; i++)
			make_plain(f[i]);
		if (take(k, py, f, n))
			return true;
	}
	return false;
}

/* It ended without its last record. */
static void broke(struct check *k, const struct python *py, struct python_run *run)
{
	size_t n = strlen(run->output);
	const char *tail = n > 700 ? run->output + n - 700 : run->output;

	make_plain(run->output);
	if (run->timed_out)
		conf_find(k->conf, CONF_ERROR, NULL,
			"a module must be done with its import soon: move what waits or serves out "
			"of it, "
			"below if __name__ == \"__main__\":",
			"the app was still being imported after 20 s%s%s",
			n > 0 ? "; its output:\n" : "", tail);
	else if (run->status == 127 || run->status == 126)
		conf_find(k->conf, CONF_ERROR, NULL, "write Interpreter= in [Python] of stead.conf",
			"%s cannot be run", py->path);
	else
		conf_find(k->conf, CONF_ERROR, NULL, "the app's output says why",
			"Python ended by %s %d while the app was imported%s%s",
			run->status < 0 ? "signal" : "exit status",
			run->status < 0 ? -run->status : run->status,
			n > 0 ? "; its output:\n" : "", tail);
}

static int detect_python(struct check *k)
{
	struct python_run run;
	struct python py;
	int r;

	if (!python_choose(k, &py))
		return 0;
	r = python_run(k, &py, &run);
	if (r < 0)
		return r;
	if (!detect_take_records(k, &py, run.records != NULL ? run.records : "", run.records_n))
		broke(k, &py, &run);
	free(run.records);
	if (conf_errors(k->conf) > 0)
		return 0;
	if (!k->build && (k->app_found || conf_target(k->conf) != NULL)) {
		put(k, CONF_PYTHON_INTERPRETER, py.path);
		if (py.venv[0] != '\0')
			put(k, CONF_PYTHON_VENV, py.venv);
	}
	return 0;
}

/* Is the folder Python's, before a file of it further down could be a tool's only? */
static bool is_python(const struct check *k)
{
	unsigned left = LOOK_ENTRIES;

	return conf_get(k->conf, CONF_PYTHON_PATH) != NULL ||
	       conf_get(k->conf, CONF_PYTHON_REQUIREMENTS) != NULL ||
	       conf_get(k->conf, CONF_PYTHON_INTERPRETER) != NULL ||
	       conf_get(k->conf, CONF_PYTHON_VENV) != NULL || program_file(k, "requirements.txt") ||
	       program_file(k, "pyproject.toml") ||
	       has_python(openat(k->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), 1, &left);
}

/* Does the file name a backend that answers every path? */
static bool answers_all(const struct check *k)
{
	const struct conf_scope *s = NULL;

	while ((s = conf_scope_next(k->conf, s)) != NULL)
		if (conf_scope_section(s) == SECTION_ROUTE && strcmp(conf_scope_arg(s), "/") == 0 &&
			conf_scope_get(s, CONF_ROUTE_TO) != NULL &&
			strcmp(conf_scope_get(s, CONF_ROUTE_TO)->text, "app") != 0)
			return true;
	return false;
}

int check_detect(struct check *k)
{
	const struct conf_value *exec = conf_get(k->conf, CONF_SERVICE_EXEC_START);
	unsigned left = LOOK_ENTRIES;

	/* A program is named: what it is made of is its own matter. */
	if (exec != NULL && exec->text[0] != '\0' && conf_target(k->conf) == NULL) {
		put(k, CONF_POSTGRES_ENABLED, "no");
		return 0;
	}
	if (conf_get(k->conf, CONF_PYTHON_WSGI) == NULL && answers_all(k)) {
		put(k, CONF_POSTGRES_ENABLED, "no");
		return 0;
	}
	if (conf_target(k->conf) == NULL &&
		(conf_get(k->conf, CONF_SITE_ROOT) == NULL || conf_get(k->conf, CONF_PHP_ROOT) != NULL) &&
		php_detect(k, has_python(openat(k->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), 1, &left))) {
		put(k, CONF_POSTGRES_ENABLED, "no");
		return 0;
	}
	if (conf_target(k->conf) == NULL && conf_get(k->conf, CONF_SITE_ROOT) == NULL &&
		!is_python(k) && program_detect(k))
		return 0;
	left = LOOK_ENTRIES;

	/* Everything written: nothing to find, and the app shows at its start what is wrong. */
	if (conf_target(k->conf) == NULL &&
		conf_get(k->conf, CONF_SITE_ROOT) != NULL &&
		conf_get(k->conf, CONF_PYTHON_PATH) == NULL &&
		!has_python(openat(k->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), LOOK_DEPTH,
			&left)) {
		put(k, CONF_POSTGRES_ENABLED, "no");
		return 0;
	}
	left = LOOK_ENTRIES;
	if (conf_target(k->conf) != NULL ||
		has_python(
			openat(k->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), LOOK_DEPTH, &left)) {
		int r = detect_python(k);

		if (r == 0 && conf_target(k->conf) != NULL)
			program_others(k);
		return r;
	}
	put(k, CONF_POSTGRES_ENABLED, "no");
	no_app(k,
		"no app was found: there is neither a Python file nor an index.html in the folder, "
		"and no other file that "
		"names a program",
		"looked for app.py, wsgi.py, main.py, a package, src/, manage.py, index.php, a "
		"Procfile with a web: line, "
		"config.ru, a package.json with scripts.start or main, index.html and "
		"public/index.html; name the app's folder, "
		"or write Wsgi=, Asgi=, ExecStart= or Root= in stead.conf");
	return 0;
}
