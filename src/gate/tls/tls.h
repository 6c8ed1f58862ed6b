/*
 * tls.h: TLS on a connection as bytes in, bytes out: no socket, no waiting. What arrived is fed, what is
 * to be sent is fetched; in between it is OpenSSL's. Contexts are their makers' (up_tls.c for backends).
 */
#ifndef STEAD_GATE_TLS_H
#define STEAD_GATE_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ssl_st;
struct tls;
struct up;
struct up_server;

/* Takes ssl, which has no BIOs yet and knows its side. NULL: no memory (ssl is freed). */
struct tls *tls_new(struct ssl_st *ssl);
void tls_free(struct tls *t);
/* Bytes that arrived. 0; -ENOMEM. */
int tls_feed(struct tls *t, const void *p, size_t n);
/* Go on with the handshake as far as what arrived allows. 0; -EKEYREJECTED the peer's certificate does not
 * hold; -EBADMSG anything else. */
int tls_step(struct tls *t);
/* The handshake is over. */
bool tls_ready(const struct tls *t);
/* Encrypt all of p, ready, and nothing pending. 0; -EBADMSG. */
int tls_write(struct tls *t, const void *p, size_t n);
/* What waits to be sent: stands until tls_output_sent(), which says that all of it went. */
const char *tls_output(struct tls *t, size_t *ret_n);
void tls_output_sent(struct tls *t);
bool tls_pending(struct tls *t);
/* The next decrypted bytes: *ret_at 0 and how many; they stand until the next call. 0: none now. */
size_t tls_read(struct tls *t, char **ret_p, uint32_t *ret_at);
/* The peer said that it ends, or the stream is broken beyond reading. */
bool tls_closed(const struct tls *t);
/* Reading failed: the stream cannot be trusted any more. */
bool tls_broken(const struct tls *t);

/* up_tls.c: one towards server s, with its name checked against the system's certificate authorities,
 * where the upstream does not say otherwise. 0; -ENOMEM; -EKEYREJECTED no authorities can be read. */
int tls_client_new(struct up *up, struct up_server *s, struct tls **ret);
void tls_session_free(void *session);
void tls_ctx_free(void *ctx);

#endif
