/*
 * wants_php.c: a pool of PHP-FPM as the program that answers a site: its configuration, written into the state
 * folder, its arguments and its variables.
 *
 * Called by wants_service.c. The configuration's name has its checksum, so that another one is another program to
 * the parent, which then replaces the pool; and the pool that still runs finds its own when it is started again.
 * The socket is handed over as descriptor 3: PHP-FPM takes it by FPM_SOCKETS, in which it names its sockets to
 * itself when it executes itself anew, under the name that `listen` has. What scripts say goes to the pool's
 * standard error, and so into the app's log.
 */
#include "wants.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/durable.h"
#include "lib/phpfpm.h"
#include "lib/sys.h"

/* No such file is ever made: the name of the socket that is handed over. */
#define SOCKET_NAME "/dev/null/stead"

enum { MS = 1000 };

static unsigned seconds(uint64_t ms)
{
	return (unsigned)min_of((ms + MS - 1) / MS, (uint64_t)UINT32_MAX);
}

static void put_processes(struct buf *b, const struct conf_php *p)
{
	unsigned spare = max_of(p->workers, 1u);

	buf_printf(b, "pm.max_children = %u\n", p->workers_max);
	if (p->idle_stop_ms)
		buf_printf(b, "pm = ondemand\npm.process_idle_timeout = %us\n", seconds(p->idle_stop_ms));
	else if (p->workers == p->workers_max)
		buf_puts(b, "pm = static\n");
	else
		buf_printf(b, "pm = dynamic\npm.start_servers = %u\npm.min_spare_servers = 1\npm.max_spare_servers = %u\n",
			spare, spare);
	if (p->max_requests)
		buf_printf(b, "pm.max_requests = %u\n", p->max_requests);
}

static void put_config(struct buf *b, const struct ctl *c, const struct conf_app *conf)
{
	buf_puts(b, "; made by stead\n[global]\ndaemonize = no\nerror_log = /dev/null\nlog_limit = 8192\n");
	buf_puts(b, "[app]\nlisten = " SOCKET_NAME "\n");
	put_processes(b, &conf->php);
	buf_printf(b, "request_terminate_timeout = %us\n", seconds(conf->php.script_ms));
	buf_puts(b, "security.limit_extensions = .php\nclear_env = no\ncatch_workers_output = yes\n"
		    "decorate_workers_output = no\nphp_admin_flag[fastcgi.logging] = off\n");
	/* Debian's cron job removes old sessions from the machine's folder, not from the app's own (identity.c). */
	if (c->start.root)
		buf_puts(b, "php_value[session.gc_probability] = 1\nphp_value[session.gc_divisor] = 1000\n");
}

void wants_php_folder(const struct ctl *c, const struct app *a, char ret[static CTL_PATH_MAX])
{
	if (app_deployed(a))
		wants_below(c, a, "php", ret);
	else
		(void)snprintf(ret, CTL_PATH_MAX, "%s/php", c->state_dir);
}

/* Its path in `path`. 0 or -errno. */
static int write_config(
	const struct ctl *c, const struct app *a, const struct conf_app *conf, char path[static CTL_PATH_MAX])
{
	char mem[4096], name[64], folder[CTL_PATH_MAX];
	struct buf b;
	int fd, err;

	buf_fixed(&b, mem, sizeof mem);
	put_config(&b, c, conf);
	if (b.error)
		return b.error;
	wants_php_folder(c, a, folder);
	/* As root act made it, for the app's group to read. */
	if (!c->start.root && mkdir(folder, 0700) < 0 && errno != EEXIST)
		return -errno;
	(void)snprintf(name, sizeof name, "fpm-%016llx.conf", (unsigned long long)sys_checksum(b.p, b.len));
	if (snprintf(path, CTL_PATH_MAX, "%s/%s", folder, name) >= CTL_PATH_MAX)
		return -ENAMETOOLONG;
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = faccessat(fd, name, R_OK, 0) == 0 ? 0 : durable_write(fd, name, b.p, b.len, 0644);
	close(fd);
	return err;
}

void want_php_program(const struct app *a, char path[static CTL_PATH_MAX])
{
	char newest[PATH_MAX];
	bool found = false;

	for (const struct app_value *v = a->values; v; v = v->next)
		found |= strcmp(v->section, "Php") == 0 && strcmp(v->key, "Fpm") == 0 && strcmp(v->origin, "detected") == 0;
	if (found && access(path, X_OK) < 0 && phpfpm_newest(newest))
		(void)snprintf(path, CTL_PATH_MAX, "%s", newest);
}

int want_php(struct ctl *c, const struct app *a, const struct conf_app *conf, struct env_text *env, struct buf *args, unsigned *ret_n)
{
	char path[CTL_PATH_MAX];
	const char *const words[] = {"php-fpm", "--nodaemonize", "--force-stderr", "--fpm-config", path};
	int err = write_config(c, a, conf, path);

	if (err)
		return err;
	for (unsigned i = 0; i < ARRAY_LEN(words); i++)
		buf_put(args, words[i], strlen(words[i]) + 1);
	*ret_n = ARRAY_LEN(words);
	want_env(env, "FPM_SOCKETS", "%s=3", SOCKET_NAME);
	return args->error ? args->error : env->b.error;
}
