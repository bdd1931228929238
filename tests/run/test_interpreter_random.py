"""Random attentions mean to the interpreter what they mean to plain loops."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from properties import cases
from random_terms import random_attentions
from scalar_meaning import Scene, Undefined, meaning

from attnc.errors import AttncError
from attnc.ir import nodes as ir
from attnc.ir.text import print_ir
from attnc.ir.walk import walk
from attnc.run.interpreter import interpret

SIZES = {"B": 1, "H": 4, "HKV": 2, "N": 3, "M": 4, "D": 2, "DV": 4}
# Beyond this a difference in the last bit of a sine or a power grows until it says nothing.
TOO_WILD = 1e6


def inputs(sizes: dict[str, int], seed: int) -> dict[str, torch.Tensor]:
    make = torch.Generator().manual_seed(seed)
    s = sizes

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=make, dtype=torch.float64)

    return {
        "q": normal(s["B"], s["H"], s["N"], s["D"]),
        "k": normal(s["B"], s["HKV"], s["M"], s["D"]),
        "v": normal(s["B"], s["HKV"], s["M"], s["DV"]),
        "table": torch.randint(-2, 5, (s["N"], 3), generator=make),
        "step": torch.randint(-2, 4, (s["M"],), generator=make, dtype=torch.int32),
        "flags": torch.rand(s["H"], s["M"], generator=make) < 0.5,
        "bias": normal(s["H"], s["N"], s["M"]),
        "gate": normal(s["N"], s["D"]),
        "vgate": normal(s["M"], s["DV"]),
    }


class Wild(Exception):
    pass


def tame(x: Any) -> Any:
    if not np.all(np.abs(x) < TOO_WILD):  # nan too
        raise Wild
    return x


def plain_loops(attention: ir.Attention, sizes: dict[str, int], given: dict[str, Any]) -> tuple[Any, Any]:
    """The output and the log-sum-exp, one number after another."""
    lists = {name: x.tolist() if isinstance(x, torch.Tensor) else x for name, x in given.items()}
    q, k, v = lists.pop("q"), lists.pop("k"), lists.pop("v")
    start = Scene(values=sizes | lists | {"scale": sizes["D"] ** -0.5})
    output = np.zeros([sizes[name] for name in ("B", "H", "N", "DV")])
    lse = np.full(output.shape[:3], -np.inf)

    def vector(clause: ir.Vec, at: Scene, name: str, raw: list[float]) -> Callable[[], Any]:
        return lambda: tame(meaning(clause, Scene(at.values, {name: lambda: raw})))

    for b, h, i in itertools.product(range(sizes["B"]), range(sizes["H"]), range(sizes["N"])):
        g = h // (sizes["H"] // sizes["HKV"])
        at = start.where(b=b, h=h, i=i)
        keys = [j for j in range(sizes["M"]) if meaning(attention.mask, at.where(j=j))]
        if not keys:
            continue
        query = vector(attention.query, at, "q", q[b][h][i])
        seen, values = [], []
        for j in keys:
            there = at.where(j=j)
            values.append(vector(attention.value, there, "v", v[b][g][j])())
            vectors = {"q": query, "k": vector(attention.key, there, "k", k[b][g][j])}
            seen.append(
                Scene(there.values, score=tame(meaning(attention.score, Scene(there.values, vectors))))
            )
        row = tuple(seen)
        weights = [tame(meaning(attention.normalize, Scene(x.values, score=x.score, row=row))) for x in seen]
        o = [sum(w * x[t] for w, x in zip(weights, values, strict=True)) for t in range(sizes["DV"])]
        mine = {"o": lambda o=o: tame(o)}
        if sizes["N"] == sizes["M"]:
            mine["v_i"] = vector(attention.value, at.where(j=i), "v", v[b][g][i])
        output[b, h, i] = tame(meaning(attention.output, Scene(at.values, mine)))
        lse[b, h, i] = np.logaddexp.reduce([x.score for x in seen])
    return output, lse


@cases(250, 100)
@given(random_attentions(), st.integers(0, 5), st.booleans(), st.booleans())
def test_random_attentions(attention: ir.Attention, seed: int, on: bool, is_square: bool) -> None:
    speaks_of_itself = any(isinstance(x, ir.VecInput) and x.name == "v_i" for x in walk(attention))
    sizes = SIZES | {"M": SIZES["N"]} if is_square or speaks_of_itself else SIZES
    arguments: dict[str, Any] = inputs(sizes, seed) | {"w": 2, "c": -0.75, "on": on}
    others = {name: x for name, x in arguments.items() if name not in "qkv"}
    call = attention, arguments["q"], arguments["k"], arguments["v"], others
    try:
        expected, expected_lse = plain_loops(attention, sizes, arguments)
    except Undefined:
        try:
            interpret(*call)
        except AttncError as error:
            assert error.diagnostics[0].code in (
                "index-out-of-range",
                "division-by-zero",
                "floor-of-no-number",
            )
        else:
            raise AssertionError(f"no error\n{print_ir(attention)}") from None
        return
    except Wild:
        assume(False)
    output, lse = interpret(*call, return_lse=True)
    np.testing.assert_allclose(output, expected, rtol=1e-7, atol=1e-7, err_msg=print_ir(attention))
    np.testing.assert_allclose(lse, expected_lse, rtol=1e-7, atol=1e-7, err_msg=print_ir(attention))
