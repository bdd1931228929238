"""Each limit holds for a good kernel, and fails, alone, where one figure is worse. The table and JSON are pinned."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from attnc.inspect.figures import Figures, Part
from attnc.inspect.gate import judge
from attnc.inspect.report import Report
from attnc.inspect.targets import GFX942, SM_80, SM_90, SM_100, TARGETS

FULL = Part("full", 270, 8.44, 0, 8, 0, 4, 0, 0, 0, 34, 0, 1.0)
EDGE = replace(FULL, name="edge", instructions=340, per_pair=10.62)
WHOLE = replace(FULL, name="all", instructions=900, per_pair=None, overlap=None)
GOOD = Figures("forward", (128, 64), 8, 256, 3, 160, 0, 65536, 0, False, "SASS", WHOLE, (EDGE, FULL))
DELTA = Figures("delta", None, 4, 128, 3, 48, 0, 512, 0, False, "SASS", replace(WHOLE, wgmma=0, exp2=0), ())


def limits(figures: Figures, target: Any = SM_90, dtype: str = "bfloat16", head_dim: int = 64) -> list[str]:
    found = judge(figures, target, dtype, head_dim)
    return [("FAIL " if verdict.is_failure else "note ") + verdict.limit for verdict in found]


def with_loop(**values: Any) -> Figures:
    """The good kernel with another loop over full tiles."""
    return replace(GOOD, loops=(EDGE, replace(FULL, **values)))


def test_nothing_is_said_of_a_good_kernel() -> None:
    assert limits(GOOD) == limits(DELTA) == []


@pytest.mark.parametrize(
    ("figures", "found"),
    [
        (replace(GOOD, spilled=8), "FAIL spills"),
        (replace(DELTA, spilled=8), "FAIL spills"),
        (replace(GOOD, serialized=True), "FAIL serialized"),
        (replace(GOOD, shared=232449), "FAIL shared"),
        (replace(GOOD, loops=()), "FAIL loops"),
        (with_loop(local=1), "FAIL local"),
        (with_loop(wgmma=0), "FAIL unit"),
        (with_loop(mma=4), "FAIL unit"),
        (with_loop(cp_async=0), "FAIL copies"),
        (with_loop(per_pair=8.91), "note instructions"),
        (replace(GOOD, loops=(replace(EDGE, per_pair=11.01), FULL)), "note instructions"),
        (with_loop(loads=9), "note loads"),
        (with_loop(exp2=34, special=64), "note special"),
        (with_loop(exp2=98), "note special"),
        (with_loop(overlap=0.89), "note overlap"),
    ],
)
def test_one_figure_that_is_worse(figures: Figures, found: str) -> None:
    assert limits(figures) == [found]


@pytest.mark.parametrize(
    "figures",
    [
        replace(GOOD, shared=232448),
        with_loop(cp_async=0, tma=2),
        with_loop(loads=8, special=4),  # of a row, or of the whole tile
        replace(with_loop(cp_async=0), stages=1),  # asked for
        with_loop(overlap=None),  # nothing to compute beside a product
        replace(with_loop(per_pair=50.0), kernel="backward_pairs"),  # no good one is known
    ],
)
def test_what_is_no_fault(figures: Figures) -> None:
    assert limits(figures) == []


@pytest.mark.parametrize(
    ("kernel", "head_dim", "most", "least"),
    [
        ("forward_1", 64, 8.9, 0.9),
        ("backward_keys", 64, 11.1, 0.65),
        ("backward_keys_2", 128, 18.5, 0.65),
        ("backward_queries", 64, 9.1, 0.8),
        ("backward_queries", 128, 10.1, 0.8),
    ],
)
def test_each_kind_of_kernel_has_its_own_numbers(
    kernel: str, head_dim: int, most: float, least: float
) -> None:
    at_most = replace(with_loop(per_pair=most, overlap=least), kernel=kernel)
    assert limits(at_most, head_dim=head_dim) == []
    beyond = replace(with_loop(per_pair=most + 0.01, overlap=least - 0.01), kernel=kernel)
    assert limits(beyond, head_dim=head_dim) == ["note instructions", "note overlap"]


def test_other_targets_and_dtypes() -> None:
    slow = with_loop(wgmma=0, mma=64, per_pair=50.0, exp2=98, overlap=None)
    slow = replace(slow, loops=slow.loops[1:], shared=65536)
    assert limits(slow, SM_80) == limits(slow, GFX942) == []
    assert limits(replace(slow, shared=65537), GFX942) == ["FAIL shared"]
    assert limits(replace(slow, loops=(replace(slow.loops[0], cp_async=0),)), GFX942) == []
    assert limits(replace(slow, loops=(replace(slow.loops[0], mma=0),)), GFX942) == ["FAIL unit"]
    plain = replace(GOOD, loops=(replace(FULL, wgmma=0, cp_async=0, per_pair=200.0, overlap=None),))
    assert limits(plain, dtype="float32") == []
    assert limits(replace(with_loop(per_pair=50.0), language="PTX")) == []


def test_blackwell_computes_in_a_memory_of_its_own() -> None:
    loops = (replace(FULL, wgmma=0, tcgen05=8, per_pair=50.0, overlap=None),)
    good = replace(GOOD, tensor=512, loops=loops)
    assert limits(good, SM_100) == []
    assert limits(replace(good, tensor=513), SM_100) == ["FAIL tensor"]
    assert limits(replace(good, loops=(replace(loops[0], tcgen05=0),)), SM_100) == ["FAIL unit"]
    assert limits(replace(good, loops=(replace(loops[0], mma=4),)), SM_100) == ["FAIL unit"]


def test_what_torch_says_of_a_card() -> None:
    assert {name: target.capability for name, target in TARGETS.items()} == {
        "sm_90": (9, 0),
        "sm_100": (10, 0),
        "sm_80": (8, 0),
        "sm_86": (8, 6),
        "sm_89": (8, 9),
        "sm_120": (12, 0),
        "gfx942": (0, 0),
    }


# ---- the report ------------------------------------------------------------------------------------

SLOW = replace(GOOD, kernel="backward_keys", spilled=24, loops=(replace(FULL, overlap=0.0, per_pair=8.44),))


def report(*kernels: Figures) -> Report:
    verdicts = tuple(verdict for each in kernels for verdict in judge(each, SM_90, "bfloat16", 64))
    return Report("causal", "sm_90", "bfloat16", 64, "3.9.0", kernels, verdicts)


def test_table() -> None:
    assert str(report(GOOD, DELTA, SLOW)) == (
        "causal for sm_90: bfloat16, heads 64 wide; SASS of Triton 3.9.0\n"
        "\n"
        "kernel         tile      warps  stages  registers  spilled bytes  shared memory\n"
        "forward        128 x 64  8      3       160        0              64 KiB\n"
        "delta          -         4      3       48         0              1 KiB\n"
        "backward_keys  128 x 64  8      3       160        24             64 KiB\n"
        "\n"
        "kernel         loop  instructions  a pair  matrix   copies      loads  exp2  special  overlap\n"
        "forward        edge  340           10.6    8 wgmma  4 cp.async  0      34    0        100%\n"
        "               full  270           8.4     8 wgmma  4 cp.async  0      34    0        100%\n"
        "delta          all   900           -       -        4 cp.async  0      0     0        -\n"
        "backward_keys  full  270           8.4     8 wgmma  4 cp.async  0      34    0        0%\n"
        "\n"
        "FAIL: backward_keys: spills 24 bytes a thread (what has no register goes to memory and back)\n"
        "note: backward_keys: the full loop has 0% of its exp2 beside a matrix product "
        "(good kernels: 65% or more)\n"
        "causal: 3 kernels, 1 FAIL"
    )
    assert str(report(GOOD)).endswith("100%\n\ncausal: 1 kernel, all limits hold")


def test_notes_are_no_failures() -> None:
    assert report(GOOD, DELTA).holds
    assert report(with_loop(overlap=0.0)).holds
    assert not report(GOOD, SLOW).holds


def test_json() -> None:
    found = json.loads(report(GOOD, SLOW).to_json())
    assert found["holds"] is False
    assert [found[name] for name in ("name", "arch", "dtype", "head_dim", "triton")] == [
        "causal", "sm_90", "bfloat16", 64, "3.9.0",
    ]  # fmt: skip
    assert found["kernels"][1]["spilled"] == 24
    assert found["kernels"][0]["loops"][1] == {
        "name": "full",
        "instructions": 270,
        "per_pair": 8.44,
        "tcgen05": 0,
        "wgmma": 8,
        "mma": 0,
        "cp_async": 4,
        "tma": 0,
        "loads": 0,
        "local": 0,
        "exp2": 34,
        "special": 0,
        "overlap": 1.0,
    }
    assert found["verdicts"][0] == {
        "kernel": "backward_keys",
        "limit": "spills",
        "what": "spills 24 bytes a thread",
        "why": "what has no register goes to memory and back",
        "is_failure": True,
    }
