"""Random specs of linear attention, as text: most of them can be cut between tokens, and some cannot.

A weight is a sum of products of what the query knows, what the key knows, dot products and decays. Masks, maps of q and
k, normalizations and outputs are among those that a state knows; now and then one comes that it does not.
"""

from __future__ import annotations

import re

from hypothesis import strategies as st

PARAMS = {
    "c": "float",
    "g": "float[H]",
    "t": "float[B, N]",
    "u": "float[B, M]",
    "G": "float[B, H, N]",
    "P": "float[B, H, N, D]",
    "pad": "bool[B, M]",
    "real": "bool[B, N]",
    "doc": "sorted int[B, N]",
    "length": "int[B]",
}
DOTS = (
    "dot(q, k)",
    "dot(relu(q), k)",
    "dot(q * 0.5, sigmoid(k)) * scale",
    "dot(rope(q, i, 100), rope(k, j, 100))",
    "dot(q, k * P[b, h, j, :])",
)
GATED_DOT = "sum_d(q * k * exp(P[b, h, i, :] - P[b, h, j, :]))"
OF_QUERY = (
    "t[b, i]",
    "sum_d(q)",
    "sigmoid(t[b, i])",
    "cos(c * i)",
    "(1 if real[b, i] else 0.3)",
    "1 / (i + 1)",
)
OF_KEY = (
    "tanh(u[b, j])",
    "sum_d(k)",
    "sigmoid(t[b, j])",
    "sin(c * j)",
    "(0.5 if pad[b, j] else 2)",
    "1 / (j + 2)",
)
OF_CALL = ("tanh(c)", "scale", "sigmoid(g[h])", "0.3")
DECAYS = (
    "exp(G[b, h, i] - G[b, h, j])",
    "exp((t[b, i] - t[b, j]) * 0.5)",
    "sigmoid(g[h]) ** (i - j)",
    "exp(-abs(g[h]) * (i - j))",
    "exp(total(G[b, h, j + 1 : i + 1]) / 9)",
)
ANGLES = ("cos(g[h] * (i - j))", "sin(c * (i - j) + t[b, i])")
DOCUMENTS = ("doc[b, i] == doc[b, j]", "i // 5 == j // 5")
CONDITIONS = (
    "pad[b, j]",
    "real[b, i]",
    "j < abs(length[b]) + 9",
    "i % 3 != 1",
)
NORMALIZATIONS = ("none", "s / (1 + count())", "s / max(abs(sum(s)), 1)", "0.5 * s / (2 + count())")
QUERIES = ("q", "rope(q, i, 100)", "q * sigmoid(t[b, i])", "relu(q) + 0.1")
KEYS = ("k", "rope(k, j, 100)", "k * sigmoid(u[b, j])", "relu(k) + 0.1")
OUTPUTS = ("o", "o * sigmoid(t[b, i])", "2 * o")

# What no state knows, by the clause where it stands.
NO_MASK = ("j <= i + 1", "j < i", "j <= i and j < N - 3")
NO_FACTOR = ("exp(u[b, j])", "1 / N", "sigmoid(t[b, j // 2])", "exp(G[b, h, i] / 9 - G[b, h, j])")
NO_NORMALIZATION = ("s / N", "s - mean(s)", "s / (1 + sum(s ** 2))")
NO_OUTPUT = ("o / (i + 1)",)


@st.composite
def specs(draw: st.DrawFn) -> str:
    """One attention called `cut`."""
    strange = draw(st.sampled_from([None] * 8 + ["mask", "factor", "normalize", "output"]))

    def one(choices: tuple[str, ...], others: tuple[str, ...] = (), clause: str = "") -> str:
        return draw(st.sampled_from(others if others and strange == clause else choices))

    conditions = draw(st.lists(st.sampled_from(CONDITIONS), max_size=1))
    conditions += draw(st.lists(st.sampled_from(DOCUMENTS), max_size=1))
    mask = " and ".join([one(("j <= i",), NO_MASK, "mask"), *conditions])
    terms = [_product(draw) for _ in range(draw(st.integers(1, 2)))]
    # All terms of a weight fade alike.
    faded = [one(DECAYS)] if draw(st.booleans()) else []
    if not faded and draw(st.integers(0, 3)) == 0:
        terms = [f"{one(OF_CALL)} * {GATED_DOT}"]
    if strange == "factor":
        faded.append(one(NO_FACTOR))
    score = " * ".join([f"({' + '.join(terms)})", *faded])
    clauses = {
        "query": one(QUERIES),
        "key": one(KEYS),
        "mask": mask,
        "score": score,
        "normalize": one(NORMALIZATIONS, NO_NORMALIZATION, "normalize"),
        "output": one(OUTPUTS, NO_OUTPUT, "output"),
    }
    lines = [f"    {word} {clause}" for word, clause in clauses.items()]
    said = set(re.findall(r"\w+", " ".join(clauses.values())))
    params = ", ".join(f"{name}: {sort}" for name, sort in PARAMS.items() if name in said)
    return "\n".join([f"attention cut({params}):", *lines]) + "\n"


def _product(draw: st.DrawFn) -> str:
    """A term without its decay."""
    factors = [draw(st.sampled_from(DOTS))]
    for choices in (OF_QUERY, OF_KEY, OF_CALL, ANGLES):
        if draw(st.integers(0, 2)) == 0:
            factors.append(draw(st.sampled_from(choices)))
    return " * ".join(factors)
