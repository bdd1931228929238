"""A wrong call gets the same words from the emitted module, from the function around it and from the interpreter."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import attnc
from attnc.errors import AttncError, Diagnostic
from attnc.run.function import AttentionFunction
from attnc.run.loader import load_module

SAMPLE = """
attention sample(doc: sorted int[B, N], bias: float[H, 2 * window + 1], flags: bool[M],
                 window: int = 4, cap: float = 50.0, on: bool = true):
    mask  doc[b, i] == doc[b, j] and j <= i and i - j < window and (flags[j] or on)
    score cap * tanh(dot(q, k) * scale / cap) + bias[h, clamp(i - j, 0, 2 * window)]
"""
WIDE = """
attention wide(w: int, x: float[N, w]):
    mask  j <= i
    score dot(q * x[i, :], k) * scale
"""
DOTTED = """
attention dotted(w: int, x: float[N, w]):
    mask  j <= i
    score dot(q, x[i, :]) + dot(q, k) * scale
"""
QUERIED = """
attention queried(w: int, x: float[N, w]):
    query 2.0 * x[i, :]
    mask  j <= i
"""
TURNED = """
attention turned():
    query rope(q, i, 10000.0)
    mask  j <= i
"""
OWN = """
attention own(u: float):
    mask   j <= i
    output o + u * v_i
"""
GRID = """
attention gridded(rows: int, cols: int):
    grid query(y: rows, x: cols) key(y: rows, x: cols + 1)
    mask abs(i.y - j.y) <= 1
"""
DIVIDED = """
attention divided(c: float, n: int = 2):
    mask   j <= i
    score  c * tanh(dot(q, k) * scale / c) - n
    output o / n
"""
HALVES = """
attention halves(c: int, x: float[H, N // c]):
    mask  c == 0 or j <= i
    score dot(q, k) * scale + x[h, i // max(c, 1)]
"""
B, H, HKV, N, M, D = 2, 4, 2, 6, 6, 8


def tensor(*shape: int, dtype: torch.dtype = torch.float32, **more: Any) -> Tensor:
    return torch.zeros(shape, dtype=dtype, **more)


INPUTS = {"q": tensor(B, H, N, D), "k": tensor(B, HKV, M, D), "v": tensor(B, HKV, M, D)}
GOOD: dict[str, dict[str, Any]] = {
    SAMPLE: {
        "doc": tensor(B, N, dtype=torch.int64),
        "bias": tensor(H, 9),
        "flags": tensor(M, dtype=torch.bool),
    },
    WIDE: {"w": D, "x": tensor(N, D)},
    DOTTED: {"w": D, "x": tensor(N, D)},
    QUERIED: {"w": D, "x": tensor(N, D)},
    TURNED: {},
    OWN: {"u": 0.5},
    GRID: {"rows": 2, "cols": 3, "k": tensor(B, HKV, 8, D), "v": tensor(B, HKV, 8, D)},
    HALVES: {"c": 2, "x": tensor(H, N // 2)},
    DIVIDED: {"c": 3.0},
}
FALLING = torch.tensor([[0, 0, 1, 1, 1, 1], [0, 3, 2, 2, 0, 0]])
LEARNED = torch.tensor(2.0, requires_grad=True)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # both are prototypes
    NESTED = torch.nested.nested_tensor([tensor(H, n, D) for n in (3, 5)])
    MASKED = torch.masked.masked_tensor(INPUTS["q"], INPUTS["q"] == 0)

# What the call is, what is wrong with it, the code of the diagnostic, and what the module alone raises.
CALLS: list[tuple[str, dict[str, Any], str, type[Exception]]] = [
    (SAMPLE, {"q": [1.0]}, "wrong-type", TypeError),
    (SAMPLE, {"k": None}, "wrong-type", TypeError),
    (SAMPLE, {"v": np.zeros((B, HKV, M, D))}, "wrong-type", TypeError),
    (SAMPLE, {"q": INPUTS["q"].to_sparse()}, "wrong-type", TypeError),
    (SAMPLE, {"k": NESTED}, "wrong-type", TypeError),
    (SAMPLE, {"v": MASKED}, "wrong-type", TypeError),
    (SAMPLE, {"flags": tensor(M, dtype=torch.bool).to_sparse()}, "wrong-type", TypeError),
    (SAMPLE, {"q": tensor(B, H, N)}, "wrong-rank", ValueError),
    (SAMPLE, {"k": tensor(B, HKV, M, D, 1)}, "wrong-rank", ValueError),
    (SAMPLE, {"v": tensor()}, "wrong-rank", ValueError),
    (SAMPLE, {"q": INPUTS["q"].int()}, "wrong-dtype", ValueError),
    (SAMPLE, {"k": INPUTS["k"].bool()}, "wrong-dtype", ValueError),
    (SAMPLE, {"k": INPUTS["k"].half()}, "wrong-dtype", ValueError),
    (SAMPLE, {"v": INPUTS["v"].double()}, "wrong-dtype", ValueError),
    (SAMPLE, {"v": INPUTS["v"].to("meta")}, "wrong-device", ValueError),
    (SAMPLE, {"k": tensor(B + 1, HKV, M, D)}, "wrong-shape", ValueError),
    (SAMPLE, {"k": tensor(B, HKV, M, D + 1)}, "wrong-shape", ValueError),
    (SAMPLE, {"v": tensor(B, HKV + 1, M, D)}, "wrong-shape", ValueError),
    (SAMPLE, {"v": tensor(B, HKV, M + 1, D)}, "wrong-shape", ValueError),
    (SAMPLE, {"q": tensor(B, 5, N, D)}, "wrong-heads", ValueError),
    (SAMPLE, {"q": tensor(B, 1, N, D)}, "wrong-heads", ValueError),
    (SAMPLE, {"q": tensor(B, 0, N, D)}, "wrong-shape", ValueError),
    (SAMPLE, {"q": tensor(B, H, N, 0), "k": tensor(B, HKV, M, 0)}, "wrong-shape", ValueError),
    (SAMPLE, {"k": tensor(B, 0, M, D), "v": tensor(B, 0, M, D)}, "wrong-shape", ValueError),
    (SAMPLE, {"v": tensor(B, HKV, M, 0)}, "wrong-shape", ValueError),
    (SAMPLE, {"window": 3.0}, "wrong-type", TypeError),
    (SAMPLE, {"window": True}, "wrong-type", TypeError),
    (SAMPLE, {"window": "3"}, "wrong-type", TypeError),
    (SAMPLE, {"window": None}, "wrong-type", TypeError),
    (SAMPLE, {"window": [3]}, "wrong-type", TypeError),
    (SAMPLE, {"window": 2**62}, "wrong-type", TypeError),
    (SAMPLE, {"window": torch.tensor(2.0)}, "wrong-type", TypeError),
    (SAMPLE, {"window": torch.tensor([2])}, "wrong-type", TypeError),
    (SAMPLE, {"window": np.zeros(2)}, "wrong-type", TypeError),
    (SAMPLE, {"cap": False}, "wrong-type", TypeError),
    (SAMPLE, {"cap": 1j}, "wrong-type", TypeError),
    (SAMPLE, {"cap": torch.tensor(True)}, "wrong-type", TypeError),
    (SAMPLE, {"cap": LEARNED}, "wrong-type", TypeError),
    (SAMPLE, {"on": 1}, "wrong-type", TypeError),
    (SAMPLE, {"on": tensor(2, dtype=torch.bool)}, "wrong-type", TypeError),
    (SAMPLE, {"scale": "1"}, "wrong-type", TypeError),
    (SAMPLE, {"scale": True}, "wrong-type", TypeError),
    (SAMPLE, {"scale": LEARNED}, "wrong-type", TypeError),
    (SAMPLE, {"bias": [[0.0]]}, "wrong-type", TypeError),
    (SAMPLE, {"bias": tensor(9)}, "wrong-rank", ValueError),
    (SAMPLE, {"flags": tensor(M, 1, dtype=torch.bool)}, "wrong-rank", ValueError),
    (SAMPLE, {"bias": tensor(H, 10)}, "wrong-shape", ValueError),
    (SAMPLE, {"doc": tensor(1, N, dtype=torch.int64)}, "wrong-shape", ValueError),
    (SAMPLE, {"bias": tensor(H, 9, dtype=torch.int32)}, "wrong-dtype", ValueError),
    (SAMPLE, {"doc": tensor(B, N)}, "wrong-dtype", ValueError),
    (SAMPLE, {"flags": tensor(M, dtype=torch.int64)}, "wrong-dtype", ValueError),
    (SAMPLE, {"flags": tensor(M, dtype=torch.bool, device="meta")}, "wrong-device", ValueError),
    (SAMPLE, {"doc": FALLING}, "not-sorted", ValueError),
    (SAMPLE, {"window": -3}, "wrong-size", ValueError),
    (HALVES, {"c": 0}, "wrong-size", ValueError),
    (HALVES, {"c": -2}, "wrong-size", ValueError),
    (HALVES, {"c": 3}, "wrong-shape", ValueError),
    (GRID, {"rows": 3}, "wrong-grid", ValueError),
    (GRID, {"rows": 3, "cols": 2}, "wrong-grid", ValueError),
    (GRID, {"rows": -2, "cols": -3}, "wrong-size", ValueError),
    (OWN, {"q": tensor(B, H, N - 1, D)}, "not-self-attention", ValueError),
    (DIVIDED, {"c": 0.0}, "division-by-zero", ValueError),
    (DIVIDED, {"n": 0}, "division-by-zero", ValueError),
    (TURNED, {"q": tensor(B, H, N, 5), "k": tensor(B, HKV, M, 5)}, "width-mismatch", ValueError),
    (WIDE, {"w": 3, "x": tensor(N, 3)}, "width-mismatch", ValueError),
    (DOTTED, {"w": 3, "x": tensor(N, 3)}, "width-mismatch", ValueError),
    (QUERIED, {"w": 3, "x": tensor(N, 3)}, "width-mismatch", ValueError),
]
FUNCTIONS: dict[str, AttentionFunction] = {}
Call = Callable[..., Any]


def function(text: str) -> AttentionFunction:
    if text not in FUNCTIONS:
        FUNCTIONS[text] = attnc.compile(text)
    return FUNCTIONS[text]


def alone(f: AttentionFunction) -> Call:
    """The function of the emitted module, as a program has it that keeps the file and knows no attnc."""
    call: Call = getattr(load_module(f.__name__, f.source), f.__name__)
    return call


def arguments(text: str, wrong: dict[str, Any]) -> dict[str, Any]:
    return INPUTS | GOOD[text] | wrong


def refusal(call: Call, given: dict[str, Any]) -> Diagnostic:
    with pytest.raises(AttncError) as caught:
        call(**given)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def title(call: tuple[str, dict[str, Any], str, type[Exception]]) -> str:
    text, wrong, code, _ = call
    return f"{function_name(text)}-{'-'.join(wrong)}-{code}"


def function_name(text: str) -> str:
    return text.split("attention ")[1].split("(")[0]


@pytest.mark.parametrize("text", GOOD, ids=function_name)
def test_a_good_call_is_refused_by_nobody(text: str) -> None:
    f, given = function(text), arguments(text, {})
    for call in (f, alone(f), f.reference):
        assert call(**given).shape == (B, H, N, D)


@pytest.mark.parametrize(("text", "wrong", "code", "raised"), CALLS, ids=map(title, CALLS))
def test_three_ways_to_call_say_the_same(
    text: str, wrong: dict[str, Any], code: str, raised: type[Exception]
) -> None:
    f, given = function(text), arguments(text, wrong)
    meaning = refusal(f.reference, given)
    assert meaning.code == code
    assert refusal(f, given) == meaning
    with pytest.raises(raised) as caught:
        alone(f)(**given)
    assert type(caught.value) is raised
    assert str(caught.value) == meaning.message


@pytest.mark.parametrize(
    ("mask", "w", "t", "said"),
    [
        ("i // t % (w // t) <= 1", 6, 0, "`t` needs 1 or more, got 0"),
        ("i // t % (w // t) <= 1", 2, 7, "`w // t` needs 1 or more, got 0"),
        ("i % (w // t) == 0", 6, 0, "`t` needs 1 or more, got 0"),
        ("i % (w // t) == 0", -6, -2, "`t` needs 1 or more, got -2"),
        ("j % (w % t) == 0", 6, 3, "`w % t` needs 1 or more, got 0"),
    ],
)
def test_a_divisor_is_checked_before_what_it_makes(mask: str, w: int, t: int, said: str) -> None:
    f = function(f"attention ratio(w: int, t: int):\n    mask {mask}\n")
    assert refusal(lambda **given: f(**given), INPUTS | {"w": w, "t": t}).message == said
    with pytest.raises(ValueError) as caught:
        alone(f)(**INPUTS, w=w, t=t)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"windw": 3}, "sample() got an unexpected keyword argument 'windw'"),
        ({"bias": ...}, "sample() missing 1 required keyword-only argument: 'bias'"),
    ],
)
def test_names_are_checked_by_python_in_a_module_that_stands_alone(wrong: dict[str, Any], said: str) -> None:
    f = function(SAMPLE)
    given = {name: value for name, value in arguments(SAMPLE, wrong).items() if value is not ...}
    assert refusal(f, given) == refusal(f.reference, given)
    with pytest.raises(TypeError) as caught:
        alone(f)(**given)
    assert str(caught.value).startswith(said)


def test_what_reads_as_a_number_is_one() -> None:
    f = function(SAMPLE)
    expected = f(**arguments(SAMPLE, {"window": 4, "cap": 2.0, "on": False, "scale": 0.5}))
    numbers = {
        "window": np.int32(4),
        "cap": torch.tensor(2),
        "on": np.bool_(False),
        "scale": np.float32(0.5),
    }
    assert torch.equal(f(**arguments(SAMPLE, numbers)), expected)


# ---- what is no call of tensors and numbers ----------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"q": np.zeros((B, H, N, D))}, ("`q` needs a tensor, got ndarray", "pass `torch.from_numpy(q)`")),
        ({"q": [1.0]}, ("`q` needs a tensor, got list", "pass `torch.tensor(q)`")),
        (
            {"q": INPUTS["q"].to_sparse()},
            ("`q` needs a dense tensor, got layout sparse_coo", "pass `x.to_dense()`"),
        ),
        (
            {"k": NESTED},
            (
                "`k` needs a dense tensor, got a nested one",
                "pad it, and pass lengths or documents that the mask asks for",
            ),
        ),
        (
            {"v": MASKED},
            (
                "`v` needs a dense tensor, got MaskedTensor",
                "pass its data, and its mask as an array of the spec",
            ),
        ),
    ],
)
def test_what_to_do_about_what_is_no_dense_tensor(given: dict[str, Any], said: tuple[str, str]) -> None:
    found = refusal(function(SAMPLE), arguments(SAMPLE, given))
    assert (found.message, *found.helps) == said


def test_a_nested_tensor_of_any_layout_and_a_distributed_one(tmp_path: Path) -> None:
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    jagged = torch.nested.nested_tensor([tensor(n, H, D) for n in (3, 5)], layout=torch.jagged).transpose(
        1, 2
    )
    f = function(TURNED)
    assert refusal(f, INPUTS | {"q": jagged}).message == "`q` needs a dense tensor, got a nested one"
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        sharded = distribute_tensor(INPUTS["k"], init_device_mesh("cpu", (1,)), [Shard(1)])
        assert refusal(f, INPUTS | {"k": sharded}).message == "`k` needs a dense tensor, got DTensor"
    finally:
        dist.destroy_process_group()


def test_parameters_have_names() -> None:
    f = attnc.compile(
        "attention windowed(size: int, on: bool = true):\n    mask j <= i and (i - j < size or on)\n"
    )
    with pytest.raises(AttncError) as caught:
        f(*INPUTS.values(), 4)
    (found,) = caught.value.diagnostics
    assert (found.message, found.helps) == (
        "`windowed` takes `q`, `k` and `v` by position, and got a value more: parameters have names",
        ("write `windowed(q, k, v, size=4)`",),
    )
    with pytest.raises(AttncError, match=r"and got 2 values more: parameters have names"):
        f(*INPUTS.values(), 4, False)


@pytest.mark.parametrize("kind", ["int", "float"])
def test_a_number_is_one_for_all_samples(kind: str) -> None:
    f = attnc.compile(f"attention moved(c: {kind}):\n    mask j <= i\n    score dot(q, k) + c\n")
    needs = "an int" if kind == "int" else "a float"
    for call, error in ((f, AttncError), (alone(f), TypeError)):
        with pytest.raises(error, match=f"`c` needs {needs}, the same for all samples"):
            torch.func.vmap(lambda c, call=call: call(**INPUTS, c=c))(torch.arange(3))


def test_where_0_means_none_the_spec_says_so() -> None:
    """A condition before a division: neither is refused, nor does Python divide."""
    text = (
        "attention softcapped(c: float):\n"
        "    mask j <= i\n"
        "    let power = c ** 0.5 if c > 0 else c ** -1.5 if c < 0 else 1\n"
        "    score c * tanh(dot(q, k) / c) if c != 0 else dot(q, k) * power\n"
    )
    f = attnc.compile(text)
    q = torch.randn(B, H, N, D, dtype=torch.float64)
    for c in (0.0, 2.0, -2.0):
        leaves = [q.clone().requires_grad_() for _ in range(2)]
        found = [call(x, x, x, c=c) for call, x in zip((f, f.reference), leaves, strict=True)]
        torch.testing.assert_close(*found)
        gradients = [torch.autograd.grad(out.sin().sum(), x)[0] for out, x in zip(found, leaves, strict=True)]
        torch.testing.assert_close(*gradients)


# ---- what only kernels refuse ----------------------------------------------------------------------

CHUNKED = "attention chunked(c: int):\n    mask i // c == j // c\n"


def test_a_divisor_that_the_ranges_rest_on() -> None:
    f = attnc.compile(CHUNKED)
    given = INPUTS | {"c": -3}
    found = refusal(f, given)
    assert (found.code, found.message) == ("wrong-value", "`c` needs 1 or more, got -3")
    assert found.notes and found.label and found.label.span.text == "i // c"
    with pytest.raises(ValueError) as caught:
        alone(f)(**given)
    assert str(caught.value) == found.message
    assert f.reference(**given).shape == (B, H, N, D)


def test_a_backend_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    f = attnc.compile(CHUNKED, backend="triton")
    words = '`backend="triton"` needs tensors on a GPU, got cpu'
    found = refusal(f, INPUTS | {"c": 3})
    assert (found.code, found.message) == ("wrong-device", words)
    with pytest.raises(ValueError) as caught:
        alone(f)(**INPUTS, c=3, backend="triton")
    assert str(caught.value) == words


@pytest.mark.parametrize("backend", ["auto", "triton"])
def test_a_gpu_takes_no_doubles_whoever_chose_it(backend: str) -> None:
    from attnc.support.call import _choose

    on_gpu = SimpleNamespace(is_cuda=True, device=torch.device("cuda", 0), dtype=torch.float32)
    assert _choose(backend, on_gpu) == "triton"
    on_gpu.dtype = torch.float64
    found = refusal(_choose, {"backend": backend, "q": on_gpu})
    said = "`q` needs dtype float16, bfloat16 or float32 on a GPU, got float64"
    assert (found.code, found.message) == ("wrong-dtype", said)


# ---- the check of `sorted` arrays ------------------------------------------------------------------


def test_the_order_of_a_sorted_array_need_not_be_checked() -> None:
    f = attnc.compile(SAMPLE, check_sorted=False)
    assert "_check_sorted" in function(SAMPLE).source
    assert "_check_sorted" not in f.source
    assert f(**arguments(SAMPLE, {"doc": FALLING})).shape == (B, H, N, D)


def test_checks_that_cannot_fail_are_not_there() -> None:
    checks = attnc.compile("attention plain():\n    mask j <= i\n").source.partition("def _check(")[2]
    assert checks.partition("\n\n")[0].splitlines() == [
        "q, k, v, scale):",
        '    """Raise the first mistake of a call; return its parameters, numbers as Python\'s."""',
        "    _check_inputs(q, k, v)",
        '    scale = q.shape[3] ** -0.5 if scale is None else _number("scale", float, scale)',
        "    return scale",
    ]


def test_a_condition_is_checked_once() -> None:
    text = "attention both():\n    query rope(q, i, 10000.0)\n    key rope(k, j, 10000.0)\n"
    assert attnc.compile(text).source.count("needs a vector of even width") == 1


def test_arrays_without_data_have_shapes() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    f = function(SAMPLE)
    meta = {name: x.to("meta") if isinstance(x, Tensor) else x for name, x in arguments(SAMPLE, {}).items()}
    assert alone(f)(**meta).shape == (B, H, N, D)
    with FakeTensorMode() as mode:
        fake = {
            n: mode.from_tensor(x) if isinstance(x, Tensor) else x for n, x in arguments(SAMPLE, {}).items()
        }
        assert alone(f)(**fake).shape == (B, H, N, D)


@pytest.mark.slow
def test_checks_do_not_break_a_graph() -> None:
    f = function(SAMPLE)
    for call in (f, alone(f)):
        torch.compiler.reset()
        compiled = torch.compile(call, fullgraph=True, backend="aot_eager", dynamic=True)
        for length, window in ((6, 4), (9, 4), (11, 3)):
            given = {
                "q": torch.randn(B, H, length, D),
                "k": torch.randn(B, HKV, length, D),
                "v": torch.randn(B, HKV, length, D),
                "doc": torch.zeros(B, length, dtype=torch.int64),
                "bias": torch.randn(H, 2 * window + 1),
                "flags": torch.zeros(length, dtype=torch.bool),
                "window": window,
            }
            torch.testing.assert_close(compiled(**given), call(**given))


def compiled_refusal(text: str, wrong: dict[str, Any], dynamic: bool | None) -> Exception:
    f = function(text)
    torch.compiler.reset()
    call = torch.compile(lambda **given: f(**given), fullgraph=True, backend="eager", dynamic=dynamic)
    with warnings.catch_warnings(), pytest.raises(Exception) as caught:
        warnings.simplefilter("ignore")
        call(**arguments(text, wrong))
    return caught.value


@pytest.mark.parametrize(
    ("text", "wrong", "raised"),
    [
        (TURNED, {"v": tensor(B, HKV, M + 1, D)}, ValueError),
        (SAMPLE, {"bias": tensor(H, 10)}, ValueError),
        (SAMPLE, {"doc": FALLING}, ValueError),
        (GRID, {"rows": 3, "cols": 2}, ValueError),
        (SAMPLE, {"cap": LEARNED}, TypeError),
        (DIVIDED, {"c": 0.0}, ValueError),
    ],
)
def test_a_graph_refuses_in_the_same_words(text: str, wrong: dict[str, Any], raised: type[Exception]) -> None:
    found = compiled_refusal(text, wrong, dynamic=None)
    assert (type(found), str(found)) == (
        raised,
        refusal(function(text).reference, arguments(text, wrong)).message,
    )


def is_taken(x: object) -> bool:
    """Does torch.compile take it for a tensor at all? It refuses sparse and nested ones before a call is made."""
    return not isinstance(x, Tensor) or (x.layout is torch.strided and not x.is_nested)


TAKEN = [call for call in CALLS if all(map(is_taken, call[1].values()))]


@pytest.mark.slow
@pytest.mark.parametrize("dynamic", [None, True])
@pytest.mark.parametrize(("text", "wrong", "code", "raised"), TAKEN, ids=map(title, TAKEN))
def test_a_wrong_call_is_named_by_a_graph(
    text: str, wrong: dict[str, Any], code: str, raised: type[Exception], dynamic: bool | None
) -> None:
    """By the graph when it is run, or by torch.compile, which shows what raises."""
    said = str(compiled_refusal(text, wrong, dynamic))
    named = refusal(function(text).reference, arguments(text, wrong)).message.split("`")
    words = " ".join(said.split())
    assert f"`{named[1]}`" in words if len(named) > 1 else named[0].partition(" [")[0] in words


@pytest.mark.slow
def test_a_wrong_call_is_refused_beside_a_graph_too() -> None:
    f = function(SAMPLE)
    compiled = torch.compile(alone(f), backend="eager")
    with warnings.catch_warnings(), pytest.raises(ValueError, match=r"^`bias` needs shape"):
        warnings.simplefilter("ignore")
        compiled(**arguments(SAMPLE, {"bias": tensor(H, 10)}))


# ---- numbers that torch knows by a symbol ------------------------------------------------------------


class Windowed(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.f = attnc.compile("attention windowed(w: int):\n    mask j <= i + w and i - j < 3\n")

    def forward(self, q: Tensor, k: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        return self.f(q, k, k, w=k.shape[2] - q.shape[2]), self.f(q, k, k, w=w.item())


@pytest.mark.parametrize("strict", [False, True])
def test_ints_that_an_export_knows_by_a_symbol(strict: bool) -> None:
    """Of shapes, and of an array."""
    layer, dim = Windowed(), torch.export.Dim
    shapes = {2: dim("queries", min=2, max=512)}, {2: dim("keys", min=2, max=512)}, None
    q, k = torch.randn(1, 2, 4, D), torch.randn(1, 2, 16, D)
    program = torch.export.export(layer, (q, k, torch.tensor(4)), dynamic_shapes=shapes, strict=strict)
    q, k = torch.randn(1, 2, 5, D), torch.randn(1, 2, 12, D)
    for w in (0, 3):
        wanted = layer(q, k, torch.tensor(w))
        torch.testing.assert_close(program.module()(q, k, torch.tensor(w)), wanted, rtol=0, atol=0)


def test_ints_that_a_trace_knows_by_a_symbol() -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    f = Windowed().f

    def call(q: Tensor, k: Tensor) -> Tensor:
        return f(q, k, k, w=k.shape[2] - q.shape[2])

    graph = make_fx(call, tracing_mode="symbolic")(torch.randn(1, 2, 4, D), torch.randn(1, 2, 16, D))
    q, k = torch.randn(1, 2, 5, D), torch.randn(1, 2, 12, D)
    assert torch.equal(graph(q, k), call(q, k))


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(("text", "good"), [(CHUNKED, torch.tensor(3)), (DIVIDED, torch.tensor(2.5))])
def test_what_an_export_cannot_know_the_program_asserts(text: str, good: Tensor, strict: bool) -> None:
    """The number is read of a tensor: neither is the call refused for it, nor does the program take a wrong one."""
    f = function(text)

    class Layer(torch.nn.Module):
        def forward(self, q: Tensor, c: Tensor) -> Tensor:
            return f(q, q, q, c=c.item())

    q = torch.randn(1, 2, 8, D)
    program = torch.export.export(Layer(), (q, good), strict=strict).module()
    assert torch.equal(program(q, good), f(q, q, q, c=good.item()))
    with pytest.raises(RuntimeError, match="Runtime assertion failed"):
        program(q, good * 0)
