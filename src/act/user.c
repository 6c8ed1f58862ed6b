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

static int find_user(const char *name, struct passwd *ret, char *mem, size_t cap)
{
	struct passwd *found = NULL;
	int e = getpwnam_r(name, ret, mem, cap, &found);

	if (found)
		return 0;
	return e == ERANGE ? -ERANGE : -ENOENT;
}

/* Run a program of the shadow suite. The account files are locked by whoever changes them; wait a
 * little for that. */
static int run_account_program(struct act_ctx *ctx, const char *const *argv)
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
	r = find_user(name, &pw, mem, sizeof mem);
	if (r == -ENOENT) {
		r = run_account_program(ctx, argv);
		if (r < 0)
			return r;
		r = find_user(name, &pw, mem, sizeof mem);
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

/* An account that stead made, in its range and with a group of that range. The number alone proves
 * nothing: useradd gives a person the next one after the highest there is. */
static int answer_app(
	struct act_ctx *ctx, const char *name, const struct passwd *pw, unsigned long wanted)
{
	if (!in_range(pw->pw_uid) || !in_range(pw->pw_gid) ||
		strcmp(pw->pw_gecos, ACT_APP_COMMENT) != 0)
		return failure_set(ctx->f, EEXIST, EXIT_CODE_NOT_PERMITTED,
			"rename or remove that account, or give the app another Name= in [Site]",
			"The user %s exists with the number %u and the group %u, and stead runs "
			"apps only "
			"as users that it made (%d to %d).",
			name, (unsigned)pw->pw_uid, (unsigned)pw->pw_gid, ACT_UID_MIN, ACT_UID_MAX);
	if (wanted && pw->pw_uid != wanted)
		return failure_set(ctx->f, EEXIST, EXIT_CODE_FAILED, "",
			"The user %s has the number %u, not %lu.", name, (unsigned)pw->pw_uid,
			wanted);
	(void)snprintf(ctx->result, sizeof ctx->result, "%u:%u", (unsigned)pw->pw_uid,
		(unsigned)pw->pw_gid);
	return 0;
}

int act_user_app(struct act_ctx *ctx, const char *name, const char *uid)
{
	char user[40], mem[4096], min[32], max[32], gid_min[32], gid_max[32];
	const char *argv[] = {"/usr/sbin/useradd", "--user-group", "--no-create-home", "--home-dir",
		"/nonexistent", "--shell", "/usr/sbin/nologin", "--comment", ACT_APP_COMMENT, "-K",
		min, "-K", max, "-K", gid_min, "-K", gid_max, "-K", "SUB_UID_COUNT=0", "-K",
		"SUB_GID_COUNT=0", "--", user, NULL};
	unsigned long wanted = 0;
	struct passwd pw;
	int r;

	if (!act_app_valid(name) || (*uid && !act_number(uid, ACT_UID_MIN, ACT_UID_MAX, &wanted)))
		return failure_set(ctx->f, EINVAL, EXIT_CODE_USAGE, "",
			"That is not an app's name, or not a user number between %d and %d.",
			ACT_UID_MIN, ACT_UID_MAX);
	(void)snprintf(user, sizeof user, ACT_APP_PREFIX "%s", name);
	(void)snprintf(min, sizeof min, "UID_MIN=%lu", wanted ? wanted : ACT_UID_MIN);
	(void)snprintf(max, sizeof max, "UID_MAX=%lu", wanted ? wanted : ACT_UID_MAX);
	(void)snprintf(gid_min, sizeof gid_min, "GID_MIN=%d", ACT_UID_MIN);
	(void)snprintf(gid_max, sizeof gid_max, "GID_MAX=%d", ACT_UID_MAX);
	if (find_user(user, &pw, mem, sizeof mem) == 0)
		return answer_app(ctx, user, &pw, wanted);
	/* The group that useradd makes follows the user's number; one left over by that name does
	 * not. */
	if (getgrnam(user))
		return failure_set(ctx->f, EEXIST, EXIT_CODE_FAILED, "remove that group (groupdel)",
			"The group %s exists without its user.", user);
	r = run_account_program(ctx, argv);
	if (r < 0)
		return r;
	r = find_user(user, &pw, mem, sizeof mem);
	if (r < 0)
		return failure_set(ctx->f, -r, EXIT_CODE_FAILED, "see /etc/nsswitch.conf",
			"The user %s was made and still cannot be found.", user);
	return answer_app(ctx, user, &pw, wanted);
}

int act_boot(struct act_ctx *ctx)
{
	static const char *const group[] = {"/usr/sbin/groupadd", "--system", "--", "stead", NULL};
	static const char *const roles[] = {
		"gate", "ctl", "log", "resolve", "auth", "check", "db"};
	int r = 0;

	if (!getgrnam("stead"))
		r = run_account_program(ctx, group);
	for (size_t i = 0; i < sizeof roles / sizeof *roles && r == 0; i++)
		r = act_user_role(ctx, roles[i]);
	return r;
}
