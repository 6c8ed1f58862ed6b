/*
 * cert.h: certificates that stead gets by itself: what is wanted, what is kept, what is under way.
 *
 *   state_cert.c   the tables `cert`, `acme_account` and `acme_record`
 *   state_authority.c  the tables `acme_authority` and `cert_authority`
 *   acme_want.c    who wants one, for which names
 *   acme_authority.c   which authority is asked now: limits, pauses, the second one, trying where it costs nothing
 *   acme_week.c    how many certificates a registered domain is given in a week
 *   acme.c         when it is got; keys, and the beginning of jobs
 *   acme_job.c     what the process certs says of them
 *   acme_publish.c when it is put before the gates
 *   acme_prove.c   certificates that prove names by TLS
 *   acme_hook.c    TXT records that a program puts into a zone
 *   acme_offer.c   what proves a name, for as long as its authority may look: tokens for the gates
 *   stored.h       those that lie in the state as they were handed over
 *   acme_terms.c   who agreed to the terms of which authority
 *   acme_late.c    who does not get renewed is told of
 *   demand.h       names that are got when somebody asks for them
 *   cert_verbs.c   `stead cert`, and what `stead status` says of them
 */
#ifndef STEAD_CTL_CERT_H
#define STEAD_CTL_CERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#include "certs.h"
#include "demand.h"
#include "lib/chan.h"
#include "snap/cert_box.h"
#include "stored.h"
#include "tbl/tbl.h"

struct ctl;
struct client;
struct site_build;
struct snap_site;
struct conf_app;
struct gate_peer;

enum {
	CERT_CHAIN_MAX = 8,
	CERT_NAMES_MAX = 100,
	CERT_URL_MAX = 1024,
	CERT_TEXT_MAX = 512,
	CERT_DER_MAX = 64 * 1024,
	CERT_BUCKETS = 4096,
};

/* A private key, which only the process keys can read. */
struct cert_key {
	uint8_t id[32]; /* SHA-256 of its SubjectPublicKeyInfo */
	void *box;      /* NULL: there is none */
	size_t box_n;
};
/* Of a registered domain, how many certificates it is given in a week: until when they are made good again. */
struct acme_domain {
	struct acme_domain *next;
	char name[256];
	uint64_t spent_s;
};
/* One authority and the account there; rows of acme_account and acme_authority. */
struct acme_account {
	struct acme_account *next;
	char directory[CERT_URL_MAX], url[CERT_URL_MAX]; /* url "": not made there yet */
	struct cert_key key;
	uint64_t spent_s; /* of the orders that it may place */
	uint8_t x[32], y[32];
	bool making;
	uint64_t making_id;
	unsigned failures;  /* of its own, in a row */
	uint64_t paused_s;  /* left alone until then */
	struct acme_domain *domains;
	char terms[CERT_URL_MAX]; /* that somebody agreed to; "" */
};
/* One site's; a row of cert, by the site's name. */
struct cert {
	struct cert *next;
	struct cert *same; /* of the same bucket */
	char *site;
	char *of; /* on demand: the name of its site, and `site` is the host name that it is for; NULL: it is a site's own */
	char *names; /* for which there is one, blank-separated; "": there is none */
	/* what serves */
	struct cert_key key;
	void *der[CERT_CHAIN_MAX];
	size_t der_n[CERT_CHAIN_MAX];
	unsigned n;
	uint8_t id[32]; /* SHA-256 of the chain */
	uint64_t not_before_s, not_after_s;
	char serial[48], ari[160];
	/* what is being got */
	char *asked; /* names of the order and its key; "" none */
	struct cert_key asked_key;
	char *csr; /* base64url */
	char order[CERT_URL_MAX];
	/* when, and what came of the last try */
	uint64_t next_s;
	unsigned failures; /* in a row */
	uint64_t spent_s;  /* of what these names are given in a week: see limits in acme.c */
	char what[CERT_TEXT_MAX], todo[CERT_TEXT_MAX], about[256];
	/* its dealings with authorities */
	char at[CERT_URL_MAX];     /* directory of the last one that was asked, where the order is */
	char source[CERT_URL_MAX]; /* … of the one that gave what serves; "" */
	uint64_t wait_s[2];        /* until then not AcmeDirectory=, not AcmeFallback= */
	uint64_t refused_s;        /* of the refused tries of an hour what is spent */
	unsigned rehearse;         /* 0; or try where it costs nothing: this is so many tries there already */
	/* on demand: since when it is got; when its name was asked for last, as far as that matters */
	uint64_t since_s, used_s;
	/* of now only */
	bool replaces; /* the order that is under way says what it renews */
	uint64_t permitted_s; /* by the guard, last */
	char *wanted;                   /* NULL: nobody wants it */
	char profile[64];               /* of Profile= */
	uint32_t number;                /* of the site */
	bool making;                    /* a key is being made */
	uint64_t job, making_id, offer; /* 0: none is under way */
	enum cert_way way;              /* how its names are proved … */
	bool else_tls;                  /* … and by TLS when nobody answers at port 80 */
	char left_out[512];             /* wildcards that nothing can prove here */
	bool refused;                   /* such a one cannot be got, whoever asks: see `what` */
	bool own;                       /* it is of Certificate=; then these are of it: */
	uint64_t own_until_s;
	char own_serial[CERT_SERIAL_TEXT_MAX], own_issuer[CERT_ISSUER_TEXT_MAX];
	char *own_names; /* NULL: not known */
	enum cert_what what_job; /* … and what it does */
	uint64_t look_s;         /* when the authority is asked next when to renew */
	uint64_t from_s, to_s;   /* what it said last */
	uint8_t check;           /* look which one is served: so often, until it is this one */
	enum cert_alert told;    /* … in an event */
	unsigned seen;           /* the build that wanted it last */
};
/* A TXT record that a program puts into the zone. */
enum cert_record { RECORD_NONE = 0, RECORD_WANTED, RECORD_PUT, RECORD_THERE, RECORD_UNWANTED, RECORD_TAKEN };
/* What gates answer to an authority. */
struct cert_challenge {
	uint64_t id, until_ms; /* until_ms 0: this place is free; id 0: gates were not told yet */
	uint64_t job;          /* for which it is; 0: that one ended with its process */
	enum cert_way way;
	char token[128], text[192];
	char name[256];
	/* by TLS */
	uint64_t asked; /* the question for its certificate; 0: it is not asked */
	uint8_t key[32];
	void *der;      /* NULL: it is not there yet */
	size_t der_n;
	enum cert_record record; /* by DNS */
};
/* The one run of the program of ChallengeHook=. */
struct cert_hook {
	struct cert_challenge *of; /* NULL: none runs */
	uint64_t generation;       /* of runs before it */
	struct timer timer;
};
/* Each job has its names' and the preflight's; what a dead certs left has room beside them. Gates have as much. */
enum { CERT_CHALLENGES_MAX = 256 };
struct certs {
	struct cert *all;
	struct cert *bucket[CERT_BUCKETS]; /* the same, by the site's name */
	struct acme_account *accounts;
	struct stored_cert *stored;
	struct cert_local local;
	struct demands demands;
	struct chan chan; /* to the process certs */
	bool wanted, greeted;
	uint64_t idle_ms; /* since when it has had nothing to do; 0: it has */
	char directory[CERT_URL_MAX], contact[256]; /* contact: "" */
	char fallback[CERT_URL_MAX], staging[CERT_URL_MAX]; /* "" */
	char chain[256], eab_kid[256];                      /* "" */
	struct cert_key eab;
	unsigned build;
	unsigned jobs;
	struct timer timer, late, publish;
	bool publishing;       /* a certificate came, and goes out with that timer */
	uint64_t published_ms; /* the next one does not before */
	bool agreed, reachable;               /* to the terms of the first authority; it could look here */
	unsigned unagreed;                    /* sites that want one, and nobody agreed */
	char unagreed_name[256];              /* a name of the first of them */
	uint64_t terms_job;                   /* 0: none is under way */
	struct cert_challenge challenges[CERT_CHALLENGES_MAX];
	struct cert_hook hook;
	bool hook_there; /* ChallengeHook= names one */
};

/* ---- state_cert.c ---- */
int state_make_cert(struct ctl *c);
int state_load_certs(struct ctl *c);
/* What of it is kept, as it stands now. */
int state_save_cert(struct ctl *c, const struct cert *cert);
int state_save_account(struct ctl *c, const struct acme_account *a);
/* Each row of a question to `one`, which says whether it holds. 0; -EBADMSG: one does not; -errno. */
int state_load_rows(struct ctl *c, const char *sql, bool (*one)(struct ctl *c, sqlite3_stmt *st));
/* Column i of a row. False: there is none, or it is longer. */
bool state_take_text(sqlite3_stmt *st, int i, char *ret, size_t cap);
/* A record is about to be put into a zone; it is not there any more. */
int state_save_record(struct ctl *c, const struct cert_challenge *ch);
int state_drop_record(struct ctl *c, const char *token);
struct cert *cert_find(struct ctl *c, const char *site);
/* One with nothing in it, in the list. NULL without memory. */
struct cert *cert_add(struct ctl *c, const char *site);
/* Take it out of the list, and free it; nobody may know of it. */
void cert_drop(struct ctl *c, struct cert *cert);
void certs_free(struct ctl *c);

/* ---- state_authority.c ---- */
int state_make_authority(struct ctl *c);
int state_load_authorities(struct ctl *c);
int state_save_authority(struct ctl *c, const struct acme_account *a);
int state_save_dealings(struct ctl *c, const struct cert *cert);

/* ---- acme_authority.c ---- */
/* What the configuration says of them. */
void acme_authorities(struct ctl *c, const struct conf_app *conf);
/* The one with that directory, made when it is not known yet. NULL without memory. */
struct acme_account *acme_account_at(struct ctl *c, const char *directory);
/* Directory of the one that gave what serves; before there is any, and of one from before that was kept, the first. */
const char *acme_source(const struct ctl *c, const struct cert *cert);
/* Of whom that certificate is asked now; NULL: of nobody until *ret_then_s. */
struct acme_account *acme_choose(struct ctl *c, struct cert *cert, uint64_t *ret_then_s);
/* May another order be placed there now? If not, it is said when. */
bool acme_is_within(struct ctl *c, struct cert *cert, struct acme_account *a);
/* Of what these names are given in a week one more is used. */
void acme_spend(struct ctl *c, struct cert *cert);
/* A try came to nothing; who has to do something about it decides when and where the next one is made. */
void acme_refused(struct ctl *c, struct cert *cert, const struct msg_cert_end *m, const char *about, const char *what,
	const char *todo);
/* A certificate came. True: only of where trying costs nothing, and the real one is got next. */
bool acme_rehearsed(struct ctl *c, struct cert *cert);
/* … and it is the real one. */
void acme_well(struct ctl *c, struct cert *cert);
/* Somebody wants it now: nobody is left alone, and it is not tried elsewhere first. */
void acme_anew(struct ctl *c, struct cert *cert);
/* Seconds behind so many failures in a row, with jitter; a number below that, by chance. */
uint64_t acme_pause_of(unsigned failures);
uint64_t acme_chance(uint64_t below);

/* ---- acme_week.c ---- */
int state_make_week(struct ctl *c);
int state_load_week(struct ctl *c);
void acme_week_free(struct acme_account *a);
/* Is its next order one that says what it replaces? */
bool acme_week_exempt(const struct cert *cert, const struct acme_account *a);
/* In how many seconds there is room for its names; 0: now. ret_domain: of which there is none. */
uint64_t acme_week_wait(struct ctl *c, const struct cert *cert, struct acme_account *a, char ret_domain[256]);
/* One for these names came, and it was not exempt. */
void acme_week_spend(struct ctl *c, const char *names, struct acme_account *a);
/* It is told, and goes on then. */
void acme_week_failed(struct ctl *c, struct cert *cert, const char *domain, uint64_t wait_s);
/* ---- acme_want.c ---- */
/* A snapshot is being made: what its sites want is told now, one after the other, … */
void acme_begin(struct site_build *b, const struct conf_app *conf);
/* … this one; its certificate, when there is one. False: it wants none. */
bool acme_put(struct site_build *b, const struct conf_app *conf, struct snap_site *site);
/* … that one has one of its own … */
void acme_own(struct site_build *b, const struct cert_box_view *v);
/* … and these were all: their keys go into the vault, and what is missing is got. */
void acme_end(struct site_build *b);
/* Is there anything to do, or will there be? Sites with names, and somebody who agreed to an
 * authority's terms. */
bool acme_wants(const struct ctl *c, const struct conf_app *conf);
/* Nobody agreed to the authority's terms, and a certificate for that name is wanted. */
void acme_count_unagreed(struct certs *certs, const char *names);
/* ---- acme.c ---- */
/* The account at that authority, with a key; NULL: it is being made. "" is none: its key signs what proves names by TLS
 * (RFC 8737). */
struct acme_account *acme_account(struct ctl *c, const char *directory);
/* The last try came to nothing: it is written down, told, and tried again later, not before wait_s
 * are over. */
void acme_failed(struct ctl *c, struct cert *cert, const char *about, const char *what,
	const char *todo, uint64_t wait_s);
/* When one should be renewed: a random second. Since 1970. */
uint64_t acme_renewal_of(const struct cert *cert);
/* Have certs, keys and resolve started. */
void acme_want_processes(struct ctl *c);
/* Do what can be done now. Called after each event. */
void acme_turn(struct ctl *c);
/* ---- acme_job.c ---- */
/* The parent gave ctl its end of a channel to certs. Takes fd; on an error it stays the caller's.
 */
int acme_channel(struct ctl *c, int fd);
void acme_key_made(struct ctl *c, const struct msg *m);
void acme_keys_gone(struct ctl *c);
/* ---- acme_publish.c ---- */
/* One has come, and stands in the state: have the gates serve it. */
void acme_publish(struct ctl *c);
op_done acme_publish_on_timer;
/* ---- acme_prove.c ---- */
/* Have keys make the certificate of that one; also what it was asked for by one that died. */
void acme_prove(struct ctl *c, struct cert_challenge *ch);
void acme_prove_all(struct ctl *c);
void acme_proved(struct ctl *c, const struct msg *m);
/* Keys is gone. */
void acme_prove_again(struct ctl *c);
/* ---- acme_hook.c ---- */
/* Have the record put into the zone, or taken away; false: there is nothing to take away. */
void acme_record(struct ctl *c, struct cert_challenge *ch);
bool acme_record_forget(struct ctl *c, struct cert_challenge *ch);
/* What orders that ended left in zones is taken away, when none is under way that may use it again. */
void acme_records_left(struct ctl *c);
/* What became of a run. */
void acme_hook_heard(struct ctl *c, const struct msg_proc_state *st);
op_done acme_hook_late;
/* ---- acme_offer.c ---- */
/* CERT_OFFER and CERT_WITHDRAW of a job. */
void acme_offer(struct ctl *c, struct cert *cert, const struct msg *m);
void acme_withdraw(struct ctl *c, const struct cert *cert, const struct msg *m);
/* That job has ended; so have all, because certs is gone: another one may go on with them. */
void acme_offers_end(struct ctl *c, uint64_t job);
void acme_offers_left(struct ctl *c);
/* For that one all is there that gates need: they are told. */
void acme_offered(struct ctl *c, struct cert_challenge *ch);
/* It is, without any gate. */
void acme_offered_elsewhere(struct ctl *c, const struct cert_challenge *ch);
/* It cannot be: the order fails. */
void acme_not_offered(struct ctl *c, struct cert_challenge *ch, const char *what, const char *todo);
/* A new gate is told all tokens; a gate knows this one; a gate is gone. */
void acme_gate_up(struct gate_peer *g);
void acme_gate_knows(struct gate_peer *g, uint64_t id);
void acme_settle(struct ctl *c);
/* Get it again, now. */
void acme_renew(struct ctl *c, struct cert *cert);
op_done acme_on_timer;

/* ---- cert_import.c ---- */
void cert_key_start(struct client *cl);
void cert_import_start(struct client *cl);
/* keys is there, or a gate serves another snapshot. */
void cert_import_settle(struct ctl *c);
void cert_import_late(struct client *cl);
/* ---- acme_terms.c ---- */
/* Did somebody agree to the terms of its authority? */
bool acme_agreed(const struct ctl *c, const struct conf_app *conf);
/* Somebody does, to those at that URL, or "". 0 or -errno. */
int acme_agree(struct ctl *c, const char *directory, const char *terms);
/* Which sites have no certificate only for that; NULL: none. A new reference. */
json_t *acme_unagreed(const struct ctl *c);
void cert_terms_start(struct client *cl);
void cert_terms_late(struct client *cl);
void cert_agree_start(struct client *cl);
/* certs is there: ask it what clients wait for; it answered. */
void acme_ask_terms(struct ctl *c);
void acme_terms_heard(struct ctl *c, const struct msg *msg);

/* ---- acme_late.c ---- */
enum cert_alert acme_alert(const struct ctl *c, const struct cert *cert);
enum cert_alert acme_alert_stored(const struct ctl *c, const struct stored_cert *s);
/* Tell what has come to be late since the last time, and look again when the next one can be. */
void acme_look_late(struct ctl *c);
op_done acme_late_on_timer;

/* ---- cert_verbs.c ---- */
/* Is something live here? False: it was told. */
bool cert_verb_may(struct client *cl);
void cert_list_start(struct client *cl);
void cert_renew_start(struct client *cl);
void cert_renew_late(struct client *cl);
/* A job of it has ended, well or not. */
void cert_renewed(struct ctl *c, const struct cert *cert);
json_t *certs_json(struct ctl *c, const char *site);
/* Is one served for that name of that site? */
bool certs_has(const struct ctl *c, const char *site, const char *name);
/* A time as ISO 8601; "" for 0. Blank-separated words as a list. */
json_t *certs_day(uint64_t s);
json_t *certs_words(const char *text);

#endif
