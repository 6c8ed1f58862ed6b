/*
 * certs.h: certificates on their way to gates and keys, and the channel to keys; see certs.c.
 */
#ifndef STEAD_CTL_CERTS_H
#define STEAD_CTL_CERTS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/chan.h"

struct conf_app;
struct ctl;
struct site_list;

struct ctl_keys {
	struct chan chan;
	bool wanted, greeted, known; /* known: what to seal for */
	uint8_t public_key[32];
	bool vault_sent;
	uint64_t vault_sum, vault_generation;
};

/* Have keys started; harmless when it is there. */
void certs_want(struct ctl *c);
/* The same where the state knows of a certificate. */
void certs_resume(struct ctl *c);
/* The parent gave ctl its end of a channel to keys. Takes fd; on an error it stays the caller's. */
int certs_channel(struct ctl *c, int fd);
/* Has one of them a certificate? */
bool certs_any(const struct conf_app *conf, const struct site_list *sites);

#endif
