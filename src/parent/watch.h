/*
 * watch.h: what the state × event table is made of: watch.c has the table and the slots, watch_acts.c
 * the actions of every process, unit.c those of a program whose life a unit describes.
 */
#ifndef STEAD_PARENT_WATCH_H
#define STEAD_PARENT_WATCH_H

#include "parent.h"

enum { NO_TIMER = -1, KILL_AGAIN_MS = 1000 };

typedef void watch_action(struct run *r);

/* ---- watch_acts.c ---- */
/* The run enters that phase, for so long, and ctl is told. */
void phase_set(struct run *r, enum proc_phase phase, int64_t timer_ms);
bool is_core(const struct slot *s);
/* Is it known when it can serve? */
bool says_ready(const struct slot *s);
/* Of [Timer]: its end is an end, whatever its status. */
bool runs_once(const struct slot *s);
uint32_t start_ms(const struct run *r);
uint32_t stop_ms(const struct run *r);
/* Nothing of it is left, not even a command: it starts again, or rests. */
void run_over(struct run *r);
/* Make its process; what follows when that cannot be. */
void run_spawn(struct run *r);
watch_action act_none, act_bug, act_up, act_start, act_died, act_term, act_kill, act_bad, act_stuck,
	act_stuck_up, act_stuck_draining, act_drained, act_silent, act_late, act_drain, act_down,
	drain_late;

/* ---- drain.c ---- */
/* Gates were told to give it nothing new, and some have it: it has DrainSec= for requests, and for tunnels
 * WebSocketDrainSec= where it runs beside its successor. */
void drain_begin(struct run *r);
/* The same of one that is stuck, also when it drains already: what else it runs has stead's own time. */
void drain_stuck(struct run *r);

/* ---- unit_judge.c ---- */
/* Of a process that ended so, of a command or of a program without a unit. */
enum service_result unit_result(int32_t status, bool dumped);
/* Of the program itself, by its unit. */
enum service_result unit_main_result(const struct run *r);
/* The first thing that went wrong is the result. */
void unit_judge(struct run *r, enum service_result result);
/* May it be started now, by StartLimitBurst=? Counts the start. */
bool unit_may_start(struct slot *s);
/* It was started by somebody: what counts starts begins anew. */
void unit_forgive(struct slot *s);
/* Its end, judged by its unit: shall it be started again? */
bool unit_restarts(const struct run *r);
/* Is what it left behind asked to end, before it is killed? */
bool unit_lingers(const struct run *r);
/* How long that waits; false: stead's own pauses hold. */
bool unit_pause(const struct slot *s, uint32_t *ret_ms);

/* ---- unit_reload.c ---- */
/* Its time is over. */
void unit_reload_late(struct run *r);
/* It says RELOADING=1 or READY=1 (bits of enum service_said). */
void unit_reload_said(struct run *r, uint32_t what);

/* ---- unit.c ---- */
/* The commands of a kind, one after the other: none is left, one runs, or one could not be made. */
enum hook_end { HOOK_NONE, HOOK_RUNS, HOOK_BAD };
enum hook_end unit_hook_first(struct run *r, enum service_hook kind);
enum hook_end unit_hook_next(struct run *r, enum service_hook kind);
/* Of the command that ended. */
enum service_result unit_hook_result(struct run *r);
/* Nothing starts it again. */
void unit_dead(struct run *r);
/* It begins with a command? Else its process is next. */
void unit_begin(struct run *r);
/* Its process could not be made. */
void unit_spawn_failed(struct run *r);
/* Its process runs: what comes next. */
void unit_spawned(struct run *r);
/* Its process ended, slot->status is set. */
void unit_died(struct run *r);
/* The signal that asks it to end, to whom its unit says. */
void unit_signal_stop(struct run *r);
/* ExecStop=, then the signal. */
void unit_end(struct run *r);
/* Time is over while it ends: false: it is not to be killed now. */
bool unit_kill(struct run *r);
/* UP: set the timer to whatever is due first; that time is over; WATCHDOG=trigger was said. */
void unit_arm(struct run *r);
void unit_trigger(struct run *r);
watch_action unit_timer, unit_ready, unit_hook_pre, unit_hook_starting, unit_hook_post, unit_hook_up,
	unit_hook_ending, unit_hook_stopping, unit_hook_after, unit_late, unit_late_ending,
	unit_late_after, unit_reload, unit_leave, unit_left;

#endif
