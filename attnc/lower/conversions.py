"""Integers of a pair as reals, from one conversion for each token.

Enters: the conversion of an integer to a real, in a tile of queries against keys. Leaves: an equal term whose parts
know one side of the pair each. With `k0` the first key of a tile,

    real(i - j) = real(i - k0) - real(j - k0)

so that a loop converts a vector of queries and one of keys, where it would convert every pair, and subtracts reals.
What is taken away is a place within a tile, so the two parts are exact, and their difference is, wherever the integer
is below 2 ** 24 by a tile; beyond that, what is rounded is the integer at the first key of the tile. Conversion keeps
order, so it goes inside of `abs`, `min` and `max`.
"""

from __future__ import annotations

from typing import Literal

from attnc.ir import build
from attnc.ir.nodes import (
    FromInt,
    Index,
    Int,
    IntAbs,
    IntConst,
    IntOp,
    Node,
    Real,
    RealConst,
    RealOp,
    TileEnd,
)
from attnc.ir.walk import axes_of, replace_terms, walk

Position = Literal["i", "j"]


def convert_by_token(term: FromInt, moving: Position) -> Real:
    """The conversion by tokens; the term itself where it has no such form. `moving` is what a loop moves along."""
    if not _is_of_pair(term):
        return term
    match term.a:
        case IntAbs(a):
            return build.call("abs", build.from_int(a), span=term.span)
        case IntOp("min" | "max" as op, a, b):
            return build.real(op, build.from_int(a), build.from_int(b), span=term.span)
    for axis in (moving, "i" if moving == "j" else "j"):
        step = _step(term.a, axis)
        if step is not None:
            return _apart(term, axis, step)
    return term


def name_by_token(term: Node) -> str | None:
    """A name for the sum of two conversions, one of a query and one of a key: is the key ahead, or behind?"""
    match term:
        case RealOp("+" | "-" as op, FromInt(), FromInt() as within) if _is_of_pair(term):
            return "ahead_term" if (op == "+") == ("j" in axes_of(within)) else "behind_term"
    return None


def find_converted(term: Node) -> list[Int]:
    """The integers of a pair in a term which loops convert by tokens, each once."""
    numbers = [part.a for part in walk(term) if isinstance(part, FromInt)]
    found: dict[Int, None] = {}
    while numbers:
        match number := numbers.pop(0):
            case IntAbs(a):
                numbers.insert(0, a)
            case IntOp("min" | "max", a, b):
                numbers[:0] = [a, b]
            case _ if _is_linear(FromInt(number)):
                found.setdefault(number)
    return list(found)


def turn_around(term: Real) -> Real:
    """The term with each `real(i - j)` as `-real(j - i)`.

    A compiler keeps what it has computed, and a distance that the score has would stay in registers, one for each
    pair, until a gradient needs it again, past the matrix products. The other way round it is one subtraction more.
    """
    turned = replace_terms(term, _turned, FromInt)
    assert isinstance(turned, Real)
    return turned


def _turned(term: Node) -> Node | None:
    match term:
        case RealOp("-", RealConst(0.0), FromInt(a) as number) if _is_linear(number):
            return build.from_int(_opposite(a), span=term.span)
        case FromInt(IntAbs(a)) if _is_linear(FromInt(a)):
            return build.from_int(build.int_abs(_opposite(a)), span=term.span)
        case FromInt(a) if _is_linear(term):
            return build.negative(build.from_int(_opposite(a)), span=term.span)
    return None


def _is_of_pair(term: Real) -> bool:
    return {"i", "j"} <= axes_of(term)


def _is_linear(term: FromInt) -> bool:
    """Is it one of a pair, and of one of the two positions a multiple?"""
    return _is_of_pair(term) and (_step(term.a, "i") is not None or _step(term.a, "j") is not None)


def _opposite(a: Int) -> Int:
    match a:
        case IntOp("-", x, y):
            return build.integer("-", y, x)
    return build.negative(a)


def _apart(term: FromInt, axis: Position, step: int) -> Real:
    """The term at the first position of a tile, and what the position within the tile adds."""
    position, first = Index(axis), TileEnd(axis, "first")
    there = replace_terms(term.a, lambda part: first if part == position else None)
    assert isinstance(there, Int)
    within = build.integer("*", IntConst(abs(step)), build.integer("-", position, first))
    op: Literal["+", "-"] = "+" if step > 0 else "-"
    return build.real(op, build.from_int(there), build.from_int(within), span=term.span)


def _step(term: Int, axis: Position) -> int | None:
    """How much the term grows with each step of a position; None where that is not one number."""
    match term:
        case Index(name) if name == axis:
            return 1
        case IntOp("+" | "-" as op, a, b):
            x, y = _step(a, axis), _step(b, axis)
            return None if x is None or y is None else x + y if op == "+" else x - y
        case IntOp("*", IntConst(factor), a) | IntOp("*", a, IntConst(factor)):
            x = _step(a, axis)
            return None if x is None else factor * x
    return None if axis in axes_of(term) else 0
