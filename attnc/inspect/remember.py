"""The cache of figures: those that were read once are not made again.

Enters: a launch and a target. Leaves: its figures, or why it does not build. They are kept as JSON in the cache, by
all that they follow from: the kernel, how it is specialized, the target, Triton, whether it has a disassembler, and the
rooms that read them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import triton

from attnc.errors import AttncError
from attnc.inspect.build import build, build_all, find_disassembler, specialize
from attnc.inspect.figures import Figures, Part, read_figures
from attnc.inspect.launches import Launch
from attnc.inspect.targets import Target
from attnc.run.loader import cache_directory
from attnc.run.own import read_own, write_own


@dataclass(frozen=True)
class Refused:
    """A kernel that does not build, and what Triton says."""

    why: str


def measure(launch: Launch, target: Target) -> Figures | Refused:
    """The figures of a launch, from the cache where they are there."""
    found = _recall(launch, target)
    if found is None:
        try:
            found = read_figures(build(launch, target))
        except AttncError as error:
            found = Refused(error.diagnostics[0].notes[0])
        _keep(launch, target, found)
    return found


def measure_all(
    launches: Sequence[Launch], target: Target, progress: Callable[[int, int], None] | None = None
) -> list[Figures]:
    """The figures of each; those that the cache lacks are built side by side. What does not build is an error."""
    found = [_recall(launch, target) for launch in launches]
    missing = [n for n, figures in enumerate(found) if not isinstance(figures, Figures)]
    built = build_all([launches[n] for n in missing], target, read_figures, progress) if missing else []
    for n, figures in zip(missing, built, strict=True):
        _keep(launches[n], target, figures)
        found[n] = figures
    return [figures for figures in found if isinstance(figures, Figures)]


def _recall(launch: Launch, target: Target) -> Figures | Refused | None:
    with suppress(OSError, ValueError, TypeError, KeyError):
        return _read(json.loads(read_own(_path(launch, target))))
    return None


def _keep(launch: Launch, target: Target, found: Figures | Refused) -> None:
    with suppress(OSError):
        write_own(_path(launch, target), json.dumps(asdict(found)).encode())


def _path(launch: Launch, target: Target) -> Path:
    return cache_directory() / "figures" / f"{_key(launch, target)}.json"


def _key(launch: Launch, target: Target) -> str:
    specialization, _, options = specialize(launch, target)
    parts = [triton.__version__, target, launch.kernel.cache_key, specialization, options, _readers()]
    if find_disassembler() is None:
        parts.append("read from PTX")
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]


@cache
def _readers() -> str:
    """A hash of the rooms that make figures: others would make others."""
    texts = (
        Path(__file__).with_name(f"{name}.py").read_bytes() for name in ("build", "figures", "instructions")
    )
    return hashlib.sha256(b"".join(texts)).hexdigest()


def _read(found: dict[str, Any]) -> Figures | Refused:
    if "why" in found:
        return Refused(**found)
    tile, whole, loops = found["tile"], Part(**found["whole"]), tuple(Part(**loop) for loop in found["loops"])
    return Figures(**{**found, "tile": tile and tuple(tile), "whole": whole, "loops": loops})
