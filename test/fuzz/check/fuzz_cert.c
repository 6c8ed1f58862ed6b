/*
 * fuzz_cert.c: any bytes as what the child says that reads certificates and private keys.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "lib/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct conf_facts facts = {.name = "app", .cores = 1};
	struct conf *c = conf_new(&facts);
	struct conf_pos pos = {.file = "stead.conf", .line = 1, .col = 1};
	unsigned chain = 0;
	char *copy = malloc(n + (n == 0));

	must(c != NULL && copy != NULL);
	memcpy(copy, data, n);
	(void)cert_take_records(c, copy, n, &pos, &pos);
	for (const struct conf_value *v = conf_get(c, CONF_SITE_CERTIFICATE_CHAIN); v != NULL;
		v = v->next)
		chain++;
	must(chain <= 16);
	/* Nothing else comes that way. */
	for (enum conf_key i = 0; i < CONF_END; i++)
		must(conf_get(c, i) == NULL || i == CONF_SITE_CERTIFICATE_CHAIN ||
			i == CONF_SITE_CERTIFICATE_BOX);
	conf_free(c);
	free(copy);
	return 0;
}
