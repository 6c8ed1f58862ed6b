/*
 * domain.h: names that a command attached to an app; see domain.c.
 */
#ifndef STEAD_CTL_DOMAIN_H
#define STEAD_CTL_DOMAIN_H

struct app;
struct client;
struct ctl;

/* A flow has the app's values from its files: those that were attached come to them. 0 or -errno. */
int domain_merge(struct ctl *c, struct app *a);
/* domain-add, domain-remove, domain-list. */
void domain_start(struct client *cl);

#endif
