/*
 * fuzz_program_files.c: any bytes as a package.json, a Procfile, a Gemfile or a shell's line, and as what the child
 * that read one says. The first byte picks which. What a text packs must be taken again; a line's words must be a
 * command line of ExecStart=.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "lib/must.h"
#include "program_files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* As program_put() builds it. */
static void see_line(const struct shell_line *l)
{
	struct conf_facts facts = {.name = "app", .cores = 1};
	struct conf *c = conf_new(&facts);
	struct buf b;

	must(c != NULL);
	buf_init(&b, SIZE_MAX);
	for (unsigned i = 0; i < l->nwords; i++) {
		if (i > 0)
			buf_putc(&b, ' ');
		conf_command_word(&b, l->words[i]);
	}
	if (l->nwords > 0 && b.len < 8192)
		must(conf_put_key(c, CONF_SERVICE_EXEC_START, buf_str(&b), CONF_FROM_DETECTED, NULL) == 0 ||
			conf_errors(c) > 0);
	for (unsigned i = 0; i < l->nenv; i++)
		(void)conf_put_key(c, CONF_SERVICE_ENVIRONMENT, l->env[i], CONF_FROM_DETECTED, NULL);
	buf_done(&b);
	conf_free(c);
}

static void see_package(const char *p, size_t n, bool ours)
{
	struct package *k = calloc(1, sizeof(*k));

	must(k != NULL);
	if (package_take(p, n, k)) {
		for (unsigned i = 0; i < k->ndeps; i++)
			must(strstr(k->deps[i], "..") == NULL || k->deps[i][0] != '.');
		if (ours && k->line == 0)
			see_line(&k->start);
	} else {
		must(!ours);
	}
	free(k);
}

static void see_procfile(const char *p, size_t n, bool ours)
{
	struct procfile *f = calloc(1, sizeof(*f));

	must(f != NULL);
	if (procfile_take(p, n, f)) {
		for (unsigned i = 0; ours && i < f->n; i++)
			see_line(&f->lines[i].command);
	} else {
		must(!ours);
	}
	free(f);
}

static void see_text(unsigned which, const char *text, size_t n)
{
	struct gems gems;
	struct buf b;

	buf_init(&b, 64 * 1024 * 1024);
	if (which == 0) {
		package_work(text, n, &b);
		if (b.error == 0)
			see_package(b.p, b.len, true);
	} else if (which == 1) {
		procfile_work(text, n, &b);
		if (b.error == 0)
			see_procfile(b.p, b.len, true);
	} else {
		gems_work(text, n, &b);
		must(gems_take(b.p, b.len, &gems));
	}
	buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *text = (const char *)data + 1;
	char *copy;

	if (n == 0 || n > 256 * 1024)
		return 0;
	/* At its very end, so that one byte beyond is seen. */
	copy = malloc(n - 1 > 0 ? n - 1 : 1);
	must(copy != NULL);
	memcpy(copy, text, n - 1);
	switch (data[0] % 5) {
	case 3:
		see_package(copy, n - 1, false);
		break;
	case 4:
		see_procfile(copy, n - 1, false);
		break;
	default:
		see_text(data[0] % 5, copy, n - 1);
	}
	free(copy);
	return 0;
}
