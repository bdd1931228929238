"""Maps of single tokens: what torch computes for every query or every key before the kernels run.

Values: `TokenMap`, one of them; `DotPair`, a dot product of two tensors that such maps may have made; `Hoisted`, an
attention and all that was taken out of it. `hoist.py` and `ranks.py` make them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from attnc.analyze.facts import Reason
from attnc.ir.nodes import Attention, Dot, Node, Size
from attnc.ir.text import print_ir
from attnc.ir.walk import Axis, replace_terms

SIZES: Mapping[Axis, Size] = {"b": Size("B"), "h": Size("H"), "i": Size("N"), "j": Size("M")}


@dataclass(frozen=True, slots=True)
class TokenMap:
    """The map `name = term`, for every query or every key. `side` says which; `width` names the size of its last axis.

    A vector leaves a tensor [B, heads, tokens, width]; a number leaves [B, H, tokens] and has the width "". The side
    `distance` leaves an int32 for each distance j - i, from 1 - N to M - 1; the side `rank` an int32 for each token,
    the place of a value in a sorted array; the side `condition` a truth for each token or pair that it speaks of.

    Where `table` is a dimension of the array in a dot product, the map is that product with each of its rows: a tensor
    [B, H, tokens, rows].
    """

    name: str
    side: str
    term: Node
    width: str
    table: int | None = None


@dataclass(frozen=True, slots=True)
class DotPair:
    """A dot product of a tensor of queries and a tensor of keys, of the named width."""

    dot: Dot
    query: str
    key: str
    width: str


@dataclass(frozen=True, slots=True)
class Hoisted:
    """An attention whose work on single tokens was taken out.

    `reads` says what kernels read in the place of a number of one token, or of a condition that knows vectors.
    `stands_for` has what each reading of an array that nobody wrote takes the place of.
    """

    attention: Attention
    maps: tuple[TokenMap, ...]
    dots: tuple[DotPair, ...]
    per_query_head: bool
    reads: Mapping[Node, Node]
    because: tuple[Reason, ...]
    stands_for: Mapping[Node, Node]


def print_as_written(term: Node, stands_for: Mapping[Node, Node]) -> str:
    """A term without the arrays that nobody wrote."""

    def undo(part: Node) -> Node | None:
        return replace_terms(stands_for[part], undo) if part in stands_for else None

    return print_ir(replace_terms(term, undo))
