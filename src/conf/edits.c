/*
 * edits.c: values of more than one word: header edits, redirects, rewrites, rates; and names of
 * sections.
 *
 * Called by value.c with one line each, by parse.c with a section's argument, and by route.c for
 * their parts. Owns nothing. A regular expression is compiled here, so that a wrong one is refused
 * in its file and never met by a request.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <pcre2.h>
#include <stdio.h>
#include <string.h>

#include "conf_priv.h"
#include "lib/must.h"

/* The next word of *at; *at moves behind it and its blanks. */
static char *word(struct conf *c, const char **at)
{
	size_t n = strcspn(*at, " \t");
	char *w = conf_strndup(c, *at, n);

	*at += n;
	*at += strspn(*at, " \t");
	return w;
}

static void lower(char *p)
{
	for (; p != NULL && *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
}

bool conf_token(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char ch = text[i];

		if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
			    (ch >= '0' && ch <= '9') ||
			    (ch != '\0' && strchr("!#$%&'*+-.^_`|~", ch) != NULL)))
			return false;
	}
	return n > 0;
}

bool conf_regex_good(const char *text, struct buf *why)
{
	unsigned char said[128];
	pcre2_code *code;
	PCRE2_SIZE at;
	int err;

	code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED,
		PCRE2_NEVER_UTF | PCRE2_NEVER_BACKSLASH_C, &err, &at, NULL);
	if (code == NULL) {
		(void)pcre2_get_error_message(err, said, sizeof(said));
		buf_printf(why, "\"%.80s\" is not a regular expression: %s, at byte %zu", text,
			said, at + 1);
		return false;
	}
	pcre2_code_free(code);
	return true;
}

/* Fields that belong to the message's framing or to the connection: nobody edits these. */
static bool is_framing(const char *name)
{
	static const char *const names[] = {"content-length", "transfer-encoding", "connection",
		"host", "te", "trailer", "upgrade", "keep-alive", "expect", "date", "server"};

	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static bool printable(const char *p, size_t max, struct buf *why)
{
	if (strlen(p) > max)
		buf_printf(why, "it is longer than %zu bytes", max);
	for (; *p != '\0' && why->len == 0; p++)
		if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
			buf_puts(why, "it has a control character");
	return why->len == 0;
}

bool conf_parse_header(struct conf *c, const char *text, struct conf_header *ret, struct buf *why)
{
	static const char *const acts[] = {"set", "add", "remove"};
	const char *at = text;
	char *w = word(c, &at), *name;

	*ret = (struct conf_header){.response = true, .value = ""};
	if (w != NULL && (strcmp(w, "request") == 0 || strcmp(w, "response") == 0)) {
		ret->response = strcmp(w, "response") == 0;
		w = word(c, &at);
	}
	for (unsigned i = 0; w != NULL && i < ARRAY_LEN(acts); i++)
		if (strcmp(w, acts[i]) == 0)
			ret->act = (enum conf_edit)(i + 1);
	name = word(c, &at);
	if (name == NULL || w == NULL)
		return false;
	ret->value = conf_strndup(c, at, strlen(at));
	if (ret->act == 0)
		buf_printf(why, "\"%.40s\" is none of: set add remove", w);
	else if (!conf_token(name, strlen(name)) || strlen(name) > 64)
		buf_printf(why, "\"%.60s\" is not the name of a header field", name);
	lower(name);
	ret->name = name;
	if (why->len == 0 && is_framing(name) &&
		!(ret->act == CONF_EDIT_REMOVE && strcmp(name, "server") == 0))
		buf_printf(why, "%s is stead's own, and not edited", name);
	if (why->len == 0 && ret->act == CONF_EDIT_REMOVE && *at != '\0')
		buf_puts(why, "there is more behind the name that is removed");
	if (why->len == 0 && ret->act != CONF_EDIT_REMOVE && *at == '\0')
		buf_puts(why, "the value is missing");
	return why->len == 0 && ret->value != NULL && printable(at, 4096, why);
}

/* A path of the site, or a URL. */
static bool target(const char *to, struct buf *why)
{
	if (to[0] == '/' || to[0] == '$' || strncmp(to, "http://", 7) == 0 ||
		strncmp(to, "https://", 8) == 0)
		return true;
	buf_printf(why, "\"%.60s\" is neither a path that begins with / nor a URL", to);
	return false;
}

bool conf_parse_redirect(
	struct conf *c, const char *text, struct conf_redirect *ret, struct buf *why)
{
	static const unsigned codes[] = {301, 302, 303, 307, 308};
	const char *at = text;
	char *code = word(c, &at), *from = word(c, &at), *to = word(c, &at);
	size_t n;

	*ret = (struct conf_redirect){.match = CONF_MATCH_EXACT};
	if (code == NULL || from == NULL || to == NULL)
		return false;
	for (unsigned i = 0; i < ARRAY_LEN(codes); i++) {
		char known[8];

		snprintf(known, sizeof(known), "%u", codes[i]);
		if (strcmp(code, known) == 0)
			ret->code = codes[i];
	}
	ret->to = to;
	n = strlen(from);
	if (ret->code == 0)
		buf_printf(why, "\"%.20s\" is none of: 301 302 303 307 308", code);
	else if (*to == '\0' || *at != '\0')
		buf_puts(why, *to == '\0' ? "TO is missing" : "there is more behind TO");
	else if (from[0] != '~' && from[0] != '/')
		buf_printf(why, "\"%.60s\" does not begin with / or ~", from);
	if (why->len > 0 || !printable(text, 4096, why))
		return false;
	if (from[0] == '~') {
		ret->match = CONF_MATCH_REGEX;
		from++;
		if (!conf_regex_good(from, why))
			return false;
	} else if (from[n - 1] == '*') {
		ret->match = CONF_MATCH_PREFIX;
		from[n - 1] = '\0';
	}
	ret->from = from;
	return target(to, why);
}

bool conf_parse_rewrite(struct conf *c, const char *text, struct conf_rewrite *ret, struct buf *why)
{
	const char *at = text;

	ret->regex = word(c, &at);
	ret->to = word(c, &at);
	if (ret->regex == NULL || ret->to == NULL)
		return false;
	if (ret->to[0] == '\0' || *at != '\0')
		buf_puts(why, ret->to[0] == '\0' ? "TO is missing" : "there is more behind TO");
	else if (ret->to[0] != '/' && ret->to[0] != '$')
		buf_printf(why, "\"%.60s\" does not begin with /", ret->to);
	return why->len == 0 && printable(text, 4096, why) && conf_regex_good(ret->regex, why);
}

static bool number(const char *p, size_t n, unsigned max, unsigned *ret)
{
	uint64_t v = 0;

	if (n == 0 || n > 9)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(p[i] - '0');
	}
	*ret = (unsigned)v;
	return v <= max;
}

static bool rate_word(struct conf *c, char *w, struct conf_rate *ret, struct buf *why)
{
	if (strncmp(w, "burst=", 6) == 0 && number(w + 6, strlen(w + 6), 1000000, &ret->burst))
		return true;
	if (strcmp(w, "by=address") == 0)
		ret->by = CONF_RATE_ADDRESS;
	else if (strcmp(w, "by=site") == 0)
		ret->by = CONF_RATE_SITE;
	else if (strncmp(w, "by=header:", 10) == 0 && conf_token(w + 10, strlen(w + 10))) {
		char *name = conf_strndup(c, w + 10, strlen(w + 10));

		lower(name);
		ret->by = CONF_RATE_HEADER;
		ret->header = name;
	} else {
		buf_printf(
			why, "\"%.60s\" is none of: burst=N by=address by=site by=header:NAME", w);
		return false;
	}
	return true;
}

bool conf_parse_rate(struct conf *c, const char *text, struct conf_rate *ret, struct buf *why)
{
	static const struct {
		const char *unit;
		unsigned seconds;
	} units[] = {{"s", 1}, {"min", 60}, {"h", 3600}};
	const char *at = text, *slash;
	char *w = word(c, &at);
	unsigned n = 0;

	*ret = (struct conf_rate){.header = ""};
	if (strcmp(text, "off") == 0)
		return true;
	ret->by = CONF_RATE_ADDRESS;
	slash = w != NULL ? strchr(w, '/') : NULL;
	for (unsigned i = 0; slash != NULL && i < ARRAY_LEN(units); i++)
		if (strcmp(slash + 1, units[i].unit) == 0 &&
			number(w, (size_t)(slash - w), 1000000, &n) && n > 0)
			ret->per_s_milli = (unsigned)max_of(1ull, n * 1000ull / units[i].seconds);
	if (ret->per_s_milli == 0) {
		buf_printf(why, "\"%.40s\" is not a rate", w != NULL ? w : "");
		return false;
	}
	ret->burst = n;
	while (*at != '\0') {
		w = word(c, &at);
		if (w == NULL || !rate_word(c, w, ret, why))
			return false;
	}
	return true;
}

static int check_try(const char *text, struct buf *why, struct buf *todo)
{
	unsigned code = 0;

	if (text[0] == '=' && number(text + 1, strlen(text + 1), 599, &code) && code >= 400)
		return 0;
	if (text[0] == '/' || strncmp(text, "$uri", 4) == 0)
		return printable(text, 1024, why) ? 0 : -EINVAL;
	buf_printf(why, "\"%.60s\" is neither a path nor =CODE", text);
	buf_puts(todo, "write paths like $uri, $uri/ or /index.html, and perhaps =404 as the last");
	return -EINVAL;
}

static int check_method(
	struct conf *c, const char *text, struct conf_value *v, struct buf *why, struct buf *todo)
{
	static const char known[] = "GET HEAD POST PUT DELETE OPTIONS PATCH";
	char near[32];

	for (const char *at = known; *at != '\0';) {
		size_t n = strcspn(at, " ");

		if (strlen(text) == n && strncasecmp(at, text, n) == 0) {
			v->text = conf_strndup(c, at, n);
			return 0;
		}
		at += n;
		at += strspn(at, " ");
	}
	buf_printf(why, "\"%.40s\" is none of: %s", text, known);
	if (conf_nearest(text, known, near, sizeof(near))[0] != '\0')
		buf_printf(todo, "did you mean %s?", near);
	return -EINVAL;
}

static int check_match(struct conf *c, const char *text, struct conf_value *v, struct buf *why)
{
	const char *at = text;
	char *name = word(c, &at);

	lower(name);
	v->part1 = name;
	v->part2 = conf_strndup(c, at, strlen(at));
	if (name == NULL || v->part2 == NULL)
		return -ENOMEM;
	if (!conf_token(name, strlen(name)) || strlen(name) > 64) {
		buf_printf(why, "\"%.60s\" is not the name of a header field", name);
		return -EINVAL;
	}
	return printable(at, 1024, why) ? 0 : -EINVAL;
}

static int check_token(const struct conf_row *row, const char *text, struct buf *why)
{
	if (conf_token(text, strlen(text)) && strlen(text) <= row->max)
		return 0;
	buf_printf(why, "\"%.60s\" is not a name: letters, digits and -_.~, at most %llu bytes",
		text, (unsigned long long)row->max);
	return -EINVAL;
}

/* Hashes that a password cannot be found from in a moment; as src/auth takes them. */
static int check_user(
	struct conf *c, const char *text, struct conf_value *v, struct buf *why, struct buf *todo)
{
	static const char *const kinds[] = {
		"$y$", "$gy$", "$7$", "$2b$", "$2y$", "$2a$", "$6$", "$5$", "$argon2"};
	size_t n = strcspn(text, ":");
	const char *hash = text + n + (text[n] == ':');

	v->part1 = conf_strndup(c, text, n);
	v->part2 = conf_strndup(c, hash, strlen(hash));
	if (v->part1 == NULL || v->part2 == NULL)
		return -ENOMEM;
	buf_puts(todo, "write NAME:HASH with what `mkpasswd -m yescrypt` (package whois) prints");
	if (text[n] != ':' || n == 0 || n > 64 || !printable(v->part1, 64, why)) {
		buf_puts(why, "the line is not NAME:HASH");
		return -EINVAL;
	}
	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++)
		if (strncmp(hash, kinds[i], strlen(kinds[i])) == 0 && strlen(hash) < 384 &&
			strpbrk(hash, " \t:*!") == NULL) {
			buf_reset(todo);
			return 0;
		}
	/* What stands there may be a password: it is not repeated. */
	buf_printf(why, "the hash of %s is of no kind that is safe (yescrypt, bcrypt, sha512)",
		v->part1);
	return -EINVAL;
}

size_t conf_showable(enum conf_key key, const char *text)
{
	return key == CONF_SITE_BASIC_AUTH_USER ? strcspn(text, ":") : strlen(text);
}

int conf_edit_check(struct conf *c, const struct conf_row *row, const char *text,
	struct conf_value *v, struct buf *why, struct buf *todo)
{
	struct conf_redirect redirect;
	struct conf_rewrite rewrite;
	struct conf_header header;
	struct conf_rate rate;
	bool good = false;

	switch ((enum conf_type)row->type) {
	case CONF_TYPE_HEADER:
		good = conf_parse_header(c, text, &header, why);
		buf_puts(todo, good ? "" : "write [request|response] set|add|remove NAME VALUE");
		break;
	case CONF_TYPE_REDIRECT:
		good = conf_parse_redirect(c, text, &redirect, why);
		buf_puts(todo,
			good ? "" : "write CODE FROM TO, like 301 /old /new or 308 /a/* /b/*");
		break;
	case CONF_TYPE_REWRITE:
		good = conf_parse_rewrite(c, text, &rewrite, why);
		buf_puts(todo, good ? "" : "write REGEX TO, like ^/v1/(.*)$ /api/$1");
		break;
	case CONF_TYPE_RATE:
		good = conf_parse_rate(c, text, &rate, why);
		buf_puts(todo, good ? "" : "write it like 10/s burst=40, 100/min by=site");
		break;
	case CONF_TYPE_TRY:
		return check_try(text, why, todo);
	case CONF_TYPE_METHOD:
		return check_method(c, text, v, why, todo);
	case CONF_TYPE_MATCH:
		return check_match(c, text, v, why);
	case CONF_TYPE_USER:
		return check_user(c, text, v, why, todo);
	default:
		return check_token(row, text, why);
	}
	return good ? 0 : c->no_memory ? -ENOMEM : -EINVAL;
}

static const char *route_wrong(const char *arg, struct buf *why)
{
	if (arg[0] == '~') {
		(void)conf_regex_good(arg + 1, why);
		return "";
	}
	if (arg[0] == '=')
		arg++;
	if (arg[0] != '/' || strpbrk(arg, "?#% \t\n") != NULL || strstr(arg, "//") != NULL ||
		strstr(arg, "/../") != NULL || strlen(arg) > 1024)
		buf_printf(why, "\"%.60s\" is not a path of the site", arg);
	return "write [Route /prefix], [Route =/exact] or [Route ~regex]; the path is written "
	       "decoded";
}

/* What is behind a route's argument: which of those it is that have the same one. */
static bool is_again(const char *p)
{
	unsigned n = 0;

	for (; *p >= '0' && *p <= '9' && n <= CONF_SCOPES_MAX; p++)
		n = n * 10 + (unsigned)(*p - '0');
	return *p == '\0' && n >= 2 && n <= CONF_SCOPES_MAX;
}

int conf_scope_id_check(
	struct conf *c, enum conf_section section, const char *id, const struct conf_pos *pos)
{
	const struct section_row *row = &section_rows[section];
	const char *todo = "", *arg = id;
	size_t n = strcspn(id, "\n");
	char mem[512];
	struct buf why;

	if (!row->arg)
		return 0;
	if (id[n] != '\0' && section == SECTION_ROUTE && is_again(id + n + 1))
		arg = conf_strndup(c, id, n);
	if (arg == NULL)
		return -ENOMEM;
	buf_fixed(&why, mem, sizeof(mem));
	if (arg[0] == '\0') {
		buf_printf(&why, "[%s] needs a name", row->name);
		todo = row->about;
	} else if (section == SECTION_ROUTE) {
		todo = route_wrong(arg, &why);
	} else if (section == SECTION_UPSTREAM &&
		   (strcmp(arg, "app") == 0 || strcmp(arg, "static") == 0)) {
		buf_printf(&why, "\"%s\" is a word of To= and no upstream's name", arg);
		todo = "choose another name";
	} else if (!conf_token(arg, strlen(arg)) || strlen(arg) > 27) {
		buf_printf(&why, "\"%.60s\" is not a name", arg);
		todo = "letters, digits and -, at most 27";
	}
	if (why.len == 0)
		return 0;
	conf_find(c, CONF_ERROR, pos, todo, "%s", buf_str(&why));
	return -EINVAL;
}
