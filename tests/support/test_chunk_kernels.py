"""Kernels of chunked linear attention against every pair of a query and a key, in float64.

NumPy evaluates them, for which a read outside of a tensor is a fault, and so is a place that two programs write.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import pytest
import torch
from chunked_calls import (
    GATES,
    Call,
    assert_right,
    backward,
    by_kernels,
    by_pairs,
    evaluated,
    forward,
    limit,
    module_text,
)  # fmt: skip
from hypothesis import given
from hypothesis import strategies as st
from properties import cases
from turns import in_turn

from attnc.run.loader import load_module


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels of chunks, without a second look."""
    never = torch.zeros((), dtype=torch.int32)
    monkeypatch.setitem(vars(evaluated()), "_is_spoiled_anywhere", lambda *results: never)


HALF, BRAIN, WIDE = (torch.float16,) * 3, (torch.bfloat16,) * 3, (torch.float32,) * 3
LENGTHS = (1, 37, 64, 65, 200)
each_kind = pytest.mark.parametrize("gates", GATES)


@pytest.mark.parametrize(("n", "gates"), in_turn(product(LENGTHS, GATES), turns=4))
def test_lengths(n: int, gates: str) -> None:
    assert_right(Call(N=n, M=n, gates=gates), evaluated())


OFFSETS = (
    (1, 200, 199), (37, 64, 27), (65, 200, 135), (200, 64, -30), (100, 65, 1000), (65, 65, -1), (64, 37, -64),
)  # fmt: skip


@pytest.mark.parametrize(("sizes", "gates"), in_turn(product(OFFSETS, GATES)))
def test_offsets(sizes: tuple[int, int, int], gates: str) -> None:
    """Queries before the first key see none, and those behind the last see all."""
    n, m, offset = sizes
    assert_right(Call(N=n, M=m, offset=offset, gates=gates), evaluated())
    assert_right(Call(N=n, M=m, offset=offset, gates=gates, documents=True), evaluated())


@each_kind
def test_grouped_heads_of_strided_tensors(gates: str) -> None:
    assert_right(Call(N=70, M=70, H=4, HG=2, strided=True, documents=True, gates=gates), evaluated())


DTYPES = (HALF, BRAIN, (torch.bfloat16, torch.float32, torch.float16))


@pytest.mark.parametrize(("dtypes", "gates"), in_turn(product(DTYPES, GATES)))
def test_dtypes_and_widths_beyond_a_block(dtypes: tuple[torch.dtype, ...], gates: str) -> None:
    assert_right(Call(N=70, M=70, F=130, DV=72, dtypes=dtypes, gates=gates), evaluated())
    assert_right(Call(N=130, M=130, F=72, DV=130, dtypes=dtypes, gates=gates, documents=True), evaluated())


STEEP = product((30.0, 100.0), (False, True), ("number", "channels"))


@pytest.mark.parametrize(("steep", "documents", "gates"), in_turn(STEEP, turns=4))
def test_steep_gates(steep: float, documents: bool, gates: str) -> None:
    assert_right(Call(N=130, M=130, steep=steep, documents=documents, gates=gates), evaluated())


def test_one_gate_for_all_steps() -> None:
    """Its gradient is a sum over all of them, in which nothing may cancel that need not."""
    call = Call(N=2048, M=2048, F=16, DV=16, B=1, H=1, HG=1, sums=False)
    given, (dout, _) = call.tensors(), call.gradients()
    del given["with_sums"]
    given["steps"] = torch.full((1, 1, 2048), 0.9).log()
    dsteps = evaluated()._chunked_backward_triton(dout, None, **given)[3]

    steps = given["steps"].double().requires_grad_()
    lost, seen = steps.cumsum(2), torch.ones(2048, 2048, dtype=torch.bool).tril()
    decay = (lost[..., None] - lost[:, :, None]).masked_fill(~seen, -torch.inf).exp()
    f, g, v = (given[name].double() for name in "fgv")
    (((f @ g.mT) * decay) @ v * dout).sum().backward()
    assert steps.grad is not None
    assert float((dsteps.double().sum() / steps.grad.sum() - 1).abs()) < 1e-5


@pytest.mark.parametrize("dtypes", [WIDE, HALF])
@pytest.mark.parametrize("steep", [1.0, 3.0])
def test_gates_that_wander(steep: float, dtypes: tuple[torch.dtype, ...]) -> None:
    """Growth is a gate like another."""
    assert_right(Call(N=200, M=200, steep=steep, walk=True, dtypes=dtypes), evaluated())
    assert_right(Call(N=70, M=70, steep=steep, walk=True, dtypes=dtypes, gates="channels"), evaluated())


@pytest.mark.parametrize("seed", range(4))
def test_rows_are_finite_where_their_weights_are(seed: int, alone: None) -> None:
    """Up to the first that is not: what a state has lost, no later row finds again."""
    call = Call(N=200, M=200, steep=6.0, walk=True, seed=seed)
    found, expected = by_kernels(call, evaluated())["out"], by_pairs(call)["out"]
    assert found is not None and expected is not None
    most = torch.finfo(torch.float32).max
    fits = (expected.abs().amax(-1) < most).long().cumprod(2).bool()
    scale = expected.abs().amax(-1, keepdim=True)
    errors = ((found.double() - expected) / scale).abs().amax(-1)
    assert fits.any() and bool((errors[fits] < 1e-3).all())


def test_weights_beyond_float16() -> None:
    """Weights, states and gradients may have any size, as they have in float32."""
    call = Call(N=130, M=130, dtypes=HALF, gates="none")
    given = call.tensors()
    given["f"], given["g"] = given["f"] * 300, given["g"] * 300
    out, sums = evaluated()._chunked_forward_triton(**given)
    assert sums.abs().max() > torch.finfo(torch.float16).max
    given.pop("with_sums")
    dout, dsums = call.gradients()
    found = evaluated()._chunked_backward_triton(dout * 1e-6, dsums * 1e-6, **given)
    expected = by_pairs(call)
    pairs = zip((out, *found), (expected[name] for name in ("out", "df", "dg", "dv")), strict=False)
    for (got, want), factor in zip(pairs, (9e4, 3e-4, 3e-4, 9e-2), strict=True):
        assert want is not None
        assert float((got / factor - want).abs().max() / want.abs().max()) < 2 * limit(call)


@each_kind
def test_gradients_of_earlier_rows_may_be_large(gates: str) -> None:
    """Values behind them know nothing of them, in any dtype."""
    call = Call(N=40, M=40, dtypes=HALF, gates=gates, sums=False, steep=0.1)
    given, (dout, _) = call.tensors(), call.gradients()
    del given["with_sums"]
    expected = backward(call, evaluated())(dout, None, **given)[2][:, :, 25:]
    dout[:, :, :20] *= 1e9
    found = backward(call, evaluated())(dout, None, **given)[2][:, :, 25:]
    assert float((found - expected).abs().max() / expected.abs().max()) < limit(call)


@pytest.mark.parametrize("gates", ["number", "channels"])
def test_what_nobody_sees_may_be_infinite(gates: str, alone: None) -> None:
    """Steps behind the last query, and from document to document."""
    call = Call(N=40, M=100, offset=0, documents=True, gates=gates)
    given = call.tensors()
    given["steps"][:, :, 40:] = 90.0
    starts = torch.cat([torch.ones(2, 1, dtype=torch.bool), given["of_keys"].diff(dim=1) != 0], 1)
    given["steps"][starts[:, None].expand(-1, 2, -1)] = 90.0
    out, sums = forward(call, evaluated())(**given)
    assert out.isfinite().all() and sums.isfinite().all()
    del given["with_sums"]
    for gradient in backward(call, evaluated())(*call.gradients(), **given):
        assert gradient.isfinite().all()
        if gradient.shape[2] == call.M:
            assert not gradient[:, :, 40:].any()


@pytest.mark.parametrize("gates", ["number", "channels"])
def test_the_first_step_has_no_key_before_it(gates: str) -> None:
    call = Call(gates=gates)
    given = call.tensors()
    out = forward(call, evaluated())(**given)[0]
    given["steps"][:, :, 0] = 1e30
    assert torch.equal(forward(call, evaluated())(**given)[0], out)


@pytest.mark.parametrize("empty", [{"N": 0}, {"M": 0}, {"B": 0}])
def test_nothing(empty: dict[str, int]) -> None:
    found = by_kernels(Call(**empty), evaluated())
    assert all(x is not None and not x.any() for x in found.values())


@given(
    st.builds(
        Call,
        N=st.integers(1, 80), M=st.integers(1, 80), F=st.integers(1, 40), DV=st.integers(1, 40),
        B=st.integers(1, 2), H=st.sampled_from([2, 4]), HG=st.sampled_from([1, 2]),
        gates=st.sampled_from(GATES), steep=st.sampled_from([0.1, 1.0, 10.0]), documents=st.booleans(),
        offset=st.integers(-80, 80), sums=st.booleans(), strided=st.booleans(), seed=st.integers(0, 99),
        dtypes=st.sampled_from([WIDE, HALF, BRAIN]),
    )
)  # fmt: skip
@cases(many=300, few=25)
def test_any_call(call: Call) -> None:
    assert_right(call, evaluated())


@given(
    st.builds(
        Call,
        N=st.integers(1, 20), M=st.integers(1, 20), F=st.integers(1, 9), DV=st.integers(1, 9),
        B=st.integers(1, 2), H=st.sampled_from([2, 4]), HG=st.sampled_from([1, 2]),
        gates=st.sampled_from(GATES), steep=st.sampled_from([0.1, 1.0, 10.0]), documents=st.booleans(),
        offset=st.integers(-20, 20), sums=st.booleans(), strided=st.booleans(), seed=st.integers(0, 99),
        dtypes=st.sampled_from([WIDE, HALF, BRAIN]),
    )
)  # fmt: skip
@cases(many=300, few=25)
def test_a_second_look_at_any_call(call: Call) -> None:
    """Pair by pair, where all numbers are numbers."""
    module, always = evaluated(), torch.ones((), dtype=torch.int32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vars(module), "_is_spoiled_anywhere", lambda *results: always)
        assert_right(call, module)


@pytest.mark.parametrize("of_batch", [1, 70000])
def test_launches_have_one_axis(of_batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of which 2^31 - 1 programs fit; an axis of heads or batch entries would take 65535."""
    module, grids = evaluated(), []
    kernel = type(module._chunk_states)
    monkeypatch.setattr(kernel, "_launch", lambda self, grid, args, kwargs: grids.append(grid))
    by_kernels(Call(B=of_batch, N=2, M=2, F=1, DV=1), module)
    assert len(grids) == 10 and all(grid[0] < 2**31 and grid[1:] == (1, 1) for grid in grids)


INTERPRETED = """
import sys, json, torch
from chunked_calls import Call, errors, limit, module_text
from attnc.run.loader import load_module
given = json.loads(sys.argv[1])
given["dtypes"] = [getattr(torch, name) for name in given["dtypes"]]
module, found = load_module("chunked", module_text()), []
for call in (Call(**given), Call(**given | {"N": 5, "M": 9, "F": 6, "DV": 7, "offset": 4})):
    found.append([max(errors(call, module).values()), limit(call)])
    module._is_spoiled_anywhere = lambda *results: torch.ones((), dtype=torch.int32)
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("gates", "dtypes"), [("number", WIDE), ("channels", WIDE), ("none", HALF)])
def test_in_tritons_interpreter(gates: str, dtypes: tuple[torch.dtype, ...]) -> None:
    """Another meaning of the same language, by other people; it is chosen where triton is imported."""
    call = Call(N=20, M=40, HG=1, B=1, offset=20, gates=gates, documents=True, strided=True, dtypes=dtypes)
    given = asdict(replace(call, dtypes=()))
    given["dtypes"] = [str(dtype).removeprefix("torch.") for dtype in dtypes]
    here = Path(__file__)
    paths = os.pathsep.join(map(str, (here.parent.parent, here.parent.parent.parent)))
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": paths}
    command = [sys.executable, "-c", INTERPRETED, json.dumps(given)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    chunks, second_look = json.loads(done.stdout)
    assert chunks[0] <= chunks[1] and second_look[0] <= second_look[1], (chunks, second_look)


@pytest.mark.gpu
@each_kind
@pytest.mark.parametrize("dtypes", [BRAIN, HALF, WIDE])
@pytest.mark.parametrize("width", [64, 128, 200])
def test_on_a_gpu(width: int, dtypes: tuple[torch.dtype, ...], gates: str) -> None:
    """Blocks of 64 and of 128, with 4 and with 8 warps."""
    module = load_module("chunked", module_text())
    for full in (False, True):
        call = Call(
            N=200, M=200, F=width, DV=width, H=4, gates=gates, dtypes=dtypes, documents=full, sums=full
        )
        assert_right(call, module, "cuda")
