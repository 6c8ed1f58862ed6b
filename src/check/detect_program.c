/*
 * detect_program.c: which program answers the site, when the folder says it to other tools: a
 * Procfile's web line, a config.ru, a package.json.
 *
 * Called by detect.c. The files are read here and parsed in a child that can only compute; what it
 * says is input, and every value is checked by its row. Runs nothing of the folder. What is found
 * is told with its reason; what is named and cannot be run is an error with what to do.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "lib/must.h"
#include "lib/sys.h"
#include "program_files.h"

bool program_file(const struct check *k, const char *path)
{
	struct stat st;

	return fstatat(k->dir, path, &st, 0) == 0 && S_ISREG(st.st_mode);
}

int program_read(struct check *k, const char *file, check_work *work, struct buf *ret)
{
	struct conf_pos top = {.file = file, .line = 1, .col = 1};
	char *text = NULL;
	size_t n = 0;
	int r = sys_read_file(k->dir, file, CHECK_FILE_BYTES_MAX, &text, &n);

	if (r == -ENOENT || r == -ENOMEM)
		return r;
	if (r < 0) {
		check_unreadable(k->conf, file, r);
		return r;
	}
	r = check_jailed(work, text, n, ret);
	free(text);
	if (r < 0 && r != -ENOMEM)
		conf_find(k->conf, CONF_ERROR, &top, "", "the file could not be parsed");
	return r;
}

void program_env(struct check *k)
{
	static const struct {
		const char *file, *text;
	} all[] = {{"package.json", "NODE_ENV=production"}, {"Gemfile", "RACK_ENV=production"},
		{"config.ru", "RACK_ENV=production"}, {"bin/rails", "RAILS_ENV=production"}};

	for (unsigned i = 0; i < ARRAY_LEN(all); i++)
		if (program_file(k, all[i].file))
			(void)conf_put_key(k->conf, CONF_SERVICE_ENVIRONMENT, all[i].text,
				CONF_FROM_DETECTED, NULL);
}

void program_put(struct check *k, const char *const *words, unsigned n)
{
	struct buf b;

	buf_init(&b, 64 * 1024);
	for (unsigned i = 0; i < n; i++) {
		if (i > 0)
			buf_putc(&b, ' ');
		conf_command_word(&b, words[i]);
	}
	if (b.error == 0)
		(void)conf_put_key(
			k->conf, CONF_SERVICE_EXEC_START, buf_str(&b), CONF_FROM_DETECTED, NULL);
	buf_done(&b);
}

/* A line that only a shell understands, word by word for ExecStart=. */
static void put_shell(struct check *k, const char *line)
{
	const char *words[] = {"/bin/sh", "-c", NULL};
	struct buf b;

	buf_init(&b, 2 * LINE_BYTES_MAX + 16);
	for (; *line != '\0'; line++) {
		if (*line == '$')
			buf_putc(&b, '$');
		buf_putc(&b, *line);
	}
	words[2] = buf_str(&b);
	program_put(k, words, ARRAY_LEN(words));
	buf_done(&b);
}

/* `npm start` and the like: what package.json says is run without npm between. */
static bool is_npm_start(const struct shell_line *l)
{
	static const char *const tools[] = {"npm", "yarn", "pnpm"};
	bool tool = false;

	for (unsigned i = 0; l->plain && l->nenv == 0 && i < ARRAY_LEN(tools); i++)
		tool |= strcmp(l->words[0], tools[i]) == 0;
	return tool && ((l->nwords == 2 && strcmp(l->words[1], "start") == 0) ||
			       (l->nwords == 3 && strcmp(l->words[1], "run") == 0 &&
				       strcmp(l->words[2], "start") == 0));
}

static void put_web(struct check *k, const struct procfile_line *l)
{
	struct conf_pos pos = {.file = "Procfile", .line = l->line, .col = 1};
	const char *words[LINE_WORDS_MAX];
	char program[PATH_MAX];

	if (!l->command.plain) {
		program_env(k);
		put_shell(k, l->command.raw);
		conf_find(k->conf, CONF_NOTE, &pos, "",
			"its web: line is run by a shell, which it needs: a socket cannot be "
			"handed over to what a shell starts, "
			"so it has to listen at $PORT");
		return;
	}
	if (!node_program(k, l->command.words[0], program)) {
		conf_find(k->conf, CONF_ERROR, &pos,
			"install what the app needs, or write ExecStart= in stead.conf",
			"the web: line runs %.200s, and there is no such program in the folder or "
			"in PATH",
			l->command.words[0]);
		return;
	}
	memcpy(words, l->command.words, sizeof(words));
	words[0] = program;
	program_env(k);
	for (unsigned i = 0; i < l->command.nenv; i++)
		(void)conf_put_key(k->conf, CONF_SERVICE_ENVIRONMENT, l->command.env[i],
			CONF_FROM_DETECTED, &pos);
	program_put(k, words, l->command.nwords);
	conf_find(
		k->conf, CONF_NOTE, &pos, "", "its web: line is the program that answers the site");
}

/* Somebody has seen to that line: a program of its name is written. */
static bool is_written(const struct check *k, const char *name)
{
	for (const struct conf_scope *s = NULL; (s = conf_scope_next(k->conf, s)) != NULL;)
		if ((conf_scope_section(s) == SECTION_WORKER ||
			    conf_scope_section(s) == SECTION_TIMER) &&
			strcmp(conf_scope_arg(s), name) == 0)
			return true;
	return false;
}

/* Those beside web: are no errors, and nothing of them is run. */
static void tell_others(struct check *k, const struct procfile *f)
{
	for (unsigned i = 0; i < f->n; i++) {
		const struct procfile_line *l = &f->lines[i];
		struct conf_pos pos = {.file = "Procfile", .line = l->line, .col = 1};
		char todo[256] = "run it before `stead up` and before each `stead reload`";

		if (strcmp(l->name, "web") == 0 || is_written(k, l->name))
			continue;
		if (strcmp(l->name, "release") != 0)
			(void)snprintf(todo, sizeof(todo),
				"if it shall run, write [Worker %s] in stead.conf, and ExecStart= "
				"with its command",
				l->name);
		conf_find(k->conf, CONF_NOTE, &pos, todo, "its %s: line is not run", l->name);
	}
}

/* The Procfile, allocated; NULL: there is none that can be read, and *ret_r says why. */
static struct procfile *read_procfile(struct check *k, struct buf *packed, int *ret_r)
{
	struct procfile *f = calloc(1, sizeof(*f));

	buf_init(packed, SIZE_MAX);
	*ret_r = f != NULL ? program_read(k, "Procfile", procfile_work, packed) : -ENOMEM;
	if (*ret_r == 0 && procfile_take(packed->p, packed->len, f))
		return f;
	free(f);
	return NULL;
}

void program_others(struct check *k)
{
	struct buf packed;
	int r;
	struct procfile *f = read_procfile(k, &packed, &r);

	if (f != NULL)
		tell_others(k, f);
	buf_done(&packed);
	free(f);
}

static const struct procfile_line *web_of(const struct procfile *f)
{
	for (unsigned i = 0; i < f->n; i++)
		if (strcmp(f->lines[i].name, "web") == 0 && f->lines[i].command.raw[0] != '\0')
			return &f->lines[i];
	return NULL;
}

/* By the Procfile alone. */
static bool procfile_detect(struct check *k)
{
	struct buf packed;
	int r;
	struct procfile *f = read_procfile(k, &packed, &r);
	const struct procfile_line *web = f != NULL ? web_of(f) : NULL;

	if (web != NULL && !(is_npm_start(&web->command) && node_detect(k)))
		put_web(k, web);
	if (f != NULL)
		tell_others(k, f);
	buf_done(&packed);
	free(f);
	return web != NULL || (r < 0 && r != -ENOENT);
}

bool program_detect(struct check *k)
{
	bool found = procfile_detect(k) || ruby_detect(k) || node_detect(k);

	if (found)
		(void)conf_put_key(k->conf, CONF_POSTGRES_ENABLED, k->postgres ? "yes" : "no",
			CONF_FROM_DETECTED, NULL);
	return found;
}
