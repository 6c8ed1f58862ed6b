/*
 * fuzz_cert_box.c: a certificate's box as another process wrote it: what is taken is within its bounds, is names where
 * names go on into the gates' snapshot, and is the same bytes when it is written again.
 */
#include "lib/must.h"
#include "snap/cert_box.h"
#include "snap/vault.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cert_box_view v;
	struct buf b;

	if (!cert_box_read(data, size, &v))
		return 0;
	must(strlen(v.names) <= CERT_NAMES_TEXT_MAX && strlen(v.issuer) <= CERT_ISSUER_TEXT_MAX);
	must(strlen(v.serial) <= CERT_SERIAL_TEXT_MAX && v.box_n > 0 && v.box_n <= VAULT_BOX_MAX);
	must(v.box >= (const char *)data && v.box + v.box_n <= (const char *)data + size);
	for (const char *p = v.names; *p; p++)
		must((unsigned char)*p >= ' ' && (unsigned char)*p < 0x7f && (*p < 'A' || *p > 'Z'));
	for (const char *p = v.issuer; *p; p++)
		must((unsigned char)*p >= ' ' && *p != 0x7f);
	buf_init(&b, SIZE_MAX);
	cert_box_put(&b, &v);
	must(b.len == size && memcmp(b.p, data, size) == 0);
	buf_done(&b);
	return 0;
}
