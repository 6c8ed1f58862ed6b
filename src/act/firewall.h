/*
 * firewall.h: one change of a firewall as the act of firewall.c knows it. For its tests.
 */
#ifndef STEAD_ACT_FIREWALL_H
#define STEAD_ACT_FIREWALL_H

#include "act.h"

enum {
	FIREWALL_NAME_MAX = 128,
	FIREWALL_PORTS_MAX = 6,
	FIREWALL_PORTS_TEXT = 40,
	FIREWALL_PLACES_MAX = 16,
	FIREWALL_PLACES_TEXT = 4096,
	FIREWALL_CHANGES_MAX = FIREWALL_PLACES_MAX * FIREWALL_PORTS_MAX,
	FIREWALL_WAIT_MAX = 600,
};
enum firewall_tool { FIREWALL_UFW, FIREWALL_FIREWALLD, FIREWALL_NFT, FIREWALL_TABLES };

struct firewall_change {
	enum firewall_tool tool;
	char program[20]; /* of FIREWALL_TABLES */
	char family[8], table[FIREWALL_NAME_MAX], chain[FIREWALL_NAME_MAX];
	char ports[FIREWALL_PORTS_TEXT]; /* 80,443 */
	/* ufw, firewalld: the port. nft: to open, the rule that drops (0: behind the last), to undo, the rule that was made. The
	 * others: the number of the rule that drops, 0: behind the last. */
	unsigned long at;
};

/* Where to open: ufw, firewalld, nft/FAMILY/TABLE/CHAIN/HANDLE, iptables/CHAIN/NUMBER. False: not in form. */
bool firewall_place_read(const char *text, struct firewall_change *ret);
/* A line of the undo file. False: not in form. */
bool firewall_undo_read(const char *line, struct firewall_change *ret);

#endif
