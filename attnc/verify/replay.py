"""A call as kernels compute it, with the errors of their precision.

Enters: an attention, a call and a precision. Leaves: its results and gradients in float64: the same passes over the
keys as the kernels', each sum and product followed by an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import sqrt
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor

from attnc.algebra.fold import Fold, Largest, Softmax
from attnc.algebra.products import signed_summands_of
from attnc.analyze.facts import RowPass
from attnc.analyze.weights import find_weights
from attnc.ir.nodes import OF_FLOATS, Attention, Dot, Real, Score, SumD, Vec
from attnc.ir.walk import axes_of, holds, walk
from attnc.run.points import Points, all_pairs
from attnc.run.rows import Rows
from attnc.run.scaled import plain
from attnc.run.sizes import sizes_of
from attnc.run.terms import Terms
from attnc.verify.inputs import Inputs
from attnc.verify.precision import UNIT, Precision, finite_part
from attnc.verify.rounded_sums import RoundedSoftmax, RoundedWeights
from attnc.verify.rounded_terms import LARGE, RoundedTerms

Results = dict[str, Tensor]

NOTHING: Mapping[Real, Real] = MappingProxyType({})


def compute_rounded(
    attention: Attention,
    inputs: Inputs,
    precision: Precision,
    lost: Mapping[Real, Real] = NOTHING,
    in_base_2: bool = True,
) -> Results:
    """All results of a call in float64, as kernels compute them, with the errors of `precision`.

    `lost` readings are the same for every key of a row, so softmax loses them; their gradient is that of the
    log-sum-exp, times the slope that they are given with. Scores that are `in_base_2` are multiplied with log2(e).
    """
    tensors, arguments = inputs.leaves(torch.float64)
    q, k, v = tensors.values()
    sizes = sizes_of(q, k, v)
    values: dict[str, Any] = {n: x.long() if _is_int(x) else x for n, x in arguments.items()}
    scale = inputs.case.scale
    values |= sizes | {"scale": sizes["D"] ** -0.5 if scale is None else scale}
    wider = frozenset(n for n, x in inputs.floats.items() if UNIT[str(x.dtype)[6:]] < UNIT[inputs.case.dtype])
    group = sizes["H"] // sizes["HKV"]
    whole = {"q": q, "k": k.repeat_interleave(group, 1), "v": v.repeat_interleave(group, 1)}
    places = {"q": "i", "k": "j", "v": "j"}

    def mapped(
        name: str, clause: Vec, x: Tensor, held: frozenset[Real | Vec] = frozenset()
    ) -> Callable[[Points], Tensor]:
        def read(at: Points) -> Tensor:
            return x[at.index["b"], at.index["h"], at.index[places[name]]]  # type: ignore[index]

        def once_a_token(at: Points) -> Tensor:
            terms = RoundedTerms(values, {name: read}, None, precision, wider, lost=held)
            if not {"i", "j"} <= at.index.keys():
                return terms.vector(clause, at)
            tokens = at.rows if places[name] == "i" else at.keys
            return terms.vector(clause, tokens.points)[tokens.of]

        return once_a_token

    def find_score(side: Side = BOTH) -> Tensor:
        """Each kernel computes the score itself, and rounds what it has to say about q and k."""
        parts = {
            n: precision.rounded(whole[n], 0.0, precision.stored if weights.before else 0.0)
            if n in side.inputs
            else whole[n].detach()
            for n in "qk"
        }
        vectors = {
            "q": mapped("q", attention.query, parts["q"], side.held),
            "k": mapped("k", attention.key, parts["k"], side.held),
        }
        rounded = RoundedTerms(values, vectors, None, precision, wider, lost=side.held | lost.keys())
        score = rounded.real(attention.score, pairs)
        if not in_base_2 or not any(isinstance(each, Softmax) for each in folds):
            return score
        with torch.no_grad():
            exact = Terms(values, vectors)
            summands = [
                finite_part(exact.real(part, pairs)).abs() for part in signed_summands_of(attention.score)
            ]
        size = torch.stack(summands).sum(0)
        score = score + precision.error(size, precision.working)
        return precision.on_grid(score, precision.working) if bool((size > LARGE).any()) else score

    def find_products() -> Tensor:
        """How large the summands of a score are that another kernel sums up in another order."""
        with torch.no_grad():
            clauses = {"q": attention.query, "k": attention.key}
            exact = Terms(values, {n: mapped(n, clause, whole[n]) for n, clause in clauses.items()})
            sums = [part for part in signed_summands_of(attention.score) if holds(part, Dot, SumD)]
            sizes = [finite_part(exact.real(part, pairs)).abs() for part in sums]
        size = torch.stack(sizes).sum(0) if sizes else q.new_zeros(len(pairs))
        return q.new_zeros(shape).index_put(tuple(pairs.index.values()), size)

    weights = find_weights(attention)
    fold, folds = weights.fold, [weights.fold, *(each.fold for each in weights.before)]
    assert fold is not None
    value = mapped("v", attention.value, whole["v"])
    everything = all_pairs({"b": sizes["B"], "h": sizes["H"], "i": sizes["N"], "j": sizes["M"]}, q.device)
    pairs = everything.select(Terms(values).condition(attention.mask, everything)).as_origin()
    keys = pairs.keys.points
    values_of_keys = pairs.keys.table(value(keys))
    seeing = pairs.rows.points.as_origin()
    at_row = tuple(seeing.index.values())
    shape = sizes["B"], sizes["H"], sizes["N"], sizes["M"]
    sides = _find_sides(attention, frozenset(inputs.floats))
    found_before: dict[str, Tensor] = {}
    for each in weights.before:
        sweep = _Sweep(
            values, dict(found_before), pairs, find_score, find_products, sides, shape, precision, wider
        )
        for name, number in sweep.numbers(each):
            found_before[name] = q.new_zeros(shape[:3]).index_put(at_row, number)
    sweep = _Sweep(values, found_before, pairs, find_score, find_products, sides, shape, precision, wider)
    values |= found_before
    if fold.weight is None:
        out, lse, _ = sweep.softmax(fold.score, values_of_keys)
        for load, slope in lost.items():
            rows = RoundedTerms(values, {}, None, precision, wider)
            through = rows.real(load, seeing) * rows.real(slope, seeing).detach()
            lse = lse + torch.zeros_like(lse).index_put(at_row, through - through.detach())
        numbers = RoundedTerms(values, {}, None, precision, wider, lse=lse)
    else:
        lse = torch.logsumexp(sweep.seen_forward(Score(), -torch.inf), -1)
        out = sweep.weighted(fold.weight, values_of_keys)
        numbers = sweep.numbers_after(fold)
    if fold.score != Score():
        lse = torch.logsumexp(sweep.seen_forward(Score(), -torch.inf), -1)
    at_rows = out[at_row]
    if weights.gate is not None:
        at_rows = at_rows * numbers.real(weights.gate, seeing)[:, None]
    if weights.gate is not None or fold.weight is not None:
        at_rows = precision.rounded(at_rows, precision.stored, precision.stored)
    ends = {"o": lambda p: at_rows[p.origin], "v_i": lambda p: value(p.with_key(p.index["i"]))}
    result = RoundedTerms(values, ends, None, precision, wider).vector(attention.output, seeing)
    output = out.new_zeros(out.shape).index_put(at_row, result)

    floats = {**tensors, **{n: x for n, x in arguments.items() if n in inputs.floats}}
    results = [(output, inputs.dout.double()), (lse, inputs.dlse.double())]
    results = [(x, g) for x, g in results if x.requires_grad]
    gradients = torch.autograd.grad(
        [x for x, _ in results], list(floats.values()), [g for _, g in results], allow_unused=True
    )
    found = {"out": output.detach(), "lse": lse.detach()}
    for (name, x), g in zip(floats.items(), gradients, strict=True):
        g = torch.zeros_like(x) if g is None else g
        unit = UNIT[str(inputs.floats[name].dtype)[6:]]
        found[name] = g + precision.error(g.abs(), unit if precision.stored else 0.0)
    return found


@dataclass(frozen=True)
class Side:
    """Which inputs, of q and k, a sum over pairs has to say something about, and the readings that it holds fixed."""

    inputs: str
    held: frozenset[Real | Vec]


BOTH = Side("qk", frozenset())


def _find_sides(attention: Attention, arrays: frozenset[str]) -> tuple[Side, ...]:
    """The sums over pairs that the gradient of a score goes to.

    One will do, unless an array is read for queries and for keys: its gradient is the sum of two, which rounding
    makes differ, and where they cancel that is all there is.
    """
    weights = find_weights(attention)
    terms = [attention.query, attention.key, attention.score]
    for fold in (weights.fold, *(each.fold for each in weights.before)):
        assert fold is not None
        terms += [fold.score, *fold.sums, *([fold.weight] if fold.weight is not None else [])]
    readings = {
        node for term in terms for node in walk(term) if isinstance(node, OF_FLOATS) and node.array in arrays
    }
    of_keys = frozenset(x for x in readings if "j" in axes_of(x) and "i" not in axes_of(x))
    of_rows = frozenset(readings - of_keys)
    if not {x.array for x in of_keys} & {x.array for x in of_rows}:
        return (BOTH,)
    return Side("q", of_keys), Side("k", of_rows)


def _is_int(x: object) -> bool:
    return isinstance(x, Tensor) and not x.is_floating_point() and x.dtype != torch.bool


@dataclass(frozen=True)
class _Sweep:
    """The passes over the keys, all pairs at once.

    The forward pass finds a term in the score, the backward pass what the score says about it, and another sum what
    the numbers of its row say. Each computes the score itself, and where a term jumps or bends they may see it on
    different sides.
    """

    values: dict[str, Any]
    numbers_of_rows: dict[str, Tensor]
    pairs: Points
    find_score: Callable[[Side], Tensor]
    find_products: Callable[[], Tensor]
    sides: tuple[Side, ...]
    shape: tuple[int, int, int, int]
    precision: Precision
    wider: frozenset[str]
    found: dict[tuple[Side | str, Real, float], Tensor] = field(default_factory=dict)

    @cached_property
    def score(self) -> Tensor:
        """As the forward pass rounds it."""
        return self.find_score(BOTH)

    @cached_property
    def products(self) -> Tensor:
        """How large the part of a score is that forward and backward kernels round differently."""
        return self.find_products()

    @cached_property
    def scores_backward(self) -> dict[Side, Tensor]:
        return {side: self.find_score(side) for side in self.sides}

    @cached_property
    def score_of_numbers(self) -> Tensor:
        return self.find_score(BOTH).detach()

    def seen_forward(self, term: Real, hidden: float = 0.0) -> Tensor:
        """A term in the score for every pair, without a gradient, and `hidden` where the mask hides a key."""
        with torch.no_grad():
            return self._once(("forward", term, hidden), self._known, self.score)

    def seen_backward(self, term: Real) -> tuple[Tensor, ...]:
        """Its values in the backward pass, one for each sum that is made of its gradient."""
        fixed = {name: number.detach() for name, number in self.numbers_of_rows.items()}
        found = tuple(
            self._once((side, term, 0.0), self.values | fixed, score, side.held)
            for side, score in self.scores_backward.items()
        )
        if not fixed:
            return found
        # What arrays say is in the first ones; this one has what the numbers of rows say.
        arrays = {name: x.detach() if isinstance(x, Tensor) else x for name, x in self.values.items()}
        return *found, self._once(("number", term, 0.0), arrays | self.numbers_of_rows, self.score_of_numbers)

    def seen(self, term: Real) -> Tensor:
        """Its value in the forward pass, with all gradients that are found in the backward pass."""
        return self.seen_forward(term) + sum(x - x.detach() for x in self.seen_backward(term))

    @property
    def _known(self) -> dict[str, Any]:
        return self.values | self.numbers_of_rows

    def _once(
        self,
        kind: tuple[Side | str, Real, float],
        values: dict[str, Any],
        score: Tensor,
        held: frozenset[Real | Vec] = frozenset(),
    ) -> Tensor:
        """A kernel that needs a term twice, as a weight and in the sum of the weights, computes it once."""
        if kind not in self.found:
            _, term, hidden = kind
            here = RoundedTerms(values, {}, Rows(self.pairs, score), self.precision, self.wider, lost=held)
            whole = score.new_full(self.shape, hidden)
            self.found[kind] = whole.index_put(tuple(self.pairs.index.values()), here.real(term, self.pairs))
        return self.found[kind]

    def softmax(self, score: Real, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The output and the log-sum-exp of every row, and this without the largest score."""
        scores = self.seen_forward(score, -torch.inf), *self.seen_backward(score)
        out, lse, log = RoundedSoftmax.apply(value, self.precision, self.products, *scores)  # type: ignore[no-untyped-call]
        return out, lse, log

    def weighted(self, weight: Real, value: Tensor) -> Tensor:
        """The sum of weighted values of every row."""
        weights = self.seen_forward(weight), *self.seen_backward(weight)
        out: Tensor = RoundedWeights.apply(value, self.precision, *weights)  # type: ignore[no-untyped-call]
        return out

    def numbers(self, done: RowPass) -> Iterator[tuple[str, Tensor]]:
        """What a pass leaves, for every row that sees a key."""
        if isinstance(done.fold, Largest):
            ((name, term),), rows = done.numbers, Rows(self.pairs, self.score)
            here = RoundedTerms(self._known, {}, rows, self.precision, self.wider)
            kind: Literal["max", "min"] = "max" if done.fold.sums[0] == term else "min"
            yield name, plain(rows.reduce(kind, here.real(term, self.pairs)))
            return
        after = self.numbers_after(done.fold)
        for name, term in done.numbers:
            yield name, after.real(term, self.pairs.rows.points.as_origin())

    def numbers_after(self, fold: Fold) -> RoundedTerms:
        """Terms of rows, which know the log-sum-exp or the sums that a pass leaves."""
        r = self.precision
        if isinstance(fold, Softmax):
            nothing = self.score.new_zeros(*self.shape[:2], self.shape[3], 1)
            _, _, row_log = self.softmax(fold.score, nothing)
            row_max = self.seen_forward(fold.score, -torch.inf).amax(-1)
            return RoundedTerms(self._known, {}, None, r, self.wider, row_max=row_max, row_log=row_log)
        n = sqrt(max(self.shape[-1], 1)) * r.working
        tables = map(self.seen, fold.sums)
        sums = tuple(x.sum(-1) + r.error(x.abs().sum(-1), n) for x in tables)
        return RoundedTerms(self._known, {}, None, r, self.wider, sums=sums)
