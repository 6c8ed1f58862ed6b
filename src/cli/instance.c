/*
 * instance.c: which instance a verb speaks to, and the folders that `up` gives it.
 *
 * --state > $STEAD_STATE > .stead of the folder (here or above) > the one instance of this user
 * that runs > the server's, /run/stead/control. As root without --state the state lies in /var/lib/stead/up/ID, ID from the app's
 * folder. The runtime folder holds PostgreSQL's socket, whose path must be short, and the link
 * `state`, by which a running instance is found.
 */
#include "cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/durable.h"
#include "lib/sys.h"

static const char root_states[] = "/var/lib/stead/up";
static const char server[] = "/run/stead"; /* a server's control socket lies there, or a link to it */

/* Beside a build's `stead`, or where it was installed: libexec/, or the distributions' lib/. */
int instance_roles(char *ret, size_t cap)
{
	static const char *const places[] = {
		"libexec/stead/", "../libexec/stead/", "../lib/stead/"};
	char exe[PATH_MAX];
	int err = sys_exe_dir(exe, sizeof exe);

	for (size_t i = 0; !err && i < sizeof places / sizeof *places; i++) {
		if ((size_t)snprintf(ret, cap, "%s/%s" STEAD_VERSION, exe, places[i]) >= cap)
			return -ENAMETOOLONG;
		if (access(ret, X_OK) == 0)
			return 0;
	}
	return err ? err : -ENOENT;
}

/* Where the runtime folders of this user's instances lie. */
static void run_base(char ret[128])
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");

	if (geteuid() == 0)
		(void)snprintf(ret, 128, "/run/stead/up");
	else if (xdg && xdg[0] == '/' && strlen(xdg) < 40 && access(xdg, W_OK) == 0)
		(void)snprintf(ret, 128, "%s/stead", xdg);
	else
		(void)snprintf(ret, 128, "/tmp/stead-%u", (unsigned)geteuid());
}

/* A folder that only we can change: /tmp is everybody's. */
static int make_own(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return -errno;
	if (lstat(path, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022) != 0)
		return -EPERM;
	return 0;
}

static int make_parents(const char *path)
{
	char part[PATH_MAX];

	(void)snprintf(part, sizeof part, "%s", path);
	for (char *at = part + 1; (at = strchr(at, '/')) != NULL; at++) {
		*at = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return -errno;
		*at = '/';
	}
	return 0;
}

static int fail(struct cli *c, int exit_code, const char *where, int err, const char *todo)
{
	char text[PATH_MAX + 160];

	(void)snprintf(text, sizeof text, "%s: %s", where, strerror(-err));
	show_error(c, text, todo);
	return exit_code;
}

void instance_runtime(const char *state, char *ret, size_t cap)
{
	uint64_t id = sys_checksum(state, strlen(state));
	char base[128], folder[160];

	run_base(base);
	(void)snprintf(folder, sizeof folder, "%s/%08x",
		geteuid() == 0 ? "/run/stead/backends" : base, (unsigned)(id ^ id >> 32));
	(void)snprintf(ret, cap, RUNTIME_FOLDER, folder, 1U);
}

static int make_run(struct cli *c)
{
	char base[128], link[300];
	uint64_t id = sys_checksum(c->state, strlen(c->state));
	int err;

	run_base(base);
	err = geteuid() == 0 ? make_parents(base) : 0;
	if (err == 0)
		err = make_own(base, geteuid() == 0 ? 0755 : 0700);
	(void)snprintf(c->run, sizeof c->run, "%s/%08x", base, (unsigned)(id ^ id >> 32));
	if (err == 0)
		err = make_own(c->run, geteuid() == 0 ? 0755 : 0700);
	if (err < 0)
		return fail(c, VERB_EXIT_NOT_PERMITTED, c->run, err,
			"remove it if it is not yours to keep, or set XDG_RUNTIME_DIR to a folder "
			"of your own");
	(void)snprintf(link, sizeof link, "%s/state", c->run);
	if (unlink(link) < 0 && errno != ENOENT)
		return fail(c, VERB_EXIT_FAILED, link, -errno, NULL);
	if (symlink(c->state, link) < 0)
		return fail(c, VERB_EXIT_FAILED, link, -errno, "free disk space, then try again");
	return 0;
}

/* .stead ignores itself in git. */
static void ignore_in_git(const char *state)
{
	int dir = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = dir >= 0 ? openat(dir, ".gitignore", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)
			  : -1;

	if (fd >= 0) {
		ssize_t ignored = write(fd, "*\n", 2);

		(void)ignored;
		close(fd);
	}
	if (dir >= 0)
		close(dir);
}

static int make_state(struct cli *c, const char *given)
{
	char path[PATH_MAX];
	uint64_t id = sys_checksum(c->folder, strlen(c->folder));
	int n;

	if (given)
		n = snprintf(path, sizeof path, "%s", given);
	else if (geteuid() == 0)
		n = snprintf(path, sizeof path, "%s/%08x", root_states, (unsigned)(id ^ id >> 32));
	else
		n = snprintf(path, sizeof path, "%s/.stead", c->folder);
	if ((size_t)n >= sizeof path)
		return fail(c, VERB_EXIT_USAGE, "the state folder", -ENAMETOOLONG,
			"choose a shorter one");
	if (!given && geteuid() == 0) {
		int err = make_parents(path);

		if (err < 0)
			return fail(c, VERB_EXIT_FAILED, path, err, NULL);
	}
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return fail(c,
			errno == EACCES || errno == EPERM ? VERB_EXIT_NOT_PERMITTED
							  : VERB_EXIT_FAILED,
			path, -errno,
			errno == ENOSPC ? "free disk space, or choose another folder with --state"
					: "the state folder cannot be made there: choose another "
					  "with --state");
	if (!realpath(path, c->state))
		return fail(
			c, VERB_EXIT_FAILED, path, -errno, "choose another folder with --state");
	return 0;
}

/* As root the app's workers have a user of their own, who cannot look into a build folder below
 * /root: the worker's program is put where everybody can read it. An installed stead has it there
 * already. */
static int publish_worker(struct cli *c)
{
	static const char *const files[] = {"stead_worker.py", "stead_asgi.py", "_steadlink.abi3.so"};
	char from[PATH_MAX + 16], to[PATH_MAX + 16];
	int from_fd, to_fd = -1, err = 0;

	(void)snprintf(from, sizeof from, "%s/python", c->roles);
	(void)snprintf(to, sizeof to, "%s/python", c->state);
	from_fd = geteuid() == 0 ? open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (from_fd < 0)
		return 0;
	if (mkdir(to, 0755) < 0 && errno != EEXIST)
		err = -errno;
	if (!err && (to_fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)) < 0)
		err = -errno;
	for (size_t i = 0; !err && i < sizeof files / sizeof *files; i++) {
		char *text = NULL;
		size_t n = 0;

		err = sys_read_file(from_fd, files[i], 64 << 20, &text, &n);
		if (!err)
			err = durable_write(to_fd, files[i], text, n, 0644);
		free(text);
	}
	if (to_fd >= 0)
		close(to_fd);
	close(from_fd);
	return err ? fail(c, VERB_EXIT_FAILED, to, err, "free disk space, or build stead again")
		   : 0;
}

bool instance_ca(char ret[PATH_MAX])
{
	const char *given = getenv("STEAD_CA"), *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	int n = -1;

	if (given)
		n = given[0] == '/' ? snprintf(ret, PATH_MAX, "%s", given) : -1;
	else if (geteuid() == 0)
		n = snprintf(ret, PATH_MAX, "/var/lib/stead/ca");
	else if (data && data[0] == '/')
		n = snprintf(ret, PATH_MAX, "%s/stead/ca", data);
	else if (home && home[0] == '/')
		n = snprintf(ret, PATH_MAX, "%s/.local/share/stead/ca", home);
	return n > 0 && n < PATH_MAX;
}

/* As root the parent makes it, for the process that holds its key. Without one all else is as it was. */
static void make_ca(struct cli *c)
{
	if (!instance_ca(c->ca) || make_parents(c->ca) < 0 ||
		(geteuid() != 0 && make_own(c->ca, 0700) < 0))
		c->ca[0] = '\0';
}

int instance_for_up(struct cli *c)
{
	const char *folder = c->args.nargs ? c->args.arg[0] : ".";
	const char *given = c->args.option[OPTION_STATE];
	struct stat st;
	int err;

	if (!given)
		given = getenv("STEAD_STATE");
	if (!realpath(folder, c->folder))
		return fail(c, errno == ENOENT ? VERB_EXIT_NO_SUCH : VERB_EXIT_FAILED, folder,
			-errno, "name the folder of your app: stead up FOLDER");
	if (stat(c->folder, &st) < 0 || !S_ISDIR(st.st_mode))
		return fail(c, VERB_EXIT_USAGE, c->folder, -ENOTDIR,
			"name the folder of your app: stead up FOLDER");
	err = make_state(c, given);
	if (err)
		return err;
	if (stat(c->state, &st) < 0 || st.st_uid != geteuid()) {
		char text[PATH_MAX + 160];

		(void)snprintf(text, sizeof text,
			"the state folder %s is owned by somebody else (uid %u; stead runs as uid "
			"%u)",
			c->state, (unsigned)st.st_uid, (unsigned)geteuid());
		show_error(
			c, text, "run stead as its owner, or choose another folder with --state");
		return VERB_EXIT_NOT_PERMITTED;
	}
	ignore_in_git(c->state);
	make_ca(c);
	err = publish_worker(c);
	return err ? err : make_run(c);
}

static bool has_control(const char *state)
{
	struct client cl;

	if (client_connect(&cl, state) < 0)
		return false;
	client_close(&cl);
	return true;
}

/* A socket of which nobody has an end is one whose ctl is being replaced: whoever asks waits a moment (verb_open()). */
static bool server_is(void)
{
	struct client cl;
	int err = client_connect(&cl, server);

	client_close(&cl);
	return err == 0 || err == -ECONNREFUSED;
}

/* The one instance of this user that runs; false when there is none, or several. */
static bool only_running(char ret[PATH_MAX])
{
	char base[128], path[PATH_MAX], to[PATH_MAX];
	unsigned found = 0;
	struct dirent *e;
	DIR *d;

	run_base(base);
	d = opendir(base);
	while (d && (e = readdir(d)) != NULL) {
		ssize_t n;

		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof path, "%s/%s/state", base, e->d_name);
		n = readlink(path, to, sizeof to - 1);
		if (n <= 0)
			continue;
		to[n] = '\0';
		if (has_control(to) && found++ == 0)
			memcpy(ret, to, (size_t)n + 1);
	}
	if (d)
		closedir(d);
	return found == 1;
}

static bool above(char ret[PATH_MAX])
{
	char here[PATH_MAX];

	if (!getcwd(here, sizeof here))
		return false;
	for (;;) {
		struct stat st;
		char *slash;

		if ((size_t)snprintf(ret, PATH_MAX, "%s/.stead", strcmp(here, "/") ? here : "") <
				PATH_MAX &&
			lstat(ret, &st) == 0 && S_ISDIR(st.st_mode))
			return true;
		slash = strrchr(here, '/');
		if (!slash || slash == here)
			return false;
		*slash = '\0';
	}
}

/* As root the folder's state lies elsewhere, by the folder's name. */
static bool of_root(char ret[PATH_MAX])
{
	char here[PATH_MAX];
	uint64_t id;

	if (geteuid() != 0 || !getcwd(here, sizeof here))
		return false;
	id = sys_checksum(here, strlen(here));
	(void)snprintf(ret, PATH_MAX, "%s/%08x", root_states, (unsigned)(id ^ id >> 32));
	return access(ret, F_OK) == 0;
}

bool instance_look(struct cli *c)
{
	const char *given = c->args.option[OPTION_STATE];
	char found[PATH_MAX];

	if (!given)
		given = getenv("STEAD_STATE");
	if (given) {
		(void)snprintf(c->state, sizeof c->state, "%s", given);
		return true;
	}
	if ((above(found) && has_control(found)) || (of_root(found) && has_control(found)) ||
		only_running(found)) {
		(void)snprintf(c->state, sizeof c->state, "%s", found);
		return true;
	}
	if (server_is()) {
		(void)snprintf(c->state, sizeof c->state, "%s", server);
		return true;
	}
	return false;
}

int instance_find(struct cli *c)
{
	if (instance_look(c))
		return 0;
	show_error(c, "no running stead was found here",
		access("/etc/stead/stead.conf", F_OK) == 0 ? "`systemctl start stead` starts this machine's server; `stead up FOLDER` an instance of your own"
							   : "start one with `stead up FOLDER`, or name its state folder with --state");
	return VERB_EXIT_NOT_RUNNING;
}
