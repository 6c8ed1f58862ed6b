/*
 * people.c: who may ask what on the control socket.
 *
 * Called by control.c with each connection and each request, and by trouble.c with what status says. The socket's mode
 * keeps nobody out where root runs the instance: a mode knows one group, here four kinds of people come, and the kernel's
 * refusal would not say what they lack. So the peer's credentials decide, for each request by its row in tbl/commands.h.
 * Whoever may ask nothing gets his answer at once and takes no place. Owns nothing.
 */
#include "ctl.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { GROUPS_MAX = 65536 }; /* NGROUPS_MAX of Linux */

/* Supplementary groups of the peer: how many, or 0 when they cannot be told; *ret is the caller's to free. */
static unsigned groups_of(int fd, uint32_t **ret)
{
	socklen_t n = 64 * sizeof **ret;
	uint32_t *groups = malloc(n);

	if (groups && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &n) < 0) {
		bool more = errno == ERANGE && n <= GROUPS_MAX * sizeof *groups;

		free(groups);
		groups = more ? malloc(n) : NULL;
		if (groups && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &n) < 0) {
			free(groups);
			groups = NULL;
		}
	}
	*ret = groups;
	return groups ? n / sizeof *groups : 0;
}

/* A person of stead's who deploys: an account with its mark, and a file of root's that names the same number. */
static bool deployer(const char *state_root, uint32_t uid, struct person *ret)
{
	struct passwd pw, *found = NULL;
	char mem[4096];

	return getpwuid_r(uid, &pw, mem, sizeof mem, &found) == 0 && found &&
	       strcmp(pw.pw_gecos, PERSON_MARK) == 0 && person_read(state_root, pw.pw_name, ret) == 0 &&
	       ret->uid == uid && ret->napps > 0;
}

void people_who(const char *state_root, uint32_t uid, const uint32_t *groups, unsigned ngroups, uint32_t operators,
	struct peer *ret)
{
	ret->uid = uid;
	ret->who = WHO_END;
	for (unsigned i = 0; i < ngroups; i++)
		if (operators && groups[i] == operators)
			ret->who = WHO_OPERATORS;
	if (ret->who == WHO_END && deployer(state_root, uid, &ret->person))
		ret->who = WHO_DEPLOYERS;
}

void people_peer(const struct ctl *c, int fd, struct peer *ret)
{
	struct group gr, *found = NULL;
	uint32_t *groups = NULL;
	struct ucred cred;
	socklen_t n = sizeof cred;
	unsigned ngroups;
	char mem[65536]; /* with its members */

	*ret = (struct peer){.uid = UINT32_MAX, .who = WHO_END};
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0)
		return;
	ret->uid = cred.uid;
	if (cred.uid == 0 || cred.uid == geteuid()) {
		ret->who = WHO_OWNER;
		return;
	}
	if (!c->start.root)
		return;
	if (getgrnam_r(PERSON_GROUP, &gr, mem, sizeof mem, &found) != 0 || !found)
		gr.gr_gid = 0;
	people_who(PERSON_STATE_ROOT, cred.uid, &cred.gid, 1, gr.gr_gid, ret);
	if (ret->who == WHO_OPERATORS)
		return;
	ngroups = groups_of(fd, &groups);
	people_who(PERSON_STATE_ROOT, cred.uid, groups, ngroups, gr.gr_gid, ret);
	free(groups);
}

static const char join[] = "ask an operator of this server; `sudo usermod -aG " PERSON_GROUP
			   " NAME` makes one, from his next login on";

void people_refuse(const struct peer *p, bool busy, char *ret, size_t cap)
{
	char why[200];
	json_t *o;
	char *text;

	if (busy)
		(void)snprintf(why, sizeof why, "Too many connections to stead's control socket are open.");
	else
		(void)snprintf(why, sizeof why,
			"Your account (number %u) may not ask this stead for anything: it is neither root, the user that "
			"runs it, nor in the group " PERSON_GROUP ".", (unsigned)p->uid);
	o = json_pack("{s:s, s:i, s:s, s:s}", "event", "end", "exit", busy ? VERB_EXIT_BUSY : VERB_EXIT_NOT_PERMITTED,
		"error", why, "todo", busy ? "end some of them (`stead logs -f` is one), then try again" : join);
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	(void)snprintf(ret, cap, "%s\n", text ? text : "");
	free(text);
}

static bool refuse(struct client *cl, const char *why)
{
	client_end(cl, VERB_EXIT_NOT_PERMITTED, why, join, NULL);
	return false;
}

/* A deployer asks for his app alone. */
static bool own_app(struct client *cl)
{
	const struct person *p = &cl->peer.person;
	char why[400], apps[PERSON_APPS_MAX * (PERSON_APP_MAX + 2)] = "";
	size_t n = 0;

	if (!cl->req.app[0] && p->napps == 1)
		(void)snprintf(cl->req.app, sizeof cl->req.app, "%s", p->app[0]);
	if (person_deploys(p, cl->req.app))
		return true;
	for (unsigned i = 0; i < p->napps; i++)
		n += (size_t)snprintf(apps + n, sizeof apps - n, "%s%s", i ? ", " : "", p->app[i]);
	(void)snprintf(why, sizeof why, "%s deploys %s, and may ask for nothing else%s.", p->name, apps,
		cl->req.app[0] ? "" : "; name the app");
	return refuse(cl, why);
}

bool people_may(struct client *cl)
{
	const struct request_row *row = &request_rows[cl->req.verb];
	char why[300];

	if (cl->peer.who > row->who) {
		(void)snprintf(why, sizeof why, "You may not ask for `stead %s` here (%s): it is for %s.",
			command_rows[row->verb].name, row->name, who_texts[row->who]);
		return refuse(cl, why);
	}
	return cl->peer.who != WHO_DEPLOYERS || own_app(cl);
}

static void prune(json_t *list, const char *only)
{
	size_t i = json_array_size(list);

	while (i-- > 0) {
		const char *app = json_string_value(json_object_get(json_array_get(list, i), "app"));

		if (!app || strcmp(app, only) != 0)
			(void)json_array_remove(list, i);
	}
}

void people_prune(const struct client *cl, json_t *status)
{
	if (cl->peer.who != WHO_DEPLOYERS)
		return;
	prune(json_object_get(status, "processes"), cl->req.app);
	prune(json_object_get(status, "timers"), cl->req.app);
	/* What stands in the operator's files, and what is wrong there in their words. */
	(void)json_object_set_new(status, "server", json_null());
	if (strcmp(cl->ctl->app.name, cl->req.app) != 0) {
		(void)json_object_set_new(status, "folder", json_string(""));
		(void)json_object_set_new(status, "database", json_null());
	}
}
