/*
 * view.c: who sees what of the file system as root: the plans of mounts.c for each app and each
 * role.
 *
 * Called by workers.c, core.c and oneshot.c before a process is made. Keeps each namespace's
 * descriptor: an app's with its spec, a role's with the parent. Without root nobody has one. The
 * gate, keys and auth have less than any of these: a root folder in memory (jail.c). The gates' begins in a namespace of
 * the machine's files in which STATE/public is shared: there act mounts published folders (src/act/mount.c), and every gate
 * has them at once, the running ones too. It outlives the parent, as descriptor.
 */
#include "parent.h"
#include "mounts.h"
#include "places.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What is at least so: the machine's files to read, others' homes and stead's own folders away, a
 * /tmp, devices and /proc of its own. */
static struct mounts_plan base_plan(const struct parent *p)
{
	return (struct mounts_plan){.parent = p,
		.system = JAIL_STRICT,
		.home = JAIL_ON,
		.tmp = true,
		.devices = true,
		.proc = true,
		.own_hidden = true};
}

static uint32_t wish(uint32_t said, uint32_t otherwise)
{
	return said != JAIL_DEFAULT ? said : otherwise;
}

int view_app(struct parent *p, struct spec *spec, int *ret_fd, char *ret_step)
{
	const struct msg_jail *j = &spec->jail;
	struct mounts_path path[JAIL_PATHS_MAX + 1];
	struct mounts_plan plan = base_plan(p);
	int e = 0;

	*ret_fd = -1;
	if (!p->root || j->version == 0)
		return 0;
	if (spec->mounts_fd >= 0 && spec->places != usual_seen(spec->paths, j->paths))
		view_forget(spec);
	if (spec->mounts_fd < 0) {
		memcpy(path, spec->paths, j->paths * sizeof(*path));
		plan.path = path;
		plan.paths = j->paths;
		if (p->places_dir != NULL)
			path[plan.paths++] = (struct mounts_path){
				JAIL_PATH_WRITE | JAIL_PATH_OPTIONAL, p->places_dir};
		plan.app = true;
		plan.uid = spec->set.uid;
		plan.gid = spec->set.gid;
		plan.system = wish(j->system, JAIL_STRICT);
		plan.home = wish(j->home, JAIL_ON);
		plan.tmp = j->tmp != JAIL_OFF;
		plan.devices = j->devices != JAIL_OFF;
		plan.proc = j->proc != JAIL_OFF;
		e = mounts_make(&plan, &spec->mounts_fd, ret_step);
		spec->places = usual_seen(spec->paths, j->paths);
	}
	*ret_fd = spec->mounts_fd;
	return e;
}

static int view_gates(struct parent *p, int *ret_fd, char *ret_step)
{
	char public[PATH_MAX];
	struct mounts_plan plan = {.parent = p, .shared = public};
	int e = 0;

	if (snprintf(public, sizeof(public), "%s/public", p->state_dir) >= (int)sizeof(public))
		return -ENAMETOOLONG;
	if (p->role_mounts[PROC_GATE] <= 0)
		e = mounts_make(&plan, &p->role_mounts[PROC_GATE], ret_step);
	if (e == 0)
		*ret_fd = p->role_mounts[PROC_GATE];
	return e;
}

int view_role(struct parent *p, enum proc role, int *ret_fd, char *ret_step)
{
	struct mounts_path path[5] = {{JAIL_PATH_WRITE, p->state_dir}, {JAIL_PATH_WRITE, p->run_dir},
		{JAIL_PATH_WRITE | JAIL_PATH_OPTIONAL, p->places_dir != NULL ? p->places_dir : ""}};
	struct mounts_plan plan = base_plan(p);
	bool state = role == PROC_CTL || role == PROC_DB || role == PROC_POSTGRES ||
		     role == PROC_BUILD || role == PROC_LOG;

	*ret_fd = -1;
	if (p->root && role == PROC_GATE)
		return view_gates(p, ret_fd, ret_step);
	if (!p->root || proc_rows[role].jail == JAIL_NONE || proc_rows[role].jail == JAIL_ROOT)
		return 0;
	if (state) {
		plan.path = path;
		plan.paths = p->places_dir != NULL ? 3 : 2;
	}
	/* What each person may stands there, whatever the state folder is; and what the operator wrote. */
	if (role == PROC_CTL) {
		path[plan.paths++] = (struct mounts_path){JAIL_PATH_READ | JAIL_PATH_OPTIONAL, "/var/lib/stead/people"};
		path[plan.paths++] = (struct mounts_path){JAIL_PATH_READ | JAIL_PATH_OPTIONAL, "/etc/stead"};
	}
	plan.app = role == PROC_BUILD;
	/* It tells how much memory each process has. */
	plan.proc = role != PROC_CTL;
	/* It reads the folder that somebody names, wherever that is. */
	if (role == PROC_CHECK || role == PROC_CTL) {
		plan.home = JAIL_OFF;
		plan.tmp = false;
	}
	if (role == PROC_CHECK)
		plan.own_hidden = false;
	int e = p->role_mounts[role] > 0 ? 0 : mounts_make(&plan, &p->role_mounts[role], ret_step);
	if (e == 0)
		*ret_fd = p->role_mounts[role];
	return e;
}

void view_forget(struct spec *spec)
{
	if (spec != NULL && spec->mounts_fd >= 0)
		close(spec->mounts_fd);
	if (spec != NULL)
		spec->mounts_fd = -1;
}

void view_done(struct parent *p)
{
	for (unsigned i = 0; i < ARRAY_LEN(p->role_mounts); i++)
		if (p->role_mounts[i] > 0)
			close(p->role_mounts[i]);
}
