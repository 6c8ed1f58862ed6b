/*
 * findings.h: what `stead doctor` can find on a machine. An X-macro table.
 *
 * FINDING(NAME, area, level, "what", "why", "mend")
 *   level  DOCTOR_OK, DOCTOR_NOTE, DOCTOR_UNSEEN (it could not be looked at), DOCTOR_WARNING, DOCTOR_ERROR
 *   mend   a command or what else to do; {} is filled in by who found it
 */
FINDING(PORT_OURS, ports, DOCTOR_OK, "stead listens", "", "")
FINDING(PORT_TAKEN, ports, DOCTOR_ERROR, "another program has a port that stead needs", "only one program can listen on a port, so stead cannot answer there", "{}")
FINDING(PORT_FREE, ports, DOCTOR_NOTE, "nobody listens", "stead does not run here, or its Listen= and ListenTls= name other addresses", "stead status")
FINDING(PORT_UNSEEN, ports, DOCTOR_UNSEEN, "it cannot be seen who listens", "the kernel shows other users' processes to root only", "sudo stead doctor")

FINDING(FIREWALL_NONE, firewall, DOCTOR_OK, "no packet filter drops anything", "a provider's own firewall, in front of the machine, cannot be seen from here", "")
FINDING(FIREWALL_OPEN, firewall, DOCTOR_OK, "the packet filter lets strangers in", "", "")
FINDING(FIREWALL_DROPS, firewall, DOCTOR_ERROR, "the packet filter drops new connections", "visitors get no answer, and an authority that looks at port 80 gives no certificate", "stead doctor --fix firewall")
FINDING(FIREWALL_SOME, firewall, DOCTOR_NOTE, "the packet filter lets only some in", "a rule for this port names addresses, an interface or a rate; that is taken to be meant so", "")
FINDING(FIREWALL_SSH, firewall, DOCTOR_WARNING, "the packet filter drops new connections to sshd", "who is logged in stays, and nobody comes in anew", "stead doctor --fix firewall")
FINDING(FIREWALL_UNSEEN, firewall, DOCTOR_UNSEEN, "the rules of the packet filter cannot be read", "the kernel shows them to root only", "sudo stead doctor")
FINDING(FIREWALL_UNREAD, firewall, DOCTOR_UNSEEN, "the rules of the packet filter were not understood", "{}", "nft list ruleset")
FINDING(FIREWALL_UNTIL, firewall, DOCTOR_NOTE, "what was opened holds until the rules are loaded again", "they come from a file of yours, which is left alone", "{}")

FINDING(CLOCK_OK, clock, DOCTOR_OK, "the clock is kept right", "", "")
FINDING(CLOCK_ALONE, clock, DOCTOR_WARNING, "nothing keeps the clock right", "certificates and sessions are judged by the time; a clock that runs off makes them fail", "apt-get install systemd-timesyncd && timedatectl set-ntp true")
FINDING(CLOCK_UNREACHED, clock, DOCTOR_WARNING, "the clock has not been set by a time server yet", "what keeps it runs and has reached none: a firewall drops UDP port 123, or no name can be looked up", "{}")
FINDING(CLOCK_WRONG, clock, DOCTOR_ERROR, "the clock is wrong", "it stands before this version of stead was made: certificates are not valid yet, and none can be got", "timedatectl set-ntp true")
FINDING(CLOCK_UNSEEN, clock, DOCTOR_UNSEEN, "the state of the clock cannot be read", "{}", "timedatectl")

FINDING(DISK_OK, disk, DOCTOR_OK, "there is room", "", "")
FINDING(DISK_LOW, disk, DOCTOR_WARNING, "the disk is nearly full", "a full disk stops deploys, renewals of certificates and databases", "du -xh --max-depth=2 {} | sort -h | tail")
FINDING(DISK_FULL, disk, DOCTOR_ERROR, "the disk is full", "nothing can be written: no state, no log, no database", "du -xh --max-depth=2 {} | sort -h | tail")
FINDING(INODES_LOW, disk, DOCTOR_WARNING, "the filesystem has few inodes left", "no new file can be made when they are used up, though there is room; df -i shows them", "du -x --inodes --max-depth=2 {} | sort -n | tail")
FINDING(INODES_FULL, disk, DOCTOR_ERROR, "the filesystem has hardly any inodes left", "soon no new file can be made, though there is room; `stead deploy` is refused meanwhile, and an app that uses them up is stopped", "du -x --inodes --max-depth=2 {} | sort -n | tail")
FINDING(DISK_READONLY, disk, DOCTOR_ERROR, "the filesystem cannot be written", "it was mounted read-only, or the kernel made it so after an error of the disk", "dmesg | tail; mount -o remount,rw {}")
FINDING(DISK_UNSEEN, disk, DOCTOR_UNSEEN, "the filesystem cannot be looked at", "{}", "df")

FINDING(MEMORY_OK, memory, DOCTOR_OK, "there is memory", "", "")
FINDING(MEMORY_LOW, memory, DOCTOR_WARNING, "there is hardly any memory left", "the kernel ends programs when it is used up", "stead status; set MemoryMax= for what grows")
FINDING(SWAP_NONE, memory, DOCTOR_NOTE, "there is no swap", "with less than 2 GB of memory a short peak ends programs that would have survived it", "fallocate -l 1G /swapfile && chmod 600 /swapfile && mkswap /swapfile && swapon /swapfile && echo '/swapfile none swap sw 0 0' >> /etc/fstab")
FINDING(SWAP_FULL, memory, DOCTOR_WARNING, "the swap is nearly full", "memory has been short for a while; the kernel ends programs when both are used up", "stead status; set MemoryMax= for what grows")
FINDING(OOM_KILLED, memory, DOCTOR_WARNING, "the kernel has ended programs for want of memory since its start", "there was not enough for all that ran", "journalctl -k -g 'Out of memory'")

FINDING(KERNEL_OK, kernel, DOCTOR_OK, "the kernel has what isolates programs", "", "")
FINDING(KERNEL_LACKS, kernel, DOCTOR_NOTE, "the kernel lacks something that isolates programs", "stead goes on without it; `stead status` names the protection that is off", "use a newer kernel, or let the container have it")
FINDING(CGROUP_OK, kernel, DOCTOR_OK, "control groups are there", "", "")
FINDING(CGROUP_LACKS, kernel, DOCTOR_WARNING, "control groups lack controllers", "limits of memory, CPU time, tasks and IO of an app cannot be kept without them", "boot with systemd.unified_cgroup_hierarchy=1")

FINDING(POSTGRES_OK, postgresql, DOCTOR_OK, "PostgreSQL is installed", "", "")
FINDING(POSTGRES_NONE, postgresql, DOCTOR_NOTE, "PostgreSQL is not installed", "an app that wants a database cannot have one", "apt-get install postgresql")
FINDING(POSTGRES_DOWN, postgresql, DOCTOR_ERROR, "the database of an app does not run", "its app cannot answer", "stead logs --level error")

FINDING(UPGRADES_ON, upgrades, DOCTOR_OK, "security updates are installed by themselves", "", "")
FINDING(UPGRADES_OFF, upgrades, DOCTOR_WARNING, "security updates are not installed by themselves", "a hole that is known and mended elsewhere stays open here", "stead doctor --fix upgrades --yes")
FINDING(UPGRADES_UNSEEN, upgrades, DOCTOR_UNSEEN, "it is not known how this system is kept up to date", "there is no apt", "")
FINDING(REBOOT_WANTED, upgrades, DOCTOR_NOTE, "an update waits for a reboot", "the old kernel or library is still in use", "reboot")

FINDING(FILES_OK, files, DOCTOR_OK, "enough files can be open", "", "")
FINDING(FILES_LOW, files, DOCTOR_WARNING, "few files can be open at once", "each connection is one; above the limit new ones are refused", "LimitNOFILE=524288 in the unit, or ulimit -n before `stead up`")
FINDING(FILES_USED, files, DOCTOR_ERROR, "nearly all files that can be open are open", "programs fail in many ways when there are no more", "sysctl fs.file-max=1000000")

FINDING(RESOLVER_OK, dns, DOCTOR_OK, "the resolver answers", "", "")
FINDING(RESOLVER_SILENT, dns, DOCTOR_ERROR, "the resolver does not answer", "no name can be looked up: no certificate, no package, no mail", "resolvectl status; cat /etc/resolv.conf")
FINDING(RESOLVER_NONE, dns, DOCTOR_ERROR, "no resolver is configured", "no name can be looked up: no certificate, no package, no mail", "echo 'nameserver 9.9.9.9' >> /etc/resolv.conf")
FINDING(NAME_HERE, dns, DOCTOR_OK, "the name leads here", "", "")
FINDING(NAME_NOWHERE, dns, DOCTOR_ERROR, "the name of a site leads nowhere", "visitors cannot find it, and no certificate can be got for it", "enter an A record (and AAAA) for {} where its DNS is kept")
FINDING(NAME_ELSEWHERE, dns, DOCTOR_WARNING, "the name of a site leads to another address", "it may be a proxy's or a load balancer's; if not, visitors end up elsewhere", "enter this machine's address for {} where its DNS is kept")
FINDING(NAME_BEHIND, dns, DOCTOR_NOTE, "the name leads to an address that this machine does not have itself", "it has private addresses only, so it stands behind a router that forwards, or it does not lead here", "see that the router forwards ports 80 and 443 to this machine")

FINDING(STEAD_RUNS, stead, DOCTOR_OK, "stead runs", "", "")
FINDING(STEAD_ABSENT, stead, DOCTOR_NOTE, "no running stead was found", "none was started here, or its state folder is somebody else's", "stead up FOLDER, or systemctl start stead")
FINDING(STEAD_FAILED, stead, DOCTOR_ERROR, "the service is enabled and nothing answers at its control socket", "it did not start, or it ended", "systemctl status stead; journalctl -u stead")
FINDING(STEAD_HANGS, stead, DOCTOR_ERROR, "stead does not answer at its control socket", "the control process is stuck or overloaded; sites go on being served", "stead logs --level error")
FINDING(PROCESS_DIES, stead, DOCTOR_WARNING, "a process died and was started again", "it may do so again", "stead logs --level warning")
FINDING(SITE_DOWN, stead, DOCTOR_ERROR, "a site does not answer", "its app does not come up", "stead logs {}")
FINDING(CERT_HINDERED, stead, DOCTOR_WARNING, "something hinders a certificate", "{}", "stead cert list")
FINDING(LAST_ERRORS, stead, DOCTOR_NOTE, "errors were logged", "{}", "stead logs --level error")
