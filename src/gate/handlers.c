/*
 * handlers.c: who answers, by number: the tables that requests are sent through. Read by main.c;
 * tests bring their own. Constant, so that no code pointer lies in a request's memory.
 */
#include "http1.h"
#include "http2.h"

#include "cache.h"
#include "errorpage.h"
#include "scrape.h"
#include "to_app.h"
#include "to_proxy.h"
#include "to_static.h"

#include "control.h"

const struct handler_ops *const req_handlers[HANDLER_END] = {
	[HANDLER_ERROR] = &errorpage_handler,
	[HANDLER_STATIC] = &to_static_handler,
	[HANDLER_APP] = &to_app_handler,
	[HANDLER_PROXY] = &to_proxy_handler,
	[HANDLER_SCRAPE] = &scrape_handler,
	[HANDLER_CACHE] = &cache_handler,
};

const struct stream_ops *const gate_protos[PROTO_END] = {
	[PROTO_HTTP1] = &http1_stream_ops,
	[PROTO_HTTP2] = &http2_stream_ops,
	[PROTO_CACHE] = &cache_stream_ops,
};
