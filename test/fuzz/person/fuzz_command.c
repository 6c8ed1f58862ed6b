/*
 * fuzz_command.c: SSH_ORIGINAL_COMMAND. Whatever comes, words are plain, the verb is of the list, and no option names
 * another state, host or file.
 */
#include <stdint.h>
#include <string.h>

#include "lib/must.h"
#include "person/person.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[2 * PERSON_COMMAND_MAX], mem[PERSON_COMMAND_MAX + 1];
	const char *words[PERSON_WORDS_MAX], *why = NULL;
	int n;

	size = min_of(size, sizeof text - 1);
	memcpy(text, data, size);
	text[size] = '\0';
	n = person_deploy_words(text, mem, words, &why);
	if (n < 0) {
		must(why && *why);
		return 0;
	}
	must(n >= 1 && n <= PERSON_WORDS_MAX && strstr(person_deploy_verbs(), words[0]));
	for (int i = 0; i < n; i++) {
		must(words[i][0] && strpbrk(words[i], " \t\n;|&$`<>()'\"\\/*?~{}[]!#=") == NULL);
		must(strcmp(words[i], "--state") != 0 && strcmp(words[i], "--to") != 0 && strcmp(words[i], "--") != 0);
	}
	return 0;
}
