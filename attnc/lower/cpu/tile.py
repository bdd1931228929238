"""Tiles of queries against the keys that they see, some heads at a time: what forward and backward share.

Enters: a sweep. Leaves: the two loops, and inside of them `score`; of softmax in base 2, with -inf
where the mask hides a key.
"""

from __future__ import annotations

from dataclasses import dataclass

from attnc.algebra.fold import Softmax
from attnc.ir.nodes import Dot, Node, Real, RealCall, RealIf, RealLoad, RealOp, Score
from attnc.ir.walk import Axis, holds, is_invariant, walk
from attnc.kernel.build import Block, function
from attnc.kernel.expressions import Expr, List, Lit, Ternary, Tuple, Unary, Var
from attnc.kernel.nodes import For, Function, Param
from attnc.lower.cpu.keys import call_hide, call_keys
from attnc.lower.gradients import is_finite
from attnc.lower.lists import call_kinds
from attnc.lower.scope import Scope, note_of
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.token_maps import DotPair
from attnc.lower.torch_terms import DTYPE, TorchTerms, is_number, torch

MINUS_INF = function("float")("-inf")
Q0, Q1, N, SEEN, SHOWN = Var("q0"), Var("q1"), Var("N"), Var("seen"), Var("shown")
HEADS, KV_HEADS, NARROW = Var("heads"), Var("kv_heads"), Var("narrow")
ROWS = (slice(None), HEADS, slice(Q0, Q1))
matmul = function("_matmul")


@dataclass(frozen=True, slots=True)
class Called:
    """What tells which keys a tile sees; what hides some of them, and what finds the kinds of tiles, where needed."""

    keys: Function
    hide: Function | None
    kinds: Function | None


class TilePath:
    """One function of the CPU path: what stands above the loops, the loop over tiles, and the one over heads."""

    def __init__(self, sweep: TiledSweep, called: Called) -> None:
        self.sweep = sweep
        self.top, self.tile, self.step = Block(), Block(), Block()
        self.rooms: set[str] = set()
        self.rows = Var("TILE" if "j" in sweep.cover.listed else "tile")
        self.terms = TorchTerms(sweep.attention, {}, sweep.cover.requires, sweep.tokens.places)
        self.scope = Scope(sweep.attention, self.terms)
        self.called, self.hide = called, called.hide

    def enter(self) -> None:
        """Sizes, and the dtypes: of the scores, and of the products that may be narrow."""
        top = self.top
        top.lets(("B", "H", "N", "D"), Var("q").attr("shape"))
        if self.sweep.weighs_values:
            top.lets(("HKV", "M", "DV"), Var("v").attr("shape")[1:])
        else:
            top.lets(("HKV", "M"), Var("k").attr("shape")[1:3])
        top.let("dtype", torch.promote_types(Var("q").attr("dtype"), torch.value("float32")))
        top.let("narrow", function("_narrow")(Var("q").attr("dtype")))
        top.let("b", torch.arange(Var("B"))[:, None, None, None])
        if self.called.kinds:
            top.let("device", Var("q").attr("device"))
            top.lets(("rows", "columns"), Tuple((Var("TILE"), Var("TILE"))))
            top.let("kinds", call_kinds(self.called.kinds))

    def score(self, also: list[Real]) -> None:
        """Positions, dot products and `score`, which is a tensor of its own: what follows may write in it."""
        sweep, terms, step = self.sweep, self.terms, self.step
        self.tile.let("q1", function("min")(Q0 + self.rows, N))
        self.tile.lets(("seen", "edges"), call_keys(self.called.keys))
        self.tile.let("i", torch.arange(Q0, Q1)[:, None])
        self.tile.let("j", function("_positions")(SEEN)[None, :])
        step.let("h", torch.arange(HEADS.attr("start"), HEADS.attr("stop"))[:, None, None])
        score = sweep.score.term
        roots = [score, *also]
        factors = {pair: _factor_of(pair.dot, roots) for pair in sweep.score.dots}
        self.scope.bind([f for f in factors.values() if f], self.place)
        for n, pair in enumerate(sweep.score.dots):
            self._dot(pair, factors[pair], n, also)
        self.scope.bind(roots, self.place)
        if score not in terms.named or terms.named[score] != Var("score"):
            step.let("score", self._all_pairs(score), note_of(sweep.attention.score))
        if isinstance(sweep.fold, Softmax):
            self.hide_in("score", MINUS_INF)

    def hide_in(self, name: str, value: Expr) -> None:
        """Another value where the mask hides a key, or its score does, in a tensor that is no other's."""
        if self.hide:
            self.step.do(call_hide(self.hide, Var(name), value))
        if self.sweep.score_may_hide:
            self.step.do(Var(name).call("masked_fill_", Var("score").equals(MINUS_INF), value))

    def place(self, axes: frozenset[Axis]) -> Block:
        """Where a term of these indices is computed: as far out as they are known."""
        return self.step if axes & {"h", "i", "j"} else self.top

    def _dot(self, pair: DotPair, factor: Real | None, n: int, also: list[Real]) -> None:
        """A dot product, with its factor where it never stands without: queries are fewer than pairs."""
        sweep = self.sweep
        query: Expr = Var(pair.query)[ROWS].to(DTYPE)
        term: Real = pair.dot
        if factor is not None:
            query, term = query * self.terms(factor), RealOp("*", pair.dot, factor)
        name, note = "qk" if (pair.query, pair.key) == ("q", "k") else f"{pair.query}_{pair.key}", ""
        if term == sweep.score.term and not any(term in walk(root) for root in also):
            name, note = "score", note_of(sweep.attention.score)
        room = self.room("room" if not n else f"room_{n + 1}")
        value = matmul(query, self.wide(pair.key).attr("mT"), room)
        self.terms.named[term] = self.step.let(name, value, note)

    def _all_pairs(self, score: Real) -> Expr:
        """The score as a tensor [B, heads, queries, keys] of its own: what follows writes in it."""
        value = self.terms(score)
        if is_number(score):
            value = torch.tensor(value, dtype=DTYPE)
        if holds(score, RealIf) or not holds(score, Dot):
            sizes = Var("B"), Var("h").attr("shape")[0], Q1 - Q0, Var("j").attr("shape")[1]
            return value.call("expand", *sizes).call("clone")
        is_new = isinstance(score, RealOp | RealCall) and score not in self.terms.named
        return value if is_new else value.call("clone")

    def room(self, name: str, dtype: Expr = DTYPE) -> Expr:
        """Memory for what a step computes, which the next step uses again."""
        if name not in self.rooms:
            self.rooms.add(name)
            self.top.let(name, torch.empty(0, dtype=dtype))
        return Var(name)

    def narrowed(self, pairs: Expr) -> Expr:
        """Pairs as a factor of the products that may be narrow; the next call uses the memory again."""
        return function("_in_room")(pairs, self.room("narrow_room", NARROW))

    def seen(self, name: str) -> Expr:
        """The rows of a tensor of keys that a tile sees."""
        return Var(name)[:, KV_HEADS, SEEN]

    def wide(self, name: str) -> Expr:
        """The same in the dtype of the scores; the next call uses the memory again."""
        return function("_in_room")(self.seen(name), self.room(f"{name}_room"))

    def times(self, name: str, value: Expr, term: Real) -> Expr:
        """`value * term`, with 0 where the mask hides a key and `term` may not be finite: an array may not be."""
        product = self.terms.times(value, term)
        reads = holds(term, RealLoad)
        return self.shown(name, product) if reads or not is_finite(term) else product

    def shown(self, name: str, value: Expr) -> Expr:
        """`value`, with 0 where the mask hides a key; it is no other's."""
        if not self.hide:
            return value
        shown = self.step.let(name, value)
        self.hide_in(name, function("float")(0))
        return shown

    def pairs(self, name: str, term: Real) -> Expr:
        """A term in the score for every pair, as a tensor of its own, with 0 where the mask hides a key."""
        value = self.terms(term)
        if is_number(term):
            value = torch.full_like(Var("score"), value)
        elif not holds(term, Score):
            value = self.spread(value)
        elif term in self.terms.named or not isinstance(term, RealOp | RealCall):
            value = value.call("clone")
        self.step.let(name, value, note_of(term))
        self.hide_in(name, function("float")(0))
        return Var(name)

    def spread(self, value: Expr) -> Expr:
        """A number of a row or a key, for every pair."""
        return torch.zeros_like(Var("score")) + value

    def weighted_values(self, p: Expr) -> Expr:
        """The weights of a tile times its values, without those that a row does not see."""
        operands = p, self.seen("v").to(NARROW)
        if not self.hide:
            return matmul(*operands)
        values = self.step.let("values", matmul(*operands))
        with self.step.when(function("_are_spoiled")(List((values,)))) as again:
            again.comment("0 times what is not finite is not 0: once more, without what a row does not see.")
            again.let("shown", torch.ones_like(Var("score")))
            again.do(call_hide(self.hide, SHOWN, function("float")(0)))
            again.let("values", matmul(*operands, shown=SHOWN))
        return values

    @property
    def shown_pairs(self) -> dict[str, Expr]:
        """What products behind `care` are told; nothing where nothing is hidden."""
        return {"shown": SHOWN} if self.hide else {}

    def care(self, tensors: list[str]) -> None:
        """Are these tensors finite? Else `shown` says which pairs of a tile there are, for its products."""
        if not self.hide:
            return
        finite = function("_are_finite")(*map(Var, tensors))
        self.top.let("careful", Unary("not", finite), "0 times what is not finite is not 0")
        self.step.let("shown", Ternary(torch.ones_like(Var("score")), Var("careful"), Lit(None)))
        with self.step.when(Var("careful")) as careful:
            careful.do(call_hide(self.hide, SHOWN, function("float")(0)))

    def loop(self) -> None:
        """The loops, once all that belongs into them is there."""
        steps = function("_steps")(Var("H"), Var("HKV"), Var("B") * (Q1 - Q0), SEEN)
        over_heads = For(Tuple((HEADS, KV_HEADS)), steps, tuple(self.step.stmts))
        if self.rows.name == "tile":
            of_last = call_keys(self.called.keys, N - 1, N)
            rows = function("_rows_of_tile")(of_last, Var("B") * Var("H"), Var("q").attr("dtype"))
            self.top.let("tile", Ternary(rows, N > 0, Var("TILE")))
        self.top.blank()
        self.top.stmts.append(For(Q0, function("range")(0, N, self.rows), (*self.tile.stmts, over_heads)))
        self.top.blank()

    def function(self, name: str, params: tuple[str, ...], doc: str) -> Function:
        takes = tuple(map(Param, params))
        return self.top.function(self.sweep.named(name), (), doc, "_on_spare_threads", takes)


def _factor_of(dot: Dot, roots: list[Real]) -> Real | None:
    """What a dot product is multiplied with wherever it stands, the same for all pairs of a head; or None."""
    products: dict[Node, None] = {}
    for root in roots:
        if root == dot:
            return None
        products |= dict.fromkeys(part for part in walk(root) if dot in part.children)
    if len(products) == 1:
        match next(iter(products)):
            case RealOp("*", a, factor) if a == dot and is_invariant(factor):
                return factor
    return None
