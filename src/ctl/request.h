/*
 * request.h: one request on the control socket, parsed and bounded. Untrusted bytes come in here.
 */
#ifndef STEAD_CTL_REQUEST_H
#define STEAD_CTL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tbl/tbl.h" /* enum request_verb */

enum { REQUEST_BYTES_MAX = 64 * 1024 };

struct request {
	enum request_verb verb;
	char folder[4096]; /* up: absolute */
	char http[128];    /* up: ADDR:PORT or "" */
	char https[64];    /* the same for TLS */
	char app[64];      /* "": the folder's app */
	uint32_t lines, level;
	uint64_t since_us;
	bool follow, json;
	bool on; /* maintenance; cert-import: it is taken back */
	bool data;  /* remove: the app's data too … */
	char confirm[64]; /* … which names it once more */
	uint32_t release; /* rollback: 0 the one before */
	char token[40];   /* deploy-send: whose files come on this connection */
	bool agree; /* up: to the terms of the authority of certificates */
	char domain[256];  /* domain-add, domain-remove */
	char version[48]; /* upgrade: the one to go over to */
	char url[8192], tag[1024]; /* purge: one of them */
	char *chain, *box; /* cert-import: base64, the chain's blank-separated; NULL: not there */
};

/* One line without its newline. 0, and *ret is the caller's (request_done()); or -EINVAL with a sentence in ret_why (a
 * constant). */
int request_parse(const char *p, size_t n, struct request *ret, const char **ret_why);
/* Harmless on one that is all zero. */
void request_done(struct request *r);

#endif
