/*
 * identity.h: as whom an app's processes run (User= and its kin), and the folders that are theirs (StateDirectory= and
 * its kin): identity.c.
 */
#ifndef STEAD_CTL_IDENTITY_H
#define STEAD_CTL_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "tbl/tbl.h"

struct app;
struct buf;
struct conf_app;
struct ctl;
struct env_text;
struct msg;
struct up;

/* What the parent told of AllowUsers= (ACCOUNTS). */
struct identity_account {
	char name[ACCOUNT_NAME_MAX];
	uint32_t uid, gid, groups_n, groups[ACCOUNT_GROUPS_MAX];
};
struct identities {
	struct identity_account account[ACCOUNTS_MAX];
	unsigned n;
	struct {
		char name[ACCOUNT_NAME_MAX], why[120];
	} refused[ACCOUNTS_MAX];
	unsigned refused_n;
};

/* As whom. */
struct identity {
	const struct identity_account *account; /* NULL: the app's own user */
	uint32_t uid, gid;
	uint32_t groups[JAIL_GROUPS_MAX]; /* 0 ends them */
};

/* ACCOUNTS. */
void identity_heard(struct ctl *c, const struct msg *m);
/* By what it says and what is allowed now; what is not is left out. */
void identity_of(const struct ctl *c, const struct app *a, const struct conf_app *conf, struct identity *ret);
/* A flow whose conf is known: tell what of it is left out, and why; u->app.uid is whoever it is then. */
void identity_settle(struct up *u);
/* As root, behind that: ask act for the folders that hold the app's own (data, cache, logs, config). */
void identity_folders(struct up *u);

/* HOME and its kin of User=; STATE_DIRECTORY and its kin. Only those that `conf` does not set itself. */
void identity_env(const struct ctl *c, const struct app *a, const struct conf_app *conf, uint32_t set, struct env_text *e);
/* The socket of Listen=, where the gates find it; also when it is written as the app sees it (/run/NAME/…, with
 * RuntimeDirectory=NAME), in CTL_PATH_MAX bytes. True: it lies in a folder of this release's own. */
bool identity_socket(const struct ctl *c, const struct app *a, const struct conf_app *conf, char *ret);
/* Each folder that its process makes itself, and where it is seen besides, by `put`: a kind of enum jail_path with its
 * mode, and its path. */
void identity_paths(const struct ctl *c, const struct app *a, const struct conf_app *conf, uint32_t set,
	void (*put)(void *arg, uint32_t kind, const char *path), void *arg);

#endif
