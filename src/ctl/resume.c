/*
 * resume.c: a ctl that was started again while its parent lives goes on where the last one stood.
 *
 * Called once, when the state is open. The app that is live under this very parent is described
 * again, with the same bytes, so nothing of it changes; the snapshot is made again under the next
 * generation, because gates tell only a ctl that asks. Nobody is asked anything.
 */
#include "deploy.h"
#include "wants.h"

#include <stdio.h>
#include <string.h>

#include "lib/must.h"
#include "lib/sys.h"

void app_adopt(struct app *a, const struct conf_app *conf)
{
	struct app_run *run = a->run;

	run->serves = conf->serves;
	run->workers = wants_count(conf);
	run->role = wants_role(conf);
	scaling_adopt(run, conf);
	run->start_ms = conf->python ? conf->health_timeout_ms : conf->service.start_ms;
	(void)snprintf(run->database, sizeof run->database, "%s", conf->database);
}

void resume(struct ctl *c)
{
	const struct conf_app *conf;
	struct conf *held;
	char why[256] = "";
	uint64_t off, build = 0, own = sys_checksum(STEAD_VERSION, sizeof STEAD_VERSION) >> 1;
	int err = 0;

	(void)state_meta_get(c, "build", &build);
	c->other_build = build != own && build != 0;
	(void)state_meta_set(c, "build", own);

	if (state_meta_get(c, "snapshot", &c->snap_generation) < 0)
		c->snap_generation = 0;
	if (!c->app.known || strcmp(c->app.instance, c->instance) != 0) {
		c->other_build = false;
		return;
	}
	held = effective_conf(c, &c->app, why, sizeof why);
	conf = held ? conf_app(held) : NULL;
	if (!conf) {
		say(c, EV_STATE_ERROR, "what", "read the values of the app", "error", why, NULL);
		conf_free(held);
		c->other_build = false;
		return;
	}
	c->live_us = loop_wall_us(c->loop);
	if (state_meta_get(c, "https off", &off) == 0)
		c->certs.local.off = off != 0;
	app_adopt(&c->app, conf);
	up_tcp_https(c, conf, &c->sites);
	scaling_resume(c->app.run, true);
	if (c->app.bin[0])
		err = wants_postgres(c, &c->app);
	if (err == 0 && c->app.run->role != PROC_NONE)
		err = wants_app(c, &c->app, conf, 0, NULL, NULL);
	scaling_resume(c->app.run, false);
	programs_apply(c, &c->app, conf, true);
	deploy_resume(c);
	c->other_build = false;
	if (err == 0)
		err = gates_send(c, conf);
	if (err == 0)
		err = sites_send(c, &(struct sites_own){&c->app, conf, &c->sites});
	if (err)
		say(c, EV_STATE_ERROR, "what", "go on after a restart", "error", strerror(-err),
			NULL);
	conf_free(held);
}
