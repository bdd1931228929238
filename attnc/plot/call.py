"""The call that is drawn.

Enters: an attention, its key ranges, and sizes and arguments by name; only what decides the mask is needed. Leaves: a
`Call` that the interpreter would take. A size may follow from an array that is given. An array that is not given is
refused, but for one kind: `sorted` ints with one entry for each token are documents, so some documents are made up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from attnc.analyze.facts import Ranges
from attnc.errors import Diagnostic, raise_all
from attnc.ir.nodes import (
    Attention,
    BoolLoad,
    BoolParam,
    Dot,
    IntLoad,
    IntParam,
    Member,
    Node,
    Param,
    Rank,
    RealLoad,
    RealParam,
    Score,
    Size,
    Total,
    VecInput,
    VecLoad,
    VecTotal,
)
from attnc.ir.walk import walk
from attnc.run.arguments import check_arguments
from attnc.run.arrays import are_documents, make_documents, missing_argument, sizes_of_arrays
from attnc.run.scalars import check_number, check_scalar
from attnc.run.settings import SIZES, check_names, check_place, complete
from attnc.run.sizes import shapes_of
from attnc.run.values import int_value


@dataclass(frozen=True)
class Call:
    """The call that is drawn: every size and every parameter that decides the mask; nobody gave what is `made_up`."""

    values: dict[str, Any]
    made_up: tuple[str, ...] = ()

    @property
    def numbers(self) -> dict[str, Any]:
        """`N`, `M` and the parameters that are numbers: what a reader is told."""
        sizes = {name: self.values[name] for name in ("N", "M")}
        return sizes | {
            name: value
            for name, value in self.values.items()
            if name not in SIZES and not isinstance(value, Tensor)
        }


def make_call(
    attention: Attention,
    keys: Ranges,
    given: Mapping[str, Any],
    tokens: int,
    heads: Sequence[int],
    batches: Sequence[int],
) -> Call:
    """`tokens` is how many queries there are where nothing says otherwise."""
    check_names(attention, given)
    used = _used(attention, keys)
    sizes = {name: check_number(name, "int", given[name]) for name in SIZES if name in given}
    numbers = {p.name: check_scalar(p, given[p.name]) for p in used if not p.sizes and p.name in given}
    arrays = {p.name: given[p.name] for p in used if p.sizes and p.name in given}
    told = sizes_of_arrays(arrays, used) | sizes | numbers
    values = complete(_only(attention, used), told, tokens)
    for head in heads:
        for batch in batches:
            check_place(values, head, batch)
    needed = {part.name for part in _parts(attention, keys) if isinstance(part, Size)} - values.keys()
    missing = [_missing_size(name) for name in SIZES if name in needed]
    groups = values.get("HKV", 1)
    values = {"B": max(batches) + 1, "H": -(-(max(heads) + 1) // groups) * groups, "D": 1, "DV": 1, **values}
    values.setdefault("HKV", values["H"])
    made_up: list[str] = []
    for param in used:
        if param.name in values or param.name in arrays:
            continue
        if are_documents(param):
            made_up.append(param.name)
        else:
            missing.append(missing_argument(attention, param))
    raise_all(missing)
    for name in made_up:
        arrays[name] = make_documents([max(int_value(e, values), 0) for e in attention.param(name).sizes])
    return Call(_checked(_only(attention, used), values, arrays), tuple(made_up))


# ---- what the mask needs ---------------------------------------------------------------------------


def _parts(attention: Attention, keys: Ranges) -> Iterator[Node]:
    """Everything that the mask, its ranges and the grid speak of."""
    for term in (
        attention.mask,
        *keys.ends,
        *(required.term for required in keys.requires),
        *(axis.extent for axis in attention.grid),
    ):
        yield from walk(term)


def _used(attention: Attention, keys: Ranges) -> list[Param]:
    """The parameters that decide the mask, and those that their sizes speak of."""
    names: set[str] = set()
    for part in _parts(attention, keys):
        match part:
            case IntParam(name) | RealParam(name) | BoolParam(name):
                names.add(name)
            case IntLoad(name) | RealLoad(name) | BoolLoad(name) | VecLoad(name) | Rank(name):
                names.add(name)
            case Member(_, name) | Total(name) | VecTotal(name):
                names.add(name)
            case _:
                pass
    for param in attention.params:
        if param.name in names:
            names |= {p.name for size in param.sizes for p in walk(size) if isinstance(p, IntParam)}
    return [param for param in attention.params if param.name in names]


def _only(attention: Attention, used: list[Param]) -> Attention:
    """The attention with nothing in it but the mask."""
    q, k, v, o = (VecInput(name) for name in ("q", "k", "v", "o"))
    return replace(
        attention, params=tuple(used), query=q, key=k, value=v, score=Dot(q, k), normalize=Score(), output=o
    )


def _checked(attention: Attention, values: Mapping[str, Any], arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a call with these sizes, in the words of any other call where one is wrong."""
    sizes = {name: values[name] for name in SIZES}
    q, k, v = (torch.zeros(()).expand(shape) for shape in shapes_of(sizes))
    arguments = {p.name: arrays[p.name] if p.sizes else values[p.name] for p in attention.params}
    on_cpu = {name: x.detach().cpu() if isinstance(x, Tensor) else x for name, x in arguments.items()}
    return sizes | check_arguments(attention, q, k, v, on_cpu)


# ---- what is missing -------------------------------------------------------------------------------


def _missing_size(name: str) -> Diagnostic:
    what = f"`{name}` decides which keys are seen, and has no value"
    return Diagnostic("missing-argument", what, helps=(f"on the command line: `--at {name}=...`",))
