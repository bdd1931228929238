"""Which of the candidates is chosen, and how that is told. Nothing is compiled here."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
from pytest import MonkeyPatch

from attnc.compiler import Compilation
from attnc.errors import AttncError, AttncWarning, Diagnostic
from attnc.inspect import choose, remember
from attnc.inspect.candidates import TABLES, WIDTHS, find_candidates
from attnc.inspect.choose import Choice, Choices, Trial
from attnc.inspect.figures import Figures, Part
from attnc.inspect.gate import Limit, Verdict
from attnc.inspect.remember import Refused
from attnc.inspect.targets import SM_80, SM_90, TARGETS, Target
from attnc.source import Source
from attnc.tiles import Tile

FULL = Part("full", 320, 10.0, 0, 8, 0, 4, 0, 0, 0, 34, 0, 1.0)
KERNEL = Figures("forward", (128, 64), 8, 256, 3, 160, 0, 65536, 0, False, "SASS", FULL, (FULL,))
LARGE, SMALL = Tile(128, 128, 8, 2), Tile(128, 64, 8, 3)


def trial(tile: Tile, *limits: Limit, instructions: int = 320, local: int = 0) -> Trial:
    loop = replace(FULL, instructions=instructions, local=local)
    faults = tuple(Verdict("forward", limit, f"fails: {limit}", "", is_failure=True) for limit in limits)
    return Trial(tile, (replace(KERNEL, tile=tile[:2], loops=(loop,)),), faults)


def best(*trials: Trial) -> Tile | None:
    found = Choice("forward", 64, trials).best
    return found and found.tile


def test_the_first_that_passes() -> None:
    assert best(trial(LARGE, "spills"), trial(SMALL)) == SMALL
    assert best(trial(LARGE), trial(SMALL)) == LARGE


def test_of_those_with_faults_the_cheapest_that_only_spills() -> None:
    """A pair of LARGE costs half of what one of SMALL costs, where both issue as much for a tile."""
    assert best(trial(LARGE, "spills"), trial(SMALL, "spills")) == LARGE
    assert best(trial(LARGE, "spills", "local", local=46), trial(SMALL, "spills")) == SMALL
    assert best(trial(LARGE, "spills", "local", local=45), trial(SMALL, "spills")) == LARGE
    assert best(trial(LARGE, "serialized"), trial(SMALL, "spills")) == SMALL


@pytest.mark.parametrize("limit", ["builds", "shared", "tensor"])
def test_what_cannot_start_is_never_chosen(limit: Limit) -> None:
    assert best(trial(LARGE, limit), trial(SMALL, "spills", "serialized")) == SMALL
    assert best(trial(LARGE, limit)) is None


def choices(*found: Choice) -> Choices:
    return Choices("causal", "sm_90", "bfloat16", "3.9.0", found)


def test_what_a_module_is_given() -> None:
    wide = Choice("forward", 256, (trial(LARGE, "spills"),))
    found = choices(Choice("forward", 64, (trial(LARGE, "shared"), trial(SMALL))), wide)
    assert (found.tiles.arch, found.tiles.triton) == ("sm_90", "3.9.0")
    assert [(row.width, row.tile, row.fault) for row in found.tiles.of("forward")] == [
        (64, SMALL, None),
        (256, LARGE, "forward fails: spills"),
    ]
    assert not found.holds and choices(*found.choices[:1]).holds


def test_no_tile_starts() -> None:
    with pytest.raises(AttncError) as caught:
        _ = choices(Choice("forward", 64, (trial(LARGE, "shared"), trial(SMALL, "builds")))).tiles
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, len(diagnostic.notes)) == ("no-tile", 2)


def test_the_table() -> None:
    found = choices(Choice("forward", 64, (trial(LARGE, "spills"), trial(SMALL))))
    assert str(found).splitlines() == [
        "causal for sm_90: bfloat16, Triton 3.9.0",
        "",
        "kernels  D   tile                          registers  spilled bytes  shared memory  a pair  verdict",
        "forward  64  128 x 128, 8 warps, 2 stages  160        0              64 KiB         10.0    "
        "forward fails: spills",
        "forward  64  128 x 64, 8 warps, 3 stages   160        0              64 KiB         10.0    passes: chosen",
    ]
    assert json.loads(found.to_json())["holds"] is True


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_every_kernel_has_candidates_for_every_width(target: Target) -> None:
    for kernel in set(TABLES.values()):
        for width in WIDTHS:
            found = find_candidates(kernel, width, target)
            assert found and len(set(found)) == len(found)


# ---- figures that were read once -------------------------------------------------------------------


@pytest.fixture
def reads(monkeypatch: MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], int]:
    """How often a kernel was built; its key is that of the target alone."""
    built: list[Target] = []

    def read(target: Target) -> Figures:
        built.append(target)
        return KERNEL

    monkeypatch.setenv("ATTNC_CACHE", str(tmp_path_factory.mktemp("figures")))
    monkeypatch.setattr(remember, "_key", lambda launch, target: target.name)
    monkeypatch.setattr(remember, "build", lambda launch, target: target)
    monkeypatch.setattr(remember, "read_figures", read)
    return lambda: len(built)


def test_figures_are_read_once(reads: Callable[[], int]) -> None:
    assert remember.measure(None, SM_90) == remember.measure(None, SM_90) == KERNEL  # type: ignore[arg-type]
    assert reads() == 1
    assert remember.measure(None, SM_80) == KERNEL  # type: ignore[arg-type]
    assert reads() == 2


def test_a_broken_file_is_read_anew(reads: Callable[[], int]) -> None:
    remember.measure(None, SM_90)  # type: ignore[arg-type]
    (file,) = (remember.cache_directory() / "figures").iterdir()
    for text in ("", "[]", "{}", '{"tile": 3}'):
        file.write_text(text)
        assert remember.measure(None, SM_90) == KERNEL  # type: ignore[arg-type]
    assert reads() == 5


def test_figures_that_others_may_have_written_are_read_anew(reads: Callable[[], int]) -> None:
    remember.measure(None, SM_90)  # type: ignore[arg-type]
    (file,) = (remember.cache_directory() / "figures").iterdir()
    file.chmod(0o666)
    with pytest.warns(AttncWarning):
        assert remember.measure(None, SM_90) == KERNEL  # type: ignore[arg-type]
    assert reads() == 2


def test_a_refusal_is_kept_too(reads: Callable[[], int], monkeypatch: MonkeyPatch) -> None:
    def refuse(launch: object, target: Target) -> None:
        raise AttncError(Diagnostic("does-not-build", "it", notes=("Triton: no",)))

    monkeypatch.setattr(remember, "build", refuse)
    assert remember.measure(None, SM_90) == Refused("Triton: no")  # type: ignore[arg-type]
    monkeypatch.setattr(remember, "build", lambda launch, target: target)
    assert remember.measure(None, SM_90) == Refused("Triton: no")  # type: ignore[arg-type]
    assert reads() == 0


@pytest.mark.parametrize("wanted", [1, 2, 3, 99])
def test_as_many_as_are_wanted(wanted: int, monkeypatch: MonkeyPatch) -> None:
    """Every second candidate passes; trying ends where enough of them did."""

    def tried(
        compilation: object, target: object, kernel: str, width: int, tile: Tile, *more: object
    ) -> Trial:
        candidates = find_candidates(kernel, width, SM_90)
        return trial(tile) if candidates.index(tile) % 2 else trial(tile, "spills")

    monkeypatch.setattr(sys.modules[choose.__module__], "_try", tried)
    compilation = Compilation(Source("causal.attn", "attention causal():\n    mask j <= i\n"))
    found = choose(compilation, SM_90, widths=(64,), wanted=wanted).choices
    assert [choice.kernel for choice in found] == ["forward", "backward_keys", "backward_queries"]
    for choice in found:
        candidates = find_candidates(choice.kernel, 64, SM_90)
        assert choice.passing == tuple(candidates[1::2][:wanted])
        assert [each.tile for each in choice.trials] == candidates[: min(2 * wanted, len(candidates))]
        assert choice.best and choice.best.tile == candidates[1]
