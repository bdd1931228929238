"""The emitted module: a file that stands alone, and that a person keeps.

Enters: the kernels of a plan and the text of the spec. Leaves: the module's text. The order is that of a reader: the
spec and the facts, constants, kernels from the loop's body outward, the CPU path, how kernels are launched, the
operator that torch sees, and the function that people call. No decision is made here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from attnc.emit.header import write_header
from attnc.emit.launch import write_launchers
from attnc.emit.operator import write_operators
from attnc.emit.public import write_public
from attnc.emit.support import functions_of, select
from attnc.emit.writer import Writer
from attnc.errors import CompilerBug
from attnc.kernel.arguments import arguments_of
from attnc.kernel.nodes import Function, read_by
from attnc.lower.cpu import lower_pairs
from attnc.lower.kernels import Kernels
from attnc.options import Options

IN_KERNELS = """
LOG2_E = tl.constexpr(1.4426950408889634)
MINUS_INF = tl.constexpr(float("-inf"))
""".strip()
CONSTANTS = """
TILE = 128  # queries in a tile of the CPU path, unless fewer or more are faster
""".strip()


def emit_functions(kernels: Kernels) -> str:
    """The kernels and the CPU path alone, without the frame of a module."""
    writer = Writer()
    for fn in _functions(kernels):
        _write_function(writer, fn)
    return writer.text


def _functions(kernels: Kernels) -> list[Function]:
    return [*_triton(kernels), *_plain(kernels), *_around(kernels)]


def _triton(kernels: Kernels) -> list[Function]:
    """The kernels of every sweep."""
    return _once(fn for each in kernels.sweeps for fn in each.triton)


def _plain(kernels: Kernels) -> list[Function]:
    """What every sweep does in torch. Sweeps have their masks in common, and what reads them."""
    before = [fn for each in kernels.before for fn in (*each.lists, *each.cpu, *each.adders)]
    last = kernels.last
    return _once([*before, *last.lists, *kernels.reads, *last.cpu, *last.adders])


def _around(kernels: Kernels) -> list[Function]:
    """What happens to single tokens and rows around the kernels."""
    numbers = [each.numbers for each in kernels.before]
    return [fn for fn in (kernels.per_token, *numbers, kernels.output) if fn]


def _once(functions: Iterable[Function]) -> list[Function]:
    found: dict[str, Function] = {}
    for fn in functions:
        if found.setdefault(fn.name, fn) != fn:
            raise CompilerBug(f"two functions `{fn.name}`")
    return list(found.values())


def emit_module(kernels: Kernels, found: list[str], options: Options) -> str:
    """The text of the module. `found` is what `explain` says of the spec, line by line, for the header."""
    body = Writer()
    functions = _functions(kernels)
    used = read_by(stmt for fn in functions for stmt in fn.body)

    _write_texts(body, select(functions_of("kernels"), used))
    for fn in _triton(kernels):
        _write_function(body, _with_decorator(fn))
    launch = Writer()
    if kernels.has_triton:
        write_launchers(launch, kernels, options)
    helpers = used | set(re.findall(r"\w+", launch.text)) | {fn.decorator for fn in functions}
    _write_texts(body, select(functions_of("torch_functions") | functions_of("cpu"), helpers))
    for fn in _plain(kernels):
        _write_function(body, fn)
    if kernels.has_triton:
        body.lines(launch.text.rstrip("\n"))
        _gap(body)
    _write_function(body, lower_pairs(kernels.plan.last))
    write_operators(body, kernels, options)
    for fn in _around(kernels):
        _write_function(body, fn)
    write_public(body, kernels)

    whole = Writer()
    write_header(whole, kernels.plan, found, options)
    whole.line()
    for line in _imports(body.text):
        whole.line(line)
    whole.line()
    whole.lines(f"{IN_KERNELS}\n{CONSTANTS}" if kernels.has_triton else CONSTANTS)
    _gap(whole)
    whole.lines(body.text.rstrip("\n"))
    return whole.text


def _imports(text: str) -> list[str]:
    cached = ["from functools import lru_cache"] if "@lru_cache" in text else []
    standard = [
        f"import {name}"
        for name in ("inspect", "math", "numbers", "os", "sys", "weakref")
        if f"{name}." in text
    ]
    triton = ["import triton", "import triton.language as tl"] if "@triton." in text else []
    return [*standard, *cached, "", "import torch", *triton, "from torch import Tensor"]


def _with_decorator(fn: Function) -> Function:
    """Lengths and parameters change from call to call: they are no part of what a kernel is compiled for."""
    if fn.decorator != "kernel":
        return fn
    names = [each.name for each in arguments_of(fn) if each.varies and not each.is_constant]
    listed = ", ".join(f'"{name}"' for name in names)
    decorator = f"triton.jit(do_not_specialize=[{listed}])"
    return Function(fn.name, fn.params, fn.doc, fn.body, decorator)


def _write_function(writer: Writer, fn: Function) -> None:
    writer.function(fn)
    _gap(writer)


def _write_texts(writer: Writer, texts: list[str]) -> None:
    for text in texts:
        writer.lines(text)
        _gap(writer)


def _gap(writer: Writer) -> None:
    writer.line()
    writer.line()
