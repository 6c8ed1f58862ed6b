/*
 * args.c: the command line, read by tbl/commands.h.
 *
 * Called by the CLI. Owns nothing: what it returns points into argv. The first word that is no
 * option is the verb; options may stand anywhere before `--`.
 */
#include <errno.h>
#include <string.h>

#include "conf.h"
#include "lib/must.h"

struct args {
	int argc, at;
	char *const *argv;
	struct conf_args *ret;
	struct buf *error;
};

static void near_verb(struct args *a, const char *word)
{
	char mem[256], near[32];
	struct buf names;

	buf_fixed(&names, mem, sizeof(mem));
	for (enum verb v = 0; v < VERB_END; v++)
		buf_printf(&names, "%s ", command_rows[v].name);
	if (conf_nearest(word, buf_str(&names), near, sizeof(near))[0] != '\0')
		buf_printf(a->error, "there is no verb \"%.40s\"; did you mean %s?", word, near);
	else
		buf_printf(a->error, "there is no verb \"%.40s\"; `stead --help` lists them", word);
}

static bool option_fits(const struct conf_args *a, enum option o)
{
	if (o == OPTION_HELP || o == OPTION_VERSION)
		return true;
	return a->verb == VERB_END || (option_rows[o].verbs & (1u << a->verb)) != 0;
}

static int unknown_option(struct args *a, const char *name, size_t n)
{
	char mem[256], near[32], word[40];
	struct buf names;

	n = min_of(n, sizeof(word) - 1);
	memcpy(word, name, n);
	word[n] = '\0';
	buf_fixed(&names, mem, sizeof(mem));
	for (enum option o = 0; o < OPTION_END; o++)
		if (option_fits(a->ret, o))
			buf_printf(&names, "%s ", option_rows[o].name);
	buf_printf(a->error, "there is no option --%s", word);
	if (conf_nearest(word, buf_str(&names), near, sizeof(near))[0] != '\0')
		buf_printf(a->error, "; did you mean --%s?", near);
	return -EINVAL;
}

/* `value` is what stood behind the = or the letter, else NULL. */
static int take_option(struct args *a, enum option o, const char *value, const char *shown)
{
	const struct option_row *row = &option_rows[o];

	if (row->argument[0] == '\0') {
		if (value != NULL) {
			buf_printf(a->error, "%s takes no value", shown);
			return -EINVAL;
		}
		a->ret->option[o] = "";
		return 0;
	}
	if (value == NULL && a->at < a->argc)
		value = a->argv[a->at++];
	if (value == NULL || value[0] == '\0') {
		buf_printf(a->error, "%s needs its %s", shown, row->argument);
		return -EINVAL;
	}
	a->ret->option[o] = value;
	return 0;
}

static int take_long(struct args *a, const char *word)
{
	const char *name = word + 2, *eq = strchr(name, '=');
	size_t n = eq != NULL ? (size_t)(eq - name) : strlen(name);
	char shown[48];
	struct buf b;

	for (enum option o = 0; o < OPTION_END; o++)
		if (strlen(option_rows[o].name) == n && memcmp(option_rows[o].name, name, n) == 0) {
			buf_fixed(&b, shown, sizeof(shown));
			buf_printf(&b, "--%s", option_rows[o].name);
			return take_option(a, o, eq != NULL ? eq + 1 : NULL, buf_str(&b));
		}
	return unknown_option(a, name, n);
}

/* -f, -fn 10, -n10. */
static int take_letters(struct args *a, const char *word)
{
	for (const char *p = word + 1; *p != '\0'; p++) {
		enum option o = 0;
		char shown[3] = {'-', *p, '\0'};
		bool valued;
		int r;

		while (o < OPTION_END && option_rows[o].letter != *p)
			o++;
		if (o == OPTION_END) {
			buf_printf(a->error, "there is no option %s", shown);
			return -EINVAL;
		}
		valued = option_rows[o].argument[0] != '\0';
		r = take_option(a, o, valued && p[1] != '\0' ? p + 1 : NULL, shown);
		if (r < 0 || valued)
			return r;
	}
	return 0;
}

static int take_word(struct args *a, const char *word)
{
	if (a->ret->verb == VERB_END) {
		for (enum verb v = 0; v < VERB_END; v++)
			if (strcmp(command_rows[v].name, word) == 0) {
				a->ret->verb = v;
				return 0;
			}
		near_verb(a, word);
		return -EINVAL;
	}
	if (a->ret->nargs == command_rows[a->ret->verb].max) {
		const struct command_row *row = &command_rows[a->ret->verb];

		buf_printf(a->error, "\"%.60s\" is one argument too many: stead %s%s%s", word,
			row->name, *row->arguments ? " " : "", row->arguments);
		/* `stead up shop` was right, so `stead stop shop` is an obvious thing to try. */
		if (row->max == 0)
			buf_printf(a->error,
				"; for the site of another folder: --state %.60s/.stead", word);
		return -EINVAL;
	}
	must(a->ret->nargs < CONF_ARGS_MAX);
	a->ret->arg[a->ret->nargs++] = word;
	return 0;
}

/* What can only be said when all is read: options before the verb, arguments that are missing. */
static int check_whole(struct args *a)
{
	const struct conf_args *r = a->ret;

	if (r->option[OPTION_HELP] != NULL || r->option[OPTION_VERSION] != NULL)
		return 0;
	if (r->verb == VERB_END) {
		buf_puts(a->error, "a verb is missing; `stead --help` lists them");
		return -EINVAL;
	}
	for (enum option o = 0; o < OPTION_END; o++)
		if (r->option[o] != NULL && !option_fits(r, o)) {
			buf_printf(a->error, "`stead %s` has no option --%s",
				command_rows[r->verb].name, option_rows[o].name);
			return -EINVAL;
		}
	if (r->nargs < command_rows[r->verb].min) {
		buf_printf(a->error, "`stead %s` needs its %s", command_rows[r->verb].name,
			command_rows[r->verb].arguments);
		return -EINVAL;
	}
	return 0;
}

int conf_args_parse(int argc, char *const *argv, struct conf_args *ret, struct buf *ret_error)
{
	struct args a = {.argc = argc, .at = 1, .argv = argv, .ret = ret, .error = ret_error};
	bool options = true;
	int r = 0;

	*ret = (struct conf_args){.verb = VERB_END};
	while (a.at < a.argc && r == 0) {
		const char *word = a.argv[a.at++];

		if (options && strcmp(word, "--") == 0)
			options = false;
		else if (options && word[0] == '-' && word[1] == '-')
			r = take_long(&a, word);
		else if (options && word[0] == '-' && word[1] != '\0')
			r = take_letters(&a, word);
		else
			r = take_word(&a, word);
	}
	return r < 0 ? r : check_whole(&a);
}
