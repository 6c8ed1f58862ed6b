/*
 * fuzz_http2.c: what a client of HTTP/2 sends, to a whole gate on the simulated loop with an app
 * that echoes. The preface and SETTINGS are given; the input is the frames behind them. Its first
 * byte says how large the pieces are. In the end nothing of the connection may be left.
 */
#include "../../sim/gate/h2_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

void gate_drained(struct gate *g)
{
	(void)g;
}

static bool is_quiet(void *arg)
{
	return ((struct gate_world *)arg)->g->conns_n == 0;
}

static void drop_answers(struct gate_world *w, int fd)
{
	char in[4096];

	while (sim_read(w->s, fd, in, sizeof(in)) > 0)
		;
}

/* A gate serves this many inputs, each on a connection of its own: a new one for each would cost a thousand times what
 * the input does. */
enum { INPUTS = 64 };

static struct gate_world *world(void)
{
	static struct gate_world w;
	static unsigned served = INPUTS;

	if (served == INPUTS) {
		struct sim_options o = {.seed = 1};

		if (w.s)
			gate_world_free(&w);
		memset(&w, 0, sizeof(w));
		gate_world_new(&w, &o, &h2_parts, "/nonexistent");
		served = 0;
	}
	served++;
	return &w;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	struct gate_world *w;
	size_t step, at = 0;
	int fd;

	if (size < 2)
		return 0;
	step = data[0] < 40 ? 1 + data[0] : 4096;
	data++;
	size--;
	w = world();
	fd = sim_connect(w->s, w->listener);
	must(fd >= 0 && sim_write(w->s, fd, hello, sizeof(hello) - 1) > 0);
	for (unsigned turns = 0; at < size && turns < 3000; turns++) {
		ssize_t n = sim_write(w->s, fd, data + at, min_of(step, size - at));

		if (n < 0 && n != -EAGAIN)
			break;
		at += n > 0 ? (size_t)n : 0;
		(void)sim_run_ms(w->s, 1);
		drop_answers(w, fd);
	}
	(void)sim_run_ms(w->s, 5);
	sim_close(w->s, fd);
	must(sim_run_until(w->s, is_quiet, w, 60000) == 0);
	return 0;
}
