/*
 * certs.c: certificates on their way from check's values to the gates (the snapshot) and to keys
 * (the vault), and the channel to keys.
 *
 * Called by the up flow, sites.c and peers.c. ctl sees certificates, and private keys only as boxes
 * that it cannot open. Owns the channel; what goes into a vault is the snapshot's build's.
 */
#include "sites.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base64.h"
#include "lib/sys.h"
#include "snap/cert_box.h"
#include "snap/vault.h"

enum { CHAIN_MAX = 16 };

/* ---- keys ---- */

void certs_want(struct ctl *c)
{
	struct msg_want m = {.role = PROC_KEYS};

	if (c->keys.wanted)
		return;
	c->keys.wanted = true;
	(void)parent_send(c, MSG_WANT, 0, &m, sizeof m, NULL, 0, NULL, 0);
}

void certs_await(struct ctl *c)
{
	c->keys.awaited = true;
	certs_want(c);
}

static bool keys_allowed(struct chan *ch, const struct msg_head *h, unsigned nfds)
{
	(void)ch;
	return msg_allowed(PROC_KEYS, PROC_CTL, h->type, h->len, nfds);
}

static void keys_got(struct chan *ch, struct msg *m)
{
	struct ctl *c = ch->owner;
	struct msg_keys_here here;

	if (!c->keys.greeted) {
		c->keys.greeted = peers_hello_holds(m);
		if (!c->keys.greeted)
			chan_close(ch);
		return;
	}
	if (m->h.type == MSG_KEY_MADE && !local_made(c, m))
		acme_key_made(c, m);
	if (m->h.type == MSG_KEY_PROVED)
		acme_proved(c, m);
	if (m->h.type != MSG_KEYS_HERE || msg_get(m, &here, sizeof here, sizeof here) < 0)
		return;
	if (!c->keys.known && !(here.guards & KEYS_LOCKED))
		say(c, EV_JAIL_SKIPPED, "what",
			"memory of the private keys that is never swapped out", NULL);
	if (!c->keys.known && !(here.guards & KEYS_FILTERED))
		say(c, EV_JAIL_SKIPPED, "what", "seccomp filter of the private keys' process",
			NULL);
	memcpy(c->keys.public_key, here.public_key, sizeof c->keys.public_key);
	memcpy(c->keys.ca, here.ca, sizeof c->keys.ca - 1);
	c->keys.ca_err = here.ca_err;
	c->keys.known = true;
	if (c->up)
		up_advance(c->up);
	acme_prove_all(c);
	acme_turn(c);
	local_turn(c);
	cert_import_settle(c);
}

static void keys_gone(struct chan *ch, int why)
{
	struct ctl *c = ch->owner;

	(void)why;
	c->keys.greeted = false;
	acme_keys_gone(c);
	local_keys_gone(c);
}

static const struct chan_ops keys_ops = {keys_allowed, keys_got, keys_gone};

int certs_channel(struct ctl *c, int fd)
{
	int err;

	chan_close(&c->keys.chan);
	c->keys.greeted = false;
	/* It runs, whoever wanted it. */
	c->keys.wanted = true;
	err = chan_init(&c->keys.chan, c->loop, fd, &keys_ops, c);
	if (err == 0)
		peers_hello(&c->keys.chan);
	return err;
}

/* ---- which sites have one ---- */

static bool site_has(const struct site *s)
{
	struct site_value v;
	struct unpack u;

	unpack_init(&u, s->values, s->bytes);
	while (site_value_next(&u, &v))
		if (strcmp(v.section, "Site") == 0 && strcmp(v.key, "CertificateChain") == 0)
			return true;
	return false;
}

bool certs_any(const struct ctl *c, const struct conf_app *conf, const struct site_list *sites)
{
	if (conf->https || acme_wants(c, conf))
		return true;
	for (const struct stored_cert *s = c->certs.stored; s; s = s->next)
		if (strcmp(s->site, STORED_LOCAL) != 0)
			return true;
	for (unsigned i = 0; i < sites->n; i++)
		if (site_has(sites->all[i]))
			return true;
	return false;
}

void certs_resume(struct ctl *c)
{
	bool any = false;

	FOR_APPS(c, a)
		for (const struct app_value *v = a->values; v; v = v->next)
			any |= strcmp(v->key, "CertificateChain") == 0;
	for (unsigned i = 0; i < c->sites.n && !any; i++)
		any = site_has(c->sites.all[i]);
	if (any)
		certs_await(c);
	else if (c->certs.stored)
		certs_want(c);
}

/* ---- the snapshot and the vault ---- */

uint32_t certs_pack_names(struct buf *b, const char *names)
{
	uint32_t count = 0;

	for (; *names; count++) {
		size_t n = strcspn(names, " ");
		char name[256];

		(void)snprintf(name, sizeof name, "%.*s", (int)min_of(n, sizeof name - 1), names);
		pack_str(b, name);
		names += n + strspn(names + n, " ");
	}
	return count;
}

void *certs_decode(const char *text, size_t *ret_n)
{
	return base64_new(text, strlen(text), ret_n);
}

static bool put_chain(struct site_build *b, const struct conf_app *conf,
	const struct cert_box_view *v, uint32_t *ret)
{
	struct snap_cert cert = {.not_after_s = v->head.not_after_s};
	void *der[CHAIN_MAX];
	size_t der_n[CHAIN_MAX];
	unsigned n = 0;
	bool good = true;

	memcpy(cert.id, v->head.id, sizeof cert.id);
	memcpy(cert.key, v->head.key, sizeof cert.key);
	while (good && conf->chain[n]) {
		void *one = n < CHAIN_MAX ? certs_decode(conf->chain[n], &der_n[n]) : NULL;

		good = one != NULL;
		if (good)
			der[n++] = one;
	}
	if (good)
		*ret = snap_put_cert(b->w, &cert, (const void *const *)der, der_n, n, v->names) + 1;
	while (n)
		free(der[--n]);
	return good;
}

/* Takes `mem`, in which the box and its id lie. */
static bool put_key(
	struct site_build *b, void *mem, const uint8_t *id, const void *box, size_t box_n)
{
	struct vault_key *more = reallocarray(b->keys, b->keys_n + 1, sizeof *more);

	if (!more) {
		b->no_memory = true;
		return false;
	}
	b->keys = more;
	more[b->keys_n++] = (struct vault_key){.id = id, .box = box, .box_n = box_n, .mem = mem};
	return true;
}

bool certs_put_key(struct site_build *b, const uint8_t id[32], const void *box, size_t n)
{
	uint8_t *copy = malloc(32 + n);

	if (!copy) {
		b->no_memory = true;
		return false;
	}
	memcpy(copy, id, 32);
	memcpy(copy + 32, box, n);
	if (put_key(b, copy, copy, copy + 32, n))
		return true;
	free(copy);
	return false;
}

void certs_speak(struct site_build *b, const struct conf_app *conf, struct snap_site *site)
{
	site->https_port = b->https_port;
	site->flags |= (conf->http1 ? 0 : SNAP_SITE_NO_HTTP1) |
		       (conf->http2 ? 0 : SNAP_SITE_NO_HTTP2) | (conf->kernel_tls ? 0 : SNAP_SITE_NO_KERNEL_TLS);
}

void certs_serve(
	struct site_build *b, const struct conf_app *conf, struct snap_site *site, bool trusted)
{
	certs_speak(b, conf, site);
	site->flags |= (conf->http == CONF_HTTP_REDIRECT ? SNAP_SITE_HTTP_REDIRECT : 0) |
		       (conf->http == CONF_HTTP_OFF ? SNAP_SITE_HTTP_OFF : 0);
	/* A browser that has seen it takes no other certificate for so long: not one that only a
	 * test trusts. */
	if (trusted || conf->hsts_written)
		site->hsts_s = (uint32_t)min_of(conf->hsts_ms / 1000, (uint64_t)UINT32_MAX);
}

bool certs_put_stored(struct site_build *b, const struct stored_cert *s, uint32_t *ret)
{
	struct snap_cert cert = {.not_after_s = s->v.head.not_after_s};

	memcpy(cert.id, s->v.head.id, sizeof cert.id);
	memcpy(cert.key, s->v.head.key, sizeof cert.key);
	if (!certs_put_key(b, cert.key, s->v.box, s->v.box_n))
		return false;
	*ret = snap_put_cert(b->w, &cert, (const void *const *)s->der, s->der_n, s->n, s->v.names) + 1;
	return true;
}

/* One that was imported comes before what could be got. */
static bool stored_put(struct site_build *b, const struct conf_app *conf, struct snap_site *site)
{
	struct stored_cert *s =
		conf->https_off || !b->https_port ? NULL : stored_find(b->c, b->name);

	if (!s || !certs_put_stored(b, s, &site->cert))
		return false;
	s->seen = b->c->certs.build;
	certs_serve(b, conf, site, s->v.head.trusted != 0);
	return true;
}

void certs_put(struct site_build *b, const struct conf_app *conf, struct snap_site *site)
{
	struct cert_box_view v;
	uint8_t *box;
	size_t n = 0;

	if (!conf->https && stored_put(b, conf, site))
		return;
	if (!conf->https) {
		/* Until one is got a local name has its own; a public one has none. */
		if (!acme_put(b, conf, site))
			local_put(b, conf, site);
		return;
	}
	if (!b->https_port)
		return;
	box = certs_decode(conf->certificate_box, &n);
	if (!box || !cert_box_read(box, n, &v) || !put_chain(b, conf, &v, &site->cert) ||
		!put_key(b, box, box + offsetof(struct cert_box, key), v.box, v.box_n)) {
		free(box);
		return;
	}
	acme_own(b, &v);
	certs_serve(b, conf, site, v.head.trusted != 0);
}

int certs_send_vault(struct site_build *b)
{
	struct ctl *c = b->c;
	struct msg_vault m = {.generation = ++c->keys.vault_generation};
	uint64_t sum = 0;
	int fd, err;

	for (size_t i = 0; i < b->keys_n; i++)
		sum = sum * 31 + sys_checksum(b->keys[i].box, b->keys[i].box_n);
	if (!b->keys_n || (c->keys.vault_sent && sum == c->keys.vault_sum))
		return 0;
	certs_want(c);
	err = vault_make(b->keys, b->keys_n, &fd);
	if (err)
		return err;
	err = parent_send(c, MSG_VAULT, 0, &m, sizeof m, NULL, 0, &fd, 1);
	close(fd);
	c->keys.vault_sent = err == 0;
	c->keys.vault_sum = sum;
	return err;
}

void certs_done(struct site_build *b)
{
	for (size_t i = 0; i < b->keys_n; i++)
		free(b->keys[i].mem);
	free(b->keys);
}
