"""Arguments for a call that is not made.

Enters: an attention, a dtype, and sizes and numbers as far as someone gave them. Leaves: `q`, `k`, `v` and every
parameter. Which kernels a call launches, and how they are specialized, follows from shapes, dtypes and strides; so
every tensor is made of zeros.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor

from attnc.analyze.facts import Facts
from attnc.errors import Diagnostic, raise_all
from attnc.ir.nodes import Attention, IntParam, Param
from attnc.run import messages
from attnc.run.arguments import check_arguments
from attnc.run.arrays import find_shape
from attnc.run.limits import WIDEST, check_limits
from attnc.run.settings import Number, complete
from attnc.run.sizes import shapes_of
from attnc.run.values import int_value

TOKENS = 128
HEADS = {"B": 2, "H": 8, "HKV": 2}
# For a parameter without a default. Triton makes other code where 16 divides an int than where it does not.
NUMBERS: dict[str, Number] = {"int": 16, "float": 1.0, "bool": True}
ARRAYS = {"int": torch.int64, "float": torch.float32, "bool": torch.bool}


def make_call(
    attention: Attention, facts: Facts, dtype: torch.dtype, head_dim: int, numbers: Mapping[str, Number]
) -> dict[str, Any]:
    """The arguments of a call, by name. `numbers` are sizes and scalar parameters, and `head_dim` is D and DV else."""
    known = HEADS | {"D": head_dim, "DV": head_dim} | _numbers(attention, numbers)
    raise_all(
        Diagnostic(
            "wrong-shape", messages.wrong_type(name, f"{WIDEST} or less in a kernel", str(known[name]))
        )
        for name in ("D", "DV")
        if known[name] > WIDEST
    )
    sizes = {name: value for name, value in known.items() if type(value) is int}
    q, k, v = (torch.zeros(shape, dtype=dtype) for shape in shapes_of(sizes))
    given = {p.name: _array(p, sizes) if p.sizes else known[p.name] for p in attention.params}
    check_arguments(attention, q, k, v, given, None)
    check_limits(facts, "auto", q, sizes)
    return {"q": q, "k": k, "v": v, **given}


def _numbers(attention: Attention, given: Mapping[str, Number]) -> dict[str, Number]:
    """Tokens and every scalar parameter; an open extent of a grid is 1, and the last of them the rest of the tokens."""
    known = complete(attention, given, TOKENS)
    usual = {p.name: NUMBERS[p.sort] for p in attention.params if not p.sizes}
    for side, tokens in (("query", known["N"]), ("key", known["M"])):
        extents = [axis.extent for axis in attention.grid if axis.side == side]
        open_ = [e for e in extents if isinstance(e, IntParam) and e.name not in known]
        if open_:
            sizes = {name: value for name, value in (usual | known).items() if type(value) is int}
            fixed = max(1, prod(int_value(e, sizes) for e in extents if e not in open_))
            known |= {e.name: 1 for e in open_} | {open_[-1].name: tokens // fixed}
    return usual | known


def _array(param: Param, sizes: Mapping[str, int]) -> Tensor:
    return torch.zeros(find_shape(param, sizes), dtype=ARRAYS[param.sort])
