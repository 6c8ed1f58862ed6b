/*
 * test_build.c: stead-build's parts: which environment programs get, the stamp, and what is made,
 * used again, kept and removed. The interpreter is a stand-in, so that no test needs seconds or a
 * network.
 */
#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "build.h"

static void test_env(void **state)
{
	char *from[] = {(char[]){"PIP_NO_INDEX=1"}, (char[]){"SECRET=x"}, (char[]){"PYTHONPATH=/x"},
		(char[]){"https_proxy=p"}, (char[]){"HOMEX=1"}, NULL};
	const char *to[BUILD_ENV_MAX];

	(void)state;
	env_select(from, to);
	assert_string_equal(to[0], "PIP_NO_INDEX=1");
	assert_string_equal(to[1], "https_proxy=p");
	assert_int_equal(strncmp(to[2], "PATH=", 5), 0);
	assert_string_equal(to[3], "HOME=/nonexistent");
	assert_string_equal(to[4], "PIP_NO_CACHE_DIR=1");
	assert_null(to[5]);
}

/* Answers who it is; `-m venv DIR` makes DIR/bin/python, a copy of itself; pip does what FOLDER/pip
 * says. */
static const char interpreter[] =
	"#!/bin/sh\n"
	"case \"$*\" in\n"
	"*'-m venv'*) mkdir -p \"$4/bin\" && cp \"$0\" \"$4/bin/python\";;\n"
	"*'-m pip'*) . ./pip;;\n"
	"*metadata*) exit 3;;\n"
	"*'print('*) echo 'stead: cpython 3.11 /usr';;\n"
	"esac\n";

static struct build base(struct failure *f, const char *dir, const char *const *env)
{
	struct build b = {.f = f, .env = env};

	*f = (struct failure){0};
	(void)snprintf(b.folder, sizeof b.folder, "%s/app", dir);
	(void)snprintf(b.state, sizeof b.state, "%s/state", dir);
	(void)snprintf(b.interpreter, sizeof b.interpreter, "%s/python3", dir);
	(void)snprintf(b.requirements, sizeof b.requirements, "requirements.txt");
	return b;
}

static const char *const env[] = {"PATH=/usr/bin:/bin", "LC_ALL=C", NULL};

static const char *make_folders(void)
{
	const char *dir = rig_folder();

	assert_int_equal(mkdir(rig_path(dir, "app"), 0700), 0);
	assert_int_equal(mkdir(rig_path(dir, "state"), 0700), 0);
	rig_write(dir, "python3", interpreter, 0700);
	rig_write(dir, "app/pip", "exit 0\n", 0600);
	rig_write(dir, "app/requirements.txt", "flask\n-r more.txt\n", 0600);
	rig_write(dir, "app/more.txt", "django # later\n", 0600);
	return dir;
}

static void made(const char *dir, char *ret_python)
{
	struct failure f;
	struct build b = base(&f, dir, env);

	if (venv_make(&b) != 0)
		fail_msg("%s", f.text);
	(void)snprintf(ret_python, BUILD_PATH_MAX, "%s", b.python);
	assert_int_equal(access(b.python, X_OK), 0);
}

static void test_make_and_reuse(void **state)
{
	const char *dir = make_folders();
	char one[BUILD_PATH_MAX], again[BUILD_PATH_MAX], two[BUILD_PATH_MAX], three[BUILD_PATH_MAX];

	(void)state;
	made(dir, one);
	rig_write(dir, "app/pip", "exit 9\n", 0600); /* must not run now */
	made(dir, again);
	assert_string_equal(one, again);
	/* An included file counts. */
	rig_write(dir, "app/pip", "exit 0\n", 0600);
	rig_write(dir, "app/more.txt", "django>4\n", 0600);
	made(dir, two);
	assert_string_not_equal(one, two);
	assert_int_equal(access(one, X_OK), 0); /* workers still run on it */
	rig_write(dir, "app/more.txt", "django>5\n", 0600);
	made(dir, three);
	assert_int_equal(access(three, X_OK), 0);
	/* Half-made: without its stamp it is made again. */
	strrchr(three, '/')[0] = 0;
	strrchr(three, '/')[0] = 0;
	assert_int_equal(unlink(rig_path(three, BUILD_STAMP)), 0);
	rig_write(three, "left-over", "x", 0600);
	made(dir, again);
	assert_int_equal(access(rig_path(three, "left-over"), F_OK), -1);
	rig_remove(dir);
}

static void expect(const char *dir, const char *pip, const char *text, const char *todo)
{
	struct failure f;
	struct build b = base(&f, dir, env);

	rig_write(dir, "app/pip", pip, 0600);
	assert_true(venv_make(&b) < 0);
	if (!strstr(f.text, text) || !strstr(f.todo, todo))
		fail_msg("%s / %s", f.text, f.todo);
}

static void test_errors(void **state)
{
	const char *dir = make_folders();
	char old[BUILD_PATH_MAX];

	(void)state;
	made(dir, old);
	rig_write(dir, "app/requirements.txt", "other\n", 0600);
	expect(dir, "echo ERROR: No matching distribution found for x; exit 1\n",
		"No matching distribution", "name and version");
	expect(dir, "echo No space left on device; exit 1\n", "No space left", "disk space");
	expect(dir, "kill -9 $$\n", "memory ran out", "memory");
	expect(dir, "echo Temporary failure in name resolution; exit 1\n", "name resolution",
		"network");
	assert_int_equal(access(old, X_OK), 0); /* the last good one stays */
	rig_write(dir, "app/requirements.txt", "-r missing.txt\n", 0600);
	expect(dir, "exit 0\n", "missing.txt", "write the file");
	rig_write(dir, "app/requirements.txt", "-r requirements.txt\n", 0600);
	expect(dir, "exit 0\n", "includes more than", "each other");
	rig_write(dir, "app/requirements.txt", "x\n", 0600);
	rig_write(dir, "python3",
		"#!/bin/sh\ncase \"$*\" in *metadata*) exit 3;; *'-m venv'*) echo ensurepip is not "
		"available; "
		"exit 1;; esac\necho 'stead: cpython 3.11 /usr'\n",
		0700);
	expect(dir, "exit 0\n", "cannot make one", "apt install python3-venv");
	rig_write(dir, "python3", "#!/bin/sh\necho hello\n", 0700);
	expect(dir, "exit 0\n", "does not answer like a Python", "Interpreter=");
	rig_remove(dir);
}

/* With the real interpreter: nothing asked for is satisfied, an unknown name is not. */
static void test_satisfied(void **state)
{
	const char *dir = make_folders();
	struct failure f;
	struct build b = base(&f, dir, env);

	(void)state;
	if (access("/usr/bin/python3", X_OK) < 0)
		skip();
	(void)snprintf(b.interpreter, sizeof b.interpreter, "/usr/bin/python3");
	rig_write(dir, "app/requirements.txt", "no-such-package-anywhere>=1\n", 0600);
	assert_false(build_satisfied(&b));
	rig_write(dir, "app/requirements.txt", "-r more.txt\n", 0600);
	assert_false(build_satisfied(&b));
	rig_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_env),
		cmocka_unit_test(test_make_and_reuse), cmocka_unit_test(test_errors),
		cmocka_unit_test(test_satisfied)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
