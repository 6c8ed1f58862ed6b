/*
 * environ.c: the environment of a process of an app.
 *
 * Called by workers.c and hooks.c for each process that is made. What the configuration declares comes
 * before what its place says, that before PassEnvironment=, that before the base of every process;
 * what UnsetEnvironment= names is in none of it. Values are passed on unread. Owns nothing.
 */
#include "parent.h"
#include "places.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LISTED_MAX = SERVICE_VARS_MAX + SPAWN_ENV_BASE + 2 * PLACE_ENV_MAX };

/* Variables as they are gathered. */
struct gathered {
	const char **env;
	unsigned n;
	const struct spec *spec;
};

static bool same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return strncmp(a, b, n) == 0 && b[n] == '=';
}

/* NAME takes the variable out, NAME=VALUE only when it is just that. */
static bool is_unset(const struct spec *spec, const char *var)
{
	for (char **u = spec->unset; u != NULL && *u != NULL; u++)
		if (strchr(*u, '=') != NULL ? strcmp(*u, var) == 0 : same_name(*u, var))
			return true;
	return false;
}

/* Unless it is there already: the first one counts. */
static void put(struct gathered *g, const char *var)
{
	if (is_unset(g->spec, var))
		return;
	for (unsigned i = 0; i < g->n; i++)
		if (same_name(g->env[i], var))
			return;
	g->env[g->n++] = var;
}

/* The parent's own variable of that name, whole. */
static const char *own(const char *name)
{
	size_t n = strlen(name);

	for (char **e = environ; e != NULL && *e != NULL; e++)
		if (strncmp(*e, name, n) == 0 && (*e)[n] == '=')
			return *e;
	return NULL;
}

/* The socket handed over and the watchdog are the program's; notifications where theirs count. */
static bool of_command(const struct spec *spec, const char *var)
{
	bool notifies = spec->set.notify == SERVICE_NOTIFY_ALL ||
			spec->set.notify == SERVICE_NOTIFY_EXEC;

	return strncmp(var, "LISTEN_", 7) != 0 && strncmp(var, "WATCHDOG_", 9) != 0 &&
	       (notifies || strncmp(var, "NOTIFY_", 7) != 0);
}

const char **app_environment(const struct parent *p, const struct run *r, char *const *more)
{
	const struct spec *spec = r->spec;
	struct gathered g = {.spec = spec};
	bool command = more != NULL;

	g.env = calloc(spec->set.envc + LISTED_MAX + 1, sizeof(*g.env));
	if (g.env == NULL)
		return NULL;
	/* What is known of this very command is not the configuration's to say. */
	for (; more != NULL && *more != NULL; more++)
		put(&g, *more);
	for (char **e = spec->envp; *e != NULL; e++)
		put(&g, *e);
	for (char *const *e = r->place != NULL ? r->place->env : NULL; e != NULL && *e != NULL; e++)
		if (!command || of_command(spec, *e))
			put(&g, *e);
	for (char **name = spec->pass; name != NULL && *name != NULL; name++)
		if (own(*name) != NULL)
			put(&g, own(*name));
	for (unsigned i = 0; i < SPAWN_ENV_BASE; i++)
		put(&g, p->env[i]);
	return g.env;
}
