/* fuzz.h: what must hold of a conf whatever bytes it was made from. */
#ifndef STEAD_FUZZ_CONF_H
#define STEAD_FUZZ_CONF_H

#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "lib/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static inline struct conf *fuzz_conf(void)
{
	struct conf_facts f = {.name = "app", .home = "/h", .user = "u", .cores = 2};
	struct conf *c = conf_new(&f);

	must(c != NULL);
	return c;
}

/* Every value is taken again as it is sent, unchanged; errors have findings; places are real. */
static inline void fuzz_check(struct conf *c, size_t bytes)
{
	struct conf *again = fuzz_conf();
	int r;

	for (enum conf_key k = 0; k < CONF_END; k++)
		for (const struct conf_value *v = conf_get(c, k); v != NULL; v = v->next) {
			must(v->pos.line <= bytes + 1 && v->pos.col <= bytes + 1);
			must(conf_put_key(again, k, v->text, v->origin, &v->pos) == 0);
		}
	for (enum conf_key k = 0; k < CONF_END; k++) {
		const struct conf_value *a = conf_get(c, k), *b = conf_get(again, k);

		for (; a != NULL && b != NULL; a = a->next, b = b->next)
			must(strcmp(a->text, b->text) == 0 && a->number == b->number);
		must(a == NULL && b == NULL);
	}
	must((conf_errors(c) > 0) <= (conf_findings(c) != NULL));
	r = conf_finish(c);
	must((r == 0) == (conf_errors(c) == 0));
	if (r == 0)
		must(conf_app(c)->name[0] != '\0' && conf_app(c)->listen[0] != NULL);
	conf_free(again);
	conf_free(c);
}

#endif
