/*
 * wants.h: the app's processes as the parent is asked to run them (PROC_SET): wants.c, wants_service.c.
 *
 * A set is named by its role and its app's number. Every program of an app that is no worker has role SERVICE, so
 * each needs a number: the one that serves the site has the app's, others take numbers that no app has.
 */
#ifndef STEAD_CTL_WANTS_H
#define STEAD_CTL_WANTS_H

#include "ctl.h"

/* ---- wants.c: what the parent is asked to run ---- */
int wants_postgres(struct ctl *c, const struct app *a);
/* So many workers, of the same kind as there are. */
int wants_workers(struct ctl *c, const struct app *a, const struct conf_app *conf, unsigned count);
/* ret_changed (may be NULL): whether it differs, but for the number of slots, from the last one. */
int wants_worker(struct ctl *c, const struct app *a, const struct conf_app *conf, uint64_t id,
	bool *ret_changed);
/* The same for a program that is not on the link (wants_service.c), and for whichever of the two the app is. */
int wants_service(struct ctl *c, const struct app *a, const struct conf_app *conf, uint64_t id,
	bool *ret_changed, const char **ret_missing);
/* -ENOENT: *ret_missing (may be NULL), the program of one of its commands, is not found. */
int wants_app(struct ctl *c, const struct app *a, const struct conf_app *conf, uint64_t id,
	bool *ret_changed, const char **ret_missing);
/* The app's programs are to read their configuration again (ExecReload=). */
void wants_reload(struct ctl *c, const struct app *a);
/* WORKER, SERVICE, or NONE: there is no app; and how many processes of it there shall be. */
enum proc wants_role(const struct conf_app *conf);
unsigned wants_count(const struct conf_app *conf);
/* The processes of that role and that set are not wanted any more. */
void wants_drop(struct ctl *c, enum proc role, uint32_t set);
/* Everything of an app, also of releases that drain: WebSockets take leave now. */
void wants_stop(struct ctl *c, const struct app *a);
/* Into a set of the app: how long what is replaced goes on. */
void wants_drain(const struct conf_app *conf, struct msg_proc_set *set);
/* The folder of that program's own, for its sockets. */
void wants_runtime(const struct ctl *c, uint32_t app, char ret[static CTL_PATH_MAX]);
/* The socket's folder and the cluster's data. */
void wants_sockets(const struct ctl *c, char ret[static CTL_PATH_MAX]);
/* Where the configuration of the app's PHP-FPM is written. */
void wants_php_folder(const struct ctl *c, const struct app *a, char ret[static CTL_PATH_MAX]);
void wants_data(const struct ctl *c, char ret[static CTL_PATH_MAX]);
/* The folder below the state where the app's user may write what is made for it (its venv). */
void wants_own(const struct ctl *c, const struct app *a, char ret[static CTL_PATH_MAX]);
/* The folder in which its data, cache, logs and config are. */
void wants_base(const struct ctl *c, const struct app *a, char ret[static CTL_PATH_MAX]);
/* What is below a deployed app's folder, STATE/apps/NAME. */
void wants_below(const struct ctl *c, const struct app *a, const char *name, char ret[static CTL_PATH_MAX]);
/* Is the one place that its program serves at the same for every release? Then two cannot run side by side. */
bool wants_fixed(const struct conf_app *conf);
/* Does it do something that nobody asks for? Then two at a time would do it twice. */
bool wants_alone(const struct conf_app *conf);

/* ---- between the files that describe processes ---- */
enum { WANT_ENV_MAX = 512, WANT_ARGS_MAX = 64 };

struct want {
	struct msg_proc_set set; /* argc and envc are filled in */
	const char *name, *cwd, *path, *stop_signal;
	const char *socket, *probe; /* of a service; may be NULL */
	const struct app *held;     /* whose jail it has; NULL: none, it is no app's */
	const struct conf_app *conf; /* … by that configuration */
	const char *argv[WANT_ARGS_MAX], *env[WANT_ENV_MAX];
	const struct buf *more; /* what stands behind all that, packed (wants_life.c); NULL: nothing */
};
/* ret_sum (may be NULL): of what a process of it would be, whatever their number. */
int want_send(struct ctl *c, const struct want *w, uint64_t id, uint64_t *ret_sum);

/* Variables as they are gathered: NAME=VALUE, each ended by NUL, where each begins. */
struct env_text {
	struct buf b;
	size_t at[WANT_ENV_MAX];
	unsigned n;
};
void want_env(struct env_text *e, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* What stead gives every process of the app, by the number of its set; then the configuration's own. */
int want_own_env(struct ctl *c, const struct app *a, const struct conf_app *conf, uint32_t set, struct env_text *e);
/* wants_life.c: the life of the program into w->set, and the rest of it packed into ret, which w->more may name: its
 * commands with the variables of w->env put in, names to pass on and to take out. 0; -ENOENT: ret_missing, the program
 * of a command, is not found in PATH; -errno. */
int want_life(struct ctl *c, const struct app *a, const struct conf_life *life, struct want *w, struct buf *ret, const char **ret_missing);
/* The last two alone, for an app that stead runs itself. */
int want_vars(const struct conf_life *life, struct buf *ret);
/* Where a program without a slash is looked for: PATH of that environment, else the one that there is. */
const char *want_path(const struct ctl *c, const char *const *env);
/* wants_php.c: a pool of PHP-FPM: its words into args, each ended by NUL, and its variables. 0 or -errno. */
/* The one that was found when the app was deployed may be gone since, as after a new version of the system: then the newest. */
void want_php_program(const struct app *a, char path[static CTL_PATH_MAX]);
int want_php(struct ctl *c, const struct app *a, const struct conf_app *conf, struct env_text *env, struct buf *args, unsigned *ret_n);
/* Of a configuration's program: its path, absolute; looked for in PATH when it has no slash. -ENOENT. */
int want_program(const struct app *a, const char *path, const char *env_path, char ret[static CTL_PATH_MAX]);

#endif
