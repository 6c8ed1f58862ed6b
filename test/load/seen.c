/*
 * seen.c: what became of the requests: counts for new and for reused connections apart, times, the
 * faults.
 *
 * Called by load.c. Times lie in buckets a sixteenth of a power of two wide: none is told more than
 * 6 % too long.
 */
#include "load.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { FAULTS_SHOWN = 5000 };

static const char *const fault_names[FAULTS] = {
	"none", "refused", "ended", "status", "wrong", "late"};

static unsigned bucket_of(uint64_t us)
{
	unsigned log = us < 16 ? 4 : 63 - (unsigned)__builtin_clzll(us);
	unsigned b = us < 16 ? (unsigned)us : (log - 3) * 16 + (unsigned)((us >> (log - 4)) & 15);

	return b < BUCKETS ? b : BUCKETS - 1;
}

/* The most that a bucket holds. */
static uint64_t bucket_us(unsigned b)
{
	return b < 16 ? b : ((uint64_t)(16 + b % 16 + 1) << (b / 16 - 1)) - 1;
}

static uint64_t quantile_us(const struct count *n, double q)
{
	uint64_t want = (uint64_t)((double)n->ok * q), sum = 0;

	for (unsigned b = 0; b < BUCKETS; b++) {
		sum += n->bucket[b];
		if (sum > want)
			return bucket_us(b) < n->longest_us ? bucket_us(b) : n->longest_us;
	}
	return n->longest_us;
}

static uint64_t failed(const struct count *n)
{
	uint64_t sum = 0;

	for (unsigned f = FAULT_REFUSED; f < FAULTS; f++)
		sum += n->fault[f];
	return sum;
}

uint64_t seen_done(const struct load *l)
{
	return l->fresh.ok + l->reused.ok + failed(&l->fresh) + failed(&l->reused);
}

void seen_add(struct load *l, const struct conn *c, enum fault f, uint64_t now_us)
{
	struct count *n = c->used ? &l->reused : &l->fresh;
	uint64_t us = now_us - c->sent_us;
	size_t line = c->in_len;

	if (f == FAULT_NONE) {
		n->ok++;
		n->bucket[bucket_of(us)]++;
		n->longest_us = us > n->longest_us ? us : n->longest_us;
		return;
	}
	n->fault[f]++;
	if (l->told++ >= FAULTS_SHOWN)
		return;
	if (line > 40)
		line = 40;
	printf("fault %s %s %u %" PRIu64 " %s %.*s\n", fault_names[f], c->used ? "reused" : "new",
		c->port, us, c->ask ? c->ask->word : "-",
		(int)strcspn(c->in, "\r\n") < (int)line ? (int)strcspn(c->in, "\r\n") : (int)line,
		c->in);
	(void)fflush(stdout);
}

static void print_count(const char *name, const struct count *n)
{
	printf("\"%s\": {\"ok\": %" PRIu64 ", \"failed\": %" PRIu64, name, n->ok, failed(n));
	for (unsigned f = FAULT_REFUSED; f < FAULTS; f++)
		printf(", \"%s\": %" PRIu64, fault_names[f], n->fault[f]);
	printf(", \"p50_us\": %" PRIu64 ", \"p99_us\": %" PRIu64 ", \"p999_us\": %" PRIu64
	       ", \"longest_us\": %" PRIu64 "}, ",
		quantile_us(n, 0.5), quantile_us(n, 0.99), quantile_us(n, 0.999), n->longest_us);
}

void seen_print(const struct load *l)
{
	printf("end {");
	print_count("new", &l->fresh);
	print_count("reused", &l->reused);
	printf("\"closed_idle\": %" PRIu64 ", \"closed_told\": %" PRIu64
	       ", \"steps\": %u, \"over\": %s, \"ms\": %" PRIu64 "}\n",
		l->closed_idle, l->closed_told, l->step, l->over ? "true" : "false",
		(l->ended_us - l->began_us) / 1000);
	(void)fflush(stdout);
}
