/*
 * backup.h: what ctl has to do with a backup, and with a state that comes from one. Part of ctl.h.
 *
 * A backup is made by stead-backup with the rights of whoever typed it. ctl keeps a copy of its
 * state for it, as of one moment, and begins no deploy as long as the connection is there
 * (backup.c). At the first start on a restored state accounts have this machine's numbers, and the
 * databases are loaded before their apps run (restored.c).
 */
#ifndef STEAD_CTL_BACKUP_H
#define STEAD_CTL_BACKUP_H

#include <stdbool.h>

struct ctl;
struct client;

struct backup_hold {
	struct client *by; /* whose connection holds deploys up; NULL: none */
};
struct restored {
	bool on, loads;     /* the mark is there; databases are being loaded */
	unsigned next;      /* how many apps have been looked at */
	unsigned databases; /* that were loaded */
	bool failed;
	bool builds;    /* packages are being seen to … */
	unsigned built; /* … of how many apps they are */
};

/* ---- backup.c ---- */
/* The request: {"event":"backup"} says where everything is; the connection stays. */
void backup_start(struct client *cl);
void backup_gone(struct ctl *c, const struct client *cl);

/* ---- restored.c ---- */
/* The state is open, and nothing of it has been read. 0 or -errno. */
int restored_open(struct ctl *c);
/* The database server answers. True: databases are to be loaded first, then deploy_boot_db() is
 * called again. */
bool restored_loads(struct ctl *c);
/* The folder's own app has its database. */
void restored_own(struct ctl *c);
/* Everything that waited is done. Harmless without a restore. */
void restored_over(struct ctl *c);

#endif
