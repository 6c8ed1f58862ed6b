/*
 * tls_wait_async.c: while its signature is made a handshake is put aside, as a job with a stack of
 * its own (ASYNC_start_job(3)), and the gate serves others. Called from inside a handshake. A
 * sanitizer does not understand such stacks: its builds have tls_wait_blocking.c.
 */
#include "tls_server.h"

#include <openssl/async.h>
#include <openssl/ssl.h>

void tls_wait_mode(SSL *ssl, bool on)
{
	if (on)
		SSL_set_mode(ssl, SSL_MODE_ASYNC);
	else
		SSL_clear_mode(ssl, SSL_MODE_ASYNC);
}

void tls_wait(struct tls_server *ts, struct sign_wait *w)
{
	(void)ts;
	/* Outside of a job there is nobody to go on meanwhile: then it has failed. */
	while (!w->done)
		if (!ASYNC_get_current_job() || !ASYNC_pause_job()) {
			w->err = -1;
			w->done = true;
		}
}
