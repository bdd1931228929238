"""Where a call may read outside of an array.

Enters: an attention. Leaves: `Misread`s, in the order in which the interpreter would come upon them: an index that is
not proved to stay inside of its axis, and the condition under which a pair reads there. That is what the interpreter
asks for: the clauses of the mask and the branches of an `if` that lead to the read, and that the pair is visible,
unless the mask itself reads.

A condition on the score of the pair is found from q and k. One on a row, or on other vectors, is known to the kernels
alone: such a read is not checked, and a reason says so. Nor is it where too many conditions lead to it, or too many
other reads are checked: what is written for each grows with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from attnc.analyze.facts import Reason, TileTest
from attnc.analyze.ranges import make_plane, make_tile
from attnc.analyze.requirements import find_requirements
from attnc.ir import build
from attnc.ir.nodes import (
    KEY_HEAD,
    LOADS,
    TOTALS,
    And,
    Attention,
    Bool,
    BoolIf,
    Count,
    Dot,
    Floor,
    Index,
    Int,
    IntConst,
    IntIf,
    Member,
    Node,
    Or,
    RealConst,
    RealIf,
    Row,
    Score,
    Size,
    SumD,
    Vec,
    VecIf,
    VecInput,
    VecLoad,
)
from attnc.ir.walk import Axis, axes_of, holds, replace_terms, walk
from attnc.sets.convert import to_bool, to_polynomial, to_predicate
from attnc.sets.prover import Prover
from attnc.sets.tile_test import Pairs

DOT = Dot(VecInput("q"), VecInput("k"))
OF_KERNELS = (Dot, SumD, Row, Count)
ZERO = RealConst(0.0)
MOST_CONDITIONS, MOST_MISREADS = 24, 16
Conditions = tuple[Bool, ...]


@dataclass(frozen=True, slots=True)
class Misread:
    """`array` is read outside of its `axis`, of this `size`, where `holds` does; `axes` name the place of the read."""

    array: str
    axis: int
    index: Int
    size: Int
    axes: tuple[Axis, ...]
    holds: Bool
    tiles: TileTest


@dataclass(frozen=True, slots=True)
class Misreads:
    """The misreads that can be checked; reasons speak of the others too."""

    checked: tuple[Misread, ...]
    because: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class _Read:
    array: str
    index: tuple[Int, ...]
    where: Conditions
    axes: tuple[Axis, ...]


def find_misreads(attention: Attention) -> Misreads:
    requires = find_requirements(attention.mask)
    keys, queries = (make_plane(axis, requires, attention.params) for axis in ("i", "j"))
    tiles = Pairs(((keys, make_tile("j")), (queries, make_tile("i"))))
    found: dict[tuple[str, int, Int, Bool], Misread] = {}
    because: dict[tuple[str, int, bool], Reason] = {}
    provers: dict[tuple[int, ...], tuple[Conditions, Prover]] = {(): ((), queries.prover)}

    def given(where: Conditions) -> Prover:
        key = tuple(map(id, where))
        if key not in provers:
            provers[key] = where, given(where[:-1]).given(to_predicate(where[-1]))
        return provers[key][1]

    for read in _reads_of(attention):
        sizes = attention.param(read.array).sizes
        is_near = len(read.where) <= MOST_CONDITIONS
        for axis, (index, size) in enumerate(zip(read.index, sizes, strict=False)):
            outside = _outside(index, size, queries.prover)
            if outside is not None and is_near:
                outside = _outside(index, size, given(read.where))
            if outside is None:
                continue
            is_known = is_near and len(found) < MOST_MISREADS and _is_known(index, read.where)
            if is_known:
                misread = build.conj(*read.where, outside)
                predicate = to_predicate(misread)
                test = TileTest(to_bool(tiles.may_hold(predicate)), to_bool(tiles.must_hold(predicate)))
                if test.some == build.FALSE:
                    continue
                key = read.array, axis, index, misread
                found.setdefault(key, Misread(*key[:3], size, read.axes, misread, test))
            because.setdefault((read.array, axis, is_known), _reason(read.array, axis, index, is_known))
    return Misreads(tuple(found.values()), tuple(because.values()))


def _reason(array: str, axis: int, index: Int, is_known: bool) -> Reason:
    how = ", and no call checks it"
    if is_known:
        how = ": calls on the CPU check it, and kernels that are built with `check_reads`"
    return Reason(f"an index of `{array}` is not proved to stay inside of axis {axis}{how}", index.span)


def _outside(index: Int, size: Int, known: Prover) -> Bool | None:
    """What is to be asked of an index; None where it is proved to be inside."""
    if (index, size) == (KEY_HEAD, Size("HKV")):
        return None
    below = build.compare("<", index, IntConst(0))
    beyond = build.compare("<=", size, index)
    place = to_polynomial(index)
    asked = [] if known.prove_nonnegative(place) else [below]
    if not known.prove_less(place, to_polynomial(size)):
        asked.append(beyond)
    return build.disj(*asked) if asked else None


def _is_known(index: Int, where: Conditions) -> bool:
    """Can a pair be asked, by its own vectors alone? An int has to be exact, so none is found through its score."""
    if holds(index, *OF_KERNELS):
        return False
    floors = (part for condition in where for part in walk(condition) if isinstance(part, Floor))
    if any(holds(part, *OF_KERNELS) for part in floors):
        return False
    without = (replace_terms(condition, lambda part: ZERO if part == DOT else None) for condition in where)
    return not any(holds(condition, *OF_KERNELS) for condition in without)


# ---- reads, in the order of the interpreter --------------------------------------------------------

PAIR: tuple[Axis, ...] = ("b", "h", "i", "j")
QUERY: tuple[Axis, ...] = ("b", "h", "i")
KEY: tuple[Axis, ...] = ("b", "h", "j")


def _reads_of(attention: Attention) -> Iterator[_Read]:
    visible = (attention.mask,)
    at_query = replace_terms(attention.value, lambda part: Index("i") if part == Index("j") else None)
    assert isinstance(at_query, Vec)
    mapped = {"q": attention.query, "k": attention.key}
    normalize = replace_terms(attention.normalize, lambda part: attention.score if part == Score() else None)
    yield from _Reader(PAIR, visible, {}).read(attention.mask, ())
    yield from _Reader(PAIR, visible, mapped).read(attention.score, visible)
    yield from _Reader(PAIR, visible, {}).read(normalize, visible)
    yield from _Reader(KEY, visible, {}).read(attention.value, visible)
    yield from _Reader(QUERY, visible, {"v_i": at_query}).read(attention.output, visible)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Goes through a clause that is evaluated at places with these `axes`, where `mapped` vectors have a clause."""

    axes: tuple[Axis, ...]
    visible: Conditions
    mapped: Mapping[str, Vec]
    seen: dict[tuple[int, ...], Conditions] = field(default_factory=dict)

    def read(self, node: Node, where: Conditions) -> Iterator[_Read]:
        key = (id(node), *map(id, where))
        if key in self.seen:  # a term that stands in several places
            return
        self.seen[key] = where
        match node:
            case And(items) | Or(items):
                for item in items:
                    yield from self.read(item, where)
                    where = (*where, item if isinstance(node, And) else build.negate(item))
            case IntIf(cond, a, b) | BoolIf(cond, a, b) | RealIf(cond, a, b) | VecIf(cond, a, b):
                yield from self.read(cond, where)
                yield from self.read(a, (*where, cond))
                yield from self.read(b, (*where, build.negate(cond)))
            case Row(_, a):  # over all visible keys, whichever pair asks
                yield from self.read(a, self.visible)
            case Dot(a, b) if self.axes == PAIR and (sides := _sides(a, b)):
                for side, axes in zip(sides, (QUERY, KEY), strict=True):
                    yield from _Reader(axes, self.visible, self.mapped).read(side, where)
            case VecInput(name) if name in self.mapped:
                yield from _Reader(self.axes, self.visible, {}).read(self.mapped[name], where)
            case _:
                for child in node.children:
                    yield from self.read(child, where)
                if isinstance(node, (*LOADS, VecLoad, Member)):
                    yield _Read(node.array, node.index, where, self.axes)
                if isinstance(node, TOTALS):  # the last of those in front of its end, if there are some
                    *before, end = node.index
                    last = build.integer("-", end, IntConst(1))
                    there = build.compare("!=", end, IntConst(0))
                    yield _Read(node.array, (*before, last), (*where, there), self.axes)


def _sides(a: Vec, b: Vec) -> tuple[Vec, Vec] | None:
    """The vector of the query and that of the key, which are read once for a token; None where one is of both."""
    on_a, on_b = axes_of(a), axes_of(b)
    if "j" not in on_a and "i" not in on_b:
        return a, b
    return (b, a) if "j" not in on_b and "i" not in on_a else None
