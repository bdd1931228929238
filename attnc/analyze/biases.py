"""Is a bias separable: is what a score adds to its dot products a dot product of features of the query and of the key?

Enters: an attention, what its mask implies, and its `Weights`. Leaves: `Bias`, or None where no token adds anything. It
is taken apart as weights are (ADR 0028), all its summands together; those that do not split are named. Who explains an
attention asks for it, and no kernel does (ADR 0035).
"""

from __future__ import annotations

from attnc.algebra.atoms import side_of
from attnc.algebra.bias import separate_bias
from attnc.algebra.fold import Softmax
from attnc.algebra.known import Known
from attnc.algebra.separate import separate
from attnc.algebra.separated import Refused, Term
from attnc.algebra.summands import bias_of
from attnc.analyze.facts import Bias, Implied, Reason, Weights
from attnc.analyze.features import features_of
from attnc.analyze.widths import width_of
from attnc.ir import build
from attnc.ir.compose import with_score
from attnc.ir.nodes import Attention, Int, IntConst, LogSumExp, Real, RowLog, RowMax
from attnc.ir.walk import holds


def find_bias(attention: Attention, implied: Implied, weights: Weights) -> Bias | None:
    """What is added to the dot products of the score, or of what a softmax takes the exponential of."""
    known = Known(attention.query, attention.key, implied.terms, lambda vec: width_of(vec, attention))
    score, loses_rows = attention.score, _loses_rows(weights)
    if loses_rows and weights.fold is not None:
        score = with_score(weights.fold.score, score)
    summands = bias_of(score)
    if not summands:
        return None
    split: list[Real] = []
    others: list[Reason] = []
    multiplied_out = False
    for each in summands:
        try:
            multiplied_out |= len(separate(each, known).terms) > 1
            split.append(each)
        except Refused as refused:
            others.append(_reason(refused.of(each), each, attention))
    try:
        found = separate_bias(split, known)
    except Refused as refused:  # all of it is larger than each
        others.append(_reason(refused, split[0], attention))
        found = separate_bias((), known)
    terms, lost = (found.rest, found.row) if loses_rows else (found.whole, ())
    if not others and not lost and all(side_of(each.term) == "call" for each in terms):
        return None
    return Bias(
        terms=terms,
        lost=lost,
        rank=_rank(terms, attention),
        rank_of_all=_rank(found.whole, attention),
        multiplied_out=multiplied_out,
        others=tuple(others),
        positive=found.positive,
        span=summands[0].span or attention.score.span,
    )


def _loses_rows(weights: Weights) -> bool:
    """Is a weight the same where a number is added to all scores of its row? A sink, for one, would notice."""
    gate = weights.gate
    is_alone = gate is None or not holds(gate, LogSumExp, RowMax, RowLog)
    return isinstance(weights.fold, Softmax) and not weights.before and is_alone


def _reason(refused: Refused, summand: Real, attention: Attention) -> Reason:
    span = refused.term.span if refused.term else None
    return Reason(refused.text, span or summand.span or attention.score.span)


def _rank(terms: tuple[Term, ...], attention: Attention) -> Int:
    """Of how many features they are a dot product: all that one side adds is one."""
    of_pair = tuple(each for each in terms if side_of(each.term) == "pair")
    of_one_side = {side_of(each.term) for each in terms} - {"pair"}
    return build.integer("+", features_of(of_pair, attention), IntConst(len(of_one_side)))
