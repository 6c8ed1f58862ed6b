/*
 * cgroup.c: one cgroup v2 folder per process that stead starts, so that all of its descendants die
 * in one write, whatever they called themselves.
 *
 * Called by reap.c (make, kill, remove) and main.c. Owns the folder stead-PID below the parent's
 * own cgroup. Used as root only, where that cgroup is writable; everywhere else process groups and
 * the final sweep do the work. Never moves a process that already runs.
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

/* Call `each` with the name of every folder below dirfd that is the prefix and a number. */
static void each_folder(int dirfd, const char *prefix,
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

/* Remove every folder that is empty by now. */
static void remove_empty(struct parent *p)
{
	p->cgroups_left = 0;
	each_folder(p->cgroup_fd, "", remove_one, &p->cgroups_left);
}

/* What a parent left that was killed: empty folders, no processes. */
static void remove_dead(void *arg, int dirfd, const char *name)
{
	unsigned left = 0;
	unsigned long pid = strtoul(name + strlen("stead-"), NULL, 10);

	(void)arg;
	if (kill((pid_t)pid, 0) == 0 || errno != ESRCH)
		return;
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	each_folder(fd, "", remove_one, &left);
	close(fd);
	unlinkat(dirfd, name, AT_REMOVEDIR);
}

void cgroup_init(struct parent *p)
{
	char *text = NULL;
	size_t n;
	int tree, own = -1;

	p->cgroup_fd = -1;
	if (!p->root || sys_read_file(AT_FDCWD, "/proc/self/cgroup", 16384, &text, &n) < 0)
		return;
	char *line = strstr(text, "0::/");
	if (line != NULL && (line == text || line[-1] == '\n') && (tree = open_tree()) >= 0) {
		line[strcspn(line, "\n")] = '\0';
		own = openat(
			tree, line[4] != '\0' ? line + 4 : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(tree);
	}
	free(text);
	if (own < 0)
		return;
	each_folder(own, "stead-", remove_dead, NULL);
	snprintf(p->cgroup_name, sizeof(p->cgroup_name), "stead-%d", (int)getpid());
	if (mkdirat(own, p->cgroup_name, 0755) == 0) {
		p->cgroup_fd = openat(own, p->cgroup_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		/* cgroup.kill came with Linux 5.14; without it groups are the better tool. */
		if (p->cgroup_fd >= 0 && faccessat(p->cgroup_fd, "cgroup.kill", W_OK, 0) < 0) {
			close(p->cgroup_fd);
			p->cgroup_fd = -1;
			unlinkat(own, p->cgroup_name, AT_REMOVEDIR);
		}
	}
	close(own);
}

static void cgroup_name(char name[static 24], uint64_t generation)
{
	snprintf(name, 24, "%llu", (unsigned long long)generation);
}

int cgroup_make(struct parent *p, uint64_t generation)
{
	char name[24];

	if (p->cgroup_fd < 0)
		return -1;
	cgroup_name(name, generation);
	if (mkdirat(p->cgroup_fd, name, 0755) < 0)
		return -1;
	return openat(p->cgroup_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void cgroup_kill(int cgroup_fd)
{
	int fd = openat(cgroup_fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	ssize_t n = write(fd, "1", 1);
	(void)n; /* nothing better could be done than what the sweep does at the end */
	close(fd);
}

/* The folder is busy until the killed ones are gone from it, which takes the kernel a moment: then
 * a later removal takes it along. */
void cgroup_remove(struct parent *p, uint64_t generation)
{
	char name[24];

	cgroup_name(name, generation);
	if (p->cgroups_left != 0)
		remove_empty(p);
	else if (unlinkat(p->cgroup_fd, name, AT_REMOVEDIR) < 0 && errno == EBUSY)
		p->cgroups_left++;
}

void cgroup_done(struct parent *p)
{
	if (p->cgroup_fd < 0)
		return;
	int up = openat(p->cgroup_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

	/* Those that died a moment ago may hold their folders for another one. */
	remove_empty(p);
	for (int i = 0; i < 50 && p->cgroups_left != 0; i++) {
		nanosleep(&(struct timespec){.tv_nsec = 2 * 1000 * 1000}, NULL);
		remove_empty(p);
	}
	close(p->cgroup_fd);
	p->cgroup_fd = -1;
	if (up >= 0) {
		unlinkat(up, p->cgroup_name, AT_REMOVEDIR);
		close(up);
	}
}
