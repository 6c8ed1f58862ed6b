/*
 * link_env.h: the environ of one request as bytes: what the gate writes and the worker's end reads.
 *
 * A block is entries, one behind the other: struct link_env_entry, then the name (code ENV_HTTP:
 * the whole key, "HTTP_ACCEPT"; other codes have none), then the value. Nothing is aligned; readers
 * copy the entry out. A newer gate may send codes that an older worker skips.
 *
 * LINK_FORM_FIELDS: METHOD, PATH_INFO, QUERY, PROTOCOL, SCHEME, REMOTE_*, REMOTE_USER, REQUEST_ID and
 * CONTENT_LENGTH as in the other form; then PATH_RAW, SERVER_ADDR and SERVER_PORT (where the
 * connection came in), and each field in its order as FIELD: the name in small letters, then the
 * value, Host and Content-Length among them.
 */
#ifndef STEAD_LINK_LINK_ENV_H
#define STEAD_LINK_LINK_ENV_H

#include <stdint.h>

/* ENV(NAME, key) */
#define LINK_ENV_KEYS(ENV)                                                                         \
	ENV(METHOD, "REQUEST_METHOD")                                                              \
	ENV(SCRIPT_NAME, "SCRIPT_NAME")                                                            \
	ENV(PATH_INFO, "PATH_INFO")                                                                \
	ENV(QUERY, "QUERY_STRING")                                                                 \
	ENV(CONTENT_TYPE, "CONTENT_TYPE")                                                          \
	ENV(CONTENT_LENGTH, "CONTENT_LENGTH")                                                      \
	ENV(SERVER_NAME, "SERVER_NAME")                                                            \
	ENV(SERVER_PORT, "SERVER_PORT")                                                            \
	ENV(PROTOCOL, "SERVER_PROTOCOL")                                                           \
	ENV(REMOTE_ADDR, "REMOTE_ADDR")                                                            \
	ENV(REMOTE_PORT, "REMOTE_PORT")                                                            \
	ENV(URI, "REQUEST_URI")                                                                    \
	ENV(SCHEME, "wsgi.url_scheme")                                                             \
	ENV(REQUEST_ID, "stead.request_id")                                                        \
	ENV(REMOTE_USER, "REMOTE_USER")

enum link_env {
	ENV_HTTP = 0,
#define ENV(NAME, key) ENV_##NAME,
	LINK_ENV_KEYS(ENV)
#undef ENV
		ENV_END,
	ENV_FIELD = 64,
	ENV_PATH_RAW, /* before decoding, without the query */
	ENV_SERVER_ADDR,
	ENV_VAR, /* as ENV_HTTP, another key: the whole of it is the name */
};

struct link_env_entry {
	uint16_t name_len;
	uint8_t code; /* enum link_env */
	uint8_t pad;
	uint32_t value_len;
};

#endif
