"""Chunked linear attention as a module, and as what it means.

Enters: nothing, or tensors of a call. Leaves: the launchers with kernels that NumPy evaluates, and outputs with
gradients, pair by pair in float64.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from types import ModuleType
from typing import Any

import linear_oracle
import torch
from torch import Tensor

from attnc.emit.support import GAP, functions_of, select, whole
from attnc.evaluate import load_evaluated

HEAD = """
import torch
import triton
import triton.language as tl
""".strip()
OWN = (
    "chunk_parts", "chunk_states", "chunk_kernels", "chunk_gradients", "channel_kernels", "channel_gradients",
    "pair_kernels", "chunk_tiles", "chunk_call", "pair_launch", "chunk_launch", "channel_launch",
)  # fmt: skip
GATES = ("none", "number", "channels")


@cache
def module_text() -> str:
    """The module that a spec of linear attention carries."""
    called = functions_of("kernels") | functions_of("torch_functions")
    own = [whole(file) for file in OWN]
    called = select(called, ["_program", "_check_reach", "_with_unit_stride"])
    return GAP.join([HEAD, *called.values(), *own]) + "\n"


@cache
def evaluated() -> ModuleType:
    return load_evaluated("chunked", module_text())


@dataclass(frozen=True)
class Call:
    """One call, whose tensors a seed makes."""

    N: int = 37
    M: int = 37
    F: int = 24
    DV: int = 20
    B: int = 2
    H: int = 2
    HG: int = 2
    gates: str = "number"  # one of `GATES`
    steep: float = 1.0  # how large steps are
    walk: bool = False  # steps of both signs
    documents: bool = False
    offset: int = 0
    sums: bool = True
    dtypes: tuple[torch.dtype, ...] = (torch.float32,) * 3  # of f, g and v
    strided: bool = False
    seed: int = 0

    def tensors(self) -> dict[str, Any]:
        """The arguments of a forward call, by name."""
        drawn = torch.Generator().manual_seed(self.seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=drawn)

        f, g, v = (
            normal(self.B, self.H, self.N, self.F),
            *(normal(self.B, self.HG, self.M, width) for width in (self.F, self.DV)),
        )
        widths = {"none": None, "number": (), "channels": (self.F,)}[self.gates]
        steps = None if widths is None else self.steep * normal(self.B, self.H, self.M, *widths)
        if steps is not None and not self.walk:
            steps = -steps.abs()
        ids = torch.randint(0, 2, (self.B, max(self.N, self.M)), generator=drawn)
        ids = (ids * (torch.rand(ids.shape, generator=drawn) < 0.2)).cumsum(1)
        # A query has the document of the key at its position.
        at = (torch.arange(self.N) + self.offset).clamp(0, self.M - 1)
        queries, keys = (ids[:, at], ids[:, : self.M]) if self.documents else (None, None)
        f, g, v = (x.to(dtype) for x, dtype in zip((f, g, v), self.dtypes, strict=True))
        if self.strided:
            f, g, v = _transposed(f), _sliced(g), _every_second(v)
        return {
            "f": f, "g": g, "v": v, "steps": steps, "of_queries": queries, "of_keys": keys,
            "offset": self.offset, "with_sums": self.sums,
        }  # fmt: skip

    def gradients(self) -> tuple[Tensor, Tensor | None]:
        """Of out and sums."""
        drawn = torch.Generator().manual_seed(self.seed + 1)
        dout = torch.randn(self.B, self.H, self.N, self.DV, generator=drawn)
        return dout, torch.randn(self.B, self.H, self.N, generator=drawn) if self.sums else None


def _transposed(x: Tensor) -> Tensor:
    """Tokens before heads."""
    return x.transpose(1, 2).contiguous().transpose(1, 2)


def _sliced(x: Tensor) -> Tensor:
    """Columns of something wider."""
    return x.new_zeros(*x.shape[:3], x.shape[3] + 5)[..., 3 : 3 + x.shape[3]].copy_(x)


def _every_second(x: Tensor) -> Tensor:
    """With a stride of two from column to column."""
    return x.repeat_interleave(2, 3)[..., ::2]


def by_kernels(call: Call, module: ModuleType, device: str = "cpu") -> dict[str, Tensor | None]:
    """Outputs and gradients."""
    given = {name: _to(value, device) for name, value in call.tensors().items()}
    out, sums = forward(call, module)(**given)
    del given["with_sums"]
    dout, dsums = (_to(x, device) for x in call.gradients())
    found = backward(call, module)(dout, dsums, **given)
    results = zip(("out", "sums", "df", "dg", "dv", "dsteps"), (out, sums, *found), strict=True)
    return {name: _to(x, "cpu") for name, x in results}


def forward(call: Call, module: ModuleType) -> Any:
    """The launcher for its gates."""
    return module._channel_forward_triton if call.gates == "channels" else module._chunked_forward_triton


def backward(call: Call, module: ModuleType) -> Any:
    return module._channel_backward_triton if call.gates == "channels" else module._chunked_backward_triton


def _to(value: Any, device: str) -> Any:
    """A tensor on a device, with the strides that it has."""
    return value.to(device) if isinstance(value, Tensor) else value


def by_pairs(call: Call, of_sizes: bool = False) -> dict[str, Tensor | None]:
    """The same, pair by pair in float64, differentiated by torch; `of_sizes`: as if no number were negative."""
    given = call.tensors()
    del given["with_sums"]
    dout, dsums = call.gradients()
    sums = dout.new_zeros(dout.shape[:3]) if dsums is None else dsums
    meant = linear_oracle.Call(**given, dout=dout, dsums=sums)
    if of_sizes:
        names = ("f", "g", "v", "dout", "dsums")
        meant = replace(meant, **{name: getattr(meant, name).abs() for name in names})
    found = linear_oracle.pairwise(meant)
    return {"dsteps": None, **found, "sums": found["sums"] if call.sums else None}


def errors(call: Call, module: ModuleType, device: str = "cpu") -> dict[str, float]:
    """The largest of each result, relative to the largest sum of the sizes of what is summed there."""
    found, expected, sizes = by_kernels(call, module, device), by_pairs(call), by_pairs(call, of_sizes=True)
    assert found.keys() == expected.keys()
    if sizes["dsteps"] is not None and sizes["df"] is not None:
        # A difference of what the two ends of pairs get, summed over a chunk.
        ends = call.tensors()["f"].abs() * sizes["df"]
        ends = ends if call.gates == "channels" else ends.sum(3, keepdim=True)
        sizes["dsteps"] = ends.unfold(2, min(call.N, 64), 1).sum(-1)
    worst = {}
    for name, want in expected.items():
        got, size = found[name], sizes[name]
        if want is None or got is None or size is None:
            assert want is got, name
            continue
        assert got.shape == want.shape, name
        off = float((got.double() - want).abs().nan_to_num(torch.inf).max())
        worst[name] = off / float(size.max()) if off else 0.0
    return worst


def limit(call: Call) -> float:
    """Of these errors: sums have float32, the factors of products their dtype, and exponents sums of steps."""
    steps = call.tensors()["steps"]
    apart = 0.0 if steps is None else float(steps.abs().unfold(2, min(call.M, 64), 1).sum(-1).max())
    narrow = torch.finfo(call.dtypes[0]).eps if len(set(call.dtypes)) == 1 else 0.0
    return 4e-6 + 2 * narrow + torch.finfo(torch.float32).eps * apart


def assert_right(call: Call, module: ModuleType, device: str = "cpu") -> None:
    wrong = {name: error for name, error in errors(call, module, device).items() if error > limit(call)}
    assert not wrong, (wrong, limit(call), call)
