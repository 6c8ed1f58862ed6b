/*
 * fake_gate.h: the gate around the app handler, as small as tests need it: requests without a
 * protocol.
 *
 * Tests of the link run src/gate/app/to_app.c and app_*.c for real; routing, HTTP and snapshots are
 * played here. A fake client takes as many bytes as its `room` says.
 */
#ifndef STEAD_TEST_FAKE_GATE_H
#define STEAD_TEST_FAKE_GATE_H

#include "lib/buf.h"
#include "to_app.h"

enum { FAKE_OP_BASE = OP_USER, FAKE_KINDS = OP_USER + TO_APP_OPS, FAKE_APP = 7, OTHER_APP = 8 };

struct gate {
	struct loop *loop;
	struct to_app *t;
	struct arena_pool pool;
	struct counters_page counters;
	uint64_t budget_used;
	uint64_t next_id;
	unsigned ups, bads, idles, stucks;
	unsigned hung, deadlines; /* events */
	unsigned other_bads; /* of these, workers of the other app */
	enum close_id last_bad;
	struct snap_site site;
	struct snap_route route, other_route; /* to FAKE_APP, to OTHER_APP */
	unsigned live; /* requests begun and not freed */
};

struct fake_req {
	struct req r;
	struct gate *g;
	struct buf body; /* of the answer */
	char head[2048]; /* "name: value\n" … */
	int64_t length;
	size_t room; /* bytes that the client takes now; SIZE_MAX: all */
	size_t consumed;
	unsigned heads, ends, fails;
	enum close_id failed;
	bool over; /* answered whole, failed or reset */
	unsigned tunnels;
};

extern op_done *const fake_ops[FAKE_KINDS];
/* For to_app_on_snap(): OTHER_APP is the release that follows FAKE_APP, for both have the same name. */
extern const struct snap *const fake_snap_of_other;

void fake_gate_init(struct gate *g, struct loop *l);
void fake_gate_done(struct gate *g);
/* A request, not started. */
struct fake_req *fake_req_new(struct gate *g, const char *method, const char *path, int64_t length);
void fake_req_field(struct fake_req *f, const char *name, const char *value);
void fake_req_start(struct fake_req *f);
void fake_req_body(struct fake_req *f, const char *p, size_t n, bool end);
/* The client takes n more bytes. */
void fake_req_room(struct fake_req *f, size_t n);
/* The client goes away. */
void fake_req_abort(struct fake_req *f);
/* It offers to become a WebSocket. Before it is started. */
void fake_req_upgrade(struct fake_req *f);
/* Must be over. */
void fake_req_free(struct fake_req *f);

#endif
