"""What an emitted module has for itself, and what every module that needs it has word for word.

Enters: the text of a module. Leaves: its parts without those that stand in `attnc/emit` as they are: a line says which
was there, and `put_together` undoes it. So a golden file has what depends on the spec, and nothing of a module escapes
review: the rest is a source that is read like any other.
"""

from __future__ import annotations

import re

from attnc.emit import (
    check_helpers,
    cpu_helpers,
    helpers,
    launch,
    library,
    public,
    split,
    tiles,
    triton_helpers,
)

SOURCES = {
    "triton_helpers": (triton_helpers.TRITON,),
    "helpers": (helpers.TORCH,),
    "cpu_helpers": (cpu_helpers.CPU,),
    "check_helpers": (check_helpers.HELPERS, check_helpers.HOLDS, check_helpers.SORTED),
    "launch": (launch.STRIP, launch.AHEAD, launch.SHARES),
    "split": (split.SPLITS,),
    "tiles": (tiles.TILES.replace("CHOSEN_CARD\n", ""),),
    "library": (library.LIBRARY,),
    "public": (public.BACKEND, public.NO_KERNELS, public.AUTOCAST, public.REFUSED, library.FLOATS),
}
GAP = "\n\n\n"
LINE = re.compile(r"# (\w+): attnc/emit/\w+\.py")


def _lines_of_parts() -> dict[str, str]:
    """The line that stands for each text."""
    return {
        part: f"# {_name(part)}: attnc/emit/{file}.py"
        for file, texts in SOURCES.items()
        for text in texts
        for part in text.strip("\n").split(GAP)
    }


def _name(part: str) -> str:
    found = re.search(r"^def (\w+)\(|^(\w+) = ", part, re.MULTILINE)
    assert found, part
    return found[1] or found[2]


LINES = _lines_of_parts()
PARTS = {line: part for part, line in LINES.items()}
assert len(PARTS) == len(LINES), "a name stands for two texts"


def take_apart(module: str) -> tuple[str, str]:
    """The comment at the head of a module, and its parts, those that are the same everywhere as lines."""
    head, body = module.split("\n\n", 1)
    parts = [LINES.get(part, part) for part in body.rstrip("\n").split(GAP)]
    text = GAP.join(parts)
    same = LINE.pattern
    return head, re.sub(rf"(?<=\n)({same}){GAP}(?={same}\n)", r"\1\n", f"\n{text}\n").removeprefix("\n")


def put_together(head: str, own: str) -> str:
    """The module again."""
    parts = [
        GAP.join(PARTS[line] for line in part.split("\n")) if LINE.match(part) else part
        for part in own.rstrip("\n").split(GAP)
    ]
    return f"{head}\n\n{GAP.join(parts)}\n"
