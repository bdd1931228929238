"""What is special about the CPU path: what a tile sees, steps of heads, and torch's own kernel."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any, cast

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernel_checks import compile_text
from torch import Tensor

from attnc.run.loader import load_module
from attnc.support import cpu

CAUSAL = "attention causal():\n    mask j <= i\n"
FULL = "attention full():\n    mask true\n"
WINDOW = "attention window(size: int):\n    mask j <= i and i - j < size\n"
SINKS = "attention sinks(w: int = 70):\n    mask j <= i and (j < 3 or i - j < w)\n"


def module_of(text: str) -> ModuleType:
    name = text.split()[1].partition("(")[0]
    return load_module(name, compile_text(text).module)


def normal(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    make = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=make, dtype=torch.float64).to(dtype)


# ---- what a tile sees ------------------------------------------------------------------------------

ENDS = st.integers(-200, 400)
LENGTHS = st.integers(0, 130)
# Those that are written in order, and any ends.
INTERVALS = st.one_of(
    st.tuples(ENDS, LENGTHS, st.integers(-20, 60), LENGTHS).map(
        lambda drawn: (drawn[0], drawn[0] + drawn[1], drawn[0] + drawn[2], drawn[0] + drawn[2] + drawn[3])
    ),
    st.tuples(ENDS, ENDS, ENDS, ENDS),
)
HOUSE = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@HOUSE
@given(st.integers(0, 400), st.lists(INTERVALS, min_size=1, max_size=4))
def test_intervals_are_joined_without_loss(keys: int, intervals: list[tuple[int, ...]]) -> None:
    """Every key of an interval is seen, none twice, and outside of the edges only what the whole tile sees.

    They come in any order: that of a single head may not be that of all heads together.
    """
    seen, edges = cpu._join(keys, *intervals)
    positions = cpu._positions(seen).tolist()
    assert positions == sorted(set(positions)) and set(positions) <= set(range(keys))
    assert set(positions) >= {j for lo, hi, _, _ in intervals for j in range(max(lo, 0), min(hi, keys))}
    tested: set[int] = set()
    for columns, part in edges:
        assert positions[columns] == list(range(part.start, part.stop)) and part.start < part.stop
        assert not tested & set(positions[columns])
        tested |= set(positions[columns])
    whole = {j for lo, hi, first, end in intervals for j in range(max(lo, first), min(hi, end))}
    assert set(positions) - tested <= whole


@HOUSE
@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 300), st.integers(0, 40_000))
def test_steps_have_every_head_once(groups: int, group: int, rows: int, keys: int) -> None:
    steps = list(cpu._steps(groups * group, groups, rows, slice(5, 5 + keys)))
    heads = [h for some, _ in steps for h in range(some.start, some.stop)]
    assert heads == list(range(groups * group))
    for some, of_keys in steps:
        read = {h // group for h in range(some.start, some.stop)}
        assert read == set(range(of_keys.start, of_keys.stop))


NUMBERS = st.sampled_from([0.0, 1.0, -3e38, 3e38, 65504.0, -65504.0, math.inf, -math.inf, math.nan])


@HOUSE
@given(
    st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    st.lists(st.lists(NUMBERS, max_size=6), max_size=3),
)
def test_numbers_are_finite_if_each_is(dtype: torch.dtype, lists: list[list[float]]) -> None:
    """Their sum is not, where it is beyond float32 itself, nor where inf meets -inf."""
    tensors = [torch.tensor(numbers, dtype=dtype) for numbers in lists]
    assert cpu._are_finite(*tensors) == all(math.isfinite(x) for each in tensors for x in each.tolist())


@pytest.mark.parametrize(
    ("keys", "heads", "dtype", "rows"),
    [
        (320, 8, torch.float32, 64),
        (320, 4, torch.float32, 128),
        (8192, 8, torch.float32, 128),
        (320, 8, torch.bfloat16, 128),
        (8192, 8, torch.bfloat16, 256),
    ],
)
def test_rows_of_a_tile(keys: int, heads: int, dtype: torch.dtype, rows: int) -> None:
    assert cpu._rows_of_tile((slice(7, 7 + keys), ()), heads, dtype) == rows
    assert cpu._rows_of_tile((torch.arange(keys), ()), heads, dtype) == rows


@pytest.mark.parametrize("tile", [64, 128, 256])
def test_tiles_of_any_number_of_queries_agree(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the last one, which has fewer."""
    module = module_of(SINKS)
    leaves = [normal(1, 2, 300, 16, dtype=torch.float64, seed=n).requires_grad_() for n in range(3)]

    def run() -> list[Tensor]:
        out = module.sinks(*leaves, w=90)
        return [out.detach(), *torch.autograd.grad(out.sin().sum(), leaves)]

    monkeypatch.setattr(module, "_rows_of_tile", lambda *_: 300)
    at_once = run()
    monkeypatch.setattr(module, "_rows_of_tile", lambda *_: tile)
    for a, b in zip(run(), at_once, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("otherwise", [0.0, float("-inf")])
def test_hidden_pairs_are_filled_whatever_they_are(dtype: torch.dtype, otherwise: float) -> None:
    values = [1.5, -0.0, 1e-45, float("inf"), float("-inf"), float("nan")]
    pairs = torch.tensor(values, dtype=dtype).repeat(2, 3, 4, 1)
    visible = torch.rand(3, 1, 6, generator=torch.Generator().manual_seed(0)) < 0.5
    expected = torch.where(visible, pairs, otherwise)
    cpu._fill_hidden(pairs, *cpu._bits_of_pairs(visible, dtype, otherwise))
    torch.testing.assert_close(pairs, expected, rtol=0, atol=0, equal_nan=True)


def test_a_hidden_key_may_be_no_number() -> None:
    q, k, v = (normal(1, 2, 200, 16, seed=n) for n in range(3))
    f = module_of(SINKS).sinks
    expected = f(q, k, v)[:, :, :150]
    k[:, :, 150:] = float("nan")
    assert torch.equal(f(q, k, v)[:, :, :150], expected)


# ---- steps, and memory -----------------------------------------------------------------------------


def test_heads_in_steps_are_heads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many heads, several steps for a tile: as if every head were alone."""
    module = module_of(SINKS)
    tensors = [normal(2, heads, 300, 16, dtype=torch.float64, seed=heads) for heads in (6, 3, 3)]
    leaves = [x.requires_grad_() for x in tensors]

    def run() -> list[Tensor]:
        out = module.sinks(*tensors, w=250)
        return [out.detach(), *torch.autograd.grad(out.sin().sum(), leaves)]

    at_once, steps = run(), []
    whole = module._steps

    def watched(heads: int, groups: int, rows: int, seen: Any) -> Any:
        for step in whole(heads, groups, rows * 2**14, seen):
            steps.append(step)
            yield step

    monkeypatch.setattr(module, "_steps", watched)
    for a, b in zip(run(), at_once, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert {(heads.start, heads.stop) for heads, _ in steps} == {(0, 2), (2, 4), (4, 6)}


# ---- half precision --------------------------------------------------------------------------------


@pytest.mark.parametrize("narrow", [torch.bfloat16, torch.float32])
def test_products_of_both_kinds(narrow: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16 where the processor has them, else in float32."""
    module = module_of(WINDOW)
    asked: list[torch.dtype] = []

    def answer(dtype: torch.dtype) -> torch.dtype:
        asked.append(dtype)
        return narrow if dtype == torch.bfloat16 else dtype

    monkeypatch.setattr(module, "_narrow", answer)
    inputs = [normal(2, h, 150, 24, seed=n).bfloat16() for n, h in enumerate((4, 2, 2))]

    def run(dtype: torch.dtype) -> list[Tensor]:
        leaves = [x.to(dtype).requires_grad_() for x in inputs]
        out = module.window(*leaves, size=20)
        return [out.detach(), *torch.autograd.grad(out.double().sin().sum(), leaves)]

    got, expected = run(torch.bfloat16), run(torch.float64)
    assert asked == [torch.bfloat16] * 2 + [torch.float64] * 2
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=3e-2, atol=3e-2)


def test_what_the_processor_can(monkeypatch: pytest.MonkeyPatch) -> None:
    module = module_of(WINDOW)
    assert [module._narrow(x) for x in (torch.float16, torch.float32, torch.float64)] == [
        torch.float32, torch.float32, torch.float64,
    ]  # fmt: skip
    can = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert module._narrow(torch.bfloat16) == (torch.bfloat16 if can else torch.float32)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert module._narrow(torch.bfloat16) == torch.float32


# ---- torch's own kernel ----------------------------------------------------------------------------


# In the norm. Half precision rounds output, its gradient and the result, to 2^-9 or 2^-12 each; the rest is float32.
LIMITS = {torch.float32: 1e-6, torch.bfloat16: 3 * 2**-9, torch.float16: 3 * 2**-12}


def calls_of_torch(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the helpers that hand over, each time one is called."""
    called: list[str] = []
    for name in ("_forward_of_torch", "_backward_of_torch"):
        real = getattr(module, name)

        def watched(*args: Any, name: str = name, real: Any = real) -> Any:
            called.append(name)
            return real(*args)

        monkeypatch.setattr(module, name, watched)
    return called


@pytest.mark.parametrize("text", [CAUSAL, FULL])
@pytest.mark.parametrize("heads", [(4, 4), (4, 2)])
@pytest.mark.parametrize("keys", [140, 200, 150])
@pytest.mark.parametrize("dtype", LIMITS, ids=lambda dtype: str(dtype))
def test_plain_attention_is_handed_over(
    text: str, heads: tuple[int, int], keys: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    compilation = compile_text(text)
    assert any("torch's own kernel" in reason.text for reason in compilation.plan.because)
    module = module_of(text)
    called = calls_of_torch(module, monkeypatch)
    f = getattr(module, text.split()[1].partition("(")[0])
    query, key = heads
    shapes = (2, query, 150, 24), (2, key, keys, 24), (2, key, keys, 24)

    inputs = [normal(*s, seed=n).to(dtype) for n, s in enumerate(shapes)]

    def run(inner: torch.dtype) -> list[Tensor]:
        leaves = [x.to(inner).requires_grad_() for x in inputs]
        out, lse = f(*leaves, return_lse=True)
        return [out.detach(), lse.detach(), *torch.autograd.grad(out.double().sin().sum(), leaves)]

    got = run(dtype)
    assert called == ["_forward_of_torch", "_backward_of_torch"]
    assert [x.dtype for x in got] == [dtype, torch.float32, dtype, dtype, dtype]
    for a, b in zip(got, run(torch.float64), strict=True):
        assert a.is_contiguous()
        assert (a.double() - b).norm() <= LIMITS[dtype] * b.norm()
    assert len(called) == 2


def test_the_log_sum_exp_of_bfloat16_is_that_of_float32() -> None:
    """Whatever products the processor has."""
    inputs = [normal(2, 2, 150, 24, seed=n).bfloat16() for n in range(3)]
    (_, got), (_, exact) = (
        module_of(CAUSAL).causal(*(x.to(dtype) for x in inputs), return_lse=True)
        for dtype in (torch.bfloat16, torch.float64)
    )
    torch.testing.assert_close(got.double(), exact, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("text", [CAUSAL, FULL])
@pytest.mark.parametrize("heads", [(4, 4), (4, 2)])
def test_it_is_handed_over_in_bfloat16(
    text: str, heads: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Backward, where the processor has its products. Forward it is not: that log-sum-exp would be off by 5e-5."""
    module = module_of(text)
    real, met = module._with_unit_stride, list[torch.dtype]()

    def watched(x: Tensor) -> Tensor:
        met.append(x.dtype)
        return cast(Tensor, real(x))

    monkeypatch.setattr(module, "_narrow", lambda dtype: torch.bfloat16)
    monkeypatch.setattr(module, "_with_unit_stride", watched)
    f = getattr(module, text.split()[1].partition("(")[0])
    inputs = [normal(2, h, 150, 24, seed=n).bfloat16() for n, h in enumerate((heads[0], heads[1], heads[1]))]

    def run(inner: torch.dtype) -> list[Tensor]:
        leaves = [x.to(inner).requires_grad_() for x in inputs]
        out, lse = f(*leaves, return_lse=True)
        return [out.detach(), lse.detach(), *torch.autograd.grad(out.double().sin().sum(), leaves)]

    got = run(torch.bfloat16)
    assert met == [torch.float32] * 3 + [torch.bfloat16] * 4
    monkeypatch.undo()
    for a, b in zip(got, run(torch.float64), strict=True):
        assert (a.double() - b).norm() <= LIMITS[torch.bfloat16] * b.norm()


def test_what_torch_has_no_kernel_for_stays_here(monkeypatch: pytest.MonkeyPatch) -> None:
    module = module_of(CAUSAL)
    called = calls_of_torch(module, monkeypatch)
    q, k, v = (normal(1, 2, 30, 16, seed=n) for n in range(3))
    module.causal(q, k, v, scale=-1.0)  # torch would answer nan
    module.causal(q, k, v, scale=0.0)
    module.causal(q.double(), k.double(), v.double())
    module.causal(q, k, v[..., :8])
    module.causal(q[:, :, :0], k, v)
    module.causal(q, k[:, :1], v[:, :1])
    assert called == []
    q.requires_grad_()
    _, lse = module.causal(q, k, v, return_lse=True)
    (of_lse,) = torch.autograd.grad(lse.sum(), q)
    assert called == ["_forward_of_torch"] and of_lse.abs().max() > 0


@pytest.mark.parametrize(
    "text",
    [
        "attention near():\n    mask j < i\n",
        "attention cap():\n    mask j <= i\n    score tanh(dot(q, k) * scale)\n",
        "attention temperature(t: float[H]):\n    mask j <= i\n    score dot(q, k) * t[h]\n",
        "attention unit():\n    query l2(q)\n    mask j <= i\n    score dot(q, k) + j\n",
    ],
)
def test_what_is_not_plain(text: str) -> None:
    compilation = compile_text(text)
    assert compilation.plan.last.variants.plain is None
    assert "_of_torch" not in compilation.module
