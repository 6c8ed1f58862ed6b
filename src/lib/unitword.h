/*
 * unitword.h: the words of one key of a file in systemd's syntax, for a process that links no parser of it.
 */
#ifndef STEAD_LIB_UNITWORD_H
#define STEAD_LIB_UNITWORD_H

#include <stdbool.h>
#include <stddef.h>

/* Gather the words of every KEY= of [SECTION] in `text` (n bytes, need not end with NUL), with a blank between them,
 * into ret; an empty value resets. Comments and lines that end with a backslash are as in systemd.syntax(7); there are
 * no quotes, so a word with one is just that. 0, also without any; -E2BIG: they do not fit into cap bytes, or a line is
 * too long; ret is "" then. May be entered again. */
int unitword_find(const char *text, size_t n, const char *section, const char *key, char *ret, size_t cap);
/* The same of a file that nobody but root may change: a regular one, root's, which neither its group nor others may
 * write, and no symlink. -ENOENT; -EPERM: it is not such a file; -EFBIG: more than 1 MiB; -errno. */
int unitword_read(const char *path, const char *section, const char *key, char *ret, size_t cap);
/* Does a line of the text, in whatever section, say KEY=VALUE; behind: KEY=WORD VALUE? What is written, without what
 * specifiers and quotes would make of it. 1; 0; -E2BIG: a line is too long; -ENOMEM. May be entered again. */
int unitword_says(const char *text, size_t n, const char *key, bool behind, const char *value);
/* The same of a file, which is to be as for unitword_read(). Its errors besides. */
int unitword_file_says(const char *path, const char *key, bool behind, const char *value);
/* Is `word` one of `words`, as they are in ret? */
int unitword_has(const char *words, const char *word);

#endif
