"""The emitted module: a file that stands alone, and that a person keeps.

Enters: a module as a value. Leaves: its text. No decision is made here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from attnc.emit.support import functions_of, select, whole
from attnc.emit.tiles import write_tile_table
from attnc.emit.writer import Writer, printable
from attnc.kernel.arguments import arguments_of
from attnc.kernel.module import Constants, Module, Part, Support, TileTable
from attnc.kernel.nodes import Function, read_by

STANDARD = ("inspect", "math", "numbers", "os", "sys", "weakref")


def emit_functions(functions: Iterable[Function]) -> str:
    """Functions alone, without the frame of a module."""
    writer = Writer()
    for fn in functions:
        writer.function(fn)
        writer.gap()
    return writer.text


def emit_module(module: Module) -> str:
    """The text of the module."""
    body = Writer()
    called = _find_called(module)
    for part in module.parts:
        _write_part(body, part, called)
    body.function(module.public)

    file = Writer()
    for line in module.head:
        file.line(f"# {printable(line)}")
    file.line()
    for line in (*_imports(body.text), "", *module.constants):
        file.line(line)
    file.gap()
    file.lines(body.text.rstrip("\n"))
    return file.text


def _find_called(module: Module) -> dict[str, str]:
    """The texts of the functions of support files that are called, by a module or by each other."""
    own = [part for part in (*module.parts, module.public) if isinstance(part, Function)]
    files = [part for part in module.parts if isinstance(part, Support)]
    offered: dict[str, str] = {}
    used: set[str] = set()
    for part in files:
        offered |= {} if part.whole else functions_of(part.file)
        used |= set(re.findall(r"\w+", whole(part.file))) if part.whole else set()
    for fn in own:
        used |= {fn.decorator, *read_by(fn.body)}
        offered.pop(fn.name, None)
    return select(offered, used)


def _write_part(writer: Writer, part: Part, called: dict[str, str]) -> None:
    match part:
        case Function():
            writer.function(_with_decorator(part))
        case Support(file, _, True):
            writer.lines(whole(file))
        case Support(file, only, _):
            for name in functions_of(file):
                if name in called and (not only or name in only):
                    writer.lines(called.pop(name))
                    writer.gap()
            return
        case Constants(file, names):
            for line in whole(file).splitlines():
                if line.partition(" = ")[0] in names:
                    writer.line(line)
        case TileTable(usual, chosen):
            write_tile_table(writer, usual, chosen)
        case statement:
            writer.statement(statement)
    writer.gap()


def _imports(text: str) -> Iterator[str]:
    yield from (f"import {name}" for name in STANDARD if f"{name}." in text)
    if "@lru_cache" in text:
        yield "from functools import lru_cache"
    yield from ("", "import torch")
    if "@triton." in text:
        yield from ("import triton", "import triton.language as tl")
    yield "from torch import Tensor"


def _with_decorator(fn: Function) -> Function:
    """Lengths and parameters change from call to call: they are no part of what a kernel is compiled for."""
    if fn.decorator != "kernel":
        return fn
    names = [each.name for each in arguments_of(fn) if each.varies and not each.is_constant]
    listed = ", ".join(f'"{name}"' for name in names)
    return replace(fn, decorator=f"triton.jit(do_not_specialize=[{listed}])")
