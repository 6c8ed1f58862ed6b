/*
 * choice.c: the end of an order: the certificate has come, perhaps with several chains to choose from (RFC 8555 section
 * 7.4.2); see order.h.
 *
 * Called by order.c's table of steps. Pure like that.
 */
#include "order.h"

#include <string.h>

/* Another chain for the same certificate, while it is not the wanted one and there are more; else what there is. */
static void next_chain(struct order *o)
{
	if (o->ask->chain[0] && o->link_i < o->nlinks && !chain_leads_to(&o->chain, o->ask->chain)) {
		o->link_i++;
		order_go(o, STEP_DOWNLOAD);
	} else {
		order_go(o, STEP_DONE);
	}
}

static bool is_ours(const struct order *o, const struct acme_chain *c)
{
	return memcmp(c->key, o->ask->key, 32) == 0 && chain_covers(c, o->ask->names, o->ask->nnames);
}

/* One of the others: it is taken when it leads where it shall; when it cannot be had, that is no reason to have none. */
void choice_heard_other(struct order *o, const struct answer *a)
{
	struct acme_chain other;

	if (!a->error && a->status == 200 && chain_parse(a->body, a->body_n, &other) == 0) {
		if (is_ours(o, &other) && chain_leads_to(&other, o->ask->chain)) {
			chain_done(&o->chain);
			o->chain = other;
		} else {
			chain_done(&other);
		}
	}
	next_chain(o);
}

void choice_heard(struct order *o, const struct answer *a, uint64_t now_ms, uint64_t now_s)
{
	size_t at = 0;

	(void)now_ms;
	(void)now_s;
	if (o->link_i) {
		choice_heard_other(o, a);
		return;
	}
	chain_done(&o->chain);
	if (chain_parse(a->body, a->body_n, &o->chain) < 0) {
		order_garbled(o, "the certificate");
	} else if (!is_ours(o, &o->chain)) {
		order_blame(o, "", "the authority's certificate is not the one that was asked for");
	} else {
		while (o->nlinks < ACME_CHAINS_MAX && a->link && answer_link(a->link, &at, "alternate", o->links[o->nlinks]))
			o->nlinks++;
		next_chain(o);
	}
}
