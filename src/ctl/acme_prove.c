/*
 * acme_prove.c: certificates that prove names by TLS (RFC 8737): keys makes them, with a key of its
 * own that serves for nothing else, and gates show them.
 *
 * Called by acme_offer.c, with keys' answers, and when keys comes or goes. The key is the one of the
 * account "" and lies in the vault like others, so keys may die between the certificate and the
 * handshake. Owns nothing.
 */
#include "ctl.h"

#include <stdlib.h>
#include <string.h>

/* The text is the digest in hex digits. False: it is not. */
static bool read_digest(const char *text, uint8_t ret[32])
{
	static const char digits[] = "0123456789abcdef";

	if (strlen(text) != 64 || strspn(text, digits) != 64)
		return false;
	for (unsigned i = 0; i < 32; i++)
		ret[i] = (uint8_t)((strchr(digits, text[2 * i]) - digits) << 4 |
				   (strchr(digits, text[2 * i + 1]) - digits));
	return true;
}

static bool waits(const struct cert_challenge *ch)
{
	return ch->until_ms && ch->way == CERT_BY_TLS && !ch->der && !ch->asked;
}

void acme_prove(struct ctl *c, struct cert_challenge *ch)
{
	const struct acme_account *a;
	struct msg_key_prove m;
	struct buf b;

	if (!waits(ch) || !c->keys.greeted || !c->keys.known || !read_digest(ch->text, m.digest))
		return;
	a = acme_account(c, "");
	if (!a)
		return;
	memcpy(m.key, a->key.id, sizeof m.key);
	memcpy(ch->key, a->key.id, sizeof ch->key);
	buf_init(&b, 512);
	pack_str(&b, ch->name);
	if (!b.error && chan_send(&c->keys.chan, MSG_KEY_PROVE, c->ids + 1, &m, sizeof m, b.p,
				b.len, NULL, 0) == 0)
		ch->asked = ++c->ids;
	buf_done(&b);
}

void acme_prove_all(struct ctl *c)
{
	for (unsigned i = 0; i < CERT_CHALLENGES_MAX; i++)
		acme_prove(c, &c->certs.challenges[i]);
}

void acme_prove_again(struct ctl *c)
{
	for (unsigned i = 0; i < CERT_CHALLENGES_MAX; i++)
		c->certs.challenges[i].asked = 0;
}

void acme_proved(struct ctl *c, const struct msg *m)
{
	struct cert_challenge *ch = NULL;
	struct msg_key_proved said;
	const char *der;
	size_t n;

	for (unsigned i = 0; i < CERT_CHALLENGES_MAX && !ch; i++)
		if (c->certs.challenges[i].until_ms && c->certs.challenges[i].asked == m->h.id)
			ch = &c->certs.challenges[i];
	if (!ch || msg_get(m, &said, sizeof said, sizeof said) < 0)
		return;
	ch->asked = 0;
	der = msg_tail(m, sizeof said, &n);
	if (said.err || !n || n > CHALLENGE_DER_MAX) {
		acme_not_offered(c, ch, "the process of the private keys did not make the "
			"certificate that proves it", "`stead reload` sends all keys again; see `stead logs`");
		return;
	}
	ch->der = malloc(n);
	if (!ch->der)
		return;
	memcpy(ch->der, der, n);
	ch->der_n = n;
	acme_offered(c, ch);
}
