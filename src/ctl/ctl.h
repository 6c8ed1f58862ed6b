/*
 * ctl.h: everything of ctl in one page: its objects and what each of its files offers.
 *
 *   struct ctl     the process: channels to the parent, the gates and the log, the control socket, state
 *   struct client  one connection on the control socket: one request, a stream of events, one end
 *   struct ask     one question to a one-shot process (check, build, db, act)
 *   struct up      the flow that takes the folder live; one at a time
 *   struct probe   (probe.h) the first real request, made through the listener as a client would
 *   struct app     an app as the state knows it (app.h): the instance's own folder, which may be an app, or files,
 *                  or only where other sites are written down; and each deployed one
 *   struct site    a site without a folder: one file of Sites=
 *
 * ctl never parses the app's files (check does), never touches the app's folder, and is never
 * waited for by a process that serves.
 */
#ifndef STEAD_CTL_CTL_H
#define STEAD_CTL_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>
#include <sqlite3.h>

#include "conf/conf.h"
#include "lib/buf.h"
#include "lib/chan.h"
#include "lib/logring.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "tbl/tbl.h"

#include "app.h"
#include "alerts.h"
#include "cert.h" /* and certs.h */
#include "cert_known.h"
#include "domain.h"
#include "maintenance.h"
#include "purge.h"
#include "probe.h"
#include "people.h"
#include "protection.h"
#include "request.h"
#include "server.h"
#include "site.h"

enum ctl_op {
	OP_ACCEPT = OP_USER,
	OP_CLIENT_RECV,
	OP_CLIENT_SEND,
	OP_CLIENT_TIMER,
	OP_PROBE_CONNECT,
	OP_PROBE_RECV,
	OP_PROBE_TIMER,
	OP_UP_TIMER,
	OP_UP_LOOK,
	OP_FLUSH,
	OP_SCALE_TIMER,
	OP_TIMED,
	OP_TIMED_JUMP,
	OP_ACME,
	OP_CERT_PUBLISH,
	OP_ACME_HOOK,
	OP_LOCAL,
	OP_CERT_LATE,
	OP_SERVER,
	OP_DEPLOY_NEXT,
	OP_ALERTS,
	CTL_OP_KINDS
};

enum {
	CTL_GATES_MAX = 64,
	CTL_PROCS_MAX = 1024,
	CTL_CLIENTS_MAX = 64,
	CTL_CLIENTS_OWNERS = 16, /* of them, that nobody else gets */
	CTL_CLIENTS_EACH = 16,   /* of one user who is not the owner */
	CTL_DIR_MAX = 3072,                   /* of stead's own folders: room for what lies below */
	CTL_CLIENT_OUT_MAX = 4 * 1024 * 1024, /* unread lines held for a slow client */
	CTL_TAIL_LINES = 25,                  /* of the app's log, shown with a failure */
	LISTENER_NUMBER = 1,                  /* of the first address */
	LISTENER_TCP_FIRST = 1000,            /* those of [Tcp] begin here */
	CTL_TCP_MAX = 128,
	CTL_URL_MAX = 80,
};

struct ctl;
struct ask;

/* ---- ask.c: one question to a one-shot ---- */
struct ask_end {
	uint32_t err; /* 0 done, else an errno */
	unsigned exit_code;
	const char *error, *todo, *result; /* never NULL */
};
struct ask_ops {
	/* A finding on the way (CHECK_VALUE, CHECK_FINDING); NULL: only steps are expected. */
	void (*heard)(struct ask *a, const struct msg *m);
	/* DB_STEP: what is being done now; permille UINT32_MAX when unknown. May be NULL. */
	void (*step)(struct ask *a, const char *text, uint32_t permille);
	/* The answer, or why there is none. The ask is freed behind it. Called exactly once. */
	void (*ended)(struct ask *a, const struct ask_end *end);
};
struct ask {
	struct ask *next;
	struct ctl *ctl;
	void *owner; /* NULL: nobody waits any more; cleared by ask_forget() */
	const struct ask_ops *ops;
	uint64_t id;
	enum proc role;
	uint32_t what; /* the asker's own: enum db_what and the like */
	uint16_t type;
	struct buf payload;
	int fd;           /* goes with it; -1: none */
	struct chan chan; /* open once SPAWNED came */
	bool greeted, exited;
	int32_t status, why; /* as in EXITED; why: its err */
};
/* Takes the payload's memory. The parent starts the role as uid:gid (0: its own). NULL without
 * memory: then nothing is called. */
struct ask *ask_start(struct ctl *c, enum proc role, uint32_t uid, uint32_t gid,
	uint32_t deadline_ms, uint16_t type, struct buf *payload, const struct ask_ops *ops,
	void *owner);
/* This descriptor (-1: none) goes with the question; taken. */
void ask_give(struct ask *a, int fd);
/* The owner goes: its asks are ended and nothing of it is called any more. */
void ask_forget(struct ctl *c, const void *owner);
void ask_spawned(struct ctl *c, struct msg *m);
void ask_exited(struct ctl *c, struct msg *m);

/* ---- control.c: the control socket ---- */
struct client {
	struct client *next;
	struct ctl *ctl;
	struct peer peer;
	struct lfd lfd;
	struct op recv;
	struct send_op send;
	struct timer timer; /* the end of patience with a restart */
	struct buf in;
	struct buf out, lent; /* lent: what the loop is sending now */
	bool sending, asked, ended, closed, restarting;
	bool telling;    /* metrics: there is more in `text` */
	struct buf text;
	size_t text_at;
	struct request req;
	uint64_t query;      /* of the log, 0: none */
	json_t *lines;       /* status: the app's last ones, being gathered */
	uint8_t off_step;     /* enum off_step */
	uint64_t maintaining; /* maintenance: the snapshot that says it; 0: none is waited for */
	struct cert *renewing; /* cert renew: the one that is waited for */
	char renew_from[48];   /* … and its serial number before */
	bool upgrading;        /* upgrade: it waits for the parent's word */
	bool reading_terms;    /* cert terms: it waits for the authority */
	bool sealing;          /* cert import: it waits for keys */
	uint64_t importing;    /* … for the snapshot that has the certificate; 0: none */
	uint64_t purging;    /* of the gate that forgets stored answers, 0: none */
	uint64_t generation; /* restart: what the workers must be newer than */
	uint32_t restarts;   /* … and the number of their set */
	bool queued;         /* deploy and the like: another change is under way */
	bool handed;         /* its connection is another process's from now on */
};
int control_open(struct ctl *c);
void control_close(struct ctl *c);
/* One JSON object as a line; takes the reference. Harmless when the client is NULL or gone. */
void client_say(struct client *cl, json_t *object);
/* A line that is JSON text already, without its newline. */
void client_say_text(struct client *cl, const char *text, size_t n);
/* {"event":"progress"}; permille UINT32_MAX when unknown. */
void client_progress(struct client *cl, const char *step, const char *text, uint32_t permille);
/* The last line of a request; members of `more` (may be NULL, taken) are added. */
void client_end(
	struct client *cl, unsigned exit_code, const char *error, const char *todo, json_t *more);
/* {"event":"finding"} */
void client_finding(struct client *cl, unsigned level, const char *file, unsigned line,
	unsigned col, const char *text, const char *todo);
/* upgrade.c: another version of stead is tried, and takes over */
void upgrade_ask(struct client *cl), upgrade_try(struct ctl *c, struct msg *m), upgrade_told(struct ctl *c, const struct msg *m);
void upgrade_probed(struct ctl *c, enum probe_end end);
op_done control_on_accept, client_on_recv, client_on_send, client_on_timer;

/* ---- state.c, state_app.c, state_secret.c: SQLite; each file owns its table ---- */
int state_open(struct ctl *c);
void state_close(struct ctl *c);
/* Report what SQLite said, as an event and as text for people. -EIO, or -ENOSPC. */
int state_failed(struct ctl *c, const char *what);
int state_exec(struct ctl *c, const char *sql);
int state_make_meta(struct ctl *c);
int state_meta_get(struct ctl *c, const char *key, uint64_t *ret_value);
int state_meta_set(struct ctl *c, const char *key, uint64_t value);
/* The number of that name among its kind, the same for ever; below 2^32, from 0 on. 0 without a state. */
uint32_t state_number(struct ctl *c, const char *kind, const char *name);
/* Many changes are one; inside of another it is that one. */
int state_begin(struct ctl *c, bool *ret_mine);
/* err as it came, or why it could not be kept. Not 0: all of it is taken back. */
int state_end(struct ctl *c, bool mine, int err);
int state_make_app(struct ctl *c);
/* The one with that app's number; and all: the folder's own, and the deployed ones into the list (state_deploy.c). */
int state_load_app(struct ctl *c, struct app *a);
int state_load_apps(struct ctl *c);
int state_save_app(struct ctl *c, const struct app *a);
int state_make_site(struct ctl *c);
int state_load_sites(struct ctl *c, struct site_list *ret);
/* `old` is what the table holds: only what differs is written. */
int state_save_sites(struct ctl *c, const struct site_list *old, const struct site_list *sites);
int state_make_secret(struct ctl *c);
/* The app's secret, made at the first call; 64 hex digits. */
int state_secret(struct ctl *c, const char *app, char ret[65]);
void app_value_free(struct app_value *v);
void app_values_free(struct app *a);
int app_value_add(struct app *a, const char *const text[6], uint32_t line, uint32_t col);

/* ---- effective.c: values as check told them, as a checked conf ---- */
/* The conf of these values, finished; NULL with the reason in ret_why. */
struct conf *effective_conf(const struct ctl *c, const struct app *a, char *ret_why, size_t cap);
/* The same of one site, with the defaults of this conf (effective_site_defaults()). */
struct conf *effective_site(const struct site *s, const struct conf *defaults, char *ret_why, size_t cap);
/* `base` is the folder of Sites=. NULL without memory. */
struct conf *effective_site_defaults(const struct ctl *c, const struct app *a, const char *base);
/* `path` from that folder, absolute; from the app's. */
void effective_below(const char *base, const char *path, char ret[static CTL_PATH_MAX]);
void effective_path(const struct app *a, const char *path, char ret[static CTL_PATH_MAX]);

/* ---- procs.c: what the parent says of its processes ---- */
struct proc_info {
	struct msg_proc_state st;
	uint64_t starting_us; /* since when this generation is or was on its way up */
	char said[201];       /* the last STATUS= of a program, for a person to read; "" */
	bool exposed;         /* a program: its port is open to the network */
};
void procs_heard(struct ctl *c, const struct msg_proc_state *st);
/* What a program says of itself (SAID_STATUS): text of the app's. */
void procs_said(struct ctl *c, const struct msg *m);
/* How many of them are in that phase. */
unsigned procs_count(const struct ctl *c, enum proc role, uint32_t app, enum proc_phase phase);
/* How many slots of the app run a generation newer than that and are up. */
/* A start of it came to nothing just now, whatever starts it again. */
bool procs_failed(const struct msg_proc_state *st, enum proc_phase was);
/* One of them, of a generation newer than that, has done what it had to do, and has not failed. */
bool procs_done(const struct ctl *c, enum proc role, uint32_t app, uint64_t generation);
unsigned procs_newer(const struct ctl *c, enum proc role, uint32_t app, uint64_t generation);
uint64_t procs_newest(const struct ctl *c, enum proc role, uint32_t app);

/* ---- peers.c: channels ---- */
struct gate_peer {
	struct chan chan;
	struct ctl *ctl;
	uint32_t index;
	uint64_t generation;
	bool greeted;
	uint64_t challenged; /* the last token that it said it answers */
	uint64_t loaded; /* the snapshot's generation that it said it serves */
	const struct counters_page *counters;
	uint64_t counters_generation;
};
struct log_peer {
	struct chan chan;
	struct ctl *ctl;
	bool greeted;
};
int peers_init(struct ctl *c);
void peers_hello(struct chan *ch);
bool peers_hello_holds(const struct msg *m);
int parent_send(struct ctl *c, uint16_t type, uint64_t id, const void *a, size_t a_len,
	const void *b, size_t b_len, const int *fds, unsigned nfds);

/* The account that owns the cluster. -ENOENT when PostgreSQL is not installed. */
int up_root_postgres(uint32_t *ret_uid, uint32_t *ret_gid);

/* ---- sites.c: the snapshot ---- */
/* What of the instance's own folder serves, or is coming. */
struct sites_own {
	const struct app *app;
	const struct conf_app *conf;
	const struct site_list *sites;
};
/* Build and send it, with every deployed app; the generation goes up. 0 or -errno. */
int sites_send(struct ctl *c, const struct sites_own *own);
/* Once more what was sent last. */
int sites_again(struct ctl *c);
/* Do all gates that there shall be serve this generation? */
bool sites_loaded(const struct ctl *c);

/* ---- up.c, up_check.c, up_db.c, up_gates.c, up_listen.c, up_root.c, up_tcp.c ---- */
/* One address of a [Tcp], or of Metrics=. */
struct up_tcp {
	char address[CTL_ADDRESS_MAX], name[32];
	uint32_t number, err, kind; /* enum listener_kind */
	bool fresh; /* the configuration before had it not */
};
struct deploy;
enum db_step { DB_NOT = 0, DB_INITS, DB_STARTS, DB_APPS, DB_READY };
/* Of the files, by check; those of the app that the state knows; none, so the defaults. */
enum up_given { UP_CHECKED = 0, UP_LAST_VALUES, UP_NO_VALUES };
struct up {
	struct ctl *ctl;
	struct deploy *deploy; /* what else it is, when it is about a deployed app */
	struct client *client; /* NULL: it went away */
	struct app app;        /* what is coming */
	struct conf *conf;
	const struct conf_app *c;
	struct site_list sites;  /* what of Sites= is coming */
	struct cert_known *known; /* certificates that need no second look; NULL: none */
	struct site *site;       /* the one that check is telling */
	struct buf site_values;
	size_t sites_bytes;      /* of all that were told */
	unsigned sites_kept, sites_out; /* last good versions; left out */
	char sites_named[400];          /* the first of them … */
	bool sites_unnamed;             /* … and there are more */
	bool reload;         /* only new values; nothing is started that does not run */
	uint8_t given;       /* enum up_given: where the values come from */
	bool restart;        /* as root: a reload with the values that are live, and a new copy */
	bool rolling;        /* reload: the workers are being replaced by others */
	const char *missing; /* the program that start_workers() did not find */
	uint64_t newer_than; /* … and those have a higher generation */
	char database[64];   /* what DB_INIT was last asked for */
	bool publishing, check_asked, checked, check_failed, built, building, bound, binding;
	bool gates_sent, snap_sent, workers_set, probing, syncing, synced, failing;
	uint8_t db; /* enum db_step */
	uint32_t db_uid; /* whom the database was told of */
	bool folders_made, server_up;
	bool owned; /* as root: the folders that are the app's user's are there */
	unsigned acts_pending;
	struct conf *site_defaults;
	unsigned sites_published, trees_published; /* as root: so many of them, and of the next one's folders */
	char prepared[64]; /* as root: the app's name whose user and folders are there */
	uint64_t started_us, started_wall_us, set_id;
	bool client_chose; /* --http */
	char https[CTL_ADDRESS_MAX]; /* --https; "" */
	bool agree; /* --yes: to the terms of the authority of certificates */
	bool seals, unsealed, resealing; /* check met private keys and did not know for whom to seal them; it is asked again */
	struct {
		char address[CTL_ADDRESS_MAX];
		uint32_t err;
	} listen[CTL_LISTEN_MAX];
	unsigned listen_n, listen_left; /* asked for, not answered yet */
	uint64_t listen_id;             /* of the first BIND; the others follow */
	struct up_tcp tcp[CTL_TCP_MAX], tcp_old[CTL_TCP_MAX]; /* what there shall be, and what there was */
	unsigned tcp_n, tcp_old_n, tcp_left;
	uint64_t tcp_id;
	bool tcp_asked, tcp_bound;
	bool https_off; /* as it was before */
	uint32_t deaths;    /* of workers that never came up */
	struct timer timer; /* the patience as a whole */
	struct timer look;  /* a program that starts takes long: where does it listen? */
	pid_t looked_at;
	unsigned own_port;  /* there, and nobody asks it there; 0: not seen */
	struct probe probe;
	uint64_t tail_query;
	json_t *tail; /* the last lines, gathered for a failure */
	unsigned fail_exit;
	char fail_error[6000], fail_todo[600];
};
void up_start(struct ctl *c, struct client *cl);
struct up *up_new(struct ctl *c, struct client *cl);
/* It is about this folder. */
void up_folder(struct up *u, const char *folder);
/* What was found on the way, to whoever asked, and kept by a server. */
void up_found(struct up *u, unsigned level, const char *file, unsigned line, unsigned col, const char *text,
	const char *todo);
void up_forget(struct up *u);
/* Whatever is possible now is done. Called after each event. */
void up_advance(struct up *u);
void up_fail(struct up *u, unsigned exit_code, const char *todo, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void up_free(struct ctl *c);
void up_client_gone(struct ctl *c, const struct client *cl);
void up_probed(struct ctl *c, enum probe_end end);
/* The first answer from 500 on; it is asked again. */
void up_probe_failed(struct ctl *c, unsigned status);
/* Have all of them bound; a list that ends with NULL. */
void up_listen(struct up *u, const char *const *addresses);
/* The first address, the first URL, all of them. */
void listen_first(const struct app *a, char ret[static CTL_ADDRESS_MAX]);
void listen_url(const struct app *a, char ret[static CTL_URL_MAX]);
json_t *listen_urls(const struct ctl *c, const struct app *a);
void up_bound(struct ctl *c, uint64_t id, uint32_t err, const char *address);
/* Have those of [Tcp] bound. */
void up_tcp_bind(struct up *u);
/* BOUND: was it an answer to that? */
bool up_tcp_heard(struct ctl *c, uint64_t id, uint32_t err);
/* The flow failed: close what it opened. It is live: close what is not wanted any more. */
void up_tcp_give_back(struct up *u);
void up_tcp_live(struct up *u);
/* What listens for TLS, for people. */
void up_tcp_https(struct ctl *c, const struct conf_app *conf, const struct site_list *sites);
/* The number of that address, the same for ever. */
uint32_t tcp_listener_number(struct ctl *c, const char *address);
void up_done(struct ctl *c, uint64_t id, uint32_t err, const char *text);
/* starting_us: when that generation began to start, 0 when unknown. */
void up_proc(struct ctl *c, const struct msg_proc_state *st, enum proc_phase was,
	uint64_t starting_us);
void up_snap_refused(struct ctl *c, uint32_t err, const char *text);
void up_tail_line(struct up *u, const char *text, size_t n);
void up_tail_end(struct up *u);
void up_check(struct up *u);
/* Nobody is asked: the values are the defaults. */
void up_unchecked(struct up *u);
/* The values are there: they are the conf of this flow from now on. */
void up_values(struct up *u);
/* up_sites.c: CHECK_SITES; when all are known; for a restart: those that are live. */
void up_sites_heard(struct up *u, const struct msg *m);
void up_sites_settle(struct up *u);
void up_sites_same(struct up *u);
/* What to say of those that are not as their files say; false: nothing. */
bool up_sites_say(const struct up *u, char *ret, size_t cap);
void up_build(struct up *u);
void up_db_start(struct up *u);
void up_db_sync(struct up *u);
void up_db_advance(struct up *u);
/* The database of the app is dropped; and ask something about the database of an app of the list. NULL: no memory. */
struct ask *up_db_drop(struct up *u, const struct ask_ops *ops);
struct ask *db_ask_app(struct ctl *c, const struct app *a, enum db_what what, const struct ask_ops *ops);
/* up_check.c: what check told of a deployed app (deploy_steps.c) becomes the conf of the flow. */
void deploy_checked(struct up *u);
/* Tell the parent how many gates there shall be; from now on sites_loaded() waits for so many. */
int gates_send(struct ctl *c, const struct conf_app *conf);
/* One that shall be there, or the log, does not come up: the flow has failed with the reason. */
bool up_gates_failed(struct up *u);
/* The parent ended one before it was ready. */
void up_gate_killed(struct up *u, const struct msg_proc_state *st, uint64_t starting_us);
/* A gate said that it cannot accept at that address; it is about to end. */
void up_gate_deaf(struct ctl *c, uint32_t gate, uint32_t err, const char *address);
/* No program came of a start: the step, its errno's text and what to do. */
void up_spawn_failed(struct up *u, const struct msg_proc_state *st, const char *what);
/* Ask act for it, with the arguments of its row; u->acts_pending says how many are asked. */
void up_root_act(struct up *u, enum act act, const char *const *args);
void up_root_folder(struct up *u, const char *name, const char *owner, const char *group, const char *mode);
/* As root: the app's user, its copy, the folders. False: not yet. */
bool up_root_ready(struct up *u);
/* The same for its static trees, which check told; and where the copy of one lies: PUBLIC_ROOT is Root= of
 * the site, 0 and more are Static= in order, PUBLIC_ROUTES + i is Root= of route i; `site` is a number. */
enum { PUBLIC_ROOT = -1, PUBLIC_ROUTES = 1000 };
bool up_root_published(struct up *u);
/* Have that tree, which lies in the copy of the folder, copied to where the gates see it. */
void up_root_publish(struct up *u, const char *from, const char *to);
/* Is one of its servers a socket that the gates do not see? */
bool up_root_hidden(const struct conf_upstream *up, const char **ret_path);
#define UP_ROOT_SOCKET_TODO                                                                        \
	"let the backend make it below /run/stead/backends (RuntimeDirectory=stead/backends/NAME " \
	"in its unit, or `install -d -o USER /run/stead/backends/NAME`), or listen on an address " \
	"of 127.0.0.1"
/* up_root_sites.c: the same for sites without a folder, one after the other. False: not yet. And may this one
 * serve? False: a finding says why not. */
bool up_root_sites_published(struct up *u);
bool up_root_site_may(struct up *u, const struct site *s);
int up_public_index(const struct conf_app *conf, unsigned route);
void up_public_path(const struct ctl *c, const struct app *a, uint32_t site, int index,
	char ret[static CTL_PATH_MAX]);
/* Remove copies that are not the live one, once no worker runs from them. */
void up_root_settle(struct ctl *c);

/* ---- reload.c: changes of a live site ---- */
void reload_start(struct ctl *c, struct client *cl);
/* As root: the folder is copied again, and new workers run from that. */
void reload_restart(struct ctl *c, struct client *cl);
/* For a restart: the values that are live are the ones that come. */
void reload_same(struct up *u);
/* Keep the old value of each key that only `stead up` can change, and say so. */
void reload_keep(struct up *u);
/* It failed half-way: what was live is told to the parent and the gates again. */
void reload_revert(struct up *u);

/* A respawned ctl goes on where the last one stood. */
void resume(struct ctl *c);
/* What other verbs need to know of the app's configuration that is live. */
void app_adopt(struct app *a, const struct conf_app *conf);
op_done up_on_timer, up_on_look;

/* ---- metrics.c ---- */
enum metrics_kind { METRICS_SITE = 0, METRICS_UPSTREAM, METRICS_KINDS };
/* What that row of the counters pages is of; kept for good. */
void metrics_name(struct ctl *c, enum metrics_kind kind, uint32_t number, const char *name);
/* Everything as Prometheus text, or one JSON object a line. 0, or b's error. */
int metrics_put(const struct ctl *c, struct buf *b, bool json);
void metrics_start(struct client *cl);
/* The client has read what it was told. */
void metrics_more(struct client *cl);
/* One column of that site over all gates. */
uint64_t metrics_site(const struct ctl *c, uint32_t number, unsigned column);
struct gate_peer;
/* A gate is asked for them. */
void metrics_tell(struct gate_peer *g);
void metrics_done(struct ctl *c);

/* ---- scaling.c: workers follow the load ---- */
/* This configuration is live now. */
void scaling_adopt(struct app_run *run, const struct conf_app *conf);
/* How many workers there shall be under that configuration: as many as now, within its bounds. */
unsigned scaling_count(const struct app_run *run, const struct conf_app *conf);
void scaling_told(struct app_run *run, unsigned count);
/* A respawned ctl does not know how many there are: as long as `keep` is set the parent does not change it,
 * and what it tells of its processes says how many. */
void scaling_resume(struct app_run *run, bool keep);
op_done scaling_on_timer;

/* ---- trouble.c: workers that do not come up ---- */
/* A worker of it changed. */
void trouble_update(struct app *a);
/* A new gate learns what the others know. */
void trouble_tell(struct gate_peer *g);
/* The verb status: answered at once, or with the app's last lines when it is in trouble. */
void trouble_status(struct client *cl);
void trouble_line(struct client *cl, const char *text, size_t n);
/* No more lines, or no more patience. */
void trouble_lines_end(struct client *cl);

/* ---- status.c, logs.c, verbs.c ---- */
/* Of all sites, or of that one. Of many only some are told, unless all are wanted. */
json_t *status_json(struct ctl *c, const char *site, bool all);
/* Tell the log process what LogTo= says: when it comes, and behind each snapshot. */
void logs_to(struct ctl *c);
void logs_start(struct client *cl);
void logs_stop(struct client *cl);
void logs_heard(struct ctl *c, const struct msg *m);
/* The log process is gone: whoever waits for it is told. */
void logs_gone(struct ctl *c);
/* Ask for the last lines of the app; the answer goes to the up flow. 0: there is no log to ask. */
uint64_t logs_tail(struct ctl *c, const char *app, unsigned lines);
/* The same, of any time; the answer goes to the client that keeps the id. */
uint64_t logs_last(struct ctl *c, const char *app, unsigned lines);
/* Keep one record in a list of the last ones, when it is the app's own words. */
void logs_keep(json_t *list, const char *text, size_t n);
void verbs_run(struct client *cl);
/* The site without a folder that the request names; NULL: it means an app. */
const struct site *verbs_site(const struct client *cl);
/* The app that it names, the folder's own when it names none; NULL: it means such a site. */
struct app *verbs_app(const struct client *cl);
/* The name and the number of what it means. */
const char *verbs_name(const struct client *cl);
uint32_t verbs_number(const struct client *cl);
/* Something changed that a waiting restart may have waited for. */
void verbs_settle(struct ctl *c);
void verbs_worker_died(struct ctl *c, const struct msg_proc_state *st);

/* ---- main.c ---- */
struct ctl {
	struct loop *loop;
	struct chan parent;
	bool started, greeted, stopping, ready, told; /* told: the parent ends it */
	struct msg_start start; /* its gates: how many there shall be, also after START */
	char state_dir[CTL_DIR_MAX], run_dir[CTL_DIR_MAX], roles_dir[CTL_DIR_MAX];
	int state_fd; /* the state folder */
	char instance[96];
	uint64_t ids;
	struct probe trial; /* upgrade.c: of the gate that is tried */
	uint64_t trial_id, trial_status; /* what it answered, while the one that serves is asked the same */

	struct gate_peer gate[CTL_GATES_MAX];
	struct log_peer log;
	struct ctl_keys keys;
	struct certs certs;
	struct ctl_server server;
	struct alerts alerts;
	char https[CTL_LISTEN_MAX * CTL_ADDRESS_MAX]; /* where TLS is spoken, blank-separated */
	struct logring_writer ring;
	struct op flush;

	struct lfd listener;
	struct op accept;
	struct client *clients;
	unsigned clients_n;

	sqlite3 *db;
	sqlite3_stmt *meta_get, *meta_set; /* of state.c */
	struct app app; /* the instance's own folder: what serves, or the last that did; the deployed ones follow it */
	struct site_list sites; /* the same */
	struct maintenance maintenance;
	struct {
		char **names[METRICS_KINDS]; /* by the row's number */
		int fd;                      /* the last text for gates */
		uint64_t ms;                 /* when it was made */
	} metrics;
	uint64_t snap_generation, snap_bytes;
	uint64_t cache_bytes; /* of the cache's region; 0: there is none */
	int cache_fd;
	bool cache_on_disk;
	uint64_t snap_told; /* the generation whose going live is in the log */
	uint64_t live_us; /* since when; 0: not live */
	bool other_build; /* resume: the ctl before this one was of another version */
	uint64_t parent_since_us;
	struct protection protection;
	struct proc_info *procs;
	unsigned procs_n;
	struct timer timed_timer;
	struct op timed_jump;
	struct ask *asks;
	struct up *up;
	struct op deploy_next; /* the next change that waits begins */
	struct {
		bool wanted, runs, left; /* there may be releases that nobody needs; one is being removed; an app that is not deployed is */
	} sweep;
	bool apps_run; /* the deployed ones were told to the parent */
};
/* Write an event into the log: pairs of name and text, ended by NULL. */
void say(struct ctl *c, enum event id, ...) __attribute__((sentinel));
/* Everything that START allows is done: open the state, listen, say READY. */
void ctl_started(struct ctl *c);

#endif
