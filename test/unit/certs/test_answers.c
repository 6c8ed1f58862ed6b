/*
 * test_answers.c: what an authority says, as RFC 8555 and RFC 9773 write it and as they do not.
 */
#include "test.h"
#include "certs.h"

#include <errno.h>
#include <string.h>

#define READ(f, text, ...) f(text, strlen(text), __VA_ARGS__)

static void directory(void **state)
{
	struct acme_directory d;
	static const char good[] =
		"{\"newNonce\":\"https://a.example/n\",\"newAccount\":\"https://a.example/"
		"a\",\"newOrder\":\"https://a.example/o\","
		"\"renewalInfo\":\"https://a.example/r\",\"meta\":{\"termsOfService\":\"https://"
		"a.example/t\",\"externalAccountRequired\":true}}";

	(void)state;
	assert_int_equal(READ(answer_directory, good, &d), 0);
	assert_string_equal(d.new_order, "https://a.example/o");
	assert_string_equal(d.renewal_info, "https://a.example/r");
	assert_true(d.account_bound);
	assert_int_equal(
		READ(answer_directory,
			"{\"newNonce\":\"https://a/n\",\"newAccount\":\"https://a/a\"}", &d),
		-EBADMSG);
	/* What was there stays. */
	assert_string_equal(d.new_order, "https://a.example/o");
	assert_int_equal(READ(answer_directory,
				 "{\"newNonce\":\"http://a/n\",\"newAccount\":\"https://a/"
				 "a\",\"newOrder\":\"https://a/o\"}",
				 &d),
		-EBADMSG);
	assert_int_equal(READ(answer_directory, "[]", &d), -EBADMSG);
	assert_int_equal(READ(answer_directory, "", &d), -EBADMSG);
}

/* What it offers besides: words, and nothing that could be more than one. */
static void offers(void **state)
{
	struct acme_directory d;

	(void)state;
	assert_int_equal(
		READ(answer_directory,
			"{\"newNonce\":\"https://a/n\",\"newAccount\":\"https://a/a\",\"newOrder\":\"https://a/o\",\"meta\":"
			"{\"profiles\":{\"classic\":\"x\",\"a b\":\"y\",\"short-lived\":\"z\",\"none\":1},"
			"\"caaIdentities\":[\"ca.example\",7,\"\",\"b.example\"]}}",
			&d),
		0);
	assert_string_equal(d.profiles, "classic short-lived");
	assert_string_equal(d.caa, "ca.example b.example");
}

static void links(void **state)
{
	static const char field[] =
		"<https://a/dir>;rel=\"index\", <https://a/1>; rel=\"alternate\", <https://a/2>;title=\"a, <b>;rel=alternate\"; "
		"rel=alternate,<http://a/3>;rel=alternate,<https://a/4>;rel=\"alternates\",<https://a/5>;x=y;REL=Alternate";
	char url[ACME_URL_BYTES];
	size_t at = 0;

	(void)state;
	assert_true(answer_link(field, &at, "alternate", url));
	assert_string_equal(url, "https://a/1");
	assert_true(answer_link(field, &at, "alternate", url));
	assert_string_equal(url, "https://a/2");
	/* Not in the clear, and not what only begins so. */
	assert_true(answer_link(field, &at, "alternate", url));
	assert_string_equal(url, "https://a/5");
	assert_false(answer_link(field, &at, "alternate", url));
	at = 0;
	assert_false(answer_link("", &at, "alternate", url));
	at = 0;
	assert_false(answer_link("<https://a/1", &at, "alternate", url));
	at = 0;
	assert_false(answer_link("<https://a/1>", &at, "alternate", url));
}

static void order(void **state)
{
	static struct acme_order o;

	(void)state;
	assert_int_equal(READ(answer_order,
				 "{\"status\":\"pending\",\"authorizations\":[\"https://a/"
				 "1\",\"https://a/2\"],\"finalize\":\"https://a/f\"}",
				 &o),
		0);
	assert_int_equal(o.status, ACME_PENDING);
	assert_int_equal(o.nauthz, 2);
	assert_string_equal(o.authz[1], "https://a/2");
	/* Valid, and where is the certificate? */
	assert_int_equal(READ(answer_order,
				 "{\"status\":\"valid\",\"authorizations\":[\"https://a/"
				 "1\"],\"finalize\":\"https://a/f\"}",
				 &o),
		-EBADMSG);
	assert_int_equal(READ(answer_order,
				 "{\"status\":\"odd\",\"authorizations\":[\"https://a/"
				 "1\"],\"finalize\":\"https://a/f\"}",
				 &o),
		-EBADMSG);
	assert_int_equal(READ(answer_order,
				 "{\"status\":\"pending\",\"authorizations\":[],\"finalize\":"
				 "\"https://a/f\"}",
				 &o),
		-EBADMSG);
	assert_int_equal(READ(answer_order,
				 "{\"status\":\"pending\",\"status\":\"ready\",\"authorizations\":["
				 "\"https://a/1\"],\"finalize\":\"https://a/f\"}",
				 &o),
		-EBADMSG);
}

static void authz(void **state)
{
	struct acme_authz a;

	(void)state;
	assert_int_equal(READ(answer_authz,
				 "{\"status\":\"pending\",\"identifier\":{\"type\":\"dns\","
				 "\"value\":\"x.example\"},\"challenges\":["
				 "{\"type\":\"dns-01\",\"url\":\"https://a/"
				 "d\",\"token\":\"zz\"},{\"type\":\"http-01\",\"url\":\"https://a/"
				 "h\",\"token\":\"abc-_\"}]}",
				 &a),
		0);
	assert_string_equal(a.by[CERT_BY_HTTP].token, "abc-_");
	assert_string_equal(a.by[CERT_BY_HTTP].url, "https://a/h");
	assert_string_equal(a.by[CERT_BY_DNS].token, "zz");
	assert_false(a.by[CERT_BY_HTTP].begun || a.wildcard || a.by[CERT_BY_TLS].token[0]);
	/* It would become part of a path. */
	assert_int_equal(
		READ(answer_authz,
			"{\"status\":\"pending\",\"identifier\":{\"type\":\"dns\",\"value\":\"x."
			"example\"},\"challenges\":["
			"{\"type\":\"http-01\",\"url\":\"https://a/h\",\"token\":\"../etc\"}]}",
			&a),
		-EBADMSG);
	assert_int_equal(READ(answer_authz,
				 "{\"status\":\"invalid\",\"identifier\":{\"type\":\"dns\","
				 "\"value\":\"x.example\"},\"challenges\":["
				 "{\"type\":\"http-01\",\"url\":\"https://a/"
				 "h\",\"token\":\"a\",\"error\":{\"type\":\"urn:ietf:params:acme:"
				 "error:dns\",\"detail\":\"no\\u001b[2J \u00e9such\"}}]}",
				 &a),
		0);
	assert_string_equal(a.problem.type, "dns");
	assert_string_equal(a.problem.name, "x.example");
	/* Nothing of it reaches a terminal as more than words. */
	assert_string_equal(a.problem.detail, "no [2J   such");
}

static void deep(void **state)
{
	static char text[200000];
	struct acme_problem p;

	(void)state;
	memset(text, '[', sizeof text);
	assert_int_equal(answer_problem(text, sizeof text, &p), -EBADMSG);
	memset(text, ' ', sizeof text);
	memcpy(text, "{\"a\":\"[[[[[[[[[[[[[[[[[[\",\"type\":\"x\"}", 37);
	assert_int_equal(answer_problem(text, sizeof text, &p), 0);
}

static void renewal(void **state)
{
	uint64_t a = 0, b = 0;

	(void)state;
	assert_int_equal(READ(answer_renewal,
				 "{\"suggestedWindow\":{\"start\":\"2025-01-02T04:00:00Z\",\"end\":"
				 "\"2025-01-03T04:00:00.5+01:00\"}}",
				 &a, &b),
		0);
	assert_int_equal(a, 1735790400);
	assert_int_equal(b, 1735790400 + 86400 - 3600);
	assert_int_equal(READ(answer_renewal,
				 "{\"suggestedWindow\":{\"start\":\"2025-01-04T04:00:00Z\",\"end\":"
				 "\"2025-01-03T04:00:00Z\"}}",
				 &a, &b),
		-EBADMSG);
	assert_int_equal(READ(answer_renewal, "{}", &a, &b), -EBADMSG);
}

static void retry_after(void **state)
{
	(void)state;
	assert_int_equal(answer_retry_after("120", 0), 120000);
	assert_int_equal(answer_retry_after("Thu, 02 Jan 2025 04:00:30 GMT", 1735790400), 30000);
	assert_int_equal(answer_retry_after("Thu, 02 Jan 2025 03:00:30 GMT", 1735790400), 0);
	assert_int_equal(answer_retry_after("99999999999999999999999", 0), 86400000);
	assert_int_equal(answer_retry_after("-5", 0), 0);
	assert_int_equal(answer_retry_after("5 apples", 0), 0);
	assert_int_equal(answer_retry_after(NULL, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(directory), cmocka_unit_test(offers),
		cmocka_unit_test(links), cmocka_unit_test(order),
		cmocka_unit_test(authz), cmocka_unit_test(deep), cmocka_unit_test(renewal),
		cmocka_unit_test(retry_after)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
