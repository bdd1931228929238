"""Errors of the size that a precision allows.

Enters: numbers in float64. Leaves: the same with random errors, and gradients with errors of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

UNIT = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}


@dataclass(frozen=True)
class Precision:
    """Unit roundoffs: of the dtype, of the working precision, and of p and ds in their second product."""

    stored: float
    working: float
    product: float
    generator: torch.Generator = field(compare=False)

    def error(self, size: Tensor, unit: float) -> Tensor:
        """Independent errors, uniform in [-1, 1] times `unit * size`."""
        if not unit:
            return size.new_zeros(())
        uniform = torch.rand(size.shape, generator=self.generator, dtype=torch.float64) * 2 - 1
        return size.detach() * uniform * unit

    def on_grid(self, x: Tensor, unit: float) -> Tensor:
        """`x` as a number with that unit roundoff: the nearest, or either of two that are about as near.

        Where summands are lost next to others, what was different becomes the same; no error of a range makes it so.
        """
        if not unit or not x.numel():
            return x
        spacing = torch.ldexp(torch.full_like(x, unit, requires_grad=False), torch.frexp(x.detach()).exponent)
        near = torch.round(x.detach() / spacing + self.error(torch.ones_like(x), 0.25)) * spacing
        return x + torch.where(near.isfinite(), near - x.detach(), torch.zeros_like(near))

    def rounded(
        self, x: Tensor, unit: float, backward: float | Tensor = 0.0, size: Tensor | None = None
    ) -> Tensor:
        """`x` with an error, and its gradient with another."""
        if not x.numel():
            return x
        y = x + self.error(x.detach().abs() if size is None else size, unit)
        if y.requires_grad and (isinstance(backward, Tensor) or backward):
            y.register_hook(lambda g: g + self.error(finite_part(g.abs() * backward), 1.0))  # type: ignore[no-untyped-call]
        return y


def finite_part(x: Tensor) -> Tensor:
    """`x`, with 0 where it is infinite or no number: the log-sum-exp of a row without keys."""
    return torch.where(x.isfinite(), x, torch.zeros_like(x))
