/*
 * test_refuse.c: one broken rule at a time: the gate ends that worker's link, and a worker that
 * gate's.
 *
 * Each row writes frames as a worker would. The rows that are right show that the others are
 * refused for their fault alone.
 */
#include "lib/must.h"
#include "link/link_env.h"
#include "peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* app_priv.h */
long app_env_encode(const struct req *r, enum link_form form, char *p, size_t cap);

struct rig {
	struct sim *sim;
	struct loop *loop;
	struct gate g;
	struct peer p;
	struct msg_worker m;
	struct fake_req *req;
};

static void rig_up_any(struct rig *r, const char *method, bool async, bool offers)
{
	struct sim_options o = {.seed = 3};
	int fds[2];

	memset(r, 0, sizeof(*r));
	must(sim_new(&r->sim, &o) == 0 &&
		loop_new_sim(&r->loop, r->sim, fake_ops, FAKE_KINDS) == 0);
	fake_gate_init(&r->g, r->loop);
	must(sim_seqpacket_pair(r->sim, fds) == 0);
	peer_init(&r->p, r->sim, fds[1]);
	r->p.async = async;
	r->m = (struct msg_worker){.app = FAKE_APP, .generation = 1};
	to_app_on_worker(r->g.t, &r->m, fds[0]);
	for (int i = 0; i < 10 && !r->g.ups; i++) {
		if (!r->p.up)
			peer_step(&r->p);
		loop_step(r->loop, 0);
	}
	must(r->g.ups == 1);
	/* Its one request is run, not given to another when the worker is lost. */
	r->req = fake_req_new(&r->g, method, "/", strcmp(method, "POST") ? 0 : -1);
	if (offers)
		fake_req_upgrade(r->req);
	fake_req_start(r->req);
	loop_step(r->loop, 0);
	must(link_begin(&r->p.e, 0, r->req->r.id));
}

static void rig_up(struct rig *r, const char *method)
{
	rig_up_any(r, method, false, false);
}

static void rig_up_async(struct rig *r, bool offers)
{
	rig_up_any(r, "GET", true, offers);
}

static void rig_done(struct rig *r)
{
	to_app_on_worker_gone(r->g.t, &r->m);
	if (!r->req->over)
		fake_req_abort(r->req);
	fake_req_free(r->req);
	loop_step(r->loop, 0);
	fake_gate_done(&r->g);
	peer_done(&r->p);
	loop_free(r->loop);
	sim_free(r->sim);
}

static void run(struct rig *r)
{
	link_publish(&r->p.e);
	(void)sim_write(r->sim, r->p.wake_wr, "", 1);
	for (int i = 0; i < 5; i++)
		loop_step(r->loop, 0);
}

struct frame {
	uint16_t type, flags;
	uint32_t arg;
	size_t n; /* bytes; of a head: behind it */
	int id;   /* added to the request's */
	uint16_t seat;
	const char *name, *value; /* of a head's field */
	uint16_t status;
	int nfields; /* added to the one that there is */
};
/* The rest of a head is right: 200, one field "X: v". */
#define HEAD(...)                                                                                  \
	{                                                                                          \
		.type = LINK_HEAD, __VA_ARGS__                                                     \
	}

static void put(struct rig *r, const struct frame *f)
{
	struct link_desc d = {.id = r->req->r.id + (uint64_t)f->id,
		.type = f->type,
		.flags = f->flags,
		.arg = f->arg,
		.seat = f->seat};
	size_t n = f->n;
	int err;
	char *p = link_room(&r->p.e, f->n + 256, &err);

	must(p != NULL);
	if (f->type == LINK_HEAD) {
		struct link_head h = {.status = f->status ? f->status : 200,
			.nfields = (uint16_t)(1 + f->nfields),
			.content_length = -1};
		const char *name_p = f->name ? f->name : "X", *value_p = f->value ? f->value : "v";
		uint16_t name = (uint16_t)strlen(name_p);
		uint32_t value = (uint32_t)strlen(value_p);
		size_t at = sizeof(h);

		memcpy(p, &h, sizeof(h));
		memcpy(p + at, &name, 2);
		memset(p + at + 2, 0, 2);
		memcpy(p + at + 4, &value, 4);
		memcpy(p + at + 8, name_p, name);
		memcpy(p + at + 8 + name, value_p, value);
		at += 8u + name + value;
		d.arg = f->arg ? f->arg : (uint32_t)at;
		memset(p + at, 'b', n);
		n += at;
	}
	link_put(&r->p.e, &d, n);
}

static void test_frames(void **state)
{
	static const struct {
		const char *about, *method;
		bool right;
		struct frame f[3];
	} rows[] = {
		{"a whole answer", "GET", true, {HEAD(.flags = LINK_END, .n = 5)}},
		{"an answer in pieces", "GET", true,
			{HEAD(.n = 5), {.type = LINK_BODY, .n = 5},
				{.type = LINK_BODY, .flags = LINK_END}}},
		{"a window full", "GET", true, {HEAD(.n = LINK_WINDOW)}},
		{"more than the window", "GET", false, {HEAD(.n = LINK_WINDOW + 1)}},
		{"another id", "GET", false, {HEAD(.flags = LINK_END, .id = 1)}},
		{"another seat", "GET", false, {HEAD(.flags = LINK_END, .seat = 1)}},
		{"two heads", "GET", false, {HEAD(.n = 1), HEAD(.n = 1)}},
		{"a head longer than its frame", "GET", false, {HEAD(.arg = 5000)}},
		{"an answer after the end", "GET", false, {HEAD(.flags = LINK_END), HEAD(.n = 1)}},
		{"a body without a head", "GET", false, {{.type = LINK_BODY, .n = 1}}},
		{"a status that is none", "GET", false, {HEAD(.status = 199)}},
		{"a status beyond", "GET", false, {HEAD(.status = 1000)}},
		{"more fields than there are", "GET", false, {HEAD(.nfields = 1)}},
		{"fewer fields than there are", "GET", false, {HEAD(.nfields = -1)}},
		{"a blank in a name", "GET", false, {HEAD(.name = "a b")}},
		{"an empty name", "GET", false, {HEAD(.name = "")}},
		{"a line's end in a value", "GET", false, {HEAD(.value = "a\r\nb: c")}},
		{"withdrawn, but not stopped", "GET", false,
			{{.type = LINK_WITHDRAWN, .flags = LINK_END}}},
		{"withdrawn, not as an end", "GET", false, {{.type = LINK_WITHDRAWN}}},
		{"failed, not as an end", "GET", false, {{.type = LINK_FAIL}}},
		{"a file, not as an end", "GET", false,
			{HEAD(.n = 1), {.type = LINK_FILE, .n = 24}}},
		{"a file that was never sent", "GET", false,
			{HEAD(.n = 1), {.type = LINK_FILE, .flags = LINK_END, .n = 24}}},
		{"credit that nobody used", "POST", false, {{.type = LINK_CREDIT, .arg = 1}}},
		{"credit as an end", "POST", false, {{.type = LINK_CREDIT, .flags = LINK_END}}},
		{"a type that is none", "GET", false, {{.type = 99}}},
		{"a type of the other side's", "GET", false, {{.type = LINK_REQ_BODY}}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rig r;

		rig_up(&r, rows[i].method);
		for (unsigned k = 0; k < 3 && rows[i].f[k].type; k++)
			put(&r, &rows[i].f[k]);
		run(&r);
		if ((r.g.bads == 0) != rows[i].right)
			print_message("%s\n", rows[i].about);
		assert_int_equal(r.g.bads, !rows[i].right);
		if (!rows[i].right)
			assert_int_equal(r.g.last_bad, CLOSE_APP_GARBAGE);
		rig_done(&r);
	}
}

/* Fields of the connection and those that the gate says itself do not get through. */
static void test_fields(void **state)
{
	static const char *const dropped[] = {"Connection", "keep-alive", "Transfer-Encoding",
		"Upgrade", "Content-Length", "TE", "Trailer", "Proxy-Connection"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dropped); i++) {
		struct frame f = HEAD(.flags = LINK_END, .n = 2);
		struct rig r;

		rig_up(&r, "GET");
		f.name = dropped[i];
		put(&r, &f);
		run(&r);
		assert_true(r.req->over);
		assert_string_equal(r.req->head, "");
		rig_done(&r);
	}
}

static bool has(const char *p, size_t n, const char *what)
{
	return memmem(p, n, what, strlen(what)) != NULL;
}

static void test_environ(void **state)
{
	static char p[65536];
	struct rig r;
	long n;

	(void)state;
	rig_up(&r, "POST");
	fake_req_field(r.req, "x-real-ip", "true");
	fake_req_field(r.req, "x_real_ip", "forged");
	fake_req_field(r.req, "proxy", "http://evil");
	fake_req_field(r.req, "cookie", "a=1");
	fake_req_field(r.req, "accept", "x");
	fake_req_field(r.req, "cookie", "b=2");
	fake_req_field(r.req, "accept", "y");
	fake_req_field(r.req, "content-type", "text/x");
	/* Longer than what is looked at in one go, and what stops that. */
	fake_req_field(r.req, "upgrade-insecure-requests", "upgraded");
	fake_req_field(r.req, "if-match", "eight");
	fake_req_field(r.req, "if-modified-since", "seventeen");
	fake_req_field(r.req, "x-version-2.0-of-it", "dotted");
	fake_req_field(r.req, "x-forwarded_for", "forged");
	fake_req_field(r.req, "x-forwarded-for_", "forged");
	n = app_env_encode(&r.req->r, LINK_FORM_CGI, p, sizeof(p));
	assert_true(n > 0);
	assert_true(has(p, (size_t)n, "HTTP_X_REAL_IPtrue"));
	assert_false(has(p, (size_t)n, "forged"));
	assert_false(has(p, (size_t)n, "evil"));
	assert_true(has(p, (size_t)n, "HTTP_COOKIEa=1; b=2"));
	assert_true(has(p, (size_t)n, "HTTP_ACCEPTx, y"));
	assert_false(has(p, (size_t)n, "HTTP_CONTENT_TYPE"));
	assert_true(has(p, (size_t)n, "HTTP_UPGRADE_INSECURE_REQUESTSupgraded"));
	assert_true(has(p, (size_t)n, "HTTP_IF_MATCHeight"));
	assert_true(has(p, (size_t)n, "HTTP_IF_MODIFIED_SINCEseventeen"));
	assert_true(has(p, (size_t)n, "HTTP_X_VERSION_2.0_OF_ITdotted"));
	assert_true(has(p, (size_t)n, "text/x"));
	/* Whatever the room, never a byte more. */
	for (size_t cap = 0; cap < (size_t)n; cap++) {
		memset(p, 0x11, sizeof(p));
		assert_true(app_env_encode(&r.req->r, LINK_FORM_CGI, p, cap) < 0);
		assert_int_equal(p[cap], 0x11);
	}
	/* As they came: each by itself, in order, the names as they were. */
	n = app_env_encode(&r.req->r, LINK_FORM_FIELDS, p, sizeof(p));
	assert_true(n > 0);
	assert_true(has(p, (size_t)n, "x-real-iptrue"));
	assert_false(has(p, (size_t)n, "forged"));
	assert_false(has(p, (size_t)n, "evil"));
	assert_true(has(p, (size_t)n, "cookiea=1"));
	assert_true(has(p, (size_t)n, "cookieb=2"));
	assert_true(has(p, (size_t)n, "content-typetext/x"));
	for (size_t cap = 0; cap < (size_t)n; cap++) {
		memset(p, 0x11, sizeof(p));
		assert_true(app_env_encode(&r.req->r, LINK_FORM_FIELDS, p, cap) < 0);
		assert_int_equal(p[cap], 0x11);
	}
	rig_done(&r);
}

static void test_tunnels(void **state)
{
	enum { FAR = LINK_SEATS };
	static const struct {
		const char *about;
		bool offered, right;
		struct frame f[3];
	} rows[] = {
		{"a tunnel", true, true, {HEAD(.status = 101, .flags = LINK_TUNNEL, .seat = FAR)}},
		{"bytes in it", true, true,
			{HEAD(.status = 101, .flags = LINK_TUNNEL, .seat = FAR),
				{.type = LINK_BODY, .n = 5, .seat = FAR},
				{.type = LINK_BODY, .flags = LINK_END, .seat = FAR}}},
		{"a window full", true, true,
			{HEAD(.status = 101, .flags = LINK_TUNNEL, .seat = FAR),
				{.type = LINK_BODY, .n = LINK_WINDOW_TUNNEL, .seat = FAR}}},
		{"more than the window", true, false,
			{HEAD(.status = 101, .flags = LINK_TUNNEL, .seat = FAR),
				{.type = LINK_BODY, .n = LINK_WINDOW_TUNNEL + 1, .seat = FAR}}},
		{"an answer to who offered", true, true,
			{HEAD(.status = 403, .flags = LINK_END, .seat = FAR)}},
		{"not offered", false, false, {HEAD(.status = 101, .flags = LINK_TUNNEL)}},
		{"101 and no tunnel", true, false, {HEAD(.status = 101, .seat = FAR)}},
		{"a tunnel of another status", true, false,
			{HEAD(.status = 200, .flags = LINK_TUNNEL, .seat = FAR)}},
		{"a tunnel that ends with its head", true, false,
			{HEAD(.status = 101, .flags = LINK_TUNNEL | LINK_END, .seat = FAR)}},
		{"a head with bytes behind it", true, false,
			{HEAD(.status = 101, .flags = LINK_TUNNEL, .seat = FAR, .n = 1)}},
		{"another head in a tunnel", true, false,
			{HEAD(.status = 101, .flags = LINK_TUNNEL, .seat = FAR),
				HEAD(.status = 101, .flags = LINK_TUNNEL, .seat = FAR)}},
		{"a file in a tunnel", true, false,
			{HEAD(.status = 101, .flags = LINK_TUNNEL, .seat = FAR),
				{.type = LINK_FILE, .flags = LINK_END, .n = 24, .seat = FAR}}},
		{"the flag on bytes", true, false,
			{HEAD(.status = 101, .flags = LINK_TUNNEL, .seat = FAR),
				{.type = LINK_BODY, .flags = LINK_TUNNEL, .n = 1, .seat = FAR}}},
		{"credit that nobody used", true, false,
			{HEAD(.status = 101, .flags = LINK_TUNNEL, .seat = FAR),
				{.type = LINK_CREDIT, .arg = 1, .seat = FAR}}},
		{"a far seat that is free", true, false,
			{HEAD(.status = 101, .flags = LINK_TUNNEL, .seat = FAR + 1)}},
		{"a far seat that was never made", true, false,
			{HEAD(.status = 101, .flags = LINK_TUNNEL, .seat = LINK_SEATS_ALL - 1)}},
		{"a frame of the other side's", true, false, {{.type = LINK_GONE, .seat = FAR}}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rig r;

		rig_up_async(&r, rows[i].offered);
		for (unsigned k = 0; k < 3 && rows[i].f[k].type; k++)
			put(&r, &rows[i].f[k]);
		run(&r);
		if ((r.g.bads == 0) != rows[i].right)
			printf("%s\n", rows[i].about);
		assert_int_equal(r.g.bads, rows[i].right ? 0 : 1);
		if (rows[i].right)
			assert_int_equal(r.req->over, (rows[i].f[0].flags | rows[i].f[2].flags) & LINK_END);
		rig_done(&r);
	}
}

/* The worker hears of a client that has gone, and its seat is free when it has said the end. */
static void test_tunnel_gone(void **state)
{
	struct frame accept = HEAD(.status = 101, .flags = LINK_TUNNEL, .seat = LINK_SEATS);
	struct frame end = {.type = LINK_BODY, .flags = LINK_END, .seat = LINK_SEATS};
	struct link_desc d;
	const char *bytes;
	bool gone = false;
	struct rig r;

	(void)state;
	rig_up_async(&r, true);
	put(&r, &accept);
	run(&r);
	assert_int_equal(r.req->tunnels, 1);
	assert_int_equal(r.g.budget_used, 0);
	to_app_on_worker_drain(r.g.t, &r.m);
	assert_int_equal(r.g.idles, 0);
	fake_req_abort(r.req);
	loop_step(r.loop, 0);
	while (link_peek(&r.p.e, &d, &bytes) == 1) {
		gone |= d.type == LINK_GONE && d.seat == LINK_SEATS && d.id == r.req->r.id;
		link_take(&r.p.e);
	}
	assert_true(gone);
	put(&r, &end);
	run(&r);
	assert_int_equal(r.g.bads, 0);
	assert_int_equal(r.g.idles, 1);
	rig_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_environ),
		cmocka_unit_test(test_tunnels),
		cmocka_unit_test(test_tunnel_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
