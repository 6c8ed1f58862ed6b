/*
 * tls_wait_blocking.c: the gate waits for each signature: of builds with a sanitizer, which does
 * not understand that a handshake has a stack of its own (tls_wait_async.c). Called from inside a
 * handshake.
 */
#include "tls_server.h"

#include "aides.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdlib.h>

enum { ANSWER_MS = 10000 };

void tls_wait_mode(SSL *ssl, bool on)
{
	(void)ssl;
	(void)on;
}

void tls_wait(struct tls_server *ts, struct sign_wait *w)
{
	struct aide_link *l = &ts->gate->aides[AIDE_KEYS];
	void *mem = malloc(CHAN_PAYLOAD_MAX);
	struct msg m;

	while (mem && !w->done && w->sent && chan_open(&l->chan)) {
		struct pollfd p = {.fd = l->chan.lfd.fd, .events = POLLIN};

		if (poll(&p, 1, ANSWER_MS) <= 0 || chan_recv_blocking(p.fd, &m, mem) < 0)
			break;
		if (msg_allowed(PROC_KEYS, PROC_GATE, m.h.type, m.h.len, m.nfds))
			tls_user_ops.heard(ts->gate, &m);
	}
	free(mem);
	if (!w->done) {
		w->err = -EIO;
		w->done = true;
	}
}
