/*
 * fuzz_tables.c: what iptables -S prints, as bytes. A model that was read can be judged, and comes to an end.
 */
#include <stdint.h>

#include "lib/must.h"
#include "machine/firewall.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	for (unsigned i = 0; i < 4; i++) {
		struct fw_probe probe = {.v6 = i & 1, .port = i & 2 ? 443 : 80, .iface = i & 2 ? "" : "eth0"};
		struct fw_end end;
		struct fw fw;

		fw_init(&fw, &probe);
		if (fw_read_tables(&fw, i & 1 ? "ip6tables" : "iptables", (const char *)p, n) == 0 && fw_eval(&fw, &end) == 0) {
			must(end.drops <= FW_DROPS_MAX);
			for (unsigned k = 0; k < end.drops; k++)
				must(end.drop[k].chain >= fw.chain && end.drop[k].chain < fw.chain + fw.nchains);
		}
		fw_done(&fw);
	}
	return 0;
}
