"""A stable form of a normalization: another spelling, whose exponentials cannot overflow.

Enters: a formula without a kernel. Leaves: the same weights as `exp(s - log(sum(exp(s))))` where they were written
`exp(s) / sum(exp(s))`, if that has a kernel. It is for the reader to take: what is computed is what is written, and
the two round differently.
"""

from __future__ import annotations

from dataclasses import replace

from attnc.algebra.products import factors_of, quotient
from attnc.analyze.row_terms import is_constant_along_row
from attnc.analyze.weights import find_weights
from attnc.ir import build
from attnc.ir.nodes import Attention, Node, Real, RealCall, RealConst, RealOp, Row
from attnc.ir.walk import replace_terms


def find_spelling(attention: Attention) -> Real | None:
    """The formula, spelled so that it has a kernel; None where that is not known."""
    formula = replace_terms(attention.normalize, _respell)
    if formula == attention.normalize or not isinstance(formula, Real):
        return None
    return None if find_weights(replace(attention, normalize=formula)).fold is None else formula


def _respell(term: Node) -> Node | None:
    """Sums below exponentials, as logarithms in them."""
    match term:
        case RealOp("*" | "/"):
            above, below = ([_inside(factor) for factor in side] for side in factors_of(term))
            return _with_logarithms(above, below)
        case RealCall("log", a):
            inside = _inside(a)
            return inside.a if isinstance(inside, RealCall) and inside.fn == "exp" else None
    return None


def _inside(term: Real) -> Real:
    found = replace_terms(term, _respell)
    assert isinstance(found, Real)
    return found


def _with_logarithms(above: list[Real], below: list[Real]) -> Real:
    """Each exponential takes a sum that divides it; the last one takes what is left of them."""
    sums = [(divisor, log) for divisor in below if (log := _logarithm(divisor)) is not None]
    exponentials = [
        n for n, factor in enumerate(above) if isinstance(factor, RealCall) and factor.fn == "exp"
    ]
    if not sums or not exponentials:
        return quotient(above, below)
    above = above.copy()
    for n in exponentials:
        here, sums = (sums[:1], sums[1:]) if n != exponentials[-1] else (sums, [])
        factor = above[n]
        assert isinstance(factor, RealCall)
        inside = factor.a
        for divisor, log in here:
            inside = build.real("-", inside, log)
            below = [other for other in below if other is not divisor]
        above[n] = build.call("exp", inside)
    return quotient(above, below)


def _logarithm(term: Real) -> Real | None:
    """Of a sum of exponentials, or a power of one."""
    match term:
        case Row("sum", RealCall("exp")):
            return build.call("log", term)
        case RealCall("sqrt", a):
            half = _logarithm(a)
            return half and build.real("/", half, RealConst(2.0))
        case RealOp("**", a, b) if is_constant_along_row(b):
            log = _logarithm(a)
            return log and build.real("*", b, log)
    return None
