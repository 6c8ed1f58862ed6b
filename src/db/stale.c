/*
 * stale.c: a server that a dead stead left behind, or the lock file of one.
 *
 * PostgreSQL refuses to start while the process named in postmaster.pid exists, and looks at
 * nothing but its number: after a crash of the machine that may be any other process of the user.
 * Every process of a server works in its data folder, so that is what decides here: none does, and
 * the file is removed; one does and is not our parent's child, and the server is asked to stop,
 * because the state's lock says that no other stead wants it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/sys.h"

#include "db.h"

#define LOCK_FILE "postmaster.pid"

/* The number in the lock file; 0 when there is none. */
static pid_t locked_by(int dirfd)
{
	char *text, *end;
	long pid;
	size_t n;

	if (sys_read_file(dirfd, LOCK_FILE, 4096, &text, &n) < 0)
		return 0;
	pid = strtol(text, &end, 10);
	if (end == text || pid <= 0 || pid > 0x7fffffff)
		pid = 0;
	free(text);
	return (pid_t)pid;
}

/* The process's parent; 0 when it is gone or a zombie. */
static pid_t parent_of(pid_t pid)
{
	char path[64], *text;
	const char *at;
	long ppid = 0;
	size_t n;

	(void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	if (sys_read_file(AT_FDCWD, path, 4096, &text, &n) < 0)
		return 0;
	/* "PID (NAME) STATE PPID …", and the name may hold anything. */
	at = strrchr(text, ')');
	if (at && at[1] == ' ' && at[2] != 'Z' && at[2] != 'X' && at[3] == ' ')
		ppid = strtol(at + 4, NULL, 10);
	free(text);
	return (pid_t)ppid;
}

static bool works_in(pid_t pid, const struct stat *folder)
{
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof path, "/proc/%d/cwd", (int)pid);
	return stat(path, &st) == 0 && st.st_dev == folder->st_dev && st.st_ino == folder->st_ino;
}

/* Does any process work in the data folder? A zombie has no folder any more. */
static bool in_use(const struct stat *folder)
{
	DIR *d = opendir("/proc");
	bool found = false;
	struct dirent *e;

	while (d && !found && (e = readdir(d)) != NULL) {
		long pid = strtol(e->d_name, NULL, 10);

		found = pid > 0 && pid != getpid() && works_in((pid_t)pid, folder);
	}
	if (d)
		(void)closedir(d);
	return found;
}

int stale_server(struct db *db, int dirfd)
{
	const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
	char socket_lock[DB_PATH_MAX + 32];
	pid_t pid = locked_by(dirfd);
	struct stat folder;

	(void)snprintf(
		socket_lock, sizeof socket_lock, "%s/.s.PGSQL." DB_PORT ".lock", db->sockets);
	if ((faccessat(dirfd, LOCK_FILE, F_OK, 0) < 0 && access(socket_lock, F_OK) < 0) ||
		fstat(dirfd, &folder) < 0)
		return 0;
	/* Our parent's child is the server that shall run. */
	if (pid && works_in(pid, &folder) && parent_of(pid) == getppid())
		return 0;
	if (pid && works_in(pid, &folder)) {
		if (db->o)
			oneshot_step(db->o, UINT32_MAX, "stopping a database server left behind");
		(void)kill(pid, SIGINT);
	}
	for (unsigned i = 0; i < DB_STALE_MS / 20; i++) {
		if (!in_use(&folder)) {
			(void)unlinkat(dirfd, LOCK_FILE, 0);
			(void)unlink(socket_lock);
			return 0;
		}
		(void)nanosleep(&pause, NULL);
	}
	return failure_set(db->f, EBUSY, EXIT_CODE_BUSY,
		"wait for it, or end it with `kill -INT` and that number, then start again",
		"A PostgreSQL server (process %d) still runs in %s and did not stop within %d s.",
		(int)pid, db->data, DB_STALE_MS / 1000);
}
