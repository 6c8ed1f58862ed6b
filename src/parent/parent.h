/*
 * parent.h: everything of the parent in one page: its objects and what each of its files offers.
 *
 *   struct parent   the process itself
 *   struct slot     a place that shall be filled: gate 0, ctl, log, worker 2 of app 1, postgres
 *   struct run      one run of a program in a slot; two share a slot only during a replacement
 *   struct set      what ctl's PROC_SET asked for: one app process, N slots
 *   struct oneshot  a check, build, db or act that ctl asked for
 *   struct child    the part of a run or a one-shot that the kernel knows: pid, pidfd, cgroup
 *
 * The state of a run changes through the table in watch.c only. What reaches out of the
 * program (making a process, signalling it, sending to it, random numbers) goes through struct
 * parent_ops, so that the whole of watch, workers and stop runs in a simulation.
 *
 * The parent reads no byte from outside: its inputs are its arguments, messages of what it started
 * itself (checked against tbl/msgs.h), the kernel's notices, and as root /etc/passwd.
 */
#ifndef STEAD_PARENT_H
#define STEAD_PARENT_H

#include "allow.h"
#include "cgroup.h"
#include "child.h"
#include "disk.h"
#include "jail.h"
#include "lib/buf.h"
#include "lib/chan.h"
#include "lib/logring.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/sys.h"
#include "server.h"
#include "tbl/tbl.h"
#include <errno.h>
#include <limits.h>
#include <sys/types.h>

enum parent_op {
	OP_SIGNALS = OP_USER,
	OP_RUN_TIMER,
	OP_ONESHOT_TIMER,
	OP_LIFELINE,
	OP_SETTLE,
	OP_RECYCLE,
	OP_NOTIFY,
	OP_FOREIGN,
	OP_STORE_AGAIN,
	OP_UPGRADE_TIMER,
	OP_DISK,
	PARENT_OP_KINDS
};

/* As root: where backends put Unix sockets for the gates. */
#define BACKENDS_DIR "/run/stead/backends"

enum {
	AIDES = 4, /* roles of which one process helps every gate */
	GATES_MAX = 60, /* twice as many while others replace them: with parent and ctl they fit the rings of the log process */
	RING_PARENT = 0,
	RING_CTL = 1,
	RING_GATE = 2,
	SET_SLOTS_MAX = 256,
	SETS_MAX = 1024,
	LISTENERS_MAX = 256,
	ONESHOTS_MAX = 16,
	SNAP_FDS_MAX = 34,
	LATE_STREAMS_MAX = 64,

	CORE_START_MS = 5 * 1000, /* for gate, ctl and log to say READY */
	SERVICE_TRIES = 2,        /* of a program that never was ready, before what waits for it is let go */
	CTL_TRIES = 3,            /* of a ctl that never was ready, before the start has failed */
	CORE_STOP_MS = 3 * 1000,
	UNREADY_STOP_MS = 500, /* gate, ctl and log that were never ready */
	DRAIN_MS = 30 * 1000, /* a replaced worker's running requests */
	STOP_DRAIN_MS = 5 * 1000,
	DRAIN_MAX_MS = 7 * 86400 * 1000, /* the most that DrainMaxSec= can be */
	STOP_TWICE_MS = 300,  /* signals so close together are one */
	STUCK_GRACE_MS = 500, /* between the request for stacks and the kill */
	BACKOFF_FIRST_MS = 100,
	BACKOFF_MAX_MS = 60 * 1000,
	BACKOFF_READY_MAX_MS = 400, /* of one that said that it was ready: it can serve */
	UP_STEADY_MS = 10 * 1000, /* after so long the next death is again a first one */
	ONESHOT_DEADLINE_MS = 120 * 1000,
	RECYCLE_TICK_MS = 1000,    /* how often ages and memory are looked at */
	RECYCLE_YOUNG_MS = 5 * 1000, /* memory of one so young is no reason: its successor's would be the same */

	SPAWN_ENV_BASE = 3,
	PORT_FIRST = 20000, /* of programs that listen by themselves: below what the kernel gives to */
	PORTS = 10000,      /* connections that go out (ip_local_port_range(7)) */
	SPAWN_STEP_MAX = 28,
	INSTANCE_MAX = 40,

	UID_APP_MIN = 50000,
	UID_APP_MAX = 59999,

	EXIT_PERMIT = 5,
	EXIT_BUSY = 7,
};

struct parent;

/* ---- hold.c: in the child, before its jail: into the cgroups that clone3(2) could not put it in;
 * limits ---- */
int hold_enter(const struct spawn *ask);
int hold_limits(const struct spawn *ask);

#include "spawn.h"
#include "spec.h"

/* ---- a slot and its runs ---- */
struct slot;
struct run {
	struct child child;
	struct slot *slot;
	uint8_t phase;   /* enum proc_phase */
	bool wants_kill; /* stacks were asked for, or it is to die: it ends as one that was killed */
	bool greeted;    /* core: HELLO came, START went */
	uint64_t generation;
	struct timer timer;
	struct chan chan;     /* core only */
	int down_fd;          /* worker: the parent's end of its one-way channel, or -1 */
	int stream[2];        /* kept read ends of its stdout and stderr, or -1 */
	uint64_t drain_gates[2]; /* gates that have not said WORKER_IDLE yet, a bit for each place */
	struct spec *spec;
	/* service */
	int listen_fd;  /* the socket handed over, the same for every run of this place; or -1 */
	int notify_fd;  /* where it says READY=1; or -1 */
	uint16_t port;  /* of this run; 0: none */
	uint8_t listen; /* enum service_listen: where it answers; AUTO: not known yet */
	bool tried;     /* gates are to try whether it answers */
	struct place *place; /* where it is asked and what it is told, from its first command on; or NULL */
	struct child hook;   /* the command beside it that runs now */
	unsigned hook_next;  /* of spec->hooks: where the next one is looked for */
	int32_t hook_status; /* of the last one that ended */
	bool hook_ignored;   /* … whose failure is none */
	bool refreshed;      /* a new one takes its place: it gets RestartKillSignal= */
	bool spawn_failed, main_ended, final_sent;
	bool nicer; /* than it will be when it is ready: priority.c */
	bool asked; /* its end was asked for */
	uint8_t result; /* enum service_result, so far */
	int32_t status; /* what its end is judged by, as slot->status */
	uint32_t reloads;    /* as in PROC_STATE */
	bool reload_waits;   /* what it says itself ends its reload: RELOADING=1 is awaited … */
	bool reload_said;    /* … and has come: now READY=1 is */
	uint64_t watchdog_at_ms, runtime_at_ms, reload_at_ms; /* while UP, 0: none: when that time is over */
	pid_t last_pid; /* also after its death, for events */
	uint64_t started_ms;
	uint64_t up_ms;         /* when it became ready; 0: it never was */
	uint64_t since_wall_us; /* of this phase */
	uint64_t life_ms, requests_max, requests; /* its own limits, 0: none; what gates told */
	uint32_t conns, tunnels; /* a gate's that drains: what it still has */
	uint64_t drain_end_ms, tunnel_end_ms; /* while DRAINING: of requests, and of all */
	uint8_t drain_told; /* … a bit for each enum drain_stage that gates were told */
	uint64_t due_ms; /* between state_load() and adopt.c only: when its timer is due, 0: never */
	int chan_fd;     /* the same; and whether messages to it were lost with the parent before */
	bool unsent;
};

struct slot {
	struct slot *next; /* within its set */
	struct parent *parent;
	struct set *set; /* NULL for gate, ctl, log */
	uint8_t role;    /* enum proc */
	bool wanted;
	bool at_once;    /* the next start does not wait: the death was asked for */
	bool stale;      /* to be replaced by a fresh generation */
	bool roll;       /* core: the same, in its turn (roll.c) */
	uint8_t current; /* which of run[] is the newest generation */
	uint8_t tired;   /* enum recycle_why of that one */
	uint32_t index;
	uint32_t at; /* a gate's: where it stands in p->gate[] */
	struct run run[2];
	uint32_t restarts;
	uint32_t backoff_ms; /* how long the next death waits, before jitter; 0: it is a first one */
	uint32_t wait_ms;   /* of the present backoff, with jitter */
	int32_t status;     /* of the last death */
	bool dumped;        /* … with a core */
	uint32_t limit_n;   /* starts since limit_ms, for StartLimitBurst= */
	uint64_t limit_ms;
	uint32_t unready;   /* starts in a row that never became ready */
	uint32_t oom_kills; /* of its processes, since the last deliberate start */
	uint32_t spawn_err; /* of the last start, when no program came of it: errno and step */
	char spawn_step[SPAWN_STEP_MAX];
};

struct set {
	struct set *next;
	uint32_t app;
	uint8_t role;
	bool dropped, soon; /* soon: whose tunnels end with their requests */
	uint32_t count; /* of the slots that are wanted */
	struct spec *spec;
	struct slot *slots;
	char name[64];
};

static inline struct run *slot_run(struct slot *s)
{
	return &s->run[s->current];
}
static inline struct run *slot_other(struct slot *s)
{
	return &s->run[s->current ^ 1];
}
static inline bool run_alive(const struct run *r)
{
	return r->child.pid != 0;
}
/* Is anything of it there that has to end before it can start anew? */
static inline bool run_busy(const struct run *r)
{
	return run_alive(r) || r->hook.pid != 0 || r->phase == PHASE_EXITED;
}
/* Of a gate: no other that runs has it, also while one replaces another. */
static inline unsigned gate_place(const struct run *r)
{
	return 2 * r->slot->at + (r == &r->slot->run[1]);
}
/* Does it run and take part in serving? */
static inline bool run_serves(const struct run *r)
{
	return r->phase == PHASE_STARTING || r->phase == PHASE_UP;
}

/* ---- watch.c: the state × event table; watch_acts.c and unit.c have its actions ---- */
enum watch_event {
	WATCH_START,  /* it is wanted */
	WATCH_READY,  /* it said so, or its link did */
	WATCH_DIED,   /* it was reaped; slot->status is set */
	WATCH_RETIRE, /* a newer generation is up */
	WATCH_IDLE,   /* every gate is done with it */
	WATCH_BAD,    /* it broke a protocol: kill, then as after a death */
	WATCH_STUCK,  /* a request of it passed its deadline */
	WATCH_STOP,   /* it is not wanted any more */
	WATCH_TIMER,  /* this phase's time is over */
	WATCH_HOOK,   /* the command beside it ended; hook_status is set */
	WATCH_RELOAD, /* it shall read its configuration again */
	WATCH_LEFT,   /* it ended, slot->status is set, and what it left behind is asked to end */
	WATCH_EVENTS
};
void watch_event(struct run *r, enum watch_event e);
void slot_init(struct slot *s, struct parent *p, enum proc role, uint32_t index, struct set *set);
/* Start it when nothing of it runs; end a backoff's wait. */
void slot_want(struct slot *s);
void slot_unwant(struct slot *s);
void run_hurry(struct run *r, uint32_t drain_ms, uint32_t tunnel_ms); /* a gate that ends: no later than that */
/* Start a new generation; new before old when the role allows it. */
void slot_replace(struct slot *s, bool rolling);
/* Wanted again while it drains: the other run starts. */
void slot_succeed(struct slot *s);
/* drain.c: its place is wanted: tunnels take leave now, and end in 5 s; requests have the time that they had. */
void drain_hurry(struct run *r);
/* It drains, and has nothing but tunnels by now. */
bool drain_is_over(const struct run *r);
/* A stuck worker: its successor starts now, it gets its grace. */
void slot_stuck(struct run *r);
bool slot_down(const struct slot *s);
/* A start failed at that step before any program ran; told to ctl with the phase that follows. */
void slot_spawn_failed(struct slot *s, int err, const char *step);
op_done watch_on_timer;

/* ---- what the simulation replaces ---- */
struct parent_ops {
	/* Make the process of this run; fills child. 0 or -errno. */
	int (*spawn)(struct parent *p, struct run *r);
	/* To its process; `all`: to all of its processes, as far as its spec says so. */
	void (*signal)(struct parent *p, struct run *r, int sig, bool all);
	/* Make the process of a command beside it; fills r->hook. 0 or -errno. And a signal to that. */
	int (*hook_spawn)(struct parent *p, struct run *r, const struct hook *h);
	void (*hook_signal)(struct parent *p, struct run *r, int sig);
	/* Its process is another parent's work: watch it, and speak to it over the channel that was taken over. */
	void (*adopt)(struct parent *p, struct run *r);
	/* The run's process is gone: close what the parent held of it. */
	void (*release)(struct parent *p, struct run *r);
	/* To a core process; false: it is not there or does not listen. */
	bool (*send)(struct parent *p, struct run *to, uint16_t type, uint64_t id, const void *a,
		size_t a_len, const void *b, size_t b_len, const int *fds, unsigned nfds);
	/* A link socket's end to a worker, over its one-way channel; -EAGAIN when it does not read.
	 */
	int (*link)(struct parent *p, struct run *worker, const struct msg_worker *m, int fd);
	uint32_t (*random)(struct parent *p);
	/* Its resident memory in bytes; 0 when that cannot be told. */
	uint64_t (*rss)(struct parent *p, const struct run *r);
	/* Into the log: where each of its threads stands in the kernel. */
	void (*stacks)(struct parent *p, struct run *r);
	/* The last step of stopping: nothing may be left below us. */
	void (*sweep)(struct parent *p);
	/* One line of the event log; the text forms are made only when it is kept. */
	void (*say)(struct parent *p, const void *event, size_t n);
};
extern const struct parent_ops parent_real_ops;

struct listener {
	struct listener *next;
	uint32_t number;
	uint32_t kind; /* enum listener_kind */
	int fd;
	char address[64];
};

struct oneshot {
	struct child child;
	struct parent *parent;
	struct timer timer;
	uint8_t role;
	uint8_t why; /* the parent ended it: ESHUTDOWN, ETIMEDOUT; 0: it did not */
	uint64_t id; /* of ctl's ONESHOT */
	uint64_t due_ms; /* between state_load() and adopt.c */
};

/* Shared pages that outlive their reader. */
struct page {
	int fd, wake_fd; /* -1: none */
	uint64_t generation;
};

/* Output of an app process that died while no log process was there. */
struct late_stream {
	struct msg_stream m;
	int fd;
	char name[64];
};

enum stop_step {
	STOP_NOT = 0, STOP_GATES, STOP_APPS, STOP_POSTGRES, STOP_CTL, STOP_LOG, STOP_DONE
};

struct parent {
	const struct parent_ops *ops;
	void *sim; /* the simulation's own */
	struct loop *loop;
	char *state_dir, *run_dir, *roles_dir;
	char *places_dir; /* where sockets of programs lie; NULL: nowhere */
	char *env[SPAWN_ENV_BASE + 1]; /* NULL-terminated */
	int state_fd, log_dir_fd, keys_dir_fd, ca_dir_fd, lock_fd, cgroup_fd;
	char cgroup_name[32];
	int role_mounts[PROC_END]; /* the mount namespace of each role's processes; 0: not made yet */
	struct cgroups cgroups;
	unsigned cgroups_left; /* folders that were still busy when their process was buried */
	unsigned gates;        /* how many slots there are; they only grow */
	unsigned gates_wanted; /* one of each index below that shall serve */
	uint32_t drain_max_ms; /* what others have for their tunnels */
	bool root, detached;
	bool renices; /* it may make a process less nice again */
	bool ctl_first; /* no ctl was ever ready here: one that cannot start ends the whole */
	bool settle_due;
	struct server server;
	uint64_t files_soft, files_hard; /* RLIMIT_NOFILE as found */
	struct account account[PROC_END];
	struct account postgres;
	struct allow allow; /* as whom apps may run besides */
	uint64_t generation; /* the last one given */
	uint32_t seed;       /* of jitter */

	struct slot *ctl, *log, *gate[GATES_MAX];
	struct slot *aide[AIDES]; /* by aide_roles: started when a gate or ctl asks */
	struct set *sets;
	unsigned sets_n;
	struct child *children;
	struct oneshot oneshot[ONESHOTS_MAX];

	struct listener *listeners;
	unsigned listeners_n;
	int snap_fd[SNAP_FDS_MAX];
	unsigned snap_n;
	struct msg_snap snap;
	struct page ring[LOGRING_SLOTS]; /* log rings by slot */
	struct page counters[GATES_MAX];
	struct page log_page;
	int limits_fd; /* what the gates count together; -1: each counts for itself */
	int vault_fd;  /* sealed private keys; -1: there is none */
	struct msg_vault vault;
	int keys_fd; /* what the last keys process wants its successor to have; or -1 */
	struct late_stream late[LATE_STREAMS_MAX];
	unsigned late_n;

	struct logring_writer own_ring;
	struct op settle;
	struct disk disk;
	struct timer recycle; /* runs while some set has a limit that time brings about */
	struct lfd signals, lifeline;
	struct op signals_op, lifeline_op;
	uint8_t stop_step; /* enum stop_step */
	bool stop_now;     /* the second signal: no more patience */
	uint64_t stop_ms;  /* when stopping began */
	int exit_code;

	/* over upgrades and kills */
	char *const *argv;           /* as this program was started */
	char instance[INSTANCE_MAX]; /* names this stead from its start to its stop */
	char saved_by[INSTANCE_MAX]; /* the version that made the state that was taken over; "": none was */
	struct store *store;     /* store.c; NULL: nobody would hand anything back */
	struct upgrade *upgrade; /* upgrade.c: the version that is being tried; NULL: none is */
	uint64_t upgrade_id, upgrade_ms; /* of ctl's question, as long as core processes are replaced; 0: nobody asked */
	bool rolling, killed;        /* killed: the parent before was, and left this state in the store */
	uint64_t roll_after;         /* a core process of a later generation is of this version */
	uint32_t store_number, adopted;
};

/* ---- parent.c ---- */
/* Everything but what reaches outside; for the entry and for the simulation. p->loop is set before.
 */
void parent_init(struct parent *p, const struct parent_ops *ops);
/* Put what has to happen soon at the end of this turn: dead slots, rolling replacements, stop
 * steps. */
void parent_settle_soon(struct parent *p);
op_done parent_on_settle;
/* Free what is left after the loop ended; every process is gone by then. */
void parent_done(struct parent *p);
/* What follows a process's death beside its own restart; the real op calls it too. */
void parent_release(struct parent *p, struct run *r);
extern op_done *const parent_op_table[PARENT_OP_KINDS];

/* ---- core.c: gate, ctl and log, their channels ---- */
int core_new(struct parent *p);
void core_free(struct parent *p);
/* A gate, or ctl, needs that role, or ctl no more. -EINVAL: it is no aide's. */
int core_want(struct parent *p, const struct run *from, struct msg *m);
/* The i-th aide that listens, or NULL. */
struct run *core_aide(struct parent *p, unsigned i);
int core_spawn(struct parent *p, struct run *r);
/* The same with the executables of that folder and other ends of its channel. -errno and the step that failed. */
int core_start(struct parent *p, struct run *r, const char *roles_dir, const struct chan_ops *ops,
	char ret_step[static SPAWN_STEP_MAX]);
bool core_send(struct parent *p, struct run *to, uint16_t type, uint64_t id, const void *a,
	size_t a_len, const void *b, size_t b_len, const int *fds, unsigned nfds);
extern const struct chan_ops core_chan_ops;

/* The process of the private keys; NULL: nobody needed it yet, or it does not listen. */
struct run *core_keys(struct parent *p);
/* The same of any aide's role. */
struct run *core_aide_of(struct parent *p, enum proc role);
/* When it can be spoken to, else NULL. */
struct run *core_ctl(struct parent *p);
struct run *core_log(struct parent *p);
/* To ctl, when it listens. */
void tell_ctl(struct parent *p, uint16_t type, uint64_t id, const void *a, size_t a_len,
	const void *b, size_t b_len, const int *fds, unsigned nfds);
void tell_gates(struct parent *p, uint16_t type, const void *a, size_t a_len, const void *b,
	size_t b_len, const int *fds, unsigned nfds);
void tell_state(struct parent *p, struct run *r);

/* ---- hear.c: messages from core processes ---- */
void hear_message(struct parent *p, struct run *from, struct msg *m);
/* The first message on a channel. 0 or -EPROTO. */
int hear_hello(struct parent *p, struct run *from, struct msg *m);

/* ---- roll.c: core processes replaced by those of this version, one after the other ---- */
void roll_start(struct parent *p, bool all);
void roll_settle(struct parent *p);

/* ---- wire.c: what a core process that just said HELLO is given ---- */
void wire_greet(struct parent *p, struct run *r);
/* START alone. */
void wire_start(struct parent *p, struct run *r, bool trial);

/* ---- keep.c ---- */
void keep_init(struct parent *p);
/* Make the table that all gates count in; without memory each counts for itself. */
void keep_limits(struct parent *p);
void keep_snap(struct parent *p, struct msg *m);
void keep_vault(struct parent *p, struct msg *m);
void keep_keys(struct parent *p, struct msg *m);
void keep_give_keys(struct parent *p, struct run *keys);
/* A page that `from` sent; -EPROTO when it may not have one of that kind. */
int keep_page(struct parent *p, struct run *from, struct msg *m);
void keep_give_gate(struct parent *p, struct run *gate);
void keep_give_snap(struct parent *p, struct run *gate);
/* The parent's own ring is a new one: to the log, when it is there, and the log's page to the ring. */
void keep_own_ring(struct parent *p);
void keep_give_ctl(struct parent *p, struct run *ctl);
void keep_give_log(struct parent *p, struct run *log);
/* The log's page to one writer of a ring. */
void keep_give_writer(struct parent *p, struct run *writer);
void keep_done(struct parent *p);
/* The read ends of the output of a command beside a run, to the log or kept for it; taken in any case. */
void keep_give_pair(struct parent *p, const struct run *r, int fds[2]);
/* The read ends of an app process's output, to the log; once it died: keep_end_streams(). */
void keep_give_streams(struct parent *p, struct run *r);
void keep_end_streams(struct parent *p, struct run *r);

/* ---- listen.c ---- */
void listen_bind(struct parent *p, struct msg *m);
void listen_unbind(struct parent *p, struct msg *m);
void listen_give_gate(struct parent *p, struct run *gate);
void listen_give_ctl(struct parent *p);
void listen_done(struct parent *p);
/* "ADDR:PORT" or "[ADDR]:PORT", numbers only. -EINVAL. */
int listen_parse(const char *text, struct sockaddr_storage *ret_addr, socklen_t *ret_len);

/* ---- sets.c: PROC_SET and its kin ---- */
void sets_heard(struct parent *p, struct msg *m);
/* A gate has a request for an app that has no process. */
void sets_wake(struct parent *p, uint32_t app);
/* Roll what is stale, bury what is down. */
void sets_settle(struct parent *p);
void sets_unwant(struct parent *p, bool postgres);
bool sets_down(struct parent *p, bool postgres);
void sets_done(struct parent *p);
struct set *sets_find(struct parent *p, uint32_t role, uint32_t app);

/* ---- environ.c: what a process of an app finds in its environment ---- */
/* The declared one, what of the base, of PassEnvironment= and of its place it does not name, and `more` (NULL: none);
 * without UnsetEnvironment=. NULL-terminated, free() it; NULL: no memory. */
const char **app_environment(const struct parent *p, const struct run *r, char *const *more);

/* ---- hooks.c: the commands beside a program ---- */
int hook_spawn(struct parent *p, struct run *r, const struct hook *h);
void hook_signal(struct parent *p, struct run *r, int sig);

/* ---- workers.c: app processes and their links ---- */
int app_spawn(struct parent *p, struct run *r);
/* Everything of the spec but its program: who it is, where and with what. */
void app_ask(struct spawn *ask, struct parent *p, const struct spec *spec);
/* What it sees of the machine, into ask. -errno; the failed step is in ask->failed. */
int app_view(struct parent *p, struct spec *spec, struct spawn *ask);
/* The one whose (app, slot, generation) a gate named, or NULL when it is gone. */
struct run *workers_find(struct parent *p, const struct msg_worker *m);
void workers_link_all(struct parent *p, struct run *gate);
void workers_link_new(struct parent *p, struct run *worker);
void workers_tell_gone(struct parent *p, struct run *worker);
/* Ask every gate to let go of it. False: no gate is there to be asked. */
bool workers_drain(struct parent *p, struct run *worker);
bool workers_tell_drain(struct parent *p, struct run *gate, const struct run *worker, enum drain_stage stage);
void workers_heard(struct parent *p, struct run *gate, struct msg *m);
/* A gate died: nobody waits for its WORKER_IDLE any more. */
void workers_gate_gone(struct parent *p, unsigned gate);
int workers_send_link(struct parent *p, struct run *worker, const struct msg_worker *m, int fd);
/* That gate is done with this run of a worker or a program. */
void run_gate_idle(struct run *r, unsigned gate);

/* ---- services.c: programs of an app that are not on the link: what gates and log know of them ----
 *
 * A set of role SERVICE is one program: (role, app) names it, so each program of an app needs a number of its own;
 * the app's main one has the app's. With `listen` NONE no gate hears of it. A run is STARTING until spec->set.ready
 * holds; then it serves, and the one before it in its slot drains: gates finish what it has, then it gets its signal.
 */
/* It was spawned: who hears its notifications. */
void services_begin(struct parent *p, struct run *r);
/* Gates are told to try it, if its spec says so. True: it is ready without that. */
bool services_try(struct parent *p, struct run *r);
void services_up(struct parent *p, struct run *r);
/* Ask every gate to let go of it. False: nobody has it, or no gate is there to be asked. */
bool services_drain(struct parent *p, struct run *r);
bool services_tell_drain(struct parent *p, struct run *gate, const struct run *r, enum drain_stage stage);
void services_gone(struct parent *p, struct run *r);
void services_give_gate(struct parent *p, struct run *gate);
void services_give_log(struct parent *p, struct run *log);
/* SERVICE_UP, SERVICE_IDLE; SAID; SAID_MORE. */
void services_heard(struct parent *p, struct run *gate, struct msg *m);
void services_said(struct parent *p, struct msg *m);
void services_said_more(struct parent *p, struct msg *m);

/* ---- recycle.c: processes that have lived long enough ---- */
enum recycle_why { RECYCLE_NOT = 0, RECYCLE_REQUESTS, RECYCLE_LIFETIME, RECYCLE_RSS };
/* A new generation starts: its own limits, with jitter, from the spec of its set. */
void recycle_start(struct run *r);
/* A set may have limits that time brings about. */
void recycle_arm(struct parent *p);
/* WORKER_RAN. */
void recycle_ran(struct run *r, uint32_t requests);
/* After how many requests a gate shall say so; 0: never. */
uint32_t recycle_told_every(const struct run *r);
/* The end of a turn: mark the next one that is tired as stale, when nobody else of its set is being replaced. */
void recycle_settle(struct set *set);
uint64_t recycle_rss(struct parent *p, const struct run *r);
op_done recycle_on_tick;

/* ---- stack.c ---- */
void stack_say(struct parent *p, struct run *r);

/* ---- oneshot.c ---- */
void oneshot_start(struct parent *p, struct msg *m);
void oneshot_kill(struct parent *p, struct msg *m);
void oneshot_kill_all(struct parent *p);
void oneshot_ended(struct parent *p, struct oneshot *o, int status);
bool oneshot_none(const struct parent *p);
op_done oneshot_on_timer;

/* ---- stop.c ---- */
int stop_init(struct parent *p, int lifeline_fd);
void stop_begin(struct parent *p, const char *why);
/* No more patience: what waits for somebody's good will is over now. */
void stop_hurry(struct parent *p);
/* As far as what has ended allows. */
void stop_settle(struct parent *p);
/* The first ctl does not come up: say so on stderr, which the command that started us shows, and end. */
void stop_without_ctl(struct parent *p, const char *why);
op_done stop_on_signals, stop_on_lifeline;

#include "gates.h"
#include "say.h"

#endif
