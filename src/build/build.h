/*
 * build.h: what the files of stead-build share. The virtual environment of an app is
 * STATE/venv/CHECKSUM; the file .stead-stamp in it is written last and says for what it was made,
 * so one without the right stamp is half-made and is made again. (A virtual environment holds its
 * own path: it cannot be made elsewhere and renamed.)
 */
#ifndef STEAD_BUILD_BUILD_H
#define STEAD_BUILD_BUILD_H

#include <stddef.h>

#include "lib/buf.h"
#include "oneshot/oneshot.h"
#include "oneshot/run.h"

enum {
	BUILD_PATH_MAX = 4096,
	BUILD_REQUIREMENTS_MAX = 1 << 20, /* bytes of one requirements file */
	BUILD_INCLUDES_MAX = 16,          /* -r and -c files followed, in all */
	BUILD_PIP_MS = 15 * 60 * 1000,
	BUILD_VENV_MS = 2 * 60 * 1000,
	BUILD_ENV_MAX = 64,
	BUILD_KEPT_MAX = 128,
	BUILD_NAME_CHARS = 16, /* of the folder: the stamp's checksum */
};
#define BUILD_FREE_BYTES_MIN (100ull << 20)
#define BUILD_STAMP ".stead-stamp"
#define BUILD_PROJECT_LINES ".stead-requirements" /* what pip is given of a pyproject.toml */

struct build {
	struct oneshot *o; /* for steps; NULL in tests */
	struct failure *f;
	const char *const *env; /* of every program started */
	char folder[BUILD_PATH_MAX];
	char state[BUILD_PATH_MAX];
	char interpreter[BUILD_PATH_MAX];  /* absolute; the app's base Python */
	char requirements[BUILD_PATH_MAX]; /* below the folder or absolute; "": none */
	const char *kept[BUILD_KEPT_MAX];  /* interpreters of environments that stay; none: the last one does */
	unsigned kept_n;
	char venv[BUILD_PATH_MAX];         /* STATE/venv, then the environment's own folder in it */
	char python[BUILD_PATH_MAX];       /* the answer: its bin/python */
};

/* The interpreter to use in b->python: the app's own when it has everything, else that of an
 * environment made or used again. -errno with b->f set. */
int venv_make(struct build *b);

/* Is that file a pyproject.toml, by its name? */
bool build_is_project(const char *requirements);
/* Its dependencies as a requirements file at `to`. -errno with b->f set. */
int build_project_lines(struct build *b, const char *to);
/* Python: project_lines(PATH), the lines of [project] dependencies; ends with the reason in words when
 * there is none to be had. pip brings a parser of TOML where Python is older than 3.11. */
#define PROJECT_PY \
	"import sys\n" \
	"def project_lines(path):\n" \
	"    try:\n" \
	"        import tomllib\n" \
	"    except ImportError:\n" \
	"        from pip._vendor import tomli as tomllib\n" \
	"    try:\n" \
	"        with open(path, 'rb') as f:\n" \
	"            doc = tomllib.load(f)\n" \
	"    except (OSError, ValueError) as e:\n" \
	"        sys.exit(str(e))\n" \
	"    project = doc.get('project', {})\n" \
	"    lines = project.get('dependencies')\n" \
	"    if lines is None and 'dependencies' in project.get('dynamic', []):\n" \
	"        sys.exit('[project] says that its dependencies are dynamic: only its build tool '\n" \
	"                 'knows them.')\n" \
	"    if lines is None and doc.get('tool', {}).get('poetry', {}).get('dependencies'):\n" \
	"        sys.exit('they are in [tool.poetry] only (`poetry export` writes a '\n" \
	"                 'requirements.txt from it).')\n" \
	"    lines = lines or []\n" \
	"    if not isinstance(lines, list):\n" \
	"        sys.exit('dependencies in [project] is not a list.')\n" \
	"    for line in lines:\n" \
	"        if not isinstance(line, str) or not line[:1].isalnum() or '\\n' in line:\n" \
	"            sys.exit('%r in [project] dependencies is not a requirement.' % (line,))\n" \
	"    return lines\n"

/* Does the interpreter itself have all that the requirements file asks for? */
bool build_satisfied(struct build *b);

/* What the environment is made for, as the text of its stamp. -errno with b->f set. */
int stamp_wanted(struct build *b, struct buf *ret_text);

/* The environment of started programs out of `from`: PIP_*, proxies, certificates, HOME, LANG, PATH
 * and TMPDIR, nothing else. The strings stay from's; `to` holds BUILD_ENV_MAX pointers with the
 * NULL. */
void env_select(char *const *from, const char **to);

#endif
