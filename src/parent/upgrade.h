/*
 * upgrade.h: another version of stead is tried beside this one, becomes this process, and replaces the others.
 */
#ifndef STEAD_PARENT_UPGRADE_H
#define STEAD_PARENT_UPGRADE_H

#include "parent.h"

/* ---- upgrade.c: another version is tried, then becomes this process ---- */
/* UPGRADE, UPGRADE_TRIED. */
void upgrade_heard(struct parent *p, struct msg *m);
void upgrade_child_ended(struct parent *p, struct child *c, int status);
/* Give it up, whatever it does; nothing of it is left in the end. */
void upgrade_stop(struct parent *p);
void upgrade_done(struct parent *p);
op_done upgrade_on_timer;

#endif
