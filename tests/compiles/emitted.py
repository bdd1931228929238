"""The examples that have kernels, and what a call of each needs to launch them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from attnc.compiler import Compilation
from attnc.errors import AttncError
from attnc.inspect import Report, inspect, plan_launches
from attnc.inspect.launches import Launch
from attnc.inspect.targets import SM_90, Target
from attnc.syntax.reading import read_source

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
# Without a context, what divides a length divides the sizes of every array.
NUMBERS = {"tree_decoding": {"context": 0}}


@cache
def spec(name: str) -> Compilation:
    """One example."""
    return Compilation(read_source(EXAMPLES / f"{name}.attn"))


def launches(
    name: str, target: Target = SM_90, d: int = 64, dtype: str = "bfloat16", **numbers: int | float
) -> list[Launch]:
    """What a call of an example launches."""
    return plan_launches(spec(name), target, d, dtype, NUMBERS.get(name, {}) | numbers)


def report(
    name: str, target: Target = SM_90, d: int = 64, dtype: str = "bfloat16", **numbers: int | float
) -> Report:
    """The machine code of an example."""
    numbers = NUMBERS.get(name, {}) | numbers
    return inspect(spec(name), target, head_dim=d, dtype=dtype, numbers=numbers)


def _has_kernels(name: str) -> bool:
    try:
        return bool(spec(name).module)
    except AttncError as error:
        if {d.code for d in error.diagnostics} == {"no-kernel"}:
            return False
        raise


NAMES = [path.stem for path in sorted(EXAMPLES.glob("*.attn")) if _has_kernels(path.stem)]
