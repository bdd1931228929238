"""Places where terms are evaluated: pairs of a query and a key, queries alone, keys alone.

Enters: sizes and conditions. Leaves: `Points`. A masked pair is no point, so nothing is read there, nothing there can
be inf or nan, and no gradient goes through it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from types import MappingProxyType

import torch
from torch import Tensor

from attnc.ir.walk import Axis


@dataclass(frozen=True)
class Points:
    """A list of places. `index` holds one long tensor for each axis they have, `sizes` the size of each axis.

    `origin` says which place of the clause's own list each one came from: what is known of those is looked up there.
    """

    sizes: Mapping[Axis, int]
    index: Mapping[Axis, Tensor]
    origin: Tensor

    def __len__(self) -> int:
        return len(self.origin)

    def select(self, which: Tensor) -> Points:
        """The places where the mask `which` holds, or with these numbers."""
        return Points(self.sizes, {axis: at[which] for axis, at in self.index.items()}, self.origin[which])

    def as_origin(self) -> Points:
        """The same places as the list that a clause is evaluated on."""
        return Points(self.sizes, self.index, torch.arange(len(self), device=self.origin.device))

    def with_key(self, position: Tensor) -> Points:
        """The same places, each with the key at this position."""
        return Points(self.sizes, {**self.index, "j": position}, self.origin)

    def name(self, at: int) -> str:
        """A place as messages call it: `b = 0, h = 1, i = 5, j = 7`."""
        return ", ".join(f"{axis} = {int(index[at])}" for axis, index in self.index.items())

    @cached_property
    def rows(self) -> Group:
        """The queries among the points."""
        return self._group(("b", "h", "i"))

    @cached_property
    def keys(self) -> Group:
        """The keys among the points; those of a head are its own, however many heads share them."""
        return self._group(("b", "h", "j"))

    def _group(self, axes: Sequence[Axis]) -> Group:
        code = torch.zeros_like(self.origin)
        for axis in axes:
            code = code * self.sizes[axis] + self.index[axis]
        occurs = torch.zeros(prod(self.sizes[axis] for axis in axes), dtype=torch.bool, device=code.device)
        occurs[code] = True
        of = (occurs.cumsum(0) - 1)[code]
        # Any point of a group stands for it.
        numbers = torch.arange(len(self), device=code.device)
        first = numbers.new_zeros(int(occurs.sum())).scatter_(0, of, numbers)
        index = {axis: self.index[axis][first] for axis in axes}
        return Group(Points(self.sizes, index, self.origin[first]), of)


@dataclass(frozen=True)
class Group:
    """The distinct places among some points, and for each point which of them is its own."""

    points: Points
    of: Tensor

    def table(self, values: Tensor) -> Tensor:
        """`values`, one row for each place, as a table over the axes; 0 where there is no such place."""
        shape = [self.points.sizes[axis] for axis in self.points.index]
        return values.new_zeros(*shape, values.shape[-1]).index_put(tuple(self.points.index.values()), values)


def all_pairs(
    sizes: Mapping[Axis, int], device: torch.device, some: Mapping[Axis, Tensor] = MappingProxyType({})
) -> Points:
    """Every batch entry, head, query and key; of an axis of which `some` positions are given, those alone."""
    ranges = [
        some[axis] if axis in some else torch.arange(size, device=device) for axis, size in sizes.items()
    ]
    index = {
        axis: grid.reshape(-1)
        for axis, grid in zip(sizes, torch.meshgrid(*ranges, indexing="ij"), strict=True)
    }
    return Points(sizes, index, torch.arange(len(index["b"]), device=device))


# A matrix product multiplies what no pair needs, by zero. Where every number is finite that says the same and is much
# faster; where one is not, each pair is computed on its own.


def pair_dots(pairs: Points, queries: Tensor, keys: Tensor) -> Tensor:
    """The dot product of each pair, from one vector for each of its rows and one for each of its keys."""
    rows, columns = pairs.rows, pairs.keys
    if not (queries.isfinite().all() and keys.isfinite().all()):
        return (queries[rows.of] * keys[columns.of]).sum(-1)
    products = rows.table(queries) @ columns.table(keys).mT
    return products[tuple(pairs.index.values())]


def weighted_sums(pairs: Points, weights: Tensor, values: Tensor) -> Tensor:
    """For each row the sum over its pairs of weight times value, from one value for each key."""
    rows, columns = pairs.rows, pairs.keys
    if not (weights.isfinite().all() and values.isfinite().all()):
        terms = weights[:, None] * values[columns.of]
        return values.new_zeros(len(rows.points), values.shape[-1]).index_add(0, rows.of, terms)
    table = weights.new_zeros(*pairs.sizes.values()).index_put(tuple(pairs.index.values()), weights)
    return (table @ columns.table(values))[tuple(rows.points.index.values())]
