/*
 * wants.c: the app processes as the parent is asked to run them (PROC_SET): argv, environment,
 * limits.
 *
 * Called by the up flow, by reload and by a respawned ctl; the same state gives the same bytes, so
 * a question asked twice changes nothing. Environment's precedence: the configuration's over
 * stead's own.
 */
#include "wants.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/sys.h"

enum { POSTGRES_STOP_MS = 60 * 1000, WORKER_STOP_MS = 10 * 1000 };

int want_send(struct ctl *c, const struct want *w, uint64_t id, uint64_t *ret_sum)
{
	struct msg_proc_set set = w->set;
	struct identity who;
	struct buf b;
	int err;

	if (w->held) {
		identity_of(c, w->held, w->conf, &who);
		set.uid = who.uid;
		set.gid = who.gid;
	}
	/* Another version of stead says it in its own words; the app is the same. */
	set.flags |= c->other_build ? PROC_SET_STAYS : 0;
	buf_init(&b, CHAN_PAYLOAD_MAX - sizeof set);
	pack_str(&b, w->name);
	pack_str(&b, w->cwd);
	pack_str(&b, w->path);
	for (set.argc = 0; w->argv[set.argc]; set.argc++)
		pack_str(&b, w->argv[set.argc]);
	pack_str(&b, "");
	for (set.envc = 0; w->env[set.envc]; set.envc++)
		pack_str(&b, w->env[set.envc]);
	pack_str(&b, "");
	pack_str(&b, w->stop_signal);
	pack_str(&b, w->socket ? w->socket : "");
	pack_str(&b, w->probe ? w->probe : "");
	if (w->held)
		protection_pack(c, w->held, w->conf, set.app, &b);
	else if (w->more)
		pack_bytes(&b, "", 0); /* nothing holds it */
	if (w->more)
		buf_put(&b, w->more->p, w->more->len);
	/* As the parent compares (sets.c): what it does not replace a process for is no change of what runs, and nobody shall wait
	 * for another. */
	if (ret_sum && !b.error) {
		struct msg_proc_set one = set;

		one.count = one.wake = 0;
		one.drain_s = one.tunnel_s = 0;
		one.flags &= ~(uint32_t)(PROC_SET_KEEP | PROC_SET_STAYS);
		*ret_sum = sys_checksum(b.p, b.len) * 31 + sys_checksum(&one, sizeof one);
	}
	err = b.error ? b.error
		      : parent_send(c, MSG_PROC_SET, id, &set, sizeof set, b.p, b.len, NULL, 0);
	buf_done(&b);
	return err;
}

void wants_sockets(const struct ctl *c, char ret[static CTL_PATH_MAX])
{
	/* As root the folder belongs to postgres and is open to the app's group. */
	(void)snprintf(ret, CTL_PATH_MAX, c->start.root ? "%s/pg" : "%s", c->run_dir);
}

void wants_data(const struct ctl *c, char ret[static CTL_PATH_MAX])
{
	(void)snprintf(ret, CTL_PATH_MAX, "%s/pg/data", c->state_dir);
}

void wants_below(const struct ctl *c, const struct app *a, const char *name, char ret[static CTL_PATH_MAX])
{
	(void)snprintf(ret, CTL_PATH_MAX, "%s/apps/%s%s%s", c->state_dir, a->name, *name ? "/" : "", name);
}

void wants_own(const struct ctl *c, const struct app *a, char ret[static CTL_PATH_MAX])
{
	if (app_deployed(a))
		wants_below(c, a, "own", ret);
	else
		(void)snprintf(ret, CTL_PATH_MAX, c->start.root ? "%s/own" : "%s", c->state_dir);
}

void wants_base(const struct ctl *c, const struct app *a, char ret[static CTL_PATH_MAX])
{
	if (app_deployed(a))
		wants_below(c, a, "", ret);
	else
		(void)snprintf(ret, CTL_PATH_MAX, "%s", c->state_dir);
}

void wants_runtime(const struct ctl *c, uint32_t app, char ret[static CTL_PATH_MAX])
{
	const char *id = strrchr(c->run_dir, '/');
	char base[CTL_PATH_MAX];

	/* Where src/parent/places.c makes it. */
	if (c->start.root)
		(void)snprintf(base, sizeof base, "/run/stead/backends/%s", id ? id + 1 : "0");
	else
		(void)snprintf(base, sizeof base, "%s", c->run_dir);
	if (snprintf(ret, CTL_PATH_MAX, RUNTIME_FOLDER, base, (unsigned)app) >= CTL_PATH_MAX)
		ret[0] = '\0';
}

int wants_postgres(struct ctl *c, const struct app *a)
{
	char path[CTL_PATH_MAX + 16], data[CTL_PATH_MAX], sockets[CTL_PATH_MAX];
	struct want w = {.name = "postgres",
		.cwd = "/",
		.path = path,
		.stop_signal = "INT",
		.argv = {path, "-D", data, "-k", sockets}, /* it finds its own files by argv[0] */
		.env = {"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"}};

	wants_data(c, data);
	wants_sockets(c, sockets);
	(void)snprintf(path, sizeof path, "%s/postgres", a->bin);
	w.set = (struct msg_proc_set){.role = PROC_POSTGRES,
		.app = APP_NUMBER,
		.count = 1,
		.start_ms = 30 * 1000,
		.stop_ms = POSTGRES_STOP_MS,
		.umask_bits = 077};
	if (c->start.root) {
		int err = up_root_postgres(&w.set.uid, &w.set.gid);

		if (err)
			return err;
		/* The same whichever app asks, or a second app would start the server anew. */
		if (!app_deployed(a) || c->app.bin[0])
			w.set.gid = app_deployed(a) ? c->app.gid : a->gid;
	}
	return want_send(c, &w, 0, NULL);
}

/* ---- workers ---- */

void want_env(struct env_text *e, const char *name, const char *fmt, ...)
{
	char value[CTL_PATH_MAX + 256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(value, sizeof value, fmt, ap);
	va_end(ap);
	if (e->n >= WANT_ENV_MAX - 1)
		return;
	e->at[e->n++] = e->b.len;
	buf_printf(&e->b, "%s=%s", name, value);
	buf_putc(&e->b, '\0');
}

/* Does the configuration set this variable itself? */
static bool named(const struct conf_app *conf, const char *name)
{
	size_t n = strlen(name);

	for (const char *const *v = conf->env; v && *v; v++)
		if (strncmp(*v, name, n) == 0 && (*v)[n] == '=')
			return true;
	return false;
}

static void database_env(const struct ctl *c, const struct conf_app *conf, struct env_text *e)
{
	char sockets[CTL_PATH_MAX];

	wants_sockets(c, sockets);
	if (!named(conf, "DATABASE_URL"))
		want_env(e, "DATABASE_URL", "postgresql:///%s?host=%s", conf->database, sockets);
	if (!named(conf, "PGHOST"))
		want_env(e, "PGHOST", "%s", sockets);
	/* A port in the caller's environment would lead past the socket. */
	if (!named(conf, "PGPORT"))
		want_env(e, "PGPORT", "5432");
	if (!named(conf, "PGUSER"))
		want_env(e, "PGUSER", "%s", conf->database);
	if (!named(conf, "PGDATABASE"))
		want_env(e, "PGDATABASE", "%s", conf->database);
}

int want_own_env(
	struct ctl *c, const struct app *a, const struct conf_app *conf, uint32_t set, struct env_text *e)
{
	char secret[65];
	int err = state_secret(c, a->name, secret);

	if (err)
		return err;
	if (a->bin[0])
		database_env(c, conf, e);
	if (!named(conf, "SECRET_KEY"))
		want_env(e, "SECRET_KEY", "%s", secret);
	if (!named(conf, "STEAD_APP"))
		want_env(e, "STEAD_APP", "%s", a->name);
	if (!named(conf, "STEAD_RELEASE"))
		want_env(e, "STEAD_RELEASE", "%u", (unsigned)a->release);
	identity_env(c, a, conf, set, e);
	if (conf->python && !named(conf, "PYTHONUNBUFFERED"))
		want_env(e, "PYTHONUNBUFFERED", "1");
	explicit_bzero(secret, sizeof secret);
	for (const char *const *v = conf->env; v && *v && e->n < WANT_ENV_MAX - 1; v++) {
		e->at[e->n++] = e->b.len;
		buf_puts(&e->b, *v);
		buf_putc(&e->b, '\0');
	}
	return e->b.error;
}

/* The worker's program lies beside the roles. */
static int worker_program(const struct ctl *c, char ret[static CTL_PATH_MAX])
{
	/* As root from a build folder: the copy that the app's user can read. */
	if (c->start.root &&
		snprintf(ret, CTL_PATH_MAX, "%s/python/stead_worker.py", c->state_dir) <
			CTL_PATH_MAX &&
		access(ret, R_OK) == 0)
		return 0;
	if (snprintf(ret, CTL_PATH_MAX, "%s/python/stead_worker.py", c->roles_dir) < CTL_PATH_MAX &&
		access(ret, R_OK) == 0)
		return 0;
	return -ENOENT;
}

struct python {
	char program[CTL_PATH_MAX], cwd[CTL_PATH_MAX], path[16][CTL_PATH_MAX];
	char threads[16], workers[16], concurrency[16], websocket_max[24];
};

static void python_args(
	const struct app *a, const struct conf_app *conf, struct python *py, struct want *w)
{
	unsigned n = 0;

	(void)snprintf(py->threads, sizeof py->threads, "%u", conf->threads);
	(void)snprintf(py->concurrency, sizeof py->concurrency, "%u", conf->concurrency);
	(void)snprintf(py->websocket_max, sizeof py->websocket_max, "%llu",
		(unsigned long long)conf->websocket_max);
	(void)snprintf(py->workers, sizeof py->workers, "%u", conf->workers_max);
	/* By its path: an interpreter looks for its environment beside argv[0]. */
	w->argv[n++] = a->python;
	w->argv[n++] = py->program;
	w->argv[n++] = conf->asgi[0] ? "--asgi" : "--wsgi";
	w->argv[n++] = conf->asgi[0] ? conf->asgi : conf->wsgi;
	for (unsigned i = 0; i < ARRAY_LEN(py->path) && conf->python_path && conf->python_path[i];
		i++) {
		effective_path(a, conf->python_path[i], py->path[i]);
		w->argv[n++] = "--path";
		w->argv[n++] = py->path[i];
	}
	if (conf->asgi[0]) {
		w->argv[n++] = "--concurrency";
		w->argv[n++] = py->concurrency;
		w->argv[n++] = "--websocket-max";
		w->argv[n++] = py->websocket_max;
	} else {
		w->argv[n++] = "--threads";
		w->argv[n++] = py->threads;
	}
	w->argv[n++] = "--workers";
	w->argv[n++] = py->workers;
}

static int want_python(struct ctl *c, const struct app *a, const struct conf_app *conf, uint64_t id,
	unsigned count, bool *ret_changed)
{
	uint64_t sum = 0;
	struct python *py = calloc(1, sizeof *py);
	struct env_text *e = calloc(1, sizeof *e);
	struct want *w = calloc(1, sizeof *w);
	struct buf more;
	int err = py && e && w ? worker_program(c, py->program) : -ENOMEM;

	buf_init(&more, CHAN_PAYLOAD_MAX);
	if (err == 0) {
		buf_init(&e->b, CHAN_PAYLOAD_MAX);
		err = want_own_env(c, a, conf, a->set, e);
	}
	if (err == 0) {
		effective_path(a, conf->working_directory, py->cwd);
		python_args(a, conf, py, w);
		for (unsigned i = 0; i < e->n; i++)
			w->env[i] = e->b.p + e->at[i];
		w->name = a->name;
		w->cwd = py->cwd;
		w->path = a->python;
		w->stop_signal = "TERM";
		w->set = (struct msg_proc_set){.role = PROC_WORKER,
			.app = a->set,
			.count = count,
			.wake = conf->idle_stop_ms != 0 ? conf->workers : 0,
			.uid = a->uid,
			.gid = a->gid,
			.flags = PROC_SET_LINK | PROC_SET_ROLLING | PROC_SET_STACKS |
				 (a->run->scaling.keep ? PROC_SET_KEEP : 0),
			.start_ms = (uint32_t)min_of(conf->health_timeout_ms, (uint64_t)UINT32_MAX),
			.stop_ms = WORKER_STOP_MS,
			.requests_max = conf->max_requests,
			.life_ms = conf->lifetime_ms,
			.rss_max = conf->rss_max,
			.umask_bits = 022};
		wants_drain(conf, &w->set);
		w->held = a;
		w->conf = conf;
		w->more = &more;
		err = want_vars(&conf->service.life, &more);
		if (!err)
			err = want_send(c, w, id, &sum);
		if (ret_changed)
			*ret_changed = sum != a->run->worker_sum;
		if (err == 0) {
			a->run->worker_sum = sum;
			scaling_told(a->run, count);
		}
	}
	if (e)
		buf_done(&e->b);
	buf_done(&more);
	free(e);
	free(w);
	free(py);
	return err;
}

int wants_worker(struct ctl *c, const struct app *a, const struct conf_app *conf, uint64_t id,
	bool *ret_changed)
{
	return want_python(c, a, conf, id, scaling_count(a->run, conf), ret_changed);
}

int wants_workers(struct ctl *c, const struct app *a, const struct conf_app *conf, unsigned count)
{
	return want_python(c, a, conf, 0, count, NULL);
}
