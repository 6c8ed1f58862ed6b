/*
 * config_jail.h: the rows of config.h that say what an app's processes are held to; config.h includes it, with the same
 * macros. systemd's names and meaning: systemd.exec(5), systemd.resource-control(5).
 */
CONF(SERVICE_UMASK, SERVICE, "UMask", CONF_TYPE_MODE, 0, "0022", 0, 0, "", WHEN_RESTART, "what is taken from the mode of files that the app makes",
	"Octal.", "UMask=0077")
CONF(SERVICE_NICE, SERVICE, "Nice", CONF_TYPE_SIGNED, 0, "0", 20, 19, "", WHEN_RESTART, "how nice the app's processes are to others",
	"From -20 (before all others) to 19. Below 0 as root only.", "Nice=5")
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
