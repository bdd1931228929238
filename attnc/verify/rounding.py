"""How far rounding may carry each result of a call.

Enters: an attention and a call. Leaves: a limit for the output, the log-sum-exp and every gradient.

The reference is exact for our purposes: float64, from the same rounded inputs. So the whole difference is what emitted
code rounds on its way, and that can be replayed: the spec is evaluated in float64 as the kernels do it, forward and
backward, and every operation is followed by a random error of the size that its precision allows (Monte Carlo
arithmetic, Parker 1997; that such errors act as random ones is the model of Higham and Mary 2019). With u the unit
roundoff of the dtype (2^-53, 2^-24, 2^-11, 2^-8 for float64, float32, float16, bfloat16) and w that of the working
precision, which is float32 for half precision and else the dtype itself:

    where                                        relative error of
    q . k and dout . v                           w, of the product of the norms
    an operation of the score                    w, of its result
    a function of the score (exp, tanh, ...)     2 w; x ** y by way of logarithms: 2 w (1 + (|y| + 1) |log x|)
    their derivatives                            the same; those of tanh, sigmoid and silu come from rounded results,
                                                 as in 1 - tanh(x) ** 2, and are off by another w (1 + 2 tanh(x) ** 2)
    log2(e), which a score of softmax takes      w, of each of its summands
    lse, as it is stored and read back           2 w, of |lse| + 1
    p = exp(s - lse) in the backward pass        w (2 + |s| + |lse|): both are scaled by log2(e)
    p and ds before the second product           u (w for float16 on the CPU path, which keeps them in float32)
    a sum over keys or queries, n of them        sqrt(n) w, of each term
    out, where it is saved: delta reads it       u
    a map of single tokens (`query l2(q)`)       u for each operation and each of its gradients, 2 u for a function
    every gradient, as it is returned            u, and where there are several passes, what each of them adds

A dot product of n terms of any sign has partial sums that grow as their square root, so n roundings of them add up to
about w times the product of the norms; a sum over keys or queries is the same with the terms' own errors in front.

The deviation of a result is the root mean square over `RUNS` replays, the largest over its elements; a limit is
`FACTOR` deviations, and never less than two roundings of its largest element. With independent errors `FACTOR` = 8 is
passed by accident once in 10^15 elements; what is left of it pays for `RUNS` being few and for errors that are not
independent. Without errors a replay has to be what the interpreter computes, and is compared with it. Nothing here ever
sees what emitted code computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import Any, Literal

import torch
from torch import Tensor

from attnc.analyze.facts import RowPass, Weights
from attnc.analyze.weights import find_weights
from attnc.errors import CompilerBug
from attnc.ir.nodes import (
    Attention,
    Bool,
    Dot,
    Int,
    LogSumExp,
    Real,
    RealCall,
    RealConst,
    RealLoad,
    RealOp,
    RealParam,
    Rope,
    RowSum,
    Scale,
    Score,
    Splat,
    SumD,
    Vec,
    VecCall,
    VecInput,
    VecLoad,
)
from attnc.ir.walk import axes_of
from attnc.lower.gradients import find_array_gradients
from attnc.run.points import Points, all_pairs
from attnc.run.rows import Rows
from attnc.run.scaled import Number, call_scaled, plain
from attnc.run.sizes import sizes_of
from attnc.run.terms import Terms
from attnc.verify.inputs import Inputs

RUNS, FACTOR = 3, 8.0
UNIT = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
Results = dict[str, Tensor]


@dataclass(frozen=True)
class Precision:
    """Unit roundoffs: of the dtype, of the working precision, and of p and ds in their second product."""

    stored: float
    working: float
    product: float
    generator: torch.Generator = field(compare=False)

    def error(self, size: Tensor, unit: float) -> Tensor:
        """Independent errors, uniform in [-1, 1] times `unit * size`."""
        uniform = torch.rand(size.shape, generator=self.generator, dtype=torch.float64) * 2 - 1
        return size.detach() * uniform * unit

    def rounded(
        self, x: Tensor, unit: float, backward: float | Tensor = 0.0, size: Tensor | None = None
    ) -> Tensor:
        """`x` with an error, and its gradient with another."""
        if not x.numel():
            return x
        y = x + self.error(x.detach().abs() if size is None else size, unit)
        if y.requires_grad:
            y.register_hook(lambda g: g + self.error(finite_part(g.abs() * backward), 1.0))  # type: ignore[no-untyped-call]
        return y


def find_limits(attention: Attention, inputs: Inputs, expected: Results) -> dict[str, float]:
    """The largest difference from `expected` that rounding explains, for each result."""
    case = inputs.case
    stored = UNIT[case.dtype]
    working = min(stored, UNIT["float32"])
    product = working if case.backend == "cpu" and case.dtype == "float16" else stored
    exact = compute_rounded(attention, inputs, Precision(0.0, 0.0, 0.0, torch.Generator()))
    for name, x in expected.items():
        if not torch.allclose(finite_part(exact[name]), finite_part(x), rtol=1e-8, atol=1e-8):
            raise CompilerBug(
                f"the replay of `{attention.name}` computes another {name} than the interpreter"
            )
    deviations = {name: torch.zeros_like(x) for name, x in expected.items()}
    for run in range(RUNS):
        generator = torch.Generator().manual_seed(run)
        replay = compute_rounded(attention, inputs, Precision(stored, working, product, generator))
        for name, x in expected.items():
            deviations[name] += finite_part(replay[name] - x) ** 2 / RUNS
    limits = {}
    for name, x in expected.items():
        u = (
            working
            if name == "lse"
            else UNIT[str(inputs.floats[name].dtype)[6:]]
            if name in inputs.floats
            else stored
        )
        largest = float(finite_part(x).abs().max()) if x.numel() else 0.0
        deviation = sqrt(float(deviations[name].max())) if x.numel() else 0.0
        limits[name] = FACTOR * deviation + 2 * u * largest
    return limits


def finite_part(x: Tensor) -> Tensor:
    """`x`, with 0 where it is infinite or no number: the log-sum-exp of a row without keys."""
    return torch.where(x.isfinite(), x, torch.zeros_like(x))


def compute_rounded(attention: Attention, inputs: Inputs, precision: Precision) -> Results:
    """All results of a call in float64, as kernels compute them, with the errors of `precision`."""
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

        return lambda at: _Rounded(values, {name: read}, None, precision, wider).vector(clause, at)

    def score_of_a_pass() -> Tensor:
        """Each pass computes the score again, and rounds what it has to say about q and k."""
        parts = {
            n: precision.rounded(whole[n], 0.0, precision.stored if weights.before else 0.0) for n in "qk"
        }
        vectors = {
            "q": mapped("q", attention.query, parts["q"]),
            "k": mapped("k", attention.key, parts["k"]),
        }
        rounded = _Rounded(values, vectors, None, precision, wider, lost=frozenset(lost))
        score = rounded.real(attention.score, pairs)
        if "softmax" not in {weights.kind, *(each.kind for each in weights.before)}:
            return score
        with torch.no_grad():
            exact = Terms(values, vectors)
            summands = [finite_part(exact.real(part, pairs)).abs() for part in _summands(attention.score)]
        return score + precision.error(torch.stack(summands).sum(0), precision.working)

    weights = find_weights(attention)
    lost = _find_lost(attention, weights)
    value = mapped("v", attention.value, whole["v"])
    everything = all_pairs({"b": sizes["B"], "h": sizes["H"], "i": sizes["N"], "j": sizes["M"]}, q.device)
    pairs = everything.select(Terms(values).condition(attention.mask, everything)).as_origin()
    keys = pairs.keys.points
    values_of_keys = pairs.keys.table(value(keys))
    seeing = pairs.rows.points.as_origin()
    at_row = tuple(seeing.index.values())
    shape = sizes["B"], sizes["H"], sizes["N"], sizes["M"]
    for each in weights.before:
        for name, number in _Sweep(values, pairs, score_of_a_pass(), shape, precision, wider).numbers(each):
            values[name] = q.new_zeros(shape[:3]).index_put(at_row, number)
    sweep = _Sweep(values, pairs, score_of_a_pass(), shape, precision, wider)
    if weights.weight is None:
        out, lse = _Softmax.apply(sweep.table(weights.score, -torch.inf), values_of_keys, precision)  # type: ignore[no-untyped-call]
        numbers = _Rounded(values, {}, None, precision, wider, lse=lse)
    else:
        lse = torch.logsumexp(sweep.table(Score(), -torch.inf).detach(), -1)
        out = _Weighted.apply(sweep.table(weights.weight), values_of_keys, precision)  # type: ignore[no-untyped-call]
        numbers = sweep.numbers_after(weights)
    if weights.score != Score():
        lse = torch.logsumexp(sweep.table(Score(), -torch.inf).detach(), -1)
    at_rows = out[at_row]
    if weights.gate is not None:
        at_rows = at_rows * numbers.real(weights.gate, seeing)[:, None]
    if weights.gate is not None or weights.weight is not None:
        at_rows = precision.rounded(at_rows, precision.stored, precision.stored)
    ends = {"o": lambda p: at_rows[p.origin], "v_i": lambda p: value(p.with_key(p.index["i"]))}
    result = _Rounded(values, ends, None, precision, wider).vector(attention.output, seeing)
    output = out.new_zeros(out.shape).index_put(at_row, result)

    floats = {**tensors, **{n: x for n, x in arguments.items() if n in inputs.floats}}
    results = [(output, inputs.dout.double()), (lse, inputs.dlse.double())]
    for load, slope in lost.items():
        rows = _Rounded(values, {}, None, precision, wider)
        through = rows.real(load, seeing) * rows.real(slope, seeing).detach()
        results.append((through, inputs.dlse.double()[at_row]))
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


def _find_lost(attention: Attention, weights: Weights) -> dict[Real, Real]:
    """Readings that every key of a row has in common, with their slopes: they get the log-sum-exp's gradient."""
    if weights.before or weights.score != Score():
        return {}
    gradients = find_array_gradients(attention, attention.score, weights)
    return {each.load: each.derivative for each in gradients if each.home == "lse"}


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
    """The passes over the keys, all pairs at once."""

    values: dict[str, Any]
    pairs: Points
    score: Tensor
    shape: tuple[int, int, int, int]
    precision: Precision
    wider: frozenset[str]

    def table(self, term: Real, hidden: float = 0.0) -> Tensor:
        """A term in the score for every pair, and `hidden` where the mask hides a key."""
        here = _Rounded(self.values, {}, Rows(self.pairs, self.score), self.precision, self.wider)
        whole = self.score.new_full(self.shape, hidden)
        return whole.index_put(tuple(self.pairs.index.values()), here.real(term, self.pairs))

    def numbers(self, done: RowPass) -> Iterator[tuple[str, Tensor]]:
        """What a pass leaves, for every row that sees a key."""
        if done.kind == "largest":
            ((name, term),), rows = done.numbers, Rows(self.pairs, self.score)
            here = _Rounded(self.values, {}, rows, self.precision, self.wider)
            kind: Literal["max", "min"] = "max" if done.sums[0] == term else "min"
            yield name, plain(rows.reduce(kind, here.real(term, self.pairs)))
            return
        after = self.numbers_after(done)
        for name, term in done.numbers:
            yield name, after.real(term, self.pairs.rows.points.as_origin())

    def numbers_after(self, done: Weights | RowPass) -> _Rounded:
        """Terms of rows, which know the log-sum-exp or the sums of a pass."""
        r = self.precision
        if done.kind == "softmax":
            nothing = self.score.new_zeros(*self.shape[:2], self.shape[3], 1)
            _, lse = _Softmax.apply(self.table(done.score, -torch.inf), nothing, r)  # type: ignore[no-untyped-call]
            return _Rounded(self.values, {}, None, r, self.wider, lse=lse)
        n = sqrt(max(self.shape[-1], 1)) * r.working
        tables = map(self.table, done.sums)
        sums = tuple(x.sum(-1) + r.error(x.abs().sum(-1), n) for x in tables)
        return _Rounded(self.values, {}, None, r, self.wider, sums=sums)


@dataclass(frozen=True)
class _Rounded(Terms):
    """The terms of the interpreter, each followed by its error.

    `wider` names the arrays that are more precise than q; `coarse` is set within the map of a single token; `lost`
    readings get no gradient here; `lse` and `sums` are the log-sum-exp and the sums of every row.
    """

    precision: Precision | None = None
    wider: frozenset[str] = frozenset()
    coarse: bool = False
    lost: frozenset[Real] = frozenset()
    lse: Tensor | None = None
    sums: tuple[Tensor, ...] = ()

    # What jumps must jump in the same places: integers and conditions are exact here, as kernels owe them.
    def integer(self, term: Int, at: Points) -> Tensor:
        return Terms(self.values, self.vectors, self.rows).integer(term, at)

    def condition(self, term: Bool, at: Points) -> Tensor:
        return Terms(self.values, self.vectors, self.rows).condition(term, at)

    def number(self, term: Real, at: Points) -> Number:
        r = self.precision
        assert r is not None
        unit = r.stored if self.coarse or isinstance(term, SumD) else r.working
        if isinstance(term, RealCall):
            return self._called(term, unit, at)
        if isinstance(term, LogSumExp) and self.lse is not None:
            return self.lse[at.index["b"], at.index["h"], at.index["i"]]
        if isinstance(term, RowSum):
            return self.sums[term.number - 1][at.index["b"], at.index["h"], at.index["i"]]
        x = super().number(term, at)
        if not isinstance(x, Tensor) or isinstance(term, RealConst | RealParam | Scale):
            return x
        match term:
            case RealLoad() if term in self.lost:
                return x.detach()
            case RealLoad(array, _):
                # Its gradient is a sum of this many numbers in working precision.
                terms = len(at) / max(1, self.values[array].numel())  # type: ignore[union-attr]
                return r.rounded(x, 0.0, sqrt(max(terms, 1.0)) * r.working)
            case Dot(a, b):
                return self._rounded_dot(x, a, b, at)
            case RealOp("**", a, b):
                exact = Terms(self.values, self.vectors, self.rows)
                with torch.no_grad():
                    logarithm = exact.real(a, at).abs().log() * (exact.real(b, at).abs() + 1)
                size = 1 + finite_part(logarithm).abs()
                return r.rounded(x, 2 * unit, 2 * unit * size, size=x.detach().abs() * size)
            case RealOp("+" | "-" | "*" | "/"):
                return r.rounded(x, unit, unit)
        return x

    def _called(self, term: RealCall, unit: float, at: Points) -> Tensor:
        """A function of a number. Its derivative is computed from its rounded result: `1 - tanh(x) ** 2`."""
        r = self.precision
        assert r is not None
        argument = self.number(term.a, at)
        y = plain(call_scaled(term.fn, argument))
        x = plain(argument)
        match term.fn:
            case "tanh":
                slope = 1 + 2 * y.detach() ** 2
            case "sigmoid" | "silu":
                slope = 1 + y.detach().abs()
            case _:
                return r.rounded(y, 2 * unit, 2 * unit)
        return r.rounded(y + r.error(slope, unit) * (x - x.detach()), 2 * unit, 2 * unit)

    def _rounded_dot(self, x: Tensor, a: Vec, b: Vec, at: Points) -> Tensor:
        r = self.precision
        assert r is not None
        axes = axes_of(a) | axes_of(b)
        with torch.no_grad():
            exact = Terms(self.values, self.vectors, self.rows)
            if {"i", "j"} <= axes:
                norms = exact.vector(a, at).norm(dim=-1) * exact.vector(b, at).norm(dim=-1)
            else:
                norms = (exact.vector(a, at) * exact.vector(b, at)).abs().sum(-1)
        if {"i", "j"} <= axes:
            terms = max(at.sizes["i"], at.sizes["j"])
            backward = r.product + sqrt(terms) * r.working
            return r.rounded(x, r.working, backward, norms)
        return r.rounded(x, 2 * r.stored, r.stored, norms)

    def vector(self, term: Vec, at: Points) -> Tensor:
        r = self.precision
        assert r is not None
        here = self if self.coarse else replace(self, coarse=True)
        x = Terms.vector(here, term, at)
        match term:
            case VecInput():
                return r.rounded(x, 0.0, r.stored)
            case VecLoad(array, _):
                return r.rounded(x, r.stored if array in self.wider else 0.0, r.stored)
            case Splat():
                return r.rounded(x, r.stored, r.stored)
            case Rope():
                first, second = x.detach().chunk(2, -1)
                length = (first**2 + second**2).sqrt()
                return r.rounded(x, 2 * r.stored, 2 * r.stored, torch.cat([length, length], -1))
            case VecCall():
                return r.rounded(x, 2 * r.stored, 2 * r.stored)
        return r.rounded(x, r.stored, r.stored)


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
    """Weights and values to weighted values, with the errors of the kernels."""

    @staticmethod
    def forward(ctx: Any, p: Tensor, v: Tensor, r: Precision) -> Tensor:
        n = sqrt(max(p.shape[-1], 1)) * r.working
        out: Tensor = (p + r.error(p, r.product + n)) @ v
        ctx.save_for_backward(p, v)
        ctx.precision = r
        return out + r.error(out, r.product)

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor, Tensor, None]:
        (p, v), r = ctx.saved_tensors, ctx.precision
        dout = dout + r.error(dout, r.stored)
        norms = dout.norm(dim=-1)[..., None] * v.norm(dim=-1)[..., None, :]
        dp = dout @ v.mT + r.error(norms, r.working)
        n = sqrt(max(p.shape[-2], 1)) * r.working
        return dp, (p + r.error(p, r.product + n)).mT @ dout, None
