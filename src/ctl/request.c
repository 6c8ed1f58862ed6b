/*
 * request.c: one request on the control socket: a JSON object on one line.
 *
 * Called by control.c with bytes of whoever may connect. Owns nothing after it returns. Never
 * trusts a length, a type or a number; what it does not know it ignores, so that a newer client can
 * say more.
 */
#include "request.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"

static int get_text(const json_t *object, const char *key, char *to, size_t cap)
{
	const json_t *v = json_object_get(object, key);
	size_t n;

	to[0] = '\0';
	if (!v || json_is_null(v))
		return 0;
	n = json_string_length(v);
	if (!json_is_string(v) || n >= cap || memchr(json_string_value(v), 0, n))
		return -EINVAL;
	memcpy(to, json_string_value(v), n);
	to[n] = '\0';
	return 0;
}

/* One that is too long for a place of its own; the request's whole length bounds it. */
static int get_long(const json_t *object, const char *key, char **ret)
{
	const json_t *v = json_object_get(object, key);

	if (!v || json_is_null(v))
		return 0;
	if (!json_is_string(v) || memchr(json_string_value(v), 0, json_string_length(v)))
		return -EINVAL;
	*ret = strdup(json_string_value(v));
	return *ret ? 0 : -EINVAL;
}

static int get_number(const json_t *object, const char *key, uint64_t max, uint64_t *ret)
{
	const json_t *v = json_object_get(object, key);

	*ret = 0;
	if (!v || json_is_null(v))
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0 ||
		(uint64_t)json_integer_value(v) > max)
		return -EINVAL;
	*ret = (uint64_t)json_integer_value(v);
	return 0;
}

static int fill(const json_t *object, struct request *r, const char **ret_why)
{
	uint64_t lines, level, release;
	char verb[32];

	*ret_why = "the request has no known \"verb\"";
	if (get_text(object, "verb", verb, sizeof verb) < 0)
		return -EINVAL;
	for (enum request_verb v = REQUEST_NONE + 1; v < REQUEST_END; v++)
		if (strcmp(verb, request_rows[v].name) == 0)
			r->verb = v;
	if (r->verb == REQUEST_NONE)
		return -EINVAL;
	*ret_why = "a member of the request has the wrong type or is too long";
	if (get_text(object, "folder", r->folder, sizeof r->folder) < 0 ||
		get_text(object, "http", r->http, sizeof r->http) < 0 ||
		get_text(object, "https", r->https, sizeof r->https) < 0 ||
		get_text(object, "app", r->app, sizeof r->app) < 0 ||
		get_text(object, "domain", r->domain, sizeof r->domain) < 0 ||
		get_text(object, "version", r->version, sizeof r->version) < 0 ||
		get_text(object, "url", r->url, sizeof r->url) < 0 ||
		get_text(object, "tag", r->tag, sizeof r->tag) < 0 ||
		get_long(object, "chain", &r->chain) < 0 || get_long(object, "box", &r->box) < 0 ||
		get_text(object, "confirm", r->confirm, sizeof r->confirm) < 0 ||
		get_text(object, "token", r->token, sizeof r->token) < 0 ||
		get_number(object, "release", INT32_MAX, &release) < 0 ||
		get_number(object, "lines", UINT32_MAX, &lines) < 0 ||
		get_number(object, "level", 7, &level) < 0 ||
		get_number(object, "since_us", INT64_MAX, &r->since_us) < 0)
		return -EINVAL;
	r->lines = (uint32_t)lines;
	r->level = (uint32_t)level;
	r->follow = json_is_true(json_object_get(object, "follow"));
	r->agree = json_is_true(json_object_get(object, "agree"));
	r->release = (uint32_t)release;
	r->data = json_is_true(json_object_get(object, "data"));
	r->on = json_is_true(json_object_get(object, "on"));
	r->json = json_is_true(json_object_get(object, "json"));
	*ret_why = "\"folder\" is not an absolute path";
	if (r->verb == REQUEST_UP && r->folder[0] != '/')
		return -EINVAL;
	return 0;
}

int request_parse(const char *p, size_t n, struct request *ret, const char **ret_why)
{
	struct request r = {0};
	json_error_t error;
	json_t *object;
	int err;

	*ret_why = "the request is longer than 64 KB";
	if (n > REQUEST_BYTES_MAX)
		return -EINVAL;
	*ret_why = "the request is not one JSON object on one line";
	object = json_loadb(p, n, JSON_REJECT_DUPLICATES, &error);
	if (!json_is_object(object)) {
		json_decref(object);
		return -EINVAL;
	}
	err = fill(object, &r, ret_why);
	json_decref(object);
	if (!err)
		*ret = r;
	else
		request_done(&r);
	return err;
}

void request_done(struct request *r)
{
	free(r->chain);
	free(r->box);
	r->chain = r->box = NULL;
}
