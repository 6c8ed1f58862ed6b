/*
 * verb_trust.c: `stead cert trust`: whoever asks https://localhost on this machine believes the
 * user's own certificate authority: the system's store, the browsers' stores (NSS), and what to
 * tell Python and Node.
 *
 * Called by verb_cert.c. Needs no running stead. What it does is done by the distribution's own
 * programs (update-ca-certificates, certutil), and again by hand it changes nothing. As root the
 * authority's file belongs to another process's user, so it is looked at by stead-check first: the
 * whole machine shall not trust what is not confined to local names.
 */
#include "cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/durable.h"
#include "lib/must.h"
#include "lib/sys.h"

enum { PEM_MAX = 16 * 1024, BUNDLE_MAX = 16 * 1024 * 1024, PLACES_MAX = 64 };

static const char system_folder[] = "/usr/local/share/ca-certificates";
static const char bundle[] = "/etc/ssl/certs/ca-certificates.crt";
#define NO_CERTUTIL                                                                                \
	"certutil is not installed (package libnss3-tools): install it, then again for browsers"

struct trust {
	struct cli *c;
	char ca[PATH_MAX + 16]; /* ca.pem */
	char *pem;
	size_t pem_n;
	char name[48]; /* in the stores; another for each authority */
	bool remove;
	json_t *places;
	int code;
};

/* ---- one place ---- */

static void told(
	struct trust *t, const char *place, const char *where, const char *state, const char *todo)
{
	(void)json_array_append_new(
		t->places, json_pack("{s:s, s:s, s:s, s:s}", "place", place, "where", where,
				   "state", state, "todo", todo));
	if (t->c->json || t->c->quiet)
		return;
	(void)printf("  %-8s %-14s %s\n", place, state, where);
	if (*todo)
		(void)printf("           %s\n", todo);
}

/* Runs it with nothing to read; its first bytes of output in ret (may be NULL). Its exit status,
 * -1: it could not. */
static int run(const char *const *argv, char *ret, size_t cap)
{
	char sink[4096];
	int out[2], status = 0;
	size_t n = 0;
	ssize_t got;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

		(void)dup2(nothing, STDIN_FILENO);
		(void)dup2(out[1], STDOUT_FILENO);
		(void)dup2(nothing, STDERR_FILENO);
		(void)execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(out[1]);
	while (pid > 0 && (got = read(out[0], sink, sizeof sink)) > 0)
		for (ssize_t i = 0; i < got; i++)
			if (ret && n + 1 < cap)
				ret[n++] = sink[i];
	close(out[0]);
	if (ret && cap)
		ret[n] = '\0';
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The base64 between the lines of a PEM file, which may be wrapped in another way elsewhere. */
static void body_of(const char *pem, char *ret, size_t cap)
{
	const char *at = strstr(pem, "CERTIFICATE-----"), *end = at ? strstr(at, "-----END") : NULL;
	size_t n = 0;

	for (at = at ? at + 16 : NULL; at && end && at < end && n + 1 < cap; at++)
		if ((unsigned char)*at > ' ')
			ret[n++] = *at;
	ret[n] = '\0';
}

static bool same_certificate(const char *a, const char *b)
{
	char x[PEM_MAX], y[PEM_MAX];

	body_of(a, x, sizeof x);
	body_of(b, y, sizeof y);
	return *x && strcmp(x, y) == 0;
}

/* ---- the system's store ---- */

static bool in_bundle(const struct trust *t)
{
	char *text = NULL;
	size_t n = 0;
	const char *line = strchr(t->pem, '\n');
	bool found = false;

	/* Written there as it is here. */
	if (line && sys_read_file(AT_FDCWD, bundle, BUNDLE_MAX, &text, &n) == 0)
		found = memmem(text, n, t->pem, t->pem_n) != NULL;
	free(text);
	return found;
}

static int update_system(const struct trust *t, const char *path)
{
	int dir = open(system_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	    err = dir < 0 ? -errno : 0;
	char file[80];

	(void)path;
	(void)snprintf(file, sizeof file, "%s.crt", t->name);
	if (!err && t->remove)
		err = unlinkat(dir, file, 0) < 0 && errno != ENOENT ? -errno : 0;
	else if (!err)
		err = durable_write(dir, file, t->pem, t->pem_n, 0644);
	if (dir >= 0)
		close(dir);
	if (err)
		return err;
	return run((const char *const[]){"update-ca-certificates", NULL}, NULL, 0) == 0 ? 0 : -EIO;
}

static void trust_system(struct trust *t)
{
	char path[200], todo[PATH_MAX + 400];
	bool there = in_bundle(t);
	int err;

	(void)snprintf(path, sizeof path, "%s/%s.crt", system_folder, t->name);
	if (access(system_folder, F_OK) < 0) {
		told(t, "system", system_folder, "not there",
			"this distribution keeps its authorities elsewhere: add the file above to "
			"them by hand");
		return;
	}
	if (there != t->remove && access(path, F_OK) == (t->remove ? -1 : 0)) {
		told(t, "system", path, t->remove ? "was not there" : "was there", "");
		return;
	}
	if (geteuid() != 0) {
		if (t->remove)
			(void)snprintf(todo, sizeof todo,
				"sudo rm -f %s && sudo update-ca-certificates", path);
		else
			(void)snprintf(todo, sizeof todo,
				"sudo install -m 644 '%s' %s && sudo update-ca-certificates", t->ca,
				path);
		told(t, "system", path, "needs root", todo);
		t->code = VERB_EXIT_NOT_PERMITTED;
		return;
	}
	err = update_system(t, path);
	if (err == 0 && in_bundle(t) == t->remove)
		err = -EIO;
	if (err)
		(void)snprintf(todo, sizeof todo, "%s: see what `update-ca-certificates` says",
			strerror(-err));
	told(t, "system", path, err ? "failed" : t->remove ? "removed" : "added", err ? todo : "");
	t->code = err ? VERB_EXIT_FAILED : t->code;
}

/* ---- browsers ---- */

static bool has_certutil(void)
{
	return run((const char *const[]){"certutil", "-H", NULL}, NULL, 0) != 127;
}

static void trust_store(struct trust *t, const char *folder)
{
	char db[PATH_MAX + 8], there[PEM_MAX];
	bool has, good = true;

	(void)snprintf(db, sizeof db, "sql:%s", folder);
	has = run((const char *const[]){"certutil", "-L", "-d", db, "-n", t->name, "-a", NULL},
		      there, sizeof there) == 0 &&
	      same_certificate(there, t->pem);
	if (has != t->remove) {
		told(t, "browser", folder, t->remove ? "was not there" : "was there", "");
		return;
	}
	if (t->remove)
		good = run((const char *const[]){"certutil", "-D", "-d", db, "-n", t->name, NULL},
			       NULL, 0) == 0;
	else
		good = run((const char *const[]){"certutil", "-A", "-d", db, "-t", "C,,", "-n",
				   t->name, "-i", t->ca, NULL},
			       NULL, 0) == 0;
	told(t, "browser", folder,
		!good       ? "failed"
		: t->remove ? "removed"
			    : "added",
		good ? ""
		     : "close the browser, then again; a store with a password has to be changed "
		       "in its settings");
	t->code = good ? t->code : VERB_EXIT_FAILED;
}

static bool is_store(const char *folder)
{
	char file[PATH_MAX + 16];

	(void)snprintf(file, sizeof file, "%s/cert9.db", folder);
	return access(file, F_OK) == 0;
}

static unsigned add_store(char all[][PATH_MAX], unsigned n, const char *folder)
{
	if (n < PLACES_MAX && is_store(folder))
		(void)snprintf(all[n++], PATH_MAX, "%s", folder);
	return n;
}

/* Firefox has a store for each profile. */
static unsigned add_profiles(char all[][PATH_MAX], unsigned n, const char *folder)
{
	DIR *d = opendir(folder);
	char path[PATH_MAX];
	struct dirent *e;

	while (d && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.' &&
			snprintf(path, sizeof path, "%s/%s", folder, e->d_name) < (int)sizeof path)
			n = add_store(all, n, path);
	if (d)
		closedir(d);
	return n;
}

/* Chromium's, which it makes at its first start: so it is there before. */
static void make_chromium(const char *folder)
{
	char db[PATH_MAX + 8], parent[PATH_MAX];

	if (is_store(folder))
		return;
	(void)snprintf(parent, sizeof parent, "%s", folder);
	*strrchr(parent, '/') = '\0';
	(void)mkdir(parent, 0700);
	(void)mkdir(folder, 0700);
	(void)snprintf(db, sizeof db, "sql:%s", folder);
	(void)run((const char *const[]){"certutil", "-N", "--empty-password", "-d", db, NULL}, NULL,
		0);
}

static void trust_browsers(struct trust *t)
{
	static const char *const profiles[] = {".mozilla/firefox",
		"snap/firefox/common/.mozilla/firefox",
		".var/app/org.mozilla.firefox/.mozilla/firefox"};
	static const char *const stores[] = {".local/share/pki/nssdb",
		"snap/chromium/current/.pki/nssdb", ".var/app/org.chromium.Chromium/.pki/nssdb"};
	const char *home = getenv("HOME");
	char(*all)[PATH_MAX] = calloc(PLACES_MAX, PATH_MAX), path[PATH_MAX];
	unsigned n = 0;

	if (!all || !home || home[0] != '/' || strlen(home) > PATH_MAX - 64) {
		free(all);
		return;
	}
	if (!has_certutil()) {
		told(t, "browser", home, "not done", NO_CERTUTIL);
		t->code = t->code ? t->code : VERB_EXIT_FAILED;
		free(all);
		return;
	}
	(void)snprintf(path, sizeof path, "%s/.pki/nssdb", home);
	if (!t->remove)
		make_chromium(path);
	n = add_store(all, n, path);
	for (size_t i = 0; i < ARRAY_LEN(stores); i++) {
		(void)snprintf(path, sizeof path, "%s/%s", home, stores[i]);
		n = add_store(all, n, path);
	}
	for (size_t i = 0; i < ARRAY_LEN(profiles); i++) {
		(void)snprintf(path, sizeof path, "%s/%s", home, profiles[i]);
		n = add_profiles(all, n, path);
	}
	for (unsigned i = 0; i < n; i++)
		trust_store(t, all[i]);
	free(all);
}

/* ---- languages ---- */

static void show_hints(const struct trust *t, json_t *env)
{
	const char *name;
	json_t *value;

	if (t->c->json || t->c->quiet || t->remove)
		return;
	(void)puts("\nPython (requests, httpx) and Node keep lists of their own; for them, in the "
		   "shell or ~/.profile:");
	json_object_foreach(env, name, value)(void)
		printf("  export %s='%s'\n", name, json_string_value(value));
}

/* Python's ssl reads the system's store; what brings a list of its own can be told to. */
static json_t *hints(const struct trust *t)
{
	return json_pack("{s:s, s:s, s:s}", "REQUESTS_CA_BUNDLE", bundle, "SSL_CERT_FILE", bundle,
		"NODE_EXTRA_CA_CERTS", t->ca);
}

/* ---- which authority ---- */

static int find(struct trust *t)
{
	char folder[PATH_MAX] = "", text[PATH_MAX + 200];
	const char *sudo = getenv("SUDO_USER");
	int err = instance_ca(folder) ? 0 : -ENOENT;

	(void)snprintf(t->ca, sizeof t->ca, "%s/ca.pem", folder);
	if (!err)
		err = sys_read_file(AT_FDCWD, t->ca, PEM_MAX - 1, &t->pem, &t->pem_n);
	if (err == 0 && !strstr(t->pem, "-----BEGIN CERTIFICATE-----"))
		err = -EBADMSG;
	if (err == 0) {
		uint64_t sum = sys_checksum(t->pem, t->pem_n);

		(void)snprintf(t->name, sizeof t->name, "stead-local-ca-%08x",
			(unsigned)(sum ^ sum >> 32));
		return 0;
	}
	(void)snprintf(text, sizeof text, "there is no certificate authority of yours at %s: %s",
		*folder ? t->ca : "$STEAD_CA", strerror(-err));
	show_error(t->c, text,
		geteuid() == 0 && sudo && *sudo
			? "without sudo: yours is not root's; what needs root is said then"
			: "`stead up` makes it, with the first site that it serves at "
			  "https://localhost");
	return err == -ENOENT ? VERB_EXIT_NO_SUCH : VERB_EXIT_FAILED;
}

static bool heard(void *arg, const struct msg *m)
{
	struct trust *t = arg;
	const char *text, *todo;
	struct unpack u;

	if (m->h.type != MSG_CHECK_FINDING)
		return true;
	unpack_init(&u, m->payload, m->h.len);
	(void)unpack_u32(&u);
	(void)unpack_str(&u);
	(void)unpack_u32(&u);
	(void)unpack_u32(&u);
	text = unpack_str(&u);
	todo = unpack_str(&u);
	if (!u.bad)
		show_error(t->c, text, todo);
	return !u.bad;
}

/* Confined to local names, whoever wrote the file? */
static int look_at(struct trust *t)
{
	const struct msg_check_ask q = {.mode = CHECK_AUTHORITY};
	int r = check_ask(t->c->roles, &q, (const char *const[4]){t->ca, "", "", ""}, heard, t);

	return r < 0 ? VERB_EXIT_FAILED : r;
}

int verb_trust(struct cli *c)
{
	struct trust t = {
		.c = c, .remove = c->args.option[OPTION_REMOVE] != NULL, .places = json_array()};
	json_t *env, *end;
	int code = find(&t);

	if (code == 0 && !t.remove)
		code = look_at(&t);
	if (code == 0) {
		if (!c->json && !c->quiet)
			(void)printf("%s\n", t.ca);
		trust_system(&t);
		trust_browsers(&t);
		env = hints(&t);
		show_hints(&t, env);
		end = json_pack("{s:s, s:s, s:O, s:o}", "ca", t.ca, "name", t.name, "places",
			t.places, "environment", env);
		if (c->json)
			(void)json_dumpf(end, stdout, JSON_COMPACT);
		if (c->json)
			(void)fputc('\n', stdout);
		json_decref(end);
		code = t.code;
	}
	json_decref(t.places);
	free(t.pem);
	return code;
}
