/*
 * client_variables.c: the client's certificate as CGI's variables, by the names that Apache gives
 * them; see client_cert.h. Called by app_env.c and up_params.c. Owns nothing, and needs nothing of
 * the gate.
 */
#include "client_cert.h"
#include "tls_server.h"

enum { VARIABLES = 5 };

bool client_cert_variable(
	const struct req *r, unsigned i, const char **ret_name, const char **ret_value)
{
	static const char *const names[VARIABLES] = {"SSL_CLIENT_VERIFY", "SSL_CLIENT_S_DN",
		"SSL_CLIENT_I_DN", "SSL_CLIENT_M_SERIAL", "SSL_CLIENT_FINGERPRINT"};
	const struct tls_client *c = r->cert;

	if (!r->route || !r->route->client_ca || i >= (c ? VARIABLES : 1))
		return false;
	*ret_name = names[i];
	*ret_value = i == 0   ? (c ? "SUCCESS" : "NONE")
		     : i == 1 ? c->subject
		     : i == 2 ? c->issuer
		     : i == 3 ? c->serial
			      : c->fingerprint;
	return true;
}
