"""Which forward kernels let the weights of a tile wait for the next tile, and what they then carry."""

from __future__ import annotations

import ast

import pytest
from compilations import compiled

from attnc.lower.tiled.pipeline import LATE

LATE_SPECS = {
    "causal": "attention a():\n    mask j <= i\n",
    "by key": "attention a(bias: float[H, M]):\n    score dot(q, k) + bias[h, j]\n",
    "by row": "attention a(bias: float[H, N]):\n    score dot(q, k) * bias[h, i]\n",
    "listed": "attention a(doc: int[N]):\n    mask doc[i] == doc[j]\n",
}
OTHER_SPECS = {
    "a number for each pair": "attention a(bias: float[N, M]):\n    score dot(q, k) + bias[i, j]\n",
    "a bool for each pair": "attention a(seen: bool[N, M]):\n    mask seen[i, j]\n",
    "weights of one score": "attention a():\n    normalize sigmoid(s)\n",
}


def functions(text: str) -> dict[str, ast.FunctionDef]:
    module = ast.parse(compiled(text).module)
    return {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}


def loops(function: ast.FunctionDef) -> list[ast.For]:
    return [node for node in ast.walk(function) if isinstance(node, ast.For)]


@pytest.mark.parametrize("name", LATE_SPECS)
def test_weights_wait(name: str) -> None:
    """Every loop carries them on, and one product behind the last loop takes what is left."""
    found = functions(LATE_SPECS[name])
    forward = found["_forward"]
    for loop in loops(forward):
        (step,) = loop.body[-1:]
        assert isinstance(step, ast.Assign)
        assert {n.id for n in ast.walk(step.targets[0]) if isinstance(n, ast.Name)} >= {
            each.name for each in LATE
        }
        assert ast.unparse(loop.iter).endswith("num_stages=AHEAD)")
    last = max(loop.end_lineno or 0 for loop in loops(forward))
    taken = [n for n in ast.walk(forward) if isinstance(n, ast.If) and ast.unparse(n.test) == "AHEAD"]
    assert [n.lineno > last and "_add_values" in ast.unparse(n) for n in taken] == [True]
    # In a tile, the last values come behind the dot products and before the weights.
    text = ast.unparse(found["_add_keys"])
    assert text.index("_dot_rows(q, k)") < text.index("_add_values") < text.index("tl.exp")


@pytest.mark.parametrize("name", OTHER_SPECS)
def test_weights_do_not_wait(name: str) -> None:
    found = functions(OTHER_SPECS[name])
    assert not {"_bits", "_add_values", "_ahead"} & found.keys()
    assert not any("num_stages" in ast.unparse(loop) for loop in loops(found["_forward"]))


@pytest.mark.parametrize("name", LATE_SPECS | OTHER_SPECS)
def test_a_row_is_read_before_the_products_of_dk_and_dv(name: str) -> None:
    """A load between a product and its use would wait for the product; what `ds` alone needs comes late."""
    text = ast.unparse(functions((LATE_SPECS | OTHER_SPECS)[name])["_add_queries"])
    if "lse_ptr" in text:
        places = [text.index(part) for part in ("tl.load(lse_ptr", "_dot_rows(k, q)", "_dot_rows(v, dout)")]
        # A derivative that changes with a position takes the registers that this would need.
        assert sorted(places) == (places if name != "by row" else [*places[1:], places[0]])
        assert text.index("p = tl.exp") < text.index("tl.load(delta_ptr") < text.index("ds = ")
