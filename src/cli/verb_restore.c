/*
 * verb_restore.c: `stead restore FILE`: this instance becomes what a backup has.
 *
 * Called by main.c. The order is what makes it safe: the whole file is looked at; accounts are
 * made; all of it is unpacked beside the state, and nothing has changed; what runs is stopped; the
 * unpacked takes its place (oneshot/restored.h: carried on by whoever starts next when this ends in
 * between); the server starts. People come last: the same command again ends what was cut off
 * there.
 */
#include "backup_ask.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/must.h"
#include "lib/sys.h"
#include "person/person.h"

static const char server_state[] = "/var/lib/stead";

struct restore {
	struct cli *c;
	char file[PATH_MAX], state[PATH_MAX];
	struct backup_told told;
	bool server;  /* it is the machine's */
	bool systemd; /* which has it run */
	bool ran;
	int state_fd, lock_fd;
	struct buf users, apps; /* as BACKUP_ASK has them */
};

static int fail(const struct restore *r, int code, const char *what, int err, const char *todo)
{
	char text[PATH_MAX + 200];

	(void)snprintf(text, sizeof text, "%.4000s: %s", what, strerror(err));
	show_error(r->c, text, todo);
	return code;
}

static void say(const struct restore *r, const char *text)
{
	json_t *o =
		json_pack("{s:s, s:s, s:s}", "event", "progress", "step", "restore", "text", text);

	if (o)
		show_event(r->c, o);
	json_decref(o);
}

/* ---- which instance ---- */

/* The state folder that a control socket's place stands for. */
static void behind_run(char state[PATH_MAX])
{
	char link[PATH_MAX], path[PATH_MAX];
	ssize_t n;

	(void)snprintf(path, sizeof path, "%.4000s/control", state);
	n = readlink(path, link, sizeof link - 1);
	if (n <= 0 || link[0] != '/')
		return;
	link[n] = '\0';
	*strrchr(link, '/') = '\0';
	if (link[0])
		(void)snprintf(state, PATH_MAX, "%s", link);
}

static int which(struct restore *r)
{
	struct cli *c = r->c;
	struct stat st;

	if (instance_look(c)) {
		(void)snprintf(r->state, sizeof r->state, "%s", c->state);
	} else if (geteuid() == 0) {
		(void)snprintf(r->state, sizeof r->state, "%s", server_state);
	} else {
		show_error(c, "no stead runs here, and no state folder is named",
			"stead restore FILE --state DIR");
		return VERB_EXIT_USAGE;
	}
	behind_run(r->state);
	if (mkdir(r->state, 0700) < 0 && errno != EEXIST)
		return fail(
			r, VERB_EXIT_FAILED, r->state, errno, "name another folder with --state");
	r->state_fd = open(r->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->state_fd < 0 || fstat(r->state_fd, &st) < 0)
		return fail(r, VERB_EXIT_NOT_PERMITTED, r->state, errno,
			geteuid() ? "sudo stead restore FILE" : NULL);
	if (st.st_uid != geteuid())
		return fail(r, VERB_EXIT_NOT_PERMITTED, r->state, EPERM,
			"restore as the owner of that folder");
	if (!realpath(r->state, c->state))
		return fail(r, VERB_EXIT_FAILED, r->state, errno, NULL);
	(void)snprintf(r->state, sizeof r->state, "%s", c->state);
	r->server = geteuid() == 0 && strcmp(r->state, server_state) == 0;
	return 0;
}

/* Does it hold something that a person would miss? */
static bool is_used(const struct restore *r)
{
	int fd = openat(r->state_fd, "apps", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	bool used = !r->server && faccessat(r->state_fd, "state.db", F_OK, 0) == 0;
	struct dirent *e;

	while (d && !used && (e = readdir(d)) != NULL)
		used = e->d_name[0] != '.';
	if (d)
		(void)closedir(d);
	return used;
}

/* ---- accounts ---- */

/* "uid:gid" of the app's user, which is made when it is not there. */
static int app_user(struct restore *r, const char *name, const char *state, unsigned long *ret_uid,
	unsigned long *ret_gid)
{
	struct act_end d;

	if (act_ask(r->c->roles, ACT_USER_APP, (const char *const[]){name, "", state}, NULL, NULL,
		    &d) < 0)
		return VERB_EXIT_FAILED;
	if (d.exit_code || sscanf(d.result, "%lu:%lu", ret_uid, ret_gid) != 2) {
		show_error(r->c, d.text, *d.todo ? d.todo : NULL);
		return d.exit_code ? (int)min_of(d.exit_code, 7u) : VERB_EXIT_FAILED;
	}
	return 0;
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text ? text : "";
}

/* What it holds is named by its path, so it can be nowhere else. */
static int same_place(const struct restore *r)
{
	const json_t *part;
	char todo[PATH_MAX + 40];
	size_t i;

	json_array_foreach(r->told.parts, i, part)
	{
		const char *of = text_of(part, "of");

		if (strcmp(text_of(part, "part"), "state") != 0 || strcmp(of, r->state) == 0)
			continue;
		(void)snprintf(todo, sizeof todo, "stead restore FILE --state %.4000s", of);
		show_error(r->c,
			"that is a backup of a state in another folder, and can be restored there "
			"only",
			todo);
		return VERB_EXIT_USAGE;
	}
	return 0;
}

/* A part of an app, or of the folder's own: whose the numbers are here. */
static int one_app(struct restore *r, const json_t *part)
{
	const char *of = text_of(part, "of"), *user = text_of(part, "user");
	bool own = strcmp(text_of(part, "part"), "own") == 0;
	char state[PATH_MAX];
	unsigned long uid, gid;
	int code;

	if (!*of || (own && !*user))
		return 0;
	/* Each in the way that src/ctl asks for it. */
	(void)snprintf(state, sizeof state, "%.3900s%s%s", r->state,
		own ? (r->server ? "/server" : "") : "/apps/", own ? "" : of);
	code = app_user(r, of, state, &uid, &gid);
	if (code)
		return code;
	if (*user)
		buf_printf(&r->users, "u %s %lu\ng %s %lu\n", user, uid, user, gid);
	if (!own)
		buf_printf(&r->apps, "%s %lu %lu\n", of, uid, gid);
	return 0;
}

/* Every other name that something in the file belongs to: this machine's account of that name, or
 * root. */
static void other_names(struct restore *r)
{
	const json_t *name;
	size_t i;

	json_array_foreach(r->told.users, i, name)
	{
		const struct passwd *pw = getpwnam(json_string_value(name));

		if (pw)
			buf_printf(&r->users, "u %s %u\n", json_string_value(name),
				(unsigned)pw->pw_uid);
	}
	json_array_foreach(r->told.groups, i, name)
	{
		const struct group *gr = getgrnam(json_string_value(name));

		if (gr)
			buf_printf(&r->users, "g %s %u\n", json_string_value(name),
				(unsigned)gr->gr_gid);
	}
	if (getpwnam("stead-ctl") && getgrnam("stead-ctl"))
		buf_printf(&r->users, "u stead-ctl %u\ng stead-ctl %u\n",
			(unsigned)getpwnam("stead-ctl")->pw_uid,
			(unsigned)getgrnam("stead-ctl")->gr_gid);
}

static int accounts(struct restore *r)
{
	const json_t *part;
	int code = 0;
	size_t i;

	if (geteuid() != 0)
		return 0;
	if (backup_count(&r->told, "database") && !getpwnam("postgres")) {
		show_error(r->c,
			"PostgreSQL is not installed (there is no user postgres), and the backup "
			"has databases",
			"install it: apt install postgresql");
		return VERB_EXIT_FAILED;
	}
	json_array_foreach(r->told.parts, i, part)
	{
		const char *kind = text_of(part, "part");

		if (code == 0 && (strcmp(kind, "app") == 0 || strcmp(kind, "own") == 0))
			code = one_app(r, part);
	}
	if (code == 0)
		other_names(r);
	return code;
}

static int unpack(struct restore *r)
{
	const char *text[4] = {r->file, r->state, buf_str(&r->users), buf_str(&r->apps)};
	struct backup_told told;
	int code;

	if (r->users.error || r->apps.error || r->users.len + r->apps.len > CHAN_PAYLOAD_MAX - 9000)
		return fail(
			r, VERB_EXIT_FAILED, r->file, EOVERFLOW, "too many apps for one restore");
	code = backup_ask(r->c, BACKUP_UNPACK, text, ARRAY_LEN(text), &told);
	backup_told_done(&told);
	return code;
}

/* ---- down, over, up ---- */

static int run(const char *const *argv)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		(void)execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	if (pid < 0)
		return -1;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const char systemctl[] = "/usr/bin/systemctl";

static int stop(struct restore *r)
{
	struct client cl;

	r->systemd =
		r->server && access("/run/systemd/system", F_OK) == 0 &&
		access(systemctl, X_OK) == 0 &&
		run((const char *const[]){systemctl, "is-active", "--quiet", "stead", NULL}) == 0;
	r->ran = r->systemd || client_connect(&cl, r->state) == 0;
	if (r->ran && !r->systemd)
		client_close(&cl);
	if (!r->ran)
		return 0;
	say(r, "stopping what runs");
	if (r->systemd)
		return run((const char *const[]){systemctl, "stop", "stead", NULL}) == 0
			       ? 0
			       : fail(r, VERB_EXIT_FAILED, "systemctl stop stead", EIO,
					 "`systemctl status stead` shows why");
	return 0;
}

/* As `stead stop` does it: asked, and its lock waited for. */
static int ask_to_stop(struct restore *r)
{
	struct client cl;
	json_t *o = NULL;

	if (!r->ran || r->systemd)
		return 0;
	if (client_connect(&cl, r->state) == 0) {
		if (client_ask(&cl, json_pack("{s:s}", "verb", "stop")) == 0 &&
			client_next(&cl, 10000, &o) > 0)
			json_decref(o);
		client_close(&cl);
	}
	return 0;
}

/* From here on nothing can start there. */
static int lock(struct restore *r)
{
	r->lock_fd = openat(r->state_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	for (int i = 0; r->lock_fd >= 0 && i < 1200; i++) {
		if (flock(r->lock_fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		(void)poll(NULL, 0, 100);
	}
	return fail(r, r->lock_fd < 0 ? VERB_EXIT_FAILED : VERB_EXIT_BUSY, r->state,
		r->lock_fd < 0 ? errno : EBUSY,
		"end what runs there, then restore again; nothing was changed");
}

static int over(struct restore *r)
{
	struct backup_told told;
	int code;

	say(r, "putting it in its place");
	code = backup_ask(r->c, BACKUP_FINISH, (const char *const[]){r->file, r->state}, 2, &told);
	backup_told_done(&told);
	(void)close(r->lock_fd);
	r->lock_fd = -1;
	return code;
}

/* Databases are loaded when the server is up; how that ends stands in the state. */
static int wait_loaded(struct restore *r)
{
	char *why = NULL;
	size_t n;

	for (unsigned i = 0; faccessat(r->state_fd, "restored", F_OK, 0) == 0; i++) {
		if (sys_read_file(r->state_fd, "restored.failed", 4096, &why, &n) == 0) {
			show_line_done(r->c);
			show_error(r->c, why,
				"correct that, then `systemctl restart stead`: it is tried again");
			free(why);
			return VERB_EXIT_FAILED;
		}
		if (i == 10)
			say(r, "bringing back databases and packages");
		if (i % 50 == 49 && r->systemd &&
			run((const char *const[]){
				systemctl, "is-failed", "--quiet", "stead", NULL}) == 0)
			return fail(r, VERB_EXIT_FAILED, "the server does not run", EIO,
				"`systemctl status stead` shows why");
		(void)poll(NULL, 0, 100);
	}
	return 0;
}

static int start(struct restore *r)
{
	if (!r->systemd)
		return 0;
	say(r, "starting the server");
	if (run((const char *const[]){systemctl, "start", "stead", NULL}) != 0)
		return fail(r, VERB_EXIT_FAILED, "systemctl start stead", EIO,
			"`systemctl status stead` shows why");
	return wait_loaded(r);
}

/* ---- people ---- */

static int one_person(struct restore *r, int folder, const char *name)
{
	char *text = NULL, *apps, *keys, *sudo;
	struct act_end d = {.err = 0};
	size_t n;
	int err = sys_read_file(folder, name, 2 * PERSON_KEYS_BYTES, &text, &n);

	/* Its first two lines are sudo= and apps=; keys follow. */
	sudo = err < 0 ? NULL : text;
	apps = sudo ? strchr(sudo, '\n') : NULL;
	keys = apps ? strchr(apps + 1, '\n') : NULL;
	if (!keys || strncmp(sudo, "sudo=", 5) != 0 || strncmp(apps + 1, "apps=", 5) != 0) {
		free(text);
		return fail(r, VERB_EXIT_FAILED, name, err < 0 ? -err : EBADMSG,
			"`stead user add` makes the account");
	}
	*apps = *keys = '\0';
	err = act_ask(r->c->roles, ACT_PERSON_SET,
		(const char *const[]){name, keys + 1, sudo + 5, apps + 6, "/usr/bin/stead"}, NULL,
		NULL, &d);
	if (err == 0 && d.exit_code)
		show_error(r->c, d.text, *d.todo ? d.todo : NULL);
	free(text);
	return err < 0 || d.exit_code ? VERB_EXIT_FAILED : 0;
}

/* One that cannot be made keeps nobody else from coming. */
static int people(struct restore *r)
{
	int fd = sys_open_nosymlink(
		    r->state_fd, "restore/new/people", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0),
	    worst = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (d && r->server && (e = readdir(d)) != NULL) {
		int code = e->d_name[0] == '.' ? 0 : one_person(r, fd, e->d_name);

		worst = code ? code : worst;
	}
	if (d)
		(void)closedir(d);
	return worst;
}

static int clean(struct restore *r)
{
	struct backup_told told;
	int code =
		backup_ask(r->c, BACKUP_CLEAN, (const char *const[]){r->file, r->state}, 2, &told);

	backup_told_done(&told);
	return code;
}

/* ---- the whole ---- */

static void show(struct restore *r)
{
	const struct backup_told *t = &r->told;
	unsigned apps = backup_count(t, "app"), databases = backup_count(t, "database"),
		 people_n = backup_count(t, "person");
	json_t *o;
	char *text;

	if (r->c->quiet)
		return;
	show_line_done(r->c);
	if (r->c->json) {
		o = json_pack("{s:s, s:i, s:s, s:s, s:s, s:I, s:i, s:i, s:i, s:b}", "event", "end",
			"exit", 0, "state", r->state, "version", t->version, "host", t->host,
			"made_us", (json_int_t)t->end.made_us, "apps", (int)apps, "databases",
			(int)databases, "people", (int)people_n, "runs", r->systemd);
		text = json_dumps(o, JSON_COMPACT);
		if (text)
			(void)puts(text);
		free(text);
		json_decref(o);
		return;
	}
	(void)printf("restored  %s of %s: %u app%s, %u database%s, %u person%s\n",
		r->server ? "the server" : "the state", t->host, apps, apps == 1 ? "" : "s",
		databases, databases == 1 ? "" : "s", people_n, people_n == 1 ? "" : "s");
	if (!r->systemd)
		(void)puts(r->server ? "it does not run: start it"
				     : "it does not run: `stead up FOLDER` starts it");
}

static int restore(struct restore *r)
{
	int code = backup_ask(
		r->c, BACKUP_CHECK, (const char *const[]){r->file, r->state}, 2, &r->told);

	if (code == 0 && is_used(r) && !r->c->args.option[OPTION_YES]) {
		show_error(r->c,
			"there are apps here, and all of this server would be replaced by what the "
			"backup has",
			"back it up first, then restore with --yes");
		return VERB_EXIT_PROTECTED;
	}
	if (code == 0)
		code = same_place(r);
	if (code == 0)
		code = accounts(r);
	if (code == 0)
		code = unpack(r);
	if (code == 0)
		code = stop(r);
	if (code == 0)
		code = ask_to_stop(r);
	if (code == 0)
		code = lock(r);
	if (code == 0)
		code = over(r);
	if (code == 0)
		code = start(r);
	if (code == 0)
		code = people(r);
	if (code == 0)
		code = clean(r);
	if (code == 0)
		show(r);
	return code;
}

/* One that was cut off comes to its end first. */
static int carry_on(struct restore *r)
{
	return backup_carry_on(r->c);
}

int verb_restore(struct cli *c)
{
	struct restore *r = calloc(1, sizeof *r);
	int code = r ? 0 : VERB_EXIT_FAILED;

	if (!r)
		return code;
	*r = (struct restore){.c = c, .state_fd = -1, .lock_fd = -1};
	buf_init(&r->users, 1 << 20);
	buf_init(&r->apps, 1 << 20);
	code = backup_file(c, r->file);
	if (code == 0)
		code = which(r);
	if (code == 0)
		code = carry_on(r);
	if (code == 0)
		code = restore(r);
	backup_told_done(&r->told);
	buf_done(&r->users);
	buf_done(&r->apps);
	if (r->state_fd >= 0)
		(void)close(r->state_fd);
	if (r->lock_fd >= 0)
		(void)close(r->lock_fd);
	free(r);
	return code;
}
