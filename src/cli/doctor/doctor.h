/*
 * doctor.h: `stead doctor` in one page: looks at the machine with the rights of whoever typed it, and notes findings
 * (tbl/findings.h). Needs no running stead.
 *
 * What it reads: /proc and /sys, the kernel's lists of sockets, what nft and iptables print, the control socket's answers,
 * and of resolvers the head of one answer. Names are looked up by a child without rights, because libc parses what comes.
 */
#ifndef STEAD_CLI_DOCTOR_DOCTOR_H
#define STEAD_CLI_DOCTOR_DOCTOR_H

#include "cli.h"
#include "lib/must.h"
#include "machine/firewall.h"
#include "machine/socks.h"

enum { DOCTOR_NAMES_MAX = 64, DOCTOR_PLACES_TEXT = 4000 };

struct doctor {
	struct cli *c;
	const char *area; /* of which findings are kept; NULL: all */
	json_t *findings;
	json_t *status;   /* of the running stead; NULL: there is none */
	json_t *domains;  /* the names of its sites, whatever they want certificates for */
	json_t *errors;   /* its last errors */
	bool hangs;       /* it has a control socket, and does not answer */
	bool root;
	unsigned worst;   /* enum doctor_level */
	char iface[16];   /* that strangers' packets come in by; "" when it is not known */
	uint16_t ssh[SSH_PORTS_MAX];
	unsigned nssh;
	/* what --fix firewall opens: places of the act firewall_open, each once, and whether sshd's ports are among it */
	char places[DOCTOR_PLACES_TEXT];
	bool opens_ssh, opens_web;
	char until[512]; /* what the operator does so that it lasts; {}: the ports that were opened */
};

/* ---- doctor.c ---- */
/* Note a finding. `fill` takes the place of {} in its why and mend (NULL: ""); `where` says where exactly. */
void found(struct doctor *d, enum finding f, const char *fill, const char *where, ...)
	__attribute__((format(printf, 4, 5)));
bool doctor_wants(const struct doctor *d, const char *area);
/* A file of /proc or /sys, bounded; "" when it cannot be read. The caller frees it. */
char *doctor_text(const char *path);
/* The number behind `name` in a text of lines; false when there is none. */
bool doctor_number(const char *text, const char *name, uint64_t *ret);

/* ---- the looks ---- */
void look_ports(struct doctor *d);
void look_firewall(struct doctor *d);
void look_clock(struct doctor *d);
void look_disk(struct doctor *d);
void look_memory(struct doctor *d);
void look_files(struct doctor *d);
void look_kernel(struct doctor *d);
void look_postgres(struct doctor *d);
void look_upgrades(struct doctor *d);
void look_dns(struct doctor *d);
void look_stead(struct doctor *d);

/* ---- fix.c ---- */
/* Mend what is safe to mend of what was found. The exit code: 0, also when there was nothing to mend. */
int doctor_fix(struct doctor *d);

#endif
