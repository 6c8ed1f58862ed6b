/*
 * off_reload.c: `stead reload APP`: its program reads its configuration again, and whoever asked hears of the end.
 *
 * Called by off.c. The parent runs ExecReload= or sends ReloadSignal=, and counts the reloads of each run that are over:
 * that count is waited for. As systemctl has it, what says of no way to is not reloaded (exit status 3, active or not), and
 * what has one and is not active fails (1). Owns nothing.
 */
#include "ctl.h"
#include "wants.h"

static void refuse(struct client *cl, const char *error, const char *todo)
{
	client_end(cl, VERB_EXIT_FAILED, error, todo, NULL);
}

static bool has_way(const struct conf_app *conf)
{
	const struct conf_life *l = &conf->service.life;

	for (unsigned i = 0; i < l->nhooks; i++)
		if (l->hooks[i].kind == HOOK_RELOAD)
			return true;
	return (l->flags & SERVICE_LIFE_RELOADS) != 0;
}

struct reloads {
	unsigned up;
	uint64_t over; /* of all of them */
	bool failed;
};

static struct reloads reloads_of(const struct ctl *c, const struct app *a)
{
	struct reloads r = {0};

	for (unsigned i = 0; i < c->procs_n; i++) {
		const struct msg_proc_state *st = &c->procs[i].st;

		if (st->role != PROC_SERVICE || st->app != a->set || st->phase != PHASE_UP)
			continue;
		r.up++;
		r.over += st->reloads / 2;
		r.failed |= (st->reloads & 1) != 0;
	}
	return r;
}

void off_reload(struct client *cl)
{
	struct app *a = verbs_app(cl);
	struct ctl *c = cl->ctl;
	struct reloads now = reloads_of(c, a);
	char why[256] = "";
	struct conf *held = effective_conf(c, a, why, sizeof why);
	bool way = held && has_way(conf_app(held));

	conf_free(held);
	/* systemctl's "Job type reload is not applicable for unit …" (EXIT_NOTIMPLEMENTED) has the number of "not running". */
	if (!way) {
		client_end(cl, VERB_EXIT_NOT_RUNNING, "It cannot be reloaded: it has no ExecReload=, and no Type=notify-reload.",
			"`stead restart` replaces it without a failed request; `stead reload` without a name reads the configuration again", NULL);
	} else if (a->run->off.stopped || procs_count(c, a->run->role, a->set, PHASE_UP) == 0) {
		refuse(cl, "It is not active, so it cannot be reloaded.", "`stead start` starts it");
	} else if (now.up == 0) {
		refuse(cl, "None of its processes is up, so none can be reloaded.", "`stead status` shows what they do");
	} else {
		cl->generation = now.over + now.up;
		cl->restarts = now.up;
		cl->off_step = OFF_RELOAD;
		/* The parent has a bound of its own for each command. */
		loop_timer_in(c->loop, &cl->timer, a->run->start_ms * SERVICE_HOOKS_MAX + 30 * 1000);
		wants_reload(c, a);
	}
}

void off_reload_settle(struct client *cl, const struct app *a)
{
	struct reloads now = reloads_of(cl->ctl, a);

	if (now.up >= cl->restarts && now.over < cl->generation)
		return;
	cl->off_step = OFF_NOTHING;
	loop_timer_stop(cl->ctl->loop, &cl->timer);
	if (now.up < cl->restarts)
		refuse(cl, "It ended while it was reloaded.", "`stead logs` shows why");
	else if (now.failed)
		refuse(cl, "A command of ExecReload= failed, or it did not end in time; the program goes on as it was.",
			"`stead logs` shows what it said");
	else
		client_end(cl, VERB_EXIT_DONE, "", "", json_pack("{s:s}", "app", verbs_name(cl)));
}
