/*
 * mime.c: the table of media types: the system's /etc/mime.types, read once before the jail closes,
 * behind a small built-in one. Called by gate.c and filecache.c. Owns the table. Text types say
 * charset=utf-8, which is what a browser would otherwise have to guess.
 */
#include "mime.h"

#include "lib/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 1024 * 1024, EXT_MAX = 32 };

struct row {
	const char *ext, *type;
};
struct mime {
	char *text; /* the file's, cut into strings */
	size_t n;
	struct row rows[]; /* by ext */
};

/* By ext, so that it can be searched. */
static const struct row built_in[] = {
	{"avif", "image/avif"},
	{"bmp", "image/bmp"},
	{"css", "text/css; charset=utf-8"},
	{"csv", "text/csv; charset=utf-8"},
	{"gif", "image/gif"},
	{"gz", "application/gzip"},
	{"htm", "text/html; charset=utf-8"},
	{"html", "text/html; charset=utf-8"},
	{"ico", "image/vnd.microsoft.icon"},
	{"jpeg", "image/jpeg"},
	{"jpg", "image/jpeg"},
	{"js", "text/javascript; charset=utf-8"},
	{"json", "application/json"},
	{"map", "application/json"},
	{"md", "text/markdown; charset=utf-8"},
	{"mjs", "text/javascript; charset=utf-8"},
	{"mp3", "audio/mpeg"},
	{"mp4", "video/mp4"},
	{"ogg", "audio/ogg"},
	{"otf", "font/otf"},
	{"pdf", "application/pdf"},
	{"png", "image/png"},
	{"svg", "image/svg+xml"},
	{"tar", "application/x-tar"},
	{"ttf", "font/ttf"},
	{"txt", "text/plain; charset=utf-8"},
	{"wasm", "application/wasm"},
	{"webm", "video/webm"},
	{"webmanifest", "application/manifest+json"},
	{"webp", "image/webp"},
	{"woff", "font/woff"},
	{"woff2", "font/woff2"},
	{"xml", "text/xml; charset=utf-8"},
	{"zip", "application/zip"},
};

static int by_ext(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->ext, ((const struct row *)b)->ext);
}

static const char *next_word(char **at)
{
	char *p = *at, *from;

	while (*p == ' ' || *p == '\t')
		p++;
	from = p;
	while (*p && *p != ' ' && *p != '\t' && *p != '\n')
		p++;
	*at = p;
	return p > from ? from : NULL;
}

/* Each word of a line ends where the next begins, so the file's own blanks become their ends. */
static size_t read_rows(char *text, struct row *rows)
{
	size_t n = 0;

	while (*text) {
		char *end = strchrnul(text, '\n'), *at = text;
		const char *type, *ext;
		bool more = *end;

		*end = 0;
		type = *text == '#' ? NULL : next_word(&at);
		if (type && *at)
			*at++ = 0;
		while (type && (ext = next_word(&at)) != NULL) {
			if (rows)
				rows[n] = (struct row){ext, type};
			n++;
			if (*at)
				*at++ = 0;
		}
		text = end + more;
	}
	return n;
}

int mime_new(struct mime **ret_mime, const char *path)
{
	char *text = NULL;
	size_t bytes, words = 0;
	struct mime *m;

	if (sys_read_file(AT_FDCWD, path, FILE_MAX, &text, &bytes) < 0)
		text = NULL;
	for (size_t i = 0; text && i < bytes; i++)
		words += text[i] == ' ' || text[i] == '\t' || text[i] == '\n';
	m = malloc(sizeof(*m) + (words + 1) * sizeof(struct row));
	if (!m) {
		free(text);
		return -ENOMEM;
	}
	m->text = text;
	m->n = text ? read_rows(text, m->rows) : 0;
	if (m->n)
		qsort(m->rows, m->n, sizeof(struct row), by_ext);
	*ret_mime = m;
	return 0;
}

void mime_free(struct mime *m)
{
	if (!m)
		return;
	free(m->text);
	free(m);
}

const char *mime_of(const struct mime *m, const char *name, size_t n, size_t *ret_len)
{
	char ext[EXT_MAX];
	struct row key = {ext, NULL};
	const struct row *found = NULL;
	size_t from = n, len = 0;

	while (from > 0 && name[from - 1] != '.' && name[from - 1] != '/')
		from--;
	if (from > 0 && name[from - 1] == '.' && n - from < sizeof(ext)) {
		for (; from + len < n; len++) {
			char c = name[from + len];

			ext[len] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
		}
		ext[len] = 0;
		found = bsearch(&key, built_in, sizeof(built_in) / sizeof(built_in[0]), sizeof(key),
			by_ext);
		if (!found && m->n)
			found = bsearch(&key, m->rows, m->n, sizeof(key), by_ext);
	}
	name = found ? found->type : "application/octet-stream";
	*ret_len = strlen(name);
	return name;
}
