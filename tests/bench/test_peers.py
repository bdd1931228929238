"""What SDPA and FlexAttention get computes what the interpreter computes, for every example that they can take."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from compilations import NAMES, compiled, example
from torch.nn.attention.flex_attention import create_mask
from torch.nn.functional import scaled_dot_product_attention

from attnc.bench.bias import find_dense
from attnc.bench.call import Call, make_call
from attnc.bench.contenders import find_contenders
from attnc.bench.flex import why_not_flex, write_functions
from attnc.compiler import Compilation
from attnc.run.loader import load_module
from attnc.run.mask import find_mask

N, M = 40, 56
SIZES = {"B": 2, "H": 4, "HKV": 2, "D": 8, "DV": 6}
generator = torch.Generator().manual_seed(0)


def ints(lo: int, hi: int, *shape: int) -> torch.Tensor:
    return torch.randint(lo, hi, shape, generator=generator)


# Sizes and arrays that nobody can make up.
GIVEN: dict[str, dict[str, Any]] = {
    "bigbird": {"N": N, "block": 8, "table": ints(-1, 5, 4, 5, 3)},
    "block_diffusion": {"N": N, "length": 20, "block": 6},
    "evoformer": {"N": N, "length": ints(1, N, 2)},
    "flashmask": {"N": N, "start": ints(0, N, 2, N), "end": ints(0, N, 2, N)},
    "moh": {"N": N, "gate": torch.rand(2, 4, N, generator=generator)},
    "mvpa": {"N": N, "channels": 5, "window": 3},
    "natten_2d": {"rows": 8, "cols": 5, "wy": 3, "wx": 5},
    "prefix_lm": {"N": N, "prefix": 12},
    "relu_squared": {"N": N, "window": 9},
    "share_question": {"N": N, "end": ints(0, N, 2, N)},
    "sliding_tiles": {"N": N, "rows": 3, "cols": 2, "kx": 1, "tile": 5},
    "swin": {"rows": 8, "cols": 5, "size": 3, "shift": ints(0, 3, 4)},
    "swin_v2": {"N": N},
    "tree_decoding": {"N": N, "M": M, "context": M - N, "ancestor": ints(0, 2, 2, N, N) > 0},
    "varlen_cross": {"N": N, "M": M},
    "vlm_image_blocks": {"N": N, "end": ints(0, N, 2, N).sort(-1)[0]},
    "streaming_llm": {"N": N, "M": M, "window": 9, "sinks": 3},
    "sliding_window": {"N": M, "M": N, "window": 9},
    "gpt_oss_sinks": {"N": N, "window": 9},
    "gemma2_local": {"N": N, "window": 9, "cap": 2.0},
    "t5_bias": {"N": N, "M": M, "max_distance": 30, "buckets": 16},
}
# Why someone is left out, in the words of `attnc bench`; the other examples are taken by both.
NEITHER = {
    "adaptive_temperature": "its normalization is no softmax of the score",
    "cosformer": "its `query` clause is more than `q`",
    "differential": "its `output` clause is more than `o`",
    "evoformer": "its `output` clause is more than `o`",
    "flow_attention": "its `query` clause is more than `q`",
    "flow_conserved": "its `query` clause is more than `q`",
    "gated_attention": "its `output` clause is more than `o`",
    "gla": "its normalization is no softmax of the score",
    "in_context": "its normalization is no softmax of the score",
    "inline": "its normalization is no softmax of the score",
    "key_only_softmax": "FlexAttention has nothing for `sum_d(silu(k))`",
    "l2vit": "its `query` clause is more than `q`",
    "lightning": "its normalization is no softmax of the score",
    "linear_attention": "its `query` clause is more than `q`",
    "lssa": "its `query` clause is more than `q`",
    "lssar": "its `query` clause is more than `q`",
    "mamba2": "its `value` clause is more than `v`",
    "moh": "its `output` clause is more than `o`",
    "music_transformer": "its score has another product than `dot(q, k)`",
    "relu_squared": "its normalization is no softmax of the score",
    "retention": "its normalization is no softmax of the score",
    "sigmoid_attention": "its normalization is no softmax of the score",
    "simple_gla": "its normalization is no softmax of the score",
    "soft_pag": "its `output` clause is more than `o`",
    "swin_v2": "its `query` clause is more than `q`",
    "taylor2": "its normalization is no softmax of the score",
}
NOT_SDPA = NEITHER | {
    "gemma2_local": "its score is not `dot(q, k)` times a number, plus a bias",
    "gpt_oss_sinks": "its normalization is more than softmax",
    "key_only_softmax": "its score takes more of `q` and `k` than their product",
    "mvpa": "its score is not `dot(q, k)` times a number, plus a bias",
    "softmax1": "its normalization is more than softmax",
}


def open_example(name: str) -> tuple[Compilation, Call]:
    compilation = example(name)
    given = SIZES | GIVEN.get(name, {"N": N})
    if name == "share_question":
        given["end"] = given["end"] + 1
    cpu = torch.device("cpu")
    return compilation, make_call(compilation.attention, compilation.facts, cpu, torch.float64, given)


def reference(compilation: Compilation, call: Call) -> torch.Tensor:
    result: torch.Tensor = compilation.function().reference(call.q, call.k, call.v, **call.arguments)
    return result


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(NOT_SDPA)))
def test_sdpa_gets_what_the_spec_means(name: str) -> None:
    compilation, call = open_example(name)
    dense = find_dense(compilation.attention, compilation.facts.weights, call)
    assert not isinstance(dense, str), dense
    assert dense.is_causal == (name == "causal") and (dense.mask is None) == (name == "causal")
    got = scaled_dot_product_attention(
        call.q, call.k, call.v, attn_mask=dense.mask, is_causal=dense.is_causal, scale=dense.scale, enable_gqa=True
    )  # fmt: skip
    torch.testing.assert_close(got, reference(compilation, call))


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(NEITHER)))
def test_flex_gets_what_the_spec_means(name: str) -> None:
    compilation, call = open_example(name)
    attention, sizes = compilation.attention, call.sizes
    assert why_not_flex(attention, compilation.facts.weights) == ""
    text = write_functions(attention, compilation.facts.weights, sizes["N"] == sizes["M"])
    values = call.arguments | sizes | {"scale": sizes["D"] ** -0.5}
    mask_mod, score_mod, gate, scale = load_module(f"flex_{name}", text).bind(**values)

    b, h, n, m = (sizes[size] for size in ("B", "H", "N", "M"))
    visible = torch.ones(b, h, n, m, dtype=torch.bool)
    if mask_mod is not None:
        visible = create_mask(mask_mod, b, h, n, m, "cpu")
    for batch in range(b):
        for head in range(h):
            assert torch.equal(visible[batch, head], find_mask(attention, call.values, head, batch))

    k, v = (x.repeat_interleave(h // sizes["HKV"], 1) for x in (call.k, call.v))
    score = call.q @ k.mT * scale
    at = [
        torch.arange(size).reshape([-1 if axis == n_ else 1 for axis in range(4)])
        for n_, size in enumerate((b, h, n, m))
    ]
    if score_mod is not None:
        score = score_mod(score, *at)
    score = score.masked_fill(~visible, -torch.inf)
    out = score.softmax(-1).nan_to_num() @ v
    if gate is not None:
        out = out * gate(score.logsumexp(-1), *(x[..., 0] for x in at[:3]))[..., None]
    # Biases are single precision there.
    torch.testing.assert_close(out, reference(compilation, call), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", sorted(NOT_SDPA))
def test_who_is_left_out_and_why(name: str) -> None:
    compilation, call = open_example(name)
    assert find_dense(compilation.attention, compilation.facts.weights, call) == NOT_SDPA[name]
    assert why_not_flex(compilation.attention, compilation.facts.weights) == NEITHER.get(name, "")


@pytest.mark.parametrize(
    ("clauses", "parameters", "why"),
    [
        ("mask j in table[i, :]", "table: int[N, width], width: int = 5",
         "how many entries a row of `table` has is not written in the spec"),
        ("score dot(q, k) * sigmoid(x)", "x: float = 1.0", "it takes `sigmoid` of a number"),
        ("mask on", "on: bool = true", "its mask speaks of no position"),
    ],
)  # fmt: skip
def test_what_flex_has_nothing_for(clauses: str, parameters: str, why: str) -> None:
    compilation = compiled(f"attention a({parameters}):\n    {clauses}\n")
    assert why_not_flex(compilation.attention, compilation.facts.weights) == why


def test_functions_read_as_if_written_by_hand() -> None:
    compilation = example("gpt_oss_sinks")
    text = write_functions(compilation.attention, compilation.facts.weights, True)
    assert (
        text
        == """\
# `gpt_oss_sinks` as FlexAttention takes it.

import math

import torch


def bind(B, H, HKV, N, M, D, DV, scale, sinks, window):
    def mask_mod(b, h, i, j):
        return (j <= i) & (i - j < window)

    def gate(lse, b, h, i):
        return torch.sigmoid(lse - sinks[h])

    return mask_mod, None, gate, scale
"""
    )


def test_a_dense_mask_that_is_too_large_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    compilation, call = open_example("alibi")
    monkeypatch.setattr("attnc.bench.bias.MOST_PAIRS", 4 * N * N - 1)
    _, left_out = find_contenders(compilation, call, False)
    assert [(each.contender, each.why) for each in left_out] == [
        ("sdpa", f"its dense mask would have {4 * N * N} entries")
    ]


def test_the_interpreter_takes_part_only_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    compilation, call = open_example("sigmoid_attention")
    names = [each.name for each in find_contenders(compilation, call, True)[0]]
    assert names == ["attnc", "reference"]
    pairs = 2 * 4 * N * N
    monkeypatch.setattr("attnc.bench.contenders.MOST_REFERENCE_PAIRS", pairs - 1)
    contenders, left_out = find_contenders(compilation, call, True)
    assert [each.name for each in contenders] == ["attnc"]
    assert (
        left_out[-1].why == f"the interpreter looks at {pairs - 1} pairs at most, and this call has {pairs}"
    )


def test_a_dense_mask_is_the_same_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    compilation, call = open_example("alibi")
    whole = find_dense(compilation.attention, compilation.facts.weights, call)
    monkeypatch.setattr("attnc.bench.bias.AT_A_TIME", 4 * N * 7)
    parts = find_dense(compilation.attention, compilation.facts.weights, call)
    assert not isinstance(whole, str) and not isinstance(parts, str)
    assert whole.mask is not None and parts.mask is not None and torch.equal(whole.mask, parts.mask)
