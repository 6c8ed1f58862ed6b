/*
 * sys_memory.c: what a process costs in memory, alone or with its children.
 *
 * Called for the status, by ctl and by the command line. Owns nothing. The share of a process
 * (PSS) may be read by its own user and by root only; everybody may read what is resident, which
 * counts shared pages in each process that maps them.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sys.h"

static uint64_t resident(pid_t pid)
{
	char path[64], *text = NULL, *at;
	uint64_t pages = 0;
	size_t n;

	(void)snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
	if (sys_read_file(AT_FDCWD, path, 4096, &text, &n) == 0 && (at = strchr(text, ' ')) != NULL)
		pages = strtoull(at + 1, NULL, 10);
	free(text);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* What has just ended has nothing, and that is exact. */
static uint64_t one(pid_t pid, bool *exact)
{
	uint64_t pss = sys_pss_bytes(pid), rss = pss ? 0 : resident(pid);

	if (rss)
		*exact = false;
	return pss + rss;
}

uint64_t sys_memory_bytes(pid_t pid, bool family, bool *ret_exact)
{
	char path[64], *text = NULL;
	uint64_t sum;
	size_t n;

	*ret_exact = true;
	if (pid <= 0)
		return 0;
	sum = one(pid, ret_exact);
	(void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
	if (!family || sys_read_file(AT_FDCWD, path, 65536, &text, &n) < 0)
		return sum;
	for (char *p = text, *end; *p; p = end) {
		long child = strtol(p, &end, 10);

		if (end == p)
			break;
		sum += one((pid_t)child, ret_exact);
		end += *end == ' ';
	}
	free(text);
	return sum;
}
