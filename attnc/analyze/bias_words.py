"""What was found of a bias, for a reader.

Enters: `Bias`, and whether there is a kernel. Leaves: a sentence with its reasons, and values for programs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from attnc.algebra.atoms import side_of
from attnc.algebra.separated import Term, signed, sum_of
from attnc.analyze.facts import Bias, Reason
from attnc.ir import build
from attnc.ir.arithmetic import real_value
from attnc.ir.nodes import FromInt, Index, IntConst, Real, RealConst, RealOp, Vec
from attnc.ir.signs import is_at_least_0
from attnc.ir.text import print_ir
from attnc.ir.words import plain_text

LONGEST = 400
LAST = 8191  # position of the last token of a usual call
UNIT = 2.0**-24  # of float32: half the distance from 1 to the next number
# In a sum of r products each goes through r + 2 roundings: its two factors, itself, and r - 1 sums. What is quadratic
# in eps is less than one more.
ROUNDINGS = 3


def say_bias(bias: Bias, has_kernel: bool) -> tuple[str | None, list[Reason]]:
    """The sentence and its reasons. No sentence: nothing splits, and the first reason is why."""
    if not bias.terms and bias.others:
        return None, [*bias.others, *_why_lost(bias)]
    because = _why_lost(bias)
    because += [Reason(f"beside it, {each.text}", each.span) for each in bias.others]
    because += [Reason(f"this holds where `{plain_text(each)}` is above 0") for each in bias.positive]
    because += [*_what_is_made_of_it(bias, has_kernel)]
    if not bias.terms:
        return "nothing that softmax keeps", because
    return f"{_sum(bias.terms)}: {_say_rank(bias)}", because


def bias_json(bias: Bias | None, has_kernel: bool) -> dict[str, Any] | None:
    """The same for programs."""
    if bias is None:
        return None
    return {
        "terms": [plain_text(each.term) for each in bias.terms],
        "rank": print_ir(bias.rank),
        "lost": [plain_text(each.term) for each in bias.lost],
        "rank_of_all": print_ir(bias.rank_of_all),
        "others": [str(each) for each in bias.others],
        "because": [str(each) for each in say_bias(bias, has_kernel)[1]],
    }


def _say_rank(bias: Bias) -> str:
    sides = {side_of(each.term) for each in bias.terms}
    if sides == {"key"}:
        return "a column, one number of each key"
    if "pair" not in sides and "key" not in sides:
        return "a row, one number of each query"
    rank = f"rank {plain_text(bias.rank)}"
    return f"{rank}, one of it a column" if "key" in sides else rank


def _why_lost(bias: Bias) -> list[Reason]:
    if not bias.lost:
        return []
    text = f"`{_sum(bias.lost)}` is the same for every key of a row: softmax loses it"
    if bias.rank_of_all != bias.rank and bias.terms:
        text += f"; with it, the rank is {plain_text(bias.rank_of_all)}"
    return [Reason(text, bias.span)]


def _what_is_made_of_it(bias: Bias, has_kernel: bool) -> Iterator[Reason]:
    """A dot product is multiplied as one. What else is of the pair stays as it is written, and here is why."""
    of_pair = [each for each in bias.terms if side_of(each.term) == "pair"]
    if any(each.exponents for each in of_pair):
        yield Reason(
            "it stays as it is written: exponentials of one side overflow where their product does not"
        )
    elif bias.multiplied_out and of_pair and len(bias.terms) > 1:
        yield _why_not_folded(bias)
    elif has_kernel and any(each.dots for each in of_pair):
        yield Reason("kernels multiply its vectors as they do queries and keys")


def _why_not_folded(bias: Bias) -> Reason:
    """What several products cancel of each other they do not cancel of their errors (ADR 0035)."""
    whole, *more = map(_size, bias.terms)
    for each in more:
        whole = build.real("+", whole, each)
    count = plain_text(build.integer("+", bias.rank, IntConst(ROUNDINGS)))
    count = count if count.isdecimal() else f"({count})"
    text = (
        "it stays as it is written: as features of queries and keys, each rounded by eps, it may be off by"
        f" {count} eps times ({_short(plain_text(whole))})"
    )
    most = _at_last(whole)
    if most is not None and isinstance(bias.rank, IntConst):
        text += f", in float32 by {(bias.rank.value + ROUNDINGS) * UNIT * most:.2g} at i = j = {LAST}"
    return Reason(text)


def _size(term: Term) -> Real:
    """What is rounded: the sum of all its products of features, each without its sign."""
    dots = tuple(replace(each, query=_positive(each.query), key=_positive(each.key)) for each in term.dots)
    _, positive = signed(replace(term, dots=dots))
    return positive if is_at_least_0(positive) else build.call("abs", positive)


def _positive(vec: Vec) -> Vec:
    return vec if is_at_least_0(vec) else build.vec_call("abs", vec)


def _at_last(term: Real) -> float | None:
    """Its value at the last token of a usual call, where positions and numbers are all that it knows."""
    match term:
        case RealConst(value):
            return value
        case FromInt(Index("i" | "j")):
            return float(LAST)
        case RealOp(op, a, b):
            x, y = _at_last(a), _at_last(b)
            return None if x is None or y is None else real_value(op, x, y)
    return None


def _sum(terms: tuple[Term, ...]) -> str:
    return _short(plain_text(sum_of(terms)))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else "a long sum"
