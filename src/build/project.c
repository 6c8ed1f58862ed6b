/*
 * project.c: pyproject.toml in the place of a requirements file: what [project] lists under
 * dependencies, written as a requirements file into the environment that is being made.
 *
 * Called by venv.c. The project itself is not installed: stead runs it from its folder. What is not
 * in [project] (dynamic dependencies, Poetry's own table) is refused with what to do instead, since
 * only its own tool knows what it means. The file is read by Python's own parser, never here.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "build.h"

static const char script[] =
	PROJECT_PY
	"with open(sys.argv[2], 'w', encoding='utf-8') as f:\n"
	"    for line in project_lines(sys.argv[1]):\n"
	"        print(line, file=f)\n";

bool build_is_project(const char *requirements)
{
	static const char name[] = "pyproject.toml";
	const char *slash = strrchr(requirements, '/');

	return strcmp(slash ? slash + 1 : requirements, name) == 0;
}

int build_project_lines(struct build *b, const char *to)
{
	char path[BUILD_PATH_MAX * 2];
	const char *argv[] = {b->python, "-I", "-c", script, path, to, NULL};
	struct run run = {.argv = argv, .envp = b->env, .cwd = "/", .timeout_ms = 20000};
	struct run_end end;
	int r;

	(void)snprintf(path, sizeof path, "%s%s%s", *b->requirements == '/' ? "" : b->folder,
		*b->requirements == '/' ? "" : "/", b->requirements);
	r = run_program(&run, &end);
	if (r < 0)
		return failure_set(b->f, -r, EXIT_CODE_FAILED, "remove that folder and start again",
			"%s cannot be started: %s.", b->python, strerror(-r));
	if (end.status == 0 && !end.timed_out)
		return 0;
	return failure_set(b->f, EINVAL, EXIT_CODE_USAGE,
		"correct it, or write the packages into a requirements file and name that with "
		"Requirements= in [Python]",
		"The packages that %s asks for cannot be read: %s", path, end.tail);
}
