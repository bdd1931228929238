"""Places in sorted arrays, moved out of the kernels.

Enters: the ranges of an attention, whose ends may look for a value in a sorted array. Leaves: for each such place a
read of a new array, and `TokenMap`s: torch finds the place of every token once, before the kernels run. A search in a
kernel would be a chain of dependent reads in every program.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from attnc.analyze.facts import Ranges, Reason
from attnc.errors import CompilerBug
from attnc.ir.nodes import Attention, Index, Int, IntConst, IntLoad, IntOp, Node, Param, Rank, TileEnd
from attnc.ir.walk import Axis, axes_of, holds, replace_terms, walk
from attnc.kernel.build import function
from attnc.kernel.expressions import Expr, List, Lit, Var
from attnc.lower.names import fresh_name
from attnc.lower.token_maps import SIZES, TokenMap
from attnc.lower.torch_terms import TorchTerms, is_number, torch

Where = Mapping[Axis, Int]


@dataclass(frozen=True, slots=True)
class Ranked:
    """The ranks of ranges, taken out: `reads` has a read of a new array for every `Rank` that stands in them."""

    reads: Mapping[Node, IntLoad]
    maps: tuple[TokenMap, ...]
    params: tuple[Param, ...]
    because: tuple[Reason, ...]


def hoist_ranks(ranges: Iterable[Ranges], params: tuple[Param, ...]) -> Ranked:
    """Find the places that ranges ask for, outermost ones first."""
    work = _Ranks({p.name: p.sizes for p in params})
    for each in ranges:
        for end in each.ends:
            replace_terms(end, work.read, Rank)
    because: tuple[Reason, ...] = ()
    if work.maps:
        because = (Reason("places in sorted arrays are found once per token, before the kernels"),)
    return Ranked(work.reads, tuple(work.maps), tuple(work.params), because)


class _Ranks:
    def __init__(self, sizes: Mapping[str, tuple[Int, ...]]) -> None:
        self.sizes = sizes
        self.taken = set(sizes)
        self.names: dict[Node, str] = {}
        self.reads: dict[Node, IntLoad] = {}
        self.maps: list[TokenMap] = []
        self.params: list[Param] = []

    def read(self, term: Node) -> Node | None:
        """The place of a token, read where the term speaks of it: at an end of a tile, or at a position."""
        if not isinstance(term, Rank):
            return None
        general, where = self._of_every_entry(term) or _of_every_token(term)
        axes = [axis for axis in SIZES if axis in axes_of(general)]
        if {"i", "j"} <= set(axes) or holds(general, TileEnd):
            raise CompilerBug(f"the place {term!r} is not that of one token")
        index = tuple(where.get(axis, Index(axis)) for axis in axes) or (IntConst(0),)
        self.reads[term] = IntLoad(self._name(general, axes), index)
        return self.reads[term]

    def _of_every_entry(self, term: Rank) -> tuple[Rank, Where] | None:
        """`rank(doc[b, :], doc[b, x])` for every entry of `doc`, and `x`: queries and keys share what is found."""
        for load in walk(term):
            match load:
                case IntLoad(array, (*row, x)) if _speaks_of_a_token(x):
                    size = self.sizes[array][-1]
                    axis: Axis | None = "i" if size == SIZES["i"] else "j" if size == SIZES["j"] else None
                    if axis:
                        entry = IntLoad(array, (*row, Index(axis)), span=load.span)
                        general = replace_terms(term, lambda part: entry if part == load else None)  # noqa: B023
                        rest = replace_terms(general, lambda part: IntConst(0) if part == entry else None)  # noqa: B023
                        if isinstance(general, Rank) and not _speaks_of_a_token(rest):
                            return general, {axis: x}
        return None

    def _name(self, term: Node, axes: list[Axis]) -> str:
        if term not in self.names:
            name = fresh_name(_spell(term), self.taken)
            self.taken.add(name)
            self.names[term] = name
            self.maps.append(TokenMap(name, "rank", term, ""))
            self.params.append(Param(name, "int", sizes=tuple(SIZES[a] for a in axes) or (IntConst(1),)))
        return self.names[term]


def _of_every_token(term: Rank) -> tuple[Rank, Where]:
    """The place as a term of a position in place of an end of a tile, and that end."""
    ends = {part for part in walk(term) if isinstance(part, TileEnd)}
    general = replace_terms(term, lambda part: Index(part.axis) if isinstance(part, TileEnd) else None)
    assert isinstance(general, Rank)
    if len(ends) > 1:
        raise CompilerBug(f"the place {term!r} speaks of two ends")
    return general, {end.axis: end for end in ends}


def _speaks_of_a_token(term: Node) -> bool:
    return bool(axes_of(term) & {"i", "j"}) or holds(term, TileEnd)


def _spell(term: Node) -> str:
    """`doc_start` for the first token with the same entry as this one, `doc_end` for the end of them."""
    match term:
        case Rank(array, _, IntLoad(read)) if read == array:
            return f"{array}_start"
        case Rank(array, _, IntOp("+", IntLoad(read), IntConst(1))) if read == array:
            return f"{array}_end"
        case Rank(array):
            return f"{array}_rank"
    raise CompilerBug(f"{term!r} is no place")


# ---- as torch operations ---------------------------------------------------------------------------


def find_places(attention: Attention, term: Rank) -> Expr:
    """The places of all tokens, as a tensor over the axes that they depend on."""
    axes = [axis for axis in SIZES if axis in axes_of(term)]
    found = _Dense(attention, axes)(term)
    return found[..., 0] if axes and axes[-1] in "bh" else found


DEVICE = Var("q").attr("device")


class _Dense(TorchTerms):
    """Terms as tensors over some axes alone, in order; a place, which has no position, has one all the same."""

    def __init__(self, attention: Attention, axes: list[Axis]) -> None:
        positions: dict[Node, Expr] = {}
        for place, axis in enumerate(axes):
            every = torch.arange(Var(SIZES[axis].name), device=DEVICE)
            behind = len(axes) - 1 - place
            positions[Index(axis)] = every[(slice(None), *[Lit(None)] * behind)] if behind else every
        super().__init__(attention, positions)
        self.axes = axes

    def _int(self, term: Int) -> Expr:
        if not isinstance(term, Rank):
            return super()._int(term)
        heads = [axis for axis in self.axes if axis in "bh"]
        value = self(term.value)
        if is_number(term.value):
            value = torch.tensor(List((value,)), device=DEVICE)
        elif self.axes == heads:
            value = value[..., None]
        return function("_rank")(_Dense(self.attention, heads)._row(term), value)

    def load(self, array: str, index: tuple[Int, ...]) -> Expr:
        if self._is_natural(index, self.attention.param(array).sizes):
            return self._laid_out(Var(self.attention.variable(array)), index)
        return super().load(array, index)

    def _row(self, term: Rank) -> Expr:
        """The rows of the array that is searched: [..., size]."""
        sizes = self.attention.param(term.array).sizes[:-1]
        array: Expr = Var(self.attention.variable(term.array))
        if self._is_natural(term.index, sizes):
            return self._laid_out(array, term.index)
        return array[tuple(self.clamped(item, size) for item, size in zip(term.index, sizes, strict=True))]

    def _is_natural(self, index: tuple[Int, ...], sizes: tuple[Int, ...]) -> bool:
        """Does it name axes of its own sizes, in order?"""
        named = [item.axis for item in index if isinstance(item, Index)]
        return all(map(self.is_whole_axis, index, sizes)) and named == [a for a in self.axes if a in named]

    def _laid_out(self, array: Expr, index: tuple[Int, ...]) -> Expr:
        named = [item.axis for item in index if isinstance(item, Index)]
        items = [slice(None) if axis in named else Lit(None) for axis in self.axes]
        while items and isinstance(items[0], Lit):
            items.pop(0)
        return array[tuple(items)] if Lit(None) in items else array
