/*
 * program_files.h: files of other tools that say how an app is started: package.json, Procfile,
 * Gemfile.
 *
 * For each a WORK that reads the text and packs what counts, in a child that can only compute
 * (check_jailed()), and a TAKE that reads what was packed as input. Strings of what TAKE gives
 * point into the packed bytes. Pure: no file, no clock, no folder.
 */
#ifndef STEAD_CHECK_PROGRAM_FILES_H
#define STEAD_CHECK_PROGRAM_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"

enum {
	LINE_BYTES_MAX = 4000,
	LINE_WORDS_MAX = 56,
	LINE_ENV_MAX = 16,
	PACKAGE_DEPS_MAX = 1000,
	PROCFILE_LINES_MAX = 64
};

/*
 * shell_line.c: a line that its author meant for a shell. Plain: it is one program with words and
 * variables before it, so none is needed; `words` and `env` (NAME=VALUE) are as ExecStart=
 * understands them, with ${NAME} for a variable and $$ for a dollar sign. Else `raw` alone counts.
 */
struct shell_line {
	bool plain;
	const char *raw; /* "": there is no line */
	unsigned nwords, nenv;
	const char *words[LINE_WORDS_MAX], *env[LINE_ENV_MAX];
};
/* Text longer than LINE_BYTES_MAX, or with a control character in it, counts as none. */
void line_pack(const char *text, struct buf *ret);
/* The next one. False: malformed. */
bool line_take(struct unpack *u, struct shell_line *ret);

struct package {
	unsigned line, col; /* not 0: it is no JSON, and `why` says so */
	const char *why;
	struct shell_line start; /* scripts.start */
	bool prestart, build;    /* are there such scripts? */
	const char *main;        /* a path inside the folder; "" */
	unsigned ndeps;
	const char *deps[PACKAGE_DEPS_MAX]; /* names of `dependencies` */
};
void package_work(const char *text, size_t n, struct buf *ret);
bool package_take(const char *p, size_t n, struct package *ret);
/* A relative path without ".." and control characters. */
bool is_inside_path(const char *path);

struct procfile {
	unsigned n;
	struct procfile_line {
		unsigned line; /* its number */
		const char *name;
		struct shell_line command;
	} lines[PROCFILE_LINES_MAX];
};
void procfile_work(const char *text, size_t n, struct buf *ret);
bool procfile_take(const char *p, size_t n, struct procfile *ret);

/* What a Gemfile or a Gemfile.lock names. Versions: major * 1000 + minor, 1: not known, 0: it is
 * not there. */
struct gems {
	unsigned puma, rackup, webrick, pg;
};
void gems_work(const char *text, size_t n, struct buf *ret);
bool gems_take(const char *p, size_t n, struct gems *ret);

#endif
