"""What a normalization makes of the scores of a row.

Enters: an attention. Leaves: its `Weights`: which sums over keys a kernel needs, in how many passes, and a number that
the result of each row is multiplied with afterwards. A formula with one sum of exponentials becomes softmax, since

    exp(s) / (exp(z) + sum(exp(s))) = exp(s) / sum(exp(s)) * sigmoid(lse - z),   lse = log(sum(exp(s)))

and what stands behind the softmax is one number of a row. Its gradient goes back through the log-sum-exp. What needs no
exponentials is plain sums. Where a weight, or a sum, needs a number of its whole row, an earlier pass finds it. Laws
are applied to the formula as it stands, so what is found is equal over the reals to what is written.
"""

from __future__ import annotations

from dataclasses import replace
from math import log

from attnc.algebra.fold import Softmax
from attnc.algebra.products import factors_of, quotient, summands_of
from attnc.analyze.facts import Reason, RowPass, Weights
from attnc.analyze.passes import Split, pair_exponentials, split_rows
from attnc.analyze.row_terms import Exponential, as_exponential, holds_row, is_number_of_row
from attnc.analyze.sums import find_sums
from attnc.ir import build
from attnc.ir.compose import with_clauses, with_score
from attnc.ir.nodes import (
    Attention,
    LogSumExp,
    Node,
    Real,
    RealCall,
    RealConst,
    RealIf,
    RealLoad,
    RealOp,
    Row,
    Score,
    VecIf,
    VecOp,
)
from attnc.ir.signs import is_at_least_0, is_positive
from attnc.ir.text import print_ir
from attnc.ir.walk import holds, replace_terms, walk

ZERO, ONE = RealConst(0.0), RealConst(1.0)
# Who writes a normalization that needs more of them wants something else.
MOST_PASSES = 16
NOT_SOFTMAX = "not softmax: one exp(s), divided by one sum(exp(s)) and numbers of the row"


def find_weights(attention: Attention) -> Weights:
    """The class of `attention.normalize`."""
    taken = {param.name for param in attention.params}
    formula, signs = _without_signs(attention)
    split = Split(formula)
    while True:
        found = _as_softmax(split) or _as_sums(split)
        if len(split.passes) > MOST_PASSES:
            found = f"it takes more than {MOST_PASSES} passes over the keys"
            return Weights(None, None, (Reason(NOT_SOFTMAX, formula.span), Reason(found, formula.span)))
        if isinstance(found, Weights):
            before = _needed(split.passes, found)
            earlier = [*signs, *(reason for each in before for reason in each.because)]
            return replace(found, because=(*earlier, *found.because), before=before)
        paired = pair_exponentials(split.formula)
        later = (
            replace(split, formula=replace(paired, span=formula.span))
            if paired != split.formula
            else split_rows(split, taken)
        )
        if not isinstance(later, Split):
            why = found if later is None else later
            return Weights(None, None, (Reason(NOT_SOFTMAX, formula.span), Reason(why, formula.span)))
        split = later


def _needed(passes: tuple[RowPass, ...], last: Weights) -> tuple[RowPass, ...]:
    """Without those whose numbers nobody reads: the maximum in exp(s - max(s)) / sum(exp(s - max(s))) cancels."""
    assert last.fold is not None
    terms = [last.fold.score, *last.fold.terms, *([] if last.gate is None else [last.gate])]
    kept: list[RowPass] = []
    for each in reversed(passes):
        read = {part.array for term in terms for part in walk(term) if isinstance(part, RealLoad)}
        if any(name in read for name, _ in each.numbers):
            kept.insert(0, each)
            terms += [each.fold.score, *each.fold.terms, *(number for _, number in each.numbers)]
    return tuple(kept)


def _without_signs(attention: Attention) -> tuple[Real, list[Reason]]:
    """The formula with `abs(x)` as `x`, where no score makes that negative, and why.

    Where such an `x` is 0 it is least, so that its gradient is 0 there too, unless it has a corner.
    """
    because: dict[Node, Reason] = {}

    def drop(part: Node) -> Node | None:
        match part:
            case RealCall("abs", a) if holds(a, Score):
                whole = with_clauses(with_score(a, attention.score), attention.query, attention.key)
                is_smooth = not any(map(_has_corner, walk(whole)))
                if is_positive(whole) or (is_at_least_0(whole) and is_smooth):
                    text = f"`{print_ir(part)}` is `{print_ir(a)}`: no score makes that negative"
                    because[part] = Reason(text, part.span or attention.normalize.span)
                    return a
        return None

    found = replace_terms(attention.normalize, drop, RealCall)
    assert isinstance(found, Real)
    return replace(found, span=attention.normalize.span), list(because.values())


def _has_corner(term: Node) -> bool:
    match term:
        case RealOp("min" | "max") | VecOp("min" | "max") | RealIf() | VecIf():
            return True
    return False


def _as_sums(split: Split) -> Weights | str:
    found = find_sums(split.formula, split.bounded, bool(split.passes))
    if isinstance(found, str):
        return found
    (fold, gate), formula = found, split.formula
    assert fold.weight is not None
    because = [Reason(f"{print_ir(formula)}: the weight of a key is {print_ir(fold.weight)}", formula.span)]
    sums = " and ".join(f"sum_{n} = sum({print_ir(each)})" for n, each in enumerate(fold.sums, 1))
    if sums:
        because.append(Reason(f"{sums} over the keys of the row; gradients go back through it"))
    one = "this pass over the keys adds" if split.passes else "one pass over the keys adds"
    because.append(Reason(f"{one} up; there is no maximum to keep and no log-sum-exp"))
    return Weights(fold, gate, tuple(because))


def _as_softmax(split: Split) -> Weights | None:
    """Softmax, and the number of the row behind it; None where it is no softmax."""
    formula = split.formula
    above, below = factors_of(formula)
    sums = [factor for factor in below if holds_row(factor)]
    numbers = [f for f in above if is_number_of_row(f)], [f for f in below if f not in sums]
    outside = as_exponential(quotient([f for f in above if f not in numbers[0]], []))
    if outside is None or len(sums) != 1 or not all(map(is_number_of_row, numbers[1])):
        return None
    joined = _sum_and_more(sums[0])
    if joined is None:
        return None
    inside, more = joined
    if outside.core != inside.core or holds_row(outside.core):
        return None
    gate = quotient(*numbers)
    words = "softmax" if outside.shift == ZERO else "softmax; what is subtracted from s cancels"
    if outside != inside or more:
        if not (is_number_of_row(outside.shift) and is_number_of_row(inside.shift)):
            return None
        apart = build.real("-", outside.shift, inside.shift)
        gate = build.real("*", gate, ONE if outside == inside else build.call("exp", apart))
        words = "softmax, but for a number of each row"
        if more:
            gate = build.real("*", gate, _share(inside.shift, more))
            words = "softmax with weight that goes to no key"
    if outside.core != Score():
        words = words.replace("softmax", f"softmax of {print_ir(outside.core)}", 1)
    because = [Reason(f"{print_ir(formula)}: {words}", formula.span)]
    if gate != ONE:
        of = "sum(exp(s))" if outside.core == Score() else f"sum(exp({print_ir(outside.core)}))"
        because.append(Reason(f"lse is log({of}); gradients of what it meets there go back through it"))
    what = "output" if gate == ONE else "softmax"
    one = "this pass over the keys keeps" if split.passes else "one pass over the keys keeps"
    because.append(Reason(f"{one} a maximum and a sum of each row; both are saved with its {what}"))
    return Weights(Softmax(outside.core), None if gate == ONE else gate, tuple(because))


def _sum_and_more(term: Real) -> tuple[Exponential, list[Real]] | None:
    """What is summed over the row, and the logarithms of what is added to the sum."""
    sums: list[Exponential] = []
    more: list[Real] = []
    for part in summands_of(term):
        match part:
            case Row("sum", a) if exponential := as_exponential(a):
                sums.append(exponential)
            case RealCall("exp", z) if is_number_of_row(z):
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
