/*
 * auth.c: names and passwords (RFC 7617); see auth.h. Called by phases.c and aides.c.
 *
 * Owns the requests that wait, bounded in number and time; the passwords seen to be right lately,
 * of which it keeps only keyed hashes; and the count of wrong ones by address. What was decoded of a
 * password is wiped as soon as it is checked. An unknown name is checked against some other user's
 * hash, so that its answer takes as long.
 */
#include "auth.h"
#include "lib/base64.h"
#include "edit.h"
#include "lib/buf.h"
#include "lib/must.h"

#include <errno.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
	KEY_BYTES = 32,
	GOOD_MAX = 1024,
	GOOD_MS = 10 * 60 * 1000,
	WRONG_MAX = 4096, /* addresses by hash; two that share a place share their count */
	WRONG_BURST = 10,
	WRONG_MS = 6000, /* for each further one */
	WAITING_MAX = 64,
	WAIT_MS = 10 * 1000,
	TICK_MS = 1000,
	CREDENTIALS_MAX = 1024,
};

struct auth_wait {
	struct auth_wait *next, **link; /* link NULL: not in the list any more */
	struct req *r;
	uint64_t id, until_ms;
	const char *hash, *password;
	unsigned char key[KEY_BYTES];
	bool known, asked, answered, good;
};

struct good {
	unsigned char key[KEY_BYTES];
	uint64_t until_ms; /* 0: free */
};

struct wrong {
	uint64_t clear_ms; /* each wrong one moves it on by WRONG_MS */
};

struct auth {
	struct auth_wait *first;
	unsigned waiting;
	uint64_t ids;
	struct timer tick;
	unsigned char secret[KEY_BYTES];
	struct good good[GOOD_MAX];
	struct wrong wrong[WRONG_MAX];
};

static struct auth *auth_of(struct gate *g)
{
	struct auth *a = g->auth;

	if (a)
		return a;
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	if (getrandom(a->secret, sizeof(a->secret), 0) != (ssize_t)sizeof(a->secret)) {
		free(a);
		return NULL;
	}
	a->tick.op.kind = OP_AUTH_TICK;
	g->auth = a;
	return a;
}

void auth_free(struct gate *g)
{
	if (!g->auth)
		return;
	loop_timer_stop(g->loop, &g->auth->tick);
	explicit_bzero(g->auth, sizeof(*g->auth));
	free(g->auth);
	g->auth = NULL;
}

/* ---- what is known ---- */

static bool key_of(const struct auth *a, const struct auth_wait *w, unsigned char ret[KEY_BYTES])
{
	char text[CREDENTIALS_MAX + 512];
	size_t n = strlen(w->hash) + 1, m = strlen(w->password);
	unsigned len = KEY_BYTES;
	bool made;

	if (n + m > sizeof(text))
		return false;
	memcpy(text, w->hash, n);
	memcpy(text + n, w->password, m);
	made = HMAC(EVP_sha256(), a->secret, KEY_BYTES, (unsigned char *)text, n + m, ret, &len) !=
	       NULL;
	explicit_bzero(text, sizeof(text));
	return made;
}

static struct good *good_place(struct auth *a, const unsigned char key[KEY_BYTES])
{
	uint32_t h;

	memcpy(&h, key, sizeof(h));
	return &a->good[h % GOOD_MAX];
}

static bool is_good(struct auth *a, const unsigned char key[KEY_BYTES], uint64_t now)
{
	const struct good *k = good_place(a, key);

	return k->until_ms > now && memcmp(k->key, key, KEY_BYTES) == 0;
}

static struct wrong *wrong_place(struct auth *a, const struct req *r)
{
	unsigned char out[KEY_BYTES];
	unsigned len = KEY_BYTES;
	uint32_t h = 0;

	if (HMAC(EVP_sha256(), a->secret, KEY_BYTES, (const unsigned char *)r->peer,
		    strlen(r->peer), out, &len))
		memcpy(&h, out, sizeof(h));
	return &a->wrong[h % WRONG_MAX];
}

static void count_wrong(struct auth *a, const struct req *r, uint64_t now)
{
	struct wrong *k = wrong_place(a, r);

	k->clear_ms = (k->clear_ms > now ? k->clear_ms : now) + WRONG_MS;
}

/* ---- who waits ---- */

static void leave(struct auth *a, struct auth_wait *w)
{
	if (!w->link)
		return;
	*w->link = w->next;
	if (w->next)
		w->next->link = w->link;
	w->link = NULL;
	a->waiting--;
}

static void enter(struct gate *g, struct auth_wait *w)
{
	struct auth *a = g->auth;

	w->next = a->first;
	w->link = &a->first;
	if (w->next)
		w->next->link = &w->next;
	a->first = w;
	a->waiting++;
	if (!a->tick.at_ms)
		loop_timer_in(g->loop, &a->tick, TICK_MS);
}

static void ask(struct gate *g, struct auth_wait *w)
{
	char mem[2048];
	struct buf b;

	buf_fixed(&b, mem, sizeof(mem));
	pack_str(&b, w->hash);
	pack_str(&b, w->password);
	w->asked = b.error == 0 && aides_send(g, AIDE_AUTH, MSG_AUTH_CHECK, w->id, b.p, b.len) == 0;
	explicit_bzero(mem, sizeof(mem));
}

static void forget_password(struct auth_wait *w)
{
	explicit_bzero((char *)w->password, strlen(w->password));
}

void auth_cancel(struct req *r)
{
	struct auth_wait *w = r->phase_state;

	if (!w)
		return;
	leave(r->gate->auth, w);
	forget_password(w);
}

static void settle(struct gate *g, struct auth_wait *w)
{
	leave(g->auth, w);
	w->answered = true;
	phases_resume(w->r);
}

static void heard(struct gate *g, struct msg *m)
{
	struct auth_wait *w = g->auth ? g->auth->first : NULL;
	struct msg_auth said;

	if (msg_get(m, &said, sizeof(said), sizeof(said)) < 0)
		return;
	while (w && w->id != m->h.id)
		w = w->next;
	/* Nobody waits any more: the client has gone. */
	if (!w)
		return;
	w->good = said.good == 1;
	settle(g, w);
}

static void up(struct gate *g)
{
	for (struct auth_wait *w = g->auth ? g->auth->first : NULL; w; w = w->next)
		if (!w->asked)
			ask(g, w);
}

static void down(struct gate *g)
{
	for (struct auth_wait *w = g->auth ? g->auth->first : NULL; w; w = w->next)
		w->asked = false;
}

const struct aide_user_ops auth_user_ops = {.up = up, .heard = heard, .down = down};

void auth_on_tick(struct loop *l, struct op *op, int res)
{
	struct auth *a = container_of(op, struct auth, tick.op);
	struct auth_wait *w = a->first;

	(void)res;
	/* One that is answered may end others: look from the beginning again. */
	while (w) {
		struct gate *g = w->r->gate;

		if (loop_now_ms(l) >= w->until_ms) {
			settle(g, w);
			w = a->first;
		} else {
			w = w->next;
		}
	}
	if (a->first)
		loop_timer_in(l, &a->tick, TICK_MS);
}

/* ---- the phase ---- */

static enum phase_end ask_for_password(struct req *r)
{
	size_t n;
	const char *site = snap_str(r->snap, r->site->name, &n);
	char *value =
		arena_printf(&r->arena, "Basic realm=\"%.*s\", charset=\"UTF-8\"", (int)n, site);
	struct field f = {"WWW-Authenticate", value, 16, value ? (uint32_t)strlen(value) : 0};

	req_fail_with(r, value ? CLOSE_AUTH_REQUIRED : CLOSE_NO_MEMORY, 0, value ? &f : NULL);
	return PHASE_ANSWERED;
}

/* The field's name and password, NUL-terminated. False: there is none that can be understood. */
static bool credentials(struct req *r, char **ret_user, char **ret_password)
{
	const struct field *f = req_field(r, "authorization");
	const char *p;
	char *text, *colon;
	size_t n;
	long len;

	if (!f || f->value_len < 7 || strncasecmp(f->value, "basic ", 6) != 0)
		return false;
	p = f->value + 6;
	n = f->value_len - 6;
	while (n && *p == ' ') {
		p++;
		n--;
	}
	if (n > CREDENTIALS_MAX)
		return false;
	text = arena_alloc(&r->arena, n + 1);
	if (!text)
		return false;
	len = base64_decode(p, n, text);
	if (len < 0 || memchr(text, 0, (size_t)len))
		return false;
	text[len] = 0;
	colon = strchr(text, ':');
	if (!colon)
		return false;
	*colon = 0;
	*ret_user = text;
	*ret_password = colon + 1;
	return true;
}

static void find_user(const struct req *r, const char *name, struct auth_wait *w)
{
	const struct snap_user *u;
	size_t n;

	for (uint32_t i = 0; (u = snap_item(r->snap, r->route->users, i, sizeof(*u))); i++) {
		const char *known = snap_str(r->snap, u->name, &n);

		if (i == 0)
			w->hash = snap_str(r->snap, u->hash, NULL);
		if (strlen(name) != n || memcmp(known, name, n) != 0)
			continue;
		w->hash = snap_str(r->snap, u->hash, NULL);
		w->known = true;
	}
}

static enum phase_end pass(struct req *r, const char *user)
{
	r->user = user;
	/* Whoever answers learns the name, and never the password. */
	edit_remove(r, "authorization");
	return PHASE_NEXT;
}

static enum phase_end finish(struct req *r, struct auth_wait *w)
{
	struct auth *a = r->gate->auth;
	uint64_t now = loop_now_ms(r->gate->loop);
	bool good = w->good && w->known;

	forget_password(w);
	if (!w->asked) {
		req_fail(r, CLOSE_AUTH_BUSY, 5);
		return PHASE_ANSWERED;
	}
	if (!good) {
		count_wrong(a, r, now);
		return ask_for_password(r);
	}
	*good_place(a, w->key) = (struct good){.until_ms = now + GOOD_MS};
	memcpy(good_place(a, w->key)->key, w->key, KEY_BYTES);
	return pass(r, r->user);
}

enum phase_end phase_basic(struct req *r)
{
	struct auth_wait *w = r->phase_state;
	uint64_t now = loop_now_ms(r->gate->loop);
	char *user, *password;
	struct auth *a;

	if (w)
		return finish(r, w);
	if (!credentials(r, &user, &password))
		return ask_for_password(r);
	a = auth_of(r->gate);
	w = a ? arena_zalloc(&r->arena, sizeof(*w)) : NULL;
	if (!w) {
		req_fail(r, CLOSE_NO_MEMORY, 0);
		return PHASE_ANSWERED;
	}
	w->password = password;
	find_user(r, user, w);
	if (!key_of(a, w, w->key))
		return ask_for_password(r);
	if (w->known && is_good(a, w->key, now)) {
		forget_password(w);
		return pass(r, user);
	}
	if (wrong_place(a, r)->clear_ms > now + WRONG_BURST * WRONG_MS ||
		a->waiting >= WAITING_MAX) {
		bool busy = a->waiting >= WAITING_MAX;

		forget_password(w);
		req_fail(r, busy ? CLOSE_AUTH_BUSY : CLOSE_AUTH_THROTTLED, WRONG_MS / 1000);
		return PHASE_ANSWERED;
	}
	r->user = user;
	r->phase_state = w;
	w->r = r;
	w->id = ++a->ids;
	w->until_ms = now + WAIT_MS;
	enter(r->gate, w);
	ask(r->gate, w);
	return PHASE_WAIT;
}
