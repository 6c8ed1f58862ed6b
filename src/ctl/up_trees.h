/*
 * up_trees.h: folders that the gates are shown as root, between up_root.c, up_root_sites.c and up_trees.c.
 */
#ifndef STEAD_CTL_UP_TREES_H
#define STEAD_CTL_UP_TREES_H

#include "ctl.h"

/* Are this flow's folders mounted as they are, and no copies made? */
bool up_trees_are(const struct up *u);
/* All of them, one after the other. False: not yet. */
bool up_trees_published(struct up *u);
/* The one that was asked for. */
void up_tree_ended(struct up *u, const struct ask_end *end);

/* The conf of a site that is coming; the caller's. NULL: it does not hold. */
struct conf *up_root_site_conf(struct up *u, const struct site *s);
/* Its folders: that of route i, or of Static= behind them; "": one that comes again. False: there is no such. */
bool up_root_folder_at(const struct conf_app *conf, unsigned i, const char **ret_path, int *ret_index);

#endif
