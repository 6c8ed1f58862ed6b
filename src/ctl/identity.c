/*
 * identity.c: as whom an app's processes run (User= and its kin), and the folders that are theirs (StateDirectory= and
 * its kin).
 *
 * Called by the flows of `stead up` and `stead deploy` once the conf is known, and by wants.c for each PROC_SET. Which
 * accounts there are, and in which groups, is the parent's word; it holds ctl to that. Owns nothing.
 */
#include "identity.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/ownname.h"
#include "wants.h"

static const char not_named[] = "[Server] AllowUsers= of /etc/stead/stead.conf does not name it";
static const char is_root[] = "no app ever runs as root: whoever took it over would have the machine";

/* ---- what is allowed ---- */

static void read_accounts(struct identities *to, struct unpack *u, const struct msg_accounts *m)
{
	for (uint32_t i = 0; i < m->allowed && i < ACCOUNTS_MAX && !u->bad; i++) {
		struct identity_account *a = &to->account[to->n];

		a->uid = unpack_u32(u);
		a->gid = unpack_u32(u);
		a->groups_n = unpack_u32(u);
		if (a->groups_n > ACCOUNT_GROUPS_MAX)
			return;
		for (uint32_t k = 0; k < a->groups_n; k++)
			a->groups[k] = unpack_u32(u);
		(void)snprintf(a->name, sizeof a->name, "%s", unpack_str(u));
		to->n += !u->bad;
	}
	for (uint32_t i = 0; i < m->refused && i < ACCOUNTS_MAX && !u->bad; i++) {
		(void)snprintf(to->refused[i].name, sizeof to->refused[i].name, "%s", unpack_str(u));
		(void)snprintf(to->refused[i].why, sizeof to->refused[i].why, "%s", unpack_str(u));
		to->refused_n += !u->bad;
	}
}

void identity_heard(struct ctl *c, const struct msg *m)
{
	struct identities *to = &c->protection.identities;
	struct msg_accounts fixed;
	const char *tail;
	struct unpack u;
	size_t n;

	if (msg_get(m, &fixed, sizeof fixed, sizeof fixed) < 0)
		return;
	tail = msg_tail(m, sizeof fixed, &n);
	unpack_init(&u, tail, n);
	memset(to, 0, sizeof *to);
	read_accounts(to, &u, &fixed);
}

/* Is it that number, in decimal? */
static bool is_number(const char *text, uint32_t number)
{
	char mem[16];

	(void)snprintf(mem, sizeof mem, "%u", (unsigned)number);
	return strcmp(mem, text) == 0;
}

static bool says_root(const char *text)
{
	return strcmp(text, "root") == 0 || (text[0] && strspn(text, "0") == strlen(text));
}

static const struct identity_account *allowed(const struct ctl *c, const char *user)
{
	const struct identities *all = &c->protection.identities;

	for (unsigned i = 0; i < all->n; i++)
		if (strcmp(all->account[i].name, user) == 0 || is_number(user, all->account[i].uid))
			return &all->account[i];
	return NULL;
}

/* Why nobody may run as that; "": he may. */
static const char *why_not_user(const struct ctl *c, const char *user)
{
	const struct identities *all = &c->protection.identities;

	if (says_root(user))
		return is_root;
	if (allowed(c, user))
		return "";
	for (unsigned i = 0; i < all->refused_n; i++)
		if (strcmp(all->refused[i].name, user) == 0)
			return all->refused[i].why;
	return not_named;
}

static bool in_group(const struct ctl *c, const struct identity_account *as, uint32_t gid)
{
	const struct identities *all = &c->protection.identities;
	bool is = false;

	for (unsigned i = 0; i < all->n; i++)
		is |= all->account[i].gid == gid;
	for (unsigned i = 0; as && i < as->groups_n; i++)
		is |= as->groups[i] == gid;
	return is;
}

/* Its number in *ret, or why the app is not in it; "": it is. */
static const char *why_not_group(const struct ctl *c, const struct identity_account *as, const char *group, uint32_t *ret)
{
	const struct group *gr = getgrnam(group);
	char *end;
	unsigned long number = gr ? gr->gr_gid : strtoul(group, &end, 10);

	if (says_root(group))
		return "no app is ever in root's group";
	if (!gr && (*end || number > UINT32_MAX))
		return "there is no such group";
	if (!in_group(c, as, (uint32_t)number))
		return as ? "User= is not in it, and no account of AllowUsers= has it as its first"
			  : "no account that AllowUsers= of /etc/stead/stead.conf names has it as its first";
	*ret = (uint32_t)number;
	return "";
}

static void add_group(struct identity *to, uint32_t gid)
{
	unsigned n = 0;

	for (; n < JAIL_GROUPS_MAX && to->groups[n]; n++)
		if (to->groups[n] == gid)
			return;
	if (n < JAIL_GROUPS_MAX && gid != to->gid)
		to->groups[n] = gid;
}

void identity_of(const struct ctl *c, const struct app *a, const struct conf_app *conf, struct identity *ret)
{
	const struct conf_own *own = &conf->own;
	uint32_t gid;

	/* stead makes each app's user with a group of the same number. */
	*ret = (struct identity){.uid = a->gid, .gid = a->gid};
	if (!c->start.root)
		return;
	ret->account = own->user[0] ? allowed(c, own->user) : NULL;
	if (ret->account) {
		ret->uid = ret->account->uid;
		ret->gid = ret->account->gid;
	}
	if (own->group[0] && !*why_not_group(c, ret->account, own->group, &gid))
		ret->gid = gid;
	/* By its own group the app reads its release. */
	if (ret->gid != a->gid)
		add_group(ret, a->gid);
	for (unsigned i = 0; ret->account && i < ret->account->groups_n; i++)
		add_group(ret, ret->account->groups[i]);
	for (const char *const *g = own->groups; g && *g; g++)
		if (!*why_not_group(c, ret->account, *g, &gid))
			add_group(ret, gid);
}

/* ---- what is left out is told ---- */

static void tell(struct up *u, const struct app_value *v, unsigned level, const char *why, const char *instead, const char *todo)
{
	char text[400];

	(void)snprintf(text, sizeof text, "%s=%s is left out: %s; %s", v->key, v->text, why, instead);
	up_found(u, level, v->file, v->line, v->col, text, todo);
}

static void look(struct up *u, const struct app_value *v, const struct identity *who)
{
	const char *todo = says_root(v->text) ? "take the line out; what it needs of root is had by name: MemoryMax=, LimitNOFILE=, "
						"Nice= and the like hold in any case, and ports below 1024 are stead's"
					      : "let the operator name the account in AllowUsers=, then deploy again; or "
						"take the line out";
	char own[128];
	uint32_t gid;
	const char *why = "";

	(void)snprintf(own, sizeof own, "the app runs as %s%s", u->ctl->start.root ? "app-" : "", u->ctl->start.root ? u->app.name : "whoever started stead");
	if (!u->ctl->start.root) {
		if (strcmp(v->key, "DynamicUser") != 0)
			tell(u, v, CONF_NOTE, "stead does not run as root", own, "");
	} else if (strcmp(v->key, "User") == 0) {
		why = why_not_user(u->ctl, v->text);
		if (*why)
			tell(u, v, CONF_WARNING, why, own, todo);
	} else if (strcmp(v->key, "Group") == 0 || strcmp(v->key, "SupplementaryGroups") == 0) {
		why = why_not_group(u->ctl, who->account, v->text, &gid);
		if (*why)
			tell(u, v, CONF_WARNING, why, "the app is not in that group", todo);
	}
}

static const struct {
	const char *folder, *key, *env, *usual, *todo;
} kinds[CONF_OWN_KINDS] = {
	[CONF_OWN_STATE] = {"data", "StateDirectory", "STATE_DIRECTORY", "/var/lib",
		"the app finds it by %S or STATE_DIRECTORY; or name it like the app"},
	[CONF_OWN_CACHE] = {"cache", "CacheDirectory", "CACHE_DIRECTORY", "/var/cache",
		"the app finds it by %C or CACHE_DIRECTORY; or name it like the app"},
	[CONF_OWN_LOGS] = {"logs", "LogsDirectory", "LOGS_DIRECTORY", "/var/log",
		"the app finds it by %L or LOGS_DIRECTORY; or name it like the app"},
	[CONF_OWN_CONFIG] = {"config", "ConfigurationDirectory", "CONFIGURATION_DIRECTORY", "/etc",
		"the app finds it by %E or CONFIGURATION_DIRECTORY; or name it like the app"},
	[CONF_OWN_RUNTIME] = {"", "RuntimeDirectory", "RUNTIME_DIRECTORY", "/run",
		"the app finds it by %t or RUNTIME_DIRECTORY; or name it like the app"},
};

/* A folder that is not where a unit of systemd has it. */
static void look_at_folder(struct up *u, const struct app_value *v)
{
	char text[300];

	for (unsigned k = 0; u->ctl->start.root && k < CONF_OWN_KINDS; k++) {
		if (strcmp(v->key, kinds[k].key) != 0 || ownname_is(u->app.name, v->text))
			continue;
		(void)snprintf(text, sizeof text, "%s=%.100s is not at %s/%.100s: that name is not like the app's", v->key, v->text,
			kinds[k].usual, v->text);
		up_found(u, CONF_NOTE, v->file, v->line, v->col, text, kinds[k].todo);
	}
}

void identity_settle(struct up *u)
{
	bool dynamic = !u->c->own.user[0] && !u->c->own.group[0];
	struct identity who;

	identity_of(u->ctl, &u->app, u->c, &who);
	if (u->ctl->start.root)
		u->app.uid = who.uid;
	for (const struct app_value *v = u->app.values; v; v = v->next)
		if (strcmp(v->section, "Service") == 0 && v->text[0])
			look_at_folder(u, v);
	for (const struct app_value *v = u->app.values; v; v = v->next)
		if (strcmp(v->section, "Service") == 0 && strcmp(v->origin, "file") == 0 && v->text[0] &&
			(strcmp(v->key, "SupplementaryGroups") == 0 ||
				(!dynamic && (strcmp(v->key, "User") == 0 || strcmp(v->key, "Group") == 0))))
			look(u, v, &who);
}

/* ---- folders ---- */

/* The folder that holds those of that kind. */
static void base_of(const struct ctl *c, const struct app *a, enum conf_own_kind kind, uint32_t set, char ret[static CTL_PATH_MAX])
{
	size_t n;

	if (kind == CONF_OWN_RUNTIME) {
		wants_runtime(c, set, ret);
		return;
	}
	wants_base(c, a, ret);
	n = strlen(ret);
	(void)snprintf(ret + n, CTL_PATH_MAX - n, "/%s", kinds[kind].folder);
}

static bool path_of(const struct ctl *c, const struct app *a, enum conf_own_kind kind, uint32_t set, const char *name,
	char ret[static CTL_PATH_MAX])
{
	size_t n;

	base_of(c, a, kind, set, ret);
	n = strlen(ret);
	return snprintf(ret + n, CTL_PATH_MAX - n, "/%s", name) < (int)(CTL_PATH_MAX - n);
}

static bool any(const struct conf_app *conf, enum conf_own_kind kind)
{
	return conf->own.names[kind] && conf->own.names[kind][0];
}

void identity_folders(struct up *u)
{
	static const enum conf_own_kind written[] = {CONF_OWN_STATE, CONF_OWN_CACHE, CONF_OWN_LOGS};
	char path[CTL_PATH_MAX], group[16], mode[16];
	struct identity who;

	identity_of(u->ctl, &u->app, u->c, &who);
	(void)snprintf(group, sizeof group, "%u", (unsigned)u->app.gid);
	for (unsigned i = 0; i < ARRAY_LEN(written); i++) {
		if (written[i] != CONF_OWN_STATE && !any(u->c, written[i]))
			continue;
		base_of(u->ctl, &u->app, written[i], 0, path);
		/* What it is built with, and the release before this one, run as the app's own user. */
		up_root_folder(u, path, who.account ? who.account->name : group, group, who.account ? "0770" : "0700");
	}
	if (!any(u->c, CONF_OWN_CONFIG))
		return;
	base_of(u->ctl, &u->app, CONF_OWN_CONFIG, 0, path);
	up_root_folder(u, path, "root", group, "0755");
	(void)snprintf(mode, sizeof mode, "%04o", (unsigned)u->c->own.mode[CONF_OWN_CONFIG] & 0775);
	for (const char *const *name = u->c->own.names[CONF_OWN_CONFIG]; *name; name++)
		if (path_of(u->ctl, &u->app, CONF_OWN_CONFIG, 0, *name, path))
			up_root_folder(u, path, "root", group, mode);
}

static bool is_empty(const char *folder)
{
	DIR *d = opendir(folder);
	const struct dirent *e;
	bool empty = d || errno == ENOENT;

	while (d && empty && (e = readdir(d)) != NULL)
		empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
	if (d)
		(void)closedir(d);
	return empty;
}

/* Where a unit of systemd has it, as the app sees it. Configuration that somebody put there stays to be seen, and stead's
 * own folders are nobody's. */
static bool usual_place(const struct ctl *c, const struct app *a, enum conf_own_kind kind, const char *name,
	char ret[static CTL_PATH_MAX])
{
	if (!c->start.root || !ownname_is(a->name, name) || (strncmp(name, "stead", 5) == 0 && (!name[5] || name[5] == '/')) ||
		snprintf(ret, CTL_PATH_MAX, "%s/%s", kinds[kind].usual, name) >= CTL_PATH_MAX)
		return false;
	return kind != CONF_OWN_CONFIG || is_empty(ret);
}

/* Where Debian's php.ini has the sessions of PHP. That folder is root's and for everybody, and an app's is its own alone: it
 * is kept with its data, so that a release that follows knows its visitors. */
static void php_sessions(const struct ctl *c, const struct app *a, void (*put)(void *arg, uint32_t kind, const char *path), void *arg)
{
	char path[CTL_PATH_MAX];

	if (c->start.root && access(USUAL_PHP_SESSIONS, F_OK) == 0 && path_of(c, a, CONF_OWN_STATE, 0, "php/sessions", path)) {
		put(arg, JAIL_PATH_MAKE | 0700u << JAIL_PATH_MODE_SHIFT, path);
		put(arg, JAIL_PATH_PLACE, USUAL_PHP_SESSIONS);
	}
}

void identity_paths(const struct ctl *c, const struct app *a, const struct conf_app *conf, uint32_t set,
	void (*put)(void *arg, uint32_t kind, const char *path), void *arg)
{
	char path[CTL_PATH_MAX];

	for (enum conf_own_kind k = 0; k < CONF_OWN_KINDS; k++) {
		uint32_t kind = k == CONF_OWN_RUNTIME ? JAIL_PATH_RUNTIME : JAIL_PATH_MAKE;

		/* As root what the operator writes for it is root's: identity_folders(). */
		if (k == CONF_OWN_CONFIG && c->start.root)
			kind = JAIL_PATH_READ | JAIL_PATH_OPTIONAL;
		for (const char *const *name = conf->own.names[k]; name && *name; name++) {
			if (!path_of(c, a, k, set, *name, path))
				continue;
			put(arg, kind | conf->own.mode[k] << JAIL_PATH_MODE_SHIFT, path);
			if (usual_place(c, a, k, *name, path))
				put(arg, JAIL_PATH_PLACE, path);
		}
	}
	if (conf->php.on)
		php_sessions(c, a, put, arg);
}

bool identity_socket(const struct ctl *c, const struct app *a, const struct conf_app *conf, char *ret)
{
	const char *socket = conf->service.socket;
	char place[CTL_PATH_MAX];

	effective_path(a, socket, ret);
	for (const char *const *name = conf->own.names[CONF_OWN_RUNTIME]; name && *name; name++) {
		size_t n, m;

		if (!usual_place(c, a, CONF_OWN_RUNTIME, *name, place))
			continue;
		n = strlen(place);
		if (strncmp(socket, place, n) != 0 || socket[n] != '/' || !path_of(c, a, CONF_OWN_RUNTIME, a->set, *name, ret))
			continue;
		m = strlen(ret);
		(void)snprintf(ret + m, CTL_PATH_MAX - m, "%s", socket + n);
		break;
	}
	wants_runtime(c, a->set, place);
	return strncmp(ret, place, strlen(place)) == 0;
}

/* ---- the environment ---- */

static bool sets(const struct conf_app *conf, const char *name)
{
	size_t n = strlen(name);

	for (const char *const *v = conf->env; v && *v; v++)
		if (strncmp(*v, name, n) == 0 && (*v)[n] == '=')
			return true;
	return false;
}

static void put_account(const struct conf_app *conf, const struct identity *who, struct env_text *e)
{
	const struct passwd *pw = who->account ? getpwuid(who->uid) : NULL;
	const char *const vars[][2] = {{"HOME", pw ? pw->pw_dir : ""}, {"LOGNAME", pw ? pw->pw_name : ""},
		{"USER", pw ? pw->pw_name : ""}, {"SHELL", pw ? pw->pw_shell : ""}};

	for (unsigned i = 0; i < ARRAY_LEN(vars); i++)
		if (vars[i][1] && vars[i][1][0] && !sets(conf, vars[i][0]))
			want_env(e, vars[i][0], "%s", vars[i][1]);
}

void identity_env(const struct ctl *c, const struct app *a, const struct conf_app *conf, uint32_t set, struct env_text *e)
{
	char path[CTL_PATH_MAX];
	struct identity who;
	struct buf b;

	identity_of(c, a, conf, &who);
	put_account(conf, &who, e);
	for (enum conf_own_kind k = 0; k < CONF_OWN_KINDS; k++) {
		if (sets(conf, kinds[k].env) || (!any(conf, k) && k != CONF_OWN_STATE))
			continue;
		buf_init(&b, CTL_PATH_MAX);
		for (const char *const *name = conf->own.names[k]; name && *name; name++)
			if (path_of(c, a, k, set, *name, path))
				buf_printf(&b, "%s%s", b.len ? ":" : "", path);
		base_of(c, a, k, set, path);
		want_env(e, kinds[k].env, "%s", b.len && !b.error ? buf_str(&b) : path);
		buf_done(&b);
	}
}
