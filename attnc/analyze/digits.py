"""Digits of positions: which parts of a term are coordinates of a grid.

Enters: a mask, and the axes of a grid, or none. Leaves: the axes, and the mask with a `Coordinate` for each digit.

A position is a number with a digit for each axis, in a mixed radix: `i // cols` and `i % cols`, in three dimensions
`i // (rows * cols)`, `i // cols % rows` and `i % cols`. A run of digits, `position // lo % (hi // lo)` with `lo` and
`hi` among the strides, is made of those in it. `position >= lo * n` says `n` of the outermost digit, if `lo` is its
stride.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from attnc.analyze.grid_facts import Axis, Digit
from attnc.ir import build
from attnc.ir.nodes import Attention, Bool, Compare, Coordinate, Index, Int, IntConst, IntOp, Node, Size
from attnc.ir.walk import axes_of, replace_terms, walk
from attnc.sets.convert import to_int, to_polynomial
from attnc.sets.divisions import times_of
from attnc.sets.polynomial import ONE, Polynomial
from attnc.sets.prover import Prover

Side = Literal["i", "j"]
SIDES: tuple[Side, ...] = ("i", "j")
COUNT = {"i": Size("N"), "j": Size("M")}

# Names of axes that nobody named, the innermost last; that of one within which no mask tells tokens apart.
NAMES = ("t", "y", "x")
UNTOLD = "token"
MOST_AXES = 6


@dataclass(frozen=True)
class Run:
    """A run of digits of a position: `position // lo % (hi // lo)`; up to the outermost where `hi` is None."""

    side: Side
    lo: Polynomial
    hi: Polynomial | None


def run_of(term: Node) -> Run | None:
    """The digits that a term is, if it is nothing else and all divisors are what the requirements make them."""
    match term:
        case Index("i" | "j" as side):
            return Run(side, ONE, None)
        case IntOp("//" | "%" as op, a, n) if not axes_of(n) & {"i", "j"}:
            inner = run_of(a)
            if inner is None:
                return None
            end = inner.lo * to_polynomial(n)
            if inner.hi is not None and times_of(inner.hi, end) is None:
                return None
            return Run(inner.side, end, inner.hi) if op == "//" else Run(inner.side, inner.lo, end)
        case _:
            return None


# ---- which axes there are --------------------------------------------------------------------------


def declared_axes(attention: Attention) -> tuple[Axis, ...] | None:
    """Those of the grid; None where queries and keys have others."""
    of = {side: [axis for axis in attention.grid if axis.side == side] for side in ("query", "key")}
    names = [axis.name for axis in of["query"]]
    if names != [axis.name for axis in of["key"]]:
        return None
    query, key = (_digits([axis.extent for axis in of[side]]) for side in ("query", "key"))
    return tuple(Axis(*each) for each in zip(names, query, key, strict=True))


def _digits(extents: Sequence[Int]) -> list[Digit]:
    found: list[Digit] = []
    stride: Int = IntConst(1)
    for extent in reversed(extents):
        found.append(Digit(stride, extent))
        stride = build.integer("*", extent, stride)
    return found[::-1]


def inferred_axes(mask: Bool, prover: Prover) -> tuple[Axis, ...] | None:
    """Those of a mask that divides queries and keys by the same numbers; an inner digit has to be among the terms."""
    runs = {
        side: {run for term in walk(mask) if (run := run_of(term)) and run.side == side} for side in SIDES
    }
    strides = _strides(runs["i"])
    if not strides or strides != _strides(runs["j"]) or len(strides) + 1 > MOST_AXES:
        return None
    if not all(prover.prove_nonnegative(stride - 1) for stride in strides):
        return None
    chain = [ONE, *strides]
    if not all(any(run.lo in chain and run.hi in chain for run in runs[side]) for side in SIDES):
        return None
    is_told = any(run.lo == ONE and run.hi is not None for side in SIDES for run in runs[side])
    digits = [Digit(to_int(lo), to_int(times)) for lo, times in zip(chain, _ratios(chain), strict=False)]
    last = to_int(chain[-1])
    outer = [
        Digit(last, build.integer("+", build.integer("//", _last(side), last), IntConst(1))) for side in SIDES
    ]
    names = _names(len(chain), is_told)
    inner = [Axis(name, digit, digit) for name, digit in zip(names[1:], digits[::-1], strict=True)]
    return Axis(names[0], *outer), *inner


def line() -> tuple[Axis, ...]:
    """The axis of tokens in a row."""
    return (Axis(UNTOLD, *(Digit(IntConst(1), COUNT[side]) for side in SIDES)),)


def _last(side: Side) -> Int:
    return build.integer("-", COUNT[side], IntConst(1))


def _names(count: int, is_told: bool) -> tuple[str, ...]:
    named = count if is_told else count - 1
    more = tuple(f"a{n}" for n in range(named - len(NAMES)))
    return (*more, *NAMES[max(len(NAMES) - named, 0) :], *(() if is_told else (UNTOLD,)))


def _ratios(chain: Sequence[Polynomial]) -> Iterator[Polynomial]:
    for lo, hi in pairwise(chain):
        times = times_of(hi, lo)
        assert times is not None
        yield times


def _strides(runs: set[Run]) -> list[Polynomial]:
    """The numbers that digits begin at, each a multiple of the one before; none where they are no such chain.

    `i // n` and `i % n` name one; `i // cols % rows` does where `i // (rows * cols)` stands beside it. What else a
    coordinate is divided by, as in `i // cols % size`, is no stride.
    """
    starts = {run.lo for run in runs}
    found = {run.lo for run in runs if run.hi is not None and run.lo != ONE}
    found |= {run.hi for run in runs if run.hi is not None and (run.lo == ONE or run.hi in starts)}
    if not found:
        return []
    in_order = sorted(found, key=lambda n: (sum(times_of(n, other) is not None for other in found), n))
    is_chain = all(times_of(b, a) is not None for a, b in pairwise(in_order))
    return in_order if is_chain else []


# ---- the mask in coordinates -----------------------------------------------------------------------


def in_coordinates(mask: Bool, axes: Sequence[Axis]) -> Bool:
    """The mask with a coordinate for each digit. What else it says of positions stays as it is."""
    places = {side: _Places(side, axes) for side in SIDES}

    def change(node: Node) -> Node | None:
        match node:
            case Compare("<" | "<=" as op, a, b):
                return _threshold(op == "<", a, b, places)
            case IntOp("//" | "%"):
                run = run_of(node)
                return places[run.side].term(run) if run else None
            case Index("i" | "j" as side) if len(axes) == 1:
                return Coordinate(side, axes[0].name)
        return None

    found = replace_terms(mask, change)
    assert isinstance(found, Bool)
    return found


def _threshold(is_less: bool, a: Node, b: Node, places: dict[Side, _Places]) -> Bool | None:
    """`run >= n` and `run < n`, where the run begins within the innermost digits and ends with the outermost."""
    one, two = run_of(a), run_of(b)
    if two and two.hi is None and isinstance(a, Int) and not axes_of(a) & {"i", "j"}:
        return places[two.side].from_on(two.lo * (to_polynomial(a) + (1 if is_less else 0)))
    if one and one.hi is None and isinstance(b, Int) and not axes_of(b) & {"i", "j"}:
        begun = places[one.side].from_on(one.lo * (to_polynomial(b) + (0 if is_less else 1)))
        return begun and build.negate(begun)
    return None


@dataclass(frozen=True)
class _Places:
    """The digits of one side."""

    side: Side
    axes: Sequence[Axis]

    @property
    def strides(self) -> list[Polynomial]:
        """Of each axis, the outermost first."""
        return [to_polynomial((axis.query if self.side == "i" else axis.key).stride) for axis in self.axes]

    @property
    def count(self) -> Polynomial:
        """How many tokens the outermost digit counts up to."""
        digit = self.axes[0].query if self.side == "i" else self.axes[0].key
        return self.strides[0] * to_polynomial(digit.size)

    def coordinate(self, at: int) -> Int:
        return Coordinate(self.side, self.axes[at].name)

    def term(self, run: Run) -> Int | None:
        """A run of digits in coordinates; None where it begins or ends within one."""
        strides = self.strides
        if run.hi is None and run.lo not in strides and len(strides) > 1:
            within = times_of(run.lo, strides[0])
            return None if within is None else build.integer("//", self.coordinate(0), to_int(within))
        ends = [None, *strides[:-1]]
        hi = None if run.hi == self.count else run.hi
        if run.lo not in strides or hi not in ends:
            return None
        first, last = ends.index(hi), strides.index(run.lo)
        whole: Int | None = None
        for at in range(first, last + 1):
            times = times_of(strides[at], run.lo)
            assert times is not None
            digit = build.integer("*", self.coordinate(at), to_int(times))
            whole = digit if whole is None else build.integer("+", whole, digit)
        return whole

    def from_on(self, position: Polynomial) -> Bool | None:
        """`position <= i` of the outermost digit; None where the position lies within a row of it."""
        number = times_of(position, self.strides[0])
        if number is None or len(self.axes) == 1:
            return None
        return build.compare("<=", to_int(number), self.coordinate(0))
