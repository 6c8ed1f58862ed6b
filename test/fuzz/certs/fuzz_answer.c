/*
 * fuzz_answer.c: answers of an authority as garbage. The first byte says which; what is taken keeps
 * its bounds: URLs are https and end, tokens have the letters of base64url, words have nothing that
 * a terminal obeys.
 */
#include "certs.h"
#include "lib/must.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void is_url(const char *text, bool needed)
{
	must(memchr(text, 0, ACME_URL_BYTES) != NULL);
	must(!text[0] ? !needed : answer_is_url(text, strlen(text)));
}

static void is_words(const char *text, size_t cap)
{
	must(memchr(text, 0, cap) != NULL);
	for (; *text; text++)
		must(*text >= ' ' && *text <= '~');
}

static void is_problem(const struct acme_problem *p)
{
	struct acme_fail why;

	is_words(p->type, sizeof p->type);
	is_words(p->detail, sizeof p->detail);
	is_words(p->name, sizeof p->name);
	problem_say(p, 400, "the order", &why);
	is_words(why.what, sizeof why.what);
	must(why.what[0] && why.todo[0]);
}

static void directory(const char *p, size_t n)
{
	struct acme_directory d;

	if (answer_directory(p, n, &d) < 0)
		return;
	is_url(d.new_nonce, true);
	is_url(d.new_account, true);
	is_url(d.new_order, true);
	is_url(d.renewal_info, false);
	is_url(d.terms, false);
	is_words(d.profiles, sizeof d.profiles);
	is_words(d.caa, sizeof d.caa);
}

static void order(const char *p, size_t n)
{
	struct acme_order *o = calloc(1, sizeof *o);

	if (o && answer_order(p, n, o) == 0) {
		must(o->nauthz > 0 && o->nauthz <= ACME_NAMES_MAX);
		for (unsigned i = 0; i < o->nauthz; i++)
			is_url(o->authz[i], true);
		is_url(o->finalize, true);
		is_url(o->certificate, o->status == ACME_VALID);
		is_problem(&o->problem);
	}
	free(o);
}

static void authz(const char *p, size_t n)
{
	struct acme_authz a;

	if (answer_authz(p, n, &a) < 0)
		return;
	is_words(a.name, sizeof a.name);
	for (unsigned way = 0; way < CERT_WAYS; way++) {
		const struct acme_challenge *c = &a.by[way];

		must(!c->token[0] || answer_is_base64url(c->token, strlen(c->token)));
		is_url(c->url, c->token[0] != '\0');
	}
	is_problem(&a.problem);
}

static void renewal(const char *p, size_t n)
{
	uint64_t start, end;

	if (answer_renewal(p, n, &start, &end) == 0)
		must(start <= end);
}

static void retry_after(const char *p, size_t n)
{
	char *text = strndup(p, n);

	if (text)
		must(answer_retry_after(text, 1700000000) <= 24ull * 3600 * 1000);
	free(text);
}

static void link_field(const char *p, size_t n)
{
	char *text = strndup(p, n), url[ACME_URL_BYTES];
	size_t at = 0, last = 0;

	while (text && answer_link(text, &at, "alternate", url)) {
		is_url(url, true);
		must(at > last && at <= strlen(text));
		last = at;
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data + 1;
	struct acme_problem problem;

	if (!size--)
		return 0;
	switch (data[0]) {
	case 'd':
		directory(p, size);
		break;
	case 'o':
		order(p, size);
		break;
	case 'a':
		authz(p, size);
		break;
	case 'r':
		renewal(p, size);
		break;
	case 'l':
		link_field(p, size);
		break;
	case 't':
		retry_after(p, size);
		break;
	default:
		if (answer_problem(p, size, &problem) == 0)
			is_problem(&problem);
	}
	return 0;
}
