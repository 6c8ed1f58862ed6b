/*
 * deploy.h: apps that are deployed into a running instance: what the files of it say to each other.
 *
 * A deploy, a rollback and a removal are flows (struct up) of a row of steps (deploy.c). What is done at each is in
 * deploy_files.c (the release's files), deploy_steps.c (everything from its check to the switch) and deploy_sweep.c (what
 * nobody needs any more). deploy_verbs.c takes the requests; deploy_boot.c has the apps run again.
 */
#ifndef STEAD_CTL_DEPLOY_H
#define STEAD_CTL_DEPLOY_H

#include <stdint.h>

#include "ctl.h"

struct release {
	uint32_t number;
	uint64_t at_us; /* when it went live first; wall clock */
};

enum deploy_what { DEPLOY_NEW = 1, DEPLOY_BACK = 2, DEPLOY_REMOVE = 4 };
enum { DEPLOY_TOKEN_MEM = 33, DEPLOY_RELEASES_MAX = 128 };

/* What a flow knows more when it is one of these. */
struct deploy {
	enum deploy_what what;
	struct app *app;   /* that of the list */
	bool fresh;        /* none of its releases serves: the app goes from the list when this fails */
	bool fixed;        /* its program has one place: the new one cannot run beside the old one */
	bool data;         /* remove: its data too */
	unsigned step;
	bool begun, done;  /* of the step */
	char token[DEPLOY_TOKEN_MEM]; /* names the stream of files */
	bool receives;     /* … which is waited for */
	uint64_t asked_us; /* … since then */
	bool deployers;    /* somebody asked for it who may deploy that app alone */
	bool awaited;      /* somebody was told that he has to wait for its end */
	uint8_t persist;   /* of deploy_files.c */
	uint8_t migrate;   /* of deploy_steps.c */
	bool ran;          /* something of the new release has run: its last lines may say why */
	bool coming;       /* the snapshot has it for ctl's probe */
	bool committed;    /* the state says that it is the one */
	/* of what serves meanwhile */
	uint32_t old_set;
	enum proc old_role;
	uint64_t old_sum, newer_than;
	unsigned old_want;
};

/* ---- deploy.c ---- */
void deploy_advance(struct up *u);
/* The first time in this step: it is begun now. */
bool deploy_begins(struct deploy *d);
/* That step has done its work: on to the next. */
void deploy_step_done(struct up *u);
/* The flow has failed: what serves goes on as it was. Before its client is told. */
void deploy_failed(struct up *u);
/* Is one of these under way that the snapshot has to show to the probe? */
const struct up *deploy_coming(const struct ctl *c);
/* Ask build something about the app's files: `owner` hears its end. fd: passed on, or -1; taken. False: no memory. */
bool deploy_ask_files(struct ctl *c, const struct app *a, enum unpack_what what, const char *const text[4], int fd,
	const struct ask_ops *ops, void *owner);
/* What puts the app before others goes, when a deployer deploys it (deploy_held.c). */
void deploy_hold(struct up *u);
/* May it have that database? False: the flow has failed. */
bool deploy_claim_database(struct up *u);
/* ---- deploy_turn.c ---- */
/* It begins to hold the turn; it has asked for its folder. */
void deploy_turn_begins(struct up *u, bool deployers);
void deploy_turn_sends(struct up *u);
/* He is refused because something is under way; that is remembered. */
void deploy_busy(struct client *cl);
/* The flow's clock: true when it goes on, or has failed here; false: it has been patient for so long, or is no deploy. */
bool deploy_turn(struct up *u, uint64_t patience_ms);
/* The parent said something of a process, a client went away. */
void deploy_heard(struct ctl *c, const struct msg_proc_state *st);
void deploy_client_gone(struct up *u);
op_done deploy_on_next;
/* Another flow has ended: the next one that waits begins. */
void deploy_next(struct ctl *c);

/* ---- deploy_files.c: steps; each true when it is over ---- */
bool deploy_user(struct up *u);
bool deploy_folders(struct up *u);
bool deploy_receive(struct up *u);
bool deploy_copy(struct up *u);
bool deploy_identity(struct up *u);
bool deploy_persist(struct up *u);
/* The stream of files is what comes on this connection. */
void deploy_send_start(struct client *cl);
/* STATE/apps/NAME/WHERE/N. */
void deploy_tree(const struct ctl *c, const struct app *a, const char *where, uint32_t number,
	char ret[static CTL_PATH_MAX]);

/* ---- deploy_steps.c: the same ---- */
bool deploy_check(struct up *u);
bool deploy_recall(struct up *u);
bool deploy_claims(struct up *u);
bool deploy_publish(struct up *u);
bool deploy_build(struct up *u);
bool deploy_database(struct up *u);
bool deploy_migrate(struct up *u);
bool deploy_start_workers(struct up *u);
bool deploy_up(struct up *u);
bool deploy_probe(struct up *u);
bool deploy_switch(struct up *u);
bool deploy_gone(struct up *u);
bool deploy_stopped(struct up *u);
bool deploy_drop(struct up *u);
bool deploy_trees(struct up *u);
/* The program of Migrate= changed. */
void deploy_migrated(struct up *u, const struct msg_proc_state *st);

/* ---- deploy_verbs.c ---- */
/* A request about deployed apps; and one whose turn it is. */
void deploy_verb(struct client *cl);
void deploy_start(struct client *cl);

/* May an app be called so? */
bool deploy_name_valid(const char *name);

/* ---- deploy_left.c: apps that are not deployed and whose folder is there ---- */
bool left_is(struct ctl *c, const char *name);
/* Their names, a new reference. */
json_t *left_json(struct ctl *c);
/* Takes away what nobody needs of that one, whose number that is. True: it is under way, and `owner` hears its end; *ret_waits: something
 * of it runs still. */
bool left_sweep(struct ctl *c, const char *name, uint32_t number, const struct ask_ops *ops, void *owner, bool *ret_waits);
/* The one that the request to remove names, in the list of apps; NULL: it was told why not. */
struct app *left_to_remove(struct client *cl);
/* The step before its database goes: the server runs. */
bool left_server(struct up *u);

/* ---- deploy_sweep.c ---- */
/* There may be trees of releases that nobody needs. */
void deploy_sweep_soon(struct ctl *c);
void deploy_sweep(struct ctl *c);
/* The step before anything is made: no folder is being taken away that it may need. */
bool deploy_swept(struct up *u);

/* ---- deploy_boot.c ---- */
/* A new parent runs nothing yet: have every deployed app run. Then those that need the database, once that is there. */
void deploy_boot(struct ctl *c, bool server_comes);
void deploy_boot_db(struct ctl *c);
/* Have that one run as it is described now. */
void deploy_run(struct ctl *c, struct app *a);
/* A new ctl under a parent that runs them. */
void deploy_resume(struct ctl *c);

/* ---- state_deploy.c. Each 0 or -errno ---- */
int state_make_deploy(struct ctl *c);
/* This is what serves of the app from now on. at_us: it is a release that is kept; 0: it is one of those already. */
int state_save_deploy(struct ctl *c, const struct app *a, uint64_t at_us);
/* The kept ones, the newest first. */
int state_releases(struct ctl *c, const struct app *a, struct release *ret, unsigned max, unsigned *ret_n);
/* The interpreters that they run with, packed. */
int state_release_pythons(struct ctl *c, const struct app *a, struct buf *ret);
/* Its values and what it ran with, into a, which has none. -ENOENT: it is not kept. */
int state_load_release(struct ctl *c, struct app *a, uint32_t number);
int state_forget_release(struct ctl *c, const struct app *a, uint32_t number);
int state_forget_app(struct ctl *c, const struct app *a);
/* ---- state_left.c. Each 0 or -errno ---- */
int state_make_left(struct ctl *c);
/* The database that an app of that name has or left; "": none. */
int state_left_database(struct ctl *c, const char *app, char ret[static 64]);
/* It has that one from now on; "": none. */
int state_has_database(struct ctl *c, const char *app, const char *database);

/* 0: it could not be written down. */
uint32_t state_next_release(struct ctl *c, const struct app *a);

#endif
