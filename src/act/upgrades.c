/*
 * upgrades.c: the act that has apt install security updates by itself (the package unattended-upgrades). What an operator
 * wrote elsewhere stands; this writes the one file that the package's own question writes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/durable.h"
#include "oneshot/run.h"

#include "act.h"

enum { INSTALL_MS = 10 * 60 * 1000 };

int act_upgrades_on(struct act_ctx *ctx)
{
	static const char text[] = "APT::Periodic::Update-Package-Lists \"1\";\nAPT::Periodic::Unattended-Upgrade \"1\";\n";
	static const char *const argv[] = {"/usr/bin/apt-get", "-qq", "-y", "--no-install-recommends", "-o",
		"DPkg::Lock::Timeout=60", "install", "unattended-upgrades", NULL};
	static const char *const env[] = {
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", NULL};
	struct run run = {.argv = argv, .envp = env, .cwd = "/", .timeout_ms = INSTALL_MS};
	struct run_end end;
	int dir, r = 0;

	if (access("/usr/bin/unattended-upgrade", X_OK) < 0) {
		r = run_program(&run, &end);
		if (r < 0 || end.status != 0)
			return failure_set(ctx->f, r < 0 ? -r : EIO, EXIT_CODE_FAILED, "apt-get install unattended-upgrades",
				"The package unattended-upgrades cannot be installed: %s", r < 0 ? strerror(-r) : end.tail);
	}
	dir = open("/etc/apt/apt.conf.d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = dir < 0 ? -errno : durable_write(dir, "20auto-upgrades", text, sizeof text - 1, 0644);
	if (dir >= 0)
		(void)close(dir);
	if (r < 0)
		return failure_set(ctx->f, -r, EXIT_CODE_FAILED, "see that /etc can be written",
			"/etc/apt/apt.conf.d/20auto-upgrades: %s.", strerror(-r));
	return 0;
}
