/*
 * detect_ruby.c: is there a Rack app in the folder, and which server of the bundle or of the system
 * runs it?
 *
 * Called by detect_program.c. A config.ru is run by Puma when the bundle or the system has it, else
 * by rackup with WEBrick. Runs no Ruby: the Gemfile.lock, else the plain lines of the Gemfile, say
 * what is in the bundle.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "lib/must.h"
#include "program_files.h"

/* The first of Puma that can take every socket that is handed over, whatever its configuration
 * binds. */
enum { PUMA_ACTIVATED = 5003 };

#define PORT_URL "tcp://127.0.0.1:${PORT}"

/* From the lock file, else the Gemfile; its name in *ret_file, NULL: there is no bundle. */
static int read_gems(struct check *k, struct gems *ret, const char **ret_file)
{
	static const char *const files[] = {"Gemfile.lock", "Gemfile"};
	struct buf packed;
	int r = -ENOENT;

	*ret = (struct gems){0};
	*ret_file = NULL;
	if (!program_file(k, "Gemfile"))
		return 0;
	buf_init(&packed, SIZE_MAX);
	for (unsigned i = 0; i < ARRAY_LEN(files) && r == -ENOENT; i++) {
		r = program_read(k, files[i], gems_work, &packed);
		if (r == 0 && gems_take(packed.p, packed.len, ret))
			*ret_file = files[i];
	}
	buf_done(&packed);
	return r == -ENOENT ? 0 : r;
}

static void put_puma(struct check *k, bool bundled, bool activated)
{
	static const char *const words[] = {
		"bundle", "exec", "puma", "--bind-to-activated-sockets", "only", "config.ru"};
	static const char *const port[] = {"bundle", "exec", "puma", "-b", PORT_URL, "config.ru"};
	unsigned skip = bundled ? 0 : 2;

	program_put(k, (activated ? words : port) + skip, ARRAY_LEN(words) - skip);
}

static void put_rackup(struct check *k, bool bundled)
{
	static const char *const words[] = {"bundle", "exec", "rackup", "-s", "webrick", "-o",
		"127.0.0.1", "-p", "${PORT}", "config.ru"};
	unsigned skip = bundled ? 0 : 2;

	program_put(k, words + skip, ARRAY_LEN(words) - skip);
}

/* Bundler writes the lock at the first start where it may; into a release nobody may. */
static void say_unlocked(struct check *k, const char *file)
{
	const struct conf_pos here = {.file = "Gemfile", .line = 1, .col = 1};

	if (strcmp(file, "Gemfile") == 0)
		conf_find(k->conf, CONF_WARNING, &here,
			"run `bundle install` (with the distribution's gems: `bundle install --local`) there, and keep the file",
			"there is no Gemfile.lock, and bundler cannot write one where the app may not write");
}

static void choose(struct check *k, const struct gems *gems, const char *file)
{
	const struct conf_pos here = {.file = "config.ru", .line = 1, .col = 1};
	bool bundle = file != NULL && check_in_path("bundle");

	if (bundle && gems->puma != 0) {
		put_puma(k, true, gems->puma >= PUMA_ACTIVATED);
		conf_find(k->conf, CONF_NOTE, &here, "", "it is run by Puma, which %s names", file);
		say_unlocked(k, file);
	} else if (check_in_path("puma")) {
		put_puma(k, false, true);
		conf_find(k->conf, CONF_NOTE, &here, "", "it is run by the system's Puma%s",
			file == NULL      ? ""
			: gems->puma != 0 ? ": there is no program bundle in PATH"
					  : ": the Gemfile names none");
	} else if (bundle && gems->rackup + gems->webrick > 0) {
		put_rackup(k, true);
		conf_find(k->conf, CONF_NOTE, &here, "",
			"it is run by rackup with WEBrick, because there is no Puma");
		say_unlocked(k, file);
	} else if (check_in_path("rackup")) {
		put_rackup(k, false);
		conf_find(k->conf, CONF_NOTE, &here, "",
			"it is run by the system's rackup with WEBrick, because there is no Puma");
	} else {
		conf_find(k->conf, CONF_ERROR, &here,
			"install Puma (apt install puma, or `bundle add puma`), or write "
			"ExecStart= in stead.conf",
			"this is a Rack app, and there is neither Puma nor rackup to run it");
	}
}

bool ruby_detect(struct check *k)
{
	const char *file;
	struct gems gems;

	if (!program_file(k, "config.ru"))
		return false;
	if (read_gems(k, &gems, &file) < 0)
		return true;
	k->postgres |= gems.pg != 0;
	program_env(k);
	choose(k, &gems, file);
	return true;
}
