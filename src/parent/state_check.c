/*
 * state_check.c: a state that another program wrote, as memory; and whether this version could go on with it.
 *
 * Called by main.c for --check-state, and by whoever takes a state over. Owns the mapping until it is handed on. Changes
 * nothing.
 */
#include "state.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

int state_map(int fd, const void **ret_bytes, size_t *ret_n)
{
	struct stat st;
	void *map;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size <= 0 || st.st_size > 2LL * STATE_BYTES_MAX + 4096)
		return -EBADMSG;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	*ret_bytes = map;
	*ret_n = (size_t)st.st_size;
	return 0;
}

int state_check(int fd)
{
	struct state_fd none[1];
	struct parent *p = calloc(1, sizeof(*p));
	const void *bytes;
	size_t n;
	int e = p != NULL ? state_map(fd, &bytes, &n) : -ENOMEM;

	if (e == 0) {
		parent_init(p, &parent_real_ops);
		e = state_load(p, bytes, n, none, 0);
	}
	if (e < 0)
		fprintf(stderr, "stead-parent " STEAD_VERSION ": the state of the parent that runs cannot be taken over: %s\n",
			e == -EPROTONOSUPPORT ? "it was made by a version that this one does not know" : strerror(-e));
	return e < 0 ? 1 : 0;
}
