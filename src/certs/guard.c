/*
 * guard.c: the guard of OnDemand=: a URL is asked whether a name may have a certificate; see process.h.
 *
 * Called by job.c for jobs of that kind. 200 is yes; any other status, no answer in time and an answer that is too long are
 * no. What it says beside its status is not looked at. Over https it is verified like an authority; without TLS only an
 * address of this machine is asked, which ctl's own check of the configuration says too.
 */
#include "process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/hostname.h"

enum { BODY_MAX = 64 * 1024, GUARD_MS = 5000 };

static void end(struct job *j, bool permitted, const char *why)
{
	job_end_look(j, permitted ? CERT_PERMITTED : CERT_NOT_PERMITTED, why, "");
}

static void ask(struct job *j)
{
	struct transfer_ask ask = {.kind = TRANSFER_GET,
		.url = j->ask.directory,
		.host = j->host,
		.port = j->port,
		.addresses = j->addresses[0] ? j->addresses : NULL,
		.body_max = BODY_MAX,
		.plain = j->guard_plain,
		.timeout_ms = GUARD_MS};

	j->wait = WAIT_HTTP;
	if (http_start(j->certs, &j->transfer, &ask) < 0)
		end(j, false, "there is no memory");
}

void guard_begin(struct job *j)
{
	bool six;

	if (!guard_read_url(j->ask.directory, j->host, &j->port, &j->guard_plain)) {
		end(j, false, "its URL is not one that can be asked");
		return;
	}
	six = j->host[0] == '[';
	/* A name of this machine needs no look-up, and shall not be another one's. */
	if (hostname_is_local(j->host, strlen(j->host))) {
		if (!six && j->host[strspn(j->host, "0123456789.")] != '\0')
			(void)snprintf(j->addresses, sizeof j->addresses, "127.0.0.1,[::1]");
		ask(j);
	} else if (six || hostname_is_address(j->host)) {
		ask(j);
	} else {
		loop_timer_in(j->certs->loop, &j->timer, GUARD_MS);
		job_resolve(j, j->host);
	}
}

void guard_resolved(struct job *j, uint32_t err, const uint8_t (*addresses)[16], unsigned n)
{
	size_t at = 0;

	loop_timer_stop(j->certs->loop, &j->timer);
	if (err || !n) {
		end(j, false, "its address cannot be looked up");
		return;
	}
	for (unsigned i = 0; i < n && i < ADDRESSES_MAX; i++) {
		char one[50];

		job_address(addresses[i], one);
		at += (size_t)snprintf(j->addresses + at, sizeof j->addresses - at, "%s%s", i ? "," : "", one);
	}
	ask(j);
}

void guard_transferred(struct job *j)
{
	char why[sizeof j->transfer.error + 64];

	if (j->transfer.failed)
		(void)snprintf(why, sizeof why, "it does not answer: %s", j->transfer.error);
	else
		(void)snprintf(why, sizeof why, "it answers with status %u", j->transfer.status);
	end(j, !j->transfer.failed && j->transfer.status == 200, why);
}

void guard_late(struct job *j)
{
	end(j, false, "its address is not looked up in time");
}
