/*
 * command.c: command lines, as systemd.service(5) has them.
 *
 * Called by read.c for a line of a file, by value.c for the canonical form, by ctl for the arguments
 * that a program gets. The canonical form is the words, each quoted where it has to be; specifiers are
 * resolved, so a folder with blanks in its name stays one word. No shell has any part in it.
 */
#include <errno.h>
#include <string.h>

#include "conf_priv.h"
#include "lib/must.h"

enum { WORDS_MAX = 60 };

/* - a failure is none; @ the second word is its name; : no variables. The others ask for privileges. */
static const char marks[] = "-@:+!";

static const char *check_marks(const char *marked, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (marked[i] == '+' || marked[i] == '!')
			return "a program of the app never gets more rights than the app: + and ! before "
			       "it are not taken";
	return NULL;
}

void conf_command_word(struct buf *b, const char *word)
{
	if (word[0] != '\0' && strpbrk(word, " \t\n\"'\\;") == NULL) {
		buf_puts(b, word);
		return;
	}
	buf_putc(b, '"');
	for (; *word != '\0'; word++) {
		if (*word == '"' || *word == '\\')
			buf_putc(b, '\\');
		if (*word == '\n')
			buf_puts(b, "\\n");
		else
			buf_putc(b, *word);
	}
	buf_putc(b, '"');
}

static void bad_at(struct conf *c, const struct conf_entry *e, size_t off, const char *why)
{
	struct conf_pos pos = conf_entry_pos(e, off);

	conf_find(c, CONF_ERROR, &pos, "", "%s=: %s", e->key, why);
}

/* The next word of the line as it stands; `\\;` as a word is a semicolon. */
static int next_word(struct conf *c, const char *base, const char **at, const char **ret_word,
	size_t *ret_off, const char **ret_why)
{
	const char *p = *at + strspn(*at, " \t");

	if (p[0] != '\\' || p[1] != ';' || (p[2] != '\0' && p[2] != ' ' && p[2] != '\t'))
		return conf_word_next(c, base, at, ret_word, ret_off, ret_why);
	*ret_off = (size_t)(p - base);
	*ret_word = ";";
	*at = p + 2;
	return 1;
}

/* The next word of the line, quoted, into b. 1; 0 at the end; 2 at a semicolon, behind which another
 * command stands; else negative with a finding. */
static int put_word(struct conf *c, const struct conf_entry *e, bool many, const char **at,
	struct buf *b)
{
	const char *base = e->value, *word, *text, *why = "";
	size_t off, in = 0;
	int r = next_word(c, base, at, &word, &off, &why);

	if (r == 1 && strcmp(word, ";") == 0 && base[off] == ';' && many)
		return 2;
	if (r == 1 && strcmp(word, ";") == 0 && base[off] == ';') {
		why = "one command only";
		r = -EINVAL;
	}
	if (r == 1) {
		int e2 = conf_specifiers(c, word, &text, &in, &why);

		if (e2 < 0)
			r = e2;
	}
	if (r == -EINVAL)
		bad_at(c, e, off + in, why);
	if (r != 1)
		return r;
	if (b->len > 0 && strchr(marks, b->p[b->len - 1]) == NULL)
		buf_putc(b, ' ');
	conf_command_word(b, text);
	return 1;
}

/* One command of the line, from *at on, as a value. As put_word(). */
static int put_one(struct conf *c, const struct conf_entry *e, enum conf_key key, const char **at)
{
	const char *begin = *at + strspn(*at, " \t"), *text, *why;
	struct conf_pos pos = conf_entry_pos(e, (size_t)(begin - e->value));
	size_t n = strspn(begin, marks);
	struct buf b;
	int r;

	why = check_marks(begin, n);
	if (why != NULL) {
		bad_at(c, e, (size_t)(begin - e->value), why);
		return -EINVAL;
	}
	buf_init(&b, CONF_VALUE_BYTES_MAX);
	buf_put(&b, begin, n);
	*at = begin + n;
	while ((r = put_word(c, e, (conf_rows[key].flags & CONF_MANY) != 0, at, &b)) == 1)
		;
	text = r >= 0 && b.error == 0 ? conf_strndup(c, b.len > 0 ? b.p : "", b.len) : NULL;
	if (b.error != 0)
		bad_at(c, e, 0, "it is too long");
	else if (text != NULL && text[0] == '\0') {
		bad_at(c, e, (size_t)(begin - e->value), "there is no command at this semicolon");
		r = -EINVAL;
	} else if (text != NULL)
		(void)conf_put_key(c, key, text, CONF_FROM_FILE, &pos);
	buf_done(&b);
	return r;
}

void conf_command_put(struct conf *c, const struct conf_entry *e, enum conf_key key)
{
	const char *at = e->value;

	while (put_one(c, e, key, &at) == 2)
		if (at[strspn(at, " \t")] == '\0')
			return; /* systemd takes a semicolon at the end, too */
}

/* The words of canonical text. How many; negative: `why`. */
static int words_of(struct conf *c, const char *text, const char **ret, const char **why)
{
	const char *at = text;
	size_t off;
	int n = 0, r;

	while ((r = conf_word_next(c, text, &at, &ret[n], &off, why)) == 1)
		if (++n == WORDS_MAX) {
			*why = "it has more than 60 words";
			return -EINVAL;
		}
	return r < 0 ? r : n;
}

static int parse(struct conf *c, const char *text, struct conf_command *ret, const char **why)
{
	size_t marked = strspn(text, marks);
	bool named = memchr(text, '@', marked) != NULL;
	const char **words = conf_alloc(c, (WORDS_MAX + 2) * sizeof(*words));
	int n;

	if (words == NULL)
		return -ENOMEM;
	*why = check_marks(text, marked);
	if (*why != NULL)
		return -EINVAL;
	n = words_of(c, text + marked, words, why);
	if (n < 0)
		return n;
	if (n < 1 + named || words[0][0] == '\0') {
		*why = named ? "behind @ stand the program and the name that it is given"
			     : "there is no program";
		return -EINVAL;
	}
	for (int i = 0; i < n; i++)
		for (const char *p = words[i]; *p != '\0'; p++)
			if (i == 0 && (unsigned char)*p < 0x20) {
				*why = "the program's path has a control character";
				return -EINVAL;
			}
	*ret = (struct conf_command){.path = words[0],
		.argv = words + named,
		.raw = memchr(text, ':', marked) != NULL,
		.ignore = memchr(text, '-', marked) != NULL};
	return 0;
}

int conf_command_check(struct conf *c, const char *text, struct conf_value *v, struct buf *why, struct buf *todo)
{
	struct conf_command cmd;
	const char *reason = "";
	int r = parse(c, text, &cmd, &reason);

	if (r == -EINVAL) {
		buf_puts(why, reason);
		buf_puts(todo, "for example ExecStart=/usr/bin/node server.js");
	}
	if (r == 0)
		v->part1 = cmd.path;
	return r;
}

const struct conf_command *conf_command_of(struct conf *c, const char *text)
{
	struct conf_command *cmd = conf_alloc(c, sizeof(*cmd));
	const char *why;

	return cmd != NULL && parse(c, text, cmd, &why) == 0 ? cmd : NULL;
}

/* ---- variables ---- */

static bool name_char(char ch, bool first)
{
	return ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z') || ch == '_' ||
	       (!first && ch >= '0' && ch <= '9');
}

static size_t name_span(const char *p)
{
	size_t n = 0;

	while (name_char(p[n], n == 0))
		n++;
	return n;
}

static const char *value_of(const char *const *env, const char *name, size_t n)
{
	const char *found = NULL;

	for (; *env != NULL; env++)
		if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
			found = *env + n + 1;
	return found;
}

/* What only who starts the program knows: it puts that in where "${NAME}" stands. NULL: it is none of those. */
static const char *late_value(const char *name, size_t n)
{
	static const char *const late[] = {
		"${PORT}", "${MAINPID}", "${SERVICE_RESULT}", "${EXIT_CODE}", "${EXIT_STATUS}"};

	for (size_t i = 0; i < ARRAY_LEN(late); i++)
		if (strlen(late[i]) == n + 3 && memcmp(late[i] + 2, name, n) == 0)
			return late[i];
	return NULL;
}

static void put_value(const char *const *env, const char *name, size_t n, struct buf *b)
{
	const char *value = value_of(env, name, n);

	if (value == NULL)
		value = late_value(name, n);
	if (value != NULL)
		buf_puts(b, value);
}

/* The next word of a variable's value: quotes hold it together, and behind a backslash a sign stands for itself. False:
 * there is none. */
static bool put_part(const char **at, struct buf *b)
{
	const char *p = *at + strspn(*at, " \t\n");
	char quote = '\0';

	if (*p == '\0')
		return false;
	for (; *p != '\0' && (quote != '\0' || strchr(" \t\n", *p) == NULL); p++) {
		if (*p == '\\' && p[1] != '\0')
			buf_putc(b, *++p);
		else if (*p == quote)
			quote = '\0';
		else if (quote == '\0' && (*p == '"' || *p == '\''))
			quote = *p;
		else
			buf_putc(b, *p);
	}
	buf_putc(b, '\0');
	*at = p;
	return true;
}

/* A word that is $NAME and nothing else: as many words as its value has. */
static bool put_split(const char *word, const char *const *env, struct buf *b, unsigned *n)
{
	size_t len = word[0] == '$' ? name_span(word + 1) : 0;
	const char *value;

	if (len == 0 || word[1 + len] != '\0')
		return false;
	value = value_of(env, word + 1, len);
	if (value == NULL)
		value = late_value(word + 1, len);
	while (value != NULL && put_part(&value, b))
		(*n)++;
	return true;
}

static void put_inline(const char *word, const char *const *env, struct buf *b)
{
	while (*word != '\0') {
		size_t len = word[0] == '$' && word[1] == '{' ? name_span(word + 2) : 0;

		if (len > 0 && word[2 + len] == '}') {
			put_value(env, word + 2, len, b);
			word += len + 3;
		} else {
			word += word[0] == '$' && word[1] == '$';
			buf_putc(b, *word++);
		}
	}
	buf_putc(b, '\0');
}

int conf_command_expand(const struct conf_command *cmd, const char *const *env, struct buf *ret, unsigned *ret_n)
{
	*ret_n = 0;
	for (const char *const *w = cmd->argv; *w != NULL; w++) {
		/* The program's own name has no variables. */
		if (w == cmd->argv || cmd->raw) {
			buf_put(ret, *w, strlen(*w) + 1);
			(*ret_n)++;
		} else if (!put_split(*w, env, ret, ret_n)) {
			put_inline(*w, env, ret);
			(*ret_n)++;
		}
	}
	return ret->error;
}
