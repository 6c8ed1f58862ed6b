/*
 * rig.h: a log process without its parent: a loop, a store in a folder of its own, and this test as
 * ctl.
 */
#ifndef STEAD_TEST_UNIT_LOG_RIG_H
#define STEAD_TEST_UNIT_LOG_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "log.h"

struct rig {
	struct log *g;
	char dir[64];
	int ctl; /* ctl's end */
};

void rig_open(struct rig *r);
/* A further log process on the same folder; the page of the one before, or -1. */
void rig_start(struct rig *r, int page_fd);
/* It dies: what it has in memory is lost. */
void rig_kill(struct rig *r);
void rig_done(struct rig *r);
void rig_turns(struct rig *r, unsigned ms);

/* One line (with its newline) as an object; fails when it is none. */
json_t *rig_object(const char *line, size_t n);
const char *rig_text(json_t *o, const char *name);
/* How often text stands in a file of the store. */
unsigned rig_count(struct rig *r, const char *file, const char *text);
void rig_write(struct rig *r, const char *file, const char *p, size_t n);
/* Ask, and gather the "text" members of the answer joined with a blank, to END. */
void rig_ask(struct rig *r, struct msg_log_query ask, const char *app, char *ret, size_t cap);
/* The next message to ctl: its type, 0 when there is none; a line's text to ret. */
int rig_hear(struct rig *r, char *ret, size_t cap);
/* A line of kind app with this time, level and text, straight to the store. */
void rig_line(struct rig *r, uint64_t wall_us, const char *app, unsigned which, const char *text);
/* An access record's bytes. */
size_t rig_access(char mem[static RECORD_RAW_MAX], const char *site, unsigned status, const char *target,
	uint64_t number);
/* For message handlers. */
struct msg rig_msg(uint16_t type, uint64_t id, const void *payload, size_t n, int fd);

#endif
