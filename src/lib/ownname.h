/*
 * ownname.h: names that an app may have folders by outside of its own: its own name, what begins with it, or what it
 * begins with ("shop-web" and "shop").
 *
 * Used by the parent and ctl. There are names whose mere presence in /run or /etc means something to a machine (nologin),
 * so whoever may deploy an app must not choose them freely; the app's name is the operator's word.
 */
#ifndef STEAD_LIB_OWNNAME_H
#define STEAD_LIB_OWNNAME_H

#include <stdbool.h>
#include <string.h>

/* Where Debian's PHP keeps sessions; any app of PHP may have a folder of its own seen there. */
#define USUAL_PHP_SESSIONS "/var/lib/php/sessions"

/* Is `name` (only what stands before its first slash counts) one of that app's? */
static inline bool ownname_is(const char *app, const char *name)
{
	size_t n = strcspn(name, "/"), m = strlen(app), least = n < m ? n : m;
	const char *rest = n < m ? app + n : name + m;

	return least > 0 && strncmp(app, name, least) == 0 && (n == m || strchr("-_.", *rest) != NULL);
}

#endif
