/*
 * certs.c: many certificates for bench/run's row `certs`: bench-certs FOLDER N makes N of them,
 * each with a P-256 key of its own and a chain of two, signed by one authority: sNNNNN.crt,
 * sNNNNN.key; and authority.pem. Prints nothing.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void extend(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	if (!e || X509_add_ext(x, e, -1) != 1)
		fail("extension");
	X509_EXTENSION_free(e);
}

static X509 *make(
	long serial, const char *name, const char *issuer, EVP_PKEY *key, EVP_PKEY *by, bool ca)
{
	X509 *x = X509_new();
	char names[300];

	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 90L * 86400);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
		(const unsigned char *)name, -1, -1, 0);
	X509_NAME_add_entry_by_txt(X509_get_issuer_name(x), "CN", MBSTRING_ASC,
		(const unsigned char *)issuer, -1, -1, 0);
	X509_set_pubkey(x, key);
	(void)snprintf(names, sizeof names, "DNS:%s", name);
	if (ca)
		extend(x, NID_basic_constraints, "critical,CA:TRUE");
	else
		extend(x, NID_subject_alt_name, names);
	if (X509_sign(x, by, EVP_sha256()) <= 0)
		fail("sign");
	return x;
}

static FILE *begin(const char *folder, const char *name, const char *end, int mode)
{
	char path[4200];
	FILE *f;

	(void)snprintf(path, sizeof path, "%s/%s%s", folder, name, end);
	f = fopen(path, "w");
	if (!f || fchmod(fileno(f), (mode_t)mode) < 0)
		fail(path);
	return f;
}

int main(int argc, char **argv)
{
	EVP_PKEY *root_key = EVP_EC_gen("P-256"), *ca_key = EVP_EC_gen("P-256");
	X509 *root, *ca;
	FILE *f;

	if (argc != 3 || !root_key || !ca_key)
		return 2;
	root = make(1, "bench root", "bench root", root_key, root_key, true);
	ca = make(2, "bench authority", "bench root", ca_key, root_key, true);
	f = begin(argv[1], "authority", ".pem", 0644);
	PEM_write_X509(f, root);
	fclose(f);
	for (long i = 0; i < strtol(argv[2], NULL, 10); i++) {
		EVP_PKEY *key = EVP_EC_gen("P-256");
		char name[32], host[48];
		X509 *x;

		(void)snprintf(name, sizeof name, "s%05ld", i);
		(void)snprintf(host, sizeof host, "s%ld.example", i);
		x = make(3 + i, host, "bench authority", key, ca_key, false);
		f = begin(argv[1], name, ".crt", 0644);
		PEM_write_X509(f, x);
		PEM_write_X509(f, ca);
		fclose(f);
		f = begin(argv[1], name, ".key", 0600);
		PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
		fclose(f);
		X509_free(x);
		EVP_PKEY_free(key);
	}
	return 0;
}
