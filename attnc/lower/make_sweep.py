"""How a sweep of pairs is made of the facts.

Enters: an attention, its facts, and what one pass over the keys is asked for. Leaves: a `TiledSweep`. Work on single
tokens leaves the loops over pairs, invariant factors come together, and what the backward pass needs is derived.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf

from attnc.algebra.derivative import ONE, ZERO, Derivatives, differentiate
from attnc.algebra.fold import Fold, Softmax, Sums
from attnc.analyze.facts import Facts, Implied, Ranges, Reason, RowPass, Weights
from attnc.analyze.row_arrays import read_row_arrays
from attnc.ir.infinite import falls, may_be_minus_infinity
from attnc.ir.nodes import (
    Attention,
    Bool,
    Compare,
    Dot,
    IntParam,
    Node,
    Param,
    Real,
    RealConst,
    RealIf,
    Score,
    Size,
    Truth,
    VecInput,
)
from attnc.ir.text import print_ir
from attnc.ir.walk import replace_terms, walk
from attnc.lower.choices import shield_tokens
from attnc.lower.conversions import find_converted
from attnc.lower.gradients import find_array_gradients, why_homes
from attnc.lower.hoist import find_key_heads, hoist_token_maps, why_no_kernel
from attnc.lower.int_ranges import IntRanges, find_int_ranges, why_int32, why_remainders
from attnc.lower.per_pair import why_searched
from attnc.lower.plain import find_plain
from attnc.lower.proofs import Proofs
from attnc.lower.ranks import hoist_ranks
from attnc.lower.regroup import fits_base_2, in_base_2, regroup
from attnc.lower.split.choice import find_split
from attnc.lower.sweep import RowArray
from attnc.lower.tiled.order import find_order
from attnc.lower.tiled.pipeline import find_pipelining
from attnc.lower.tiled.sweep import HKV, Cover, Gradients, PairScore, TiledSweep, TokenWork, Variants

ROWS = (Size("B"), Size("H"), Size("N"))
MINUS_INF = RealConst(-inf)


@dataclass(frozen=True, slots=True)
class Asked:
    """What one pass over the keys is asked for, of an attention with `facts`.

    It reads `row_arrays`, of which those that are `constant` get no gradient, and leaves `numbers`, if it comes before
    the last pass as number `number`. `key_heads` is the parameter that says how many heads the keys of a call have,
    where kernels see the keys of every query head.
    """

    attention: Attention
    facts: Facts
    fold: Fold
    row_arrays: tuple[RowArray, ...]
    key_heads: Param | None
    constant: frozenset[str] = frozenset()
    number: int = 0
    numbers: tuple[tuple[str, Real], ...] = ()

    @property
    def leaves_count(self) -> bool:
        """Are rows without a key told by their count, since what becomes of them later may be no number?"""
        is_finished_later = self.facts.weights.gate is not None or self.attention.output != VecInput("o")
        return self.facts.rows.can_be_empty and (bool(self.number) or is_finished_later)


def make_sweeps(attention: Attention, facts: Facts) -> tuple[TiledSweep, ...]:
    """A sweep for every pass over the keys; raises `no-kernel` where there is none yet."""
    fold, key_heads = facts.weights.fold, find_key_heads(simplified(attention, facts.implied))
    assert fold is not None
    before: list[TiledSweep] = []
    row_arrays: tuple[RowArray, ...] = ()
    constant: frozenset[str] = frozenset()
    for number, each in enumerate(facts.weights.before, 1):
        sweep = make_sweep(
            Asked(attention, facts, each.fold, row_arrays, key_heads, frozenset(), number, each.numbers)
        )
        before.append(sweep)
        row_arrays += tuple(RowArray(name, "float", sizes=ROWS) for name, _ in each.numbers)
        constant |= sweep.constant_numbers
    return *before, make_sweep(Asked(attention, facts, fold, row_arrays, key_heads, constant))


def make_sweep(asked: Asked) -> TiledSweep:
    """The sweep of one pass; raises `no-kernel` where there is none."""
    attention, facts = asked.attention, asked.facts
    hoisted = hoist_token_maps(_bare(asked), _of_all_passes(asked))
    ranked = hoist_ranks((facts.keys, facts.queries), hoisted.attention.params)
    own = (*ranked.params, *([asked.key_heads] if asked.key_heads else []))
    inner = replace(hoisted.attention, params=(*hoisted.attention.params, *own))
    score = regroup(inner.score)
    fold = _with_reads(attention, asked.fold, hoisted.reads)
    if asked.leaves_count:
        fold = _with_count(fold)
    is_softmax = isinstance(fold, Softmax)
    # A later pass reads the largest score, and knows scores as they are.
    is_in_base_2 = is_softmax and not asked.number and fits_base_2(score)

    requires = (*facts.keys.requires, *facts.queries.requires)
    split, why_split = find_split(inner, facts.keys)
    found = find_array_gradients(inner, score, fold)
    gradients = tuple(each for each in found if each.load.array not in asked.constant)
    proofs = Proofs(requires, inner.params)
    keys, queries = proofs.without_slivers(facts.keys), proofs.without_slivers(facts.queries)
    # Proofs of its own: what they take is not to be had by others.
    orders = {ranges.target: find_order(ranges, Proofs(requires, inner.params)) for ranges in (keys, queries)}
    ints = find_int_ranges(inner, (keys, queries), Proofs(requires, inner.params))
    plain = find_plain(inner, hoisted.dots) if is_softmax and not asked.number else None
    listed = frozenset(ranges.target for ranges in (facts.keys, facts.queries) if ranges.loose)
    sees_keys = bool(keys.visited) or "j" in listed
    pipelines, why_pipelines = (
        (False, None) if asked.number else find_pipelining(inner, fold, sees_keys, hoisted.stands_for)
    )
    because = [
        *facts.implied.because,
        *hoisted.because,
        *ranked.because,
        *_reasons_of(facts.keys),
        *_reasons_of(facts.queries),
        why_split,
        *why_homes(gradients, hoisted.stands_for),
        *_reasons_of_conversions(score),
        *(why for _, why in orders.values()),
        *ints.because,
        *(
            [Reason(f"plain {plain.kind} attention: on the CPU, torch's own kernel computes it")]
            if plain
            else []
        ),
        *([] if asked.number else _reasons_of_kernels(inner, ints, why_pipelines)),
        *([] if asked.number else _why_again(inner, facts.weights)),
    ]
    derivatives = Derivatives(score)
    return TiledSweep(
        spec=attention,
        attention=inner,
        tokens=TokenWork(
            maps=(*hoisted.maps, *ranked.maps),
            per_query_head=hoisted.per_query_head,
            places={
                **{term: read for term, read in hoisted.reads.items() if isinstance(term, Bool)},
                **ranked.reads,
                **({HKV: IntParam(asked.key_heads.name)} if asked.key_heads else {}),
            },
            stands_for=hoisted.stands_for,
        ),
        score=PairScore(
            term=in_base_2(score) if is_in_base_2 else score, is_in_base_2=is_in_base_2, dots=hoisted.dots
        ),
        fold=fold,
        gate=None if asked.number else facts.weights.gate,
        rows=facts.rows,
        gradients=Gradients(
            dots=tuple(regroup(derivatives.by(pair.dot)) for pair in hoisted.dots),
            slopes=tuple(
                ZERO if each is None else differentiate(each, Score()) for each in (fold.weight, *fold.sums)
            ),
            arrays=gradients,
        ),
        cover=Cover(
            keys=keys,
            queries=queries,
            test=facts.tiles,
            listed=listed,
            more_later=frozenset(target for target, (visits_more, _) in orders.items() if visits_more),
        ),
        ints=ints,
        variants=Variants(split=split, pipelines_values=pipelines, plain=plain),
        number=asked.number,
        numbers=asked.numbers,
        because=tuple(because),
    )


def simplified(attention: Attention, implied: Implied) -> Attention:
    """What the mask implies, put to use."""
    score = replace_terms(attention.score, implied.terms.get) if implied.terms else attention.score
    assert isinstance(score, Real)
    return replace(attention, mask=implied.mask, score=score)


def _bare(asked: Asked) -> Attention:
    """The attention of the pass: its score in the place of the spec's, and no values where it weighs none."""
    attention = asked.attention
    score = replace_terms(asked.fold.score, lambda part: attention.score if part == Score() else None, Score)
    assert isinstance(score, Real)
    if _has_to_hide(asked):
        score = RealIf(Compare("<", MINUS_INF, attention.score), score, MINUS_INF)
    before: tuple[RowPass, ...] = ()
    if asked.number:
        attention = replace(attention, value=VecInput("v"), output=VecInput("o"))
    else:
        before = asked.facts.weights.before
    lets = tuple((name, _with_arrays(term, before)) for name, term in attention.lets)
    whole = replace(attention, score=score, lets=lets, params=(*attention.params, *asked.row_arrays))
    return simplified(whole, asked.facts.implied)


def _has_to_hide(asked: Asked) -> bool:
    """May a score be -inf, so that its pair is not seen, where what softmax takes of it is not -inf?"""
    is_softmax = isinstance(asked.fold, Softmax)
    return (
        is_softmax
        and not falls(asked.fold.score)
        and may_be_minus_infinity(asked.attention.score) is not None
    )


def _with_arrays(term: Node, passes: tuple[RowPass, ...]) -> Node:
    """A `let` of the spec as the last pass sees it."""
    for each in passes:
        term = read_row_arrays(term, each)
    return term


def _of_all_passes(asked: Asked) -> list[Real]:
    """The score, and what every pass makes of it, sums and weighs."""
    weights = asked.facts.weights
    folds = [each.fold for each in weights.before] + ([weights.fold] if weights.fold else [])
    made = [term for fold in folds for term in (fold.score, *fold.sums, fold.weight) if term is not None]
    return [asked.attention.score, *made]


def _with_reads(attention: Attention, fold: Fold, reads: Mapping[Node, Node]) -> Fold:
    """The fold as kernels have it: numbers of single tokens are read, and products of pairs have no place."""

    def read(term: Real) -> Real:
        found = replace_terms(shield_tokens(term), reads.get)
        assert isinstance(found, Real)
        for part in walk(found):
            if isinstance(part, Dot):
                raise why_no_kernel(attention, part)
        return found

    weight = None if fold.weight is None else read(fold.weight)
    return replace(fold, weight=weight, sums=tuple(map(read, fold.sums)))


def _with_count(fold: Fold) -> Fold:
    if not isinstance(fold, Sums) or ONE in fold.sums:
        return fold
    return replace(fold, sums=(*fold.sums, ONE))


def _reasons_of(ranges: Ranges) -> list[Reason]:
    what, whose = ("keys", "queries") if ranges.target == "j" else ("queries", "keys")
    if not ranges.loose:
        return [Reason(f"the tiles of {what} that a tile of {whose} visits are bounds in closed form")]
    why, *_ = ranges.loose
    text = f"the tiles of {what} that a tile of {whose} visits are listed before the kernel runs, because {why.text}"
    return [Reason(text, why.span)]


def _reasons_of_kernels(attention: Attention, ints: IntRanges, why_pipelines: Reason | None) -> list[Reason]:
    """Of those of the last sweep; others have the same mask."""
    reasons = why_pipelines, why_int32(attention, ints), why_searched(attention)
    return [*why_remainders(ints), *(why for why in reasons if why)]


def _why_again(attention: Attention, weights: Weights) -> list[Reason]:
    """What keys cost that nobody sees, which may be no numbers (ADR 0023), and large scores (ADR 0030)."""
    hides = attention.mask != Truth(True)
    is_softmax = any(
        isinstance(fold, Softmax) for fold in (weights.fold, *(each.fold for each in weights.before))
    )
    keys = "for keys that the mask hides and that are nan or infinite"
    rows = "for rows with a score beyond 1024"
    if not hides and not is_softmax:
        return []
    if not hides:
        what = f"backward kernels are launched a second time, {rows}"
    else:
        what = f"kernels are launched a second time, {keys}" + (
            f", and backward {rows}" if is_softmax else ""
        )
    return [Reason(f"{what}: programs whose sums are numbers end at once")]


def _reasons_of_conversions(score: Real) -> list[Reason]:
    what = "becomes a real once for each token of a tile, not for each pair: a subtraction is left"
    return [Reason(f"`{print_ir(a)}` {what}", a.span) for a in find_converted(score)]
