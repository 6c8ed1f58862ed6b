/*
 * main.c: the entry of stead-check.
 *
 * Started by the parent for ctl, or by `stead check` itself; descriptor 3 is its channel to whoever
 * asks. Runs as the app's user, or as whoever runs `stead check`; never writes a file.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cert.h"
#include "check.h"
#include "lib/must.h"
#include "lib/sys.h"

enum { CHANNEL_FD = 3 };

/* The question's packed fields. */
static int read_ask(struct check *k, const struct msg *m, const char **ret_folder,
	const char **ret_name, const char **ret_state, const char **ret_runtime, const char **ret_base)
{
	struct unpack u;
	const char *tail;
	size_t n;
	int r = msg_get(m, &k->ask, sizeof(k->ask), sizeof(k->ask));

	if (r < 0)
		return r;
	tail = msg_tail(m, sizeof(k->ask), &n);
	unpack_init(&u, tail, n);
	*ret_folder = unpack_str(&u);
	*ret_name = unpack_str(&u);
	*ret_state = unpack_str(&u);
	*ret_runtime = unpack_str(&u);
	*ret_base = unpack_done(&u) ? "" : unpack_str(&u); /* the command line knows none */
	if (u.bad || strlen(*ret_state) >= sizeof(k->state) ||
		strlen(*ret_runtime) >= sizeof(k->runtime) || strlen(*ret_base) + sizeof("/data") > sizeof(k->base))
		return -EPROTO;
	return 0;
}

static int answer(struct check *k)
{
	int r = conf_errors(k->conf) == 0 ? check_paths(k) : 0;

	int sites = check_sites_folder(k);

	if (r == 0 && conf_errors(k->conf) == 0 && !k->ask.no_detect && !k->folderless)
		r = check_detect(k);
	if (r == 0 && conf_finish(k->conf) == -ENOMEM)
		r = -ENOMEM;
	/* What is wrong with the folder's own file keeps nobody from seeing what is wrong with the others. */
	if (r == 0)
		r = check_sites(k, sites);
	if (r == 0)
		r = check_answer(k);
	return r < 0 ? r : check_end(k);
}

static int run(struct check *k, const char *folder, const char *name, const char *state)
{
	int r;

	switch (k->ask.mode) {
	case CHECK_PAIR:
		r = check_cert_files(k, folder, name, state);
		break;
	case CHECK_AUTHORITY:
		r = check_cert_authority(k, folder);
		break;
	default:
		r = check_folder(k, folder, name);
		return r == 0 ? answer(k) : r;
	}
	if (r == 0)
		r = check_answer(k);
	return r < 0 ? r : check_end(k);
}

int main(void)
{
	struct check k = {.fd = CHANNEL_FD, .dir = -1};
	const char *folder = "", *name = "", *state = "", *runtime = "", *base = "";
	char *mem = malloc(CHAN_PAYLOAD_MAX);
	struct msg m;
	int r;

	if (mem == NULL)
		fatal("check", "no memory");
	/* A child that it starts gains nothing by a set-uid program, and does not hold the channel.
	 */
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)sys_cloexec(CHANNEL_FD, true);
	if (sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL) < 0)
		fatal("check", "sigaction: %s", strerror(errno));
	r = check_open(&k, mem);
	if (r == 0)
		r = check_receive(&k, &m, mem);
	if (r == 0)
		r = read_ask(&k, &m, &folder, &name, &state, &runtime, &base);
	if (r == 0 && m.nfds > 0) {
		int fd = msg_take_fd(&m, 0);

		r = cert_known_take(&k, fd);
		(void)close(fd);
	}
	if (r < 0)
		fatal("check", "no question came: %s", strerror(-r));
	memcpy(k.state, state, strlen(state) + 1);
	memcpy(k.runtime, runtime, strlen(runtime) + 1);
	memcpy(k.base, base, strlen(base) + 1);
	(void)snprintf(k.data, sizeof(k.data), "%s%s", *base != '\0' ? base : state, *base != '\0' ? "/data" : "");
	r = run(&k, folder, name, state);
	if (r < 0)
		fatal("check", "%s", strerror(-r));
	cert_reader_done(&k);
	conf_free(k.conf);
	free(mem);
	return 0;
}
