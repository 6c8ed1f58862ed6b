/* fuzz_values.c: any text as the value of any key, as another process may send it: the first byte
 * picks the key. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct conf *c = fuzz_conf();
	char *text = n > 0 ? strndup((const char *)data + 1, n - 1) : NULL;

	if (text != NULL)
		(void)conf_put_key(
			c, (enum conf_key)(data[0] % CONF_END), text, CONF_FROM_FILE, NULL);
	free(text);
	fuzz_check(c, n);
	return 0;
}
