"""The mask of one head, against a look at every pair."""

from __future__ import annotations

import pytest
import torch

import attnc
from attnc.compiler import Compilation
from attnc.errors import AttncError
from attnc.run.mask import find_mask
from attnc.source import Source

SPEC = """
attention every(window: int, length: int[B], slope: float[H], kept: bool[H, M]):
    mask j < length[b] and i - j < window and (slope[h] * i <= j or kept[h, j])
"""


def compiled(text: str) -> Compilation:
    return Compilation(Source("<string>", text))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_a_mask_is_that_of_its_head(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    n, m, window = 9, 7, 5
    length, slope = torch.tensor([4, 6], dtype=torch.int32), torch.tensor([0.1, 0.6, 2.0], dtype=dtype)
    kept = torch.rand(3, m, generator=generator) < 0.3
    values = {"N": n, "M": m, "window": window, "length": length, "slope": slope, "kept": kept}
    for b in range(2):
        for h in range(3):
            expected = [
                [j < length[b] and i - j < window and bool(slope[h].double() * i <= j or kept[h, j])
                 for j in range(m)]
                for i in range(n)
            ]  # fmt: skip
            found = find_mask(compiled(SPEC).attention, values, h, b)
            assert torch.equal(found, torch.tensor(expected))


@pytest.mark.parametrize("b", [0, 1])
def test_vectors_decide_in_every_head(b: int) -> None:
    text = (
        "attention a(x: float[B, N, 3], y: float[M, 3]):\n    mask dot(x[b, i, :], y[j, :]) * (h - 1) > 0.0\n"
    )
    f = attnc.compile(text)
    x, y = torch.randn(2, 8, 3), torch.randn(6, 3)
    for h in range(3):
        expected = x[b] @ y.T * (h - 1) > 0
        assert torch.equal(
            find_mask(compiled(text).attention, {"N": 8, "M": 6, "x": x, "y": y}, h, b), expected
        )
        tiles = f.tiles(N=8, M=6, block_q=2, block_k=3, h=h, b=b, x=x.numpy(), y=y.tolist())
        assert tiles.visited == int(expected.reshape(4, 2, 2, 3).any(3).any(1).sum())


def test_the_interpreter_judges_what_is_read() -> None:
    text = "attention a(start: int[4]):\n    mask start[i] <= j\n"
    with pytest.raises(
        AttncError, match=r"`start` has size 4 along axis 0, and index 4 is read at b = 0, h = 2"
    ):
        find_mask(compiled(text).attention, {"N": 5, "M": 5, "start": torch.zeros(4)}, 2, 0)
