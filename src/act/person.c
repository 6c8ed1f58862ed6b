/*
 * person.c: the accounts of people: made, changed and removed by root alone (`stead user`).
 *
 * Started by the command line that root runs (stead-act --by-root), never for ctl: who can have an account made that may
 * use sudo is root, and ctl hears people whom it does not trust. An account is touched only when stead made it: its
 * comment says so, and so does STATE_ROOT/people/NAME with its number (src/person). The password is *, so that there
 * is none to guess and sshd(8) lets a key in all the same; hence sudo asks for none.
 *
 * Each step can be repeated. Rights go before they come, and keys come last: whatever ends half-way, nobody has more than
 * he shall have, and the same command ends it.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/durable.h"
#include "lib/must.h"
#include "lib/sys.h"
#include "person/person.h"

#include "act.h"

enum { MEM = 4096 };
#define SUDOERS "/etc/sudoers.d"

struct work {
	struct act_ctx *ctx;
	struct person p; /* as it shall be */
	struct passwd pw;
	char mem[MEM];
	int folder;  /* STATE_ROOT/people */
	int sudoers; /* -1: there is no sudo */
	char home[64], making[40];
};

static int fail(struct work *w, int err, unsigned code, const char *todo, const char *what, const char *more)
{
	return failure_set(w->ctx->f, err, code, todo, "%s: %s%s%s", w->p.name, what, *more ? ": " : "", more);
}

static int fail_disk(struct work *w, int err, const char *what)
{
	return fail(w, -err, EXIT_CODE_FAILED, err == -ENOSPC || err == -EDQUOT ? "free disk space, then run it again"
									 : "mend that, then run it again",
		what, strerror(-err));
}

static bool exists(const char *name)
{
	return faccessat(AT_FDCWD, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The folder of people, root's. */
static int open_work(struct work *w, struct act_ctx *ctx, const char *name)
{
	struct stat st;
	int r;

	*w = (struct work){.ctx = ctx, .folder = -1, .sudoers = -1};
	if (!person_name_valid(name))
		return failure_set(ctx->f, EINVAL, EXIT_CODE_USAGE, "",
			"\"%.60s\" cannot be a person's name: 1 to %d lower-case letters, digits and -, the first a letter, and "
			"nothing that begins as stead's own accounts do (stead, app-).", name, PERSON_NAME_MAX);
	(void)snprintf(w->p.name, sizeof w->p.name, "%s", name);
	(void)snprintf(w->home, sizeof w->home, "/home/%s", name);
	(void)snprintf(w->making, sizeof w->making, ".making-%s", name);
	r = act_open_below(ctx->state_root, PERSON_FOLDER, &w->folder);
	if (r < 0)
		return fail_disk(w, r, "stead's folder of people cannot be opened");
	if (fstat(w->folder, &st) < 0 || st.st_uid != 0 || (st.st_mode & 022) != 0)
		return fail(w, EPERM, EXIT_CODE_NOT_PERMITTED, "remove that folder", "somebody else owns stead's folder of people",
			ctx->state_root);
	w->sudoers = open(SUDOERS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return 0;
}

static void close_work(struct work *w)
{
	if (w->folder >= 0)
		(void)close(w->folder);
	if (w->sudoers >= 0)
		(void)close(w->sudoers);
}

/* 0: it is there and stead made it; -ENOENT: it is not there; else a failure. */
static int find_own(struct work *w, struct person *ret)
{
	int r = act_find_user(w->p.name, &w->pw, w->mem, sizeof w->mem), known;

	if (r < 0)
		return r == -ENOENT ? r : fail_disk(w, r, "the account cannot be looked up");
	known = person_read(w->ctx->state_root, w->p.name, ret);
	if (known == -ENOENT && faccessat(w->folder, w->making, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		*ret = (struct person){.uid = (uint32_t)w->pw.pw_uid};
		known = 0;
	}
	if (known < 0 || ret->uid != w->pw.pw_uid || strcmp(w->pw.pw_gecos, PERSON_MARK) != 0 ||
		w->pw.pw_uid < ACT_PERSON_MIN || w->pw.pw_uid > ACT_PERSON_MAX)
		return fail(w, EEXIST, EXIT_CODE_NOT_PERMITTED, "choose another name; what stead did not make it does not change",
			"there is an account of that name, and stead did not make it", "");
	return 0;
}

/* ---- rights ---- */

static int note(struct work *w)
{
	char text[PERSON_FILE_MAX];
	struct buf b;
	int r;

	buf_fixed(&b, text, sizeof text);
	r = person_put(&w->p, &b);
	if (r == 0)
		r = durable_write(w->folder, w->p.name, b.p, b.len, 0644);
	if (r < 0)
		return fail_disk(w, r, "what it may cannot be noted");
	(void)unlinkat(w->folder, w->making, 0);
	return 0;
}

static bool is_member(const char *group, const char *name)
{
	struct group *gr = getgrnam(group);

	for (char **m = gr ? gr->gr_mem : NULL; m && *m; m++)
		if (strcmp(*m, name) == 0)
			return true;
	return false;
}

/* In that group, or not; one that the system does not have has nobody. */
static int set_member(struct work *w, const char *group, bool member)
{
	const char *argv[] = {"/usr/bin/gpasswd", member ? "--add" : "--delete", w->p.name, group, NULL};

	if (is_member(group, w->p.name) == member || (!getgrnam(group) && strcmp(group, PERSON_GROUP) != 0))
		return 0;
	return act_account_program(w->ctx, argv);
}

/* Looked at by visudo before it counts: a name with a dot is passed over by sudo (sudoers(5)). */
static int give_sudo(struct work *w)
{
	char name[48], fresh[56], path[120], text[200];
	const char *argv[] = {"/usr/sbin/visudo", "-c", "-q", "-f", path, NULL};
	int n, r;

	(void)snprintf(name, sizeof name, "stead-%s", w->p.name);
	(void)snprintf(fresh, sizeof fresh, "%s.new", name);
	(void)snprintf(path, sizeof path, SUDOERS "/%s", fresh);
	n = snprintf(text, sizeof text, "# made by `stead user add`; the account has no password to ask for\n%s ALL=(ALL:ALL) NOPASSWD: ALL\n",
		w->p.name);
	r = durable_write(w->sudoers, fresh, text, (size_t)n, 0440);
	if (r < 0)
		return fail_disk(w, r, SUDOERS " cannot be written");
	r = act_account_program(w->ctx, argv);
	if (r == 0 && renameat(w->sudoers, fresh, w->sudoers, name) < 0)
		r = fail_disk(w, -errno, SUDOERS " cannot be written");
	if (r == 0 && fsync(w->sudoers) < 0)
		r = fail_disk(w, -errno, SUDOERS " cannot be written");
	if (r < 0)
		(void)unlinkat(w->sudoers, fresh, 0);
	return r;
}

static int take_sudo(struct work *w)
{
	char name[48];

	(void)snprintf(name, sizeof name, "stead-%s", w->p.name);
	if (w->sudoers < 0 || (unlinkat(w->sudoers, name, 0) < 0 && errno == ENOENT))
		return 0;
	/* Gone, or it could not be removed and is there still. */
	if (faccessat(w->sudoers, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return fail(w, EPERM, EXIT_CODE_FAILED, "remove that file", "its right to sudo cannot be taken", SUDOERS);
	return fsync(w->sudoers) < 0 ? fail_disk(w, -errno, SUDOERS " cannot be written") : 0;
}

/* What is not wanted goes first. */
static int set_rights(struct work *w)
{
	int r = w->p.sudo ? 0 : take_sudo(w);

	if (r == 0 && !w->p.sudo)
		r = set_member(w, "sudo", false);
	if (r == 0 && w->p.napps)
		r = set_member(w, PERSON_GROUP, false);
	if (r == 0)
		r = note(w);
	if (r == 0 && !w->p.napps)
		r = set_member(w, PERSON_GROUP, true);
	if (r == 0 && w->p.sudo)
		r = set_member(w, "sudo", true);
	return r == 0 && w->p.sudo ? give_sudo(w) : r;
}

/* ---- the account ---- */

/* Somebody with a deploy key has a shell only because sshd starts the forced command by it. */
static const char *shell_of(const struct work *w)
{
	return w->p.napps == 0 && access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh";
}

static int make_account(struct work *w)
{
	char min[32], max[32], gid_min[32], gid_max[32];
	const char *argv[] = {"/usr/sbin/useradd", "--create-home", "--home-dir", w->home, "--user-group", "--shell", shell_of(w),
		"--comment", PERSON_MARK, "--password", "*", "-K", min, "-K", max, "-K", gid_min, "-K", gid_max, "-K",
		"HOME_MODE=0700", "--", w->p.name, NULL};
	int r;

	if (getgrnam(w->p.name))
		return fail(w, EEXIST, EXIT_CODE_NOT_PERMITTED, "choose another name", "there is a group of that name", "");
	if (exists(w->home))
		return fail(w, EEXIST, EXIT_CODE_PROTECTED, "move that folder away, or choose another name",
			"its home is there already, with somebody's files", w->home);
	/* Not those that stead gives to apps: useradd takes the one after the highest. */
	(void)snprintf(min, sizeof min, "UID_MIN=%d", ACT_PERSON_MIN);
	(void)snprintf(max, sizeof max, "UID_MAX=%d", ACT_PERSON_MAX);
	(void)snprintf(gid_min, sizeof gid_min, "GID_MIN=%d", ACT_PERSON_MIN);
	(void)snprintf(gid_max, sizeof gid_max, "GID_MAX=%d", ACT_PERSON_MAX);
	r = durable_write(w->folder, w->making, "", 0, 0600);
	if (r < 0)
		return fail_disk(w, r, "stead's folder of people cannot be written");
	r = act_account_program(w->ctx, argv);
	if (r < 0)
		return r;
	r = act_find_user(w->p.name, &w->pw, w->mem, sizeof w->mem);
	return r < 0 ? fail_disk(w, r, "the account was made and still cannot be found (see /etc/nsswitch.conf)") : 0;
}

/* One that is there: its shell, and that it is not locked by a removal that came to no end. */
static int renew_account(struct work *w)
{
	const char *argv[] = {"/usr/sbin/usermod", "--shell", shell_of(w), "--expiredate", "", "--", w->p.name, NULL};

	return act_account_program(w->ctx, argv);
}

/* Keys as they are written: of a deployer each behind its forced command, and without all else that ssh offers. */
static int read_keys(struct work *w, const char *text, const char *program, struct buf *ret)
{
	char prefix[200] = "";
	const char *why, *todo;
	unsigned line;
	int n;

	if (w->p.napps)
		(void)snprintf(prefix, sizeof prefix, "command=\"%s serve-deploy\",restrict", program);
	n = person_keys(text, strlen(text), prefix, ret, &line, &why, &todo);
	if (n >= 0)
		return n;
	return failure_set(w->ctx->f, EINVAL, EXIT_CODE_USAGE, todo, "No key is taken from that file: in line %u %s.", line, why);
}

static bool program_valid(const char *path)
{
	return path[0] == '/' && strlen(path) < 150 && !strstr(path, "..") &&
	       strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") == strlen(path);
}

/* What can be known to be wrong before anything is made. */
static int check(struct work *w, const char *sudo, const char *apps, const char *program)
{
	if (person_apps_set(&w->p, apps) < 0)
		return failure_set(w->ctx->f, EINVAL, EXIT_CODE_USAGE, "stead user add NAME --key FILE --deploy shop,blog",
			"\"%.200s\" does not name apps: at most %d, with commas between them.", apps, PERSON_APPS_MAX);
	w->p.sudo = *sudo;
	if (*sudo && (strcmp(sudo, "sudo") != 0 || w->p.napps))
		return fail(w, EINVAL, EXIT_CODE_USAGE, "choose one of --sudo and --deploy",
			"who may do all by sudo cannot be held to the deploys of an app", "");
	if (!program_valid(program))
		return fail(w, EINVAL, EXIT_CODE_USAGE, "install stead where its path is plain", "that path cannot stand in a forced command", program);
	if (w->p.sudo && (w->sudoers < 0 || access("/usr/sbin/visudo", X_OK) < 0))
		return fail(w, ENOENT, EXIT_CODE_FAILED, "apt install sudo", "sudo is not installed", "");
	if (!getgrnam(PERSON_GROUP))
		return act_boot(w->ctx);
	return 0;
}

static int set_person(struct work *w, const char *keys)
{
	struct person was;
	int r = find_own(w, &was);

	if (r == -ENOENT)
		r = make_account(w);
	else if (r == 0)
		r = renew_account(w);
	if (r < 0)
		return r;
	w->p.uid = (uint32_t)w->pw.pw_uid;
	/* Keys that would open a shell go before somebody becomes a deployer, and come when all else is there. Between stead's
	 * marks something stays, so that they keep their place among the person's own lines. */
	r = act_home_keys(&w->pw, "# no keys: `stead user add` was cut off; run it again\n");
	if (r == 0) {
		int done = set_rights(w);

		if (done < 0)
			return done;
		r = act_home_keys(&w->pw, keys);
	}
	if (r == -EBADMSG)
		return fail(w, EBADMSG, EXIT_CODE_PROTECTED, "remove stead's two marks (# stead: begin, # stead: end) and what is between them",
			"in its .ssh/authorized_keys stead's marks do not pair", "");
	return r < 0 ? fail_disk(w, r, "its .ssh/authorized_keys cannot be written") : 0;
}

int act_person_set(struct act_ctx *ctx, const char *name, const char *keys, const char *sudo, const char *apps,
	const char *program)
{
	struct work w;
	struct buf b;
	int r = open_work(&w, ctx, name), n = 0;

	buf_init(&b, PERSON_KEYS_BYTES * 2);
	if (r == 0)
		r = check(&w, sudo, apps, program);
	if (r == 0)
		r = n = read_keys(&w, keys, program, &b);
	if (r >= 0)
		r = set_person(&w, buf_str(&b));
	if (r == 0)
		(void)snprintf(ctx->result, sizeof ctx->result, "%u %d", (unsigned)w.p.uid, n);
	buf_done(&b);
	close_work(&w);
	return r;
}

/* ---- the end of one ---- */

/* It may nothing any more, and nobody logs in as it, whatever other keys its home has. */
static int shut_out(struct work *w)
{
	const char *argv[] = {"/usr/sbin/usermod", "--expiredate", "1", "--shell", "/usr/sbin/nologin", "--", w->p.name, NULL};
	int r = take_sudo(w);

	if (r == 0)
		r = set_member(w, "sudo", false);
	if (r == 0)
		r = set_member(w, PERSON_GROUP, false);
	if (r == 0)
		r = note(w);
	if (r == 0)
		r = act_account_program(w->ctx, argv);
	/* Of no consequence any more: it stays in the home that stays. */
	(void)act_home_keys(&w->pw, "");
	return r;
}

static int still_there(struct work *w, const char *who)
{
	return failure_set(w->ctx->f, EBUSY, EXIT_CODE_BUSY, "have them end, or end them, and run it again: stead ends nobody's programs unasked",
		"%s may do nothing any more and cannot log in, but programs of it still run: %s.", w->p.name, who);
}

static int drop(struct work *w)
{
	const char *argv[] = {"/usr/sbin/userdel", "--", w->p.name, NULL};
	char who[400];
	int r = shut_out(w);

	if (r < 0)
		return r;
	if (act_running(w->pw.pw_uid, who, sizeof who) > 0)
		return still_there(w, who);
	return act_account_program(w->ctx, argv);
}

int act_person_remove(struct act_ctx *ctx, const char *name)
{
	struct person was = {0};
	struct work w;
	int r = open_work(&w, ctx, name);

	if (r == 0)
		r = find_own(&w, &was);
	if (r == -ENOENT && !ctx->f->err && person_read(ctx->state_root, name, &was) < 0)
		r = fail(&w, ENOENT, EXIT_CODE_NO_SUCH, "`stead user list` names those that there are", "stead made no such user", "");
	else if (r == -ENOENT && !ctx->f->err)
		r = take_sudo(&w); /* somebody removed the account by hand */
	else if (r == 0) {
		w.p.uid = was.uid;
		r = drop(&w);
	}
	if (r == 0 && unlinkat(w.folder, name, 0) < 0 && errno != ENOENT)
		r = fail_disk(&w, -errno, "stead's note of it cannot be removed");
	if (r == 0 && fsync(w.folder) < 0)
		r = fail_disk(&w, -errno, "stead's note of it cannot be removed");
	if (r == 0 && exists(w.home))
		(void)snprintf(ctx->result, sizeof ctx->result, "%s", w.home);
	close_work(&w);
	return r;
}
