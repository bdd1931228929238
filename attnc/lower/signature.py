"""The signature of a sweep: what its functions and its operator take and leave, on every path.

A value. A schedule makes it together with its kernels, and whoever calls them reads it; `sign_sweep` makes that of the
sweeps whose results are rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnc.kernel.build import unpacked
from attnc.kernel.expressions import Expr, Var
from attnc.lower.collect import need
from attnc.lower.entries import entries_of
from attnc.lower.torch_terms import torch

if TYPE_CHECKING:
    from attnc.lower.tiled.sweep import TiledSweep

Q, WIDE = Var("q"), Var("wide")
ROWS = Q.attr("shape")[:3]


@dataclass(frozen=True, slots=True)
class Signature:
    """Names of arguments and results, each in its order.

    `vectors` are tensors that all have gradients, `arrays` those that the spec captures, of which the `summed` have
    gradients; `scalars` have a sort. Results are made without data, as fake tensors are, from q, k, v and `wide`, the
    dtype of sums; all of them have gradients. What is `remembered` is left behind them for the backward pass, and has
    none. The backward pass reads those of both that are `saved`, and is told by `needs` whether it is asked for the
    gradient of an array, where that costs a kernel of its own.

    Arrays that are `ordered`, by their names in the spec, are looked at in the tensors that hold them. Tensors of which
    the first axis is that of batch entries are `entries`, where nothing else depends on the entry.
    `made` are those that come of the work on single tokens, in its order.

    A pair of a query and a key costs so many products of the width of a tensor: `forward_cost` and `backward_cost`.
    Where there are kernels, a call chooses between them and the CPU path.
    """

    vectors: tuple[str, ...]
    arrays: tuple[str, ...]
    scalars: Mapping[str, str]
    results: Mapping[str, Expr]
    remembered: Mapping[str, Expr]
    saved: tuple[str, ...]
    summed: tuple[str, ...]
    needs: Mapping[str, str]
    ordered: Mapping[str, str]
    entries: tuple[str, ...]
    made: tuple[str, ...]
    forward_cost: Mapping[str, int]
    backward_cost: Mapping[str, int]
    has_kernels: bool

    @property
    def tensors(self) -> tuple[str, ...]:
        return self.vectors + self.arrays

    @property
    def floats(self) -> tuple[str, ...]:
        """The scalars that an operator takes as a list, or as a tensor."""
        return tuple(name for name, sort in self.scalars.items() if sort == "float")

    @property
    def wholes(self) -> tuple[str, ...]:
        """The other scalars: ints and bools."""
        return tuple(name for name, sort in self.scalars.items() if sort != "float")

    @property
    def others(self) -> Mapping[str, str]:
        """What an operator takes behind its tensors, each with its sort; floats are last."""
        whole = {name: self.scalars[name] for name in self.wholes}
        backend = {"backend": "str"} if self.has_kernels else {}
        floats = {"floats": "list[float]", "changing": "Tensor | None"} if self.floats else {}
        return whole | backend | floats

    @property
    def of_operators(self) -> Mapping[str, tuple[str, ...]]:
        """What the operators of both passes take."""
        given = (*self.gradients, *self.tensors, *self.saved, *self.needs)
        return {"forward": (*self.tensors, *self.others), "backward": (*given, *self.others)}

    @property
    def forward(self) -> tuple[str, ...]:
        """What a forward function takes."""
        return (*self.tensors, *self.scalars)

    @property
    def outputs(self) -> Mapping[str, Expr]:
        """All that a forward function leaves, in order."""
        return {**self.results, **self.remembered}

    @property
    def gradients(self) -> tuple[str, ...]:
        """The gradients of the results."""
        return tuple(f"d{name}" for name in self.results)

    @property
    def backward(self) -> tuple[str, ...]:
        """What a backward function takes."""
        return (*self.gradients, *self.tensors, *self.saved, *self.scalars, *self.needs)

    @property
    def differentiated(self) -> tuple[str, ...]:
        """The tensors whose gradients a backward function returns."""
        return self.vectors + self.summed


def sign_sweep(sweep: TiledSweep) -> Signature:
    """That of a sweep which leaves a vector and numbers of every row: q, k and others of the score, v where weighed."""
    params, variable = sweep.attention.params, sweep.attention.variable
    values = ["v"] if sweep.weighs_values else []
    of_score = [name for pair in sweep.score.dots for name in (pair.query, pair.key)]
    vectors = tuple(dict.fromkeys(["q", "k", *of_score, *values]))
    queries = [pair.query for pair in sweep.score.dots]
    return Signature(
        vectors=vectors,
        arrays=tuple(variable(p.name) for p in params if p.sizes),
        scalars={"scale": "float"} | {variable(p.name): p.sort for p in params if not p.sizes},
        results=_results(sweep),
        remembered=_rows(sweep.fold.remembered),
        saved=sweep.saved,
        summed=tuple(dict.fromkeys(variable(g.load.array) for g in sweep.gradients.arrays)),
        needs={need(g): variable(g.load.array) for g in sweep.gradients.home("pair")},
        ordered={p.name: variable(p.name) for p in sweep.spec.params if p.sorted},
        entries=entries_of(sweep, vectors),
        made=tuple(dict.fromkeys(["q", "k", "v", *(each.name for each in sweep.tokens.maps)])),
        forward_cost=Counter(queries + values),
        backward_cost=Counter(3 * queries + 2 * values),
        has_kernels=True,
    )


def _results(sweep: TiledSweep) -> dict[str, Expr]:
    rows = _rows(sweep.fold.left)
    if not sweep.weighs_values:
        return rows
    own = {} if sweep.fold.divides else {"dtype": WIDE}
    return {"out": Q.call("new_empty", unpacked(ROWS), Var("v").attr("shape")[3], **own)} | rows


def _rows(numbers: Iterable[tuple[str, str]]) -> dict[str, Expr]:
    """Numbers of each row, by name and dtype."""
    dtypes = {name: torch.value("int32") if kind == "int32" else WIDE for name, kind in numbers}
    return {name: Q.call("new_empty", ROWS, dtype=dtype) for name, dtype in dtypes.items()}
