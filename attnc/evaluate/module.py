"""`triton.jit`, the launch of a kernel, and the module around them.

Enters: the name and the text of an emitted module. Leaves: the module, in which `triton` and `triton.language` are
those of this folder. The text is run as it is: an `__import__` of its own answers what it imports, and a `range` of its
own loops over scalars of a kernel. Its host functions are plain torch, as ever.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from functools import cache, cached_property
from inspect import signature
from itertools import product
from types import ModuleType
from typing import Any

import numpy as np
from torch import Tensor

from attnc.evaluate.dtypes import FLOAT32, KernelFault, type_of
from attnc.evaluate.language import Language
from attnc.evaluate.memory import Launched
from attnc.evaluate.tile import Tile
from attnc.run.loader import cache_file, name_file

MOST_PROGRAMS = (2**31 - 1, 65535, 65535)  # along each axis of a launch (CUDA; HIP takes no fewer)
OPTIONS = {"num_warps", "num_stages", "enable_fp_fusion", "num_ctas", "maxnreg"}


@cache
def load_evaluated(name: str, text: str) -> ModuleType:
    """The module of this text, with kernels that NumPy evaluates. The same text gives the same module."""
    full = name_file(name, text)
    path = str(cache_file(f"{full}.py", text))
    module, triton = ModuleType(f"attnc_evaluated.{full}"), Triton()
    module.__file__ = path

    def import_(name: str, *rest: Any) -> Any:
        return triton if name.partition(".")[0] == "triton" else builtins.__import__(name, *rest)

    own = {"__import__": import_, "range": triton.language.range}
    vars(module)["__builtins__"] = vars(builtins) | own
    exec(compile(text, path, "exec", dont_inherit=True), vars(module))
    return module


class Triton:
    """`triton`."""

    __version__ = "evaluated by attnc"

    def __init__(self) -> None:
        self.language = Language()

    def jit(self, function: Callable[..., Any] | None = None, **options: Any) -> Any:
        """A kernel, or a function that kernels call. Options are for a compiler."""
        if function is None:
            return self.jit
        return Kernel(function, self.language)

    @staticmethod
    def cdiv(a: int, b: int) -> int:
        return -(-a // b)

    @staticmethod
    def next_power_of_2(n: int) -> int:
        return 1 << max(0, n - 1).bit_length()


class Kernel:
    """A function of a module: called by another, it runs; with a grid, it is launched."""

    def __init__(self, fn: Callable[..., Any], language: Language) -> None:
        self.fn, self.language = fn, language
        self.__name__ = fn.__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.fn(*args, **kwargs)

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        def launch(*args: Any, **kwargs: Any) -> None:
            self._launch((*grid, 1, 1)[:3], args, kwargs)

        return launch

    @cached_property
    def _constants(self) -> frozenset[str]:
        """The parameters that are known when a kernel is compiled."""
        return frozenset(n for n, kind in self.fn.__annotations__.items() if kind is Language.constexpr)

    def _launch(self, grid: tuple[int, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        named = {name: value for name, value in kwargs.items() if name not in OPTIONS}
        bound = signature(self.fn).bind(*args, **named)
        bound.apply_defaults()
        for axis, (count, most) in enumerate(zip(grid, MOST_PROGRAMS, strict=True)):
            if count > most:
                raise KernelFault(f"`{self.__name__}`: {count} programs along axis {axis} of a launch")
        language, order = self.language, 0
        memory = Launched(lambda: order)
        values = {
            n: x if n in self._constants else _argument(n, x, memory) for n, x in bound.arguments.items()
        }
        language.grid, language.running = grid, True
        try:
            for order, program in enumerate(product(*map(builtins.range, grid))):  # noqa: B007
                language.program = program
                self._run(values)
        finally:
            language.running = False

    def _run(self, values: dict[str, Any]) -> None:
        """One program of a launch."""
        try:
            with np.errstate(all="ignore"):
                self.fn(**values)
        except KernelFault as fault:
            raise KernelFault(f"`{self.__name__}`, program {self.language.program}: {fault}") from fault


def _argument(name: str, value: Any, memory: Launched) -> Any:
    """An argument as a kernel has it: a float has 32 bits, an int as many as it needs."""
    if isinstance(value, Tensor):
        return memory.pointer(name, value)
    if isinstance(value, float):
        return Tile(value, FLOAT32)
    return Tile(value, type_of(value)) if isinstance(value, int) else value
