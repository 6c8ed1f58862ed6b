/*
 * phases.c: the order in which a request is checked and prepared; see phases.h. Called by req.c.
 * Owns nothing. The table is constant: a request holds a number, no code pointer.
 */
#include "phases.h"
#include "access_list.h"
#include "admit.h"
#include "auth.h"
#include "cache.h"
#include "challenge.h"
#include "client.h"
#include "edit.h"
#include "forward_auth.h"
#include "gate.h"
#include "lib/must.h"
#include "maintenance.h"
#include "rate.h"
#include "rewrite.h"
#include "route.h"
#include "script.h"
#include "tryfiles.h"

struct phase {
	enum phase_end (*run)(struct req *r);
	void (*cancel)(struct req *r); /* forget r, which waits; NULL: it never waits */
};

static const struct phase phases[] = {
	{phase_site, NULL},
	/* Before the site's own rules: who asks cannot keep them. */
	{phase_challenge, NULL},
	{phase_client, NULL},
	{phase_connections, NULL},
	/* Before anything is said in the clear that somebody between could read or change. */
	{phase_https, NULL},
	{phase_alias, NULL},
	{phase_route, NULL},
	{phase_maintenance, NULL},
	{phase_access, NULL},
	/* Behind access: who is not served at all shall not use up what others share (by=site). Before
	 * passwords and other servers are asked: that is what costs, and what guessing is slowed by. */
	{phase_rate, NULL},
	{phase_basic, auth_cancel},
	{phase_forward_auth, forward_auth_cancel},
	{phase_redirect, NULL},
	{phase_rewrite, NULL},
	{phase_edit, NULL},
	{phase_body, NULL},
	{phase_script, NULL},
	{phase_try_files, NULL},
	{phase_handler, NULL},
	{phase_cache, cache_cancel},
};

static void run(struct req *r)
{
	while (r->phase < ARRAY_LEN(phases)) {
		enum phase_end end = phases[r->phase].run(r);

		if (end == PHASE_ANSWERED || r->ended)
			return;
		if (end == PHASE_WAIT) {
			must(phases[r->phase].cancel);
			r->waits = true;
			return;
		}
		r->phase_state = NULL;
		r->phase++;
	}
	req_start(r);
}

void phases_begin(struct req *r)
{
	r->phase = 0;
	run(r);
}

void phases_resume(struct req *r)
{
	if (!r->waits)
		return;
	r->waits = false;
	run(r);
}

void phases_cancel(struct req *r)
{
	if (!r->waits)
		return;
	r->waits = false;
	phases[r->phase].cancel(r);
}
