/*
 * act.h: what the files of stead-act share. Each act takes text arguments that it validates itself:
 * whoever asks is not trusted with more than the rows of tbl/acts.h say.
 */
#ifndef STEAD_ACT_ACT_H
#define STEAD_ACT_ACT_H

#include <pwd.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/buf.h"
#include "oneshot/oneshot.h"

enum {
	ACT_UID_MIN =
		50000, /* stead's own range; nothing outside it is ever made or taken for an app */
	ACT_UID_MAX = 59999,
	ACT_FILES_MAX = 200000, /* of a copy; its bytes: PARCEL_BYTES_MAX */
	ACT_DEPTH_MAX = 64,
	ACT_PATH_MAX = 4096,
	ACT_PROGRAM_MS = 30 * 1000,
	ACT_RESULT_MAX = 1024,
	ACT_VIEW_FD = 4, /* of main.c: the mount namespace in which the gates' roots begin */
	ACT_PERSON_MIN = 1000, /* of people: what is above are apps' */
	ACT_PERSON_MAX = 49999,
	ACT_OWNER_MAX = 100,    /* of a state folder's path in an account's comment */
	ACT_SAME_NAME_MAX = 99, /* apps of one name */
	ACT_ALLOWED_MAX = 2048, /* bytes of AllowUsers= */
	ACT_MADE_NAME_MAX = 64, /* an app's name in INODES_MADE */
};
#define ACT_APP_PREFIX "app-"
#define ACT_APP_COMMENT "stead app" /* in /etc/passwd: who made the account; the state folder follows */
#define ACT_ROLE_PREFIX "stead-"
#define ACT_OPERATORS "/etc/stead"
#define ACT_CHECK "stead-check" /* the same of the operator's folder, which is no app's: check alone reads the copy */
#define ACT_GATE "stead-gate" /* in place of a group's number: what is copied is published */

struct act_ctx {
	struct oneshot *o; /* for steps; NULL at boot and in tests */
	struct failure *f;
	const char *state_root; /* /var/lib/stead: trees and folders are made below it only */
	const char *run_root;   /* /run/stead: folders too */
	const char *operators;  /* /etc/stead */
	int view_fd;            /* where folders are mounted for the gates; may be none */
	struct unpack more;     /* what follows the arguments: of INODES_MADE alone */
	char result[ACT_RESULT_MAX];
};

/* Validation; true when the argument may be used. */
bool act_role_valid(const char *role); /* a role that has a system user of its own */
bool act_app_valid(const char *name);  /* [a-z][a-z0-9-]{0,26} */
bool act_number(const char *text, unsigned long min, unsigned long max, unsigned long *ret);
/* The part of `path` below `root`, relative and without "." or ".." parts; NULL when it is not
 * below. */
const char *act_below(const char *root, const char *path);

/* May that folder be copied there (place.c)? published: for the gates. */
bool act_copy_allowed(const struct act_ctx *ctx, const char *from, const char *to, bool published);
/* May paths of that release become links into `keep` (place.c)? */
bool act_persist_allowed(const struct act_ctx *ctx, const char *release, const char *keep);
/* May that folder be made, and given to whom it is for (place.c)? */
bool act_folder_allowed(const struct act_ctx *ctx, const char *path);

/* Each act: 0 or -errno with ctx->f set; ctx->result is the answer. All are idempotent. */
int act_user_role(struct act_ctx *ctx, const char *role);
int act_user_app(struct act_ctx *ctx, const char *name, const char *uid, const char *state);
int act_tree_copy(struct act_ctx *ctx, const char *from, const char *to, const char *gid);
/* The same for the gates alone, with every file NAME.php empty: that it is there is all they need to know of it. */
int act_scripts_copy(struct act_ctx *ctx, const char *from, const char *to, const char *gid);
int act_folder_make(struct act_ctx *ctx, const char *path, const char *owner, const char *group,
	const char *mode);
/* Remove the trees below `folder` (STATE/releases, STATE/public) whose numbers are below that one. */
int act_trees_clear(struct act_ctx *ctx, const char *folder, const char *number);
/* A person's account as it shall be (src/act/person.c): keys as a file of public keys has them; sudo "" or "sudo"; apps
 * that it deploys, "" for an operator; the path of `stead`, for the forced command of a deploy key. The result: its
 * number and how many keys it has. */
int act_person_set(struct act_ctx *ctx, const char *name, const char *keys, const char *sudo, const char *apps,
	const char *program);
/* Its keys and rights, then the account. EXIT_CODE_NO_SUCH; EXIT_CODE_BUSY: without any right any more, but its programs
 * still run. The result: its home, which stays. */
int act_person_remove(struct act_ctx *ctx, const char *name);
/* Open ports in the firewall, and take that back after so many seconds (0: never) unless somebody connects anew. */
int act_firewall_open(struct act_ctx *ctx, const char *places, const char *ports, const char *seconds);
/* At boot: undo what an act that was killed had opened and nobody confirmed. */
int act_firewall_undo_left(struct act_ctx *ctx);
/* Have apt install security updates by itself. */
int act_upgrades_on(struct act_ctx *ctx);
/* One tree: a numbered one of a releases, public or incoming folder, or a folder of an app; see remove.c. */
int act_tree_remove(struct act_ctx *ctx, const char *path);
/* STATE/apps/NAME, of an app that is not deployed: what its releases are made of goes, and then the folder, when nothing but folders
 * is in it and `has` is "" (else: what the app has elsewhere). 0 also when it stays. */
int act_app_forget(struct act_ctx *ctx, const char *path, const char *has);
/* In that release each of `paths` (one a line) becomes a link to KEEP/PATH. */
int act_persist(struct act_ctx *ctx, const char *release, const char *keep, const char *paths);
/* The folder `from` as it is and as it will be, read-only, at `to`, which is a place below STATE/public/NUMBER, for the gates; see
 * mount.c. `file` is the operator's file that names it. When that cannot be had and gates have something at `old` (""),
 * they keep that. The result: "kept" and the reason; or "mapped" or "plain" (whether the files are shown with their owner's rights),
 * how many of its files gates cannot read as far as was looked, and the first of them. */
int act_tree_mount(struct act_ctx *ctx, const char *from, const char *to, const char *file, const char *old);
/* Which app made most of the files that the file system of the state folder got since that time (seconds since 1970, and ms), when it
 * made that many; see made.c. ctx->more: packed name, u32 uid, folder, of each folder elsewhere. The result: how many and
 * its name ("." is the folder's own app), or "" when nobody made so many. */
int act_inodes_made(struct act_ctx *ctx, const char *state, const char *since, const char *ms, const char *least);
/* The group `stead` and every role's user, at boot. */
int act_boot(struct act_ctx *ctx);

/* ---- parts ---- */
/* 0; -ENOENT; -ERANGE. The texts lie in `mem`. */
int act_find_user(const char *name, struct passwd *ret, char *mem, size_t cap);
/* Run a program of the shadow suite; it waits a little for whoever has the account files locked. -errno with ctx->f set. */
int act_account_program(struct act_ctx *ctx, const char *const *argv);
/* Stead's lines of ~/.ssh/authorized_keys, with the rights of that account; "" for none. -EBADMSG: its marks do not
 * pair; -errno. */
int act_home_keys(const struct passwd *pw, const char *keys);
/* How many programs it runs; the first of them, for people. */
unsigned act_running(uid_t uid, char *ret, size_t cap);

/* May apps run as that account, by the operator's own file (AllowUsers=)? Then its number. */
bool act_user_allowed(const char *name, uid_t *ret);
/* May that folder be published as the operator's `file` says? Opened (O_PATH), with its place without symlinks. -errno
 * with ctx->f set. */
int act_source_open(struct act_ctx *ctx, const char *from, const char *file, char ret_real[static ACT_PATH_MAX]);
/* What lies in that folder and is from's becomes to's. -errno; -ELOOP: it is too deep. */
int act_own_inside(int fd, uid_t from, uid_t to);
/* The folder at `rel` below `root`, its missing parents made (root's, 0755), no symlink on the way.
 * `root` itself is made too. -errno, -ELOOP for a symlink. */
int act_open_below(const char *root, const char *rel, int *ret_fd);

#endif
