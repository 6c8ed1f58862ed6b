/*
 * fuzz_demand.c: what gates ask for (CERT_DEMAND) and what came of guards (CERT_END) as garbage. A stranger chooses the name in a
 * hello: the table, the guards that are asked and what becomes a certificate's name keep their bounds.
 *
 * An input is a row of messages: a byte that says which, two of its length, and the payload.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/hostname.h"
#include "lib/must.h"
#include "lib/sim.h"
#include "sites.h"
#include "../../unit/snap/small_snap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SITE = 7 };

/* Of main.c. */
void say(struct ctl *c, enum event id, ...)
{
	(void)c;
	(void)id;
}

void ctl_started(struct ctl *c)
{
	(void)c;
}

static struct snap *snap_of(void)
{
	static const char *const hosts[] = {"*.shop.example", "a.example"};
	static const struct small_route route = {.path = "/", .root = "/srv"};
	struct small_snap in = {.name = "shop", .hosts = hosts, .nhosts = 2, .routes = &route, .nroutes = 1, .generation = 1,
		.limits = {.number = SITE}, .rest = snap_route_default()};
	int fds[SNAP_SEGMENTS_MAX + 1];
	struct snap *s = NULL;
	unsigned n = 0;

	must(small_snap_build(&in, fds, &n) == 0 && snap_load(fds, n, &s) == 0);
	while (n)
		close(fds[--n]);
	return s;
}

static struct ctl *ctl_of(struct sim *sim, op_done *const *ops)
{
	struct ctl *c = calloc(1, sizeof *c);
	struct demand_site *site = calloc(1, sizeof *site);

	must(c && site && loop_new_sim(&c->loop, sim, ops, CTL_OP_KINDS) == 0);
	must(sqlite3_open_v2(":memory:", &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK);
	must(state_make_cert(c) == 0 && state_make_authority(c) == 0);
	/* Nobody has to be started. */
	c->keys.wanted = c->certs.wanted = c->certs.agreed = true;
	site->number = SITE;
	memcpy(site->name, "shop", 5);
	memcpy(site->url, "http://localhost/may", 21);
	c->certs.demands.sites = site;
	c->certs.demands.snap = snap_of();
	return c;
}

static void holds(struct ctl *c)
{
	const struct demands *all = &c->certs.demands;
	unsigned asked = 0, certs = 0;

	for (unsigned i = 0; all->names && i < DEMANDS_MAX; i++) {
		const struct demand *d = &all->names[i];

		asked += d->state == DEMAND_ASKED;
		must(memchr(d->name, 0, sizeof d->name));
		must(!d->state || (d->site == SITE && demand_site_has(c, all->sites, d->name)));
	}
	must(asked == all->guards);
	for (const struct cert *cert = c->certs.all; cert; cert = cert->next, certs++) {
		must(cert->of && strcmp(cert->of, "shop") == 0 && cert->wanted && strcmp(cert->wanted, cert->site) == 0);
		must(hostname_is_public(cert->site, strlen(cert->site)));
	}
	must(certs <= DEMAND_MINUTE_MAX);
}

/* As if its guard had been asked. */
static uint64_t ask_one(struct ctl *c)
{
	struct demands *all = &c->certs.demands;

	for (unsigned i = 0; all->names && i < DEMANDS_MAX; i++)
		if (all->names[i].state == DEMAND_WAITS) {
			all->names[i].state = DEMAND_ASKED;
			all->guards++;
			return all->names[i].job = ++c->ids;
		}
	return 0;
}

static void take(struct ctl *c, uint8_t which, const uint8_t *p, size_t n)
{
	struct gate_peer gate = {.ctl = c};
	char *copy = malloc(n ? n : 1);
	struct msg m = {.h = {.len = (uint32_t)n, .type = which & 1 ? MSG_CERT_END : MSG_CERT_DEMAND}};

	must(copy);
	memcpy(copy, p, n);
	m.payload = copy;
	m.h.id = which & 1 ? ask_one(c) : 0;
	/* What the table of messages does not allow does not come here. */
	if (which & 1 && msg_allowed(PROC_CERTS, PROC_CTL, m.h.type, m.h.len, 0))
		(void)demand_answered(c, &m);
	else if (!(which & 1) && msg_allowed(PROC_GATE, PROC_CTL, m.h.type, m.h.len, 0))
		demand_heard(&gate, &m);
	if (which & 2)
		demand_certs_gone(c);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static op_done *const ops[CTL_OP_KINDS] = {CHAN_OPS};
	struct sim_options o = {0};
	struct sim *sim;
	struct ctl *c;

	must(sim_new(&sim, &o) == 0);
	c = ctl_of(sim, ops);
	while (size >= 3) {
		size_t n = min_of((size_t)(data[1] | data[2] << 8), size - 3);

		take(c, data[0], data + 3, n);
		holds(c);
		data += 3 + n;
		size -= 3 + n;
	}
	certs_free(c);
	state_close(c);
	loop_free(c->loop);
	sim_free(sim);
	free(c);
	return 0;
}
