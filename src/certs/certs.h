/*
 * certs.h: the process that gets certificates from an authority by ACME (RFC 8555), in one page.
 *
 *   answers.c   what an authority says: JSON and header fields, bounded
 *   caa.c       what CAA records allow
 *   chain.c     a certificate chain as it comes, PEM
 *   problem.c   why something failed, for people
 *   jws.c       requests in the signed form that an authority takes (RFC 7515)
 *   order.c     one order as a machine of states: what to ask next, what an answer changes
 *   proof.c     its middle: proofs of several names at a time
 *   choice.c    its end: which of several chains
 *   spread.c    a record has reached the servers of its zone, or not yet
 *   http.c      transfers: libcurl on the loop
 *   job.c       a job of ctl's: drives one order through transfers, signatures and messages
 *   offered.c   … and waits until what proves a name can be looked at
 *   jail.c      what is left to the process
 *
 * The first nine touch no descriptor, no clock and no file. Keys stay with the process keys: what
 * is signed goes there whole. Nothing is kept here: what must outlive this process is ctl's
 * (CERT_KEEP).
 */
#ifndef STEAD_CERTS_H
#define STEAD_CERTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"
#include "tbl/tbl.h"

enum {
	ACME_URL_BYTES = 1024,
	ACME_NONCE_BYTES = 256,
	ACME_TOKEN_BYTES = 128,
	ACME_NAME_BYTES = 256,
	ACME_NAMES_MAX = 100,
	ACME_TEXT_BYTES = 512,
	ACME_BODY_MAX = 256 * 1024, /* of an answer */
	ACME_CHAIN_MAX = 8,
	ACME_CHAINS_MAX = 4, /* to choose from, besides the usual one */
	ACME_KEY_BYTES = 32,
};

/* ---- answers.c: each returns 0, or -EBADMSG: it is not what RFC 8555 says. `ret` is untouched
 * then. Texts are cut where they only explain; URLs, tokens and nonces that do not fit are refused.
 * ---- */
struct acme_directory {
	char new_nonce[ACME_URL_BYTES], new_account[ACME_URL_BYTES], new_order[ACME_URL_BYTES];
	char renewal_info[ACME_URL_BYTES]; /* RFC 9773; "": it has none */
	char terms[ACME_URL_BYTES];        /* "" */
	bool account_bound; /* newAccount needs a key from the authority's customer desk */
	char profiles[512]; /* blank-separated; "" */
	char caa[256];      /* what CAA records name it by, blank-separated; "": it does not say */
};
enum acme_status {
	ACME_PENDING = 1,
	ACME_PROCESSING,
	ACME_READY,
	ACME_VALID,
	ACME_INVALID,
	ACME_OVER /* expired and the like */
};
struct acme_problem {
	char type[64]; /* behind urn:ietf:params:acme:error:; "": none is given */
	char detail[ACME_TEXT_BYTES], name[ACME_NAME_BYTES];
};
struct acme_order {
	enum acme_status status;
	unsigned nauthz;
	char finalize[ACME_URL_BYTES],
		certificate[ACME_URL_BYTES]; /* certificate: "" until it is valid */
	struct acme_problem problem;
	char authz[ACME_NAMES_MAX][ACME_URL_BYTES];
};
/* One way to prove a name. */
struct acme_challenge {
	char url[ACME_URL_BYTES], token[ACME_TOKEN_BYTES]; /* "": the authority offers none */
	bool begun; /* the authority was told that it may look */
};
struct acme_authz {
	enum acme_status status;
	char name[ACME_NAME_BYTES];
	bool wildcard; /* of the names below that one */
	struct acme_challenge by[CERT_WAYS];
	struct acme_problem problem; /* of the challenge that failed */
};
int answer_directory(const char *p, size_t n, struct acme_directory *ret);
int answer_order(const char *p, size_t n, struct acme_order *ret);
int answer_authz(const char *p, size_t n, struct acme_authz *ret);
int answer_problem(const char *p, size_t n, struct acme_problem *ret);
/* When to renew (RFC 9773 section 4.2): seconds since 1970, start <= end. */
int answer_renewal(const char *p, size_t n, uint64_t *ret_start_s, uint64_t *ret_end_s);
/* Retry-After, RFC 9110 section 10.2.3: in how many ms; 0: none, or it cannot be read; at most a
 * day. */
uint64_t answer_retry_after(const char *text, uint64_t now_s);
/* Is it an https URL that fits, in visible ASCII? Is it what a token or a nonce is written with,
 * and not empty? */
bool answer_is_url(const char *text, size_t n);
bool answer_is_base64url(const char *text, size_t n);

/* Of a field Link (RFC 8288) the target that has this relation, behind *at; *at goes on behind it. False: there is none. */
bool answer_link(const char *value, size_t *at, const char *relation, char ret[ACME_URL_BYTES]);

/* ---- caa.c ---- */
struct caa_record {
	uint32_t flags;
	const char *tag, *value; /* value: n bytes of any kind */
	size_t n;
};
struct caa_who {
	const char *identities;      /* of the authority, blank-separated */
	const char *account, *method; /* the account's URL, "" when there is none yet; how the name is proved */
};
enum caa_says {
	CAA_SAYS_YES,
	CAA_SAYS_OTHERS,    /* only other authorities may, or none */
	CAA_SAYS_OTHERWISE, /* this one may, and not so: *ret_forbidden is the parameter of RFC 8657 */
	CAA_SAYS_UNKNOWN,   /* there is a record that must be understood, and is not */
};
/* What the records of the closest name that has any say of issuing for a name, or for those below it. None: yes. */
enum caa_says caa_look(const struct caa_record *all, unsigned n, const struct caa_who *who, bool wildcard,
	const char **ret_forbidden);

/* ---- chain.c ---- */
struct acme_chain {
	unsigned n;
	struct buf der[ACME_CHAIN_MAX]; /* its own first */
	uint8_t key[32];                /* SHA-256 of its SubjectPublicKeyInfo */
	uint8_t id[32];                 /* SHA-256 of all of the chain */
	uint64_t not_before_s, not_after_s;
	char serial[48]; /* hex digits */
	char ari[160];   /* its name for RFC 9773; "": it has no authority key identifier */
};
/* PEM as the authority gives it. 0; -EBADMSG; -ENOMEM. The chain is the caller's (chain_done()). */
int chain_parse(const char *p, size_t n, struct acme_chain *ret);
void chain_done(struct acme_chain *c);
/* Does its last certificate have an issuer of that common name? */
bool chain_leads_to(const struct acme_chain *c, const char *root);
/* Is the first one for all of these names? */
bool chain_covers(const struct acme_chain *c, const char *const *names, unsigned n);

/* ---- problem.c ---- */
struct acme_fail {
	char what[ACME_TEXT_BYTES], todo[ACME_TEXT_BYTES]; /* sentences for people */
	char name[ACME_NAME_BYTES];                        /* the host name that it is about; "" */
	bool limited;                                      /* the authority asks for less */
	enum cert_blame blame;                             /* who has to do something about it */
	uint64_t retry_ms;                                 /* it said when to come again; 0 */
};
/* What the authority said, in words. `doing`: "making the account", … */
void problem_say(
	const struct acme_problem *p, unsigned status, const char *doing, struct acme_fail *ret);
void problem_set(struct acme_fail *ret, const char *name, const char *todo, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* ---- jws.c ---- */
struct jws_key {
	uint8_t id[32];                               /* at keys */
	uint8_t x[ACME_KEY_BYTES], y[ACME_KEY_BYTES]; /* P-256 */
};
void base64url_put(struct buf *b, const void *p, size_t n);
/* The public key as RFC 7638 writes it, and the SHA-256 of that, base64url: what a key
 * authorization ends with. */
void jws_put_jwk(struct buf *b, const struct jws_key *key);
int jws_thumbprint(const struct jws_key *key, char ret[44]);
/* What is to be signed: protected header, a dot, payload, each base64url. kid NULL: the key itself
 * is in it. payload NULL: POST-as-GET. */
void jws_put_input(struct buf *b, const struct jws_key *key, const char *kid, const char *nonce,
	const char *url, const char *payload);
/* What binds an account to a customer of the authority (RFC 8555 section 7.3.4): what is to be signed with his key, and that
 * as JSON, with the signature, which is raw. */
void jws_put_binding_input(struct buf *b, const struct jws_key *key, const char *kid, const char *url);
int jws_put_binding(struct buf *b, const char *input, size_t n, const void *mac, size_t mac_n);
/* The whole request: that input and its signature, which is DER as keys gives it. 0; -EBADMSG. */
int jws_put(struct buf *b, const char *input, size_t n, const uint8_t *der, size_t der_n);

/* ---- spread.c: is the record where the authority will look? ---- */
enum spread_judged { SPREAD_GO = 1, SPREAD_AGAIN, SPREAD_FAIL };
/* told: what resolve found; since_ms: for how long it has been asked. */
enum spread_judged spread_judge(const struct msg_spread_told *told, uint64_t since_ms);

/* ---- order.c ---- */
struct order_ask {
	const char *directory, *contact; /* contact: an address of mail, or "" */
	const char *csr;                 /* base64url of its DER */
	const char *replaces;            /* an older certificate's name for RFC 9773, or "" */
	const char *profile, *chain; /* wanted; "" */
	const char *eab_kid;         /* who we are to an authority that has customers, or "" */
	uint8_t eab_key[32];         /* … at keys */
	const char *names[ACME_NAMES_MAX];
	unsigned nnames;
	struct jws_key account_key;
	uint8_t key[32];   /* of the certificate: SHA-256 of its SubjectPublicKeyInfo */
	bool terms_only;   /* only ask what the terms are */
	bool renewal_only; /* only ask when `replaces` should be renewed */
	char token[33];    /* chance: the preflight's */
	enum cert_way way; /* how names are proved, but wildcards */
	bool else_tls;     /* by TLS, when nobody answers at port 80 */
};
/* What came back. `error` NULL: there is an answer. */
struct answer {
	const char *error;
	unsigned status;
	const char *body;
	size_t body_n;
	const char *location, *nonce, *retry_after, *link; /* header fields; NULL or "": none */
};
enum order_step {
	STEP_DIRECTORY = 1,
	STEP_OFFER_PROBE, /* the gates answer a token of our own … */
	STEP_PROBE,       /* … which is fetched through each name */
	STEP_BIND,        /* keys signs whose account it is */
	STEP_ACCOUNT,
	STEP_KEEP_ACCOUNT,
	STEP_ORDER,
	STEP_KEEP_ORDER,
	STEP_LOOK, /* how does the order stand? */
	STEP_AUTHZ,
	STEP_OFFER,
	STEP_ANSWER, /* the authority may look */
	STEP_POLL,
	STEP_WITHDRAW,
	STEP_FINALIZE,
	STEP_DOWNLOAD,
	STEP_RENEWAL,
	STEP_DONE,
	STEP_FAILED,
	STEP_END
};
enum order_do {
	ORDER_GET = 1, /* url */
	ORDER_HEAD,
	ORDER_POST,  /* signed: url, payload (NULL: POST-as-GET), by_key */
	ORDER_KEEP,  /* have `account` and `url` of the order kept, then order_went() */
	ORDER_OFFER, /* have what `way` needs for `name` put in its place, then order_went() */
	ORDER_WITHDRAW, /* … and taken away; nothing waits for that: order_went() at once */
	ORDER_BIND,  /* have `text` signed with the external account's key, then order_bound() */
	ORDER_PROBE, /* fetch that token through each name, then order_probed() */
	ORDER_WAIT,  /* wait_ms, then order_went() */
	ORDER_DONE,
	ORDER_FAILED,
};
struct order_next {
	enum order_do what;
	const char *url, *payload;
	bool by_key;
	enum cert_way way;
	const char *name, *token;
	const char *text; /* what answers: the key authorization by HTTP, else its SHA-256: hex digits
			     by TLS, base64url by DNS */
	uint64_t wait_ms;
};
/* A name whose proof is under way. */
struct proof {
	unsigned authz;
	enum cert_way way;
	char name[ACME_NAME_BYTES];
	struct acme_challenge challenge;
	uint64_t started_ms; /* 0: the authority was told by an earlier try */
};
enum { ORDER_PROOFS_MAX = 16 /* at a time, of an order */ };
struct order {
	const struct order_ask *ask;
	enum cert_way way; /* the ask's, or what the preflight found */
	char account[ACME_URL_BYTES], url[ACME_URL_BYTES]; /* what is kept */
	enum order_step step;
	struct acme_directory directory;
	struct acme_order at; /* as the authority told last */
	struct acme_authz authz;
	unsigned authz_i; /* the next one that is looked at; those before it are proved or under way */
	struct proof proof[ORDER_PROOFS_MAX];
	unsigned nproofs, proof_i, rounds;
	uint64_t asked_ms; /* for how long the authority wants to be left alone, in this round */
	char nonce[ACME_NONCE_BYTES];
	char authorization[ACME_TOKEN_BYTES + 80]; /* what answers the newest: see order_next.text */
	struct buf payload;
	uint64_t wait_ms;    /* not 0: wait first */
	uint64_t started_ms; /* of what is being waited for */
	unsigned bad_nonces, troubles, polls, finalizes;
	bool resumed;                                       /* the order is one that was kept */
	bool probed, account_anew;                          /* each is done once */
	struct buf binding;                                 /* "": none is needed */
	char links[ACME_CHAINS_MAX][ACME_URL_BYTES];        /* of other chains for the same certificate */
	unsigned nlinks, link_i;                            /* link_i: how many were looked at */
	struct acme_chain chain;                            /* DONE */
	uint64_t renew_start_s, renew_end_s, look_again_ms; /* DONE with renewal_only */
	struct acme_fail fail;                              /* FAILED */
};
/* account, url: what was kept of an earlier try, or "". The ask stays the caller's and stands as
 * long as o. */
void order_init(struct order *o, const struct order_ask *ask, const char *account, const char *url);
void order_done(struct order *o);
/* What to do now. The same until one of those below is called; its texts stand until then. */
void order_next(struct order *o, struct order_next *ret);
/* The answer to what order_next() asked. now: any clock of ms; now_s since 1970. */
void order_answer(struct order *o, const struct answer *a, uint64_t now_ms, uint64_t now_s);
void order_went(struct order *o);
/* The signature for ORDER_BIND, raw. */
void order_bound(struct order *o, const void *mac, size_t n);
/* NULL: the token came back everywhere. Else why not. */
void order_probed(struct order *o, const struct acme_fail *why);
void order_fail(struct order *o, const char *name, const char *todo, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
