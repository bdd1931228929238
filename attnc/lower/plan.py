"""What will be written, and why.

Enters: an attention and its facts. Leaves: a `Plan`, which every lowering reads and none changes. It chooses the
schedule, brings invariant factors together, and derives what the backward pass needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from attnc.algebra.derivative import ONE, Derivatives
from attnc.analyze.facts import Facts, Implied, Ranges, Reason, Requirement, RowPass, Rows, TileTest, Weights
from attnc.analyze.misreads import Misread, find_misreads
from attnc.analyze.spelling import find_spelling
from attnc.errors import AttncError, Diagnostic, Label
from attnc.ir.infinite import may_be_minus_infinity, vanishes
from attnc.ir.nodes import (
    Attention,
    Bool,
    Dot,
    IntParam,
    LogSumExp,
    Node,
    Param,
    Real,
    RealLoad,
    RowSum,
    Score,
    Size,
    Truth,
    VecInput,
)
from attnc.ir.signs import is_within_1
from attnc.ir.text import print_ir
from attnc.ir.walk import replace_terms, walk
from attnc.lower.choices import shield_tokens
from attnc.lower.conversions import find_converted
from attnc.lower.gradients import ArrayGradient, Home, find_array_gradients, why_homes
from attnc.lower.hoist import DotPair, TokenMap, find_key_heads, hoist_token_maps, why_no_kernel
from attnc.lower.names import variable
from attnc.lower.narrow import why_int32, why_remainders
from attnc.lower.overlap import find_overlap
from attnc.lower.per_pair import why_searched
from attnc.lower.plain import Plain, find_plain
from attnc.lower.proofs import Proofs
from attnc.lower.ranks import hoist_ranks
from attnc.lower.reach import Reach, find_reach
from attnc.lower.regroup import fits_base_2, in_base_2, regroup
from attnc.lower.split.choice import Split, find_split
from attnc.lower.tiled.order import find_order

ROWS = (Size("B"), Size("H"), Size("N"))
HKV = Size("HKV")


@dataclass(frozen=True, slots=True)
class Plan:
    """A schedule and everything that its lowering has to know.

    `spec` is the attention as written, `attention` the same with the work on single tokens (`maps`) taken out. `places`
    says what is computed in the place of a term: where the places in sorted arrays are read, which the ranges speak of,
    where a condition on vectors is, and what `HKV` is, where kernels see the keys of every query head. `score` is in
    base 2, its weights `exp2` of it, where that `is_in_base_2`. Tiles of the positions in `listed` come from lists that
    the tile test makes, the others from ranges.

    Passes over the keys that come `before` have a plan each, with its `number`, counted from 1. Such a pass weighs no
    values; it leaves `numbers` of its rows, which are `row_arrays` of those after it. `split` says how few queries are
    forwarded, where they have a schedule of their own, and `waits` whether weights wait for the next tile. Of the
    positions in `more_later`, later tiles visit more. `reach` says how far its kernels count, `misreads` where a call
    may read outside of an array, and `stands_for` what is written where `attention` reads an array that nobody wrote.
    """

    schedule: Literal["tiled"]
    spec: Attention
    attention: Attention
    maps: tuple[TokenMap, ...]
    per_query_head: bool
    dots: tuple[DotPair, ...]
    dot_gradients: tuple[Real, ...]
    gradients: tuple[ArrayGradient, ...]
    score: Real
    is_in_base_2: bool
    weights: Weights
    places: Mapping[Node, Node]
    keys: Ranges
    queries: Ranges
    tiles: TileTest
    listed: frozenset[Literal["i", "j"]]
    more_later: frozenset[Literal["i", "j"]]
    split: Split | None
    waits: bool
    rows: Rows
    reach: Reach
    misreads: tuple[Misread, ...]
    plain: Plain | None
    because: tuple[Reason, ...]
    before: tuple[Plan, ...]
    row_arrays: tuple[Param, ...]
    number: int
    numbers: tuple[tuple[str, Real], ...]
    stands_for: Mapping[Node, Node]

    def named(self, name: str) -> str:
        """The name of a function of this pass."""
        return f"{name}_{self.number}" if self.number else name

    @property
    def key_heads(self) -> str | None:
        """The argument that says how many heads the keys of a call have, where kernels see other ones."""
        param = self.places.get(HKV)
        return variable(param.name) if isinstance(param, IntParam) else None

    @property
    def score_may_hide(self) -> bool:
        """May a score be -inf, where its weight is not 0 by itself? Then the pair is not seen."""
        summed = [each for each in (self.weights.weight, *self.weights.sums) if each is not None]
        if self.weights.kind == "softmax" or all(map(vanishes, summed)):
            return False
        return may_be_minus_infinity(self.score) is not None

    @property
    def looks_twice(self) -> bool:
        """Does the mask hide a pair, of any that kernels multiply?"""
        return self.attention.mask != Truth(True) and self.weights.kind != "largest"

    @property
    def weighs_values(self) -> bool:
        return not self.number

    @property
    def has_gradient(self) -> bool:
        """Do its results change with any float tensor? Counts do not, and nor does the place of a key."""
        if self.weights.kind == "largest":
            return False
        return self.weighs_values or not all(_is_constant(term, self) for _, term in self.numbers)

    @property
    def weights_have_any_size(self) -> bool:
        """May weights leave the range of half precision, before a row is multiplied with its number or without one?"""
        weight = self.weights.weight
        return weight is not None and (self.dout_has_any_size or not is_within_1(weight))

    @property
    def dout_has_any_size(self) -> bool:
        """So may the gradient of what is summed, which comes through the number of its row."""
        return self.weights.weight is not None and self.weights.gate is not None

    @property
    def results(self) -> tuple[str, ...]:
        """What a forward pass leaves."""
        return ("out", *self.row_results) if self.weighs_values else self.row_results

    @property
    def requires(self) -> tuple[Requirement, ...]:
        """What a call must meet, and checks."""
        return tuple(dict.fromkeys(self.keys.requires + self.queries.requires))

    @property
    def row_results(self) -> tuple[str, ...]:
        """What the kernels leave for each row beside the result."""
        if self.weights.kind != "sums":
            return ("lse",) if self.weights.kind == "softmax" else ("at",)
        return tuple(f"sum_{n}" for n in range(1, len(self.weights.sums) + 1))

    @property
    def saved(self) -> tuple[str, ...]:
        """What of the results the backward pass reads."""
        return self.results if self.weights.kind == "softmax" else ()

    @property
    def count(self) -> str | None:
        """The row's number of visible keys, where it is a sum."""
        return f"sum_{self.weights.sums.index(ONE) + 1}" if ONE in self.weights.sums else None

    def home(self, home: Home) -> tuple[ArrayGradient, ...]:
        return tuple(g for g in self.gradients if g.home == home)


def make_plan(attention: Attention, facts: Facts) -> Plan:
    """The plan for a kernel; raises `no-kernel` where there is none yet."""
    if facts.weights.kind == "other":
        label = Label(attention.normalize.span) if attention.normalize.span else None
        spelling = find_spelling(attention)
        known = (f"write `normalize {print_ir(spelling)}`: it cannot overflow",) if spelling else ()
        raise AttncError(
            Diagnostic(
                "no-kernel",
                f"`{attention.name}` has no kernel yet: {facts.weights.because[-1].text}",
                label,
                helps=(*known, '`backend="reference"` runs it on the interpreter'),
            )
        )
    before: list[Plan] = []
    row_arrays: list[Param] = []
    key_heads = find_key_heads(_simplified(attention, facts.implied))
    for number, row_pass in enumerate(facts.weights.before, 1):
        before.append(_plan_rows(attention, facts, row_pass, tuple(row_arrays), key_heads, number))
        row_arrays += [Param(name, "float", sizes=ROWS) for name, _ in row_pass.numbers]
    constant = frozenset(
        name
        for plan in before
        for name, term in plan.numbers
        if plan.weights.kind != "largest" and _is_constant(term, plan)
    )
    plan = _plan_pass(attention, facts, facts.weights, tuple(row_arrays), key_heads, constant, tuple(before))
    sees_keys = bool(plan.keys.visited) or "j" in plan.listed
    waits, why = find_overlap(plan.attention, plan.weights, sees_keys, plan.stands_for)
    reasons = [reason for reason in (why, why_int32(plan.attention), why_searched(plan.attention)) if reason]
    misreads = find_misreads(attention)
    because = (*plan.because, *why_remainders(plan.attention), *reasons, *misreads.because)
    return replace(plan, waits=waits, misreads=misreads.checked, because=because)


def _plan_rows(
    attention: Attention,
    facts: Facts,
    row_pass: RowPass,
    row_arrays: tuple[Param, ...],
    key_heads: Param | None,
    number: int,
) -> Plan:
    """The plan of a pass that comes before the last one."""
    bare = replace(attention, value=VecInput("v"), output=VecInput("o"))
    weights = _with_count(row_pass.weights) if facts.rows.can_be_empty else row_pass.weights
    plan = _plan_pass(bare, facts, weights, row_arrays, key_heads, frozenset(), ())
    return replace(plan, spec=attention, number=number, numbers=row_pass.numbers, plain=None)


def _plan_pass(
    attention: Attention,
    facts: Facts,
    weights: Weights,
    row_arrays: tuple[Param, ...],
    key_heads: Param | None,
    constant: frozenset[str],
    before: tuple[Plan, ...],
) -> Plan:
    """The plan of one pass; `constant` arrays get no gradient."""
    composed = replace_terms(weights.score, lambda part: attention.score if part == Score() else None)
    assert isinstance(composed, Real)
    lets = tuple((name, _with_arrays(term, weights.before)) for name, term in attention.lets)
    whole = replace(attention, score=composed, lets=lets, params=(*attention.params, *row_arrays))
    hoisted = hoist_token_maps(_simplified(whole, facts.implied), _of_all_passes(attention, facts.weights))
    ranked = hoist_ranks((facts.keys, facts.queries), hoisted.attention.params)
    own = (*ranked.params, *([key_heads] if key_heads else []))
    inner = replace(hoisted.attention, params=(*hoisted.attention.params, *own))
    score = regroup(inner.score)
    weights = _with_reads(attention, weights, hoisted.reads)
    is_in_base_2 = weights.kind == "softmax" and fits_base_2(score)
    is_finished_later = weights.gate is not None or attention.output != VecInput("o")
    if is_finished_later and facts.rows.can_be_empty:
        weights = _with_count(weights)
    because = [
        *facts.implied.because,
        *hoisted.because,
        *ranked.because,
        *_reasons_of(facts.keys),
        *_reasons_of(facts.queries),
    ]
    split, why_split = find_split(inner, facts.keys, weights)
    because.append(why_split)
    gradients = tuple(g for g in find_array_gradients(inner, score, weights) if g.load.array not in constant)
    because += why_homes(gradients, hoisted.stands_for)
    because += [
        Reason(
            f"`{print_ir(a)}` becomes a real once for each token of a tile, not for each pair: a subtraction is left",
            a.span,
        )
        for a in find_converted(score)
    ]
    requires = (*facts.keys.requires, *facts.queries.requires)
    proofs = Proofs(requires, inner.params)
    keys, queries = proofs.without_slivers(facts.keys), proofs.without_slivers(facts.queries)
    # Proofs of its own: what they take is not to be had by others.
    orders = {ranges.target: find_order(ranges, Proofs(requires, inner.params)) for ranges in (keys, queries)}
    because += [why for _, why in orders.values()]
    reach = find_reach(inner, (keys, queries), Proofs(requires, inner.params))
    because += reach.because
    derivatives = Derivatives(score)
    plain = find_plain(inner, hoisted.dots) if weights.kind == "softmax" else None
    if plain:
        because.append(Reason(f"plain {plain.kind} attention: on the CPU, torch's own kernel computes it"))
    return Plan(
        schedule="tiled",
        spec=attention,
        attention=inner,
        maps=(*hoisted.maps, *ranked.maps),
        per_query_head=hoisted.per_query_head,
        dots=hoisted.dots,
        dot_gradients=tuple(regroup(derivatives.by(pair.dot)) for pair in hoisted.dots),
        gradients=gradients,
        score=in_base_2(score) if is_in_base_2 else score,
        is_in_base_2=is_in_base_2,
        weights=weights,
        places={
            **{term: read for term, read in hoisted.reads.items() if isinstance(term, Bool)},
            **ranked.reads,
            **({HKV: IntParam(key_heads.name)} if key_heads else {}),
        },
        keys=keys,
        queries=queries,
        tiles=facts.tiles,
        split=split,
        waits=False,
        listed=frozenset(ranges.target for ranges in (facts.keys, facts.queries) if ranges.loose),
        more_later=frozenset(target for target, (visits_more, _) in orders.items() if visits_more),
        rows=facts.rows,
        reach=reach,
        misreads=(),
        plain=plain,
        because=tuple(because),
        before=before,
        row_arrays=row_arrays,
        number=0,
        numbers=(),
        stands_for=hoisted.stands_for,
    )


def _with_arrays(term: Node, passes: tuple[RowPass, ...]) -> Node:
    """A `let` of the spec as the last pass sees it."""
    for each in passes:
        term = replace_terms(term, dict(each.arrays).get)
    return term


def _is_constant(number: Real, plan: Plan) -> bool:
    """Does a number of a row change with no float tensor, as a count does not?"""
    for part in walk(number):
        match part:
            case LogSumExp() | RealLoad():
                return False
            case RowSum(n):
                each = plan.weights.sums[n - 1]
                if any(isinstance(leaf, Score | RealLoad) for leaf in walk(each)):
                    return False
    return True


def _of_all_passes(attention: Attention, weights: Weights) -> list[Real]:
    """The score, and what every pass makes of it, sums and weighs."""
    passes = [each.weights for each in weights.before] + [weights]
    made = [term for each in passes for term in (each.score, *each.sums, each.weight) if term is not None]
    return [attention.score, *made]


def _with_reads(attention: Attention, weights: Weights, reads: Mapping[Node, Node]) -> Weights:
    """The weights as kernels have them: numbers of single tokens are read, and products of pairs have no place."""

    def read(term: Real) -> Real:
        found = replace_terms(shield_tokens(term), reads.get)
        assert isinstance(found, Real)
        for product in dots_in(found):
            raise why_no_kernel(attention, product)
        return found

    weight = None if weights.weight is None else read(weights.weight)
    return replace(weights, weight=weight, sums=tuple(map(read, weights.sums)))


def _with_count(weights: Weights) -> Weights:
    """Rows without a key are told by their count, where what they are multiplied with may be no number."""
    if weights.kind != "sums" or ONE in weights.sums:
        return weights
    return replace(weights, sums=(*weights.sums, ONE))


def _simplified(attention: Attention, implied: Implied) -> Attention:
    """What the mask implies, put to use."""
    score = replace_terms(attention.score, implied.terms.get)
    assert isinstance(score, Real)
    return replace(attention, mask=implied.mask, score=score)


def _reasons_of(ranges: Ranges) -> list[Reason]:
    what, whose = ("keys", "queries") if ranges.target == "j" else ("queries", "keys")
    if not ranges.loose:
        return [Reason(f"the tiles of {what} that a tile of {whose} visits are bounds in closed form")]
    why, *_ = ranges.loose
    text = f"the tiles of {what} that a tile of {whose} visits are listed before the kernel runs, because {why.text}"
    return [Reason(text, why.span)]


def said_results(plan: Plan) -> str:
    """What a forward function returns, in words."""
    rows = plan.row_results
    named = f"{', '.join(rows[:-1])}{' and ' if rows[1:] else ''}{rows[-1]} [B, H, N]" if rows else ""
    if not plan.weighs_values:
        return named
    return f"out [B, H, N, DV]{' and ' if len(rows) == 1 else ', ' if rows else ''}{named}"


def dots_in(term: Real) -> list[Dot]:
    """The dot products of a term, each once."""
    return list(dict.fromkeys(part for part in walk(term) if isinstance(part, Dot)))
