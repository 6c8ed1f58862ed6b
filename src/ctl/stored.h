/*
 * stored.h: certificates that lie in the state as they were handed over, with their sealed keys:
 * those of `stead cert import`, and the one for local names (localhost and the like) of the user's
 * own authority.
 *
 *   state_stored.c  the table `cert_stored`
 *   cert_local.c    the one for local names: which names, when it is made anew, which sites are
 * served with it
 */
#ifndef STEAD_CTL_STORED_H
#define STEAD_CTL_STORED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#include "lib/buf.h"
#include "lib/loop.h"
#include "snap/cert_box.h"

struct conf_app;
struct ctl;
struct msg;
struct site_build;
struct site_list;
struct snap_site;

/* How near its end a certificate is, of which nobody says that it is renewed. */
enum cert_alert { CERT_ALERT_NONE, CERT_ALERT_LATE, CERT_ALERT_ENDS, CERT_ALERT_OVER };
enum { STORED_CHAIN_MAX = 16 };
#define STORED_LOCAL "(local)" /* no site has that name */

struct stored_cert {
	struct stored_cert *next;
	char site[64];
	void *der[STORED_CHAIN_MAX]; /* its own first */
	size_t der_n[STORED_CHAIN_MAX];
	unsigned n;
	void *whole; /* what CertificateBox= is … */
	size_t whole_n;
	struct cert_box_view v; /* … read: points into it */
	unsigned seen;          /* the build that served it last */
	enum cert_alert told;   /* … in an event, of its end */
};

/* ---- state_stored.c ---- */
int state_make_stored(struct ctl *c);
int state_load_stored(struct ctl *c);
/* Copies of a chain and its whole box, in form (else NULL), not kept anywhere; NULL without memory
 * too. */
struct stored_cert *stored_new(const char *site, const void *const *der, const size_t *der_n,
	unsigned n, const void *whole, size_t whole_n);
void stored_free(struct stored_cert *s);
/* Take it into the state, instead of the one of that site. 0, or -errno: then it is freed. */
int stored_take(struct ctl *c, struct stored_cert *s);
/* Out of the state; none is fine. */
int stored_drop(struct ctl *c, const char *site);
struct stored_cert *stored_find(const struct ctl *c, const char *site);
void stored_free_all(struct ctl *c);

/* ---- cert_local.c ---- */
struct cert_local {
	/* of the snapshot in work */
	bool may; /* gates speak TLS where only this machine comes */
	struct buf names;
	unsigned names_n;
	uint32_t index; /* in the snapshot, + 1; 0: not put */
	bool wanted;    /* a site is served with it, or would be */
	bool own;       /* … the folder's own is */
	/* of now */
	char *asked;     /* for these names; NULL: nobody is asked */
	uint64_t making; /* the question's id */
	bool failed;     /* it is not made: nobody waits for it */
	bool said;       /* why there is no authority is in the log */
	bool off;        /* its address was not to be had */
	struct timer timer;
};
/* Are local names served at these addresses, when there is an authority? */
bool local_may(const struct ctl *c, const struct conf_app *conf);
/* A snapshot is being made, … */
void local_begin(struct site_build *b, const struct conf_app *conf);
/* … this site has no other certificate, … */
void local_put(struct site_build *b, const struct conf_app *conf, struct snap_site *site);
/* … and that were all. What is missing is asked for. */
void local_end(struct site_build *b);
/* keys is there. */
void local_turn(struct ctl *c);
/* KEY_MADE: was it an answer to that? */
bool local_made(struct ctl *c, const struct msg *m);
void local_keys_gone(struct ctl *c);
/* It is served, or failed and is tried again later: `up` need not wait. */
bool local_settled(const struct ctl *c);
/* Is that what the folder's own site is served with? */
bool local_serves_own(const struct ctl *c);
/* Is that the site which is served with it? */
bool local_serves(const struct ctl *c, const char *site);
/* For `stead cert list` and status; NULL: there is none. */
json_t *local_json(struct ctl *c);
void local_free(struct ctl *c);
op_done local_on_timer;

#endif
