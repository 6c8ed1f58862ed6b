/*
 * firewall.c: the model of firewall.h, and what becomes of a probe in it. Pure.
 */
#include "firewall.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fw_init(struct fw *fw, const struct fw_probe *probe)
{
	*fw = (struct fw){.probe = *probe};
}

void fw_done(struct fw *fw)
{
	free(fw->chain);
	free(fw->rule);
	*fw = (struct fw){.probe = fw->probe};
}

/* Room for one more; the old memory stays when there is none. */
static bool room(struct fw *fw, void **mem, uint32_t n, uint32_t *cap, uint32_t max, size_t each)
{
	uint32_t more = *cap ? *cap * 2 : 64;
	void *p;

	if (n < *cap)
		return true;
	p = more <= max ? realloc(*mem, more * each) : NULL;
	if (!p) {
		fw->error = fw->error ? fw->error : more <= max ? -ENOMEM : -EOVERFLOW;
		return false;
	}
	*mem = p;
	*cap = more;
	return true;
}

bool fw_is_compat(const char *family, const char *table)
{
	static const char *const tables[] = {"filter", "mangle", "nat", "raw", "security"};

	if (strcmp(family, "ip") != 0 && strcmp(family, "ip6") != 0)
		return false;
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
		if (strcmp(table, tables[i]) == 0)
			return true;
	return false;
}

uint32_t fw_chain(struct fw *fw, const char *tool, const char *family, const char *table, const char *name)
{
	struct fw_chain *c;

	for (uint32_t i = 0; i < fw->nchains; i++) {
		c = &fw->chain[i];
		if (strcmp(c->name, name) == 0 && strcmp(c->table, table) == 0 && strcmp(c->family, family) == 0 &&
			strcmp(c->tool, tool) == 0)
			return i;
	}
	if (strlen(name) >= sizeof c->name || strlen(table) >= sizeof c->table || strlen(family) >= sizeof c->family ||
		strlen(tool) >= sizeof c->tool)
		fw->error = fw->error ? fw->error : -EOVERFLOW;
	if (fw->error || !room(fw, (void **)&fw->chain, fw->nchains, &fw->chains_cap, FW_CHAINS_MAX, sizeof *fw->chain))
		return 0;
	c = &fw->chain[fw->nchains];
	*c = (struct fw_chain){.prio = 0};
	(void)snprintf(c->tool, sizeof c->tool, "%s", tool);
	(void)snprintf(c->family, sizeof c->family, "%s", family);
	(void)snprintf(c->table, sizeof c->table, "%s", table);
	(void)snprintf(c->name, sizeof c->name, "%s", name);
	return fw->nchains++;
}

struct fw_rule *fw_rule(struct fw *fw, uint32_t chain)
{
	struct fw_chain *c;
	struct fw_rule *r;

	if (fw->error || chain >= fw->nchains ||
		!room(fw, (void **)&fw->rule, fw->nrules, &fw->rules_cap, FW_RULES_MAX, sizeof *fw->rule))
		return NULL;
	c = &fw->chain[chain];
	r = &fw->rule[fw->nrules];
	*r = (struct fw_rule){.match = FW_YES, .number = ++c->rules};
	if (c->last)
		fw->rule[c->last - 1].next = fw->nrules + 1;
	else
		c->first = fw->nrules + 1;
	c->last = ++fw->nrules;
	return r;
}

struct walk {
	const struct fw *fw;
	struct fw_end *end;
	struct fw_drop last; /* the drop that the chain came to */
	unsigned steps;
	bool loop;
};

static enum fw_verdict run(struct walk *w, uint32_t chain, unsigned depth)
{
	const struct fw_chain *c = &w->fw->chain[chain];
	enum fw_verdict v;

	if (depth > FW_DEPTH_MAX)
		w->loop = true;
	for (uint32_t at = c->first; at && !w->loop; at = w->fw->rule[at - 1].next) {
		const struct fw_rule *r = &w->fw->rule[at - 1];

		w->loop = ++w->steps > FW_STEPS_MAX;
		if (r->match == FW_MAYBE && r->verdict == FW_ACCEPT && r->names_port)
			w->end->some = true;
		if (r->match != FW_YES)
			continue;
		switch ((enum fw_verdict)r->verdict) {
		case FW_GOES_ON:
			break;
		case FW_RETURN:
			return FW_RETURN;
		case FW_DROP:
			w->last = (struct fw_drop){c, r};
			return FW_DROP;
		case FW_ACCEPT:
			return FW_ACCEPT;
		case FW_JUMP:
		case FW_GOTO:
			v = run(w, r->target, depth + 1);
			if (v == FW_ACCEPT || v == FW_DROP)
				return v;
			if (r->verdict == FW_GOTO)
				return FW_RETURN;
		}
	}
	return FW_RETURN;
}

/* The base chain that comes behind that one, by hook, priority and place; UINT32_MAX when there is none. */
static uint32_t base_after(const struct fw *fw, uint32_t last)
{
	uint32_t found = UINT32_MAX;

	for (uint32_t i = 0; i < fw->nchains; i++) {
		const struct fw_chain *c = &fw->chain[i], *l = last == UINT32_MAX ? NULL : &fw->chain[last],
				      *f = found == UINT32_MAX ? NULL : &fw->chain[found];

		if (!c->hook || (l && (c->hook < l->hook || (c->hook == l->hook && (c->prio < l->prio ||
			(c->prio == l->prio && i <= last))))))
			continue;
		if (!f || c->hook < f->hook || (c->hook == f->hook && c->prio < f->prio))
			found = i;
	}
	return found;
}

int fw_eval(const struct fw *fw, struct fw_end *ret)
{
	struct walk w = {.fw = fw, .end = ret};
	uint32_t at = UINT32_MAX;

	*ret = (struct fw_end){.drops = 0};
	while ((at = base_after(fw, at)) != UINT32_MAX && !w.loop) {
		const struct fw_chain *c = &fw->chain[at];
		enum fw_verdict v = run(&w, at, 0);

		ret->rules = ret->rules || c->policy_drop || c->first;
		if (v == FW_RETURN && c->policy_drop) {
			w.last = (struct fw_drop){c, NULL};
			v = FW_DROP;
		}
		if (v == FW_DROP && ret->drops < FW_DROPS_MAX)
			ret->drop[ret->drops++] = w.last;
	}
	return w.loop ? -ELOOP : 0;
}
