/*
 * hooks.c: the process of a command beside a program: ExecStartPre= and its kin.
 *
 * Called by unit.c through parent_ops. It is made as the program is: the same user, jail, folder and
 * environment, with what is known of the program by then. Its output goes to the log like the
 * program's. Owns nothing; what it leaves running is ended with it (reap.c).
 */
#include "parent.h"
#include "places.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HOOK_VARS_MAX = 5, HOOK_VAR_MAX = 48 };

/* What a command is told besides the program's environment. */
struct hook_vars {
	char text[HOOK_VARS_MAX][HOOK_VAR_MAX];
	char *var[HOOK_VARS_MAX + 1];
	unsigned n;
};

static void put(struct hook_vars *v, const char *name, const char *value)
{
	snprintf(v->text[v->n], sizeof(v->text[0]), "%s=%s", name, value);
	v->var[v->n] = v->text[v->n];
	v->n++;
}

static void put_end(struct hook_vars *v, const struct run *r)
{
	char number[16];
	const char *name = r->status < 0 ? sigabbrev_np(-r->status) : NULL;
	bool dumped = r->result == RESULT_CORE_DUMP;

	put(v, "EXIT_CODE", r->status >= 0 ? "exited" : dumped ? "dumped" : "killed");
	snprintf(number, sizeof(number), "%d", (int)(r->status < 0 ? -r->status : r->status));
	put(v, "EXIT_STATUS", name != NULL ? name : number);
}

static void tell(struct hook_vars *v, const struct run *r, uint32_t kind)
{
	char number[16];

	*v = (struct hook_vars){.n = 0};
	if (run_alive(r) && !r->main_ended) {
		snprintf(number, sizeof(number), "%d", (int)r->child.pid);
		put(v, "MAINPID", number);
	}
	if (kind == HOOK_STOP || kind == HOOK_AFTER) {
		put(v, "SERVICE_RESULT", service_result_names[r->result]);
		if (r->main_ended)
			put_end(v, r);
	}
}

static void close_both(int fds[2])
{
	for (int i = 0; i < 2; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

/* Pipes for its output, or /dev/null: in[] is ours, out[] its. */
static int open_output(uint32_t life, int in[2], int out[2])
{
	static const uint32_t muted[] = {SERVICE_LIFE_MUTE_OUT, SERVICE_LIFE_MUTE_ERR};

	for (int i = 0; i < 2; i++) {
		int fds[2] = {-1, -1};

		if ((life & muted[i]) != 0)
			fds[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
		else if (pipe2(fds, O_CLOEXEC) < 0)
			fds[1] = -1;
		if (fds[1] < 0)
			return -errno;
		in[i] = fds[0];
		out[i] = fds[1];
	}
	return 0;
}

/* The words as they are now, then the process. */
static int start(struct parent *p, struct run *r, const struct hook *h, bool fresh, int out[2],
	char ret_failed[static SPAWN_STEP_MAX])
{
	const char *step = "";
	struct hook_vars vars;
	struct spawn ask;
	int e;

	tell(&vars, r, h->kind);
	const char **env = app_environment(p, r, vars.var);
	char **argv = place_words(h->argv, h->argc, (char *const *)env);
	if (env == NULL || argv == NULL) {
		free(env);
		free(argv);
		return -ENOMEM;
	}
	app_ask(&ask, p, r->spec);
	ask.fresh = fresh;
	ask.path = h->path;
	ask.argv = argv;
	ask.envp = (char *const *)env;
	ask.jail.exe = h->path;
	ask.fd[1] = out[0];
	ask.fd[2] = out[1];
	r->hook.generation = ++p->generation;
	e = app_view(p, r->spec, &ask);
	if (e < 0)
		memcpy(ret_failed, ask.failed, SPAWN_STEP_MAX);
	else if ((e = child_start(p, &r->hook, &ask, &step)) < 0)
		snprintf(ret_failed, SPAWN_STEP_MAX, "%s", step);
	free(argv);
	free(env);
	return e;
}

int hook_spawn(struct parent *p, struct run *r, const struct hook *h)
{
	int in[2] = {-1, -1}, out[2] = {-1, -1};
	const char *step = "pipe";
	char failed[SPAWN_STEP_MAX] = "memory";
	bool fresh = h->kind < HOOK_START && place_begins(r);
	int e = place_make(p, r, &step);

	if (e == 0)
		e = open_output(r->spec->set.life, in, out);
	if (e == 0 && (e = start(p, r, h, fresh, out, failed)) < 0)
		step = failed;
	close_both(out);
	if (e < 0) {
		close_both(in);
		slot_spawn_failed(r->slot, -e, step);
		say_run(p, EV_SPAWN_FAILED, r, "error", (uint64_t)-e, step);
		return e;
	}
	keep_give_pair(p, r, in);
	return 0;
}

void hook_signal(struct parent *p, struct run *r, int sig)
{
	child_signal(p, &r->hook, sig, true);
}
