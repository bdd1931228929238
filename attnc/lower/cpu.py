"""The CPU path: the same plan as torch operations on the keys that a tile of queries sees, all heads at once.

Enters: a plan. Leaves: `_forward_cpu` and `_backward_cpu`. Nothing is quadratic: a tile of queries meets a slice of the
keys (or the keys of several slices), never all pairs. Half precision is computed in float32, float64 in float64.
"""

from __future__ import annotations

from attnc.analyze.facts import Interval
from attnc.ir.nodes import Dot, Int, IntConst, Node, Real, RealIf, Size, Truth
from attnc.ir.walk import walk
from attnc.kernel.build import Block, function, without_dead
from attnc.kernel.nodes import Expr, Function, Lit, Param, Tuple, Unary, Var
from attnc.lower.collect import call_adder, lower_adder, need, needs_of
from attnc.lower.hoist import DotPair
from attnc.lower.names import variable
from attnc.lower.plan import Plan
from attnc.lower.regroup import regroup
from attnc.lower.scope import Scope, note_of
from attnc.lower.tiled.tile import is_finite
from attnc.lower.torch_terms import DTYPE, TorchTerms, is_number, torch

MINUS_INF = function("float")("-inf")
Q0, Q1, N, M, SEEN = Var("q0"), Var("q1"), Var("N"), Var("M"), Var("seen")
matmul = function("_matmul")


def lower_cpu(plan: Plan) -> tuple[Function, Function]:
    """Forward and backward."""
    return _lower_forward(plan), _lower_backward(plan)


def tensors_of(plan: Plan) -> list[str]:
    """The tensors of a call in the order of every signature: q, k, other vectors, v, captured arrays."""
    vectors = [name for pair in plan.dots for name in (pair.query, pair.key)]
    arrays = [variable(p.name) for p in plan.attention.params if p.sizes]
    return list(dict.fromkeys(["q", "k", *vectors, "v", *arrays]))


def scalars_of(plan: Plan) -> list[str]:
    return ["scale", *(variable(p.name) for p in plan.attention.params if not p.sizes)]


def _lower_forward(plan: Plan) -> Function:
    path = _Path(plan)
    block = path.top
    path.enter()
    block.let("out", Var("q").call("new_empty", Var("B"), Var("H"), N, Var("DV")))
    block.let("lse", torch.empty(Var("B"), Var("H"), N, dtype=DTYPE))
    tile = Block()
    path.tile(tile, [])
    row_max = tile.let("row_max", function("_row_max")(Var("score")))
    p = tile.let("p", (Var("score") - row_max).call("exp_"))
    row_sum = tile.let("row_sum", p.call("sum", -1, keepdim=True))
    total = tile.let("total", row_sum.call("masked_fill", row_sum.equals(0.0), 1.0), "no key: 0")
    at = (slice(None), slice(None), slice(Q0, Q1))
    tile.assign(Var("out")[at], matmul(p, _seen("v")) / total)
    tile.assign(Var("lse")[at], (row_max + row_sum.call("log")).call("squeeze", -1))
    path.loop(tile)
    block.returns(Var("out"), Var("lse"))
    doc = "Forward on the CPU: out [B, H, N, DV] and lse [B, H, N]."
    return path.function("_forward_cpu", [*tensors_of(plan), *scalars_of(plan)], doc)


def _lower_backward(plan: Plan) -> Function:
    path = _Path(plan)
    block = path.top
    path.enter()
    vectors = list(dict.fromkeys(["q", "k", *(n for p in plan.dots for n in (p.query, p.key)), "v"]))
    for name in vectors:
        block.let(f"d{name}", torch.zeros(Var(name).attr("shape"), dtype=DTYPE))
    totals = list(dict.fromkeys(g.load.array for g in plan.gradients))
    for array in totals:
        block.let(_total(array), torch.zeros(Var(variable(array)).attr("shape"), dtype=DTYPE))
    dout = block.let("dout", Var("dout").to(DTYPE))
    delta = (dout * Var("out").to(DTYPE)).call("sum", -1) - Var("dlse")
    block.let("delta", delta.call("unsqueeze", -1))
    if plan.rows.can_be_empty:
        empty = Var("lse").call("masked_fill", Var("lse").equals(MINUS_INF), 0.0)
        block.let("lse", empty, "a row that sees no key: avoid inf - inf")

    tile = Block()
    at = (slice(None), slice(None), slice(Q0, Q1))
    path.tile(tile, [*plan.dot_gradients, *(g.derivative for g in plan.gradients)])
    p = tile.let("p", (Var("score") - Var("lse")[at].call("unsqueeze", -1)).call("exp_"))
    dp = matmul(dout[at], _seen("v").attr("mT"))
    ds = tile.let("ds", dp.call("sub_", Var("delta")[at]).call("mul_", p))
    tile.assign(Var("dv")[:, :, SEEN], _transposed(p, dout[at], "v"), "+=")
    for pair, derivative in zip(plan.dots, plan.dot_gradients, strict=True):
        name = f"d{pair.query}_{pair.key}"
        value: Expr = ds
        if derivative not in path.later(pair):
            value = tile.let(name, path.shown(path.terms.times(ds, derivative), derivative))
        query, key = Var(f"d{pair.query}"), Var(f"d{pair.key}")
        tile.assign(query[at], matmul(value, _seen(pair.key)), "+=")
        tile.assign(key[:, :, SEEN], _transposed(value, Var(pair.query)[at].to(DTYPE), pair.key), "+=")
    for gradient in plan.gradients:
        value = path.shown(path.terms.times(ds, gradient.derivative), gradient.derivative)
        call = call_adder(lower_adder(plan, gradient), value, Var(_total(gradient.load.array)))
        if gradient.home == "pair":
            with tile.when(Var(need(gradient))) as asked:
                asked.do(call)
        else:
            tile.do(call)
    path.loop(tile)
    for pair in plan.dots:
        for factor in path.later(pair):
            for name in (pair.query, pair.key):
                block.do(Var(f"d{name}").call("mul_", path.terms(factor)))
    results = [Var(f"d{name}").to(Var(name).attr("dtype")) for name in vectors]
    results += [Var(_total(array)).to(Var(variable(array)).attr("dtype")) for array in totals]
    block.returns(*results)
    names = ["dout", "dlse", *tensors_of(plan), "out", "lse", *scalars_of(plan), *needs_of(plan)]
    return path.function(
        "_backward_cpu", names, "Backward on the CPU: the gradient of every float tensor, in order."
    )


def is_pair_sized(score: Real) -> bool:
    """Is the score [B, H, queries, keys] whatever the call? Without a dot product, or with a choice, it may be less."""
    parts = list(walk(score))
    return any(isinstance(part, Dot) for part in parts) and not any(
        isinstance(part, RealIf) for part in parts
    )


def _total(array: str) -> str:
    return f"d_{array}"


def _seen(name: str) -> Expr:
    return Var(name)[:, :, SEEN].to(DTYPE)


def _transposed(value: Expr, rows: Expr, key: str) -> Expr:
    """value^T @ rows, summed over the query heads that share a key head."""
    return function("_matmul_of_group")(value, rows, Var(key).attr("shape")[1])


class _Path:
    """One function of the CPU path: what stands above the loop over tiles of queries, and the loop."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.top = Block()
        self.terms = TorchTerms(plan.attention, {}, plan.requires, plan.places)
        self.scope = Scope(plan.attention, self.terms)

    def enter(self) -> None:
        top = self.top
        top.lets(("B", "H", "N", "D"), Var("q").attr("shape"))
        top.lets(("HKV", "M", "DV"), Var("v").attr("shape")[1:])
        top.let("dtype", torch.promote_types(Var("q").attr("dtype"), torch.value("float32")))
        top.let("b", torch.arange(Var("B"))[:, None, None, None])
        top.let("h", torch.arange(Var("H"))[:, None, None])

    def tile(self, tile: Block, also: list[Node]) -> None:
        """Positions, dot products, `score` and mask of one tile of queries."""
        plan, terms = self.plan, self.terms
        tile.let("q1", function("min")(Q0 + Var("TILE"), N))
        tile.let("i", torch.arange(Q0, Q1)[:, None])
        tile.let("i_first", Q0)
        tile.let("i_last", Q1 - 1)
        intervals: list[Expr] = [] if plan.keys.visited else [Tuple((Lit(0), Lit(0)))]
        for n, seen in enumerate(plan.keys.visited):
            intervals.append(Tuple(self._ends(tile, seen, n)))
        tile.lets(("seen", "j"), function("_positions")(*intervals))
        for pair in plan.dots:
            name = "qk" if (pair.query, pair.key) == ("q", "k") else f"{pair.query}_{pair.key}"
            query = Var(pair.query)[:, :, slice(Q0, Q1)].to(DTYPE)
            terms.named[pair.dot] = tile.let(name, matmul(query, _seen(pair.key).attr("mT")))
        score = regroup(plan.attention.score)
        mask = plan.attention.mask
        self.scope.bind([score, *also, mask], lambda axes: tile if axes & {"i", "j"} else self.top)
        value = terms(score)
        if is_number(score):
            value = torch.tensor(value, dtype=DTYPE)
        if not is_pair_sized(score):
            value = value.call("expand", Var("B"), Var("H"), Q1 - Q0, Var("j").attr("shape")[1])
        tile.let("score", value, note_of(plan.attention.score))
        if mask != Truth(True):
            visible = terms(mask)
            if is_number(mask):
                visible = torch.tensor(visible)
            tile.let("visible", visible, note_of(mask))
            tile.let("score", Var("score").call("masked_fill", Unary("~", Var("visible")), MINUS_INF))

    def _ends(self, tile: Block, seen: Interval, n: int) -> tuple[Expr, ...]:
        """First and end of an interval of keys, inside of `[0, M)` and behind the interval before it."""
        suffix = f"_{n + 1}" if len(self.plan.keys.visited) > 1 else ""
        proofs = self.terms.proofs
        lo, hi = self._number(seen.lo, "min"), self._number(seen.hi, "max")
        if n:
            lo = function("max")(lo, Var(f"hi_{n}"))
        elif not proofs.is_nonnegative(seen.lo):
            lo = function("max")(lo, 0) if seen.lo != IntConst(0) else lo
        if seen.hi != Size("M"):
            hi = function("min")(hi, M)
        first = tile.let(f"lo{suffix}", lo)
        return first, tile.let(f"hi{suffix}", function("max")(hi, first))

    def _number(self, term: Int, kind: str) -> Expr:
        """An end of an interval as a Python number: over all heads and batches, where it depends on them."""
        value = self.terms(term)
        return value if is_number(term) else function("int")(value.call(kind))

    def later(self, pair: DotPair) -> list[Real]:
        """The derivative by a dot product, where it is one number that can wait for the end of both sums; else none."""
        derivative = self.plan.dot_gradients[self.plan.dots.index(pair)]
        tensors = [name for each in self.plan.dots for name in (each.query, each.key)]
        alone = tensors.count(pair.query) == tensors.count(pair.key) == 1
        return [derivative] if alone and is_number(derivative) else []

    def shown(self, value: Expr, term: Node) -> Expr:
        """`value`, with 0 where the mask hides a key and `term` may not be finite there."""
        if is_finite(term) or self.plan.attention.mask == Truth(True):
            return value
        return value.call("masked_fill", Unary("~", Var("visible")), 0.0)

    def loop(self, tile: Block) -> None:
        self.top.blank()
        with self.top.loop("q0", function("range")(0, N, Var("TILE"))) as inside:
            inside.extend(tile)
        self.top.blank()

    def function(self, name: str, params: list[str], doc: str) -> Function:
        stmts = without_dead(tuple(self.top.stmts))
        return Function(name, tuple(map(Param, params)), doc, stmts, "_without_autocast")
