/*
 * test_firewall_act.c: what the act that opens a firewall takes as a place, and as a line of its undo file: these words
 * become arguments of programs that run as root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "../../../src/act/firewall.h"

static void places(void **state)
{
	static const char *const good[] = {"ufw", "firewalld", "nft/inet/filter/input/0", "nft/ip6/my-table/in.put/77", "iptables/INPUT/3",
		"ip6tables-legacy/INPUT/0"};
	static const char *const bad[] = {"", "ufw/x", "nft", "nft/inet/filter/input", "nft/inet/filter/input/x", "nft/inet/filter/-f/1",
		"nft/inet/fil ter/input/1", "nft/inet/filter/in;put/1", "nft/inet//input/1", "nft/toolongfamily/f/i/1", "iptables/INPUT",
		"iptables/--modprobe=x/1", "sh/INPUT/1", "iptables-save/INPUT/1", "iptables/IN\"PUT/1", "iptables/INPUT/-1"};
	struct firewall_change c;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_true(firewall_place_read(good[i], &c));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (firewall_place_read(bad[i], &c))
			fail_msg("taken: %s", bad[i]);
}

static void undo_lines(void **state)
{
	static const char *const good[] = {"ufw 80", "firewalld 443", "nft inet filter input 9", "tables iptables INPUT 80,443"};
	static const char *const bad[] = {"", "ufw", "ufw 0", "ufw 65536", "ufw -x", "sh 80", "nft inet filter input 0", "nft inet filter input",
		"nft inet filter --file 9", "tables iptables INPUT", "tables iptables INPUT 80;x", "tables sh INPUT 80", "tables iptables INPUT ",
		"tables iptables -F 80"};
	struct firewall_change c;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_true(firewall_undo_read(good[i], &c));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (firewall_undo_read(bad[i], &c))
			fail_msg("taken: %s", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(places), cmocka_unit_test(undo_lines)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
