"""table.py: the units of the matrix, as units/*.units have them. No test framework here.

    [restart-on-failure]                a name; behind it the lines of the unit as they are
    Restart=on-failure
    ExecStart=@main exit=3              @KIND is the probe (probe.c) as that kind, with its folder
    [Unit]                              from here on of that section; [Service] and [Site] too
    do: start runs:main:3 settle        what is done to it, one word after the other (below)
    see: env:A nice                     what the program's last run saw, that has to be the same on both sides
    file: NAME TEXT                     a file beside its log; \\n is a new line
    differs: FACT = what stead does     a difference that is meant; the reason in the lines behind it that begin with a blank
      because of that

`each x: A B` behind a name with {x} makes a unit of each, with it in the place of {x}.
Without ExecStart= it is `ExecStart=@main`; without do: it is `start runs:main:1 stop`. A line `+ KEY=VALUE` is in the unit,
and is not counted as one that the unit tests; `! KEY=` keeps away what every unit has (BASE below).

Words of do:
    start stop restart reload           the verb, of systemctl and of stead; its exit status is compared
    kill:SIG[:KIND]                     that signal to the newest process of the kind (main)
    runs:KIND:N                         wait until it has begun N times
    said:KIND:N:SIGNAL                  wait until that run has had the signal
    until:N                             wait until it has settled, or main has begun N times
    settle                              wait until it is neither active nor on its way
    active                              wait until it is active
    ms:N                                wait: for what must not happen
"""

import itertools
import pathlib
import re

HERE = pathlib.Path(__file__).resolve().parent
BASE = ["User=probe", "Group=probe", "Listen=none", "ReadWritePaths=@", "Restart=no"]
PROBE = "/usr/bin/conformance-probe"


class Unit:
    def __init__(self, name, area):
        self.name, self.area = name, area
        self.sections = {"Unit": [], "Service": [], "Site": []}
        self.do, self.see, self.differs, self.keys, self.files = [], [], {}, set(), {}

    def text(self, folder):
        """The file; folder: where its probe writes."""
        service = list(self.sections["Service"])
        if not any(line.startswith("ExecStart=") for line in service):
            service.append("ExecStart=@main")
        # ReadWritePaths= is a list; of the others the unit's own line holds. `! KEY=` in it takes the base's line away.
        own = {line.lstrip("! ").split("=")[0] for line in service} - {"ReadWritePaths"}
        base = [line for line in BASE if line.split("=")[0] not in own]
        service = [line for line in service if not line.startswith("! ")]
        text = ""
        for name, lines in (("Unit", self.sections["Unit"]), ("Service", service + base), ("Site", self.sections["Site"])):
            if lines:
                text += f"[{name}]\n" + "\n".join(lines) + "\n"
        return re.sub(r"@(@|[a-z]\w*|)", lambda m: "@" if m[1] == "@" else f"{PROBE} {folder} {m[1]}" if m[1] else str(folder), text)


def _line(unit, section, line):
    beside = line.startswith("+ ")
    line = line[2:] if beside else line
    unit.sections[section].append(line)
    key = line.split("=")[0]
    if not beside and re.fullmatch(r"\w+", key) and line[0] != "!":
        unit.keys.add((section, key))


def _expand(lines):
    """[(its number, line)] with each unit that has `each` as many units."""
    blocks, now = [[]], None
    for number, line in enumerate(lines, 1):
        if re.fullmatch(r"\[[^\]]+\]", line) and line not in ("[Unit]", "[Service]", "[Site]"):
            blocks.append([])
        blocks[-1].append((number, line))
    for block in blocks:
        axes = [re.fullmatch(r"each (\w+): (.*)", line) for _, line in block]
        rest = [pair for pair, axis in zip(block, axes) if not axis]
        axes = [(axis[1], axis[2].split()) for axis in axes if axis]
        for values in itertools.product(*(words for _, words in axes)):
            for number, line in rest:
                for (name, _), value in zip(axes, values):
                    put = re.sub(r"\W+", "-", value).strip("-") if line.startswith("[") else value
                    line = line.replace("{" + name + "}", put)
                yield number, line


def read(path):
    units, unit, section, fact = [], None, "Service", None
    for number, line in _expand(path.read_text().splitlines()):
        name = re.fullmatch(r"\[([^\]]+)\]", line)
        if name and name[1] in ("Unit", "Service", "Site"):
            section = name[1]
        elif name:
            unit, section, fact = Unit(name[1], path.stem), "Service", None
            units.append(unit)
        elif line.startswith("do: "):
            unit.do += line[4:].split()
        elif line.startswith("see: "):
            unit.see += line[5:].split()
        elif line.startswith("file: "):
            file, text = line[6:].split(" ", 1)
            unit.files[file] = text.replace("\\n", "\n")
        elif line.startswith("differs: "):
            fact, _, value = line[9:].partition(" = ")
            unit.differs[fact] = [value, ""]
        elif line.startswith("  ") and fact:
            unit.differs[fact][1] = (unit.differs[fact][1] + " " + line.strip()).strip()
        elif line and not line.startswith("# "):
            assert unit, f"{path.name}:{number}: no unit has begun"
            _line(unit, section, line)
    for unit in units:
        unit.do = unit.do or ["start", "runs:main:1", "stop"]
        for name, (_, why) in unit.differs.items():
            assert why, f"{unit.name}: differs: {name} has no reason"
    return units


def read_all():
    units = [unit for path in sorted((HERE / "units").glob("*.units")) for unit in read(path)]
    names = [unit.name for unit in units]
    assert len(names) == len(set(names)), [n for n in names if names.count(n) > 1]
    return units
