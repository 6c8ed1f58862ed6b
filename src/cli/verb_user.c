/*
 * verb_user.c: `stead user add|remove|list`: the people of this server.
 *
 * Called by main.c. Accounts are root's to make: who asks is root already, so act is started from here and does it with
 * his rights; ctl has no part in it, because who can have an account made that may use sudo is root. What each person may
 * stands in STATE_ROOT/people, which anybody may read.
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
#include <unistd.h>

#include "lib/must.h"
#include "lib/sys.h"
#include "person/person.h"

enum { PEOPLE_MAX = 1000 };
static const char usage[] = "stead user add NAME --key FILE [--sudo] [--deploy APP[,APP]], stead user remove NAME, or stead user list";

/* One act on people; its exit code, after an error was shown. */
static int act(struct cli *c, enum act what, const char *const *text, struct act_end *d)
{
	if (act_ask(c->roles, what, text, NULL, NULL, d) < 0)
		return VERB_EXIT_FAILED;
	if (d->exit_code)
		show_error(c, d->text, *d->todo ? d->todo : NULL);
	return (int)min_of(d->exit_code, 7u);
}

/* This program, by a path that an upgrade does not take away. */
static void program(char ret[PATH_MAX])
{
	static const char installed[] = "/usr/bin/stead";
	struct stat here, there;
	ssize_t n = readlink("/proc/self/exe", ret, PATH_MAX - 1);

	ret[n > 0 ? n : 0] = '\0';
	if (stat(installed, &there) == 0 && stat("/proc/self/exe", &here) == 0 && here.st_ino == there.st_ino &&
		here.st_dev == there.st_dev)
		(void)snprintf(ret, PATH_MAX, "%s", installed);
}

static int add(struct cli *c, const char *name)
{
	const char *file = c->args.option[OPTION_KEY], *apps = c->args.option[OPTION_DEPLOY];
	bool sudo = c->args.option[OPTION_SUDO] != NULL;
	char path[PATH_MAX], *keys = NULL;
	struct act_end d;
	unsigned uid = 0, nkeys = 0;
	size_t n = 0;
	int r;

	if (!file) {
		show_error(c, "an account is entered with an ssh key: name the file of the public one", usage);
		return VERB_EXIT_USAGE;
	}
	r = sys_read_file(AT_FDCWD, file, PERSON_KEYS_BYTES, &keys, &n);
	if (r < 0 || memchr(keys, '\0', n)) {
		(void)snprintf(path, sizeof path, "%.3000s: %s", file, r < 0 ? strerror(-r) : "this is no file of keys");
		show_error(c, path, "name the file of a public ssh key (it ends in .pub)");
		free(keys);
		return r == -ENOENT ? VERB_EXIT_NO_SUCH : VERB_EXIT_USAGE;
	}
	program(path);
	r = act(c, ACT_PERSON_SET, (const char *const[]){name, keys, sudo ? "sudo" : "", apps ? apps : "", path}, &d);
	free(keys);
	if (r || c->quiet)
		return r;
	(void)sscanf(d.result, "%u %u", &uid, &nkeys);
	if (c->json) {
		(void)printf("{\"name\":\"%s\",\"uid\":%u,\"keys\":%u,\"sudo\":%s}\n", name, uid, nkeys, sudo ? "true" : "false");
		return r;
	}
	(void)printf("%s: number %u, %u key%s, home /home/%s, no password\n", name, uid, nkeys, nkeys == 1 ? "" : "s", name);
	if (apps)
		(void)printf("may deploy %s: ssh %s@HOST status\n", apps, name);
	else
		(void)puts(sudo ? "may do everything, by sudo, without a password" : "is an operator: in the group " PERSON_GROUP);
	return r;
}

static int remove_person(struct cli *c, const char *name)
{
	struct act_end d;
	int r = act(c, ACT_PERSON_REMOVE, (const char *const[]){name}, &d);

	if (r == 0 && !c->quiet && !c->json)
		(void)printf(*d.result ? "%s is removed; its home stays: %s\n" : "%s is removed\n", name, d.result);
	if (r == 0 && c->json)
		(void)printf("{\"removed\":\"%s\",\"stays\":\"%s\"}\n", name, d.result);
	return r;
}

/* ---- list ---- */

static json_t *person_json(const struct person *p)
{
	struct passwd *pw = getpwnam(p->name);
	bool there = pw && pw->pw_uid == p->uid;
	json_t *apps = json_array();

	for (unsigned i = 0; i < p->napps; i++)
		(void)json_array_append_new(apps, json_string(p->app[i]));
	return json_pack("{s:s, s:i, s:s, s:b, s:o, s:s, s:b}", "name", p->name, "uid", (int)p->uid, "role",
		p->napps ? "deployer" : p->sudo ? "administrator" : "operator", "sudo", p->sudo, "deploy", apps, "home",
		there ? pw->pw_dir : "", "account", there);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int visible(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

static void show_person(const json_t *o)
{
	const json_t *app;
	size_t i;

	(void)printf("%-16s %6lld  %s", json_string_value(json_object_get(o, "name")),
		(long long)json_integer_value(json_object_get(o, "uid")), json_string_value(json_object_get(o, "role")));
	json_array_foreach(json_object_get(o, "deploy"), i, app)(void) printf("%s%s", i ? ", " : " of ", json_string_value(app));
	if (json_is_true(json_object_get(o, "sudo")))
		(void)printf(" (sudo)");
	(void)puts(json_is_true(json_object_get(o, "account")) ? "" : "; its account is gone: `stead user remove` forgets it");
}

static int list(struct cli *c)
{
	struct dirent **names = NULL;
	json_t *people = json_array();
	int n = scandir(PERSON_STATE_ROOT "/" PERSON_FOLDER, &names, visible, by_name);
	char *text;

	for (int i = 0; i < n; i++) {
		struct person p;

		if (i < PEOPLE_MAX && person_read(PERSON_STATE_ROOT, names[i]->d_name, &p) == 0) {
			json_t *o = person_json(&p);

			if (!c->json)
				show_person(o);
			(void)json_array_append_new(people, o);
		}
		free(names[i]);
	}
	free(names);
	text = c->json ? json_dumps(people, JSON_INDENT(2)) : NULL;
	if (text)
		(void)puts(text);
	else if (json_array_size(people) == 0 && !c->quiet)
		(void)puts("nobody yet: `stead user add NAME --key FILE`");
	free(text);
	json_decref(people);
	return VERB_EXIT_DONE;
}

int verb_user(struct cli *c)
{
	const char *what = c->args.arg[0], *name = c->args.nargs > 1 ? c->args.arg[1] : NULL;
	bool adds = strcmp(what, "add") == 0, removes = strcmp(what, "remove") == 0;
	bool options = c->args.option[OPTION_KEY] || c->args.option[OPTION_SUDO] || c->args.option[OPTION_DEPLOY];

	if (strcmp(what, "list") == 0 && !name && !options)
		return list(c);
	if (!name || (!adds && !removes) || (removes && options)) {
		show_error(c, "what shall be done with which user is not said", usage);
		return VERB_EXIT_USAGE;
	}
	if (geteuid() != 0) {
		show_error(c, "accounts of this server are root's to make and to remove", "sudo stead user add … (or remove)");
		return VERB_EXIT_NOT_PERMITTED;
	}
	return adds ? add(c, name) : remove_person(c, name);
}
