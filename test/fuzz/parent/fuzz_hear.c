/*
 * fuzz_hear.c: any messages, in any order, from gate, ctl and log to the parent.
 *
 * Input: records of {u8 sender, u8 what, u16 length, payload}. Senders are gate 0, gate 1, ctl and
 * log; what picks a message of the table, or that something ends. Processes are made up; after each
 * record a turn of the loop runs. BIND and ONESHOT would reach the system: of the first the address
 * is parsed.
 */
#include "lib/sim.h"
#include "parent.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int fuzz_spawn(struct parent *p, struct run *r)
{
	int *pids = p->sim;

	r->child.pid = ++*pids;
	return 0;
}

static void fuzz_signal(struct parent *p, struct run *r, int sig, bool all)
{
	(void)p;
	(void)all;
	must(run_alive(r) && sig > 0);
}

static int fuzz_hook_spawn(struct parent *p, struct run *r, const struct hook *h)
{
	int *pids = p->sim;

	must(r->hook.pid == 0 && h->argv[h->argc] == NULL);
	r->hook.generation = ++p->generation;
	r->hook.pid = ++*pids;
	return 0;
}

static void fuzz_hook_signal(struct parent *p, struct run *r, int sig)
{
	(void)p;
	must(r->hook.pid != 0 && sig > 0);
}

static bool fuzz_send(struct parent *p, struct run *to, uint16_t type, uint64_t id, const void *a,
	size_t a_len, const void *b, size_t b_len, const int *fds, unsigned nfds)
{
	(void)p;
	(void)id;
	(void)a;
	(void)b;
	(void)fds;
	must(msg_allowed(PROC_PARENT, (enum proc)to->slot->role, type, a_len + b_len, nfds));
	return true;
}

static int fuzz_link(struct parent *p, struct run *worker, const struct msg_worker *m, int fd)
{
	(void)p;
	must(run_alive(worker) && m->generation == worker->generation && fd >= 0);
	return 0;
}

static uint32_t fuzz_random(struct parent *p)
{
	(void)p;
	return 7;
}

static void fuzz_sweep(struct parent *p)
{
	(void)p;
}

static void fuzz_say(struct parent *p, const void *event, size_t n)
{
	(void)p;
	must(event != NULL && n >= 4);
}

static const struct parent_ops ops = {
	.spawn = fuzz_spawn,
	.signal = fuzz_signal,
	.hook_spawn = fuzz_hook_spawn,
	.hook_signal = fuzz_hook_signal,
	.release = parent_release,
	.send = fuzz_send,
	.link = fuzz_link,
	.random = fuzz_random,
	.sweep = fuzz_sweep,
	.say = fuzz_say,
};

/* The `n`th process that lives: it ends. */
static void end_one(struct parent *p, unsigned n)
{
	struct run *found = NULL;

	for (struct set *set = p->sets; set != NULL; set = set->next)
		for (struct slot *s = set->slots; s != NULL; s = s->next)
			for (unsigned i = 0; i < 2; i++)
				if ((run_alive(&s->run[i]) || s->run[i].hook.pid != 0) && n-- == 0)
					found = &s->run[i];
	if (found == NULL)
		return;
	if (found->hook.pid != 0) {
		found->hook.pid = 0;
		found->hook_status = (int32_t)(found->hook.generation % 2);
		watch_event(found, WATCH_HOOK);
		return;
	}
	found->child.pid = 0;
	found->slot->status = 1;
	watch_event(found, WATCH_DIED);
}

static void record(
	struct parent *p, struct run *from, uint8_t what, const uint8_t *payload, size_t n)
{
	struct sockaddr_storage addr;
	socklen_t len;
	char text[128];
	const struct msg_row *row = &msg_rows[what % msg_rows_n];
	struct msg m = {.h = {.len = (uint32_t)n, .type = row->type, .major = 1, .id = what},
		.payload = payload};

	if (row->type == MSG_BIND && n < sizeof(text)) {
		memcpy(text, payload, n);
		text[n] = '\0';
		listen_parse(text, &addr, &len);
	}
	if (row->type == MSG_BIND || row->type == MSG_ONESHOT || row->type == MSG_HELLO)
		return;
	for (unsigned i = 0; i < row->fds_min; i++)
		m.fds[m.nfds++] = dup(0);
	if (run_alive(from) &&
		msg_allowed((enum proc)from->slot->role, PROC_PARENT, row->type, n, m.nfds))
		hear_message(p, from, &m);
	for (unsigned i = 0; i < m.nfds; i++)
		if (m.fds[i] >= 0)
			close(m.fds[i]);
}

static void done(struct parent *p)
{
	for (unsigned i = 0; i < p->gates + 2; i++) {
		struct slot *s = i < p->gates ? p->gate[i] : i == p->gates ? p->ctl : p->log;

		for (unsigned k = 0; k < 2; k++)
			s->run[k].child.pid = 0;
	}
	parent_done(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sim *s;
	struct sim_options o = {.seed = 1};
	struct parent *p = calloc(1, sizeof(*p));
	int pids = 1;

	must(p != NULL && sim_new(&s, &o) == 0);
	parent_init(p, &ops);
	must(loop_new_sim(&p->loop, s, parent_op_table, PARENT_OP_KINDS) == 0);
	p->sim = &pids;
	p->root = size > 0 && (data[size - 1] & 1) != 0;
	p->postgres = (struct account){101, 104};
	p->gates = 2;
	p->roles_dir = (char[]){"/nonexistent/0"}; /* no version stands beside it */
	must(core_new(p) == 0);
	struct slot *core[4] = {p->gate[0], p->gate[1], p->ctl, p->log};
	for (unsigned i = 0; i < 4; i++) {
		slot_want(core[i]);
		slot_run(core[i])->greeted = true;
	}
	while (size >= 4) {
		size_t n = min_of((size_t)(data[2] | data[3] << 8), size - 4);

		if (data[0] >= 250)
			end_one(p, data[1]);
		else
			record(p, slot_run(core[data[0] % 4]), data[1], data + 4, n);
		sim_run_ms(s, data[0] >= 200 ? 5000 : 1);
		data += 4 + n;
		size -= 4 + n;
	}
	done(p);
	loop_free(p->loop);
	sim_free(s);
	free(p);
	return 0;
}
