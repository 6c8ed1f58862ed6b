/*
 * tickets.c: the keys of session tickets (RFC 8446 section 4.6.1, RFC 5077); see keys.h. Called by
 * main.c and tests. A ticket's key opens what was encrypted in the sessions that its tickets
 * resume, so it lives for 36 hours and lies on no disk: what is kept for a successor is sealed and
 * lies in memory of the parent's.
 */
#include "keys.h"

#include <errno.h>
#include <string.h>

#include "lib/sys.h"

static const char about[] = "ticket keys";

static int make(struct ticket_key *k)
{
	return sys_random(k, sizeof(*k));
}

static bool is_whole(const struct tickets *t)
{
	return t->m.n >= 1 && t->m.n <= TICKET_KEYS_MAX;
}

int tickets_init(struct tickets *t, const uint8_t secret[SEAL_KEY_BYTES], const uint8_t *box,
	size_t n, uint64_t now_us)
{
	size_t got = 0;

	if (n == TICKETS_BOX_BYTES &&
		seal_open(secret, about, sizeof(about), box, n, (uint8_t *)t, &got) == 0 &&
		got == sizeof(*t) && is_whole(t))
		return 0;
	*t = (struct tickets){.made_us = now_us, .m.n = 1};
	return make(&t->m.key[0]);
}

bool tickets_rotate(struct tickets *t, uint64_t now_us, uint64_t *ret_next_us)
{
	bool changed = false;

	/* A clock that was set back for so long that nothing would rotate counts as a time that is
	 * over. */
	while (now_us >= t->made_us + TICKETS_ROTATE_US ||
		now_us + TICKETS_ROTATE_US < t->made_us) {
		struct ticket_key fresh;
		uint64_t over = (now_us - t->made_us) / TICKETS_ROTATE_US;

		if (make(&fresh) < 0)
			break;
		memmove(&t->m.key[1], &t->m.key[0], sizeof(t->m.key) - sizeof(t->m.key[0]));
		t->m.key[0] = fresh;
		t->m.n = t->m.n < TICKET_KEYS_MAX ? t->m.n + 1 : TICKET_KEYS_MAX;
		changed = true;
		/* After a long sleep of the machine all old ones are over, not only one. */
		t->made_us = now_us < t->made_us || over > TICKET_KEYS_MAX
				     ? now_us
				     : t->made_us + TICKETS_ROTATE_US;
		if (over > TICKET_KEYS_MAX)
			t->m.n = 1;
		explicit_bzero(&fresh, sizeof(fresh));
	}
	if (changed)
		explicit_bzero(&t->m.key[t->m.n], (TICKET_KEYS_MAX - t->m.n) * sizeof(t->m.key[0]));
	*ret_next_us = t->made_us + TICKETS_ROTATE_US > now_us
			       ? t->made_us + TICKETS_ROTATE_US - now_us
			       : 1000000;
	return changed;
}

int tickets_keep(const struct tickets *t, const uint8_t secret[SEAL_KEY_BYTES],
	uint8_t box[TICKETS_BOX_BYTES])
{
	uint8_t own[SEAL_KEY_BYTES];
	int err = seal_public(secret, own);

	return err ? err : seal_close(own, about, sizeof(about), t, sizeof(*t), box);
}
