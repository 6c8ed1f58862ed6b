/*
 * cloudflare.c: what `cloudflare` stands for in TrustedProxies=: that CDN's published networks.
 *
 * Called by sites.c. STATE/cloudflare.txt, one network a line, comes before the list here, so that
 * a user need not wait for a release when they change. Owns nothing.
 */
#include "sites.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/sys.h"

/* https://www.cloudflare.com/ips-v4 and ips-v6, as published since 2021. */
static const char published[] =
	"173.245.48.0/20\n103.21.244.0/22\n103.22.200.0/22\n103.31.4.0/22\n141.101.64.0/18\n"
	"108.162.192.0/18\n190.93.240.0/20\n188.114.96.0/20\n197.234.240.0/22\n198.41.128.0/17\n"
	"162.158.0.0/15\n104.16.0.0/13\n104.24.0.0/14\n172.64.0.0/13\n131.0.72.0/22\n"
	"2400:cb00::/32\n2606:4700::/32\n2803:f800::/32\n2405:b500::/32\n2405:8100::/32\n"
	"2a06:98c0::/29\n2c0f:f248::/32\n";

static unsigned parse(const char *text, struct conf_cidr *ret, unsigned max)
{
	unsigned n = 0;

	while (*text && n < max) {
		size_t len = strcspn(text, "\r\n");
		char line[80];

		if (len > 0 && len < sizeof line && *text != '#') {
			memcpy(line, text, len);
			line[len] = 0;
			n += conf_network(line, &ret[n]) == 0;
		}
		text += len;
		text += strspn(text, "\r\n");
	}
	return n;
}

unsigned cloudflare_networks(struct ctl *c, struct conf_cidr *ret, unsigned max)
{
	char *text = NULL;
	unsigned n = 0;
	size_t bytes;

	if (sys_read_file(c->state_fd, "cloudflare.txt", 64 * 1024, &text, &bytes) == 0)
		n = parse(text, ret, max);
	free(text);
	return n ? n : parse(published, ret, max);
}
