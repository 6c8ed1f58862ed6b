/*
 * test_metrics.c: the exposition from counters pages: sums over gates, histograms that add up, labels that
 * cannot leave their quotes, and what of a dead gate still counts.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "ctl.h"

static struct counters_page *page(void)
{
	struct counters_page *p = calloc(1, sizeof *p);

	assert_non_null(p);
	return p;
}

static struct ctl *make(struct counters_page *a, struct counters_page *b)
{
	struct ctl *c = calloc(1, sizeof *c);

	assert_non_null(c);
	assert_int_equal(apps_init(c), 0);
	c->gate[0] = (struct gate_peer){.counters = a, .greeted = true, .generation = 7, .counters_generation = 7};
	c->gate[1] = (struct gate_peer){.counters = b, .greeted = true, .generation = 9, .counters_generation = 8};
	return c;
}

static void end(struct ctl *c)
{
	free((void *)(uintptr_t)c->gate[0].counters);
	free((void *)(uintptr_t)c->gate[1].counters);
	metrics_done(c);
	free(c->app.run);
	free(c);
}

static char *text_of(const struct ctl *c, bool json)
{
	struct buf b;

	buf_init(&b, SIZE_MAX);
	assert_int_equal(metrics_put(c, &b, json), 0);
	assert_non_null(buf_str(&b));
	return b.p;
}

static void has(const char *text, const char *line)
{
	if (!strstr(text, line))
		fail_msg("not there: %s", line);
}

static void test_sums(void **state)
{
	struct counters_page *a = page(), *b = page();
	struct ctl *c = make(a, b);
	char *text;

	(void)state;
	metrics_name(c, METRICS_SITE, 5, "shop");
	metrics_name(c, METRICS_UPSTREAM, 3, "shop/api");
	metrics_name(c, METRICS_UPSTREAM, 4, "shop/http://127.0.0.1:80");
	a->site[5].col[SITE_REQUESTS] = 3;
	b->site[5].col[SITE_REQUESTS] = 4;
	a->site[5].col[SITE_ACTIVE] = 1;
	b->site[5].col[SITE_ACTIVE] = 100; /* its gate is not the one that runs now */
	a->gate[METRIC_CONNS_OPEN] = 10;
	a->gate[METRIC_CONNS_ACTIVE] = 4;
	b->gate[METRIC_REQUESTS] = 12;
	b->gate[METRIC_CONNS_OPEN] = 100;
	a->site[5].bucket[0] = 2;
	b->site[5].bucket[1] = 3;
	b->site[5].bucket[METRIC_BUCKETS - 1] = 1;
	a->site[5].col[SITE_TIME_US] = 1000001;
	a->upstream[3].col[UPSTREAM_ANSWERS_5XX] = 8;
	text = text_of(c, false);
	has(text, "\n# TYPE stead_site_requests_total counter\nstead_site_requests_total{site=\"shop\"} 7\n");
	has(text, "\nstead_site_requests_active{site=\"shop\"} 1\n");
	has(text, "\nstead_connections_open{gate=\"0\"} 10\n# HELP");
	has(text, "\nstead_connections_idle{gate=\"0\"} 6\n");
	has(text, "\nstead_requests_total{gate=\"1\"} 12\n");
	has(text, "\nstead_site_request_duration_seconds_bucket{site=\"shop\",le=\"0.000064\"} 2\n"
		  "stead_site_request_duration_seconds_bucket{site=\"shop\",le=\"0.000128\"} 5\n");
	has(text, "{site=\"shop\",le=\"67.108864\"} 5\n"
		  "stead_site_request_duration_seconds_bucket{site=\"shop\",le=\"+Inf\"} 6\n"
		  "stead_site_request_duration_seconds_sum{site=\"shop\"} 1.000001\n"
		  "stead_site_request_duration_seconds_count{site=\"shop\"} 6\n");
	has(text, "\nstead_upstream_answers_total{site=\"shop\",upstream=\"api\",code=\"5xx\"} 8\n");
	has(text, "{site=\"shop\",upstream=\"http://127.0.0.1:80\"}");
	free(text);
	end(c);
}

static void test_names(void **state)
{
	struct counters_page *a = page(), *b = page();
	struct ctl *c = make(a, b);
	json_t *o;
	char *text, *end_of;

	(void)state;
	metrics_name(c, METRICS_SITE, 0, "a\"b\\c\nd");
	metrics_name(c, METRICS_SITE, COUNTER_SITES_MAX - 1, "x");
	metrics_name(c, METRICS_SITE, UINT32_MAX, "y");
	metrics_name(c, METRICS_SITE, 1, "old");
	metrics_name(c, METRICS_SITE, 1, "new");
	a->site[0].col[SITE_ACTIVE] = UINT64_MAX; /* two pages are not read at one moment */
	text = text_of(c, false);
	has(text, "\nstead_site_requests_total{site=\"a\\\"b\\\\c\\nd\"} 0\n");
	has(text, "\nstead_site_requests_active{site=\"a\\\"b\\\\c\\nd\"} 0\n");
	has(text, "\nstead_site_requests_total{site=\"(others)\"} 0\n");
	has(text, "\nstead_site_requests_total{site=\"new\"} 0\n");
	assert_null(strstr(text, "\"old\""));
	free(text);
	text = text_of(c, true);
	for (char *p = text; *p; p = end_of + 1) {
		end_of = strchr(p, '\n');
		assert_non_null(end_of);
		o = json_loadb(p, (size_t)(end_of - p), 0, NULL);
		assert_true(json_is_object(o) && json_is_number(json_object_get(o, "value")));
		json_decref(o);
	}
	free(text);
	end(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
