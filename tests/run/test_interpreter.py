"""What the interpreter computes is what the papers and torch compute."""

from __future__ import annotations

import math

import pytest
import torch
from interpreter_specs import SOFTMAX, spec, tensors
from torch import Tensor
from torch.nn import functional as F

from attnc.errors import AttncError
from attnc.run.interpreter import interpret

CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def close(got: object, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, **CLOSE)


def scores(q: Tensor, k: Tensor) -> Tensor:
    """q k^T, with the key heads repeated."""
    return q @ k.repeat_interleave(q.shape[1] // k.shape[1], 1).mT


def weighted(weights: Tensor, v: Tensor) -> Tensor:
    return weights @ v.repeat_interleave(weights.shape[1] // v.shape[1], 1)


def positions(n: int, m: int) -> tuple[Tensor, Tensor]:
    return torch.arange(n)[:, None], torch.arange(m)[None, :]


# ---- masks, heads, shapes --------------------------------------------------------------------------


@pytest.mark.parametrize(("heads", "groups"), [(1, 1), (4, 4), (4, 2), (6, 2), (4, 1)])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 5), (5, 9), (9, 5)])
def test_full_attention_is_sdpa(heads: int, groups: int, n: int, m: int) -> None:
    q, k, v = tensors(H=heads, HKV=groups, N=n, M=m)
    close(interpret(spec(), q, k, v, {}), F.scaled_dot_product_attention(q, k, v, enable_gqa=True))


def test_causal_attention_is_sdpa() -> None:
    q, k, v = tensors(N=6, M=6)
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    close(interpret(spec(mask="j <= i"), q, k, v, {}), expected)


def test_a_sliding_window_whose_width_is_an_argument() -> None:
    q, k, v = tensors(N=9, M=9)
    i, j = positions(9, 9)
    for window in (1, 3, 100):
        mask = (j <= i) & (i - j < window)
        got = interpret(
            spec("window: int = 3", mask="j <= i and i - j < window"), q, k, v, {"window": window}
        )
        close(got, F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True))


def test_packed_documents_and_a_mask_array() -> None:
    q, k, v = tensors(N=8, M=8)
    doc = torch.tensor([[0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 1, 1, 1, 1, 1, 5]], dtype=torch.int32)
    allowed = torch.rand(4, 8, 8, generator=torch.Generator().manual_seed(1)) < 0.7
    i, j = positions(8, 8)
    mask = (doc[:, None, :, None] == doc[:, None, None, :]) & ((j <= i) | (i == j)) & (allowed | (i == j))
    attention = spec(
        "doc: sorted int[B, N]",
        "allowed: bool[H, N, M]",
        mask="doc[b, i] == doc[b, j] and j <= i and (allowed[h, i, j] or i == j)",
    )
    got = interpret(attention, q, k, v, {"doc": doc, "allowed": allowed})
    close(got, F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True))


def test_membership_reads_a_row_and_ignores_empty_slots() -> None:
    q, k, v = tensors(N=8, M=8)
    table = torch.tensor([[0, 2, -1], [1, -1, -1], [3, 3, 0], [2, -1, 1]])
    i, j = positions(8, 8)
    mask = (table[i // 2] == (j // 2)[..., None]).any(-1)
    got = interpret(
        spec("table: int[N // 2, 3]", mask="j // 2 in table[i // 2, :]"), q, k, v, {"table": table}
    )
    close(got, F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True))
    # -1 asks for an empty slot, and finds none.
    nothing = interpret(
        spec("table: int[N // 2, 3]", mask="j - 100 in table[i // 2, :]"), q, k, v, {"table": table}
    )
    assert torch.equal(nothing, torch.zeros_like(nothing))


def test_powers_of_two() -> None:
    q, k, v = tensors(N=20, M=20)
    i, j = positions(20, 20)
    mask = torch.isin(i - j, torch.tensor([1, 2, 4, 8, 16]))
    got = interpret(spec(mask="ispow2(i - j)"), q, k, v, {})
    expected = F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)
    close(got, expected.masked_fill(~mask.any(-1)[:, None], 0.0))


def test_division_rounds_down() -> None:
    q, k, v = tensors(N=7, M=7)
    i, j = positions(7, 7)
    mask = ((i - j) // 3 == -1) | ((i - j) % 3 == 1) | (i == j)
    got = interpret(spec(mask="(i - j) // 3 == -1 or (i - j) % 3 == 1 or i == j"), q, k, v, {})
    close(got, F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True))


def test_any_strides() -> None:
    q, k, v = tensors(N=6, M=6)
    odd = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k)]
    wide = torch.zeros(*v.shape[:3], 2 * v.shape[3], dtype=v.dtype)
    wide[..., ::2] = v
    got = interpret(spec(mask="j <= i"), odd[0], odd[1].expand(-1, -1, -1, -1), wide[..., ::2], {})
    close(got, interpret(spec(mask="j <= i"), q, k, v, {}))
    one = q[:, :, :1].expand(-1, -1, 6, -1)
    close(interpret(spec(), one, k, v, {}), interpret(spec(), one.contiguous(), k, v, {}))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_result_has_the_dtype_of_the_call_and_the_precision_of_doubles(dtype: torch.dtype) -> None:
    q, k, v = tensors(dtype=dtype)
    output, lse = interpret(spec(), q, k, v, {}, return_lse=True)
    exact, exact_lse = interpret(spec(), q.double(), k.double(), v.double(), {}, return_lse=True)
    assert output.dtype == dtype
    assert lse.dtype == torch.float32
    assert torch.equal(output, exact.to(dtype))
    assert torch.equal(lse, exact_lse.float())


def test_the_scale_is_an_argument() -> None:
    q, k, v = tensors()
    close(
        interpret(spec(), q, k, v, {}, scale=0.3),
        F.scaled_dot_product_attention(q, k, v, scale=0.3, enable_gqa=True),
    )


def test_log_sum_exp() -> None:
    q, k, v = tensors()
    s = scores(q, k) / math.sqrt(6)
    for normalize in (SOFTMAX, "sigmoid(s)"):
        _, lse = interpret(spec(normalize=normalize), q, k, v, {}, return_lse=True)
        close(lse, s.logsumexp(-1))


# ---- scores ----------------------------------------------------------------------------------------


def test_soft_capping() -> None:
    q, k, v = tensors()
    s = 5 * torch.tanh(scores(q, k) / math.sqrt(6) / 5)
    got = interpret(spec("cap: float", score="cap * tanh(dot(q, k) * scale / cap)"), q, k, v, {"cap": 5})
    close(got, weighted(s.softmax(-1), v))


def test_alibi_and_relative_bias() -> None:
    q, k, v = tensors(N=6, M=6)
    i, j = positions(6, 6)
    slope = 2.0 ** -(8 * torch.arange(1, 5, dtype=torch.float64) / 4)
    table = torch.randn(4, 9, dtype=torch.float64)
    s = (
        scores(q, k) / math.sqrt(6)
        - slope[:, None, None] * (i - j).abs()
        + table[:, (j - i).clamp(-4, 4) + 4]
    )
    attention = spec(
        "table: float[H, 9]",
        score="dot(q, k) * scale - 2.0 ** (0.0 - 8.0 * real(h + 1) / real(H)) * real(abs(i - j))"
        " + table[h, min(max(j - i, -4), 4) + 4]",
    )
    close(interpret(attention, q, k, v, {"table": table}), weighted(s.softmax(-1), v))


def test_several_dots_and_captured_vectors() -> None:
    q, k, v = tensors(B=1, N=5, M=7)
    u, w = torch.randn(4, 6, dtype=torch.float64), torch.randn(1, 7, 6, dtype=torch.float64)
    attention = spec(
        "u: float[H, D]",
        "w: float[B, M, D]",
        score="dot(q + u[h, :], k) * scale + dot(q, w[b, j, :]) - sum_d(abs(k)) + dot(u[h, :], u[h, :])"
        " + sum_d(q * k * w[b, j, :]) + dot(w[b, j, :], q)",
    )
    kk = k.repeat_interleave(2, 1)
    s = scores(q + u[:, None], k) / math.sqrt(6) + 2 * scores(q, w[:, None]) - kk.abs().sum(-1)[:, :, None]
    s = s + (u * u).sum(-1)[:, None, None] + torch.einsum("bhid,bhjd,bjd->bhij", q, kk, w)
    close(interpret(attention, q, k, v, {"u": u, "w": w}), weighted(s.softmax(-1), v))


def test_l2_distance_between_vectors() -> None:
    q, k, v = tensors()
    attention = spec(score="0.0 - sum_d((q - k) ** splat(2.0)) ** 0.5")
    s = -torch.cdist(q, k.repeat_interleave(2, 1))
    close(interpret(attention, q, k, v, {}), weighted(s.softmax(-1), v))


# ---- vectors ---------------------------------------------------------------------------------------


def test_cosine_attention_with_mapped_values() -> None:
    q, k, v = tensors()
    gate = torch.randn(2, 4, 7, 4, dtype=torch.float64)
    attention = spec(
        "gate: float[B, H, M, DV]", query="l2(q)", key="l2(k)", value="sigmoid(gate[b, h, j, :]) * v",
        score="10.0 * dot(q, k)",
    )  # fmt: skip
    s = 10 * scores(F.normalize(q, dim=-1), F.normalize(k, dim=-1))
    expected = s.softmax(-1) @ (gate.sigmoid() * v.repeat_interleave(2, 1))
    close(interpret(attention, q, k, v, {"gate": gate}), expected)


def test_rope_turns_pairs_like_complex_numbers() -> None:
    q, k, v = tensors(D=6)
    attention = spec(query="rope(q, real(i), 10000.0)", key="rope(k, real(j + 3), 10000.0)")

    def turned(x: Tensor, at: Tensor) -> Tensor:
        z = torch.complex(x[..., :3], x[..., 3:])
        angle = at[:, None] * 10000.0 ** (-2 * torch.arange(3, dtype=torch.float64) / 6)
        z = z * torch.polar(torch.ones_like(angle), angle)
        return torch.cat([z.real, z.imag], -1)

    s = scores(turned(q, torch.arange(5)), turned(k, torch.arange(7) + 3)) / math.sqrt(6)
    close(interpret(attention, q, k, v, {}), weighted(s.softmax(-1), v))


def test_rope_scores_depend_on_the_distance_alone() -> None:
    q, k, v = (x[:, :, :1].expand(-1, -1, 6, -1) for x in tensors(N=6, M=6))
    attention = spec(
        query="rope(q, real(i), 100.0)", key="rope(k, real(j), 100.0)", mask="j == i", normalize="s"
    )
    got = interpret(attention, q, k, v, {})
    close(got, got[:, :, :1].expand_as(got))


def test_output_maps() -> None:
    q, k, v = tensors(N=5, M=5)
    gate, u = torch.randn(2, 4, 5, 4, dtype=torch.float64), torch.rand(4, dtype=torch.float64)
    attention = spec(
        "gate: float[B, H, N, DV]", "u: float[H]", value="v * splat(2.0)",
        output="(splat(1.0 - u[h]) * o + splat(u[h]) * v_i) * sigmoid(gate[b, h, i, :])",
    )  # fmt: skip
    o = 2 * F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    mix = u[:, None, None]
    # v_i is the value as the `value` clause leaves it.
    expected = ((1 - mix) * o + mix * 2 * v.repeat_interleave(2, 1)) * gate.sigmoid()
    close(interpret(attention, q, k, v, {"gate": gate, "u": u}), expected)


FUNCTIONS = {
    "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt, "tanh": torch.tanh, "sigmoid": torch.sigmoid,
    "relu": torch.relu, "silu": F.silu, "softplus": lambda x: torch.log1p(torch.exp(x)), "abs": torch.abs,
    "sin": torch.sin, "cos": torch.cos,
}  # fmt: skip


@pytest.mark.parametrize("fn", FUNCTIONS)
def test_every_function_of_reals_and_of_vectors(fn: str) -> None:
    q, k, v = (x.abs() for x in tensors())
    s = FUNCTIONS[fn](scores(q, k))
    close(interpret(spec(score=f"{fn}(dot(q, k))"), q, k, v, {}), weighted(s.softmax(-1), v))
    s = scores(FUNCTIONS[fn](q), k)
    close(interpret(spec(query=f"{fn}(q)", score="dot(q, k)"), q, k, v, {}), weighted(s.softmax(-1), v))
    s = scores(q, k)
    close(
        interpret(spec(score="dot(q, k)", normalize=f"{fn}(s)"), q, k, v, {}), weighted(FUNCTIONS[fn](s), v)
    )


OPERATORS = {
    "+": torch.add, "-": torch.sub, "*": torch.mul, "/": torch.div, "**": torch.pow, "min": torch.minimum,
    "max": torch.maximum,
}  # fmt: skip


@pytest.mark.parametrize("op", OPERATORS)
def test_every_operator_of_reals_and_of_vectors(op: str) -> None:
    q, k, v = (x.abs() for x in tensors())
    for a, b, expected in [
        ("dot(q, k)", "sum_d(q)", OPERATORS[op](scores(q, k), q.sum(-1)[..., None].expand(-1, -1, -1, 7))),
        (
            "sum_d(q)",
            "1.5",
            OPERATORS[op](q.sum(-1), torch.tensor(1.5).double())[..., None].expand(-1, -1, -1, 7),
        ),
    ]:
        text = f"{op}({a}, {b})" if op in ("min", "max") else f"({a}) {op} {b}"
        close(interpret(spec(score=text), q, k, v, {}), weighted(expected.softmax(-1), v))
    text = f"{op}(q, splat(1.5))" if op in ("min", "max") else f"q {op} splat(1.5)"
    s = scores(OPERATORS[op](q, torch.tensor(1.5).double()), k)
    close(interpret(spec(query=text, score="dot(q, k)"), q, k, v, {}), weighted(s.softmax(-1), v))


# ---- normalizations --------------------------------------------------------------------------------


def softmax1(s: Tensor, seen: Tensor) -> Tensor:
    e = s.exp() * seen
    return e / (1 + e.sum(-1, keepdim=True))


def l1(f: object) -> object:
    def weights(s: Tensor, seen: Tensor) -> Tensor:
        a = f(s) * seen  # type: ignore[operator]
        return a / a.abs().sum(-1, keepdim=True)

    return weights


def standardized(s: Tensor, seen: Tensor) -> Tensor:
    inside = s.masked_fill(~seen, 0)
    n = seen.sum(-1, keepdim=True)
    mean = inside.sum(-1, keepdim=True) / n
    top = s.masked_fill(~seen, -torch.inf).amax(-1, keepdim=True)
    low = s.masked_fill(~seen, torch.inf).amin(-1, keepdim=True)
    return ((s - mean) / (top - low + 1) + n) * seen


NORMALIZATIONS = {
    SOFTMAX: lambda s, seen: s.masked_fill(~seen, -torch.inf).softmax(-1),
    "exp(s - max(s)) / sum(exp(s - max(s)))": lambda s, seen: s.masked_fill(~seen, -torch.inf).softmax(-1),
    "exp(s) / (1.0 + sum(exp(s)))": softmax1,
    "sigmoid(s)": lambda s, seen: s.sigmoid() * seen,
    "sigmoid(s - log(count()))": lambda s, seen: (
        (s - seen.sum(-1, keepdim=True).double().log()).sigmoid() * seen
    ),
    "relu(s) ** 2.0 / count()": lambda s, seen: s.relu() ** 2 * seen / seen.sum(-1, keepdim=True),
    "s": lambda s, seen: s * seen,
    "s / sum(abs(s))": l1(lambda s: s),
    "softplus(s) / sum(softplus(s))": l1(F.softplus),
    "(s - mean(s)) / (max(s) - min(s) + 1.0) + count()": standardized,
}


@pytest.mark.parametrize("normalize", NORMALIZATIONS)
def test_normalizations(normalize: str) -> None:
    q, k, v = tensors(N=7, M=7)
    i, j = positions(7, 7)
    seen = (j <= i) | (j == 6)
    expected = NORMALIZATIONS[normalize](scores(q, k) / math.sqrt(6), seen)  # type: ignore[operator]
    got = interpret(spec(mask="j <= i or j == M - 1", normalize=normalize), q, k, v, {})
    close(got, weighted(expected, v))


def test_a_learned_sink() -> None:
    q, k, v = tensors()
    sink = torch.randn(4, dtype=torch.float64)
    s = scores(q, k) / math.sqrt(6)
    joined = torch.cat([s, sink[:, None, None].expand(2, -1, 5, 1)], -1).softmax(-1)[..., :-1]
    attention = spec("sink: float[H]", normalize="exp(s) / (exp(sink[h]) + sum(exp(s)))")
    close(interpret(attention, q, k, v, {"sink": sink}), weighted(joined, v))


def test_a_normalization_may_speak_of_positions() -> None:
    q, k, v = tensors(N=7, M=7)
    i, j = positions(7, 7)
    s = scores(q, k) / math.sqrt(6)
    w = torch.where(j < 3, s.exp() / s.exp().sum(-1, keepdim=True), 0.25 * (i - j).double())
    got = interpret(spec(normalize=f"{SOFTMAX} if j < 3 else 0.25 * real(i - j)"), q, k, v, {})
    close(got, weighted(w, v))


def test_what_a_row_knows_may_stand_in_a_vector() -> None:
    q, k, v = tensors(N=7, M=7)
    u, w = (torch.randn(7, 6, dtype=torch.float64) for _ in range(2))
    i, j = positions(7, 7)
    seen = j <= i
    s = (scores(q, k) / math.sqrt(6)) * seen
    attention = spec(
        "u: float[N, D]",
        "w: float[M, D]",
        mask="j <= i",
        normalize="dot(splat(sum(s)) * u[i, :], w[j, :]) * s",
    )
    got = interpret(attention, q, k, v, {"u": u, "w": w})
    close(got, weighted(s.sum(-1, keepdim=True) * (u @ w.mT) * s, v))


# ---- numbers out of the ordinary -------------------------------------------------------------------


@pytest.mark.parametrize("normalize", [SOFTMAX, "exp(s) / (1.0 + sum(exp(s)))", "exp(s - log(sum(exp(s))))"])
def test_scores_that_overflow_an_exponential(normalize: str) -> None:
    q, k, v = tensors()
    got, lse = interpret(spec(normalize=normalize), q, k, v, {}, scale=1000.0, return_lse=True)
    s = scores(q, k) * 1000
    if "1.0" in normalize:
        s = torch.cat([s, torch.zeros_like(s[..., :1])], -1)
        expected = weighted(s.softmax(-1)[..., :-1], v)
    else:
        expected = weighted(s.softmax(-1), v)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
    close(lse, (scores(q, k) * 1000).logsumexp(-1))


@pytest.mark.parametrize("size", [1e9, -1e15, 1e100, -1e300])
@pytest.mark.parametrize(
    "normalize",
    [
        "exp(s - log(sum(exp(s))))",
        "exp(0.0 - (log(sum(exp(s))) - s))",
        "exp(c + s - log(sum(exp(s))) - c)",
        "exp(s) * exp(0.0 - log(sum(exp(s))))",
        "exp(s - 2.0 * c - (log(sum(exp(s))) - c) + c)",
    ],
)
def test_a_logarithm_loses_nothing_next_to_a_large_score(normalize: str, size: float) -> None:
    q, k, v = tensors()
    found = spec("c: float", score="dot(q, k) * 0.0 + c", normalize=normalize)
    q.requires_grad_()
    got, _ = interpret(found, q, k, v, {"c": size}, return_lse=True)
    close(got, weighted(torch.softmax(scores(q, k) * 0, -1), v))
    assert torch.autograd.grad(got.sum(), q)[0].isfinite().all()


def test_scores_that_all_underflow_an_exponential() -> None:
    q, k, v = tensors()
    got = interpret(spec(score="dot(q, k) - 5000.0"), q, k, v, {})
    close(got, weighted(scores(q, k).softmax(-1), v))


def test_a_row_of_scores_of_minus_infinity_has_no_weight_beside_a_sink() -> None:
    q, k, v = tensors()
    attention = spec(score="dot(q, k) + log(real(min(i, 1)))", normalize="exp(s) / (1.0 + sum(exp(s)))")
    got, lse = interpret(attention, q, k, v, {}, return_lse=True)
    e = scores(q, k).exp()
    expected = weighted(e / (1 + e.sum(-1, keepdim=True)), v)
    expected[:, :, 0] = 0
    close(got, expected)
    assert (lse[:, :, 0] == -torch.inf).all()


def test_a_score_of_minus_infinity_has_no_weight() -> None:
    q, k, v = tensors(N=7, M=7)
    got = interpret(spec(score="dot(q, k) * scale + log(real(max(i - j + 1, 0)))"), q, k, v, {})
    i, j = positions(7, 7)
    s = scores(q, k) / math.sqrt(6) + (i - j + 1).clamp(min=0).double().log()
    close(got, weighted(s.softmax(-1), v))


def test_what_no_query_sees_may_hold_anything() -> None:
    q, k, v = tensors(N=7, M=7, grad=True)
    clean = interpret(spec(mask="j <= i and j < 5"), q, k, v, {})
    dirty_k, dirty_v = k.detach().clone(), v.detach().clone()
    dirty_k[:, :, 5:], dirty_v[:, :, 5:] = torch.nan, torch.inf
    got = interpret(spec(mask="j <= i and j < 5"), q, dirty_k.requires_grad_(), dirty_v.requires_grad_(), {})
    close(got, clean)
    grads = torch.autograd.grad(got.sum(), (q, dirty_k, dirty_v))
    for x, y in zip(grads, torch.autograd.grad(clean.sum(), (q, k, v)), strict=True):
        close(x, y)


def test_a_value_that_is_no_number_stays_out_of_rows_that_do_not_see_it() -> None:
    q, k, v = tensors(N=7, M=7)
    clean = interpret(spec(mask="j <= i"), q, k, v, {})
    v[:, :, 4] = torch.nan
    got = interpret(spec(mask="j <= i"), q, k, v, {})
    close(got[:, :, :4], clean[:, :, :4])
    assert got[:, :, 4:].isnan().all()


def test_nothing_that_is_no_number_at_a_masked_pair_reaches_a_gradient() -> None:
    q, k, v = tensors(N=6, M=6, grad=True)
    attention = spec(
        "a: float[N]", mask="j < i", score="dot(q, k) * scale * sqrt(real(i - j - 1)) + log(a[i - j - 1])"
    )
    a = torch.rand(6, dtype=torch.float64, requires_grad=True)
    output = interpret(attention, q, k, v, {"a": a})
    assert output.isfinite().all()
    for grad in torch.autograd.grad(output.square().sum(), (q, k, v, a)):
        assert grad.isfinite().all()


def test_a_key_that_is_no_number_stays_out_of_gradients_of_rows_that_do_not_see_it() -> None:
    q, k, v = tensors(N=7, M=7, grad=True)
    clean = interpret(spec(mask="j <= i"), q, k, v, {})
    dirty = k.detach().clone()
    dirty[:, :, 4] = torch.inf
    got = interpret(spec(mask="j <= i"), q, dirty, v, {})
    (grad,) = torch.autograd.grad(got[:, :, :4].sum(), q)
    (expected,) = torch.autograd.grad(clean[:, :, :4].sum(), q)
    close(grad[:, :, :4], expected[:, :, :4])


def test_softplus_to_the_last_digit() -> None:
    x = torch.tensor([-60.0, -1.0, 0.0, 19.0, 21.0, 25.0, 39.0, 41.0, 800.0], dtype=torch.float64)
    q, k, v = tensors(M=9)
    got = interpret(
        spec("x: float[M]", score="softplus(x[j])", normalize="s"), q, k, torch.ones_like(v), {"x": x}
    )
    exact = torch.logaddexp(x, torch.zeros_like(x)).sum().expand_as(got)
    torch.testing.assert_close(got, exact, rtol=1e-14, atol=0)


# ---- empty rows, empty calls -----------------------------------------------------------------------


@pytest.mark.parametrize("normalize", [*NORMALIZATIONS, "s / sum(s)", "1.0 / max(s)", "mean(s) * min(s)"])
@pytest.mark.parametrize("mask", ["j < i", "false", "i % 2 == 0 and j == i"])
def test_a_row_that_sees_no_key(normalize: str, mask: str) -> None:
    q, k, v = tensors(N=6, M=6, grad=True)
    bias = torch.zeros(4, 6, dtype=torch.float64, requires_grad=True)
    i, j = positions(6, 6)
    seen = {"j < i": j < i, "false": (j < 0) & (i < 0), "i % 2 == 0 and j == i": (i % 2 == 0) & (j == i)}[
        mask
    ]
    attention = spec(
        "bias: float[H, N]", mask=mask, score="dot(q, k) * scale + bias[h, i]", normalize=normalize,
        output="exp(o) + v_i",
    )  # fmt: skip
    output, lse = interpret(attention, q, k, v, {"bias": bias}, return_lse=True)
    empty = ~seen.any(-1)
    assert empty.any()
    assert (output[:, :, empty] == 0).all()
    assert (lse[:, :, empty] == -torch.inf).all()
    assert lse[:, :, ~empty].isfinite().all()
    wanted = output[:, :, empty].sum() + lse[:, :, ~empty].sum()
    grads = torch.autograd.grad(wanted, (q, k, v, bias), retain_graph=True)
    assert all(grad.isfinite().all() for grad in grads)
    assert (grads[0][:, :, empty] == 0).all()
    assert (grads[3][:, empty] == 0).all()
    for grad in torch.autograd.grad(output[:, :, empty].sum(), (q, k, v, bias)):
        assert (grad == 0).all()


@pytest.mark.parametrize("sizes", [{"M": 0}, {"N": 0}, {"B": 0}])
def test_calls_without_tokens(sizes: dict[str, int]) -> None:
    q, k, v = tensors(**sizes, grad=True)
    output, lse = interpret(spec(mask="j <= i"), q, k, v, {}, return_lse=True)
    assert output.shape == (*q.shape[:3], 4)
    assert (output == 0).all()
    assert (lse == -torch.inf).all()
    for grad in torch.autograd.grad(output.sum(), (q, k, v)):
        assert (grad == 0).all()


# ---- reads -----------------------------------------------------------------------------------------


def failure(attention: object, arguments: dict[str, object], **sizes: int) -> tuple[str, str]:
    with pytest.raises(AttncError) as caught:
        interpret(attention, *tensors(**sizes), arguments)  # type: ignore[arg-type]
    (diagnostic,) = caught.value.diagnostics
    return diagnostic.code, diagnostic.message


def test_a_read_outside_an_array_at_a_visible_pair_is_an_error() -> None:
    attention = spec("bias: float[H, 3]", mask="j <= i", score="bias[h, i - j]")
    assert failure(attention, {"bias": torch.zeros(4, 3)}) == (
        "index-out-of-range",
        "`bias` has size 3 along axis 1, and index 3 is read at b = 0, h = 0, i = 3, j = 0",
    )


def test_a_negative_index_does_not_wrap_around() -> None:
    attention = spec("bias: float[H, 9]", score="bias[h, i - j]")
    assert failure(attention, {"bias": torch.zeros(4, 9)}) == (
        "index-out-of-range",
        "`bias` has size 9 along axis 1, and index -1 is read at b = 0, h = 0, i = 0, j = 1",
    )


def test_a_vector_is_read_at_its_own_token() -> None:
    attention = spec("gate: float[N - 1, D]", query="q * gate[i, :]")
    assert failure(attention, {"gate": torch.zeros(4, 6)}) == (
        "index-out-of-range",
        "`gate` has size 4 along axis 0, and index 4 is read at b = 0, h = 0, i = 4",
    )


def test_nothing_is_read_at_a_masked_pair() -> None:
    arguments = {"bias": torch.zeros(4, 3), "gate": torch.ones(4, 6)}
    attention = spec(
        "bias: float[H, 3]", "gate: float[N - 1, D]", query="q * gate[i, :]", mask="j <= i and i - j < 3 and i < N - 1",
        score="dot(q, k) * scale + bias[h, i - j]",
    )  # fmt: skip
    assert isinstance(interpret(attention, *tensors(), arguments), Tensor)


@pytest.mark.parametrize(
    "mask",
    [
        "j < 3 and flags[j]",
        "not (j >= 3 or flags[j])".replace("j >= 3", "3 <= j"),
        "3 <= j or flags[j]",
        "flags[j] if j < 3 else true",
        "flags[j if j < 3 else 0]",
        "i == 0 and j < 3 and (j == 1 or flags[j])",
    ],
)
def test_a_mask_reads_only_where_everything_before_holds(mask: str) -> None:
    flags = torch.tensor([True, False, True])
    assert isinstance(interpret(spec("flags: bool[3]", mask=mask), *tensors(), {"flags": flags}), Tensor)


def test_a_mask_reads_where_everything_before_holds() -> None:
    flags = torch.tensor([True, False, True])
    code, message = failure(spec("flags: bool[3]", mask="flags[j] and j < 3"), {"flags": flags})
    assert (code, message) == (
        "index-out-of-range",
        "`flags` has size 3 along axis 0, and index 3 is read at b = 0, h = 0, i = 0, j = 3",
    )


def test_a_branch_reads_only_where_it_is_taken() -> None:
    short = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    q, k, v = tensors()
    got = interpret(spec("short: float[3]", score="short[j] if j < 3 else 0.5"), q, k, v, {"short": short})
    s = torch.tensor([1.0, 2.0, 3.0, 0.5, 0.5, 0.5, 0.5], dtype=torch.float64).expand(2, 4, 5, 7)
    close(got, weighted(s.softmax(-1), v))


@pytest.mark.parametrize("op", ["//", "%"])
def test_an_integer_division_by_zero(op: str) -> None:
    assert failure(spec("w: int", mask=f"i {op} (j - w) == 0"), {"w": 2}) == (
        "division-by-zero",
        f"`{op}` divides by 0 at b = 0, h = 0, i = 0, j = 2",
    )
    guarded = spec("w: int", mask=f"j != w and i {op} (j - w) == 0")
    assert isinstance(interpret(guarded, *tensors(), {"w": 2}), Tensor)


def test_the_floor_of_no_number() -> None:
    attention = spec("x: float[M]", mask="floor(x[j]) <= i")
    x = torch.zeros(7, dtype=torch.float64)
    x[4] = torch.nan
    assert failure(attention, {"x": x}) == (
        "floor-of-no-number",
        "`floor` of nan at b = 0, h = 0, i = 0, j = 4",
    )
    close(
        interpret(attention, *tensors(), {"x": x.nan_to_num(3.5)}),
        interpret(spec(mask="j != 4 or 3 <= i"), *tensors(), {}),
    )
