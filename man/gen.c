/*
 * gen.c: writes stead(1), stead.conf(5) or stead-systemd(7) from the tables, or compares a file with what it would
 * write.
 *
 * Run by `make man` and, with a file to compare, by a unit test: a page that does not match its
 * table fails. Usage: gen stead|stead.conf|stead-systemd [FILE]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"

static int compare(const char *file, struct buf *page)
{
	FILE *f = fopen(file, "rbe");
	char *have = malloc(page->len + 1);
	size_t n = 0;
	int same = 0;

	if (f != NULL && have != NULL) {
		n = fread(have, 1, page->len + 1, f);
		same = n == page->len && memcmp(have, page->p, n) == 0;
	}
	if (!same)
		fprintf(stderr, "%s is not what the tables say; run: make man\n", file);
	if (f != NULL)
		(void)fclose(f);
	free(have);
	return same ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct buf page;
	int r = 0;

	buf_init(&page, 4 * 1024 * 1024);
	if (argc >= 2 && strcmp(argv[1], "stead") == 0)
		conf_man_stead(&page);
	else if (argc >= 2 && strcmp(argv[1], "stead.conf") == 0)
		conf_man_stead_conf(&page);
	else if (argc >= 2 && strcmp(argv[1], "stead-systemd") == 0)
		conf_man_systemd(&page);
	else
		return 2;
	if (page.error != 0)
		return 1;
	if (argc > 2)
		r = compare(argv[2], &page);
	else if (fwrite(page.p, 1, page.len, stdout) != page.len)
		r = 1;
	buf_done(&page);
	return r;
}
