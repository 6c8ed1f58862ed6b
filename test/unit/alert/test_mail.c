/*
 * test_mail.c: addresses that may stand in SMTP's commands, and the mail itself: no text of an event makes a header.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "alert.h"
#include "lib/mailbox.h"

static void addresses(void **state)
{
	static const char *const good[] = {"a@b", "ann.o'neil+x@mail.example.org"};
	static const char *const bad[] = {"", "@", "a@", "@b", "a@b@c", "a b@c", "a@b\r\nRCPT TO:<x@y>", "<a@b>", "a@b,c@d", "\"a\"@b", "a@b>"};

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_true(mailbox_valid(good[i]));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (mailbox_valid(bad[i]))
			fail_msg("taken: %s", bad[i]);
	assert_true(alert_is_mail("a@b"));
	assert_false(alert_is_mail("https://a@b/"));
}

static void mail(void **state)
{
	const struct alert_ask a = {.target = "ann@example.org", .from = "stead@host.example", .id = "stead-1-2",
		.subject = "[stead] it\r\nBcc: all@example.org \xc3\xa4", .body = "one\n.\ntwo\r\n\xc3\xa4\n", .wall_s = 1767323045};
	const char *text;
	struct buf b;

	(void)state;
	buf_init(&b, ALERT_TEXT_MAX);
	alert_mail(&b, &a);
	text = buf_str(&b);
	assert_non_null(strstr(text, "From: stead@host.example\r\nTo: ann@example.org\r\nSubject: [stead] it??Bcc: all@example.org ??\r\n"));
	assert_non_null(strstr(text, "Date: Fri, 02 Jan 2026 03:04:05 +0000\r\n"));
	assert_non_null(strstr(text, "Message-ID: <stead-1-2@host.example>\r\n"));
	assert_non_null(strstr(text, "\r\n\r\none\r\n.\r\ntwo\r\n\xc3\xa4\r\n"));
	assert_null(strstr(text, "\nBcc"));
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(addresses), cmocka_unit_test(mail)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
