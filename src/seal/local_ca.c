/*
 * local_ca.c: see local_ca.h. Called by keys and check. Owns nothing.
 */
#include "local_ca.h"

#include <openssl/asn1.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

/* The same bytes as this text makes, and only once. */
static bool has(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *want = X509V3_EXT_conf_nid(NULL, NULL, nid, value), *got;
	int at = X509_get_ext_by_NID(x, nid, -1);
	bool good;

	got = want && at >= 0 && X509_get_ext_by_NID(x, nid, at) < 0 ? X509_get_ext(x, at) : NULL;
	good = got && X509_EXTENSION_get_critical(got) == X509_EXTENSION_get_critical(want) &&
	       ASN1_OCTET_STRING_cmp(X509_EXTENSION_get_data(got), X509_EXTENSION_get_data(want)) ==
		       0;
	X509_EXTENSION_free(want);
	return good;
}

bool local_ca_is_confined(X509 *x)
{
	return has(x, NID_name_constraints, LOCAL_CA_NAMES) &&
	       has(x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
	       has(x, NID_ext_key_usage, "serverAuth") && X509_self_signed(x, 1) == 1;
}
