/*
 * fuzz_client_ca.c: any bytes as the file of a ClientCa=, and as what the child says that reads
 * one.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "lib/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static unsigned count(struct conf *c)
{
	unsigned all = 0;

	for (const struct conf_value *v = conf_get(c, CONF_SITE_CLIENT_CA_CERTIFICATE); v != NULL;
		v = v->next)
		all++;
	/* Nothing else comes that way. */
	for (enum conf_key i = 0; i < CONF_END; i++)
		must(conf_get(c, i) == NULL || i == CONF_SITE_CLIENT_CA_CERTIFICATE);
	return all;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct conf_facts facts = {.name = "app", .cores = 1};
	struct conf_pos pos = {.file = "stead.conf", .line = 1, .col = 1};
	struct client_ca_place to = {.section = "Site", .arg = "", .pos = &pos};
	struct conf *c = conf_new(&facts), *again = conf_new(&facts);
	char *copy = malloc(n + (n == 0));
	struct buf said;

	must(c != NULL && again != NULL && copy != NULL);
	memcpy(copy, data, n);
	(void)client_ca_take(c, copy, n, "ca.pem", &to);
	must(count(c) <= 32);
	/* What was read is taken, whatever it was read from. */
	buf_init(&said, 4u << 20);
	client_ca_read(copy, n, &said);
	must(said.error != 0 || client_ca_take(again, said.p, said.len, "ca.pem", &to));
	must(count(again) > 0 || conf_findings(again) != NULL || said.error != 0);
	buf_done(&said);
	conf_free(c);
	conf_free(again);
	free(copy);
	return 0;
}
