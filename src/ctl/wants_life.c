/*
 * wants_life.c: the life of a program as the parent is told it: its other commands, when it is started
 * again, what it gets when it is stopped.
 *
 * Called by wants_service.c and wants.c; the same configuration gives the same bytes. What only the
 * parent knows when a command runs (the program's pid, how it ended) stays as "${NAME}".
 */
#include <errno.h>
#include <string.h>

#include "wants.h"

static uint32_t ms32(uint64_t ms)
{
	return (uint32_t)min_of(ms, (uint64_t)UINT32_MAX);
}

static int put_hook(struct ctl *c, const struct app *a, const struct conf_hook *h,
	const struct want *w, struct buf *ret, const char **ret_missing)
{
	char path[CTL_PATH_MAX];
	struct buf args;
	unsigned n;
	size_t at = 0;
	int err;

	*ret_missing = h->command->path;
	err = want_program(a, h->command->path, want_path(c, w->env), path);
	if (err)
		return err;
	buf_init(&args, CHAN_PAYLOAD_MAX);
	err = conf_command_expand(h->command, w->env, &args, &n);
	if (err == 0) {
		pack_u32(ret, h->kind);
		pack_u32(ret, h->command->ignore ? HOOK_IGNORE : 0);
		pack_str(ret, path);
		pack_u32(ret, n);
	}
	for (unsigned i = 0; err == 0 && i < n; i++) {
		pack_str(ret, args.p + at);
		at += strlen(args.p + at) + 1;
	}
	buf_done(&args);
	return err;
}

static void put_words(const char *const *words, struct buf *ret)
{
	uint32_t n = 0;

	while (words && words[n])
		n++;
	pack_u32(ret, n);
	for (uint32_t i = 0; i < n; i++)
		pack_str(ret, words[i]);
}

static int put_vars(const struct conf_life *life, struct buf *ret)
{
	put_words(life->pass, ret);
	put_words(life->unset, ret);
	return ret->error;
}

int want_vars(const struct conf_life *life, struct buf *ret)
{
	pack_u32(ret, 0);
	return put_vars(life, ret);
}

static void put_numbers(const struct conf_life *l, struct msg_proc_set *set)
{
	set->restart = l->restart;
	set->life |= l->flags;
	set->restart_ms = ms32(l->restart_ms);
	set->restart_max_ms = ms32(l->restart_max_ms);
	set->restart_steps = l->restart_steps;
	set->restart_ratio = l->restart_ratio;
	set->limit_ms = ms32(l->limit_ms);
	set->limit_burst = l->limit_burst;
	set->abort_ms = l->abort_ms == CONF_AS_STOP ? set->stop_ms : ms32(l->abort_ms);
	set->runtime_max_ms = l->runtime_max_ms;
	set->restart_signal = l->restart_signal;
	set->final_signal = l->final_signal;
	set->watchdog_signal = l->watchdog_signal;
	set->reload_signal = l->reload_signal;
	set->log_level = l->log_level;
	set->success = l->success;
	set->prevent = l->prevent;
	set->force = l->force;
}

int want_life(struct ctl *c, const struct app *a, const struct conf_life *life, struct want *w,
	struct buf *ret, const char **ret_missing)
{
	int err = 0;

	put_numbers(life, &w->set);
	pack_u32(ret, life->nhooks);
	for (unsigned i = 0; i < life->nhooks && err == 0; i++)
		err = life->hooks[i].command ? put_hook(c, a, &life->hooks[i], w, ret, ret_missing)
					     : -ENOMEM;
	return err ? err : put_vars(life, ret);
}
