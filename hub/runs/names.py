"""The child process that finds the names in pieces of Python: which each makes at the top level, which it uses.

Given: a JSON list of codes. Answer: for each ``[made, used]``. IPython's own lines (magics, shell commands) are left
out; what is no Python then has no names. Nothing is run: the compiler's symbol table says it all.
"""

from __future__ import annotations

import json
import re
import symtable
import warnings

from hub.runs.child import answer

MOST_NAMES = 500
_OWN_LINE = re.compile(r"^([ \t]*)(?:[%!].*|.*\?\??[ \t]*|\w[\w, ]*=[ \t]*[%!].*)$", re.MULTILINE)


def names_in(code: str) -> tuple[set[str], set[str]]:
    """What the code makes and what it uses."""
    if code.lstrip().startswith("%%"):
        return set(), set()
    plain = _OWN_LINE.sub(r"\1pass", code)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            top = symtable.symtable(plain, "cell", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set(), set()
    made, used = set(), set()
    for symbol in top.get_symbols():
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace():
            made.add(symbol.get_name())
        if symbol.is_referenced():
            used.add(symbol.get_name())
    waiting = list(top.get_children())
    while waiting:
        table = waiting.pop()
        waiting += table.get_children()
        for symbol in table.get_symbols():
            if symbol.is_global() and symbol.is_referenced():
                used.add(symbol.get_name())
            if symbol.is_declared_global() and symbol.is_assigned():
                made.add(symbol.get_name())
    return made, used


def find_names(given: bytes) -> bytes:
    """The answer, as JSON."""
    found = []
    for code in json.loads(given):
        made, used = names_in(code)
        found.append([sorted(made)[:MOST_NAMES], sorted(used)[:MOST_NAMES]])
    return json.dumps(found).encode()


if __name__ == "__main__":
    answer(find_names)
