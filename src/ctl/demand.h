/*
 * demand.h: certificates for names that are not written in the configuration (OnDemand=), got when a client asks for one.
 *
 *   demand.c        who asks, what the guard says, what is got
 *   demand_site.c   which sites have OnDemand=; their names' certificates in the snapshot
 *   state_demand.c  the table `cert_demand`
 *
 * Such a certificate is a struct cert whose `site` is the host name, and whose `of` is the site's; no site's name has a dot.
 */
#ifndef STEAD_CTL_DEMAND_H
#define STEAD_CTL_DEMAND_H

#include <stdbool.h>
#include <stdint.h>

struct cert;
struct conf_app;
struct ctl;
struct gate_peer;
struct msg;
struct site_build;
struct snap;
struct snap_site;

enum {
	DEMANDS_MAX = 512,         /* names that are being decided, or were refused lately */
	DEMAND_NAMES_MAX = 2000,   /* of a site, that have one or get one */
	DEMAND_HOUR_MAX = 100,     /* of a site, new within an hour */
	DEMAND_MINUTE_MAX = 20,
	DEMAND_NAME_BYTES = 254,
};

/* A site with OnDemand=. */
struct demand_site {
	struct demand_site *next;
	uint32_t number;
	char name[64], url[1024], profile[64];
	uint32_t way; /* enum cert_way */
	bool else_tls;
	unsigned seen;   /* the build that had it last */
	unsigned count;  /* refused since it was told */
	uint64_t told_s;
};
/* A name without a certificate. NO: not until then. */
enum demand_state { DEMAND_FREE = 0, DEMAND_WAITS, DEMAND_ASKED, DEMAND_NO };
struct demand {
	enum demand_state state;
	uint32_t site;    /* its number */
	uint64_t job;     /* ASKED */
	uint64_t turn;    /* the lowest is asked first */
	uint64_t until_s; /* NO */
	char name[DEMAND_NAME_BYTES];
};
struct demands {
	struct demand_site *sites;
	struct demand *names; /* DEMANDS_MAX; NULL: nobody has asked yet */
	unsigned guards;      /* under way */
	uint64_t turns;
	struct snap *snap;    /* as the gates have it, to see where a name leads; NULL: no site has OnDemand= */
};

/* ---- demand.c ---- */
/* CERT_DEMAND of a gate. */
void demand_heard(struct gate_peer *g, const struct msg *m);
/* Ask guards as far as it goes now. */
void demand_turn(struct ctl *c);
/* Is no guard asked, and does no name wait for one? */
bool demand_idle(const struct ctl *c);
/* CERT_END of a guard's job. False: it is none. */
bool demand_answered(struct ctl *c, const struct msg *m);
/* certs is gone. */
void demand_certs_gone(struct ctl *c);
/* May that one be got, or got again, now? If not, its next_s says when to look again, or the guard is asked. */
bool demand_may(struct ctl *c, struct cert *cert);
/* It could not be got: who waits for it waits no more. */
void demand_failed(struct ctl *c, const struct cert *cert);
/* From then on its use counts for its renewal. Since 1970. */
uint64_t demand_tell_s(const struct cert *cert);
/* Is it one that is not renewed because nobody asked for it? */
bool demand_rests(const struct cert *cert);
void demands_free(struct ctl *c);

/* ---- demand_site.c ---- */
/* The site in work, whose certificates of other kinds are put. */
void demand_site_put(struct site_build *b, const struct conf_app *conf, struct snap_site *site);
/* All sites are there: put what their names have. */
void demand_end(struct site_build *b);
/* That snapshot goes to the gates. */
void demand_on_snap(struct ctl *c, const int *fds, unsigned n);
struct demand_site *demand_site_numbered(struct ctl *c, uint32_t number);
struct demand_site *demand_site_named(struct ctl *c, const char *name);
/* Does the name lead to it, and is it a public one? */
bool demand_site_has(struct ctl *c, const struct demand_site *s, const char *name);
/* What the site wants of it. False: there is no memory. */
bool demand_site_want(struct ctl *c, const struct demand_site *s, struct cert *cert);
/* Forget what is over, and what could not be got and nobody asks for any more. */
void demand_sweep(struct ctl *c);

/* ---- state_demand.c ---- */
int state_make_demand(struct ctl *c);
int state_load_demands(struct ctl *c);
/* The row of that certificate, and its row in `cert`, both or none. */
int state_save_demand(struct ctl *c, const struct cert *cert);
/* Nothing is left of it in the state. */
int state_drop_demand(struct ctl *c, const struct cert *cert);

#endif
