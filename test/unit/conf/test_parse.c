/*
 * test_parse.c: the syntax of a unit file, rule by rule, with the place of each finding; and files
 * of variables.
 */
#include "cm.h"

struct row {
	const char *in;
	enum conf_key key;
	const char *values;   /* joined by | */
	const char *findings; /* LINE:COL:LEVEL, blank-separated */
};

static const char *places(const struct conf *c, char *mem, size_t cap)
{
	size_t n = 0;

	mem[0] = '\0';
	for (const struct conf_finding *f = conf_findings(c); f != NULL && n < cap; f = f->next)
		n += (size_t)snprintf(mem + n, cap - n, "%s%u:%u:%u", n > 0 ? " " : "", f->pos.line,
			f->pos.col, f->level);
	return mem;
}

#define ENV CONF_SERVICE_ENVIRONMENT
static const struct row rows[] = {
	/* comments, blank lines, blanks */
	{"# a\n; b\n\n  \t\n[Site]\n  # c\n  Name = shop \t\n", CONF_SITE_NAME, "shop", ""},
	{"\xef\xbb\xbf[Site]\nName=a\n", CONF_SITE_NAME, "a", ""},
	{"[Site]\r\nName=a\r\n", CONF_SITE_NAME, "a", ""},
	{"[Site]\nName=a", CONF_SITE_NAME, "a", ""},
	{"[Site]\nRoot=a # b\n", CONF_SITE_ROOT, "a # b", ""},
	/* sections */
	{" [ Site ] \nName=a\n", CONF_SITE_NAME, "a", ""},
	{"Name=a\nName=b\n", CONF_SITE_NAME, "", "1:1:0"},
	{"[Site\nName=a\n", CONF_SITE_NAME, "", "1:6:0"},
	{"[Site] x\nName=a\n", CONF_SITE_NAME, "", "1:9:0"},
	{"[]\nName=a\n", CONF_SITE_NAME, "", "1:2:0"},
	{"[\nName=a\n", CONF_SITE_NAME, "", "1:2:0"},
	{"[Site x]\nName=a\n", CONF_SITE_NAME, "", "1:2:0"},
	{"[site]\nName=a\n", CONF_SITE_NAME, "", "1:2:0"},
	{"[Build]\nRoot=x\nNonsense\n", CONF_SITE_NAME, "", "1:2:0 3:1:0"},
	{"[X-Mine]\nA=1\n[Site]\nX-Mine=1\nName=a\n", CONF_SITE_NAME, "a", ""},
	{"[Site]\nName=a\n[Site]\nQueue=2\n", CONF_SITE_QUEUE, "2", ""},
	/* assignments */
	{"[Site]\nName\n", CONF_SITE_NAME, "", "2:1:0"},
	{"[Site]\n=a\n", CONF_SITE_NAME, "", "2:1:0"},
	{"[Site]\n  Nope=a\n", CONF_SITE_NAME, "", "2:3:0"},
	{"[Postgres]\nCluster=1\n", CONF_SITE_NAME, "", "2:1:0"},
	{"[Unit]\nNope=a\nDescription=x\n", CONF_SITE_NAME, "", "2:1:1"},
	{"[Service]\nNope=a\nSlice=x\n[Install]\nZzz=1\n", CONF_SITE_NAME, "", "2:1:1 3:1:2 5:1:1"},
	{"[Site]\nQueue=1\nQueue=2\n", CONF_SITE_QUEUE, "2", "3:1:1"},
	{"[Site]\nQueue=1\nQueue=\n", CONF_SITE_QUEUE, "", ""},
	{"[Site]\nQueue=1\nQueue=\nQueue=3\n", CONF_SITE_QUEUE, "3", ""},
	{"[Site]\nHealth=/a=b\n", CONF_SITE_HEALTH, "/a=b", ""},
	/* lists */
	{"[Site]\nDomain=203.0.113.7 [2001:DB8:0::7]\n", CONF_SITE_DOMAIN, "203.0.113.7|[2001:db8::7]", ""},
	{"[Site]\nDomain=2001:db8::7\n", CONF_SITE_DOMAIN, "", "2:8:0"},
	{"[Site]\nDomain=a.b [203.0.113.7]\n", CONF_SITE_DOMAIN, "a.b", "2:12:0"},
	{"[Site]\nDomain=a.b 203.0.113.300\n", CONF_SITE_DOMAIN, "a.b", "2:12:0"},
	{"[Site]\nDomain=a.b c.d\nDomain=e.f\n", CONF_SITE_DOMAIN, "a.b|c.d|e.f", ""},
	{"[Site]\nDomain=a.b c.d\nDomain=\nDomain=e.f\n", CONF_SITE_DOMAIN, "e.f", ""},
	{"[Site]\nStatic=\n", CONF_SITE_STATIC, "", ""},
	{"[Site]\nStatic=/a b\nStatic=/c \"d e\"\n", CONF_SITE_STATIC, "/a b|/c d e", ""},
	{"[Site]\nStatic=/a b c\n", CONF_SITE_STATIC, "", "2:13:0"},
	{"[Site]\nDomain=a.b  x_y c.d\n", CONF_SITE_DOMAIN, "a.b|c.d", "2:13:0"},
	{"[Server]\nListen=:1\nListen=\n", CONF_SERVER_LISTEN, "", ""},
	/* continuation lines */
	{"[Site]\nDomain=a.b \\\n  c.d \\\n# no\n  ; no\n\te.f\nName=x\n", CONF_SITE_DOMAIN,
		"a.b|c.d|e.f", ""},
	{"[Site]\nDomain=a.b\\\nc.d\n", CONF_SITE_DOMAIN, "a.b|c.d", ""},
	{"[Site]\nDomain=a.b \\\n", CONF_SITE_DOMAIN, "a.b", ""},
	{"[Site]\nDomain=\\\n\\\n\\\na.b\n", CONF_SITE_DOMAIN, "a.b", ""},
	{"[Site]\nDomain=a.b \\\n  c.d \\\n e_f\n", CONF_SITE_DOMAIN, "a.b|c.d", "4:2:0"},
	{"[Site]\nNope=a\\\nb\nName=x\n", CONF_SITE_NAME, "x", "2:1:0"},
	{"[Site]\nNope \\\nName=y\nName=x\n", CONF_SITE_NAME, "x", "2:1:0"},
	{"# a \\\n[Site]\nName=x\n", CONF_SITE_NAME, "x", ""},
	/* quoting */
	{"[Service]\nEnvironment=A=1 \"B=2 3\" 'C=4 5' D=\"6 7\"\n", ENV, "A=1|B=2 3|C=4 5|D=6 7",
		""},
	{"[Service]\nEnvironment=\"A=\\\"x\\\"\" B='\\'' C=\\x41\\102\\u00e4\\s.\n", ENV,
		"A=\"x\"|B='|C=AB\xc3\xa4 .", ""},
	{"[Service]\nEnvironment=\"A=1\n", ENV, "", "2:13:0"},
	{"[Service]\nEnvironment=B=1 A='1\n", ENV, "B=1", "2:19:0"},
	{"[Service]\nEnvironment=A=\\q\n", ENV, "", "2:15:0"},
	{"[Service]\nEnvironment=A=\\x0\n", ENV, "", "2:15:0"},
	{"[Service]\nEnvironment=A=\\x00\n", ENV, "", "2:15:0"},
	{"[Service]\nEnvironment=A=\\ud800\n", ENV, "", "2:15:0"},
	{"[Service]\nEnvironment=A=1 B C=2\n", ENV, "A=1|C=2", "2:17:0"},
	{"[Service]\nEnvironment=A=1\nEnvironment=\nEnvironment=B=2\n", ENV, "B=2", ""},
	{"[Service]\nEnvironment=A=1 A=2\n", ENV, "A=2", ""},
	/* specifiers */
	{"[Service]\nEnvironment=A=%n%%%N B=%h C=%u:%U:%g:%G D=%H E=%S F=%t G=%T%V I=x%i.\n", ENV,
		"A=shop.service%shop|B=/home/ann|C=ann:1000:staff:100|D=box|E=/srv/shop/.stead|F=/"
		"run/x|"
		"G=/tmp/var/tmp|I=x.",
		""},
	{"[Service]\nEnvironment=A=%n\n[Site]\nName=x\n", ENV, "A=x.service", ""},
	{"[Service]\nEnvironment=A=%q\n", ENV, "", "2:15:0"},
	{"[Service]\nEnvironment=A=1%\n", ENV, "", "2:16:0"},
	{"[Site]\nHealth=/%41\n", CONF_SITE_HEALTH, "/%41", ""},
	{"[Service]\nWorkingDirectory=~\n", CONF_SERVICE_WORKING_DIRECTORY, "/home/ann", ""},
	{"[Service]\nWorkingDirectory=-/srv\n", CONF_SERVICE_WORKING_DIRECTORY, "-/srv", ""},
	{"[Service]\nWorkingDirectory=-~\n", CONF_SERVICE_WORKING_DIRECTORY, "-/home/ann", ""},
	{"[Service]\nExecStartPre=-/bin/a b ; /bin/c \\; \"d ;\"\nExecStartPre=:/bin/e\n",
		CONF_SERVICE_EXEC_START_PRE, "-/bin/a b|/bin/c \";\" \"d ;\"|:/bin/e", ""},
	{"[Service]\nExecStartPre=/bin/a ;\n", CONF_SERVICE_EXEC_START_PRE, "/bin/a", ""},
	{"[Service]\nExecStartPre=; /bin/a\n", CONF_SERVICE_EXEC_START_PRE, "", "2:14:0"},
	{"[Service]\nExecStartPre=/bin/a\nExecStartPre=\nExecStartPre=/bin/b\n",
		CONF_SERVICE_EXEC_START_PRE, "/bin/b", ""},
	{"[Service]\nExecStop=!/bin/a\n", CONF_SERVICE_EXEC_STOP, "", "2:10:0"},
	{"[Service]\nSuccessExitStatus=TEMPFAIL 250 SIGKILL KILL 256\n",
		CONF_SERVICE_SUCCESS_EXIT_STATUS, "TEMPFAIL|250|SIGKILL|KILL", "2:45:0"},
	{"[Service]\nUnsetEnvironment=A B=1 C-\n", CONF_SERVICE_UNSET_ENVIRONMENT, "A|B=1", "2:24:0"},
	{"[Service]\nPassEnvironment=A B=1\n", CONF_SERVICE_PASS_ENVIRONMENT, "A", "2:19:0"},
	{"[Service]\nEnvironmentFile=-/a b\nEnvironmentFile=c\n", CONF_SERVICE_ENVIRONMENT_FILE,
		"-/a b|c", ""},
	/* text */
	{"[Site]\nRoot=\xc3\xa4\n", CONF_SITE_ROOT, "\xc3\xa4", ""},
	{"[Site]\nRoot=a\xff\n", CONF_SITE_ROOT, "", "2:7:0"},
	{"[Site]\nRoot=\xc0\xaf\n", CONF_SITE_ROOT, "", "2:6:0"},
	{"[Site]\nRoot=\xed\xa0\x80\n", CONF_SITE_ROOT, "", "2:6:0"},
	{"[Site]\nRoot=\xf4\x90\x80\x80\n", CONF_SITE_ROOT, "", "2:6:0"},
	{"[Site]\nRoot=a\rb\n", CONF_SITE_ROOT, "", "2:7:0"},
	{"", CONF_SITE_NAME, "", ""},
};

static void each_rule(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct conf *c = conf_with_facts();
		char values[1024], found[256];
		/* An exact copy, so that a sanitizer sees a read behind its end. */
		size_t n = strlen(rows[i].in);
		char *text = malloc(n + (n == 0));

		assert_non_null(text);
		memcpy(text, rows[i].in, n);
		(void)conf_read(c, "f", text, n);
		free(text);
		joined(c, rows[i].key, values, sizeof(values));
		places(c, found, sizeof(found));
		if (strcmp(values, rows[i].values) != 0 || strcmp(found, rows[i].findings) != 0)
			print_error("row %u:\n%s", i, rows[i].in);
		assert_string_equal(values, rows[i].values);
		assert_string_equal(found, rows[i].findings);
		conf_free(c);
	}
}

static void nul_byte(void **state)
{
	(void)state;
	struct conf *c = conf_with_facts();

	assert_int_equal(conf_read(c, "f", "[Site]\nName=a\0b\n", 16), -EINVAL);
	assert_int_equal(conf_findings(c)->pos.line, 2);
	assert_int_equal(conf_findings(c)->pos.col, 7);
	assert_null(conf_findings(c)->next);
	conf_free(c);
}

static void bounds(void **state)
{
	(void)state;
	enum { BIG = 300 * 1024 };
	char *text = malloc(BIG);
	struct conf *c = conf_with_facts();
	unsigned n = 0;

	assert_non_null(text);
	memset(text, '\n', BIG);
	assert_int_equal(conf_read(c, "f", text, BIG), -EINVAL);
	assert_non_null(strstr(conf_findings(c)->text, "larger"));
	conf_free(c);
	/* a value of 40 KB */
	c = conf_with_facts();
	memset(text, 'a', 40 * 1024);
	memcpy(text, "[Site]\nRoot=", 12);
	assert_int_equal(conf_read(c, "f", text, 40 * 1024), -EINVAL);
	conf_free(c);
	/* thousands of mistakes: the first hundred are shown */
	c = conf_with_facts();
	memcpy(text, "[Site]\n", 7);
	for (unsigned i = 7; i + 2 < 20000; i += 2)
		memcpy(text + i, "x\n", 2);
	assert_int_equal(conf_read(c, "f", text, 20000), -EINVAL);
	for (const struct conf_finding *f = conf_findings(c); f != NULL; f = f->next)
		n++;
	assert_int_equal(n, 101);
	assert_true(conf_errors(c) > 9000);
	conf_free(c);
	free(text);
}

static void suggestions(void **state)
{
	(void)state;
	static const struct {
		const char *in, *todo;
	} all[] = {{"[Site]\nDomian=x", "did you mean Domain=?"},
		{"[Site]\ndomain=x", "did you mean Domain=?"},
		{"[Python]\nQueue=3", "Queue= belongs into [Site]"},
		{"[Service]\nEnviroment=A=1", "did you mean Environment=?"},
		{"[Sit]\n", "did you mean [Site]?"}, {"[postgres]\n", "did you mean [Postgres]?"},
		{"[Site]\nZebra=1", ""}, {"[Postgres]\nEnabled=yas", "did you mean yes?"},
		{"[Site]\nAccessLog=combine", "did you mean combined?"},
		{"[Site]\nAccessLog=$remote_adr $status", "did you mean $remote_addr?"},
		{"[Server]\nListn=:80", "did you mean Listen=?"}};

	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		struct conf *c = conf_with_facts();

		(void)conf_read(c, "f", all[i].in, strlen(all[i].in));
		assert_non_null(conf_findings(c));
		assert_string_equal(conf_findings(c)->todo, all[i].todo);
		conf_free(c);
	}
}

/* Each finding that is shown has its guess; beyond them nothing is guessed, and the errors are counted on. */
static void suggestions_are_bounded(void **state)
{
	enum { LINES = 300, SHOWN = 100 };
	static char text[LINES * 16];
	struct conf *c = conf_with_facts();
	unsigned guessed = 0;

	(void)state;
	memcpy(text, "[Site]\n", 8);
	for (unsigned i = 0; i < LINES; i++)
		memcpy(text + 7 + 9 * i, "Domian=x\n", 10);
	assert_int_equal(conf_read(c, "f", text, strlen(text)), -EINVAL);
	for (const struct conf_finding *f = conf_findings(c); f != NULL; f = f->next)
		guessed += strcmp(f->todo, "did you mean Domain=?") == 0;
	assert_int_equal(guessed, SHOWN);
	assert_int_equal(conf_errors(c), LINES);
	conf_free(c);
}

static void env_files(void **state)
{
	(void)state;
	static const struct row all[] = {
		{"A=1\n# c\n; d\n\n  B = 2 3  \nC=\n", ENV, "A=1|B=2 3|C=", ""},
		{"A='x y' \nB=\"x\\\"y\\n\\$\"\nC='a\nb'\nD=1\n", ENV,
			"A=x y|B=x\"y\\n$|C=a\nb|D=1", ""},
		{"A=a\\ b\\\nc\nB=\"x\\\ny\"\n", ENV, "A=a bc|B=xy", ""},
		{"export A=1\r\nB=2\r\n", ENV, "A=1|B=2", ""},
		{"A=%n\n", ENV, "A=%n", ""},
		{"A=x # y\n", ENV, "A=x # y", ""},
		{"A=\"  \"\n", ENV, "A=  ", ""},
		{"nonsense\nA=1\n", ENV, "A=1", "1:1:0"},
		{"A-B=1\n", ENV, "", "1:1:0"},
		{"A=\"x\nB=1\n", ENV, "A=x\nB=1\n", "1:1:0"},
		{"=1\n", ENV, "", "1:1:0"},
		{"A=1", ENV, "A=1", ""},
		{"A=1\\", ENV, "A=1", ""},
		/* Quotes count at the value's beginning; what follows them there is joined. */
		{"A=x\"y\"\nB=\"x\" 'y' z\"\n", ENV, "A=x\"y\"|B=xyz\"", ""},
		{"A=x\\ \nB= x  \n", ENV, "A=x |B=x", ""},
		{"# a\\\nA=1\n;b\nB=\n", ENV, "A=1|B=", ""},
		{"A=\xff\n", ENV, "", "1:1:0"},
	};

	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		struct conf *c = conf_with_facts();
		char values[256], found[64];
		size_t n = strlen(all[i].in);
		char *text = malloc(n);

		assert_non_null(text);
		memcpy(text, all[i].in, n);
		(void)conf_read_env(c, "e", text, n);
		free(text);
		if (strcmp(joined(c, ENV, values, sizeof(values)), all[i].values) != 0)
			print_error("row %u\n", i);
		assert_string_equal(values, all[i].values);
		assert_string_equal(places(c, found, sizeof(found)), all[i].findings);
		conf_free(c);
	}
}

static void places_of_values(void **state)
{
	(void)state;
	static const char text[] = "[Site]\n Domain = a.b \\\n\t\tc.d\n";
	struct conf *c = conf_with_facts();
	const struct conf_value *v;

	assert_int_equal(conf_read(c, "stead.conf", text, strlen(text)), 0);
	v = conf_get(c, CONF_SITE_DOMAIN);
	assert_int_equal(v->pos.line, 2);
	assert_int_equal(v->pos.col, 11);
	assert_string_equal(v->pos.file, "stead.conf");
	assert_int_equal(v->next->pos.line, 3);
	assert_int_equal(v->next->pos.col, 3);
	conf_free(c);
}

enum { MANY_BYTES = 200000 };

static size_t end_of(const char *text, const char *at)
{
	return (size_t)(text + MANY_BYTES - at);
}

/* A value with more lines than places are kept for is whole; a file with more lines than may be is told once. */
static void many_lines(void **state)
{
	struct conf *c = conf_with_facts();
	char mem[4096], *text = malloc(MANY_BYTES), *p = text;

	(void)state;
	assert_non_null(text);
	p += snprintf(p, end_of(text, p), "[Service]\nEnvironment=");
	for (unsigned i = 0; i < 100; i++)
		p += snprintf(p, end_of(text, p), "A%u=1%s", i, i < 99 ? " \\\n" : "\n");
	assert_int_equal(conf_read(c, "f", text, strlen(text)), 0);
	assert_int_equal(conf_finish(c), 0);
	(void)joined(c, CONF_SERVICE_ENVIRONMENT, mem, sizeof(mem));
	assert_non_null(strstr(mem, "A0=1|A1=1"));
	assert_non_null(strstr(mem, "A98=1|A99=1"));
	conf_free(c);
	c = conf_with_facts();
	p = text + snprintf(text, end_of(text, text), "[X-Mine]\nA=1\n[Service]\n");
	for (unsigned i = 0; i < 4096 + 3; i++)
		p += snprintf(p, end_of(text, p), "Environment=A%u=1\n", i % 100);
	assert_int_equal(conf_read(c, "f", text, strlen(text)), -EINVAL);
	assert_int_equal(conf_errors(c), 1);
	assert_non_null(strstr(conf_findings(c)->text, "more than 4096 lines"));
	assert_int_equal(conf_findings(c)->pos.line, 4096 + 4);
	conf_free(c);
	free(text);
}

static void twice(void **state)
{
	(void)state;
	static const char *const all[] = {"[Site]\nDomain=a.b A.B\n",
		"[Site]\nStatic=/a b\nStatic=/a c\n", "[Site]\nErrorPage=404 a\nErrorPage=404 b\n",
		"[Server]\nListen=:80 0.0.0.0:80\n"};

	for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
		struct conf *c = conf_with_facts();

		assert_int_equal(conf_read(c, "f", all[i], strlen(all[i])), 0);
		assert_int_equal(conf_finish(c), -EINVAL);
		assert_non_null(strstr(conf_findings(c)->text, "twice"));
		conf_free(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_rule),
		cmocka_unit_test(nul_byte),
		cmocka_unit_test(bounds),
		cmocka_unit_test(suggestions),
		cmocka_unit_test(suggestions_are_bounded),
		cmocka_unit_test(env_files),
		cmocka_unit_test(places_of_values),
		cmocka_unit_test(many_lines),
		cmocka_unit_test(twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
