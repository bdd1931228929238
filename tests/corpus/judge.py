"""Are tiles found as they should be?

Enters: a mask of the corpus, how its tiles are found, and a seed. Leaves: for each role how many tiles are visited and
taken for full, beside how many have to be and are. A tile that is missed, or taken for full while some pair of it is
hidden, is an error at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from corpus import Mask
from found import Finder, finder_of
from integer_oracle import heads
from truth import FULL, NONE, ROLES, Matrix, Role, classes_of, in_role, pairs_of

from attnc.ir.nodes import Attention

BLOCKS = (16, 32, 64)
CLOSE_ENOUGH = 1.10

# What docs/masks.md reports, and the marks of loose masks go by.
MANY_CALLS, SEED = 100, 2024


@dataclass
class Score:
    visited: int = 0
    seen: int = 0
    full: int = 0
    truly_full: int = 0

    @property
    def tight(self) -> float:
        """Visited tiles for each tile that has to be visited: 1 is best, and no less is possible."""
        return self.visited / self.seen if self.seen else 1.0

    @property
    def is_tight(self) -> bool:
        return self.tight <= CLOSE_ENOUGH

    @property
    def filled(self) -> float | None:
        """The share of full tiles that is found; None where no tile is full."""
        return self.full / self.truly_full if self.truly_full else None

    def add(self, found: Matrix, truth: Matrix, where: object) -> None:
        missed = np.argwhere((found == NONE) & (truth != NONE))
        assert not len(missed), f"missed tiles {missed.tolist()} of {where}"
        wrong = np.argwhere((found == FULL) & (truth != FULL))
        assert not len(wrong), f"wrongly full tiles {wrong.tolist()} of {where}"
        self.visited += int((found != NONE).sum())
        self.seen += int((truth != NONE).sum())
        self.full += int((found == FULL).sum())
        self.truly_full += int((truth == FULL).sum())


def judge(mask: Mask, calls: int, seed: int = SEED) -> dict[Role, Score]:
    """The scores of a mask over random calls; the same ones for the same seed."""
    compilation = mask.compilation()
    finders = {role: finder_of(compilation, role) for role in ROLES}
    scores = {role: Score() for role in ROLES}
    random = np.random.default_rng((seed, crc32(mask.name.encode())))
    for _ in range(calls):
        rows, columns = (int(block) for block in random.choice(BLOCKS, 2))
        judge_call(compilation.attention, mask.draw(random), finders, rows, columns, scores)
    return scores


def judge_call(
    attention: Attention,
    drawn: dict[str, Any],
    finders: dict[Role, Finder],
    rows: int,
    columns: int,
    scores: dict[Role, Score],
) -> None:
    """One call; tiles have `rows` positions of the role's own and `columns` of the others."""
    values = {name: _plain(value) for name, value in drawn.items()}
    for here, arrays in zip(heads(attention.mask, values), heads(attention.mask, drawn), strict=True):
        seen = pairs_of(attention.mask, arrays)
        for role, finder in finders.items():
            truth = classes_of(in_role(seen, role), rows, columns)
            sizes = {name: here[name] for name in ("N", "M", "b", "h")}
            scores[role].add(finder.classes(here, rows, columns), truth, (role, rows, columns, sizes))


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value
