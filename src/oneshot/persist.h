/*
 * persist.h: paths that outlive releases (Persist=): they lie in the app's data folder, and each release has links
 * to them. For build, which has the app's rights, and act, which owns the releases.
 */
#ifndef STEAD_ONESHOT_PERSIST_H
#define STEAD_ONESHOT_PERSIST_H

#include "oneshot/oneshot.h"

/* In the folder `keep` each of `paths` (one a line, relative) is there: a copy of what `release`, a path, has there, or an
 * empty folder. What is there already stays as it is. Follows no link in `keep`; what is copied is no more than the
 * caller may read. 0 or -errno with f set. */
int persist_keep(struct failure *f, int keep, const char *release, const char *paths);
/* In the folder `release` each of them becomes a link to KEEP/PATH. The same. */
int persist_link(struct failure *f, int release, const char *keep, const char *paths);
/* Is it such a list? Each path as lib/parcel.h has them. */
bool persist_valid(const char *paths);

#endif
