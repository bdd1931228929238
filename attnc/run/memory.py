"""The cache of compiled modules, by all that they were compiled from.

Enters: a source and the options that shape the text. Leaves: what `attnc.load` needs of them without compiling: the
text of the module, and what its function says of itself. The key is a hash of all that the text follows from: the
source with its name, the options, and the state of every file of attnc and of SymPy's release. A text whose hash is not
the one it was written with is not taken, nor is one that another user could have written (`own.py`), and where nothing
can be kept, nothing is.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from attnc.run.loader import cache_directory
from attnc.run.own import read_own, write_own
from attnc.source import Source
from attnc.version import __version__

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Declared:
    """The name of an attention, its docstring, and its parameters with their defaults."""

    name: str
    doc: str
    parameters: tuple[tuple[str, int | float | bool | None], ...]


@dataclass(frozen=True)
class Known:
    """What is kept of a compilation: its text, and what its function says of itself."""

    declared: Declared
    text: str


def recall(source: Source, options: str) -> Known | None:
    """What was kept of this source and these options; None where nothing was, or it is not whole."""
    try:
        kept = json.loads(read_own(_path(source, options)))
        text, declared = kept["text"], kept["declared"]
        if _hash(text) != kept["hash"]:
            return None
        parameters = tuple((name, default) for name, default in declared["parameters"])
        return Known(Declared(declared["name"], declared["doc"], parameters), text)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):
        return None


def remember(source: Source, options: str, known: Known) -> None:
    """Keep it for other processes."""
    kept = {"hash": _hash(known.text), **asdict(known)}
    with suppress(OSError, RuntimeError):
        write_own(_path(source, options), json.dumps(kept).encode())


def _path(source: Source, options: str) -> Path:
    parts = (__version__, _state(), source.name, source.text, options)
    return cache_directory() / f"compiled_{_hash(json.dumps(parts))}.json"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _state() -> str:
    """Of everything that decides what a spec becomes: the names, sizes and dates of its files."""
    found = sorted(_files(ROOT))
    sympy = find_spec("sympy")
    if sympy and sympy.origin:
        found.append(_stamp(Path(sympy.origin).with_name("release.py")))
    return _hash("\n".join(found))


def _files(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files(Path(entry.path))
            elif not entry.name.endswith(".pyc"):
                yield _stamp(Path(entry.path))


def _stamp(path: Path) -> str:
    found = path.stat()
    return f"{path} {found.st_size} {found.st_mtime_ns}"
