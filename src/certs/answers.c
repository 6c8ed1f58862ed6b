/*
 * answers.c: what an authority says, read with bounds (RFC 8555 section 7, RFC 9773, RFC 7807); see
 * certs.h.
 *
 * Called by order.c and the fuzz targets with bytes of a server that may be anybody's: nothing of
 * it is trusted further than its form. Owns nothing. Members that nobody knows are ignored.
 */
#include "certs.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "lib/must.h"

enum { DEPTH_MAX = 8 };
#define DAY_MS (24ull * 3600 * 1000)

bool answer_is_url(const char *text, size_t n)
{
	if (n <= 8 || n >= ACME_URL_BYTES || strncmp(text, "https://", 8) != 0 || text[8] == '/')
		return false;
	for (size_t i = 0; i < n; i++)
		if (text[i] <= ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\')
			return false;
	return true;
}

bool answer_is_base64url(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char c = text[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
			c != '-' && c != '_')
			return false;
	}
	return n > 0;
}

/* How deep it is nested, at most: jansson descends by calls. */
static bool is_flat(const char *p, size_t n)
{
	unsigned depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < n; i++) {
		if (quoted && p[i] == '\\')
			i++;
		else if (p[i] == '"')
			quoted = !quoted;
		else if (!quoted && (p[i] == '{' || p[i] == '[') && ++depth > DEPTH_MAX)
			return false;
		else if (!quoted && (p[i] == '}' || p[i] == ']') && depth > 0)
			depth--;
	}
	return true;
}

static json_t *read_object(const char *p, size_t n)
{
	json_t *o = n <= ACME_BODY_MAX && is_flat(p, n)
			    ? json_loadb(p, n, JSON_REJECT_DUPLICATES, NULL)
			    : NULL;

	if (!json_is_object(o)) {
		json_decref(o);
		return NULL;
	}
	return o;
}

/* A URL; "" when it is not there and need not be. */
static bool get_url(const json_t *o, const char *key, bool needed, char ret[ACME_URL_BYTES])
{
	const json_t *v = json_object_get(o, key);
	size_t n = json_string_length(v);

	ret[0] = '\0';
	if (!v || json_is_null(v))
		return !needed;
	if (!json_is_string(v) || !answer_is_url(json_string_value(v), n))
		return false;
	memcpy(ret, json_string_value(v), n + 1);
	return true;
}

/* Words for people: what a terminal could take for more than words becomes a blank, too much is
 * cut. */
static void get_words(const json_t *o, const char *key, char *ret, size_t cap)
{
	const char *text = json_string_value(json_object_get(o, key));
	size_t n = text ? strnlen(text, cap - 1) : 0;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];

		ret[i] = c < ' ' || c > '~' ? ' ' : (char)c;
	}
	ret[n] = '\0';
}

/* A word of others' making between blanks: names of profiles, hosts. What does not fit or is none is left out. */
static void add_word(char *list, size_t cap, const char *word)
{
	size_t n = strlen(list), len = word ? strlen(word) : 0;

	if (!len || n + len + 2 > cap)
		return;
	for (size_t i = 0; i < len; i++)
		if (!(word[i] >= 'a' && word[i] <= 'z') && !(word[i] >= 'A' && word[i] <= 'Z') &&
			!(word[i] >= '0' && word[i] <= '9') && !strchr("-_.:", word[i]))
			return;
	if (n)
		list[n++] = ' ';
	memcpy(list + n, word, len + 1);
}

static void get_meta(const json_t *meta, struct acme_directory *d)
{
	const json_t *names = json_object_get(meta, "caaIdentities"), *v;
	void *at;

	d->account_bound = json_is_true(json_object_get(meta, "externalAccountRequired"));
	for (size_t i = 0; i < json_array_size(names); i++)
		add_word(d->caa, sizeof d->caa, json_string_value(json_array_get(names, i)));
	for (at = json_object_iter(json_object_get(meta, "profiles")); at;
		at = json_object_iter_next(json_object_get(meta, "profiles"), at)) {
		v = json_object_iter_value(at);
		if (json_is_string(v))
			add_word(d->profiles, sizeof d->profiles, json_object_iter_key(at));
	}
}

int answer_directory(const char *p, size_t n, struct acme_directory *ret)
{
	struct acme_directory d = {0};
	json_t *o = read_object(p, n), *meta;
	bool good;

	if (!o)
		return -EBADMSG;
	meta = json_object_get(o, "meta");
	good = get_url(o, "newNonce", true, d.new_nonce) &&
	       get_url(o, "newAccount", true, d.new_account) &&
	       get_url(o, "newOrder", true, d.new_order) &&
	       get_url(o, "renewalInfo", false, d.renewal_info);
	/* A page for people: one that is no https URL is not told. */
	if (good && !get_url(meta, "termsOfService", false, d.terms))
		d.terms[0] = '\0';
	get_meta(meta, &d);
	json_decref(o);
	if (good)
		*ret = d;
	return good ? 0 : -EBADMSG;
}

static enum acme_status status_of(const json_t *o)
{
	static const struct {
		const char *word;
		enum acme_status status;
	} words[] = {{"pending", ACME_PENDING}, {"processing", ACME_PROCESSING},
		{"ready", ACME_READY}, {"valid", ACME_VALID}, {"invalid", ACME_INVALID},
		{"expired", ACME_OVER}, {"deactivated", ACME_OVER}, {"revoked", ACME_OVER}};
	const char *text = json_string_value(json_object_get(o, "status"));

	for (size_t i = 0; text && i < ARRAY_LEN(words); i++)
		if (strcmp(text, words[i].word) == 0)
			return words[i].status;
	return 0;
}

static void get_problem(const json_t *o, struct acme_problem *ret)
{
	static const char prefix[] = "urn:ietf:params:acme:error:";
	const char *type = json_string_value(json_object_get(o, "type"));
	const json_t *sub = json_array_get(json_object_get(o, "subproblems"), 0);

	*ret = (struct acme_problem){0};
	if (type && strncmp(type, prefix, sizeof prefix - 1) == 0 &&
		answer_is_base64url(type + sizeof prefix - 1, strlen(type + sizeof prefix - 1)))
		(void)snprintf(ret->type, sizeof ret->type, "%.63s", type + sizeof prefix - 1);
	get_words(o, "detail", ret->detail, sizeof ret->detail);
	get_words(
		json_object_get(sub ? sub : o, "identifier"), "value", ret->name, sizeof ret->name);
	if (!ret->detail[0] && sub)
		get_words(sub, "detail", ret->detail, sizeof ret->detail);
}

static bool get_authzs(const json_t *list, struct acme_order *ret)
{
	size_t n = json_array_size(list);

	if (n == 0 || n > ACME_NAMES_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		const json_t *v = json_array_get(list, i);
		size_t len = json_string_length(v);

		if (!json_is_string(v) || !answer_is_url(json_string_value(v), len))
			return false;
		memcpy(ret->authz[i], json_string_value(v), len + 1);
	}
	ret->nauthz = (unsigned)n;
	return true;
}

int answer_order(const char *p, size_t n, struct acme_order *ret)
{
	struct acme_order *order = calloc(1, sizeof *order);
	json_t *o = order ? read_object(p, n) : NULL;
	bool good = o != NULL;

	if (good) {
		order->status = status_of(o);
		good = order->status && get_authzs(json_object_get(o, "authorizations"), order) &&
		       get_url(o, "finalize", true, order->finalize) &&
		       get_url(o, "certificate", false, order->certificate) &&
		       (order->status != ACME_VALID || order->certificate[0]);
		get_problem(json_object_get(o, "error"), &order->problem);
	}
	if (good)
		*ret = *order;
	json_decref(o);
	free(order);
	return good ? 0 : -EBADMSG;
}

/* One of its challenges. False: it is one that we would use, and malformed. */
static bool get_challenge(const json_t *c, struct acme_authz *a)
{
	static const char *const types[CERT_WAYS] = {
		[CERT_BY_HTTP] = "http-01", [CERT_BY_TLS] = "tls-alpn-01", [CERT_BY_DNS] = "dns-01"};
	const char *type = json_string_value(json_object_get(c, "type"));
	const json_t *token = json_object_get(c, "token"), *error = json_object_get(c, "error");
	size_t n = json_string_length(token), way = 0;
	struct acme_challenge *ret;

	if (json_is_object(error) && !a->problem.detail[0])
		get_problem(error, &a->problem);
	while (type && way < CERT_WAYS && strcmp(type, types[way]) != 0)
		way++;
	if (!type || way == CERT_WAYS)
		return true;
	ret = &a->by[way];
	if (!json_is_string(token) || n >= sizeof ret->token ||
		!answer_is_base64url(json_string_value(token), n))
		return false;
	memcpy(ret->token, json_string_value(token), n + 1);
	ret->begun = status_of(c) > ACME_PENDING;
	return get_url(c, "url", true, ret->url);
}

int answer_authz(const char *p, size_t n, struct acme_authz *ret)
{
	struct acme_authz *a = calloc(1, sizeof *a);
	json_t *o = a ? read_object(p, n) : NULL, *list;
	bool good = o != NULL;

	if (good) {
		a->status = status_of(o);
		a->wildcard = json_is_true(json_object_get(o, "wildcard"));
		get_words(json_object_get(o, "identifier"), "value", a->name, sizeof a->name);
		list = json_object_get(o, "challenges");
		good = a->status && a->name[0] && json_is_array(list);
		for (size_t i = 0; good && i < json_array_size(list); i++)
			good = get_challenge(json_array_get(list, i), a);
		if (!a->problem.name[0])
			(void)snprintf(
				a->problem.name, sizeof a->problem.name, "%s", a->name);
	}
	if (good)
		*ret = *a;
	json_decref(o);
	free(a);
	return good ? 0 : -EBADMSG;
}

int answer_problem(const char *p, size_t n, struct acme_problem *ret)
{
	json_t *o = read_object(p, n);

	if (!o)
		return -EBADMSG;
	get_problem(o, ret);
	json_decref(o);
	return 0;
}

/* RFC 3339: seconds since 1970; -1: it is none. */
static int64_t seconds_of(const char *text)
{
	struct tm tm = {0};
	char sign;
	int hours = 0, minutes = 0;
	int64_t at;

	if (!text || strlen(text) > 48)
		return -1;
	text = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (!text)
		return -1;
	if (*text == '.')
		text += 1 + strspn(text + 1, "0123456789");
	at = (int64_t)timegm(&tm);
	if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0)
		return at;
	if (sscanf(text, "%c%2d:%2d", &sign, &hours, &minutes) != 3 ||
		(sign != '+' && sign != '-') || hours < 0 || minutes < 0)
		return -1;
	return at - (sign == '+' ? 1 : -1) * (hours * 3600 + minutes * 60);
}

int answer_renewal(const char *p, size_t n, uint64_t *ret_start_s, uint64_t *ret_end_s)
{
	json_t *o = read_object(p, n), *w = json_object_get(o, "suggestedWindow");
	int64_t start = seconds_of(json_string_value(json_object_get(w, "start")));
	int64_t end = seconds_of(json_string_value(json_object_get(w, "end")));

	json_decref(o);
	/* One that ends before it begins is to be treated as if there were none (section 4.2). */
	if (start < 0 || end < start)
		return -EBADMSG;
	*ret_start_s = (uint64_t)start;
	*ret_end_s = (uint64_t)end;
	return 0;
}

/* Does the list of parameters at *p have this relation? *p goes to the next link's. */
static bool has_relation(const char **p, const char *relation)
{
	size_t n = strlen(relation);
	bool has = false, quoted = false;

	for (; **p && (quoted || **p != ','); (*p)++) {
		const char *at = *p;

		if (*at == '"') {
			quoted = !quoted;
			continue;
		}
		if (quoted || strncasecmp(at, "rel=", 4) != 0 || (at[-1] != ';' && at[-1] != ' ' && at[-1] != '\t'))
			continue;
		at += 4;
		at += *at == '"';
		has |= strncasecmp(at, relation, n) == 0 && strchr("\" ;,", at[n]) != NULL;
	}
	return has;
}

bool answer_link(const char *value, size_t *at, const char *relation, char ret[ACME_URL_BYTES])
{
	const char *p = value + *at;
	bool found = false;

	while (!found && (p = strchr(p, '<')) != NULL) {
		const char *url = p + 1, *end = strchr(url, '>');
		size_t n = end ? (size_t)(end - url) : 0;

		if (!end)
			break;
		p = end + 1;
		found = has_relation(&p, relation) && n < ACME_URL_BYTES && answer_is_url(url, n);
		if (found) {
			memcpy(ret, url, n);
			ret[n] = '\0';
		}
	}
	*at = p ? (size_t)(p - value) : strlen(value);
	return found;
}

uint64_t answer_retry_after(const char *text, uint64_t now_s)
{
	struct tm tm = {0};
	const char *end;
	uint64_t s = 0;
	int64_t at;

	if (!text || !*text || strlen(text) > 64)
		return 0;
	if (*text >= '0' && *text <= '9') {
		for (; *text >= '0' && *text <= '9'; text++)
			s = min_of(s * 10 + (uint64_t)(*text - '0'), (uint64_t)DAY_MS);
		return *text ? 0 : min_of(s * 1000, (uint64_t)DAY_MS);
	}
	end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	if (!end || *end)
		return 0;
	at = (int64_t)timegm(&tm);
	if (at <= (int64_t)now_s)
		return 0;
	return min_of(((uint64_t)at - now_s) * 1000, (uint64_t)DAY_MS);
}
