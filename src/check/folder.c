/*
 * folder.c: the app's folder: its configuration file, and whether what that names is there.
 *
 * Called by main.c. Owns the folder's descriptor. Reads files of the folder; writes none.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "conf/calendar.h"
#include "lib/must.h"
#include "lib/sys.h"

static unsigned cores(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

struct conf *check_conf_new(const struct check *k)
{
	uid_t uid = k->ask.uid != 0 ? k->ask.uid : getuid();
	gid_t gid = k->ask.uid != 0 ? k->ask.gid : getgid();
	struct passwd *pw = getpwuid(uid);
	struct group *gr = getgrgid(gid);
	char host[256] = "";
	struct conf_facts facts = {.name = k->name,
		.folder = k->folder,
		.user = pw != NULL ? pw->pw_name : NULL,
		.home = pw != NULL ? pw->pw_dir : NULL,
		.shell = pw != NULL ? pw->pw_shell : NULL,
		.group = gr != NULL ? gr->gr_name : NULL,
		.host = gethostname(host, sizeof(host) - 1) == 0 ? host : NULL,
		.state = k->data[0] != '\0' ? k->data : NULL,
		.base = k->base[0] != '\0' ? k->base : NULL,
		.runtime = k->runtime[0] != '\0' ? k->runtime : NULL,
		.uid = uid,
		.gid = gid,
		.cores = cores(),
		.folderless = k->folderless};

	return conf_new(&facts);
}

/* Exactly one NAME.service, when there is no stead.conf. How many there are. */
static unsigned find_service(struct check *k)
{
	DIR *d = fdopendir(openat(k->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	const struct dirent *e;
	unsigned n = 0;

	if (d == NULL)
		return 0;
	while ((e = readdir(d)) != NULL) {
		size_t len = strlen(e->d_name);

		if (len <= 8 || strcmp(e->d_name + len - 8, ".service") != 0 ||
			e->d_name[0] == '.' || strchr(e->d_name, '@') != NULL)
			continue;
		n++;
		memcpy(k->file, e->d_name, len + 1);
	}
	(void)closedir(d);
	if (n != 1)
		k->file[0] = '\0';
	return n;
}

void check_unreadable(struct conf *c, const char *file, int err)
{
	struct conf_pos pos = {.file = file, .line = 1, .col = 1};

	conf_find(c, CONF_ERROR, &pos, "",
		err == -EFBIG ? "the file is larger than 256 KB" : "the file cannot be read: %s",
		strerror(-err));
}

static int read_file(struct check *k)
{
	char *text = NULL;
	size_t n = 0;
	int r = sys_read_file(k->dir, k->file, CHECK_FILE_BYTES_MAX, &text, &n);

	if (r == 0)
		r = check_parse(k, k->file, text, n, false);
	else if (r != -ENOMEM) {
		check_unreadable(k->conf, k->file, r);
		r = 0;
	}
	free(text);
	return r;
}

/* The file's own name when it is asked for, else stead.conf, else the one NAME.service. */
static int choose_file(struct check *k)
{
	struct stat st;
	unsigned n;

	if (k->file[0] != '\0')
		return read_file(k);
	if (fstatat(k->dir, "stead.conf", &st, 0) == 0 || errno != ENOENT) {
		memcpy(k->file, "stead.conf", sizeof("stead.conf"));
		return read_file(k);
	}
	n = find_service(k);
	if (n == 1)
		return read_file(k);
	if (n > 1)
		conf_find(k->conf, CONF_NOTE, NULL,
			"write a stead.conf, or name one: stead check FILE",
			"there are %u .service files in the folder, so none of them is read", n);
	return 0;
}

/* Folder and file of `path`. 0, or -errno. */
static int split_path(struct check *k, const char *path)
{
	struct stat st;
	char *slash;

	if (realpath(path, k->folder) == NULL || stat(k->folder, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode)) {
		slash = strrchr(k->folder, '/');
		if (strlen(slash + 1) > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(k->file, slash + 1, strlen(slash + 1) + 1);
		slash[slash == k->folder ? 1 : 0] = '\0';
	}
	k->dir = open(k->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return k->dir < 0 ? -errno : 0;
}

/* Who asks for one file by name asks for one of Sites=, unless it is what a folder has. */
static bool is_sites_file(const char *file)
{
	size_t n = strlen(file);

	return n > 5 && strcmp(file + n - 5, ".conf") == 0 && strcmp(file, "stead.conf") != 0;
}

int check_folder(struct check *k, const char *path, const char *name)
{
	int r = split_path(k, path);

	if (r < 0 && k->folder[0] == '\0')
		(void)snprintf(k->folder, sizeof(k->folder), "%s", path);
	k->folderless = is_sites_file(k->file);
	/* `up` may check a copy of the folder: then it says the name of the original. */
	if (k->folderless)
		conf_name_from_file(k->file, k->name);
	else
		conf_name_from_folder(name[0] != '\0' ? name : k->folder, k->name);
	k->conf = check_conf_new(k);
	if (k->conf == NULL)
		return -ENOMEM;
	if (r < 0) {
		conf_find(k->conf, CONF_ERROR, NULL,
			r == -EACCES ? "let this user read it" : "name the folder of an app",
			"%s: %s", k->folder, strerror(-r));
		return 0;
	}
	return choose_file(k);
}

void check_path(const struct check *k, const char *path, char ret[PATH_MAX])
{
	int n = path[0] == '/' ? snprintf(ret, PATH_MAX, "%s", path)
			       : snprintf(ret, PATH_MAX, "%s/%s", k->folder, path);

	if (n >= PATH_MAX)
		ret[0] = '\0';
}

enum want { WANT_DIR, WANT_FILE, WANT_PROGRAM };

static bool is_served(enum conf_key key)
{
	return key == CONF_SITE_ROOT || key == CONF_SITE_STATIC || key == CONF_SITE_ERROR_PAGE || key == CONF_SITE_MAINTENANCE;
}

/* A script without the bit can be given to its interpreter as well. */
static const char *todo_to_run(const char *full, const char *path, char ret[300])
{
	const char *dot = strrchr(path, '.');
	const char *by = dot == NULL ? NULL : strcmp(dot, ".py") == 0 ? "python3" : strcmp(dot, ".sh") == 0 ? "/bin/sh"
		: strcmp(dot, ".js") == 0 ? "node" : strcmp(dot, ".rb") == 0 ? "ruby" : NULL;

	if (by != NULL)
		(void)snprintf(ret, 300, "chmod +x %.120s, or write ExecStart=%s %.120s", full, by, path);
	else
		(void)snprintf(ret, 300, "chmod +x %.240s", full);
	return ret;
}

static void want_path(struct check *k, const struct conf_value *v, const char *path, enum want want)
{
	static const char *const what[] = {
		[WANT_DIR] = "folder", [WANT_FILE] = "file", [WANT_PROGRAM] = "program"};
	const char *key = conf_rows[v->key].key;
	char full[PATH_MAX], todo[300];
	struct stat st;

	check_path(k, path, full);
	if (stat(full, &st) < 0) {
		/* As a server's, act looks (src/act/mount.c). */
		if ((k->ask.flags & CHECK_MOUNTED) != 0 && errno == EACCES && is_served(v->key))
			return;
		conf_find(k->conf, CONF_ERROR, &v->pos, "", "%s=: there is no %s %s: %s", key,
			what[want], full, strerror(errno));
		return;
	}
	if ((want == WANT_DIR) != (S_ISDIR(st.st_mode) != 0)) {
		conf_find(k->conf, CONF_ERROR, &v->pos, "", "%s=: %s is not a %s", key, full, what[want]);
		return;
	}
	if (want != WANT_PROGRAM || access(full, X_OK) == 0)
		return;
	conf_find(k->conf, CONF_ERROR, &v->pos, todo_to_run(full, path, todo), "%s=: %s may not be executed", key, full);
}

static void check_values(struct check *k, const struct conf_value *v, enum want want)
{
	for (; v != NULL; v = v->next)
		if (v->text[0] != '\0')
			want_path(k, v, v->part2 != NULL ? v->part2 : v->text, want);
}

static void check_key(struct check *k, enum conf_key key, enum want want)
{
	check_values(k, conf_get(k->conf, key), want);
}

/* ErrorPage= and Maintenance= are below Root=, or below the folder. */
static void check_pages(struct check *k, const struct conf_value *v, const struct conf_value *root)
{
	for (; v != NULL; v = v->next) {
		const char *page = v->part2 != NULL ? v->part2 : v->text;
		char path[PATH_MAX];

		if (v->text[0] == '\0')
			continue;
		if ((size_t)snprintf(path, sizeof(path), "%s/%s",
			    root != NULL && root->text[0] != '\0' ? root->text : ".",
			    page + strspn(page, "/")) < sizeof(path))
			want_path(k, v, path, WANT_FILE);
	}
}

/* The lines of a BasicAuth= file become users of that section. */
static int read_users(
	struct check *k, const struct conf_value *file, const char *section, const char *arg)
{
	char path[PATH_MAX], *text = NULL, *line, *end;
	struct conf_pos pos = {.file = file->text, .col = 1};
	size_t n;
	int r;

	check_path(k, file->text, path);
	r = sys_read_file(AT_FDCWD, path, CHECK_FILE_BYTES_MAX, &text, &n);
	if (r < 0) {
		conf_find(k->conf, CONF_ERROR, &file->pos,
			r == -ENOENT ? "`htpasswd -c FILE NAME` (package apache2-utils) makes one, a line NAME:HASH for each" : "",
			"BasicAuth=: %s: %s", path, strerror(-r));
		return r == -ENOMEM ? r : 0;
	}
	for (line = text; *line != '\0' && r != -ENOMEM; line = end) {
		end = line + strcspn(line, "\n");
		if (*end != '\0')
			*end++ = '\0';
		pos.line++;
		line[strcspn(line, "\r")] = '\0';
		if (line[0] != '\0' && line[0] != '#')
			r = conf_put(
				k->conf, section, arg, "BasicAuthUser", line, CONF_FROM_FILE, &pos);
	}
	free(text);
	return r == -ENOMEM ? r : 0;
}

/* A program without a slash is looked for as it will be: PATH= of the environment is the app's own matter. */
static void check_program(struct check *k, const struct conf_value *v)
{
	const struct conf_value *e = conf_get(k->conf, CONF_SERVICE_ENVIRONMENT);
	bool own = false;

	if (v == NULL || v->text[0] == '\0')
		return;
	if (strchr(v->part1, '/') != NULL) {
		want_path(k, v, v->part1, WANT_PROGRAM);
		return;
	}
	for (; e != NULL; e = e->next)
		own |= e->part1 != NULL && strcmp(e->part1, "PATH") == 0;
	if (!own && !check_in_path(v->part1))
		conf_find(k->conf, CONF_ERROR, &v->pos, "install it, or write its path",
			"ExecStart=: there is no program %s in PATH (%s)", v->part1,
			getenv("PATH") != NULL ? getenv("PATH") : "");
}

/* Time zones that this machine does not know would be UTC without a word. */
static void check_zones(struct check *k, const struct conf_value *v)
{
	struct calendar when;
	const char *why;

	for (; v != NULL; v = v->next)
		if (v->text[0] != '\0' && calendar_parse(v->text, &when, &why) == 0 &&
			!calendar_zone_there(when.zone))
			conf_find(k->conf, CONF_ERROR, &v->pos,
				"write it as tzselect(8) does, or install tzdata",
				"OnCalendar=: there is no time zone %s", when.zone);
}

/* The sections with a name: folders, pages and files of users. */
static int check_scopes(struct check *k)
{
	const struct conf_value *site = conf_get(k->conf, CONF_SITE_ROOT), *v;
	int r = 0;

	for (const struct conf_scope *s = NULL; r == 0 && (s = conf_scope_next(k->conf, s));) {
		const struct conf_value *root = conf_scope_get(s, CONF_SITE_ROOT);

		check_values(k, root, WANT_DIR);
		check_program(k, conf_scope_get(s, CONF_WORKER_EXEC_START));
		check_program(k, conf_scope_get(s, CONF_TIMER_EXEC_START));
		check_zones(k, conf_scope_get(s, CONF_TIMER_ON_CALENDAR));
		check_pages(k, conf_scope_get(s, CONF_SITE_ERROR_PAGE), root ? root : site);
		v = conf_scope_get(s, CONF_SITE_BASIC_AUTH);
		if (v != NULL && v->text[0] != '\0')
			r = read_users(
				k, v, section_rows[conf_scope_section(s)].name, conf_scope_arg(s));
		if (r == 0)
			r = check_client_ca(k, conf_scope_get(s, CONF_SITE_CLIENT_CA),
				section_rows[conf_scope_section(s)].name, conf_scope_arg(s));
	}
	return r;
}

/* With a - before it it may be missing, and the program then runs in /. */
static void check_working_directory(struct check *k)
{
	const struct conf_value *v = conf_get(k->conf, CONF_SERVICE_WORKING_DIRECTORY);

	if (v != NULL && v->text[0] != '-')
		check_values(k, v, WANT_DIR);
}

bool check_in_path(const char *program)
{
	const char *at = getenv("PATH");
	char path[PATH_MAX];

	for (; at != NULL && *at != '\0'; at += strspn(at, ":")) {
		int n = (int)strcspn(at, ":");

		if (n > 0 && snprintf(path, sizeof(path), "%.*s/%s", n, at, program) < PATH_MAX &&
			access(path, X_OK) == 0)
			return true;
		at += n;
	}
	return false;
}

int check_paths(struct check *k)
{
	const struct conf_value *v = conf_get(k->conf, CONF_PYTHON_INTERPRETER);
	const struct conf_value *users = conf_get(k->conf, CONF_SITE_BASIC_AUTH);
	int r = check_scopes(k);

	if (r == 0 && users != NULL && users->text[0] != '\0')
		r = read_users(k, users, "Site", "");
	if (r == 0)
		r = check_cert(k);
	if (r == 0)
		r = check_client_ca(k, conf_get(k->conf, CONF_SITE_CLIENT_CA), "Site", "");
	if (r == 0)
		r = check_origin_pulls(k);
	if (r == 0)
		r = check_eab(k);
	if (r < 0)
		return r;
	check_key(k, CONF_SITE_ROOT, WANT_DIR);
	check_key(k, CONF_SITE_STATIC, WANT_DIR);
	check_key(k, CONF_PYTHON_PATH, WANT_DIR);
	check_key(k, CONF_PHP_ROOT, WANT_DIR);
	check_key(k, CONF_PHP_FPM, WANT_PROGRAM);
	check_key(k, CONF_PYTHON_REQUIREMENTS, WANT_FILE);
	check_working_directory(k);
	check_program(k, conf_get(k->conf, CONF_SERVICE_EXEC_START));
	check_pages(k, conf_get(k->conf, CONF_SITE_ERROR_PAGE), conf_get(k->conf, CONF_SITE_ROOT));
	check_pages(k, conf_get(k->conf, CONF_SITE_MAINTENANCE), conf_get(k->conf, CONF_SITE_ROOT));
	if (v != NULL && strchr(v->text, '/') != NULL)
		want_path(k, v, v->text, WANT_PROGRAM);
	v = conf_get(k->conf, CONF_PYTHON_VENV);
	if (v != NULL && conf_get(k->conf, CONF_PYTHON_REQUIREMENTS) == NULL) {
		char path[PATH_MAX];

		if (snprintf(path, sizeof(path), "%s/bin/python", v->text) < PATH_MAX)
			want_path(k, v, path, WANT_PROGRAM);
	}
	return check_env_files(k);
}
