/*
 * value.c: one item of a value, checked by its row of tbl/config.h.
 *
 * Called by conf_put_key() for every value, wherever it comes from: what `check` found in a file is
 * checked here, and once more in ctl. Sets the item's canonical text and its parts. Touches no
 * file: whether a path is there is for `check` to say.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf_priv.h"
#include "lib/must.h"

static bool lower_alpha(char ch)
{
	return ch >= 'a' && ch <= 'z';
}

static bool digit(char ch)
{
	return ch >= '0' && ch <= '9';
}

void conf_name_from_folder(const char *folder, char ret[28])
{
	const char *base = strrchr(folder, '/');
	size_t n = 0;

	base = base != NULL ? base + 1 : folder;
	for (; *base != '\0' && n < 27; base++) {
		char ch = *base >= 'A' && *base <= 'Z' ? (char)(*base - 'A' + 'a') : *base;

		if (lower_alpha(ch) || (digit(ch) && n > 0))
			ret[n++] = ch;
		else if (n > 0 && ret[n - 1] != '-')
			ret[n++] = '-';
	}
	while (n > 0 && ret[n - 1] == '-')
		n--;
	ret[n] = '\0';
	if (n == 0)
		memcpy(ret, "app", 4);
}

void conf_name_from_file(const char *file, char ret[28])
{
	const char *base = strrchr(file, '/');
	char name[256];
	uint32_t hash = 0x811c9dc5; /* FNV-1a */
	size_t n;

	base = base != NULL ? base + 1 : file;
	n = strlen(base);
	if (n > 5 && strcmp(base + n - 5, ".conf") == 0)
		n -= 5;
	n = min_of(n, sizeof(name) - 1);
	memcpy(name, base, n);
	name[n] = '\0';
	conf_name_from_folder(name, ret);
	if (n <= 27)
		return;
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (unsigned char)name[i]) * 0x01000193;
	/* It begins with a letter. */
	for (n = min_of(strlen(ret), (size_t)18); ret[n - 1] == '-';)
		n--;
	snprintf(ret + n, 28 - n, "-%08x", hash);
}

static int check_name(const char *text, struct buf *why, struct buf *todo)
{
	size_t n = 1;
	char near[28];

	while (lower_alpha(text[0]) && (lower_alpha(text[n]) || digit(text[n]) || text[n] == '-'))
		n++;
	if (lower_alpha(text[0]) && text[n] == '\0' && n <= 27)
		return 0;
	if (lower_alpha(text[0]) && text[n] == '\0')
		buf_puts(why, "a name has at most 27 bytes");
	else
		buf_printf(why,
			"\"%.60s\" is not a name: small letters, digits and -, beginning with "
			"a letter",
			text);
	conf_name_from_folder(text, near);
	buf_printf(todo, "for example %s", near);
	return -EINVAL;
}

static int check_dbname(const char *text, struct buf *why)
{
	size_t n = 1;

	if (lower_alpha(text[0]) || text[0] == '_')
		while (lower_alpha(text[n]) || digit(text[n]) || text[n] == '_')
			n++;
	if (text[n] == '\0' && n <= 63 && (lower_alpha(text[0]) || text[0] == '_') &&
		strncmp(text, "pg_", 3) != 0)
		return 0;
	buf_printf(why,
		"\"%.70s\" cannot be a database's name: at most 63 small letters, digits and "
		"_, beginning with a letter, and not with pg_",
		text);
	return -EINVAL;
}

/* An IP address, in its one spelling, IPv6 in brackets as in a URL; NULL: it is none. */
static char *host_address(struct conf *c, const char *text)
{
	char inner[INET6_ADDRSTRLEN], canon[INET6_ADDRSTRLEN + 2] = "[";
	unsigned char addr[16];
	size_t n = strlen(text);

	if (inet_pton(AF_INET, text, addr) == 1)
		return conf_strndup(c, text, n);
	if (n < 4 || n >= sizeof(inner) || text[0] != '[' || text[n - 1] != ']')
		return NULL;
	memcpy(inner, text + 1, n - 2);
	inner[n - 2] = '\0';
	if (inet_pton(AF_INET6, inner, addr) != 1)
		return NULL;
	must(inet_ntop(AF_INET6, addr, canon + 1, INET6_ADDRSTRLEN) != NULL);
	n = strlen(canon);
	canon[n] = ']';
	return conf_strndup(c, canon, n + 1);
}

/* A host name, or *.NAME, or an address; v->text is in lower case. */
static int check_host(
	struct conf *c, const char *text, struct conf_value *v, struct buf *why, struct buf *todo)
{
	char *low = conf_strndup(c, text, strlen(text));
	size_t label = 0;
	bool alpha = false;
	char *p;

	if (low == NULL)
		return -ENOMEM;
	v->text = host_address(c, text);
	if (v->text != NULL)
		return 0;
	p = strncmp(low, "*.", 2) == 0 ? low + 2 : low;
	if (strstr(low, "://") != NULL || strchr(low, '/') != NULL || strchr(low, ':') != NULL) {
		buf_printf(why, "\"%.60s\" is not a host name", text);
		buf_puts(todo, "write the name alone, without http://, port or path");
		return -EINVAL;
	}
	for (; *p != '\0'; p++) {
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
		if (*p == '.' ? label == 0 || p[-1] == '-' || p[1] == '\0'
			      : !(lower_alpha(*p) || digit(*p) || (*p == '-' && label > 0)) ||
					label >= 63)
			break;
		label = *p == '.' ? 0 : label + 1;
		alpha = *p == '.' ? false : alpha || !digit(*p);
	}
	if (*p != '\0' || label == 0 || p[-1] == '-' || strlen(low) > 253 || !alpha) {
		buf_printf(why, "\"%.60s\" is not a host name", text);
		if ((unsigned char)*p >= 0x80)
			buf_puts(todo, "write a name with other letters in its xn-- form");
		return -EINVAL;
	}
	v->text = low;
	return 0;
}

int conf_addr_canonical(const char *text, struct buf *ret)
{
	const char *colon = strrchr(text, ':');
	char host[64], canon[INET6_ADDRSTRLEN];
	unsigned char addr[16];
	unsigned long port = 0;
	size_t n;
	bool six;

	if (colon == NULL)
		return -EINVAL;
	n = (size_t)(colon - text);
	six = n >= 2 && text[0] == '[' && text[n - 1] == ']';
	if (colon[1] == '\0' || strlen(colon + 1) > 5 || n >= sizeof(host))
		return -EINVAL;
	for (const char *p = colon + 1; *p != '\0'; p++) {
		if (!digit(*p))
			return -EINVAL;
		port = port * 10 + (unsigned long)(*p - '0');
	}
	memcpy(host, text, n);
	host[n] = '\0';
	if (n == 0 || strcmp(host, "*") == 0)
		snprintf(host, sizeof(host), "0.0.0.0");
	else if (strcmp(host, "localhost") == 0)
		snprintf(host, sizeof(host), "127.0.0.1");
	else if (six) {
		memmove(host, host + 1, n - 2);
		host[n - 2] = '\0';
	}
	if (port > 65535 || inet_pton(six ? AF_INET6 : AF_INET, host, addr) != 1)
		return -EINVAL;
	inet_ntop(six ? AF_INET6 : AF_INET, addr, canon, sizeof(canon));
	buf_printf(ret, six ? "[%s]:%lu" : "%s:%lu", canon, port);
	return ret->error != 0 ? -EINVAL : 0;
}

static int check_addr(
	struct conf *c, const char *text, struct conf_value *v, struct buf *why, struct buf *todo)
{
	char mem[80];
	struct buf b;

	buf_fixed(&b, mem, sizeof(mem));
	if (conf_addr_canonical(text, &b) == 0) {
		v->text = conf_strndup(c, b.p, b.len);
		return v->text != NULL ? 0 : -ENOMEM;
	}
	buf_printf(why, "\"%.60s\" is not an address with a port", text);
	buf_puts(todo,
		"write ADDR:PORT, like 127.0.0.1:8080, :80 or [::1]:8080; ports end at 65535");
	return -EINVAL;
}

/* off, or an address that only this machine reaches. */
static int check_local(
	struct conf *c, const char *text, struct conf_value *v, struct buf *why, struct buf *todo)
{
	size_t n;
	int err;

	if (strcmp(text, "off") == 0)
		return 0;
	err = check_addr(c, text, v, why, todo);
	if (err)
		return err;
	n = strlen(v->text);
	if (strncmp(v->text, "127.", 4) != 0 && strncmp(v->text, "[::1]:", 6) != 0)
		buf_printf(why, "%.60s is not an address of this machine alone", text);
	else if (strcmp(v->text + n - 2, ":0") == 0)
		buf_puts(why, "the port cannot be 0: nobody would know which one it became");
	else
		return 0;
	buf_puts(todo, "write an address like 127.0.0.1:9145");
	return -EINVAL;
}

/* A path whose parts do not lead out of the folder again. */
static bool has_dotdot(const char *path)
{
	for (const char *p = path; (p = strstr(p, "..")) != NULL; p += 2)
		if ((p == path || p[-1] == '/') && (p[2] == '\0' || p[2] == '/'))
			return true;
	return false;
}

static int check_path(const struct conf_row *row, const char *text, struct buf *why)
{
	if (strlen(text) > 4095) {
		buf_puts(why, "the path is longer than 4095 bytes");
		return -EINVAL;
	}
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20) {
			buf_puts(why, "the path has a control character");
			return -EINVAL;
		}
	if (row == &conf_rows[CONF_SITE_ROOT] && has_dotdot(text)) {
		buf_puts(why, "the path must not have .. in it");
		return -EINVAL;
	}
	return 0;
}

/* Two parts, of which the second may have blanks. */
static bool split_two(struct conf *c, const char *text, struct conf_value *v)
{
	size_t n = strcspn(text, " ");

	v->part1 = conf_strndup(c, text, n);
	v->part2 = text[n] != '\0' ? conf_strndup(c, text + n + 1, strlen(text + n + 1)) : "";
	return v->part1 != NULL && v->part2 != NULL;
}

static int check_prefix(
	struct conf *c, const char *text, struct conf_value *v, struct buf *why, struct buf *todo)
{
	if (!split_two(c, text, v))
		return -ENOMEM;
	buf_puts(todo, "write Static=PREFIX PATH, like Static=/static static");
	if (v->part1[0] != '/')
		buf_printf(why, "the prefix \"%.60s\" does not begin with /", v->part1);
	else if (strlen(v->part1) > 1024 || strpbrk(v->part1, "?#%\t\n") != NULL ||
		 has_dotdot(v->part1) || strstr(v->part1, "//") != NULL)
		buf_printf(why, "\"%.60s\" cannot be a prefix", v->part1);
	else if (v->part2[0] == '\0')
		buf_puts(why, "the path behind the prefix is missing");
	else if (strlen(v->part2) > 4095 || has_dotdot(v->part2))
		buf_puts(why, "the path must not have .. in it, nor more than 4095 bytes");
	else
		buf_reset(todo);
	return why->len > 0 ? -EINVAL : 0;
}

static int check_errpage(
	struct conf *c, const char *text, struct conf_value *v, struct buf *why, struct buf *todo)
{
	if (!split_two(c, text, v))
		return -ENOMEM;
	buf_puts(todo, "write ErrorPage=CODE PATH, like ErrorPage=404 /404.html");
	if (strlen(v->part1) != 3 || v->part1[0] < '4' || v->part1[0] > '5' ||
		!digit(v->part1[1]) || !digit(v->part1[2]))
		buf_printf(why, "\"%.60s\" is not the code of an error, 400 to 599", v->part1);
	else if (v->part2[0] == '\0')
		buf_puts(why, "the path behind the code is missing");
	else if (strlen(v->part2) > 4095 || has_dotdot(v->part2))
		buf_puts(why, "the path must not have .. in it, nor more than 4095 bytes");
	else
		buf_reset(todo);
	if (why->len > 0)
		return -EINVAL;
	v->number = (uint64_t)((v->part1[0] - '0') * 100 + (v->part1[1] - '0') * 10 +
			       (v->part1[2] - '0'));
	return 0;
}

/* How many bytes of a dotted Python name stand at p. */
static size_t dotted_span(const char *p)
{
	size_t n = 0;
	bool first = true;

	for (;; n++) {
		unsigned char ch = (unsigned char)p[n];
		bool letter = (ch | 0x20) >= 'a' && (ch | 0x20) <= 'z';

		if (letter || ch == '_' || ch >= 0x80 || (digit((char)ch) && !first))
			first = false;
		else if (ch == '.' && !first)
			first = true;
		else
			return first && n > 0 ? n - 1 : n;
	}
}

static int check_wsgi(struct conf *c, const struct conf_row *row, const char *text,
	struct conf_value *v, struct buf *why, struct buf *todo)
{
	size_t m = dotted_span(text), o;
	const char *rest;

	if (strlen(text) > row->max) {
		buf_printf(why, "it is longer than %llu bytes", (unsigned long long)row->max);
		return -EINVAL;
	}
	if (m == 0 || text[m] != ':') {
		buf_printf(why, "\"%.80s\" is not MODULE:OBJECT", text);
		if (strchr(text, '/') != NULL || strstr(text, ".py") != NULL)
			buf_puts(todo,
				"write the module's name and not its file: shop/app.py with the "
				"object app is shop.app:app");
		else
			buf_printf(todo, "for example %s=%.*s:app", row->key,
				m > 0 ? (int)min_of(m, (size_t)60) : 3, m > 0 ? text : "app");
		return -EINVAL;
	}
	rest = text + m + 1;
	o = dotted_span(rest);
	if (o == 0 || (rest[o] != '\0' && strcmp(rest + o, "()") != 0)) {
		buf_printf(why, "\"%.80s\" is not an object of the module", rest);
		buf_puts(todo,
			"write MODULE:OBJECT, or MODULE:FACTORY() for a function that makes it");
		return -EINVAL;
	}
	v->part1 = conf_strndup(c, text, m);
	v->part2 = conf_strndup(c, rest, o);
	v->number = rest[o] == '(';
	return v->part1 != NULL && v->part2 != NULL ? 0 : -ENOMEM;
}

static int check_env(
	struct conf *c, const char *text, struct conf_value *v, struct buf *why, struct buf *todo)
{
	const char *eq = strchr(text, '=');
	size_t n = eq != NULL ? (size_t)(eq - text) : strlen(text);

	for (size_t i = 0; i < n; i++) {
		char ch = text[i];
		bool letter = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_';

		if (!letter && !(digit(ch) && i > 0))
			n = 0;
	}
	if (eq == NULL || n == 0) {
		buf_printf(why, "\"%.*s\" is not NAME=VALUE",
			eq != NULL ? (int)min_of((size_t)(eq - text), (size_t)40) : 40, text);
		buf_puts(todo, "quote the whole when the value has blanks: \"NAME=two words\"");
		return -EINVAL;
	}
	v->part1 = conf_strndup(c, text, n);
	v->part2 = conf_strndup(c, eq + 1, strlen(eq + 1));
	return v->part1 != NULL && v->part2 != NULL ? 0 : -ENOMEM;
}

static int check_word(const struct conf_row *row, const char *text, struct buf *why)
{
	size_t n = strlen(text);
	uint64_t max = row->type == CONF_TYPE_STRING ? row->max : 255;

	if (n > max) {
		buf_printf(why, "it is longer than %llu bytes", (unsigned long long)max);
		return -EINVAL;
	}
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f) {
			buf_puts(why, "it has a control character");
			return -EINVAL;
		}
	if (row == &conf_rows[CONF_SITE_INDEX] && (strchr(text, '/') != NULL || text[0] == '.')) {
		buf_printf(why, "\"%.60s\" is not the name of a file in the folder", text);
		return -EINVAL;
	}
	if (row == &conf_rows[CONF_SITE_HEALTH] && (text[0] != '/' || strchr(text, ' ') != NULL)) {
		buf_printf(why,
			"\"%.60s\" is not a path of the site: it begins with / and has no blank",
			text);
		return -EINVAL;
	}
	return 0;
}

/* What it stands for is looked at by whoever uses it. */
static int check_base64(const char *text, struct buf *why)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t n = strlen(text), at = strspn(text, digits);

	if (n % 4 == 0 && n - at <= 2 && strspn(text + at, "=") == n - at)
		return 0;
	buf_puts(why, "it is not base64");
	return -EINVAL;
}

int conf_value_check(struct conf *c, const struct conf_row *row, const char *text,
	struct conf_value *v, struct buf *why, struct buf *todo)
{
	v->text = conf_strndup(c, text, strlen(text));
	if (v->text == NULL)
		return -ENOMEM;
	switch ((enum conf_type)row->type) {
	case CONF_TYPE_NAME:
		return check_name(text, why, todo);
	case CONF_TYPE_DBNAME:
		return check_dbname(text, why);
	case CONF_TYPE_HOSTS:
		return check_host(c, text, v, why, todo);
	case CONF_TYPE_ADDR:
		return check_addr(c, text, v, why, todo);
	case CONF_TYPE_PATH:
	case CONF_TYPE_ENVFILE:
		return check_path(row, text, why);
	case CONF_TYPE_PREFIX:
		return check_prefix(c, text, v, why, todo);
	case CONF_TYPE_ERRPAGE:
		return check_errpage(c, text, v, why, todo);
	case CONF_TYPE_WSGI:
		return check_wsgi(c, row, text, v, why, todo);
	case CONF_TYPE_ENV:
		return check_env(c, text, v, why, todo);
	case CONF_TYPE_STRING:
	case CONF_TYPE_LIST:
		return check_word(row, text, why);
	case CONF_TYPE_HEADER:
	case CONF_TYPE_REDIRECT:
	case CONF_TYPE_REWRITE:
	case CONF_TYPE_RATE:
	case CONF_TYPE_TRY:
	case CONF_TYPE_METHOD:
	case CONF_TYPE_MATCH:
	case CONF_TYPE_TOKEN:
	case CONF_TYPE_USER:
		return conf_edit_check(c, row, text, v, why, todo);
	case CONF_TYPE_LOCAL:
		return check_local(c, text, v, why, todo);
	case CONF_TYPE_LOGFORMAT:
		return conf_logformat_check(text, v, why, todo);
	case CONF_TYPE_CMD:
		return conf_command_check(c, text, v, why, todo);
	case CONF_TYPE_CALENDAR:
		return conf_calendar_check(text, v, why, todo);
	case CONF_TYPE_SIGNAL:
	case CONF_TYPE_EXITS:
	case CONF_TYPE_VARS:
		return conf_end_check(row, text, v, why, todo);
	case CONF_TYPE_BASE64:
		return check_base64(text, why);
	case CONF_TYPE_LISTEN:
		return conf_listen_check(c, text, v, why, todo);
	case CONF_TYPE_CIDR:
	case CONF_TYPE_TRUSTED:
	case CONF_TYPE_URL:
	case CONF_TYPE_TO:
	case CONF_TYPE_SERVER:
		return conf_net_check(c, row, text, v, why, todo);
	case CONF_TYPE_BOOL:
	case CONF_TYPE_ENUM:
	case CONF_TYPE_TIME:
	case CONF_TYPE_SIZE:
	case CONF_TYPE_INT:
	case CONF_TYPE_COUNT:
	case CONF_TYPE_SPAN:
		return conf_scalar_check(c, row, text, v, why, todo);
	default:
		return conf_jail_check(row, text, v, why, todo);
	}
}
