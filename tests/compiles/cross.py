"""Machine code without a GPU: what a call of an emitted module would launch, built for a GPU that is not there.

Enters: an emitted module, imported without TRITON_INTERPRET. Leaves: the launches of one forward and one backward call,
with the arguments that the module's own launchers pass; from these Triton's own specialization of each, its TTIR, and
its machine code with the figures that say whether it is good: registers, spills, shared memory, instructions.
"""

from __future__ import annotations

import inspect
import io
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
import triton
from triton import knobs
from triton._C.libtriton import ir
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, make_backend
from triton.runtime import driver
from triton.runtime.jit import JITFunction, compute_cache_key

SM_80, SM_90, SM_100 = (GPUTarget("cuda", arch, 32) for arch in (80, 90, 100))
GFX942 = GPUTarget("hip", "gfx942", 64)
SHARED_MEMORY = {80: 166912, 90: 232448, 100: 232448, "gfx942": 65536}  # bytes that a block may have
BF16, FP16, FP32 = torch.bfloat16, torch.float16, torch.float32


# ---- launches --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Launch:
    """One kernel and what it is called with."""

    kernel: JITFunction
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.kernel.__name__).removeprefix("_")


def find_launches(
    module: ModuleType, dtype: torch.dtype = BF16, d: int = 64, dv: int | None = None,
    n: int = 128, target: GPUTarget = SM_90, **arguments: Any,
) -> list[Launch]:  # fmt: skip
    """Every launch of one forward and one backward call of the module's function.

    The call runs with tensors on the CPU, and a launch is written down instead of done. Arrays and scalars without a
    default come from the docstring of the function; `arguments` has what that does not say.
    """
    found: list[Launch] = []

    def note(kernel: JITFunction, *args: Any, grid: Any, warmup: bool, **options: Any) -> None:
        found.append(Launch(kernel, args, options))

    def run(number: str, *args: Any) -> Any:
        """Forward and backward of one pass; the last has no number."""
        forward = getattr(module, f"_forward_triton{number}")
        values = inspect.signature(forward).bind(*args[:-1]).arguments
        results = forward(**values)
        left = results if isinstance(results, tuple) else (results,)
        for place in (x for x in left if x.dtype == torch.int32):
            place.zero_()  # nothing has looked for it
        backward = getattr(module, f"_backward_triton{number}", None)
        if backward is not None:
            wanted = inspect.signature(backward).parameters
            rows = [name[1:] for name in wanted if name == "dlse" or name.startswith("dsum_")]
            names = rows if number else ["out", *rows]
            for name, result in zip(names, left, strict=True):
                values |= {name: result, f"d{name}": torch.zeros_like(result)}
            backward(*(values.get(name, True) for name in wanted))  # True: a gradient is needed
        return results

    passes = {name: name.removeprefix("_rows") for name in vars(module) if re.fullmatch(r"_rows_\d+", name)}
    operators = {name: partial(run, number) for name, number in {**passes, "_attention": ""}.items()}

    is_hip, find_table = target.backend == "hip", module._table
    card = SimpleNamespace(element_size=lambda: dtype.itemsize, is_cuda=True, device=0)
    capability = (0, 0) if is_hip else divmod(target.arch, 10)
    function = _public_function(module)
    given = _default_arguments(function, dtype, d, dv or d, n) | arguments
    with (
        patch.object(JITFunction, "run", note),
        patch.multiple(module, **operators),
        patch.object(module, "_choose", lambda backend, q: "triton"),
        patch.object(module, "_table", lambda q: find_table(card)),
        patch.object(torch.version, "hip", "6.4" if is_hip else None),
        patch.object(torch.cuda, "get_device_capability", lambda device: capability),
    ):
        function(**given)
    assert found, f"{module.__name__} launches nothing: was it imported with TRITON_INTERPRET?"
    return found


def _public_function(module: ModuleType) -> Any:
    """The function that the module is for: its last."""
    functions = [
        f for f in vars(module).values() if inspect.isfunction(f) and f.__module__ == module.__name__
    ]
    return [f for f in functions if not f.__name__.startswith("_")][-1]


def _default_arguments(function: Any, dtype: torch.dtype, d: int, dv: int, n: int) -> dict[str, Any]:
    sizes = {"B": 2, "H": 8, "HKV": 2, "N": n, "M": n, "D": d, "DV": dv}
    values: dict[str, Any] = {
        "q": torch.zeros(2, 8, n, d, dtype=dtype),
        "k": torch.zeros(2, 2, n, d, dtype=dtype),
        "v": torch.zeros(2, 2, n, dv, dtype=dtype),
    }
    params = inspect.signature(function).parameters
    sizes |= {name: p.default for name, p in params.items() if isinstance(p.default, int)}
    sorts = {"int": torch.int64, "float": torch.float32, "bool": torch.bool}
    for line in (function.__doc__ or "").splitlines():
        found = re.match(r"\s+(\w+): (int|float|bool)(?:\[([^\]]*)\])?", line)
        if found is None:
            continue
        name, sort, shape = found.groups()
        if shape is not None:
            size = [int(word) if word.isdigit() else sizes.get(word, n) for word in shape.split(", ")]
            values[name] = torch.zeros(size, dtype=sorts[sort])
        elif params[name].default is inspect.Parameter.empty:
            values[name] = {"int": 16, "float": 1.0, "bool": True}[sort]
    return values


# ---- what Triton makes of a launch -----------------------------------------------------------------


@contextmanager
def _on(target: GPUTarget) -> Iterator[None]:
    """Triton with a GPU of this kind, as far as its front end asks."""
    there = SimpleNamespace(get_current_target=lambda: target, get_current_device=lambda: 0)
    with patch.object(driver, "_active", there):
        yield


def specialize(launch: Launch, target: GPUTarget) -> tuple[str, ASTSource, Any]:
    """The key under which a run would look for its machine code, and what it would compile if it found none."""
    kernel = launch.kernel
    with _on(target):
        _, _, _, backend, binder = kernel.create_binder()
        kwargs = {"debug": False, **launch.options}
        bound, specialization, options = binder(*launch.arguments, **kwargs)
        key = compute_cache_key({}, specialization, options)
        options, signature, constants, attrs = kernel._pack_args(
            backend, kwargs, bound, specialization, options
        )
    return key, ASTSource(kernel, signature, constants, attrs), options


def build_ttir(launch: Launch, target: GPUTarget = SM_90) -> str:
    """The front end alone: what it refuses, no GPU will run."""
    _, source, options = specialize(launch, target)
    backend, context = make_backend(target), ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    stages: dict[str, Any] = {}
    backend.add_stages(stages, options, source.language)
    functions = backend.get_codegen_implementation(options)
    module = source.make_ir(target, options, functions, backend.get_module_map(), context)
    return str(stages["ttir"](module, {}))


def assert_builds(module: ModuleType, **arguments: Any) -> None:
    """Every kernel of an emitted module passes Triton's front end. `arguments` are those of `find_launches`."""
    for launch in find_launches(module, **arguments):
        assert "tt.func public" in build_ttir(launch), launch.name


# ---- machine code ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Loop:
    """An innermost loop of machine code that holds matrix instructions."""

    instructions: Counter[str]

    def count(self, *names: str) -> int:
        """How many instructions begin with one of these names."""
        return sum(n for op, n in self.instructions.items() if op.startswith(names))

    @property
    def size(self) -> int:
        return self.instructions.total()


@dataclass(frozen=True)
class Code:
    """The figures of one kernel's machine code. `spills` are bytes a thread stores and loads, or has on its stack."""

    name: str
    registers: int
    spills: int
    shared: int
    is_serialized: bool
    loops: tuple[Loop, ...]
    text: str


def compile_launch(launch: Launch, target: GPUTarget, **options: Any) -> Code:
    """Machine code of one launch; `options` take the place of the launch's own, such as num_stages."""
    chosen = Launch(launch.kernel, launch.arguments, launch.options | options)
    _, source, parsed = specialize(chosen, target)
    log = io.StringIO()
    with (
        _on(target),
        patch.object(knobs.nvidia, "dump_ptxas_log", True),
        patch.object(knobs.compilation, "always_compile", True),
        redirect_stdout(log),
    ):
        kernel = triton.compile(source, target=target, options=vars(parsed))
    read = _read_amdgcn if target.backend == "hip" else _read_cubin
    return read(launch.name, kernel, log.getvalue())


def _read_cubin(name: str, kernel: Any, log: str) -> Code:
    used = re.findall(r"Used (\d+) registers", log)
    stack = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", log)
    text = _disassemble(kernel.asm["cubin"])
    return Code(
        name=name,
        registers=max(map(int, used)),
        spills=max(int(n) for sizes in stack for n in sizes),
        shared=kernel.metadata.shared,
        is_serialized="serialized" in log,
        loops=tuple(_matrix_loops(text)),
        text=text,
    )


def _read_amdgcn(name: str, kernel: Any, log: str) -> Code:
    text = kernel.asm["amdgcn"]

    def field(word: str) -> int:
        return max(map(int, re.findall(rf"\.{word}:\s+(\d+)", text)))

    spills = 4 * field("vgpr_spill_count")
    return Code(name, field("vgpr_count"), spills, kernel.metadata.shared, False, (), text)


def _disassemble(cubin: bytes) -> str:
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        return subprocess.run([tool, "-sass", file.name], capture_output=True, text=True, check=True).stdout


_INSTRUCTION = re.compile(
    r"^\s*/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)\s*([^;]*);", re.MULTILINE
)


def _matrix_loops(text: str) -> Iterator[Loop]:
    """Innermost stretches between a branch back and its goal."""
    instructions = [(int(at, 16), op, rest) for at, op, rest in _INSTRUCTION.findall(text)]
    back = []
    for at, op, rest in instructions:
        goal = re.search(r"0x([0-9a-f]+)", rest) if op.startswith("BRA") else None
        if goal and int(goal[1], 16) < at:
            back.append((int(goal[1], 16), at))
    for first, last in back:
        if any((a, b) != (first, last) and first <= a and b <= last for a, b in back):
            continue
        loop = Loop(Counter(op for at, op, _ in instructions if first <= at <= last))
        if loop.count("HGMMA", "HMMA", "UTC"):
            yield loop
