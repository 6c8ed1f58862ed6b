/*
 * net.c: networks, URLs, servers (RFC 4632, RFC 3986).
 *
 * Called by value.c and, for their parts, by route.c. Owns nothing; looks no name up.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "conf_priv.h"
#include "lib/must.h"

static bool digits(const char *p, unsigned max, unsigned *ret)
{
	unsigned v = 0;

	if (*p == '\0' || strlen(p) > 5)
		return false;
	for (; *p != '\0'; p++) {
		if (*p < '0' || *p > '9')
			return false;
		v = v * 10 + (unsigned)(*p - '0');
	}
	*ret = v;
	return v <= max;
}

/* An address as 16 bytes; false: it is a name or nothing. */
static bool address(const char *text, unsigned char ret[16], bool *ret_four)
{
	memset(ret, 0, 16);
	*ret_four = inet_pton(AF_INET, text, ret + 12) == 1;
	if (*ret_four) {
		ret[10] = ret[11] = 0xff;
		return true;
	}
	memset(ret, 0, 16);
	return inet_pton(AF_INET6, text, ret) == 1;
}

/* Bits behind the prefix: the network that was meant. */
static bool clear_host_bits(struct conf_cidr *net)
{
	bool clear = true;

	for (unsigned i = net->bits; i < 128; i++) {
		unsigned char bit = (unsigned char)(0x80 >> i % 8);

		if (net->address[i / 8] & bit)
			clear = false;
		net->address[i / 8] &= (unsigned char)~bit;
	}
	return clear;
}

bool conf_parse_cidr(const char *text, struct conf_cidr *ret, struct buf *why, struct buf *todo)
{
	const char *slash = strchr(text, '/');
	size_t n = slash != NULL ? (size_t)(slash - text) : strlen(text);
	char host[64], meant[INET6_ADDRSTRLEN];
	unsigned bits = 0;
	bool four;

	if (n >= sizeof(host)) {
		buf_puts(why, "it is too long for a network");
		return false;
	}
	memcpy(host, text, n);
	host[n] = '\0';
	if (!address(host, ret->address, &four) ||
		(slash != NULL && !digits(slash + 1, four ? 32 : 128, &bits))) {
		buf_printf(why, "\"%.60s\" is not a network", text);
		buf_puts(todo, "write an address, or ADDR/BITS like 10.0.0.0/8 or 2001:db8::/32");
		return false;
	}
	ret->bits = slash == NULL ? 128 : four ? bits + 96 : bits;
	if (clear_host_bits(ret))
		return true;
	inet_ntop(four ? AF_INET : AF_INET6, four ? ret->address + 12 : ret->address, meant,
		sizeof(meant));
	buf_printf(why, "%.60s has bits behind its prefix", text);
	buf_printf(todo, "the network is %s/%u; one address is written without /", meant, bits);
	return false;
}

int conf_network(const char *text, struct conf_cidr *ret)
{
	char mem[2][256];
	struct buf why, todo;

	buf_fixed(&why, mem[0], sizeof(mem[0]));
	buf_fixed(&todo, mem[1], sizeof(mem[1]));
	return conf_parse_cidr(text, ret, &why, &todo) ? 0 : -EINVAL;
}

static bool is_host(const char *p, size_t n)
{
	if (n == 0 || n > 253 || p[0] == '-' || p[0] == '.')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z') ||
			    (p[i] >= '0' && p[i] <= '9') || p[i] == '-' || p[i] == '.' ||
			    p[i] == '_'))
			return false;
	return true;
}

/* HOST[:PORT], [ADDR6]:PORT. */
static bool parse_authority(struct conf *c, const char *p, size_t n, unsigned port,
	struct conf_server *ret, struct buf *why)
{
	char text[300], *host = text, *colon;
	bool four;

	if (n >= sizeof(text)) {
		buf_puts(why, "the host is too long");
		return false;
	}
	memcpy(text, p, n);
	text[n] = '\0';
	colon = strrchr(text, ':');
	if (text[0] == '[') {
		char *close = strchr(text, ']');

		if (close == NULL || (close[1] != '\0' && close[1] != ':')) {
			buf_printf(why, "\"%.60s\" is not a host", text);
			return false;
		}
		colon = close[1] == ':' ? close + 1 : NULL;
		host++;
		*close = '\0';
	}
	if (colon != NULL) {
		*colon = '\0';
		if (!digits(colon + 1, 65535, &port))
			port = 0;
	}
	ret->port = port;
	ret->kind = address(host, ret->address, &four) ? CONF_SERVER_ADDRESS : CONF_SERVER_NAME;
	if (port == 0)
		buf_puts(why, "the port is missing, or not between 1 and 65535");
	else if (ret->kind == CONF_SERVER_NAME && !is_host(host, strlen(host)))
		buf_printf(why, "\"%.60s\" is not a host", host);
	ret->name = conf_strndup(c, host, strlen(host));
	return why->len == 0 && ret->name != NULL;
}

bool conf_parse_url(struct conf *c, const char *text, struct conf_server *ret,
	const char **ret_path, struct buf *why)
{
	const char *host;
	size_t n;

	*ret = (struct conf_server){.weight = 1};
	ret->tls = strncmp(text, "https://", 8) == 0;
	if (!ret->tls && strncmp(text, "http://", 7) != 0) {
		buf_printf(why, "\"%.60s\" does not begin with http:// or https://", text);
		return false;
	}
	host = text + (ret->tls ? 8 : 7);
	n = strcspn(host, "/");
	if (strpbrk(host, "@?# \t") != NULL) {
		buf_puts(why, "a URL here has neither user, query, fragment nor blank");
		return false;
	}
	*ret_path = conf_strndup(c, host + n, strlen(host + n));
	return *ret_path != NULL && parse_authority(c, host, n, ret->tls ? 443 : 80, ret, why);
}

/* Of [Upstream]: URL, unix:PATH or HOST:PORT, then weight=N. */
bool conf_parse_server(struct conf *c, const char *text, struct conf_server *ret, struct buf *why)
{
	size_t n = strcspn(text, " \t");
	const char *rest = text + n + strspn(text + n, " \t"), *path = "";
	char *first = conf_strndup(c, text, n);
	unsigned weight = 1;

	if (first == NULL)
		return false;
	if (strncmp(first, "unix:", 5) == 0) {
		*ret = (struct conf_server){.kind = CONF_SERVER_UNIX, .name = first + 5};
		if (first[5] == '\0' || strlen(first + 5) > 100)
			buf_puts(why, "a socket's path has 1 to 100 bytes");
	} else if (strstr(first, "://") != NULL) {
		(void)conf_parse_url(c, first, ret, &path, why);
	} else {
		*ret = (struct conf_server){0};
		(void)parse_authority(c, first, n, 0, ret, why);
	}
	if (why->len == 0 && path[0] != '\0' && strcmp(path, "/") != 0)
		buf_puts(why, "a server has no path; [Route] has StripPrefix= and Rewrite=");
	if (why->len == 0 && rest[0] != '\0' &&
		(strncmp(rest, "weight=", 7) != 0 || !digits(rest + 7, 1000, &weight) ||
			weight == 0))
		buf_printf(why, "\"%.40s\" is not weight=N with N from 1 to 1000", rest);
	ret->weight = weight;
	return why->len == 0 && !c->no_memory;
}

static int check_to(struct conf *c, const char *text, struct buf *why, struct buf *todo)
{
	struct conf_server server;
	const char *path;

	if (strstr(text, "://") == NULL) {
		if (conf_token(text, strlen(text)) && strlen(text) <= 27)
			return 0;
		buf_printf(why,
			"\"%.60s\" is neither app, static, the name of an [Upstream] nor a URL",
			text);
		return -EINVAL;
	}
	if (conf_parse_url(c, text, &server, &path, why) &&
		(path[0] == '\0' || strcmp(path, "/") == 0))
		return 0;
	if (why->len == 0) {
		buf_puts(why, "the URL of a server has no path here");
		buf_puts(todo, "use StripPrefix= or Rewrite= to change paths");
	}
	return -EINVAL;
}

int conf_net_check(struct conf *c, const struct conf_row *row, const char *text,
	struct conf_value *v, struct buf *why, struct buf *todo)
{
	struct conf_server server;
	struct conf_cidr net;
	const char *path;
	bool good;

	switch ((enum conf_type)row->type) {
	case CONF_TYPE_TRUSTED:
		v->number = strcmp(text, "cloudflare") == 0;
		if (v->number)
			return 0;
		good = conf_parse_cidr(text, &net, why, todo);
		break;
	case CONF_TYPE_CIDR:
		good = conf_parse_cidr(text, &net, why, todo);
		break;
	case CONF_TYPE_URL:
		good = strlen(text) <= row->max && conf_parse_url(c, text, &server, &path, why);
		if (strlen(text) > row->max)
			buf_puts(why, "it is too long");
		break;
	case CONF_TYPE_TO:
		return check_to(c, text, why, todo);
	default:
		good = conf_parse_server(c, text, &server, why);
		if (!good)
			buf_puts(todo, "write a URL, HOST:PORT or unix:PATH, and perhaps weight=N");
	}
	return good ? 0 : c->no_memory ? -ENOMEM : -EINVAL;
}
