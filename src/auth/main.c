/*
 * stead-auth: checks passwords against their hashes, for the gates.
 *
 * Started by the parent when a gate asks for it. A check is meant to be slow, so it has no place in
 * a gate's loop; here the questions are answered one after another. Reads what clients sent
 * (passwords) and holds nothing: no file, no network, no key. Its answer is one bit.
 */
#include "auth.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "aide/aide.h"
#include "lib/buf.h"
#include "lib/must.h"

static int started(struct aide *a, struct msg *start)
{
	(void)a;
	(void)start;
	return aide_filter(&(struct aide_filter){0});
}

static void heard(struct aide *a, struct aide_peer *from, struct msg *m)
{
	struct msg_auth answer = {0};
	const char *hash, *password;
	struct unpack u;

	(void)a;
	unpack_init(&u, m->payload, m->h.len);
	hash = unpack_str(&u);
	password = unpack_str(&u);
	if (unpack_done(&u) && !u.bad)
		answer.good = auth_verify(hash, password);
	explicit_bzero((char *)m->payload, m->h.len);
	aide_answer(from, MSG_AUTH_CHECKED, m->h.id, &answer, sizeof(answer), NULL, 0);
}

static const struct aide_ops ops = {.started = started, .heard = heard};
static op_done *const table[OP_USER] = {CHAN_OPS};

int main(void)
{
	struct aide *aide = calloc(1, sizeof(*aide));
	struct loop *l;
	int err = loop_new_epoll(&l, table, OP_USER);

	if (!err && !aide)
		err = -ENOMEM;
	if (!err)
		err = aide_open(aide, l, PROC_AUTH, &ops);
	if (err)
		fatal("auth", "cannot start: %s", strerror(-err));
	err = loop_run(l);
	if (err)
		fatal("auth", "waiting failed: %s", strerror(-err));
	return 0;
}
