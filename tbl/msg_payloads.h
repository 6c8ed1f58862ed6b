/*
 * msg_payloads.h: the fixed part of each message in msgs.h. Fields are only ever appended; a receiver
 * reads with msg_get(), so an older sender's missing fields are zero.
 */
#ifndef STEAD_TBL_MSG_PAYLOADS_H
#define STEAD_TBL_MSG_PAYLOADS_H

#include <stdint.h>

enum { MSG_MAJOR_MIN = 1, MSG_MAJOR_MAX = 1 };

struct none {
	char unused[1]; /* sizeof is never used for `none` rows: their fixed part is 0 bytes */
};
struct msg_hello {
	uint16_t min, max; /* majors spoken */
	uint32_t role;     /* enum proc of the sender, as the parent made it; checked by nobody alone */
	char build[40];
};
struct msg_start {
	uint32_t role, index;
	uint64_t generation; /* of this process: +1 for each spawn of anything, never reused */
	uint32_t gates;      /* how many gates there shall be */
	uint32_t root;       /* 1: the parent is root and this process is jailed */
	uint32_t ca;         /* keys: 1: fd 1 is the folder of the user's own certificate authority; ctl: 1: keys has that */
	uint8_t server;      /* 1: of the whole machine: ctl takes SERVER_FOLDER live by itself */
	uint8_t trial;       /* 1: you are the version that may come: say READY when you could serve, and change nothing */
	uint16_t place;      /* gate: no other that runs has it, not even the one whose index is the same */
};
/* How a server stands. */
struct msg_serving {
	uint32_t done; /* 1: what was asked for, the start or a reload, has come to its end, good or bad */
	uint32_t pad;
};
struct msg_channel {
	uint32_t role, index;
	uint64_t generation;
};
/* What is spoken on a listener. TCP: nothing of ours, its bytes are passed on. */
enum listener_kind { LISTENER_HTTP = 0, LISTENER_TLS = 1, LISTENER_TCP = 2, LISTENER_METRICS = 3 };
struct msg_listener {
	uint32_t listener; /* ctl's number for it */
	uint32_t kind;     /* enum listener_kind */
};
struct msg_snap {
	uint64_t generation;
	uint32_t segments;
	uint32_t err; /* SNAP_LOADED: 0 or an errno */
	uint32_t cache; /* 1: the last descriptor is the response cache's region */
	uint32_t pad;
};
struct msg_purge {
	uint32_t site;   /* its number */
	uint32_t by_tag; /* 1: the text is a tag */
};
struct msg_purged {
	uint64_t count;
	uint32_t err; /* 0 or an errno */
	uint32_t pad;
};
struct msg_stop {
	uint32_t drain_ms;
	uint32_t tunnel_ms; /* gates: tunnels may live on so long, and take leave in time; they are cut no sooner than requests */
};
struct msg_worker {
	uint32_t app;      /* ctl's number for the app; in a snapshot the same */
	uint32_t slot;     /* 0 … workers-1; during a replacement two generations share a slot */
	uint64_t generation;
	uint32_t gate, gate_pad;
	uint64_t gate_generation;
	uint32_t reason;   /* enum close_id for WORKER_BAD and WORKER_STUCK */
	int32_t status;    /* WORKER_GONE: as from waitid: >= 0 exit code, < 0 minus the signal */
	uint32_t requests; /* WORKER: say WORKER_RAN for each so many, 0: never; WORKER_RAN: so many */
	uint32_t stage;    /* WORKER_DRAIN: enum drain_stage */
};
/* WORKER_DRAIN and SERVICE_DRAIN come once for each: what a process that was replaced may still do. A gate of an older version
 * takes each for the first. */
enum drain_stage {
	DRAIN_BEGIN = 0, /* give it nothing new; say when it runs nothing of yours, tunnels as well */
	DRAIN_LEAVE,     /* its tunnels end soon: take leave of their clients */
	DRAIN_OVER,      /* its requests have had their time: end them; tunnels go on */
	DRAIN_CUT,       /* a worker's tunnels have had theirs */
	DRAIN_STAGES
};
struct msg_want {
	uint32_t role; /* enum proc: RESOLVE, AUTH, KEYS, CERTS; WORKER: a request waits for an app that has none */
	uint32_t app;  /* whose workers; CERTS: WANT_NO_MORE: it has nothing to do, and may end until it is wanted */
};
enum { WANT_NO_MORE = 1 };
struct msg_resolve {
	uint32_t family, pad; /* 0 any, 4, 6 */
};
enum { RESOLVED_MAX = 32 };
struct msg_resolved {
	uint32_t err;       /* 0 or an errno: then there is no address */
	uint32_t ttl_ms;    /* ask again behind that; 1 s … 5 min */
	uint32_t addresses; /* at most RESOLVED_MAX */
	uint32_t pad;
};
/* Of the name servers that answer for a record's zone. */
struct msg_spread_told {
	uint32_t err; /* 0; ENOENT: they are not known; or another errno: then the rest is 0 */
	uint32_t there, missing, silent; /* so many have it, have it not, could not be asked */
	uint32_t pad;
};
struct msg_auth {
	uint32_t good; /* 1: the password is the hash's */
};
struct msg_vault {
	uint64_t generation; /* of ctl's: a later one replaces an earlier one */
};
enum keys_guard { KEYS_LOCKED = 1, KEYS_FILTERED = 2 };
enum { CA_NAME_MAX = 64 };
struct msg_keys_here {
	uint8_t public_key[32]; /* X25519 */
	uint32_t guards;        /* enum keys_guard: memory that is never swapped, system calls that are filtered */
	uint32_t ca_err;        /* why there is no authority where there should be one; an errno */
	char ca[CA_NAME_MAX];   /* what the user's own authority is called, different for each; "": there is none */
};
/* For what a private key may be used. */
enum sign_purpose { SIGN_TLS13_SERVER = 1, SIGN_TLS12_SERVER = 2, SIGN_ACME = 3, SIGN_EAB = 4 };
/* HMAC with SHA-256: not a scheme of TLS, so one of its private use. */
enum { SIGN_SCHEME_HS256 = 0xfe01 };
enum { SIGN_CONTENT_MAX = 512, SIGN_ACME_MAX = 48 * 1024, SIGNATURE_MAX = 2048 };
struct msg_sign {
	uint32_t purpose; /* enum sign_purpose */
	uint32_t scheme;  /* SignatureScheme of RFC 8446 section 4.2.3 */
	uint8_t key[32];  /* SHA-256 of its SubjectPublicKeyInfo */
};
struct msg_signed {
	uint32_t err; /* 0 or an errno: ENOENT no such key, EPERM not for this purpose */
	uint32_t pad;
};
/* For an account at an authority; for a certificate; with one of the user's own authority at once. */
enum key_kind { KEY_ACCOUNT = 1, KEY_CERTIFICATE = 2, KEY_LOCAL = 3 };
struct msg_key_make {
	uint32_t kind;  /* enum key_kind */
	uint32_t names; /* how many follow */
};
struct msg_key_made {
	uint32_t err;   /* 0 or an errno */
	uint32_t pad;
	uint8_t id[32]; /* SHA-256 of its SubjectPublicKeyInfo */
	uint8_t x[32], y[32]; /* P-256 */
};
/* A certificate that proves a name (RFC 8737 section 3), signed with that key. */
struct msg_key_prove {
	uint8_t key[32];    /* SHA-256 of its SubjectPublicKeyInfo */
	uint8_t digest[32]; /* of the key authorization */
};
struct msg_key_proved {
	uint32_t err; /* 0 or an errno */
	uint32_t pad;
};
struct msg_challenge {
	uint64_t forget_ms; /* so long from now on; 0: it is forgotten now */
};
/* Get one; only ask the authority when it should be renewed; only look which one is served here: then the packed
 * directory is https://NAME:PORT, and the URL of the account an address; only ask for the terms;
 * only ask the guard of OnDemand=: then it is the whole URL. */
enum cert_what { CERT_GET = 0, CERT_LOOK_RENEWAL = 1, CERT_LOOK_SERVED = 2, CERT_LOOK_TERMS = 3, CERT_LOOK_GUARD = 4 };
struct msg_challenge_tls {
	uint64_t forget_ms; /* as in msg_challenge */
	uint8_t key[32];    /* of the certificate, at keys */
};
enum { CHALLENGE_DER_MAX = 2048 };
enum { CERT_ASKS_MAX = 8, CERT_GUARDS_MAX = 4 /* at once; of guards */ };
/* How a name is proved: http-01 (RFC 8555 section 8.3), tls-alpn-01 (RFC 8737), dns-01 (RFC 8555 section 8.4). */
enum cert_way { CERT_BY_HTTP = 0, CERT_BY_TLS, CERT_BY_DNS, CERT_WAYS };
struct msg_cert_ask {
	uint32_t names;
	uint32_t what;         /* enum cert_what */
	uint32_t way;          /* enum cert_way, of names that are no wildcards */
	uint32_t else_tls;     /* 1: by TLS when nobody answers at port 80 */
	uint8_t key[32];       /* of the certificate: SHA-256 of its SubjectPublicKeyInfo */
	uint8_t account_key[32], account_x[32], account_y[32];
	uint8_t eab_key[32];   /* of the external account; counts with a key identifier */
};
struct msg_cert_demand {
	uint32_t site; /* its number */
	uint32_t used; /* 1: there is a certificate, and it serves */
};
struct msg_cert_demanded {
	uint32_t site;
	uint32_t keep_ms;
};
struct msg_cert_offer {
	uint32_t way; /* enum cert_way */
	uint32_t pad;
};
enum cert_outcome { CERT_ISSUED = 1, CERT_FAILED, CERT_RENEWAL, CERT_SERVED, CERT_TERMS, CERT_PERMITTED, CERT_NOT_PERMITTED };
/* Who has to do something about a failure: the site's owner, the preflight found it, so nothing was spent; he, and it was
 * spent; the authority, which is in trouble. */
enum cert_blame { CERT_BLAME_HERE = 0, CERT_BLAME_NAME = 1, CERT_BLAME_AUTHORITY = 2 };
struct msg_cert_end {
	uint32_t outcome;  /* enum cert_outcome */
	uint32_t limited;  /* FAILED: the authority asks for less */
	uint32_t chain;    /* ISSUED: so many certificates */
	uint32_t blame;    /* FAILED: enum cert_blame */
	uint64_t retry_ms; /* FAILED: the authority said when to come again; 0 */
	uint64_t renew_start_s, renew_end_s, look_again_ms; /* RENEWAL: 0 when it does not say */
	uint64_t not_before_s, not_after_s;
	uint8_t id[32];    /* SHA-256 of the chain */
	uint8_t key[32];
};
/* What a name server says: they are told; there is no such name or record; DNSSEC does not hold (it answers who does not want
 * it looked at, and only him); it does not answer. */
enum caa_state { CAA_TOLD = 0, CAA_NONE, CAA_BOGUS, CAA_SILENT };
enum { CAA_RECORDS_MAX = 32 };
struct msg_caa_looked {
	uint32_t state;   /* enum caa_state */
	uint32_t records; /* how many follow */
	uint32_t secure;  /* 1: the name server says that DNSSEC holds (AD) */
	uint32_t pad;
};
enum { TICKET_KEYS_MAX = 3 };
struct ticket_key {
	uint8_t name[16], aes[32], mac[32];
};
struct msg_ticket_keys {
	uint32_t n;
	uint32_t pad;
	struct ticket_key key[TICKET_KEYS_MAX];
};
enum page_kind { PAGE_LOGRING = 1, PAGE_COUNTERS = 2, PAGE_LOG = 3 };
struct msg_page {
	uint32_t kind; /* enum page_kind */
	uint32_t role, index;
	uint32_t slot; /* log ring slot */
	uint64_t generation;
};
struct msg_stream {
	uint32_t app, kind; /* enum proc: WORKER, SERVICE, POSTGRES */
	uint32_t slot;
	uint32_t which; /* 1 stdout, 2 stderr */
	uint64_t generation;
	int32_t pid;
	uint32_t level_max; /* as log_level of PROC_SET */
};
enum proc_phase {
	PHASE_DOWN = 0,    /* wanted down */
	PHASE_STARTING,    /* runs, not ready */
	PHASE_UP,
	PHASE_DRAINING,    /* replaced: finishes what it has */
	PHASE_STOPPING,    /* TERM sent, KILL follows */
	PHASE_BACKOFF,     /* died; starts again at next_ms */
	PHASE_PRE,         /* a command before the start runs: ExecCondition=, ExecStartPre= */
	PHASE_POST,        /* it has started, a command of ExecStartPost= runs */
	PHASE_ENDING,      /* a command of ExecStop= runs */
	PHASE_AFTER,       /* it has ended, a command of ExecStopPost= runs */
	PHASE_EXITED,      /* ended with success, and counts as active (RemainAfterExit=) */
	PHASE_DEAD,        /* ended, and nothing starts it again: `result` says how */
	PHASES
};
/* How a program of an app ended, in systemd's words (Result=); the rows of service_result_names. */
enum service_result {
	RESULT_SUCCESS = 0,
	RESULT_RESOURCES, /* its process could not be made */
	RESULT_PROTOCOL,  /* it ended before it said READY=1 */
	RESULT_TIMEOUT,
	RESULT_EXIT_CODE,
	RESULT_SIGNAL,
	RESULT_CORE_DUMP,
	RESULT_WATCHDOG,
	RESULT_START_LIMIT_HIT,
	RESULT_EXEC_CONDITION,
	RESULT_OOM_KILL, /* by the kernel, when its app had no memory left */
	RESULTS
};
struct msg_proc_state {
	uint32_t role, index; /* index: gate's number, worker's slot */
	uint32_t app;         /* worker, service, postgres */
	uint32_t phase;       /* enum proc_phase */
	uint64_t generation;
	int32_t pid;
	int32_t status;       /* last exit, as in msg_worker; or PROC_STATUS_UNKNOWN */
	uint32_t restarts;    /* since the last deliberate start */
	uint32_t backoff_ms;
	uint64_t since_wall_us;
	uint32_t unready;     /* starts in a row that never became ready */
	uint32_t spawn_err;   /* the last start failed before the program ran: an errno, else 0 */
	char spawn_step[32];  /* … at this step, ended by NUL */
	uint32_t listen, port; /* service: where it answers (enum service_listen), and its port */
	uint32_t oom_kills;    /* of this slot, since the last deliberate start: ended by the kernel for its cgroup's memory */
	uint32_t oom_pad;
	uint32_t result;       /* service: of the last run that ended (enum service_result) */
	uint32_t reloads;      /* service: how many reloads of this run are over, times two; and one when the last one failed */
	uint32_t conns, tunnels; /* a gate that drains: what it still has */
	uint64_t ends_wall_us;   /* … and when it is ended at the latest; 0: it does not drain */
};
/* status of a process whose end nobody could wait for: it was another parent's child. */
#define PROC_STATUS_UNKNOWN INT32_MIN
struct msg_bound {
	uint32_t listener, err;
};
struct msg_oneshot {
	uint32_t role;
	uint32_t uid, gid; /* BUILD and CHECK as an app's user, DB as postgres' owner; 0: the role's own */
	int32_t status;
	uint32_t err; /* of EXITED: ESHUTDOWN, ETIMEDOUT when it was ended for that */
	uint32_t deadline_ms; /* killed then; 0: 120 s */
};
struct msg_done {
	uint32_t err;
};
enum proc_set_flag {
	PROC_SET_LINK = 1,     /* speaks the link: gets fd 3 = the parent's channel */
	PROC_SET_ROLLING = 2,  /* may be replaced new-before-old */
	PROC_SET_STACKS = 4,   /* SIGUSR1 makes it print where each of its threads stands */
	PROC_SET_ONCE = 16,    /* runs to its end; again when other contents are set, and never over a run */
	PROC_SET_KEEP = 8,     /* when it is known, its number of slots stays */
	PROC_SET_STAYS = 0x10000, /* what runs of it stays as it is; these contents are for what is started later */
};
/* Where a program of an app is asked. FD: a Unix socket that the parent makes, handed over as descriptor 3 with
 * LISTEN_FDS. PORT: of 127.0.0.1, in the variable PORT. AUTO: both are offered, and the one that answers counts. PATH: a
 * Unix socket that the program makes. NONE: nobody asks it anything. */
enum service_listen { SERVICE_NONE = 0, SERVICE_FD, SERVICE_PORT, SERVICE_AUTO, SERVICE_PATH };
/* When it is ready: when it runs; when a gate was answered; when it said READY=1; when it has ended with success. */
enum service_ready { SERVICE_SPAWNED = 0, SERVICE_PROBED, SERVICE_NOTIFIES, SERVICE_EXITS };
/* Whose notifications count: nobody's, the started process's, those of all that it started, the started process' and those of the commands beside it. */
enum service_notify { SERVICE_NOTIFY_NONE = 0, SERVICE_NOTIFY_MAIN, SERVICE_NOTIFY_ALL, SERVICE_NOTIFY_EXEC };
/* Who gets the stop signal: all of its processes; the started process alone; nobody. KILL goes to all in the end. */
enum service_kill { SERVICE_KILL_GROUP = 0, SERVICE_KILL_MAIN, SERVICE_KILL_NONE };
/* When it is started again. STEAD: always, at once and then with growing pauses; the others as systemd.service(5) says. */
enum service_restart {
	SERVICE_RESTART_STEAD = 0,
	SERVICE_RESTART_NO,
	SERVICE_RESTART_ON_SUCCESS,
	SERVICE_RESTART_ON_FAILURE,
	SERVICE_RESTART_ON_ABNORMAL,
	SERVICE_RESTART_ON_WATCHDOG,
	SERVICE_RESTART_ON_ABORT,
	SERVICE_RESTART_ALWAYS,
	SERVICE_RESTARTS
};
enum service_life {
	SERVICE_LIFE_PAUSE = 1,   /* restart_ms is the pause; without it stead's own */
	SERVICE_LIFE_REMAIN = 2,  /* RemainAfterExit= */
	SERVICE_LIFE_HUP = 4,     /* SendSIGHUP= */
	SERVICE_LIFE_NO_KILL = 8, /* SendSIGKILL=no */
	SERVICE_LIFE_RELOADS = 16, /* a signal asks it to reload (Type=notify-reload) */
	SERVICE_LIFE_NO_CWD = 32, /* its folder may be missing: / takes its place */
	SERVICE_LIFE_MUTE_OUT = 64, /* its output goes nowhere */
	SERVICE_LIFE_MUTE_ERR = 128,
	SERVICE_LIFE_IGNORE = 256, /* whatever it ends with counts as success (-) */
	SERVICE_LIFE_BITS = 511
};
/* Commands beside the program's own, in the order of a life. START: further commands of Type=oneshot. */
enum service_hook { HOOK_CONDITION = 0, HOOK_PRE, HOOK_START, HOOK_POST, HOOK_RELOAD, HOOK_STOP, HOOK_AFTER, HOOKS };
enum { HOOK_IGNORE = 1 }; /* flag: its failure is none */
enum { SERVICE_HOOKS_MAX = 64, SERVICE_VARS_MAX = 256 };
/* Exit codes, a bit each, and signals, from 1 on. */
struct service_exits {
	uint64_t code[4], signal;
};
struct msg_proc_set {
	uint32_t role; /* WORKER, SERVICE or POSTGRES */
	uint32_t app;
	uint32_t count; /* how many slots; 0 only with `wake` */
	uint32_t uid, gid; /* when the parent is root; in stead's range, or the postgres account */
	uint32_t flags; /* enum proc_set_flag */
	uint32_t start_ms; /* readiness deadline */
	uint32_t stop_ms;  /* grace between TERM and KILL */
	uint32_t argc, envc;
	uint32_t nice_plus20;
	uint32_t umask_bits;
	uint64_t life_ms; /* of one process, then it is replaced; 0: no limit, as the two below */
	uint64_t rss_max;
	uint32_t requests_max; /* a worker's */
	uint32_t wake;         /* how many slots a gate's WANT starts when there is none; 0: it starts none */
	/* SERVICE only */
	uint32_t listen;      /* enum service_listen */
	uint32_t protocol;    /* what it speaks: enum snap_protocol */
	uint32_t port;        /* PORT, AUTO: always this one; 0: a free one for each run */
	uint32_t ready;       /* enum service_ready */
	uint32_t answers;     /* PROBED: so many good answers in a row */
	uint32_t notify;      /* enum service_notify */
	uint32_t watchdog_ms; /* it says WATCHDOG=1 at least so often; 0: it need not */
	uint32_t kill;        /* enum service_kill */
	uint32_t restart;     /* enum service_restart */
	uint32_t life;        /* bits of enum service_life */
	uint32_t restart_ms, restart_max_ms, restart_steps; /* steps 0: all pauses are restart_ms */
	uint32_t limit_ms, limit_burst; /* so many starts in that time; either 0: no bound */
	uint32_t abort_ms;    /* between the watchdog's signal and KILL */
	uint32_t restart_signal, final_signal, watchdog_signal, reload_signal; /* 0: the stop signal, KILL, ABRT, HUP */
	uint64_t restart_ratio;  /* each pause to the one before, in millionths */
	uint64_t runtime_max_ms; /* 0: no bound */
	uint32_t log_level;      /* lines above that level are not kept (syslog(3)); 0: all are, else the level + 1 */
	uint16_t drain_s;        /* one that was replaced: its requests may go on so long; 0: an older ctl, which knows 30 s */
	uint16_t tunnel_s;       /* … and its tunnels, when that is longer */
	struct service_exits success, prevent, force;
};
/* What holds an app's processes beside their user (behind PROC_SET's strings). Zero is always the parent's own default; a
 * block that is shorter comes from an older ctl, and what it does not have is zero. */
enum { JAIL_VERSION = 1, JAIL_LIMITS = 16, JAIL_PATHS_MAX = 256, JAIL_CALLS_MAX = 1024, JAIL_GROUPS_MAX = 48 };
enum jail_has { JAIL_HAS_NICE = 1, JAIL_HAS_OOM = 2, JAIL_HAS_UMASK = 4, JAIL_HAS_SWAP = 8, JAIL_HAS_FAMILIES = 16, JAIL_HAS_NAMESPACES = 32 };
/* How a path is seen in the app's mount namespace. */
enum jail_path { JAIL_PATH_WRITE = 1, JAIL_PATH_READ, JAIL_PATH_HIDDEN, JAIL_PATH_EMPTY, JAIL_PATH_MAKE, JAIL_PATH_RUNTIME, JAIL_PATH_PLACE, JAIL_PATH_OPTIONAL = 16 };
/* MAKE, RUNTIME: a folder that the process makes as itself before its program runs; above this bit its mode. PLACE: the path
 * before it is seen here, too: below /run, /var/lib, /var/cache, /var/log or /etc, by the name that it ends with. */
enum { JAIL_PATH_MODE_SHIFT = 16, JAIL_PATH_KINDS = 15 };
enum jail_wish { JAIL_DEFAULT = 0, JAIL_OFF, JAIL_ON, JAIL_FULL, JAIL_STRICT };
enum jail_calls { JAIL_CALLS_ANY = 0, JAIL_CALLS_ONLY, JAIL_CALLS_NOT };
enum jail_flag { JAIL_DENY_EXEC_WRITE = 1, JAIL_LOCK_PERSONALITY = 2, JAIL_NO_SUID = 4, JAIL_NO_REALTIME = 8, JAIL_NO_NETWORK = 16, JAIL_KEEP_RUNTIME = 32, JAIL_OWN_PIDS = 64 };
#define JAIL_INFINITY UINT64_MAX
struct msg_jail {
	uint32_t version; /* JAIL_VERSION */
	uint32_t group;   /* the app whose cgroup it is in, and whose limits are set with it */
	uint32_t has;     /* enum jail_has */
	uint32_t limits;  /* a bit for each row of setrlimit(2)'s resources that is set */
	uint64_t limit[JAIL_LIMITS][2]; /* soft, hard; JAIL_INFINITY */
	uint64_t memory_max, memory_high, swap_max; /* bytes; JAIL_INFINITY */
	uint64_t tasks_max;
	uint32_t cpu_permille; /* of one core; 0: no bound */
	uint32_t cpu_weight, io_weight; /* 1 to 10000 */
	int32_t nice, oom_adjust;
	uint32_t umask_bits;
	uint32_t paths, calls; /* how many follow */
	uint32_t flags;        /* enum jail_flag */
	uint32_t system, home, tmp, devices, proc; /* enum jail_wish */
	uint32_t call_mode;    /* enum jail_calls: to them; each is its number, with the errno of NOT above bit 16 */
	uint32_t call_errno;   /* what one that may not be made gives; 0: EPERM */
	uint32_t namespaces;   /* CLONE_NEW* that may be made, when HAS_NAMESPACES */
	uint64_t families;     /* a bit for each address family that may be used, when HAS_FAMILIES */
	uint32_t groups[JAIL_GROUPS_MAX]; /* besides PROC_SET's; 0 ends them */
};
/* ACCOUNTS: so many as whom apps may run; behind it so many that AllowUsers= names, and why nobody may run as them. */
enum { ACCOUNTS_MAX = 32, ACCOUNT_GROUPS_MAX = 24, ACCOUNT_NAME_MAX = 33 };
struct msg_accounts {
	uint32_t allowed, refused;
};
/* PROTECTION: where each controller is. */
enum protection_cgroup { PROTECTION_NONE = 0, PROTECTION_V1, PROTECTION_V2 };
enum protection_controller { PROTECTION_MEMORY = 0, PROTECTION_CPU, PROTECTION_TASKS, PROTECTION_IO, PROTECTION_CONTROLLERS };
/* DISK: less than `floor` bytes or inodes are free where the state is; the app that wrote or made most of what went and
 * was ended; 0: nobody. DISK_MADE: the app that is to be. */
enum disk_what { DISK_BYTES = 0, DISK_INODES, DISK_INODES_WHO };
struct msg_disk {
	uint32_t app, what; /* enum disk_what; of INODES_WHO, which no ctl before it answers, app is 0 */
	uint64_t wrote, free, floor; /* wrote: of INODES_WHO how many an app must have made to be ended */
};
struct msg_protection {
	uint32_t kill; /* 1: each process has a cgroup from its birth, with which it is ended */
	uint32_t controller[PROTECTION_CONTROLLERS]; /* enum protection_cgroup */
	uint32_t landlock; /* the kernel's ABI; 0: it has none */
	uint32_t pad;
	uint64_t apps_memory_max; /* of all apps together, bytes; 0: no bound */
};
/* One run of a program of an app, as gates are told of it. */
enum service_state { SERVICE_TRY = 1, SERVICE_SERVES };
struct msg_service {
	uint32_t app, slot;
	uint64_t generation;
	uint32_t protocol; /* enum snap_protocol */
	uint32_t listen;   /* enum service_listen; AUTO only while it is tried */
	uint32_t port;     /* PORT, AUTO */
	uint32_t state;    /* SERVICE: enum service_state */
	uint32_t answers;  /* TRY: so many good ones in a row */
	uint32_t stage;    /* SERVICE_DRAIN: enum drain_stage */
};
/* What a program of an app said by sd_notify(3); bits of enum service_said. */
enum service_said { SAID_READY = 1, SAID_WATCHDOG = 2, SAID_STOPPING = 4, SAID_RELOADING = 8, SAID_TRIGGER = 16 };
struct msg_said {
	uint32_t app, slot;
	uint64_t generation;
	uint32_t what;
	int32_t pid; /* who sent it, as the kernel says */
};
/* What else it may say: another process is the main one (MAINPID=; 0: not said), it needs so long from now on
 * (EXTEND_TIMEOUT_USEC=; 0: not said). */
struct msg_said_more {
	uint32_t app, slot;
	uint64_t generation;
	int32_t pid; /* as in msg_said */
	int32_t main_pid;
	uint32_t extend_ms, pad;
};
/* LogTo=, in the order of its words. */
enum log_to { LOG_TO_OFF, LOG_TO_JOURNALD, LOG_TO_SYSLOG };
struct msg_log_to {
	uint32_t to;
	uint32_t max_mib; /* LogMax=; 0: from a version without it */
};
struct msg_alert_seen {
	uint32_t event;
	uint32_t pad;
};
enum { PROC_REF_SOON = 1 << 16 };
struct msg_proc_ref {
	uint32_t role; /* PROC_DROP: and PROC_REF_SOON: tunnels take leave now, and have no longer than requests */
	uint32_t app;
};
/* Told as it changes, once a second at most. */
struct msg_gate_drains {
	uint32_t conns, tunnels; /* connections, and those of them that are tunnels */
};
struct msg_gates {
	uint32_t count;        /* from 1 on */
	uint32_t drain_max_ms; /* what a surplus one has for its tunnels, and at most for its requests */
};
/* PROBE: who sends this token in Stead-Probe is ctl, and sees the site behind its maintenance. */
/* STOPPED: somebody stopped the app; its whole site says so. */
enum overlay_kind { OVERLAY_APP_DOWN = 1, OVERLAY_MAINTENANCE = 2, OVERLAY_PROBE = 3, OVERLAY_STOPPED = 4 };
struct msg_overlay {
	uint32_t kind; /* enum overlay_kind */
	uint32_t key;  /* app or site number */
	uint32_t on;
	uint32_t retry_after_s;
	uint64_t token[2];
};
struct msg_log_query {
	uint32_t lines; /* the last N */
	uint32_t follow;
	uint32_t level; /* 0 all, else at least this syslog-like level */
	uint32_t pad;
	uint64_t since_wall_us;
};
/* PAIR: of a certificate and its key; then: its file, the key's, the site's names. AUTHORITY: of the user's own; its file. */
enum check_mode { CHECK_FOLDER = 0, CHECK_FILE = 1, CHECK_PAIR = 2, CHECK_AUTHORITY = 3 };
/* LATER: it is asked again when that is known, and until then only whether there are certificates. */
enum check_seals { CHECK_SEALS_NOT = 0, CHECK_SEALS = 1, CHECK_SEALS_LATER = 2 };
enum check_flags {
	CHECK_DEPLOYS = 1, /* it is to be a server's, so what is right only while one writes it is told */
	CHECK_MOUNTED = 2, /* root opens the folders of files, so what this process may not look at is no finding */
};
struct msg_check_ask {
	uint32_t mode; /* enum check_mode */
	uint32_t no_detect; /* 1: values of the file only */
	uint32_t uid, gid; /* as root: the candidate import runs as this user */
	uint32_t seals;    /* enum check_seals: private keys are sealed for whoever has this public key */
	uint32_t flags;    /* enum check_flags */
	uint8_t seal_for[32];
};
/* With CHECK_ASK: n of 32 bytes each follow, ascending: CertificateInputs= whose chain and box the asker has. */
struct msg_check_known {
	uint32_t n;
	uint32_t pad;
};
enum { CHECK_KNOWN_BYTES = 32 };
/* What CertificateBox= begins with, in base64; texts and the sealed key follow (snap/cert_box.h). */
struct cert_box {
	uint8_t id[32];  /* SHA-256 of the chain */
	uint8_t key[32]; /* SHA-256 of the key's SubjectPublicKeyInfo */
	uint64_t not_after_s;
	uint32_t trusted; /* 1: this machine's authorities do */
	uint32_t pad;
	uint64_t not_before_s;
};
/* CHECK_SITES: what a record is. */
enum site_record { SITE_RECORD_FILE = 1, SITE_RECORD_VALUE = 2, SITE_RECORD_END = 3 };
struct msg_end {
	uint32_t err; /* 0, or an errno */
	uint32_t exit_code; /* of stead's exit codes, for the CLI */
};
enum db_what { DB_FIND = 0, DB_INIT = 1, DB_WAIT = 2, DB_APP = 3, DB_SYNC = 4, DB_INFO = 5, DB_DROP = 6 };
struct msg_db_ask {
	uint32_t what; /* enum db_what */
	uint32_t connections_max;
	uint32_t connections_all; /* of all apps; 0: as connections_max */
	uint32_t many; /* 1: apps of several users; then behind the rest: a user and a role for each other app */
};
enum unpack_what {
	UNPACK_RECEIVE = 1, /* the stream becomes NAME in the folder */
	UNPACK_REMOVE,      /* NAME goes from the folder */
	UNPACK_PERSIST,     /* the folder holds each of the paths: as the other folder has it, or empty */
	UNPACK_LINK,        /* … and that one has links to them in their place */
};
struct msg_unpack_ask {
	uint32_t what; /* enum unpack_what */
	uint32_t pad;
};
/* PACK: into the file. CHECK: is it whole, and what is in it. UNPACK: into STATE/restore, and no further. FINISH: what lies there
 * takes the state's place (oneshot/restored.h). CLEAN: what was there before goes. */
enum backup_what { BACKUP_PACK = 1, BACKUP_CHECK = 2, BACKUP_UNPACK = 3, BACKUP_FINISH = 4, BACKUP_CLEAN = 5 };
struct msg_backup_ask {
	uint32_t what; /* enum backup_what */
	uint32_t pad;
};
struct msg_backup_part {
	uint64_t bytes;
	uint64_t entries;
};
struct msg_backup_name {
	uint32_t group; /* 1: of a group */
	uint32_t pad;
};
struct msg_backup_end {
	uint32_t err; /* as msg_end */
	uint32_t exit_code;
	uint64_t file_bytes;
	uint64_t content_bytes;
	uint64_t entries;
	uint64_t made_us; /* wall clock */
	uint64_t left_out; /* PACK: sockets and the like, and names that no file system takes */
};
struct msg_act_ask {
	uint32_t act; /* enum act */
};

#endif
