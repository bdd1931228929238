"""How far a spec walks through the house: calls, files and switches of folder of each stage of its compilation.

`python bench/walk.py` prints a table for a window mask, the same with a learned table, and a normalization of two
passes. Counted are calls of Python functions inside `attnc/`, of a second compilation, so that nothing is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import attnc
from attnc.compiler import Compilation
from attnc.source import Source

HOUSE = str(Path(attnc.__file__).parent)
WINDOW = "attention window(w: int):\n    mask j <= i and i - j < w\n"
TABLE = """attention table(w: int, table: float[H, 64]):
    mask  j <= i and i - j < w
    score dot(q, k) * scale + table[h, clamp(i - j, 0, 63)]
"""
LSSAR = (Path(__file__).parent.parent / "examples" / "lssar.attn").read_text(encoding="utf-8")
SPECS = {"window mask": WINDOW, "+ learned table": TABLE, "lssar": LSSAR}
STAGES: dict[str, Callable[[Compilation], object]] = {
    "tree": lambda c: c.tree,
    "checked": lambda c: c.checked,
    "facts": lambda c: c.facts,
    "plan": lambda c: c.plan,
    "kernels": lambda c: c.kernels,
    "module": lambda c: c.module,
}


@dataclass
class Walk:
    """Calls; the files they are in; and how often the next call is in another folder."""

    calls: int = 0
    files: set[str] = field(default_factory=set)
    switches: int = 0
    folder: str = ""

    def tick(self, frame: FrameType, event: str, of: object) -> None:
        file = frame.f_code.co_filename
        if event != "call" or not file.startswith(HOUSE):
            return
        self.calls += 1
        self.files.add(file)
        folder = str(Path(file).parent)
        self.switches += folder != self.folder
        self.folder = folder


def walks(text: str) -> dict[str, Walk]:
    """Of each stage."""
    _ = Compilation(Source("walk.attn", text)).module
    compilation, found = Compilation(Source("walk.attn", text)), {}
    for name, stage in STAGES.items():
        walk = found[name] = Walk()
        sys.setprofile(walk.tick)
        try:
            stage(compilation)
        finally:
            sys.setprofile(None)
    return found


def main() -> None:
    columns = {name: walks(text) for name, text in SPECS.items()}
    print("| stage | " + " | ".join(f"{name}: calls, files, switches" for name in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for stage in STAGES:
        cells = [walk[stage] for walk in columns.values()]
        print(
            f"| {stage} | " + " | ".join(f"{w.calls:,}, {len(w.files)}, {w.switches:,}" for w in cells) + " |"
        )


if __name__ == "__main__":
    main()
