/*
 * backup_ask.h: stead-backup, asked by `stead backup`, `stead restore` and `stead up` with the
 * rights of whoever types (backup_ask.c).
 */
#ifndef STEAD_CLI_BACKUP_ASK_H
#define STEAD_CLI_BACKUP_ASK_H

#include "cli.h"

struct backup_told {
	json_t *parts;          /* of {"part", "of", "user", "bytes", "entries", "sha256"} */
	json_t *users, *groups; /* names */
	struct msg_backup_end end;
	char text[4096], todo[512], version[64], host[300];
};

/* Asks and shows the steps. An exit code, after an error was shown. backup_told_done() in each
 * case. */
int backup_ask(struct cli *c, enum backup_what what, const char *const *text, unsigned ntext,
	struct backup_told *ret);
void backup_told_done(struct backup_told *t);
/* A restore into c->state that was cut off comes to its end, before anything reads that state. An exit code. */
int backup_carry_on(struct cli *c);
/* FILE of the command line as an absolute path. An exit code. */
int backup_file(struct cli *c, char ret[PATH_MAX]);
/* How many parts of that kind. */
unsigned backup_count(const struct backup_told *t, const char *kind);
/* "12.3 MB" */
const char *backup_size(unsigned long long bytes, char ret[32]);

#endif
