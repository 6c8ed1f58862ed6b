/*
 * restored.h: what `stead restore` has unpacked takes the place of the state: STATE/restore/new.
 *
 * Three folders and a mark: RESTORED_NEW holds what comes, RESTORED_OLD takes what was there, and
 * RESTORED_GO says that all of it is unpacked and on the disk. While the mark is not there nothing
 * of the state has changed; once it is, each move can be repeated, and whoever starts next carries
 * on: stead-act before a server's first process, `stead up`, `stead restore`. So a death at any
 * moment leaves the state of before, or that of the backup as soon as something starts.
 */
#ifndef STEAD_ONESHOT_RESTORED_H
#define STEAD_ONESHOT_RESTORED_H

#include <stdbool.h>

#define RESTORED_FOLDER "restore"
#define RESTORED_NEW "new"
#define RESTORED_OLD "old"
#define RESTORED_GO "go"
#define RESTORED_MARK                                                                              \
	"restored" /* in the state: databases are to be loaded, accounts have other numbers        \
		      (src/ctl/restored.c) */

/* In the state folder: set the mark (`sets`), or go by the one that is there; then move. As root
 * the configuration of the backup becomes /etc/stead, and what was there /etc/stead.before-restore.
 * Nothing runs there meanwhile. 0, also when there is nothing to do; -errno: it is carried on when
 * called again. */
int restored_finish(int state, bool sets);
/* Is there a mark, and so something to carry on? */
bool restored_waits(int state);
/* Remove the folder with all that was there before. 0 or -errno. */
int restored_clean(int state);

#endif
