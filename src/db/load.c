/*
 * load.c: a database that `stead restore` has unpacked is loaded into the cluster, once, before its
 * app runs.
 *
 * Called whenever an app shall have its database, which is where one that could not be loaded is
 * tried again: never is an app given an empty database while what belongs there waits.
 * pg_restore(1) enters as the app's role, never as the superuser: what the file has it do
 * (functions of the app's, say) has no more rights than the app. All of it is one transaction, and
 * the file is removed behind it; a death in between has the database made anew from the same file,
 * which loses nothing, because nobody has used it yet.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "oneshot/run.h"

#include "db.h"

enum { LOAD_MS = 6 * 3600 * 1000 };
#define FOLDER "restore"

/* The folder beside the cluster's data. -errno. */
static int open_folder(const struct db *db)
{
	char path[DB_PATH_MAX];
	char *slash;
	int fd;

	(void)snprintf(path, sizeof path, "%s", db->data);
	slash = strrchr(path, '/');
	if (!slash || (size_t)(slash - path) + sizeof "/" FOLDER > sizeof path)
		return -ENOENT;
	memcpy(slash, "/" FOLDER, sizeof "/" FOLDER);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int load(struct db *db, const char *file)
{
	static const char *const env[] = {"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", NULL};
	char program[DB_PATH_MAX + 16];
	const char *argv[] = {program, "--no-owner", "--no-privileges", "--no-password",
		"--single-transaction", "--exit-on-error", "-h", db->sockets, "-p", DB_PORT, "-U",
		db->role, "-d", db->database, file, NULL};
	struct run run = {.argv = argv, .envp = env, .cwd = "/", .timeout_ms = LOAD_MS};
	struct run_end end;
	int r;

	(void)snprintf(program, sizeof program, "%s/pg_restore", db->bin);
	r = run_program(&run, &end);
	if (r < 0)
		return failure_set(db->f, -r, EXIT_CODE_FAILED, "apt install postgresql-client",
			"%s cannot be started: %s.", program, strerror(-r));
	if (end.status == 0)
		return 0;
	return failure_set(db->f, EIO, EXIT_CODE_FAILED,
		"correct what it says (a backup of a newer PostgreSQL needs that one here), then "
		"start stead again",
		"The database %s could not be loaded from %s: pg_restore ended with %d. %s",
		db->database, file, end.status, end.tail);
}

int load_database(struct db *db)
{
	char name[80], path[DB_PATH_MAX];
	int folder = open_folder(db), r;
	struct stat st;

	(void)snprintf(name, sizeof name, "%s.dump", db->database);
	if (folder == -ENOENT)
		return sql_app(db);
	if (folder < 0)
		return failure_set(db->f, -folder, EXIT_CODE_FAILED, "see that folder",
			"The folder " FOLDER " beside %s cannot be opened: %s.", db->data,
			strerror(-folder));
	/* One that a ctl before this one had asked may still be loading: what it ends with is what
	 * counts. */
	while (flock(folder, LOCK_EX) < 0 && errno == EINTR)
		;
	r = fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
	if (r == -ENOENT) {
		(void)close(folder);
		return sql_app(db);
	}
	(void)snprintf(path, sizeof path, "/proc/%d/fd/%d/%s", (int)getpid(), folder, name);
	if (db->o)
		oneshot_step(db->o, UINT32_MAX, "loading the database %s", db->database);
	r = sql_drop(db);
	if (r == 0)
		r = sql_app(db);
	if (r == 0)
		r = load(db, path);
	if (r == 0 && (unlinkat(folder, name, 0) < 0 || fsync(folder) < 0))
		r = failure_set(db->f, errno, EXIT_CODE_FAILED,
			"see that the file system can be written", "%s could not be removed: %s.",
			path, strerror(errno));
	(void)close(folder);
	return r;
}
