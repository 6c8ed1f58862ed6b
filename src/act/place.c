/*
 * place.c: where below stead's state trees may be copied to and from, and which folders may be made.
 *
 * Called by copy.c, folder.c and remove.c. ctl names both ends of a copy and is not believed: who took it over must not have root copy
 * what root alone may read (/etc, /root, the keys) to where an app or a gate reads it, nor make what root itself goes by:
 * what is said of people (STATE/people), a restore that is to be carried on (STATE/restore), the operator's files.
 *
 * A state is STATE_ROOT, a server's, or a folder below it, of which `stead up` as root has one for each folder
 * (STATE_ROOT/up/ID). Only into such a one a folder from elsewhere is copied, because whoever typed that named it; and only
 * while it runs: the lock that root's parent holds says so, and ctl cannot make one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/sys.h"

#include "act.h"

enum { PLACE_PARTS = 8, PLACE_NUMBER_MAX = 1000000000 };

/* A path below the state root, cut in its parts: those of the state it lies in, then the rest. */
struct place {
	char mem[ACT_PATH_MAX];
	char state[ACT_PATH_MAX]; /* "", or "up/ID" */
	const char *part[PLACE_PARTS];
	unsigned n; /* parts, at most PLACE_PARTS; what is behind them stands in the last one */
};

static bool among(const char *name, const char *const *names)
{
	while (*names && strcmp(name, *names) != 0)
		names++;
	return *names != NULL;
}

/* What a state has in it; before the first of them stands the state. */
static const char *const tops[] = {"releases", "public", "apps", "own", "php", "data", "cache", "logs", "config", NULL};
/* Of root's or a role's own; no state lies in them. */
static const char *const closed[] = {"people", "restore", "keys", "ca", "root", "log", "pg", "lock", NULL};

/* False: it is in no state. */
static bool split(const char *root, const char *path, struct place *p)
{
	const char *rel = act_below(root, path);
	char *at, *end;

	*p = (struct place){.n = 0};
	if (!rel)
		return false;
	(void)snprintf(p->mem, sizeof p->mem, "%s", rel);
	for (at = p->mem; at; at = end) {
		end = p->n < PLACE_PARTS - 1 ? strchr(at, '/') : NULL;
		if (end)
			*end++ = '\0';
		if (p->n == 0 && !among(at, tops)) {
			if (among(at, closed))
				return false;
			(void)snprintf(p->state + strlen(p->state), sizeof p->state - strlen(p->state), "%s%s",
				*p->state ? "/" : "", at);
			continue;
		}
		p->part[p->n++] = at;
	}
	return p->n > 0;
}

static bool numbered(const char *text)
{
	unsigned long v;

	return act_number(text, 1, PLACE_NUMBER_MAX, &v);
}

/* Does it begin with releases/N or apps/NAME/releases/N? */
static bool in_release(const struct place *p)
{
	return (p->n >= 2 && strcmp(p->part[0], "releases") == 0 && numbered(p->part[1])) ||
	       (p->n >= 4 && strcmp(p->part[0], "apps") == 0 && act_app_valid(p->part[1]) &&
		       strcmp(p->part[2], "releases") == 0 && numbered(p->part[3]));
}

/* public/N/NAME, public/appN/N/NAME */
static bool is_public(const struct place *p)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	const char *const *part = p->part + 1;
	unsigned n = p->n - 1;

	if (strcmp(p->part[0], "public") != 0)
		return false;
	if (n == 3 && strncmp(part[0], "app", 3) == 0 && numbered(part[0] + 3)) {
		part++;
		n--;
	}
	return n == 2 && numbered(part[0]) && *part[1] && part[1][strspn(part[1], letters)] == '\0';
}

/* Does a parent of root's run there? ctl may write in the folder, and have no file made that is like this one. */
static bool runs(const char *root, const char *state)
{
	char path[ACT_PATH_MAX];
	int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
	struct stat st;
	bool held = false;

	(void)snprintf(path, sizeof path, "%.4080s/lock", state);
	if (dir >= 0)
		fd = sys_open_nosymlink(dir, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == 0 && st.st_gid == 0 && (st.st_mode & 077) == 0)
		held = flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	if (fd >= 0)
		(void)close(fd);
	if (dir >= 0)
		(void)close(dir);
	return held;
}

/* releases/N: of the operator's folder, or of the one that `stead up` was told. */
static bool from_outside(const struct act_ctx *ctx, const char *from, const struct place *to)
{
	if (strcmp(from, ctx->operators) == 0)
		return true;
	return *to->state && !act_below(ctx->state_root, from) && !act_below(ctx->run_root, from) &&
	       !act_below(ctx->operators, from) && runs(ctx->state_root, to->state);
}

bool act_copy_allowed(const struct act_ctx *ctx, const char *from, const char *to, bool published)
{
	struct place at, of;
	bool inside;

	if (!split(ctx->state_root, to, &at))
		return false;
	inside = split(ctx->state_root, from, &of) && strcmp(of.state, at.state) == 0;
	if (published)
		return inside && is_public(&at) && in_release(&of);
	if (!in_release(&at))
		return false;
	if (at.n == 2)
		return from_outside(ctx, from, &at);
	return at.n == 4 && inside && of.n == 4 && strcmp(of.part[0], "apps") == 0 && strcmp(of.part[1], at.part[1]) == 0 &&
	       strcmp(of.part[2], "incoming") == 0 && strcmp(of.part[3], at.part[3]) == 0;
}

bool act_persist_allowed(const struct act_ctx *ctx, const char *release, const char *keep)
{
	struct place at, of;

	return split(ctx->state_root, release, &at) && in_release(&at) && at.n == 4 && split(ctx->state_root, keep, &of) &&
	       strcmp(of.state, at.state) == 0 && of.n == 4 && strcmp(of.part[0], "apps") == 0 &&
	       strcmp(of.part[1], at.part[1]) == 0 && strcmp(of.part[2], "data") == 0 && strcmp(of.part[3], "persist") == 0;
}

bool act_folder_allowed(const struct act_ctx *ctx, const char *path)
{
	static const char *const own[] = {"own", "incoming", "php", "data", "cache", "logs", "config", NULL};
	const char *run = act_below(ctx->run_root, path), *name = run ? strrchr(run, '/') : NULL;
	struct place p;

	if (run)
		return strcmp(name ? name + 1 : run, "pg") == 0;
	if (!split(ctx->state_root, path, &p))
		return false;
	if (strcmp(p.part[0], "apps") == 0)
		return p.n >= 3 && act_app_valid(p.part[1]) && among(p.part[2], own);
	return strcmp(p.part[0], "incoming") != 0 && among(p.part[0], own);
}
