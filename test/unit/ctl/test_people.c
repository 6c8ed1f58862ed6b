/*
 * test_people.c: who may ask what: each request of tbl/commands.h by each kind of peer.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"

/* What the line that a refused client gets says; "" when it was not refused. */
static const char *refusal(struct client *cl)
{
	static char text[2000];
	json_t *o;

	text[0] = '\0';
	if (cl->out.len == 0)
		return text;
	o = json_loadb(cl->out.p, cl->out.len - 1, 0, NULL);
	assert_int_equal(json_integer_value(json_object_get(o, "exit")), VERB_EXIT_NOT_PERMITTED);
	assert_non_null(strstr(json_string_value(json_object_get(o, "todo")), "-aG stead"));
	(void)snprintf(text, sizeof text, "%s", json_string_value(json_object_get(o, "error")));
	json_decref(o);
	return text;
}

/* May this kind of peer ask that of that app? */
static bool may(enum who who, enum request_verb verb, const char *app, const char *deploys, const char **ret_why)
{
	struct client cl = {.peer = {.uid = 1234, .who = who, .person = {.name = "dora", .uid = 1234}}, .sending = true};
	bool may_it;

	assert_int_equal(person_apps_set(&cl.peer.person, deploys), 0);
	cl.req.verb = verb;
	(void)snprintf(cl.req.app, sizeof cl.req.app, "%s", app);
	buf_init(&cl.out, 100000);
	may_it = people_may(&cl);
	*ret_why = refusal(&cl);
	assert_int_equal(may_it, **ret_why == '\0');
	assert_int_equal(cl.ended, !may_it);
	buf_done(&cl.out);
	return may_it;
}

static void every_request(void **state)
{
	const char *why;

	(void)state;
	for (enum request_verb v = REQUEST_NONE + 1; v < REQUEST_END; v++) {
		bool people = request_rows[v].who >= WHO_OPERATORS, deploy = request_rows[v].who == WHO_DEPLOYERS;

		assert_true(may(WHO_OWNER, v, "", "", &why));
		assert_int_equal(may(WHO_OPERATORS, v, "", "", &why), people);
		assert_int_equal(may(WHO_DEPLOYERS, v, "shop", "shop,blog", &why), deploy);
		if (!deploy)
			assert_non_null(strstr(why, "it is for root"));
		/* Another's app; none of several; the only one. */
		assert_false(may(WHO_DEPLOYERS, v, "bank", "shop,blog", &why));
		assert_false(may(WHO_DEPLOYERS, v, "", "shop,blog", &why));
		assert_int_equal(may(WHO_DEPLOYERS, v, "", "shop", &why), deploy);
		assert_false(may(WHO_END, v, "shop", "shop", &why));
	}
}

/* What must be root's, whatever the table comes to say; and what an app's deployer needs. */
static void what_must_hold(void **state)
{
	static const enum request_verb owner[] = {REQUEST_UP, REQUEST_STOP};
	static const enum request_verb deployers[] = {REQUEST_STATUS, REQUEST_LOGS, REQUEST_RESTART};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(owner); i++)
		assert_int_equal(request_rows[owner[i]].who, WHO_OWNER);
	for (size_t i = 0; i < ARRAY_LEN(deployers); i++)
		assert_int_equal(request_rows[deployers[i]].who, WHO_DEPLOYERS);
	assert_int_equal(request_rows[REQUEST_CERT_IMPORT].who, WHO_OPERATORS);
}

static void kinds_of_peers(void **state)
{
	const uint32_t groups[] = {100, 27, 990};
	struct peer p = {.who = WHO_OWNER};

	(void)state;
	people_who("/nonexistent", 1234, groups, 3, 990, &p);
	assert_int_equal(p.who, WHO_OPERATORS);
	people_who("/nonexistent", 1234, groups, 2, 990, &p);
	assert_int_equal(p.who, WHO_END);
	/* There is no such group: nobody is in it, also not who has the number 0. */
	people_who("/nonexistent", 1234, (const uint32_t[]){0}, 1, 0, &p);
	assert_int_equal(p.who, WHO_END);
	/* An account that stead did not make deploys nothing. */
	people_who("/nonexistent", getuid(), groups, 0, 990, &p);
	assert_int_equal(p.who, WHO_END);
}

static void turned_away(void **state)
{
	struct peer p = {.uid = 4321, .who = WHO_END};
	char line[1024];
	json_t *o;

	(void)state;
	for (unsigned busy = 0; busy < 2; busy++) {
		people_refuse(&p, busy, line, sizeof line);
		o = json_loads(line, 0, NULL);
		assert_non_null(o);
		assert_int_equal(json_integer_value(json_object_get(o, "exit")), busy ? VERB_EXIT_BUSY : VERB_EXIT_NOT_PERMITTED);
		if (!busy)
			assert_non_null(strstr(line, "4321"));
		json_decref(o);
	}
}

static void a_deployers_status(void **state)
{
	struct ctl *c = calloc(1, sizeof *c);
	struct client cl = {.ctl = c, .peer = {.who = WHO_DEPLOYERS}};
	json_t *status = json_pack("{s:[{s:s}, {s:s}, {s:s}, {}], s:[{s:s}, {s:s}], s:{s:s}, s:s, s:{}}", "processes", "app", "", "app", "shop",
		"app", "bank", "timers", "app", "bank", "app", "shop", "server", "error", "secret", "folder", "/etc/stead", "database");

	(void)state;
	(void)snprintf(cl.req.app, sizeof cl.req.app, "shop");
	people_prune(&cl, status);
	assert_int_equal(json_array_size(json_object_get(status, "processes")), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(status, "processes"), 0), "app")), "shop");
	assert_int_equal(json_array_size(json_object_get(status, "timers")), 1);
	assert_true(json_is_null(json_object_get(status, "server")) && json_is_null(json_object_get(status, "database")));
	assert_string_equal(json_string_value(json_object_get(status, "folder")), "");
	cl.peer.who = WHO_OPERATORS;
	(void)json_object_set_new(status, "folder", json_string("/srv"));
	people_prune(&cl, status);
	assert_int_equal(json_array_size(json_object_get(status, "processes")), 1);
	assert_string_equal(json_string_value(json_object_get(status, "folder")), "/srv");
	json_decref(status);
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_request), cmocka_unit_test(what_must_hold),
		cmocka_unit_test(kinds_of_peers), cmocka_unit_test(turned_away), cmocka_unit_test(a_deployers_status)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
