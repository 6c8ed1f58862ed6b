/*
 * server.h: ctl of a machine's server (server.c). Part of ctl.h.
 */
#ifndef STEAD_CTL_SERVER_H
#define STEAD_CTL_SERVER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/loop.h"

#include "backup.h"

struct ctl;
struct up;
struct app;

/* The operator's folder. */
#define SERVER_FOLDER "/etc/stead"

/* What a start is made with. The next one is tried when one cannot be served. */
enum server_source { SERVER_AS_WRITTEN = 0, SERVER_LAST_GOOD, SERVER_DEFAULTS, SERVER_SOURCES };

struct ctl_server {
	struct timer timer; /* the next try */
	uint64_t wait_ms;
	uint8_t source;  /* enum server_source: of the try under way, or of what is live */
	bool reload_due; /* asked for while another change was under way */
	bool failed;     /* the flow that ends now has failed */
	unsigned found_n;
	struct backup_hold backup;
	struct restored restored;
	json_t *found; /* findings of the last start or reload, the first of them */
	char why[600], help[300]; /* of the last failure; "" */
};

/* The state is open and what was live has been resumed: a server that is not live begins to be. */
void server_start(struct ctl *c);
/* RELOAD: SIGHUP. */
void server_reload(struct ctl *c);
/* A flow's values are all there: a server's own defaults for what nobody has written. 0 or -ENOMEM. */
int server_defaults(struct ctl *c, struct app *a);
/* A finding of a flow, whoever else is told. */
void server_found(struct ctl *c, unsigned level, const char *file, unsigned line, unsigned col, const char *text,
	const char *todo);
/* A new look at the files begins: what was found before is no longer said. */
void server_forget_found(struct ctl *c);
/* The flow has failed; and any flow has ended. Harmless for `stead up`. */
void server_flow_failed(struct up *u);
void server_flow_ended(struct ctl *c, bool deployed);
/* For status: null, or what a server has to say of itself. */
json_t *server_json(const struct ctl *c);
void server_free(struct ctl *c);
op_done server_on_timer;

#endif
