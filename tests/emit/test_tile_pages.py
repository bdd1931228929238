"""The committed tables of tiles: the usual tiles start on every card, and are those that a module has.

Nothing is compiled here. `tests/compiles/chosen.py` makes the pages, with each version of Triton.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from compilations import example

from attnc.inspect.call import make_call
from attnc.inspect.candidates import TABLES, WIDTHS, find_candidates
from attnc.inspect.launches import find_launches
from attnc.inspect.targets import TARGETS, Target
from attnc.run.loader import load_module
from attnc.tiles import Tile

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted((ROOT / "docs/tiles").glob("triton-*.md"))
GPUS = {"triton-3.6.0": ("sm_90", "sm_80"), "triton-3.9.0": ("sm_90", "sm_100", "sm_80", "gfx942")}
# Their code is made of the same passes as that of the first, and their blocks have less shared memory.
LIKE = {"sm_80": ("sm_86", "sm_89", "sm_120")}
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def rows(page: Path, title: str) -> Iterator[dict[str, str]]:
    """The rows of a table, by the names of its columns."""
    part = page.read_text().split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [
        [cell.strip() for cell in line[1:-1].split("|")] for line in part.splitlines() if line[:1] == "|"
    ]
    header, _, *body = lines
    for line in body:
        yield dict(zip(header, line, strict=True))


def tile_of(row: dict[str, str]) -> Tile:
    return Tile(*map(int, re.findall(r"\d+", row["tile"])))


def test_there_are_two_pages() -> None:
    assert [page.stem for page in PAGES] == list(GPUS)


@every_page
def test_every_kernel_has_a_tile_for_every_gpu_and_width(page: Path) -> None:
    found = {(row["GPU"], row["kernel"], int(row["D"])) for row in rows(page, "Chosen")}
    assert found == {
        (gpu, kernel, d) for gpu in GPUS[page.stem] for kernel in TABLES.values() for d in WIDTHS
    }


@every_page
def test_what_was_chosen_is_a_candidate(page: Path) -> None:
    for row in rows(page, "Chosen"):
        found = find_candidates(row["kernel"], int(row["D"]), TARGETS[row["GPU"]])
        assert tile_of(row) in found
        over = [each for each in row["passed over"].split("<br>") if each != "-"]
        before = [Tile(*map(int, re.findall(r"\d+", each)[:4])) for each in over]
        if row["spilled bytes"] == "0":
            assert found[: found.index(tile_of(row))] == before


@every_page
@pytest.mark.parametrize("title", ["Chosen", "Usual"])
def test_no_launch_fails_for_shared_memory(page: Path, title: str) -> None:
    for row in rows(page, title):
        cards = [row["GPU"], *LIKE.get(row["GPU"], ())] if title == "Usual" else [row["GPU"]]
        for card in cards:
            assert int(row["shared KiB"]) * 1024 <= TARGETS[card].shared_memory, (card, row)


@every_page
def test_the_usual_tiles_are_those_of_a_module(page: Path) -> None:
    compilation = example("causal")
    module = load_module("causal", compilation.module)

    def launched(target: Target, width: int) -> Iterator[tuple[str, Tile]]:
        call = make_call(compilation.attention, compilation.facts, torch.bfloat16, width, {})
        for launch in find_launches(module, "causal", call, target):
            if launch.tile and not launch.is_second:
                options = launch.options
                yield launch.name, Tile(*launch.tile, options["num_warps"], options["num_stages"])

    found = list(rows(page, "Usual"))
    of = {(row["GPU"], int(row["D"])) for row in found}
    assert of == {(gpu, width) for gpu in GPUS[page.stem] for width in module.TILES["wgmma"]["forward"]}
    for gpu, width in of:
        mine = {row["kernel"]: tile_of(row) for row in found if (row["GPU"], int(row["D"])) == (gpu, width)}
        assert mine == dict(launched(TARGETS[gpu], width))


@pytest.mark.parametrize("name", ["t5_bias", "causal"])
def test_a_second_look_leaves_the_tiles_of_what_follows(name: str) -> None:
    """It has one stage; what is launched behind it, also for the next strip of pairs, has those of the table."""
    target, stages = TARGETS["sm_90"], dict[tuple[str, bool], set[int]]()
    compilation = example(name)
    module = load_module(name, compilation.module.replace("max(1, 2**24 //", "max(1, 2**16 //"))
    call = make_call(compilation.attention, compilation.facts, torch.bfloat16, 64, {"N": 512, "M": 512})
    launches = find_launches(module, name, call, target)
    for launch in launches:
        stages.setdefault((launch.name, launch.is_second), set()).add(launch.options.get("num_stages"))
    pairs = [launch for launch in launches if launch.name == "backward_pairs" and not launch.is_second]
    assert len(pairs) == (4 if name == "t5_bias" else 0)
    for kernel in ("forward", "backward_keys", "backward_queries", *(["backward_pairs"] if pairs else [])):
        table = "backward_queries" if kernel == "backward_pairs" else kernel
        assert stages[kernel, False] == {module.TILES["wgmma"][table][64][3]}
    assert stages["backward_keys", True] == stages["backward_queries", True] == {1}


def test_the_usual_tiles_do_not_spill() -> None:
    """Up to heads 128 wide."""
    found = {
        (page.stem, row["GPU"], row["kernel"], row["D"]): row["spilled bytes"]
        for page in PAGES
        for row in rows(page, "Usual")
        if int(row["D"]) <= 128 and row["spilled bytes"] != "0"
    }
    assert not found
