"""Random specs, as text: any mask with any score that the tiled schedule takes.

Functions with a kink are given arguments that differ in more than rounding, so that both sides stand on the same side
of it. Divisors are numbers that are not zero.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

PARAMS = (
    "w: int, on: bool, c: float, bias: float[H, N, M], t: float[H, 9], row: float[B, N], column: float[M, H], "
    "doc: int[B, N + M], flags: bool[H, N + M], slots: int[H, 3], at: int[H]"
)
ENTRIES = (("doc", 0, 4), ("slots", -2, 30), ("at", -5, 25))

INTS = ["i", "j", "(i - j)", "(j - i)", "h", "b", "N", "M", "w", "doc[b, i]", "doc[b, j]", "at[h]"]
BOOLS = [
    "(j <= i)",
    "(i - j < w)",
    "on",
    "flags[h, j]",
    "flags[h, i]",
    "(doc[b, i] == doc[b, j])",
    "(h % 2 == 0)",
]
REALS = ["dot(q, k) * scale", "dot(q, k) * scale", "bias[h, i, j]", "row[b, i]", "column[j, h]", "c", "0.5"]
DIVISORS = ["2", "3", "7", "16", "-3", "(-5)"]


class Writer:
    """Writes terms; `draw` decides."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw

    def one(self, *choices: str) -> str:
        return self.draw(st.sampled_from(choices))

    def any(self, choices: list[Callable[[], str]]) -> str:
        return choices[self.draw(st.integers(0, len(choices) - 1))]()

    def number(self) -> str:
        return str(self.draw(st.integers(0, 9)))

    def integer(self, depth: int) -> str:
        if depth == 0:
            return self.any([lambda: self.one(*INTS), lambda: self.one(*INTS), self.number])
        a = lambda: self.integer(depth - 1)  # noqa: E731
        return self.any([
            lambda: self.one(*INTS),
            lambda: f"({a()} {self.one('+', '-')} {a()})",
            lambda: f"({a()} * {self.number()})",
            lambda: f"({a()} {self.one('//', '%')} {self.one(*DIVISORS)})",
            lambda: f"{self.one('min', 'max')}({a()}, {a()})",
            lambda: f"abs({a()})",
            lambda: f"clamp({a()}, 0, {self.number()})",
            lambda: f"({a()} if {self.one(*BOOLS)} else {a()})",
            lambda: f"floor(({a()}) * 0.37)",
        ])  # fmt: skip

    def condition(self, depth: int) -> str:
        a = lambda: self.condition(depth - 1)  # noqa: E731
        n = lambda: self.integer(1)  # noqa: E731
        leaves = [
            lambda: self.one(*BOOLS),
            lambda: f"({n()} {self.one('<', '<=', '==', '!=', '>', '>=')} {n()})",
            lambda: f"({n()} {self.one('<', '<=')} {n()})",
            lambda: f"ispow2({n()})",
            lambda: f"({n()} in slots[h, :])",
            lambda: f"(({n()}) * 0.5 < {self.number()} + 0.25)",
        ]
        larger = [
            lambda: f"({a()} and {a()})",
            lambda: f"({a()} or {a()})",
            lambda: f"(not {a()})",
            lambda: f"({a()} if {a()} else {a()})",
        ]
        return self.any(leaves if depth == 0 else larger + leaves)

    def real(self, depth: int) -> str:
        leaves = [
            lambda: self.one(*REALS),
            lambda: self.one(*REALS),
            lambda: f"t[h, ({self.integer(1)}) % 9]",
            lambda: f"0.05 * ({self.integer(1)})",
        ]
        a = lambda: self.real(depth - 1)  # noqa: E731
        larger = [
            lambda: f"({a()} {self.one('+', '-', '*')} {a()})",
            lambda: f"({a()}) / (1.5 + ({a()}) ** 2)",
            lambda: f"{self.one('tanh', 'sigmoid', 'softplus', 'silu', 'sin', 'cos')}({a()})",
            lambda: f"log(1.1 + ({a()}) ** 2)",
            lambda: f"sqrt(0.9 + ({a()}) ** 2)",
            lambda: f"exp(tanh({a()}))",
            lambda: f"{self.one('relu', 'abs')}(dot(q, k) * scale + 0.0371)",
            lambda: f"{self.one('max', 'min')}(dot(q, k) * 0.11, {self.number()})",
            lambda: f"({a()} if {self.condition(1)} else {a()})",
            lambda: f"(1.2 + tanh({a()})) ** {self.one('2', '3', '1.5', '-1')}",
        ]
        return self.any(leaves if depth == 0 else larger + leaves)


@st.composite
def specs(draw: st.DrawFn) -> str:
    writer = Writer(draw)
    return f"attention zoo({PARAMS}):\n    mask  {writer.condition(2)}\n    score {writer.real(3)}\n"
