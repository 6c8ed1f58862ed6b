/*
 * look_machine.c: clock, disk, memory, open files, updates: what the kernel and a few files of the system say.
 */
#include "doctor.h"

#include "lib/room.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#define MB (UINT64_C(1) << 20)
/* The clock cannot be right before this program was written: 2025-01-01. */
enum { WRITTEN_S = 1735689600 };
enum { FILES_WANTED = 4096, LOW_PERMILLE = 100, FULL_PERMILLE = 20 };

/* ---- clock ---- */

static bool runs(const char *comm)
{
	char path[64];

	/* Each of them has its own note of running; none needs a walk over all processes. */
	(void)snprintf(path, sizeof path, "/run/%s", comm);
	return access(path, F_OK) == 0;
}

void look_clock(struct doctor *d)
{
	static const char *const keepers[][3] = {{"systemd/timesync", "systemd-timesyncd", "timedatectl timesync-status"},
		{"chrony/chronyd.pid", "chronyd", "chronyc sources"}, {"chronyd.pid", "chronyd", "chronyc sources"},
		{"ntpd.pid", "ntpd", "ntpq -p"}, {"openntpd.pid", "openntpd", "ntpctl -s all"}};
	const char *keeper = "", *ask = "";
	struct timex t = {.modes = 0};
	int state = adjtimex(&t);

	for (size_t i = 0; i < ARRAY_LEN(keepers) && !*keeper; i++)
		if (runs(keepers[i][0]))
			keeper = keepers[i][1], ask = keepers[i][2];
	if (time(NULL) < WRITTEN_S) {
		char now[40] = "";
		time_t at = time(NULL);
		struct tm tm;

		if (gmtime_r(&at, &tm))
			(void)strftime(now, sizeof now, "%Y-%m-%d %H:%M UTC", &tm);
		found(d, FINDING_CLOCK_WRONG, NULL, "%s", now);
	} else if (state < 0) {
		found(d, FINDING_CLOCK_UNSEEN, strerror(errno), "%s", "adjtimex");
	} else if ((t.status & STA_UNSYNC) != 0 && *keeper) {
		found(d, FINDING_CLOCK_UNREACHED, ask, "%s runs, and the kernel says that the clock is not synchronised", keeper);
	} else if ((t.status & STA_UNSYNC) != 0) {
		found(d, FINDING_CLOCK_ALONE, NULL, "%s", "the kernel says that it is not synchronised");
	} else {
		found(d, FINDING_CLOCK_OK, NULL, "%sit may be off by %ld ms", *keeper ? "by NTP; " : "", (long)t.maxerror / 1000);
	}
}

/* ---- disk ---- */

static void look_at(struct doctor *d, const char *path)
{
	struct statvfs v;
	uint64_t free_bytes, all;
	unsigned permille;

	if (statvfs(path, &v) < 0) {
		if (errno != ENOENT)
			found(d, FINDING_DISK_UNSEEN, strerror(errno), "%s", path);
		return;
	}
	free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	all = (uint64_t)v.f_blocks * v.f_frsize;
	permille = all ? (unsigned)(free_bytes * 1000 / all) : 1000;
	if (v.f_flag & ST_RDONLY)
		found(d, FINDING_DISK_READONLY, path, "%s", path);
	else if (free_bytes < 64 * MB || (permille < FULL_PERMILLE && free_bytes < 1024 * MB))
		found(d, FINDING_DISK_FULL, path, "%s: %" PRIu64 " MB of %" PRIu64 " MB are left", path, free_bytes / MB, all / MB);
	else if (permille < LOW_PERMILLE && free_bytes < 10240 * MB)
		found(d, FINDING_DISK_LOW, path, "%s: %" PRIu64 " MB of %" PRIu64 " MB are left", path, free_bytes / MB, all / MB);
	else
		found(d, FINDING_DISK_OK, NULL, "%s: %" PRIu64 " MB of %" PRIu64 " MB are left", path, free_bytes / MB, all / MB);
	if (room_counts_inodes(&v) && v.f_favail < 2 * room_inodes_floor(v.f_files))
		found(d, v.f_favail < room_inodes_floor(v.f_files) ? FINDING_INODES_FULL : FINDING_INODES_LOW, path, "%s: %" PRIu64 " inodes of %" PRIu64 " are left", path, (uint64_t)v.f_favail, (uint64_t)v.f_files);
}

static uint64_t device_of(const char *path)
{
	struct statvfs v;

	return statvfs(path, &v) < 0 ? 0 : v.f_fsid;
}

void look_disk(struct doctor *d)
{
	const char *paths[] = {*d->c->state ? d->c->state : "/var/lib/stead", "/", "/var", "/tmp"};

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		bool again = false;

		for (size_t k = 0; k < i; k++)
			again = again || device_of(paths[k]) == device_of(paths[i]);
		if (!again)
			look_at(d, paths[i]);
	}
}

/* ---- memory ---- */

void look_memory(struct doctor *d)
{
	char *info = doctor_text("/proc/meminfo"), *vm = doctor_text("/proc/vmstat");
	uint64_t total = 0, available = 0, swap = 0, swap_free = 0, killed = 0;

	(void)doctor_number(info, "MemTotal:", &total);
	(void)doctor_number(info, "MemAvailable:", &available);
	(void)doctor_number(info, "SwapTotal:", &swap);
	(void)doctor_number(info, "SwapFree:", &swap_free);
	(void)doctor_number(vm, "oom_kill ", &killed);
	free(info);
	free(vm);
	found(d, available * 100 < total * 5 ? FINDING_MEMORY_LOW : FINDING_MEMORY_OK, NULL,
		"%" PRIu64 " MB of %" PRIu64 " MB are available", available / 1024, total / 1024);
	if (!swap && total < 2 * 1024 * 1024)
		found(d, FINDING_SWAP_NONE, NULL, "%" PRIu64 " MB of memory", total / 1024);
	if (swap && swap_free * 10 < swap)
		found(d, FINDING_SWAP_FULL, NULL, "%" PRIu64 " MB of %" PRIu64 " MB are left", swap_free / 1024, swap / 1024);
	if (killed)
		found(d, FINDING_OOM_KILLED, NULL, "%" PRIu64 " times", killed);
}

/* ---- open files ---- */

/* The limit of the running stead's parent, else the one that a program started here would have. */
static uint64_t files_limit(const struct doctor *d)
{
	const json_t *list = json_object_get(d->status, "processes");
	json_int_t pid = json_integer_value(json_object_get(json_array_get(list, 0), "pid"));
	struct rlimit lim = {.rlim_max = 0};
	uint64_t ret = 0;
	char path[48], *text, *at;

	(void)getrlimit(RLIMIT_NOFILE, &lim);
	(void)snprintf(path, sizeof path, "/proc/%lld/limits", (long long)pid);
	text = doctor_text(path);
	at = pid > 0 ? strstr(text, "Max open files") : NULL;
	if (!at || sscanf(at, "Max open files %*s %" SCNu64, &ret) != 1)
		ret = lim.rlim_max;
	free(text);
	return ret;
}

void look_files(struct doctor *d)
{
	char *text = doctor_text("/proc/sys/fs/file-nr");
	uint64_t limit = files_limit(d), used = 0, all = 0;

	if (sscanf(text, "%" SCNu64 " %*u %" SCNu64, &used, &all) == 2 && all && used > all / 10 * 9)
		found(d, FINDING_FILES_USED, NULL, "%" PRIu64 " of %" PRIu64 " of the whole machine", used, all);
	free(text);
	found(d, limit < FILES_WANTED ? FINDING_FILES_LOW : FINDING_FILES_OK, NULL, "%" PRIu64 " for a process", limit);
}

/* ---- updates ---- */

/* The last value of an apt setting over the files that apt reads, in their order; "" when there is none. */
static bool periodic_on(const char *name)
{
	static const char *const files[] = {"/etc/apt/apt.conf.d/10periodic", "/etc/apt/apt.conf.d/20auto-upgrades",
		"/etc/apt/apt.conf.d/50unattended-upgrades", "/etc/apt/apt.conf"};
	bool on = false;

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		char *text = doctor_text(files[i]), *save = NULL;

		for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
			const char *at = line + strspn(line, " \t");

			if (strncmp(at, name, strlen(name)) == 0)
				on = strpbrk(at + strlen(name), "123456789") != NULL;
		}
		free(text);
	}
	return on;
}

void look_upgrades(struct doctor *d)
{
	if (access("/usr/bin/apt-get", X_OK) < 0)
		found(d, FINDING_UPGRADES_UNSEEN, NULL, "%s", "");
	else if (access("/usr/bin/unattended-upgrade", X_OK) < 0)
		found(d, FINDING_UPGRADES_OFF, NULL, "%s", "the package unattended-upgrades is not installed");
	else if (!periodic_on("APT::Periodic::Unattended-Upgrade") || !periodic_on("APT::Periodic::Update-Package-Lists"))
		found(d, FINDING_UPGRADES_OFF, NULL, "%s", "/etc/apt/apt.conf.d/20auto-upgrades does not turn them on");
	else
		found(d, FINDING_UPGRADES_ON, NULL, "%s", "unattended-upgrades");
	if (access("/run/reboot-required", F_OK) == 0)
		found(d, FINDING_REBOOT_WANTED, NULL, "%s", "/run/reboot-required");
}
