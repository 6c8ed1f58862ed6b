/*
 * probe.c: the preflight: may this authority issue for each name (CAA), does the name's DNSSEC hold, and does it lead here,
 * at each address it has?
 *
 * By HTTP a token that our gates know shall come back; by TLS somebody shall be there; of what DNS
 * proves no address is asked.
 *
 * Called by job.c. What name servers do not tell stands in nobody's way: the authority asks others.
 * An authority that asks an address which is another server's would say no, and count it; so what is wrong is found before an order is placed. Where another server answers, or
 * the name has no address, the order is not placed. An address that cannot be connected to counts
 * only when another one of the name could be: behind some routers a server does not reach its own
 * public address, and the authority will say what it sees.
 */
#include "process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/hostname.h"
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
		/* What is an address needs none. */
		.addresses = hostname_is_address(name_of(j)) ? NULL : j->probe_address[j->probe_at],
		.body_max = BODY_MAX,
		.plain = true};
	struct acme_fail why;

	(void)snprintf(url, sizeof url, "http://%s:%u/.well-known/acme-challenge/%s",
		strchr(name_of(j), ':') ? j->probe_address[0] : name_of(j), port_of(j), j->ask.token);
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

/* Without that there is nothing to look up: an address, and one label. */
static bool has_records(const char *domain)
{
	return !strchr(domain, ':') && domain[strspn(domain, "0123456789.")] != '\0';
}

static void next_name(struct job *j);

/* One that needs no look-up: it is gone on with. */
static bool is_address(struct job *j)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	uint8_t address[1][16];

	memcpy(address[0], mapped, sizeof mapped);
	if (!hostname_is_address(name_of(j)) ||
		(inet_pton(AF_INET, name_of(j), address[0] + 12) != 1 &&
			inet_pton(AF_INET6, name_of(j), address[0]) != 1))
		return false;
	probe_resolved(j, 0, (const uint8_t(*)[16])address, 1);
	return true;
}

static void look_at_addresses(struct job *j)
{
	if (!is_by_dns(j)) {
		if (!is_address(j))
			job_resolve(j, name_of(j));
		return;
	}
	j->probe_i++;
	next_name(j);
}

static void next_name(struct job *j)
{
	if (j->probe_i < j->ask.nnames) {
		const char *name = name_of(j);

		j->probe_n = j->probe_at = j->probe_good = 0;
		j->probe_why.what[0] = '\0';
		j->caa_at = strncmp(name, "*.", 2) == 0 ? name + 2 : name;
		if (has_records(name))
			job_look_caa(j);
		else
			look_at_addresses(j);
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

/* What the records say against it; false: nothing. */
static bool is_forbidden(struct job *j, const struct caa_record *records, unsigned n, struct acme_fail *why)
{
	static const char *const methods[CERT_WAYS] = {
		[CERT_BY_HTTP] = "http-01", [CERT_BY_TLS] = "tls-alpn-01", [CERT_BY_DNS] = "dns-01"};
	const struct caa_who who = {.identities = j->order.directory.caa,
		.account = j->order.account,
		.method = methods[is_by_dns(j) ? CERT_BY_DNS : j->order.way]};
	const char *forbidden, *name = name_of(j);
	enum caa_says says;

	if (!who.identities[0])
		return false;
	says = caa_look(records, n, &who, name[0] == '*', &forbidden);
	if (says == CAA_SAYS_OTHERS)
		problem_set(why, name,
			"add a CAA record that names the authority, take the one away that names another, or choose "
			"that one with AcmeDirectory=",
			"a CAA record at %.200s does not let this authority (%.100s) issue for it", j->caa_at,
			who.identities);
	else if (says == CAA_SAYS_OTHERWISE)
		problem_set(why, name, "correct the record, or take that parameter out of it; Challenge= says how names are proved",
			"the CAA record at %.200s lets this authority issue, but its %s is not ours: we prove by %s "
			"with the account %.200s",
			j->caa_at, forbidden, who.method, who.account[0] ? who.account : "that is made now");
	else if (says == CAA_SAYS_UNKNOWN)
		problem_set(why, name, "take the critical record out that authorities do not know",
			"a CAA record at %.200s is marked critical and unknown: no authority issues then", j->caa_at);
	return says != CAA_SAYS_YES;
}

/* The closest domain that has any records counts (RFC 8659 section 3). */
void probe_caa(struct job *j, const struct msg_caa_looked *said, const struct caa_record *records)
{
	struct acme_fail why;
	const char *dot;

	if (said->state == CAA_BOGUS) {
		problem_set(&why, name_of(j),
			"correct the DS and DNSKEY records at the registrar and the zone's signatures; `dig +cd` still "
			"shows what is there",
			"the DNSSEC of %.200s does not hold: this machine's name servers answer for it only when they "
			"need not look at it",
			j->caa_at);
		give_up(j, &why);
		return;
	}
	if (said->state == CAA_TOLD && is_forbidden(j, records, said->records, &why)) {
		give_up(j, &why);
		return;
	}
	dot = strchr(j->caa_at, '.');
	if (said->state == CAA_NONE && j->order.directory.caa[0] && dot && dot[1]) {
		j->caa_at = dot + 1;
		job_look_caa(j);
		return;
	}
	look_at_addresses(j);
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
