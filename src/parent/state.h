/*
 * state.h: the parent's state as bytes: what a new version, or a new parent after a kill, goes on with.
 *
 *   head, then records: {type, bytes} and so many bytes, padded to 8
 *
 * A record is a struct of fixed-width fields, to which later versions only append: a shorter one is filled up with
 * zeros, what is longer is not looked at, and an unknown type is skipped. Descriptors stand in records FD, in the
 * order in which they are numbered from 1 on; everybody else names that number, 0 is none. Each has a name that says
 * what it is and whose, so that it is found again in systemd's store, and the number that it has in the process
 * that wrote, which an exec keeps.
 *
 * Saving reads; loading fills a struct parent that has nothing yet and touches neither loop nor descriptors, so what
 * cannot be read changes nothing. What follows from it is adopt.c.
 */
#ifndef STEAD_PARENT_STATE_H
#define STEAD_PARENT_STATE_H

#include "parent.h"

#define STATE_MAGIC 0x3154536461657453ull /* "SteadST1" */

enum {
	STATE_VERSION = 1,
	STATE_MIN_READER = 1, /* the oldest version that may go on with it */
	STATE_BYTES_MAX = 128 * 1024 * 1024,
	STATE_FDS_MAX = 65536,
	STATE_NAME_MAX = 40,
	STATE_BUILD_MAX = 40,
};

struct state_head {
	uint64_t magic;
	uint32_t version, min_reader;
	uint64_t bytes;    /* of all records */
	uint64_t checksum; /* … of them */
	char build[STATE_BUILD_MAX];
};
struct state_rec {
	uint32_t type; /* enum state_type */
	uint32_t bytes;
};
enum state_type {
	STATE_FD = 1,
	STATE_PARENT, /* the first that is no FD */
	STATE_SNAP,
	STATE_SNAP_FD,
	STATE_VAULT,
	STATE_PAGE,
	STATE_LISTENER,
	STATE_SPEC, /* behind it: its bytes; numbered from 1 on */
	STATE_SET,
	STATE_SLOT, /* of the set before it, or of a core role */
	STATE_RUN,  /* of the slot before it */
	STATE_ONESHOT,
	STATE_LATE,
	STATE_END, /* nothing was cut off */
	STATE_GIVEN, /* of socket activation (inherit.c); an exec alone hands it on */
};

struct saved_fd {
	char name[STATE_NAME_MAX];
	int32_t number;
	uint32_t pad;
};
struct saved_parent {
	uint64_t generation;
	uint32_t seed, gates, gates_wanted, drain_max_ms;
	uint8_t ctl_first, stop_now, stop_step, ready, pad[4]; /* ready: the manager was told so */
	uint64_t stop_ms, files_soft, files_hard;
	uint32_t store_number, pad2;
	uint32_t lock, limits, vault, keys;
	char cgroup_name[32];
	char instance[INSTANCE_MAX];
	uint64_t upgrade_id; /* what ctl waits for; 0: nothing */
	uint64_t upgrade_ms; /* when that began */
	uint32_t gates_view, pad3; /* the namespace that holds what is published */
};
/* STATE_SNAP_FD, STATE_GIVEN. */
struct saved_snap_fd {
	uint32_t fd, pad;
};
enum saved_page_kind { SAVED_RING = 1, SAVED_COUNTERS, SAVED_LOG_PAGE };
struct saved_page {
	uint32_t kind, index; /* enum saved_page_kind */
	uint32_t fd, wake;
	uint64_t generation;
};
struct saved_listener {
	uint32_t number, kind, fd, pad;
	char address[64];
};
struct saved_set {
	uint32_t role, app, dropped, count, spec, soon;
	char name[64];
};
struct saved_slot {
	uint32_t role, index;
	uint8_t wanted, at_once, stale, current, tired, pad[3];
	uint32_t restarts, backoff_ms, wait_ms;
	int32_t status;
	uint32_t unready, spawn_err;
	char spawn_step[32];
	uint32_t oom_kills, dumped;
	uint64_t limit_ms;
	uint32_t limit_n, at; /* at: a gate's place, plus one; 0: its index is */
};
struct saved_run {
	uint32_t which; /* of the slot's two */
	int32_t pid, last_pid;
	uint32_t spec;
	uint32_t pidfd, cgroup, chan, down, stream[2], listen_fd, notify;
	uint8_t phase, wants_kill, greeted, tried, listen, unsent, foreign, pad;
	uint32_t port;
	uint32_t group; /* whose limits hold it: the app's number plus one; 0: nobody's */
	uint64_t generation, timer_ms, drain_gates[2], started_ms, up_ms, since_wall_us;
	uint64_t life_ms, requests_max, requests;
	/* of a unit */
	int32_t hook_pid, hook_status, status;
	uint32_t hook_pidfd, hook_cgroup, hook_next;
	uint64_t hook_generation, watchdog_at_ms, runtime_at_ms, reload_at_ms;
	uint8_t hook_ignored, refreshed, spawn_failed, main_ended, final_sent, asked, result, hook_foreign;
	uint32_t reloads;
	uint8_t reload_waits, reload_said, drain_told, nicer;
	uint64_t drain_end_ms, tunnel_end_ms;
	uint32_t conns, tunnels; /* a gate's that drains */
};
struct saved_oneshot {
	int32_t pid;
	uint32_t role, pidfd, cgroup;
	uint64_t generation, id, timer_ms;
	uint32_t foreign, group; /* as in saved_run */
};
struct saved_late {
	uint32_t fd, app, kind, slot, which, pad;
	uint64_t generation;
	int32_t pid;
	uint32_t pad2;
	char name[64];
};

struct state_fd {
	char name[STATE_NAME_MAX];
	int fd;
	bool used; /* a load found a name for it */
};

/* ---- state_save.c ---- */
struct state {
	struct buf b; /* head and records; only when the save succeeded */
	struct state_fd *fds;
	unsigned fds_n;
	const struct spec **specs;
	unsigned specs_n;
};
/* The whole state of p and the descriptors that it names, which stay p's. 0, -ENOMEM, -EOVERFLOW: more than the
 * bounds above. state_done() in any case. */
int state_save(struct parent *p, struct state *ret);
void state_done(struct state *s);

/* ---- state_load.c ---- */
/* Fill p, on which parent_init() was called and nothing else. have: the descriptors that there are, by name; NULL:
 * each has the number that the state says. -EBADMSG: damaged, or not a state; -EPROTONOSUPPORT: made by a version
 * that this one must not go on with; -ENOMEM. After an error p is to be thrown away (state_drop()). Descriptors that
 * were found are p's, others are -1. */
int state_load(struct parent *p, const void *bytes, size_t n, struct state_fd *have, unsigned have_n);
/* The names of all descriptors of a state that was loaded; *ret is the caller's. -ENOMEM. */
int state_names(const void *bytes, size_t n, struct state_fd **ret, unsigned *ret_n);
/* Free what a load made; descriptors are not closed. */
void state_drop(struct parent *p);
/* ---- state_check.c ---- */
/* stead-parent --check-state FD: could this version go on with it? The exit code; says why not on stderr. Does nothing. */
int state_check(int fd);
/* The bytes of a state's memory file, mapped for reading. -errno. */
int state_map(int fd, const void **ret_bytes, size_t *ret_n);

#endif
