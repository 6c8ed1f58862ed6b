/*
 * http1_request.c: from a head that was read to the request that it makes; see http1.h. Called by
 * http1.c and http2_head.c, so that both protocols fill in a request alike. Owns nothing.
 */
#include "http1.h"

#include <string.h>

bool http1_take_head(struct req *r, const struct http1_head *head)
{
	r->method = head->method;
	r->version_minor = head->version_minor;
	r->method_str = head->method_str;
	r->method_len = head->method_len;
	r->target = head->target;
	r->target_len = head->target_len;
	/* The blanks behind them are ours to end the strings with. */
	((char *)head->method_str)[head->method_len] = 0;
	((char *)head->target)[head->target_len] = 0;
	r->path_raw = head->path;
	r->path_raw_len = head->path_len;
	r->host = head->host;
	r->host_len = head->host_len;
	r->host_port = head->host_port;
	r->content_length = head->content_length;
	r->te_trailers = head->te_trailers;
	r->upgrade = head->upgrade;
	r->upgrade_len = head->upgrade_len;
	r->expect_continue = head->expect_continue && head->content_length != 0;
	r->fields = arena_alloc(&r->arena, (head->nfields + 1) * sizeof(struct field));
	if (!r->fields)
		return false;
	memcpy(r->fields, head->fields, head->nfields * sizeof(struct field));
	r->nfields = head->nfields;
	return true;
}
