"""Do two contenders compute the same?

Enters: results and what is expected. Leaves: the largest difference, as a share of the largest number expected. Each
rounds in its own way, so a difference is no mistake by itself; a wrong mask or a lost term is off by more than a limit.
`attnc verify` is how close emitted code has to be; this only keeps other things from being timed.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from torch import Tensor

# About eight roundings of the largest number; single precision may go through exponents of a hundred.
LIMITS = {"float64": 1e-9, "float32": 1e-4, "float16": 8e-3, "bfloat16": 6e-2}


def limit_of(x: Tensor) -> float:
    """How far results of the dtype of `x` may be apart."""
    return LIMITS[str(x.dtype).removeprefix("torch.")]


def find_difference(got: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The largest over several results; infinite where one is no number."""
    return max(_difference(a, b) for a, b in zip(got, expected, strict=True))


def _difference(got: Tensor, expected: Tensor) -> float:
    if not (got.isfinite().all() and expected.isfinite().all()):
        return inf
    if not got.numel():
        return 0.0
    apart = float((got.double() - expected.double()).abs().max())
    largest = float(expected.abs().max())
    return apart / largest if largest else (inf if apart else 0.0)
