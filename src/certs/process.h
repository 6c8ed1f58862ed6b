/*
 * process.h: between the files of the process itself: transfers, jobs, what is left to it.
 */
#ifndef STEAD_CERTS_PROCESS_H
#define STEAD_CERTS_PROCESS_H

#include "aide/aide.h"
#include "certs.h"

enum { OP_HTTP_IN = OP_USER, OP_HTTP_OUT, OP_HTTP_TIMER, OP_JOB_TIMER, OP_CERTS_END };
enum {
	JOBS_MAX = CERT_ASKS_MAX + CERT_GUARDS_MAX,
	SOCKETS_MAX = 64,
	ADDRESSES_MAX = 8, /* of one host that are tried */
	SIGN_JWS_MAX = 48 * 1024,
};

struct certs;
struct job;

/* ---- http.c ---- */
struct socket_place {
	struct certs *certs;
	struct lfd lfd;
	struct op in, out;
	bool reads, writes;
};
struct transfer {
	struct certs *certs;
	void *easy, *headers, *resolve; /* libcurl's; NULL: nothing is under way */
	struct buf body;
	size_t body_max;
	const char *post;
	char location[ACME_URL_BYTES], nonce[ACME_NONCE_BYTES], retry_after[64];
	char link[(ACME_CHAINS_MAX + 2) * (ACME_URL_BYTES + 64)];
	char error[256];
	unsigned status;
	bool failed;     /* there is no answer; `error` says why */
	char serial[48]; /* LOOK: hex digits */
};
enum transfer_kind {
	TRANSFER_GET = 1,
	TRANSFER_HEAD,
	TRANSFER_POST,
	TRANSFER_LOOK, /* only which certificate is shown, by whomever */
	TRANSFER_CONNECT, /* only whether somebody is there */
};
struct transfer_ask {
	enum transfer_kind kind;
	const char *url;
	const char *post; /* POST: stands until the end */
	const char *host; /* of the URL */
	uint16_t port;
	const char *addresses; /* of that host, with commas between them; IPv6 in brackets; NULL: it is one */
	size_t body_max;
	bool plain; /* http, not https: the preflight, a guard on this machine */
	long timeout_ms; /* 0: the usual one */
};
int http_open(struct certs *c);
/* Behind the last transfer. */
void http_close(struct certs *c);
/* job_transferred() is called at its end, never from in here. 0 or -errno: then it is not. */
int http_start(struct certs *c, struct transfer *t, const struct transfer_ask *ask);
/* Forget it, whether it is under way or not; its texts are gone. */
void http_stop(struct transfer *t);
op_done http_on_readable, http_on_writable, http_on_timer;

/* ---- fields.c ---- */
/* One line of an answer's head, with its line end: the first line of an answer forgets what stood in the one before; of a field
 * that matters the value is kept, bounded. */
void fields_take(struct transfer *t, const char *p, size_t n);

/* ---- job.c ---- */
enum job_wait {
	WAIT_NOTHING = 0,
	WAIT_KEYS,    /* a signature */
	WAIT_KEPT,    /* ctl has written down what must not be lost */
	WAIT_OFFERED, /* what proves the name is in its place */
	WAIT_SPREAD,  /* … in DNS: do all servers of the zone have it? */
	WAIT_AGAIN,   /* … not yet: a pause */
	WAIT_NAMES,   /* addresses of a host */
	WAIT_CAA,     /* its CAA records */
	WAIT_HTTP,
	WAIT_TIME,
};
struct job {
	struct certs *certs; /* NULL: this place is free */
	uint64_t id;         /* ctl's */
	enum job_wait wait;
	uint64_t sent; /* id of the question to keys or resolve */
	struct order_ask ask;
	struct order order;
	char *texts;            /* what the ask's point into */
	struct buf input, post; /* what is signed; the signed request */
	struct transfer transfer;
	struct timer timer;
	char host[ACME_NAME_BYTES];
	uint16_t port;
	/* the host whose addresses are known */
	char known[ACME_NAME_BYTES], addresses[ADDRESSES_MAX * 50];
	/* the preflight */
	bool looking; /* it only looks which certificate is served */
	const char *look_at;
	bool guarding, guard_plain; /* it only asks the guard of OnDemand= */
	bool probing;
	const char *caa_at; /* of the name, or of a domain that it is in, the records are looked up */
	unsigned probe_i, probe_n, probe_at,
		probe_good; /* name; its addresses: how many, which, how many were good */
	char probe_address[ADDRESSES_MAX][50];
	bool probe_alone; /* there is a name of which no address answers */
	/* a record that is waited for: since when; how often it was asked for */
	uint64_t spread_ms;
	unsigned spreads;
	struct acme_fail probe_why; /* of an address that could not be connected to */
};
void job_heard_ctl(struct certs *c, struct msg *m);
void job_signed(struct certs *c, const struct msg *m);
void job_resolved(struct certs *c, const struct msg *m);
void job_caa_looked(struct certs *c, const struct msg *m);
/* That process can be spoken to again: what is waited for from it is asked once more. */
void job_peer_up(struct certs *c, uint32_t role);
/* ctl is gone: whoever comes next asks anew. */
void job_drop_all(struct certs *c);
void job_transferred(struct transfer *t);
op_done job_on_timer;
/* offered.c: CERT_OFFERED came; a record is asked for, again; what resolve says of it. */
void job_offered(struct job *j, const struct msg *m);
void job_spread(struct job *j);
void job_spread_told(struct certs *c, const struct msg *m);
/* probe.c: the preflight; each is called when its turn in job.c comes. */
void probe_begin(struct job *j);
void probe_resolved(struct job *j, uint32_t err, const uint8_t (*addresses)[16], unsigned n);
void probe_transferred(struct job *j);
void probe_caa(struct job *j, const struct msg_caa_looked *said, const struct caa_record *records);
/* guard.c: each is called when its turn in job.c comes; the last when no address came in time. */
void guard_begin(struct job *j);
void guard_resolved(struct job *j, uint32_t err, const uint8_t (*addresses)[16], unsigned n);
void guard_transferred(struct job *j);
void guard_late(struct job *j);
/* The URL's host, with brackets, and port. False: it is none that is asked. */
bool guard_read_url(const char *url, char host[ACME_NAME_BYTES], uint16_t *ret_port, bool *ret_plain);
/* look.c: which certificate is served here. */
void look_begin(struct job *j);
void look_transferred(struct job *j);
/* The end of a job that only looks; `why` or the serial number that is served, "" without. */
void job_end_look(struct job *j, enum cert_outcome outcome, const char *why, const char *serial);
/* Of an https URL in visible ASCII. False: it is none that can be asked. */
bool job_host_of(const char *url, char host[ACME_NAME_BYTES], uint16_t *ret_port);
void job_free(struct job *j);
/* For probe.c and offered.c. */
struct job *job_by_question(struct certs *c, uint64_t sent, enum job_wait wait);
void job_tell(struct job *j, uint32_t role, enum msg_type type, uint64_t id, const void *p, size_t n,
	const void *q, size_t m);
void job_resolve(struct job *j, const char *host);
void job_look_caa(struct job *j);
void job_go_on(struct job *j);
void job_address(const uint8_t a[16], char ret[50]);

struct certs {
	struct aide aide;
	struct loop *loop;
	void *multi;       /* libcurl's */
	char *authorities; /* PEM of whom is believed */
	size_t authorities_n;
	struct timer timer;
	struct socket_place sockets[SOCKETS_MAX];
	struct job jobs[JOBS_MAX];
	uint64_t ids;
};
struct aide_peer *certs_peer(struct certs *c, uint32_t role); /* NULL: it is not there */

/* ---- jail.c: only connections to the internet from here on. 0 or -errno. For ever. ---- */
int certs_jail_close(void);

#endif
