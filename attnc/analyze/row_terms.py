"""Terms of a normalization, told apart: numbers of a row, numbers of a key, exponentials.

Enters: terms. Leaves: answers, each of them sound: what is called constant along the row is; of the rest nothing is
known.
"""

from __future__ import annotations

from dataclasses import dataclass

from attnc.algebra.products import factors_of, logarithm
from attnc.ir import build
from attnc.ir.nodes import Count, Node, Real, RealCall, RealConst, RealOp, Row, Score
from attnc.ir.signs import is_at_least_0
from attnc.ir.walk import axes_of, holds

ZERO = RealConst(0.0)


@dataclass(frozen=True, slots=True)
class Exponential:
    """`exp(core + shift)`, where `shift` is constant along the row."""

    core: Real
    shift: Real


def as_exponential(term: Real) -> Exponential | None:
    """An exponential of what knows the score, perhaps times what is not negative: x * exp(s) = exp(s + log(x))."""
    above, below = factors_of(term)
    growing = [f for f in above if isinstance(f, RealCall) and f.fn == "exp" and holds(f, Score)]
    others = [f for f in above if f not in growing]
    if (
        len(growing) != 1
        or below
        or not all(map(is_at_least_0, others))
        or is_constant_along_row(growing[0].a)
    ):
        return None
    core, shift = _apart(growing[0].a)
    for factor in others:
        core = build.real("+", core, logarithm(factor))
    return Exponential(core, shift)


def _apart(term: Real) -> tuple[Real, Real]:
    """A term as a core, and a shift that is constant along the row."""
    match term:
        case RealOp("+" | "-" as op, a, c) if is_constant_along_row(c):
            core, shift = _apart(a)
            return core, build.real(op, shift, c)
        case RealOp("+", c, a) if is_constant_along_row(c):
            core, shift = _apart(a)
            return core, build.real("+", c, shift)
        case RealOp("*" | "/" as op, a, c) if is_constant_along_row(c):
            core, shift = _apart(a)
            return (term, ZERO) if shift == ZERO else (build.real(op, core, c), build.real(op, shift, c))
        case RealOp("*", c, a) if is_constant_along_row(c):
            core, shift = _apart(a)
            return (term, ZERO) if shift == ZERO else (build.real("*", c, core), build.real("*", c, shift))
    return term, ZERO


def holds_row(term: Real) -> bool:
    """Is something of it found by going over the keys?"""
    return holds(term, Row, Count)


def is_number_of_row(term: Real) -> bool:
    """One number of each row, which no key takes part in."""
    return not holds_row(term) and "j" not in axes_of(term) and not holds(term, Score)


def is_constant_along_row(term: Node) -> bool:
    """A row reduction is constant along its row, whatever stands in it; outside of one, `s` and `j` are not."""
    match term:
        case Row() | Count():
            return True
        case Score():
            return False
    below = term.children
    return all(map(is_constant_along_row, below)) if below else "j" not in axes_of(term)


def knows_key(term: Real) -> bool:
    """Is it another number for another key of the row?"""
    return not is_constant_along_row(term)
