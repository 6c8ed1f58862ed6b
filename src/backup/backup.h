/*
 * backup.h: what the files of stead-backup share. The command line asks for one thing (enum
 * backup_what); it runs with the rights of whoever typed it.
 */
#ifndef STEAD_BACKUP_BACKUP_H
#define STEAD_BACKUP_BACKUP_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "archive.h"
#include "oneshot/oneshot.h"

/* The copy of the state that ctl makes for a backup, below the state folder. */
#define BACKUP_STATE_COPY "backup.db"
#define BACKUP_SPARE_BYTES (64ull << 20) /* of the disk, which stay free */
#define BACKUP_BLOCK_BYTES 4096ull       /* what an entry takes at least */

struct backup {
	struct oneshot *o;
	struct failure *f;
	const char *file, *state;
	int fd; /* the file */
	struct archive_head head;
	uint64_t left_out; /* PACK */
	uint64_t told_ms;  /* of the last step */
};

/* Tell how far it is, at most once a second. */
void backup_step(struct backup *b, uint64_t done, uint64_t all, const char *what);
/* -errno with b->f set: that could not be done with that file or folder. */
int backup_failed(struct backup *b, int err, const char *what, const char *where);

/* ---- pack.c ---- */
struct pack_ask {
	const char *config;                    /* the folder of the configuration; "": none */
	const char *sockets, *bin, *databases; /* of the database server; databases one a line */
	const char *own;                       /* the name of the folder's own app */
};
/* All of the instance into b->file, which is there whole at the end, or as it was before. 0 or
 * -errno with b->f set. */
int pack(struct backup *b, const struct pack_ask *ask);

/* ---- dump.c ---- */
/* That database as pg_dump(1) has it, as the user of the folder of its sockets, into the file that
 * was begun. */
int dump_database(struct backup *b, struct archive_out *out, const struct pack_ask *ask,
	const char *database);

/* ---- people.c: a part for each person ---- */
int pack_people(struct backup *b, struct archive_out *out);

/* ---- unpack.c ---- */
/* Read b->file whole: is it a backup that this version reads, and undamaged? With `tell` its parts
 * and names are told. 0 or -errno with b->f set. */
int check_file(struct backup *b);
/* The same, and all of it into STATE/restore/new, on the disk. `users` and `apps`: see BACKUP_ASK.
 */
int unpack_file(struct backup *b, const char *users, const char *apps);

/* ---- jail.c ---- */
/* From here on this process reads what anybody may have made: it sees the folder `root` (-1:
 * nothing) and can do no more than write there. 0 or -errno. Nothing in a build with a sanitizer
 * (jail_off.c). */
int backup_jail(int root);

#endif
