/*
 * test_tbl.c: the tables themselves: unique names and numbers, and every (sender, receiver,
 * message) that no row allows is refused.
 */
#include <string.h>
#include "cm.h"

static void every_pair(void **state)
{
	(void)state;
	unsigned allowed = 0, refused = 0;

	for (unsigned i = 0; i < msg_rows_n; i++) {
		const struct msg_row *r = &msg_rows[i];

		assert_ptr_equal(msg_row(r->type), r);
		for (enum proc from = PROC_NONE; from <= PROC_END; from++)
			for (enum proc to = PROC_NONE; to <= PROC_END; to++) {
				bool in = from > PROC_NONE && from < PROC_END && to > PROC_NONE &&
					  to < PROC_END && (r->from >> from & 1) &&
					  (r->to >> to & 1);

				assert_int_equal(
					msg_allowed(from, to, r->type, r->fixed_bytes, r->fds_min),
					in);
				assert_int_equal(
					msg_allowed(from, to, r->type, r->fixed_bytes, r->fds_max),
					in);
				if (r->fixed_bytes > 0)
					assert_false(msg_allowed(from, to, r->type,
						r->fixed_bytes - 1u, r->fds_min));
				assert_false(msg_allowed(
					from, to, r->type, r->fixed_bytes, r->fds_max + 1u));
				if (r->fds_min > 0)
					assert_false(msg_allowed(from, to, r->type, r->fixed_bytes,
						r->fds_min - 1u));
				allowed += in;
				refused += !in;
			}
	}
	assert_true(allowed > msg_rows_n && refused > allowed);
}

static void numbers_without_a_row(void **state)
{
	(void)state;
	unsigned found = 0;

	for (unsigned t = 0; t <= UINT16_MAX; t++) {
		if (msg_row((uint16_t)t) != NULL)
			found++;
		else
			assert_false(msg_allowed(PROC_PARENT, PROC_GATE, (uint16_t)t, 60000, 0));
	}
	assert_int_equal(found, msg_rows_n);
}

/* What must hold of the security of the design: nobody but ctl commands the parent. */
static void only_ctl_commands_the_parent(void **state)
{
	(void)state;
	static const uint16_t commands[] = {MSG_BIND, MSG_UNBIND, MSG_PROC_SET, MSG_PROC_DROP,
		MSG_PROC_RESTART, MSG_ONESHOT, MSG_ONESHOT_KILL, MSG_SHUTDOWN};

	for (unsigned i = 0; i < ARRAY_LEN(commands); i++)
		for (enum proc from = PROC_NONE + 1; from < PROC_END; from++)
			assert_int_equal(msg_allowed(from, PROC_PARENT, commands[i], 4096, 0),
				from == PROC_CTL);
	for (unsigned i = 0; i < msg_rows_n; i++)
		if (msg_rows[i].type != MSG_HELLO)
			assert_false(msg_rows[i].from & 1u << PROC_WORKER);
}

static void unique(void **state)
{
	(void)state;
	for (unsigned i = 0; i < event_rows_n; i++) {
		assert_ptr_equal(event_row(event_rows[i].id), &event_rows[i]);
		assert_true(event_rows[i].meaning[0] != '\0');
		if (event_rows[i].level <= LEVEL_ERROR && event_rows[i].todo[0] == '\0')
			assert_true(event_rows[i].fields[0] != '\0');
	}
	assert_null(event_row(0));
	for (enum close_id a = CLOSE_NONE; a < CLOSE_END; a++)
		for (enum close_id b = CLOSE_NONE; b < a; b++)
			assert_string_not_equal(close_rows[a].name, close_rows[b].name);
	for (enum metric m = 0; m < METRIC_END; m++)
		assert_non_null(metric_rows[m].name);
	for (unsigned i = 0; i < SITE_END; i++)
		assert_int_equal(strstr(site_metric_rows[i].name, "_total") != NULL,
			site_metric_rows[i].type == METRIC_COUNTER);
	for (unsigned i = 0; i < UPSTREAM_END; i++)
		assert_int_equal(strstr(upstream_metric_rows[i].name, "_total") != NULL,
			upstream_metric_rows[i].type == METRIC_COUNTER);
	/* Every edge of the buckets, and the microsecond behind it. */
	assert_int_equal(metric_bucket(0), 0);
	for (unsigned i = 0; i + 1 < METRIC_BUCKETS; i++) {
		assert_int_equal(metric_bucket(1ull << (METRIC_BUCKET_FIRST + i)), i);
		assert_int_equal(metric_bucket((1ull << (METRIC_BUCKET_FIRST + i)) + 1), i + 1);
	}
	assert_int_equal(metric_bucket(UINT64_MAX), METRIC_BUCKETS - 1);
	for (enum act a = ACT_NONE + 1; a < ACT_END; a++)
		assert_non_null(act_rows[a].name);
	for (enum proc p = PROC_NONE + 1; p < PROC_END; p++)
		assert_non_null(proc_rows[p].name);
}

static void closes_answer_or_not(void **state)
{
	(void)state;
	for (enum close_id i = CLOSE_NONE + 1; i < CLOSE_END; i++) {
		const struct close *c = &close_rows[i];

		assert_true(c->scope != 0);
		assert_true(c->status == 0 || (c->status >= 400 && c->status < 600));
		if (c->status != 0)
			assert_true(c->scope & (CLOSE_REQ | CLOSE_CONN));
	}
}

/* A key is in one table only, once. */
static void keys_once(void **state)
{
	(void)state;
	for (unsigned i = 0; i < conf_known_rows_n; i++) {
		const struct conf_known_row *k = &conf_known_rows[i];

		assert_int_equal(conf_key_by_name(section_rows[k->section].name, k->key), CONF_END);
		for (unsigned j = 0; j < i; j++)
			assert_false(conf_known_rows[j].section == k->section &&
				     strcmp(conf_known_rows[j].key, k->key) == 0);
	}
	for (enum conf_key k = 0; k < CONF_END; k++)
		assert_int_equal(
			conf_key_by_name(section_rows[conf_rows[k].section].name, conf_rows[k].key),
			k);
	for (enum option a = 0; a < OPTION_END; a++)
		for (enum option b = 0; b < a; b++) {
			assert_string_not_equal(option_rows[a].name, option_rows[b].name);
			assert_true(option_rows[a].letter == 0 ||
				    option_rows[a].letter != option_rows[b].letter);
		}
}

/* Of each key of systemd's that has an effect it is said once what it means; stead's own are none of systemd's. */
static void systemd_keys_told(void **state)
{
	static const enum conf_key own[] = {CONF_SERVICE_LISTEN, CONF_SERVICE_WORKERS, CONF_SERVICE_THREADS,
		CONF_SERVICE_LIFETIME, CONF_SERVICE_RSS_MAX};

	(void)state;
	for (enum conf_key k = 0; k < CONF_END; k++) {
		unsigned told = 0, wanted = (section_rows[conf_rows[k].section].flags & SECTION_SYSTEMD) != 0;

		for (unsigned i = 0; i < systemd_rows_n; i++)
			told += systemd_rows[i].key == k;
		for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
			wanted -= own[i] == k;
		if (told != wanted)
			fail_msg("%s= is told %u times in systemd.h", conf_rows[k].key, told);
	}
	for (unsigned i = 0; i < systemd_rows_n; i++)
		assert_true(systemd_rows[i].verdict == SYSTEMD_SAME || systemd_rows[i].how[0] != '\0');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_pair),
		cmocka_unit_test(numbers_without_a_row),
		cmocka_unit_test(only_ctl_commands_the_parent),
		cmocka_unit_test(unique),
		cmocka_unit_test(closes_answer_or_not),
		cmocka_unit_test(keys_once),
		cmocka_unit_test(systemd_keys_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
