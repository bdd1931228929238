"""The table of tiles in a module: the usual rows, and those that were chosen for one GPU and one Triton."""

from __future__ import annotations

import difflib
from dataclasses import replace
from functools import partial
from types import ModuleType, SimpleNamespace

import pytest
import torch
import triton
from compilations import example

from attnc.options import make_options
from attnc.run.loader import load_module
from attnc.tiles import ChosenTile, ChosenTiles, Tile

ROWS = (
    ChosenTile("forward", 64, Tile(128, 128, 8, 3)),
    ChosenTile("forward", 96, Tile(128, 32, 8, 3)),
    ChosenTile("backward_keys", 64, Tile(16, 64, 8, 2), "backward_keys spills 8 bytes a thread"),
)
CPU = SimpleNamespace(element_size=lambda: 2, is_cuda=False)
HOPPER = ChosenTiles("sm_90", triton.__version__, ROWS)


def text(tiles: ChosenTiles | None) -> str:
    return example("causal", tiles=tiles).module


def test_what_is_written() -> None:
    changes = difflib.ndiff(text(None).splitlines(), text(HOPPER).splitlines())
    added = [line.removeprefix("+ ") for line in changes if line.startswith("+ ")]
    assert added == [
        "#     attnc build causal.attn --arch sm_90",
        f'    "sm_90": {{  # the first that pass the static gate, of code that Triton {triton.__version__} makes',
        '        "forward": {',
        "            64: (128, 128, 8, 3),",
        "            96: (128, 32, 8, 3),",
        "        },",
        '        "backward_keys": {',
        "            64: (16, 64, 8, 2),  # none passes: backward_keys spills 8 bytes a thread",
        "        },",
        "    },",
        "    is_cuda = q.is_cuda and torch.version.hip is None",
        "    capability = torch.cuda.get_device_capability(q.device) if is_cuda else None",
        f'    if capability == (9, 0) and triton.__version__ == "{triton.__version__}":',
        '        return TILES["sm_90"]',
    ]


def test_the_same_options_give_the_same_text() -> None:
    assert text(HOPPER) == text(ChosenTiles(HOPPER.arch, HOPPER.triton, tuple(ROWS)))
    assert make_options(tiles=HOPPER).key != make_options(tiles=replace(HOPPER, arch="sm_100")).key


def on(module: ModuleType, monkeypatch: pytest.MonkeyPatch, name: str, capability: tuple[int, int]) -> str:
    """Which rows a card takes."""
    is_amd = not name.startswith("sm_")
    monkeypatch.setattr(torch.version, "hip", "6.4" if is_amd else None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    properties = SimpleNamespace(gcnArchName=f"{name}:sramecc+:xnack-")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    rows = module._table(SimpleNamespace(element_size=lambda: 2, is_cuda=True, device=0))
    return next(name for name, each in module.TILES.items() if each is rows)


def test_a_card_takes_its_own_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    module = load_module("causal", text(HOPPER))
    assert on(module, monkeypatch, "sm_90", (9, 0)) == "sm_90"
    assert on(module, monkeypatch, "sm_100", (10, 0)) == "wgmma"
    assert on(module, monkeypatch, "sm_89", (8, 9)) == "mma"
    assert on(module, monkeypatch, "gfx942", (9, 4)) == "mma"
    assert module._table(CPU) is module.TILES["mma"]
    module = load_module("causal", text(replace(HOPPER, arch="gfx942")))
    assert on(module, monkeypatch, "gfx942", (9, 4)) == "gfx942"
    assert on(module, monkeypatch, "gfx90a", (9, 0)) == "mma"
    assert on(module, monkeypatch, "sm_90", (9, 0)) == "wgmma"
    assert module._table(CPU) is module.TILES["mma"]


def test_another_triton_takes_the_usual_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    module = load_module("causal", text(replace(HOPPER, triton="3.1.4")))
    assert on(module, monkeypatch, "sm_90", (9, 0)) == "wgmma"


def test_heads_take_the_row_that_is_wide_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    module = load_module("causal", text(HOPPER))
    monkeypatch.setattr(module, "_table", lambda q: module.TILES["sm_90"])
    for width, keys in ((1, 128), (64, 128), (65, 32), (96, 32)):
        assert module._tiles("forward", CPU, ("D", 16), ("DV", width))["BLOCK_K"] == keys
    with pytest.raises(ValueError, match="`DV` needs 96 or less in a kernel, got 97"):
        module._tiles("forward", CPU, ("D", 16), ("DV", 97))


def test_parts_of_widths(monkeypatch: pytest.MonkeyPatch) -> None:
    module = load_module("causal", text(None))
    hopper = SimpleNamespace(is_cuda=True, element_size=lambda: 2, device=0)
    parts_of = partial(module._parts_of, kernel="backward_keys", q=hopper)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    said = {
        1: (16,),
        24: (32,),
        40: (32, 16),
        64: (64,),
        72: (64, 16),
        96: (64, 32),
        112: (128,),
        192: (128, 64),
    }
    assert {width: parts_of(width) for width in said} == said
    for width in range(1, 257):
        parts = parts_of(width)
        padded = max(16, triton.next_power_of_2(width))
        assert width <= sum(parts) <= padded and len(parts) <= 2
        assert all(part >= 16 and part == triton.next_power_of_2(part) for part in parts)
        # No two parts would do with fewer columns.
        pairs = [(a, b) for a in (16, 32, 64, 128) for b in (16, 32, 64, 128) if width <= a + b]
        assert sum(parts) == min([padded, *(a + b for a, b in pairs)])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    assert [parts_of(width) for width in (64, 96, 192)] == [(64,), (128,), (256,)]
    for kernel in ("forward", "backward_queries"):
        found = [module._parts_of(width, kernel, hopper) for width in (64, 96, 192)]
        assert found == [(64,), (64, 32), (256,)]
