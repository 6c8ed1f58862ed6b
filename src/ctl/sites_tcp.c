/*
 * sites_tcp.c: [Tcp] of the configuration, as the snapshot holds it.
 *
 * Called by sites.c. Each section is an upstream, and for each of its addresses a row that says so
 * of that listener. Owns nothing.
 */
#include "sites.h"

void sites_tcp(struct site_build *b, const struct conf_app *conf)
{
	for (unsigned i = 0; i < conf->ntcps; i++) {
		const struct conf_tcp *t = &conf->tcps[i];
		struct snap_tcp row = {.name = snap_put_str(b->w, t->name),
			.upstream = sites_upstream_timed(b, &t->up, 0, 0, t->connect_ms),
			.idle_ms = (uint32_t)min_of(t->idle_ms, (uint64_t)UINT32_MAX),
			.send_proxy = t->send_proxy};

		for (const char *const *a = t->listen; *a; a++) {
			row.listener = tcp_listener_number(b->c, *a);
			(void)snap_put_tcp(b->w, &row);
		}
	}
}
