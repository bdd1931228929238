"""Writes docs/masks.md: `python tests/corpus/report.py` (two minutes; names of masks after it print their rows alone).

Enters: the corpus. Leaves: one row for each mask: where it comes from, what it says, how long its analysis took, and
how close the tiles that are found come to those that have to be.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import process_time

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "corpus")]

from corpus import CORPUS, DOCUMENTS, FLASHMASK, FORTY, GRIDS, GYM, POSITIONS, TABLES, Mask, file_of  # noqa: E402
from found import CLOSED, finder_of  # noqa: E402
from judge import CLOSE_ENOUGH, MANY_CALLS, Score, judge  # noqa: E402
from truth import ROLES, Role  # noqa: E402

PAGE = TESTS.parent / "docs" / "masks.md"
TIMES = 5

SECTIONS = {
    "Positions, heads and numbers": POSITIONS,
    "Arrays over tokens": DOCUMENTS,
    "Images and video": GRIDS,
    "Tables and lists": TABLES,
}

TOP = """\
# Masks

Which tiles attnc finds, for masks that people use. A tile is a block of queries by a block of keys. A kernel has to
visit it where some of its pairs are seen, and has to mask it unless all of them are. What is found may never be too
little: a tile that is missed, or wrongly left without a mask, ends the command that writes this page. What is too much
costs time, and this page says how much.

Keys are looked for with each tile of queries (the forward pass and dQ), queries with each tile of keys (dK and dV);
each has its columns:

- **found**: how. `closed form`: intervals whose ends the kernel computes from the place of its tile, in some masks one
  after the other for the rows of an image, or what else repeats (ADR 0013). `listed`: before the kernel runs, a test of
  each tile, and a look at all pairs of a tile where the test does not decide; a list is therefore exact, and costs time
  and memory of its own. Lists are those that the emitted module makes.
- **visited**: tiles that are visited, for each one that has to be. 1.00 is best, and the least there can be.
- **full**: of the tiles without a hidden pair, the share that is known to need no mask; `-` where there was no such
  tile.

**ms** is the processor time of the whole analysis once the file is read: both roles, and whether rows can be empty. It
is the median of {times}, on a cloud machine of two cores.

Each row sums over {calls} random calls, all batch entries and heads: up to some {longest} tokens, tiles of 16, 32 and
64 positions, other numbers of keys than of queries where the mask allows it. The page is made by
`python tests/corpus/report.py`; seeds are fixed, and only the times vary. How arguments are drawn:
[tests/corpus/corpus.py](../tests/corpus/corpus.py).
"""


@dataclass(frozen=True)
class Row:
    mask: Mask
    text: str
    milliseconds: float
    how: dict[Role, str]
    scores: dict[Role, Score]

    def is_closed(self, *roles: Role) -> bool:
        return all(self.how[role] == CLOSED for role in roles or ROLES)

    def is_tight(self) -> bool:
        return all(score.is_tight for score in self.scores.values())

    def finds_full(self) -> bool:
        """At least one full tile in 1.10, in both roles."""
        return all(score.filled is None or score.filled * CLOSE_ENOUGH >= 1 for score in self.scores.values())

    @property
    def line(self) -> str:
        parts = [f"{role_cells(self.how[role], self.scores[role])}" for role in ROLES]
        cells = [f"`{self.mask.name}`", ", ".join(self.mask.origins), f"`{self.text}`"]
        return "| " + " | ".join([*cells, f"{self.milliseconds:.0f}", *parts]) + " |"


def role_cells(how: str, score: Score) -> str:
    filled = "-" if score.filled is None else f"{rounded_down(score.filled):.2f}"
    return f"{how} | {rounded_up(score.tight):.2f} | {filled}"


def rounded_up(ratio: float) -> float:
    """A mask that visits a tile too many never reads 1.00."""
    return -(-ratio * 100 // 1) / 100 if ratio > 1 else ratio


def rounded_down(ratio: float) -> float:
    return ratio * 100 // 1 / 100 if ratio < 1 else ratio


def row_of(mask: Mask) -> Row:
    compilation = mask.compilation()
    text = (
        " ".join(compilation.attention.mask.span.text.split()) if compilation.attention.mask.span else "true"
    )
    how = {role: finder_of(compilation, role).how for role in ROLES}
    return Row(mask, text, median(analysis_times(mask)), how, judge(mask, MANY_CALLS))


def analysis_times(mask: Mask) -> list[float]:
    """In milliseconds; each of a compilation that knows nothing yet."""
    times = []
    for _ in range(TIMES):
        compilation = replace(mask.compilation())
        assert compilation.attention
        start = process_time()
        assert compilation.facts
        times.append((process_time() - start) * 1000)
    return times


def summary(rows: Sequence[Row]) -> list[str]:
    """The page in a few lines."""
    gym = [row for row in rows if GYM in row.mask.origins]
    closed = [row for row in rows if row.is_closed()]
    counts = {origin: sum(origin in row.mask.origins for row in rows) for origin in (FLASHMASK, FORTY)}
    return [
        f"- {len(rows)} masks: {len(gym)} of attention-gym, {counts[FLASHMASK]} for the families of FlashMask, "
        f"{counts[FORTY]} of the list that attnc began with.",
        f"- attention-gym: {sum(row.is_closed() for row in gym)} of {len(gym)} in closed form in both roles, "
        f"{sum(row.is_closed('keys') for row in gym)} for keys, {sum(row.is_tight() for row in gym)} "
        f"within {CLOSE_ENOUGH:.2f} however found.",
        f"- {len(closed)} masks in closed form in both roles, {sum(row.is_tight() for row in closed)} of them within "
        f"{CLOSE_ENOUGH:.2f} of what has to be visited, none below 1.00.",
        f"- {sum(row.is_tight() for row in rows)} of all within {CLOSE_ENOUGH:.2f}, however found; "
        f"{sum(row.finds_full() for row in rows)} find all full tiles but for the same share.",
        f"- analysis takes {median(row.milliseconds for row in rows):.0f} ms (median), "
        f"{max(row.milliseconds for row in rows):.0f} ms at most.",
    ]


def page(rows: Sequence[Row]) -> str:
    by_name = {row.mask.name: row for row in rows}
    lines = [TOP.format(times=TIMES, calls=MANY_CALLS, longest=500), "## In short", "", *summary(rows)]
    for title, masks in SECTIONS.items():
        spec = file_of(masks[0]).name
        lines += [
            "",
            f"## {title}",
            "",
            f"[{spec}](../tests/corpus/specs/{spec})",
            "",
            *table(by_name[m.name] for m in masks),
        ]
    return "\n".join(lines) + "\n"


def table(rows: Iterable[Row]) -> list[str]:
    head = ["mask", "from", "says", "ms", "keys found", "visited", "full", "queries found", "visited", "full"]
    return ["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *(row.line for row in rows)]


if __name__ == "__main__":
    if wanted := sys.argv[1:]:
        print("\n".join(table(row_of(mask) for mask in CORPUS if mask.name in wanted)))
    else:
        found = [row_of(mask) for mask in CORPUS]
        PAGE.write_text(page(found), encoding="utf-8")
        print(f"wrote {PAGE.name}; the marks of `corpus.LISTED` that go with it:")
        for row in found:
            if not row.is_closed():
                listed = {role: not row.is_closed(role) for role in ROLES}
                name = "BOTH" if all(listed.values()) else "KEYS" if listed["keys"] else "QUERIES"
                print(f'    "{row.mask.name}": {name},')
