/*
 * unitword.c: the words of one key of a file in systemd's syntax (systemd.syntax(7)).
 *
 * Called by the parent and by act for what the operator lets them do, which they take from nobody else: the file must be
 * root's. Only what asks for it is understood; everything else is passed over. Owns nothing. Bounds: a file of 1 MiB, a
 * line of 4 KiB with all that is joined to it.
 */
#include "unitword.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 20, LINE_MAX_BYTES = 4096 };

static const char blanks[] = " \t\r";

struct text {
	const char *at, *end;
};

/* The next line without its end; false: there is none. */
static bool raw_line(struct text *t, const char **ret, size_t *ret_n)
{
	const char *nl;

	if (t->at >= t->end)
		return false;
	nl = memchr(t->at, '\n', (size_t)(t->end - t->at));
	*ret = t->at;
	*ret_n = (size_t)((nl != NULL ? nl : t->end) - t->at);
	t->at = nl != NULL ? nl + 1 : t->end;
	return true;
}

static bool is_comment(const char *p, size_t n)
{
	while (n > 0 && strchr(blanks, *p) != NULL && *p != '\0') {
		p++;
		n--;
	}
	return n > 0 && (*p == '#' || *p == ';');
}

/* One whole line with what its backslashes join to it, in `line`. 1; 0: no more; -E2BIG. */
static int next_line(struct text *t, char line[static LINE_MAX_BYTES])
{
	size_t len = 0, n;
	const char *p;
	bool more = false;

	do {
		if (!raw_line(t, &p, &n))
			break;
		if (is_comment(p, n)) {
			if (more)
				continue;
			n = 0;
		}
		more = n > 0 && p[n - 1] == '\\';
		if (len + n >= LINE_MAX_BYTES)
			return -E2BIG;
		memcpy(line + len, p, n);
		len += n;
		if (more)
			line[len - 1] = ' ';
		else
			break;
	} while (true);
	line[len] = '\0';
	return len > 0 || t->at < t->end ? 1 : 0;
}

/* The line is KEY=VALUE: its value, else NULL. */
static const char *value_of(const char *line, const char *key)
{
	size_t n = strlen(key);

	line += strspn(line, blanks);
	if (strncmp(line, key, n) != 0)
		return NULL;
	line += n + strspn(line + n, blanks);
	return *line == '=' ? line + 1 : NULL;
}

/* The line begins with a bracket. */
static bool is_section(const char *line, const char *section)
{
	size_t n = strlen(section);

	return strncmp(line + 1, section, n) == 0 && line[1 + n] == ']';
}

/* Each word of the value behind what is there. */
static int add(const char *value, char *ret, size_t cap)
{
	size_t len = strlen(ret), n;

	if (value[strspn(value, blanks)] == '\0')
		ret[0] = '\0';
	for (value += strspn(value, blanks); *value != '\0'; value += n + strspn(value + n, blanks)) {
		n = strcspn(value, blanks);
		if (len + (len > 0) + n >= cap)
			return -E2BIG;
		if (len > 0)
			ret[len++] = ' ';
		memcpy(ret + len, value, n);
		len += n;
		ret[len] = '\0';
	}
	return 0;
}

int unitword_find(const char *text, size_t n, const char *section, const char *key, char *ret, size_t cap)
{
	struct text t = {text, text + n};
	char *line = malloc(LINE_MAX_BYTES);
	bool here = false;
	int e = line != NULL ? 1 : -ENOMEM;

	ret[0] = '\0';
	while (e > 0 && (e = next_line(&t, line)) > 0) {
		const char *value = here ? value_of(line, key) : NULL;

		if (line[strspn(line, blanks)] == '[')
			here = is_section(line + strspn(line, blanks), section);
		else if (value != NULL && add(value, ret, cap) < 0)
			e = -E2BIG;
	}
	free(line);
	if (e < 0)
		ret[0] = '\0';
	return e;
}

/* All of it, malloc'd; the file's owner and mode are those of what is read. */
static int read_roots(const char *path, char **ret_text, size_t *ret_n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char *text = malloc(FILE_MAX + 1);
	struct stat st;
	size_t n = 0;
	ssize_t got = 1;
	int e = 0;

	if (fd < 0)
		e = errno == ELOOP ? -EPERM : -errno;
	else if (text == NULL)
		e = -ENOMEM;
	else if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 022) != 0)
		e = -EPERM;
	while (e == 0 && n <= FILE_MAX && (got = read(fd, text + n, FILE_MAX + 1 - n)) != 0) {
		if (got < 0 && errno != EINTR)
			e = -errno;
		n += got > 0 ? (size_t)got : 0;
	}
	if (fd >= 0)
		close(fd);
	if (e == 0 && n > FILE_MAX)
		e = -EFBIG;
	if (e < 0) {
		free(text);
		return e;
	}
	*ret_text = text;
	*ret_n = n;
	return 0;
}

int unitword_read(const char *path, const char *section, const char *key, char *ret, size_t cap)
{
	char *text = NULL;
	size_t n = 0;
	int e = read_roots(path, &text, &n);

	ret[0] = '\0';
	if (e == 0)
		e = unitword_find(text, n, section, key, ret, cap);
	free(text);
	return e;
}

/* Its first word, and the blanks around that, are passed over when `behind`. */
static bool is_value(const char *text, bool behind, const char *value)
{
	size_t n;

	text += strspn(text, blanks);
	if (behind) {
		text += strcspn(text, blanks);
		text += strspn(text, blanks);
	}
	n = strlen(text);
	while (n > 0 && strchr(blanks, text[n - 1]) != NULL)
		n--;
	return n > 0 && n == strlen(value) && memcmp(text, value, n) == 0;
}

int unitword_says(const char *text, size_t n, const char *key, bool behind, const char *value)
{
	struct text t = {text, text + n};
	char *line = malloc(LINE_MAX_BYTES);
	int e = line != NULL ? 1 : -ENOMEM, found = 0;

	while (e > 0 && found == 0 && (e = next_line(&t, line)) > 0) {
		const char *said = value_of(line, key);

		found = said != NULL && is_value(said, behind, value);
	}
	free(line);
	return found != 0 || e >= 0 ? found : e;
}

int unitword_file_says(const char *path, const char *key, bool behind, const char *value)
{
	char *text = NULL;
	size_t n = 0;
	int e = read_roots(path, &text, &n);

	if (e == 0)
		e = unitword_says(text, n, key, behind, value);
	free(text);
	return e;
}

int unitword_has(const char *words, const char *word)
{
	size_t len = strlen(word), n;

	for (; *words != '\0'; words += n + (words[n] == ' ')) {
		n = strcspn(words, " ");
		if (n == len && len > 0 && memcmp(words, word, n) == 0)
			return 1;
	}
	return 0;
}
