/*
 * msgs.h: every message between stead's processes, one row each; the payload structs are in
 * msg_payloads.h. An X-macro table.
 *
 * MSG(NAME, number, from, to, fixed, fds_min, fds_max, about)
 *   number   on the wire; never reused. Numbers of one sender begin at one hundred's boundary.
 *   from, to bit sets of P(ROLE); a pair that no row allows loses the channel and the sender restarts
 *   fixed    the struct that the payload begins with, or `none`; packed strings may follow it
 *
 * Each channel opens with HELLO both ways: nothing else is valid before it.
 */
#define P(R) (1u << PROC_##R)
#define P_ALL (~0u)
#define P_AIDE (P(RESOLVE) | P(AUTH) | P(KEYS) | P(CERTS))
#define P_PAGED (P(GATE) | P(CTL) | P(LOG))
#define P_SELF_SERVING (P(GATE) | P(CTL) | P(LOG) | P_AIDE)

MSG(HELLO, 1, P_ALL, P_ALL, msg_hello, 0, 0, "versions spoken and the build; first on every channel")

/* the parent tells */
MSG(START, 100, P(PARENT), P_SELF_SERVING, msg_start, 0, 3, "who you are; then packed: state path, runtime path, roles path, the name of this stead from its start to its stop, also over upgrades. log: fd 0 its folder, fd 1 its last page if any; gate: fd 0 the counters page of the one before it, if any; keys: fd 0 its folder, then that of the user's own certificate authority, if there is one (msg_start.ca), then what the one before it had kept (KEYS_KEEP), if anything")
MSG(CHANNEL, 101, P(PARENT), P_SELF_SERVING, msg_channel, 1, 1, "one end of a fresh channel to a peer")
MSG(LISTENER, 102, P(PARENT), P(GATE), msg_listener, 1, 1, "accept here; then: the address as text")
MSG(UNLISTEN, 103, P(PARENT), P(GATE), msg_listener, 0, 0, "close that listener")
MSG(SNAP, 104, P(PARENT) | P(CTL), P(GATE) | P(PARENT), msg_snap, 1, 34, "a snapshot: fd 0 the root, then each segment in the root's order, then the cache's region if there is one; ctl to parent, parent to every gate")
MSG(STOP, 105, P(PARENT), P_SELF_SERVING, msg_stop, 0, 0, "end: take nothing new, finish within drain_ms, exit 0")
MSG(WORKER, 106, P(PARENT), P(GATE), msg_worker, 1, 1, "a worker exists; fd: this gate's end of the link socket")
MSG(WORKER_GONE, 107, P(PARENT), P(GATE), msg_worker, 0, 0, "that worker is dead: fail or replay what it ran")
MSG(WORKER_DRAIN, 108, P(PARENT), P(GATE), msg_worker, 0, 0, "give it nothing new; say WORKER_IDLE when it runs nothing of yours; again at each msg_worker.stage")
MSG(RING, 109, P(PARENT), P(LOG), msg_page, 1, 1, "the log ring of a process")
MSG(LOG_PAGE, 110, P(PARENT), P_PAGED, msg_page, 2, 2, "fd 0 the log's page, fd 1 the wake pipe's write end; slot: yours")
MSG(STREAM, 111, P(PARENT), P(LOG), msg_stream, 1, 1, "read end of an app process's stdout or stderr; then: the app's name")
MSG(COUNTERS, 112, P(PARENT), P(CTL), msg_page, 1, 1, "the counters page of a gate")
MSG(PROC_STATE, 113, P(PARENT), P(CTL), msg_proc_state, 0, 0, "a process changed; all of them are told again to a new ctl")
MSG(BOUND, 114, P(PARENT), P(CTL), msg_bound, 0, 0, "answer to BIND; err 0 or an errno")
MSG(SPAWNED, 115, P(PARENT), P(CTL), msg_oneshot, 0, 1, "answer to ONESHOT: fd is your channel to it; err an errno when there is none")
MSG(EXITED, 116, P(PARENT), P(CTL), msg_oneshot, 0, 0, "a one-shot ended; status as from waitid")
MSG(DONE, 117, P(PARENT), P(CTL), msg_done, 0, 0, "answer to PROC_SET, PROC_DROP, PROC_RESTART, PROC_RELOAD, SNAP, GATES: err 0 or an errno, text may follow")
MSG(LINK, 118, P(PARENT), P(WORKER), msg_worker, 1, 1, "a gate's end of a new link socket; the worker never answers the parent")
MSG(LIMITS, 119, P(PARENT), P(GATE), none, 1, 1, "the table of rates and connections that all gates share")
MSG(SERVICE, 120, P(PARENT), P(GATE), msg_service, 0, 0, "a program of an app: try whether it answers, or pass requests to it; then packed: its socket's path, the path to ask for")
MSG(SERVICE_DRAIN, 121, P(PARENT), P(GATE), msg_service, 0, 0, "give it nothing new; say SERVICE_IDLE when it runs nothing of yours")
MSG(SERVICE_GONE, 122, P(PARENT), P(GATE), msg_service, 0, 0, "that run of it is dead")
MSG(NOTIFY, 123, P(PARENT), P(LOG), msg_service, 1, 1, "the socket that a program of an app notifies at; then: the app's name")
MSG(VAULT, 125, P(PARENT) | P(CTL), P(KEYS) | P(PARENT), msg_vault, 1, 1, "the private keys of all certificates, each sealed for keys alone (snap/vault.h); ctl to parent, which keeps it, parent to keys")
MSG(UPGRADE_TRY, 160, P(PARENT), P(CTL), none, 0, 0, "a gate of the version that may come serves there, and only there: ask it a real request; packed: the address; id: the answer's")
MSG(UPGRADED, 161, P(PARENT), P(CTL), msg_done, 0, 0, "answer to UPGRADE: err 0, every process but ctl is of that version; or an errno, nothing has changed; then packed: the step, why; id: the question's")
MSG(NOTIFY_END, 124, P(PARENT), P(LOG), msg_service, 0, 0, "it is dead: close its socket")
MSG(PROTECTION, 140, P(PARENT), P(CTL), msg_protection, 0, 0, "what this machine lets the parent hold apps to; then packed: why the limits are not in effect, or \"\"; after START, and when it changes")
MSG(ACCOUNTS, 141, P(PARENT), P(CTL), msg_accounts, 0, 0, "as whom apps may run besides their own users; packed, of each: uid, gid, how many further groups, each of them, name; then of each that may not: name, why; after START and before each CHECK")
MSG(DISK, 142, P(PARENT), P(CTL), msg_disk, 0, 0, "the disk of the state is full but for the reserve, and which app did that: it was ended, and is to stay so. INODES_WHO asks who made files: then packed u64 since when in milliseconds since 1970, and of each folder outside of the state where an app may write: u32 app, u32 uid, the folder; answered with DISK_MADE")
MSG(RELOAD, 150, P(PARENT), P(CTL), none, 0, 0, "a server: read the configuration again (SIGHUP); SERVING says when that is done")

/* processes tell the parent */
MSG(READY, 200, P_SELF_SERVING, P(PARENT), none, 0, 0, "started whole")
MSG(PAGE, 201, P_PAGED, P(PARENT), msg_page, 1, 2, "my ring, counters or log page (log: fd 1 its wake pipe's write end), to keep and pass on")
MSG(WORKER_UP, 202, P(GATE), P(PARENT) | P(CTL), msg_worker, 0, 0, "it said HELLO and its app is loaded")
MSG(WORKER_BAD, 203, P(GATE), P(PARENT) | P(CTL), msg_worker, 0, 0, "its link broke or it broke the protocol: replace it; reason from tbl/closes.h")
MSG(WORKER_IDLE, 204, P(GATE), P(PARENT), msg_worker, 0, 0, "answer to WORKER_DRAIN")
MSG(WORKER_STUCK, 205, P(GATE), P(PARENT), msg_worker, 0, 0, "a request passed its deadline: ask for its stack, then grace, then kill")
MSG(WANT, 207, P(GATE) | P(CTL), P(PARENT), msg_want, 0, 0, "a process of this role is needed: start it, and pair it with every gate")
MSG(WORKER_RAN, 208, P(GATE), P(PARENT), msg_worker, 0, 0, "so many more requests of yours have ended on it")
MSG(GATE_DRAINS, 230, P(GATE), P(PARENT), msg_gate_drains, 0, 0, "what I still have, since STOP")
MSG(STOPPED, 206, P_SELF_SERVING, P(PARENT), none, 0, 0, "drained; about to exit 0")
MSG(SERVICE_UP, 215, P(GATE), P(PARENT), msg_service, 0, 0, "that program answered, there")
MSG(SERVICE_IDLE, 216, P(GATE), P(PARENT), msg_service, 0, 0, "answer to SERVICE_DRAIN")
MSG(SAID, 217, P(LOG), P(PARENT), msg_said, 0, 0, "a program of an app said so by sd_notify(3)")
MSG(SAID_MORE, 229, P(LOG), P(PARENT), msg_said_more, 0, 0, "… and this, with a value")
MSG(KEYS_KEEP, 218, P(KEYS), P(PARENT), none, 1, 1, "for whoever is keys after me: the keys of tickets, sealed for keys alone")

/* ctl tells the parent */
MSG(BIND, 300, P(CTL), P(PARENT), msg_listener, 0, 0, "bind and listen; then: ADDR:PORT")
MSG(UNBIND, 301, P(CTL), P(PARENT), msg_listener, 0, 0, "close that listener everywhere")
MSG(PROC_SET, 302, P(CTL), P(PARENT), msg_proc_set, 0, 0, "this app process shall run so; then packed: name, cwd, exec path, argv…, \"\", env…, \"\", stop signal's name or number, socket's path, path to ask for; then, when it is held by more than its user alone, as bytes: msg_jail, then in it as packed: for each of its paths u32 (enum jail_path), path; for each of its calls u32; then, of a program with more: u32 how many commands, each u32 kind, u32 flags, path, u32 argc, argv…; u32 and names of variables to pass on; u32 and variables to take out")
MSG(PROC_DROP, 303, P(CTL), P(PARENT), msg_proc_ref, 0, 0, "stop it and forget it")
MSG(PROC_RESTART, 304, P(CTL), P(PARENT), msg_proc_ref, 0, 0, "replace its processes: the new one ready before the old drains")
MSG(PROC_RELOAD, 309, P(CTL), P(PARENT), msg_proc_ref, 0, 0, "have its programs read their configuration again (ExecReload=)")
MSG(ONESHOT, 305, P(CTL), P(PARENT), msg_oneshot, 0, 0, "start one of a one-shot role; role and uid within the parent's table")
MSG(ONESHOT_KILL, 306, P(CTL), P(PARENT), msg_oneshot, 0, 0, "end it now")
MSG(SHUTDOWN, 307, P(CTL), P(PARENT), msg_stop, 0, 0, "stop everything gracefully, as on SIGTERM")
MSG(GATES, 308, P(CTL), P(PARENT), msg_gates, 0, 0, "so many gates shall serve: missing ones are started, surplus ones drained")
MSG(DISK_MADE, 310, P(CTL), P(PARENT), msg_disk, 0, 0, "answer to DISK of INODES_WHO: that app made so many; 0: nobody made enough")
MSG(SERVING, 330, P(CTL), P(PARENT), msg_serving, 0, 0, "how the server stands; then: a line for systemd's STATUS=")

MSG(UPGRADE, 340, P(CTL), P(PARENT), none, 0, 0, "go over to another version; packed: the name of its folder, beside that of this version; id: the answer's")
MSG(UPGRADE_TRIED, 341, P(CTL), P(PARENT), msg_done, 0, 0, "answer to UPGRADE_TRY: err 0, it answers as it should; then packed: why not")

/* ctl and the gates */
MSG(OVERLAY, 400, P(CTL), P(GATE), msg_overlay, 0, 0, "a small fact that changes often; bounded; replayed to each new gate")
MSG(SNAP_LOADED, 401, P(GATE), P(CTL), msg_snap, 0, 0, "this generation serves now, or err says why it was refused; text may follow")
MSG(CACHE_PURGE, 405, P(CTL), P(GATE), msg_purge, 0, 0, "forget stored answers of a site; then: the tag, or the URL; id: the answer's")
MSG(CACHE_PURGED, 406, P(GATE), P(CTL), msg_purged, 0, 0, "they are forgotten, or err says why not")
MSG(LISTEN_FAILED, 402, P(GATE), P(CTL), msg_bound, 0, 0, "no connection can be accepted there, and this gate ends; then: the address")

MSG(METRICS_ASK, 403, P(GATE), P(CTL), none, 0, 0, "somebody asks at the port of Metrics=")
MSG(METRICS, 404, P(CTL), P(GATE), none, 1, 1, "the answer: a sealed piece of memory with Prometheus text")

/* gates and resolve */
MSG(RESOLVE, 410, P(GATE) | P(CERTS), P(RESOLVE), msg_resolve, 0, 0, "look this host up; then: its name")
MSG(CAA_LOOK, 412, P(CERTS), P(RESOLVE), none, 0, 0, "which CAA records does exactly this host have, and does its DNSSEC hold? packed: its name")
MSG(CAA_LOOKED, 413, P(RESOLVE), P(CERTS), msg_caa_looked, 0, 0, "what the system's name servers say; then packed for each record: flags, tag, value")
MSG(SPREAD, 414, P(CERTS), P(RESOLVE), none, 0, 0, "do all name servers of its zone have this TXT record? packed: its name, its text")
MSG(SPREAD_TOLD, 415, P(RESOLVE), P(CERTS), msg_spread_told, 0, 0, "what they said; then: the first of those that have it not, or \"\"")
MSG(RESOLVED, 411, P(RESOLVE), P(GATE) | P(CERTS), msg_resolved, 0, 0, "what came of it; then: 16 bytes for each address, IPv4 in its mapped form, and the name")

/* gates and auth */
MSG(AUTH_CHECK, 420, P(GATE), P(AUTH), none, 0, 0, "packed: the hash, then the password; id: the answer's")
MSG(AUTH_CHECKED, 421, P(AUTH), P(GATE), msg_auth, 0, 0, "whether they belong together")

/* keys, ctl and the gates */
MSG(KEYS_HERE, 430, P(KEYS), P(CTL), msg_keys_here, 0, 0, "with what to seal for me, and how well I am guarded")
MSG(SIGN, 431, P(GATE) | P(CERTS), P(KEYS), msg_sign, 0, 0, "sign for that purpose with that key; then: what to sign; id: the answer's")
MSG(SIGNED, 432, P(KEYS), P(GATE) | P(CERTS), msg_signed, 0, 0, "err 0 and the signature, or why there is none")
MSG(KEY_MAKE, 434, P(CTL), P(KEYS), msg_key_make, 0, 0, "make a private key; then packed: the names of the certificate that is asked for with it, or that is made")
MSG(KEY_MADE, 435, P(KEYS), P(CTL), msg_key_made, 0, 0, "err 0; then packed: its box, sealed for keys alone, and the request for a certificate (PKCS #10, DER), empty for an account's; of a local one: what CertificateBox= is, and the certificate (DER)")
MSG(KEY_PROVE, 436, P(CTL), P(KEYS), msg_key_prove, 0, 0, "make a certificate that proves a name to its authority; then packed: the name")
MSG(KEY_PROVED, 437, P(KEYS), P(CTL), msg_key_proved, 0, 0, "err 0 and the certificate, DER; id: the question's")
MSG(TICKET_KEYS, 433, P(KEYS), P(GATE), msg_ticket_keys, 0, 0, "with what session tickets are made and read from now on, the newest first")

/* ctl, certs and the gates */
MSG(CHALLENGE, 407, P(CTL), P(GATE), msg_challenge, 0, 0, "answer this at /.well-known/acme-challenge/; packed: the token, the text; replayed to each new gate; id: the answer's")
MSG(CHALLENGED, 408, P(GATE), P(CTL), none, 0, 0, "from now on it is answered here")
MSG(CHALLENGE_TLS, 409, P(CTL), P(GATE), msg_challenge_tls, 0, 0, "show this certificate to who speaks acme-tls/1 (RFC 8737); packed: the name of SNI, the certificate in DER; else as CHALLENGE")
MSG(CERT_ASK, 440, P(CTL), P(CERTS), msg_cert_ask, 0, 0, "get a certificate; then packed: directory, address of mail, request for the certificate in base64url, name of the one that it replaces, URL of the account, URL of the order, profile, preferred root, key identifier of the external account, each \"\" when there is none, then the host names; id: the job's")
MSG(CERT_KEEP, 441, P(CERTS), P(CTL), none, 0, 0, "packed: URLs of the account and of the order, to be kept before the job goes on")
MSG(CERT_KEPT, 442, P(CTL), P(CERTS), none, 0, 0, "they are kept")
MSG(CERT_OFFER, 443, P(CERTS), P(CTL), msg_cert_offer, 0, 0, "have a name proved that way; then packed: the name, or \"\" for any, a token and the text that answers it")
MSG(CERT_OFFERED, 444, P(CTL), P(CERTS), none, 0, 0, "it can be looked at; packed: \"\" twice, or why it cannot and what to do")
MSG(CERT_WITHDRAW, 446, P(CERTS), P(CTL), msg_cert_offer, 0, 0, "it is proved; then packed as in CERT_OFFER, the text empty")
MSG(CERT_END, 445, P(CERTS), P(CTL), msg_cert_end, 0, 0, "what came of a job; then packed: URLs of the account and of the order, what failed (TERMS: their URL), what to do, the host name that it is about, serial number, its name for RFC 9773, then each certificate of the chain in DER")

MSG(CERT_DEMAND, 447, P(GATE), P(CTL), msg_cert_demand, 0, 0, "somebody asks for that name over TLS, and its site has OnDemand= and no certificate for it, or one that is used late in its life; then: the name")
MSG(CERT_DEMANDED, 448, P(CTL), P(GATE), msg_cert_demanded, 0, 0, "there is none for that name now: do not ask again within that time; then: the name")

/* ctl and log */
MSG(LOG_QUERY, 500, P(CTL), P(LOG), msg_log_query, 0, 0, "records that match, then follow; then packed: app name or empty")
MSG(LOG_CANCEL, 501, P(CTL), P(LOG), msg_log_query, 0, 0, "no more of that query")
MSG(LOG_LINE, 502, P(LOG), P(CTL), none, 0, 0, "one record as a JSON object; id: the query's")
MSG(LOG_END, 503, P(LOG), P(CTL), none, 0, 0, "the query is answered (a follower ends only by LOG_CANCEL)")
MSG(ALERT_SEEN, 507, P(LOG), P(CTL), msg_alert_seen, 0, 0, "an event that needs a person, or says that it is over; then packed: of whom, the record as a JSON object; told again to a new ctl until ALERT_KEPT")
MSG(LOG_TO, 509, P(CTL), P(LOG), msg_log_to, 0, 0, "where records go besides the files (LogTo=)")
MSG(ALERT_KEPT, 508, P(CTL), P(LOG), none, 0, 0, "it is in the state; id: that of ALERT_SEEN")
MSG(SAID_STATUS, 504, P(LOG), P(CTL), msg_said, 0, 0, "what a program of an app says of itself by STATUS= (sd_notify(3)); then: the text; the last ones are told again to a new ctl")

/* ctl and its one-shots: question, any number of findings, end */
MSG(CHECK_ASK, 600, P(CTL) | P(CLI), P(CHECK), msg_check_ask, 0, 1, "packed: folder, default name, state folder, the program's runtime folder, and perhaps the folder in which the app's data, cache, logs and config are; a descriptor: which certificates need no look (msg_check_known), in sealed memory")
MSG(CHECK_VALUE, 601, P(CHECK), P(CTL) | P(CLI), none, 0, 0, "packed: section, section's argument, key, value, origin, file, then u32 line, u32 column")
MSG(CHECK_FINDING, 602, P(CHECK), P(CTL) | P(CLI), none, 0, 0, "packed: u32 level (0 error, 1 warning, 2 note), file, u32 line, u32 column, text, what to do")
MSG(CHECK_END, 603, P(CHECK), P(CTL) | P(CLI), msg_end, 0, 0, "err 0: the values hold")
MSG(CHECK_SITES, 604, P(CHECK), P(CTL) | P(CLI), none, 0, 0, "files of Sites=, in the order of their names; packed records, none of them cut: u32 SITE_RECORD_FILE, file; u32 SITE_RECORD_VALUE, section, section's argument, key, value, u32 line, u32 column; u32 SITE_RECORD_END, u32 errors")
MSG(DB_ASK, 610, P(CTL), P(DB), msg_db_ask, 0, 0, "packed: postgres' bin folder or empty, data folder, socket folder, role, database, os user, group id as text")
MSG(DB_STEP, 611, P(DB) | P(BUILD) | P(ACT) | P(BACKUP), P(CTL) | P(CLI), none, 0, 0, "packed: what is being done now, in words; permille done or UINT32_MAX")
MSG(DB_END, 612, P(DB), P(CTL), msg_end, 0, 0, "then packed: error, what to do, postgres' bin folder")
MSG(BUILD_ASK, 620, P(CTL), P(BUILD), none, 0, 0, "packed: folder, state folder, interpreter, requirements file, then the interpreters whose environments stay")
MSG(BUILD_END, 621, P(BUILD), P(CTL), msg_end, 0, 0, "then packed: error, what to do, interpreter to use")
MSG(UNPACK_ASK, 622, P(CTL), P(BUILD), msg_unpack_ask, 0, 1, "what to do with an app's files, as its user; fd: a folder as a stream (lib/parcel.h); then packed: the folder that it is done in, a name in it, another folder, paths one a line")
MSG(ALERT_ASK, 640, P(CTL), P(ALERT), none, 0, 0, "packed: address or URL, URL of the mail server, sender, name of the alert, subject, text; u64 seconds since 1970")
MSG(ALERT_END, 641, P(ALERT), P(CTL), msg_end, 0, 0, "then packed: error, what to do, \"\"")
MSG(ACT_ASK, 630, P(CTL) | P(CLI), P(ACT), msg_act_ask, 0, 0, "then packed: the row's arguments")
MSG(ACT_END, 631, P(ACT), P(CTL) | P(CLI), msg_end, 0, 0, "then packed: error, what to do, result")
MSG(BACKUP_ASK, 650, P(CLI), P(BACKUP), msg_backup_ask, 0, 0, "what to do; then packed: the file; the state folder; PACK: the configuration's folder or empty, socket folder, postgres' bin folder, databases with their roles one a line, apps with their users one a line; UNPACK: users with their numbers one a line, apps with theirs, and the configuration's folder")
MSG(BACKUP_PART, 651, P(BACKUP), P(CLI), msg_backup_part, 0, 0, "a part of the file; then packed: its kind and what of (\"app shop\"), the user that owned it, its SHA-256 in hexadecimal digits")
MSG(BACKUP_NAME, 652, P(BACKUP), P(CLI), msg_backup_name, 0, 0, "a user or group that something in the file belongs to; then packed: its name")
MSG(BACKUP_END, 653, P(BACKUP), P(CLI), msg_backup_end, 0, 0, "then packed: error, what to do, stead's version and host of the file")
