/*
 * satisfied.c: does the interpreter have everything already? On Debian the packages of an app often
 * come from the distribution (python3-flask, python3-psycopg2); then no environment is made,
 * nothing is downloaded and the app starts at once. Anything that cannot be decided for certain
 * (options, addresses, extras) counts as missing, and pip decides.
 */
#include <stdio.h>
#include <string.h>

#include "build.h"

static const char script[] =
	PROJECT_PY
	"from importlib import metadata\n"
	"try:\n"
	"    from packaging.requirements import Requirement\n"
	"except ImportError:\n"
	"    from pip._vendor.packaging.requirements import Requirement\n"
	"if sys.argv[1].endswith('/pyproject.toml'):\n"
	"    lines = project_lines(sys.argv[1])\n"
	"else:\n"
	"    with open(sys.argv[1], encoding='utf-8') as f:\n"
	"        lines = f.read().splitlines()\n"
	"for line in lines:\n"
	"    line = line.split(' #')[0].strip()\n"
	"    if not line or line[0] == '#':\n"
	"        continue\n"
	"    if line[0] == '-':\n"
	"        sys.exit(3)\n"
	"    r = Requirement(line)\n"
	"    if r.url or r.extras:\n"
	"        sys.exit(3)\n"
	"    if r.marker and not r.marker.evaluate():\n"
	"        continue\n"
	"    if not r.specifier.contains(metadata.version(r.name), prereleases=True):\n"
	"        sys.exit(3)\n"
	"print('stead: satisfied')\n";

bool build_satisfied(struct build *b)
{
	char path[BUILD_PATH_MAX * 2];
	const char *argv[] = {b->interpreter, "-I", "-c", script, path, NULL};
	struct run run = {.argv = argv, .envp = b->env, .cwd = "/", .timeout_ms = 20000};
	struct run_end end;

	if (!*b->requirements)
		return false;
	(void)snprintf(path, sizeof path, "%s%s%s", *b->requirements == '/' ? "" : b->folder,
		*b->requirements == '/' ? "" : "/", b->requirements);
	return run_program(&run, &end) == 0 && end.status == 0 && !end.timed_out &&
	       strcmp(end.tail, "stead: satisfied\n") == 0;
}
