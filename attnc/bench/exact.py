"""A large call against the interpreter in double precision, at some of its rows.

Enters: an attention, what computes it, a call, and parts of it: some queries of one head. Leaves: how far each result
is off: the norm of the difference as a share of the norm, for the worst head. The interpreter is quadratic and has to
see all keys of a row, but no other rows. So it computes the attention of a part: the spec with its batch entry, its
head and its first query written into it. Gradients are those of a `dout` that is zero outside the parts; then they
follow from the parts alone, and are zero where no part reaches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite

import torch
from torch import Tensor

from attnc.bench.call import Call
from attnc.ir.nodes import Attention, Index, IntConst, IntOp, Node, Param, Size
from attnc.ir.walk import replace_terms
from attnc.run.interpreter import interpret

ROWS = 64


@dataclass(frozen=True)
class Part:
    """Queries `[first, end)` of a head of a batch entry."""

    b: int
    h: int
    first: int
    end: int

    @property
    def place(self) -> tuple[int, int, slice]:
        return self.b, self.h, slice(self.first, self.end)


def choose_parts(call: Call) -> list[Part]:
    """The first and the last rows, and some between that no tile begins with."""
    b, h, n = (call.sizes[size] for size in ("B", "H", "N"))
    rows = min(ROWS, n)
    places = [(0, 0, 0), (b - 1, h - 1, n - rows), (0, h // 2, n // 2 - 17), (b - 1, h // 3, n // 3 + 5)]
    parts = {(at_b, at_h, max(0, min(first, n - rows))) for at_b, at_h, first in places}
    return [Part(at_b, at_h, first, first + rows) for at_b, at_h, first in sorted(parts)]


def find_errors(
    attention: Attention,
    attend: Callable[[Tensor, Tensor, Tensor], Tensor],
    call: Call,
    parts: Sequence[Part],
    with_gradients: bool,
) -> dict[str, float]:
    """Of `out`, `dq`, `dk` and `dv`. A gradient that is not zero where no part reaches is off by infinity."""
    leaves = [x.detach().requires_grad_(with_gradients) for x in (call.q, call.k, call.v)]
    out = attend(*leaves)
    dout = _dout(out, parts)
    expected = [_compute(attention, call, part, dout[part.place]) for part in parts]
    found = {
        "out": max(
            _distance(out[part.place].detach(), each[0]) for part, each in zip(parts, expected, strict=True)
        )
    }
    if not with_gradients:
        return found
    got = torch.autograd.grad(out, leaves, dout)
    group = call.sizes["H"] // call.sizes["HKV"]
    for name, gradient, number in (("dq", got[0], 1), ("dk", got[1], 2), ("dv", got[2], 3)):
        heads: dict[tuple[int, int], Tensor] = {}
        for part, each in zip(parts, expected, strict=True):
            head = (part.b, part.h if name == "dq" else part.h // group)
            whole = heads.setdefault(head, torch.zeros_like(gradient[head], dtype=torch.float64))
            whole[part.place[2] if name == "dq" else slice(None)] += each[number]
        rest = gradient.clone()
        for head in heads:
            rest[head] = 0
        elsewhere = inf if rest.any() else 0.0
        found[name] = max(elsewhere, *(_distance(gradient[head], whole) for head, whole in heads.items()))
    return found


def _distance(got: Tensor, expected: Tensor) -> float:
    """The norm of the difference as a share of the norm; a key too many of a hundred is off by a tenth."""
    distance, norm = float((got.double() - expected).norm()), float(expected.norm())
    if not isfinite(distance):
        return inf
    return distance / norm if norm else (inf if distance else 0.0)


def _dout(out: Tensor, parts: Sequence[Part]) -> Tensor:
    generator = torch.Generator(out.device).manual_seed(2)
    dout = torch.zeros_like(out)
    for part in parts:
        here = dout[part.place]
        here.copy_(torch.randn(here.shape, generator=generator, device=out.device))
    return dout


def _compute(attention: Attention, call: Call, part: Part, dout: Tensor) -> tuple[Tensor, ...]:
    """Output of these rows, their dq, and what they add to dk and dv."""
    head = part.h // (call.sizes["H"] // call.sizes["HKV"])
    rows = call.q[part.place], call.k[part.b, head], call.v[part.b, head]
    leaves = [x.detach().double()[None, None].requires_grad_() for x in rows]
    q, k, v = leaves
    out = interpret(narrow(attention, call, part), q, k, v, call.arguments)
    if not isinstance(out, Tensor):
        raise TypeError("the interpreter gave more than it was asked for")
    gradients = torch.autograd.grad(out, leaves, dout.double()[None, None])
    return tuple(x.detach()[0, 0] for x in (out, *gradients))


def narrow(attention: Attention, call: Call, part: Part) -> Attention:
    """The attention of a part: with one batch entry and one head, and queries counted from its first."""
    sizes = call.sizes

    def change(term: Node) -> Node | None:
        match term:
            case Index("b"):
                return IntConst(part.b)
            case Index("h"):
                return IntConst(part.h)
            case Index("i") if part.first:
                return IntOp("+", term, IntConst(part.first))
            case Size("B" | "H" | "HKV" | "N" as name):
                return IntConst(sizes[name])
        return None

    def resized(param: Param) -> Param:
        return replace(param, sizes=tuple(replace_terms(size, change) for size in param.sizes))  # type: ignore[misc]

    clauses = {word: replace_terms(term, change) for word, term in attention.clauses.items()}
    params = tuple(resized(param) for param in attention.params)
    return replace(attention, params=params, grid=(), lets=(), **clauses)  # type: ignore[arg-type]
