/*
 * act_ask.c: stead-act, started by the command line itself and asked for one act, as ctl does it.
 *
 * It runs with the rights of whoever typed the verb, so of root; it has a session of its own, so that it comes to its end
 * when the terminal goes.
 */
#include "cli.h"

#include <stdio.h>

struct hearing {
	void (*step)(void *arg, const char *text);
	void *arg;
	struct act_end *end;
};

static bool take_end(const struct msg *m, struct act_end *ret)
{
	struct msg_end end;
	struct unpack u;
	const char *tail;
	size_t n;

	if (msg_get(m, &end, sizeof end, sizeof end) < 0)
		return false;
	tail = msg_tail(m, sizeof end, &n);
	unpack_init(&u, tail, n);
	ret->err = end.err;
	ret->exit_code = end.err && !end.exit_code ? VERB_EXIT_FAILED : end.exit_code;
	(void)snprintf(ret->text, sizeof ret->text, "%s", unpack_str(&u));
	(void)snprintf(ret->todo, sizeof ret->todo, "%s", unpack_str(&u));
	(void)snprintf(ret->result, sizeof ret->result, "%s", unpack_str(&u));
	return !u.bad;
}

static bool heard(void *arg, const struct msg *m)
{
	const struct hearing *h = arg;
	struct unpack u;
	const char *text;

	if (m->h.type == MSG_ACT_END)
		return take_end(m, h->end);
	unpack_init(&u, m->payload, m->h.len);
	text = unpack_str(&u);
	if (m->h.type == MSG_DB_STEP && !u.bad && h->step)
		h->step(h->arg, text);
	return !u.bad;
}

int act_ask(const char *roles_dir, enum act act, const char *const *args, void (*step)(void *arg, const char *text),
	void *arg, struct act_end *ret)
{
	const struct msg_act_ask q = {.act = act};
	struct hearing h = {step, arg, ret};
	const struct role_ask a = {.roles = roles_dir,
		.argument = "--by-root",
		.role = PROC_ACT,
		.type = MSG_ACT_ASK,
		.end = MSG_ACT_END,
		.fixed = &q,
		.fixed_len = sizeof q,
		.text = args,
		.ntext = act_rows[act].args,
		.heard = heard,
		.arg = &h,
		.apart = true};

	*ret = (struct act_end){.err = 0};
	return role_ask(&a);
}
