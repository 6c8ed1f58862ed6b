/*
 * config_jail.h: the rows of config.h that say what an app's processes are held to; config.h includes it, with the same
 * macros. systemd's names and meaning: systemd.exec(5), systemd.resource-control(5).
 */
CONF(SERVICE_UMASK, SERVICE, "UMask", CONF_TYPE_MODE, 0, "0022", 0, 0, "", WHEN_RESTART, "what is taken from the mode of files that the app makes",
	"Octal.", "UMask=0077")
CONF(SERVICE_NICE, SERVICE, "Nice", CONF_TYPE_SIGNED, 0, "0", 20, 19, "", WHEN_RESTART, "how nice the app's processes are to others",
	"From -20 (before all others) to 19. Below 0 as root only. As root a process that starts beside others is nicer by 10 until it can serve.", "Nice=5")
CONF(SERVICE_OOM_SCORE_ADJUST, SERVICE, "OOMScoreAdjust", CONF_TYPE_SIGNED, 0, "", 1000, 1000, "", WHEN_RESTART, "who is ended first when the machine has no memory left",
	"From -1000 (never) to 1000 (first). Left out: 200, so that the app goes before the database and stead's own processes. Below what stead has itself as root only.", "OOMScoreAdjust=500")
CONF(SERVICE_MEMORY_HIGH, SERVICE, "MemoryHigh", CONF_TYPE_AMOUNT, 0, "infinity", 0, 0, "bytes, or % of the machine's memory", WHEN_RESTART, "memory above which the app is slowed down",
	"Of all its processes together: they are made to give memory back, and never ended for it. K, M, G, %, or infinity. With cgroup v2 only.", "MemoryHigh=200M")
CONF(SERVICE_MEMORY_MAX, SERVICE, "MemoryMax", CONF_TYPE_AMOUNT, 0, "75%", 0, 0, "bytes, or % of the machine's memory", WHEN_RESTART, "the most memory of the app",
	"Of all its processes together, as root where the kernel's cgroups allow it: `stead status` says so. When they need more, the kernel ends one of them, and the log says that it was for memory. K, M, G, %, or infinity.", "MemoryMax=300M")
CONF(SERVICE_MEMORY_SWAP_MAX, SERVICE, "MemorySwapMax", CONF_TYPE_AMOUNT, 0, "infinity", 0, 0, "bytes, or % of the machine's memory", WHEN_RESTART, "the most swap of the app",
	"With cgroup v2 only.", "MemorySwapMax=0")
CONF(SERVICE_TASKS_MAX, SERVICE, "TasksMax", CONF_TYPE_AMOUNT, 0, "1024", 0, 0, "tasks, or % of what the machine can have", WHEN_RESTART, "the most processes and threads of the app",
	"All together; a further fork(2) fails. A number, %, or infinity.", "TasksMax=100")
CONF(SERVICE_CPU_QUOTA, SERVICE, "CPUQuota", CONF_TYPE_AMOUNT, 0, "", 0, 0, "% of one core", WHEN_RESTART, "the most time of processors of the app",
	"100% is one core, 250% two and a half; of all its processes together.", "CPUQuota=50%")
CONF(SERVICE_CPU_WEIGHT, SERVICE, "CPUWeight", CONF_TYPE_INT, 0, "100", 1, 10000, "", WHEN_RESTART, "the app's share when the processors are busy",
	"Against other apps, and against each of stead's own processes, which have 100.", "CPUWeight=200")
CONF(SERVICE_IO_WEIGHT, SERVICE, "IOWeight", CONF_TYPE_INT, 0, "100", 1, 10000, "", WHEN_RESTART, "the app's share when the disk is busy",
	"Where the kernel's scheduler of that disk knows weights (bfq, io.cost).", "IOWeight=50")
CONF(SERVICE_LIMIT_CPU, SERVICE, "LimitCPU", CONF_TYPE_LIMIT, 0, "", 0, 0, "s", WHEN_RESTART, "the most of one process: seconds of computing",
	"LIMIT, or SOFT:HARD, or infinity; setrlimit(2). A time like 30s or 1min. A hard limit above stead's own is taken as stead's own.", "LimitCPU=1min")
CONF(SERVICE_LIMIT_FSIZE, SERVICE, "LimitFSIZE", CONF_TYPE_LIMIT, 0, "", 0, 0, "bytes", WHEN_RESTART, "the most of one process: bytes of one file",
	"LIMIT, or SOFT:HARD, or infinity; setrlimit(2). A hard limit above stead's own is taken as stead's own.", "LimitFSIZE=1G")
CONF(SERVICE_LIMIT_DATA, SERVICE, "LimitDATA", CONF_TYPE_LIMIT, 0, "", 0, 0, "bytes", WHEN_RESTART, "the most of one process: bytes of data",
	"LIMIT, or SOFT:HARD, or infinity; setrlimit(2). A hard limit above stead's own is taken as stead's own.", "LimitDATA=1G")
CONF(SERVICE_LIMIT_STACK, SERVICE, "LimitSTACK", CONF_TYPE_LIMIT, 0, "", 0, 0, "bytes", WHEN_RESTART, "the most of one process: bytes of stack",
	"LIMIT, or SOFT:HARD, or infinity; setrlimit(2). A hard limit above stead's own is taken as stead's own.", "LimitSTACK=1G")
CONF(SERVICE_LIMIT_CORE, SERVICE, "LimitCORE", CONF_TYPE_LIMIT, 0, "", 0, 0, "bytes", WHEN_RESTART, "the most of one process: bytes of a core file",
	"LIMIT, or SOFT:HARD, or infinity; setrlimit(2). Left out: 0, because a core file holds what the process held. A hard limit above stead's own is taken as stead's own.", "LimitCORE=1G")
CONF(SERVICE_LIMIT_RSS, SERVICE, "LimitRSS", CONF_TYPE_LIMIT, 0, "", 0, 0, "bytes", WHEN_RESTART, "the most of one process: resident bytes; Linux does not count them",
	"LIMIT, or SOFT:HARD, or infinity; setrlimit(2). A hard limit above stead's own is taken as stead's own.", "LimitRSS=1G")
CONF(SERVICE_LIMIT_NOFILE, SERVICE, "LimitNOFILE", CONF_TYPE_LIMIT, 0, "", 0, 0, "files", WHEN_RESTART, "the most of one process: open files",
	"LIMIT, or SOFT:HARD, or infinity; setrlimit(2). A hard limit above stead's own is taken as stead's own.", "LimitNOFILE=1024")
CONF(SERVICE_LIMIT_AS, SERVICE, "LimitAS", CONF_TYPE_LIMIT, 0, "", 0, 0, "bytes", WHEN_RESTART, "the most of one process: bytes of address space",
	"LIMIT, or SOFT:HARD, or infinity; setrlimit(2). A hard limit above stead's own is taken as stead's own.", "LimitAS=1G")
CONF(SERVICE_LIMIT_NPROC, SERVICE, "LimitNPROC", CONF_TYPE_LIMIT, 0, "", 0, 0, "processes", WHEN_RESTART, "the most of one process: processes of the app's user",
	"LIMIT, or SOFT:HARD, or infinity; setrlimit(2). TasksMax= counts the app alone, whoever its user is. A hard limit above stead's own is taken as stead's own.", "LimitNPROC=1024")
CONF(SERVICE_LIMIT_MEMLOCK, SERVICE, "LimitMEMLOCK", CONF_TYPE_LIMIT, 0, "", 0, 0, "bytes", WHEN_RESTART, "the most of one process: bytes of locked memory",
	"LIMIT, or SOFT:HARD, or infinity; setrlimit(2). A hard limit above stead's own is taken as stead's own.", "LimitMEMLOCK=1G")
CONF(SERVICE_LIMIT_LOCKS, SERVICE, "LimitLOCKS", CONF_TYPE_LIMIT, 0, "", 0, 0, "locks", WHEN_RESTART, "the most of one process: locks of files; Linux does not count them",
	"LIMIT, or SOFT:HARD, or infinity; setrlimit(2). A hard limit above stead's own is taken as stead's own.", "LimitLOCKS=1024")
CONF(SERVICE_LIMIT_SIGPENDING, SERVICE, "LimitSIGPENDING", CONF_TYPE_LIMIT, 0, "", 0, 0, "signals", WHEN_RESTART, "the most of one process: waiting signals",
	"LIMIT, or SOFT:HARD, or infinity; setrlimit(2). A hard limit above stead's own is taken as stead's own.", "LimitSIGPENDING=1024")
CONF(SERVICE_LIMIT_MSGQUEUE, SERVICE, "LimitMSGQUEUE", CONF_TYPE_LIMIT, 0, "", 0, 0, "bytes", WHEN_RESTART, "the most of one process: bytes of message queues",
	"LIMIT, or SOFT:HARD, or infinity; setrlimit(2). A hard limit above stead's own is taken as stead's own.", "LimitMSGQUEUE=1G")
CONF(SERVICE_LIMIT_NICE, SERVICE, "LimitNICE", CONF_TYPE_LIMIT, 0, "", 0, 0, "nice", WHEN_RESTART, "the most of one process: how far a process may raise its priority",
	"LIMIT, or SOFT:HARD, or infinity; setrlimit(2). 1 to 40, or -20 to 19 as Nice= has it. A hard limit above stead's own is taken as stead's own.", "LimitNICE=+5")
CONF(SERVICE_LIMIT_RTPRIO, SERVICE, "LimitRTPRIO", CONF_TYPE_LIMIT, 0, "", 0, 0, "priority", WHEN_RESTART, "the most of one process: real-time priority",
	"LIMIT, or SOFT:HARD, or infinity; setrlimit(2). A hard limit above stead's own is taken as stead's own.", "LimitRTPRIO=1024")
CONF(SERVICE_LIMIT_RTTIME, SERVICE, "LimitRTTIME", CONF_TYPE_LIMIT, 0, "", 0, 0, "us", WHEN_RESTART, "the most of one process: microseconds of real-time computing without a pause",
	"LIMIT, or SOFT:HARD, or infinity; setrlimit(2). A hard limit above stead's own is taken as stead's own.", "LimitRTTIME=200ms")
CONF(SERVICE_PROTECT_SYSTEM, SERVICE, "ProtectSystem", CONF_TYPE_ENUM, 0, "strict", 0, 0, "no yes full strict true false on off 1 0", WHEN_RESTART, "what of the machine's files the app may not write",
	"As root. `strict`: everything but its own folders, /tmp and what ReadWritePaths= names; `full`: /usr, /boot and /etc; `yes`: without /etc; `no`: what its user may. What is hidden from it stays so.", "ProtectSystem=full")
CONF(SERVICE_PROTECT_HOME, SERVICE, "ProtectHome", CONF_TYPE_ENUM, 0, "yes", 0, 0, "no yes read-only tmpfs true false on off 1 0", WHEN_RESTART, "whether the app sees /home, /root and /run/user",
	"As root. `yes`, `tmpfs`: they are empty; `read-only`; `no`: as its user may.", "ProtectHome=read-only")
CONF(SERVICE_PROTECT_PROC, SERVICE, "ProtectProc", CONF_TYPE_ENUM, 0, "invisible", 0, 0, "noaccess invisible ptraceable default", WHEN_RESTART, "whether the app sees other users' processes",
	"As root. `invisible`, `noaccess`: its own alone.", "ProtectProc=default")
CONF(SERVICE_PRIVATE_TMP, SERVICE, "PrivateTmp", CONF_TYPE_BOOL, 0, "yes", 0, 0, "", WHEN_RESTART, "a /tmp and /var/tmp of the app's own",
	"As root, in memory, which counts as the app's, each at most an eighth of the machine's. The processes of one release share it.", "PrivateTmp=no")
CONF(SERVICE_PRIVATE_DEVICES, SERVICE, "PrivateDevices", CONF_TYPE_BOOL, 0, "yes", 0, 0, "", WHEN_RESTART, "a /dev of the app's own",
	"As root: null, zero, full, random, urandom, tty, terminals of its own, and a /dev/shm of its own.", "PrivateDevices=no")
CONF(SERVICE_PRIVATE_PIDS, SERVICE, "PrivatePIDs", CONF_TYPE_BOOL, 0, "no", 0, 0, "", WHEN_RESTART, "whether each of the app's processes has numbers of its own for what it starts",
	"As root. The program is process 1 there: it sees no process but those that it started, what it leaves without a parent comes to it to be waited for, all end with it, and a signal that it does not handle is nothing to it. stead, its logs and notifications have the machine's numbers; commands beside it (ExecReload=) are outside.", "PrivatePIDs=yes")
CONF(SERVICE_PRIVATE_NETWORK, SERVICE, "PrivateNetwork", CONF_TYPE_BOOL, 0, "no", 0, 0, "", WHEN_RESTART, "whether the app has no network",
	"As root. It can be asked at its socket (Listen=fd), and reach its database, and nothing else.", "PrivateNetwork=yes")
CONF(SERVICE_READ_WRITE_PATHS, SERVICE, "ReadWritePaths", CONF_TYPE_JAILPATH, CONF_MANY | CONF_SPECIFIERS, "", 0, 32, "", WHEN_RESTART, "folders that the app may write",
	"As root, as far as its user may. With - before it a folder may be missing.", "ReadWritePaths=/srv/uploads")
CONF(SERVICE_READ_ONLY_PATHS, SERVICE, "ReadOnlyPaths", CONF_TYPE_JAILPATH, CONF_MANY | CONF_SPECIFIERS, "", 0, 32, "", WHEN_RESTART, "folders that the app may only read",
	"As root; also what would be hidden.", "ReadOnlyPaths=/home/shop/pictures")
CONF(SERVICE_INACCESSIBLE_PATHS, SERVICE, "InaccessiblePaths", CONF_TYPE_JAILPATH, CONF_MANY | CONF_SPECIFIERS, "", 0, 32, "", WHEN_RESTART, "folders and files that the app does not see",
	"As root.", "InaccessiblePaths=/srv -/opt")
CONF(SERVICE_TEMPORARY_FILE_SYSTEM, SERVICE, "TemporaryFileSystem", CONF_TYPE_JAILPATH, CONF_MANY | CONF_SPECIFIERS, "", 0, 16, "", WHEN_RESTART, "folders that are empty for the app, in memory",
	"As root; what is written there is gone with its processes. Options behind a colon are not taken.", "TemporaryFileSystem=/srv/scratch")
CONF(SERVICE_RESTRICT_ADDRESS_FAMILIES, SERVICE, "RestrictAddressFamilies", CONF_TYPE_SANDBOX, CONF_MANY | CONF_LINE, "", 0, 8, "", WHEN_RESTART, "the kinds of sockets that the app may make",
	"As root. Names like AF_INET, `none`, or with ~ before the first one those that it may not. Left out: AF_UNIX, AF_INET, AF_INET6, and of AF_NETLINK what tells of addresses.", "RestrictAddressFamilies=AF_UNIX AF_INET")
CONF(SERVICE_RESTRICT_NAMESPACES, SERVICE, "RestrictNamespaces", CONF_TYPE_SANDBOX, CONF_MANY | CONF_LINE, "", 0, 8, "", WHEN_RESTART, "the kinds of namespaces that the app may make",
	"As root. `yes`, the default: none; `no`: all that its user may; or names (cgroup ipc net mnt pid user uts), with ~ before the first one those that it may not.", "RestrictNamespaces=user pid")
CONF(SERVICE_MEMORY_DENY_WRITE_EXECUTE, SERVICE, "MemoryDenyWriteExecute", CONF_TYPE_BOOL, 0, "no", 0, 0, "", WHEN_RESTART, "whether memory that was written cannot become code",
	"As root. Node, PHP with its JIT and others that make code while they run cannot live with it.", "MemoryDenyWriteExecute=yes")
CONF(SERVICE_SYSTEM_CALL_FILTER, SERVICE, "SystemCallFilter", CONF_TYPE_SANDBOX, CONF_MANY | CONF_LINE, "", 0, 32, "", WHEN_RESTART, "the system calls that the app may make",
	"As root, beyond those that no app may. Names and sets (@system-service), with ~ before the first one those that it may not; behind a name :ERRNO is what it gives. systemd.exec(5).", "SystemCallFilter=@system-service")
CONF(SERVICE_SYSTEM_CALL_ERROR_NUMBER, SERVICE, "SystemCallErrorNumber", CONF_TYPE_STRING, 0, "kill", 1, 32, "", WHEN_RESTART, "what a call gives that SystemCallFilter= does not let pass",
	"The name of an errno, or `kill`: the process ends by SIGSYS.", "SystemCallErrorNumber=EPERM")
