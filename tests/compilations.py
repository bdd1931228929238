"""What tests compile, each text once in a process.

Enters: a text and options, the name of an example, or a file and one of its attentions. Leaves: the compilation, which
keeps every stage that it was asked for. Nobody changes one; who times a stage, or counts its calls, makes their own.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from attnc.compiler import Compilation
from attnc.errors import AttncError
from attnc.options import Options, make_options
from attnc.source import Source
from attnc.syntax.reading import read_source

EXAMPLES = Path(__file__).parent.parent / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.attn"))
# Linear attention, by chunks or by products (`test_linear_schedules.py` says that it is these); some by torch alone.
CHUNKED = ("cosformer", "gla", "lightning", "linear_attention", "mamba2", "retention", "simple_gla")
BY_TORCH = ("flow_attention", "flow_conserved", "in_context", "inline", "key_only_softmax", "l2vit")
WITH_KERNELS = [name for name in NAMES if name not in BY_TORCH]
MEASURED = ("causal", "gemma2_local")  # whose machine code has golden files, for each version of Triton


def compiled(text: str, name: str = "spec.attn", **options: object) -> Compilation:
    """A text, under the name that its module and mistakes in it say."""
    return _compiled(Source(name, text), make_options(**options))


def example(name: str, **options: object) -> Compilation:
    """An example, named as from the root of the repository."""
    return compiled(_read(EXAMPLES / f"{name}.attn"), f"examples/{name}.attn", **options)


def on_tiles(compilation: Compilation) -> Compilation:
    """The same pair by pair, where another schedule would be chosen."""
    return compilation if _schedule_of(compilation) in (None, "tiled") else _tiled(compilation)


def with_kernels(compilation: Compilation) -> Compilation:
    """The same, and pair by pair where torch would compute it on every device."""
    return compilation if has_kernels(compilation) else _tiled(compilation)


def has_kernels(compilation: Compilation) -> bool:
    """Are there kernels, of its own or support code?"""
    try:
        return bool(compilation.kernels.launch)
    except AttncError:
        return False


def _schedule_of(compilation: Compilation) -> str | None:
    try:
        return compilation.plan.schedule.name
    except AttncError:
        return None


def _tiled(compilation: Compilation) -> Compilation:
    return replace(compilation, options=replace(compilation.options, schedule="tiled"))


def file(path: Path) -> Compilation:
    """A file that may have several attentions."""
    return compiled(_read(path), str(path))


@cache
def one_of(path: Path, name: str) -> Compilation:
    """One of the attentions of a file, which is read and checked once for all of them."""
    return file(path)._of(name)


@cache
def _read(path: Path) -> str:
    return read_source(path).text


@cache
def _compiled(source: Source, options: Options) -> Compilation:
    return Compilation(source, options)
