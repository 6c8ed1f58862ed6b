/*
 * verb_serve_deploy.c: what sshd runs for a deploy key (its forced command): one verb out of a short list.
 *
 * Called by main.c. The words come from whoever has the key; person_deploy_words() takes those of one verb or nothing,
 * and what it may ask for is decided by ctl, from the account that asks. Nothing here is trusted for that.
 */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"
#include "person/person.h"

int verb_serve_deploy(struct cli *c)
{
	const char *command = getenv("SSH_ORIGINAL_COMMAND"), *why = "";
	char mem[PERSON_COMMAND_MAX + 1], text[300], todo[200];
	const char *words[PERSON_WORDS_MAX];
	char *argv[PERSON_WORDS_MAX + 4];
	const char *state = c->args.option[OPTION_STATE];
	int n = person_deploy_words(command ? command : "", mem, words, &why), argc = 0;

	if (n < 0) {
		(void)snprintf(text, sizeof text, "this key cannot do that: %s", why);
		(void)snprintf(todo, sizeof todo, "with it go: %s; for example `ssh NAME@HOST status APP`", person_deploy_verbs());
		show_error(c, text, todo);
		return VERB_EXIT_NOT_PERMITTED;
	}
	argv[argc++] = (char *)"stead";
	for (int i = 0; i < n; i++)
		argv[argc++] = (char *)words[i];
	if (state) {
		argv[argc++] = (char *)"--state";
		argv[argc++] = (char *)state;
	}
	argv[argc] = NULL;
	/* A folder or an instance that the session's environment names is not what was asked for. */
	(void)unsetenv("STEAD_STATE");
	return verb_of_words(c, argc, argv);
}
