/*
 * boot.c: the state folder before the first process: whose it is, its lock, what lies in it.
 *
 * Called once by main.c. Owns STATE/lock: a kernel lock, so it dies with its owner and a crash
 * leaves nothing to clean up. Refuses a folder that somebody else could change under us.
 *
 * As root the folder is root:stead-ctl 1771: ctl keeps its files there, and the sticky bit keeps it
 * from renaming what is not its own; log, public, pg and keys below it have owners of their own.
 */
#include "boot.h"
#include "parent.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int refuse(const char *what, const char *where, const char *why, const char *todo)
{
	fprintf(stderr, "stead: %s\n  where: %s\n  why: %s\n  what to do: %s\n", what, where, why,
		todo);
	return EXIT_PERMIT;
}

static int check_owner(const struct parent *p)
{
	struct stat st;
	char why[160];

	if (fstat(p->state_fd, &st) < 0)
		return refuse("the state folder cannot be read", p->state_dir, strerror(errno),
			"choose another folder with --state");
	if (st.st_uid != geteuid()) {
		snprintf(why, sizeof(why), "it belongs to uid %u, and stead runs as uid %u",
			(unsigned)st.st_uid, (unsigned)geteuid());
		return refuse("the state folder is somebody else's", p->state_dir, why,
			"run stead as its owner, or choose another folder with --state");
	}
	bool own_group =
		p->root && st.st_gid == p->account[PROC_CTL].gid && (st.st_mode & S_ISVTX) != 0;
	if ((st.st_mode & 02) != 0 || ((st.st_mode & 020) != 0 && !own_group)) {
		snprintf(why, sizeof(why),
			"its mode is %04o, so others can change what stead trusts",
			(unsigned)(st.st_mode & 07777));
		return refuse("the state folder is writable by others", p->state_dir, why,
			"chmod go-w on it");
	}
	return 0;
}

static int take_lock(struct parent *p)
{
	char text[32] = "";
	/* One that was taken over is locked: the lock is the open file's. */
	int fd = p->lock_fd >= 0 ? p->lock_fd : sys_open_nosymlink(p->state_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return refuse("the state folder's lock cannot be opened", p->state_dir,
			strerror(-fd),
			fd == -ENOSPC || fd == -EDQUOT ? "free disk space"
						       : "check the folder's permissions");
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

		text[n > 0 ? strspn(text, "0123456789") : 0] = '\0';
		fprintf(stderr,
			"stead: this folder is already served\n  where: %s\n  why: the process %s "
			"holds its "
			"lock\n  what to do: `stead status` shows it, `stead stop` ends it\n",
			p->state_dir, text[0] != '\0' ? text : "of another stead");
		close(fd);
		return EXIT_BUSY;
	}
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	/* The number is for people; the lock is what counts, so a full disk does not matter here.
	 */
	if (ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)n, 0) != n)
		fprintf(stderr, "stead: cannot write %s/lock: %s\n", p->state_dir, strerror(errno));
	p->lock_fd = fd;
	return 0;
}

struct folder {
	const char *name;
	mode_t mode, mode_root;
	uint8_t owner; /* as root: enum proc whose account owns it; PROC_NONE: root */
};
static const struct folder folders[] = {
	{"log", 0700, 0750, PROC_LOG},
	{"public", 0755, 0755, PROC_NONE},
	{"root", 0755, 0755, PROC_NONE}, /* where a gate's own root is put together */
	{"pg", 0700, 0700, PROC_POSTGRES},
	{"keys", 0700, 0700, PROC_KEYS}, /* what opens sealed private keys */
};

static int folder_make(struct parent *p, const struct folder *f)
{
	struct account owner = {0};
	mode_t mode = p->root ? f->mode_root : f->mode;

	if (p->root && f->owner != PROC_NONE)
		owner = f->owner == PROC_POSTGRES ? p->postgres : p->account[f->owner];
	if (!p->root && (f->owner == PROC_NONE || f->owner == PROC_POSTGRES) &&
		strcmp(f->name, "public") != 0)
		return 0; /* only a jail or another owner needs it */
	if (p->root && f->owner == PROC_POSTGRES && owner.uid == 0)
		return 0; /* no PostgreSQL here */
	if (mkdirat(p->state_fd, f->name, 0700) < 0) {
		if (errno != EEXIST)
			return -errno;
		struct stat st;

		if (fstatat(p->state_fd, f->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		/* Somebody who could make it before us could also point it elsewhere. */
		return S_ISDIR(st.st_mode) && (!p->root || st.st_uid == owner.uid) ? 0 : -EPERM;
	}
	int fd = sys_open_nosymlink(p->state_fd, f->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	int e = (p->root && fchown(fd, owner.uid, owner.gid) < 0) || fchmod(fd, mode) < 0 ? -errno
											  : 0;
	close(fd);
	return e;
}

/* For the sockets of backends. A system without a /run that can be written has none, and serves on. */
static void make_backends(void)
{
	(void)mkdir("/run/stead", 0755);
	(void)mkdir(BACKENDS_DIR, 0755);
}

static int make_folders(struct parent *p)
{
	if (p->root && (fchown(p->state_fd, 0, p->account[PROC_CTL].gid) < 0 ||
			       fchmod(p->state_fd, 01771) < 0))
		return -errno;
	if (p->root)
		make_backends();
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		int e = folder_make(p, &folders[i]);

		if (e < 0)
			return e;
	}
	p->keys_dir_fd = sys_open_nosymlink(p->state_fd, "keys", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (p->keys_dir_fd < 0)
		return p->keys_dir_fd;
	p->log_dir_fd =
		sys_open_nosymlink(p->state_fd, "log", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	return p->log_dir_fd < 0 ? p->log_dir_fd : 0;
}

/* The user's own certificate authority, which all of his folders share. Only keys looks into it. */
void boot_ca(struct parent *p, const char *path)
{
	uid_t owner = p->root ? p->account[PROC_KEYS].uid : geteuid();
	gid_t group = p->root ? p->account[PROC_KEYS].gid : getegid();
	struct stat st;
	int fd;

	if (p->root && mkdir(path, 0700) == 0 && lchown(path, owner, group) < 0)
		return;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_uid == owner && (st.st_mode & 077) == 0)
		p->ca_dir_fd = fd;
	else
		close(fd);
}

int boot_state(struct parent *p)
{
	int e;

	p->state_fd = open(p->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->state_fd < 0)
		return refuse("the state folder cannot be opened", p->state_dir, strerror(errno),
			"choose another folder with --state");
	if ((e = check_owner(p)) != 0 || (e = take_lock(p)) != 0)
		return e;
	if ((e = make_folders(p)) < 0) {
		refuse("the state folder cannot be prepared", p->state_dir, strerror(-e),
			e == -ENOSPC || e == -EDQUOT ? "free disk space" : "check what is in it");
		return e == -EPERM || e == -EACCES ? EXIT_PERMIT : 1;
	}
	return 0;
}

int boot_server(const char *state, const char *run)
{
	char name[PATH_MAX], to[PATH_MAX];

	if (geteuid() != 0)
		return refuse("a server runs as root", state, "this is another user",
			"let an init start it; a single folder is taken live by `stead up` as any user");
	if (mkdir(state, 0755) < 0 && errno != EEXIST)
		return refuse("the state folder cannot be made", state, strerror(errno), "make the folder above it");
	if (mkdir(run, 0755) < 0 && errno != EEXIST)
		return refuse("the runtime folder cannot be made", run, strerror(errno), "make the folder above it");
	if (snprintf(name, sizeof(name), "%s/control", run) >= PATH_MAX ||
		snprintf(to, sizeof(to), "%s/control", state) >= PATH_MAX)
		return refuse("the folders' names are too long", run, strerror(ENAMETOOLONG), "choose shorter ones");
	if ((unlink(name) < 0 && errno != ENOENT) || symlink(to, name) < 0)
		return refuse("the name of the control socket cannot be made", name, strerror(errno),
			"remove what stands there");
	return 0;
}
