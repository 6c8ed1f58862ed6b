/*
 * fuzz_records.c: any bytes as what the children of stead-check say: the detection, which shares
 * its process with the user's code, and the parser. The first byte picks which.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "lib/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct conf_facts facts = {.name = "app", .cores = 1};
	struct check k = {.fd = -1, .dir = -1, .folder = "/nonexistent", .name = "app"};
	char *copy;
	struct python py = {.base = "/usr/bin/python3"};

	if (n == 0)
		return 0;
	k.conf = conf_new(&facts);
	copy = malloc(n);
	must(k.conf != NULL && copy != NULL);
	/* Control characters are taken out in place. */
	memcpy(copy, data, n);
	if (data[0] & 1)
		(void)detect_take_records(&k, &py, copy + 1, n - 1);
	else
		(void)parse_take_records(k.conf, copy + 1, n - 1);
	/* Nothing that came so can name a file to run, listen or belong to the operator. */
	if (data[0] & 1)
		for (enum conf_key i = 0; i < CONF_END; i++)
			must(conf_get(k.conf, i) == NULL || (conf_rows[i].flags & CONF_DETECT));
	must((conf_finish(k.conf) == 0) == (conf_errors(k.conf) == 0));
	conf_free(k.conf);
	free(copy);
	return 0;
}
