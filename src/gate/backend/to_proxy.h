/*
 * to_proxy.h: the handler of requests that a backend answers.
 */
#ifndef STEAD_GATE_TO_PROXY_H
#define STEAD_GATE_TO_PROXY_H

#include "req.h"
#include "up.h"

extern const struct handler_ops to_proxy_handler;
extern const struct up_owner_ops to_proxy_owner;

#endif
