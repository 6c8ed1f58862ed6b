/*
 * procfile.c: a Procfile's lines, and which gems a Gemfile or its lock file names.
 *
 * The work runs in a child that can only compute (parse.c); what it packs is input again. A Gemfile
 * is a program in Ruby: nothing of it is run here, only its plain lines `gem "NAME"` count.
 */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "lib/must.h"
#include "program_files.h"

enum { TYPE_BYTES_MAX = 64 };

/* The next line of text that lies at `p`, of `n` bytes left, into mem. Its bytes with the line's
 * end; 0: no more. One that is too long, or has a NUL in it, is "". */
static size_t next_line(const char *p, size_t n, char *mem, size_t cap)
{
	const char *end = memchr(p, '\n', n);
	size_t len = end != NULL ? (size_t)(end - p) : n, taken = end != NULL ? len + 1 : n;

	if (len > 0 && p[len - 1] == '\r')
		len--;
	if (len >= cap || memchr(p, '\0', len) != NULL)
		len = 0;
	memcpy(mem, p, len);
	mem[len] = '\0';
	return taken;
}

static bool type_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-';
}

/* TYPE: COMMAND. The command; NULL: it is no such line. */
static const char *command_of(char *line)
{
	size_t n = 0;

	while (type_char(line[n]))
		n++;
	if (n == 0 || n > TYPE_BYTES_MAX || line[n] != ':')
		return NULL;
	line[n] = '\0';
	line += n + 1;
	line += strspn(line, " \t");
	return *line != '\0' ? line : NULL;
}

void procfile_work(const char *text, size_t n, struct buf *ret)
{
	char line[LINE_BYTES_MAX + TYPE_BYTES_MAX + 16];
	struct buf all;
	unsigned number = 0, found = 0;

	buf_init(&all, 8 * 1024 * 1024);
	for (size_t at = 0, took; at < n && found < PROCFILE_LINES_MAX; at += took) {
		const char *command;

		took = next_line(text + at, n - at, line, sizeof(line));
		number++;
		command = command_of(line);
		if (command == NULL)
			continue;
		found++;
		pack_u32(&all, number);
		pack_str(&all, line);
		line_pack(command, &all);
	}
	pack_u32(ret, found);
	buf_put(ret, all.p, all.len);
	if (all.error != 0)
		ret->error = all.error;
	buf_done(&all);
}

bool procfile_take(const char *p, size_t n, struct procfile *ret)
{
	struct unpack u;

	unpack_init(&u, p, n);
	ret->n = unpack_u32(&u);
	if (u.bad || ret->n > PROCFILE_LINES_MAX)
		return false;
	for (unsigned i = 0; i < ret->n; i++) {
		struct procfile_line *l = &ret->lines[i];

		l->line = unpack_u32(&u);
		l->name = unpack_str(&u);
		if (u.bad || l->name[0] == '\0' || strlen(l->name) > TYPE_BYTES_MAX ||
			!line_take(&u, &l->command))
			return false;
		for (const char *c = l->name; *c != '\0'; c++)
			if (!type_char(*c))
				return false;
	}
	return unpack_done(&u);
}

/* ---- gems ---- */

static const char *const gem_names[] = {"puma", "rackup", "webrick", "pg"};

/* The name that the line begins with, and the version behind it: "    puma (5.6.5)" or "gem 'puma',
 * …". */
static const char *gem_of(const char *line, unsigned *ret_version)
{
	const char *end = NULL;
	unsigned major, minor = 0;

	if (strncmp(line, "    ", 4) == 0 && line[4] != ' ' && (end = strstr(line, " (")) != NULL) {
		*ret_version = 1;
		if (sscanf(end, " (%5u.%3u", &major, &minor) >= 1 && major > 0)
			*ret_version = major * 1000 + min_of(minor, 999u);
		return line + 4;
	}
	line += strspn(line, " \t");
	if (strncmp(line, "gem", 3) != 0)
		return NULL;
	line += 3;
	line += strspn(line, " \t(");
	if (*line != '"' && *line != '\'')
		return NULL;
	*ret_version = 1;
	return line + 1;
}

void gems_work(const char *text, size_t n, struct buf *ret)
{
	unsigned found[ARRAY_LEN(gem_names)] = {0}, version;
	char line[1024];

	for (size_t at = 0, took; at < n; at += took) {
		const char *gem;

		took = next_line(text + at, n - at, line, sizeof(line));
		gem = gem_of(line, &version);
		for (unsigned i = 0; gem != NULL && i < ARRAY_LEN(gem_names); i++) {
			size_t len = strlen(gem_names[i]);

			if (strncmp(gem, gem_names[i], len) == 0 && gem[len] != '\0' &&
				strchr("\"' ", gem[len]) != NULL)
				found[i] = max_of(found[i], version);
		}
	}
	for (unsigned i = 0; i < ARRAY_LEN(gem_names); i++)
		pack_u32(ret, found[i]);
}

bool gems_take(const char *p, size_t n, struct gems *ret)
{
	struct unpack u;

	unpack_init(&u, p, n);
	ret->puma = unpack_u32(&u);
	ret->rackup = unpack_u32(&u);
	ret->webrick = unpack_u32(&u);
	ret->pg = unpack_u32(&u);
	return unpack_done(&u);
}
