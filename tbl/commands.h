/*
 * commands.h: every verb and option of the program `stead`, its exit codes, and what the verbs ask on the control
 * socket. An X-macro table: define COMMAND, OPTION, REQUEST and/or EXIT_ROW, include; it undefines them.
 *
 * COMMAND(NAME, "name", "arguments", min, max, completes, "one line", "prose")
 *   min, max   how many arguments it takes
 *   completes  what an argument is: enum arg_kind
 * OPTION(NAME, "long", 'short' or 0, "ARGUMENT" or "", verbs, completes, "about")
 *   verbs      bit set of V(VERB)
 * EXIT_ROW(NAME, code, "text")
 * REQUEST(NAME, "name", VERB, who)
 *   VERB       whose request it is; its help says who may
 *   who        who may ask it, by the peer's credentials (src/ctl/people.c): OWNER root and the user that runs the
 *              instance; OPERATORS also the members of the group stead; DEPLOYERS also who deploys the app it names
 */
#ifndef COMMAND
#define COMMAND(NAME, name, arguments, min, max, completes, line, prose)
#endif
#ifndef OPTION
#define OPTION(NAME, name, letter, argument, verbs, completes, about)
#endif
#ifndef EXIT_ROW
#define EXIT_ROW(NAME, code, text)
#endif
#ifndef REQUEST
#define REQUEST(NAME, name, verb, who)
#endif

COMMAND(UP, "up", "[FOLDER]", 0, 1, ARG_FOLDER, "take the app in FOLDER to a live site",
	"Finds out what the app is, gives it a database if it needs one, starts it and serves it. Stays in the foreground until Ctrl-C, or with --detach returns when the site is live. FOLDER is the current folder when left out. Prints `live  URL` when the first real request has been answered.")
COMMAND(CHECK, "check", "[FOLDER|FILE]", 0, 1, ARG_FOLDER, "show the effective configuration and every error in it",
	"Reads stead.conf, or the one NAME.service, of FOLDER, finds out the rest as `up` would, and prints each value with its origin. Starts nothing and needs no running stead. Exit status 2 when there is an error.")
COMMAND(STATUS, "status", "[APP...]", 0, 16, ARG_APP, "show what runs",
	"Of an app, as systemctl shows a unit: exit status 0 when it is active, 3 when it is not, 4 when there is none. Without APP all: processes with their pid, memory, restarts and uptime; sites with their URL, workers, requests and errors; the database; and the protections that need root and are therefore off.")
COMMAND(START, "start", "APP...", 1, 16, ARG_APP, "start apps that were stopped",
	"Returns when each answers, or with status 1 when one ended before it was ready.")
COMMAND(STOP, "stop", "[APP...]", 0, 16, ARG_APP, "stop everything gracefully, or apps",
	"With APP its site answers 503 from now on, what it runs is finished, then its processes end; it stays so until `start`, or until the server starts anew and the app is enabled. Without APP: takes nothing new, finishes what runs, then ends the app, the database and stead.")
COMMAND(ENABLE, "enable", "APP...", 1, 16, ARG_APP, "start apps with the server (the default)",
	"What is stopped now stays so until `start`.")
COMMAND(DISABLE, "disable", "APP...", 1, 16, ARG_APP, "start apps with the server no more",
	"What runs now runs on; `stop` ends it.")
COMMAND(IS_ACTIVE, "is-active", "APP...", 1, 16, ARG_APP, "tell whether apps are active",
	"Prints active, activating, deactivating, inactive or failed of each. Exit status 0 when one of them is active, else 3, or 4 when there is none of that name; with --quiet it prints nothing.")
COMMAND(RESTART, "restart", "[APP...]", 0, 16, ARG_APP, "replace the app's workers without losing a request",
	"New workers are started and ready before the old ones are drained. APP left out: the folder's app.")
COMMAND(CACHE, "cache", "purge [APP] [URL]", 1, 3, ARG_NONE, "forget answers that were kept by Cache=",
	"With URL those of one page: a path, for every name of the site, or http://NAME/PATH as it was asked for. With --tag those whose Cache-Tag or Surrogate-Key names the tag. Prints how many there were.")
COMMAND(MAINTENANCE, "maintenance", "on|off [APP]", 1, 2, ARG_NONE, "show a page instead of the site, or the site again",
	"From now on every gate answers the site's requests with status 503, Retry-After and the page of Maintenance=; what runs is finished. The path of Health= is answered as before, when it is not /. It lasts over reloads and restarts until `off`. APP is an app's or a site's name; left out, the folder's own.")
COMMAND(CERT, "cert", "list | show NAME | renew [NAME] | import [NAME] | agree | trust", 1, 2, ARG_NONE, "show certificates, get or take one, or trust your own for localhost",
	"NAME is an app's or a site's name; left out with `renew`, the folder's own. `list` shows each site's certificate, until when it is valid and what hinders its renewal; `show` all that is known of one. `renew` asks the authority at once, also when the last tries failed, and ends when the new certificate is served or it is known why there is none. `import --cert FILE --key FILE` takes one that you have into the state: it is looked at (key, dates, names, chain), the key is sealed at once, and both files may be removed then; with --remove instead the site is as it was without. `agree` shows the terms of the authority and asks whether you agree, once; with --yes it does not ask. `trust` has this machine believe the authority that signs for https://localhost: the system's store (as root; else the command is shown), browsers (certutil of libnss3-tools), and what to set for Python and Node; with --remove no more.")
COMMAND(DOMAIN, "domain", "add NAME [APP] | remove NAME [APP] | list [APP]", 1, 3, ARG_NONE, "attach a host name to an app, or take it away",
	"`add` has APP answer to NAME from now on, whatever its file says: it is kept in the state, over reloads, restarts and deploys, and comes before the file. It is refused, with whose it is, when another app or site has the name. Prints the DNS record to enter; with --wait it ends when the name leads here. A certificate follows by itself. `remove` takes it away again; names that stand in a file are taken out there. `list` shows all names, whose they are and whether a file or a command says so. APP left out: the folder's app.")
COMMAND(ALERT, "alert", "test [APP]", 1, 2, ARG_NONE, "try whether alerts come through",
	"A message to each whom [Alert] names, or the [Alert] of a deployed app: sent now, each is told as sent or with what hinders it. Exit status 1 when one could not be sent. It is tried once and counts as no alert.")
COMMAND(RELOAD, "reload", "[APP...]", 0, 16, ARG_APP, "read the configuration again",
	"Connections stay open. Values that need more than that are named, with what to do. With APP, as systemctl has it, the program reads its own: ExecReload= runs, or ReloadSignal= is sent with Type=notify-reload; it returns when that is over, with status 1 when it failed or the app is not active, and 3 when it has neither of them.")
COMMAND(DEPLOY, "deploy", "[FOLDER|FILE.service]", 0, 1, ARG_FOLDER, "put the app in FOLDER on this server as a new release",
	"Copies the folder into an immutable release of the running server, gives the app a user, a data folder and a database if it needs one, starts the new workers beside the old ones, asks them a real request, and only then passes the visitors to them. When a step fails the release before serves on. The app's name is the folder's, or that of --app; .git, .stead and virtual environments are left out, like links that lead out of the folder. FILE.service is a systemd unit: it is deployed alone, and its WorkingDirectory= stays where it is. The last 5 releases are kept (Keep= in [Deploy]).")
COMMAND(RELEASES, "releases", "[APP]", 0, 1, ARG_APP, "show the releases that are kept",
	"The newest first, with the time at which each went live; * marks the one that serves. APP left out: the only deployed app.")
COMMAND(ROLLBACK, "rollback", "[APP]", 0, 1, ARG_APP, "serve an earlier release again",
	"The one before, or that of --release, with the code, the packages and the values it had, in the same way as a deploy: it is started beside the other one and asked first. The database stays as it is.")
COMMAND(REMOVE, "remove", "APP", 1, 1, ARG_APP, "take a deployed app off this server",
	"Its processes end and its releases are removed. Its data folder and its database stay, and the next deploy under the same name finds them; with --data and --confirm APP they are removed too, for good, also later: `stead status` names the apps that left some.")
COMMAND(UPGRADE, "upgrade", "", 0, 0, ARG_NONE, "go over to this version without losing a request",
	"The running stead goes over to the version of the program `stead` that is called, forwards or backwards; a package does it when it is installed. The new version is tried first: each of its processes must start, a new gate must answer a real request and the new parent must understand the old one's state. Then the parent becomes the new one, gates are replaced one by one (connections are finished, WebSockets live on for DrainMaxSec=), and the apps' processes are not touched. A version that fails one of these steps is given up, and what served serves on. When the same version was installed again, what runs goes over to the files that are there now in the same way.")
COMMAND(LOGS, "logs", "[APP]", 0, 1, ARG_APP, "show the access records and the app's output",
	"The last lines, oldest first; with -f what comes after them too.")
COMMAND(METRICS, "metrics", "", 0, 0, ARG_NONE, "print what is counted",
	"Counters, gauges and histograms of gates, sites, backends and processes, as Prometheus reads them (text format 0.0.4); with --json one object a line. Metrics= in [Server] serves the same text on a local port.")
COMMAND(DOCTOR, "doctor", "[AREA]", 0, 1, ARG_NONE, "look at this machine, and say what is wrong and how to mend it",
	"Looks at ports, firewall (which rule drops), clock, disk, memory, kernel, PostgreSQL, updates, open files, DNS and stead itself, with or without a running stead. What only root may see is said. Each finding has a level, what, where, why, and the mend. AREA is one of ports, firewall, clock, disk, memory, kernel, postgresql, upgrades, files, dns, stead; left out, all. --fix mends what is safe to mend (firewall, upgrades), as root: it opens ports 80 and 443 (and sshd's, when that is shut) right before the rule that drops, and takes that back after --timeout unless somebody connects anew, so that you cannot lock yourself out; with --yes that is not waited for. Exit status 1 when something is wrong.")
COMMAND(INTROSPECT, "introspect", "TABLE", 1, 1, ARG_TABLE, "print one of stead's tables",
	"TABLE is config, commands, metrics, events, findings, closes, messages, procs, acts or logvars: every name of that kind that stead knows, as JSON.")
COMMAND(COMPLETION, "completion", "SHELL", 1, 1, ARG_SHELL, "print the completion for a shell",
	"SHELL is bash, zsh or fish. For bash: source <(stead completion bash)")
COMMAND(USER, "user", "add NAME --key FILE | remove NAME | list", 1, 2, ARG_NONE, "give a person an account on this server, or take it",
	"`add` makes a Unix account with a home of its own (mode 0700) that is entered with an ssh key and in no other way: it has no password. FILE holds public keys, one a line (ssh-ed25519, ssh-rsa from 2048 bits on, ecdsa-sha2-nistp256, -384 and -521, and those of security keys); they stand in a marked part of ~/.ssh/authorized_keys, and the rest of that file is the person's. Without more it is an operator: in the group stead, with all verbs but those that are root's. With --sudo it may do everything by sudo, which asks for no password because there is none. With --deploy it has no shell: its key may deploy, roll back, and see the releases, status and logs of those apps (`ssh NAME@HOST status APP`), and nothing is forwarded. Run again, `add` replaces keys and rights. `remove` takes keys and rights at once and then the account; its home stays, and its programs are not ended: while some run it says which (status 7). Accounts that stead did not make are never touched. `add` and `remove` are for root.")
COMMAND(BACKUP, "backup", "FILE", 1, 1, ARG_FILE, "put all of this server into one file",
	"State, configuration (/etc/stead), private keys and certificates, the releases, data folders and databases of all apps, and the people with their public keys. What serves serves on; deploys wait until it is done. The state and each database are as of one moment, files as they are when they are read. FILE is made whole or not at all, with mode 0600, and is not encrypted: whoever can read it has this server's private keys, so keep it as you would keep those. Files that the configuration names and that lie elsewhere (Certificate=, EnvironmentFile=) are not in it. For root; without a server, for whoever runs the instance.")
COMMAND(RESTORE, "restore", "FILE", 1, 1, ARG_FILE, "make this server what `stead backup` has kept in FILE",
	"FILE is looked at whole before anything is changed: one that is damaged, cut, no backup or a newer version's is refused. Then everything is unpacked beside what serves, the server is stopped, the unpacked takes its place in one step that is carried on after a power cut, and the server starts: its databases are loaded first, then the apps run. Accounts are made where they are missing, with this server's own numbers. A server that has apps is replaced only with --yes (status 6); the folder /etc/stead of before stays as /etc/stead.before-restore. For root; without a server, for whoever runs the instance.")
COMMAND(SERVE_DEPLOY, "serve-deploy", "", 0, 0, ARG_NONE, "answer somebody who comes over ssh with a deploy key",
	"What sshd runs for a key that `stead user add --deploy` wrote, whatever was asked for: the words in SSH_ORIGINAL_COMMAND are one verb out of deploy, releases, rollback, status and logs, and no shell ever sees them. Not for typing.")

OPTION(STATE, "state", 0, "DIR", V_ALL, ARG_FOLDER, "the state folder (default: FOLDER/.stead, or $STEAD_STATE)")
OPTION(HTTP, "http", 0, "ADDR:PORT", V(UP), ARG_NONE, "listen here (default: 127.0.0.1:8080)")
OPTION(HTTPS, "https", 0, "ADDR:PORT", V(UP), ARG_NONE, "listen here for TLS (default: 127.0.0.1:8443, when nobody else does)")
OPTION(DETACH, "detach", 'd', "", V(UP), ARG_NONE, "return when the site is live; it runs on")
OPTION(FOLLOW, "follow", 'f', "", V(LOGS), ARG_NONE, "go on with each new line")
OPTION(LINES, "lines", 'n', "N", V(LOGS), ARG_NONE, "how many of the last lines (default: 100)")
OPTION(SINCE, "since", 0, "TIME", V(LOGS), ARG_NONE, "only lines after TIME: 10min, 2h (ago), or 2025-12-31T23:59:59Z")
OPTION(LEVEL, "level", 0, "LEVEL", V(LOGS), ARG_LEVEL, "only this level or worse: debug, info, notice, warning, error, critical")
OPTION(FORMAT, "format", 0, "FORMAT", V(LOGS), ARG_NONE, "access records alone, as combined, json, or a text with variables like '$remote_addr $status'")
OPTION(TAG, "tag", 0, "TAG", V(CACHE), ARG_NONE, "forget what carries this tag")
OPTION(CERT, "cert", 0, "FILE", V(CERT), ARG_FILE, "import: the certificate with its chain (PEM)")
OPTION(KEY, "key", 0, "FILE", V(CERT) | V(USER), ARG_FILE, "cert import: its private key (PEM); user add: public ssh keys (the file that ends in .pub)")
OPTION(SUDO, "sudo", 0, "", V(USER), ARG_NONE, "add: may do everything, by sudo")
OPTION(DEPLOY, "deploy", 0, "APP[,APP]", V(USER), ARG_APP, "add: may deploy these apps and nothing else")
OPTION(REMOVE, "remove", 0, "", V(CERT), ARG_NONE, "import, trust: take it back")
OPTION(FIX, "fix", 0, "", V(DOCTOR), ARG_NONE, "mend what is safe to mend")
OPTION(TIMEOUT, "timeout", 0, "SECONDS", V(DOCTOR), ARG_NONE, "--fix: take a change of the firewall back after that long without a new connection (default: 60)")
OPTION(APP, "app", 0, "NAME", V(DEPLOY), ARG_APP, "the app's name on the server (default: the folder's name)")
OPTION(RELEASE, "release", 0, "N", V(ROLLBACK), ARG_NONE, "that release and no other")
OPTION(DATA, "data", 0, "", V(REMOVE), ARG_NONE, "its data folder and its database too")
OPTION(CONFIRM, "confirm", 0, "APP", V(REMOVE), ARG_APP, "the app's name once more: what --data removes cannot be brought back")
OPTION(WAIT, "wait", 0, "", V(DOMAIN), ARG_NONE, "add: end when the name leads to this server")
OPTION(JSON, "json", 0, "", V_ALL, ARG_NONE, "print JSON")
OPTION(YES, "yes", 'y', "", V_ALL, ARG_NONE, "answer yes to every question")
OPTION(QUIET, "quiet", 'q', "", V_ALL, ARG_NONE, "print errors only")
OPTION(HELP, "help", 'h', "", V_ALL, ARG_NONE, "show this help")
OPTION(VERSION, "version", 0, "", V_NONE, ARG_NONE, "show the version")

EXIT_ROW(DONE, 0, "done")
EXIT_ROW(FAILED, 1, "failed")
EXIT_ROW(USAGE, 2, "wrong usage or configuration")
EXIT_ROW(NOT_RUNNING, 3, "not running")
EXIT_ROW(NO_SUCH, 4, "no such thing")
EXIT_ROW(NOT_PERMITTED, 5, "not permitted")
EXIT_ROW(PROTECTED, 6, "refused, to protect data")
EXIT_ROW(BUSY, 7, "busy")

REQUEST(UP, "up", UP, OWNER)
REQUEST(STATUS, "status", STATUS, DEPLOYERS)
REQUEST(STOP, "stop", STOP, OWNER)
REQUEST(APP_STOP, "app-stop", STOP, OPERATORS)
REQUEST(START, "start", START, OPERATORS)
REQUEST(ENABLE, "enable", ENABLE, OPERATORS)
REQUEST(DISABLE, "disable", DISABLE, OPERATORS)
REQUEST(RELOAD, "reload", RELOAD, OPERATORS)
REQUEST(APP_RELOAD, "app-reload", RELOAD, DEPLOYERS)
REQUEST(RESTART, "restart", RESTART, DEPLOYERS)
REQUEST(LOGS, "logs", LOGS, DEPLOYERS)
REQUEST(DOMAIN_ADD, "domain-add", DOMAIN, DEPLOYERS)
REQUEST(DOMAIN_REMOVE, "domain-remove", DOMAIN, DEPLOYERS)
REQUEST(DOMAIN_LIST, "domain-list", DOMAIN, DEPLOYERS)
REQUEST(ALERT_TEST, "alert-test", ALERT, DEPLOYERS)
REQUEST(METRICS, "metrics", METRICS, OPERATORS)
REQUEST(PURGE, "purge", CACHE, OPERATORS)
REQUEST(MAINTENANCE, "maintenance", MAINTENANCE, OPERATORS)
REQUEST(CERT_LIST, "cert-list", CERT, OPERATORS)
REQUEST(CERT_RENEW, "cert-renew", CERT, OPERATORS)
REQUEST(CERT_TERMS, "cert-terms", CERT, OPERATORS)
REQUEST(CERT_AGREE, "cert-agree", CERT, OPERATORS)
REQUEST(CERT_KEY, "cert-key", CERT, OPERATORS)
REQUEST(CERT_IMPORT, "cert-import", CERT, OPERATORS)
REQUEST(DEPLOY, "deploy", DEPLOY, DEPLOYERS)
REQUEST(DEPLOY_SEND, "deploy-send", DEPLOY, DEPLOYERS)
REQUEST(RELEASES, "releases", RELEASES, DEPLOYERS)
REQUEST(ROLLBACK, "rollback", ROLLBACK, DEPLOYERS)
REQUEST(REMOVE, "remove", REMOVE, OPERATORS)
REQUEST(UPGRADE, "upgrade", UPGRADE, OWNER)
REQUEST(BACKUP, "backup", BACKUP, OWNER)
REQUEST(PING, "ping", STATUS, DEPLOYERS)

#undef COMMAND
#undef OPTION
#undef EXIT_ROW
#undef REQUEST
