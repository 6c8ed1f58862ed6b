/*
 * deploy_command.c: what somebody with a deploy key asks for over ssh (SSH_ORIGINAL_COMMAND of sshd(8)).
 *
 * Called by `stead serve-deploy`, with bytes of whoever has the key. They never reach a shell: they are the words of one
 * verb of a short list, with its options of a short list, and whatever else is refused as a whole. Owns nothing.
 */
#include "person/person.h"

#include <errno.h>
#include <string.h>

#include "lib/must.h"

static const struct {
	const char *name;
	const char *flags;  /* options without a value, blank-separated, a blank at each end */
	const char *values; /* those with one, in the next word */
} verbs[] = {
	{"deploy", " --json ", " "},
	{"releases", " --json ", " "},
	{"rollback", " --json --yes -y ", " --release "},
	{"status", " --json ", " "},
	{"logs", " --json --follow -f ", " --lines -n --since --level "},
};

const char *person_deploy_verbs(void)
{
	return "deploy releases rollback status logs";
}

/* Neither a shell, a path nor a terminal makes anything of these. */
static bool plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
	       c == ':' || c == '_';
}

/* Words into `mem`, one after the other. How many; -EINVAL. */
static int split(const char *command, char *mem, const char **ret_words, const char **ret_why)
{
	int n = 0;

	for (const char *p = command; *p;) {
		size_t len = 0;

		if (*p == ' ') {
			p++;
			continue;
		}
		*ret_why = "that is too many words";
		if (n == PERSON_WORDS_MAX)
			return -EINVAL;
		ret_words[n++] = mem;
		*ret_why = "only letters, digits and - . : _ may stand in a command";
		while (p[len] && p[len] != ' ') {
			if (!plain(p[len]))
				return -EINVAL;
			mem[len] = p[len];
			len++;
		}
		mem[len] = '\0';
		mem += len + 1;
		p += len;
	}
	return n;
}

/* Is it one of that list? */
static bool listed(const char *list, const char *word)
{
	const char *at = list;
	size_t n = strlen(word);

	while ((at = strstr(at, word)) != NULL) {
		if (at > list && at[-1] == ' ' && at[n] == ' ')
			return true;
		at += n;
	}
	return false;
}

static int check(unsigned verb, const char *const *words, int n, const char **ret_why)
{
	bool named = false;

	for (int i = 1; i < n; i++) {
		if (words[i][0] != '-') {
			*ret_why = "more than one app is named";
			if (named)
				return -EINVAL;
			named = true;
			continue;
		}
		if (listed(verbs[verb].flags, words[i]))
			continue;
		*ret_why = "that option is not for a deploy key";
		if (!listed(verbs[verb].values, words[i]))
			return -EINVAL;
		*ret_why = "an option lacks its value";
		if (++i == n || words[i][0] == '-')
			return -EINVAL;
	}
	return n;
}

int person_deploy_words(const char *command, char mem[static PERSON_COMMAND_MAX + 1], const char *ret_words[static PERSON_WORDS_MAX],
	const char **ret_why)
{
	int n;

	*ret_why = "the command is too long";
	if (strlen(command) > PERSON_COMMAND_MAX)
		return -EINVAL;
	n = split(command, mem, ret_words, ret_why);
	if (n < 0)
		return n;
	if (n > 0 && strcmp(ret_words[0], "stead") == 0)
		memmove(ret_words, ret_words + 1, (size_t)--n * sizeof *ret_words);
	*ret_why = "no command was given";
	if (n == 0)
		return -EINVAL;
	for (unsigned i = 0; i < ARRAY_LEN(verbs); i++)
		if (strcmp(verbs[i].name, ret_words[0]) == 0)
			return check(i, ret_words, n, ret_why);
	*ret_why = "that is not for a deploy key";
	return -EINVAL;
}
