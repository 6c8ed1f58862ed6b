"""check_clib.py HEADER LIBRARY MAN-PAGE: what stead.h declares, the library offers and libstead(3) explains is the
same; and the header is C11 by itself."""

import re
import subprocess
import sys


def main():
    header, library, page = sys.argv[1:]
    with open(header, encoding="utf-8") as f:
        text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    declared = set(re.findall(r"STEAD_PUBLIC[^;(]*?(stead_\w+)\(", text))
    out = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    offered = {name.partition("@")[0] for _, kind, name in (line.split() for line in out.splitlines()) if kind != "A"}
    with open(page, encoding="utf-8") as f:
        explained = set(re.findall(r"^\.Fn (stead_\w+)", f.read(), re.M))
    wrong = [f"{what}: {', '.join(sorted(a ^ b))}" for what, a, b in (
        ("header and library differ", declared, offered), ("header and page differ", declared, explained)) if a != b]
    if len(declared) < 30:
        wrong.append(f"only {len(declared)} functions were found in the header")
    for flags in (["-std=c11", "-pedantic"], ["-std=gnu17"]):
        built = subprocess.run(["cc", *flags, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c", header],
                               capture_output=True, text=True, check=False)
        wrong += [built.stderr] if built.returncode else []
    print("\n".join(wrong))
    return 1 if wrong else 0


sys.exit(main())
