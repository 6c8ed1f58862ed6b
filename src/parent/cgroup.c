/*
 * cgroup.c: one cgroup v2 folder per process that stead starts, so that all of its descendants die
 * in one write, whatever they called themselves.
 *
 * Called by reap.c (make, kill, remove), main.c and limits.c. Owns the folder stead-PID below the
 * parent's own cgroup. Used as root only, where that cgroup is writable; everywhere else process
 * groups and the final sweep do the work. Never moves a process but the parent itself.
 */
#include "parent.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <linux/magic.h>
#include <time.h>
#include <unistd.h>

enum { REMOVE_DEPTH = 4, CGROUP_PROCS_BYTES_MAX = 1 << 20 };

/* The v2 tree's mount: alone, or beside the v1 controllers. */
static int open_tree(void)
{
	static const char *const places[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
	struct statfs fs;

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		int fd = open(places[i], O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
			return fd;
		if (fd >= 0)
			close(fd);
	}
	return -ENOENT;
}

void cgroup_each(int dirfd, const char *prefix,
	void (*each)(void *arg, int dirfd, const char *name), void *arg)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *d;

	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((d = readdir(dir)) != NULL) {
		const char *digit = d->d_name + strlen(prefix);

		if (strncmp(d->d_name, prefix, strlen(prefix)) == 0 && digit[0] >= '0' &&
			digit[0] <= '9')
			each(arg, dirfd, d->d_name);
	}
	closedir(dir);
}

static void remove_one(void *arg, int dirfd, const char *name)
{
	unsigned *left = arg;

	if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0)
		(*left)++;
}

unsigned cgroup_remove_empty(int dirfd)
{
	unsigned left = 0;

	cgroup_each(dirfd, "", remove_one, &left);
	return left;
}

int cgroup_folder(int dirfd, const char *name)
{
	if (mkdirat(dirfd, name, 0755) < 0 && errno != EEXIST)
		return -errno;
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

int cgroup_write(int dirfd, const char *name, const char *text)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int e = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return e;
}

void cgroup_remove_tree(int dirfd, const char *name, unsigned depth)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *d;

	if (dir == NULL && fd >= 0)
		close(fd);
	while (dir != NULL && (d = readdir(dir)) != NULL)
		if (d->d_type == DT_DIR && d->d_name[0] != '.' && depth > 0)
			cgroup_remove_tree(fd, d->d_name, depth - 1);
	if (dir != NULL)
		closedir(dir);
	(void)unlinkat(dirfd, name, AT_REMOVEDIR);
}

/* Remove every folder that is empty by now. */
static void remove_empty(struct parent *p)
{
	p->cgroups_left = cgroup_remove_empty(p->cgroup_fd);
	for (struct cgroup_group *g = p->cgroups.groups; g != NULL; g = g->next)
		if (g->v2 >= 0)
			p->cgroups_left += cgroup_remove_empty(g->v2);
}

static void remove_dead(void *arg, int dirfd, const char *name)
{
	unsigned long pid = strtoul(name + strlen("stead-"), NULL, 10);

	/* That of a parent whose processes were taken over has its name, and somebody in it. */
	if ((arg == NULL || strcmp(name, arg) != 0) && kill((pid_t)pid, 0) < 0 && errno == ESRCH)
		cgroup_remove_tree(dirfd, name, REMOVE_DEPTH);
}

void cgroup_remove_dead(int dirfd, char *but)
{
	cgroup_each(dirfd, "stead-", remove_dead, but);
}

/* The folder that this process is in, and in it stead's own. */
static void find_own(struct parent *p, char *text)
{
	char *line = strstr(text, "0::/"), *end, *below;
	int tree;

	if (line == NULL || (line != text && line[-1] != '\n') || (tree = open_tree()) < 0)
		return;
	end = line + strcspn(line, "\n");
	char keep = *end;
	*end = '\0';
	/* This process may be below stead's own already, from before an exec. */
	if ((below = strstr(line, p->cgroup_name)) != NULL && below > line + 4 && below[-1] == '/') {
		*end = keep;
		end = below - 1;
		keep = *end;
		*end = '\0';
	}
	p->cgroups.own =
		openat(tree, line[4] != '\0' ? line + 4 : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*end = keep;
	close(tree);
	if (p->cgroups.own < 0)
		return;
	cgroup_remove_dead(p->cgroups.own, p->cgroup_name);
	p->cgroup_fd = cgroup_folder(p->cgroups.own, p->cgroup_name);
	/* cgroup.kill came with Linux 5.14; without it groups are the better tool. */
	if (p->cgroup_fd >= 0 && faccessat(p->cgroup_fd, "cgroup.kill", W_OK, 0) < 0) {
		close(p->cgroup_fd);
		p->cgroup_fd = -1;
		unlinkat(p->cgroups.own, p->cgroup_name, AT_REMOVEDIR);
	}
}

void cgroup_init(struct parent *p)
{
	char *text = NULL;
	size_t n;

	p->cgroup_fd = p->cgroups.own = p->cgroups.apps = -1;
	for (unsigned i = 0; i < PROTECTION_CONTROLLERS; i++)
		p->cgroups.v1_apps[i] = -1;
	if (!p->root || sys_read_file(AT_FDCWD, "/proc/self/cgroup", 16384, &text, &n) < 0)
		return;
	/* Of a parent that was taken over there is one, with its processes in it. */
	if (p->cgroup_name[0] == '\0')
		snprintf(p->cgroup_name, sizeof(p->cgroup_name), "stead-%d", (int)getpid());
	find_own(p, text);
	limits_init(p, text);
	free(text);
}

static void kill_one(void *arg, int dirfd, const char *name)
{
	const struct parent *p = arg;
	unsigned long long generation = strtoull(name, NULL, 10);
	const struct child *c = p->children;
	int fd;

	while (c != NULL && c->generation != generation)
		c = c->next;
	if (c != NULL || (fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return;
	cgroup_kill(fd);
	close(fd);
}

static void kill_in_app(void *arg, int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return;
	cgroup_each(fd, "", kill_one, arg);
	close(fd);
}

void cgroup_kill_unknown(struct parent *p)
{
	if (p->cgroup_fd < 0)
		return;
	cgroup_each(p->cgroup_fd, "", kill_one, p);
	if (p->cgroups.apps >= 0)
		cgroup_each(p->cgroups.apps, "app-", kill_in_app, p);
	p->cgroups_left++; /* a later removal takes the empty ones along */
}

static void kill_left(void *arg, int dirfd, const char *name)
{
	unsigned long pid = strtoul(name + strlen("stead-"), NULL, 10);
	int fd;

	(void)arg;
	if (kill((pid_t)pid, 0) == 0 || errno != ESRCH)
		return;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0) {
		cgroup_kill(fd);
		close(fd);
	}
}

void cgroup_kill_left(struct parent *p)
{
	p->cgroup_name[0] = '\0';
	cgroup_init(p);
	if (p->cgroups.own >= 0)
		cgroup_each(p->cgroups.own, "stead-", kill_left, NULL);
}

static void cgroup_name(char name[static 24], uint64_t generation)
{
	snprintf(name, 24, "%llu", (unsigned long long)generation);
}

static int above(const struct parent *p, const struct cgroup_group *g)
{
	return g != NULL && g->v2 >= 0 ? g->v2 : p->cgroup_fd;
}

int cgroup_make(struct parent *p, const struct cgroup_group *g, uint64_t generation)
{
	char name[24];

	if (p->cgroup_fd < 0)
		return -1;
	cgroup_name(name, generation);
	int fd = cgroup_folder(above(p, g), name);
	return fd < 0 ? -1 : fd;
}

void cgroup_kill(int cgroup_fd)
{
	/* Nothing better could be done than what the sweep does at the end. */
	(void)cgroup_write(cgroup_fd, "cgroup.kill", "1");
}

/* Each that is listed gets it once; one that is born meanwhile is the end's, which kills the folder. */
/* The next pid at *at, which is behind it then; 0: no more. */
static pid_t next_pid(char **at)
{
	char *end;
	long pid = strtol(*at, &end, 10);

	if (end == *at)
		return 0;
	*at = end;
	return (pid_t)pid;
}

pid_t cgroup_first(int cgroup_fd, pid_t but)
{
	char *text = NULL, *at;
	pid_t pid;
	size_t n;

	if (sys_read_file(cgroup_fd, "cgroup.procs", CGROUP_PROCS_BYTES_MAX, &text, &n) < 0)
		return 0;
	at = text;
	while ((pid = next_pid(&at)) != 0 && (pid <= 1 || pid == but))
		;
	free(text);
	return pid;
}

bool cgroup_has(int cgroup_fd, pid_t pid)
{
	char *text = NULL, *at;
	pid_t one;
	size_t n;

	if (pid <= 1 || sys_read_file(cgroup_fd, "cgroup.procs", CGROUP_PROCS_BYTES_MAX, &text, &n) < 0)
		return false;
	at = text;
	while ((one = next_pid(&at)) != 0 && one != pid)
		;
	free(text);
	return one == pid;
}

bool cgroup_signal(int cgroup_fd, int sig)
{
	char *text = NULL, *at;
	bool any = false;
	pid_t pid;
	size_t n;

	if (sys_read_file(cgroup_fd, "cgroup.procs", CGROUP_PROCS_BYTES_MAX, &text, &n) < 0)
		return false;
	at = text;
	while ((pid = next_pid(&at)) != 0)
		any |= pid > 1 && kill(pid, sig) == 0;
	free(text);
	return any;
}

/* The folder is busy until the killed ones are gone from it, which takes the kernel a moment: then
 * a later removal takes it along. */
void cgroup_remove(struct parent *p, const struct cgroup_group *g, uint64_t generation)
{
	char name[24];

	cgroup_name(name, generation);
	if (p->cgroups_left != 0)
		remove_empty(p);
	else if (unlinkat(above(p, g), name, AT_REMOVEDIR) < 0 && errno == EBUSY)
		p->cgroups_left++;
}

void cgroup_done(struct parent *p)
{
	if (p->cgroup_fd >= 0) {
		/* Those that died a moment ago may hold their folders for another one. */
		remove_empty(p);
		for (int i = 0; i < 50 && p->cgroups_left != 0; i++) {
			nanosleep(&(struct timespec){.tv_nsec = 2 * 1000 * 1000}, NULL);
			remove_empty(p);
		}
	}
	limits_done(p);
	if (p->cgroup_fd >= 0) {
		close(p->cgroup_fd);
		cgroup_remove_tree(p->cgroups.own, p->cgroup_name, REMOVE_DEPTH);
	}
	p->cgroup_fd = -1;
	if (p->cgroups.own >= 0)
		close(p->cgroups.own);
	p->cgroups.own = -1;
}
