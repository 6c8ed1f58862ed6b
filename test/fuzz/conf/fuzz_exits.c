/*
 * fuzz_exits.c: a list of exit codes and signals (SuccessExitStatus=, RestartPreventExitStatus= and their like), a word for each
 * line, as check takes it and as ctl reads it again: what was taken sets one bit, what was refused sets none and says why.
 */
#include "fuzz.h"

#include "conf/conf_priv.h"

static unsigned bits_of(const struct service_exits *e)
{
	unsigned n = (unsigned)__builtin_popcountll(e->signal);

	for (size_t i = 0; i < sizeof e->code / sizeof e->code[0]; i++)
		n += (unsigned)__builtin_popcountll(e->code[i]);
	return n;
}

static void word(struct service_exits *all, const char *text)
{
	struct conf_value v = {0};
	struct service_exits one = {0};
	struct buf why, todo;
	int sig = conf_signal_of(text), good;

	buf_init(&why, 1024);
	buf_init(&todo, 1024);
	good = conf_end_check(&conf_rows[CONF_SERVICE_SUCCESS_EXIT_STATUS], text, &v, &why, &todo);
	conf_exits_add(&one, text);
	conf_exits_add(all, text);
	must((good == 0) == (why.len == 0) && (good == 0) == (todo.len == 0));
	must(bits_of(&one) == (good == 0));
	if (one.signal)
		must(sig > 0 && sig <= 64 && one.signal == 1ULL << (sig - 1));
	must(bits_of(all) >= bits_of(&one));
	buf_done(&why);
	buf_done(&todo);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct service_exits all = {0};
	char *text = malloc(n + 1), *at = text, *line;

	must(text);
	memcpy(text, data, n);
	text[n] = '\0';
	while ((line = strsep(&at, "\n")) != NULL)
		word(&all, line);
	free(text);
	return 0;
}
