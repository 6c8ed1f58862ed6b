/*
 * client_cert.h: who may pass by the certificate that the client showed (ClientCa=), and who it is.
 */
#ifndef STEAD_GATE_CLIENT_CERT_H
#define STEAD_GATE_CLIENT_CERT_H

#include "phases.h"

/* Refuses whom the route's list does not vouch for; for others adds the fields that say who came. What a
 * client sent by those names is taken away on every route of a site that asks. */
enum phase_end phase_client_cert(struct req *r);

/* CGI's variables of it, in turn from 0; false: there are no more, or the route does not ask. */
bool client_cert_variable(const struct req *r, unsigned i, const char **ret_name, const char **ret_value);

#endif
