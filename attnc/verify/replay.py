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
from attnc.analyze.facts import RowPass
from attnc.analyze.weights import find_weights
from attnc.ir.nodes import Attention, Real, RealOp, Score, Vec
from attnc.run.points import Points, all_pairs
from attnc.run.rows import Rows
from attnc.run.scaled import plain
from attnc.run.sizes import sizes_of
from attnc.run.terms import Terms
from attnc.verify.inputs import Inputs
from attnc.verify.precision import UNIT, Precision, finite_part
from attnc.verify.rounded_terms import RoundedTerms

Results = dict[str, Tensor]

NOTHING: Mapping[Real, Real] = MappingProxyType({})


def compute_rounded(
    attention: Attention, inputs: Inputs, precision: Precision, lost: Mapping[Real, Real] = NOTHING
) -> Results:
    """All results of a call in float64, as kernels compute them, with the errors of `precision`.

    `lost` readings are the same for every key of a row, so softmax loses them; their gradient is that of the
    log-sum-exp, times the slope that they are given with.
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

    def mapped(name: str, clause: Vec, x: Tensor) -> Callable[[Points], Tensor]:
        def read(at: Points) -> Tensor:
            return x[at.index["b"], at.index["h"], at.index[places[name]]]  # type: ignore[index]

        def once_a_token(at: Points) -> Tensor:
            terms = RoundedTerms(values, {name: read}, None, precision, wider)
            if not {"i", "j"} <= at.index.keys():
                return terms.vector(clause, at)
            tokens = at.rows if places[name] == "i" else at.keys
            return terms.vector(clause, tokens.points)[tokens.of]

        return once_a_token

    def find_score() -> Tensor:
        """Each kernel computes the score itself, and rounds what it has to say about q and k."""
        parts = {
            n: precision.rounded(whole[n], 0.0, precision.stored if weights.before else 0.0) for n in "qk"
        }
        vectors = {
            "q": mapped("q", attention.query, parts["q"]),
            "k": mapped("k", attention.key, parts["k"]),
        }
        rounded = RoundedTerms(values, vectors, None, precision, wider, lost=frozenset(lost))
        score = rounded.real(attention.score, pairs)
        if not any(isinstance(each, Softmax) for each in folds):
            return score
        with torch.no_grad():
            exact = Terms(values, vectors)
            summands = [finite_part(exact.real(part, pairs)).abs() for part in _summands(attention.score)]
        return score + precision.error(torch.stack(summands).sum(0), precision.working)

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
    found_before: dict[str, Tensor] = {}
    for each in weights.before:
        sweep = _Sweep(values, dict(found_before), pairs, find_score, shape, precision, wider)
        for name, number in sweep.numbers(each):
            found_before[name] = q.new_zeros(shape[:3]).index_put(at_row, number)
    sweep = _Sweep(values, found_before, pairs, find_score, shape, precision, wider)
    values |= found_before
    if fold.weight is None:
        out, lse = _Softmax.apply(sweep.table(fold.score, -torch.inf), values_of_keys, precision)  # type: ignore[no-untyped-call]
        for load, slope in lost.items():
            rows = RoundedTerms(values, {}, None, precision, wider)
            through = rows.real(load, seeing) * rows.real(slope, seeing).detach()
            lse = lse + torch.zeros_like(lse).index_put(at_row, through - through.detach())
        numbers = RoundedTerms(values, {}, None, precision, wider, lse=lse)
    else:
        lse = torch.logsumexp(sweep.seen_forward(Score(), -torch.inf), -1)
        forward, backward = sweep.seen_forward(fold.weight), sweep.seen_backward(fold.weight)
        out = _Weighted.apply(forward, backward, values_of_keys, precision)  # type: ignore[no-untyped-call]
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


def _summands(term: Real) -> Iterator[Real]:
    """What is added and subtracted."""
    match term:
        case RealOp("+" | "-", a, b):
            yield from _summands(a)
            yield from _summands(b)
        case _:
            yield term


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
    find_score: Callable[[], Tensor]
    shape: tuple[int, int, int, int]
    precision: Precision
    wider: frozenset[str]
    found: dict[tuple[str, Real, float], Tensor] = field(default_factory=dict)

    @cached_property
    def score(self) -> Tensor:
        """As the forward pass rounds it."""
        return self.find_score()

    @cached_property
    def score_backward(self) -> Tensor:
        return self.find_score()

    @cached_property
    def score_of_numbers(self) -> Tensor:
        return self.find_score().detach()

    def table(self, term: Real, hidden: float = 0.0) -> Tensor:
        """A term in the score for every pair, and `hidden` where the mask hides a key."""
        backward = self.seen_backward(term)
        return self.seen_forward(term, hidden) + (backward - backward.detach())

    def seen_forward(self, term: Real, hidden: float = 0.0) -> Tensor:
        """Its value in the forward pass, without a gradient."""
        with torch.no_grad():
            return self._once(("forward", term, hidden), self._known, self.score)

    def seen_backward(self, term: Real) -> Tensor:
        """Its value in the backward pass, with the gradients that are found there."""
        fixed = {name: number.detach() for name, number in self.numbers_of_rows.items()}
        by_score = self._once(("score", term, 0.0), self.values | fixed, self.score_backward)
        if not fixed:
            return by_score
        # What arrays say is in the first part; this one has what the numbers of rows say.
        arrays = {name: x.detach() if isinstance(x, Tensor) else x for name, x in self.values.items()}
        by_number = self._once(("number", term, 0.0), arrays | self.numbers_of_rows, self.score_of_numbers)
        return by_score + (by_number - by_number.detach())

    @property
    def _known(self) -> dict[str, Any]:
        return self.values | self.numbers_of_rows

    def _once(self, kind: tuple[str, Real, float], values: dict[str, Any], score: Tensor) -> Tensor:
        """A kernel that needs a term twice, as a weight and in the sum of the weights, computes it once."""
        if kind not in self.found:
            _, term, hidden = kind
            here = RoundedTerms(values, {}, Rows(self.pairs, score), self.precision, self.wider)
            whole = score.new_full(self.shape, hidden)
            self.found[kind] = whole.index_put(tuple(self.pairs.index.values()), here.real(term, self.pairs))
        return self.found[kind]

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
            _, lse = _Softmax.apply(self.table(fold.score, -torch.inf), nothing, r)  # type: ignore[no-untyped-call]
            return RoundedTerms(self._known, {}, None, r, self.wider, lse=lse)
        n = sqrt(max(self.shape[-1], 1)) * r.working
        tables = map(self.table, fold.sums)
        sums = tuple(x.sum(-1) + r.error(x.abs().sum(-1), n) for x in tables)
        return RoundedTerms(self._known, {}, None, r, self.wider, sums=sums)


class _Softmax(torch.autograd.Function):
    """Scores and values to output and log-sum-exp: what the kernels do, with their errors."""

    @staticmethod
    def forward(ctx: Any, s: Tensor, v: Tensor, r: Precision) -> tuple[Tensor, Tensor]:
        lse = torch.logsumexp(s, -1)
        finite = finite_part(lse)
        p = (s - finite[..., None]).exp()
        n = sqrt(max(s.shape[-1], 1)) * r.working
        out = (p + r.error(p, r.product + n)) @ v
        saved = out + r.error(out.abs(), r.stored)
        lse = torch.where(lse.isfinite(), lse + r.error(finite.abs() + 1, 2 * r.working), lse)
        ctx.save_for_backward(s, v, finite, p, saved)
        ctx.precision = r
        return saved, lse

    @staticmethod
    def backward(ctx: Any, dout: Tensor, dlse: Tensor) -> tuple[Tensor, Tensor, None]:
        (s, v, lse, p, out), r = ctx.saved_tensors, ctx.precision
        p = p + r.error(p * (2 + finite_part(s).abs() + lse.abs()[..., None]), r.working)
        n = sqrt(max(s.shape[-2], 1)) * r.working
        norms = dout.norm(dim=-1)[..., None] * v.norm(dim=-1)[..., None, :]
        dp = dout @ v.mT + r.error(norms, r.working)
        delta = (dout * out).sum(-1) + r.error((dout * out).abs().sum(-1), r.working) - dlse
        ds = p * (dp - delta[..., None])
        ds = ds + r.error(ds.abs(), 2 * r.working)
        dv = (p + r.error(p, r.product + n)).mT @ dout
        return ds, dv, None


class _Weighted(torch.autograd.Function):
    """Weights, as each pass finds them, and values to weighted values: what the kernels do, with their errors."""

    @staticmethod
    def forward(ctx: Any, p: Tensor, again: Tensor, v: Tensor, r: Precision) -> Tensor:
        n = sqrt(max(p.shape[-1], 1)) * r.working
        out: Tensor = (p + r.error(p, r.product + n)) @ v
        ctx.save_for_backward(again, v)
        ctx.precision = r
        return out + r.error(out, r.product)

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[None, Tensor, Tensor, None]:
        (p, v), r = ctx.saved_tensors, ctx.precision
        dout = dout + r.error(dout, r.stored)
        norms = dout.norm(dim=-1)[..., None] * v.norm(dim=-1)[..., None, :]
        dp = dout @ v.mT + r.error(norms, r.working)
        n = sqrt(max(p.shape[-2], 1)) * r.working
        return None, dp, (p + r.error(p, r.product + n)).mT @ dout, None
