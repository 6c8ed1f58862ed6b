/*
 * env.c: what of the caller's environment pip and the interpreter may see. PYTHON* variables would
 * turn the build into that of another app; secrets of the user's shell are none of a package's
 * set-up's business.
 */
#include <string.h>

#include "build.h"

static bool wanted(const char *e)
{
	static const char *const names[] = {"HOME", "PATH", "LANG", "LC_ALL", "TMPDIR",
		"http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY",
		"NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
		"CC", "CFLAGS", "LDFLAGS"};
	size_t n = strcspn(e, "=");

	if (strncmp(e, "PIP_", 4) == 0)
		return true;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strlen(names[i]) == n && strncmp(e, names[i], n) == 0)
			return true;
	return false;
}

static bool has(const char *const *to, const char *name_eq)
{
	for (; *to; to++)
		if (strncmp(*to, name_eq, strlen(name_eq)) == 0)
			return true;
	return false;
}

void env_select(char *const *from, const char **to)
{
	size_t n = 0;

	for (; *from && n < BUILD_ENV_MAX - 4; from++)
		if (wanted(*from) && strcmp(*from, "HOME=/") != 0)
			to[n++] = *from;
	to[n] = NULL;
	if (!has(to, "PATH=")) {
		to[n++] = "PATH=/usr/local/bin:/usr/bin:/bin";
		to[n] = NULL;
	}
	/* An app's own user has no home, or / as one: then there is nowhere to cache, and pip would complain. */
	if (!has(to, "HOME=")) {
		to[n++] = "HOME=/nonexistent";
		to[n] = NULL;
		if (!has(to, "PIP_NO_CACHE_DIR="))
			to[n++] = "PIP_NO_CACHE_DIR=1";
		to[n] = NULL;
	}
}
