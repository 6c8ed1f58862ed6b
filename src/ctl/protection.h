/*
 * protection.h: what holds the app's processes, for the parent and for `stead status`
 * (protection.c).
 */
#ifndef STEAD_CTL_PROTECTION_H
#define STEAD_CTL_PROTECTION_H

#include "identity.h"
#include "tbl/tbl.h"
#include <jansson.h>

struct app;
struct conf_app;
struct buf;
struct ctl;
struct msg;

struct protection {
	struct msg_protection can; /* what the parent can hold apps to */
	char why[160];             /* … and why not to more; "" */
	struct identities identities; /* as whom they may run */
};

/* What every process of that app is held to and sees, as it ends a PROC_SET; kept in its run, too. */
void protection_pack(
	const struct ctl *c, const struct app *a, const struct conf_app *conf, uint32_t set, struct buf *b);
/* PROTECTION. */
void protection_heard(struct ctl *c, const struct msg *m);
/* What this machine can hold apps to, by which cgroups, or why it cannot. */
json_t *protection_json(const struct ctl *c);
/* The limits that the app was given; null: none yet. */
json_t *protection_limits(const struct msg_jail *j);

#endif
