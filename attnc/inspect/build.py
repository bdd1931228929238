"""What Triton makes of a launch, for a GPU that need not be there.

Enters: launches and a target. Leaves: the key under which a run would look for the machine code of one, its TTIR, or
the machine code of all with what the assembler said. They are built beside each other, a thread for each processor:
nearly all of the work is done outside of Python, and what is done in it, one does at a time. Nothing is read from
Triton's cache, and nothing is left in it.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from threading import Lock, get_ident
from types import SimpleNamespace
from typing import Any, TypeVar

import triton
from triton import knobs
from triton._C.libtriton import ir
from triton.compiler import ASTSource, make_backend
from triton.runtime import driver
from triton.runtime.jit import compute_cache_key

from attnc.errors import AttncError, Diagnostic
from attnc.inspect.instructions import Language
from attnc.inspect.launches import Launch
from attnc.inspect.targets import Target

T = TypeVar("T")


@dataclass(frozen=True)
class Build:
    """Machine code of one launch. `log` is what NVIDIA's assembler says about it; AMD's code says it itself."""

    launch: Launch
    target: Target
    language: Language
    code: bytes
    log: str
    warps: int
    stages: int
    shared: int
    tensor: int

    @cached_property
    def text(self) -> str:
        """The code as a person reads it. A process of its own makes SASS of it, beside which others can be built."""
        if self.language != "SASS":
            return self.code.decode()
        with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
            file.write(self.code)
            file.flush()
            tool = find_disassembler()
            assert tool is not None, "SASS was promised"
            return subprocess.run(
                [tool, "-sass", file.name], capture_output=True, text=True, check=True
            ).stdout


def specialize(launch: Launch, target: Target) -> tuple[str, Any, Any]:
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
    return key, _SourceInTurn(kernel, signature, constants, attrs), options


def build_ttir(launch: Launch, target: Target) -> str:
    """The front end alone: what it refuses, no GPU will run."""
    _, source, options = specialize(launch, target)
    there = target.for_triton()
    backend, context = make_backend(there), ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    stages: dict[str, Any] = {}
    backend.add_stages(stages, options, source.language)
    functions = backend.get_codegen_implementation(options)
    module = source.make_ir(there, options, functions, backend.get_module_map(), context)
    return str(stages["ttir"](module, {}))


def build(launch: Launch, target: Target) -> Build:
    """Machine code of one."""
    return build_all([launch], target, lambda build: build)[0]


def build_all(
    launches: Sequence[Launch],
    target: Target,
    read: Callable[[Build], T],
    progress: Callable[[int, int], None] | None = None,
) -> list[T]:
    """What `read` makes of the machine code of each; `progress(done, of)` is told after every one.

    What does not build is the user's to know, with the reason that Triton gives. Several write their pages among each
    other's, so the first that failed is built once more, alone.
    """
    said, logs = _Said(), _LogOfThread()
    keys = [specialize(launch, target) for launch in launches]
    with (
        _kept_from_stderr(said), _without_cache(), _on(target), redirect_stdout(logs),
        ThreadPoolExecutor(len(os.sched_getaffinity(0))) as builders,
    ):  # fmt: skip
        work = [
            builders.submit(_build, launch, target, source, options, logs, read)
            for launch, (_, source, options) in zip(launches, keys, strict=True)
        ]
        for done, _ in enumerate(as_completed(work), 1):
            if progress:
                with said.aloud():
                    progress(done, len(work))
    for launch, each in zip(launches, work, strict=True):
        refusal = each.exception()
        if isinstance(refusal, _RefusedError):
            if len(launches) > 1:
                build(launch, target)
            raise AttncError(_does_not_build(launch, target, f"{said.text}\n{refusal}")) from None
    sys.stderr.write(said.text)
    return [each.result() for each in work]


class _RefusedError(Exception):
    """Triton does not build it."""


class _SourceInTurn(ASTSource):  # type: ignore[misc]
    """A kernel, which Python reads while it reads no other.

    CPython 3.11.7 and 3.12.1, and what came before them, count the depth of all trees that are being read in one
    number: a thread that reads one where another was interrupted finds it wrong and raises SystemError (CPython's
    issue 106905).
    """

    reading = Lock()

    def hash(self) -> str:
        with self.reading:
            return str(super().hash())

    def make_ir(self, *arguments: Any) -> Any:
        with self.reading:
            return super().make_ir(*arguments)


def _build(
    launch: Launch, target: Target, source: Any, options: Any, logs: _LogOfThread, read: Callable[[Build], T]
) -> T:
    logs.begin()
    try:
        kernel = triton.compile(source, target=target.for_triton(), options=vars(options))
    except Exception as refusal:
        raise _RefusedError(f"{type(refusal).__name__}: {refusal}") from None
    meta = kernel.metadata
    language, code = _machine_code(kernel.asm, target)
    tensor = getattr(meta, "tmem_size", None) or 0  # of a GPU that has none, nothing is said
    sizes = (meta.num_warps, meta.num_stages, meta.shared, tensor)
    return read(Build(launch, target, language, code, logs.end(), *sizes))


def _machine_code(asm: Any, target: Target) -> tuple[Language, bytes]:
    """What runs; PTX where Triton came without NVIDIA's disassembler."""
    if target.backend == "hip":
        return "AMDGCN", asm["amdgcn"].encode()
    if find_disassembler() is None:
        return "PTX", asm["ptx"].encode()
    return "SASS", asm["cubin"]


def find_disassembler() -> str | None:
    """The path of NVIDIA's `cuobjdump`: the one that Triton brought, or that $TRITON_CUOBJDUMP_PATH names."""
    try:
        return str(knobs.nvidia.cuobjdump.path)
    except RuntimeError:
        return None


def _does_not_build(launch: Launch, target: Target, said: str) -> Diagnostic:
    tile = " with tiles of {} queries and {} keys".format(*launch.tile) if launch.tile else ""
    what = f"`{launch.name}` does not build for {target.name}{tile}"
    return Diagnostic("does-not-build", what, notes=(f"Triton {triton.__version__}: {find_reason(said)}",))


def find_reason(said: str) -> str:
    """The first line that speaks of an error as passes and assemblers do, else the last of all, as Python does."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [found[1] for line in lines if (found := re.search(r"\b(?:error|fatal)\s*:\s*(.+)", line))]
    return next((error for error in errors if error != "Internal Triton PTX codegen error"), lines[-1])


# ---- Triton, as it has to be meanwhile -------------------------------------------------------------


@contextmanager
def _on(target: Target) -> Iterator[None]:
    """With a GPU of this kind, as far as the front end asks."""
    there, before = target.for_triton(), driver._active
    driver._active = SimpleNamespace(get_current_target=lambda: there, get_current_device=lambda: 0)
    try:
        yield
    finally:
        driver._active = before


@contextmanager
def _without_cache() -> Iterator[None]:
    """Everything is built anew, in a place of its own, and the assembler says what it sees."""
    with (
        knobs.nvidia.scope(),
        knobs.compilation.scope(),
        knobs.cache.scope(),
        tempfile.TemporaryDirectory(prefix="attnc-") as place,
    ):
        knobs.nvidia.dump_ptxas_log = True
        knobs.compilation.always_compile = True
        knobs.cache.dir = place
        yield


class _LogOfThread(io.TextIOBase):
    """A stdout on which each thread that builds has a log of its own."""

    def __init__(self) -> None:
        self.logs: dict[int, list[str]] = {}

    def begin(self) -> None:
        self.logs[get_ident()] = []

    def end(self) -> str:
        return "".join(self.logs[get_ident()])

    def write(self, text: str) -> int:
        self.logs.setdefault(get_ident(), []).append(text)
        return len(text)


class _Said:
    """What was written to stderr, and the way past it."""

    text, terminal, file = "", -1, -1

    @contextmanager
    def aloud(self) -> Iterator[None]:
        """What is written meanwhile is read by who sits there."""
        os.dup2(self.terminal, 2)
        try:
            yield
            sys.stderr.flush()
        finally:
            os.dup2(self.file, 2)


@contextmanager
def _kept_from_stderr(said: _Said) -> Iterator[None]:
    """Keeps what is written to stderr meanwhile: where a pass fails, it writes pages to it, and its reason."""
    sys.stderr.flush()
    said.terminal = os.dup(2)
    with tempfile.TemporaryFile() as file:
        said.file = file.fileno()
        os.dup2(said.file, 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(said.terminal, 2)
            os.close(said.terminal)
            file.seek(0)
            said.text = file.read().decode(errors="replace")
