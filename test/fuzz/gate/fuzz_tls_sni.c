/*
 * fuzz_tls_sni.c: the extension by which a client names a site, as garbage: a name that is taken is one of
 * the bytes, in small letters, without blanks, and shorter than its bound.
 */
#include "lib/must.h"
#include "tls_server.h"

#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[TLS_NAME_MAX];
	size_t n;

	if (!tls_sni_read(data, size, name, &n)) {
		must(n == 0);
		return 0;
	}
	must(n > 0 && n < TLS_NAME_MAX && n + 5 <= size);
	must(n == 1 || name[n - 1] != '.' || data[5 + n] == '.');
	for (size_t i = 0; i < n; i++) {
		must(name[i] > ' ' && name[i] < 0x7f && !(name[i] >= 'A' && name[i] <= 'Z'));
		must(strncasecmp(&name[i], (const char *)data + 5 + i, 1) == 0);
	}
	return 0;
}
