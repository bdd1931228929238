"""Linear attention as its formula says it, pair by pair in float64, and random calls of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Call:
    """`steps` [B, H, M], [B, H, M, F] or None; documents of queries and of keys, or None."""

    f: Tensor
    g: Tensor
    v: Tensor
    steps: Tensor | None
    of_queries: Tensor | None
    of_keys: Tensor | None
    offset: int
    dout: Tensor
    dsums: Tensor

    @property
    def given(self) -> tuple[object, ...]:
        return self.f, self.g, self.v, self.steps, self.of_queries, self.of_keys, self.offset

    def to(self, dtype: torch.dtype) -> Call:
        """As kernels take it: steps are in a wide dtype."""
        wide = torch.promote_types(dtype, torch.float32)
        named = {name: getattr(self, name).to(dtype) for name in ("f", "g", "v")}
        steps = None if self.steps is None else self.steps.to(wide)
        return replace(self, **named, steps=steps, dout=self.dout.to(wide), dsums=self.dsums.to(wide))


def draw(
    N: int, M: int, offset: int, gates: str, documents: bool, heads: tuple[int, int] = (4, 2),
    widths: tuple[int, int] = (7, 5), steepness: float = 1.0, seed: int = 0,
) -> Call:  # fmt: skip
    """`gates`: "none", "numbers", "channels"; with a `steepness` of 0 they are a random walk, which grows and falls."""
    generator = torch.Generator().manual_seed(seed)
    (H, HG), (F, DV), B = heads, widths, 2

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=generator)

    steps = None
    if gates != "none":
        steps = random(B, H, M, *([F] if gates == "channels" else []))
        steps = -steps.abs() * steepness if steepness else steps / 2
    of_queries = of_keys = None
    if documents and M:
        of_keys = torch.randint(0, 2, (B, M), generator=generator).cumsum(1) // 7
        of_queries = of_keys[:, (torch.arange(N) + offset).clamp(0, M - 1)]
    f, g, v = random(B, H, N, F), random(B, HG, M, F), random(B, HG, M, DV)
    return Call(f, g, v, steps, of_queries, of_keys, offset, random(B, H, N, DV), random(B, H, N))


def pairwise(call: Call) -> dict[str, Tensor]:
    """out, sums, and their gradients, by torch's autograd of the formula."""
    leaves = {n: getattr(call, n) for n in ("f", "g", "v", "steps") if getattr(call, n) is not None}
    leaves = {n: x.double().clone().requires_grad_() for n, x in leaves.items()}
    is_finite = all(x.isfinite().all() for x in (*leaves.values(), call.dout, call.dsums))
    out, sums = (_at_once if is_finite else _row_by_row)(call, leaves)
    results = {"out": out.detach().clone(), "sums": sums.detach().clone()}
    given = [call.dout.double(), call.dsums.double()]
    if not out.requires_grad:
        found = [torch.zeros_like(x) for x in leaves.values()]
    else:
        found = torch.autograd.grad([out, sums], list(leaves.values()), given, materialize_grads=True)
    return results | {f"d{name}": each for name, each in zip(leaves, found, strict=True)}


def _at_once(call: Call, leaves: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    f, g, v = _by_query_head(leaves)
    N, M = f.shape[2], g.shape[2]
    ends = torch.arange(N) + call.offset
    shown = (torch.arange(M) <= ends[:, None])[None, None]
    if call.of_keys is not None and call.of_queries is not None:
        shown = shown & (call.of_queries[:, None, :, None] == call.of_keys[:, None, None, :])
    weights = f @ g.mT
    if "steps" in leaves and M:
        steps = leaves["steps"]
        running = (steps if steps.ndim == 4 else steps.unsqueeze(3)).cumsum(2)
        apart = running[:, :, ends.clamp(0, M - 1)].unsqueeze(3) - running.unsqueeze(2)
        decay = apart.masked_fill(~shown.unsqueeze(4), 0).exp()
        weights = (f.unsqueeze(3) * g.unsqueeze(2) * decay).sum(4)
    weights = weights.masked_fill(~shown, 0)
    return weights @ v, weights.sum(3)


def _row_by_row(call: Call, leaves: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """A hidden pair is not there at all."""
    f, g, v = _by_query_head(leaves)
    (B, H, N, _), (M, DV) = f.shape, v.shape[2:]
    out, sums = f.new_zeros(B, H, N, DV), f.new_zeros(B, H, N)
    for b in range(B):
        for i in range(N):
            keys = [j for j in range(M) if j <= i + call.offset]
            if call.of_keys is not None and call.of_queries is not None:
                keys = [j for j in keys if call.of_keys[b, j] == call.of_queries[b, i]]
            if not keys:
                continue
            weights = f[b, :, None, i] * g[b][:, keys]
            if "steps" in leaves:
                steps = leaves["steps"].unsqueeze(-1) if leaves["steps"].ndim == 3 else leaves["steps"]
                end = min(i + call.offset, M - 1)
                between = [steps[b, :, j + 1 : end + 1].sum(1) for j in keys]
                weights = weights * torch.stack(between, 1).exp()
            weights = weights.sum(2)
            out[b, :, i] = (weights.unsqueeze(1) @ v[b][:, keys]).squeeze(1)
            sums[b, :, i] = weights.sum(1)
    return out, sums


def _by_query_head(leaves: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    f, g, v = leaves["f"], leaves["g"], leaves["v"]
    group = f.shape[1] // g.shape[1]
    return f, g.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
