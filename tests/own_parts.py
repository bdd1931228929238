"""What an emitted module has for itself, and what every module that needs it has word for word.

Enters: the text of a module. Leaves: its parts without those that stand in `attnc/support` as they are: a line says
which was there, and `put_together` undoes it. So a golden file has what depends on the spec, and nothing of a module
escapes review: the rest is a source that is read like any other.
"""

from __future__ import annotations

import re

from attnc.emit.support import whole

SUPPORT = (
    "kernels", "chunk_parts", "chunk_states", "chunk_kernels", "chunk_gradients", "channel_kernels",
    "channel_gradients", "pair_kernels", "torch_functions", "cpu", "features", "chunks", "linear_pairs", "both_ways",
    "products", "key_softmax", "chunk_tiles", "chunk_call", "pair_launch", "chunk_launch", "channel_launch", "checks",
    "launch", "tiles", "library", "call", "refused",
)  # fmt: skip
SOURCES = {f"support/{file}": whole(file) for file in SUPPORT}
GAP = "\n\n\n"
LINE = re.compile(r"# (\w+): attnc/(?:emit|support)/\w+\.py")


def _lines_of_parts() -> dict[str, str]:
    """The line that stands for each text."""
    return {
        part: f"# {_name(part)}: attnc/{file}.py"
        for file, text in SOURCES.items()
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
