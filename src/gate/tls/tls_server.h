/*
 * tls_server.h: TLS towards clients (RFC 8446, RFC 5246): what all connections of a gate share, and one connection.
 *
 *   tls_server.c  the context: versions, ciphers, which certificate, which protocol (ALPN), tickets
 *   tls_sni.c     the name that a client asks for
 *   tls_client.c  certificates of clients
 *   tls_subject.c what one says of itself
 *   tls_certs.c   certificates that have been read: a bounded table by the snapshot's id of them
 *   tls_challenge.c  certificates that prove names to authorities
 *   tls_demand.c  names whose certificate is got when somebody asks for them
 *   tls_key.c     keys as OpenSSL sees them: a provider whose signatures are asked of the process keys
 *   tls_wait*.c   what a handshake does until its signature comes
 *   tls_conn.c    one connection: its handshake, what it receives, its end
 *   tls_out.c     … and what it sends
 *   tls_kernel.c  … where the kernel makes its records
 *   tls_buffers.c  whose buffers are kept between two requests
 *
 * A private key is never here. The context has a library context of its own, so that nothing of what a gate
 * does towards backends can meet the provider.
 */
#ifndef STEAD_GATE_TLS_SERVER_H
#define STEAD_GATE_TLS_SERVER_H

#include "conn.h"
#include "outbuf.h"

enum {
	TLS_CERTS_MAX = 512,           /* certificates that are kept read */
	TLS_RECORD_BYTES = 16 * 1024,  /* of plain text in a record */
	TLS_JOBS_MAX = 256,            /* handshakes that wait for their signature, each with a stack; more wait for these */
	TLS_NAME_MAX = 256,            /* more than a host name has */
	TLS_DEMAND_MS = 20000,         /* so long a handshake waits for a certificate of OnDemand= … */
	TLS_DEMAND_WAITS_MAX = 64,     /* … and so many wait at once */
	TLS_HANDSHAKE_MAX = 64 * 1024, /* bytes that a client may send before its handshake is over */
	TLS_KEPT_MAX = 128,            /* connections whose buffers are kept while they are busy, 33 KB each */
};

struct ssl_st;
struct ssl_ctx_st;
struct evp_pkey_st;
struct x509_st;
struct tls_conn;

/* A question for a signature; lies on the stack of the handshake that asks. */
struct sign_wait {
	struct sign_wait *next;
	uint64_t id;
	struct msg_sign ask;
	const uint8_t *content;
	size_t content_n;
	bool sent, done;
	int err; /* when done: 0 or an errno */
	uint8_t signature[SIGNATURE_MAX];
	size_t signature_n;
	struct tls_conn *conn;
};

struct tls_certs;
struct tls_vouchers;
struct tls_server {
	struct gate *gate;
	struct ossl_lib_ctx_st *lib;
	void *providers[2];
	struct ssl_ctx_st *ctx;
	struct tls_certs *certs;
	struct tls_challenges *challenges; /* NULL: there was none yet */
	struct tls_demands *demands; /* NULL: nobody has asked for such a name yet */
	struct tls_vouchers *vouchers; /* NULL: no site has asked for a client's certificate yet */
	struct msg_ticket_keys tickets; /* n 0: none came yet */
	struct sign_wait *waits;
	uint64_t sign_ids;
	unsigned jobs; /* signatures that are waited for */
	struct tls_conn *first, *last; /* whose handshakes wait for one of those to end */
	struct tls_conn *current; /* whose handshake is on the stack */
	struct bio_method_st *bio;
	struct timer kept_timer;
	struct tls_conn *kept[TLS_KEPT_MAX];
	unsigned kept_n;
	bool kernel; /* it can make records: kTLS */
	char scratch[TLS_RECORD_BYTES]; /* plain text of a record that is put together */
};

/* The gate's, made at the first connection that needs it. 0; -ENOMEM; -EIO: the library cannot be used. */
int tls_server_need(struct gate *g);
void tls_server_free(struct gate *g);
/* Messages of keys (aides.h). */
struct aide_user_ops;
extern const struct aide_user_ops tls_user_ops;
/* Sign by asking keys: from inside a handshake. 0 or an errno, negative. */
int tls_sign(struct tls_server *ts, const struct msg_sign *ask, const uint8_t *content, size_t n,
	uint8_t *ret, size_t *ret_n);

/* A job of a handshake is over: the next one may begin. */
void tls_job_over(struct tls_server *ts);

/* tls_wait_async.c, tls_wait_blocking.c: how. Has SSL objects begin their handshake so; then wait until w->done. */
void tls_wait_mode(struct ssl_st *ssl, bool on);
void tls_wait(struct tls_server *ts, struct sign_wait *w);
/* An answer, for whoever waits for it. */
void tls_heard(struct gate *g, struct msg *m);

/* tls_sni.c: of the extension's n bytes the first host name, in small letters and without a dot at its end; not
 * terminated. False: it is malformed. */
bool tls_sni_read(const uint8_t *p, size_t n, char ret[TLS_NAME_MAX], size_t *ret_n);

/* tls_certs.c. 0 and references that are the table's; -ENOMEM; -EBADMSG. */
struct tls_cert {
	uint8_t id[32];
	struct x509_st *leaf;
	struct stack_st_X509 *chain;
	struct evp_pkey_st *key;
	struct tls_cert *bucket_next, *newer, *older;
};
int tls_certs_new(struct tls_server *ts);
void tls_certs_free(struct tls_server *ts);
int tls_certs_find(struct tls_server *ts, const struct snap *s, const struct snap_cert *cert,
	const struct tls_cert **ret);
unsigned tls_certs_n(const struct tls_server *ts);

/* tls_challenge.c: certificates that prove names to authorities (RFC 8737), as ctl told them. */
enum { TLS_CHALLENGES_MAX = 256 };
/* CHALLENGE_TLS. 0; -EPROTO: it is not in form; -ENOMEM; -EIO. Of too many the one that would be forgotten first
 * gives way. */
int tls_challenge_heard(struct gate *g, const struct msg *m);
void tls_challenges_free(struct tls_server *ts);
/* In a hello: does it speak acme-tls/1 and nothing else? */
bool tls_challenge_is(struct ssl_st *ssl);
/* Show the one for that name. False: there is none. */
bool tls_challenge_use(struct tls_server *ts, struct ssl_st *ssl, const char *name, size_t n);

/* tls_demand.c */
/* In a hello: there is no certificate for this public name of that site (by its number). True: it is asked for, and the
 * handshake waits; it goes on by its turn. False: there will be none. */
bool tls_demand_wait(struct tls_server *ts, struct tls_conn *t, uint32_t site, const char *name, size_t n);
/* It waits no more. */
void tls_demand_leave(struct tls_server *ts, struct tls_conn *t);
/* Such a certificate is used, late in its life. */
void tls_demand_used(struct tls_server *ts, uint32_t site, const char *name, size_t n);
/* CERT_DEMANDED. 0 or -EPROTO: it is not in form. Another snapshot serves; another ctl is there. */
int tls_demand_heard(struct gate *g, const struct msg *m);
void tls_demand_on_snap(struct gate *g);
void tls_demand_ctl_up(struct gate *g);
void tls_demands_free(struct tls_server *ts);
op_done tls_demand_on_timer;

/* tls_key.c */
/* The provider's entry, with the tls_server as its context. */
int tls_key_provider(struct tls_server *ts);
/* The key of that certificate, as far as it is here. NULL: it is of a kind that is not served, or no memory. */
struct evp_pkey_st *tls_key_new(struct tls_server *ts, struct x509_st *leaf, const uint8_t id[32]);

/* ---- a client's certificate (tls_client.c) ---- */
enum { TLS_CLIENT_TEXT_MAX = 1024 }; /* of a name in it */
/* What is known of the client of a connection whose site asks for a certificate. */
struct tls_client {
	uint8_t policy[32];  /* of the site, with all that may vouch: a session is resumed under the same only */
	uint64_t generation; /* a snapshot in which that is the site's still */
	bool given;          /* a certificate was shown, of which the client has the key */
	struct tls_verdict {
		int64_t until_s; /* the first of the chain's ends */
		int32_t err;     /* X509_V_OK, or what is wrong with it */
		uint32_t pad;
	} verdict[SNAP_CLIENT_CAS_MAX]; /* by each list of the site */
	/* Printable ASCII, "" without; they lie in `text`. */
	const char *subject, *issuer, *serial, *fingerprint;
	const char *der; /* in base64, between colons (RFC 9440); "" when it is too large for a field */
	char *text;
};
/* The client says hello to t->site: ask for what that asks for. 0; -ENOMEM. */
int tls_client_begin(struct tls_server *ts, struct tls_conn *t);
/* The handshake is over: what came of it, also where a session was resumed. */
void tls_client_end(struct tls_conn *t);
void tls_client_free(struct tls_client *c);
/* tls_subject.c: its texts, in c->text. False: they are too long or not printable, or there is no memory: then they
 * stay as they are. */
bool tls_subject_read(struct tls_client *c, const struct x509_st *x);
/* Have the context verify certificates and keep the verdicts in tickets. */
void tls_client_context(struct tls_server *ts);
void tls_vouchers_free(struct tls_server *ts);
/* Do the rules of the connection's handshake hold for that site of that snapshot? */
bool tls_client_holds(struct tls_client *c, uint32_t conn_site, const struct snap *s, const struct snap_site *site);
/* Does list number i vouch for it now? */
bool tls_client_good(const struct tls_client *c, uint32_t i, int64_t now_s);

/* ---- one connection (tls_conn.c) ---- */
struct tls_conn {
	struct conn *conn;
	struct ssl_st *ssl;
	struct op turn;          /* go on at the turn's end */
	struct send_op out;      /* records on their way */
	struct send_op *plain;   /* what the protocol wants sent and is not encrypted whole; NULL */
	struct outq q;           /* records that the socket has not taken */
	const char *cipher;      /* received and not read */
	uint32_t cipher_n;
	char *held;              /* the loop's buffer that `cipher` lies in, when it is kept */
	uint64_t used_ms;        /* something came */
	uint32_t in_bytes;       /* received before the handshake was over */
	bool raw_waits, sending, inside, ready, h2, shut, ended, failed, signing, queued;
	bool asking;             /* its hello waits for a certificate of OnDemand= */
	bool kept;               /* its buffers are */
	bool challenge;          /* by an authority: nothing follows the handshake */
	bool kernel;             /* it makes the records that are sent, of the plain bytes that the socket gets … */
	uint8_t record_type;     /* … but of the next ones, which are of this type; 0: content */
	bool alert_waits;        /* for what is queued before it: */
	uint8_t alert[2];
	struct tls_conn *behind; /* the next one that waits for a job */
	uint8_t why;             /* enum close_id of a failure */
	const struct snap_cert *cert; /* that is shown, of `snap` */
	const struct snap_site *site; /* the SNI's, while the handshake runs */
	struct snap *snap;            /* … and its snapshot, referenced */
	uint32_t site_number;
	struct tls_client *client; /* NULL: the site asks for no certificate */
	const char *version, *cipher_name; /* "TLSv1.3"; IANA's name */
};

/* tls_out.c, for tls_conn.c: take a whole record; false: the connection has failed. Go on with what the protocol wants
 * sent, if there is anything. */
bool tls_out_put(struct tls_conn *t, const char *p, size_t n);
void tls_out_go_on(struct tls_conn *t);

/* tls_kernel.c */
/* Can the kernel make records? Asked once for a gate. */
bool tls_kernel_there(void);
/* In a hello: let it, where it can and the site has it so. */
void tls_kernel_offer(struct tls_server *ts, struct tls_conn *t);
/* What OpenSSL asks of its BIO for that; 0: no. */
long tls_kernel_ctrl(struct tls_conn *t, int what, long n, void *p);
/* A record of t->record_type, plain. False: the connection has failed. */
bool tls_kernel_put(struct tls_conn *t, const char *p, size_t n);
/* The socket has taken what was queued: an alert may have waited for that. */
void tls_kernel_sent(struct tls_conn *t);
/* May plain bytes and files go to the socket now, past OpenSSL? */
bool tls_kernel_sends(const struct tls_conn *t);

/* tls_buffers.c */
/* Something came for a connection that is ready: it may be busy. It is over. */
void tls_buffers_used(struct tls_conn *t);
void tls_buffers_forget(struct tls_conn *t);
op_done tls_buffers_on_timer;
/* Is there anything that was received and not read? To have OpenSSL say so costs as much as a small record. */
bool tls_conn_has_more(const struct tls_conn *t);

/* The connection's first bytes are to be TLS's. -ENOMEM, -EIO. */
int tls_conn_begin(struct conn *c);
/* The connection is over: say so to the client if it can be said at once, and be done with the loop. */
void tls_conn_end(struct conn *c);
/* Its memory, when nothing of it is on the stack any more. */
void tls_conn_free(struct conn *c);
/* Bytes lie in c->in, received into op's buffer; or the client's end (c->eof). */
void tls_conn_got(struct conn *c, struct op *op);
/* The protocol wants more, or does not any more. */
void tls_conn_receive(struct conn *c, bool on);
/* As loop_send(); completes through the protocol's own completion. */
int tls_conn_send(struct conn *c, struct send_op *s);
void tls_conn_send_cancel(struct conn *c);
/* Nothing follows: close_notify, and the socket's sending side is shut when all has gone. -errno. */
int tls_conn_shut(struct conn *c);
op_done tls_conn_on_turn, tls_conn_on_sent;
/* What its requests' records show. */
struct req;
void tls_conn_describe(const struct conn *c, struct req *r);

#endif
