/*
 * running.c: which programs an account runs, from /proc. Reads only; ends nothing.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/sys.h"

#include "act.h"

/* Its name, for people; kernel text that its owner chose. */
static void name_of(int proc, const char *pid, char ret[24])
{
	char path[64], *text = NULL;
	size_t n = 0;

	(void)snprintf(path, sizeof path, "%.20s/comm", pid);
	ret[0] = '\0';
	if (sys_read_file(proc, path, 256, &text, &n) < 0)
		return;
	(void)snprintf(ret, 24, "%.20s", text);
	ret[strcspn(ret, "\n")] = '\0';
	for (char *p = ret; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '_';
	free(text);
}

unsigned act_running(uid_t uid, char *ret, size_t cap)
{
	int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = proc >= 0 ? fdopendir(dup(proc)) : NULL;
	struct dirent *e;
	struct stat st;
	unsigned found = 0;
	size_t n = 0;
	char name[24];

	ret[0] = '\0';
	while (d && (e = readdir(d)) != NULL) {
		if (e->d_name[0] < '0' || e->d_name[0] > '9' || fstatat(proc, e->d_name, &st, 0) < 0 || st.st_uid != uid)
			continue;
		name_of(proc, e->d_name, name);
		if (n < cap && found < 10)
			n += (size_t)snprintf(ret + n, cap - n, "%s%.10s (%s)", found ? ", " : "", e->d_name, name);
		found++;
	}
	if (d)
		(void)closedir(d);
	if (proc >= 0)
		(void)close(proc);
	return found;
}
