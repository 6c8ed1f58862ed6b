/*
 * to_static.h: requests answered from a folder of files.
 */
#ifndef STEAD_GATE_TO_STATIC_H
#define STEAD_GATE_TO_STATIC_H

#include "req.h"

extern const struct handler_ops to_static_handler;

#endif
