/*
 * scale.h: how many workers an app shall have, decided from what its queue and its workers do. Pure: no clock, no
 * process, no message; scaling.c measures and acts.
 */
#ifndef STEAD_CTL_SCALE_H
#define STEAD_CTL_SCALE_H

#include <stdbool.h>
#include <stdint.h>

enum {
	SCALE_TICK_MS = 500,
	SCALE_WAIT_US = 50 * 1000, /* a mean wait so long, in two ticks in a row, asks for more */
	SCALE_SOON_MS = 3000,      /* … unless the queue will be gone within that */
	SCALE_CALM_US = 10 * 1000, /* so little is no reason to keep what there is */
	SCALE_CALM_MS = 30 * 1000, /* so long the rest must have been enough before there are fewer */
	SCALE_CALM_MAX_MS = 8 * 60 * 1000,
	SCALE_LOAD_PERCENT = 70, /* … at this share of what it can do */
};

/* Sums since the beginning, but for the last five. */
struct scale_sample {
	uint64_t now_ms;
	uint64_t given;     /* requests given to workers */
	uint64_t waited_us; /* by those that left the queue */
	uint64_t worked_us; /* by those that workers ended */
	uint64_t queued, running; /* now */
	uint64_t open;      /* WebSockets: no load, but somebody is there */
	unsigned up;        /* workers that are ready */
	unsigned threads;   /* of each */
};

enum scale_why { SCALE_STAY = 0, SCALE_QUEUE, SCALE_LOAD, SCALE_IDLE };

struct scaler {
	unsigned min, max, want;
	uint64_t idle_ms; /* 0: workers never end for want of requests */
	/* private */
	struct scale_sample last;
	uint64_t used_ms;  /* when there was something to do last */
	uint64_t calm_from_ms, calm_ms;
	uint64_t fewer_ms; /* when there were made fewer last, 0: never */
	uint64_t peak;     /* of the load since calm_from_ms, in thousandths of a thread */
	unsigned waits;    /* ticks in a row in which requests waited too long */
	bool seen;
};

/* The bounds, and how many there are now. */
void scale_set(struct scaler *s, unsigned min, unsigned max, uint64_t idle_ms, unsigned want);
/* Another sample: s->want is what there shall be from now on, and why it changed. */
enum scale_why scale_decide(struct scaler *s, const struct scale_sample *sample);
/* Somebody else has started workers: a gate that has a request. */
void scale_woken(struct scaler *s, unsigned want, uint64_t now_ms);

#endif
