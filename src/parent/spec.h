/*
 * spec.h: what one PROC_SET asked for: spec.c. Part of parent.h.
 */
#ifndef STEAD_PARENT_SPEC_H
#define STEAD_PARENT_SPEC_H

#include "tbl/tbl.h"

/* A command beside the program (ExecStartPre= and its kin), in the order of a life. */
struct hook {
	uint32_t kind, flags, argc; /* enum service_hook; HOOK_IGNORE */
	const char *path;
	char **argv;
};
/* One PROC_SET as ctl sent it, kept by every run that was started from it. */
struct spec {
	unsigned refs;
	struct msg_proc_set set;
	const char *name, *cwd, *path;
	const char *socket, *probe; /* service: the path of PATH; the path that is asked for */
	char **argv, **envp; /* NULL-terminated; point into bytes */
	char **pass, **unset; /* the same, or NULL: of the environment, in and out */
	struct hook *hooks;
	unsigned hooks_n;
	int stop_signal;
	struct msg_jail jail; /* version 0: there is none */
	struct mounts_path *paths;   /* jail.paths of them; the text points into bytes */
	uint32_t *calls;             /* jail.calls */
	int mounts_fd;               /* the app's mount namespace; -1: not made yet */
	uint64_t places;             /* … and which folders of the machine it shows its own at (usual_seen()) */
	size_t bytes_n;
	char bytes[]; /* the whole payload: equal bytes, equal spec */
};

/* -EINVAL: it is not whole, or says what cannot be. */
int spec_new(const void *bytes, size_t n, struct spec **ret_spec);
struct spec *spec_ref(struct spec *s);
void spec_unref(struct spec *s);

#endif
