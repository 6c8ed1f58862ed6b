/*
 * fuzz_tls_told.c: what ctl tells of names as garbage: certificates that prove them (CHALLENGE_TLS), and names that have
 * none (CERT_DEMANDED). The gate's tables keep their bounds, and what was taken is forgotten again.
 *
 * An input is a row of messages: a byte that says which, two of its length, and the payload. A name may be asked for first, so
 * that there is one to be refused.
 */
#include "gate.h"
#include "lib/must.h"
#include "lib/sim.h"
#include "tls_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The end of a gate, which the process defines. */
void gate_drained(struct gate *g)
{
	(void)g;
}

static void tell(struct gate *g, bool demanded, const uint8_t *p, size_t n)
{
	char *copy = malloc(n ? n : 1);
	struct msg m = {.h = {.len = (uint32_t)n, .type = demanded ? MSG_CERT_DEMANDED : MSG_CHALLENGE_TLS}};
	int err;

	must(copy);
	memcpy(copy, p, n);
	m.payload = copy;
	/* What the table of messages does not allow does not come here. */
	if (msg_allowed(PROC_CTL, PROC_GATE, m.h.type, m.h.len, 0)) {
		err = demanded ? tls_demand_heard(g, &m) : tls_challenge_heard(g, &m);
		must(err == 0 || err == -EPROTO);
	}
	free(copy);
}

/* As a hello whose certificate serves. */
static void ask(struct gate *g, const uint8_t *p, size_t n)
{
	char *name = malloc(n ? n : 1);

	must(name);
	memcpy(name, p, n);
	if (n > 0 && n < TLS_NAME_MAX)
		tls_demand_used(g->tls, 1, name, n);
	free(name);
}

static op_done *const table[OP_GATE_END] = {CHAN_OPS};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gate *g = calloc(1, sizeof(*g));
	struct tls_server *ts = calloc(1, sizeof(*ts));
	struct sim_options o = {0};
	struct sim *sim;

	must(g && ts && sim_new(&sim, &o) == 0);
	g->tls = ts;
	ts->gate = g;
	must(loop_new_sim(&g->loop, sim, table, OP_GATE_END) == 0);
	while (size >= 3) {
		size_t n = (size_t)(data[1] | data[2] << 8);

		n = min_of(n, size - 3);
		if (data[0] & 2)
			ask(g, data + 3, n);
		else
			tell(g, data[0] & 1, data + 3, n);
		data += 3 + n;
		size -= 3 + n;
	}
	tls_challenges_free(ts);
	tls_demands_free(ts);
	loop_free(g->loop);
	sim_free(sim);
	free(ts);
	free(g);
	return 0;
}
