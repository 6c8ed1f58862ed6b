/* app.c: the C app of bench/run: the static row's file for each request, from memory. */
#include <errno.h>
#include <stead.h>
#include <stdio.h>

int main(void)
{
	static char body[1024];
	FILE *f = fopen("1k.txt", "re");
	struct stead *s;
	struct stead_req *r;
	int err;

	if (!f || fread(body, sizeof(body), 1, f) != 1 || stead_open(&s, 0, 0) < 0)
		return 1;
	while ((err = stead_next(s, &r)) == 0 || err == -EINTR) {
		if (err)
			continue;
		stead_header(r, "Content-Type", "text/plain");
		stead_send(r, body, sizeof(body));
		stead_done(r);
	}
	return 0;
}
