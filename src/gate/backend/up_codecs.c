/*
 * up_codecs.c: backends' protocols and the owners of calls, by number. Constant, so that no code pointer
 * lies in a call's memory.
 */
#include "forward_auth.h"
#include "to_proxy.h"
#include "up.h"

const struct up_codec *const up_codecs[UP_CODECS] = {
	[SNAP_PROTO_HTTP] = &up_http_codec,
	[SNAP_PROTO_FASTCGI] = &up_fastcgi_codec,
	[SNAP_PROTO_UWSGI] = &up_uwsgi_codec,
};

const struct up_owner_ops *const up_owners[UP_OWNER_END] = {
	[UP_OWNER_PROXY] = &to_proxy_owner,
	[UP_OWNER_AUTH] = &forward_auth_owner,
	[UP_OWNER_PROBE] = &up_probe_owner,
};
