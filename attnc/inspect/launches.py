"""What a call of an emitted module would launch.

Enters: the module, imported where kernels are compiled and not interpreted, and the arguments of a call. Leaves: the
launches of that call and of its backward pass, each with what the module's own launchers pass. The call runs with
tensors on the CPU, and a launch is written down instead of done.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from triton.runtime.jit import JITFunction

from attnc.errors import AttncError, Diagnostic
from attnc.inspect.targets import Target

# Of each kernel: queries, keys, warps and stages by the widest head they serve.
Rows = Mapping[str, Mapping[int, tuple[int, int, int, int]]]


@dataclass(frozen=True)
class Launch:
    """One kernel and what it is called with."""

    kernel: Any
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.kernel.__name__).removeprefix("_")

    @property
    def table(self) -> str:
        """The name without the number of its pass over the keys, as the gate and the table of tiles know it."""
        return self.name.rstrip("_0123456789")

    @property
    def is_second(self) -> bool:
        """Does it look again where a sum is no number, and end at once elsewhere?"""
        return bool(self.options.get("AGAIN"))

    @property
    def tile(self) -> tuple[int, int] | None:
        """Queries and keys of a tile, for a kernel that visits tiles of both."""
        queries, keys = self.options.get("BLOCK_Q"), self.options.get("BLOCK_K")
        return None if queries is None or keys is None else (queries, keys)


def find_launches(
    module: ModuleType, name: str, arguments: Mapping[str, Any], target: Target, tiles: Rows | None = None
) -> list[Launch]:
    """Every launch of one forward and one backward call of the module's function, in order.

    `tiles` are rows that take the place of the module's own. Where few queries have kernels of their own, the forward
    pass is launched both ways.
    """
    _check_compiled(module, name)
    found: list[Launch] = []

    def note(kernel: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> None:
        found.append(Launch(kernel, args, options))

    passes = {each: each.removeprefix("_rows") for each in vars(module) if re.fullmatch(r"_rows_\d+", each)}
    operators = {
        each: partial(_run_pass, module, number, _names_of(getattr(module, each)))
        for each, number in {**passes, "_attention": ""}.items()
    }
    card = SimpleNamespace(element_size=arguments["q"].element_size, is_cuda=True, device=0)
    with (
        _replaced(JITFunction, run=note),
        _replaced(torch.version, hip="6.4" if target.backend == "hip" else None),
        _replaced(
            torch.cuda,
            get_device_capability=lambda device: target.capability,
            get_device_properties=lambda device: SimpleNamespace(gcnArchName=target.name),
        ),
    ):
        numbers = {"_splits": 0, "_shares": 1}
        whole = {name: partial(_same, n) for name, n in numbers.items() if hasattr(module, name)}
        chosen: dict[str, Any] = {"_choose": lambda backend, q: "triton"}
        if hasattr(module, "_table"):  # kernels of chunks have tiles for every card
            rows, generation = module._table(card) | (tiles or {}), module._generation(card)
            chosen |= {"_table": lambda q: rows, "_generation": lambda q: generation}
        with _replaced(module, **operators, **whole, **chosen):
            getattr(module, name)(**arguments)
    return found


def _same(number: int, *sizes: object) -> int:
    return number


def _check_compiled(module: ModuleType, name: str) -> None:
    if any(isinstance(each, JITFunction) for each in vars(module).values()):
        return
    if not hasattr(module, "TILES") and not hasattr(module, "CHUNKS"):
        what = f"`{name}` has no kernels: torch computes it on every device"
        helps = ('compile it with `schedule="tiled"`: that has kernels, which go pair by pair',)
        raise AttncError(Diagnostic("no-kernel", what, helps=helps))
    raise AttncError(
        Diagnostic(
            "interpreted-kernels",
            f"the kernels of `{name}` are interpreted, and have no machine code",
            notes=("TRITON_INTERPRET was set when triton was imported",),
            helps=("unset TRITON_INTERPRET",),
        )
    )


def _names_of(operator: Any) -> list[str]:
    """What an operator calls its arguments."""
    return [argument.name for argument in operator._schema.arguments]


def _run_pass(module: ModuleType, number: str, names: list[str], *args: Any) -> Any:
    """Forward and backward of one pass over the keys; the last has no number. `args` are those of its operator."""
    forward: Callable[..., Any] = getattr(module, f"_forward_triton{number}")
    given = dict(zip(names, args, strict=True))
    floats = iter(given.get("floats", ()))
    takes = inspect.signature(forward).parameters
    values = {name: given[name] if name in given else next(floats) for name in takes}
    results = forward(**values)
    if hasattr(module, f"_forward_split{number}"):
        with _replaced(module, _splits=lambda *sizes: 2):
            forward(**values)
    left = results if isinstance(results, tuple) else (results,)
    for place in (x for x in left if x.dtype == torch.int32):
        place.zero_()  # nothing has looked for it
    backward: Callable[..., Any] | None = getattr(module, f"_backward_triton{number}", None)
    if backward is not None:
        wanted = inspect.signature(backward).parameters
        rows = [name[1:] for name in wanted if name == "dlse" or name.startswith("dsum_")]
        remembered = [name for name in wanted if name in ("row_max", "row_weight")]
        names = [*([] if number else ["out"]), *rows, *remembered]
        for name, result in zip(names, left, strict=True):
            values |= {name: result, f"d{name}": torch.zeros_like(result)}
        backward(*(values.get(name, True) for name in wanted))  # True: a gradient is needed
    return results


@contextmanager
def _replaced(owner: object, **values: Any) -> Iterator[None]:
    """Other values for some attributes, as long as it lasts."""
    before = {name: getattr(owner, name) for name in values}
    try:
        for name, value in values.items():
            setattr(owner, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)
