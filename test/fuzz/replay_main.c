/*
 * replay_main.c: runs one fuzz target without a fuzzer.
 *
 * Linked with each target by an ordinary compiler. Its arguments are files or folders of inputs;
 * each is given to the target as it is, then cut at every length (short inputs) and changed in many
 * fixed ways from a fixed seed, so that two runs do the same. It keeps nothing and writes nothing.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 256 * 1024, MUTATIONS = 400, CUTS = 256 };

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* The target gets a copy of its exact size, so that a sanitizer sees the first byte read behind it.
 */
static void run_once(const uint8_t *p, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);

	if (!copy)
		abort();
	if (n)
		memcpy(copy, p, n);
	LLVMFuzzerTestOneInput(copy, n);
	free(copy);
}

/* One change: a bit, a byte, a number at its limits, a piece doubled or taken out. */
static size_t mutate(uint8_t *p, size_t n, size_t cap, uint64_t *rnd)
{
	static const uint8_t edge[] = {0x00, 0x01, 0x7f, 0x80, 0xff, '\n', '\r', ' ', '0', '"'};
	uint64_t r = next_random(rnd);
	size_t at = n ? (size_t)(next_random(rnd) % n) : 0;
	size_t len = n ? 1 + (size_t)(next_random(rnd) % (n - at)) : 0;

	if (len > 64)
		len = 64;
	switch (r % 6) {
	case 0:
		if (n)
			p[at] ^= (uint8_t)(1u << (r >> 8 & 7));
		return n;
	case 1:
		if (n)
			p[at] = (uint8_t)(r >> 8);
		return n;
	case 2:
		if (n)
			p[at] = edge[(r >> 8) % sizeof(edge)];
		return n;
	case 3:
		if (n)
			memset(p + at, r & 256 ? 0xff : 0, len < 4 ? len : 4);
		return n;
	case 4:
		if (n + len > cap)
			return n;
		memmove(p + at + len, p + at, n - at);
		return n + len;
	default:
		memmove(p + at, p + at + len, n - at - len);
		return n - len;
	}
}

static void run_input(const uint8_t *data, size_t n)
{
	uint64_t rnd = 0x5eed + n;
	size_t cap = n + 1024;
	uint8_t *p = malloc(cap);

	if (!p)
		abort();
	run_once(data, n);
	for (size_t cut = 0; cut < n && cut < CUTS; cut++)
		run_once(data, cut);
	for (unsigned i = 0; i < MUTATIONS; i++) {
		size_t len = n;
		unsigned changes = 1 + i % 5;

		if (n)
			memcpy(p, data, n);
		while (changes--)
			len = mutate(p, len, cap, &rnd);
		run_once(p, len);
	}
	free(p);
}

static int run_file(const char *path)
{
	uint8_t *p = malloc(INPUT_MAX);
	FILE *f = fopen(path, "rbe");
	size_t n;

	if (!p || !f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		free(p);
		if (f)
			fclose(f);
		return -1;
	}
	n = fread(p, 1, INPUT_MAX, f);
	fclose(f);
	run_input(p, n);
	free(p);
	return 1;
}

/* Returns how many inputs were run, or -1. The order is the names', not the folder's. */
static int run_folder(const char *path)
{
	struct dirent **names;
	int n = scandir(path, &names, NULL, alphasort);
	int ran = 0;

	if (n < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	for (int i = 0; i < n; i++) {
		char file[4096];

		if (names[i]->d_name[0] != '.' && ran >= 0) {
			snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
			if (run_file(file) < 0)
				ran = -1;
			else
				ran++;
		}
		free(names[i]);
	}
	free(names);
	return ran;
}

int main(int argc, char **argv)
{
	int all = 0;

	run_input((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++) {
		struct stat st;
		int ran = -1;

		if (stat(argv[i], &st) == 0)
			ran = S_ISDIR(st.st_mode) ? run_folder(argv[i]) : run_file(argv[i]);
		else
			fprintf(stderr, "%s: %s\n", argv[i], strerror(errno));
		if (ran < 0)
			return 1;
		all += ran;
	}
	if (all == 0) {
		fprintf(stderr, "no input: a corpus that is empty or not found tests nothing\n");
		return 1;
	}
	printf("%d inputs, each with %d changes and its prefixes\n", all, MUTATIONS);
	return 0;
}
