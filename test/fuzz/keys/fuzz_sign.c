/*
 * fuzz_sign.c: any bytes as a gate's question for a signature, and as a vault: what is signed has a
 * handshake's form, and an unknown purpose is refused. The first byte picks which.
 */
#include <stdlib.h>
#include <string.h>

#include "keys.h"
#include "lib/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void question(const uint8_t *p, size_t n)
{
	struct sign_ask ask;

	if (sign_parse(p, n, &ask) < 0)
		return;
	must(ask.content_n >= 1 &&
		ask.content_n <= (sign_is_for_authority(ask.m.purpose) ? SIGN_ACME_MAX : SIGN_CONTENT_MAX) &&
		ask.content + ask.content_n == p + n);
	if (sign_allowed(&ask) < 0)
		return;
	/* A text with one dot in it is nothing that a handshake signs. */
	if (sign_is_for_authority(ask.m.purpose)) {
		must(!memchr(ask.content, ' ', ask.content_n) && memchr(ask.content, '.', ask.content_n) && memcmp(ask.content, "eyJ", 3) == 0);
		return;
	}
	must(ask.m.purpose == SIGN_TLS13_SERVER || ask.m.purpose == SIGN_TLS12_SERVER);
	must(ask.content_n > 64);
	if (ask.m.purpose == SIGN_TLS13_SERVER)
		must(memcmp(ask.content + 64, "TLS 1.3, server CertificateVerify", 34) == 0);
	else
		must(ask.content[64] == 3 && ask.content_n <= 64 + 4 + 133);
}

static void vault(const uint8_t *p, size_t n)
{
	struct vault_entry e;
	struct vault v;
	size_t box_n = 0;
	const uint8_t *box;

	if (vault_check(p, n, &v) < 0)
		return;
	for (uint32_t i = 0; i < v.n; i++) {
		memcpy(&e, p + sizeof(struct vault_head) + i * sizeof(e), sizeof(e));
		box = vault_find(&v, e.id, &box_n);
		must(!box || (box >= p && box + box_n <= p + n && box_n <= VAULT_BOX_MAX));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t *copy;

	if (n < 1)
		return 0;
	/* A copy of its own, so that a sanitizer sees a read behind its end. */
	copy = malloc(n);
	must(copy);
	memcpy(copy, data + 1, n - 1);
	if (data[0] & 1)
		question(copy, n - 1);
	else
		vault(copy, n - 1);
	free(copy);
	return 0;
}
