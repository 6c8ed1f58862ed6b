/*
 * sim_world.h: one life of a parent in the simulation: its made-up processes, and what must hold.
 */
#ifndef STEAD_TEST_SIM_WORLD_H
#define STEAD_TEST_SIM_WORLD_H

#include "lib/sim.h"
#include "parent.h"

enum {
	OP_FAKE = PARENT_OP_KINDS,
	OP_DRIVER,
	SIM_OP_KINDS,

	FAKES_MAX = 256,
	IDLES_MAX = 256,
	APPS = 3,
	STOP_MS_MAX = 60 * 1000,
	LIFE_MS_MAX = 10 * 60 * 1000,
};

/* A made-up process. One timer: the next thing that it does. */
struct fake {
	struct run *run; /* NULL: free */
	struct world *world;
	uint64_t generation;
	struct timer timer;
	uint64_t hello_ms, ready_ms, die_ms; /* 0: never, or done */
	bool deaf;                           /* ignores what asks it to end */
	bool hook;                           /* a command beside the run's program */
	bool killed;
	int status;
	uint64_t stuck_ms, grace_ms; /* said to be stuck; asked to end therefore */
	uint64_t term_ms;            /* asked to end, for whatever reason */
	bool bad; /* it broke its link besides */
};

/* A gate's answer that is under way. */
struct idle {
	uint16_t type; /* of the answer */
	union {
		struct msg_worker worker;
		struct msg_service service;
	} m;
	uint32_t gate;
	uint64_t at_ms; /* 0: free */
};

struct world {
	struct sim *sim;
	struct loop *loop;
	struct parent *p;
	struct fake fake[FAKES_MAX];
	struct idle idle[IDLES_MAX];
	struct timer driver;
	uint64_t stop_ms, hurry_ms;
	uint64_t generation_seen;
	int next_pid;
	unsigned moved, takeovers; /* processes, at the last of so many */
	unsigned alive, deaths, starts, swept, recycled, woken;
	uint32_t release; /* makes each PROC_SET differ */
	bool spawn_fails;
	bool crashing;     /* whatever an app starts ends at once, as long as this life lasts */
	unsigned jittered; /* pauses that were not exactly the doubled ones */
	unsigned longest;  /* pauses of the most that they can be */
	uint32_t once_asked,
		once_run; /* the numbers of a [Timer]'s runs: the last asked for, the last begun */
	uint64_t once_ms; /* when it was asked for */
	unsigned once_runs;
	unsigned hooks, dead, limited; /* commands run; programs given up, and those for StartLimitBurst= */
	unsigned beside, stages[DRAIN_STAGES]; /* gates that came up in a slot beside; what gates were told of who drains */
	unsigned stacks, stuck;  /* stacks asked for; workers that were stuck while they served */
	const struct run *heard; /* who said the last word of a worker; NULL: there was no gate */
};

/* The living process of that run, or NULL. */
struct fake *fake_of(struct world *w, const struct run *r);
/* One of those that listen, draining or not; NULL: none does. */
struct run *some_gate(struct world *w);
/* As hear.c would hear it. */
void hear(struct world *w, struct run *from, uint16_t type, const void *payload, size_t n);
/* sim_service.c: what ctl asks for of a program, what becomes of it, and what gates are told. */
void service_set(struct world *w, struct msg_proc_set *set);
/* sim_unit.c: a random life for a unit, and its commands behind the message; a command is begun, or its end has
 * come; what must hold of a slot with a unit. */
void unit_set(struct world *w, struct msg_proc_set *set);
void unit_pack(struct world *w, const struct msg_proc_set *set, struct buf *b);
int unit_spawn_hook(struct parent *p, struct run *r, const struct hook *h);
void unit_signal_hook(struct parent *p, struct run *r, int sig);
void unit_hook_ends(struct fake *f);
void unit_check(struct world *w, const struct slot *s);
/* Its own pauses hold, not stead's. */
bool unit_pauses(const struct slot *s);
/* A free one; its timer is not armed. */
struct fake *fake_new(struct world *w, struct run *r, uint64_t generation);
void fake_arm(struct fake *f);
void fake_die_in(struct fake *f, uint64_t ms, int status);
void service_ready(struct world *w, struct run *r);
void service_check_told(const void *service);
/* ctl asks for a run of a [Timer], or once more for the last one; one is about to be spawned. */
void timer_ask(struct world *w, struct run *ctl);
void timer_spawned(struct world *w, const struct run *r);
/* What a gate says of that worker. */
void worker_says(struct world *w, const struct run *r, uint16_t type, uint32_t reason);
/* sim_drain.c */
/* A gate that is told this stage: is it done with that worker? */
bool drain_says_idle(struct world *w, uint32_t stage);
void ask_gates(struct world *w, struct run *ctl);
void gate_drains(struct world *w);
/* sim_stuck.c */
void stuck_says(struct world *w, struct run *r);
/* Every worker that serves is told to be stuck. */
void stuck_all(struct world *w);
void stuck_check_signal(struct world *w, const struct run *r, struct fake *f, int sig);
void stuck_check(const struct world *w, const struct fake *f);
/* sim_adopt.c: a new version, or a new parent after a kill, has nothing but the state of the one before. */
void take_over(struct world *w);
unsigned open_fds(void);
/* Of struct parent_ops. */
void sim_adopt(struct parent *p, struct run *r);
/* sim_check.c: after every step. True: everything has stopped. */
bool check_all(void *world);
/* A death, before and after the parent hears of it: what it makes of the next pause. */
struct dying {
	uint32_t backoff_ms, unready;
	uint64_t up_ms;
	bool at_once;
};
void death_begins(const struct run *r, struct dying *ret);
void check_death(const struct run *r, const struct dying *was);
/* A process is said to be replaced for a limit of its life. */
void check_recycled(struct world *w, const void *event, size_t n);

#endif
