/*
 * phpfpm.c: which PHP-FPM of the system an app is run by that names none: the newest.
 *
 * Called by check when it looks at a folder, and by ctl when the one that was found then is gone, because the system went
 * over to another version. Reads the names in four folders.
 */
#include "phpfpm.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* "php-fpm8.2" is 8002, without a version 1; 0: it is another program. */
static unsigned version_of(const char *name)
{
	unsigned major = 0, minor = 0;
	char more;

	if (strcmp(name, "php-fpm") == 0)
		return 1;
	return sscanf(name, "php-fpm%2u.%2u%c", &major, &minor, &more) == 2 ? major * 1000 + minor : 0;
}

bool phpfpm_newest(char ret[static PATH_MAX])
{
	static const char *const folders[] = {"/usr/local/sbin", "/usr/sbin", "/usr/local/bin", "/usr/bin"};
	unsigned best = 0;

	for (unsigned i = 0; i < sizeof folders / sizeof *folders; i++) {
		DIR *d = opendir(folders[i]);
		const struct dirent *e;

		while (d != NULL && (e = readdir(d)) != NULL) {
			unsigned version = version_of(e->d_name);
			char path[PATH_MAX];

			if (version <= best || snprintf(path, PATH_MAX, "%s/%s", folders[i], e->d_name) >= PATH_MAX ||
				access(path, X_OK) < 0)
				continue;
			best = version;
			memcpy(ret, path, strlen(path) + 1);
		}
		if (d != NULL)
			(void)closedir(d);
	}
	return best > 0;
}
