/*
 * firewall_nft.c: what `nft -j list ruleset` prints (libnftables-json(5)), judged for a probe. Pure but for jansson's
 * memory.
 *
 * A statement or expression that is not known makes the rule a "maybe": it then decides nothing.
 */
#include "firewall.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "lib/must.h"

enum { SET_MAX = 65536, NEST_MAX = 8 };

struct reader {
	struct fw *fw;
	const json_t *all; /* the array of objects */
	const char *family, *table; /* of the rule in work */
};

/* What the left side of a match is for the probe. */
struct value {
	enum { VALUE_UNKNOWN, VALUE_NEVER, VALUE_NUMBER, VALUE_TEXT, VALUE_IFACE } kind;
	uint64_t number;
	const char *text;
	bool port;
};

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static struct value text_value(const char *text)
{
	return (struct value){.kind = VALUE_TEXT, .text = text};
}

static struct value meta(const struct reader *r, const char *key)
{
	if (strcmp(key, "l4proto") == 0)
		return text_value("tcp");
	if (strcmp(key, "nfproto") == 0)
		return text_value(r->fw->probe.v6 ? "ipv6" : "ipv4");
	if (strcmp(key, "protocol") == 0)
		return text_value(r->fw->probe.v6 ? "ip6" : "ip");
	if (strcmp(key, "iif") == 0 || strcmp(key, "iifname") == 0)
		return (struct value){.kind = VALUE_IFACE};
	return (struct value){.kind = VALUE_UNKNOWN};
}

static struct value payload(const struct reader *r, const char *protocol, const char *field)
{
	bool v6 = r->fw->probe.v6;

	if (strcmp(protocol, "tcp") == 0 || strcmp(protocol, "th") == 0)
		return strcmp(field, "dport") == 0
			       ? (struct value){.kind = VALUE_NUMBER, .number = r->fw->probe.port, .port = true}
			       : (struct value){.kind = VALUE_UNKNOWN};
	if (strcmp(protocol, "ip") != 0 && strcmp(protocol, "ip6") != 0)
		return (struct value){.kind = *protocol ? VALUE_NEVER : VALUE_UNKNOWN};
	if ((strcmp(protocol, "ip6") == 0) != v6)
		return (struct value){.kind = VALUE_NEVER};
	if (strcmp(field, "protocol") == 0 || strcmp(field, "nexthdr") == 0)
		return text_value("tcp");
	return (struct value){.kind = VALUE_UNKNOWN};
}

static struct value left_value(const struct reader *r, const json_t *left)
{
	const json_t *o;

	if ((o = json_object_get(left, "meta")))
		return meta(r, text_of(o, "key"));
	if ((o = json_object_get(left, "payload")))
		return payload(r, text_of(o, "protocol"), text_of(o, "field"));
	if ((o = json_object_get(left, "ct")) && strcmp(text_of(o, "key"), "state") == 0)
		return text_value("new");
	if (o && strcmp(text_of(o, "key"), "direction") == 0)
		return text_value("original");
	if ((o = json_object_get(left, "fib")) && strcmp(text_of(o, "result"), "type") == 0) {
		const json_t *flags = json_object_get(o, "flags");
		const char *flag = json_is_array(flags) ? json_string_value(json_array_get(flags, 0)) : json_string_value(flags);

		if (flag && strcmp(flag, "daddr") == 0)
			return text_value("local");
	}
	return (struct value){.kind = VALUE_UNKNOWN};
}

static enum fw_match compare(const struct reader *r, const struct value *v, const json_t *right, unsigned depth);

static enum fw_match any(const struct reader *r, const struct value *v, const json_t *list, unsigned depth)
{
	enum fw_match best = FW_NO;
	const json_t *o;
	size_t i;

	json_array_foreach(list, i, o)
	{
		enum fw_match m = compare(r, v, o, depth);

		if (m > best)
			best = m;
		if (best == FW_YES || i > SET_MAX)
			break;
	}
	return best;
}

/* A set by its name, in the table of the rule. */
static enum fw_match named(const struct reader *r, const struct value *v, const char *name, unsigned depth)
{
	const json_t *o, *set;
	size_t i;

	json_array_foreach(r->all, i, o)
	{
		set = json_object_get(o, "set");
		if (set && strcmp(text_of(set, "name"), name) == 0 && strcmp(text_of(set, "table"), r->table) == 0 &&
			strcmp(text_of(set, "family"), r->family) == 0)
			return any(r, v, json_object_get(set, "elem"), depth);
	}
	return FW_MAYBE;
}

static enum fw_match compare_text(const struct reader *r, const struct value *v, const char *text)
{
	size_t n = strlen(text);

	if (v->kind == VALUE_TEXT)
		return strcmp(v->text, text) == 0 ? FW_YES : FW_NO;
	if (v->kind != VALUE_IFACE)
		return FW_MAYBE;
	if (strcmp(text, "lo") == 0)
		return FW_NO;
	if (!*r->fw->probe.iface)
		return FW_MAYBE;
	if (n && text[n - 1] == '*')
		return strncmp(text, r->fw->probe.iface, n - 1) == 0 ? FW_YES : FW_NO;
	return strcmp(text, r->fw->probe.iface) == 0 ? FW_YES : FW_NO;
}

static enum fw_match compare(const struct reader *r, const struct value *v, const json_t *right, unsigned depth)
{
	const json_t *o;

	if (depth > NEST_MAX || v->kind == VALUE_UNKNOWN)
		return FW_MAYBE;
	if (json_is_string(right)) {
		const char *text = json_string_value(right);

		return text[0] == '@' ? named(r, v, text + 1, depth + 1) : compare_text(r, v, text);
	}
	if (json_is_integer(right)) {
		if (v->kind != VALUE_NUMBER)
			return FW_MAYBE;
		return (uint64_t)json_integer_value(right) == v->number ? FW_YES : FW_NO;
	}
	if (json_is_array(right))
		return any(r, v, right, depth + 1);
	if ((o = json_object_get(right, "set")))
		return json_is_array(o) ? any(r, v, o, depth + 1) : compare(r, v, o, depth + 1);
	if ((o = json_object_get(right, "elem")))
		return compare(r, v, json_object_get(o, "val"), depth + 1);
	if ((o = json_object_get(right, "range")) && v->kind == VALUE_NUMBER) {
		json_int_t low = json_integer_value(json_array_get(o, 0)), high = json_integer_value(json_array_get(o, 1));

		return v->number >= (uint64_t)low && v->number <= (uint64_t)high ? FW_YES : FW_NO;
	}
	return FW_MAYBE;
}

static enum fw_match ordered(const struct value *v, const char *op, const json_t *right)
{
	uint64_t n = (uint64_t)json_integer_value(right);
	bool yes;

	if (v->kind != VALUE_NUMBER || !json_is_integer(right))
		return FW_MAYBE;
	if (op[0] == '<')
		yes = op[1] == '=' ? v->number <= n : v->number < n;
	else
		yes = op[1] == '=' ? v->number >= n : v->number > n;
	return yes ? FW_YES : FW_NO;
}

static enum fw_match match(const struct reader *r, const json_t *o, bool *ret_names_port)
{
	struct value v = left_value(r, json_object_get(o, "left"));
	const json_t *right = json_object_get(o, "right");
	const char *op = text_of(o, "op");
	enum fw_match m;

	/* Of another protocol, or of the other family: there is nothing to compare. */
	if (v.kind == VALUE_NEVER)
		return FW_NO;
	if (op[0] == '<' || op[0] == '>')
		return ordered(&v, op, right);
	m = compare(r, &v, right, 0);
	if (strcmp(op, "!=") == 0)
		return m == FW_MAYBE ? m : m == FW_YES ? FW_NO : FW_YES;
	if (v.port && m == FW_YES)
		*ret_names_port = true;
	return m;
}

static void verdict(struct reader *r, struct fw_rule *rule, const json_t *o)
{
	struct fw *fw = r->fw;
	uint32_t at = (uint32_t)(rule - fw->rule);
	const json_t *to;

	if (json_object_get(o, "accept"))
		rule->verdict = FW_ACCEPT;
	else if (json_object_get(o, "drop") || json_object_get(o, "reject"))
		rule->verdict = FW_DROP;
	else if (json_object_get(o, "return"))
		rule->verdict = FW_RETURN;
	else if ((to = json_object_get(o, "jump")) || (to = json_object_get(o, "goto"))) {
		uint32_t chain = fw_chain(fw, "nft", r->family, r->table, text_of(to, "target"));

		fw->rule[at].target = chain;
		fw->rule[at].verdict = json_object_get(o, "jump") ? FW_JUMP : FW_GOTO;
	}
}

/* A map from a value to a verdict: the element that fits says it. */
static enum fw_match vmap(struct reader *r, struct fw_rule *rule, const json_t *o)
{
	struct value v = left_value(r, json_object_get(o, "key"));
	const json_t *data = json_object_get(o, "data"), *pair;
	enum fw_match best = FW_NO;
	size_t i;

	if (v.kind == VALUE_NEVER)
		return FW_NO;
	if (json_is_object(data))
		data = json_object_get(data, "set");
	if (!json_is_array(data) || v.kind == VALUE_UNKNOWN)
		return FW_MAYBE;
	json_array_foreach(data, i, pair)
	{
		enum fw_match m = i > SET_MAX ? FW_NO : compare(r, &v, json_array_get(pair, 0), 0);

		if (m == FW_YES) {
			rule->names_port = rule->names_port || v.port;
			verdict(r, rule, json_array_get(pair, 1));
			return m;
		}
		if (m > best)
			best = m;
	}
	return best;
}

static enum fw_match statement(struct reader *r, struct fw_rule *rule, const json_t *o)
{
	/* What only a packet filter that counts can say. */
	static const char *const counting[] = {"limit", "quota", "ct count", "meter", "queue"};
	const json_t *xt = json_object_get(o, "xt"), *m;

	if ((m = json_object_get(o, "match")))
		return match(r, m, &rule->names_port);
	if ((m = json_object_get(o, "vmap")))
		return vmap(r, rule, m);
	for (size_t i = 0; i < sizeof counting / sizeof *counting; i++)
		if (json_object_get(o, counting[i]))
			return FW_MAYBE;
	if (xt && strcmp(text_of(xt, "type"), "match") == 0)
		return FW_MAYBE;
	if (xt && (strcmp(text_of(xt, "name"), "REJECT") == 0 || strcmp(text_of(xt, "name"), "DROP") == 0))
		rule->verdict = FW_DROP;
	verdict(r, rule, o);
	return FW_YES;
}

static void take_rule(struct reader *r, const json_t *o)
{
	struct fw *fw = r->fw;
	const json_t *s;
	size_t i;
	uint32_t at;

	r->family = text_of(o, "family");
	r->table = text_of(o, "table");
	if (!fw_rule(fw, fw_chain(fw, "nft", r->family, r->table, text_of(o, "chain"))))
		return;
	at = fw->nrules - 1;
	fw->rule[at].handle = (uint32_t)json_integer_value(json_object_get(o, "handle"));
	json_array_foreach(json_object_get(o, "expr"), i, s)
	{
		/* Chains are looked up meanwhile, rules are not made: the rule stays where it is. */
		enum fw_match m = statement(r, &fw->rule[at], s);

		if (m < fw->rule[at].match)
			fw->rule[at].match = (uint8_t)m;
		if (fw->error)
			return;
	}
}

static bool of_family(const struct fw *fw, const char *family)
{
	return strcmp(family, "inet") == 0 || strcmp(family, fw->probe.v6 ? "ip6" : "ip") == 0 || strcmp(family, "netdev") == 0;
}

static void take_chain(struct fw *fw, const json_t *o)
{
	const char *hook = text_of(o, "hook");
	uint32_t at = fw_chain(fw, "nft", text_of(o, "family"), text_of(o, "table"), text_of(o, "name"));

	if (fw->error || strcmp(text_of(o, "type"), "filter") != 0)
		return;
	fw->chain[at].hook = strcmp(hook, "input") == 0 ? 2 : strcmp(hook, "prerouting") == 0 || strcmp(hook, "ingress") == 0;
	fw->chain[at].prio = (int)json_integer_value(json_object_get(o, "prio"));
	fw->chain[at].policy_drop = strcmp(text_of(o, "policy"), "drop") == 0;
}

int fw_read_nft(struct fw *fw, const char *text, size_t n, bool native)
{
	json_t *doc = n <= FW_TEXT_MAX ? json_loadb(text, n, 0, NULL) : NULL;
	struct reader r = {.fw = fw, .all = json_object_get(doc, "nftables")};
	const json_t *o, *inner;
	size_t i;

	if (!json_is_array(r.all)) {
		json_decref(doc);
		return fw->error = fw->error ? fw->error : -EBADMSG;
	}
	for (unsigned pass = 0; pass < 2; pass++)
		json_array_foreach(r.all, i, o)
		{
			inner = json_object_get(o, pass ? "rule" : "chain");
			if (!inner || fw->error || !of_family(fw, text_of(inner, "family")) ||
				(native && fw_is_compat(text_of(inner, "family"), text_of(inner, "table"))))
				continue;
			if (pass)
				take_rule(&r, inner);
			else
				take_chain(fw, inner);
		}
	json_decref(doc);
	return fw->error;
}
