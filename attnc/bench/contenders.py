"""The contenders of a benchmark: attnc and whatever else computes the same call.

Enters: a compilation and a call. Leaves: contenders, attnc's own first, and for each that cannot take part the reason.
All get the same `q`, `k` and `v` and answer with the output. What each makes of the other arguments beforehand is
theirs: SDPA has a dense mask, FlexAttention a mask of blocks, and `flex + mask` makes that mask in every call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from attnc.bench.bias import find_dense
from attnc.bench.call import Call
from attnc.bench.flex import why_not_flex, write_functions
from attnc.errors import AttncError, CompilerBug
from attnc.ir.walk import Axis, axes_of
from attnc.lower.names import SIZES
from attnc.run.loader import load_module

if TYPE_CHECKING:
    from attnc.compiler import Compilation

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
# What the interpreter may look at: it keeps some hundred bytes for every pair.
MOST_REFERENCE_PAIRS = 2**23


@dataclass(frozen=True)
class Contender:
    """A function that computes the call; `no_backward` says why it has no gradient."""

    name: str
    attend: Attend
    no_backward: str = ""


@dataclass(frozen=True)
class LeftOut:
    """A contender that cannot take part in a direction, and why."""

    contender: str
    direction: str
    why: str


def find_contenders(
    compilation: Compilation, call: Call, with_reference: bool, with_flex: bool = True
) -> tuple[list[Contender], list[LeftOut]]:
    """Those that can compute the call, as far as the spec says it, and those that cannot."""
    function = compilation.function()
    found = [Contender("attnc", partial(_output, function, call.arguments))]
    left_out: list[LeftOut] = []
    peers: dict[str, Callable[[Compilation, Call], list[Contender] | str]] = {"sdpa": _make_sdpa}
    if with_flex:
        peers["flex"] = _make_flex
    for name, make in peers.items():
        try:
            made = make(compilation, call)
        except (AttncError, CompilerBug):
            raise
        except Exception as problem:
            made = first_line(problem)
        if isinstance(made, str):
            left_out.append(LeftOut(name, "both", made))
        else:
            found += made
    if with_reference:
        sizes = call.sizes
        pairs = sizes["B"] * sizes["H"] * sizes["N"] * sizes["M"]
        if pairs > MOST_REFERENCE_PAIRS:
            why = f"the interpreter looks at {MOST_REFERENCE_PAIRS} pairs at most, and this call has {pairs}"
            left_out.append(LeftOut("reference", "both", why))
        else:
            found.append(Contender("reference", partial(_output, function.reference, call.arguments)))
    return found, left_out


def first_line(problem: Exception) -> str:
    """What an exception says, in a line."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return f"{type(problem).__name__}: {lines[0]}" if lines else type(problem).__name__


def _output(
    function: Callable[..., Any], arguments: dict[str, Any], q: Tensor, k: Tensor, v: Tensor
) -> Tensor:
    result: Tensor = function(q, k, v, **arguments)
    return result


# ---- SDPA ------------------------------------------------------------------------------------------


def _make_sdpa(compilation: Compilation, call: Call) -> list[Contender] | str:
    dense = find_dense(compilation.attention, compilation.facts.weights, call)
    if isinstance(dense, str):
        return dense
    attend: Attend = partial(
        scaled_dot_product_attention,
        attn_mask=dense.mask,
        is_causal=dense.is_causal,
        scale=dense.scale,
        enable_gqa=is_grouped(call),
    )
    found = [Contender("sdpa", attend)]
    if call.device.type == "cuda" and dense.mask is None and call.q.element_size() == 2:
        from torch.nn.attention import SDPBackend

        for name, backend in (("flash", SDPBackend.FLASH_ATTENTION), ("cudnn", SDPBackend.CUDNN_ATTENTION)):
            found.append(Contender(f"sdpa {name}", partial(_attend_with, backend, attend)))
    return found


def _attend_with(backend: Any, attend: Attend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """By one of the kernels that SDPA chooses from."""
    from torch.nn.attention import sdpa_kernel

    with sdpa_kernel(backend):
        return attend(q, k, v)


def is_grouped(call: Call) -> bool:
    return call.sizes["H"] != call.sizes["HKV"]


# ---- FlexAttention ---------------------------------------------------------------------------------


def _make_flex(compilation: Compilation, call: Call) -> list[Contender] | str:
    attention, weights = compilation.attention, compilation.facts.weights
    if why := why_not_flex(attention, weights):
        return why
    on_cpu = call.device.type == "cpu"
    if on_cpu and weights.gate is not None:
        return "FlexAttention gives no log-sum-exp on a CPU"
    text = write_functions(attention, weights, call.sizes["N"] == call.sizes["M"])
    flex = Flex(call, load_module(f"flex_{attention.name}", text).bind, axes_of(attention.mask))
    none = "FlexAttention has no backward pass on a CPU" if on_cpu else ""
    found = [Contender("flex", flex.attend, none)]
    if flex.mask_mod is not None:
        found.append(Contender("flex + mask", flex.attend_anew, none or "it would be that of `flex`"))
    return found


class Flex:
    """FlexAttention, compiled for the sizes of one call. `axes` are those that the mask depends on."""

    def __init__(self, call: Call, bind: Callable[..., Any], axes: frozenset[Axis]) -> None:
        from torch.nn.attention.flex_attention import create_block_mask

        values = call.values
        bound = bind(*(values[name] for name in (*SIZES, "scale", *call.arguments)))
        self.mask_mod, self.score_mod, self.gate, self.scale = bound
        self.is_grouped = is_grouped(call)
        sizes = call.sizes
        shape = [sizes[size] if axis in axes else None for axis, size in (("b", "B"), ("h", "H"))]
        self._shape: tuple[Any, ...] = (*shape, sizes["N"], sizes["M"], call.device)
        # Each call has kernels for its own sizes; nothing is compiled again for others.
        self._attend = torch.compile(_attend, dynamic=False, fullgraph=True)
        self._create_anew = create_block_mask
        if call.device.type == "cuda":
            self._create_anew = torch.compile(create_block_mask, dynamic=False)
        self.mask = None if self.mask_mod is None else create_block_mask(self.mask_mod, *self._shape)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return self._with(self.mask, q, k, v)

    def attend_anew(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The same, with a mask made for this call."""
        return self._with(self._create_anew(self.mask_mod, *self._shape), q, k, v)

    def _with(self, mask: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out: Tensor = self._attend(q, k, v, mask, self.score_mod, self.gate, self.scale, self.is_grouped)
        return out


def _attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Any, score_mod: Any, gate: Any, scale: float, is_grouped: bool
) -> Tensor:
    from torch.nn.attention.flex_attention import AuxRequest, flex_attention

    if gate is None:
        out: Any = flex_attention(
            q, k, v, score_mod=score_mod, block_mask=mask, scale=scale, enable_gqa=is_grouped
        )
        return out  # type: ignore[no-any-return]
    out, aux = flex_attention(
        q, k, v, score_mod=score_mod, block_mask=mask, scale=scale, enable_gqa=is_grouped,
        return_aux=AuxRequest(lse=True),
    )  # fmt: skip
    b, h, i = (torch.arange(size, device=q.device) for size in q.shape[:3])
    factor = gate(aux.lse, b[:, None, None], h[:, None], i)
    return (out * factor[..., None]).to(q.dtype)  # type: ignore[no-any-return]
