/*
 * account.c: the numbers of the accounts that processes run as, and which of them ctl may ask for.
 *
 * Called at boot and for each request of ctl's. Reads /etc/passwd itself: the C library's name
 * service would load modules of the system's choice into a root process. Owns the table in struct
 * parent; makes accounts only by running `stead-act --boot` and waiting for it.
 */
#include "parent.h"
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BOOT_ACT_MS = 30 * 1000, PASSWD_LINE_MAX = 4096 };

int account_find(const char *name, struct account *ret_account)
{
	FILE *f = fopen("/etc/passwd", "re");
	struct passwd pw, *got;
	char *line = malloc(PASSWD_LINE_MAX);
	int e = -ENOENT;

	while (f != NULL && line != NULL && fgetpwent_r(f, &pw, line, PASSWD_LINE_MAX, &got) == 0) {
		if (strcmp(pw.pw_name, name) != 0)
			continue;
		*ret_account = (struct account){.uid = pw.pw_uid, .gid = pw.pw_gid};
		e = 0;
		break;
	}
	free(line);
	if (f != NULL)
		fclose(f);
	return e;
}

/* Which roles run under an account of their own; for db and build ctl names another one. */
static bool has_account(enum proc role)
{
	return role != PROC_POSTGRES &&
	       (proc_rows[role].jail == JAIL_USER || proc_rows[role].jail == JAIL_ROOT);
}

static enum proc find_all(struct parent *p)
{
	enum proc missing = PROC_NONE;

	for (enum proc role = PROC_NONE + 1; role < PROC_END; role++) {
		char name[48];

		if (!has_account(role))
			continue;
		snprintf(name, sizeof(name), "stead-%s", proc_rows[role].name);
		if (account_find(name, &p->account[role]) < 0 || p->account[role].uid == 0) {
			p->account[role] = (struct account){0};
			missing = role;
		}
	}
	if (account_find("postgres", &p->postgres) < 0)
		p->postgres = (struct account){0};
	return missing;
}

static int run_act(struct parent *p)
{
	char path[PATH_MAX];
	const char *step;
	char *argv[] = {(char[]){"stead-act"}, (char[]){"--boot"}, NULL};
	struct spawn ask;
	pid_t pid;
	int pidfd;
	siginfo_t si = {.si_pid = 0};

	spawn_init(&ask, p);
	int e = spawn_role(&ask, p, PROC_ACT, path);
	ask.argv = argv;
	if (e == 0)
		e = spawn_run(&ask, &pid, &pidfd, &step);
	spawn_done(&ask);
	if (e < 0)
		return e;
	struct pollfd ended = {.fd = pidfd, .events = POLLIN};
	if (poll(&ended, 1, BOOT_ACT_MS) <= 0)
		sys_pidfd_signal(pidfd, SIGKILL);
	while (waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED) < 0 && errno == EINTR)
		;
	close(pidfd);
	return si.si_code == CLD_EXITED && si.si_status == 0 ? 0 : -EIO;
}

int account_boot(struct parent *p)
{
	/* A restore that was cut off is act's to carry on, before anything reads the state. */
	char mark[PATH_MAX];
	bool restores = snprintf(mark, sizeof(mark), "%s/restore/go", p->state_dir) < PATH_MAX && access(mark, F_OK) == 0;

	if (!p->root || (find_all(p) == PROC_NONE && !restores))
		return 0;
	int e = run_act(p);

	if (e < 0)
		return e;
	return find_all(p) == PROC_NONE ? 0 : -ENOENT;
}

static bool is_app(uint32_t id)
{
	return id >= UID_APP_MIN && id <= UID_APP_MAX;
}

int account_allowed(const struct parent *p, enum proc role, uint32_t uid, uint32_t gid)
{
	bool postgres = p->postgres.uid != 0 && uid == p->postgres.uid;

	if (!p->root)
		return 0;
	switch (role) {
	case PROC_WORKER:
	case PROC_SERVICE:
		return (is_app(uid) || allow_uid(p, uid)) && (is_app(gid) || allow_gid(p, uid, gid)) ? 0 : -EPERM;
	case PROC_BUILD:
		/* What it makes for such an account is in the app's own group. */
		return (is_app(uid) || allow_uid(p, uid)) && is_app(gid) ? 0 : -EPERM;
	case PROC_CHECK:
		/* As itself, or as the app whose module it tries to import. */
		return (uid == 0 && gid == 0) || (is_app(uid) && is_app(gid)) ? 0 : -EPERM;
	case PROC_POSTGRES:
	case PROC_DB:
		/* The app's group may come along: the socket's folder is open to that group. */
		return postgres && (gid == p->postgres.gid || is_app(gid)) ? 0 : -EPERM;
	case PROC_ALERT:
	case PROC_ACT:
		return uid == 0 && gid == 0 ? 0 : -EPERM;
	default:
		return -EPERM;
	}
}

int account_groups(const struct parent *p, uint32_t uid, const uint32_t *groups)
{
	for (unsigned i = 0; p->root && i < JAIL_GROUPS_MAX && groups[i] != 0; i++)
		if (!is_app(groups[i]) && !allow_gid(p, uid, groups[i]))
			return -EPERM;
	return 0;
}
