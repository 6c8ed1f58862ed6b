/*
 * look.c: jobs that only look: which certificate is served here; and the end of all such jobs; see process.h.
 *
 * Called by job.c and guard.c. Owns nothing.
 */
#include "process.h"

void job_end_look(struct job *j, enum cert_outcome outcome, const char *why, const char *serial)
{
	struct msg_cert_end m = {.outcome = outcome};
	struct buf b;

	buf_init(&b, 4096);
	for (unsigned i = 0; i < 5; i++)
		pack_str(&b, i == 2 ? why : "");
	pack_str(&b, serial);
	pack_str(&b, "");
	job_tell(j, PROC_CTL, MSG_CERT_END, j->id, &m, sizeof m, b.p, b.error ? 0 : b.len);
	buf_done(&b);
	job_free(j);
}

void look_transferred(struct job *j)
{
	job_end_look(j, CERT_SERVED, j->transfer.failed ? j->transfer.error : "", j->transfer.serial);
}

void look_begin(struct job *j)
{
	struct transfer_ask ask = {.kind = TRANSFER_LOOK,
		.url = j->ask.directory,
		.host = j->host,
		.addresses = j->look_at};

	j->wait = WAIT_HTTP;
	if (!job_host_of(ask.url, j->host, &ask.port) || http_start(j->certs, &j->transfer, &ask) < 0) {
		j->transfer.failed = true;
		look_transferred(j);
	}
}
