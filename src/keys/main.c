/*
 * stead-keys: holds the private keys of certificates and signs with them; makes the keys of session
 * tickets.
 *
 * Started by the parent when a certificate is there. Reads messages of gates, ctl and the parent,
 * and nothing from outside: no network, no file once it has started. Its own secret, which opens
 * what was sealed for it, lies in STATE/keys, a folder that the parent hands over and that only its
 * user can read. It keeps nothing between two questions but keys that are open, so its death costs
 * only questions asked again.
 */
#include "keys.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "aide/aide.h"
#include "lib/buf.h"
#include "lib/durable.h"
#include "lib/must.h"
#include "lib/sys.h"

enum { OP_TICKETS = OP_USER, OP_WAITING, KEYS_OP_KINDS };
enum { WAITING_MAX = 256, WAIT_MS = 3000, ROTATE_LOOK_MS = 60 * 1000, KEPT_BYTES_MAX = 64 * 1024 };

/* A question for a key that is not there (yet): its vault may be on its way. */
struct waiting {
	struct aide_peer *from; /* NULL: free */
	uint64_t generation, id, until_ms;
	size_t n;
	uint8_t payload[sizeof(struct msg_sign) + SIGN_CONTENT_MAX];
};

struct keys {
	struct aide aide;
	struct store *store;
	struct tickets tickets;
	struct ca ca;
	struct timer rotate, wait;
	uint8_t secret[SEAL_KEY_BYTES];
	struct msg_keys_here here;
	struct waiting waiting[WAITING_MAX];
};

/* ---- the start ---- */

static int read_secret(struct keys *k, int dir)
{
	char *text = NULL;
	size_t n = 0;
	int err = durable_read_sum(dir, "secret", 4096, &text, &n);

	if (err == -ENOENT) {
		err = sys_random(k->secret, sizeof(k->secret));
		return err ? err
			   : durable_write_sum(dir, "secret", k->secret, sizeof(k->secret), 0600);
	}
	if (!err && n != sizeof(k->secret))
		err = -EBADMSG;
	if (!err)
		memcpy(k->secret, text, n);
	if (text)
		explicit_bzero(text, n);
	free(text);
	return err;
}

/* What the one before this one had, so that clients resume their sessions. */
static int read_tickets(struct keys *k, int fd)
{
	const void *map = NULL;
	size_t bytes = 0;
	int err;

	if (fd >= 0 && sys_memfd_map(fd, KEPT_BYTES_MAX, &bytes, &map) < 0)
		bytes = 0;
	err = tickets_init(&k->tickets, k->secret, map, bytes, loop_wall_us(k->aide.loop));
	if (map)
		sys_shm_unmap(map, bytes);
	return err;
}

static void tell_kept(struct keys *k)
{
	uint8_t box[TICKETS_BOX_BYTES];
	int fd = -1;

	if (tickets_keep(&k->tickets, k->secret, box) < 0 ||
		sys_memfd_sealed("stead-tickets", box, sizeof(box), &fd) < 0)
		return;
	(void)chan_send(&k->aide.parent, MSG_KEYS_KEEP, 0, NULL, 0, NULL, 0, &fd, 1);
	close(fd);
}

static void tell_tickets(struct aide_peer *to, struct keys *k)
{
	if (to->role == PROC_GATE)
		aide_answer(to, MSG_TICKET_KEYS, 0, &k->tickets.m, sizeof(k->tickets.m), NULL, 0);
}

static void rotate(struct keys *k, bool anyway)
{
	uint64_t next_us;
	bool changed = tickets_rotate(&k->tickets, loop_wall_us(k->aide.loop), &next_us);

	if (changed || anyway)
		tell_kept(k);
	for (unsigned i = 0; changed && i < AIDE_PEERS_MAX; i++)
		if (k->aide.peer[i].aide && k->aide.peer[i].greeted)
			tell_tickets(&k->aide.peer[i], k);
	loop_timer_in(
		k->aide.loop, &k->rotate, min_of(next_us / 1000 + 1, (uint64_t)ROTATE_LOOK_MS));
}

static void on_rotate(struct loop *l, struct op *op, int res)
{
	(void)l;
	(void)res;
	rotate(container_of(op, struct keys, rotate.op), false);
}

/* Without it there are no certificates for local names, and all else is as it was. */
static void read_ca(struct keys *k, int dir)
{
	int err = ca_open(dir, loop_wall_us(k->aide.loop) / 1000000, &k->ca);

	k->here.ca_err = (uint32_t)-err;
	memcpy(k->here.ca, k->ca.name, sizeof(k->here.ca));
}

static int started(struct aide *a, struct msg *start)
{
	struct keys *k = a->own;
	struct msg_start st;
	unsigned kept;
	int err;

	if (msg_get(start, &st, sizeof(st), sizeof(st)) < 0)
		return -EPROTO;
	kept = st.ca ? 2 : 1;
	if (start->nfds < kept)
		return -EPROTO;
	err = read_secret(k, start->fds[0]);
	if (!err)
		err = seal_public(k->secret, k->here.public_key);
	if (!err)
		err = read_tickets(k, start->nfds > kept ? start->fds[kept] : -1);
	if (!err && st.ca)
		read_ca(k, start->fds[1]);
	if (!err) {
		k->store = store_new(k->secret);
		err = k->store ? 0 : -ENOMEM;
	}
	/* What the library loads at its first use it loads now. */
	if (!err && (!OPENSSL_init_crypto(0, NULL) || !EVP_sha512()))
		err = -EIO;
	/* So does gmtime(), also for universal time. */
	tzset();
	for (unsigned i = 0; i < start->nfds; i++)
		close(msg_take_fd(start, i));
	if (!err)
		err = keys_jail_close(&k->here.guards);
	if (!err)
		rotate(k, true);
	return err;
}

/* ---- questions ---- */

static void answer(struct keys *k, struct aide_peer *to, uint64_t id, const struct sign_ask *ask)
{
	struct msg_signed m = {0};
	uint8_t signature[SIGNATURE_MAX];
	EVP_PKEY *key = NULL;
	size_t n = 0;
	int err = sign_allowed(ask);

	if (!err)
		err = store_find(k->store, ask->m.key, &key);
	if (!err)
		err = sign_make(key, ask, signature, &n);
	m.err = (uint32_t)-err;
	aide_answer(to, MSG_SIGNED, id, &m, sizeof(m), signature, n);
}

/* False: there is no room. */
static bool wait_for_vault(struct keys *k, struct aide_peer *from, const struct msg *m)
{
	for (unsigned i = 0; i < WAITING_MAX; i++) {
		struct waiting *w = &k->waiting[i];

		if (w->from)
			continue;
		w->from = from;
		w->generation = from->generation;
		w->id = m->h.id;
		w->until_ms = loop_now_ms(k->aide.loop) + WAIT_MS;
		w->n = m->h.len;
		memcpy(w->payload, m->payload, m->h.len);
		if (!k->wait.at_ms)
			loop_timer_in(k->aide.loop, &k->wait, WAIT_MS);
		return true;
	}
	return false;
}

/* Ask again for all that wait: a vault came; or the time of some is over. */
static void try_waiting(struct keys *k)
{
	uint64_t now = loop_now_ms(k->aide.loop), next = 0;

	for (unsigned i = 0; i < WAITING_MAX; i++) {
		struct waiting *w = &k->waiting[i];
		struct aide_peer *to = w->from;
		struct sign_ask ask;
		EVP_PKEY *key;

		if (!to || sign_parse(w->payload, w->n, &ask) < 0)
			continue;
		if (store_find(k->store, ask.m.key, &key) == -ENOENT && now < w->until_ms) {
			next = next ? min_of(next, w->until_ms) : w->until_ms;
			continue;
		}
		w->from = NULL;
		if (to->aide && to->generation == w->generation)
			answer(k, to, w->id, &ask);
	}
	if (next)
		loop_timer(k->aide.loop, &k->wait, next);
}

static void on_wait(struct loop *l, struct op *op, int res)
{
	(void)l;
	(void)res;
	try_waiting(container_of(op, struct keys, wait.op));
}

static void make(struct keys *k, struct aide_peer *to, const struct msg *m)
{
	struct msg_key_made said = {0};
	struct key_made made;
	struct buf b;
	int err = make_key(m->payload, m->h.len, k->here.public_key, &k->ca,
		loop_wall_us(k->aide.loop) / 1000000, &made);

	buf_init(&b, CHAN_PAYLOAD_MAX - sizeof(said));
	if (!err) {
		memcpy(said.id, made.id, sizeof(said.id));
		memcpy(said.x, made.x, sizeof(said.x));
		memcpy(said.y, made.y, sizeof(said.y));
		pack_bytes(&b, made.whole ? made.whole : made.box,
			made.whole ? made.whole_n : made.box_n);
		pack_bytes(&b, made.csr ? made.csr : (const uint8_t *)"", made.csr_n);
		err = b.error;
		store_put(k->store, made.id, made.key);
		made.key = NULL;
		make_done(&made);
	}
	said.err = (uint32_t)-err;
	aide_answer(to, MSG_KEY_MADE, m->h.id, &said, sizeof(said), b.p, err ? 0 : b.len);
	buf_done(&b);
}

static void prove(struct keys *k, struct aide_peer *to, const struct msg *m)
{
	struct msg_key_proved said = {0};
	uint8_t der[CHALLENGE_DER_MAX];
	struct msg_key_prove ask;
	EVP_PKEY *key = NULL;
	const char *name;
	size_t n = 0;
	int err = prove_parse(m->payload, m->h.len, &ask, &name);

	if (!err)
		err = store_find(k->store, ask.key, &key);
	if (!err)
		err = prove_make(key, ask.digest, name, loop_wall_us(k->aide.loop) / 1000000, der, &n);
	said.err = (uint32_t)-err;
	aide_answer(to, MSG_KEY_PROVED, m->h.id, &said, sizeof(said), der, n);
}

static void heard(struct aide *a, struct aide_peer *from, struct msg *m)
{
	struct msg_signed refuse = {.err = EINVAL};
	struct keys *k = a->own;
	struct sign_ask ask;
	EVP_PKEY *key;

	if (m->h.type == MSG_KEY_MAKE) {
		make(k, from, m);
		return;
	}
	if (m->h.type == MSG_KEY_PROVE) {
		prove(k, from, m);
		return;
	}
	if (m->h.type != MSG_SIGN)
		return;
	/* Gates sign handshakes and certs requests, never the other way round. */
	if (sign_parse(m->payload, m->h.len, &ask) < 0 || sign_is_for_authority(ask.m.purpose) != (from->role == PROC_CERTS))
		aide_answer(from, MSG_SIGNED, m->h.id, &refuse, sizeof(refuse), NULL, 0);
	else if (sign_allowed(&ask) < 0 || store_find(k->store, ask.m.key, &key) != -ENOENT ||
		 ask.content_n > SIGN_CONTENT_MAX || !wait_for_vault(k, from, m))
		answer(k, from, m->h.id, &ask);
}

static void told(struct aide *a, struct msg *m)
{
	struct keys *k = a->own;

	/* One that cannot be read leaves what there is; ctl made it, and looks at what gates say.
	 */
	if (m->h.type == MSG_VAULT && store_vault(k->store, m->fds[0]) == 0)
		try_waiting(k);
}

static void up(struct aide *a, struct aide_peer *peer)
{
	struct keys *k = a->own;

	tell_tickets(peer, k);
	if (peer->role == PROC_CTL)
		aide_answer(peer, MSG_KEYS_HERE, 0, &k->here, sizeof(k->here), NULL, 0);
}

static void gone(struct aide *a, struct aide_peer *peer)
{
	struct keys *k = a->own;

	for (unsigned i = 0; i < WAITING_MAX; i++)
		if (k->waiting[i].from == peer)
			k->waiting[i].from = NULL;
}

static const struct aide_ops ops = {
	.started = started, .heard = heard, .up = up, .told = told, .gone = gone};
static op_done *const table[KEYS_OP_KINDS] = {
	CHAN_OPS, [OP_TICKETS] = on_rotate, [OP_WAITING] = on_wait};

int main(void)
{
	struct keys *k = calloc(1, sizeof(*k));
	struct loop *l;
	int err = loop_new_epoll(&l, table, KEYS_OP_KINDS);

	if (!err && !k)
		err = -ENOMEM;
	if (!err) {
		k->aide.own = k;
		k->rotate.op.kind = OP_TICKETS;
		k->wait.op.kind = OP_WAITING;
		err = aide_open(&k->aide, l, PROC_KEYS, &ops);
	}
	if (err)
		fatal("keys", "cannot start: %s", strerror(-err));
	err = loop_run(l);
	if (err)
		fatal("keys", "waiting failed: %s", strerror(-err));
	store_free(k->store);
	ca_done(&k->ca);
	explicit_bzero(k->secret, sizeof(k->secret));
	/* From within, so that what is left still has an owner when somebody looks for memory that has none. */
	exit(0);
}
