/*
 * procs.h: every process that stead runs, one row each. An X-macro table: define PROC, include, undefine.
 *
 * PROC(NAME, name, many, oneshot, jail, about); messages carry a row's place, so rows are only appended
 *   many     how many there may be at once: 1, or PROC_MANY
 *   oneshot  1: started by ctl's request for one answer, then gone
 *   jail     what the parent does before exec when it is root: JAIL_NONE (stays root), JAIL_USER (own uid,
 *            no_new_privs), JAIL_ROOT (also an empty or published root), JAIL_APP (the app's uid, its cgroup)
 */
PROC(PARENT, parent, 1, 0, JAIL_NONE, "spawns, jails, watches and binds; reads no byte from outside")
PROC(GATE, gate, PROC_MANY, 0, JAIL_ROOT, "speaks to clients; serves files, asks the apps")
PROC(CTL, ctl, 1, 0, JAIL_USER, "control socket, state, compiles snapshots")
PROC(LOG, log, 1, 0, JAIL_USER, "drains the log rings and the apps' output into bounded files")
PROC(CHECK, check, PROC_MANY, 1, JAIL_USER, "parses untrusted text: stead.conf, unit files, app folders")
PROC(BUILD, build, PROC_MANY, 1, JAIL_APP, "makes what an app needs to run, as the app's user")
PROC(DB, db, PROC_MANY, 1, JAIL_USER, "makes the cluster, its roles and databases; speaks SQL")
PROC(ACT, act, PROC_MANY, 1, JAIL_NONE, "does one privileged thing from tbl/acts.h")
PROC(WORKER, worker, PROC_MANY, 0, JAIL_APP, "runs the user's code and answers over the link")
PROC(SERVICE, service, PROC_MANY, 0, JAIL_APP, "a program of the app that is not on the link")
PROC(POSTGRES, postgres, PROC_MANY, 0, JAIL_USER, "the database server, watched like the rest")
PROC(CLI, cli, PROC_MANY, 1, JAIL_NONE, "the verbs; talks to ctl's socket")
PROC(RESOLVE, resolve, 1, 0, JAIL_USER, "looks up the names of backends; started when a gate asks for it")
PROC(AUTH, auth, 1, 0, JAIL_ROOT, "checks passwords against their hashes; started when a gate asks for it")
PROC(KEYS, keys, 1, 0, JAIL_ROOT, "holds private keys and signs with them; started when there is a certificate")
PROC(CERTS, certs, 1, 0, JAIL_USER, "gets certificates from an authority; started when a site wants one")
PROC(ALERT, alert, PROC_MANY, 1, JAIL_USER, "sends one alert by mail or to a webhook")
PROC(BACKUP, backup, PROC_MANY, 1, JAIL_NONE, "packs all of an instance into one file, and unpacks one; with the rights of whoever typed it")
