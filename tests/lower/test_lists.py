"""The tiles that an emitted module lists, against every pair of the interpreter's mask."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import cache
from inspect import getclosurevars
from types import ModuleType
from typing import Any

import pytest
import torch
from listed_specs import LISTED, TILES, Draw, Values, draws
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import attnc
from attnc.compiler import Compilation
from attnc.lower.lists import lower_lists, lower_tile_lists
from attnc.run.loader import load_module
from attnc.run.mask import find_mask

EMPTY, EDGE, FULL = 0, 1, 2
each_spec = pytest.mark.parametrize("name", LISTED)


@cache
def emitted(name: str) -> tuple[Compilation, ModuleType, dict[str, tuple[str, ...]]]:
    """A compilation, its module, and the parameters of each function of lists in it."""
    compilation = LISTED[name].compilation()
    lists = lower_lists(compilation.kernels.plan.last)
    functions = (*lists, *lower_tile_lists(compilation.kernels.plan.last, lists).values())
    takes = {fn.name: tuple(p.name for p in fn.params) for fn in functions}
    return compilation, load_module("listed", compilation.module), takes


def call(name: str, function: str, draw: Draw, values: Values, rows: int, columns: int) -> Any:
    compilation, module, takes = emitted(name)
    variable = compilation.kernels.plan.last.attention.variable
    known = {variable(key): value for key, value in values.items()} | draw.sizes
    known |= {"rows": rows, "columns": columns, "device": torch.device("cpu")}
    return getattr(module, function)(*(known[key] for key in takes[function]))


def kinds_of_pairs(mask: Tensor, rows: int, columns: int) -> Tensor:
    """Empty, edge or full, for each tile, by a look at all of its pairs."""
    kinds = [
        [
            FULL if tile.all() else EDGE if tile.any() else EMPTY
            for tile in (strip[:, left : left + columns] for left in range(0, mask.shape[1], columns))
        ]
        for strip in (mask[top : top + rows] for top in range(0, mask.shape[0], rows))
    ]
    return torch.tensor(kinds, dtype=torch.int).view(-(-mask.shape[0] // rows), -(-mask.shape[1] // columns))


def masks(name: str, draw: Draw, values: Values) -> Tensor:
    """`[B, H, N, M]`, by the interpreter."""
    attention = emitted(name)[0].attention
    every = [
        find_mask(attention, {**values, **draw.sizes}, h, b) for b in range(draw.B) for h in range(draw.H)
    ]
    return torch.stack(every).view(draw.B, draw.H, draw.N, draw.M)


def tiles_of(draw: Draw, seed: int) -> list[tuple[int, int]]:
    """Two sizes of tiles; over all calls each comes up."""
    turn = draw.N + 3 * draw.M + seed
    return [TILES[turn % len(TILES)], TILES[(turn + 3) % len(TILES)]]


def check_calls(name: str, seed: int) -> None:
    for draw, values in draws(LISTED[name], seed):
        seen = masks(name, draw, values)
        for rows, columns in tiles_of(draw, seed):
            kinds = call(name, "_tile_kinds", draw, values, rows, columns)
            assert kinds.shape[0] in (1, draw.B) and kinds.shape[1] in (1, draw.H)
            kinds = kinds.expand(draw.B, draw.H, -1, -1)
            for b in range(draw.B):
                for h in range(draw.H):
                    expected = kinds_of_pairs(seen[b, h], rows, columns)
                    assert torch.equal(kinds[b, h].int(), expected), (draw, values, rows, columns, b, h)
            check_lists(name, draw, values, rows, columns)


def check_lists(name: str, draw: Draw, values: Values, rows: int, columns: int) -> None:
    """Edge and full tiles in order, for each head and tile that stands still; full ones lie within the sequence."""
    kinds = call(name, "_tile_kinds", draw, values, rows, columns)
    for what, size, step in (("keys", draw.M, columns), ("queries", draw.N, rows)):
        if f"_lists_of_{what}" not in emitted(name)[2]:
            continue
        found = call(name, f"_lists_of_{what}", draw, values, rows, columns)
        assert all(x.dtype == torch.int32 and x.is_contiguous() for x in found)
        edge_start, edge, full_start, full = (x.tolist() for x in found)
        still = (kinds if what == "keys" else kinds.mT).flatten(0, 2).tolist()
        assert len(edge_start) == len(full_start) == len(still) + 1
        assert edge_start[0] == full_start[0] == 0
        assert edge_start[-1] == len(edge) and full_start[-1] == len(full)
        for at, row in enumerate(still):
            whole = [tile for tile, kind in enumerate(row) if kind == FULL and (tile + 1) * step <= size]
            some = [tile for tile, kind in enumerate(row) if kind != EMPTY and tile not in whole]
            assert full[full_start[at] : full_start[at + 1]] == whole
            assert edge[edge_start[at] : edge_start[at + 1]] == some


@each_spec
def test_kinds_and_lists_of_tiles(name: str) -> None:
    check_calls(name, seed=1)


@pytest.mark.slow
@each_spec
def test_kinds_and_lists_of_tiles_in_many_calls(name: str) -> None:
    for seed in range(2, 30):
        check_calls(name, seed)


def test_specs_are_listed_and_meet_every_kind() -> None:
    """Else the tests above would hold for nothing."""
    met: set[int] = set()
    for name in LISTED:
        compilation, _, takes = emitted(name)
        assert compilation.plan.last.cover.listed and "_tile_kinds" in takes
        for draw, values in draws(LISTED[name], 1)[:2]:
            met |= set(call(name, "_tile_kinds", draw, values, 7, 5).flatten().tolist())
    assert met == {EMPTY, EDGE, FULL}
    assert {key for name in LISTED for key in emitted(name)[2]} == {
        "_visible", "_tile_kinds", "_lists_of_keys", "_lists_of_queries"
    }  # fmt: skip


# ---- what is known without a look --------------------------------------------------------------------


def looked_at(monkeypatch: pytest.MonkeyPatch, name: str, draw: Draw, values: Values, step: int) -> float:
    """The share of tiles whose pairs were asked for."""
    module = emitted(name)[1]
    visible, tiles = module._visible, 0

    def count(b: Tensor, *rest: Any) -> Any:
        nonlocal tiles
        tiles += len(b)
        return visible(b, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(module, "_visible", count)
        kinds = call(name, "_tile_kinds", draw, values, step, step)
    return tiles / kinds.numel()


@pytest.mark.parametrize(("name", "most"), [("long_documents", 0.2), ("by_head_and_batch", 0.8)])
def test_a_tile_is_looked_at_only_where_the_test_does_not_decide(
    monkeypatch: pytest.MonkeyPatch, name: str, most: float
) -> None:
    generator = torch.Generator().manual_seed(3)
    draw = Draw(generator, B=2, H=2, N=512, M=512)
    values = LISTED[name].draw(draw)
    assert 0 < looked_at(monkeypatch, name, draw, values, 16) <= most


class Largest(TorchDispatchMode):
    """The size of the largest tensor that any operation makes."""

    entries = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, tuple | list) else [result]:
            if isinstance(each, Tensor):
                self.entries = max(self.entries, each.untyped_storage().nbytes() // each.itemsize)
        return result


@pytest.mark.parametrize(
    "name", ["every_other_key", "documents", "marked_keys", "real_pairs", "by_head_and_batch"]
)
def test_nothing_grows_with_queries_times_keys(name: str) -> None:
    """All that there is of the pairs is what 256 tiles hold, however many of them are looked at."""
    generator = torch.Generator().manual_seed(4)
    n, step = 2560, 32
    draw = Draw(generator, B=2, H=3, N=n, M=n)
    values = LISTED[name].draw(draw) | (
        {"dilation": 100, "window": 10**6} if name == "every_other_key" else {}
    )
    with Largest() as largest:
        call(name, "_tile_kinds", draw, values, step, step)
        for function in emitted(name)[2].keys() - {"_visible", "_tile_kinds"}:
            call(name, function, draw, values, step, step)
    tiles = draw.B * draw.H * (n // step) ** 2
    assert largest.entries <= max(256 * step**2, 4 * tiles) < n * n


# ---- what is remembered ------------------------------------------------------------------------------


def spied(name: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Gets an entry each time that kinds are computed; nothing of other tests is remembered."""
    module, computed = emitted(name)[1], []
    for function in emitted(name)[2].keys() - {"_visible"}:
        getclosurevars(getattr(module, function)).nonlocals["kept"].clear()
    inside: Callable[..., Tensor] = module._look_inside

    def count(*args: Any) -> Tensor:
        computed.append(1)
        return inside(*args)

    monkeypatch.setattr(module, "_look_inside", count)
    return computed


def marked_call(marked: Tensor, window: int = 5, rows: int = 8, columns: int = 8, n: int = 40) -> Tensor:
    draw = Draw(torch.Generator(), B=marked.shape[0], H=1, N=n, M=marked.shape[1])
    kinds: Tensor = call(
        "marked_keys", "_tile_kinds", draw, {"marked": marked, "window": window}, rows, columns
    )
    return kinds


def lists_call(marked: Tensor, rows: int = 8) -> Any:
    draw = Draw(torch.Generator(), B=marked.shape[0], H=1, N=40, M=marked.shape[1])
    return call("marked_keys", "_lists_of_keys", draw, {"marked": marked, "window": 5}, rows, 8)


def test_the_same_call_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    computed, marked = spied("marked_keys", monkeypatch), torch.zeros(1, 48, dtype=torch.bool)
    first = marked_call(marked)
    assert marked_call(marked) is first and len(computed) == 1
    lists = lists_call(marked)
    assert lists_call(marked) is lists and len(computed) == 1
    assert lists_call(marked, rows=16) is not lists and len(computed) == 2
    assert marked_call(marked) is first


def test_a_change_in_place_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    computed, marked = spied("marked_keys", monkeypatch), torch.zeros(1, 48, dtype=torch.bool)
    first, lists = marked_call(marked), lists_call(marked)
    assert first[0, 0, 0].tolist() == [1, 1, 0, 0, 0, 0]
    marked[0, 40:] = True
    assert marked_call(marked)[0, 0, 0].tolist() == [1, 1, 0, 0, 0, 2] and len(computed) == 2
    assert lists_call(marked) is not lists
    view = marked[0, 40:]
    view.fill_(False)
    assert marked_call(marked) is first and len(computed) == 2
    marked.bitwise_not_()
    assert (marked_call(marked) == 2).all()


@pytest.mark.parametrize(
    "other",
    [{"window": 6}, {"rows": 16}, {"columns": 16}, {"n": 39}, {"window": 0}, {"rows": 1, "columns": 1}],
)
def test_another_number_is_computed_anew(monkeypatch: pytest.MonkeyPatch, other: dict[str, int]) -> None:
    computed, marked = spied("marked_keys", monkeypatch), torch.zeros(1, 48, dtype=torch.bool)
    first = marked_call(marked)
    assert marked_call(marked, **other) is not first and len(computed) == 2
    assert marked_call(marked) is first and len(computed) == 2


def test_another_tensor_with_the_same_entries_is_not_computed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    computed, marked = spied("marked_keys", monkeypatch), torch.zeros(1, 48, dtype=torch.bool)
    first = marked_call(marked)
    assert marked_call(marked.clone()) is first and marked_call(marked[:]) is first
    assert marked_call(torch.stack([marked, ~marked], -1)[..., 0]) is first and len(computed) == 1


@pytest.mark.parametrize("change", [lambda x: x, lambda x: x.data, lambda x: x.detach(), lambda x: x.numpy()])
def test_a_change_is_seen_that_torch_does_not_count(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """Through `.data`, or from outside of torch."""
    computed, marked = spied("marked_keys", monkeypatch), torch.zeros(1, 48, dtype=torch.bool)
    first = marked_call(marked)
    change(marked)[0, 40:] = True
    assert marked_call(marked)[0, 0, 0].tolist() == [1, 1, 0, 0, 0, 2] and len(computed) == 2
    change(marked)[0, 40:] = False
    assert marked_call(marked) is first and len(computed) == 2


def test_a_new_tensor_at_the_address_of_an_old_one_is_another() -> None:
    addresses: dict[int, int] = {}
    reused = 0
    for n in range(300):
        marked = torch.zeros(1, 48, dtype=torch.bool)
        marked[0, 24:] = n % 3 == 0
        reused += addresses.get(id(marked), n % 3) != n % 3
        addresses[id(marked)] = n % 3
        assert (marked_call(marked)[0, 0, 0, 3:] == 2).all() == (n % 3 == 0)
        del marked
    assert reused > 10, "no address was used twice, so nothing was tested"


def test_no_tensor_is_kept_alive_and_few_results_are() -> None:
    kept = []
    for n in range(30):
        marked = torch.zeros(1, 48, dtype=torch.bool)
        kept.append((weakref.ref(marked), weakref.ref(marked_call(marked, window=n))))
        del marked
    assert all(tensor() is None for tensor, _ in kept)
    assert sum(result() is not None for _, result in kept) <= 10


def test_tensors_that_know_of_no_changes() -> None:
    """Made in inference mode, they do not say whether they were changed."""
    with torch.inference_mode():
        marked = torch.zeros(1, 48, dtype=torch.bool)
        first = marked_call(marked).clone()
        marked[0, 40:] = True
        assert marked_call(marked)[0, 0, 0].tolist() == [1, 1, 0, 0, 0, 2]
        marked[0, 40:] = False
        assert torch.equal(marked_call(marked), first)


def test_another_storage_in_the_same_tensor() -> None:
    marked = torch.zeros(1, 48, dtype=torch.bool)
    marked_call(marked)
    marked.data = torch.ones(1, 48, dtype=torch.bool)
    assert (marked_call(marked) == 2).all()


def test_the_sign_of_zero() -> None:
    """0.0 == -0.0, and a mask may tell them apart: as a number, and as an entry."""
    f = attnc.compile("attention a(low: float, t: float[M]):\n    mask 1 / max(t[j], low) > 0.0 or j == i\n")
    q = torch.randn(1, 1, 20, 8)
    zeros = [torch.zeros(20), -torch.zeros(20)]
    found = [f(q, q, q, low=-1.0, t=t) for t in zeros]
    assert not torch.equal(*found)
    for t, wanted in zip(zeros, found, strict=True):
        torch.testing.assert_close(f.reference(q, q, q, low=-1.0, t=t), wanted)
    g = attnc.compile("attention a(c: float, t: float[M]):\n    mask t[j] / (1 / c) > 0.0 or j == i\n")
    far = [g(q, q, q, c=c, t=torch.ones(20)) for c in (float("inf"), -float("inf"))]
    assert not torch.equal(*far)
