/*
 * dump.c: a database as pg_dump(1) writes it, into the archive.
 *
 * Called by pack.c. pg_dump runs as the user that owns the folder of the server's socket (as root:
 * postgres, and nobody else) and enters as the database's own role, so it has no more rights than the app itself.
 * Where the program and the socket are says ctl; as root it is not believed, since who took ctl over would have root
 * run what he likes. Its output is copied in pieces; what it says goes into the error. Never runs a shell.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/must.h"

#include "backup.h"

enum { SAID_MAX = 800 };

/* Is the file, and each folder on the way to it, root's alone to write? */
static bool is_roots(const char *program)
{
	char at[PATH_MAX];
	struct stat st;

	if (!realpath(program, at))
		return false;
	for (;;) {
		char *slash = strrchr(at, '/');

		if (lstat(*at ? at : "/", &st) < 0 || st.st_uid != 0 || (st.st_mode & 022) != 0)
			return false;
		if (!*at || !slash)
			return true;
		*slash = '\0';
	}
}

/* As root: is it the system's pg_dump, and would it run as postgres? */
static int look(struct backup *b, const char *program, const struct stat *owner)
{
	const struct passwd *pw = geteuid() == 0 ? getpwnam("postgres") : NULL;

	if (geteuid() != 0 || (pw && pw->pw_uid != 0 && pw->pw_gid != 0 && owner->st_uid == pw->pw_uid &&
				      owner->st_gid != 0 && is_roots(program)))
		return 0;
	return failure_set(b->f, EPERM, EXIT_CODE_NOT_PERMITTED,
		"see who owns that program and the folders above it, and the folder of the database's socket: root, and postgres",
		"%s is not run: it is not root's alone to write, or the database's socket is not postgres'.", program);
}

/* In the child. */
static void become(const struct stat *owner)
{
	if (geteuid() == 0 && (setgroups(1, &owner->st_gid) < 0 ||
				      setresgid(owner->st_gid, owner->st_gid, owner->st_gid) < 0 ||
				      setresuid(owner->st_uid, owner->st_uid, owner->st_uid) < 0))
		_exit(126);
}

static pid_t start(const struct pack_ask *ask, const char *program, const char *database, const struct stat *owner,
	int out[2], FILE *said)
{
	static char *const env[] = {"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", NULL};
	char *argv[] = {(char *)program, "-Fc", "--no-owner", "--no-privileges", "--no-password", "-h",
		(char *)ask->sockets, "-p", "5432", "-U", (char *)database, "-d", (char *)database,
		NULL};
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid != 0) {
		(void)close(out[1]);
		return pid;
	}
	become(owner);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (dup2(open("/dev/null", O_RDONLY), STDIN_FILENO) < 0 ||
		dup2(out[1], STDOUT_FILENO) < 0 || dup2(fileno(said), STDERR_FILENO) < 0 ||
		chdir("/") < 0)
		_exit(126);
	(void)execve(program, argv, env);
	_exit(127);
}

static int copy(struct backup *b, struct archive_out *out, int fd)
{
	char *mem = malloc(ARCHIVE_PIECE_MAX);
	uint64_t done = 0;
	ssize_t n = mem ? 1 : -1;

	while (n > 0 && !out->err) {
		n = read(fd, mem, 256 * 1024);
		if (n < 0 && errno == EINTR) {
			n = 1;
			continue;
		}
		if (n > 0) {
			archive_put_piece(out, mem, (size_t)n);
			done += (uint64_t)n;
			backup_step(b, done, 0, "packing the database");
		}
	}
	free(mem);
	return n < 0 ? -EIO : 0;
}

int dump_database(
	struct backup *b, struct archive_out *out, const struct pack_ask *ask, const char *database)
{
	char text[SAID_MAX + 1] = "", program[PATH_MAX];
	FILE *said = tmpfile();
	int fds[2], status = 0, r;
	struct stat owner;
	size_t n = 0;
	pid_t pid;

	if (!said || stat(ask->sockets, &owner) < 0) {
		r = backup_failed(b, -errno, "reach", ask->sockets);
		if (said)
			(void)fclose(said);
		return r;
	}
	(void)snprintf(program, sizeof program, "%.4000s/pg_dump", ask->bin);
	if (look(b, program, &owner) < 0) {
		(void)fclose(said);
		return -b->f->err;
	}
	pid = start(ask, program, database, &owner, fds, said);
	r = pid < 0 ? -errno : copy(b, out, fds[0]);
	if (pid > 0) {
		(void)close(fds[0]);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	if (r == 0 && !out->err && status) {
		rewind(said);
		n = fread(text, 1, SAID_MAX, said);
		text[n] = '\0';
		r = failure_set(b->f, EIO, EXIT_CODE_FAILED,
			WIFEXITED(status) && WEXITSTATUS(status) == 127
				? "apt install postgresql-client"
				: "correct that, then try again",
			"The database %s cannot be read: %s/pg_dump ended with %s %d. %s", database,
			ask->bin, WIFEXITED(status) ? "status" : "signal",
			WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), text);
	}
	(void)fclose(said);
	return r < 0 ? backup_failed(b, r, "read the database", database) : 0;
}
