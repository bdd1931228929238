"""Random specs, as text, in which every clause may speak of heads and their key heads, and maps their tokens.

Functions with a kink are given inputs of the call, which no rounding moves to its other side. Divisors and arguments
of `log` and `sqrt` are positive.
"""

from __future__ import annotations

from hypothesis import strategies as st
from random_specs import Writer

PARAMS = (
    "by_h: float[H], by_kv: float[HKV], on_q: float[B, H, N, D], on_k: float[HKV, M, D], on_v: float[B, M, DV], "
    "table: float[HKV, N + M - 1, D], bias: float[HKV, M], wide: float[B, HKV, DV], flags: bool[HKV], reach: int[HKV]"
)
ENTRIES = (("reach", 1, 40),)

HEADS = ["by_h[h]", "by_kv[h_kv]", "HKV", "h_kv", "0.7", "(1 if flags[h_kv] else by_h[h])"]
# Vectors that stand beside the input of a map, by clause.
ROWS = {
    "q": ["on_q[b, h, i, :]", "table[h_kv, i, :]"],
    "k": ["on_k[h_kv, j, :]", "table[h_kv, j, :]"],
    "v": ["on_v[b, j, :]", "wide[b, h_kv, :]"],
    "o": ["wide[b, h_kv, :]"],
}
SCORES = [
    "dot(q, k) * scale",
    "dot(q, k) * scale * HKV",
    "dot(q, k) * scale + bias[h_kv, j]",
    "dot(q, k) * scale + by_kv[h_kv] * (j - i) / 40",
    "dot(q, k) * scale + sum_d(k * on_k[h_kv, j, :]) / 8",
    "dot(q, k) * scale + sum_d(on_k[h_kv, j, :]) / 8",
    "dot(q, k) * scale + dot(q, table[h_kv, j - i + N - 1, :]) / 8",
    "dot(q, k) * scale + dot(k, table[h_kv, i - j + M - 1, :]) / 8",
    "dot(q * by_kv[h_kv], k) * scale",
]
MASKS = [
    "true",
    "j <= i",
    "j % HKV == h_kv",
    "j % (H // HKV) != h % (H // HKV)",
    "i - j < reach[h_kv]",
    "flags[h_kv] or j <= i",
    "h < HKV or j <= i",
    "sum_d(on_k[h_kv, j, :]) > 0",
    "j <= i or sum_d(table[h_kv, 0, :]) > 0",
    "j <= i and dot(on_q[b, h, i, :], on_k[h_kv, j, :]) >= -1",
    "sum_d(on_q[b, h, i, :]) < sum_d(on_k[h_kv, j, :] * by_h[h])",
    "i - j < floor(2 + sum_d(on_v[b, j, :]))",
]
WEIGHTS = [
    "softmax",
    "sigmoid",
    "s * HKV",
    "exp(s) / (exp(by_kv[h_kv]) + sum(exp(s)))",
    "tanh(s) * sum_d(on_k[h_kv, j, :]) / 8",
    "sigmoid(s) / (1 + sum(s ** 2 * dot(on_k[h_kv, j, :], on_k[h_kv, j, :])))",
    "exp(s + dot(on_q[b, h, i, :], on_k[h_kv, j, :]) / 8) / sum(exp(s + dot(on_q[b, h, i, :], on_k[h_kv, j, :]) / 8))",
    "sigmoid(s - mean(s * sum_d(on_k[h_kv, j, :]) / 8)) * exp(tanh(sum_d(on_q[b, h, i, :])))",
]


def vector(writer: Writer, x: str, depth: int) -> str:
    """A map of the input `x`."""
    a = lambda: vector(writer, x, depth - 1)  # noqa: E731
    if x == "o" and depth == 0:
        return x
    leaves = [
        lambda: x,
        lambda: f"{writer.one('max', 'min')}({x}, {writer.one('0.31', '-0.27', 'by_h[h]')})",
        lambda: f"{writer.one('max', 'min')}({writer.one('0.31', '0')}, {x})",
        lambda: f"clamp({x}, -1, {writer.one('0.9', '1')})",
    ]
    larger = [
        lambda: f"({a()} * {writer.one(*HEADS)})",
        lambda: f"({a()} {writer.one('+', '-', '*')} {writer.one(*ROWS[x])})",
        lambda: f"{writer.one('tanh', 'sigmoid', 'silu', 'softplus')}({a()})",
        lambda: "({0} / sqrt(1 + sum_d({1} * {1})))".format(a(), a()),
        lambda: f"({a()} * exp(tanh(sum_d({a()}))))",
        lambda: f"({a()} if {writer.one('h_kv == 0', 'flags[h_kv]', 'h % 2 == 0')} else {a()})",
    ]
    return writer.any(leaves if depth == 0 else larger + leaves)


@st.composite
def specs(draw: st.DrawFn) -> str:
    writer = Writer(draw)
    own = " + v_i * by_kv[h_kv]" if writer.one("", "v_i") else ""
    clauses = {
        "query": vector(writer, "q", 2),
        "key": vector(writer, "k", 2),
        "value": vector(writer, "v", 2),
        "mask": writer.one(*MASKS),
        "score": writer.one(*SCORES),
        "normalize": writer.one(*WEIGHTS),
        "output": vector(writer, "o", 1) + own,
    }
    left_out = {"query": "q", "key": "k", "value": "v", "mask": "true", "output": "o"}
    lines = [f"    {word} {text}\n" for word, text in clauses.items() if left_out.get(word) != text]
    return f"attention zoo({PARAMS}):\n{''.join(lines)}"
