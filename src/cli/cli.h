/*
 * cli.h: the program `stead` in one page: arguments, which instance, the control socket, what
 * people see.
 *
 * It holds nothing: every verb but check, introspect, completion and help is one request to ctl on
 * STATE/control. `up` also starts the parent.
 */
#ifndef STEAD_CLI_CLI_H
#define STEAD_CLI_CLI_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>

#include "conf/conf.h"
#include "lib/chan.h"
#include "record/record.h"

struct cli {
	struct conf_args args;
	bool json, quiet, tty;
	bool whole;            /* `cert`: all of each */
	char state[PATH_MAX];  /* the instance's state folder */
	char run[256];         /* `up`: its runtime folder */
	char folder[PATH_MAX]; /* `up`: the app's folder, absolute */
	char roles[PATH_MAX];
	const char *format; /* `logs`: of access records; NULL: as people read them */
	struct record_lines *lines;
	char http[128]; /* `up`: numeric ADDR:PORT, "" when it was not given */
	char https[64]; /* the same for TLS */
	char ca[PATH_MAX]; /* the folder of the user's own certificate authority; "": none */
};

/* ---- instance.c: which instance ---- */
/* Fill in state (and folder, run for `up`). 0, or an exit code after an error was printed. */
/* Where the program of the app of that state folder makes its sockets. */
void instance_runtime(const char *state, char *ret, size_t cap);
int instance_for_up(struct cli *c);
/* Where the user's own certificate authority lies: $STEAD_CA ("": nowhere), as root /var/lib/stead/ca, else below his data
 * folder. False: nowhere. */
bool instance_ca(char ret[PATH_MAX]);
int instance_find(struct cli *c);
/* The same, saying nothing: false when none runs. */
bool instance_look(struct cli *c);
/* The folder of the roles' executables: beside this one. 0 or -errno. */
int instance_roles(char *ret, size_t cap);

/* ---- client.c: the control socket ---- */
struct client {
	int fd;
	char *mem;
	size_t len, at, cap;
};
/* 0; -ENOENT, -ECONNREFUSED: nothing runs there; -errno. */
int client_connect(struct client *cl, const char *state);
void client_close(struct client *cl);
/* Send one request; takes the reference. 0 or -errno. */
int client_ask(struct client *cl, json_t *request);
/* The next object: 1 and a new reference; 0 at the end; -EAGAIN when there is none within
 * timeout_ms
 * (-1: wait); -errno. */
int client_next(struct client *cl, int timeout_ms, json_t **ret_object);

/* ---- show.c: what people see ---- */
/* "stead: WHAT", and behind it why and what to do when they are not NULL; on stderr. */
void show_error(const struct cli *c, const char *what, const char *todo);
/* One event of the control socket, as people read it (or as JSON); the end is not shown. */
void show_event(struct cli *c, const json_t *o);
/* Text for a terminal into b; a newline is followed by `indent`, or is one more `?` without it. */
void show_plain(struct buf *b, const char *text, const char *indent);
/* The end: errors on stderr. Its exit code. */
int show_end(struct cli *c, const json_t *o);
/* A record of the log. */
void show_record(const struct cli *c, const json_t *o);
/* Lines of an app, safe for a terminal. */
void show_tail(FILE *to, const json_t *lines);
void show_line_done(struct cli *c);
/* ---- show_record.c ---- */
/* Print an access record in c->format; false: it is none. */
bool show_formatted(const struct cli *c, const json_t *o);
/* Access records are shown so from now on. 0, or an exit code after an error was printed. */
int show_format_set(struct cli *c, const char *text);
/* ---- show_protection.c: below the site of an app, with its limits ---- */
void show_protection(const json_t *protection, const json_t *app);

/* ---- show_server.c: the member "server" of a status (null: it is none), with its "state"; are there sites? ---- */
void show_server(const json_t *server, const char *state, bool sites);

/* ---- show_status.c ---- */
void show_status(const struct cli *c, const json_t *status);
/* "3d 4h", "12min 5s": two units at the most. */
const char *show_span(long long ms, char ret[32]);
/* ---- show_unit.c ---- */
/* Where a deployed app or a site answers, in words when it has no URL: "url" and "serves" of a status, or of a deploy's end. */
const char *show_where(const json_t *site);
/* One app, as systemctl shows a unit: `site` of a status, with its processes, and its last lines (may be NULL). */
void show_unit(const struct cli *c, const json_t *site, const json_t *processes, const json_t *lines);
/* ---- verb_alert.c ---- */
void show_alert_test(const struct cli *c, const json_t *o);
/* ---- verb_cert.c ---- */
void show_certificate(const json_t *o, bool whole);
void show_certificates(const json_t *list, bool whole);
/* ctl cannot read what other users' processes cost; whoever asks may be able to. */
void show_measure(json_t *status);

/* ---- role_ask.c: a one-shot role, asked one question with the rights of whoever runs the verb ---- */
struct role_ask {
	const char *roles, *argument; /* its folder; its one argument, NULL: none */
	enum proc role;
	uint16_t type, end;    /* of the question, of the message that ends the answer */
	const void *fixed;     /* the question … */
	size_t fixed_len;
	const char *const *text; /* … and what is packed behind it */
	unsigned ntext;
	/* Each message, also the end. False: it is not in form. */
	bool (*heard)(void *arg, const struct msg *m);
	void *arg;
	bool apart; /* it goes on when this process or its terminal goes, and gets nothing of the environment */
};
/* 0 when the end was heard; -errno: it came to none, which was said. */
int role_ask(const struct role_ask *a);

/* ---- act_ask.c: stead-act, asked with the rights of whoever runs the verb (root's) ---- */
struct act_end {
	unsigned err, exit_code;
	char text[4096], todo[512], result[160];
};
/* Starts stead-act for one act. `step` hears what is being done; may be NULL. 0, or -errno when it came to no end. The act
 * goes on when this process or its terminal goes. */
int act_ask(const char *roles_dir, enum act act, const char *const *args, void (*step)(void *arg, const char *text),
	void *arg, struct act_end *ret);

/* ---- check_ask.c: stead-check, asked with the rights of whoever runs the verb ---- */
/* A CHECK_VALUE, CHECK_FINDING or CHECK_SITES. False: it is not in form. */
typedef bool check_heard(void *arg, const struct msg *m);
/* `text` is packed behind the question. The exit code that it ends with; negative: it came to no end, which was said. */
int check_ask(const char *roles_dir, const struct msg_check_ask *q, const char *const text[4],
	check_heard *heard, void *arg);

/* ---- check_sites.c: what check says of the files of Sites=, for `stead check` ---- */
struct check_sites {
	bool json;
	struct buf out; /* a line for each of the first; in JSON all */
	unsigned n, wrong;
	/* of the file in work */
	char file[PATH_MAX], name[64], domains[300];
	unsigned ndomains;
};
/* One CHECK_SITES. False: it is not in form. */
bool check_sites_heard(struct check_sites *s, struct unpack *u);
void check_sites_show(struct check_sites *s);

/* ---- the verbs: each returns the exit code ---- */
int verb_up(struct cli *c);
int verb_status(struct cli *c);
int verb_stop(struct cli *c);
/* verb_units.c: verbs on apps, in systemctl's way; each of several names in turn, and the worst exit code. */
int verb_start(struct cli *c);
int verb_enable(struct cli *c);
int verb_disable(struct cli *c);
int verb_is_active(struct cli *c);
int units_stop(struct cli *c);
int units_restart(struct cli *c);
int units_reload(struct cli *c);
int units_status(struct cli *c);
int verb_reload(struct cli *c);
int verb_cache(struct cli *c);
int verb_maintenance(struct cli *c);
int verb_cert(struct cli *c);
int verb_import(struct cli *c); /* cert import */
int verb_trust(struct cli *c);  /* cert trust */
int verb_restart(struct cli *c);
int verb_user(struct cli *c);
int verb_domain(struct cli *c);
int verb_alert(struct cli *c);
/* Words as main() has them, without the program: one verb's exit code. */
int verb_of_words(struct cli *c, int argc, char **argv);
int verb_serve_deploy(struct cli *c);
int verb_backup(struct cli *c);
int verb_restore(struct cli *c);
int verb_deploy(struct cli *c);
int verb_releases(struct cli *c);
int verb_rollback(struct cli *c);
int verb_remove(struct cli *c);
int verb_upgrade(struct cli *c);
int verb_logs(struct cli *c);
int verb_metrics(struct cli *c);
int verb_doctor(struct cli *c);
int verb_check(const char *roles_dir, const char *path, const char *state_dir_or_null, bool json);
/* Connect to the instance. 0, or an exit code after an error was printed. */
int verb_open(struct cli *c, struct client *cl);
/* Ask, show everything, return the end's exit code. */
int verb_ask(struct cli *c, json_t *request);
/* One request; its end, a new reference. NULL: it was told why there is none, and *ret_code is the exit code. */
json_t *verb_ask_end(struct cli *c, json_t *request, int *ret_code);
/* Show the authority's terms, and have whoever sits there agree to them, once; signals: a descriptor that tells of one, or -1.
 * The exit code. */
int verb_agree(struct cli *c, int signals);
/* Nobody did yet: what `stead up` says where it cannot ask. */
void show_unagreed(const struct cli *c, const json_t *o);

#endif
