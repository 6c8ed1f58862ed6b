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
#include "client_cert.h"
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
	uint32_t rule; /* behind the route: nothing to do without this rule of it; 0: always asked */
};

static const struct phase phases[] = {
	{phase_site, NULL, 0},
	/* Before the site's own rules: who asks cannot keep them. */
	{phase_challenge, NULL, 0},
	{phase_client, NULL, 0},
	{phase_connections, NULL, 0},
	/* Before anything is said in the clear that somebody between could read or change. */
	{phase_https, NULL, 0},
	{phase_alias, NULL, 0},
	{phase_route, NULL, 0},
	/* Before anything of the site is said. */
	{phase_client_cert, NULL, SNAP_RULE_CLIENT},
	{phase_maintenance, NULL, 0},
	{phase_access, NULL, SNAP_RULE_ACCESS},
	/* Behind access: who is not served at all shall not use up what others share (by=site). Before
	 * passwords and other servers are asked: that is what costs, and what guessing is slowed by. */
	{phase_rate, NULL, SNAP_RULE_RATE},
	{phase_basic, auth_cancel, SNAP_RULE_USERS},
	{phase_forward_auth, forward_auth_cancel, SNAP_RULE_FORWARD_AUTH},
	{phase_redirect, NULL, SNAP_RULE_REDIRECT},
	{phase_rewrite, NULL, SNAP_RULE_REWRITE},
	{phase_edit, NULL, SNAP_RULE_HEADERS},
	{phase_body, NULL, SNAP_RULE_BODY_MAX},
	{phase_script, NULL, SNAP_RULE_SCRIPTS},
	{phase_try_files, NULL, SNAP_RULE_TRY_FILES},
	{phase_handler, NULL, 0},
	{phase_cache, cache_cancel, SNAP_RULE_CACHE},
};

static void run(struct req *r)
{
	for (unsigned i = r->phase; i < ARRAY_LEN(phases); i++) {
		const struct phase *p = &phases[i];
		enum phase_end end;

		if (p->rule && !(r->route->rules & p->rule))
			continue;
		/* Only where something runs that may look at it, or come back to it. */
		r->phase = (uint8_t)i;
		end = p->run(r);
		if (end == PHASE_ANSWERED || r->ended)
			return;
		if (end == PHASE_WAIT) {
			must(p->cancel);
			r->waits = true;
			return;
		}
		r->phase_state = NULL;
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
