/*
 * stamp.c: what a virtual environment was made for, as text: the interpreter's kind, version and
 * prefix, where it lies, and a checksum over the requirements with the files that they include.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/sys.h"

#include "build.h"

struct gather {
	struct build *b;
	struct buf text;
	unsigned files;
};

static int gather_file(struct gather *g, const char *path, const char *from);

/* The file named by a `-r FILE`, `-rFILE`, `--requirement FILE`, `--requirement=FILE` or the same
 * of -c and --constraint; NULL when the line is another one. */
static const char *included(char *line)
{
	static const char *const options[] = {"--requirement", "--constraint", "-r", "-c"};
	char *end;

	while (*line == ' ' || *line == '\t')
		line++;
	for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
		size_t n = strlen(options[i]);

		if (strncmp(line, options[i], n) != 0)
			continue;
		line += n;
		while (*line == ' ' || *line == '\t' || *line == '=')
			line++;
		end = line + strcspn(line, " \t\r#");
		*end = 0;
		return *line ? line : NULL;
	}
	return NULL;
}

/* Paths in a requirements file are relative to that file. Addresses are pip's business. */
static int gather_included(struct gather *g, const char *name, const char *from)
{
	char path[BUILD_PATH_MAX];
	const char *slash = strrchr(from, '/');
	int n;

	if (strstr(name, "://"))
		return 0;
	if (*name == '/' || !slash)
		n = snprintf(path, sizeof path, "%s", name);
	else
		n = snprintf(path, sizeof path, "%.*s/%s", (int)(slash - from), from, name);
	if (n < 0 || (size_t)n >= sizeof path)
		return failure_set(g->b->f, ENAMETOOLONG, EXIT_CODE_USAGE, "shorten the path",
			"%s includes a file with too long a name.", from);
	return gather_file(g, path, from);
}

static int gather_file(struct gather *g, const char *path, const char *from)
{
	char *text, *save = NULL;
	size_t n;
	int r;

	if (++g->files > BUILD_INCLUDES_MAX)
		return failure_set(g->b->f, ELOOP, EXIT_CODE_USAGE,
			"see whether the requirements files include each other",
			"%s includes more than %d files.", g->b->requirements, BUILD_INCLUDES_MAX);
	r = sys_read_file(AT_FDCWD, path, BUILD_REQUIREMENTS_MAX, &text, &n);
	if (r < 0)
		return failure_set(g->b->f, -r, EXIT_CODE_USAGE,
			r == -ENOENT ? "write the file, or remove the line that names it"
				     : "see that it is a readable text file",
			"The requirements file %s%s%s cannot be read: %s.", path,
			from ? ", named in " : "", from ? from : "", strerror(-r));
	buf_put(&g->text, text, n);
	buf_putc(&g->text, '\0');
	for (char *line = strtok_r(text, "\n", &save); line && r == 0;
		line = strtok_r(NULL, "\n", &save)) {
		const char *name = included(line);

		if (name)
			r = gather_included(g, name, path);
	}
	free(text);
	return r;
}

/* Kind, version and prefix of the interpreter, in its own words: also the proof that it runs. */
static int interpreter_identity(struct build *b, char *mem, size_t cap)
{
	static const char ask[] = "import sys; print('stead:', sys.implementation.name, '%d.%d' % "
				  "sys.version_info[:2], "
				  "sys.prefix)";
	const char *argv[] = {b->interpreter, "-I", "-S", "-c", ask, NULL};
	struct run run = {.argv = argv, .envp = b->env, .cwd = "/", .timeout_ms = 20000};
	struct run_end end;
	const char *at;
	int r = run_program(&run, &end);

	if (r < 0)
		return failure_set(b->f, -r, EXIT_CODE_FAILED, "apt install python3",
			"The Python interpreter %s cannot be started: %s.", b->interpreter,
			strerror(-r));
	at = strstr(end.tail, "stead: ");
	if (end.status != 0 || !at)
		return failure_set(b->f, EINVAL, EXIT_CODE_FAILED,
			"see what Interpreter= in [Python] of stead.conf names",
			"%s does not answer like a Python interpreter:\n%s", b->interpreter,
			end.tail);
	(void)snprintf(mem, cap, "%.*s", (int)strcspn(at, "\n"), at);
	return 0;
}

int stamp_wanted(struct build *b, struct buf *ret_text)
{
	struct gather g = {.b = b};
	char path[BUILD_PATH_MAX * 2], identity[BUILD_PATH_MAX];
	int r = interpreter_identity(b, identity, sizeof identity);

	if (r < 0)
		return r;
	buf_init(&g.text, (size_t)BUILD_REQUIREMENTS_MAX * BUILD_INCLUDES_MAX);
	if (*b->requirements) {
		if (*b->requirements == '/')
			(void)snprintf(path, sizeof path, "%s", b->requirements);
		else
			(void)snprintf(path, sizeof path, "%s/%s", b->folder, b->requirements);
		r = gather_file(&g, path, NULL);
	}
	if (r == 0 && g.text.error)
		r = failure_set(b->f, -g.text.error, EXIT_CODE_FAILED, "", "Out of memory.");
	if (r == 0) {
		buf_puts(ret_text, "stead-venv 1\n");
		buf_printf(ret_text, "interpreter %s\nplace %s\n", identity, b->venv);
		buf_printf(ret_text, "requirements %zu %016" PRIx64 "\n", g.text.len,
			sys_checksum(g.text.len ? g.text.p : "", g.text.len));
	}
	buf_done(&g.text);
	return r;
}
