/*
 * fuzz_prove.c: questions for a certificate that proves a name, as garbage: what is taken is one name
 * or address, and its certificate is made.
 */
#include "keys.h"
#include "lib/must.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t der[CHALLENGE_DER_MAX];
	struct msg_key_prove ask;
	const char *name;
	EVP_PKEY *key;
	size_t n = 0;

	if (prove_parse(data, size, &ask, &name) < 0)
		return 0;
	must(name[0] && strlen(name) < 254 && !strpbrk(name, ", @/\\\"\n"));
	key = EVP_EC_gen("P-256");
	/* A name that the library knows to be none (a..b) has none. */
	if (key && prove_make(key, ask.digest, name, 1800000000, der, &n) == 0)
		must(n > 0 && n <= sizeof(der));
	EVP_PKEY_free(key);
	return 0;
}
