"""The launcher of the backward kernels of the tiled schedule.

Enters: a sweep, its kernels, and the functions that add to the gradients of arrays. Leaves: `_backward_triton`. What
kernels leave for each query, each key, or each pair of a strip of queries is added up here, in a fixed order.
"""

from __future__ import annotations

from collections.abc import Sequence

from attnc.kernel.build import Block, chain, function
from attnc.kernel.expressions import Expr, Lit, Tuple, Var
from attnc.kernel.nodes import Function, Param
from attnc.lower.collect import call_adder
from attnc.lower.gradients import ArrayGradient, Home
from attnc.lower.host.call import triton
from attnc.lower.host.names import FLOAT32, HKV, ON_DEVICE, TILES, B, H, M, N, Q, V
from attnc.lower.tiled.launch import TiledKernels, find_lists, find_tiles, launch, name_sizes, prepare
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.torch_terms import torch

Q0, Q1, SHARES, STRIP, FIRST = (Var(name) for name in ("q0", "q1", "shares", "strip", "first_row"))
DOUT, DEVICE = Var("dout"), Q.attr("device")
Ends = tuple[Expr, Expr]
ALL_QUERIES: Ends = (Lit(0), N)
ALL_KEYS: Ends = (Lit(0), M)
ONE: Ends = (Lit(0), Lit(1))


def lower_backward_launch(sweep: TiledSweep, kernels: TiledKernels, adders: Sequence[Function]) -> Function:
    """The function."""
    return _Backward(sweep, kernels, adders).function()


class _Backward:
    """The function under construction."""

    def __init__(self, sweep: TiledSweep, kernels: TiledKernels, adders: Sequence[Function]) -> None:
        self.sweep, self.kernels, self.top = sweep, kernels, Block()
        self.signature = sweep.signature
        self.adders = {g.name: adder for g, adder in zip(sweep.gradients.arrays, adders, strict=True)}
        self.arrays = list(dict.fromkeys(g.load.array for g in sweep.gradients.arrays))

    def function(self) -> Function:
        top = self.top
        name_sizes(top, self.sweep, self.kernels.all)
        prepare(top, self.sweep, "dout")
        self._make_room()
        with top.within(ON_DEVICE) as inside:
            self._launch(inside)
        self._add_rows()
        gradients = [Var(f"d{name}") for name in self.signature.vectors]
        sums = [Var(_total(a)).to(Var(self.sweep.attention.variable(a)).attr("dtype")) for a in self.arrays]
        top.returns(*gradients, *sums)
        params = tuple(map(Param, self.signature.backward))
        doc = "Backward by the kernels: the gradient of every float tensor, in order."
        return Function(self.sweep.named("_backward_triton"), params, doc, tuple(top.stmts))

    def _make_room(self) -> None:
        """What kernels write into, and the gradient of the values in the dtype of the values."""
        top, sweep = self.top, self.sweep
        if sweep.weighs_twice:
            for name in ("lse", *["delta"] * sweep.weighs_values):
                top.let(name, torch.empty_like(Var("row_max")))
        elif sweep.weighs_values:
            if sweep.dout_has_any_size:
                top.lets(("dout", "dout_size"), function("_sized")(DOUT, V.attr("dtype")))
            else:
                top.let("dout", DOUT.to(V.attr("dtype")))
        for name in self.signature.vectors:
            x = Var(name)
            if not self.kernels.writes(name):
                top.let(f"d{name}", x.call("new_zeros", x.attr("shape")))
            elif self._is_query(name):
                top.let(f"d{name}", x.call("new_empty", x.attr("shape")))
        rooms: tuple[tuple[Home, Expr], ...] = (("row", N), ("column", M))
        for home, length in rooms:
            for gradient in sweep.gradients.home(home):
                top.let(gradient.name, Q.call("new_empty", B, H, length, dtype=FLOAT32))
        for array in self.arrays:
            shape = Var(self.sweep.attention.variable(array)).attr("shape")
            top.let(_total(array), torch.zeros(shape, dtype=FLOAT32, device=DEVICE))

    def _launch(self, block: Block) -> None:
        sweep, kernels = self.sweep, self.kernels
        if kernels.delta:
            find_tiles(block, sweep, "backward_queries", only="DV" if sweep.weighs_values else "D")
            launch(block, kernels.delta[-1], N, "BLOCK_Q")
        if kernels.keys:
            find_tiles(block, sweep, "backward_keys")
            self._launch_keys(block, kernels.keys[-1])
        if kernels.queries:
            find_tiles(block, sweep, "backward_queries")
            find_lists(block, kernels, kernels.queries[-1])
            launch(block, kernels.queries[-1], N, "BLOCK_Q")
        if kernels.pairs:
            if not (kernels.keys or kernels.queries):
                find_tiles(block, sweep, "backward_queries")
            with block.when(chain("or", [*map(Var, self.signature.needs)])) as needed:
                self._launch_pairs(needed, kernels.pairs[-1], sweep.gradients.home("pair"))

    def _launch_keys(self, block: Block, kernel: Function) -> None:
        """The kernel whose programs may share the heads of a group, and the sums of what they leave."""
        find_lists(block, self.kernels, kernel)
        names = [name for name in self.signature.vectors if self.kernels.writes(name)]
        names = [name for name in names if not self._is_query(name)]
        programs = triton.cdiv(M, TILES["BLOCK_K"]) * HKV * B
        block.let("shares", function("min")(Var("group"), function("_shares")(Q, programs)))
        for name in names:
            block.let(f"d{name}", function("_parts")(Var(name), SHARES))
        launch(block, kernel, M, "BLOCK_K", HKV * SHARES)
        for name in names:
            parts = Var(f"d{name}")
            block.let(f"d{name}", function("_sum_of_parts")(parts, SHARES, Var(name).attr("dtype")))

    def _launch_pairs(self, block: Block, kernel: Function, gradients: Sequence[ArrayGradient]) -> None:
        """The kernel of pairs, one strip of queries after the other."""
        find_lists(block, self.kernels, kernel)
        block.let("strip", function("_strip_rows")(B * H * M, TILES["BLOCK_Q"]))
        with block.loop("first_row", function("range")(0, N, STRIP)) as strip:
            strip.lets(("q0", "q1"), Tuple((FIRST, function("min")(FIRST + STRIP, N))))
            for gradient in gradients:
                strip.let(gradient.name, Q.call("new_zeros", B, H, STRIP, M, dtype=FLOAT32))
            launch(strip, kernel, Q1 - Q0, "BLOCK_Q")
            self._name_positions(strip, gradients, (Q0, Q1), ALL_KEYS)
            for gradient in gradients:
                self._add(strip, gradient, Var(gradient.name)[:, :, : Q1 - Q0])

    def _add_rows(self) -> None:
        """What the kernels left for each query or key, and what needed no kernel."""
        homes: tuple[tuple[Home, Ends, Ends], ...] = (
            ("lse", ALL_QUERIES, ONE),
            ("row", ALL_QUERIES, ONE),
            ("column", ONE, ALL_KEYS),
        )
        for home, queries, keys in homes:
            gradients = self.sweep.gradients.home(home)
            if not gradients:
                continue
            if home == "lse":
                shown = Var("dlse").call("masked_fill", Var("row_weight").equals(0.0), 0.0)
                self.top.let("dlse", shown, "none where a row sees no key")
            self._name_positions(self.top, gradients, queries, keys)
            for gradient in gradients:
                left = Var("dlse" if home == "lse" else gradient.name)
                self._add(self.top, gradient, left.call("unsqueeze", -2 if home == "column" else -1))

    def _name_positions(
        self, block: Block, gradients: Sequence[ArrayGradient], queries: Ends, keys: Ends
    ) -> None:
        """The positions that adders read."""
        used = {param.name for gradient in gradients for param in self.adders[gradient.name].params}
        if {"q0", "q1"} & used and queries != (Q0, Q1):
            block.lets(("q0", "q1"), Tuple(queries))
        every = function("slice")(None)
        axes = {
            "heads": every,
            "seen": every,
            "b": torch.arange(B, device=DEVICE)[:, None, None, None],
            "h": torch.arange(H, device=DEVICE)[:, None, None],
            "i": torch.arange(*queries, device=DEVICE)[:, None],
            "j": torch.arange(*keys, device=DEVICE)[None, :],
        }
        for name, positions in axes.items():
            if name in used:
                block.let(name, positions)

    def _add(self, block: Block, gradient: ArrayGradient, value: Expr) -> None:
        block.do(call_adder(self.adders[gradient.name], value, Var(_total(gradient.load.array))))

    def _is_query(self, name: str) -> bool:
        return name == "q" or any(name == pair.query for pair in self.sweep.score.dots)


def _total(array: str) -> str:
    """What the sum of a gradient is called."""
    return f"total_{array}"
