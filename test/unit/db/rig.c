/*
 * rig.c: see rig.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/sys.h"
#include "oneshot/tree.h"

#include "rig.h"

const char *rig_user(void)
{
	static char name[64];
	struct passwd *pw;

	if (geteuid() == 0) {
		pw = getpwnam("postgres");
		if (!pw)
			skip();
		assert_int_equal(setgroups(0, NULL), 0);
		assert_int_equal(setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid), 0);
		assert_int_equal(setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid), 0);
	}
	pw = getpwuid(geteuid());
	assert_non_null(pw);
	(void)snprintf(name, sizeof name, "%s", pw->pw_name);
	return name;
}

const char *rig_folder(void)
{
	static char path[64];

	(void)snprintf(path, sizeof path, "/tmp/stead-db-XXXXXX");
	assert_non_null(mkdtemp(path));
	return path;
}

void rig_remove(const char *path)
{
	assert_int_equal(tree_remove(AT_FDCWD, path), 0);
}

const char *rig_path(const char *folder, const char *name)
{
	static char mem[8][1024];
	static unsigned at;

	at = (at + 1) % 8;
	(void)snprintf(mem[at], sizeof mem[at], "%s/%s", folder, name);
	return mem[at];
}

void rig_write(const char *folder, const char *name, const char *text, mode_t mode)
{
	int fd = open(rig_path(folder, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(close(fd), 0);
}

char *rig_read(const char *folder, const char *name)
{
	char *text;
	size_t n;

	return sys_read_file(AT_FDCWD, rig_path(folder, name), 1 << 20, &text, &n) == 0 ? text
											: NULL;
}
