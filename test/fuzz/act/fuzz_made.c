/*
 * fuzz_made.c: the list of folders that ctl gives act to count files in, as bytes. act is root, and ctl is not believed: a list that is
 * cut or has names that no app has is refused whole, and what is counted lies on the file system of the state alone.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "act.h"
#include "lib/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char state[64];

static void remove_state(void)
{
	char path[128];

	(void)snprintf(path, sizeof path, "%s/apps", state);
	(void)rmdir(path);
	(void)rmdir(state);
}

/* In memory, where nothing else lies: then none of the machine's own folders is looked through. */
static const char *state_folder(void)
{
	char path[128];

	if (*state)
		return state;
	(void)snprintf(state, sizeof state, "%s/stead-fuzz-made-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	must(mkdtemp(state) != NULL);
	(void)snprintf(path, sizeof path, "%s/apps", state);
	must(mkdir(path, 0755) == 0);
	must(atexit(remove_state) == 0);
	return state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct failure f = {0};
	struct act_ctx ctx = {.f = &f, .state_root = state_folder()};
	struct unpack whole;
	bool good = true;
	int r;

	unpack_init(&ctx.more, data, size);
	whole = ctx.more;
	while (good && whole.p < whole.end) {
		const char *name = unpack_str(&whole);
		uint32_t uid = unpack_u32(&whole);

		(void)unpack_str(&whole);
		good = !whole.bad && *name && strlen(name) <= ACT_MADE_NAME_MAX && uid != UINT32_MAX;
	}
	r = act_inodes_made(&ctx, ctx.state_root, "0", "0", "1");
	must(good ? r == 0 : r < 0);
	return 0;
}
