/*
 * test_order.c: orders against an authority that is played (ca.c); and the one who orders dies at
 * each step and begins again with what was kept.
 */
#include "test.h"
#include "ca.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

static struct order order;

static void once_by(struct ca *ca, enum order_step end, enum cert_way way)
{
	struct order_ask ask = ca_ask(ca);
	struct kept kept = {0};
	unsigned steps;

	ask.way = way;
	order_init(&order, &ask, "", "");
	assert_true(ca_drive(ca, &order, &kept, 2000, &steps));
	if (order.step != end)
		print_error("%s: %s\n", order.fail.name, order.fail.what);
	assert_int_equal(order.step, end);
	EVP_PKEY_free(ca->key);
}

static void once(struct ca *ca, enum order_step end)
{
	once_by(ca, end, CERT_BY_HTTP);
}

static void plain(void **state)
{
	struct ca ca = {.seed = 1};

	(void)state;
	once(&ca, STEP_DONE);
	assert_int_equal(ca.issued, 1);
	assert_int_equal(order.chain.n, 1);
	assert_string_equal(order.chain.serial, "1267");
	order_done(&order);
}

static void bad_nonces(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed < 200; seed++) {
		struct ca ca = {.seed = seed, .bad_nonces = 50, .slow = true};

		once(&ca, STEP_DONE);
		assert_int_equal(ca.issued, 1);
		assert_int_equal(ca.orders, 1);
		order_done(&order);
	}
	/* Only bad ones: it ends. */
	struct ca ca = {.seed = 1, .bad_nonces = 100};
	once(&ca, STEP_FAILED);
	assert_int_equal(ca.orders, 0);
	order_done(&order);
}

static void outages(void **state)
{
	struct ca at_once = {.seed = 1, .silent = 1}, later = {.seed = 1}, longer = {.seed = 1};

	(void)state;
	/* Nothing has begun: who orders comes again by himself. */
	once(&at_once, STEP_FAILED);
	assert_non_null(strstr(order.fail.what, "cannot be reached: Connection refused"));
	assert_string_not_equal(order.fail.todo, "");
	order_done(&order);
	/* In the middle of it some are waited out, in turn of both kinds. */
	later.fails_from = 4;
	later.fails = 3;
	once(&later, STEP_DONE);
	assert_int_equal(later.orders, 1);
	order_done(&order);
	/* It does not try for ever. */
	longer.fails_from = 4;
	longer.fails = 1000;
	once(&longer, STEP_FAILED);
	assert_true(longer.fails > 990);
	order_done(&order);
}

static void refusals(void **state)
{
	(void)state;
	struct ca ca = {.seed = 1, .refuses = true},
		  limited = {.seed = 1, .order_error = "rateLimited"},
		  caa = {.seed = 1, .order_error = "caa"};

	once(&ca, STEP_FAILED);
	assert_string_equal(order.fail.name, "n1.example");
	assert_non_null(strstr(order.fail.what, "404"));
	assert_int_equal(ca.issued, 0);
	/* It is spent: not to be looked at again. */
	assert_string_equal(order.url, "");
	order_done(&order);
	once(&limited, STEP_FAILED);
	assert_true(order.fail.limited);
	order_done(&order);
	once(&caa, STEP_FAILED);
	assert_non_null(strstr(order.fail.todo, "CAA"));
	order_done(&order);
}

/* Dies behind each step, and behind each step again of what comes then; what was kept is all that
 * is left. */
static void dies(void **state)
{
	unsigned all = 0, most_orders = 0;

	(void)state;
	for (unsigned first = 1; first == 1 || first <= all; first++)
		for (unsigned second = 1; second <= 60; second += 3) {
			struct ca ca = {.seed = 7, .slow = true};
			struct order_ask ask = ca_ask(&ca);
			struct kept kept = {0};
			unsigned steps, deaths[3] = {first, second, 1000};

			for (unsigned i = 0; i < 3; i++) {
				bool ended;

				order_init(&order, &ask, kept.account, kept.url);
				ended = ca_drive(&ca, &order, &kept, deaths[i], &steps);
				if (ended && i == 0)
					all = steps;
				if (ended)
					assert_int_equal(order.step, STEP_DONE);
				order_done(&order);
				if (ended)
					break;
				if (i == 0 && steps >= all)
					all = steps + 1;
				assert_true(i < 2);
			}
			assert_int_equal(ca.issued, 1);
			most_orders = ca.orders > most_orders ? ca.orders : most_orders;
			EVP_PKEY_free(ca.key);
		}
	assert_true(all > 20);
	/* An order whose URL was not kept is made again, and only that one. */
	assert_true(most_orders <= 3);
}

/* The authority forgot the account, or the order. */
static void forgotten(void **state)
{
	struct ca ca = {.seed = 3};
	struct order_ask ask = ca_ask(&ca);
	struct kept kept = {0};
	unsigned steps;

	(void)state;
	order_init(&order, &ask, BASE "acct/9", BASE "o/9");
	assert_true(ca_drive(&ca, &order, &kept, 1000, &steps));
	assert_int_equal(order.step, STEP_DONE);
	assert_string_equal(kept.account, BASE "acct/1");
	assert_int_equal(ca.issued, 1);
	order_done(&order);
	EVP_PKEY_free(ca.key);
}

/* A certificate for another key, or for other names, is not taken. */
static void not_ours(void **state)
{
	struct ca ca = {.seed = 3};
	struct order_ask ask = ca_ask(&ca);
	struct kept kept = {0};
	unsigned steps;

	(void)state;
	ask.key[0] ^= 1;
	order_init(&order, &ask, "", "");
	assert_true(ca_drive(&ca, &order, &kept, 1000, &steps));
	assert_int_equal(order.step, STEP_FAILED);
	order_done(&order);
	EVP_PKEY_free(ca.key);
}

/* Many names: several are looked at while others are asked for, and never more than so many. */
static void many(void **state)
{
	(void)state;
	for (unsigned looks = 0; looks < 12; looks++) {
		struct ca ca = {.seed = looks, .names = NAMES, .looks = looks, .bad_nonces = 30};

		once(&ca, STEP_DONE);
		assert_int_equal(ca.issued, 1);
		assert_int_equal(ca.most, ORDER_PROOFS_MAX);
		/* What answered is taken away where it is not needed any more. */
		assert_int_equal(ca.offered, NAMES);
		assert_int_equal(ca.withdrawn, NAMES);
		/* One behind the other they would have taken so many pauses each. */
		if (looks == 0)
			assert_int_equal(ca.waited_ms, 3 * 250);
		order_done(&order);
	}
	/* No name is given up on because others of the order take their time. */
	struct ca one = {.seed = 1, .names = NAMES, .looks = 30};
	once(&one, STEP_DONE);
	order_done(&order);
}

/* It is asked soon, then less and less often, and as seldom as it wants. */
static void pauses(void **state)
{
	struct ca own = {.seed = 1, .names = 1, .looks = 20},
		  told = {.seed = 1, .names = 3, .looks = 2, .retry_after = "45"},
		  never = {.seed = 1, .looks = 1000000};

	(void)state;
	once(&own, STEP_DONE);
	/* 250 ms, doubled up to 10 s. */
	assert_in_range(own.waited_ms, 15000 + 10000 * 13, 20000 + 10000 * 15);
	order_done(&order);
	once(&told, STEP_DONE);
	assert_in_range(told.waited_ms, 2 * 45000, 2 * 45000 + 1000);
	order_done(&order);
	once(&never, STEP_FAILED);
	assert_non_null(strstr(order.fail.what, "15 min"));
	assert_string_not_equal(order.fail.name, "");
	assert_in_range(never.waited_ms, 15 * 60 * 1000, 16 * 60 * 1000);
	order_done(&order);
}

/* By TLS and by DNS; a wildcard always by DNS. */
static void ways(void **state)
{
	(void)state;
	for (unsigned way = 0; way < CERT_WAYS; way++) {
		struct ca ca = {.seed = 1}, wild = {.seed = 1, .wild = true};

		once_by(&ca, STEP_DONE, (enum cert_way)way);
		assert_int_equal(ca.issued, 1);
		order_done(&order);
		once_by(&wild, STEP_DONE, (enum cert_way)way);
		assert_int_equal(wild.issued, 1);
		order_done(&order);
	}
}

static void ends(struct ca *ca, const struct order_ask *ask, enum order_step end)
{
	struct kept kept = {0};
	unsigned steps;

	order_init(&order, ask, "", "");
	assert_true(ca_drive(ca, &order, &kept, 2000, &steps));
	assert_int_equal(order.step, end);
}

/* An authority that has customers: who is none places no order, and it is said whose turn it is. */
static void customers(void **state)
{
	struct ca ca = {.seed = 1, .customers = true};
	struct order_ask ask = ca_ask(&ca);

	(void)state;
	ends(&ca, &ask, STEP_FAILED);
	assert_non_null(strstr(order.fail.todo, "AcmeEabKid="));
	assert_int_equal(order.fail.blame, CERT_BLAME_HERE);
	order_done(&order);
	ask.eab_kid = "kid-1";
	ends(&ca, &ask, STEP_DONE);
	assert_int_equal(ca.issued, 1);
	order_done(&order);
	ca.strangers = true;
	ends(&ca, &ask, STEP_FAILED);
	assert_non_null(strstr(order.fail.what, "does not know the external account"));
	order_done(&order);
	EVP_PKEY_free(ca.key);
}

/* Only what the directory names is asked for. */
static void profiles(void **state)
{
	struct ca ca = {.seed = 1};
	struct order_ask ask = ca_ask(&ca);

	(void)state;
	ask.profile = "class";
	ends(&ca, &ask, STEP_FAILED);
	assert_non_null(strstr(order.fail.what, "it has: classic"));
	assert_int_equal(ca.orders, 0);
	order_done(&order);
	ask.profile = "classic";
	ends(&ca, &ask, STEP_DONE);
	order_done(&order);
	ask.terms_only = true;
	ends(&ca, &ask, STEP_DONE);
	assert_string_equal(order.directory.terms, BASE "terms");
	assert_int_equal(ca.orders, 1);
	order_done(&order);
	EVP_PKEY_free(ca.key);
}

/* Whose trouble it is decides who is asked next, and when. */
static void blames(void **state)
{
	struct ca silent = {.seed = 1, .silent = 1000}, refuses = {.seed = 1, .refuses = true},
		  limited = {.seed = 1, .order_error = "rateLimited"};

	(void)state;
	once(&silent, STEP_FAILED);
	assert_int_equal(order.fail.blame, CERT_BLAME_AUTHORITY);
	order_done(&order);
	once(&refuses, STEP_FAILED);
	assert_int_equal(order.fail.blame, CERT_BLAME_NAME);
	order_done(&order);
	once(&limited, STEP_FAILED);
	assert_true(order.fail.limited);
	assert_int_equal(order.fail.blame, CERT_BLAME_NAME);
	order_done(&order);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(plain), cmocka_unit_test(bad_nonces),
		cmocka_unit_test(outages), cmocka_unit_test(refusals), cmocka_unit_test(dies),
		cmocka_unit_test(forgotten), cmocka_unit_test(not_ours), cmocka_unit_test(many),
		cmocka_unit_test(pauses), cmocka_unit_test(ways), cmocka_unit_test(customers),
		cmocka_unit_test(profiles), cmocka_unit_test(blames)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
