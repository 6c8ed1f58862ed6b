/*
 * fuzz_cert_look.c: any bytes as a certificate's file and as its private key's: what is said of
 * them has a form that is taken. Up to the first NUL it is the certificate, behind it the key.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/x509.h>

#include "cert.h"
#include "lib/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void look(const char *cert, size_t cert_n, const char *key, size_t key_n, enum cert_job job,
	X509 **last)
{
	static const uint8_t to[SEAL_KEY_BYTES] = {9};
	struct conf_facts facts = {.name = "app", .cores = 1};
	struct conf_pos pos = {.file = "stead.conf", .line = 1, .col = 1};
	struct cert_work w = {.job = job,
		.cert_text = cert,
		.cert_n = cert_n,
		.key_text = key,
		.key_n = key_n,
		.names = {"a.example"},
		.nnames = 1,
		.seal_for = to,
		.last = *last};
	struct conf *c = conf_new(&facts);

	must(c != NULL);
	buf_init(&w.out, CERT_RECORDS_MAX);
	cert_look(&w);
	*last = w.last;
	must(w.out.error || cert_take_records(c, w.out.p, w.out.len, &pos, &pos));
	buf_done(&w.out);
	conf_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const uint8_t *nul = n ? memchr(data, 0, n) : NULL;
	size_t cert_n = nul ? (size_t)(nul - data) : n, key_n = nul ? n - cert_n - 1 : 0;
	char *cert = malloc(cert_n + 1), *key = malloc(key_n + 1);
	X509 *last = NULL;

	must(cert && key);
	memcpy(cert, data, cert_n);
	if (key_n)
		memcpy(key, nul + 1, key_n);
	/* Twice: what was kept of the first is met by the second. */
	for (unsigned i = 0; i < 2; i++)
		look(cert, cert_n, key, key_n, CERT_JOB_PAIR, &last);
	look(cert, cert_n, "", 0, CERT_JOB_AUTHORITY, &last);
	X509_free(last);
	free(cert);
	free(key);
	return 0;
}
