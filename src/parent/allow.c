/*
 * allow.c: as whom the operator lets apps run besides their own users ([Server] AllowUsers=).
 *
 * Called at boot, before each check of a configuration and for each request of ctl's. The operator's word is taken from his own file, which is
 * root's, and from /etc/passwd and /etc/group, never from ctl: who took ctl over gains no account by it. Owns the table
 * in struct parent. Never allowed, whatever the file says: root, the accounts that stead itself runs as, the
 * database's, those of apps, and root's and the operators' groups.
 */
#include "parent.h"
#include "lib/unitword.h"
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPERATORS_FILE "/etc/stead/stead.conf"
#define OPERATORS_GROUP "stead"
enum { WORDS_MAX = 2048, GROUP_LINE_MAX = 256 * 1024 };

static bool is_apps(uint32_t id)
{
	return id >= UID_APP_MIN && id <= UID_APP_MAX;
}

/* Groups that nobody gets into by an app. */
static bool is_closed(const struct parent *p, const char *name, uint32_t gid)
{
	bool closed = gid == 0 || is_apps(gid) || strcmp(name, OPERATORS_GROUP) == 0 ||
		      (p->postgres.uid != 0 && gid == p->postgres.gid);

	for (unsigned i = 0; i < ARRAY_LEN(p->account); i++)
		closed |= p->account[i].uid != 0 && gid == p->account[i].gid;
	return closed;
}

/* NULL: it may. */
static const char *why_not(const struct parent *p, const struct account *a)
{
	if (a->uid == 0)
		return "no app ever runs as root: whoever took it over would have the machine";
	if (is_apps(a->uid))
		return "it is another app's own";
	if (p->postgres.uid != 0 && a->uid == p->postgres.uid)
		return "it is the database's, and would own every app's data";
	for (unsigned i = 0; i < ARRAY_LEN(p->account); i++)
		if (p->account[i].uid != 0 && a->uid == p->account[i].uid)
			return "stead itself runs as it";
	if (is_closed(p, "", a->gid))
		return "its first group is one that no app may have";
	return NULL;
}

static bool has_member(const struct group *gr, const char *name)
{
	for (char **m = gr->gr_mem; *m != NULL; m++)
		if (strcmp(*m, name) == 0)
			return true;
	return false;
}

/* Every account's groups in one walk through the file. */
static void find_groups(struct parent *p)
{
	FILE *f = fopen("/etc/group", "re");
	char *line = malloc(GROUP_LINE_MAX);
	struct group gr, *got;

	while (f != NULL && line != NULL && fgetgrent_r(f, &gr, line, GROUP_LINE_MAX, &got) == 0)
		for (unsigned i = 0; i < p->allow.n; i++) {
			struct allow_account *a = &p->allow.account[i];

			if (gr.gr_gid != a->gid && a->groups_n < ACCOUNT_GROUPS_MAX &&
				!is_closed(p, gr.gr_name, gr.gr_gid) && has_member(&gr, a->name))
				a->groups[a->groups_n++] = gr.gr_gid;
		}
	free(line);
	if (f != NULL)
		fclose(f);
}

static void refuse(struct parent *p, const char *name, const char *why)
{
	struct allow *w = &p->allow;

	if (w->refused_n >= ACCOUNTS_MAX)
		return;
	snprintf(w->refused[w->refused_n].name, ACCOUNT_NAME_MAX, "%s", name);
	w->refused[w->refused_n++].why = why;
}

static void add(struct parent *p, const char *name)
{
	struct allow *w = &p->allow;
	struct account a;
	const char *why = account_find(name, &a) < 0 ? "there is no such account in /etc/passwd" : why_not(p, &a);

	if (why == NULL && w->n >= ACCOUNTS_MAX)
		why = "too many accounts are named before it";
	if (why != NULL) {
		refuse(p, name, why);
		return;
	}
	struct allow_account *to = &w->account[w->n++];
	*to = (struct allow_account){.uid = a.uid, .gid = a.gid};
	snprintf(to->name, sizeof(to->name), "%s", name);
}

/* Who is refused is said when that is new. */
static void say_refused(struct parent *p, const struct allow *was)
{
	const struct allow *w = &p->allow;

	if (w->refused_n == was->refused_n && memcmp(w->refused, was->refused, sizeof(w->refused)) == 0)
		return;
	for (unsigned i = 0; i < w->refused_n; i++)
		say_text(p, EV_ACCOUNT_REFUSED, "account", w->refused[i].name, "why", w->refused[i].why);
}

void allow_read(struct parent *p)
{
	struct allow was = p->allow;
	char *words = malloc(WORDS_MAX), *save = NULL;
	int e = words != NULL && p->root ? unitword_read(OPERATORS_FILE, "Server", "AllowUsers", words, WORDS_MAX) : -ENOENT;

	memset(&p->allow, 0, sizeof(p->allow));
	if (e < 0 && e != -ENOENT)
		refuse(p, OPERATORS_FILE, "it is not root's alone to write, or AllowUsers= is too long");
	for (char *at = words; e == 0; at = NULL) {
		const char *name = strtok_r(at, " ", &save);

		if (name == NULL)
			break;
		if (strlen(name) >= ACCOUNT_NAME_MAX)
			refuse(p, "AllowUsers=", "a name in it is longer than an account's can be");
		else
			add(p, name);
	}
	if (p->allow.n > 0)
		find_groups(p);
	free(words);
	say_refused(p, &was);
}

void allow_tell(struct parent *p)
{
	const struct allow *w = &p->allow;
	struct msg_accounts m = {.allowed = w->n, .refused = w->refused_n};
	struct buf b;

	buf_init(&b, CHAN_PAYLOAD_MAX - sizeof(m));
	for (unsigned i = 0; i < w->n; i++) {
		const struct allow_account *a = &w->account[i];

		pack_u32(&b, a->uid);
		pack_u32(&b, a->gid);
		pack_u32(&b, a->groups_n);
		for (unsigned k = 0; k < a->groups_n; k++)
			pack_u32(&b, a->groups[k]);
		pack_str(&b, a->name);
	}
	for (unsigned i = 0; i < w->refused_n; i++) {
		pack_str(&b, w->refused[i].name);
		pack_str(&b, w->refused[i].why);
	}
	if (b.error == 0)
		tell_ctl(p, MSG_ACCOUNTS, 0, &m, sizeof(m), b.p, b.len, NULL, 0);
	buf_done(&b);
}

bool allow_uid(const struct parent *p, uint32_t uid)
{
	for (unsigned i = 0; i < p->allow.n; i++)
		if (p->allow.account[i].uid == uid)
			return true;
	return false;
}

bool allow_gid(const struct parent *p, uint32_t uid, uint32_t gid)
{
	for (unsigned i = 0; i < p->allow.n; i++) {
		const struct allow_account *a = &p->allow.account[i];

		/* The first group of any of them is the operator's to give; further ones are that account's alone. */
		if (a->gid == gid)
			return true;
		for (unsigned k = 0; a->uid == uid && k < a->groups_n; k++)
			if (a->groups[k] == gid)
				return true;
	}
	return false;
}
