/*
 * allow.h: as whom processes run: account.c, and allow.c, besides whose own users apps may. Part of parent.h.
 */
#ifndef STEAD_PARENT_ALLOW_H
#define STEAD_PARENT_ALLOW_H

#include "tbl/tbl.h"
#include <stdbool.h>
#include <sys/types.h>

struct parent;
struct msg_jail;

/* ---- account.c: numbers of the system's users, read from /etc/passwd without the name service
 * ---- */
struct account {
	uid_t uid;
	gid_t gid;
};
int account_find(const char *name, struct account *ret_account);
/* As root: make sure that every stead-ROLE exists (one run of `stead-act --boot`), then remember
 * them. */
int account_boot(struct parent *p);
/* May this role run under that uid and gid, as ctl asks? 0 or -EPERM. */
int account_allowed(const struct parent *p, enum proc role, uint32_t uid, uint32_t gid);
/* … and in further groups (msg_jail.groups)? */
int account_groups(const struct parent *p, uint32_t uid, const uint32_t *groups);

/* ---- allow.c ---- */
struct allow_account {
	char name[ACCOUNT_NAME_MAX];
	uint32_t uid, gid;
	uint32_t groups[ACCOUNT_GROUPS_MAX]; /* that it is in besides; without those that no app may have */
	unsigned groups_n;
};
struct allow {
	struct allow_account account[ACCOUNTS_MAX];
	unsigned n;
	struct {
		char name[ACCOUNT_NAME_MAX];
		const char *why;
	} refused[ACCOUNTS_MAX];
	unsigned refused_n;
};

/* As root: read [Server] AllowUsers= of /etc/stead/stead.conf and the accounts it names, in place of what was read
 * before. Whatever is wrong with the file: nobody is allowed. */
void allow_read(struct parent *p);
/* Tell ctl (ACCOUNTS). */
void allow_tell(struct parent *p);
/* May a process of an app have that uid, besides those of stead's range? */
bool allow_uid(const struct parent *p, uint32_t uid);
/* May one with that uid be in that group, besides those of stead's range? */
bool allow_gid(const struct parent *p, uint32_t uid, uint32_t gid);

#endif
