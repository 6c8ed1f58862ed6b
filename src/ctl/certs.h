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
struct buf;

struct ctl_keys {
	struct chan chan;
	bool wanted, greeted, known; /* known: what to seal for */
	bool awaited; /* check waits for it, because there is a key to seal */
	uint8_t public_key[32];
	char ca[64]; /* what the user's own authority is called; "": there is none, and why */
	uint32_t ca_err;
	bool vault_sent;
	uint64_t vault_sum, vault_generation;
};

/* Have keys started; harmless when it is there. */
void certs_want(struct ctl *c);
/* The same where the state knows of a certificate, and where check has one to seal. */
void certs_resume(struct ctl *c);
void certs_await(struct ctl *c);
/* The parent gave ctl its end of a channel to keys. Takes fd; on an error it stays the caller's. */
int certs_channel(struct ctl *c, int fd);
/* Each of these blank-separated names, packed; how many. */
uint32_t certs_pack_names(struct buf *b, const char *names);
/* Has one of them a certificate? */
bool certs_any(const struct ctl *c, const struct conf_app *conf, const struct site_list *sites);
/* client_ca.c: does a route of it ask clients for certificates? */
bool client_ca_any(const struct conf_app *conf);

#endif
