/*
 * verify.c: crypt(3) by libxcrypt. Called by main.c and its test. Owns its working memory, which is
 * wiped behind each use: a password's traces do not stay.
 */
#include "auth.h"

#include <crypt.h>
#include <stdlib.h>
#include <string.h>

static bool is_safe(const char *hash)
{
	static const char *const kinds[] = {
		"$y$", "$gy$", "$7$", "$2b$", "$2y$", "$2a$", "$6$", "$5$", "$argon2"};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strncmp(hash, kinds[i], strlen(kinds[i])) == 0)
			return true;
	return false;
}

static bool same(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	unsigned char diff = n != m;

	for (size_t i = 0; i < n; i++)
		diff |= (unsigned char)(a[i] ^ b[m ? i % m : 0]);
	return diff == 0;
}

bool auth_verify(const char *hash, const char *password)
{
	struct crypt_data *data;
	const char *made;
	bool good;

	if (!is_safe(hash) || strlen(password) > AUTH_PASSWORD_MAX)
		return false;
	data = calloc(1, sizeof(*data));
	if (!data)
		return false;
	made = crypt_rn(password, hash, data, sizeof(*data));
	good = made && same(made, hash);
	explicit_bzero(data, sizeof(*data));
	free(data);
	return good;
}
