/*
 * firewall_tables.c: what `iptables -S` prints (iptables(8), iptables-extensions(8)), judged for a probe. Pure.
 *
 * A word that is not known makes the rule a "maybe": it then decides nothing.
 */
#include "firewall.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 96 };

/* Cuts a line into words in place; one in quotes is one word. How many; 0 when there are too many. */
static unsigned cut(char *line, char *word[WORDS_MAX])
{
	unsigned n = 0;
	char *to;

	while (*line) {
		bool quoted = false;

		while (*line == ' ')
			line++;
		if (!*line)
			break;
		if (n == WORDS_MAX)
			return 0;
		word[n++] = to = line;
		for (; *line && (quoted || *line != ' '); line++) {
			if (*line == '"')
				quoted = !quoted;
			else if (*line == '\\' && quoted && line[1])
				*to++ = *++line;
			else
				*to++ = *line;
		}
		if (*line)
			line++;
		*to = '\0';
	}
	return n;
}

/* A list of ports and a:b. */
static bool port_in(const char *list, uint16_t port)
{
	while (*list) {
		char *end;
		unsigned long low = strtoul(list, &end, 10), high = low;

		if (end == list)
			return false;
		if (*end == ':') {
			list = end + 1;
			high = strtoul(list, &end, 10);
			if (end == list)
				high = 65535;
		}
		if (port >= low && port <= high)
			return true;
		if (*end != ',')
			return false;
		list = end + 1;
	}
	return false;
}

static bool word_in(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
		if (strncasecmp(at, word, n) == 0 && (at[n] == ',' || !at[n]))
			return true;
	return false;
}

static enum fw_match is(bool yes, bool not)
{
	return yes != not ? FW_YES : FW_NO;
}

static enum fw_match interface(const struct fw_probe *p, const char *name, bool not)
{
	size_t n = strlen(name);
	bool begins = n && name[n - 1] == '+';

	if (strcmp(name, "lo") == 0)
		return is(false, not);
	if (!*p->iface)
		return FW_MAYBE;
	return is(begins ? strncmp(p->iface, name, n - 1) == 0 : strcmp(p->iface, name) == 0, not);
}

/* One option with its value. */
static enum fw_match judge(const struct fw_probe *p, struct fw_rule *r, const char *option, const char *value, bool not)
{
	if (strcmp(option, "-p") == 0)
		return is(strcmp(value, "tcp") == 0 || strcmp(value, "6") == 0 || strcmp(value, "all") == 0, not);
	if (strcmp(option, "-i") == 0)
		return interface(p, value, not);
	if (strcmp(option, "--dport") == 0 || strcmp(option, "--dports") == 0) {
		bool in = port_in(value, p->port);

		r->names_port = r->names_port || (in && !not);
		return is(in, not);
	}
	if (strcmp(option, "--ctstate") == 0 || strcmp(option, "--state") == 0)
		return is(word_in(value, "NEW"), not);
	if (strcmp(option, "--dst-type") == 0)
		return is(word_in(value, "LOCAL"), not);
	if (strcmp(option, "--src-type") == 0)
		return is(word_in(value, "UNICAST"), not);
	return FW_MAYBE;
}

static bool has_value(const char *option)
{
	static const char *const bare[] = {"-f", "--syn", "--rsource", "--rdest", "--set", "--update", "--rcheck", "--remove"};

	for (size_t i = 0; i < sizeof bare / sizeof *bare; i++)
		if (strcmp(option, bare[i]) == 0)
			return false;
	return true;
}

static void target(struct fw *fw, const char *tool, const char *family, struct fw_rule *r, const char *name, bool go)
{
	uint32_t at = (uint32_t)(r - fw->rule);
	uint32_t to;

	if (strcmp(name, "ACCEPT") == 0)
		r->verdict = FW_ACCEPT;
	else if (strcmp(name, "DROP") == 0 || strcmp(name, "REJECT") == 0 || strcmp(name, "TARPIT") == 0)
		r->verdict = FW_DROP;
	else if (strcmp(name, "RETURN") == 0)
		r->verdict = FW_RETURN;
	for (uint32_t i = 0; i < fw->nchains; i++) {
		const struct fw_chain *c = &fw->chain[i];

		if (strcmp(c->name, name) == 0 && strcmp(c->tool, tool) == 0 && strcmp(c->family, family) == 0) {
			to = i;
			fw->rule[at].target = to;
			fw->rule[at].verdict = go ? FW_GOTO : FW_JUMP;
		}
	}
}

/* -A CHAIN … */
static void take_rule(struct fw *fw, const char *tool, const char *family, const char *line, char **word, unsigned n)
{
	struct fw_rule *r = fw_rule(fw, fw_chain(fw, tool, family, "filter", word[1]));
	bool not = false;

	if (!r)
		return;
	(void)snprintf(r->text, sizeof r->text, "%.*s", (int)sizeof r->text - 1, line);
	for (unsigned i = 2; i < n; i++) {
		const char *w = word[i], *value = i + 1 < n ? word[i + 1] : "";
		enum fw_match m;

		if (strcmp(w, "!") == 0) {
			not = true;
			continue;
		}
		if (strcmp(w, "-j") == 0 || strcmp(w, "-g") == 0) {
			target(fw, tool, family, r, value, w[1] == 'g');
			return; /* what follows belongs to the target */
		}
		if (strcmp(w, "-m") == 0 || strcmp(w, "--comment") == 0) {
			i++;
			continue;
		}
		m = FW_MAYBE;
		if (has_value(w)) {
			m = judge(&fw->probe, r, w, value, not);
			i++;
			/* The first packet of a connection is what --syn, and this, mean. */
			if (strcmp(w, "--tcp-flags") == 0) {
				m = i + 1 < n && strcmp(value, "FIN,SYN,RST,ACK") == 0 && strcmp(word[i + 1], "SYN") == 0
					    ? is(true, not)
					    : FW_MAYBE;
				i++;
			}
		}
		if (m < r->match)
			r->match = (uint8_t)m;
		not = false;
	}
}

static void take_line(struct fw *fw, const char *tool, const char *family, const char *line, size_t n)
{
	char copy[1024], whole[1024], *word[WORDS_MAX];
	unsigned words;
	uint32_t c;

	if (n >= sizeof copy)
		n = sizeof copy - 1;
	memcpy(copy, line, n);
	copy[n] = '\0';
	memcpy(whole, copy, n + 1);
	words = cut(copy, word);
	if (words < 2)
		return;
	if (strcmp(word[0], "-A") == 0) {
		take_rule(fw, tool, family, whole, word, words);
	} else if (strcmp(word[0], "-N") == 0 || strcmp(word[0], "-P") == 0) {
		c = fw_chain(fw, tool, family, "filter", word[1]);
		if (!fw->error && strcmp(word[0], "-P") == 0 && strcmp(word[1], "INPUT") == 0) {
			fw->chain[c].hook = 2;
			fw->chain[c].policy_drop = words > 2 && strcmp(word[2], "DROP") == 0;
		}
	}
}

int fw_read_tables(struct fw *fw, const char *tool, const char *text, size_t n)
{
	const char *family = strncmp(tool, "ip6", 3) == 0 ? "ip6" : "ip", *end = text + n;

	if (n > FW_TEXT_MAX)
		fw->error = fw->error ? fw->error : -EOVERFLOW;
	while (text < end && !fw->error) {
		const char *eol = memchr(text, '\n', (size_t)(end - text));
		size_t len = (size_t)((eol ? eol : end) - text);

		take_line(fw, tool, family, text, len);
		text += len + (eol != NULL);
	}
	return fw->error;
}
