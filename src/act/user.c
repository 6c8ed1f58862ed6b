/*
 * user.c: system users and groups, by useradd and groupadd with fixed arguments and no shell.
 *
 * An account that exists is taken only when it is what stead would have made; one that a person or
 * another package made under that name is refused, never changed.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "oneshot/run.h"

#include "act.h"

enum { SYSTEM_UID_MAX = 999, LOCK_TRIES = 20 };

int act_find_user(const char *name, struct passwd *ret, char *mem, size_t cap)
{
	struct passwd *found = NULL;
	int e = getpwnam_r(name, ret, mem, cap, &found);

	if (found)
		return 0;
	return e == ERANGE ? -ERANGE : -ENOENT;
}

/* Run a program of the shadow suite. The account files are locked by whoever changes them; wait a
 * little for that. */
int act_account_program(struct act_ctx *ctx, const char *const *argv)
{
	static const char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL};
	const struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
	struct run run = {.argv = argv, .envp = env, .cwd = "/", .timeout_ms = ACT_PROGRAM_MS};
	struct run_end end;
	int r;

	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		r = run_program(&run, &end);
		if (r < 0)
			return failure_set(ctx->f, -r, EXIT_CODE_FAILED, "apt install passwd",
				"%s cannot be started: %s.", argv[0], strerror(-r));
		if (end.status == 0)
			return 0;
		if (!strstr(end.tail, "cannot lock"))
			break;
		(void)nanosleep(&pause, NULL);
	}
	return failure_set(ctx->f, EIO, EXIT_CODE_FAILED,
		"see what it says; a read-only /etc or a lock left in /etc (*.lock) are the usual "
		"causes",
		"%s failed (%s %d): %s", argv[0], end.status < 0 ? "signal" : "exit status",
		end.status < 0 ? -end.status : end.status, end.tail);
}

int act_user_role(struct act_ctx *ctx, const char *role)
{
	char name[32], mem[4096];
	const char *argv[] = {"/usr/sbin/useradd", "--system", "--user-group", "--no-create-home",
		"--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", "--comment", "stead",
		"--", name, NULL};
	struct passwd pw;
	int r;

	if (!act_role_valid(role))
		return failure_set(ctx->f, EINVAL, EXIT_CODE_USAGE, "",
			"There is no role that has a system user of its own under that name.");
	(void)snprintf(name, sizeof name, ACT_ROLE_PREFIX "%s", role);
	r = act_find_user(name, &pw, mem, sizeof mem);
	if (r == -ENOENT) {
		r = act_account_program(ctx, argv);
		if (r < 0)
			return r;
		r = act_find_user(name, &pw, mem, sizeof mem);
	}
	if (r < 0 || pw.pw_uid == 0 || pw.pw_gid == 0 || pw.pw_uid > SYSTEM_UID_MAX)
		return failure_set(ctx->f, EEXIST, EXIT_CODE_NOT_PERMITTED,
			"rename or remove that account",
			"The user %s exists and is not a system account, so stead does not run as "
			"it.",
			name);
	(void)snprintf(
		ctx->result, sizeof ctx->result, "%u:%u", (unsigned)pw.pw_uid, (unsigned)pw.pw_gid);
	return 0;
}

static bool in_range(unsigned long id)
{
	return id >= ACT_UID_MIN && id <= ACT_UID_MAX;
}

/* An account that stead made for an app: in its range, with a group of that range and its comment.
 * The number alone proves nothing: useradd gives a person the next one after the highest there is. */
static bool stead_made(const struct passwd *pw)
{
	size_t n = sizeof ACT_APP_COMMENT - 1;

	return in_range(pw->pw_uid) && in_range(pw->pw_gid) &&
	       strncmp(pw->pw_gecos, ACT_APP_COMMENT, n) == 0 &&
	       (pw->pw_gecos[n] == ' ' || pw->pw_gecos[n] == '\0');
}

static int answer_app(
	struct act_ctx *ctx, const char *name, const struct passwd *pw, unsigned long wanted)
{
	if (wanted && pw->pw_uid != wanted)
		return failure_set(ctx->f, EEXIST, EXIT_CODE_FAILED, "",
			"The user %s has the number %u, not %lu.", name, (unsigned)pw->pw_uid,
			wanted);
	(void)snprintf(ctx->result, sizeof ctx->result, "%u:%u", (unsigned)pw->pw_uid,
		(unsigned)pw->pw_gid);
	return 0;
}

static int make_app(
	struct act_ctx *ctx, const char *user, const char *comment, unsigned long wanted)
{
	char min[32], max[32], gid_min[32], gid_max[32];
	const char *argv[] = {"/usr/sbin/useradd", "--user-group", "--no-create-home", "--home-dir",
		"/nonexistent", "--shell", "/usr/sbin/nologin", "--comment", comment, "-K", min,
		"-K", max, "-K", gid_min, "-K", gid_max, "-K", "SUB_UID_COUNT=0", "-K",
		"SUB_GID_COUNT=0", "--", user, NULL};

	(void)snprintf(min, sizeof min, "UID_MIN=%lu", wanted ? wanted : ACT_UID_MIN);
	(void)snprintf(max, sizeof max, "UID_MAX=%lu", wanted ? wanted : ACT_UID_MAX);
	(void)snprintf(gid_min, sizeof gid_min, "GID_MIN=%d", ACT_UID_MIN);
	(void)snprintf(gid_max, sizeof gid_max, "GID_MAX=%d", ACT_UID_MAX);
	/* The group that useradd makes follows the user's number; one left over by that name does
	 * not. */
	if (getgrnam(user))
		return failure_set(ctx->f, EEXIST, EXIT_CODE_FAILED, "remove that group (groupdel)",
			"The group %s exists without its user.", user);
	return act_account_program(ctx, argv);
}

/* One name of those that the app may have. -EAGAIN: it is the user of another folder's app. */
static int try_app(
	struct act_ctx *ctx, const char *user, const char *comment, unsigned long wanted)
{
	struct passwd pw;
	char mem[4096];
	int made = 0;

	if (act_find_user(user, &pw, mem, sizeof mem) < 0) {
		made = make_app(ctx, user, comment, wanted);
		/* Another act may have made it meanwhile: then what is there counts. */
		if (act_find_user(user, &pw, mem, sizeof mem) < 0)
			return made < 0 ? made
					: failure_set(ctx->f, ENOENT, EXIT_CODE_FAILED,
						  "see /etc/nsswitch.conf",
						  "The user %s was made and still cannot be found.",
						  user);
		*ctx->f = (struct failure){0};
	}
	if (!stead_made(&pw))
		return failure_set(ctx->f, EEXIST, EXIT_CODE_NOT_PERMITTED,
			"rename or remove that account, or give the app another Name= in [Site]",
			"The user %s exists with the number %u and the group %u, and stead runs "
			"apps only as users that it made (%d to %d).",
			user, (unsigned)pw.pw_uid, (unsigned)pw.pw_gid, ACT_UID_MIN, ACT_UID_MAX);
	if (strcmp(pw.pw_gecos, comment) != 0)
		return -EAGAIN;
	return answer_app(ctx, user, &pw, wanted);
}

/* The name of the account that the folder's app has already, whatever its number: others of that name may have gone since,
 * and a free name before it is no reason to give the app another user. False: it has none. */
static bool find_own(const char *name, const char *comment, char *ret, size_t cap)
{
	char first[40], further[40];
	const struct passwd *pw;
	bool found = false;

	(void)snprintf(first, sizeof first, ACT_APP_PREFIX "%s", name);
	(void)snprintf(further, sizeof further, ACT_APP_PREFIX "%.25s-", name);
	setpwent();
	while (!found && (pw = getpwent()) != NULL) {
		found = strcmp(pw->pw_gecos, comment) == 0 && stead_made(pw) &&
			(strcmp(pw->pw_name, first) == 0 || strncmp(pw->pw_name, further, strlen(further)) == 0);
		if (found)
			(void)snprintf(ret, cap, "%s", pw->pw_name);
	}
	endpwent();
	return found;
}

/* The account's comment names the state folder that it belongs to, so two folders of one name get
 * two users: app-NAME, then app-NAME-2 and so on. What is found in /etc/passwd is all that decides. */
int act_user_app(struct act_ctx *ctx, const char *name, const char *uid, const char *state)
{
	const char *rel = act_below(ctx->state_root, state);
	char user[40], comment[sizeof ACT_APP_COMMENT + ACT_OWNER_MAX + 2];
	unsigned long wanted = 0;
	int r = -EAGAIN;

	if (!act_app_valid(name) || !rel || strlen(rel) > ACT_OWNER_MAX ||
		strspn(rel, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") !=
			strlen(rel) ||
		(*uid && !act_number(uid, ACT_UID_MIN, ACT_UID_MAX, &wanted)))
		return failure_set(ctx->f, EINVAL, EXIT_CODE_USAGE, "",
			"That is not an app's name, or not a user number between %d and %d, or not "
			"a state folder below %s whose path is letters, digits and ._- (%.200s).",
			ACT_UID_MIN, ACT_UID_MAX, ctx->state_root, state);
	(void)snprintf(comment, sizeof comment, ACT_APP_COMMENT " %s", rel);
	if (find_own(name, comment, user, sizeof user))
		return try_app(ctx, user, comment, wanted);
	for (unsigned i = 1; i <= ACT_SAME_NAME_MAX && r == -EAGAIN; i++) {
		if (i == 1)
			(void)snprintf(user, sizeof user, ACT_APP_PREFIX "%s", name);
		else /* 32 bytes are all that useradd takes */
			(void)snprintf(user, sizeof user, ACT_APP_PREFIX "%.25s-%u", name, i);
		r = try_app(ctx, user, comment, wanted);
	}
	if (r != -EAGAIN)
		return r;
	return failure_set(ctx->f, EEXIST, EXIT_CODE_FAILED,
		"give the app another Name= in [Site], or remove users of folders that are no more "
		"(`getent passwd` names each one's state folder; userdel)",
		"%d apps of other folders are called %s already.", ACT_SAME_NAME_MAX, name);
}

int act_boot(struct act_ctx *ctx)
{
	static const char *const group[] = {"/usr/sbin/groupadd", "--system", "--", "stead", NULL};
	static const char *const roles[] = {
		"gate", "ctl", "log", "resolve", "auth", "keys", "certs", "alert", "check", "db"};
	int r = 0;

	if (!getgrnam("stead"))
		r = act_account_program(ctx, group);
	for (size_t i = 0; i < sizeof roles / sizeof *roles && r == 0; i++)
		r = act_user_role(ctx, roles[i]);
	return r;
}
