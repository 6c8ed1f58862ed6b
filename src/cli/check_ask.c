/*
 * check_ask.c: stead-check, asked one question with the rights of whoever types the verb.
 *
 * Called by the verbs that look at files of whoever types them: check, cert import, cert trust.
 */
#include "cli.h"

#include "lib/must.h"

struct hearing {
	check_heard *heard;
	void *arg;
	unsigned exit_code;
};

static bool hear(void *arg, const struct msg *m)
{
	struct hearing *h = arg;
	struct msg_end end;

	if (m->h.type != MSG_CHECK_END)
		return h->heard(h->arg, m);
	if (msg_get(m, &end, sizeof(end), sizeof(end)) < 0)
		return false;
	h->exit_code = min_of(end.exit_code, 7u);
	return true;
}

int check_ask(const char *roles_dir, const struct msg_check_ask *q, const char *const text[4],
	check_heard *heard, void *arg)
{
	struct hearing h = {.heard = heard, .arg = arg};
	const struct role_ask a = {.roles = roles_dir,
		.role = PROC_CHECK,
		.type = MSG_CHECK_ASK,
		.end = MSG_CHECK_END,
		.fixed = q,
		.fixed_len = sizeof(*q),
		.text = text,
		.ntext = 4,
		.heard = hear,
		.arg = &h};
	int r = role_ask(&a);

	return r < 0 ? r : (int)h.exit_code;
}
