"""What a normalization makes of the scores of a row.

Enters: an attention. Leaves: its `Weights`: which sums over keys a kernel needs, and a number that the result of each
row is multiplied with afterwards. A kernel exists for softmax. Other formulas with one sum of exponentials become
softmax, since

    exp(s) / (exp(z) + sum(exp(s))) = exp(s) / sum(exp(s)) * sigmoid(lse - z),   lse = log(sum(exp(s)))

and what stands behind the softmax is one number of a row. Its gradient goes back through the log-sum-exp. Laws are
applied to the formula as it stands, so what is found is equal over the reals to what is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

from attnc.algebra.products import factors_of, summands_of
from attnc.analyze.facts import Reason, Weights
from attnc.analyze.sums import find_sums
from attnc.ir import build
from attnc.ir.nodes import Attention, Count, LogSumExp, Real, RealCall, RealConst, RealOp, Row, Score
from attnc.ir.text import print_ir
from attnc.ir.walk import axes_of, walk

ZERO, ONE = RealConst(0.0), RealConst(1.0)


def find_weights(attention: Attention) -> Weights:
    """The class of `attention.normalize`."""
    formula = attention.normalize
    found = _as_softmax(formula)
    if found is None:
        return _as_sums(formula)
    shape, gate = found
    because = [Reason(f"{print_ir(formula)}: {shape}", formula.span)]
    if gate is not None:
        because.append(Reason("lse is log(sum(exp(s))); gradients of what it meets there go back through it"))
    what = "output" if gate is None else "softmax"
    passes = "one pass over the keys keeps a maximum and a sum of each row"
    because.append(Reason(f"{passes}; its {what} and log-sum-exp are saved"))
    return Weights("softmax", gate, tuple(because))


def _as_sums(formula: Real) -> Weights:
    found = find_sums(formula)
    if isinstance(found, str):
        why = "not softmax: one exp(s), divided by one sum(exp(s)) and numbers of the row"
        return Weights("other", None, (Reason(why, formula.span), Reason(found, formula.span)))
    because = [Reason(f"{print_ir(formula)}: the weight of a key is {print_ir(found.weight)}", formula.span)]
    sums = " and ".join(f"sum_{n} = sum({print_ir(each)})" for n, each in enumerate(found.sums, 1))
    if sums:
        because.append(Reason(f"{sums} over the keys of the row; gradients go back through it"))
    because.append(Reason("one pass over the keys adds up; there is no maximum to keep and no log-sum-exp"))
    return Weights("sums", found.gate, tuple(because), found.weight, found.sums)


@dataclass(frozen=True, slots=True)
class _Exponential:
    """`exp(s + shift)`."""

    shift: Real


def _as_softmax(formula: Real) -> tuple[str, Real | None] | None:
    """In words, and the number of the row behind the softmax; None where it is no softmax."""
    above, below = factors_of(formula)
    exponentials = [each for each in map(_exponential, above) if each]
    sums = [factor for factor in below if _holds_row(factor)]
    numbers = [f for f in above if not _exponential(f)], [f for f in below if f not in sums]
    if (
        len(exponentials) != 1
        or len(sums) != 1
        or not all(map(_is_number_of_row, (*numbers[0], *numbers[1])))
    ):
        return None
    joined = _sum_and_more(sums[0])
    if joined is None:
        return None
    inside, more = joined
    outside = exponentials[0]
    gate = _quotient(*numbers)
    if outside != inside or more:
        if not (_is_number_of_row(outside.shift) and _is_number_of_row(inside.shift)):
            return None
        apart = build.real("-", outside.shift, inside.shift)
        gate = build.real("*", gate, ONE if outside == inside else build.call("exp", apart))
        if more:
            gate = build.real("*", gate, _share(inside.shift, more))
        words = "softmax, but for a number of each row"
        if more:
            words = "softmax with weight that goes to no key"
        return words, gate
    words = "softmax" if outside.shift == ZERO else "softmax; what is subtracted from s cancels"
    return words, None if gate == ONE else gate


def _exponential(term: Real) -> _Exponential | None:
    """`exp(s)`, `exp(s + c)`, `exp(s - c)` with a `c` that is constant along the row."""
    match term:
        case RealCall("exp", Score()):
            return _Exponential(ZERO)
        case RealCall("exp", RealOp("+", Score(), c) | RealOp("+", c, Score())) if _is_constant_along_row(c):
            return _Exponential(c)
        case RealCall("exp", RealOp("-", Score(), c)) if _is_constant_along_row(c):
            return _Exponential(build.real("-", ZERO, c))
    return None


def _sum_and_more(term: Real) -> tuple[_Exponential, list[Real]] | None:
    """What is summed over the row, and the logarithms of what is added to the sum."""
    sums: list[_Exponential] = []
    more: list[Real] = []
    for part in summands_of(term):
        match part:
            case Row("sum", a) if exponential := _exponential(a):
                sums.append(exponential)
            case RealCall("exp", z) if _is_number_of_row(z):
                more.append(z)
            case RealConst(value) if value > 0:
                more.append(RealConst(log(value)))
            case _:
                return None
    return (sums[0], more) if len(sums) == 1 else None


def _share(shift: Real, more: list[Real]) -> Real:
    """`L / (L + sum(exp(more)))` of L = exp(lse + shift)."""
    lse = build.real("+", LogSumExp(), shift)
    if len(more) == 1:
        return build.call("sigmoid", build.real("-", lse, more[0]))
    total: Real = ONE
    for z in more:
        total = build.real("+", total, build.call("exp", build.real("-", z, lse)))
    return build.real("/", ONE, total)


def _quotient(above: list[Real], below: list[Real]) -> Real:
    result: Real = ONE
    for factor in above:
        result = build.real("*", result, factor)
    for factor in below:
        result = build.real("/", result, factor)
    return result


def _holds_row(term: Real) -> bool:
    return any(isinstance(part, Row | Count) for part in walk(term))


def _is_number_of_row(term: Real) -> bool:
    """One number of each row, which no key takes part in."""
    return (
        not _holds_row(term)
        and "j" not in axes_of(term)
        and not any(isinstance(part, Score) for part in walk(term))
    )


def _is_constant_along_row(term: Real) -> bool:
    """A row reduction is constant along its row, whatever stands in it; outside of one, `s` and `j` are not."""
    match term:
        case Row() | Count():
            return True
        case RealOp(_, a, b):
            return _is_constant_along_row(a) and _is_constant_along_row(b)
        case RealCall(_, a):
            return _is_constant_along_row(a)
    return "j" not in axes_of(term) and not any(isinstance(part, Score | Row) for part in walk(term))
