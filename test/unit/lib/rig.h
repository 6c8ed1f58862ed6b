/*
 * rig.h: one loop on either backend, with sockets whose other end the test holds, so that one test
 * body runs on both. The state of each test is the backend's name.
 */
#ifndef STEAD_TEST_UNIT_LIB_RIG_H
#define STEAD_TEST_UNIT_LIB_RIG_H

#include "test.h"

#include "lib/loop.h"
#include "lib/must.h"
#include "lib/sim.h"
#include "lib/sys.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct rig {
	struct loop *l;
	struct sim *sim; /* NULL: epoll */
};

static inline void rig_open(struct rig *r, void **state, op_done *const *table, unsigned kinds)
{
	struct sim_options o = {.seed = 1};

	*r = (struct rig){0};
	if (strcmp(*state, "sim") == 0) {
		assert_int_equal(sim_new(&r->sim, &o), 0);
		assert_int_equal(loop_new_sim(&r->l, r->sim, table, kinds), 0);
	} else {
		assert_int_equal(loop_new_epoll(&r->l, table, kinds), 0);
	}
}

static inline void rig_done(struct rig *r)
{
	loop_free(r->l);
	if (r->sim)
		assert_int_equal(sim_open_fds(r->sim), 0);
	sim_free(r->sim);
}

static inline void rig_pair(struct rig *r, int fds[2])
{
	if (r->sim)
		assert_int_equal(sim_stream_pair(r->sim, fds), 0);
	else
		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
}

static inline int rig_listen(struct rig *r)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd;

	if (r->sim)
		return sim_listen(r->sim, 16);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static inline int rig_connect(struct rig *r, int listener)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	int fd;

	if (r->sim)
		return sim_connect(r->sim, listener);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(sys_nonblock(fd, true), 0);
	return fd;
}

static inline ssize_t rig_write(struct rig *r, int fd, const char *text)
{
	return r->sim ? sim_write(r->sim, fd, text, strlen(text)) : write(fd, text, strlen(text));
}

static inline ssize_t rig_read(struct rig *r, int fd, void *p, size_t n)
{
	ssize_t got;

	if (r->sim)
		return sim_read(r->sim, fd, p, n);
	got = read(fd, p, n);
	return got < 0 ? -errno : got;
}

static inline void rig_close(struct rig *r, int fd)
{
	if (r->sim)
		sim_close(r->sim, fd);
	else
		close(fd);
}

static inline void rig_reset(struct rig *r, int fd)
{
	struct linger hard = {.l_onoff = 1};

	if (r->sim) {
		sim_reset(r->sim, fd);
		return;
	}
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
	close(fd);
}

/* Turns until *what is true; a test that needs more than a second has failed. */
static inline void rig_until(struct rig *r, const bool *what)
{
	for (int i = 0; i < 1000 && !*what; i++)
		assert_int_equal(loop_step(r->l, 1), 0);
	assert_true(*what);
}

/* Whatever is ready now, and nothing more. */
static inline void rig_settle(struct rig *r)
{
	for (int i = 0; i < 5; i++)
		assert_int_equal(loop_step(r->l, 0), 0);
}

#define ON_BOTH(f)                                                                                 \
	{#f " (epoll)", f, NULL, NULL, (void *)"epoll"},                                           \
	{                                                                                          \
#f " (sim)", f, NULL, NULL, (void *)"sim"                                          \
	}

#endif
