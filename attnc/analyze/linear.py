"""Is attention linear: does the weight of a pair split into what the query knows and what the key knows?

Enters: an attention, what its mask implies, and its `Weights`. Leaves: `Linear`, the terms of every weight and of every
sum of each pass over the keys; or `NotLinear`, with the first thing in the way. What is cheap to see comes first: a
mask that needs more than a state of the keys, a maximum over the row, a softmax of dot products.
"""

from __future__ import annotations

from collections.abc import Mapping

from attnc.algebra.fold import Fold, Largest, Softmax
from attnc.algebra.known import Known
from attnc.algebra.separate import separate, separate_exponential
from attnc.algebra.separated import Refused, Term, difference
from attnc.analyze.decays import left_at_last_key
from attnc.analyze.facts import Implied, Linear, NotLinear, Reason, TokenMask, Weights
from attnc.analyze.features import features_of
from attnc.analyze.tokens import find_tokens
from attnc.analyze.widths import width_of
from attnc.ir import build
from attnc.ir.compose import with_score
from attnc.ir.infinite import may_be_minus_infinity, vanishes
from attnc.ir.nodes import Attention, Dot, Int, IntConst, Node, Real, Score, SumD, VecInput
from attnc.ir.walk import axes_of, holds, walk
from attnc.ir.words import say

Folds = tuple[Fold, ...]

LONGEST = 54  # of what a sentence quotes: one line is enough for most
EXTREME = "a maximum over the row is not a sum over keys"
UNSEEN = "may make a score -inf, and a pair that is not seen would be counted"


def find_linear(attention: Attention, implied: Implied, weights: Weights) -> Linear | NotLinear:
    """The terms of every pass, or why there are none."""
    fold = weights.fold
    if fold is None:
        return NotLinear((weights.because[-1],))
    folds = (*(each.fold for each in weights.before), fold)
    tokens = _seen_at_once(attention, folds) or find_tokens(attention, implied.mask)
    if isinstance(tokens, Reason):
        return NotLinear((tokens,))
    return _separated(attention, implied.terms, folds, *tokens)


# ---- what needs no algebra -------------------------------------------------------------------------


def _seen_at_once(attention: Attention, folds: Folds) -> Reason | None:
    for fold in folds:
        if isinstance(fold, Largest):
            return Reason(EXTREME, attention.normalize.span)
        if isinstance(fold, Softmax):
            score = with_score(fold.score, attention.score)
            for part in walk(score):
                if isinstance(part, Dot | SumD) and {"i", "j"} <= axes_of(part):
                    what = f"{say(score)}, in which a dot product stands"
                    if len(what) > LONGEST:
                        what = f"a score in which {say(part)} stands"
                    text = f"softmax takes the exponential of {what}"
                    return Reason(text, part.span or attention.normalize.span)
    infinite = may_be_minus_infinity(attention.score)
    if infinite is not None and _counts_unseen(folds):
        return Reason(f"{say(infinite)} {UNSEEN}", infinite.span)
    return None


def _counts_unseen(folds: Folds) -> bool:
    """May a pair whose score is -inf, and which is therefore not seen, add a number to a sum?

    Where all that is summed is 0 there by itself it adds nothing; where its weight is infinite the row is no number,
    which is seen.
    """
    terms = [term for fold in folds if not isinstance(fold, Softmax) for term in fold.terms]
    weight = folds[-1].weight
    return not all(map(vanishes, terms)) and (weight is None or not _is_infinite_there(weight))


def _is_infinite_there(weight: Real) -> bool:
    """Is the weight infinite where the score is: a polynomial that the score stands in?"""
    generic = Dot(VecInput("q"), VecInput("k"))
    try:
        return any(term.dots for term in separate(with_score(weight, generic), Known()).terms)
    except Refused:
        return not vanishes(weight) and holds(weight, Score)


# ---- what does -------------------------------------------------------------------------------------


def _separated(
    attention: Attention,
    simpler: Mapping[Node, Node],
    folds: Folds,
    mask: TokenMask,
    because: tuple[Reason, ...],
) -> Linear | NotLinear:
    known = Known(attention.query, attention.key, simpler, lambda vec: width_of(vec, attention))
    positive: dict[Real, None] = {}

    def terms_of(term: Real, *, exponential: bool = False) -> tuple[Term, ...]:
        whole = with_score(term, attention.score)
        found = (separate_exponential if exponential else separate)(whole, known)
        positive.update(dict.fromkeys(found.positive))
        return found.terms

    def sums_of(fold: Fold) -> tuple[tuple[Term, ...], ...]:
        if isinstance(fold, Softmax):
            return (terms_of(fold.score, exponential=True),)
        return tuple(map(terms_of, fold.sums))

    try:
        sums = tuple(map(sums_of, folds))
        last = folds[-1].weight
        weight = sums[-1][0] if last is None else terms_of(last)
    except Refused as refused:
        span = refused.term.span if refused.term else None
        return NotLinear((Reason(refused.text, span or attention.score.span or attention.normalize.span),))
    is_finite = all(isinstance(fold, Softmax) or all(map(vanishes, fold.terms)) for fold in folds)
    return Linear(
        weight=weight,
        sums=sums[-1],
        before=sums[:-1],
        mask=mask,
        features=features_of(weight, attention),
        because=(*_why(weight, positive, mask.causal), *because),
        positive=tuple(positive),
        infinite=None if is_finite else may_be_minus_infinity(attention.score),
    )


# ---- in words --------------------------------------------------------------------------------------


def _why(weight: tuple[Term, ...], positive: Mapping[Real, None], causal: Int | None) -> list[Reason]:
    """What fades on its way from a key to a query, and what that asks of a call."""
    offset = causal or IntConst(0)
    fading: dict[Node, None] = {}
    for term in weight:
        if term.exponent and left_at_last_key(term.exponent, offset) is not None:
            fading[build.call("exp", difference(*term.exponent))] = None
        for dot in term.dots:
            if dot.gate and left_at_last_key(dot.gate, offset) is not None:
                fading[build.vec_call("exp", build.vector("-", *dot.gate))] = None
    because = [Reason(f"{say(each)} is a decay: a state fades by it from token to token") for each in fading]
    return because + [Reason(f"this holds where {say(each)} is above 0") for each in positive]
