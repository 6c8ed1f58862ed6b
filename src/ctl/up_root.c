/*
 * up_root.c: what comes first when the parent is root: the app's user, a copy of its folder, the
 * folders that postgres and the app own; and, when check has told them, copies of the static trees,
 * which are all that the gates' own root shows of the app.
 *
 * Each copy is a numbered tree of its own, STATE/releases/N and STATE/public/N, that nothing
 * changes once it is there. Which one serves is in the app's row (its `work`), written when it is
 * live; what comes is made, checked and tried beside it. The old ones go when the last worker on
 * them has gone.
 *
 * Called by up_advance(). Each is one row of tbl/acts.h, done by act; ctl itself has no privilege.
 */
#include "up_trees.h"
#include "wants.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEN_BY_GATES "/run/stead/backends/"
enum { ACT_MS = 120 * 1000, TREES_MAX = 1000000000 };

static void ended(struct ask *a, const struct ask_end *end);

static void step(struct ask *a, const char *text, uint32_t permille)
{
	struct up *u = a->owner;

	client_progress(u->client, "prepare", text, permille);
}

static const struct ask_ops act_ops = {.step = step, .ended = ended};

void up_root_act(struct up *u, enum act act, const char *const *args)
{
	struct msg_act_ask ask = {.act = act};
	struct ask *a;
	struct buf b;

	buf_init(&b, CHAN_PAYLOAD_MAX);
	buf_put(&b, &ask, sizeof ask);
	for (unsigned i = 0; i < act_rows[act].args; i++)
		pack_str(&b, args[i]);
	u->acts_pending++;
	a = ask_start(u->ctl, PROC_ACT, 0, 0, ACT_MS, MSG_ACT_ASK, &b, &act_ops, u);
	if (a)
		a->what = act;
	else
		up_fail(u, VERB_EXIT_FAILED, "try again", "stead-act cannot be asked: no memory.");
}

void up_root_folder(
	struct up *u, const char *name, const char *owner, const char *group, const char *mode)
{
	const char *const args[] = {name, owner, group, mode};

	up_root_act(u, ACT_FOLDER_MAKE, args);
}

/* Those that only the app's user owns: what is somebody's is never given to another, so they are
 * not made before the name is settled. */
static void own_folders(struct up *u)
{
	char number[16], path[CTL_PATH_MAX];

	u->owned = true;
	(void)snprintf(number, sizeof number, "%u", (unsigned)u->app.gid);
	identity_settle(u);
	identity_folders(u);
	wants_own(u->ctl, &u->app, path);
	up_root_folder(u, path, number, number, "0755");
}

/* Below /run, so it is made anew after each boot of the machine, whichever app needs it. */
static void sockets_folder(struct up *u, const char *group, const char *mode)
{
	char sockets[CTL_PATH_MAX];
	uint32_t uid, gid;

	wants_sockets(u->ctl, sockets);
	if (up_root_postgres(&uid, &gid) == 0)
		up_root_folder(u, sockets, "postgres", group, mode);
}

static void copy_and_folders(struct up *u)
{
	char number[16], path[CTL_PATH_MAX];
	const char *const args[] = {u->app.folder, u->app.work, number};

	(void)snprintf(number, sizeof number, "%u", (unsigned)u->app.gid);
	if (u->app.gid == 0) {
		up_root_act(u, ACT_TREE_COPY, (const char *const[]){u->app.folder, u->app.work, "stead-check"});
		sockets_folder(u, "postgres", "0711");
		return;
	}
	up_root_act(u, ACT_TREE_COPY, args);
	wants_php_folder(u->ctl, &u->app, path);
	up_root_folder(u, path, "stead-ctl", number, "0750");
	sockets_folder(u, number, u->ctl->app.next ? "0711" : "0710");
}

/* "uid:gid" of the user that act found or made. */
static void user_made(struct up *u, const char *result)
{
	char *end;
	unsigned long uid = strtoul(result, &end, 10),
		      gid = *end == ':' ? strtoul(end + 1, &end, 10) : 0;

	if (*end || uid == 0 || gid == 0 || uid > UINT32_MAX || gid > UINT32_MAX) {
		up_fail(u, VERB_EXIT_FAILED, "this is a bug in stead: please report it",
			"The app's user was not told as expected: \"%s\".", result);
		return;
	}
	u->app.uid = (uint32_t)uid;
	u->app.gid = (uint32_t)gid;
	if (!u->deploy)
		copy_and_folders(u);
}

static void ended(struct ask *a, const struct ask_end *end)
{
	struct up *u = a->owner;

	if (end->err && a->what != ACT_TREE_MOUNT) {
		up_fail(u, end->exit_code, end->todo, "%s", end->error);
		return;
	}
	u->acts_pending--;
	if (a->what == ACT_TREE_MOUNT)
		up_tree_ended(u, end);
	if (a->what == ACT_USER_APP)
		user_made(u, end->result);
	if (u->acts_pending == 0 && !u->failing)
		up_advance(u);
}

/* Of the copy that it runs from; 0: none yet. */
static unsigned long tree_number(const struct app *a)
{
	const char *slash = strrchr(a->work, '/');
	char *end;
	unsigned long n = slash ? strtoul(slash + 1, &end, 10) : 0;

	return n > 0 && *end == '\0' && n < TREES_MAX ? n : 0;
}

/* The operator's folder mostly has no program: then nothing runs as a user of its own, and there is none. One that was
 * made is kept. */
static bool needs_user(const struct up *u)
{
	const struct conf_app *conf = u->checked ? u->c : NULL;

	return !u->ctl->start.server || u->app.gid != 0 ||
	       (conf && (wants_role(conf) != PROC_NONE || conf->nprograms > 0 || conf->challenge_hook ||
				conf->migrate || conf->postgres == CONF_POSTGRES_YES));
}

bool up_root_ready(struct up *u)
{
	char owner[CTL_PATH_MAX];
	const char *const args[] = {u->app.name, "", owner};

	/* The operator's state is not below another's. */
	(void)snprintf(owner, sizeof owner, "%s%s", u->ctl->state_dir, u->ctl->start.server ? "/server" : "");

	if (!u->ctl->start.root)
		return true;
	/* The name is the folder's at first; stead.conf may name another, whose user it shall be
	 * then. */
	if (strcmp(u->prepared, u->app.name) != 0) {
		memcpy(u->prepared, u->app.name, sizeof u->prepared);
		/* Beside what serves now, so that a copy which turns out bad is never run. */
		(void)snprintf(u->app.work, sizeof u->app.work, "%s/releases/%lu",
			u->ctl->state_dir, tree_number(&u->ctl->app) + 1);
		client_progress(u->client, "prepare", "copying the folder", UINT32_MAX);
		if (needs_user(u))
			up_root_act(u, ACT_USER_APP, args);
		else
			copy_and_folders(u);
	} else if (u->checked && !u->owned && u->acts_pending == 0 && !u->failing && needs_user(u)) {
		/* The operator's, whose program has just been found: the copy becomes his group's. */
		if (u->app.gid == 0)
			up_root_act(u, ACT_USER_APP, args);
		else
			own_folders(u);
	}
	return u->acts_pending == 0;
}

/* ---- static trees ---- */

void up_public_path(const struct ctl *c, const struct app *a, uint32_t site, int index,
	char ret[static CTL_PATH_MAX])
{
	unsigned long n = tree_number(a);
	char of[24] = "", app[24] = "";

	if (app_deployed(a))
		(void)snprintf(app, sizeof app, "app%u/", (unsigned)a->number);
	else if (site != a->number)
		(void)snprintf(of, sizeof of, "site%u-", (unsigned)site);
	if (index == PUBLIC_ROOT)
		(void)snprintf(ret, CTL_PATH_MAX, "%s/public/%s%lu/%sroot", c->state_dir, app, n, of);
	else if (index >= PUBLIC_ROUTES)
		(void)snprintf(ret, CTL_PATH_MAX, "%s/public/%s%lu/%sroute%d", c->state_dir, app, n, of,
			index - PUBLIC_ROUTES);
	else
		(void)snprintf(
			ret, CTL_PATH_MAX, "%s/public/%s%lu/%sstatic%d", c->state_dir, app, n, of, index);
}

/* Only what lies in the copy may be published; act holds us to it. */
static bool is_inside(const char *path)
{
	for (const char *part = path; path[0] != '/';) {
		size_t n = strcspn(part, "/");

		if (n == 2 && memcmp(part, "..", 2) == 0)
			return false;
		if (!part[n])
			return true;
		part += n + 1;
	}
	return false;
}

static bool publish(struct up *u, const char *path, int index)
{
	char from[CTL_PATH_MAX], to[CTL_PATH_MAX];
	const char *const args[] = {from, to, "stead-gate"};

	effective_path(&u->app, path, from);
	if (!is_inside(path)) {
		up_fail(u, VERB_EXIT_USAGE,
			"name the app's own folder or one below it: as root only a copy of that is "
			"published",
			"The static folder \"%s\" is not in %s.", path, u->app.folder);
		return false;
	}
	up_public_path(u->ctl, &u->app, u->app.number, index, to);
	up_root_act(u, u->c->php.on ? ACT_SCRIPTS_COPY : ACT_TREE_COPY, args);
	return true;
}

int up_public_index(const struct conf_app *conf, unsigned route)
{
	return strcmp(conf->routes[route].root, conf->root) == 0 ? PUBLIC_ROOT
								 : PUBLIC_ROUTES + (int)route;
}

/* A gate has a root of its own, in which of all sockets only those of this folder lie: the parent puts
 * it there (src/parent/jail.c). */
static bool is_hidden(const struct conf_server *s)
{
	return s->kind == CONF_SERVER_UNIX &&
	       (strncmp(s->name, SEEN_BY_GATES, strlen(SEEN_BY_GATES)) != 0 || strstr(s->name, "/../") != NULL);
}

bool up_root_hidden(const struct conf_upstream *up, const char **ret_path)
{
	for (unsigned i = 0; i < up->nservers; i++)
		if (is_hidden(&up->servers[i])) {
			*ret_path = up->servers[i].name;
			return true;
		}
	return false;
}

/* Programs of apps have their sockets in a folder of the instance there, for the gates alone: whoever deploys an app must not
 * have the gates pass requests on to another's program, behind the rules of that one's site. */
static bool is_anothers(const struct up *u, const char *path)
{
	const char *rest = path + strlen(SEEN_BY_GATES);
	char own[CTL_PATH_MAX];

	if (rest[0] == '.' || rest[0] == '/' || strstr(rest, "//") || strstr(rest, "/./"))
		return true;
	for (uint32_t set = u->app.set & ~1u; set <= (u->app.set | 1u); set++) {
		wants_runtime(u->ctl, set, own);
		if (own[0] && strncmp(path, own, strlen(own)) == 0 && path[strlen(own)] == '/')
			return false;
	}
	return strchr(rest, '/') != NULL;
}

static bool refuse_anothers(struct up *u, const struct conf_upstream *up)
{
	for (unsigned i = 0; i < up->nservers; i++)
		if (u->deploy && up->servers[i].kind == CONF_SERVER_UNIX && is_anothers(u, up->servers[i].name)) {
			up_fail(u, VERB_EXIT_USAGE, "name the site's URL, or have that program put a socket of its own into " SEEN_BY_GATES,
				"The socket %s is another app's, which its own site alone passes requests to.", up->servers[i].name);
			return true;
		}
	return false;
}

static bool refuse_hidden(struct up *u, const struct conf_upstream *up)
{
	const char *path;

	if (!up_root_hidden(up, &path))
		return refuse_anothers(u, up);
	up_fail(u, VERB_EXIT_USAGE, UP_ROOT_SOCKET_TODO,
		"The socket %s cannot be reached when stead runs as root: its gates see "
		"none of the machine's files but /run/stead/backends.",
		path);
	return true;
}

static bool refuse_sockets(struct up *u)
{
	for (unsigned i = 0; i < u->c->nupstreams; i++)
		if (refuse_hidden(u, &u->c->upstreams[i]))
			return true;
	for (unsigned i = 0; i < u->c->ntcps; i++)
		if (refuse_hidden(u, &u->c->tcps[i].up))
			return true;
	return false;
}

void up_root_publish(struct up *u, const char *from, const char *to)
{
	const char *const args[] = {from, to, "stead-gate"};

	up_root_act(u, ACT_TREE_COPY, args);
}

static bool publish_own(struct up *u)
{
	const struct conf_static *s = u->c->statics;

	if (u->c->root[0] && !publish(u, u->c->root, PUBLIC_ROOT))
		return false;
	for (unsigned i = 1; i < u->c->nroutes; i++)
		if (u->c->routes[i].root[0] && up_public_index(u->c, i) != PUBLIC_ROOT &&
			!publish(u, u->c->routes[i].root, up_public_index(u->c, i)))
			return false;
	for (int i = 0; s && s[i].prefix; i++)
		if (!publish(u, s[i].path, i))
			return false;
	return true;
}

bool up_root_published(struct up *u)
{
	if (!u->ctl->start.root)
		return true;
	if (!u->publishing) {
		u->publishing = true;
		if (refuse_sockets(u) || ((!up_trees_are(u) || u->c->php.on) && !publish_own(u)))
			return false;
	}
	if (u->acts_pending != 0)
		return false;
	return up_trees_are(u) ? up_trees_published(u) : up_root_sites_published(u);
}

/* ---- copies that nobody runs from any more ---- */

static void cleared(struct ask *a, const struct ask_end *end)
{
	/* What stays is removed with the next one; it costs space only. */
	if (end->err)
		say(a->ctl, EV_STATE_ERROR, "what", "remove old copies of the app's folder",
			"error", end->error, NULL);
}

static const struct ask_ops clear_ops = {.ended = cleared};

static void clear(struct ctl *c, const char *folder)
{
	struct msg_act_ask ask = {.act = ACT_TREES_CLEAR};
	char path[CTL_PATH_MAX], number[24];
	struct buf b;

	(void)snprintf(path, sizeof path, "%s/%s", c->state_dir, folder);
	(void)snprintf(number, sizeof number, "%lu", tree_number(&c->app));
	buf_init(&b, CHAN_PAYLOAD_MAX);
	buf_put(&b, &ask, sizeof ask);
	pack_str(&b, path);
	pack_str(&b, number);
	(void)ask_start(c, PROC_ACT, 0, 0, ACT_MS, MSG_ACT_ASK, &b, &clear_ops, c);
}

void up_root_settle(struct ctl *c)
{
	struct app_run *run = c->app.run;

	if (!run->clearing || c->stopping || tree_number(&c->app) == 0)
		return;
	for (unsigned i = 0; i < c->procs_n; i++)
		if ((c->procs[i].st.role == PROC_WORKER || c->procs[i].st.role == PROC_SERVICE) &&
			c->procs[i].st.pid > 0 &&
			apps_owner(c, c->procs[i].st.app) == &c->app &&
			c->procs[i].st.generation <= run->clear_generation)
			return;
	run->clearing = false;
	clear(c, "releases");
	clear(c, "public");
}
