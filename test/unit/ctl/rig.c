/*
 * rig.c: see rig.h.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "rig.h"
#include "deploy.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/sys.h"
#include "oneshot/tree.h"

static void on_flush(struct loop *l, struct op *op, int res)
{
	(void)l;
	(void)op;
	(void)res;
}

static op_done *const ops[CTL_OP_KINDS] = {
	CHAN_OPS,
	[OP_ACCEPT] = control_on_accept,
	[OP_CLIENT_RECV] = client_on_recv,
	[OP_CLIENT_SEND] = client_on_send,
	[OP_CLIENT_TIMER] = client_on_timer,
	[OP_PROBE_CONNECT] = probe_on_connect,
	[OP_PROBE_RECV] = probe_on_recv,
	[OP_PROBE_TIMER] = probe_on_timer,
	[OP_UP_TIMER] = up_on_timer,
	[OP_UP_LOOK] = up_on_look,
	[OP_FLUSH] = on_flush,
	[OP_DEPLOY_NEXT] = deploy_on_next,
};

void say(struct ctl *c, enum event id, ...)
{
	(void)c;
	(void)id;
}

void ctl_started(struct ctl *c)
{
	(void)c;
}

void rig_init(struct rig *r)
{
	int pair[2];

	*r = (struct rig){.c = calloc(1, sizeof *r->c), .dir = "/tmp/stead-test-ctl-XXXXXX"};
	assert_non_null(r->c);
	assert_non_null(mkdtemp(r->dir));
	assert_int_equal(sys_socketpair_seqpacket(pair), 0);
	/* ctl's channel is the process's descriptor 3, whatever cmocka had there. */
	r->parent = fcntl(pair[0], F_DUPFD_CLOEXEC, 10);
	assert_true(dup2(pair[1], 3) == 3);
	for (int i = 0; i < 2; i++)
		if (pair[i] != 3)
			close(pair[i]);
	assert_int_equal(loop_new_epoll(&r->c->loop, ops, CTL_OP_KINDS), 0);
	assert_int_equal(apps_init(r->c), 0);
	r->c->listener.fd = -1;
	r->c->ring.fd = r->c->ring.wake_fd = -1;
	assert_int_equal(peers_init(r->c), 0);
	rig_expect(r, MSG_HELLO);
	rig_say(r, MSG_HELLO, 0, &(struct msg_hello){.min = 1, .max = 1, .role = PROC_PARENT},
		sizeof(struct msg_hello), -1);
	(void)snprintf(r->c->state_dir, sizeof r->c->state_dir, "%s", r->dir);
	(void)snprintf(r->c->run_dir, sizeof r->c->run_dir, "%s", r->dir);
	(void)snprintf(r->c->roles_dir, sizeof r->c->roles_dir, "%s", r->dir);
	(void)snprintf(r->c->instance, sizeof r->c->instance, "this parent");
	r->c->start.gates = 1;
	r->c->state_fd = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(r->c->state_fd >= 0);
	assert_int_equal(state_open(r->c), 0);
}

void rig_done(struct rig *r)
{
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	up_free(r->c);
	control_close(r->c);
	while (r->c->clients) {
		(void)loop_sys_shutdown(r->c->loop, r->c->clients->lfd.fd, 2);
		(void)loop_step(r->c->loop, 100);
	}
	state_close(r->c);
	apps_free(r->c);
	sites_free(&r->c->sites);
	while (r->c->asks) {
		struct ask *a = r->c->asks;

		r->c->asks = a->next;
		chan_close(&a->chan);
		buf_done(&a->payload);
		free(a);
	}
	for (unsigned i = 0; i < CTL_GATES_MAX; i++)
		chan_close(&r->c->gate[i].chan);
	chan_close(&r->c->log.chan);
	chan_close(&r->c->parent);
	loop_free(r->c->loop);
	close(r->c->state_fd);
	close(r->parent);
	free(r->c->procs);
	free(r->c);
	assert_int_equal(tree_remove(tmp, r->dir + 5), 0);
	close(tmp);
}

void rig_settle(struct rig *r)
{
	for (int i = 0; i < 4; i++)
		assert_int_equal(loop_step(r->c->loop, 0), 0);
}

void rig_expect(struct rig *r, uint16_t type)
{
	for (int tries = 0; tries < 200; tries++) {
		/* What waits is looked at first, so that a turn is only spent when it is needed. */
		char byte;

		if (recv(r->parent, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) {
			assert_int_equal(loop_step(r->c->loop, 10), 0);
			continue;
		}
		assert_int_equal(chan_recv_blocking(r->parent, &r->msg, r->mem), 0);
		if (r->msg.h.type == type)
			return;
		for (unsigned i = 0; i < r->msg.nfds; i++)
			close(msg_take_fd(&r->msg, i));
	}
	fail_msg("no message of type %u came", (unsigned)type);
}

void rig_say(struct rig *r, uint16_t type, uint64_t id, const void *p, size_t n, int fd)
{
	assert_int_equal(chan_send_blocking(r->parent, type, id, p, n, NULL, 0, &fd, fd >= 0), 0);
	rig_settle(r);
}

int rig_connect(struct rig *r)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(addr.sun_path, sizeof addr.sun_path, "%s/control", r->dir);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
	return fd;
}

json_t *rig_line(struct rig *r, int fd)
{
	char text[65536];
	size_t n = 0;

	for (int tries = 0; tries < 300; tries++) {
		ssize_t got = recv(fd, text + n, 1, MSG_DONTWAIT);

		if (got == 1 && text[n] == '\n')
			return json_loadb(text, n, 0, NULL);
		if (got == 1) {
			n++;
			tries--;
		} else {
			assert_int_equal(loop_step(r->c->loop, 10), 0);
		}
	}
	fail_msg("no line came");
	return NULL;
}

void rig_ask(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

int rig_up(struct rig *r)
{
	int fd;

	assert_int_equal(control_open(r->c), 0);
	fd = rig_connect(r);
	rig_ask(fd, "{\"verb\":\"up\",\"folder\":\"/srv/shop\",\"http\":\"127.0.0.1:1\"}\n");
	return fd;
}
