/*
 * fuzz_state.c: the state of another parent, as --check-state and --adopt read it.
 *
 * Input: a whole state. Its length and checksum are made right, so that what lies behind them is reached; one whose
 * magic number is wrong is given as it is. What can be loaded says the same when it is saved, and is loaded again.
 */
#include "state.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct parent *load(const void *bytes, size_t n, int *ret_err)
{
	struct parent *p = calloc(1, sizeof(*p));
	struct state_fd none[1];

	must(p != NULL);
	parent_init(p, &parent_real_ops);
	*ret_err = state_load(p, bytes, n, none, 0);
	return p;
}

static void drop(struct parent *p)
{
	state_drop(p);
	free(p);
}

static void again(struct parent *p)
{
	struct state one, two;
	struct parent *q;
	int e;

	must(state_save(p, &one) == 0);
	q = load(one.b.p, one.b.len, &e);
	must(e == 0 && state_save(q, &two) == 0);
	must(one.b.len == two.b.len && memcmp(one.b.p, two.b.p, one.b.len) == 0);
	state_done(&one);
	state_done(&two);
	drop(q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state_head head;
	uint8_t *copy = malloc(size + 1);
	int e;

	must(copy != NULL);
	memcpy(copy, data, size);
	if (size >= sizeof(head)) {
		memcpy(&head, copy, sizeof(head));
		if (head.magic == STATE_MAGIC) {
			head.bytes = size - sizeof(head);
			head.checksum = sys_checksum(copy + sizeof(head), head.bytes);
			memcpy(copy, &head, sizeof(head));
		}
	}
	struct parent *p = load(copy, size, &e);

	must(e == 0 || e == -EBADMSG || e == -EPROTONOSUPPORT);
	if (e == 0)
		again(p);
	drop(p);
	free(copy);
	return 0;
}
