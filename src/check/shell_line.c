/*
 * shell_line.c: can a line that was written for a shell be run without one?
 *
 * Called by package.c and procfile.c in the child that parses, and for what it packed. A line that
 * is one program with plain words becomes words of ExecStart=, so that the program itself is the
 * process that stead watches and hands its socket to; whatever only a shell can do (pipes, lists,
 * globs, substitutions) leaves the line to one. POSIX 2.2 (quoting), 2.9.1 (assignments before the
 * command).
 */
#include <string.h>

#include "conf/conf.h"
#include "lib/must.h"
#include "program_files.h"

struct scan {
	const char *at;
	struct buf *word;
	bool quoted; /* the word has quotes: it is no assignment, and "" is a word */
	bool shell;  /* it needs one */
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static size_t name_span(const char *p)
{
	size_t n = 0;

	while ((p[n] >= 'a' && p[n] <= 'z') || (p[n] >= 'A' && p[n] <= 'Z') || p[n] == '_' ||
		(n > 0 && p[n] >= '0' && p[n] <= '9'))
		n++;
	return n;
}

/* $NAME or ${NAME}; what else begins with a dollar sign is the shell's. */
static void scan_variable(struct scan *s)
{
	bool braced = s->at[1] == '{';
	const char *name = s->at + 1 + braced;
	size_t n = name_span(name);

	if (n == 0 || (braced && name[n] != '}')) {
		s->shell = true;
		return;
	}
	buf_puts(s->word, "${");
	buf_put(s->word, name, n);
	buf_putc(s->word, '}');
	s->at = name + n + braced;
}

static void scan_char(struct scan *s)
{
	if (*s->at == '$')
		buf_putc(s->word, '$');
	buf_putc(s->word, *s->at++);
}

static void scan_quoted(struct scan *s)
{
	char quote = *s->at++;

	s->quoted = true;
	while (*s->at != quote && !s->shell) {
		if (*s->at == '\0' || (quote == '"' && (*s->at == '\\' || *s->at == '`')))
			s->shell = true;
		else if (quote == '"' && *s->at == '$')
			scan_variable(s);
		else
			scan_char(s);
	}
	if (!s->shell)
		s->at++;
}

static void scan_word(struct scan *s)
{
	static const char shells[] = "|&;<>()`\\*?[]{}!^";

	s->quoted = false;
	s->shell |= *s->at == '#' || *s->at == '~';
	while (*s->at != '\0' && !is_blank(*s->at) && !s->shell) {
		if (strchr(shells, *s->at) != NULL)
			s->shell = true;
		else if (*s->at == '\'' || *s->at == '"')
			scan_quoted(s);
		else if (*s->at == '$')
			scan_variable(s);
		else
			scan_char(s);
	}
}

/* A word that is a variable and nothing else: both split its value at blanks, ExecStart= when there
 * are no braces. */
static const char *lone_variable(char *word)
{
	size_t n = strncmp(word, "${", 2) == 0 ? name_span(word + 2) : 0;

	if (n == 0 || strcmp(word + 2 + n, "}") != 0)
		return word;
	word[2 + n] = '\0';
	word[1] = '$';
	return word + 1;
}

static bool is_assignment(const char *word)
{
	size_t n = name_span(word);

	return n > 0 && word[n] == '=' && strchr(word, '$') == NULL;
}

/* Into packed words and assignments. False: it needs a shell. */
static bool split(
	const char *text, struct buf *env, unsigned *nenv, struct buf *words, unsigned *nwords)
{
	char mem[LINE_BYTES_MAX * 3 + 16];
	struct buf word;
	struct scan s = {.at = text, .word = &word};

	buf_fixed(&word, mem, sizeof(mem));
	for (;;) {
		while (is_blank(*s.at))
			s.at++;
		if (*s.at == '\0')
			return *nwords > 0;
		buf_reset(&word);
		scan_word(&s);
		if (s.shell || word.error != 0)
			return false;
		if (*nwords == 0 && !s.quoted && is_assignment(buf_str(&word))) {
			if (++*nenv > LINE_ENV_MAX)
				return false;
			pack_str(env, buf_str(&word));
		} else if (*nwords == 0 && !s.quoted && strcmp(buf_str(&word), "exec") == 0) {
			continue;
		} else {
			/* What stands before a program's name in ExecStart= are marks; a variable
			 * there is the shell's. */
			if (*nwords == 0 && (buf_str(&word)[0] == '\0' ||
						    strchr("-@:+!", *buf_str(&word)) != NULL ||
						    strchr(buf_str(&word), '$') != NULL))
				return false;
			if (++*nwords > LINE_WORDS_MAX)
				return false;
			(void)buf_str(&word);
			pack_str(words, s.quoted ? word.p : lone_variable(word.p));
		}
	}
}

static bool is_line(const char *text)
{
	for (const char *p = text; *p != '\0'; p++)
		if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
			return false;
	return strlen(text) <= LINE_BYTES_MAX && conf_utf8_span(text, strlen(text)) == strlen(text);
}

void line_pack(const char *text, struct buf *ret)
{
	unsigned nenv = 0, nwords = 0;
	struct buf env, words;
	bool plain;

	text += strspn(text, " \t");
	if (!is_line(text))
		text = "";
	buf_init(&env, 64 * 1024);
	buf_init(&words, 64 * 1024);
	plain = split(text, &env, &nenv, &words, &nwords) && env.error == 0 && words.error == 0;
	pack_u32(ret, plain);
	pack_str(ret, text);
	pack_u32(ret, plain ? nenv : 0);
	if (plain)
		buf_put(ret, env.p, env.len);
	pack_u32(ret, plain ? nwords : 0);
	if (plain)
		buf_put(ret, words.p, words.len);
	buf_done(&env);
	buf_done(&words);
}

bool line_take(struct unpack *u, struct shell_line *ret)
{
	*ret = (struct shell_line){.plain = unpack_u32(u) != 0};
	ret->raw = unpack_str(u);
	ret->nenv = unpack_u32(u);
	if (u->bad || !is_line(ret->raw) || ret->nenv > LINE_ENV_MAX)
		return false;
	for (unsigned i = 0; i < ret->nenv; i++) {
		ret->env[i] = unpack_str(u);
		if (u->bad || !is_line(ret->env[i]) || !is_assignment(ret->env[i]))
			return false;
	}
	ret->nwords = unpack_u32(u);
	if (u->bad || ret->nwords > LINE_WORDS_MAX || ret->plain != (ret->nwords > 0))
		return false;
	for (unsigned i = 0; i < ret->nwords; i++) {
		ret->words[i] = unpack_str(u);
		if (u->bad || strlen(ret->words[i]) > LINE_BYTES_MAX * 3)
			return false;
		for (const char *p = ret->words[i]; *p != '\0'; p++)
			if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
				return false;
	}
	return true;
}
