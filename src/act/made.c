/*
 * made.c: which app made most of the files that a file system got since some moment, when its inodes run out.
 *
 * There is no counter to ask. The kernel counts inodes for an owner or a folder only by quota, which is chosen when the
 * file system is made or mounted (prjquota, usrquota) and which neither Debian's nor Ubuntu's images have; there is no
 * controller of cgroups for them. fanotify(7) would tell who makes each file, but not in a container, and of what was made
 * before it was asked nothing; it loses count of who makes them fast. So the folders in which an app may write are looked
 * through for files that are younger than that moment. A file's birth is the kernel's word, which no app can set; where a
 * file system keeps none, its last change is.
 *
 * Below each folder only those folders are looked into file by file that changed since then, which is what the making of
 * a file does to its folder; one that did not and has no folder in it is passed. Each app is looked through as far as its
 * budget goes, which grows with each turn for those that are not done, so that an app with few files costs little beside
 * one with millions, and as soon as one alone is not done and has made more than each other and enough, it is known. All of
 * it ends in MADE_MS.
 *
 * What lies there is the apps' to choose: folders are opened below each other's descriptors without a link, nothing else
 * is opened, and no other file system is entered. One that hides what it makes in folders deeper than anybody's is taken
 * to have made enough.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "lib/sys.h"
#include "lib/within.h"

#include "act.h"

enum { MADE_MS = 10 * 1000, DEPTH_MAX = 128, BUDGET = 4096, BUDGET_GROWS = 8, APPS_MAX = 16384, FOLDERS_MAX = 65536 };
/* Of a file with two names each name is half of it. */
enum { WHOLE = 1 << 16 };
#define ANYBODY ((uid_t)-1)

struct folder {
	struct folder *next;
	uid_t uid;   /* only what that one owns counts; ANYBODY: all, and it is one of the state's */
	char path[]; /* below the machine's root, or the state's folder */
};
struct maker {
	struct maker *next;
	struct folder *folders;
	uint64_t made; /* in WHOLEs */
	bool done;     /* it was looked through whole */
	char name[];
};
struct made {
	struct act_ctx *ctx;
	struct maker *makers;
	unsigned apps, folders;
	int root, state; /* of the machine; the state's folder */
	dev_t dev;
	struct statx_timestamp since;
	uint64_t least, end_ms;
};
struct walk {
	const struct made *made;
	uid_t uid;
	uint64_t n, enough; /* in WHOLEs */
	unsigned long left;
	bool stopped, hides;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- one folder ---- */

static int look(int dir, const char *name, struct statx *ret)
{
	return statx(dir, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
		STATX_TYPE | STATX_NLINK | STATX_UID | STATX_CTIME | STATX_BTIME, ret);
}

static bool is_since(const struct walk *w, const struct statx_timestamp *t)
{
	const struct statx_timestamp *since = &w->made->since;

	return t->tv_sec > since->tv_sec || (t->tv_sec == since->tv_sec && t->tv_nsec >= since->tv_nsec);
}

static bool is_of(const struct walk *w, const struct statx *s)
{
	return w->uid == ANYBODY || s->stx_uid == w->uid;
}

static void count(struct walk *w, const struct statx *s)
{
	const struct statx_timestamp *born = s->stx_mask & STATX_BTIME ? &s->stx_btime : &s->stx_ctime;
	uint32_t names = S_ISDIR(s->stx_mode) || s->stx_nlink == 0 ? 1 : s->stx_nlink;

	if (is_since(w, born) && is_of(w, s))
		w->n += WHOLE / names + (names > WHOLE);
}

static bool goes_on(struct walk *w)
{
	if (w->left == 0 || w->n >= w->enough || (w->left % 256 == 0 && now_ms() >= w->made->end_ms))
		w->stopped = true;
	else
		w->left--;
	return !w->stopped;
}

static void enter(struct walk *w, int dir, const char *name, unsigned depth);

/* Takes `fd`. */
static void walk(struct walk *w, int fd, unsigned depth)
{
	const struct dirent *e;
	struct statx s, one;
	bool changed;
	DIR *d;

	if (look(fd, "", &s) < 0 || makedev(s.stx_dev_major, s.stx_dev_minor) != w->made->dev) {
		(void)close(fd);
		return;
	}
	changed = is_since(w, &s.stx_ctime);
	/* Two names: its own and ".". File systems that do not count the folders in a folder say 1. */
	if (!changed && s.stx_nlink == 2) {
		(void)close(fd);
		return;
	}
	if (depth > DEPTH_MAX) {
		w->hides |= is_of(w, &s);
		(void)close(fd);
		return;
	}
	d = fdopendir(fd);
	if (!d) {
		(void)close(fd);
		return;
	}
	while (goes_on(w) && (e = readdir(d)) != NULL) {
		bool folder = e->d_type == DT_DIR || e->d_type == DT_UNKNOWN;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		/* It may be gone by now. */
		if (changed && look(dirfd(d), e->d_name, &one) == 0)
			count(w, &one);
		if (folder)
			enter(w, dirfd(d), e->d_name, depth + 1);
	}
	(void)closedir(d);
}

static void enter(struct walk *w, int dir, const char *name, unsigned depth)
{
	int fd = sys_open_nosymlink(dir, name, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC, 0);

	if (fd >= 0)
		walk(w, fd, depth);
}

/* ---- one app ---- */

static void look_through(const struct made *m, struct maker *who, unsigned long budget, uint64_t enough)
{
	struct walk w = {.made = m, .left = budget, .enough = enough};

	for (const struct folder *f = who->folders; f && !w.stopped; f = f->next) {
		w.uid = f->uid;
		enter(&w, f->uid == ANYBODY ? m->state : m->root, f->path, 0);
	}
	/* One that was looked through less far because files were removed meanwhile has made no fewer. */
	if (w.n > who->made)
		who->made = w.n;
	if (w.hides && who->made < m->least)
		who->made = m->least;
	who->done = !w.stopped;
}

static const struct maker *most(const struct made *m)
{
	const struct maker *top = NULL;

	for (const struct maker *who = m->makers; who; who = who->next)
		if (!top || who->made > top->made)
			top = who;
	return top && top->made >= m->least ? top : NULL;
}

/* With so many the one that alone is not done has made most. */
static uint64_t enough_of(const struct made *m)
{
	uint64_t enough = m->least;

	for (const struct maker *who = m->makers; who; who = who->next)
		if (who->done && who->made >= enough)
			enough = who->made + 1;
	return enough;
}

static const struct maker *find(struct made *m)
{
	uint64_t enough = UINT64_MAX;

	for (unsigned long budget = BUDGET;; budget *= BUDGET_GROWS) {
		const struct maker *top, *open = NULL;
		unsigned left = 0;

		for (struct maker *who = m->makers; who; who = who->next) {
			if (!who->done)
				look_through(m, who, budget, enough);
			left += !who->done;
			if (!who->done)
				open = who;
		}
		top = most(m);
		if (left == 0 || (left == 1 && top == open) || now_ms() >= m->end_ms || budget > UINT32_MAX)
			return top;
		if (left == 1)
			enough = enough_of(m);
	}
}

/* ---- whose folders there are ---- */

static struct maker *maker(struct made *m, const char *name)
{
	struct maker *who;

	for (who = m->makers; who; who = who->next)
		if (strcmp(who->name, name) == 0)
			return who;
	who = m->apps < APPS_MAX ? calloc(1, sizeof *who + strlen(name) + 1) : NULL;
	if (!who)
		return NULL;
	m->apps++;
	memcpy(who->name, name, strlen(name) + 1);
	who->next = m->makers;
	m->makers = who;
	return who;
}

/* One more folder of that app. What lies in another of its folders is counted there. */
static int put(struct made *m, const char *name, uid_t uid, const char *path)
{
	struct maker *who = maker(m, name);
	struct folder *f, **at;

	if (!who || m->folders >= FOLDERS_MAX)
		return -ENOMEM;
	for (at = &who->folders; (f = *at) != NULL;) {
		if (f->uid == uid && path_is_within(path, f->path))
			return 0;
		if (f->uid == uid && path_is_within(f->path, path)) {
			*at = f->next;
			free(f);
			m->folders--;
		} else {
			at = &f->next;
		}
	}
	f = malloc(sizeof *f + strlen(path) + 1);
	if (!f)
		return -ENOMEM;
	f->uid = uid;
	memcpy(f->path, path, strlen(path) + 1);
	f->next = who->folders;
	who->folders = f;
	m->folders++;
	return 0;
}

/* A list of what is in a folder of the state. */
static DIR *open_list(const struct made *m, const char *path)
{
	int fd = sys_open_nosymlink(m->state, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		(void)close(fd);
	return d;
}

static const struct dirent *next(DIR *d)
{
	const struct dirent *e;

	while (d && (e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			return e;
	return NULL;
}

/* All that a deployed app has below apps/NAME but its releases, which are root's and made by a deploy. */
static int put_app(struct made *m, const char *name)
{
	char path[ACT_PATH_MAX];
	const struct dirent *e;
	DIR *d;
	int r = 0;

	(void)snprintf(path, sizeof path, "apps/%s", name);
	d = open_list(m, path);
	while (r == 0 && (e = next(d)) != NULL)
		if (strcmp(e->d_name, "releases") != 0) {
			(void)snprintf(path, sizeof path, "apps/%s/%s", name, e->d_name);
			r = put(m, name, ANYBODY, path);
		}
	if (d)
		(void)closedir(d);
	return r;
}

/* The app of the folder itself is called ".", which no other is. */
static int put_state(struct made *m)
{
	static const char *const own[] = {"data", "own", "cache", "logs"};
	const struct dirent *e;
	DIR *d;
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof own / sizeof *own; i++)
		r = put(m, ".", ANYBODY, own[i]);
	d = open_list(m, "apps");
	while (r == 0 && (e = next(d)) != NULL)
		r = put_app(m, e->d_name);
	if (d)
		(void)closedir(d);
	return r;
}

/* Those outside of the state: packed name, uid, folder. Only what that user owns counts, for others may write there too. */
static int put_others(struct made *m)
{
	struct unpack *u = &m->ctx->more;
	int r = 0;

	while (r == 0 && u->p < u->end) {
		const char *name = unpack_str(u);
		uint32_t uid = unpack_u32(u);
		const char *path = unpack_str(u), *rel = act_below("", path);

		if (u->bad || !*name || strlen(name) > ACT_MADE_NAME_MAX || uid == ANYBODY)
			return -EPROTO;
		/* Nobody can be shown one that is called so. */
		if (rel)
			r = put(m, name, uid, rel);
	}
	return r;
}

static void forget(struct made *m)
{
	while (m->makers) {
		struct maker *who = m->makers;

		m->makers = who->next;
		while (who->folders) {
			struct folder *f = who->folders;

			who->folders = f->next;
			free(f);
		}
		free(who);
	}
	if (m->state >= 0)
		(void)close(m->state);
	if (m->root >= 0)
		(void)close(m->root);
}

static int begin(struct made *m, const char *rel)
{
	int fd = open(m->ctx->state_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	int r;

	m->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || m->root < 0)
		r = -errno;
	else
		r = m->state = sys_open_nosymlink(fd, rel, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd >= 0)
		(void)close(fd);
	if (r < 0)
		return r;
	if (fstat(m->state, &st) < 0)
		return -errno;
	m->dev = st.st_dev;
	r = put_state(m);
	return r == 0 ? put_others(m) : r;
}

int act_inodes_made(struct act_ctx *ctx, const char *state, const char *since, const char *ms, const char *least)
{
	const char *rel = strcmp(state, ctx->state_root) == 0 ? "." : act_below(ctx->state_root, state);
	struct made m = {.ctx = ctx, .root = -1, .state = -1, .end_ms = now_ms() + MADE_MS};
	unsigned long from, part, enough;
	const struct maker *who = NULL;
	int r;

	if (!rel || !act_number(since, 0, UINT32_MAX, &from) || !act_number(ms, 0, 999, &part) || !act_number(least, 1, UINT32_MAX, &enough))
		return failure_set(ctx->f, EINVAL, EXIT_CODE_USAGE, "",
			"stead counts files in a state folder below %s only (asked: \"%.200s\", \"%.20s\", \"%.20s\").",
			ctx->state_root, state, since, least);
	m.since = (struct statx_timestamp){.tv_sec = (int64_t)from, .tv_nsec = (uint32_t)part * 1000000};
	m.least = (uint64_t)enough * WHOLE;
	r = begin(&m, rel);
	if (r == 0)
		who = find(&m);
	if (who)
		(void)snprintf(ctx->result, sizeof ctx->result, "%llu %s", (unsigned long long)(who->made / WHOLE), who->name);
	forget(&m);
	return r < 0 ? failure_set(ctx->f, -r, EXIT_CODE_FAILED, "see that there is memory, and what lies there",
			       "The files that apps made in %s cannot be counted: %s.", state, strerror(-r))
		     : 0;
}
