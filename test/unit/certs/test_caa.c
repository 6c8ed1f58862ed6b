/*
 * test_caa.c: what CAA records let an authority do, as RFC 8659 and RFC 8657 have it.
 */
#include "test.h"
#include "certs.h"

#include <string.h>

#define ACCOUNT "https://ca.example/acct/1"
static const struct caa_who us = {.identities = "ca.example old-ca.example", .account = ACCOUNT, .method = "http-01"};

static const struct look {
	const char *tag, *value, *more_tag, *more_value;
	uint32_t flags;
	bool wildcard;
	enum caa_says says;
	const char *forbidden;
} looks[] = {
	{"issue", "ca.example", .says = CAA_SAYS_YES},
	{"ISSUE", "CA.Example", .says = CAA_SAYS_YES},
	{"issue", "old-ca.example", .says = CAA_SAYS_YES},
	{"issue", " \t ca.example ", .says = CAA_SAYS_YES},
	{"issue", "other.example", .says = CAA_SAYS_OTHERS},
	{"issue", ";", .says = CAA_SAYS_OTHERS},
	{"issue", "", .says = CAA_SAYS_OTHERS},
	{"issue", "ca.example.evil.example", .says = CAA_SAYS_OTHERS},
	{"issue", "example", .says = CAA_SAYS_OTHERS},
	{"issue", "other.example", "issue", "ca.example", .says = CAA_SAYS_YES},
	{"issue", ";", "issue", "ca.example", .says = CAA_SAYS_YES},
	/* No word about issuing. */
	{"iodef", "mailto:a@b.example", .says = CAA_SAYS_YES},
	{"iodef", "mailto:a@b.example", .flags = 128, .says = CAA_SAYS_YES},
	{"future", "x", .says = CAA_SAYS_YES},
	{"future", "x", .flags = 128, .says = CAA_SAYS_UNKNOWN},
	{"future", "x", "issue", "ca.example", .flags = 128, .says = CAA_SAYS_UNKNOWN},
	/* Wildcards. */
	{"issuewild", "other.example", .says = CAA_SAYS_YES},
	{"issuewild", "other.example", .wildcard = true, .says = CAA_SAYS_OTHERS},
	{"issuewild", "ca.example", "issue", "other.example", .wildcard = true, .says = CAA_SAYS_YES},
	{"issuewild", "ca.example", "issue", "other.example", .says = CAA_SAYS_OTHERS},
	{"issue", "other.example", .wildcard = true, .says = CAA_SAYS_OTHERS},
	/* RFC 8657. */
	{"issue", "ca.example; accounturi=" ACCOUNT, .says = CAA_SAYS_YES},
	{"issue", "ca.example;accounturi=" ACCOUNT "0", .says = CAA_SAYS_OTHERWISE, .forbidden = "accounturi"},
	{"issue", "ca.example; validationmethods=dns-01", .says = CAA_SAYS_OTHERWISE, .forbidden = "validationmethods"},
	{"issue", "ca.example; validationmethods=dns-01,http-01", .says = CAA_SAYS_YES},
	{"issue", "ca.example; validationmethods=xhttp-01", .says = CAA_SAYS_OTHERWISE, .forbidden = "validationmethods"},
	{"issue", "ca.example; validationmethods=", .says = CAA_SAYS_OTHERWISE, .forbidden = "validationmethods"},
	{"issue", "ca.example; a=b; ; accounturi = " ACCOUNT " ; c", .says = CAA_SAYS_YES},
	{"issue", "ca.example; accounturi=https://x/", "issue", "ca.example", .says = CAA_SAYS_YES},
	/* Parameters of others are theirs. */
	{"issue", "other.example; accounturi=" ACCOUNT, .says = CAA_SAYS_OTHERS},
};

static void records(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof looks / sizeof looks[0]; i++) {
		const struct look *l = &looks[i];
		struct caa_record all[2] = {{l->flags, l->tag, l->value, strlen(l->value)}};
		const char *forbidden;
		unsigned n = 1;

		if (l->more_tag)
			all[n++] = (struct caa_record){0, l->more_tag, l->more_value, strlen(l->more_value)};
		if (caa_look(all, n, &us, l->wildcard, &forbidden) != l->says)
			fail_msg("%s %s", l->tag, l->value);
		if (l->forbidden)
			assert_string_equal(forbidden, l->forbidden);
	}
}

static void none(void **state)
{
	const char *forbidden;

	(void)state;
	assert_int_equal(caa_look(NULL, 0, &us, false, &forbidden), CAA_SAYS_YES);
}

/* Before there is an account no record that names one can mean it. */
static void no_account(void **state)
{
	struct caa_record one = {0, "issue", "ca.example; accounturi=" ACCOUNT, strlen("ca.example; accounturi=" ACCOUNT)};
	struct caa_who who = us;
	const char *forbidden;

	(void)state;
	who.account = "";
	assert_int_equal(caa_look(&one, 1, &who, false, &forbidden), CAA_SAYS_OTHERWISE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records), cmocka_unit_test(none), cmocka_unit_test(no_account)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
