/*
 * fuzz_tls_subject.c: any certificate as a client's: what is told of it may stand in a header field and in a line
 * of a log, whatever its names are made of.
 */
#include "lib/must.h"
#include "tls_server.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const char *text, size_t max)
{
	must(strlen(text) <= max);
	for (; *text; text++)
		must(*text >= 0x20 && *text < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tls_client *c = calloc(1, sizeof(*c));
	const unsigned char *at = data;
	X509 *x = d2i_X509(NULL, &at, (long)size);
	size_t n;

	must(c);
	if (x && tls_subject_read(c, x)) {
		look(c->subject, TLS_CLIENT_TEXT_MAX);
		look(c->issuer, TLS_CLIENT_TEXT_MAX);
		look(c->serial, 128);
		look(c->fingerprint, 64);
		n = strlen(c->der);
		look(c->der, 8192);
		must(strlen(c->fingerprint) == 64 && *c->serial);
		must(n == 0 || (n > 2 && c->der[0] == ':' && c->der[n - 1] == ':'));
	} else {
		must(!c->text);
	}
	X509_free(x);
	tls_client_free(c);
	ERR_clear_error();
	return 0;
}
