/*
 * caa.c: do a name's CAA records let this authority issue for it to this account in this way (RFC 8659, RFC 8657)? See
 * certs.h. Called by probe.c, tests and the fuzz target with what a name server sent. Owns nothing.
 */
#include "certs.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/must.h"

enum { CRITICAL = 0x80 };

static const char blanks[] = " \t";

/* A piece of a value, without the blanks around it. */
struct span {
	const char *p;
	size_t n;
};

static struct span trim(const char *p, size_t n)
{
	while (n && strchr(blanks, *p) && *p) {
		p++;
		n--;
	}
	while (n && strchr(blanks, p[n - 1]) && p[n - 1])
		n--;
	return (struct span){p, n};
}

static bool is_word(struct span s, const char *word)
{
	return s.n == strlen(word) && strncasecmp(s.p, word, s.n) == 0;
}

/* Is it one of these words, with blanks or commas between them? */
static bool is_among(struct span s, const char *words)
{
	while (s.n && *words) {
		size_t n = strcspn(words, " ,");

		if (n == s.n && strncasecmp(words, s.p, n) == 0)
			return true;
		words += n + strspn(words + n, " ,");
	}
	return false;
}

/* What one parameter of a record that names the authority forbids; NULL: nothing. */
static const char *forbidden_by(struct span name, struct span value, const struct caa_who *who)
{
	char methods[256];

	if (is_word(name, "accounturi"))
		return value.n == strlen(who->account) && memcmp(value.p, who->account, value.n) == 0
			       ? NULL
			       : "accounturi";
	if (!is_word(name, "validationmethods"))
		return NULL;
	(void)snprintf(methods, sizeof methods, "%.*s", (int)min_of(value.n, sizeof methods - 1), value.p);
	return is_among((struct span){who->method, strlen(who->method)}, methods) ? NULL : "validationmethods";
}

/* issuer-domain-name *(";" tag "=" value): RFC 8659 section 4.2. False: it names somebody else, or nobody. */
static bool names_us(const struct caa_record *r, const struct caa_who *who, const char **ret_forbidden)
{
	const char *at = r->value, *end = at + r->n, *semi = memchr(at, ';', r->n);

	*ret_forbidden = NULL;
	if (!is_among(trim(at, (size_t)((semi ? semi : end) - at)), who->identities))
		return false;
	while (semi && !*ret_forbidden) {
		const char *next, *equal;

		at = semi + 1;
		next = memchr(at, ';', (size_t)(end - at));
		equal = memchr(at, '=', (size_t)((next ? next : end) - at));
		if (equal)
			*ret_forbidden = forbidden_by(trim(at, (size_t)(equal - at)),
				trim(equal + 1, (size_t)((next ? next : end) - equal - 1)), who);
		semi = next;
	}
	return true;
}

enum caa_says caa_look(const struct caa_record *all, unsigned n, const struct caa_who *who, bool wildcard,
	const char **ret_forbidden)
{
	const char *tag = "issue", *forbidden;
	bool any = false;

	*ret_forbidden = NULL;
	for (unsigned i = 0; i < n; i++) {
		struct span t = {all[i].tag, strlen(all[i].tag)};
		bool known = is_word(t, "issue") || is_word(t, "issuewild") || is_word(t, "iodef") ||
			     is_word(t, "contactemail") || is_word(t, "contactphone") || is_word(t, "issuemail") ||
			     is_word(t, "issuevmc");

		if (!known && (all[i].flags & CRITICAL))
			return CAA_SAYS_UNKNOWN;
		/* For wildcards it comes before the other, when there is one (section 4.3). */
		if (wildcard && is_word(t, "issuewild"))
			tag = "issuewild";
	}
	for (unsigned i = 0; i < n; i++) {
		if (strcasecmp(all[i].tag, tag) != 0)
			continue;
		any = true;
		if (!names_us(&all[i], who, &forbidden))
			continue;
		if (!forbidden)
			return CAA_SAYS_YES;
		*ret_forbidden = forbidden;
	}
	return !any ? CAA_SAYS_YES : *ret_forbidden ? CAA_SAYS_OTHERWISE : CAA_SAYS_OTHERS;
}
