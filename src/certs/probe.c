/*
 * probe.c: the preflight: does each name lead here, at each address it has?
 *
 * By HTTP a token that our gates know shall come back; by TLS somebody shall be there; of what DNS
 * proves nothing is asked.
 *
 * Called by job.c. An authority that asks an address which is another server's would say no, and
 * count it; so what is wrong is found before an order is placed. Where another server answers, or
 * the name has no address, the order is not placed. An address that cannot be connected to counts
 * only when another one of the name could be: behind some routers a server does not reach its own
 * public address, and the authority will say what it sees.
 */
#include "process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/must.h"

enum { BODY_MAX = 4096 };

static const char *name_of(const struct job *j)
{
	return j->ask.names[j->probe_i];
}

static uint16_t port_of(const struct job *j)
{
	return j->order.way == CERT_BY_TLS ? 443 : 80;
}

/* Whose addresses nobody will ask. */
static bool is_by_dns(const struct job *j)
{
	return j->order.way == CERT_BY_DNS || name_of(j)[0] == '*';
}

static void fetch(struct job *j)
{
	char url[ACME_NAME_BYTES + 128];
	bool tls = j->order.way == CERT_BY_TLS;
	struct transfer_ask ask = {.kind = tls ? TRANSFER_CONNECT : TRANSFER_GET,
		.url = url,
		.host = name_of(j),
		.port = port_of(j),
		.addresses = j->probe_address[j->probe_at],
		.body_max = BODY_MAX,
		.plain = true};
	struct acme_fail why;

	(void)snprintf(url, sizeof url, "http://%s:%u/.well-known/acme-challenge/%s", name_of(j),
		port_of(j), j->ask.token);
	j->wait = WAIT_HTTP;
	if (http_start(j->certs, &j->transfer, &ask) == 0)
		return;
	problem_set(&why, name_of(j), "it is tried again by itself",
		"there is no memory to look at it");
	order_probed(&j->order, &why);
	job_go_on(j);
}

/* Nobody is at port 80: perhaps at the other. If nobody is there either, all is as if it had not
 * been tried: the authority may see more than we do. */
static bool is_other_way(struct job *j)
{
	if (!j->ask.else_tls || !j->probe_alone)
		return false;
	j->order.way = j->order.way == CERT_BY_HTTP ? CERT_BY_TLS : CERT_BY_HTTP;
	return j->order.way == CERT_BY_TLS;
}

static void next_name(struct job *j)
{
	while (j->probe_i < j->ask.nnames && is_by_dns(j))
		j->probe_i++;
	if (j->probe_i < j->ask.nnames) {
		j->probe_n = j->probe_at = j->probe_good = 0;
		j->probe_why.what[0] = '\0';
		job_resolve(j, name_of(j));
		return;
	}
	if (is_other_way(j)) {
		probe_begin(j);
		return;
	}
	j->probing = false;
	order_probed(&j->order, NULL);
	job_go_on(j);
}

void probe_begin(struct job *j)
{
	j->probing = true;
	j->probe_alone = false;
	j->probe_i = 0;
	next_name(j);
}

static void give_up(struct job *j, const struct acme_fail *why)
{
	j->probing = false;
	order_probed(&j->order, why);
	job_go_on(j);
}

void probe_resolved(struct job *j, uint32_t err, const uint8_t (*addresses)[16], unsigned n)
{
	struct acme_fail why;

	if (err) {
		problem_set(&why, name_of(j),
			err == ENOENT ? "make an A or AAAA record for it that leads here, or take "
					"it out of Domain="
				      : "see that this machine's name servers answer",
			err == ENOENT ? "it has no address"
				      : "its address could not be looked up: %s",
			strerror((int)err));
		give_up(j, &why);
		return;
	}
	j->probe_n = min_of(n, (unsigned)ADDRESSES_MAX);
	for (unsigned i = 0; i < j->probe_n; i++)
		job_address(addresses[i], j->probe_address[i]);
	fetch(j);
}

void probe_transferred(struct job *j)
{
	const struct transfer *t = &j->transfer;
	const char *address = j->probe_address[j->probe_at];
	size_t n = strlen(j->ask.token);
	struct acme_fail why;

	if (t->failed && t->status == 0) {
		problem_set(&j->probe_why, name_of(j),
			"let each A and AAAA record of the name lead here, and let ports 80 and 443 "
			"through every firewall on the way",
			"%s, which is one of its addresses, does not answer on port %u: %s",
			address, port_of(j), t->error);
	} else if (j->order.way == CERT_BY_TLS) {
		j->probe_good++;
	} else if (t->status == 200 && !t->failed && t->body.len == n &&
		   memcmp(t->body.p, j->ask.token, n) == 0) {
		j->probe_good++;
	} else {
		problem_set(&why, name_of(j),
			"let each A and AAAA record of the name lead here; a proxy in between must "
			"pass /.well-known/acme-challenge/ on",
			"%s, which is one of its addresses, is not this server: it answered with "
			"status %u",
			address, t->status);
		give_up(j, &why);
		return;
	}
	if (++j->probe_at < j->probe_n) {
		fetch(j);
	} else if (j->probe_why.what[0] && j->probe_good) {
		give_up(j, &j->probe_why);
	} else {
		j->probe_alone |= !j->probe_good;
		j->probe_i++;
		next_name(j);
	}
}
