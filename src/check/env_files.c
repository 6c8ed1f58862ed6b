/*
 * env_files.c: the files of EnvironmentFile=.
 *
 * Called by folder.c when every other value is known. A path may be a pattern of glob(7); its files are
 * read in their order by name, and a later one comes before an earlier one. Owns nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "lib/sys.h"

enum { FILES_MAX = 256 };

static void missing(struct check *k, const struct conf_value *v, const char *path, int err)
{
	conf_find(k->conf, CONF_ERROR, &v->pos,
		err == -ENOENT ? "write a - before the path if it may be missing" : "",
		"EnvironmentFile=: %s: %s", path, strerror(-err));
}

/* One file. 0, also when it is no good and a finding says so; -ENOMEM. */
static int read_one(struct check *k, const struct conf_value *v, const char *path,
	const char *shown, bool optional)
{
	char *text = NULL;
	size_t n;
	int r = sys_read_file(AT_FDCWD, path, CHECK_FILE_BYTES_MAX, &text, &n);

	if (r == 0) {
		r = check_parse(k, shown, text, n, true);
	} else if (r != -ENOMEM) {
		if (!(optional && r == -ENOENT))
			missing(k, v, path, r);
		r = 0;
	}
	free(text);
	return r;
}

static int read_pattern(
	struct check *k, const struct conf_value *v, const char *pattern, bool optional)
{
	glob_t found = {0};
	int e = glob(pattern, 0, NULL, &found), r = 0;

	if (e == GLOB_NOSPACE)
		r = -ENOMEM;
	else if (e == GLOB_NOMATCH && !optional)
		missing(k, v, pattern, -ENOENT);
	if (found.gl_pathc > FILES_MAX)
		conf_find(k->conf, CONF_ERROR, &v->pos, "name fewer files",
			"EnvironmentFile=: %s: more than %d files", pattern, FILES_MAX);
	for (size_t i = 0; i < found.gl_pathc && i < FILES_MAX && r == 0; i++)
		r = read_one(k, v, found.gl_pathv[i], found.gl_pathv[i], false);
	globfree(&found);
	return r;
}

/* The list does not change while they are read: they set variables only. */
int check_env_files(struct check *k)
{
	int r = 0;

	for (const struct conf_value *v = conf_get(k->conf, CONF_SERVICE_ENVIRONMENT_FILE);
		v != NULL && r == 0; v = v->next) {
		bool optional = v->text[0] == '-';
		const char *shown = v->text + (optional ? 1 : 0);
		char path[PATH_MAX];

		if (v->text[0] == '\0')
			continue;
		check_path(k, shown, path);
		if (strpbrk(shown, "*?[") != NULL)
			r = read_pattern(k, v, path, optional);
		else
			r = read_one(k, v, path, shown, optional);
	}
	return r;
}
