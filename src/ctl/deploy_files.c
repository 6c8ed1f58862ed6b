/*
 * deploy_files.c: the steps that bring a release's files: the app's user and folders, the stream of whoever deploys,
 * the release that nothing changes any more, and what outlives it.
 *
 * ctl reads none of it: build takes the stream as the app's user and writes it into the app's folder `incoming`, act
 * makes the release of that, which is root's. Without root build writes the release itself.
 */
#include "deploy.h"
#include "wants.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/sys.h"

void deploy_tree(const struct ctl *c, const struct app *a, const char *where, uint32_t number,
	char ret[static CTL_PATH_MAX])
{
	char below[64];

	(void)snprintf(below, sizeof below, "%s/%u", where, (unsigned)number);
	wants_below(c, a, below, ret);
}

/* ---- the user and his folders ---- */

bool deploy_user(struct up *u)
{
	char folder[CTL_PATH_MAX];
	const char *const args[] = {u->app.name, "", folder};

	if (deploy_begins(u->deploy)) {
		client_progress(u->client, "prepare", "seeing to the app's user and folders", UINT32_MAX);
		wants_below(u->ctl, &u->app, "", folder);
		if (u->ctl->start.root)
			up_root_act(u, ACT_USER_APP, args);
	}
	return u->acts_pending == 0;
}

static void make_own(struct up *u)
{
	static const char *const names[] = {"", "releases", "own", "data", "data/persist"};
	char path[CTL_PATH_MAX];

	(void)mkdirat(u->ctl->state_fd, "apps", 0700);
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		wants_below(u->ctl, &u->app, names[i], path);
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			up_fail(u, VERB_EXIT_FAILED, "see that the state folder can be written",
				"The folder %s cannot be made: %s.", path, strerror(errno));
	}
}

bool deploy_folders(struct up *u)
{
	static const struct {
		const char *name, *mode;
		bool ctl; /* … makes what lies in it */
	} folders[] = {{"own", "0755", false}, {"incoming", "0700", false}, {"php", "0750", true}};
	char path[CTL_PATH_MAX], sockets[CTL_PATH_MAX], number[16];
	uint32_t uid, gid;

	if (!deploy_begins(u->deploy))
		return u->acts_pending == 0;
	if (!u->ctl->start.root) {
		make_own(u);
		return !u->failing;
	}
	(void)snprintf(number, sizeof number, "%u", (unsigned)u->app.gid);
	for (unsigned i = 0; i < ARRAY_LEN(folders); i++) {
		wants_below(u->ctl, &u->app, folders[i].name, path);
		up_root_folder(u, path, folders[i].ctl ? "stead-ctl" : number, number, folders[i].mode);
	}
	wants_sockets(u->ctl, sockets);
	if (up_root_postgres(&uid, &gid) == 0)
		up_root_folder(u, sockets, "postgres", "postgres", "0711");
	return false;
}

/* ---- the stream ---- */

static void received(struct ask *a, const struct ask_end *end)
{
	struct up *u = a->owner;

	if (end->err)
		up_fail(u, end->exit_code, end->todo, "%s", end->error);
	else
		deploy_step_done(u);
}

static void receiving(struct ask *a, const char *text, uint32_t permille)
{
	struct up *u = a->owner;

	client_progress(u->client, "receive", text, permille);
}

static const struct ask_ops files_ops = {.step = receiving, .ended = received};

bool deploy_receive(struct up *u)
{
	struct deploy *d = u->deploy;
	uint64_t random[2];

	if (!deploy_begins(d))
		return d->done;
	if (sys_random(random, sizeof random) < 0) {
		up_fail(u, VERB_EXIT_FAILED, "try again", "There is no randomness.");
		return false;
	}
	(void)snprintf(d->token, sizeof d->token, "%016llx%016llx", (unsigned long long)random[0],
		(unsigned long long)random[1]);
	d->receives = true;
	deploy_turn_sends(u);
	client_progress(u->client, "receive", "receiving the folder", UINT32_MAX);
	client_say(u->client, json_pack("{s:s, s:s}", "event", "send", "token", d->token));
	if (!u->client)
		deploy_client_gone(u);
	return false;
}

void deploy_send_start(struct client *cl)
{
	struct up *u = cl->ctl->up;
	struct deploy *d = u ? u->deploy : NULL;
	const char *where = cl->ctl->start.root ? "incoming" : "releases";
	char folder[CTL_PATH_MAX], name[16];
	const char *const text[4] = {folder, name, "", ""};
	int fd;

	if (!d || !d->receives || u->failing || strcmp(cl->req.app, u->app.name) != 0 ||
		strcmp(cl->req.token, d->token) != 0) {
		client_end(cl, VERB_EXIT_NO_SUCH, "No deploy waits for these files.", "deploy again", NULL);
		return;
	}
	d->receives = false;
	fd = fcntl(cl->lfd.fd, F_DUPFD_CLOEXEC, 10);
	wants_below(cl->ctl, &u->app, where, folder);
	(void)snprintf(name, sizeof name, "%u", (unsigned)u->app.release);
	/* From here on the connection is build's: nothing of it is read here any more. */
	cl->handed = true;
	if (fd < 0 || !deploy_ask_files(cl->ctl, &u->app, UNPACK_RECEIVE, text, fd, &files_ops, u))
		up_fail(u, VERB_EXIT_FAILED, "try again", "stead-build cannot be asked: no memory.");
}

/* ---- the release ---- */

bool deploy_copy(struct up *u)
{
	struct deploy *d = u->deploy;
	char from[CTL_PATH_MAX], number[16];
	const char *const copy[] = {from, u->app.work, number};
	const char *const gone[] = {from};

	if (!u->ctl->start.root)
		return true;
	deploy_tree(u->ctl, &u->app, "incoming", u->app.release, from);
	(void)snprintf(number, sizeof number, "%u", (unsigned)u->app.gid);
	if (deploy_begins(d)) {
		client_progress(u->client, "copy", "making the release", UINT32_MAX);
		up_root_act(u, ACT_TREE_COPY, copy);
		return false;
	}
	if (u->acts_pending)
		return false;
	if (!d->done) {
		d->done = true;
		up_root_act(u, ACT_TREE_REMOVE, gone);
		return false;
	}
	return true;
}

/* ---- as whom it runs, and whose its folders are ---- */

bool deploy_identity(struct up *u)
{
	if (deploy_begins(u->deploy)) {
		identity_settle(u);
		if (u->ctl->start.root)
			identity_folders(u);
	}
	return u->acts_pending == 0;
}

/* ---- what outlives it ---- */

enum persist_step { PERSIST_NOT = 0, PERSIST_FOLDER, PERSIST_KEEPS, PERSIST_LINKS, PERSIST_DONE };

static void persisted(struct ask *a, const struct ask_end *end);
static const struct ask_ops persist_ops = {.ended = persisted};

/* The paths into the app's data folder, as its user; then, whoever owns the release, links in that. */
static void persist(struct up *u, enum persist_step step)
{
	char keep[CTL_PATH_MAX];
	const char *text[4] = {keep, "", u->app.work, ""};
	enum unpack_what what = UNPACK_PERSIST;
	struct buf b;

	u->deploy->persist = (uint8_t)step;
	wants_below(u->ctl, &u->app, "data/persist", keep);
	buf_init(&b, CHAN_PAYLOAD_MAX / 2);
	for (const char *const *p = u->c->persist; *p; p++)
		buf_printf(&b, "%s%s", b.len ? "\n" : "", *p);
	text[3] = buf_str(&b);
	if (step == PERSIST_LINKS && !u->ctl->start.root) {
		text[0] = u->app.work;
		text[2] = keep;
		what = UNPACK_LINK;
	}
	if (step == PERSIST_LINKS && u->ctl->start.root && text[3])
		up_root_act(u, ACT_PERSIST, (const char *const[]){u->app.work, keep, text[3]});
	else if (!text[3] || !deploy_ask_files(u->ctl, &u->app, what, text, -1, &persist_ops, u))
		up_fail(u, VERB_EXIT_FAILED, "try again", "stead-build cannot be asked: no memory.");
	buf_done(&b);
}

static void persisted(struct ask *a, const struct ask_end *end)
{
	struct up *u = a->owner;

	if (end->err) {
		up_fail(u, end->exit_code, end->todo, "%s", end->error);
	} else if (u->deploy->persist == PERSIST_KEEPS) {
		persist(u, PERSIST_LINKS);
	} else {
		u->deploy->persist = PERSIST_DONE;
		up_advance(u);
	}
}

bool deploy_persist(struct up *u)
{
	struct deploy *d = u->deploy;
	char path[CTL_PATH_MAX], number[16];
	struct identity who;

	if (!u->c->persist || !u->c->persist[0])
		return true;
	if (deploy_begins(d)) {
		client_progress(u->client, "files", "seeing to what outlives the release", UINT32_MAX);
		if (!u->ctl->start.root) {
			persist(u, PERSIST_KEEPS);
			return false;
		}
		d->persist = PERSIST_FOLDER;
		(void)snprintf(number, sizeof number, "%u", (unsigned)u->app.gid);
		identity_of(u->ctl, &u->app, u->c, &who);
		wants_below(u->ctl, &u->app, "data/persist", path);
		up_root_folder(u, path, who.account ? who.account->name : number, number, "0755");
		return false;
	}
	if (u->acts_pending)
		return false;
	if (d->persist == PERSIST_FOLDER)
		persist(u, PERSIST_KEEPS);
	return d->persist == PERSIST_DONE || (d->persist == PERSIST_LINKS && u->ctl->start.root);
}
