/*
 * httpdate.c: HTTP's dates without locale, and reason phrases. Called by whoever writes heads or
 * compares dates. Owns nothing but the gate's date of this second.
 */
#include "httpdate.h"

#include <string.h>
#include <time.h>

static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char months[12][4] = {
	"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

static void two(char *p, int v)
{
	p[0] = (char)('0' + v / 10 % 10);
	p[1] = (char)('0' + v % 10);
}

void http_date_format(int64_t unix_s, char *p)
{
	time_t t = (time_t)unix_s;
	struct tm tm = {0};

	if (!gmtime_r(&t, &tm) || tm.tm_year < -1900 || tm.tm_year > 8099) {
		t = 0;
		gmtime_r(&t, &tm);
	}
	memcpy(p, "Sun, 00 Jan 0000 00:00:00 GMT", HTTP_DATE_BYTES + 1);
	memcpy(p, days[tm.tm_wday], 3);
	two(p + 5, tm.tm_mday);
	memcpy(p + 8, months[tm.tm_mon], 3);
	two(p + 12, (tm.tm_year + 1900) / 100);
	two(p + 14, (tm.tm_year + 1900) % 100);
	two(p + 17, tm.tm_hour);
	two(p + 20, tm.tm_min);
	two(p + 23, tm.tm_sec);
}

struct scan {
	const char *p, *end;
};

static bool number(struct scan *s, unsigned digits, int *ret)
{
	int v = 0;

	if ((size_t)(s->end - s->p) < digits)
		return false;
	while (digits--) {
		char c = *s->p++;

		if (c < '0' || c > '9')
			return false;
		v = v * 10 + (c - '0');
	}
	*ret = v;
	return true;
}

static bool literal(struct scan *s, const char *text)
{
	size_t n = strlen(text);

	if ((size_t)(s->end - s->p) < n || memcmp(s->p, text, n))
		return false;
	s->p += n;
	return true;
}

static bool month(struct scan *s, int *ret)
{
	for (int i = 0; i < 12; i++) {
		if (literal(s, months[i])) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static bool clock_time(struct scan *s, struct tm *tm)
{
	return number(s, 2, &tm->tm_hour) && literal(s, ":") && number(s, 2, &tm->tm_min) &&
	       literal(s, ":") && number(s, 2, &tm->tm_sec);
}

/* "Nov  6 08:49:37 1994", behind the day's name. */
static bool asctime_form(struct scan *s, struct tm *tm)
{
	if (!month(s, &tm->tm_mon) || !literal(s, " "))
		return false;
	if (literal(s, " ") ? !number(s, 1, &tm->tm_mday) : !number(s, 2, &tm->tm_mday))
		return false;
	if (!literal(s, " ") || !clock_time(s, tm) || !literal(s, " ") ||
		!number(s, 4, &tm->tm_year))
		return false;
	tm->tm_year -= 1900;
	return true;
}

/* "06 Nov 1994 08:49:37 GMT" or "06-Nov-94 08:49:37 GMT". */
static bool other_forms(struct scan *s, struct tm *tm)
{
	if (!number(s, 2, &tm->tm_mday))
		return false;
	if (literal(s, "-")) {
		if (!month(s, &tm->tm_mon) || !literal(s, "-") || !number(s, 2, &tm->tm_year))
			return false;
		/* More than 50 years ahead means the past one (RFC 9110 section 5.6.7). */
		tm->tm_year += tm->tm_year < 77 ? 100 : 0;
	} else {
		if (!literal(s, " ") || !month(s, &tm->tm_mon) || !literal(s, " ") ||
			!number(s, 4, &tm->tm_year))
			return false;
		tm->tm_year -= 1900;
	}
	return literal(s, " ") && clock_time(s, tm) && literal(s, " GMT");
}

bool http_date_parse(const char *p, size_t n, int64_t *ret_unix_s)
{
	struct scan s = {p, p + n};
	struct tm tm = {0};
	bool ok;

	while (s.p < s.end && ((*s.p >= 'A' && *s.p <= 'Z') || (*s.p >= 'a' && *s.p <= 'z')))
		s.p++;
	if (s.p - p < 3)
		return false;
	ok = literal(&s, ", ") ? other_forms(&s, &tm) : literal(&s, " ") && asctime_form(&s, &tm);
	if (!ok || s.p != s.end || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 ||
		tm.tm_min > 59 || tm.tm_sec > 60)
		return false;
	*ret_unix_s = timegm(&tm);
	return true;
}

const char *http_date_now(struct gate *g)
{
	uint64_t now = loop_wall_us(g->loop) / 1000000;

	if (now != g->date_s) {
		g->date_s = now;
		http_date_format((int64_t)now, g->date);
	}
	return g->date;
}

const char *http_reason(unsigned status)
{
	static const struct {
		unsigned status;
		const char *text;
	} rows[] = {{200, "OK"}, {404, "Not Found"}, {304, "Not Modified"}, {302, "Found"},
		{206, "Partial Content"}, {100, "Continue"}, {101, "Switching Protocols"},
		{103, "Early Hints"}, {201, "Created"}, {202, "Accepted"},
		{203, "Non-Authoritative Information"}, {204, "No Content"}, {205, "Reset Content"},
		{300, "Multiple Choices"}, {301, "Moved Permanently"}, {303, "See Other"},
		{305, "Use Proxy"}, {307, "Temporary Redirect"}, {308, "Permanent Redirect"},
		{400, "Bad Request"}, {401, "Unauthorized"}, {402, "Payment Required"},
		{403, "Forbidden"}, {405, "Method Not Allowed"}, {406, "Not Acceptable"},
		{407, "Proxy Authentication Required"}, {408, "Request Timeout"}, {409, "Conflict"},
		{410, "Gone"}, {411, "Length Required"}, {412, "Precondition Failed"},
		{413, "Content Too Large"}, {414, "URI Too Long"}, {415, "Unsupported Media Type"},
		{416, "Range Not Satisfiable"}, {417, "Expectation Failed"},
		{421, "Misdirected Request"}, {422, "Unprocessable Content"}, {425, "Too Early"},
		{426, "Upgrade Required"}, {428, "Precondition Required"},
		{429, "Too Many Requests"}, {431, "Request Header Fields Too Large"},
		{451, "Unavailable For Legal Reasons"}, {500, "Internal Server Error"},
		{501, "Not Implemented"}, {502, "Bad Gateway"}, {503, "Service Unavailable"},
		{504, "Gateway Timeout"}, {505, "HTTP Version Not Supported"},
		{507, "Insufficient Storage"}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].status == status)
			return rows[i].text;
	return "";
}
