"""Linear attention in several calls, each of which takes up the state that the one before has left."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from compilations import CHUNKED, compiled, example
from hypothesis import assume, event, given
from hypothesis import strategies as st
from properties import cases
from random_linear import specs
from test_linear_schedules import SPECS as FORMULAS
from test_linear_schedules import spec
from torch import Tensor
from turns import in_turn

import attnc
from attnc.compiler import Compilation
from attnc.errors import AttncError
from attnc.ir.nodes import Size
from attnc.run.function import AttentionFunction
from attnc.verify.cases import Case
from attnc.verify.inputs import Inputs
from attnc.verify.measure import emitted, find_calls

CASE = Case("cpu", "float64", 37, 37, 8, 5, 4, 2, 2, variant=1)
KERNELS = Case("numpy", "float32", 37, 37, 8, 5, 4, 2, 2, variant=1, tile=(16, 16))
CUTS = {"two": [20, 17], "tokens": [1, 29, *[1] * 7], "one": [37]}
OWN = {
    "rotated": spec("", "j <= i", "dot(rope(q, i, 10000), rope(k, j, 10000))"),
    "length": spec("length: int[B]", "j <= i and j < abs(length[b]) + 20", "dot(q, k)", "s / (1 + count())"),
    "steps": spec("a: float[B, H, N]", "j <= i", "dot(q, k) * exp(total(a[b, h, j + 1 : i + 1]) / 9)"),
    "of_all_heads": spec("a: float[B, N]", "j <= i", "dot(q, k) * exp(a[b, i] - a[b, j])"),
    "blocks": spec("", "j <= i and i // 9 == j // 9", "dot(q, k)", "s / (1 + count())"),
}
SPECS = {**FORMULAS, **OWN}
TAKING = [
    *("linear_attention", "retention", "lightning", "simple_gla", "gla", "mamba2"),
    *("documents", "padded", "channels", "documents_first", "cosine", *OWN),
]


def compilation_of(name: str) -> Compilation:
    return example(name) if name in CHUNKED else compiled(SPECS[name], f"{name}.attn")


def function_of(compilation: Compilation) -> AttentionFunction:
    return compilation.function()


def in_pieces(compilation: Compilation, inputs: Inputs, lengths: list[int]) -> dict[str, Tensor]:
    """The outputs of all calls side by side, and the gradients."""
    attend = emitted(compilation, inputs.case)
    tensors, arguments = inputs.leaves()
    outs, state, first = [], None, 0
    for length in lengths:
        (out, state), _ = attend(
            *(x.narrow(2, first, length) for x in tensors.values()),
            scale=inputs.case.scale,
            **{name: _piece(compilation, name, x, first, length) for name, x in arguments.items()},
            initial_state=state,
            return_state=True,
        )
        outs.append(out)
        first += length
    out, leaves = (
        torch.cat(outs, 2),
        {**tensors, **{n: arguments[n] for n in inputs.floats if n in arguments}},
    )
    found = torch.autograd.grad(out, [*leaves.values()], inputs.dout.to(out.dtype), allow_unused=True)
    gradients = zip(leaves.items(), found, strict=True)
    return {"out": out} | {n: torch.zeros_like(x) if dx is None else dx for (n, x), dx in gradients}


def _piece(compilation: Compilation, name: str, x: Any, first: int, length: int) -> Any:
    """The part of an argument that is of these tokens."""
    for dim, size in enumerate(compilation.attention.param(name).sizes):
        if size in (Size("N"), Size("M")):
            x = x.narrow(dim, first, length)
    return x


def check(compilation: Compilation, case: Case, lengths: list[int], tolerance: float) -> None:
    inputs, expected = next(find_calls(compilation, case))
    for name, x in in_pieces(compilation, inputs, lengths).items():
        largest = float(expected[name].abs().max())
        error = float((x.double() - expected[name]).abs().max())
        assert error <= tolerance * (1 + largest), f"{name}: {error} of {largest}"


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("name", TAKING)
def test_several_calls_are_one(name: str, cuts: str) -> None:
    check(compilation_of(name), CASE, CUTS[cuts], 1e-11)


@cases(300, 25)
@given(
    st.sampled_from(TAKING),
    st.sets(st.integers(1, 36)),
    st.integers(0, 3),
    st.sampled_from(["contiguous", "strided", "expanded"]),
)
def test_wherever_it_is_cut(name: str, cuts: set[int], variant: int, layout: str) -> None:
    lengths = [last - first for first, last in pairwise([0, *sorted(cuts), 37])]
    check(compilation_of(name), replace(CASE, variant=variant, layout=layout), lengths, 1e-11)


@pytest.mark.parametrize("name", in_turn(TAKING, turns=2))
def test_kernels_and_narrow_tensors(name: str) -> None:
    for case, tolerance in ((KERNELS, 2e-5), (replace(CASE, dtype="bfloat16"), 6e-2)):
        check(compilation_of(name), case, [20, 16, 1], tolerance)


@cases(300, 25)
@given(specs(), st.sets(st.integers(1, 16)), st.integers(0, 3))
def test_random_formulas(text: str, cuts: set[int], variant: int) -> None:
    """What can be cut is the same wherever it is; what cannot is refused."""
    compilation = compiled(text, "cut.attn")
    try:
        why = compilation.why_no_state
    except AttncError as refused:  # nor would it be computed in one call
        assert [told.code for told in refused.diagnostics] == ["no-kernel"]
        return
    event("takes no state" if why else "is cut")
    if why is not None:
        assert_takes_none(compilation)
        return
    case = replace(CASE, N=17, M=17, variant=variant)
    assume(next(find_calls(compilation, case), None) is not None)  # too large a number in every call
    check(compilation, case, [last - first for first, last in pairwise([0, *sorted(cuts), 17])], 1e-10)


def assert_takes_none(compilation: Compilation) -> None:
    """A call that asks for a state is refused before anything of it is looked at."""
    x = torch.ones(1, 1, 3, 8)
    with pytest.raises(AttncError) as caught:
        function_of(compilation)(x, x, x, return_state=True)
    assert [told.code for told in caught.value.diagnostics] == ["no-state"]


def test_a_state_may_be_learned() -> None:
    """Its gradients, and those through it, are those of finite differences."""
    f = function_of(compilation_of("documents"))
    g = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(1, 2, 5, 3, dtype=torch.float64, generator=g, requires_grad=True) for _ in range(3)
    )
    fades, doc = torch.rand(2, dtype=torch.float64, requires_grad=True), torch.tensor([[0, 0, 0, 1, 1]])
    _, first = f(q, k, v, doc=doc - 1, g=fades, return_state=True)

    def result(values: Tensor, gate: Tensor, *qkv: Tensor) -> tuple[Tensor, Tensor]:
        state = {**first, "values": values, "gate": gate}
        out, left = f(*qkv, doc=doc, g=fades.detach(), initial_state=state, return_state=True)
        return out, left["values"]

    state = (first[name].detach().requires_grad_() for name in ("values", "gate"))
    assert torch.autograd.gradcheck(result, (*state, q, k, v))


def test_what_was_forgotten_spoils_nothing() -> None:
    f = function_of(compilation_of("documents"))
    q, k, v = (torch.ones(1, 2, 4, 3, dtype=torch.float64) for _ in range(3))
    spoiled = torch.tensor([torch.nan, 1, 1, 1], dtype=torch.float64)[:, None]
    doc = torch.tensor([[0, 1, 1, 1]])
    call = {"g": torch.ones(2, dtype=torch.float64), "doc": doc}
    _, state = f(q, k * spoiled, v * spoiled, **call, return_state=True)
    out = f(q, k, v, **call, initial_state={**state, "values": state["values"] * torch.nan})
    assert all(bool(x.isfinite().all()) for x in state.values())
    assert out[0, 0].isnan().all(1).tolist() == [False, True, True, True]


@pytest.mark.parametrize("name", ["linear_attention", "simple_gla"])
def test_a_state_is_kept_and_compiled(name: str, tmp_path: Path) -> None:
    """As any dict of tensors is: by `torch.save`, and in one graph by `torch.compile`."""
    inputs, expected = next(find_calls(compilation_of(name), replace(CASE, dtype="float32")))
    f, arguments = function_of(compilation_of(name)), inputs.arguments

    def halves(q: Tensor, k: Tensor, v: Tensor, one: dict[str, Tensor], two: dict[str, Tensor]) -> Tensor:
        first, state = f(*(x[:, :, :20] for x in (q, k, v)), **one, return_state=True)
        return torch.cat([first, f(*(x[:, :, 20:] for x in (q, k, v)), **two, initial_state=state)], 2)

    one, two = (
        {n: _piece(compilation_of(name), n, x, *at) for n, x in arguments.items()}
        for at in ((0, 20), (20, 17))
    )
    out = torch.compile(halves, fullgraph=True, backend="aot_eager")(*inputs.tensors.values(), one, two)
    torch.testing.assert_close(out.double(), expected["out"], atol=1e-4, rtol=1e-4)
    _, state = f(*inputs.tensors.values(), **arguments, return_state=True)
    torch.save(state, tmp_path / "state.pt")
    for found, x in zip(
        torch.load(tmp_path / "state.pt", weights_only=True).values(), state.values(), strict=True
    ):
        assert torch.equal(found, x)


WHY_NOT = {
    "cosformer": "`cos(1.5707963 * real(i) / real(max(N, M)))` knows how many tokens a call has",
    "l2vit": "queries see other keys than those up to their own",
    "key_only_softmax": "a state has no log-sum-exp",
    "less_the_mean": "an earlier pass is over all keys of a call",
    "key_weights": "exponents are counted from the largest of a call",
    "two_decays": "several terms fade, each in its own way",
    "members": "`j in sinks[b, :]` looks a position up that is one of the call",
    "of_two_kinds": "a sum over tokens and something else fade together",
    "other_decays": "values and sums fade, each in its own way",
    "causal": "its keys are looked at pair by pair, and no state holds them",
}
NOT_TAKING = {
    "members": spec("sinks: int[B, 8]", "j <= i and j in sinks[b, :]", "dot(q, k)"),
    "of_two_kinds": spec(
        "a: float[B, N], c: float[B, N]",
        "j <= i",
        "dot(q, k) * exp(total(a[b, j + 1 : i + 1]) + c[b, i] - c[b, j])",
    ),
    "other_decays": spec(
        "a: float[B, N]", "j <= i", "dot(q, k) * exp(a[b, i] - a[b, j])", "s / sum(s ** 2 + 1)"
    ),
}


@pytest.mark.parametrize("name", WHY_NOT)
def test_who_has_no_state_says_why(name: str) -> None:
    text = {**FORMULAS, **NOT_TAKING}.get(name)
    compilation = compiled(text, f"{name}.attn") if text else example(name)
    f = function_of(compilation)
    x = torch.ones(1, 1, 3, 8)
    with pytest.raises(AttncError) as caught:
        f(x, x, x, return_state=True)
    (told,) = caught.value.diagnostics
    assert (told.code, told.message) == ("no-state", f"`{f.__name__}` takes no state: {WHY_NOT[name]}")


def test_the_interpreter_has_no_states() -> None:
    f = attnc.compile(FORMULAS["padded"], backend="reference")
    x = torch.ones(1, 1, 3, 8)
    with pytest.raises(AttncError, match="the interpreter has no states: call it with all keys"):
        f(x, x, x, return_state=True)


def test_states_of_other_calls() -> None:
    f = function_of(compilation_of("retention"))
    keep, x = torch.ones(2), torch.ones(1, 2, 3, 8)
    _, state = f(x, x, x, keep=keep, return_state=True)

    def told(initial: Any, q: Tensor = x, k: Tensor = x) -> str:
        with pytest.raises((TypeError, ValueError)) as caught:
            f(q, k, k, keep=keep, initial_state=initial)
        return str(caught.value)

    assert "these are of 2 queries and 3 keys" in told(state, q=x[:, :, :2])
    assert "what a call with `return_state=True` leaves: values, gate, tokens; this is list" in told([1])
    assert "leaves: values, gate, tokens; this is values" in told({"values": x})
    assert "`gate` of `initial_state` is a tensor; this is int" in told({**state, "gate": 3})
    half = {**state, "values": state["values"].half()}
    assert told(half) == "`values` of `initial_state` needs dtype float32 or float64; this is float16"
    single = {**state, "gate": state["gate"].float()}
    assert told(single) == "`gate` of `initial_state` needs dtype float64; this is float32"
    wide = {name: x.double() for name, x in state.items()}
    assert told(wide) == "`tokens` of `initial_state` needs dtype int32 or int64; this is float64"
    for name in state:
        there = {**state, name: state[name].to("meta")}
        assert told(there) == f"`{name}` of `initial_state` needs the device of `q`, cpu; this is on meta"
    wrong = {**state, "values": state["values"][:, :, :, :5]}
    assert (
        "`values` of `initial_state` has the sizes [1, 2, 8, 8] in this call; these are [1, 2, 8, 5]"
        in told(wrong)
    )
