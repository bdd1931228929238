"""The check that no pair reads outside of an array.

Enters: a plan. Leaves: `_check_reads`, which the CPU path calls before anything else, and kernels in a module that was
built to be checked; and of every index that may leave its array `_index_N`, `_misread_N`, which tells for any pairs
whether they read there and outside, and `_misread_kinds_N`, which finds the tiles with such a pair by the tile test.
Nothing where every index is proved to stay inside. An index of one token, or of a distance, is looked at for all tokens
or distances first: mostly that is all.
"""

from __future__ import annotations

from attnc.analyze.misreads import DOT, Misread
from attnc.ir.nodes import Index, Int, IntParam
from attnc.ir.walk import axes_of, replace_terms
from attnc.kernel.build import Block, function
from attnc.kernel.expressions import Expr, Lit, Unary, Var
from attnc.kernel.nodes import Function, Param
from attnc.lower.distances import DISTANCE, by_distance
from attnc.lower.lists import POSITIONS, at_pairs, gathered_terms, kinds_of_tiles
from attnc.lower.plan import Plan
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.torch_terms import TorchTerms, is_number, torch

B, H, N, M, DEVICE = Var("B"), Var("H"), Var("N"), Var("M"), Var("device")

LENGTHS = {"b": "B", "h": "H", "i": "N", "j": "M"}


def lower_misreads(plan: Plan) -> tuple[Function, ...]:
    """`_check_reads` last, after what it calls."""
    sweep = plan.last
    if not plan.misreads or not isinstance(sweep, TiledSweep):
        return ()
    block, functions = Block(), list[Function]()
    block.lets(("B", "H", "N", "D"), Var("q").attr("shape"))
    block.lets(("HKV", "M"), Var("k").attr("shape")[1:3])
    block.let("DV", Var("v").attr("shape")[3])
    block.let("device", Var("q").attr("device"))
    block.let("dtype", torch.promote_types(Var("q").attr("dtype"), torch.value("float32")))
    block.let("b", torch.arange(B, device=DEVICE)[:, None, None, None])
    block.let("h", torch.arange(H, device=DEVICE)[:, None, None])
    for number, misread in enumerate(plan.misreads, 1):
        parts = _Parts(sweep, misread, number)
        functions += parts.functions
        parts.check(block)
    known = map(Param, sweep.signature.forward)
    return *functions, block.function("_check_reads", known, "Raise where a pair reads outside of an array.")


class _Parts:
    """What is there of one index."""

    def __init__(self, sweep: TiledSweep, misread: Misread, number: int) -> None:
        self.sweep, self.misread = sweep, misread
        what = f"`{misread.array}` along axis {misread.axis}"
        block = Block()
        block.returns(self._terms(misread.index))
        doc = f"The index of {what}, for any pairs."
        self.index = at_pairs(f"_index_{number}", block, sweep.attention, doc)
        block, terms = Block(), self._terms
        if axes_of(misread.index) and not isinstance(misread.index, Index):
            place = map(Var, POSITIONS)
            terms.named[misread.index] = block.let("index", self._index_at(*place))
        holds = terms(misread.holds)
        block.returns(torch.tensor(holds) if is_number(misread.holds) else holds)
        doc = f"Is {what} read outside of it? For any pairs."
        self.outside = at_pairs(f"_misread_{number}", block, sweep.attention, doc)
        doc = "Kinds of tiles, [B or 1, H or 1, ...]: 0 has no pair that reads there, 2 has no other."
        self.kinds = kinds_of_tiles(
            f"_misread_kinds_{number}",
            self._terms,
            misread.holds,
            misread.tiles,
            self.outside.name,
            [p.name for p in self.outside.params[len(POSITIONS) :]],
            doc,
        )

    @property
    def _terms(self) -> TorchTerms:
        terms = gathered_terms(self.sweep.attention, self.sweep.cover.requires, self.sweep.tokens.places)
        terms.named[DOT] = function("_dot_at")(Var("q"), Var("k"), *map(Var, POSITIONS), Var("dtype"))
        return terms

    @property
    def functions(self) -> tuple[Function, Function, Function]:
        return self.index, self.outside, self.kinds

    def check(self, block: Block) -> None:
        """First the index, where that is one of a token, a distance or the call; then the pairs that read there."""
        size, where = self._terms(self.misread.size), axes_of(self.misread.index) & {"i", "j"}
        if isinstance(self.misread.index, Index):
            with block.when(Var(LENGTHS[self.misread.index.axis]) > size) as longer:
                self._look(longer)
            return
        is_of_distance = where == {"i", "j"} and _is_of_distance(self.misread.index)
        if where == {"i", "j"} and not is_of_distance:
            self._look(block)
            return
        if is_of_distance:
            block.lets(("i", "j"), function("_distances")(N, M, DEVICE))
        elif where:
            (axis,) = where
            places = torch.arange(N if axis == "i" else M, device=DEVICE)
            block.let(axis, places[:, None] if axis == "i" else places)
        place = [Var("b"), Var("h"), *(Var(axis) if axis in where else Lit(None) for axis in ("i", "j"))]
        with block.when(function("_is_outside")(self._index_at(*place), size)) as inside:
            self._look(inside)

    def _look(self, block: Block) -> None:
        misread, kinds = self.misread, self.kinds
        axes, tile = Lit("".join(misread.axes)), {"rows": Var("TILE"), "columns": Var("TILE")}
        given = [Var(p.name) for p in self.outside.params[len(POSITIONS) :]]
        block.let("kinds", function(kinds.name)(*(tile.get(p.name, Var(p.name)) for p in kinds.params)))
        first = function("_first_pair")(Var(self.outside.name), axes, Var("kinds"), B, N, M, *given)
        block.let("place", first)
        with block.when(Var("place")) as refused:
            size = self._terms(misread.size)
            index = self._index_at(Unary("*", Var("place")))
            refused.do(function("_refuse_read")(misread.array, misread.axis, size, index, axes, Var("place")))

    def _index_at(self, *place: Expr) -> Expr:
        given = (Var(p.name) for p in self.index.params[len(POSITIONS) :])
        return function(self.index.name)(*place, *given)


def _is_of_distance(index: Int) -> bool:
    """Is it the same for all pairs at a distance?"""
    relative = replace_terms(index, by_distance)
    rest = replace_terms(relative, lambda part: IntParam("distance") if part == DISTANCE else None)
    return not axes_of(rest) & {"i", "j"}
