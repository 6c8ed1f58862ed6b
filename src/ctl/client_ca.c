/*
 * client_ca.c: who vouches for clients' certificates, from check's values to the snapshot.
 *
 * Called by sites.c for each site and route. A list that several routes share is there once, so
 * that a certificate is verified against it once. ctl parses no certificate. Owns nothing.
 */
#include "sites.h"

#include <stdlib.h>
#include <string.h>

static bool same(const char *const *a, const char *const *b)
{
	while (*a && *b && strcmp(*a, *b) == 0) {
		a++;
		b++;
	}
	return !*a && !*b;
}

static struct snap_list put(struct site_build *b, const char *const *from)
{
	struct snap_list list = {0};
	struct snap_str *all;
	unsigned n = 0, put = 0;

	while (from[n])
		n++;
	all = calloc(n + 1, sizeof *all);
	b->no_memory |= !all;
	for (unsigned i = 0; all && i < n; i++) {
		size_t bytes = 0;
		void *der = certs_decode(from[i], &bytes);

		if (der)
			all[put++] = snap_put_bytes(b->w, der, bytes);
		free(der);
	}
	if (all)
		list = snap_put_list(b->w, all, sizeof *all, put);
	free(all);
	return list;
}

bool client_ca_any(const struct conf_app *conf)
{
	for (unsigned i = 0; i < conf->nroutes; i++)
		if (conf->routes[i].client_asked)
			return true;
	return false;
}

uint32_t client_ca_put(struct site_build *b, const struct conf_route *r)
{
	static const char *const none[] = {NULL};
	const char *const *from = r->client_ca ? r->client_ca : none;

	if (!r->client_asked)
		return 0;
	for (unsigned i = 0; i < b->nclient_cas; i++)
		if (same(b->client_ca_of[i], from))
			return i + 1;
	/* More than conf lets pass can only be lists that were written by hand: they vouch for
	 * nobody. */
	if (b->nclient_cas == SNAP_CLIENT_CAS_MAX)
		return SNAP_CLIENT_CAS_MAX;
	if (b->nclient_cas == SNAP_CLIENT_CAS_MAX - 1)
		from = none;
	b->client_ca_of[b->nclient_cas] = from;
	b->client_ca[b->nclient_cas++].certs = put(b, from);
	return b->nclient_cas;
}

struct snap_list client_ca_list(struct site_build *b)
{
	return snap_put_list(b->w, b->client_ca, sizeof b->client_ca[0], b->nclient_cas);
}
