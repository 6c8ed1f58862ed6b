/*
 * wants_service.c: programs of the app that are not on the link, as the parent is asked to run them.
 *
 * Called by the up flow, by reload and by a respawned ctl; the same state gives the same bytes. The
 * variables of the command line are put in here, but for the port, which each run gets from the parent.
 */
#include "wants.h"
#include "identity.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "snap/snap.h"

/* What src/parent/spawn.c gives when there is none else. */
static const char root_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

int want_program(
	const struct app *a, const char *path, const char *env_path, char ret[static CTL_PATH_MAX])
{
	if (strchr(path, '/')) {
		effective_path(a, path, ret);
		return 0;
	}
	for (const char *at = env_path; *at; at += strspn(at, ":")) {
		int n = (int)strcspn(at, ":");

		if (n > 0 && at[0] == '/' &&
			snprintf(ret, CTL_PATH_MAX, "%.*s/%s", n, at, path) < CTL_PATH_MAX &&
			access(ret, X_OK) == 0)
			return 0;
		at += n;
	}
	return -ENOENT;
}

const char *want_path(const struct ctl *c, const char *const *env)
{
	const char *own = c->start.root ? NULL : getenv("PATH");

	for (; *env; env++)
		if (strncmp(*env, "PATH=", 5) == 0)
			own = *env + 5;
	return own ? own : root_path;
}

static uint32_t protocol_of(const struct conf_service *s)
{
	return s->protocol == CONF_PROTOCOL_UWSGI     ? SNAP_PROTO_UWSGI
	       : s->protocol == CONF_PROTOCOL_FASTCGI ? SNAP_PROTO_FASTCGI
						      : SNAP_PROTO_HTTP;
}

static uint32_t ms32(uint64_t ms)
{
	return (uint32_t)min_of(ms, (uint64_t)UINT32_MAX);
}

#define HOOK_NAME "challenge-hook"
#define MIGRATE_NAME "migrate"
enum { HOOK_STOP_MS = 5000 };

struct service_text {
	struct env_text env;
	struct buf args, more;
	char cwd[CTL_PATH_MAX], program[CTL_PATH_MAX], socket[CTL_PATH_MAX];
	struct want w;
};

/* The text may move while it grows. */
static void put_env(struct service_text *t)
{
	for (unsigned i = 0; t->env.b.error == 0 && i < t->env.n; i++)
		t->w.env[i] = t->env.b.p + t->env.at[i];
}

static int put_args(struct ctl *c, const struct app *a, const struct conf_app *conf,
	const struct conf_command *command, struct service_text *t)
{
	unsigned n;
	size_t at = 0;
	int err = conf->php.on && command == conf->service.command ? want_php(c, a, conf, &t->env, &t->args, &n)
			       : conf_command_expand(command, t->w.env, &t->args, &n);

	if (err)
		return err;
	if (n >= WANT_ARGS_MAX)
		return -E2BIG;
	for (unsigned i = 0; i < n; i++) {
		t->w.argv[i] = t->args.p + at;
		at += strlen(t->args.p + at) + 1;
	}
	err = want_program(a, command->path, want_path(c, t->w.env), t->program);
	if (err == 0 && conf->php.on && command == conf->service.command)
		want_php_program(a, t->program);
	return err;
}

bool wants_fixed(const struct conf_app *conf)
{
	return !conf->python && !conf->service.linked && conf->service.command &&
	       (conf->service.listen == SERVICE_PATH || conf->service.port != 0);
}

bool wants_alone(const struct conf_app *conf)
{
	return !conf->python && !conf->service.linked && conf->service.command && conf->service.listen == SERVICE_NONE;
}

static void put_set(const struct ctl *c, const struct app *a, const struct conf_app *conf,
	struct service_text *t)
{
	const struct conf_service *s = &conf->service;
	bool fixed = wants_fixed(conf);

	t->w.name = a->name;
	t->w.cwd = t->cwd;
	t->w.path = t->program;
	t->w.stop_signal = s->kill_signal;
	t->w.socket = t->socket;
	t->w.probe = conf->health;
	if (s->linked) {
		t->w.set = (struct msg_proc_set){.role = PROC_WORKER,
			.app = a->set,
			.count = s->workers,
			.uid = a->uid,
			.gid = a->gid,
			.flags = PROC_SET_LINK | PROC_SET_ROLLING,
			.start_ms = ms32(s->start_ms),
			.stop_ms = ms32(s->stop_ms),
			.life_ms = s->lifetime_ms,
			.rss_max = s->rss_max,
			.umask_bits = 022};
		wants_drain(conf, &t->w.set);
		return;
	}
	t->w.set = (struct msg_proc_set){.role = PROC_SERVICE,
		.app = a->set,
		.count = s->workers,
		.uid = a->uid,
		.gid = a->gid,
		.flags = fixed || s->listen == SERVICE_NONE ? 0 : PROC_SET_ROLLING,
		.start_ms = ms32(s->start_ms),
		.stop_ms = ms32(s->stop_ms),
		/* As root the gates connect by the group of the folder that its socket lies in. */
		.umask_bits = s->listen == SERVICE_PATH && c->start.root ? 0007 : 022,
		.life_ms = s->lifetime_ms,
		.rss_max = s->rss_max,
		.listen = s->listen,
		.protocol = protocol_of(s),
		.port = s->port,
		.ready = s->ready,
		.answers = conf->health_count,
		.notify = s->notify,
		.watchdog_ms = ms32(s->watchdog_ms),
		.kill = s->kill,
		.life = conf->working_directory_optional ? SERVICE_LIFE_NO_CWD : 0};
	wants_drain(conf, &t->w.set);
}

int wants_service(struct ctl *c, const struct app *a, const struct conf_app *conf, uint64_t id,
	bool *ret_changed, const char **ret_missing)
{
	const char *nobody = "";

	struct service_text *t = calloc(1, sizeof *t);
	uint64_t sum = 0;
	int err;

	if (!t)
		return -ENOMEM;
	buf_init(&t->env.b, CHAN_PAYLOAD_MAX);
	buf_init(&t->args, CHAN_PAYLOAD_MAX);
	buf_init(&t->more, CHAN_PAYLOAD_MAX);
	err = want_own_env(c, a, conf, a->set, &t->env);
	if (conf->service.linked) {
		/* What stead_open() looks for: the channel that workers.c hands over. */
		want_env(&t->env, "STEAD_LINK_FD", "3");
		want_env(&t->env, "STEAD_THREADS", "%u", conf->service.threads);
	}
	put_env(t);
	if (err == 0)
		err = put_args(c, a, conf, conf->service.command, t);
	put_env(t);
	if (err == 0) {
		effective_path(a, conf->working_directory, t->cwd);
		if (conf->service.listen == SERVICE_PATH)
			(void)identity_socket(c, a, conf, t->socket);
		put_set(c, a, conf, t);
		t->w.held = a;
		t->w.conf = conf;
		err = conf->service.linked
			      ? want_vars(&conf->service.life, &t->more)
			      : want_life(c, a, &conf->service.life, &t->w, &t->more,
					ret_missing ? ret_missing : &nobody);
	}
	if (err == 0) {
		t->w.more = &t->more;
		err = want_send(c, &t->w, id, &sum);
	}
	if (ret_changed)
		*ret_changed = sum != a->run->worker_sum;
	if (err == 0) {
		a->run->worker_sum = sum;
		scaling_told(a->run, conf->service.workers);
	}
	buf_done(&t->more);
	buf_done(&t->args);
	buf_done(&t->env.b);
	free(t);
	return err;
}

int wants_app(struct ctl *c, const struct app *a, const struct conf_app *conf, uint64_t id,
	bool *ret_changed, const char **ret_missing)
{
	if (a->run->off.stopped) {
		wants_drop(c, wants_role(conf), a->set);
		return 0;
	}
	return conf->python ? wants_worker(c, a, conf, id, ret_changed)
			    : wants_service(c, a, conf, id, ret_changed, ret_missing);
}

void wants_reload(struct ctl *c, const struct app *a)
{
	struct msg_proc_ref ref = {.role = PROC_SERVICE, .app = a->set};

	(void)parent_send(c, MSG_PROC_RELOAD, ++c->ids, &ref, sizeof ref, NULL, 0, NULL, 0);
}

enum proc wants_role(const struct conf_app *conf)
{
	if (conf->python || conf->service.linked)
		return PROC_WORKER;
	return conf->service.command ? PROC_SERVICE : PROC_NONE;
}

unsigned wants_count(const struct conf_app *conf)
{
	return conf->python             ? conf->workers
	       : conf->service.command ? conf->service.workers
				       : 0;
}

void wants_drop(struct ctl *c, enum proc role, uint32_t set)
{
	struct msg_proc_ref ref = {.role = role, .app = set};

	(void)parent_send(c, MSG_PROC_DROP, 0, &ref, sizeof ref, NULL, 0, NULL, 0);
}

void wants_stop(struct ctl *c, const struct app *a)
{
	static const enum proc roles[] = {PROC_WORKER, PROC_SERVICE};

	for (unsigned i = 0; i < 2 * ARRAY_LEN(roles); i++) {
		struct msg_proc_ref ref = {.role = roles[i / 2] | PROC_REF_SOON, .app = app_deployed(a) ? a->set ^ (i & 1) : a->set};

		if (app_deployed(a) || (i & 1) == 0)
			(void)parent_send(c, MSG_PROC_DROP, 0, &ref, sizeof ref, NULL, 0, NULL, 0);
	}
}

void wants_drain(const struct conf_app *conf, struct msg_proc_set *set)
{
	set->drain_s = (uint16_t)min_of((conf->drain_ms + 999) / 1000, (uint64_t)UINT16_MAX);
	set->tunnel_s = (uint16_t)min_of((conf->tunnel_drain_ms + 999) / 1000, (uint64_t)UINT16_MAX);
}

/* ---- programs that serve nothing ---- */

/* A number that no app has, and that stays with the name whatever other programs come and go. */
static uint32_t program_number(const struct app *a, const char *name)
{
	uint32_t hash = 2166136261u;

	for (const char *p = a->name; *p; p++)
		hash = (hash ^ (uint8_t)*p) * 16777619u;
	hash = (hash ^ '/') * 16777619u;
	for (const char *p = name; *p; p++)
		hash = (hash ^ (uint8_t)*p) * 16777619u;
	return PROGRAM_NUMBER_FIRST | hash >> 8;
}

static void put_program(const struct app *a, const struct conf_program *p, uint32_t number,
	struct service_text *t)
{
	t->w.name = a->name;
	t->w.cwd = t->cwd;
	t->w.path = t->program;
	t->w.stop_signal = p->kill_signal;
	/* Not rolling: two of them at a time is what no one asked for. */
	t->w.set = (struct msg_proc_set){.role = PROC_SERVICE,
		.app = number,
		.count = p->workers,
		.uid = a->uid,
		.gid = a->gid,
		.flags = p->timer ? PROC_SET_ONCE : 0,
		.stop_ms = ms32(p->stop_ms),
		.umask_bits = 022,
		.life_ms = p->lifetime_ms,
		.rss_max = p->rss_max,
		.listen = SERVICE_NONE,
		.start_ms = ms32(p->start_ms),
		.ready = p->timer ? SERVICE_SPAWNED : p->ready,
		.notify = p->timer ? SERVICE_NOTIFY_NONE : p->notify,
		.watchdog_ms = ms32(p->watchdog_ms),
		.kill = p->kill};
}

static int put_more(struct service_text *t, const char *const *more)
{
	unsigned n = 0;

	while (t->w.argv[n])
		n++;
	for (; *more; more++) {
		if (n >= WANT_ARGS_MAX - 1)
			return -E2BIG;
		t->w.argv[n++] = *more;
	}
	return 0;
}

/* run: of a [Timer], the number of this time; 0: it runs always. more: arguments behind its own; NULL: none. */
static int want_one(struct ctl *c, const struct app *a, const struct conf_app *conf,
	const struct conf_program *p, uint32_t number, uint64_t run, const char *const *more)
{
	struct service_text *t = calloc(1, sizeof *t);
	const char *missing = "";
	int err;

	if (!t)
		return -ENOMEM;
	buf_init(&t->env.b, CHAN_PAYLOAD_MAX);
	buf_init(&t->args, CHAN_PAYLOAD_MAX);
	buf_init(&t->more, CHAN_PAYLOAD_MAX);
	err = want_own_env(c, a, conf, number, &t->env);
	want_env(&t->env, "STEAD_PROGRAM", "%s", p->name);
	if (run)
		want_env(&t->env, "STEAD_RUN", "%llu", (unsigned long long)run);
	for (unsigned i = 0; err == 0 && i < t->env.n; i++)
		t->w.env[i] = t->env.b.p + t->env.at[i];
	if (err == 0)
		err = put_args(c, a, conf, p->command, t);
	if (err == 0 && more)
		err = put_more(t, more);
	if (err == 0) {
		effective_path(a, conf->working_directory, t->cwd);
		put_program(a, p, number, t);
		t->w.held = a;
		t->w.conf = conf;
		if (!p->timer)
			err = want_life(c, a, &p->life, &t->w, &t->more, &missing);
	}
	if (err == 0) {
		t->w.more = p->timer ? NULL : &t->more;
		err = want_send(c, &t->w, 0, NULL);
	}
	buf_done(&t->more);
	buf_done(&t->args);
	buf_done(&t->env.b);
	free(t);
	return err;
}

static void forget(struct ctl *c, uint32_t number)
{
	struct msg_proc_ref ref = {.role = PROC_SERVICE, .app = number};

	(void)parent_send(c, MSG_PROC_DROP, 0, &ref, sizeof ref, NULL, 0, NULL, 0);
}

/* What the parent runs beside the app and nobody wants any more. */
static void drop_others(struct ctl *c)
{
	uint32_t last = 0;

	for (unsigned i = 0; i < c->procs_n; i++) {
		uint32_t number = c->procs[i].st.app;

		if (c->procs[i].st.role != PROC_SERVICE || number < PROGRAM_NUMBER_FIRST ||
			number == last || *program_name(c, number))
			continue;
		last = number;
		forget(c, number);
	}
}

static void say_not_run(struct ctl *c, const struct app *a, const char *name, int err)
{
	say(c, EV_PROGRAM_NOT_RUN, "app", a->name, "program", name, "why",
		err == -ENOENT ? "its program is not found in PATH" : strerror(-err), NULL);
}

void programs_apply(struct ctl *c, const struct app *a, const struct conf_app *conf, bool resume)
{
	struct app_run *run = a->run;

	run->programs_n = 0;
	timers_begin(run);
	for (unsigned i = 0; i < conf->nprograms && i < CTL_PROGRAMS_MAX && !run->off.stopped; i++) {
		const struct conf_program *p = &conf->programs[i];
		struct program *now = &run->programs[run->programs_n];
		int err;

		now->number = program_number(a, p->name);
		/* Two names of one number: once in millions, and then the second has the next one. */
		while (*program_name(c, now->number))
			now->number++;
		(void)snprintf(now->name, sizeof now->name, "%s", p->name);
		now->timed = p->timer != NULL;
		run->programs_n++;
		if (p->timer) {
			timers_add(run, p, now->number, resume);
			continue;
		}
		err = want_one(c, a, conf, p, now->number, 0, NULL);
		if (err)
			say_not_run(c, a, p->name, err);
	}
	timers_end(run);
	drop_others(c);
}

int program_run(struct ctl *c, const struct app *a, const struct conf_app *conf, const char *name,
	uint64_t number)
{
	for (unsigned i = 0; i < a->run->programs_n; i++) {
		if (strcmp(a->run->programs[i].name, name) != 0)
			continue;
		for (unsigned k = 0; k < conf->nprograms; k++)
			if (strcmp(conf->programs[k].name, name) == 0)
				return want_one(c, a, conf, &conf->programs[k],
					a->run->programs[i].number, number, NULL);
	}
	return -ESRCH;
}

void programs_restart(const struct app *a)
{
	for (unsigned i = 0; i < a->run->programs_n; i++) {
		struct msg_proc_ref ref = {.role = PROC_SERVICE, .app = a->run->programs[i].number};

		if (a->run->programs[i].timed)
			continue;
		(void)parent_send(a->run->ctl, MSG_PROC_RESTART, 0, &ref, sizeof ref, NULL, 0, NULL, 0);
	}
}

int program_hook(struct ctl *c, const struct app *a, const struct conf_app *conf,
	const char *const *more, uint64_t number)
{
	static const struct conf_timer once;
	const struct conf_program p = {.name = HOOK_NAME,
		.command = conf->challenge_hook,
		.timer = &once,
		.workers = 1,
		.stop_ms = HOOK_STOP_MS,
		.kill_signal = "TERM"};

	return p.command ? want_one(c, a, conf, &p, PROGRAM_NUMBER_HOOK, number, more) : -ESRCH;
}

void program_hook_end(struct ctl *c)
{
	forget(c, PROGRAM_NUMBER_HOOK);
}

int program_migrate(struct ctl *c, const struct app *a, const struct conf_app *conf, uint64_t number)
{
	static const struct conf_timer once;
	const struct conf_program p = {.name = MIGRATE_NAME,
		.command = conf->migrate,
		.timer = &once,
		.workers = 1,
		.stop_ms = HOOK_STOP_MS,
		.kill_signal = "TERM"};

	return p.command ? want_one(c, a, conf, &p, PROGRAM_NUMBER_MIGRATE, number, NULL) : -ESRCH;
}

void program_migrate_end(struct ctl *c)
{
	forget(c, PROGRAM_NUMBER_MIGRATE);
}

const char *program_name(const struct ctl *c, uint32_t number)
{
	if (number == PROGRAM_NUMBER_HOOK)
		return HOOK_NAME;
	if (number == PROGRAM_NUMBER_MIGRATE)
		return MIGRATE_NAME;
	for (const struct app *a = &c->app; a; a = a->next)
		for (unsigned i = 0; i < a->run->programs_n; i++)
			if (a->run->programs[i].number == number)
				return a->run->programs[i].name;
	return "";
}
