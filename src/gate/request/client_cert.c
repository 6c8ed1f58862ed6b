/*
 * client_cert.c: see client_cert.h. Called by phases.c. Owns nothing: texts are the connection's
 * (tls_client.c), which outlives its requests.
 *
 * The handshake asks by the name of SNI and lets everybody in; what holds is decided here, where
 * host and route are known. A connection that was made to another site, or under other rules,
 * proves nothing here: 421 (RFC 9110 section 15.5.20), and the client comes by a connection of its
 * own.
 */
#include "client_cert.h"
#include "gate.h"
#include "maintenance.h"
#include "tls_server.h"

#include <string.h>

enum { FIELDS = 6 };

static bool begins(const struct field *f, const char *name, size_t n)
{
	if (f->name_len < n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (f->name[i] != name[i] && !(f->name[i] == '_' && name[i] == '-'))
			return false;
	return true;
}

/* Also what a careless reader would take for one of ours: with an underscore. */
static bool is_claim(const struct field *f)
{
	return begins(f, "x-ssl-client-", 13) || begins(f, "client-cert-", 12) ||
	       (f->name_len == 11 && begins(f, "client-cert", 11));
}

static void drop_claims(struct req *r)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < r->nfields; i++)
		if (!is_claim(&r->fields[i]))
			r->fields[kept++] = r->fields[i];
	r->nfields = kept;
}

static void put(struct req *r, struct field *to, const char *name, const char *value)
{
	if (*value)
		to[r->nfields++] = (struct field){
			name, value, (uint32_t)strlen(name), (uint32_t)strlen(value)};
}

/* False: there is no memory, or there are too many fields. */
static bool add_fields(struct req *r)
{
	const struct tls_client *c = r->cert;
	struct field *all = arena_alloc(&r->arena, (r->nfields + FIELDS) * sizeof(*all));

	if (!all || r->nfields + FIELDS > REQ_FIELDS_MAX)
		return false;
	if (r->nfields)
		memcpy(all, r->fields, r->nfields * sizeof(*all));
	r->fields = all;
	put(r, all, "x-ssl-client-verify", c ? "SUCCESS" : "NONE");
	if (!c)
		return true;
	put(r, all, "x-ssl-client-s-dn", c->subject);
	put(r, all, "x-ssl-client-i-dn", c->issuer);
	put(r, all, "x-ssl-client-serial", c->serial);
	put(r, all, "x-ssl-client-fingerprint", c->fingerprint);
	put(r, all, "client-cert", c->der);
	return true;
}

static enum phase_end refuse(struct req *r, enum close_id why)
{
	req_fail(r, why, 0);
	return PHASE_ANSWERED;
}

enum phase_end phase_client_cert(struct req *r)
{
	struct tls_client *c = r->tls_client;
	bool optional = r->route->flags & SNAP_ROUTE_CLIENT_OPTIONAL;
	/* ctl has no certificate, and asks whether the app behind this answers; no app sees by which token. */
	bool ctl_asks = maintenance_probe(r);

	drop_claims(r);
	if (!r->route->client_ca)
		return PHASE_NEXT;
	/* Encrypted by somebody before us, or not at all: nobody could be asked. */
	if (r->tls_version && !(c && tls_client_holds(c, r->tls_site, r->snap, r->site)))
		return refuse(r, CLOSE_CERT_ELSEWHERE);
	if (!r->tls_version || !c->given) {
		if (!optional && !ctl_asks)
			return refuse(r, CLOSE_CERT_REQUIRED);
	} else if (!tls_client_good(c, r->route->client_ca - 1,
			   (int64_t)(loop_wall_us(r->gate->loop) / 1000000))) {
		return refuse(r, CLOSE_CERT_BAD);
	} else {
		r->cert = c;
	}
	return add_fields(r) ? PHASE_NEXT : refuse(r, CLOSE_HEAD_TOO_LARGE);
}
