"""check_calendar.py CALENDAR-NEXT: OnCalendar= expressions read as systemd reads them.

Each expression is given to systemd-analyze and to src/conf/calendar*.c, at several moments and in several local time
zones: what the one refuses the other refuses, and the next times are the same. Exit status 77 (skipped) without
systemd-analyze."""

import calendar
import os
import re
import shutil
import subprocess
import sys
import time

GOOD = """minutely|hourly|daily|weekly|monthly|quarterly|semiannually|bi-annually|yearly|ANNUALLY|daily UTC
*:0/5|*:0/15:30|*:*|*:*:*|*:*:0/2|0..3/2:*|1..23/4:0|00..03:00,30|20:15|1:2:3|1:2:*|1:2:3..5|1:2:3/5|1:2:3..20/6
3..3:00|1..3/3:0|1,1:0|*-*-1/30|*-*-3/28|*:5..25/10|0:0:0..59|9..17:0|*:7/13
Mon|Sunday|mon..FRI|Mon-Fri 9:00|Mon,Wed,Fri 8:30|Sat,Sun|Mon,Tue, 10:00|Tue  1:0|Mon..Wed,Fri..Sun 12:00|Wed *-*-1..7
Fri *-*-13|Mon *-*-1|Sat *-12-24..31|Thu *-11-22..28|Mon *-05~07/1|Sun *-03~07/1 03:00
*-*~1|*-*~1..3|*-*~3/1|*~1|*-02~1|*-02~01..04|*-*~28|*-2..4~1,3|*-2-29|*-2-30|*-*-31|*-*-29..31|*-4,6,9,11-30
12-24|12-*|*-*|1..3-*|*-1/3-1|*-*-* *:*:*|*-*-*|*-*-*  1:0|2026-*-*|2026..2028-*-1|2026/2-2-29|*-1..3-10..20/3
2026-12-24 18:00|2027-1-1|26-12-24|99-1-1|2003-02..04-05|2199-12-31 23:59:59|5-*-* 0:0|@1800000000|@1700000000|@1800000000 UTC|@1900000000 Europe/Berlin
10:00:00.5|1:2:3.456789|1:2:3.1234567|1:2:3,4.5|1:0:0/0.25|1:2:3..4|*:*:0..1
12:00 Europe/Berlin|weekly America/New_York|*-*-* 02:30 Europe/Berlin|*:0/20 Australia/Lord_Howe|Sun 2:0/30 America/New_York
1:0 UTC|minutely UTC|*-*-* 3:00 Asia/Kathmandu|*-10-25 *:0/30 Europe/Berlin|*-3-29 *:0/30 Europe/Berlin|02:30|*:30
1..2:0|*:0,20,40|0:0|23:59:59|*-*-1,15 6:00|*-*-2/5|*-2/2-1/2 0/8:0""".replace("\n", "|").split("|")
BAD = """*/5|*-*-*/2 1:00|Sat..Tue|Mon, Tue|12..3:00|1:60|24:00|*-13-1||daily daily|1:2:59/1|*-*-1/31|*-*~29|1969-1-1
2200-1-1|1:2:3.|1,:0|Mon,,Tue|* *|1:0  | 1:0|1:0 Europe/Nowhere|Mon..|Mon..Tue..Wed|Mon.Tue|Monda|Funday|1:2:3:4
2026-1|2026~1-1|*-*-*-*|:|1:|a|1:0/0|*-0-1|*-*-0|*-*-32|@|@x|@1 1:0|1:2:61|0x1:0|1:2 3|+1:0|99999999999-1-1|1..2..3:0
Mon~|Mon 1|~1|*:*:0/|1:1 ../etc/passwd""".replace("\n", "|").split("|")
ZONES = ["UTC", "Europe/Berlin", "America/St_Johns"]
# The hours before clocks are set, the ends of months and years, leap days.
BASES = ["2026-11-27 10:00:00", "2026-03-29 00:10:00", "2026-10-24 23:50:00", "2027-12-31 23:59:59", "2028-02-28 12:00:00"]
ITERATIONS = 6


def seconds_of(text):
    return calendar.timegm(time.strptime(text, "%Y-%m-%d %H:%M:%S"))


def systemd(expressions, base, zone):
    """For each expression the next times in seconds; None for all when one of them is refused."""
    got = subprocess.run(["systemd-analyze", "calendar", f"--iterations={ITERATIONS}", f"--base-time={base} UTC", "--", *expressions],
                         capture_output=True, text=True, check=False, env={**os.environ, "TZ": zone, "LC_ALL": "C.UTF-8"})
    if got.returncode:
        return [None] * len(expressions)
    found = []
    for block in got.stdout.strip().split("\n\n"):
        utc = re.findall(r"\(in UTC\): \w{3} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", block) or re.findall(
            r"(?:Next elapse|Iter[^:]*): \w{3} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", block)
        found.append([seconds_of(t) for t in utc])
    return found


def ours(binary, asked, zone):
    lines = "".join(f"{seconds_of(base) * 1000000} {ITERATIONS} {expression}\n" for expression, base in asked)
    out = subprocess.run([binary], input=lines, capture_output=True, text=True, check=True,
                         env={**os.environ, "TZ": zone}).stdout.split("\n")
    return [None if line == "bad" else [int(t) // 1000000 for t in line.split()] for line in out[:len(asked)]]


def main():
    if not shutil.which("systemd-analyze") or not os.path.exists("/usr/share/zoneinfo/Europe/Berlin"):
        print("SKIPPED: systemd-analyze or the time zones are missing: apt-get install systemd tzdata")
        return 77
    wrong = compared = 0
    for zone in ZONES:
        for base in BASES if zone == "Europe/Berlin" else BASES[:2]:
            want = systemd(GOOD, base, zone)
            if len(want) != len(GOOD) or None in want:
                print("systemd refuses one of the good ones, or says it in another form")
                return 1
            for expression, theirs, got in zip(GOOD, want, ours(sys.argv[1], [(e, base) for e in GOOD], zone)):
                compared += 1
                if got != theirs:
                    print(f"{expression!r} after {base} UTC in {zone}: {got}, systemd: {theirs}")
                    wrong += 1
    for expression, got in zip(BAD, ours(sys.argv[1], [(e, BASES[0]) for e in BAD], "UTC")):
        compared += 1
        if got is not None or systemd([expression], BASES[0], "UTC") != [None]:
            print(f"{expression!r} is not refused by both: {got}")
            wrong += 1
    print(f"{compared} compared with systemd, {wrong} differ")
    return 1 if wrong else 0


sys.exit(main())
