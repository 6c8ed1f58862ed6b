/*
 * stead-act: does one privileged thing from tbl/acts.h and ends.
 *
 * Started by the parent as root: for ctl (descriptor 3 is the channel: ACT_ASK, DB_STEP*, ACT_END; 4 the mount namespace
 * in which the gates' roots begin, for the act that mounts there),
 * or with --boot by the parent itself, to make the accounts that the roles run as; and with --by-root by
 * root's own `stead user`, `stead restore` and `stead doctor --fix`; the first and the last alone may ask for the acts on people,
 * the firewall and updates. There is no
 * shell, no path or name from the question reaches a program unchecked, and nothing is read from
 * the environment.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/must.h"
#include "oneshot/restored.h"

#include "act.h"

enum { ARGS_MAX = 5 };

/* Asked by root's own command line alone (--by-root), never by ctl. */
static bool is_roots_own(enum act act)
{
	return act == ACT_PERSON_SET || act == ACT_PERSON_REMOVE || act == ACT_FIREWALL_OPEN || act == ACT_UPGRADES_ON;
}

static int do_act(struct act_ctx *ctx, enum act act, const char *const *args)
{
	switch (act) {
	case ACT_USER_ROLE:
		return act_user_role(ctx, args[0]);
	case ACT_USER_APP:
		return act_user_app(ctx, args[0], args[1], args[2]);
	case ACT_TREE_COPY:
		return act_tree_copy(ctx, args[0], args[1], args[2]);
	case ACT_SCRIPTS_COPY:
		return act_scripts_copy(ctx, args[0], args[1], args[2]);
	case ACT_FOLDER_MAKE:
		return act_folder_make(ctx, args[0], args[1], args[2], args[3]);
	case ACT_TREES_CLEAR:
		return act_trees_clear(ctx, args[0], args[1]);
	case ACT_PERSON_SET:
		return act_person_set(ctx, args[0], args[1], args[2], args[3], args[4]);
	case ACT_PERSON_REMOVE:
		return act_person_remove(ctx, args[0]);
	case ACT_FIREWALL_OPEN:
		return act_firewall_open(ctx, args[0], args[1], args[2]);
	case ACT_UPGRADES_ON:
		return act_upgrades_on(ctx);
	case ACT_TREE_REMOVE:
		return act_tree_remove(ctx, args[0]);
	case ACT_PERSIST:
		return act_persist(ctx, args[0], args[1], args[2]);
	case ACT_TREE_MOUNT:
		return act_tree_mount(ctx, args[0], args[1], args[2], args[3]);
	case ACT_APP_FORGET:
		return act_app_forget(ctx, args[0], args[1]);
	case ACT_INODES_MADE:
		return act_inodes_made(ctx, args[0], args[1], args[2], args[3]);
	case ACT_NONE:
	case ACT_END:
		break;
	}
	return failure_set(ctx->f, ENOSYS, EXIT_CODE_FAILED, "install one version of stead whole",
		"stead-act does not know that act.");
}

static int read_ask(struct oneshot *o, enum act *ret_act, const char **ret_args, struct unpack *ret_more)
{
	struct msg_act_ask ask;
	struct unpack u;
	const char *tail;
	size_t n;
	int r = msg_get(&o->ask, &ask, sizeof ask, sizeof ask);

	if (r < 0)
		return r;
	if (ask.act <= ACT_NONE || ask.act >= ACT_END || act_rows[ask.act].args > ARGS_MAX)
		return -EPROTO;
	tail = msg_tail(&o->ask, sizeof ask, &n);
	unpack_init(&u, tail, n);
	for (unsigned i = 0; i < act_rows[ask.act].args; i++)
		ret_args[i] = unpack_str(&u);
	*ret_act = (enum act)ask.act;
	*ret_more = u;
	if (ask.act == ACT_INODES_MADE)
		return u.bad ? -EPROTO : 0;
	return unpack_done(&u) ? 0 : -EPROTO;
}

/* A restore that was cut off is carried on before anything reads the state. */
static int carry_on_restore(struct act_ctx *ctx)
{
	int fd = open(ctx->state_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), lock = -1, r = 0;

	if (fd >= 0 && restored_waits(fd)) {
		lock = openat(fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		/* Who has the lock does it. */
		if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0)
			r = restored_finish(fd, false);
	}
	if (lock >= 0)
		(void)close(lock);
	if (fd >= 0)
		(void)close(fd);
	return r < 0 ? failure_set(ctx->f, -r, EXIT_CODE_FAILED, "correct that, then start stead again",
			       "The restore that was cut off cannot be carried on in %s: %s.", ctx->state_root, strerror(-r))
		     : 0;
}

static int boot(struct act_ctx *ctx)
{
	if (carry_on_restore(ctx) == 0 && act_firewall_undo_left(ctx) == 0 && act_boot(ctx) == 0)
		return 0;
	(void)fprintf(stderr, "stead-act: %s\n", ctx->f->text);
	if (*ctx->f->todo)
		(void)fprintf(stderr, "stead-act: what to do: %s\n", ctx->f->todo);
	return 1;
}

int main(int argc, char **argv)
{
	struct failure f = {0};
	struct act_ctx ctx = {.f = &f, .state_root = "/var/lib/stead", .run_root = "/run/stead", .operators = ACT_OPERATORS, .view_fd = ACT_VIEW_FD};
	const char *args[ARGS_MAX];
	struct oneshot o;
	bool by_root = argc == 2 && strcmp(argv[1], "--by-root") == 0;
	enum act act;
	int r;

	(void)sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	(void)umask(0022);
	if (argc == 2 && strcmp(argv[1], "--boot") == 0)
		return boot(&ctx);
	r = oneshot_open(&o, 3, PROC_ACT);
	if (r == 0)
		r = oneshot_receive_from(&o, by_root ? PROC_CLI : PROC_CTL, MSG_ACT_ASK);
	if (r < 0)
		fatal("act", "descriptor 3 is not the channel of who may ask: %s", strerror(-r));
	ctx.o = &o;
	if (read_ask(&o, &act, args, &ctx.more) < 0)
		fatal("act", "malformed question");
	/* `stead restore` makes the users of apps, as ctl does for a deploy. */
	if (is_roots_own(act) != by_root && !(by_root && act == ACT_USER_APP))
		fatal("act", "that act is not for who asks");
	(void)do_act(&ctx, act, args);
	r = oneshot_end(&o, MSG_ACT_END, &f, f.err ? "" : ctx.result);
	oneshot_close(&o);
	return r < 0 ? 1 : 0;
}
