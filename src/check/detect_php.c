/*
 * detect_php.c: is it a PHP app, where are its scripts, and which PHP-FPM runs them?
 *
 * Called by detect.c. An app is known by the script that answers for a folder, in one of the places where
 * frameworks have it; the places for the public come first, because what lies above them is not to be served.
 * Reads no file: what stands in them is PHP's matter.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "lib/must.h"
#include "lib/phpfpm.h"

static bool there(const struct check *k, const char *folder, const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	return snprintf(path, sizeof(path), "%s/%s", folder, name) < PATH_MAX &&
	       fstatat(k->dir, path, &st, 0) == 0 && S_ISREG(st.st_mode);
}

/* NULL: there is none. */
static const char *find_root(const struct check *k)
{
	static const char *const places[] = {"public", "web", ".", "htdocs", "www", "html"};
	const struct conf_value *index = conf_get(k->conf, CONF_PHP_INDEX);

	for (unsigned i = 0; i < ARRAY_LEN(places); i++)
		if (there(k, places[i], index != NULL && index->text[0] != '\0' ? index->text : "index.php"))
			return places[i];
	return NULL;
}

/* Does the file speak of PHP? */
static const struct conf_value *written(const struct check *k)
{
	static const enum conf_key keys[] = {CONF_PHP_INDEX, CONF_PHP_FPM, CONF_PHP_WORKERS,
		CONF_PHP_MAX_REQUESTS, CONF_PHP_LIFETIME, CONF_PHP_IDLE_STOP};

	for (unsigned i = 0; i < ARRAY_LEN(keys); i++)
		if (conf_get(k->conf, keys[i]) != NULL)
			return conf_get(k->conf, keys[i]);
	return NULL;
}

bool php_detect(struct check *k, bool python)
{
	const struct conf_value *root = conf_get(k->conf, CONF_PHP_ROOT);
	const char *found = root == NULL ? find_root(k) : NULL;
	char fpm[PATH_MAX];

	if (root == NULL) {
		if (found == NULL && written(k) != NULL)
			conf_find(k->conf, CONF_ERROR, &written(k)->pos, "write Root= in [Php] with the folder that has it",
				"[Php]: there is no index.php in the folder, nor in its public, web, htdocs, www or html");
		/* Where there is Python too, composer.json says whose the folder is. */
		if (found == NULL || (python && written(k) == NULL && !there(k, ".", "composer.json")))
			return found == NULL && written(k) != NULL;
		(void)conf_put_key(k->conf, CONF_PHP_ROOT, found, CONF_FROM_DETECTED, NULL);
	}
	if (conf_get(k->conf, CONF_PHP_FPM) != NULL)
		return true;
	if (phpfpm_newest(fpm))
		(void)conf_put_key(k->conf, CONF_PHP_FPM, fpm, CONF_FROM_DETECTED, NULL);
	else
		conf_find(k->conf, CONF_ERROR, root != NULL ? &root->pos : NULL,
			"install it (apt install php-fpm), then try again; Fpm= in [Php] names one that lies elsewhere",
			"this is a PHP app, and there is no PHP-FPM on this machine to run it");
	return true;
}
