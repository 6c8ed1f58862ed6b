"""Write a text file as a C string: embed.py FILE NAME OUTPUT."""
import sys

src, name, out = sys.argv[1:4]
with open(src, "rb") as f:
    data = f.read()
lines = []
for i in range(0, len(data), 20):
    lines.append("\t" + ", ".join("0x%02x" % b for b in data[i:i + 20]) + ",")
with open(out, "w") as f:
    f.write("/* Made from %s; do not edit. */\n" % name)
    f.write('#include "check.h"\n\nconst char %s[] = {\n%s\n\t0};\n' % (name, "\n".join(lines)))
