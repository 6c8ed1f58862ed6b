/*
 * valid.c: which arguments an act takes. Pure; everything not named here is refused.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "act.h"

bool act_role_valid(const char *role)
{
	static const char *const roles[] = {
		"gate", "ctl", "log", "resolve", "auth", "keys", "certs", "alert", "check", "db"};

	for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
		if (strcmp(role, roles[i]) == 0)
			return true;
	return false;
}

bool act_app_valid(const char *name)
{
	size_t n = strlen(name);

	if (n < 1 || n > 27 || name[0] < 'a' || name[0] > 'z')
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

bool act_number(const char *text, unsigned long min, unsigned long max, unsigned long *ret)
{
	size_t n = strlen(text);
	unsigned long v;

	if (n < 1 || n > 10 || strspn(text, "0123456789") != n)
		return false;
	errno = 0;
	v = strtoul(text, NULL, 10);
	if (errno || v < min || v > max)
		return false;
	*ret = v;
	return true;
}

const char *act_below(const char *root, const char *path)
{
	size_t n = strlen(root);
	const char *rel, *part;

	if (strlen(path) >= ACT_PATH_MAX || strncmp(path, root, n) != 0 || path[n] != '/')
		return NULL;
	rel = path + n + 1;
	for (part = rel;; part++) {
		size_t len = strcspn(part, "/");

		if (len == 0 || len > 255 || (len == 1 && part[0] == '.') ||
			(len == 2 && part[0] == '.' && part[1] == '.'))
			return NULL;
		for (size_t i = 0; i < len; i++)
			if ((unsigned char)part[i] < ' ')
				return NULL;
		part += len;
		if (!*part)
			return rel;
	}
}
