/*
 * fuzz_sites.c: any bytes as CHECK_SITES, which are in the state's table the same: what ctl takes has
 * the form of sites, and of each a conf comes or a reason.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of main.c. */
void say(struct ctl *c, enum event id, ...)
{
	(void)c;
	(void)id;
}

void ctl_started(struct ctl *c)
{
	(void)c;
}

static void use(const struct site *s, const struct conf *defaults)
{
	char why[200] = "";
	struct conf *conf = s->bad ? NULL : effective_site(s, defaults, why, sizeof why);

	must(memchr(s->name, 0, sizeof s->name) && s->file && s->values);
	must(!s->bad || s->bytes == 0);
	must(conf || s->bad || why[0]);
	must(strlen(site_domain(s)) <= s->bytes);
	if (conf) {
		must(strlen(conf_app(conf)->name) <= 27);
		must(!conf_app(conf)->python && conf_app(conf)->ntcps == 0);
	}
	conf_free(conf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_facts facts = {.name = "site", .folder = "/srv", .cores = 1, .folderless = true};
	struct conf *defaults = conf_new(&facts);
	struct up *u = calloc(1, sizeof *u);
	size_t half = size / 2 & ~(size_t)3;

	must(u && defaults && conf_finish(defaults) == 0);
	/* In two messages, which no record may lie across. */
	for (unsigned i = 0; i < 2; i++) {
		struct msg m = {.h = {.len = (uint32_t)(i ? size - half : half)}};
		char *copy = malloc(m.h.len + 1);

		must(copy);
		memcpy(copy, data + (i ? half : 0), m.h.len);
		m.payload = copy;
		up_sites_heard(u, &m);
		free(copy);
	}
	for (unsigned i = 0; i < u->sites.n; i++) {
		use(u->sites.all[i], defaults);
		must(i == 0 || strcmp(u->sites.all[i - 1]->file, u->sites.all[i]->file) < 0);
		must(sites_of_file(&u->sites, u->sites.all[i]->file) == u->sites.all[i]);
	}
	sites_free(&u->sites);
	site_free(u->site);
	buf_done(&u->site_values);
	free(u);
	conf_free(defaults);
	return 0;
}
