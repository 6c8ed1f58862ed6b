/*
 * stead-resolve: looks up the names of backends, for the gates, and of sites and authorities, for certs.
 *
 * Started by the parent when a gate asks for it. It alone reads what name servers send, with c-ares on
 * the loop; it holds no key, reads no file but the system's own about names, and talks to no client. A
 * name that does not resolve is answered with an error, and stands in nobody's way.
 */
#include "resolve.h"

#include <ares.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"

static int started(struct aide *a, struct msg *start)
{
	struct resolver *r = a->own;
	int err = names_open(r);

	(void)start;
	if (!err)
		err = caa_open(r);
	return err ? err : resolve_jail_close();
}

static const struct aide_ops ops = {.started = started, .heard = names_heard, .gone = names_gone};
static op_done *const table[OP_RESOLVE_END] = {
	CHAN_OPS,
	[OP_RESOLVE_IN] = sockets_on_readable,
	[OP_RESOLVE_OUT] = sockets_on_writable,
	[OP_RESOLVE_TIMER] = sockets_on_timer,
	[OP_RESOLVE_SPREAD] = spread_on_turn,
};

int main(void)
{
	struct resolver *r = calloc(1, sizeof(*r));
	struct loop *l;
	int err = loop_new_epoll(&l, table, OP_RESOLVE_END);

	if (!err && !r)
		err = -ENOMEM;
	if (!err && ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		err = -ENOMEM;
	if (!err) {
		r->loop = l;
		r->aide.own = r;
		sockets_init(r);
		err = aide_open(&r->aide, l, PROC_RESOLVE, &ops);
	}
	if (err)
		fatal("resolve", "cannot start: %s", strerror(-err));
	err = loop_run(l);
	if (err)
		fatal("resolve", "waiting failed: %s", strerror(-err));
	return 0;
}
