"""Specs that are longer than anybody writes: stages take steps in proportion to their length, and none gives up."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from effort import assert_linear, at_most
from turns import in_turn

from attnc.compiler import Compilation
from attnc.errors import AttncError
from attnc.options import make_options
from attnc.source import Source


def attention(*lines: str, params: str = "") -> str:
    return "".join([f"attention long({params}):\n", *(f"    {line}\n" for line in lines)])


def added(terms: list[str]) -> tuple[list[str], str]:
    """`let`s that add up all of the terms, forty at a time, and the name of their sum."""
    lets: list[str] = []
    while len(terms) > 1:
        parts = [" + ".join(terms[at : at + 40]) for at in range(0, len(terms), 40)]
        terms = [f"sum_{len(lets) + number}" for number in range(len(parts))]
        lets += [f"let {name} = {part}" for name, part in zip(terms, parts, strict=True)]
    return lets, terms[0]


def _sum(clause: str, term: str, param: str = "") -> Callable[[int], str]:
    def spec(count: int) -> str:
        lets, total = added([term.format(n=n) for n in range(count)])
        params = ", ".join(param.format(n=n) for n in range(count) if param)
        return attention(*lets, clause.format(total), params=params)

    return spec


def _mask(word: str, clause: str, param: str = "", first: str = "") -> Callable[[int], str]:
    def spec(count: int) -> str:
        clauses = f" {word} ".join(clause.format(n=n, far=7 * n + 3) for n in range(count))
        params = ", ".join(param.format(n=n) for n in range(count if "{" in param else 1) if param)
        return attention(f"mask {f'{first} and ({clauses})' if first else clauses}", params=params)

    return spec


SPECS: dict[str, Callable[[int], str]] = {
    "conjunction": _mask("and", "j != {far}"),
    "disjunction": _mask("or", "j == {far}"),
    "causal and a disjunction": _mask("or", "j == {far} and i < {n}", first="j <= i"),
    "disjunctions": _mask("and", "(j < {far} or i > {n})"),
    "windows": _mask("and", "i - j < w + {n} * w", "w: int"),
    "parameters": _mask("and", "i - j < w{n}", "w{n}: int"),
    "diagonals": _mask("or", "i - j == w{n}", "w{n}: int"),
    "remainders": _mask("or", "j % {far} == 0"),
    "remainders by parameters": _mask("or", "j % w{n} == 0", "w{n}: int"),
    "heads": _mask("or", "h == {n} and i - j < {far}", first="j <= i"),
    "documents": _mask("and", "d{n}[b, i] == d{n}[b, j]", "d{n}: int[B, N]"),
    "bias": _sum("score dot(q, k) + {}", "t{n}[h, i, j]", "t{n}: float[H, N, M]"),
    "bias of heads": _sum("score dot(q, k) + {}", "t{n}[h]", "t{n}: float[H]"),
    "steps of a score": _sum("score dot(q, k) + {}", "(1 if i - j == {n} else 0)"),
    "steps of a mask": _sum("mask {} < 5", "(1 if j < {n} else 0)"),
    "numbers of a mask": _sum("mask {} < 5", "max(i - {n}, j // (2 * {n} + 1))"),
    "products of a mask": _sum("mask {} < 5", "w{n} * i", "w{n}: int"),
    "sums of a row": _sum("normalize relu(s) / (1 + {})", "sum(relu(s + {n}))"),
}


def compilation_of(spec: str) -> Compilation:
    return Compilation(Source("<string>", spec), make_options())


def stages(spec: str) -> str:
    return compilation_of(spec).show("kernel")


def unless_refused(find: Callable[[], object]) -> None:
    """What has more arguments than an operator of torch takes has no plan; to find that out may not take longer."""
    try:
        find()
    except AttncError as refused:
        assert "arguments, and an operator of torch 64 at most" in refused.diagnostics[0].message


@pytest.mark.slow
@pytest.mark.parametrize("name", in_turn(SPECS, turns=2))
def test_twice_as_long_takes_twice_as_many_steps(name: str) -> None:
    assert_linear(lambda count: unless_refused(lambda: stages(SPECS[name](max(count, 2)))), 160)


@pytest.mark.parametrize("name", ["conjunction", "parameters", "remainders by parameters", "bias"])
def test_what_is_known_and_planned_takes_steps_in_proportion(name: str) -> None:
    assert_linear(lambda count: unless_refused(lambda: compilation_of(SPECS[name](max(count, 2))).plan), 80)


def test_a_mask_of_a_thousand_clauses_is_read_to_the_end() -> None:
    """Nothing is as deep as it is long: a thousand levels were too many for Python."""
    text = stages(SPECS["disjunction"](1100))
    compile(text, "<kernels>", "exec")
    assert text.count(f"== {7 * 1099 + 3}") >= 3


def test_passes_are_counted_before_they_are_planned() -> None:
    spec = _sum("normalize exp(s) / {}", "sum(exp(s + {n}))")(100)
    with at_most(10_000_000):
        weights = Compilation(Source("<string>", spec), make_options()).facts.weights
    assert weights.fold is None
    assert weights.because[-1].text == "it takes more than 16 passes over the keys"
