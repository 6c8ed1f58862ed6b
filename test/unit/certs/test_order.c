/*
 * test_order.c: orders against an authority that is played here: it keeps state as one does,
 * refuses nonces, takes its time and falls silent; and the one who orders dies at each step and
 * begins again with what was kept.
 */
#include "test.h"
#include "certs.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BASE "https://a.example/"
enum { NAMES = 3 };
static const char *const names[NAMES] = {"one.example", "two.example", "three.example"};

struct ca {
	EVP_PKEY *key; /* that the certificate is for */
	/* how it behaves */
	unsigned bad_nonces;                /* per cent */
	unsigned silent;                    /* so many requests from now on have no answer */
	unsigned fails_from, fails, served; /* behind so many requests so many fail */
	bool refuses;                       /* the second name */
	bool slow;                          /* issues later than asked */
	const char *order_error;
	/* what it knows */
	unsigned accounts, orders, issued, authz_valid, finalized;
	bool invalid, valid; /* the last order */
	uint32_t seed;
	/* the last answer */
	char body[16384], location[256], nonce[64];
	unsigned nonces;
};

static unsigned number(const char *text)
{
	return (unsigned)strtoul(text, NULL, 10);
}

static unsigned dice(struct ca *ca)
{
	ca->seed = ca->seed * 1103515245 + 12345;
	return ca->seed >> 16 & 0x7fff;
}

static void certificate(struct ca *ca)
{
	X509 *x = X509_new();
	X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name,
		"DNS:one.example,DNS:two.example,DNS:three.example");
	BIO *out = BIO_new(BIO_s_mem());
	char *text;
	long n;

	ASN1_INTEGER_set(X509_get_serialNumber(x), 4711);
	X509_set_version(x, 2);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_set_pubkey(x, ca->key);
	X509_add_ext(x, san, -1);
	assert_true(X509_sign(x, ca->key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509(out, x), 1);
	n = BIO_get_mem_data(out, &text);
	memcpy(ca->body, text, (size_t)n);
	ca->body[n] = '\0';
	BIO_free(out);
	X509_EXTENSION_free(san);
	X509_free(x);
}

static void say_order(struct ca *ca)
{
	const char *status = ca->invalid                ? "invalid"
			     : ca->valid                ? "valid"
			     : ca->finalized            ? "processing"
			     : ca->authz_valid == NAMES ? "ready"
							: "pending";

	/* It issues when it is looked at the second time. */
	if (ca->finalized && !ca->valid && (!ca->slow || ca->finalized++ > 2)) {
		ca->issued++;
		ca->valid = true;
		status = "valid";
	}
	(void)snprintf(ca->body, sizeof ca->body,
		"{\"status\":\"%s\",\"authorizations\":[\"" BASE "z/%u/0\",\"" BASE
		"z/%u/1\",\"" BASE "z/%u/2\"],\"finalize\":\"" BASE "f/%u\"%s}",
		status, ca->orders, ca->orders, ca->orders, ca->orders,
		ca->valid ? ",\"certificate\":\"" BASE "c\"" : "");
}

static void say_authz(struct ca *ca, unsigned i)
{
	bool wrong = ca->invalid && i == 1;

	(void)snprintf(ca->body, sizeof ca->body,
		"{\"status\":\"%s\",\"identifier\":{\"type\":\"dns\",\"value\":\"%s\"},"
		"\"challenges\":[{\"type\":\"http-01\",\"url\":\"" BASE
		"h/%u\",\"token\":\"tok%u\"%s}]}",
		wrong                 ? "invalid"
		: i < ca->authz_valid ? "valid"
				      : "pending",
		names[i], i, i,
		wrong ? ",\"error\":{\"type\":\"urn:ietf:params:acme:error:unauthorized\","
			"\"detail\":\"404\"}"
		      : "");
}

static unsigned problem(struct ca *ca, unsigned status, const char *type)
{
	(void)snprintf(ca->body, sizeof ca->body,
		"{\"type\":\"urn:ietf:params:acme:error:%s\",\"detail\":\"so it is\"}", type);
	return status;
}

static unsigned post(struct ca *ca, const struct order *o, const struct order_next *next)
{
	const char *path = next->url + strlen(BASE);

	assert_string_equal(o->nonce, ca->nonce);
	if (dice(ca) % 100 < ca->bad_nonces)
		return problem(ca, 400, "badNonce");
	if (strcmp(path, "account") == 0) {
		assert_true(next->by_key);
		assert_non_null(strstr(next->payload, "\"termsOfServiceAgreed\":true"));
		ca->accounts = 1;
		(void)snprintf(ca->location, sizeof ca->location, BASE "acct/1");
		return 201;
	}
	assert_false(next->by_key);
	if (strcmp(o->account, BASE "acct/1") != 0 || !ca->accounts)
		return problem(ca, 400, "accountDoesNotExist");
	if (strcmp(path, "order") == 0) {
		if (ca->order_error)
			return problem(ca, 400, ca->order_error);
		ca->orders++;
		ca->authz_valid = ca->finalized = 0;
		ca->invalid = ca->valid = false;
		(void)snprintf(ca->location, sizeof ca->location, BASE "o/%u", ca->orders);
		say_order(ca);
		return 201;
	}
	if (path[0] == 'o') {
		if (number(path + 2) != ca->orders)
			return problem(ca, 404, "malformed");
		say_order(ca);
		return 200;
	}
	if (path[0] == 'z') {
		say_authz(ca, number(strrchr(path, '/') + 1));
		return 200;
	}
	if (path[0] == 'h') {
		ca->invalid = ca->refuses && number(path + 2) == 1;
		if (!ca->invalid && number(path + 2) == ca->authz_valid)
			ca->authz_valid++;
		(void)snprintf(ca->body, sizeof ca->body, "{}");
		return 200;
	}
	if (path[0] == 'f') {
		if (ca->authz_valid != NAMES)
			return problem(ca, 403, "orderNotReady");
		if (ca->finalized)
			return problem(ca, 403, "orderNotReady");
		ca->finalized = 1;
		say_order(ca);
		return 200;
	}
	assert_string_equal(path, "c");
	certificate(ca);
	return 200;
}

/* What one request brings. */
static void serve(struct ca *ca, struct order *o, const struct order_next *next, uint64_t now)
{
	struct answer a = {.location = "", .nonce = ca->nonce, .retry_after = ""};

	ca->body[0] = ca->location[0] = '\0';
	if (ca->fails_from && ca->served++ >= ca->fails_from && ca->fails && ca->fails-- % 2)
		ca->silent = 1;
	else if (ca->served > ca->fails_from && ca->fails_from && ca->fails)
		a.status = 503;
	if (ca->silent) {
		ca->silent--;
		a.error = "Connection refused";
		a.nonce = "";
		order_answer(o, &a, now, now / 1000);
		return;
	}
	if (a.status == 503) {
		a.status = problem(ca, 503, "serverInternal");
	} else if (next->what == ORDER_GET) {
		a.status = 200;
		(void)snprintf(ca->body, sizeof ca->body,
			"{\"newNonce\":\"" BASE "nonce\",\"newAccount\":\"" BASE
			"account\",\"newOrder\":\"" BASE "order\"}");
	} else if (next->what == ORDER_HEAD) {
		assert_string_equal(next->url, BASE "nonce");
		a.status = 200;
	} else {
		a.status = post(ca, o, next);
	}
	(void)snprintf(ca->nonce, sizeof ca->nonce, "nonce%u", ca->nonces++);
	/* The directory brings none. */
	a.nonce = next->what == ORDER_GET ? "" : ca->nonce;
	a.body = ca->body;
	a.body_n = strlen(ca->body);
	a.location = ca->location;
	order_answer(o, &a, now, now / 1000);
}

struct kept {
	char account[ACME_URL_BYTES], url[ACME_URL_BYTES];
};

/* Drives an order; `steps` at most: then it died. True: it has ended. */
static bool drive(
	struct ca *ca, struct order *o, struct kept *kept, unsigned steps, unsigned *ret_steps)
{
	uint64_t now = 1000000;

	for (unsigned i = 0; i < steps; i++) {
		struct order_next next;

		*ret_steps = i + 1;
		order_next(o, &next);
		switch (next.what) {
		case ORDER_GET:
		case ORDER_HEAD:
		case ORDER_POST:
			serve(ca, o, &next, now);
			break;
		case ORDER_KEEP:
			memcpy(kept->account, o->account, sizeof kept->account);
			memcpy(kept->url, o->url, sizeof kept->url);
			order_went(o);
			break;
		case ORDER_OFFER:
			assert_true(answer_is_base64url(next.token, strlen(next.token)));
			order_went(o);
			break;
		case ORDER_PROBE:
			order_probed(o, NULL);
			break;
		case ORDER_WAIT:
			assert_true(next.wait_ms > 0);
			now += next.wait_ms;
			order_went(o);
			break;
		case ORDER_DONE:
		case ORDER_FAILED:
			return true;
		}
	}
	return false;
}

static struct order_ask ask_for(struct ca *ca)
{
	struct order_ask ask = {.directory = BASE "directory",
		.contact = "a@b.example",
		.csr = "MAA",
		.replaces = "",
		.nnames = NAMES};
	unsigned char *der = NULL;
	int n;

	ca->key = EVP_EC_gen("P-256");
	assert_non_null(ca->key);
	n = i2d_PUBKEY(ca->key, &der);
	assert_int_equal(EVP_Digest(der, (size_t)n, ask.key, NULL, EVP_sha256(), NULL), 1);
	OPENSSL_free(der);
	memcpy(ask.names, names, sizeof names);
	(void)snprintf(ask.token, sizeof ask.token, "0123456789abcdef0123456789abcdef");
	return ask;
}

static struct order order;

static void once(struct ca *ca, enum order_step end)
{
	struct order_ask ask = ask_for(ca);
	struct kept kept = {0};
	unsigned steps;

	order_init(&order, &ask, "", "");
	assert_true(drive(ca, &order, &kept, 1000, &steps));
	if (order.step != end)
		print_error("%s: %s\n", order.fail.name, order.fail.what);
	assert_int_equal(order.step, end);
	EVP_PKEY_free(ca->key);
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
	assert_string_equal(order.fail.name, "two.example");
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
			struct order_ask ask = ask_for(&ca);
			struct kept kept = {0};
			unsigned steps, deaths[3] = {first, second, 1000};

			for (unsigned i = 0; i < 3; i++) {
				bool ended;

				order_init(&order, &ask, kept.account, kept.url);
				ended = drive(&ca, &order, &kept, deaths[i], &steps);
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
	struct order_ask ask = ask_for(&ca);
	struct kept kept = {0};
	unsigned steps;

	(void)state;
	order_init(&order, &ask, BASE "acct/9", BASE "o/9");
	assert_true(drive(&ca, &order, &kept, 1000, &steps));
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
	struct order_ask ask = ask_for(&ca);
	struct kept kept = {0};
	unsigned steps;

	(void)state;
	ask.key[0] ^= 1;
	order_init(&order, &ask, "", "");
	assert_true(drive(&ca, &order, &kept, 1000, &steps));
	assert_int_equal(order.step, STEP_FAILED);
	order_done(&order);
	EVP_PKEY_free(ca.key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(plain), cmocka_unit_test(bad_nonces),
		cmocka_unit_test(outages), cmocka_unit_test(refusals), cmocka_unit_test(dies),
		cmocka_unit_test(forgotten), cmocka_unit_test(not_ours)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
