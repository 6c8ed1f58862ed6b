/*
 * json_snap.h: a snapshot from a JSON description, for tests that drive a real gate.
 *
 *   {"sites": [{"name": "a", "hosts": ["a.example", "*.b.example"], "aliases": ["www.a.example"],
 *               "default": true, "canonical": "a.example", "head_max": 32768, …numbers of snap_site,
 *               "trusted_proxies": ["10.0.0.0/8"], "proxy_protocol": […],
 *               "routes": [{"path": "/", "to": "static", "root": "/srv", …}, …]}],
 *    "upstreams": [{"name": "u", "protocol": "http", "balance": "roundrobin", "servers":
 *               [{"address": "127.0.0.1:9000", "weight": 1} | {"unix": "/path"} | {"host": "name:80"}]}],
 *    "tcps": [{"name": "t", "listener": 9, "upstream": "u"}]}
 *
 * Members are named as in snap.h; lists of structs are arrays of objects with the structs' members. What
 * is left out is as snap_route_default() and zero say. Unknown members are an error.
 */
#ifndef STEAD_TEST_JSON_SNAP_H
#define STEAD_TEST_JSON_SNAP_H

#include "snap/snap.h"

/* 0 or -errno; what is wrong with the text is printed to stderr. */
int json_snap_build(const char *text, uint64_t generation, int *ret_fds, unsigned *ret_nfds);

#endif
