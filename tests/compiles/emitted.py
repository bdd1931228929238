"""The examples, each of which has kernels, and what a call of each needs to launch them."""

from __future__ import annotations

from compilations import example, with_kernels

from attnc.inspect import Report, inspect, plan_launches
from attnc.inspect.launches import Launch
from attnc.inspect.targets import SM_90, Target

# Without a context, what divides a length divides the sizes of every array.
NUMBERS = {"tree_decoding": {"context": 0}}


def launches(
    name: str, target: Target = SM_90, d: int = 64, dtype: str = "bfloat16", **numbers: int | float
) -> list[Launch]:
    """What a call of an example launches."""
    return plan_launches(with_kernels(example(name)), target, d, dtype, NUMBERS.get(name, {}) | numbers)


def report(
    name: str, target: Target = SM_90, d: int = 64, dtype: str = "bfloat16", **numbers: int | float
) -> Report:
    """The machine code of an example."""
    numbers = NUMBERS.get(name, {}) | numbers
    return inspect(with_kernels(example(name)), target, head_dim=d, dtype=dtype, numbers=numbers)
