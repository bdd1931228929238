"""Arrays of a call that a person describes: what their shapes tell, which can be made up, what to say of missing ones.

Enters: parameters, and arrays and sizes by name. Leaves: sizes, arrays, diagnostics for the command line. An array that
decides which pairs are visible is never made up, but for one kind: `sorted` ints with one entry for each token are
documents, so some documents are made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from attnc.analyze.call_check import size_checks
from attnc.errors import Diagnostic
from attnc.ir.nodes import Attention, Int, IntParam, Param, Size
from attnc.run import messages
from attnc.run.checks import check_condition
from attnc.run.settings import declared
from attnc.run.values import int_value

# Where documents that are made up begin, as shares of the sequence: short and long ones, none of them aligned to tiles.
STARTS = (0.0, 0.12, 0.43, 0.5, 0.81)


def sizes_of_arrays(arrays: Mapping[str, Any], params: Iterable[Param]) -> dict[str, int]:
    """Sizes and int parameters without a default, as far as the shapes of arrays tell them."""
    params = list(params)
    open_names = {p.name for p in params if not p.sizes and p.default is None}
    found: dict[str, int] = {}
    for param in params:
        shape = getattr(arrays.get(param.name), "shape", ())
        for term, size in zip(param.sizes, shape, strict=False):
            match term:
                case Size(name):
                    found.setdefault(name, size)
                case IntParam(name) if name in open_names:
                    found.setdefault(name, size)
                case _:
                    pass
    return found


def find_shape(param: Param, sizes: Mapping[str, int]) -> list[int]:
    """How large an array is in a call of these sizes and int parameters."""
    return [_find_size(param, size, sizes) for size in param.sizes]


def _find_size(param: Param, size: Int, sizes: Mapping[str, int]) -> int:
    for check in size_checks(f"`{param.name}`", size):
        check_condition(replace(check, helps=("choose other numbers, as in `--at N=8192`",)), sizes)
    return int_value(size, sizes)


# ---- documents -------------------------------------------------------------------------------------


def are_documents(param: Param) -> bool:
    return param.sort == "int" and param.sorted and param.sizes[-1] in (Size("N"), Size("M"))


def make_documents(shape: Sequence[int]) -> Tensor:
    """The number of its document for each token."""
    *outer, tokens = shape
    starts = torch.tensor([int(share * tokens) for share in STARTS])
    numbers = torch.searchsorted(starts, torch.arange(tokens), right=True) - 1
    return numbers.expand(*outer, tokens).clone()


# ---- what is missing -------------------------------------------------------------------------------


def missing_argument(attention: Attention, param: Param) -> Diagnostic:
    """What to type for a parameter that was not given."""
    what = messages.missing_argument(attention.name, param.name, declared(param))
    option = f"`--array {param.name}=FILE.npy`" if param.sizes else f"`--at {param.name}=...`"
    if len(param.sizes) == 1:
        option += f", or its entries, as in `--array {param.name}=0,1`"
    return Diagnostic("missing-argument", what, helps=(f"on the command line: {option}",))
