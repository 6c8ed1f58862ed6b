"""Write text files, one behind the other, as a C string: embed.py NAME OUTPUT FILE..."""
import sys

name, out = sys.argv[1:3]
data = b""
for src in sys.argv[3:]:
    with open(src, "rb") as f:
        data += f.read() + b"\n\n"
lines = []
for i in range(0, len(data), 20):
    lines.append("\t" + ", ".join("0x%02x" % b for b in data[i:i + 20]) + ",")
with open(out, "w") as f:
    f.write("/* %s: made by embed.py; do not edit. */\n" % name)
    f.write('#include "check.h"\n\nconst char %s[] = {\n%s\n\t0};\n' % (name, "\n".join(lines)))
