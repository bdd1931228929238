"""Few queries: their keys split into shares, the heads of a group in one tile, and what the shares leave merged."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from kernel_checks import Measure, assert_holds, case_for, compile_text
from turns import in_turn
from zoo import BIASES, DISTANCES, MASKS, SCORES, TOKENS

from attnc.evaluate import load_evaluated
from attnc.inspect import plan_launches
from attnc.inspect.build import specialize
from attnc.inspect.targets import SM_90
from attnc.run.loader import load_module
from attnc.verify.cases import Case

ZOO = {**BIASES, **MASKS, **SCORES, **DISTANCES, **TOKENS}
SPECS = {
    "decode": "from std import causal_end\nattention zoo():\n    mask causal_end\n",
    "full": "attention zoo():\n    mask true\n",
    "window": "attention zoo(w: int):\n    mask j <= i + M - N and i + M - N - j < w\n",
    "first_and_window": "attention zoo():\n    mask j <= i + M - N and (j < 3 or i + M - N - j < 20)\n",
    "window_by_head": "attention zoo(w: int[H]):\n    mask j <= i + M - N and i + M - N - j < w[h]\n",
    "alibi": "attention zoo(slope: float[H]):\n    mask j <= i\n    score dot(q, k) * scale - slope[h] * (i - j)\n",
    "biases": """
attention zoo(bias: float[H, N, M], column: float[B, H, M], row: float[B, H, N], t: float[H, 5]):
    mask  h % 2 == 0 or j < M - 2
    score dot(q, k) * scale + bias[h, i, j] + column[b, h, j] * row[b, h, i] + t[h, (i - j) % 5]
""",
    "sink": "attention zoo(z: float[H]):\n    mask j <= i\n    normalize sink(z[h])\n",
    "documents": """
attention zoo(doc: sorted int[B, N], at: sorted int[B, M]):
    mask doc[b, i] == at[b, j]
""",
    "empty_rows": "attention zoo():\n    mask j < 60 * i - 40\n",
    "sums": """
attention zoo(u: float[H]):
    mask      j <= i + M - N
    normalize relu(s) ** 2 / (u[h] ** 2 + sum(relu(s)))
""",
    "passes": "attention zoo():\n    mask j <= i + M - N\n    normalize exp(-(s - mean(s)) ** 2)\n",
    "largest": "attention zoo():\n    mask i + j > 3\n    normalize relu(s - max(s) + 1)\n",
}
CALLS = [
    Case("numpy", "float32", N=1, M=61, H=6, HKV=2, B=2, layout="sliced", variant=1, splits=3),
    Case("numpy", "float32", N=3, M=45, H=5, HKV=5, D=24, DV=40, layout="transposed", variant=2, splits=2),
    Case("numpy", "float32", N=17, M=37, H=7, HKV=1, DV=8, layout="strided", scale=-0.3, variant=3, splits=2),
]
FEW = Case("numpy", "float32", N=9, M=41, D=16, DV=24, H=6, HKV=2, variant=2, splits=3)


@pytest.mark.parametrize("name", SPECS)
def test_values_and_gradients(measure: Measure, name: str) -> None:
    compilation = compile_text(SPECS[name])
    assert compilation.plan.last.variants.split is not None
    for case in CALLS:
        assert_holds(measure(compilation, case_for(compilation, case, tile=(16, 16))))


@pytest.mark.parametrize("name", in_turn(ZOO))
def test_zoo(measure: Measure, name: str) -> None:
    spec = ZOO[name]
    compilation = compile_text(spec.text)
    if compilation.plan.last.variants.split is not None:
        fixed = {"numbers": spec.numbers, "entries": spec.entries}
        assert_holds(measure(compilation, case_for(compilation, FEW, spec.square, tile=(16, 16), **fixed)))


def test_more_shares_than_tiles_and_than_are_merged_at_once(measure: Measure) -> None:
    """Most shares have no key, and the kernel that merges them goes round three times."""
    for name in ("decode", "empty_rows", "sums", "largest"):
        compilation = compile_text(SPECS[name])
        case = Case("numpy", "float16", N=2, M=67, H=2, HKV=1, layout="expanded", variant=1, splits=35)
        assert_holds(measure(compilation, case_for(compilation, case, tile=(16, 16))))


HOW = {"decode": True, "alibi": True, "biases": False, "window_by_head": False}


@pytest.mark.parametrize("name", HOW)
def test_heads_of_a_group_are_rows_of_a_tile(name: str) -> None:
    """Unless the tiles themselves depend on the head."""
    compilation = compile_text(SPECS[name])
    assert compilation.plan.last.variants.split is not None
    assert compilation.plan.last.variants.split.pack_gqa == HOW[name]
    said = "the heads of a group are rows of one tile" if HOW[name] else "each head has tiles of its own"
    assert any(said in reason.text for reason in compilation.plan.because)


NOT_SPLIT = {
    "mask j % 4 == 0 and j <= i": "their tiles are found period by period",
    "mask ispow2(i - j)": "their tiles come from lists",
    "mask false": "no query sees a key",
}


@pytest.mark.parametrize("mask", NOT_SPLIT)
def test_what_stays_tiled_says_so(mask: str) -> None:
    compilation = compile_text(f"attention zoo():\n    {mask}\n")
    assert compilation.plan.last.variants.split is None
    assert any(NOT_SPLIT[mask] in reason.text for reason in compilation.plan.because)
    assert "_splits" not in compilation.module


# ---- the choice of a call --------------------------------------------------------------------------


def _splits(monkeypatch: pytest.MonkeyPatch, processors: int, rows: int, heads: int, keys: int) -> int:
    class Card:
        is_cuda, device = True, 0
        multi_processor_count = processors

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Card)
    module = load_module("zoo", compile_text(SPECS["decode"]).module)
    tiles = module._few_rows({"BLOCK_Q": 128, "BLOCK_K": 64}, rows)
    found: int = module._splits(Card, rows, heads, keys, tiles)
    return found


def test_shares_fill_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a head of keys, such heads and batch entries, keys."""
    for processors, rows, heads, keys, splits in (
        (132, 4, 8, 32768, 33),  # decoding with one sequence: two programs for each processor
        (132, 4, 8, 2048, 8),  # no share below four tiles
        (132, 4, 512, 32768, 1),  # many sequences: heads of a group still share what they read
        (132, 1, 1, 255, 0),  # keys for no share at all
        (132, 1, 1, 0, 0),
        (108, 4096, 1, 65536, 3),  # a long prompt of one head
        (132, 4096, 8, 65536, 0),  # enough tiles without
        (132, 0, 8, 4096, 16),
    ):
        assert _splits(monkeypatch, processors, rows, heads, keys) == splits, (rows, heads, keys)


SIGHTS = {
    "decode": "M",
    "alibi": "min(M, N)",
    "window": "min(M, N + w - 1)",
    "first_and_window": "min(M, 3 + (N + 19))",
    "window_by_head": "M",
    "documents": "M",
}


@pytest.mark.parametrize("name", SIGHTS)
def test_no_more_is_split_than_queries_may_see(name: str) -> None:
    assert f", {SIGHTS[name]}, few)" in compile_text(SPECS[name]).module


def test_lengths_do_not_compile_anew() -> None:
    """One compilation for up to 16 rows and one for more, whatever the number of keys."""
    compilation, keys = compile_text(SPECS["window"]), dict[str, set[str]]()
    for n, m in ((1, 4096), (2, 100), (3, 8191), (4, 16), (5, 64), (17, 333), (128, 4096), (511, 511)):
        for launch in plan_launches(compilation, SM_90, 64, "bfloat16", {"N": n, "M": m, "w": n + m}):
            if launch.name in ("forward_split", "combine"):
                keys.setdefault(launch.name, set()).add(specialize(launch, SM_90)[0])
    assert {name: len(found) for name, found in keys.items()} == {"forward_split": 2, "combine": 1}


def test_the_same_bits_twice_by_a_choice_of_its_own() -> None:
    """Where there is no GPU a call counts eight processors, so that few queries go this way there too."""
    module = load_evaluated("twice", compile_text(SPECS["decode"]).module)
    vars(module)["_choose"] = lambda backend, q: backend
    q, k, v = torch.randn(1, 6, 3, 16), torch.randn(1, 2, 700, 16), torch.randn(1, 2, 700, 16)
    launched: list[tuple[int, ...]] = []
    own = module._forward_split

    class Noted:
        def __getitem__(self, grid: tuple[int, ...]) -> Any:
            launched.append(grid)
            return own[grid]

    vars(module)["_forward_split"] = Noted()
    first, second = (module.zoo(q, k, v, return_lse=True, backend="triton") for _ in range(2))
    assert all(map(torch.equal, first, second))
    looks = 2
    assert launched == [(1, 2 * splits, 1) for splits in (5, 5) for _ in range(looks)]
