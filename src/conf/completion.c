/*
 * completion.c: completion for bash, zsh and fish, from tbl/commands.h.
 *
 * Called by the CLI, which prints it. Text only; owns nothing.
 */
#include <errno.h>
#include <string.h>

#include "conf.h"
#include "lib/must.h"

/* What stands for an argument of that kind: a fixed list of words, else NULL. */
static const char *words_of(enum arg_kind kind)
{
	switch (kind) {
	case ARG_TABLE:
		return "config commands metrics events findings closes messages procs acts logvars";
	case ARG_SHELL:
		return "bash zsh fish";
	case ARG_LEVEL:
		return "debug info notice warning error critical";
	case ARG_NONE:
	case ARG_FOLDER:
	case ARG_FILE:
	case ARG_APP:
		break;
	}
	return NULL;
}

static void verb_options(struct buf *b, enum verb v)
{
	for (enum option o = 0; o < OPTION_END; o++) {
		if (!(option_rows[o].verbs & (1u << v)))
			continue;
		buf_printf(b, " --%s", option_rows[o].name);
		if (option_rows[o].letter != 0)
			buf_printf(b, " -%c", option_rows[o].letter);
	}
}

static void bash_option_values(struct buf *b)
{
	buf_puts(b, "\tcase \"$prev\" in\n");
	for (enum option o = 0; o < OPTION_END; o++) {
		const struct option_row *r = &option_rows[o];
		const char *words = words_of(r->completes);

		if (r->argument[0] == '\0')
			continue;
		buf_printf(b, "\t--%s", r->name);
		if (r->letter != 0)
			buf_printf(b, "|-%c", r->letter);
		buf_puts(b, ")\n");
		if (r->completes == ARG_FOLDER)
			buf_puts(b, "\t\tCOMPREPLY=($(compgen -d -- \"$cur\"))\n");
		else if (r->completes == ARG_FILE)
			buf_puts(b, "\t\tCOMPREPLY=($(compgen -f -- \"$cur\"))\n");
		else if (words != NULL)
			buf_printf(b, "\t\tCOMPREPLY=($(compgen -W \"%s\" -- \"$cur\"))\n", words);
		buf_puts(b, "\t\treturn ;;\n");
	}
	buf_puts(b, "\tesac\n");
}

static void bash(struct buf *b)
{
	buf_puts(b, "# bash completion for stead\n_stead()\n{\n"
		    "\tlocal cur prev verb i\n\tCOMPREPLY=()\n"
		    "\tcur=${COMP_WORDS[COMP_CWORD]}\n\tprev=${COMP_WORDS[COMP_CWORD-1]}\n"
		    "\tverb=\n\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		    "\t\tcase \"${COMP_WORDS[i]}\" in\n\t\t-*) ;;\n"
		    "\t\t*) verb=${COMP_WORDS[i]}; break ;;\n\t\tesac\n\tdone\n");
	bash_option_values(b);
	buf_puts(b, "\tcase \"$verb\" in\n\t'')\n\t\tCOMPREPLY=($(compgen -W \"");
	for (enum verb v = 0; v < VERB_END; v++)
		buf_printf(b, "%s%s", v > 0 ? " " : "", command_rows[v].name);
	buf_puts(b, " --help --version\" -- \"$cur\")) ;;\n");
	for (enum verb v = 0; v < VERB_END; v++) {
		const char *words = words_of(command_rows[v].completes);

		buf_printf(b, "\t%s)\n\t\tcase \"$cur\" in\n\t\t-*) COMPREPLY=($(compgen -W \"",
			command_rows[v].name);
		verb_options(b, v);
		buf_puts(b, "\" -- \"$cur\")) ;;\n");
		if (command_rows[v].completes == ARG_FOLDER)
			buf_puts(b, "\t\t*) COMPREPLY=($(compgen -d -- \"$cur\")) ;;\n");
		else if (words != NULL)
			buf_printf(b, "\t\t*) COMPREPLY=($(compgen -W \"%s\" -- \"$cur\")) ;;\n",
				words);
		buf_puts(b, "\t\tesac ;;\n");
	}
	buf_puts(b, "\tesac\n}\ncomplete -F _stead stead\n");
}

/* Inside '…' of zsh's and fish's words. */
static void quoted(struct buf *b, const char *s, bool zsh)
{
	for (; *s != '\0'; s++) {
		if (*s == '\'')
			buf_puts(b, zsh ? "'\\''" : "\\'");
		else if (zsh && (*s == '[' || *s == ']' || *s == ':'))
			buf_printf(b, "\\%c", *s);
		else
			buf_putc(b, *s);
	}
}

static void zsh_argument(struct buf *b, enum arg_kind kind, const char *name)
{
	const char *words = words_of(kind);

	buf_puts(b, ":");
	quoted(b, name, true);
	if (kind == ARG_FOLDER)
		buf_puts(b, ":_files -/");
	else if (kind == ARG_FILE)
		buf_puts(b, ":_files");
	else if (words != NULL)
		buf_printf(b, ":(%s)", words);
	else
		buf_puts(b, ": ");
}

static void zsh_verb(struct buf *b, enum verb v)
{
	const struct command_row *c = &command_rows[v];

	buf_printf(b, "\t%s)\n\t\t_arguments", c->name);
	for (enum option o = 0; o < OPTION_END; o++) {
		const struct option_row *r = &option_rows[o];

		if (!(r->verbs & (1u << v)))
			continue;
		buf_printf(b, " \\\n\t\t\t'--%s%s[", r->name, r->argument[0] != '\0' ? "=" : "");
		quoted(b, r->about, true);
		buf_putc(b, ']');
		if (r->argument[0] != '\0')
			zsh_argument(b, r->completes, r->argument);
		buf_putc(b, '\'');
		if (r->letter != 0) {
			buf_printf(b, " \\\n\t\t\t'-%c[", r->letter);
			quoted(b, r->about, true);
			buf_putc(b, ']');
			if (r->argument[0] != '\0')
				zsh_argument(b, r->completes, r->argument);
			buf_putc(b, '\'');
		}
	}
	if (c->max > 0) {
		/* `1:` must be there, `1::` may. */
		buf_printf(b, " \\\n\t\t\t'%s", c->min > 0 ? "1" : "1:");
		zsh_argument(b, c->completes, c->arguments);
		buf_putc(b, '\'');
	}
	buf_puts(b, " ;;\n");
}

static void zsh(struct buf *b)
{
	buf_puts(b,
		"#compdef stead\n_stead()\n{\n\tlocal line state\n\tlocal -a verbs\n\tverbs=(\n");
	for (enum verb v = 0; v < VERB_END; v++) {
		buf_printf(b, "\t\t'%s:", command_rows[v].name);
		quoted(b, command_rows[v].line, true);
		buf_puts(b, "'\n");
	}
	buf_puts(b, "\t)\n\t_arguments -C '--help[show help]' '--version[show the version]' "
		    "'1: :->verb' '*:: :->args'\n"
		    "\tcase $state in\n\tverb) _describe verb verbs; return ;;\n\tesac\n"
		    "\tcase $line[1] in\n");
	for (enum verb v = 0; v < VERB_END; v++)
		zsh_verb(b, v);
	buf_puts(b, "\tesac\n}\nif [ \"$funcstack[1]\" = _stead ]; then _stead \"$@\"; "
		    "else compdef _stead stead; fi\n");
}

static void fish_option(struct buf *b, const struct option_row *r, const char *verb)
{
	const char *words = words_of(r->completes);

	buf_printf(b, "complete -c stead -n '%s%s' -l %s",
		verb != NULL ? "__fish_seen_subcommand_from " : "__fish_use_subcommand",
		verb != NULL ? verb : "", r->name);
	if (r->letter != 0)
		buf_printf(b, " -s %c", r->letter);
	if (r->argument[0] != '\0')
		buf_puts(b, " -r");
	if (r->completes == ARG_FOLDER)
		buf_puts(b, " -a '(__fish_complete_directories)'");
	else if (r->completes == ARG_FILE)
		buf_puts(b, " -F");
	else if (words != NULL)
		buf_printf(b, " -a '%s'", words);
	buf_puts(b, " -d '");
	quoted(b, r->about, false);
	buf_puts(b, "'\n");
}

static void fish(struct buf *b)
{
	buf_puts(b, "# fish completion for stead\ncomplete -c stead -f\n");
	for (enum verb v = 0; v < VERB_END; v++) {
		const struct command_row *c = &command_rows[v];
		const char *words = words_of(c->completes);

		buf_printf(b, "complete -c stead -n __fish_use_subcommand -a %s -d '", c->name);
		quoted(b, c->line, false);
		buf_puts(b, "'\n");
		if (c->completes == ARG_FOLDER)
			buf_printf(b,
				"complete -c stead -n '__fish_seen_subcommand_from %s' "
				"-a '(__fish_complete_directories)'\n",
				c->name);
		else if (words != NULL)
			buf_printf(b,
				"complete -c stead -n '__fish_seen_subcommand_from %s' "
				"-a '%s'\n",
				c->name, words);
		for (enum option o = 0; o < OPTION_END; o++)
			if (option_rows[o].verbs & (1u << v))
				fish_option(b, &option_rows[o], c->name);
	}
	fish_option(b, &option_rows[OPTION_HELP], NULL);
	fish_option(b, &option_rows[OPTION_VERSION], NULL);
}

int conf_completion(struct buf *ret, const char *shell)
{
	if (strcmp(shell, "bash") == 0)
		bash(ret);
	else if (strcmp(shell, "zsh") == 0)
		zsh(ret);
	else if (strcmp(shell, "fish") == 0)
		fish(ret);
	else
		return -ENOENT;
	return 0;
}
