"""Linear attention in time that grows with the tokens, against the interpreter, which goes pair by pair."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from compilations import BY_TORCH, CHUNKED, EXAMPLES, NAMES, compiled, example, has_kernels
from kernel_checks import Measure, assert_holds, evaluated
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from turns import in_turn

import attnc
from attnc.compiler import Compilation
from attnc.errors import AttncError
from attnc.inspect import choose, inspect
from attnc.inspect.targets import SM_90
from attnc.lower.chunked.sweep import LinearSweep
from attnc.options import make_options
from attnc.source import Source
from attnc.syntax.reading import read_source
from attnc.verify.cases import Case

CASES = [
    Case("cpu", "float64", 1, 1, 8, 8, 2, 2, 1),
    Case("cpu", "float64", 37, 37, 8, 5, 4, 2, 2, variant=1),
    Case("cpu", "float64", 130, 130, 8, 8, 3, 3, 1, variant=2),
    Case("cpu", "float32", 65, 65, 16, 8, 4, 2, 2, variant=1, layout="strided"),
    Case("cpu", "bfloat16", 64, 64, 16, 16, 2, 1, 1, variant=3),
]
KERNELS = [
    Case("numpy", "float32", 1, 1, 8, 8, 2, 2, 1, tile=(16, 16)),
    Case("numpy", "float32", 70, 70, 24, 20, 4, 2, 2, variant=1, tile=(32, 16)),
    Case("numpy", "bfloat16", 65, 65, 16, 8, 4, 2, 2, variant=2, layout="strided", tile=(16, 16)),
    Case("numpy", "float16", 40, 40, 40, 16, 2, 1, 1, variant=3, tile=(16, 32)),
]
UNEQUAL = [
    Case("cpu", "float64", 70, 33, 8, 8, 4, 2, 2),
    Case("cpu", "float64", 33, 90, 8, 8, 4, 2, 2, variant=1),
]
UNEQUAL_KERNELS = [
    Case("numpy", "float32", 70, 33, 8, 8, 4, 2, 2, tile=(16, 16)),
    Case("numpy", "float32", 33, 90, 8, 8, 4, 2, 2, variant=1, tile=(16, 16)),
]

HEAD = "attention a({params}):\n    mask {mask}\n    score {score}\n    normalize {normalize}\n"


def spec(params: str, mask: str, score: str, normalize: str = "none") -> str:
    return HEAD.format(params=params, mask=mask, score=score, normalize=normalize)


SPECS = {
    "documents": spec(
        "doc: sorted int[B, N], g: float[H]",
        "j <= i and doc[b, i] == doc[b, j]",
        "dot(q, k) * exp(-abs(g[h]) * (i - j))",
    ),
    "padded": spec(
        "pad: bool[B, M], real: bool[B, N]",
        "j <= i and pad[b, j] and real[b, i]",
        "dot(q, k)",
        "s / max(sum(s), 3)",
    ),
    "behind": spec("", "j <= i + 5", "dot(q, k) * scale", "s / count()"),
    "before": spec("", "j < i", "dot(q, k) * scale", "s / max(abs(sum(s)), 1)"),
    "two_decays": spec(
        "a: float[H], c: float[H]",
        "j <= i",
        "dot(q, k) * (exp(-abs(a[h]) * (i - j)) + 2 * exp(-abs(c[h]) * (i - j)))",
    ),
    "channels": spec("G: float[B, H, N, D]", "j <= i", "sum_d(q * k * exp(G[b, h, i, :] - G[b, h, j, :]))"),
    "key_weights": spec("c: float[B, M]", "j <= i", "dot(q, k) * exp(c[b, j])"),
    "weights_of_keys": spec("", "j <= i", "dot(q, k) * exp(sum_d(k) * scale)"),
    "hidden_first": spec(
        "c: float[B, M], pad: int[B]",
        "j <= i and abs(pad[b]) <= j",
        "dot(q, k) * exp(c[b, j])",
        "s / (1 + count())",
    ),
    "hidden_weights": spec(
        "c: float[B, M], pad: bool[B, M]", "j <= i and pad[b, j]", "dot(q, k) * exp(3 * c[b, j])"
    ),
    "softmax_of_keys": spec("", "j <= i", "sum_d(silu(k)) * scale", "softmax"),
    "softmax_of_all_keys": spec("c: float[H, M]", "true", "3 * c[h, j] + sum_d(q)", "softmax"),
    "softmax_of_hidden_keys": spec(
        "c: float[B, M], pad: bool[B, M]", "j <= i + 2 and pad[b, j]", "9 * c[b, j] - i / 7", "softmax"
    ),
    "softmax_of_all_hidden_keys": spec("c: float[B, M], pad: bool[B, M]", "pad[b, j]", "c[b, j]", "softmax"),
    "softmax_from_the_end": spec(
        "c: float[H, M]", "j <= i + M - N", "c[h, j] + sum_d(k)", "exp(s) / (2 + sum(exp(s)))"
    ),
    "less_the_mean": spec("", "j <= i", "dot(q, k) * scale", "s - mean(s) + 1 / count()"),
    "two_passes": spec(
        "pad: bool[B, M], g: float[H]",
        "j <= i + M - N and pad[b, j]",
        "dot(q, k) * scale * exp(-abs(g[h]) * (i + M - N - j))",
        "(s - mean(s)) / (1 + count())",
    ),
    "mean_both_ways": spec("w: int", "i // w == j // w", "dot(q, k) * scale", "s - mean(s) + 1 / M"),
    "exponents_of_both": spec(
        "a: float[B, N], c: float[H, M]",
        "j <= i",
        "dot(q, k) * sqrt(exp(a[b, i]) * exp(c[h, j]))",
        "s / (1 + count())",
    ),
    "fades_beside_keys": spec("c: float[B, M]", "j <= i + 2", "dot(q, k) * exp((j - i) / 9 + c[b, j])"),
    "other_sums": spec("c: float[B, M]", "j <= i", "dot(q, k) * exp(c[b, j])", "s / (1 + count())"),
    "cosine": spec("w: float[H]", "j <= i", "dot(q, k) * (1 + cos(w[h] * (i - j)))"),
    "all_keys": spec("c: float[H]", "true", "dot(q, k) * exp(c[h] * (i - j) / (N + M))", "s / N"),
    "documents_before": spec(
        "doc: sorted int[B, N]", "j <= i - 2 and doc[b, i] == doc[b, j]", "dot(q, k)", "s / (1 + count())"
    ),
    "documents_both_ways": spec(
        "doc: sorted int[B, N], pad: bool[B, M], real: bool[B, N]",
        "j < N and doc[b, i] == doc[b, j] and pad[b, j] and real[b, i]",
        "dot(q, k) * scale",
        "s / max(sum(s), 3)",
    ),
    "blocks_both_ways": spec("w: int", "i // w == j // w", "dot(q, k) * scale", "s / max(count(), 1)"),
    "hidden_queries": spec(
        "real: bool[B, N], pad: bool[B, M], c: float[B, M]",
        "real[b, i] and pad[b, j]",
        "dot(q, k) * exp(c[b, j])",
        "s / max(count(), 1)",
    ),
    "from_the_end": spec(
        "g: float[H]", "j <= i + M - N", "dot(q, k) * exp(-abs(g[h]) * (i + M - N - j))", "s / (1 + count())"
    ),
    "gates_from_the_end": spec(
        "G: float[B, H, M, D]",
        "j <= i + M - N",
        "sum_d(q * k * exp(G[b, h, i + M - N, :] - G[b, h, j, :]))",
    ),
    "powers_from_the_end": spec(
        "g: float[H]",
        "j <= i + M - N",
        "dot(q, k) * sigmoid(g[h]) ** (i + M - N - j)",
        "s / max(abs(sum(s)), 1)",
    ),
    "decay_before": spec("g: float[H]", "j < i", "dot(q, k) * exp(-abs(g[h]) * (i - j))"),
    "decay_ahead": spec("g: float[H]", "j <= i + 5", "dot(q, k) * exp(-sigmoid(g[h]) * (i - j))"),
    "documents_first": spec(
        "doc: sorted int[B, N], g: float[H]",
        "doc[b, i] == doc[b, j] and j <= i",
        "dot(q, k) * exp(-abs(g[h]) * (i - j))",
    ),
    "hidden_keys": spec("pad: bool[B, M]", "pad[b, j]", "dot(q, k) * scale", "s / max(count(), 1)"),
}


# Features are products of features, which have to be asked for.
PRODUCTS_OF_FEATURES = {
    "taylor2": spec("", "j <= i", "dot(q, k) * scale", "(1 + s + s ** 2 / 2) / sum(1 + s + s ** 2 / 2)"),
    "square": spec("", "true", "dot(q, k)", "s ** 2 / (1e-6 + sum(s ** 2))"),
    "cube": spec("pad: bool[B, M]", "j <= i and pad[b, j]", "dot(q, k) * scale", "s ** 3"),
    "fourth": spec("", "true", "(1 + dot(q, k)) ** 4", "s / count()"),
    "two_dots": spec("", "j <= i", "dot(q, k) ** 2 * dot(sigmoid(q), sigmoid(k)) / 10"),
    "gated": spec(
        "g: float[H]",
        "j <= i",
        "exp(-abs(g[h]) * (i - j)) * (1 + dot(q, k)) ** 2",
        "s / sum(s)",
    ),
}


# These take other numbers of queries and of keys.
TAKE_ANY = (
    *("behind", "before", "key_weights", "cosine", "all_keys", "hidden_keys", "hidden_queries"),
    *("blocks_both_ways", "from_the_end", "powers_from_the_end", "gates_from_the_end"),
    *("decay_before", "decay_ahead", "softmax_of_keys", "softmax_of_all_keys", "softmax_of_hidden_keys"),
    *("softmax_of_all_hidden_keys", "softmax_from_the_end", "less_the_mean", "two_passes", "mean_both_ways"),
    *("exponents_of_both", "fades_beside_keys"),
)


def test_these_examples_are_linear() -> None:
    found = {name: example(name).plan.schedule.name for name in NAMES}
    linear = dict.fromkeys((*CHUNKED, *BY_TORCH), "products") | dict.fromkeys(
        (*CHUNKED, "key_only_softmax"), "chunked"
    )
    assert {name: schedule for name, schedule in found.items() if schedule != "tiled"} == linear


@pytest.mark.parametrize("name", [*CHUNKED, *BY_TORCH])
def test_examples(measure: Measure, name: str) -> None:
    compilation = Compilation(read_source(EXAMPLES / f"{name}.attn"))
    for case in CASES:  # kernels: `test_kernels_of_examples.py`
        assert_holds(measure(compilation, case))


def test_flow_attention_in_two_specs() -> None:
    """As its authors write it, pair by pair: conserved flows choose among sources, and what a sink takes."""
    flows, attend = (attnc.load(EXAMPLES / f"flow_{name}.attn") for name in ("conserved", "attention"))
    q, k, v = (x.requires_grad_() for x in drawn(70).values())
    ones = torch.ones_like(v[..., :1])
    incoming, outgoing = flows(q, k, ones), flows(k, q, ones)
    competition = flows(k, q, 1 / incoming).squeeze(3).softmax(2) * k.shape[2]
    allocation = flows(q, k, 1 / outgoing).squeeze(3).sigmoid()
    found = attend(q, k, v, competition=competition, allocation=allocation)

    pairs = q.sigmoid() @ k.sigmoid().mT
    sinks, sources = 1 / pairs.sum(3, keepdim=True), 1 / pairs.sum(2, keepdim=True)
    weights = pairs * sinks * ((pairs * sinks).sum(2, keepdim=True).softmax(3) * k.shape[2])
    expected = (pairs * sources).sum(3, keepdim=True).sigmoid() * (weights @ v)
    results = [[out, *torch.autograd.grad(out.square().sum(), (q, k, v))] for out in (found, expected)]
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("name", SPECS)
def test_masks_and_decays(measure: Measure, name: str) -> None:
    compilation = Compilation(Source(f"{name}.attn", SPECS[name]))
    assert compilation.plan.schedule.name in ("chunked", "products")
    takes_any = name in TAKE_ANY
    for case in [*CASES, *(UNEQUAL if takes_any else [])]:
        assert_holds(measure(compilation, case))
    if has_kernels(compilation):
        cases = [*KERNELS, *(UNEQUAL_KERNELS if takes_any else [])]
        for case in in_turn(cases, list(SPECS).index(name), turns=4):
            assert_holds(measure(compilation, case))


@pytest.mark.parametrize("name", PRODUCTS_OF_FEATURES)
def test_products_of_features(measure: Measure, name: str) -> None:
    compilation = compiled(PRODUCTS_OF_FEATURES[name], f"{name}.attn", schedule="linear")
    assert compilation.plan.schedule.name in ("chunked", "products")
    assert compiled(PRODUCTS_OF_FEATURES[name], f"{name}.attn").plan.schedule.name == "tiled"
    for case in [*CASES, *([] if name == "gated" else UNEQUAL)]:
        assert_holds(measure(compilation, case))


def test_what_is_for_torch_alone() -> None:
    """Kernels of chunks go one way, and add up."""
    torchs = {
        name
        for name, text in SPECS.items()
        if any(
            isinstance(sweep, LinearSweep) and sweep.is_torchs_alone for sweep in compiled(text).plan.sweeps
        )
    }
    assert torchs == {
        *("documents_both_ways", "blocks_both_ways", "hidden_queries", "mean_both_ways"),
        *("softmax_of_keys", "softmax_of_all_keys", "softmax_of_hidden_keys", "softmax_of_all_hidden_keys"),
        *("softmax_from_the_end", "less_the_mean", "two_passes"),
    }


def test_few_products_of_features_are_not_asked_for() -> None:
    """Where their width is that of an array, they are as many in every call."""
    sizes = "A: float[B, H, N, {0}], C: float[B, H, M, {0}]"
    for width, schedule in ((16, "chunked"), (32, "chunked"), (64, "tiled")):
        text = spec(sizes.format(width), "j <= i", "1 + dot(A[b, h, i, :], C[b, h, j, :]) ** 2", "s / sum(s)")
        assert compiled(text).plan.schedule.name == schedule


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            spec("", "j <= i", "dot(q, k)", "softmax"),
            "softmax takes the exponential of `dot(q, k)`, in which a dot product stands",
        ),
        (
            spec("", "j <= i", "dot(q, k) * (1 + i - j)"),
            "differences of positions would be those of large numbers",
        ),
        (
            spec("G: float[B, H, N, D]", "j <= i", "sum_d(q * k * exp(G[b, h, i, :] - G[b, h, j, :])) ** 2"),
            "products of features have no gates of single channels",
        ),
    ],
)
def test_who_asks_in_vain_is_told_why(text: str, message: str) -> None:
    with pytest.raises(AttncError) as caught:
        compiled(text, schedule="linear").plan  # noqa: B018
    (told,) = caught.value.diagnostics
    assert told.code == "not-linear"
    assert told.message == f"`a` is not computed in time that grows with the tokens: {message}"
    assert told.helps == ('`schedule="auto"` computes it pair by pair',)


REFUSED = {
    'products of features, 2080 at D\u00a0=\u00a064, cost as much as 6304 keys; `schedule="linear"` takes them': spec(
        "", "j <= i", "dot(q, k)", "s ** 2 / sum(s ** 2)"
    ),
    "a decay is not counted from the last key that a query sees": spec(
        "G: float[B, H, N]", "j < i", "dot(q, k) * exp(G[b, h, i] - G[b, h, j])"
    ),
    "a state may be of a later document than the query": spec(
        "doc: sorted int[B, N]", "j <= i + 1 and doc[b, i] == doc[b, j]", "dot(q, k)"
    ),
    "an exponent would be counted from the largest of another document": spec(
        "doc: sorted int[B, N], c: float[B, M]",
        "j <= i and doc[b, i] == doc[b, j]",
        "dot(q, k) * exp(c[b, j])",
    ),
    "how far keys go behind a query is no one number of the call": spec(
        "back: int[H]", "j <= i + back[h]", "dot(q, k)"
    ),
    "differences of positions would be those of large numbers": spec("", "j <= i", "dot(q, k) * (1 + i - j)"),
    "`a[b, j]` may be -inf, and hide pairs": spec("a: float[B, M]", "j <= i", "dot(q, k) + a[b, j]"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_who_refuses_says_why(why: str) -> None:
    plan = Compilation(Source("a.attn", REFUSED[why])).plan
    assert plan.schedule.name == "tiled"
    assert any(reason.text.partition(": ")[2] == why for reason in plan.because), plan.because


@pytest.mark.parametrize("factor", ["decay(sigmoid(g[h]))", "gated(G)"])
def test_decays_of_the_library_are_found(factor: str) -> None:
    head = "from std import decay, gated\n\n"
    text = head + spec("g: float[H], G: float[B, H, N]", "j <= i", f"dot(q, k) * {factor}")
    assert compiled(text).plan.schedule.name == "chunked"


RETENTION = spec("gamma: float[H]", "j <= i", "dot(q, k) * scale * gamma[h] ** (i - j)")


def drawn(
    tokens: int, dtype: torch.dtype = torch.float64, heads: int = 2, width: int = 8
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (1, heads, tokens, width)
    return {n: torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype) for n in "qkv"}


def test_a_base_has_to_be_above_0() -> None:
    f = attnc.compile(RETENTION)
    words = r"`gamma\[h\]` is what a state fades by, and needs finite numbers above 0; `schedule=\"tiled\"` takes any"
    for gamma in (-0.5, 0.0, float("nan")):
        with pytest.raises(ValueError, match=words):
            f(**drawn(5), gamma=torch.tensor([0.9, gamma], dtype=torch.float64))


def test_pair_by_pair_if_asked() -> None:
    tiled = attnc.compile(RETENTION, schedule="tiled")
    assert (
        Compilation(Source("a.attn", RETENTION), make_options(schedule="tiled")).plan.schedule.name == "tiled"
    )
    gamma = torch.tensor([0.9, 0.99], dtype=torch.float64)
    torch.testing.assert_close(
        tiled(**drawn(70), gamma=gamma), attnc.compile(RETENTION)(**drawn(70), gamma=gamma)
    )


UNSEEN = {
    "padded": (SPECS["padded"], {}),
    "documents": (SPECS["documents"], {"g": torch.tensor([0.1, 0.5], dtype=torch.float64)}),
    "gates": (
        spec(
            "G: float[B, H, N], pad: bool[B, M]",
            "j <= i and pad[b, j]",
            "dot(q, k) * exp(G[b, h, i] - G[b, h, j])",
        ),
        {"G": -torch.rand(1, 2, 40, dtype=torch.float64).cumsum(2)},
    ),
    "channels": (
        spec(
            "G: float[B, H, N, D], pad: bool[B, M]",
            "j <= i and pad[b, j]",
            "sum_d(q * k * exp(G[b, h, i, :] - G[b, h, j, :]))",
        ),
        {"G": -torch.rand(1, 2, 40, 8, dtype=torch.float64).cumsum(2)},
    ),
}


@pytest.mark.parametrize("backend", ["cpu", "triton"])
@pytest.mark.parametrize("name", UNSEEN)
def test_what_nobody_sees_spoils_nothing(name: str, backend: str) -> None:
    """Keys that are later, of another document or hidden are nan: no row knows them, forward and backward."""
    text, floats = UNSEEN[name]
    compilation = compiled(text)
    module, reference = evaluated(compilation), attnc.compile(text, backend="reference")
    dtype = torch.float64 if backend == "cpu" else torch.float32
    tensors = drawn(40, dtype)
    arrays = {"pad": torch.ones(1, 40, dtype=torch.bool), "real": torch.ones(1, 40, dtype=torch.bool)}
    arrays["doc"] = (torch.arange(40) >= 26).long()[None]
    arrays["pad"][:, 15] = False
    given = {p.name: arrays[p.name] for p in compilation.attention.params if p.name in arrays}
    hidden = [10, 35] if name == "documents" else [15, 35]
    for each in "kv":
        tensors[each][:, :, hidden] = float("nan")
    results: list[list[Tensor]] = []
    for call in (partial(module.a, backend=backend), reference):
        leaves = {n: x.to(dtype).clone().requires_grad_() for n, x in (tensors | floats).items()}
        out = call(**leaves, **given)
        results.append([out, *torch.autograd.grad(out[:, :, :35].sum(), list(leaves.values()))])
    limit = 1e-9 if backend == "cpu" else 1e-3
    assert sum(bool(each.isfinite().any()) for each in results[1]) >= 4
    for found, expected in zip(*results, strict=True):
        finite = expected.isfinite()
        torch.testing.assert_close(found[finite], expected[finite], atol=limit, rtol=limit)


@pytest.mark.parametrize("name", ["softmax_of_keys", "weights_of_keys"])
def test_exponents_of_vectors_in_half_precision_are_sums_in_float64(name: str) -> None:
    """Else each score would be rounded to eight bits, and its exponential to fewer."""
    f, tensors = attnc.compile(SPECS[name]), {n: 4 * x for n, x in drawn(300, torch.bfloat16, 1, 64).items()}
    exact = attnc.compile(SPECS[name], backend="reference")(**{n: x.double() for n, x in tensors.items()})
    assert float((f(**tensors) - exact).abs().max() / exact.abs().max()) < 2**-8


@pytest.mark.parametrize("mask", ["true", "j <= i", "j < i - 3"])
def test_softmax_of_keys_of_any_size(mask: str) -> None:
    """Scores of thousands, of -inf, which hide their key, and rows that see none: results, log-sum-exps, gradients."""
    text = spec("c: float[B, M]", mask, "c[b, j] + 0.5 * i", "softmax")
    generator = torch.Generator().manual_seed(1)
    c = 1000 * torch.randn(1, 150, dtype=torch.float64, generator=generator)
    c[:, [0, 1, 7, 70]] = -torch.inf
    tensors, results = drawn(150), []
    for backend in ("auto", "reference"):
        leaves = {n: x.clone().requires_grad_() for n, x in {**tensors, "c": c}.items()}
        out, lse = attnc.compile(text, backend=backend)(**leaves, return_lse=True)
        seen = lse.masked_fill(lse == -torch.inf, 0)
        gradients = torch.autograd.grad(out.square().sum() + seen.sin().sum(), [leaves["v"], leaves["c"]])
        results.append([out, lse, *gradients])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_keys_that_are_hidden_in_front_of_others_take_no_digits(dtype: torch.dtype) -> None:
    """The largest exponent so far is none there; the step from none to one would be without end."""
    text = spec("c: float[B, M], pad: bool[B, M]", "j <= i and pad[b, j]", "dot(q, k) * exp(c[b, j])")
    c, pad = torch.arange(70, dtype=dtype)[None] / 10, torch.arange(70)[None] > 20
    found, expected = (
        attnc.compile(text, backend=backend)(**drawn(70, dtype), c=c, pad=pad)
        for backend in ("auto", "reference")
    )
    unit = float(expected.abs().max()) * torch.finfo(dtype).eps
    torch.testing.assert_close(found, expected, atol=16 * unit, rtol=0)


def test_a_query_that_sees_nothing_is_in_no_document() -> None:
    """Documents may have any numbers, also those below 0."""
    mask = "j <= i and doc[b, i] == doc[b, j] and real[b, i]"
    text = spec("doc: sorted int[B, N], real: bool[B, N]", mask, "dot(q, k)")
    doc, real = torch.tensor([[-3, -1, -1, -1, 0, 0]]), torch.tensor([[True, False, True] * 2])
    for dtype in (torch.int32, torch.int64):
        out = attnc.compile(text)(**drawn(6), doc=doc.to(dtype), real=real)
        expected = attnc.compile(text, backend="reference")(**drawn(6), doc=doc.to(dtype), real=real)
        assert out[:, :, ~real[0]].count_nonzero() == 0
        torch.testing.assert_close(out, expected)


DOCUMENTS = spec("doc: sorted int[B, N]", "doc[b, i] == doc[b, j] and j <= i", "dot(q, k)", "s / count()")


def test_an_array_of_queries_that_is_too_short_for_the_keys() -> None:
    """It is refused in the words of the schedule that goes pair by pair."""
    tensors = drawn(8)
    tensors["q"] = tensors["q"][:, :, :6]
    said = r"`doc` has size 6 along axis 1, and index 6 is read at b = 0, h = 0, i = 0, j = 6"
    for schedule in ("auto", "linear", "tiled"):
        with pytest.raises(ValueError, match=said):
            attnc.compile(DOCUMENTS, schedule=schedule)(**tensors, doc=torch.zeros(1, 6, dtype=torch.long))


@pytest.mark.parametrize(
    "mask", ["true", "j <= i", "doc[b, i] == doc[b, j]", "doc[b, i] == doc[b, j] and j <= i"]
)
def test_calls_of_nothing(mask: str) -> None:
    """No batch entry, no query or no key: results and gradients of 0."""
    params = "doc: sorted int[B, N]" if "doc" in mask else ""
    f = attnc.compile(spec(params, mask, "dot(q, k)"), schedule="linear")
    for B, N, M in ((0, 3, 3), (1, 0, 3), (1, 3, 0), (1, 0, 0)):
        q, k, v = (torch.ones(B, 2, tokens, 4, requires_grad=True) for tokens in (N, M, M))
        arrays = {"doc": torch.zeros(B, N, dtype=torch.long)} if params else {}
        out = f(q, k, v, **arrays)
        assert out.shape == (B, 2, N, 4) and out.count_nonzero() == 0
        for x, grad in zip((q, k, v), torch.autograd.grad(out.sum(), (q, k, v)), strict=True):
            assert grad.shape == x.shape and grad.count_nonzero() == 0


@pytest.mark.parametrize("name", ["retention", "linear_attention", "l2vit"])
def test_operators_are_what_they_say(name: str) -> None:
    """Under torch.compile, and for samples of `vmap`: values and gradients are the same."""
    f = attnc.load(EXAMPLES / f"{name}.attn")
    params = {
        "retention": {"keep": torch.tensor([2.0, 3.0])},
        "l2vit": {"temperature": torch.tensor([1.0, 2.0])},
    }.get(name, {})

    def call(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return f(q, k, v, **params)

    leaves = [x.requires_grad_() for x in drawn(100, torch.float32).values()]
    results = []
    for each in (call, torch.compile(call, backend="aot_eager", fullgraph=True)):
        out = each(*leaves)
        results.append([out, *torch.autograd.grad(out.square().sum(), leaves)])
    for found, expected in zip(*results, strict=True):
        assert found.stride() == expected.stride()
        torch.testing.assert_close(found, expected)
    with FlopCounterMode(display=False) as counter:
        call(*leaves)
    as_many_pairs = 2 * 8 * 8 // 16 + (0 if name == "l2vit" else 64)  # the state; the keys of a chunk
    assert counter.get_total_flops() == 2 * 2 * 100 * as_many_pairs * 16
    samples = [torch.stack([x.detach(), 2 * x.detach()]) for x in leaves]
    both = torch.func.vmap(call)(*samples)
    torch.testing.assert_close(both, torch.stack([call(*x) for x in zip(*samples, strict=True)]))


def test_there_is_no_machine_code_of_what_has_no_kernels() -> None:
    with pytest.raises(AttncError, match="`l2vit` has no kernels: torch computes it on every device"):
        inspect(example("l2vit"), SM_90, head_dim=64, dtype="bfloat16")


def test_tiles_of_chunks_are_not_chosen() -> None:
    words = "`retention` goes from chunk to chunk, in tiles that serve every GPU"
    with pytest.raises(AttncError, match=words):
        choose(example("retention"), SM_90)


@pytest.mark.slow
def test_the_gradient_of_a_decay_at_16384_tokens() -> None:
    """In float32 within 1e-5 of float64: steps are the primary quantity, and no sum of positions cancels."""
    f = attnc.compile(RETENTION)
    found: dict[torch.dtype, Tensor] = {}
    for dtype in (torch.float32, torch.float64):
        gamma = torch.tensor([0.9, 0.999]).to(dtype).requires_grad_()
        tensors: dict[str, Any] = drawn(16384, torch.float32)
        out = f(**{n: x.to(dtype) for n, x in tensors.items()}, gamma=gamma)
        (grad,) = torch.autograd.grad((out * tensors["v"].to(dtype).roll(1, 2)).sum(), gamma)
        found[dtype] = grad * gamma.detach()
    apart = (found[torch.float32].double() - found[torch.float64]).abs() / found[torch.float64].abs()
    assert apart.max() < 1e-5
