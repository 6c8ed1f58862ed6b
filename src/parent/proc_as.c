/*
 * proc_as.c: the parent looks into /proc as the process that it looks at.
 *
 * Called by whoever reads below /proc/PID. As root the kernel would ask CAP_SYS_PTRACE for that, which is much more; with
 * its user for the file system it sees that user's processes only, also where /proc shows each user his own (hidepid).
 * Owns nothing. Every begin has its end before anything else of the file system is touched.
 */
#include "parent.h"
#include <sys/fsuid.h>
#include <sys/prctl.h>

static const struct run *run_of(const struct child *c)
{
	return c->kind == CHILD_RUN    ? container_of(c, const struct run, child)
	       : c->kind == CHILD_HOOK ? container_of(c, const struct run, hook)
				       : NULL;
}

void proc_as_begin(const struct parent *p, const struct child *c)
{
	const struct run *r = run_of(c);
	struct account who = {0};

	if (!p->root || r == NULL)
		return;
	if (r->spec != NULL)
		who = (struct account){.uid = r->spec->set.uid, .gid = r->spec->set.gid};
	else
		who = p->account[r->slot->role];
	if (who.uid == 0)
		return;
	(void)setfsgid(who.gid);
	(void)setfsuid(who.uid);
}

void proc_as_end(const struct parent *p)
{
	if (!p->root)
		return;
	(void)setfsuid(0);
	(void)setfsgid(0);
	/* A change of it closes the parent's own files of /proc to itself: the namespaces of its children are opened there. */
	(void)prctl(PR_SET_DUMPABLE, 1);
}
