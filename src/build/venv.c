/*
 * venv.c: the virtual environment from nothing to usable: `python -m venv`, then pip, then the
 * stamp. Called by the entry; owns STATE/venv while it works; never touches the app's folder.
 *
 * Each content has a folder of its own, named by its stamp's checksum: workers run on the old one
 * while the new one is made, and when that fails nothing has changed for them. The one before the
 * newest is kept for that; older ones go.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/durable.h"
#include "lib/sys.h"
#include "oneshot/tree.h"

#include "build.h"

/* pip's progress in its own words; only the lines that tell a person something. */
static void pip_line(void *arg, const char *line)
{
	static const char *const told[] = {"Collecting ", "Downloading ", "Building wheel",
		"Installing ", "Processing ", "Using cached "};
	struct build *b = arg;

	while (*line == ' ')
		line++;
	for (size_t i = 0; i < sizeof told / sizeof *told; i++)
		if (b->o && strncmp(line, told[i], strlen(told[i])) == 0)
			oneshot_step(b->o, UINT32_MAX, "pip: %s", line);
}

static bool usable(struct build *b, int fd, const struct buf *wanted)
{
	char *have;
	size_t n;
	bool same;

	if (sys_read_file(fd, BUILD_STAMP, 1 << 16, &have, &n) < 0)
		return false;
	same = n == wanted->len && memcmp(have, wanted->p, n) == 0;
	free(have);
	return same && access(b->python, X_OK) == 0;
}

static int venv_failed(struct build *b, int r, const struct run_end *end)
{
	if (r < 0)
		return failure_set(b->f, -r, EXIT_CODE_FAILED, "apt install python3",
			"The Python interpreter %s cannot be started: %s.", b->interpreter,
			strerror(-r));
	if (strstr(end->tail, "ensurepip is not") || strstr(end->tail, "No module named venv") ||
		strstr(end->tail, "No module named ensurepip"))
		return failure_set(b->f, ENOENT, EXIT_CODE_FAILED, "apt install python3-venv",
			"The app has a requirements file but no virtual environment, and %s cannot "
			"make "
			"one: its venv module is not installed.",
			b->interpreter);
	if (strstr(end->tail, "No space left"))
		return failure_set(b->f, ENOSPC, EXIT_CODE_FAILED,
			"free some disk space, then start again",
			"The disk became full while %s was made.", b->venv);
	if (end->timed_out)
		return failure_set(b->f, ETIMEDOUT, EXIT_CODE_FAILED, "try again",
			"%s -m venv did not end within %d s.", b->interpreter,
			BUILD_VENV_MS / 1000);
	return failure_set(b->f, EIO, EXIT_CODE_FAILED,
		"the lines above are Python's own and say why",
		"The virtual environment %s could not be made (%s %d):\n%s", b->venv,
		end->status < 0 ? "killed by signal" : "exit status",
		end->status < 0 ? -end->status : end->status, end->tail);
}

static int pip_failed(struct build *b, int r, const struct run_end *end)
{
	const char *todo = "the lines above are pip's own and say why";

	if (r < 0)
		return failure_set(b->f, -r, EXIT_CODE_FAILED, "remove that folder and start again",
			"%s cannot be started: %s.", b->python, strerror(-r));
	if (end->timed_out)
		return failure_set(b->f, ETIMEDOUT, EXIT_CODE_FAILED,
			"see whether the package index can be reached (PIP_INDEX_URL, proxies), "
			"then try "
			"again",
			"pip did not end within %d minutes:\n%s", BUILD_PIP_MS / 60000, end->tail);
	if (end->status == -9)
		return failure_set(b->f, ENOMEM, EXIT_CODE_FAILED,
			"free some memory or add swap, then start again",
			"pip was killed, most likely because the memory ran out:\n%s", end->tail);
	if (strstr(end->tail, "No space left"))
		todo = "free some disk space, then start again";
	else if (strstr(end->tail, "name resolution") || strstr(end->tail, "NewConnectionError") ||
		 strstr(end->tail, "Connection refused"))
		todo = "the package index could not be reached: see the network, PIP_INDEX_URL and "
		       "the proxies";
	else if (strstr(end->tail, "No matching distribution"))
		todo = "see the name and version in the requirements file; another Python version "
		       "may "
		       "have it";
	else if (strstr(end->tail, "gcc") || strstr(end->tail, "error: command"))
		todo = "a package is built from source here: apt install build-essential "
		       "python3-dev, "
		       "and the libraries named above";
	return failure_set(b->f, EIO, EXIT_CODE_FAILED, todo,
		"pip could not install %s (%s %d):\n%s", b->requirements,
		end->status < 0 ? "killed by signal" : "exit status",
		end->status < 0 ? -end->status : end->status, end->tail);
}

static int run_venv(struct build *b)
{
	const char *argv[] = {b->interpreter, "-I", "-m", "venv", b->venv, NULL};
	struct run run = {
		.argv = argv, .envp = b->env, .cwd = b->state, .timeout_ms = BUILD_VENV_MS};
	struct run_end end;
	int r;

	if (b->o)
		oneshot_step(b->o, UINT32_MAX, "making the virtual environment %s", b->venv);
	r = run_program(&run, &end);
	return r < 0 || end.status != 0 || end.timed_out ? venv_failed(b, r, &end) : 0;
}

static int run_pip(struct build *b)
{
	char file[BUILD_PATH_MAX + 32];
	const char *argv[] = {b->python, "-I", "-m", "pip", "install",
		"--disable-pip-version-check", "--no-input", "--progress-bar", "off", "-r", file,
		NULL};
	struct run run = {.argv = argv,
		.envp = b->env,
		.cwd = b->folder,
		.timeout_ms = BUILD_PIP_MS,
		.line = pip_line,
		.arg = b};
	struct run_end end;
	int r;

	if (!*b->requirements)
		return 0;
	(void)snprintf(file, sizeof file, "%s", b->requirements);
	if (build_is_project(b->requirements)) {
		(void)snprintf(file, sizeof file, "%s/" BUILD_PROJECT_LINES, b->venv);
		r = build_project_lines(b, file);
		if (r < 0)
			return r;
	}
	if (b->o)
		oneshot_step(b->o, UINT32_MAX, "installing %s with pip", b->requirements);
	r = run_program(&run, &end);
	return r < 0 || end.status != 0 || end.timed_out ? pip_failed(b, r, &end) : 0;
}

/* A Python without the venv module may leave a folder without pip: seen before anything is removed.
 */
static int make_whole(struct build *b, int fd, const struct buf *wanted)
{
	uint64_t free_bytes = tree_free_bytes(fd);
	int r;

	if (free_bytes < BUILD_FREE_BYTES_MIN)
		return failure_set(b->f, ENOSPC, EXIT_CODE_FAILED,
			"free some disk space, then start again",
			"Installing the app's packages needs at least %llu MB, and the disk of %s "
			"has "
			"%llu MB left.",
			BUILD_FREE_BYTES_MIN >> 20, b->state, (unsigned long long)free_bytes >> 20);
	r = tree_empty(fd);
	if (r < 0)
		return failure_set(b->f, -r, EXIT_CODE_FAILED, "remove that folder and start again",
			"The old virtual environment %s cannot be removed: %s.", b->venv,
			strerror(-r));
	r = run_venv(b);
	if (r == 0)
		r = run_pip(b);
	if (r < 0)
		return r;
	/* The stamp claims what must survive with it. */
	if (syncfs(fd) < 0)
		r = -errno;
	if (r == 0)
		r = durable_write(fd, BUILD_STAMP, wanted->p, wanted->len, 0644);
	if (r < 0)
		return failure_set(b->f, -r, EXIT_CODE_FAILED,
			"free some disk space, then start again",
			"%s could not be written to the disk: %s.", b->venv, strerror(-r));
	return 0;
}

/* A folder of this user, made when missing. */
static int open_own(struct build *b, const char *path, int *ret_fd)
{
	struct stat st;
	int fd, e;

	if (mkdir(path, 0755) < 0 && errno != EEXIST) {
		e = errno;
		return failure_set(b->f, e,
			e == EACCES ? EXIT_CODE_NOT_PERMITTED : EXIT_CODE_FAILED,
			"see that the state folder exists and is this user's (--state)",
			"The folder %s for the app's packages cannot be made: %s.", path,
			strerror(e));
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid()) {
		e = fd < 0 ? errno : EPERM;
		if (fd >= 0)
			(void)close(fd);
		return failure_set(b->f, e, EXIT_CODE_NOT_PERMITTED,
			"remove it, or choose another folder with --state",
			"%s is not a folder of this user: %s.", path, strerror(e));
	}
	*ret_fd = fd;
	return 0;
}

static bool is_ours(const char *name)
{
	return strlen(name) == BUILD_NAME_CHARS &&
	       strspn(name, "0123456789abcdef") == BUILD_NAME_CHARS;
}

/* When the environment was last asked for; 0 for a half-made one. */
static time_t last_used(int base, const char *name)
{
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof path, "%s/" BUILD_STAMP, name);
	return fstatat(base, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_mtime : 0;
}

/* An environment that one of these interpreters lies in; or where none is told the one used last. */
static bool is_kept(const struct build *b, const char *name, const char *last)
{
	for (unsigned i = 0; i < b->kept_n; i++)
		if (strstr(b->kept[i], name))
			return true;
	return b->kept_n == 0 && strcmp(name, last) == 0;
}

/* Remove all but `current` and those that stay. Failures wait for the next time. */
static void remove_old(const struct build *b, int base, const char *current)
{
	char keep[BUILD_NAME_CHARS + 1] = "";
	int fd = openat(base, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	time_t newest = 0;
	struct dirent *e;

	if (!d) {
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	while ((e = readdir(d)) != NULL) {
		if (!is_ours(e->d_name) || strcmp(e->d_name, current) == 0 ||
			last_used(base, e->d_name) <= newest)
			continue;
		newest = last_used(base, e->d_name);
		(void)snprintf(keep, sizeof keep, "%.*s", BUILD_NAME_CHARS, e->d_name);
	}
	rewinddir(d);
	while ((e = readdir(d)) != NULL)
		if (is_ours(e->d_name) && strcmp(e->d_name, current) != 0 &&
			!is_kept(b, e->d_name, keep))
			(void)tree_remove(base, e->d_name);
	(void)closedir(d);
}

/* `base` is STATE/venv, open and locked. */
static int make_in(struct build *b, int base, const struct buf *wanted)
{
	char name[BUILD_NAME_CHARS + 1], base_path[BUILD_PATH_MAX];
	int fd, r, n, m;

	(void)snprintf(base_path, sizeof base_path, "%s", b->venv);
	(void)snprintf(name, sizeof name, "%016" PRIx64, sys_checksum(wanted->p, wanted->len));
	n = snprintf(b->venv, sizeof b->venv, "%s/%s", base_path, name);
	m = snprintf(b->python, sizeof b->python, "%s/%s/bin/python", base_path, name);
	if (n < 0 || (size_t)n >= sizeof b->venv || m < 0 || (size_t)m >= sizeof b->python)
		return failure_set(b->f, ENAMETOOLONG, EXIT_CODE_USAGE,
			"choose another with --state", "The state folder's path is too long.");
	r = open_own(b, b->venv, &fd);
	if (r < 0)
		return r;
	if (usable(b, fd, wanted)) {
		(void)utimensat(fd, BUILD_STAMP, NULL, AT_SYMLINK_NOFOLLOW);
	} else {
		r = make_whole(b, fd, wanted);
		if (r < 0)
			(void)tree_remove(base, name);
	}
	(void)close(fd);
	if (r == 0)
		remove_old(b, base, name);
	return r;
}

int venv_make(struct build *b)
{
	struct buf wanted;
	int fd, r, n;

	n = snprintf(b->venv, sizeof b->venv, "%s/venv", b->state);
	if (n < 0 || (size_t)n >= sizeof b->venv)
		return failure_set(b->f, ENAMETOOLONG, EXIT_CODE_USAGE,
			"choose another with --state", "The state folder's path is too long.");
	if (build_satisfied(b)) {
		(void)snprintf(b->python, sizeof b->python, "%s", b->interpreter);
		return 0;
	}
	buf_init(&wanted, 1 << 16);
	r = stamp_wanted(b, &wanted);
	if (r == 0 && wanted.error)
		r = failure_set(b->f, -wanted.error, EXIT_CODE_FAILED, "", "Out of memory.");
	if (r == 0)
		r = open_own(b, b->venv, &fd);
	if (r == 0) {
		if (flock(fd, LOCK_EX | LOCK_NB) < 0)
			r = failure_set(b->f, EBUSY, EXIT_CODE_BUSY,
				"wait for it to end, then try again",
				"%s is being made by another process.", b->venv);
		else
			r = make_in(b, fd, &wanted);
		(void)close(fd);
	}
	buf_done(&wanted);
	return r;
}
