/*
 * logformat.c: AccessLog=: combined, json, off, or a format with variables.
 *
 * Called by value.c, and by read.c for the place of a fault. Owns nothing; src/record says what a format is.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf_priv.h"
#include "lib/must.h"
#include "record/record.h"

static const char *const words[] = {
	[CONF_ACCESS_LOG_JSON] = "json",
	[CONF_ACCESS_LOG_OFF] = "off",
	[CONF_ACCESS_LOG_COMBINED] = "combined",
};

static void variable_names(struct buf *b)
{
	for (enum logvar v = 0; v < LOGVAR_END; v++)
		buf_printf(b, "%s%s", v ? " " : "", logvar_rows[v].name);
}

static void bad_variable(const char *name, size_t n, struct buf *why, struct buf *todo)
{
	char names[1024], word[RECORD_FORMAT_MAX + 1], near[48];
	struct buf b;

	memcpy(word, name, n);
	word[n] = '\0';
	if (word[0] == '$') {
		buf_puts(why, "a $ without the name of a variable behind it");
		buf_puts(todo, "write $$ for the character itself");
		return;
	}
	buf_printf(why, "there is no variable $%.60s", word);
	buf_fixed(&b, names, sizeof(names));
	variable_names(&b);
	if (conf_nearest(word, buf_str(&b), near, sizeof(near))[0] != '\0')
		buf_printf(todo, "did you mean $%s?", near);
	else
		buf_puts(todo, "`stead introspect logvars` lists them");
}

size_t conf_logformat_fault(const char *text)
{
	struct record_format f;
	size_t at = 0, n;

	if (strchr(text, '$') == NULL ||
		record_format_parse(text, strlen(text), &f, &at, &n) != -EINVAL)
		return 0;
	return at;
}

int conf_logformat_check(const char *text, struct conf_value *v, struct buf *why, struct buf *todo)
{
	struct record_format f;
	size_t at, n;
	char near[32];
	int err;

	for (unsigned i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(text, words[i]) == 0) {
			v->number = i;
			return 0;
		}
	v->number = CONF_ACCESS_LOG_FORMAT;
	if (strchr(text, '$') == NULL) {
		buf_printf(why, "\"%.60s\" is none of: combined json off, nor a format with $variables", text);
		if (conf_nearest(text, "combined json off", near, sizeof(near))[0] != '\0')
			buf_printf(todo, "did you mean %s?", near);
		return -EINVAL;
	}
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f) {
			buf_puts(why, "it has a control character");
			return -EINVAL;
		}
	err = record_format_parse(text, strlen(text), &f, &at, &n);
	if (err == -E2BIG)
		buf_printf(why, "a format has at most %d bytes and %d variables", RECORD_FORMAT_MAX,
			RECORD_PARTS_MAX - 1);
	else if (err)
		bad_variable(text + at, n, why, todo);
	return err ? -EINVAL : 0;
}
