#!/usr/bin/python3
"""tidy.py: the rules of STYLE.md that a program can check. Called by `make tidy` and `make check`.

    tools/tidy.py               check the tree: one line per finding, exit status 1 when there is one
    tools/tidy.py --self-test   show that each rule can fail
    tools/tidy.py --untested    list the rows of tbl/closes.h and tbl/events.h that no test mentions

A rule takes a file's path and text and yields (line, what). It never changes a file.
"""

import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent
LINES_MAX = 600
FUNCTION_MAX = 70
# Python's interface takes these tables by pointers to what it may write; they exist in python/ only.
PYTHON_TABLES = re.compile(r"\s*(?:static )?(?:struct )?Py(?:MethodDef|ModuleDef|MemberDef|GetSetDef|Type_Slot|Type_Spec)\b")
SHARED = {"lib": 0, "tbl": 1, "record": 1.5, "conf": 2, "snap": 2, "link": 2, "oneshot": 2, "machine": 2, "aide": 2, "seal": 2, "person": 2}
BANNED = ("strcpy", "strcat", "sprintf", "vsprintf", "gets", "strtok", "atoi", "atol", "alloca",
          "system", "popen", "tmpnam", "mktemp", "signal")
# The one mutable global that the style allows, and what a C library's interface forces.
GLOBALS_ALLOWED = {
    ("src/lib/event.c", "event_level"),
    ("src/link/link_worker.c", "forkable"),  # pthread_atfork() has no argument
}


def stripped(text, strings=True):
    """The text without comments (and strings), line numbers kept."""
    def blank(found):
        piece = found.group(0)
        if piece[0] in "\"'":
            return piece if not strings else piece[0] * 2
        return " " + "\n" * piece.count("\n")
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text,
                  flags=re.S)


def rule_head_comment(path, text):
    if not text.startswith("/*"):
        yield 1, "a file begins with a comment that says what it does"


def rule_file_length(path, text):
    lines = text.count("\n")
    if lines > LINES_MAX:
        yield lines, f"{lines} lines; a file has at most {LINES_MAX}"


def rule_function_length(path, text):
    lines = stripped(text).split("\n")
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif start and line.startswith("}"):
            if number - start - 1 > FUNCTION_MAX:
                name = re.search(r"(\w+)\(", " ".join(lines[max(0, start - 4):start - 1])[::1])
                yield start, (f"{name.group(1) if name else 'function'}: {number - start - 1} lines; "
                              f"a function has at most {FUNCTION_MAX}")
            start = None


def rule_banned_calls(path, text):
    names = "|".join(BANNED)
    for number, line in enumerate(stripped(text).split("\n"), 1):
        for found in re.finditer(rf"(?<![\w.>])({names})\s*\(", line):
            yield number, f"{found.group(1)}() is banned"


def folder_of(path):
    parts = pathlib.PurePath(path).parts
    if parts[0] == "tbl":
        return "tbl"
    if parts[0] == "src" and len(parts) > 2:
        return parts[1]
    return None


def rule_includes(path, text):
    own = folder_of(path)
    if own is None:
        return
    for number, line in enumerate(stripped(text, strings=False).split("\n"), 1):
        found = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
        if not found:
            continue
        parts = found.group(1).split("/")
        if ".." in parts:
            yield number, f'"{found.group(1)}": write it from the top folder or from src/'
            continue
        if parts[0] == "src":
            parts = parts[1:]
        other = parts[0] if len(parts) > 1 and (TOP / "src" / parts[0]).is_dir() else None
        other = "tbl" if parts[0] == "tbl" else other
        if other is None or other == own:
            continue
        if other not in SHARED:
            yield number, f"src/{other} is a process folder: nobody else includes its headers"
        elif own in SHARED and SHARED[other] >= SHARED[own]:
            yield number, f"{own} may not include {other} (lib <- tbl <- record <- conf, snap, link <- processes)"


def is_const(declaration):
    before = declaration.split("=")[0]
    before = re.sub(r"\[[^\]]*\]", "", before)
    function = re.search(r"\(\s*\*([^()]*)\)\s*\(", before)  # a pointer to a function
    if function:
        return re.search(r"\bconst\b", function.group(1)) is not None
    if "*" in before:
        return "const" in before.rsplit("*", 1)[1]
    return re.search(r"\bconst\b", before) is not None


def rule_globals(path, text):
    """Variables at file scope and static ones in functions are const."""
    if not path.startswith(("src/", "tbl/", "python/")) or not path.endswith(".c"):
        return
    code = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: "\n" * m.group(0).count("\n"),
                  stripped(text), flags=re.M)
    depth, statement, began, line = 0, "", 1, 1
    for char in code:
        if char == "\n":
            line += 1
        if char == "{":
            if depth == 0 and "=" not in statement and not re.match(
                    r"\s*(?:static\s+)?(?:const\s+)?(?:struct|union|enum)\b[^()]*$", statement):
                statement = "()"
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0 and statement == "()":
                statement = ""
        elif depth == 0:
            if not statement.strip():
                began = line
            statement += char
            if char == ";":
                name = variable_name(statement)
                if path.startswith("python/") and PYTHON_TABLES.match(statement):
                    name = None
                if name and not is_const(statement) and (path, name) not in GLOBALS_ALLOWED:
                    yield began, f"{name}: a mutable global; state lives in the process's struct"
                statement = ""
    for number, row in enumerate(code.split("\n"), 1):
        found = re.match(r"\s+static\s+([^()]*?(\w+)(?:\[[^\]]*\])*\s*(?:=.*|;))", row)
        if found and not is_const(found.group(1)) and (path, found.group(2)) not in GLOBALS_ALLOWED:
            yield number, f"{found.group(2)}: a mutable static; state lives in the process's struct"


def variable_name(statement):
    """The name that a statement at file scope defines, or None when it defines no variable."""
    head = " ".join(statement.split("=")[0].rstrip("; \n").split())
    head = re.sub(r"__attribute__\s*\(\(.*?\)\)", "", head).strip()
    if not head or re.match(r"(typedef|extern|_Static_assert|static_assert)\b", head):
        return None
    pointer = re.search(r"\(\s*\*\s*(?:const\s+)?(\w+)\s*(?:\[[^\]]*\])*\)\s*\(", head)
    if pointer:
        return pointer.group(1)
    if "(" in head:
        return None
    if re.fullmatch(r"(?:static )?(?:const )?(?:struct|union|enum)(?: \w+)?", head):
        return None
    found = re.search(r"(\w+)\s*(?:\[[^\]]*\]\s*)*$", head)
    return found.group(1) if found and " " in head else None


def rule_marks(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        if re.search(r"\b(?:TODO|FIXME|XXX)\b", line):
            yield number, "unfinished work has its place in the issue tracker, not in the code"


def rule_spaces(path, text):
    for number, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip():
            yield number, "blanks at the line's end"
        if re.match(r"\t* {8,}\S", line):
            yield number, "eight blanks where a tab belongs"
    if text and not text.endswith("\n"):
        yield text.count("\n") + 1, "the last line has no end"


C_RULES = (rule_head_comment, rule_file_length, rule_function_length, rule_banned_calls, rule_includes,
           rule_globals, rule_marks, rule_spaces)


def rows(table):
    """(NAME, name) of each row of a table."""
    text = stripped((TOP / "tbl" / f"{table}.h").read_text(), strings=False)
    if table == "closes":
        return re.findall(r"^CLOSE\((\w+), (\w+),", text, re.M)
    return [(name, name.lower()) for name in re.findall(r"^EVENT\((\w+), ", text, re.M)]


def texts(*folders):
    out = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *folders],
                         cwd=TOP, capture_output=True, text=True, check=True).stdout
    for path in sorted(set(out.split())):
        file = TOP / path
        if file.is_file() and path.endswith((".c", ".h", ".py")):
            yield path, file.read_text(errors="replace")


def unused_rows():
    whole = "\n".join(stripped(text) for path, text in texts("src", "python"))
    for table, prefix in (("closes", "CLOSE_"), ("events", "EV_")):
        for name, _ in rows(table):
            if not re.search(rf"\b{prefix}{name}\b", whole):
                yield f"tbl/{table}.h", 1, f"{name}: no process ever uses this row"


def double_ids():
    """Ids of events are stable for ever, so no two may have one."""
    seen = {}
    for name, number in re.findall(r"^EVENT\((\w+), (\d+),", (TOP / "tbl" / "events.h").read_text(), re.M):
        if number in seen:
            yield "tbl/events.h", 1, f"{name}: {number} is the id of {seen[number]} already"
        seen[number] = name


def untested_rows():
    whole = "\n".join(text for path, text in texts("test"))
    for table in ("closes", "events"):
        for upper, lower in rows(table):
            if not re.search(rf"\b(?:\w+_)?(?:{upper}|{lower})\b", whole):
                yield f"tbl/{table}.h", upper


BAD = {
    rule_head_comment: ("src/lib/x.c", "int x(void);\n"),
    rule_file_length: ("src/lib/x.c", "/* x */\n" + "int a(void);\n" * LINES_MAX),
    rule_function_length: ("src/lib/x.c", "int x(void)\n{\n" + "\tx();\n" * 71 + "}\n"),
    rule_banned_calls: ("src/lib/x.c", "int x(char *s)\n{\n\treturn atoi(s);\n}\n"),
    rule_includes: ("src/gate/x.c", '#include "ctl/ctl.h"\n'),
    rule_globals: ("src/gate/x.c", "/* x */\nstatic int count;\n"),
    rule_marks: ("src/gate/x.c", "/* TO" "DO */\n"),
    rule_spaces: ("src/gate/x.c", "\tx();\n        y();\n"),
}
MORE_BAD = (
    (rule_includes, "src/lib/x.c", '#include "tbl/tbl.h"\n'),
    (rule_includes, "tbl/x.c", '#include "conf/conf.h"\n'),
    (rule_includes, "src/snap/x.c", '#include "link/link.h"\n'),
    (rule_includes, "src/gate/x.c", '#include "../ctl/ctl.h"\n'),
    (rule_globals, "src/gate/x.c", "static const char *name = \"x\";\n"),
    (rule_globals, "src/gate/x.c", "struct gate gates[4] = {\n\t{1},\n};\n"),
    (rule_globals, "src/gate/x.c", "static int (*hook)(int);\n"),
    (rule_globals, "src/gate/x.c", "static int (*hooks[])(const char *) = {f};\n"),
    (rule_globals, "src/gate/x.c", "static PyMethodDef methods[] = {{0}};\n"),
    (rule_globals, "src/gate/x.c", "void f(void)\n{\n\tstatic int n;\n}\n"),
    (rule_spaces, "src/gate/x.c", "int x; \n"),
    (rule_spaces, "src/gate/x.c", "int x;"),
)
GOOD = (
    (rule_includes, "src/gate/x.c", '#include "lib/loop.h"\n#include "conn.h"\n#include "snap/snap.h"\n'),
    (rule_globals, "src/gate/x.c", "static const struct row rows[] = {\n\t{1},\n};\nint f(int a)\n{\n"
     "\tint b = a;\n\tstatic const int c[] = {1};\n\treturn b;\n}\nstruct s {\n\tint a;\n};\n"
     "static const char *const names[] = {\"a\"};\nstruct gate;\nenum { A, B };\nint g(void);\n"
     "#define X \\\n\tint y;\nstatic int (*const hooks[])(char *) = {f};\n"),
    (rule_globals, "python/x.c", "static PyMethodDef methods[] = {{0}};\n"),
    (rule_banned_calls, "src/gate/x.c", "/* never atoi() */\nx->signal(1); sigaction(2); my_system(\"gets(\");\n"),
    (rule_function_length, "src/lib/x.c", "int x(void)\n{\n" + "\tx();\n" * 70 + "}\n"),
)


def self_test():
    wrong = []
    for rule, (path, text) in BAD.items():
        if not list(rule(path, text)):
            wrong.append(f"{rule.__name__} found nothing wrong in its bad example")
    for rule, path, text in MORE_BAD:
        if not list(rule(path, text)):
            wrong.append(f"{rule.__name__} found nothing wrong in: {text!r}")
    for rule, path, text in GOOD:
        found = list(rule(path, text))
        if found:
            wrong.append(f"{rule.__name__} found {found} in good text")
    wrong += [f"{rule.__name__} has no bad example" for rule in C_RULES if rule not in BAD]
    for line in wrong:
        print(f"tidy.py: {line}")
    return 1 if wrong else 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    if arguments == ["--untested"]:
        for path, name in untested_rows():
            print(f"{path}: {name}: no test mentions this row")
        return 0
    if arguments:
        print(__doc__)
        return 2
    findings = []
    for path, text in texts("src", "tbl", "python", "test", "examples", "bench"):
        if path.endswith((".c", ".h")):
            findings += [(path, line, what) for rule in C_RULES for line, what in rule(path, text)]
        else:
            findings += [(path, line, what) for line, what in rule_file_length(path, text)]
            findings += [(path, line, what) for line, what in rule_marks(path, text)]
    findings += [*unused_rows(), *double_ids()]
    for path, line, what in findings:
        print(f"{path}:{line}: {what}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
