/*
 * test_firewall.c: the packet filter's model: each kind of rule, in nft's and in iptables' words, against a probe.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "machine/firewall.h"

static const struct fw_probe probe = {.port = 80, .iface = "eth0"};

struct row {
	const char *rule;
	unsigned drops;
	bool some;
};

/* The chain's policy is to drop: 0 drops means that the rule accepts. */
static void tables_accept(void **state)
{
	static const struct row rows[] = {
		{"-p tcp -m tcp --dport 80 -j ACCEPT", 0, false},
		{"-p tcp -m tcp --dport 81 -j ACCEPT", 1, false},
		{"-p udp -m udp --dport 80 -j ACCEPT", 1, false},
		{"! -p udp -j ACCEPT", 0, false},
		{"-p tcp -m multiport --dports 22,79:81 -j ACCEPT", 0, false},
		{"-p tcp -m multiport --dports 22,81:90 -j ACCEPT", 1, false},
		{"-p tcp -m multiport ! --dports 22,80 -j ACCEPT", 1, false},
		{"-s 10.0.0.0/8 -p tcp -m tcp --dport 80 -j ACCEPT", 1, true},
		{"-s 10.0.0.0/8 -j ACCEPT", 1, false},
		{"-i lo -j ACCEPT", 1, false},
		{"-i eth0 -j ACCEPT", 0, false},
		{"-i eth+ -j ACCEPT", 0, false},
		{"! -i eth0 -j ACCEPT", 1, false},
		{"-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", 1, false},
		{"-m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT", 0, false},
		{"-m conntrack --ctstate NEWER -j ACCEPT", 1, false},
		{"-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT", 0, false},
		{"-p tcp -m tcp --tcp-flags FIN,SYN FIN -j ACCEPT", 1, false},
		{"-m limit --limit 3/min -j ACCEPT", 1, false},
		{"-m addrtype --dst-type LOCAL -j ACCEPT", 0, false},
		{"-m comment --comment \"-j DROP \\\" x\" -j ACCEPT", 0, false},
		{"-j sub", 0, false},
		{"-g sub", 0, false},
		{"-j nosuch", 1, false},
		{"-m novel --thing x -p tcp --dport 80 -j ACCEPT", 1, true},
		{"-j RETURN", 1, false},
		{"-j LOG --log-prefix \"x\"", 1, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct fw_end end;
		struct fw fw;
		char text[600];

		(void)snprintf(text, sizeof text, "-P INPUT DROP\n-N sub\n-A INPUT %s\n-A sub -p tcp -j ACCEPT\n", rows[i].rule);
		fw_init(&fw, &probe);
		assert_int_equal(fw_read_tables(&fw, "iptables", text, strlen(text)), 0);
		assert_int_equal(fw_eval(&fw, &end), 0);
		if (end.drops != rows[i].drops || end.some != rows[i].some)
			fail_msg("%s: %u drops, %d", rows[i].rule, end.drops, end.some);
		fw_done(&fw);
	}
}

static void tables_drop(void **state)
{
	static const char text[] = "-P INPUT ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp -j REJECT --reject-with tcp-reset\n";
	struct fw_end end;
	struct fw fw;

	(void)state;
	fw_init(&fw, &probe);
	assert_int_equal(fw_read_tables(&fw, "iptables", text, sizeof text - 1), 0);
	assert_int_equal(fw_eval(&fw, &end), 0);
	assert_int_equal(end.drops, 1);
	assert_int_equal(end.drop[0].rule->number, 2);
	assert_string_equal(end.drop[0].rule->text, "-A INPUT -p tcp -j REJECT --reject-with tcp-reset");
	fw_done(&fw);
}

#define MATCH(left, op, right) "{\"match\":{\"op\":\"" op "\",\"left\":" left ",\"right\":" right "}}"
#define DPORT "{\"payload\":{\"protocol\":\"tcp\",\"field\":\"dport\"}}"
#define META(key) "{\"meta\":{\"key\":\"" key "\"}}"
#define ACCEPT ",{\"accept\":null}"

static void nft_accept(void **state)
{
	static const struct row rows[] = {
		{MATCH(DPORT, "==", "80") ACCEPT, 0, false},
		{MATCH(DPORT, "==", "81") ACCEPT, 1, false},
		{MATCH(DPORT, "!=", "80") ACCEPT, 1, false},
		{MATCH(DPORT, "<", "81") ACCEPT, 0, false},
		{MATCH(DPORT, ">=", "81") ACCEPT, 1, false},
		{MATCH(DPORT, "==", "{\"set\":[22,{\"range\":[79,80]}]}") ACCEPT, 0, false},
		{MATCH(DPORT, "==", "{\"set\":[22,{\"elem\":{\"val\":80,\"timeout\":1}}]}") ACCEPT, 0, false},
		{MATCH(DPORT, "==", "\"@web\"") ACCEPT, 0, false},
		{MATCH(DPORT, "==", "\"@none\"") ACCEPT, 1, false},
		{MATCH(META("l4proto"), "==", "{\"set\":[\"udp\",\"tcp\"]}") ACCEPT, 0, false},
		{MATCH(META("nfproto"), "==", "\"ipv6\"") ACCEPT, 1, false},
		{MATCH(META("iifname"), "==", "\"eth*\"") ACCEPT, 0, false},
		{MATCH(META("iifname"), "!=", "\"lo\"") ACCEPT, 0, false},
		{MATCH(META("mark"), "==", "1") ACCEPT, 1, false},
		{MATCH("{\"ct\":{\"key\":\"state\"}}", "in", "[\"established\",\"related\"]") ACCEPT, 1, false},
		{MATCH("{\"ct\":{\"key\":\"state\"}}", "in", "[\"new\"]") ACCEPT, 0, false},
		{MATCH("{\"payload\":{\"protocol\":\"udp\",\"field\":\"dport\"}}", "!=", "53") ACCEPT, 1, false},
		{MATCH("{\"payload\":{\"protocol\":\"ip6\",\"field\":\"saddr\"}}", "==", "\"::1\"") ACCEPT, 1, false},
		{MATCH("{\"payload\":{\"protocol\":\"ip\",\"field\":\"saddr\"}}", "==", "\"192.0.2.1\"") "," MATCH(DPORT, "==", "80") ACCEPT, 1, true},
		{"{\"limit\":{\"rate\":1}}" ACCEPT, 1, false},
		{"{\"counter\":null},{\"log\":null}" ACCEPT, 0, false},
		{"{\"vmap\":{\"key\":" DPORT ",\"data\":{\"set\":[[22,{\"drop\":null}],[80,{\"accept\":null}]]}}}", 0, false},
		{"{\"vmap\":{\"key\":" DPORT ",\"data\":{\"set\":[[22,{\"accept\":null}]]}}}", 1, false},
		{"{\"jump\":{\"target\":\"sub\"}}", 0, false},
		{"{\"goto\":{\"target\":\"empty\"}}", 1, false},
		{"{\"xt\":{\"type\":\"match\",\"name\":\"x\"}}" ACCEPT, 1, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct fw_end end;
		struct fw fw;
		char text[2000];

		(void)snprintf(text, sizeof text,
			"{\"nftables\":[{\"chain\":{\"family\":\"inet\",\"table\":\"f\",\"name\":\"in\",\"type\":\"filter\",\"hook\":\"input\","
			"\"prio\":0,\"policy\":\"drop\"}},{\"set\":{\"family\":\"inet\",\"table\":\"f\",\"name\":\"web\",\"elem\":[80]}},"
			"{\"rule\":{\"family\":\"inet\",\"table\":\"f\",\"chain\":\"in\",\"handle\":7,\"expr\":[%s]}},"
			"{\"rule\":{\"family\":\"inet\",\"table\":\"f\",\"chain\":\"sub\",\"handle\":8,\"expr\":[{\"accept\":null}]}}]}",
			rows[i].rule);
		fw_init(&fw, &probe);
		assert_int_equal(fw_read_nft(&fw, text, strlen(text), true), 0);
		assert_int_equal(fw_eval(&fw, &end), 0);
		if (end.drops != rows[i].drops || end.some != rows[i].some)
			fail_msg("%s: %u drops, %d", rows[i].rule, end.drops, end.some);
		fw_done(&fw);
	}
}

static void bounds(void **state)
{
	static const char loop[] = "-P INPUT DROP\n-N a\n-N b\n-A INPUT -j a\n-A a -j b\n-A b -j a\n";
	struct fw_end end;
	struct fw fw;

	(void)state;
	fw_init(&fw, &probe);
	assert_int_equal(fw_read_tables(&fw, "iptables", loop, sizeof loop - 1), 0);
	assert_int_equal(fw_eval(&fw, &end), -ELOOP);
	fw_done(&fw);
	fw_init(&fw, &probe);
	for (unsigned i = 0; i <= FW_CHAINS_MAX && !fw.error; i++) {
		char name[24];

		(void)snprintf(name, sizeof name, "c%u", i);
		(void)fw_chain(&fw, "nft", "inet", "f", name);
	}
	assert_int_equal(fw.error, -EOVERFLOW);
	assert_null(fw_rule(&fw, 0));
	fw_done(&fw);
	fw_init(&fw, &probe);
	assert_int_equal(fw_read_nft(&fw, "[]", 2, true), -EBADMSG);
	fw_done(&fw);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(tables_accept), cmocka_unit_test(tables_drop), cmocka_unit_test(nft_accept),
		cmocka_unit_test(bounds)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
