/*
 * escape.h: acts that no process of stead's may be able to do: what they aim at, and what each
 * gives.
 */
#ifndef STEAD_TEST_ESCAPE_H
#define STEAD_TEST_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>

/* What the test has put up for them to reach; written into the program's file by the test. */
struct targets {
	int parent;           /* stead-parent */
	int other;            /* a process of another app's user */
	const char *state;    /* the state folder: state.db, keys/secret */
	const char *victim;   /* the folder of another app, 0700: data, db.sock */
	const char *control;  /* ctl's socket */
	const char *home;     /* a file in somebody's home that everybody may read */
	const char *roles;    /* where stead's own programs are */
	const char *suid;     /* a program that belongs to root and has the setuid bit */
	const char *abstract; /* the name of somebody's abstract socket */
};

struct act {
	const char *name;
	/* 0: it could be done; else the errno that refused it. Runs in a process of its own, which
	 * may be killed for it. */
	int (*run)(const struct targets *t);
	int bomb; /* 1: only where the process has bounds of its own */
};
extern const struct act acts_files[], acts_calls[], acts_procs[];
extern const size_t acts_files_n, acts_calls_n, acts_procs_n;

#endif
