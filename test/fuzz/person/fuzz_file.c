/*
 * fuzz_file.c: the file that says what a person may. What is read is valid, and written and read again it is the same.
 */
#include <stdint.h>
#include <string.h>

#include "lib/must.h"
#include "person/person.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct person p, again;
	struct buf b;

	if (person_parse((const char *)data, size, &p) < 0)
		return 0;
	must(p.name[0] && p.uid > 0 && p.napps <= PERSON_APPS_MAX);
	buf_init(&b, PERSON_FILE_MAX);
	must(person_put(&p, &b) == 0);
	must(person_parse(b.p, b.len, &again) == 0 && again.uid == p.uid && again.sudo == p.sudo);
	must(strcmp(again.name, p.name) == 0 && again.napps == p.napps);
	for (unsigned i = 0; i < p.napps; i++)
		must(person_deploys(&again, p.app[i]));
	buf_done(&b);
	return 0;
}
