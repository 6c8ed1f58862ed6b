/*
 * stead: the program that people type. Arguments by the tables, then one verb.
 *
 * What needs no running stead (help, introspect, completion, check) is answered here; every other
 * verb asks ctl over the control socket.
 */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int print_buf(struct buf *b, int err)
{
	int code = VERB_EXIT_DONE;

	if (err < 0 || b->error) {
		(void)fputs("stead: no memory\n", stderr);
		code = VERB_EXIT_FAILED;
	} else if (fwrite(b->p, 1, b->len, stdout) != b->len || fflush(stdout) != 0) {
		code = VERB_EXIT_FAILED;
	}
	buf_done(b);
	return code;
}

static int verb_help(const char *verb)
{
	struct buf b;
	int err;

	buf_init(&b, SIZE_MAX);
	err = conf_help(&b, verb);
	return print_buf(&b, err);
}

static int verb_introspect(struct cli *c)
{
	struct buf b;
	int err;

	buf_init(&b, SIZE_MAX);
	err = conf_introspect(&b, c->args.arg[0]);
	if (err < 0 && !b.error) {
		buf_done(&b);
		show_error(c, "there is no such table",
			"one of: config commands metrics events findings closes messages procs acts logvars");
		return VERB_EXIT_NO_SUCH;
	}
	return print_buf(&b, err);
}

static int verb_completion(struct cli *c)
{
	struct buf b;
	int err;

	buf_init(&b, SIZE_MAX);
	err = conf_completion(&b, c->args.arg[0]);
	if (err < 0 && !b.error) {
		buf_done(&b);
		show_error(c, "there is no completion for that shell", "one of: bash zsh fish");
		return VERB_EXIT_NO_SUCH;
	}
	return print_buf(&b, err);
}

static int run_check(struct cli *c)
{
	const char *path = c->args.nargs ? c->args.arg[0] : ".";

	return verb_check(c->roles, path, c->args.option[OPTION_STATE], c->json);
}

static const struct {
	int (*run)(struct cli *c);
	bool alone; /* needs no other executable of stead: a build of the command line by itself has it too */
} verbs[VERB_END] = {
	[VERB_UP] = {verb_up},
	[VERB_CHECK] = {run_check},
	[VERB_STATUS] = {verb_status},
	[VERB_STOP] = {verb_stop},
	[VERB_DOMAIN] = {verb_domain},
	[VERB_ALERT] = {verb_alert},
	[VERB_START] = {verb_start},
	[VERB_ENABLE] = {verb_enable},
	[VERB_DISABLE] = {verb_disable},
	[VERB_IS_ACTIVE] = {verb_is_active},
	[VERB_RESTART] = {verb_restart},
	[VERB_CACHE] = {verb_cache},
	[VERB_CERT] = {verb_cert},
	[VERB_RELOAD] = {verb_reload},
	[VERB_MAINTENANCE] = {verb_maintenance},
	[VERB_DEPLOY] = {verb_deploy},
	[VERB_RELEASES] = {verb_releases},
	[VERB_ROLLBACK] = {verb_rollback},
	[VERB_REMOVE] = {verb_remove},
	[VERB_UPGRADE] = {verb_upgrade},
	[VERB_LOGS] = {verb_logs},
	[VERB_METRICS] = {verb_metrics},
	[VERB_USER] = {verb_user},
	[VERB_BACKUP] = {verb_backup},
	[VERB_RESTORE] = {verb_restore},
	[VERB_SERVE_DEPLOY] = {verb_serve_deploy},
	[VERB_DOCTOR] = {verb_doctor},
	[VERB_INTROSPECT] = {verb_introspect, true},
	[VERB_COMPLETION] = {verb_completion, true},
};

int verb_of_words(struct cli *c, int argc, char **argv)
{
	struct buf why;

	buf_init(&why, 4096);
	if (conf_args_parse(argc, argv, &c->args, &why) < 0) {
		(void)fprintf(stderr, "stead: %s\n", buf_str(&why));
		buf_done(&why);
		return VERB_EXIT_USAGE;
	}
	buf_done(&why);
	c->json = c->args.option[OPTION_JSON] != NULL;
	c->quiet = c->args.option[OPTION_QUIET] != NULL;
	c->tty = isatty(STDOUT_FILENO);
	if (c->args.option[OPTION_HELP])
		return verb_help(c->args.verb == VERB_END ? NULL : command_rows[c->args.verb].name);
	if (c->args.option[OPTION_VERSION]) {
		(void)puts("stead " STEAD_VERSION);
		return VERB_EXIT_DONE;
	}
	if (c->args.verb == VERB_END) {
		(void)verb_help(NULL);
		return VERB_EXIT_USAGE;
	}
	if (!verbs[c->args.verb].alone && instance_roles(c->roles, sizeof c->roles) < 0) {
		show_error(c,
			"stead's own executables are not beside this one: the installation is not "
			"whole",
			"install stead again, or build it with `make build`");
		return VERB_EXIT_FAILED;
	}
	return verbs[c->args.verb].run(c);
}

int main(int argc, char **argv)
{
	static const struct cli empty;
	struct cli c = empty;
	int code = verb_of_words(&c, argc, argv);

	free(c.lines);
	return code;
}
