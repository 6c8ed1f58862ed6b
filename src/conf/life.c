/*
 * life.c: the life of a program as [Service] says it: its other commands, when it is started again,
 * what it gets when it is stopped.
 *
 * Called by service.c when every value is there, for [Service] and for each [Worker] (c->at). systemd.service(5), systemd.kill(5) and, of
 * StartLimit, systemd.unit(5). Owns nothing.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "conf_priv.h"
#include "lib/must.h"

/* What systemd takes when one of the two is written (DefaultStartLimitIntervalSec=, …Burst=). */
enum { LIMIT_MS = 10 * 1000, LIMIT_BURST = 5 };
enum { OUTPUT_TEXT_MAX = 60 };

static uint64_t number(const struct conf *c, enum conf_key key)
{
	return c->at->head[key] != NULL ? c->at->head[key]->number : 0;
}

static bool written(const struct conf *c, enum conf_key key)
{
	return c->at->head[key] != NULL && c->at->head[key]->origin != CONF_FROM_DEFAULT;
}

/* ---- commands ---- */

static const struct {
	enum service_hook kind;
	enum conf_key key;
} hooks[] = {{HOOK_CONDITION, CONF_SERVICE_EXEC_CONDITION}, {HOOK_PRE, CONF_SERVICE_EXEC_START_PRE},
	{HOOK_START, CONF_SERVICE_EXEC_START}, {HOOK_POST, CONF_SERVICE_EXEC_START_POST},
	{HOOK_RELOAD, CONF_SERVICE_EXEC_RELOAD}, {HOOK_STOP, CONF_SERVICE_EXEC_STOP},
	{HOOK_AFTER, CONF_SERVICE_EXEC_STOP_POST}};

static void fill_hooks(struct conf *c, struct conf_life *l)
{
	struct conf_hook *all = conf_alloc(c, SERVICE_HOOKS_MAX * sizeof(*all));

	for (size_t i = 0; i < ARRAY_LEN(hooks) && all != NULL; i++) {
		const struct conf_value *v = c->at->head[hooks[i].key];

		/* The first of ExecStart= is the program itself. */
		if (hooks[i].kind == HOOK_START && v != NULL)
			v = v->next;
		for (; v != NULL && l->nhooks < SERVICE_HOOKS_MAX; v = v->next)
			if (v->text[0] != '\0')
				all[l->nhooks++] = (struct conf_hook){
					.kind = hooks[i].kind, .command = conf_command_of(c, v->text)};
	}
	l->hooks = all;
}

/* ---- starting again ---- */

/* The written one of several names of the same. */
static const struct conf_value *one_of(const struct conf *c, enum conf_key a, enum conf_key b)
{
	return written(c, a) ? c->at->head[a] : written(c, b) ? c->at->head[b] : NULL;
}

static void fill_limit(const struct conf *c, struct conf_life *l)
{
	const struct conf_value *ms =
		one_of(c, CONF_UNIT_START_LIMIT_INTERVAL, CONF_UNIT_START_LIMIT_OLD);
	const struct conf_value *burst =
		one_of(c, CONF_UNIT_START_LIMIT_BURST, CONF_SERVICE_START_LIMIT_BURST);

	if (ms == NULL)
		ms = one_of(c, CONF_SERVICE_START_LIMIT_INTERVAL, CONF_SERVICE_START_LIMIT_OLD);
	if (ms == NULL && burst == NULL)
		return;
	l->limit_ms = ms != NULL ? ms->number : LIMIT_MS;
	l->limit_burst = burst != NULL ? (uint32_t)burst->number : LIMIT_BURST;
}

/* By what each of `steps` pauses is longer than the one before, in millionths: the root of max / first. */
static uint64_t ratio_of(uint64_t first, uint64_t max, unsigned steps)
{
	double low = 1, high = (double)max / (double)first, want = high;

	for (int i = 0; i < 64; i++) {
		double mid = (low + high) / 2, power = 1;

		for (unsigned k = 0; k < steps && power <= want; k++)
			power *= mid;
		if (power > want)
			high = mid;
		else
			low = mid;
	}
	return (uint64_t)(low * 1e6);
}

static struct service_exits exits_of(const struct conf *c, enum conf_key key)
{
	struct service_exits e = {0};

	for (const struct conf_value *v = c->at->head[key]; v != NULL; v = v->next)
		conf_exits_add(&e, v->text);
	return e;
}

static void fill_restart(const struct conf *c, struct conf_life *l)
{
	static const uint8_t words[] = {SERVICE_RESTART_NO, SERVICE_RESTART_ON_SUCCESS,
		SERVICE_RESTART_ON_FAILURE, SERVICE_RESTART_ON_ABNORMAL,
		SERVICE_RESTART_ON_WATCHDOG, SERVICE_RESTART_ON_ABORT, SERVICE_RESTART_ALWAYS};
	uint64_t steps = number(c, CONF_SERVICE_RESTART_STEPS),
		 max = number(c, CONF_SERVICE_RESTART_MAX_DELAY);

	if (written(c, CONF_SERVICE_RESTART))
		l->restart = words[number(c, CONF_SERVICE_RESTART)];
	if (written(c, CONF_SERVICE_RESTART_SEC)) {
		l->flags |= SERVICE_LIFE_PAUSE;
		l->restart_ms = number(c, CONF_SERVICE_RESTART_SEC);
	}
	if (l->restart_ms != 0 && max > l->restart_ms && steps != 0) {
		l->restart_steps = (uint32_t)steps;
		l->restart_max_ms = max;
		l->restart_ratio = ratio_of(l->restart_ms, max, (unsigned)steps);
	}
	l->success = exits_of(c, CONF_SERVICE_SUCCESS_EXIT_STATUS);
	l->prevent = exits_of(c, CONF_SERVICE_RESTART_PREVENT);
	l->force = exits_of(c, CONF_SERVICE_RESTART_FORCE);
	fill_limit(c, l);
}

/* Of the environment, which all programs of an app have in common. */
static const char *const *words_of(struct conf *c, enum conf_key key)
{
	const char **all;
	unsigned n = 0;

	for (const struct conf_value *v = c->plain.head[key]; v != NULL; v = v->next)
		n++;
	all = conf_alloc(c, (n + 1) * sizeof(*all));
	n = 0;
	for (const struct conf_value *v = c->plain.head[key]; v != NULL && all != NULL; v = v->next)
		if (v->text[0] != '\0')
			all[n++] = v->text;
	return all;
}

static bool is_word(const struct conf *c, enum conf_key key, const char *word)
{
	const struct conf_value *v = c->at->head[key];

	return v != NULL && strcmp(v->text, word) == 0;
}

void conf_life_fill(struct conf *c, struct conf_life *l)
{
	enum { DEBUG = 7, LEVELS = 8 };

	*l = (struct conf_life){.pass = words_of(c, CONF_SERVICE_PASS_ENVIRONMENT),
		.unset = words_of(c, CONF_SERVICE_UNSET_ENVIRONMENT)};
	if (c->at == &c->plain && !conf_service_wins(c))
		return;
	fill_hooks(c, l);
	fill_restart(c, l);
	l->abort_ms = written(c, CONF_SERVICE_TIMEOUT_ABORT) ? number(c, CONF_SERVICE_TIMEOUT_ABORT)
							     : CONF_AS_STOP;
	l->runtime_max_ms = number(c, CONF_SERVICE_RUNTIME_MAX);
	l->restart_signal = (uint32_t)number(c, CONF_SERVICE_RESTART_KILL_SIGNAL);
	l->final_signal = (uint32_t)number(c, CONF_SERVICE_FINAL_KILL_SIGNAL);
	l->watchdog_signal = (uint32_t)number(c, CONF_SERVICE_WATCHDOG_SIGNAL);
	l->reload_signal = (uint32_t)number(c, CONF_SERVICE_RELOAD_SIGNAL);
	l->log_level = (uint32_t)(number(c, CONF_SERVICE_LOG_LEVEL_MAX) % LEVELS);
	l->log_level = l->log_level == DEBUG ? 0 : l->log_level + 1;
	if (number(c, CONF_SERVICE_REMAIN_AFTER_EXIT) != 0)
		l->flags |= SERVICE_LIFE_REMAIN;
	if (number(c, CONF_SERVICE_SEND_SIGHUP) != 0)
		l->flags |= SERVICE_LIFE_HUP;
	if (number(c, CONF_SERVICE_SEND_SIGKILL) == 0)
		l->flags |= SERVICE_LIFE_NO_KILL;
	if (is_word(c, CONF_SERVICE_TYPE, "notify-reload"))
		l->flags |= SERVICE_LIFE_RELOADS;
	if (is_word(c, CONF_SERVICE_STANDARD_OUTPUT, "null"))
		l->flags |= SERVICE_LIFE_MUTE_OUT;
	if (is_word(c, CONF_SERVICE_STANDARD_ERROR, "null") ||
		((l->flags & SERVICE_LIFE_MUTE_OUT) != 0 &&
			!written(c, CONF_SERVICE_STANDARD_ERROR)) ||
		((l->flags & SERVICE_LIFE_MUTE_OUT) != 0 &&
			is_word(c, CONF_SERVICE_STANDARD_ERROR, "inherit")))
		l->flags |= SERVICE_LIFE_MUTE_ERR;
}

/* ---- what has to fit together ---- */

static bool is_oneshot(const struct conf *c)
{
	return is_word(c, CONF_SERVICE_TYPE, "oneshot");
}

static void check_oneshot(struct conf *c)
{
	const struct conf_value *exec = c->at->head[CONF_SERVICE_EXEC_START];
	const struct conf_value *listen = c->at->head[CONF_SERVICE_LISTEN];
	const struct conf_value *restart = c->at->head[CONF_SERVICE_RESTART];

	if (!is_oneshot(c) && exec->next != NULL)
		conf_find(c, CONF_ERROR, &exec->next->pos, "write one, or Type=oneshot",
			"ExecStart= is there more than once, which only Type=oneshot may have");
	if (!is_oneshot(c))
		return;
	if (written(c, CONF_SERVICE_LISTEN) && strcmp(listen->text, "none") != 0)
		conf_find(c, CONF_ERROR, &listen->pos, "take it out, or write another Type=",
			"Listen=%s: with Type=oneshot the program ends, and nothing answers",
			listen->text);
	if (written(c, CONF_SERVICE_RESTART) &&
		(strcmp(restart->text, "always") == 0 || strcmp(restart->text, "on-success") == 0))
		conf_find(c, CONF_ERROR, &restart->pos, "write on-failure, or another Type=",
			"Restart=%s: Type=oneshot has not failed when it ends", restart->text);
}

/* Where its output would go elsewhere in systemd. */
static void check_output(struct conf *c, enum conf_key key)
{
	static const char words[] = " inherit null journal syslog kmsg journal+console "
				    "syslog+console kmsg+console ";
	const struct conf_value *v = c->at->head[key];
	char word[OUTPUT_TEXT_MAX + 3];

	if (v == NULL || v->text[0] == '\0')
		return;
	(void)snprintf(word, sizeof(word), " %.*s ", OUTPUT_TEXT_MAX, v->text);
	if (strlen(v->text) > OUTPUT_TEXT_MAX || strstr(words, word) == NULL)
		conf_find(c, CONF_WARNING, &v->pos, "read it with `stead logs`",
			"%s=%.60s: what it prints goes to stead's log in any case",
			conf_rows[key].key, v->text);
}

void conf_life_check(struct conf *c)
{
	const struct conf_value *steps = c->at->head[CONF_SERVICE_RESTART_STEPS];
	const struct conf_value *max = c->at->head[CONF_SERVICE_RESTART_MAX_DELAY];

	check_oneshot(c);
	check_output(c, CONF_SERVICE_STANDARD_OUTPUT);
	check_output(c, CONF_SERVICE_STANDARD_ERROR);
	if ((number(c, CONF_SERVICE_RESTART_STEPS) != 0) != (max != NULL && max->number != 0)) {
		const struct conf_value *one = number(c, CONF_SERVICE_RESTART_STEPS) != 0 ? steps : max;

		if (one != NULL && one->origin != CONF_FROM_DEFAULT)
			conf_find(c, CONF_WARNING, &one->pos,
				"write RestartSteps= and RestartMaxDelaySec=",
				"%s= has no effect without the other of the two",
				conf_rows[one->key].key);
	}
	if (max != NULL && max->number != 0 && max->number < number(c, CONF_SERVICE_RESTART_SEC))
		conf_find(c, CONF_WARNING, &max->pos, "write a longer time than RestartSec=",
			"RestartMaxDelaySec= is shorter than RestartSec=, so the pauses do not grow");
}
