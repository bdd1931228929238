"""The kernels of chunks as a call of linear attention launches them, and figures of the machine code of each.

Enters: a case: what fades, whether there are documents and sums, how wide heads are, and a GPU. Leaves: a row for each
kernel that a forward and a backward call in bfloat16 launch, as the pages `docs/gate/chunks-*.md` have it; and a hash
of all that the rows are figures of, so that a page can be told from one of other kernels.

A hazard is a line of TTGIR of which some version of Triton, or of its assembler, makes wrong code for Hopper. Triton
3.4 to 3.7.0 store the transpose of a product wrongly (fla-org/flash-linear-attention#640); 3.7.1 reads outside of
shared memory where a block of features is 32 wide (triton#11366); and ptxas before 13.3 may use registers of a product
again that is waited for in a later round of its loop (triton#9433).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
import torch
import triton
from chunked_calls import GATES, Call, by_kernels, module_text
from pages import row
from triton.runtime.jit import JITFunction

from attnc.inspect.build import build
from attnc.inspect.figures import Figures, Part, read_figures
from attnc.inspect.instructions import PRODUCTS
from attnc.inspect.launches import Launch
from attnc.inspect.targets import SM_80, SM_90, Target
from attnc.run.loader import load_module

COLUMNS = (
    *("GPU", "D", "gates", "documents, sums", "kernel", "warps", "registers", "spilled bytes"),
    *("shared memory", "products", "hazards"),
)


@dataclass(frozen=True)
class Case:
    """One call: `full` has documents and sums of rows."""

    target: Target
    width: int
    gates: str
    full: bool

    @property
    def cells(self) -> tuple[object, ...]:
        """What the rows of the case begin with."""
        return self.target.name, self.width, self.gates, "yes" if self.full else "no"


CASES = [Case(*each) for each in product((SM_90, SM_80), (64, 128), GATES, (False, True))]


@dataclass(frozen=True)
class Built:
    """One kernel: its figures, and the lines of its TTGIR that are hazards."""

    figures: Figures
    hazards: list[str]


def launches_of(case: Case) -> list[Launch]:
    """Each kernel once, in the order of the first launches. A GPU decides nothing of them."""
    found: dict[str, Launch] = {}

    def note(kernel: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> None:
        launch = Launch(kernel, args, options)
        found.setdefault(launch.name, launch)

    call = Call(
        N=256, M=256, F=case.width, DV=case.width, H=4, HG=2, gates=case.gates,
        dtypes=(torch.bfloat16,) * 3, documents=case.full, sums=case.full,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JITFunction, "run", note)
        by_kernels(call, load_module("chunked", module_text()))
    return [*found.values()]


def build_kernels(case: Case) -> list[Built]:
    """What Triton makes of every kernel of a case."""
    return [_build(launch, case.target) for launch in launches_of(case)]


def _build(launch: Launch, target: Target) -> Built:
    kept: list[str] = []
    compile_ = triton.compile

    def keep(*args: Any, **options: Any) -> Any:
        kernel = compile_(*args, **options)
        kept.append(kernel.asm["ttgir"])
        return kernel

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triton, "compile", keep)
        figures = read_figures(build(launch, target))
    return Built(figures, find_hazards(kept[-1]))


def rows_of(case: Case, kernels: list[Built]) -> list[str]:
    """The rows of a case, as they stand in the page."""
    return [row(*case.cells, *_cells(built)) for built in kernels]


def _cells(built: Built) -> Iterator[object]:
    figures = built.figures
    yield from (figures.kernel, figures.warps, figures.registers, figures.spilled)
    yield f"{-(-figures.shared // 1024)} KiB"
    yield _say_products(figures.whole) + (", serialized" if figures.serialized else "")
    yield len(built.hazards)


def _say_products(code: Part) -> str:
    counts = ((getattr(code, unit), unit) for unit in PRODUCTS)
    return ", ".join(f"{count} {unit}" for count, unit in counts if count) or "-"


def hash_of_kernels() -> str:
    """Of the text of every function that Triton compiles, and of what the cases launch it with."""
    module = load_module("chunked", module_text())
    texts = [x.src for x in vars(module).values() if isinstance(x, JITFunction)]
    for case in CASES:
        if case.target is SM_90:
            texts += (f"{each.name} {_say(each.arguments)} {each.options}" for each in launches_of(case))
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def _say(arguments: tuple[Any, ...]) -> list[str]:
    """What Triton may specialize a kernel by."""
    return [str(x.dtype) if isinstance(x, torch.Tensor) else repr(x) for x in arguments]


PRODUCT = re.compile(r"(%\S+) = ttng\.warp_group_dot (.*?) : (\S+<.*?) \* (\S+<.*?) -> (\S+<.*?)(?: loc|$)")


def find_hazards(ttgir: str) -> list[str]:
    """Lines of which some version of Triton or its assembler makes wrong code for Hopper."""
    lines = [line.strip() for line in ttgir.splitlines()]
    found = [line for line in lines if re.search(r"\btt\.trans\b", line)]
    for n, line in enumerate(lines):
        if product := PRODUCT.search(line):
            name, said, a, b, _ = product.groups()
            sizes = [
                int(size) for shape in re.findall(r"<([\dx]+)x[a-z]", a + b) for size in shape.split("x")
            ]
            if min(sizes) < 64:
                found.append(line)
            if a.startswith("tensor") and "isAsync = true" in said and not _is_awaited(name, lines[n + 1 :]):
                found.append(line)
    return found


def _is_awaited(name: str, later: list[str]) -> bool:
    """Is a product waited for before its loop begins anew?"""
    for line in later:
        if line.startswith("scf.yield"):
            return False
        if "warp_group_dot_wait" in line and "pendings = 0" in line:
            return name in line.split("{")[0]
    return False
