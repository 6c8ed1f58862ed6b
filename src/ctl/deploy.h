/*
 * deploy.h: apps that are deployed into a running instance: what the files of it say to each other.
 */
#ifndef STEAD_CTL_DEPLOY_H
#define STEAD_CTL_DEPLOY_H

#include <stdint.h>

#include "app.h"

struct release {
	uint32_t number;
	uint64_t at_us; /* when it went live first; wall clock */
};

/* ---- state_deploy.c. Each 0 or -errno ---- */
int state_make_deploy(struct ctl *c);
/* This is what serves of the app from now on. at_us: it is a release that is kept; 0: it is one of those already. */
int state_save_deploy(struct ctl *c, const struct app *a, uint64_t at_us);
/* The kept ones, the newest first. */
int state_releases(struct ctl *c, const struct app *a, struct release *ret, unsigned max, unsigned *ret_n);
/* Its values and what it ran with, into a, which has none. -ENOENT: it is not kept. */
int state_load_release(struct ctl *c, struct app *a, uint32_t number);
int state_forget_release(struct ctl *c, const struct app *a, uint32_t number);
int state_forget_app(struct ctl *c, const struct app *a);
/* 0: it could not be written down. */
uint32_t state_next_release(struct ctl *c, const struct app *a);

#endif
