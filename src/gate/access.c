/*
 * access.c: access records as JSON text in the log ring; the log process adds the time. Called by
 * req_done(). Owns nothing but the one wake-up of the reader, batched to one a turn. Bounded: what
 * of a target or a name is longer is cut, and said to be by "…".
 */
#include "access.h"

#include "gate.h"
#include "lib/buf.h"
#include "lib/must.h"

#include <string.h>

enum { RECORD_MAX = 4096, TARGET_MAX = 1024, NAME_MAX_BYTES = 128 };

struct out {
	char *p, *end;
};

static void add(struct out *o, const char *s, size_t n)
{
	n = min_of(n, (size_t)(o->end - o->p));
	memcpy(o->p, s, n);
	o->p += n;
}

#define ADD(o, literal) add(o, literal, sizeof(literal) - 1)

static void add_number(struct out *o, uint64_t v)
{
	char digits[20], *d = digits + sizeof(digits);

	do
		*--d = (char)('0' + v % 10);
	while (v /= 10);
	add(o, d, (size_t)(digits + sizeof(digits) - d));
}

static bool is_safe(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < 0x20 || (unsigned char)s[i] >= 0x7f || s[i] == '"' ||
			s[i] == '\\')
			return false;
	return true;
}

static void add_string(struct out *o, const char *s, size_t n, size_t max)
{
	bool cut = n > max;
	struct buf b;

	n = cut ? max : n;
	if (is_safe(s, n)) {
		ADD(o, "\"");
		add(o, s, n);
		if (cut)
			ADD(o, "\xe2\x80\xa6");
		ADD(o, "\"");
		return;
	}
	buf_fixed(&b, o->p, (size_t)(o->end - o->p));
	buf_put_json(&b, s, n);
	if (b.error)
		ADD(o, "\"\"");
	else
		o->p += b.len;
}

static void add_hex(struct out *o, uint64_t v)
{
	char digits[16];

	for (int i = 0; i < 16; i++)
		digits[i] = "0123456789abcdef"[v >> (60 - 4 * i) & 15];
	add(o, digits, 16);
}

static void add_ms(struct out *o, uint64_t us)
{
	add_number(o, us / 1000);
	ADD(o, ".");
	for (uint64_t part = us % 1000, unit = 100; unit; unit /= 10)
		add(o, &"0123456789"[part / unit % 10], 1);
}

void access_record(struct req *r)
{
	struct gate *g = r->gate;
	char text[RECORD_MAX] __attribute__((uninitialized));
	struct out o = {text, text + sizeof(text)};
	const struct snap_route *route = req_route(r);
	const char *site = "";
	size_t site_len = 0;

	if (!g->ring_ready || (route && route->access == SNAP_ACCESS_OFF))
		return;
	if (r->site)
		site = snap_str(r->snap, r->site->name, &site_len);
	ADD(&o, "{\"site\":");
	add_string(&o, site, site_len, NAME_MAX_BYTES);
	ADD(&o, ",\"client\":\"");
	add(&o, r->peer, strlen(r->peer));
	ADD(&o, "\",\"method\":");
	add_string(&o, r->method_str, r->method_len, NAME_MAX_BYTES);
	ADD(&o, ",\"target\":");
	add_string(&o, r->target, r->target_len, TARGET_MAX);
	ADD(&o, ",\"host\":");
	add_string(&o, r->host, r->host_len, NAME_MAX_BYTES);
	ADD(&o, ",\"status\":");
	add_number(&o, r->status);
	ADD(&o, ",\"bytes\":");
	add_number(&o, r->body_out);
	ADD(&o, ",\"ms\":");
	add_ms(&o, loop_now_us(g->loop) - r->start_us);
	ADD(&o, ",\"id\":\"");
	add_hex(&o, r->id);
	ADD(&o, "\",\"close\":\"");
	add(&o, close_rows[r->close].name, strlen(close_rows[r->close].name));
	ADD(&o, "\"}");
	logring_put(&g->ring, LOGREC_ACCESS, loop_wall_us(g->loop), text, (size_t)(o.p - text));
	loop_defer(g->loop, &g->access_flush);
}

void access_on_flush(struct loop *l, struct op *op, int res)
{
	struct gate *g = container_of(op, struct gate, access_flush);

	(void)l;
	(void)res;
	logring_flush(&g->ring);
}
