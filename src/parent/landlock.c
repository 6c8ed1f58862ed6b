/*
 * landlock.c: Landlock (landlock(7)) as a second wall behind an app's mount namespace: what of the
 * file system it may write, and that it speaks to nobody else by abstract sockets.
 *
 * Called in the child by jail.c, and by limits.c for what `stead status` says. Where the kernel
 * knows less of it, or nothing, the namespace stands alone. Owns nothing.
 */
#include "parent.h"
#include "mounts.h"
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CREATE_RULESET_VERSION = 1 };

/* Of versions that this machine's headers may not know yet. */
#define REFER (1ULL << 13)
#define TRUNCATE (1ULL << 14)
enum { ABI_REFER = 2, ABI_TRUNCATE = 3, ABI_SCOPE = 6 };
struct ruleset {
	uint64_t fs, net, scoped;
};
enum { SCOPE_ABSTRACT_UNIX_SOCKET = 1 };

int jail_landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

	return abi > 0 ? (int)abi : 0;
}

static uint64_t writing(int abi)
{
	uint64_t all = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
		       LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
		       LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
		       LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
		       LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;

	return all | (abi >= ABI_REFER ? REFER : 0) | (abi >= ABI_TRUNCATE ? TRUNCATE : 0);
}

/* Everything that is handled may be done below it; where it is missing there is nothing to allow.
 */
static int allow(int ruleset, const char *path, uint64_t rights)
{
	struct landlock_path_beneath_attr rule = {
		.parent_fd = open(path, O_PATH | O_CLOEXEC), .allowed_access = rights};
	struct stat st;
	int e = 0;

	if (rule.parent_fd < 0)
		return 0;
	/* Of a file there is less to allow, and the kernel insists on that. */
	if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
		rule.allowed_access &= LANDLOCK_ACCESS_FS_WRITE_FILE | TRUNCATE;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		e = -errno;
	close(rule.parent_fd);
	return e;
}

int jail_landlock(const struct jail_plan *j)
{
	static const char *const always[] = {"/tmp", "/var/tmp", "/dev", "/proc"};
	int abi = jail_landlock_abi(), e = 0;
	const struct spec *spec = j->spec;
	bool strict = spec != NULL &&
		      (spec->jail.system == JAIL_DEFAULT || spec->jail.system == JAIL_STRICT);
	struct ruleset attr = {.fs = strict ? writing(abi) : 0,
		.scoped = abi >= ABI_SCOPE ? SCOPE_ABSTRACT_UNIX_SOCKET : 0};
	size_t size = abi >= ABI_SCOPE ? sizeof(attr) : sizeof(attr.fs);

	if (abi == 0 || spec == NULL || (attr.fs == 0 && attr.scoped == 0))
		return 0;
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (ruleset < 0)
		return -errno;
	for (size_t i = 0; strict && e == 0 && i < ARRAY_LEN(always); i++)
		e = allow(ruleset, always[i], attr.fs);
	for (uint32_t i = 0; strict && e == 0 && i < spec->jail.paths; i++) {
		uint32_t kind = spec->paths[i].kind & JAIL_PATH_KINDS;

		/* Of a place the folder itself says what may be; one that is only to read is mounted so. */
		if (kind == JAIL_PATH_WRITE || kind == JAIL_PATH_EMPTY || kind == JAIL_PATH_PLACE)
			e = allow(ruleset, spec->paths[i].path, attr.fs);
	}
	if (strict && e == 0 && j->parent->places_dir != NULL)
		e = allow(ruleset, j->parent->places_dir, attr.fs);
	if (e == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		e = -errno;
	close(ruleset);
	return e;
}
