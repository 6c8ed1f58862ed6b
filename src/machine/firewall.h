/*
 * firewall.h: would this machine's packet filter let a stranger's new connection in, and if not, which rule is it?
 *
 * A model of what nftables and iptables have: chains with rules, each already judged for one probe (a new TCP
 * connection to a port, over the interface that leads to the world). What a rule asks that a probe does not say (a source
 * address, a rate, a mark) is "maybe", and such a rule decides nothing. Filled by firewall_nft.c (`nft -j list ruleset`) and
 * firewall_tables.c (`iptables -S`); pure, bounded, and without a process: who runs the programs is the caller's matter.
 */
#ifndef STEAD_MACHINE_FIREWALL_H
#define STEAD_MACHINE_FIREWALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FW_CHAINS_MAX = 4096, FW_RULES_MAX = 65536, FW_DEPTH_MAX = 32, FW_STEPS_MAX = 1 << 20, FW_DROPS_MAX = 8, FW_TEXT_MAX = 16 << 20 };

struct fw_probe {
	bool v6;
	uint16_t port;
	const char *iface; /* that a stranger's packets come in by; "" when it is not known */
};
enum fw_match { FW_NO, FW_MAYBE, FW_YES };
enum fw_verdict { FW_GOES_ON, FW_ACCEPT, FW_DROP, FW_RETURN, FW_JUMP, FW_GOTO };

struct fw_rule {
	uint32_t next;           /* in its chain: its place plus one; 0 is the end */
	uint32_t target;         /* of a jump: the chain's place */
	uint32_t handle, number; /* of nftables; of iptables, from 1 */
	uint8_t match, verdict;
	bool names_port;         /* it asks for this very port */
	char text[160];          /* as iptables writes it; of nftables "" */
};
struct fw_chain {
	char tool[20];               /* nft, or the iptables that listed it */
	char family[8], table[128], name[128];
	uint32_t first, last, rules; /* first, last: places plus one */
	int prio;
	uint8_t hook;                /* 0: none; 1 before routing, 2 input */
	bool policy_drop;
};
struct fw {
	struct fw_probe probe;
	struct fw_chain *chain;
	struct fw_rule *rule;
	uint32_t nchains, nrules, chains_cap, rules_cap;
	int error; /* the first: -ENOMEM, -EOVERFLOW, -EBADMSG */
};

/* One place where the probe is dropped: a rule, or a chain's policy (rule NULL). They point into the model. */
struct fw_drop {
	const struct fw_chain *chain;
	const struct fw_rule *rule;
};
struct fw_end {
	struct fw_drop drop[FW_DROPS_MAX];
	unsigned drops;
	bool some;  /* a rule that names the port accepts it from some */
	bool rules; /* there is a chain that could drop anything */
};

void fw_init(struct fw *fw, const struct fw_probe *probe);
void fw_done(struct fw *fw);
/* The chain of that name, made when there is none; its place. 0 with fw->error set when there is no room. */
uint32_t fw_chain(struct fw *fw, const char *tool, const char *family, const char *table, const char *name);
/* A rule at the end of the chain; NULL with fw->error set when there is no room. */
struct fw_rule *fw_rule(struct fw *fw, uint32_t chain);

/* `nft -j list ruleset` (libnftables-json(5)). Tables that iptables made are left out when `native` is true: their
 * matches stand there without their values. 0 or fw->error. */
int fw_read_nft(struct fw *fw, const char *text, size_t n, bool native);
/* `iptables -S` or `ip6tables -S`, by the program `tool`. 0 or fw->error. */
int fw_read_tables(struct fw *fw, const char *tool, const char *text, size_t n);
/* Is it a table that iptables makes? */
bool fw_is_compat(const char *family, const char *table);

/* What becomes of the probe. Every base chain is asked, also behind one that drops. -ELOOP: chains that call each other
 * for ever. */
int fw_eval(const struct fw *fw, struct fw_end *ret);

#endif
