/*
 * stead-alert: sends one alert and ends.
 *
 * Started by the parent for ctl (descriptor 3 is the channel: ALERT_ASK, ALERT_END). It alone speaks to mail servers and
 * webhooks. It holds that one alert's text, and the password of the mail server where there is one; it opens no file and makes
 * nothing.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "lib/must.h"

#include "alert.h"

int main(void)
{
	struct alert_ask ask = {.target = NULL};
	const struct rlimit none = {0, 0};
	struct failure f = {0};
	struct oneshot o;
	struct unpack u;
	int r;

	(void)sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)setrlimit(RLIMIT_FSIZE, &none);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	r = oneshot_open(&o, 3, PROC_ALERT);
	if (r == 0)
		r = oneshot_receive(&o, MSG_ALERT_ASK);
	if (r < 0)
		fatal("alert", "descriptor 3 is not ctl's channel: %s", strerror(-r));
	unpack_init(&u, o.ask.payload, o.ask.h.len);
	ask.target = unpack_str(&u);
	ask.smtp = unpack_str(&u);
	ask.from = unpack_str(&u);
	ask.id = unpack_str(&u);
	ask.subject = unpack_str(&u);
	ask.body = unpack_str(&u);
	ask.wall_s = unpack_u64(&u);
	if (!unpack_done(&u))
		fatal("alert", "malformed question from ctl");
	(void)alert_send(&ask, &f);
	r = oneshot_end(&o, MSG_ALERT_END, &f, "");
	oneshot_close(&o);
	return r < 0 ? 1 : 0;
}
