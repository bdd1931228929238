"""The inspection of all kernels of an attention.

Enters: a compilation, and what to build it for. Leaves: a `Report`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from attnc.errors import AttncError, Diagnostic
from attnc.inspect.report import Report
from attnc.inspect.targets import SM_90, Target

if TYPE_CHECKING:
    from attnc.compiler import Compilation
    from attnc.inspect.launches import Launch, Rows
    from attnc.run.settings import Number

Progress = Callable[[int, int], None]


def inspect(
    compilation: Compilation,
    target: Target = SM_90,
    *,
    head_dim: int = 128,
    dtype: str = "bfloat16",
    numbers: Mapping[str, Number] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Say how good every kernel is that a call launches; `progress(done, of)` is told after each that is built for it.

    `numbers` are sizes and scalar parameters of the call.
    """
    launches = plan_launches(compilation, target, head_dim, dtype, numbers or {})
    import triton

    from attnc.inspect.gate import judge
    from attnc.inspect.remember import measure_all

    figures = measure_all(launches, target, progress)
    verdicts = [verdict for each in figures for verdict in judge(each, target, dtype, head_dim)]
    return Report(
        compilation.attention.name, target.name, dtype, head_dim, triton.__version__,
        tuple(figures), tuple(sorted(verdicts, key=lambda verdict: not verdict.is_failure)),
    )  # fmt: skip


def plan_launches(
    compilation: Compilation,
    target: Target,
    head_dim: int,
    dtype: str,
    numbers: Mapping[str, Number],
    tiles: Rows | None = None,
) -> list[Launch]:
    """What a call with these sizes and numbers launches; with `tiles`, in place of the module's own.

    A kernel that looks again is there once: the second time its programs end at once, unless a sum is no number.
    """
    attention, text = compilation.attention, compilation.module
    try:
        import triton  # noqa: F401
    except ImportError:
        what = "machine code is made by triton, which is not installed"
        raise AttncError(
            Diagnostic("missing-package", what, helps=("install it: `pip install triton`",))
        ) from None
    import torch

    from attnc.inspect.call import make_call
    from attnc.inspect.launches import find_launches
    from attnc.run.loader import load_module

    call = make_call(attention, compilation.facts, getattr(torch, dtype), head_dim, numbers)
    found = find_launches(load_module(attention.name, text), attention.name, call, target, tiles)
    return [launch for launch in found if not launch.is_second]
