/*
 * problem.c: why there is no certificate, in words for people; see certs.h. Called by order.c. Owns
 * nothing.
 */
#include "certs.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/must.h"

/* Types of RFC 8555 section 6.7. `todo` may have the name once. */
static const struct {
	const char *type, *what, *todo;
} rows[] = {
	{"dns", "the authority's name servers find no address of it",
		"let the name point at this server (an A or AAAA record), then `stead cert renew`"},
	{"connection", "the authority cannot connect to it",
		"let the name point at this server, and let port 80 through every firewall on the "
		"way"},
	{"unauthorized", "the authority got an answer that is not this server's",
		"let each A and AAAA record of the name lead here; a proxy in between must pass "
		"/.well-known/acme-challenge/ on"},
	{"incorrectResponse", "the authority got an answer that is not this server's",
		"let each A and AAAA record of the name lead here; a proxy in between must pass "
		"/.well-known/acme-challenge/ on"},
	{"caa", "a CAA record of the domain forbids this authority to issue for it",
		"add a CAA record that names the authority, or take the one away that names "
		"another"},
	{"dnssec", "the domain's DNSSEC does not hold",
		"correct the DS and DNSKEY records at the registrar"},
	{"tls", "the authority's connection by TLS failed",
		"see which server answers on port 443 of the name"},
	{"rateLimited", "the authority has given out or refused too many lately",
		"wait: it is tried again by itself when the authority allows it"},
	{"rejectedIdentifier", "the authority does not issue for that name",
		"take the name out of Domain=, or choose another authority with AcmeDirectory="},
	{"invalidContact", "the authority refuses the address of AcmeEmail=",
		"correct AcmeEmail= in [Server]"},
	{"unsupportedContact", "the authority refuses the address of AcmeEmail=",
		"correct AcmeEmail= in [Server]"},
	{"externalAccountRequired", "the authority issues to its customers only",
		"choose another authority with AcmeDirectory="},
	{"userActionRequired", "the authority wants something to be done by its customer first",
		"read the authority's terms again; the address is in what it says"},
	{"serverInternal", "the authority has trouble of its own",
		"wait: it is tried again by itself"},
	{"badCSR", "the authority refuses the request's form", "report it: this is a bug in stead"},
};

void problem_set(struct acme_fail *ret, const char *name, const char *todo, const char *fmt, ...)
{
	va_list ap;

	*ret = (struct acme_fail){0};
	va_start(ap, fmt);
	(void)vsnprintf(ret->what, sizeof ret->what, fmt, ap);
	va_end(ap);
	(void)snprintf(ret->todo, sizeof ret->todo, "%s", todo);
	(void)snprintf(ret->name, sizeof ret->name, "%s", name);
}

void problem_say(
	const struct acme_problem *p, unsigned status, const char *doing, struct acme_fail *ret)
{
	const char
		*what = NULL,
		*todo = "it is tried again by itself; the authority's own status page may say more";

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(p->type, rows[i].type) == 0) {
			what = rows[i].what;
			todo = rows[i].todo;
		}
	if (what && p->detail[0])
		problem_set(ret, p->name, todo, "%s (it says: %.400s)", what, p->detail);
	else if (what)
		problem_set(ret, p->name, todo, "%s", what);
	else if (p->detail[0])
		problem_set(ret, p->name, todo, "the authority refused %s (it says: %.400s)", doing,
			p->detail);
	else
		problem_set(ret, p->name, todo, "the authority answered %s with status %u", doing,
			status);
	ret->limited = strcmp(p->type, "rateLimited") == 0 || status == 429;
}
