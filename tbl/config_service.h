/*
 * config_service.h: the keys of [Service], a part of config.h, which includes it with the macros defined.
 */
CONF(SERVICE_ENVIRONMENT, SERVICE, "Environment", CONF_TYPE_ENV, CONF_MANY | CONF_DETECT | CONF_SPECIFIERS, "", 0, 1024, "", WHEN_RESTART, "variables for the app",
	"NAME=VALUE, blank-separated; quote the whole with \" or ' when a value has blanks. systemd.exec(5).", "Environment=DEBUG=0 \"TITLE=My shop\"")
CONF(SERVICE_ENVIRONMENT_FILE, SERVICE, "EnvironmentFile", CONF_TYPE_ENVFILE, CONF_MANY | CONF_SPECIFIERS, "", 0, 16, "files", WHEN_RESTART, "a file of variables for the app",
	"One NAME=VALUE a line, quoted as systemd.exec(5) has it; its values come before those of Environment=, a later file's before an earlier one's. With a - before the path the file may be missing; * ? and [ ] name several. Relative to the app's folder.", "EnvironmentFile=-.env")
CONF(SERVICE_WORKING_DIRECTORY, SERVICE, "WorkingDirectory", CONF_TYPE_PATH, CONF_SPECIFIERS, ".", 0, 4095, "", WHEN_RESTART, "the folder that the app runs in",
	"Relative to the app's folder, which is the default. `~` is the user's home; with a - before it the folder may be missing, and / takes its place.", "WorkingDirectory=web")
CONF(SERVICE_EXEC_START, SERVICE, "ExecStart", CONF_TYPE_CMD, CONF_MANY | CONF_DETECT | CONF_LINE, "", 1, 16, "commands", WHEN_RESTART, "the program that answers the site's requests",
	"A command line as in systemd.service(5), without a shell: quotes, $NAME and ${NAME}, a - or : before the program. A program without a slash is looked for in PATH, a relative one in the app's folder. It stays in the foreground, and Restart= says what follows its end. More than one is for Type=oneshot. With Wsgi= in the same file stead runs that app itself, and the line is for systemd alone. Left out, and where there is no app of Python's or PHP's, it is found: the web: line of a Procfile; a config.ru, run by Puma or else by rackup with WEBrick; scripts.start of a package.json, or its main, or server.js. A line that only a shell understands is run by one (npm, sh), and then listens at $PORT.", "ExecStart=/usr/bin/node server.js")
CONF(SERVICE_LISTEN, SERVICE, "Listen", CONF_TYPE_LISTEN, CONF_SPECIFIERS, "auto", 0, 0, "", WHEN_RESTART, "where the program is asked",
	"`none`: nowhere, it serves nothing. `fd`: a socket is handed over as descriptor 3, with LISTEN_FDS=1 (sd_listen_fds(3)). `port`: it listens on 127.0.0.1 at the port of the variable PORT, a new one for each start; `port:N`: always at that one, as also with PORT= in Environment=. `auto`: both are offered, and the one that answers is used. `unix:PATH`: it makes that socket and speaks HTTP; `uwsgi:PATH`, `fastcgi:PATH`: it speaks that protocol there; with `fd` as PATH on the socket that is handed over. `link`: it is written with libstead(3), and gets its requests through shared memory. Every user of the machine can connect to a port; to a socket the gates alone. %t is a folder of the program's own for its socket.", "Listen=uwsgi:%t/app.sock")
CONF(SERVICE_TYPE, SERVICE, "Type", CONF_TYPE_ENUM, CONF_LIFE, "simple", 0, 0, "simple exec notify notify-reload forking oneshot dbus idle", WHEN_RESTART, "how the program tells that it is ready",
	"`simple`, `exec`, `idle`: it is ready when a GET of Health= is answered with a status below 500, HealthCount= times in a row; with Listen=none when it runs. `notify`: when it says READY=1 (sd_notify(3)); `notify-reload`: the same, and it is reloaded with ReloadSignal=. `oneshot`: it does something and ends, one command behind the other, and serves nothing. `forking` and `dbus` are refused.", "Type=notify")
CONF(SERVICE_NOTIFY_ACCESS, SERVICE, "NotifyAccess", CONF_TYPE_ENUM, CONF_LIFE, "", 0, 0, "none main exec all", WHEN_RESTART, "whose notifications count",
	"`main`: of the started process, the default with Type=notify or WatchdogSec=; `exec`: also of the commands beside it; `all`: also of what those started; `none`.", "NotifyAccess=all")
CONF(SERVICE_WATCHDOG, SERVICE, "WatchdogSec", CONF_TYPE_TIME, CONF_LIFE, "0", 0, 86400000, "ms", WHEN_RESTART, "how often the program must say that it is well",
	"With WATCHDOG=1 (sd_notify(3)); one that does not is ended with WatchdogSignal= and has failed. 0: it need not.", "WatchdogSec=30s")
CONF(SERVICE_TIMEOUT_START, SERVICE, "TimeoutStartSec", CONF_TYPE_TIME, CONF_LIFE, "", 0, 86400000, "ms", WHEN_RESTART, "how long the program may take to become ready",
	"Left out: HealthTimeoutSec=. 0 or infinity: as long as it likes.", "TimeoutStartSec=2min")
CONF(SERVICE_TIMEOUT_STOP, SERVICE, "TimeoutStopSec", CONF_TYPE_TIME, 0, "10s", 0, 86400000, "ms", WHEN_RESTART, "how long the program may take to end",
	"From KillSignal= on, which it gets when its last request is answered; then it is killed with all that it started. 0 or infinity: it is waited for as long as it takes.", "TimeoutStopSec=30s")
CONF(SERVICE_TIMEOUT, SERVICE, "TimeoutSec", CONF_TYPE_TIME, 0, "", 0, 86400000, "ms", WHEN_RESTART, "TimeoutStartSec= and TimeoutStopSec= in one",
	"Either of them, where it is written, comes before it.", "TimeoutSec=1min")
CONF(SERVICE_KILL_SIGNAL, SERVICE, "KillSignal", CONF_TYPE_SIGNAL, 0, "SIGTERM", 0, 0, "", WHEN_RESTART, "the signal that asks the program to end",
	"uWSGI wants SIGQUIT, or --die-on-term.", "KillSignal=SIGQUIT")
CONF(SERVICE_KILL_MODE, SERVICE, "KillMode", CONF_TYPE_ENUM, 0, "control-group", 0, 0, "control-group mixed process none", WHEN_RESTART, "who gets KillSignal=",
	"`control-group`: all that the program started; `mixed`: the started process, and when that has ended the others get SIGKILL; `process`: the started one alone; `none`: nobody, so ExecStop= has to do it. What is left at the end is killed whatever it says.", "KillMode=mixed")
CONF(SERVICE_WORKERS, SERVICE, "Workers", CONF_TYPE_COUNT, 0, "1", 1, 256, "processes", WHEN_RESTART, "how many times the program runs",
	"Each has a socket or port of its own, and a request goes to the one with the fewest. More than 1 is for a program that keeps nothing in its memory that the others would need; one with a fixed socket or port runs once.", "Workers=4")
CONF(SERVICE_THREADS, SERVICE, "Threads", CONF_TYPE_INT, 0, "1", 1, 64, "requests", WHEN_RESTART, "how many requests the program has open at once",
	"With Listen=link only: what stead_open() takes when the program does not say it. Other programs are told by their own configuration.", "Threads=8")
CONF(SERVICE_LIFETIME, SERVICE, "LifetimeSec", CONF_TYPE_TIME, 0, "0", 0, 31536000000, "ms", WHEN_RESTART, "how old the program becomes before it is replaced",
	"By a new one that is ready before the old one finishes what it has; of several one at a time, each up to a fifth earlier. 0: no limit.", "LifetimeSec=1d")
CONF(SERVICE_RSS_MAX, SERVICE, "RssMax", CONF_TYPE_SIZE, 0, "0", 0, 1099511627776, "bytes", WHEN_RESTART, "how much memory the program may hold before it is replaced",
	"Resident memory of the started process, without its children; as by LifetimeSec=. 0: no limit.", "RssMax=500M")
CONF(SERVICE_PASS_ENVIRONMENT, SERVICE, "PassEnvironment", CONF_TYPE_VARS, CONF_MANY, "", 0, 256, "", WHEN_RESTART, "variables that are passed on from stead's own environment",
	"Names, blank-separated; what is not set there is not set here. Environment= and EnvironmentFile= come before it.", "PassEnvironment=TZ LC_ALL")
CONF(SERVICE_UNSET_ENVIRONMENT, SERVICE, "UnsetEnvironment", CONF_TYPE_VARS, CONF_MANY | CONF_SPECIFIERS, "", 0, 256, "", WHEN_RESTART, "variables that the app must not have",
	"NAME, or NAME=VALUE for a variable with just that value. They are taken out at the end, whoever set them, stead itself included.", "UnsetEnvironment=LANG")
CONF(SERVICE_EXEC_CONDITION, SERVICE, "ExecCondition", CONF_TYPE_CMD, CONF_MANY | CONF_LINE | CONF_LIFE, "", 0, 16, "commands", WHEN_RESTART, "whether the program is started at all",
	"Run before ExecStartPre=. Exit status 0: it is started; 1 to 254: it is not, and that is no failure; 255 or a signal: the start has failed.", "ExecCondition=/usr/bin/test -e enabled")
CONF(SERVICE_EXEC_START_PRE, SERVICE, "ExecStartPre", CONF_TYPE_CMD, CONF_MANY | CONF_LINE | CONF_LIFE, "", 0, 16, "commands", WHEN_RESTART, "commands before the program",
	"One after the other, as the app's user, each time that the program is started; when one fails, and has no - before it, the start has failed. TimeoutStartSec= is the bound of each. What they leave running is ended with them.", "ExecStartPre=/usr/bin/mkdir -p cache")
CONF(SERVICE_EXEC_START_POST, SERVICE, "ExecStartPost", CONF_TYPE_CMD, CONF_MANY | CONF_LINE | CONF_LIFE, "", 0, 16, "commands", WHEN_RESTART, "commands when the program has started",
	"With Type=notify when it said READY=1, else when it runs; it serves when they have ended. When one fails the program is stopped, as after a failed start.", "ExecStartPost=/usr/bin/touch started")
CONF(SERVICE_EXEC_RELOAD, SERVICE, "ExecReload", CONF_TYPE_CMD, CONF_MANY | CONF_LINE | CONF_LIFE, "", 0, 16, "commands", WHEN_RESTART, "commands that have the program read its configuration again",
	"`stead reload APP` runs them, and `stead reload` when nothing about the program has changed; what has changed brings a new program that is ready before the old one ends. $MAINPID is the program.", "ExecReload=/bin/kill -HUP $MAINPID")
CONF(SERVICE_EXEC_STOP, SERVICE, "ExecStop", CONF_TYPE_CMD, CONF_MANY | CONF_LINE | CONF_LIFE, "", 0, 16, "commands", WHEN_RESTART, "commands that stop the program",
	"Run when it is stopped, once its last request is answered, and when it ended by itself with success; not when it failed. What is left then gets KillSignal=.", "ExecStop=/usr/bin/app --quit $MAINPID")
CONF(SERVICE_EXEC_STOP_POST, SERVICE, "ExecStopPost", CONF_TYPE_CMD, CONF_MANY | CONF_LINE | CONF_LIFE, "", 0, 16, "commands", WHEN_RESTART, "commands when the program has ended",
	"However it ended, also when its start failed; SERVICE_RESULT, EXIT_CODE and EXIT_STATUS say how.", "ExecStopPost=/usr/bin/rm -f app.pid")
CONF(SERVICE_RESTART, SERVICE, "Restart", CONF_TYPE_ENUM, CONF_LIFE, "", 0, 0, "no on-success on-failure on-abnormal on-watchdog on-abort always", WHEN_RESTART, "when the program is started again",
	"When it ended by itself, by the table of systemd.service(5). One that is not started again is down until `stead restart`: its site answers 503. Left out: always, at once and then with growing pauses.", "Restart=on-failure")
CONF(SERVICE_RESTART_SEC, SERVICE, "RestartSec", CONF_TYPE_TIME, CONF_LIFE, "", 0, 2592000000, "ms", WHEN_RESTART, "how long is waited before it is started again",
	"Left out: the first start again comes at once, the next ones after 100 ms, 200 ms and so on up to a minute.", "RestartSec=5s")
CONF(SERVICE_RESTART_STEPS, SERVICE, "RestartSteps", CONF_TYPE_INT, CONF_LIFE, "0", 0, 100, "pauses", WHEN_RESTART, "in how many steps the pause grows",
	"From RestartSec= to RestartMaxDelaySec=, which is needed too.", "RestartSteps=5")
CONF(SERVICE_RESTART_MAX_DELAY, SERVICE, "RestartMaxDelaySec", CONF_TYPE_TIME, CONF_LIFE, "", 0, 2592000000, "ms", WHEN_RESTART, "the longest pause",
	"Reached in RestartSteps= steps.", "RestartMaxDelaySec=1min")
CONF(SERVICE_SUCCESS_EXIT_STATUS, SERVICE, "SuccessExitStatus", CONF_TYPE_EXITS, CONF_MANY | CONF_LIFE, "", 0, 256, "", WHEN_RESTART, "ends that count as success besides 0",
	"Exit codes, their names (systemd.exec(5)), and signals. 0, SIGHUP, SIGINT, SIGTERM and SIGPIPE count in any case; with Type=oneshot 0 alone.", "SuccessExitStatus=TEMPFAIL 250 SIGKILL")
CONF(SERVICE_RESTART_PREVENT, SERVICE, "RestartPreventExitStatus", CONF_TYPE_EXITS, CONF_MANY | CONF_LIFE, "", 0, 256, "", WHEN_RESTART, "ends after which it is not started again",
	"As SuccessExitStatus= has them; whatever Restart= says.", "RestartPreventExitStatus=1 6 SIGABRT")
CONF(SERVICE_RESTART_FORCE, SERVICE, "RestartForceExitStatus", CONF_TYPE_EXITS, CONF_MANY | CONF_LIFE, "", 0, 256, "", WHEN_RESTART, "ends after which it is started again",
	"As SuccessExitStatus= has them; whatever Restart= says.", "RestartForceExitStatus=133")
CONF(SERVICE_START_LIMIT_INTERVAL, SERVICE, "StartLimitIntervalSec", CONF_TYPE_TIME, CONF_LIFE, "", 0, 2592000000, "ms", WHEN_RESTART, "in what time StartLimitBurst= starts are allowed",
	"With it, or StartLimitBurst=, one that is started more often is given up until `stead restart`. 0 takes the bound away. Left out together: the pauses grow, and it is never given up; one alone: 10s and 5 are the other's.", "StartLimitIntervalSec=1min")
CONF(SERVICE_START_LIMIT_OLD, SERVICE, "StartLimitInterval", CONF_TYPE_TIME, CONF_LIFE, "", 0, 2592000000, "ms", WHEN_RESTART, "in what time StartLimitBurst= starts are allowed",
	"The older name of StartLimitIntervalSec=.", "StartLimitInterval=1min")
CONF(SERVICE_START_LIMIT_BURST, SERVICE, "StartLimitBurst", CONF_TYPE_INT, CONF_LIFE, "", 0, 1000000, "starts", WHEN_RESTART, "how many starts are allowed in StartLimitIntervalSec=",
	"", "StartLimitBurst=3")
CONF(SERVICE_REMAIN_AFTER_EXIT, SERVICE, "RemainAfterExit", CONF_TYPE_BOOL, CONF_LIFE, "no", 0, 0, "", WHEN_RESTART, "whether it counts as active when it has ended with success",
	"Then ExecStop= runs when it is stopped.", "RemainAfterExit=yes")
CONF(SERVICE_TIMEOUT_ABORT, SERVICE, "TimeoutAbortSec", CONF_TYPE_TIME, CONF_LIFE, "", 0, 86400000, "ms", WHEN_RESTART, "how long the program may take to end when its watchdog ended it",
	"Left out: TimeoutStopSec=.", "TimeoutAbortSec=30s")
CONF(SERVICE_RUNTIME_MAX, SERVICE, "RuntimeMaxSec", CONF_TYPE_TIME, CONF_LIFE, "0", 0, 31536000000, "ms", WHEN_RESTART, "how long the program may run",
	"Then it is stopped, as one that failed, and Restart= decides. 0: no limit. LifetimeSec= replaces it without a failed request.", "RuntimeMaxSec=1d")
CONF(SERVICE_RESTART_KILL_SIGNAL, SERVICE, "RestartKillSignal", CONF_TYPE_SIGNAL, CONF_LIFE, "", 0, 0, "", WHEN_RESTART, "what it gets instead of KillSignal= when a new one takes its place",
	"", "RestartKillSignal=SIGUSR1")
CONF(SERVICE_FINAL_KILL_SIGNAL, SERVICE, "FinalKillSignal", CONF_TYPE_SIGNAL, CONF_LIFE, "SIGKILL", 0, 0, "", WHEN_RESTART, "what it gets when TimeoutStopSec= is over",
	"One that is still there TimeoutStopSec= later gets SIGKILL.", "FinalKillSignal=SIGABRT")
CONF(SERVICE_WATCHDOG_SIGNAL, SERVICE, "WatchdogSignal", CONF_TYPE_SIGNAL, CONF_LIFE, "SIGABRT", 0, 0, "", WHEN_RESTART, "what it gets when WatchdogSec= is over",
	"", "WatchdogSignal=SIGQUIT")
CONF(SERVICE_RELOAD_SIGNAL, SERVICE, "ReloadSignal", CONF_TYPE_SIGNAL, 0, "SIGHUP", 0, 0, "", WHEN_RESTART, "what it gets at `stead reload` with Type=notify-reload",
	"", "ReloadSignal=SIGUSR2")
CONF(SERVICE_SEND_SIGHUP, SERVICE, "SendSIGHUP", CONF_TYPE_BOOL, CONF_LIFE, "no", 0, 0, "", WHEN_RESTART, "whether SIGHUP follows KillSignal= at once",
	"", "SendSIGHUP=yes")
CONF(SERVICE_SEND_SIGKILL, SERVICE, "SendSIGKILL", CONF_TYPE_BOOL, CONF_LIFE, "yes", 0, 0, "", WHEN_RESTART, "whether it is killed when TimeoutStopSec= is over",
	"With no it is waited for as long as it takes; nothing takes its place before. When stead itself ends it is killed in any case.", "SendSIGKILL=no")
CONF(SERVICE_LOG_LEVEL_MAX, SERVICE, "LogLevelMax", CONF_TYPE_ENUM, CONF_LIFE, "debug", 0, 0, "emerg alert crit err warning notice info debug 0 1 2 3 4 5 6 7", WHEN_RESTART, "the least important of its lines that are kept",
	"A line is `info`, or what <N> at its beginning says (sd-daemon(3)).", "LogLevelMax=notice")
CONF(SERVICE_STANDARD_OUTPUT, SERVICE, "StandardOutput", CONF_TYPE_STRING, CONF_LIFE, "", 0, 4095, "", WHEN_RESTART, "where what it prints goes",
	"`null`: nowhere; all else: to `stead logs`, where a warning says so when another place is written.", "StandardOutput=null")
CONF(SERVICE_STANDARD_ERROR, SERVICE, "StandardError", CONF_TYPE_STRING, CONF_LIFE, "", 0, 4095, "", WHEN_RESTART, "where what it prints goes",
	"`null`: nowhere; all else: to `stead logs`, where a warning says so when another place is written.", "StandardError=null")
CONF_REFUSED_KEY(SERVICE, "MaxRequests", "what a program of its own has answered is not counted", "write LifetimeSec= or RssMax=; for the app of Wsgi= or Asgi= write it in [Python]")
CONF_REFUSED_KEY(SERVICE, "IdleStopSec", "a program is not started by a request, so it cannot end while there is none", "take it out; for the app of Wsgi= or Asgi= write it in [Python]")
#include "config_jail.h"
#include "config_own.h"
CONF_NOTED_KEY(SERVICE, "AmbientCapabilities", "an app has no capability at all")
CONF_NOTED_KEY(SERVICE, "CapabilityBoundingSet", "as root an app has no capability at all")
CONF_NOTED_KEY(SERVICE, "NoNewPrivileges", "as root it is always on")
CONF_NOTED_KEY(SERVICE, "ProcSubset")
CONF_NOTED_KEY(SERVICE, "ProtectClock", "as root it is always on")
CONF_NOTED_KEY(SERVICE, "ProtectHostname", "as root the name cannot be changed")
CONF_NOTED_KEY(SERVICE, "ProtectKernelLogs", "as root it is always on")
CONF_NOTED_KEY(SERVICE, "ProtectKernelModules", "as root it is always on")
CONF_NOTED_KEY(SERVICE, "ProtectKernelTunables", "as root it is always on")
CONF_NOTED_KEY(SERVICE, "ProtectControlGroups", "as root it is always on")
CONF_NOTED_KEY(SERVICE, "PrivateUsers")
CONF_NOTED_KEY(SERVICE, "PrivateMounts", "as root it is always on")
CONF_NOTED_KEY(SERVICE, "RestrictRealtime", "as root it is always on, unless LimitRTPRIO= is written")
CONF_NOTED_KEY(SERVICE, "RestrictSUIDSGID", "as root it is always on")
CONF_NOTED_KEY(SERVICE, "RemoveIPC", "as root what an app shares by IPC ends with its process")
CONF_NOTED_KEY(SERVICE, "LockPersonality", "as root it is always on")
CONF_NOTED_KEY(SERVICE, "SystemCallArchitectures", "as root only the machine's own calls can be made")
