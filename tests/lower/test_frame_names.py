"""No name of a spec can meet a name of the frame."""

from __future__ import annotations

import builtins
import keyword
import re

import pytest
from compilations import NAMES, compiled, example
from hypothesis import given
from hypothesis import strategies as st

from attnc.compiler import Compilation
from attnc.kernel.nodes import Function, bound_in, read_by
from attnc.lower.names import FRAME, MADE, SIZES, variable

# A formula of sizes and numbers, hoisted: `log(D)` is `log_D`, `1 / M` is `of_1_over_M`. They step aside for others.
OF_A_SIZE = re.compile(rf"[a-z]+_({'|'.join(SIZES)})|of_\w+")
EVERYTHING = """
attention everything(doc: int[B, N], bias: float[H, 9], temp: float[B, H, N], col: float[B, M],
                     gate: float[B, H, N, DV], w: int = 4, cap: float = 2.0):
    query     l2(q)
    key       rope(k, j, 10000.0)
    mask      doc[b, i] == doc[b, i] and (j < 3 or i - j < w) and j <= i
    score     cap * tanh(dot(q, k) / cap) / temp[b, h, i] + bias[h, clamp(j - i, -4, 4) + 4] + col[b, j] + sum_d(q * q)
    output    o * sigmoid(gate[b, h, i, :])
"""


def functions(compilation: Compilation) -> list[Function]:
    kernels = compilation.kernels
    around = [fn for fn in (kernels.per_token, kernels.output) if fn]
    of_sweeps = [fn for each in kernels.sweeps for fn in (*each.triton, *each.cpu, *each.adders)]
    return [*of_sweeps, *around]


def names_of(fn: Function) -> set[str]:
    return {p.name for p in fn.params} | read_by(fn.body) | {*bound_in(fn.body)}


@pytest.mark.parametrize("name", [*NAMES, "everything"])
def test_the_frame_is_listed(name: str) -> None:
    """Every name of an emitted function is listed, made by a listed rule, or made of a name of the spec."""
    compilation = compiled(EVERYTHING) if name == "everything" else example(name)
    sweep = compilation.plan.last
    own = {variable(p.name) for p in sweep.attention.params} | {name for name, _ in sweep.spec.lets}
    own |= {"scale", "log2e"}
    known = FRAME | set(SIZES) | own
    for fn in functions(compilation):
        for name in names_of(fn):
            from_spec = any(part and part in name for part in own) or name.endswith(("_term", "_index"))
            from_spec = from_spec or OF_A_SIZE.fullmatch(name)
            listed = name in known or MADE.fullmatch(name) or name.startswith("torch.")
            assert listed or from_spec or hasattr(builtins, name), f"{name} in {fn.name}"


@given(
    st.sampled_from(
        sorted(FRAME | {"q_ptr", "k_stride_t", "live_lo_2", "BLOCK_Q", "d_bias", "min", "query_2_key_2"})
    )
)
def test_a_name_of_the_frame_is_set_aside(name: str) -> None:
    assert variable(name) != name and variable(name).isidentifier() and not keyword.iskeyword(variable(name))


@pytest.mark.parametrize(
    "name", ["window", "cap", "doc", "slope", "sinks", "key_padding", "length", "W", "prefix"]
)
def test_a_name_of_the_spec_is_kept(name: str) -> None:
    assert variable(name) == name
