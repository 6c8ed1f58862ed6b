/*
 * cert_local.c: the certificate for local names, by which https://localhost works on the machine of
 * whoever runs `stead up`: one for all sites of the instance, of the user's own authority, which
 * the process keys holds.
 *
 * Called while a snapshot is made, and with what keys says. A site without another certificate is
 * served with it when it has a local name (localhost, *.localhost, *.test), or answers to every
 * name, or is the folder's own. It never changes what becomes of requests in the clear, and HSTS is
 * never said: both would hold for whatever else is at that name. It is made anew by itself when two
 * thirds of its life are over, or it is for other names or of another authority; until then the old
 * one serves. Without an authority all else is as it was. Owns struct cert_local.
 */
#include "sites.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/hostname.h"

enum { NAMES_MAX = 100, WAIT_MS = 5000, LOOK_MS = 3600 * 1000 };

static const char *const base[] = {"localhost", "127.0.0.1", "::1"};

static struct cert_local *local_of(struct site_build *b)
{
	return &b->c->certs.local;
}

/* ---- where ---- */

static bool is_loopback(const char *address)
{
	const char *colon = strrchr(address, ':');

	return colon && hostname_is_local(address, (size_t)(colon - address));
}

bool local_may(const struct ctl *c, const struct conf_app *conf)
{
	const char *const *a = conf->listen_tls;

	if (!c->start.ca || !a || !a[0])
		return false;
	/* Whoever asked on the command line, or not at all, is here; a file's may be a server's. */
	while (*a && !conf->listen_tls_default && !conf->listen_tls_command && is_loopback(*a))
		a++;
	return conf->listen_tls_default || conf->listen_tls_command || !*a;
}

/* ---- for which names ---- */

static void add(struct cert_local *l, const char *name)
{
	size_t n = strlen(name), len = l->names.len;

	if (l->names_n >= NAMES_MAX || len + n + 1 > CERT_NAMES_TEXT_MAX ||
		hostname_among(buf_str(&l->names), len, name, n))
		return;
	if (len)
		buf_putc(&l->names, ' ');
	buf_put(&l->names, name, n);
	l->names_n++;
}

/* One that keys takes, and a browser. */
static bool is_fit(const char *name)
{
	static const char taken[] = "abcdefghijklmnopqrstuvwxyz0123456789-.*";

	return hostname_is_local(name, strlen(name)) && name[strspn(name, taken)] == '\0' &&
	       strcmp(name, "*.localhost") != 0 && strcmp(name, "*.test") != 0;
}

static bool add_all(struct cert_local *l, const char *const *names)
{
	bool any = false;

	for (; names && *names; names++)
		if (is_fit(*names)) {
			add(l, *names);
			any = true;
		}
	return any;
}

/* ---- the snapshot ---- */

static uint64_t now_s(const struct ctl *c)
{
	return loop_wall_us(c->loop) / 1000000;
}

static bool is_of_authority(const struct ctl *c, const struct stored_cert *s)
{
	return !c->keys.known || strcmp(s->v.issuer, c->keys.ca) == 0;
}

/* What is there may be served, though perhaps not for long. */
static const struct stored_cert *there(const struct ctl *c)
{
	const struct stored_cert *s = stored_find(c, STORED_LOCAL);

	return s && is_of_authority(c, s) && now_s(c) < s->v.head.not_after_s ? s : NULL;
}

static uint64_t renewal_s(const struct stored_cert *s)
{
	return s->v.head.not_before_s + (s->v.head.not_after_s - s->v.head.not_before_s) * 2 / 3;
}

static bool is_good(const struct ctl *c, const struct stored_cert *s)
{
	const struct buf *names = &c->certs.local.names;

	return s && now_s(c) < renewal_s(s) && strlen(s->v.names) == names->len &&
	       memcmp(s->v.names, names->p, names->len) == 0;
}

void local_begin(struct site_build *b, const struct conf_app *conf)
{
	struct cert_local *l = local_of(b);

	buf_done(&l->names);
	buf_init(&l->names, CERT_NAMES_TEXT_MAX + 1);
	l->names_n = 0;
	for (size_t i = 0; i < ARRAY_LEN(base); i++)
		add(l, base[i]);
	l->may = local_may(b->c, conf);
	l->wanted = l->own = l->failed = false;
	l->index = 0;
}

void local_put(struct site_build *b, const struct conf_app *conf, struct snap_site *site)
{
	struct cert_local *l = local_of(b);
	const struct stored_cert *s;
	bool any;

	if (!l->may || !b->https_port || !conf->https_auto)
		return;
	any = add_all(l, conf->domains);
	any |= add_all(l, conf->aliases);
	if (!any && !b->own && conf->domains && conf->domains[0])
		return;
	l->wanted = true;
	l->own |= b->own;
	s = there(b->c);
	if (!s)
		return;
	if (!l->index && !certs_put_stored(b, s, &l->index))
		return;
	site->cert = l->index;
	certs_speak(b, conf, site);
}

/* ---- making it ---- */

static void look_again(struct ctl *c, uint64_t ms)
{
	c->certs.local.timer.op.kind = OP_LOCAL;
	loop_timer_in(c->loop, &c->certs.local.timer, ms);
}

static void forget(struct cert_local *l)
{
	free(l->asked);
	l->asked = NULL;
	l->making = 0;
}

static void give_up(struct ctl *c)
{
	struct cert_local *l = &c->certs.local;

	forget(l);
	l->failed = true;
	look_again(c, LOOK_MS);
	if (c->up)
		up_advance(c->up);
}

static void say_why(struct ctl *c, int err)
{
	if (!c->certs.local.said)
		say(c, EV_LOCAL_CA_OFF, "why", strerror(err), NULL);
	c->certs.local.said = true;
}

static void ask(struct ctl *c)
{
	struct cert_local *l = &c->certs.local;
	struct msg_key_make m = {.kind = KEY_LOCAL};
	struct buf b;

	if (l->making || !c->keys.known)
		return;
	if (!c->keys.ca[0]) {
		say_why(c, (int)c->keys.ca_err);
		give_up(c);
		return;
	}
	buf_init(&b, CHAN_PAYLOAD_MAX - sizeof m);
	m.names = certs_pack_names(&b, l->asked);
	l->making = ++c->ids;
	if (b.error || chan_send(&c->keys.chan, MSG_KEY_MAKE, l->making, &m, sizeof m, b.p, b.len,
			       NULL, 0) < 0)
		l->making = 0;
	buf_done(&b);
}

/* Does it have to be made? Then keys is asked, or waited for. */
static void see(struct ctl *c)
{
	struct cert_local *l = &c->certs.local;
	const struct stored_cert *s = there(c);

	if (!l->wanted || l->failed)
		return;
	if (is_good(c, s)) {
		uint64_t left = renewal_s(s) - now_s(c);

		forget(l);
		look_again(c, min_of(left * 1000 + 1000, (uint64_t)LOOK_MS));
		return;
	}
	if (!l->asked || strcmp(l->asked, buf_str(&l->names)) != 0) {
		free(l->asked);
		l->asked = strdup(buf_str(&l->names));
		l->making = 0;
	}
	if (!l->asked)
		return;
	certs_want(c);
	look_again(c, WAIT_MS);
	ask(c);
}

void local_end(struct site_build *b)
{
	see(b->c);
}

void local_turn(struct ctl *c)
{
	struct cert_local *l = &c->certs.local;

	l->failed = false;
	/* It was put without knowing whose it should be. */
	if (l->wanted && l->index && !there(c))
		(void)sites_again(c);
	else
		see(c);
}

void local_on_timer(struct loop *loop, struct op *op, int res)
{
	struct ctl *c = container_of(op, struct ctl, certs.local.timer.op);
	struct cert_local *l = &c->certs.local;

	(void)loop;
	(void)res;
	if (l->asked) { /* keys does not come up, or is silent */
		say_why(c, ETIMEDOUT);
		give_up(c);
		return;
	}
	l->failed = false;
	see(c);
}

void local_keys_gone(struct ctl *c)
{
	c->certs.local.making = 0;
}

bool local_made(struct ctl *c, const struct msg *m)
{
	struct cert_local *l = &c->certs.local;
	struct stored_cert *s = NULL;
	struct msg_key_made said;
	const char *whole, *der;
	size_t n, der_n;
	struct unpack u;
	int err;

	if (!l->making || m->h.id != l->making || msg_get(m, &said, sizeof said, sizeof said) < 0)
		return false;
	whole = msg_tail(m, sizeof said, &n);
	unpack_init(&u, whole, n);
	whole = unpack_bytes(&u, &n);
	der = unpack_bytes(&u, &der_n);
	if (!said.err && unpack_done(&u))
		s = stored_new(STORED_LOCAL, (const void *const[]){der}, &der_n, 1, whole, n);
	/* One that would have to be made again at once is none. */
	if (s && !(is_of_authority(c, s) && is_good(c, s))) {
		stored_free(s);
		s = NULL;
	}
	err = s ? stored_take(c, s) : said.err ? -(int)said.err : -EBADMSG;
	if (err) {
		say_why(c, -err);
		give_up(c);
		return true;
	}
	forget(l);
	(void)sites_again(c);
	if (c->up)
		up_advance(c->up);
	return true;
}

/* ---- for others ---- */

bool local_settled(const struct ctl *c)
{
	const struct cert_local *l = &c->certs.local;

	return !l->wanted || l->failed || is_good(c, there(c));
}

bool local_serves_own(const struct ctl *c)
{
	return c->certs.local.own && c->certs.local.index;
}

bool local_serves(const struct ctl *c, const char *site)
{
	return local_serves_own(c) && strcmp(site, c->app.name) == 0 && there(c);
}

json_t *local_json(struct ctl *c)
{
	struct cert_local *l = &c->certs.local;
	const struct stored_cert *s = there(c);

	if (!l->wanted)
		return NULL;
	if (!s)
		return json_pack("{s:s, s:s, s:s, s:s, s:o}", "site", STORED_LOCAL, "state",
			l->failed ? "failing" : "being made", "from", "local CA", "issuer",
			c->keys.ca, "names", certs_words(buf_str(&l->names)));
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:o, s:o}", "site", STORED_LOCAL, "state",
		l->index ? "served" : "being made", "from", "local CA", "issuer", s->v.issuer,
		"names", certs_words(s->v.names), "serial", s->v.serial, "until",
		certs_day(s->v.head.not_after_s), "next", certs_day(renewal_s(s)));
}

void local_free(struct ctl *c)
{
	buf_done(&c->certs.local.names);
	forget(&c->certs.local);
}
