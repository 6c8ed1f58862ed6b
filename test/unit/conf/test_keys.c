/*
 * test_keys.c: every key of tbl/config.h, by its row: its default and its example hold; below min
 * and above max are refused, min and max are not; and what was accepted is accepted again in its
 * canonical form, as ctl does.
 */
#include "cm.h"

/* One value that is good for the row, the n-th of its kind. */
static void sample(const struct conf_row *r, unsigned n, char *mem, size_t cap)
{
	switch ((enum conf_type)r->type) {
	case CONF_TYPE_PREFIX:
		snprintf(mem, cap, "/p%u dir%u", n, n);
		break;
	case CONF_TYPE_ERRPAGE:
		snprintf(mem, cap, "%u /e%u.html", 400 + n, n);
		break;
	case CONF_TYPE_ENV:
		snprintf(mem, cap, "V%u=x", n);
		break;
	case CONF_TYPE_ADDR:
		snprintf(mem, cap, "127.0.0.1:%u", 1000 + n);
		break;
	case CONF_TYPE_CIDR:
	case CONF_TYPE_TRUSTED:
		snprintf(mem, cap, "10.%u.%u.0/24", n / 256, n % 256);
		break;
	case CONF_TYPE_HEADER:
		snprintf(mem, cap, "response set x-%u value", n);
		break;
	case CONF_TYPE_REDIRECT:
		snprintf(mem, cap, "301 /a%u /b%u", n, n);
		break;
	case CONF_TYPE_REWRITE:
		snprintf(mem, cap, "^/a%u$ /b%u", n, n);
		break;
	case CONF_TYPE_TRY:
		snprintf(mem, cap, "/t%u", n);
		break;
	case CONF_TYPE_METHOD:
		snprintf(mem, cap, "POST");
		break;
	case CONF_TYPE_LOGFORMAT:
		snprintf(mem, cap, "$status %u", n);
		break;
	case CONF_TYPE_USER:
		snprintf(mem, cap, "u%u:$6$s$hash", n);
		break;
	case CONF_TYPE_SERVER:
		snprintf(mem, cap, "127.0.0.1:%u weight=%u", 1000 + n, n % 1000 + 1);
		break;
	case CONF_TYPE_CALENDAR:
		snprintf(mem, cap, "%u:%u", n / 60 % 24, n % 60);
		break;
	case CONF_TYPE_JAILPATH:
		snprintf(mem, cap, "/n%u", n);
		break;
	case CONF_TYPE_ACCOUNT:
	case CONF_TYPE_OWN_DIRECTORY:
		snprintf(mem, cap, "n%u", n);
		break;
	case CONF_TYPE_SANDBOX:
		snprintf(mem, cap, "%s", strchr(r->example, '=') + 1);
		break;
	case CONF_TYPE_BASE64:
		snprintf(mem, cap, "%04u", n);
		break;
	case CONF_TYPE_VARS:
		snprintf(mem, cap, "V%u", n);
		break;
	case CONF_TYPE_EXITS:
		snprintf(mem, cap, "%u", n % 256);
		break;
	default:
		snprintf(mem, cap, "n%u.example", n);
	}
}

/* The section of a row as it is written, and what must stand beside the row's key. */
static const char *section_of(const struct conf_row *r)
{
	switch ((enum conf_section)r->section) {
	case SECTION_ROUTE:
		return "Route /x";
	case SECTION_UPSTREAM:
		return "Upstream x]\nServer=127.0.0.1:1\n[Upstream x";
	case SECTION_TCP:
		return "Tcp x]\nListen=127.0.0.1:1\nServer=127.0.0.1:1\n[Tcp x";
	case SECTION_WORKER:
		return "Worker x]\nExecStart=/bin/true\n[Worker x";
	case SECTION_TIMER:
		return "Timer x]\nExecStart=/bin/true\nOnCalendar=daily\n[Timer x";
	case SECTION_SITE:
		return "Site]\nDomain=canonical.example\n[Site";
	default:
		return section_rows[r->section].name;
	}
}

static const char *arg_of(const struct conf_row *r)
{
	/* No two programs have the same name. */
	return r->section == SECTION_ROUTE    ? "/x"
	       : r->section == SECTION_TIMER  ? "y"
	       : section_rows[r->section].arg ? "x"
					      : "";
}

/* Its values, in whatever section they stand. */
static const struct conf_value *got(const struct conf *c, enum conf_key k)
{
	const struct conf_value *v = conf_get(c, k);

	for (const struct conf_scope *s = NULL; !v && (s = conf_scope_next(c, s));)
		v = conf_scope_get(s, k);
	return v;
}

static int put(enum conf_key k, const char *text)
{
	struct conf *c = conf_with_facts();
	int r = conf_put_key(c, k, text, CONF_FROM_FILE, NULL);

	assert_int_equal(conf_errors(c) > 0, r < 0);
	conf_free(c);
	return r;
}

static void number_bounds(enum conf_key k)
{
	const struct conf_row *r = &conf_rows[k];
	const char *unit = r->type == CONF_TYPE_TIME ? "ms" : "";
	char text[64];

	if (r->min > 0) {
		snprintf(text, sizeof(text), "%llu%s", (unsigned long long)r->min - 1, unit);
		assert_int_equal(put(k, text), -EINVAL);
	}
	snprintf(text, sizeof(text), "%llu%s", (unsigned long long)r->min, unit);
	assert_int_equal(put(k, text), 0);
	snprintf(text, sizeof(text), "%llu%s", (unsigned long long)r->max, unit);
	assert_int_equal(put(k, text), 0);
	snprintf(text, sizeof(text), "%llu%s", (unsigned long long)r->max + 1, unit);
	assert_int_equal(put(k, text), -EINVAL);
	assert_int_equal(put(k, "99999999999999999999"), -EINVAL);
	assert_int_equal(put(k, "-1"), -EINVAL);
	assert_int_equal(put(k, "1x"), -EINVAL);
	assert_int_equal(put(k, " 1"), -EINVAL);
}

static void signed_bounds(enum conf_key k)
{
	const struct conf_row *r = &conf_rows[k];
	const long long low = -(long long)r->min, high = (long long)r->max;
	const struct {
		long long value;
		int result;
	} cases[] = {{low, 0}, {low - 1, -EINVAL}, {high, 0}, {high + 1, -EINVAL}};
	char text[24];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		snprintf(text, sizeof(text), "%lld", cases[i].value);
		assert_int_equal(put(k, text), cases[i].result);
	}
}

static void length_bounds(enum conf_key k)
{
	const struct conf_row *r = &conf_rows[k];
	bool slash = r->type == CONF_TYPE_STRING;
	bool wsgi = r->type == CONF_TYPE_WSGI;
	char *text = calloc(1, r->max + 2);

	assert_non_null(text);
	memset(text, 'a', r->max);
	if (slash)
		text[0] = '/';
	if (wsgi)
		text[1] = ':';
	assert_int_equal(put(k, text), 0);
	text[r->max] = 'a';
	assert_int_equal(put(k, text), -EINVAL);
	text[slash || !wsgi ? 1 : 3] = '\0';
	assert_int_equal(put(k, text), 0);
	free(text);
}

static void item_bounds(enum conf_key k)
{
	const struct conf_row *r = &conf_rows[k];
	struct conf *c = conf_with_facts();
	char text[64];

	for (unsigned i = 0; i < r->max; i++) {
		sample(r, i, text, sizeof(text));
		assert_int_equal(conf_put_key(c, k, text, CONF_FROM_FILE, NULL), 0);
	}
	sample(r, (unsigned)r->max, text, sizeof(text));
	assert_int_equal(conf_put_key(c, k, text, CONF_FROM_FILE, NULL), -EINVAL);
	conf_free(c);
}

static void every_key_at_its_bounds(void **state)
{
	(void)state;
	for (enum conf_key k = 0; k < CONF_END; k++) {
		const struct conf_row *r = &conf_rows[k];

		if (r->flags & CONF_MANY) {
			item_bounds(k);
			continue;
		}
		switch ((enum conf_type)r->type) {
		case CONF_TYPE_TIME:
		case CONF_TYPE_SIZE:
		case CONF_TYPE_INT:
		case CONF_TYPE_COUNT:
		case CONF_TYPE_SPAN:
			number_bounds(k);
			break;
		case CONF_TYPE_ENUM:
		case CONF_TYPE_BOOL:
		case CONF_TYPE_RATE:
		case CONF_TYPE_URL:
		case CONF_TYPE_LOGFORMAT:
		case CONF_TYPE_LOCAL:
		case CONF_TYPE_LIMIT:
		case CONF_TYPE_AMOUNT:
		case CONF_TYPE_MODE:
			assert_int_equal(put(k, "none-of-these"), -EINVAL);
			break;
		case CONF_TYPE_SIGNED:
			signed_bounds(k);
			break;
		case CONF_TYPE_BASE64:
			assert_int_equal(put(k, "none-of-these"), -EINVAL);
			assert_int_equal(put(k, "MAA"), -EINVAL);
			break;
		case CONF_TYPE_SIGNAL:
			assert_int_equal(put(k, "SIGNONE"), -EINVAL);
			assert_int_equal(put(k, "65"), -EINVAL);
			assert_int_equal(put(k, "0"), -EINVAL);
			assert_int_equal(put(k, "RTMIN+99"), -EINVAL);
			assert_int_equal(put(k, "RTMIN+1"), 0);
			assert_int_equal(put(k, "TERM"), 0);
			assert_int_equal(put(k, "9"), 0);
			break;
		case CONF_TYPE_ACCOUNT:
			assert_int_equal(put(k, "www-data"), 0);
			assert_int_equal(put(k, "a23456789b123456789c123456789d12"), 0);
			assert_int_equal(put(k, "a23456789b123456789c123456789d123"), -EINVAL);
			assert_int_equal(put(k, "-a"), -EINVAL);
			assert_int_equal(put(k, "a:b"), -EINVAL);
			break;
		case CONF_TYPE_LISTEN:
			assert_int_equal(put(k, "port:65536"), -EINVAL);
			break;
		case CONF_TYPE_CMD:
			assert_int_equal(put(k, "+/bin/true"), -EINVAL);
			break;
		case CONF_TYPE_MATCH:
			assert_int_equal(put(k, "a:b c"), -EINVAL);
			break;
		case CONF_TYPE_TO:
			assert_int_equal(put(k, "none of these"), -EINVAL);
			break;
		default:
			length_bounds(k);
		}
	}
}

/* The example of each row, in a file, makes a whole conf; and so does the default. */
static void every_example(void **state)
{
	(void)state;
	for (enum conf_key k = 0; k < CONF_END; k++) {
		const struct conf_row *r = &conf_rows[k];
		char text[512];
		struct conf *c = conf_with_facts();

		snprintf(text, sizeof(text), "[%s]\n%s\n", section_of(r), r->example);
		assert_int_equal(strncmp(r->example, r->key, strlen(r->key)), 0);
		if (r->flags & CONF_LATER) {
			assert_int_equal(conf_read(c, "f", text, strlen(text)), -EINVAL);
			conf_free(c);
			continue;
		}
		assert_int_equal(conf_read(c, "f", text, strlen(text)), 0);
		assert_non_null(got(c, k));
		assert_int_equal(got(c, k)->origin, CONF_FROM_FILE);
		assert_int_equal(conf_finish(c), 0);
		conf_free(c);
		c = conf_with_facts();
		assert_int_equal(conf_finish(c), 0);
		if (r->deflt[0] != '\0' && !section_rows[r->section].arg) {
			assert_non_null(conf_get(c, k));
			assert_int_equal(conf_get(c, k)->origin, CONF_FROM_DEFAULT);
		}
		conf_free(c);
	}
}

/* What check sends is what ctl takes: the canonical form is its own canonical form. */
static void canonical_again(void **state)
{
	(void)state;
	static const char *const more[] = {"Site", "Domain", "WWW.Example.ORG", "Server", "Listen",
		":80", "Server", "Listen", "[0:0::1]:443", "Site", "Static", "/s my files",
		"Service", "Environment", "A=b c\n\"d\"", "Service", "EnvironmentFile", "-/x y",
		"Site", "Index", ""};
	struct conf *a = conf_with_facts(), *b = conf_with_facts();
	char ma[8192], mb[8192], route[8192] = "[Route /x]\n";
	size_t n = strlen(route);

	for (enum conf_key k = 0; k < CONF_END; k++) {
		char text[512];

		/* Wsgi= is there, and not both. */
		if (conf_rows[k].flags & CONF_LATER || k == CONF_PYTHON_ASGI)
			continue;
		/* ClientCa= is there, which needs TLS, and comes in OriginPulls=' place. */
		if (k == CONF_SITE_HTTPS || k == CONF_SITE_ORIGIN_PULLS)
			continue;
		/* With Wsgi= it is stead that says how long workers live. */
		if (k == CONF_SERVICE_WORKERS || k == CONF_SERVICE_THREADS || k == CONF_SERVICE_LIFETIME ||
			k == CONF_SERVICE_RSS_MAX)
			continue;
		/* Each [Route /x] is one of its own. */
		if (conf_rows[k].section == SECTION_ROUTE) {
			n += (size_t)snprintf(
				route + n, sizeof(route) - n, "%s\n", conf_rows[k].example);
			continue;
		}
		snprintf(text, sizeof(text), "[%s %s]\n%s\n",
			section_rows[conf_rows[k].section].name, arg_of(&conf_rows[k]),
			conf_rows[k].example);
		assert_int_equal(conf_read(a, "f", text, strlen(text)), 0);
	}
	assert_int_equal(conf_read(a, "f", route, n), 0);
	for (unsigned i = 0; i < ARRAY_LEN(more); i += 3)
		assert_int_equal(
			conf_put(a, more[i], "", more[i + 1], more[i + 2], CONF_FROM_COMMAND, NULL),
			0);
	assert_int_equal(conf_finish(a), 0);
	for (enum conf_key k = 0; k < CONF_END; k++)
		for (const struct conf_value *v = got(a, k); v != NULL; v = v->next)
			assert_int_equal(conf_put(b, section_rows[conf_rows[k].section].name,
						 arg_of(&conf_rows[k]), conf_rows[k].key, v->text,
						 v->origin, &v->pos),
				0);
	assert_int_equal(conf_finish(b), 0);
	for (enum conf_key k = 0; k < CONF_END; k++) {
		assert_string_equal(joined(a, k, ma, sizeof(ma)), joined(b, k, mb, sizeof(mb)));
		if (conf_get(a, k) != NULL) {
			assert_int_equal(conf_get(a, k)->number, conf_get(b, k)->number);
			assert_int_equal(conf_get(a, k)->origin, conf_get(b, k)->origin);
		}
	}
	assert_string_equal(joined(b, CONF_SITE_DOMAIN, mb, sizeof(mb)), "www.example.org");
	assert_string_equal(joined(b, CONF_SERVER_LISTEN, mb, sizeof(mb)), "0.0.0.0:80|[::1]:443");
	assert_null(conf_app(b)->index[0]);
	conf_free(a);
	conf_free(b);
}

static void precedence(void **state)
{
	(void)state;
	struct conf *c = conf_with_facts();
	char m[512];

	assert_int_equal(conf_put_key(c, CONF_SITE_QUEUE, "5", CONF_FROM_FILE, NULL), 0);
	assert_int_equal(conf_put_key(c, CONF_SITE_QUEUE, "6", CONF_FROM_DETECTED, NULL), 0);
	assert_string_equal(joined(c, CONF_SITE_QUEUE, m, sizeof(m)), "5");
	assert_int_equal(conf_put_key(c, CONF_SITE_QUEUE, "7", CONF_FROM_COMMAND, NULL), 0);
	assert_string_equal(joined(c, CONF_SITE_QUEUE, m, sizeof(m)), "7");
	/* A list of a higher origin takes the whole list's place; of the same it goes on. */
	assert_int_equal(conf_put_key(c, CONF_SITE_STATIC, "/a a", CONF_FROM_DETECTED, NULL), 0);
	assert_int_equal(conf_put_key(c, CONF_SITE_STATIC, "/b b", CONF_FROM_FILE, NULL), 0);
	assert_int_equal(conf_put_key(c, CONF_SITE_STATIC, "/c c", CONF_FROM_FILE, NULL), 0);
	assert_int_equal(conf_put_key(c, CONF_SITE_STATIC, "/d d", CONF_FROM_DETECTED, NULL), 0);
	assert_string_equal(joined(c, CONF_SITE_STATIC, m, sizeof(m)), "/b b|/c c");
	/* Of variables each is a value of its own, and the file of variables comes before the unit.
	 */
	assert_int_equal(
		conf_put_key(c, CONF_SERVICE_ENVIRONMENT, "A=env", CONF_FROM_ENV_FILE, NULL), 0);
	assert_int_equal(
		conf_put_key(c, CONF_SERVICE_ENVIRONMENT, "A=unit", CONF_FROM_FILE, NULL), 0);
	assert_int_equal(
		conf_put_key(c, CONF_SERVICE_ENVIRONMENT, "B=1", CONF_FROM_DETECTED, NULL), 0);
	assert_int_equal(conf_put_key(c, CONF_SERVICE_ENVIRONMENT, "B=2", CONF_FROM_FILE, NULL), 0);
	assert_int_equal(conf_put_key(c, CONF_SERVICE_ENVIRONMENT, "B=3", CONF_FROM_FILE, NULL), 0);
	assert_string_equal(joined(c, CONF_SERVICE_ENVIRONMENT, m, sizeof(m)), "A=env|B=3");
	assert_int_equal(conf_finish(c), 0);
	/* Nothing of that was lost by the defaults, and finishing twice changes nothing. */
	assert_int_equal(conf_finish(c), 0);
	assert_int_equal(conf_app(c)->queue, 7);
	conf_free(c);
}

static void no_such_key(void **state)
{
	(void)state;
	struct conf *c = conf_with_facts();

	assert_int_equal(conf_put(c, "Site", "", "Nome", "x", CONF_FROM_FILE, NULL), -ENOENT);
	assert_int_equal(conf_put(c, "Sight", "", "Name", "x", CONF_FROM_FILE, NULL), -ENOENT);
	assert_int_equal(conf_put(c, "Site", "arg", "Name", "x", CONF_FROM_FILE, NULL), -ENOENT);
	assert_int_equal(conf_put(c, "Site", "", "Name", "x", CONF_FROM_END, NULL), -ENOENT);
	conf_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_at_its_bounds),
		cmocka_unit_test(every_example),
		cmocka_unit_test(canonical_again),
		cmocka_unit_test(precedence),
		cmocka_unit_test(no_such_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
