"""The corpus of malformed and ambiguous requests, each with the right answer by RFC section.

Read by test/scenario/test_differential.py. Each module holds ROWS of
(name, the client's bytes, what becomes of each message in them, section, why); see shape.py. The section is of
RFC 9110 or 9112 where only a number follows them, else of the RFC that it names. "stricter" in a reason says
that the RFC lets a server take it and stead does not.
"""

from . import chunks, fields, framing, lines, meaning, targets

PARTS = {module.__name__.rpartition(".")[2]: module.ROWS
         for module in (lines, targets, fields, framing, chunks, meaning)}
ROWS = [row for rows in PARTS.values() for row in rows]
