/*
 * purge.h: `stead cache purge`: stored answers that gates shall forget; see purge.c.
 */
#ifndef STEAD_CTL_PURGE_H
#define STEAD_CTL_PURGE_H

struct client;
struct ctl;
struct msg;

void purge_start(struct client *cl);
/* The gate that was asked does not answer; it does. */
void purge_late(struct client *cl);
void purge_told(struct ctl *c, const struct msg *m);

#endif
