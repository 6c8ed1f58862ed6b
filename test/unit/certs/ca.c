/*
 * ca.c: the authority of test_order.c: it keeps state as one does, refuses nonces, takes its time
 * and falls silent; see ca.h.
 */
#include "test.h"
#include "ca.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	char text[NAMES * 32] = "";
	X509_EXTENSION *san;
	BIO *out = BIO_new(BIO_s_mem());
	char *pem;
	long n;

	for (unsigned i = 0; i < ca->names; i++)
		(void)snprintf(text + strlen(text), sizeof text - strlen(text), "%sDNS:%s%u.example",
			i ? "," : "", i || !ca->wild ? "n" : "*.n", i);
	san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, text);
	assert_non_null(san);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 4711);
	X509_set_version(x, 2);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_set_pubkey(x, ca->key);
	X509_add_ext(x, san, -1);
	assert_true(X509_sign(x, ca->key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509(out, x), 1);
	n = BIO_get_mem_data(out, &pem);
	memcpy(ca->body, pem, (size_t)n);
	ca->body[n] = '\0';
	BIO_free(out);
	X509_EXTENSION_free(san);
	X509_free(x);
}

static bool all_valid(const struct ca *ca)
{
	for (unsigned i = 0; i < ca->names; i++)
		if (!ca->name[i].valid)
			return false;
	return true;
}

static void say_order(struct ca *ca)
{
	const char *status = ca->invalid     ? "invalid"
			     : ca->valid     ? "valid"
			     : ca->finalized ? "processing"
			     : all_valid(ca) ? "ready"
					     : "pending";
	size_t n;

	/* It issues when it is looked at the second time. */
	if (ca->finalized && !ca->valid && (!ca->slow || ca->finalized++ > 2)) {
		ca->issued++;
		ca->valid = true;
		status = "valid";
	}
	n = (size_t)snprintf(ca->body, sizeof ca->body,
		"{\"status\":\"%s\",\"finalize\":\"" BASE "f/%u\"%s,\"authorizations\":[", status,
		ca->orders, ca->valid ? ",\"certificate\":\"" BASE "c\"" : "");
	for (unsigned i = 0; i < ca->names; i++)
		n += (size_t)snprintf(ca->body + n, sizeof ca->body - n, "%s\"" BASE "z/%u/%u\"",
			i ? "," : "", ca->orders, i);
	(void)snprintf(ca->body + n, sizeof ca->body - n, "]}");
}

static void say_authz(struct ca *ca, unsigned i)
{
	bool wrong = ca->invalid && i == 1;
	size_t n;

	assert_true(i < ca->names);
	if (ca->name[i].begun && !ca->name[i].valid && !wrong && ca->name[i].asked++ >= ca->looks) {
		ca->name[i].valid = true;
		ca->under_way--;
	}
	n = (size_t)snprintf(ca->body, sizeof ca->body,
		"{\"status\":\"%s\",\"identifier\":{\"type\":\"dns\",\"value\":\"n%u.example\"}%s,"
		"\"challenges\":[",
		wrong                ? "invalid"
		: ca->name[i].valid  ? "valid"
				     : "pending",
		i, ca->wild && !i ? ",\"wildcard\":true" : "");
	for (unsigned way = ca->wild && !i ? CERT_BY_DNS : 0; way < CERT_WAYS; way++)
		n += (size_t)snprintf(ca->body + n, sizeof ca->body - n,
			"%s{\"type\":\"%s\",\"status\":\"%s\",\"url\":\"" BASE
			"h/%u/%u\",\"token\":\"tok%u\"%s}",
			way && !(ca->wild && !i) ? "," : "",
			((const char *[]){"http-01", "tls-alpn-01", "dns-01"})[way],
			ca->name[i].begun ? "processing" : "pending", way, i, i,
			wrong ? ",\"error\":{\"type\":\"urn:ietf:params:acme:error:unauthorized\","
				"\"detail\":\"404\"}"
			      : "");
	(void)snprintf(ca->body + n, sizeof ca->body - n, "]}");
}

/* It was told to look at a name. */
static void look_at(struct ca *ca, unsigned i)
{
	assert_true(i < ca->names);
	/* Once is enough. */
	assert_false(ca->name[i].begun);
	ca->invalid |= ca->refuses && i == 1;
	ca->name[i].begun = true;
	if (++ca->under_way > ca->most)
		ca->most = ca->under_way;
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
		assert_int_equal(ca->customers,
			strstr(next->payload, "\"externalAccountBinding\":{\"protected\":\"eyJhbGciOiJIUzI1NiIs") != NULL);
		if (ca->strangers)
			return problem(ca, 403, "unauthorized");
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
		ca->finalized = ca->under_way = 0;
		memset(ca->name, 0, sizeof ca->name);
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
		assert_int_equal(number(path + 2),
			ca->wild && number(path + 4) == 0 ? CERT_BY_DNS : o->ask->way);
		look_at(ca, number(path + 4));
		(void)snprintf(ca->body, sizeof ca->body, "{}");
		return 200;
	}
	if (path[0] == 'f') {
		if (!all_valid(ca))
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
			"account\",\"newOrder\":\"" BASE
			"order\",\"meta\":{\"termsOfService\":\"" BASE
			"terms\",\"externalAccountRequired\":%s,\"profiles\":{\"classic\":\"\"}}}",
			ca->customers ? "true" : "false");
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
	if (ca->retry_after && next->url && strstr(next->url, BASE "z/"))
		a.retry_after = ca->retry_after;
	order_answer(o, &a, now, now / 1000);
}


/* What answers has the form of its way. */
static void answers(const struct order *o, const struct order_next *next)
{
	size_t n = strlen(next->text);

	if (o->step != STEP_OFFER)
		assert_string_equal(next->text, o->ask->token);
	else if (next->way == CERT_BY_HTTP)
		assert_true(strncmp(next->text, next->token, strlen(next->token)) == 0 &&
			    next->text[strlen(next->token)] == '.' && n == strlen(next->token) + 44);
	else if (next->way == CERT_BY_TLS)
		assert_true(n == 64 && strspn(next->text, "0123456789abcdef") == n);
	else
		assert_true(n == 43 && answer_is_base64url(next->text, n));
}

bool ca_drive(
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
			answers(o, &next);
			ca->offered += o->step == STEP_OFFER;
			order_went(o);
			break;
		case ORDER_WITHDRAW:
			assert_true(answer_is_base64url(next.token, strlen(next.token)));
			ca->withdrawn++;
			order_went(o);
			break;
		case ORDER_BIND:
			/* Its own key, for this authority, by the customer's. */
			assert_memory_equal(next.text, "eyJhbGciOiJIUzI1NiIs", 20);
			order_bound(o, "signature", 9);
			break;
		case ORDER_PROBE:
			order_probed(o, NULL);
			break;
		case ORDER_WAIT:
			assert_true(next.wait_ms > 0);
			now += ca->pause_ms = next.wait_ms;
			ca->waited_ms += next.wait_ms;
			order_went(o);
			break;
		case ORDER_DONE:
		case ORDER_FAILED:
			return true;
		}
	}
	return false;
}

struct order_ask ca_ask(struct ca *ca)
{
	struct order_ask ask = {.directory = BASE "directory",
		.contact = "a@b.example",
		.csr = "MAA",
		.replaces = "",
		.profile = "",
		.chain = "",
		.eab_kid = ""};
	static char names[NAMES][32];
	unsigned char *der = NULL;
	int n;

	ca->key = EVP_EC_gen("P-256");
	assert_non_null(ca->key);
	n = i2d_PUBKEY(ca->key, &der);
	assert_int_equal(EVP_Digest(der, (size_t)n, ask.key, NULL, EVP_sha256(), NULL), 1);
	OPENSSL_free(der);
	ask.nnames = ca->names = ca->names ? ca->names : 3;
	for (unsigned i = 0; i < ask.nnames; i++) {
		(void)snprintf(names[i], sizeof names[i], "%s%u.example", i || !ca->wild ? "n" : "*.n",
			i);
		ask.names[i] = names[i];
	}
	(void)snprintf(ask.token, sizeof ask.token, "0123456789abcdef0123456789abcdef");
	return ask;
}
