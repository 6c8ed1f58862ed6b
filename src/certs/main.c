/*
 * stead-certs: gets certificates from an authority by ACME, for ctl.
 *
 * Started by the parent when ctl asks for it. It alone reads what authorities send. It holds no
 * key: what is to be signed goes to keys; names are looked up by resolve; tokens reach the gates
 * through ctl. It opens connections and no file: whom to believe (the machine's authorities) is
 * read before the first byte from outside. Its death costs nothing but time: orders are written
 * down by ctl, which asks again.
 */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"
#include "lib/sys.h"

enum { AUTHORITIES_MAX = 4 * 1024 * 1024 };

struct aide_peer *certs_peer(struct certs *c, uint32_t role)
{
	for (unsigned i = 0; i < AIDE_PEERS_MAX; i++)
		if (c->aide.peer[i].aide && c->aide.peer[i].greeted && c->aide.peer[i].role == role)
			return &c->aide.peer[i];
	return NULL;
}

/* Where distributions keep them. Without any, no authority is believed, and an order says so. */
static int read_authorities(struct certs *c)
{
	static const char *const places[] = {"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};
	int err = -ENOENT;

	for (size_t i = 0; err == -ENOENT && i < ARRAY_LEN(places); i++)
		err = sys_read_file(
			AT_FDCWD, places[i], AUTHORITIES_MAX, &c->authorities, &c->authorities_n);
	if (err != -ENOENT)
		return err;
	c->authorities = strdup("");
	return c->authorities ? 0 : -ENOMEM;
}

static int started(struct aide *a, struct msg *start)
{
	struct certs *c = a->own;
	int err = read_authorities(c);

	(void)start;
	if (!err)
		err = http_open(c);
	return err ? err : certs_jail_close();
}

static void heard(struct aide *a, struct aide_peer *from, struct msg *m)
{
	struct certs *c = a->own;

	if (from->role == PROC_CTL)
		job_heard_ctl(c, m);
	else if (m->h.type == MSG_SIGNED)
		job_signed(c, m);
	else if (m->h.type == MSG_SPREAD_TOLD)
		job_spread_told(c, m);
	else if (m->h.type == MSG_RESOLVED)
		job_resolved(c, m);
	else if (m->h.type == MSG_CAA_LOOKED)
		job_caa_looked(c, m);
}

static void up(struct aide *a, struct aide_peer *peer)
{
	job_peer_up(a->own, peer->role);
}

static void gone(struct aide *a, struct aide_peer *peer)
{
	if (peer->role == PROC_CTL)
		job_drop_all(a->own);
}

static const struct aide_ops ops = {.started = started, .heard = heard, .up = up, .gone = gone};
static op_done *const table[OP_CERTS_END] = {
	CHAN_OPS,
	[OP_HTTP_IN] = http_on_readable,
	[OP_HTTP_OUT] = http_on_writable,
	[OP_HTTP_TIMER] = http_on_timer,
	[OP_JOB_TIMER] = job_on_timer,
};

int main(void)
{
	struct certs *c = calloc(1, sizeof *c);
	struct loop *l;
	int err = loop_new_epoll(&l, table, OP_CERTS_END);

	if (!err && !c)
		err = -ENOMEM;
	if (!err) {
		c->loop = l;
		c->aide.own = c;
		err = aide_open(&c->aide, l, PROC_CERTS, &ops);
	}
	if (err)
		fatal("certs", "cannot start: %s", strerror(-err));
	err = loop_run(l);
	if (err)
		fatal("certs", "waiting failed: %s", strerror(-err));
	job_drop_all(c);
	http_close(c);
	/* From within, so that what is left still has an owner when somebody looks for memory that
	 * has none. */
	exit(0);
}
