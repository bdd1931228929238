"""A spec may call its parameters as it likes, whatever the emitted code calls its own."""

from __future__ import annotations

import ast

import pytest
from kernel_checks import Measure, assert_holds, compile_text
from turns import in_turn
from zoo import TAKEN

from attnc.check.vocabulary import MODULE_WORDS
from attnc.compiler import Compilation
from attnc.errors import AttncError
from attnc.verify.cases import Case

SMALL = [
    Case("cpu", "float64", 9, 11, 4, 4, 2, 1, 2, variant=1),
    Case("numpy", "float32", 19, 21, 16, 16, 2, 1, 1, scale=0.3, variant=1, tile=(16, 16)),
]
# So many names at a time; sums of products grow, and are to stay in the range of float32.
CHUNKS = {"scalars": 12, "arrays": 12, "lets": 8, "per_token": 12}


def scalars(names: list[str]) -> str:
    params = ", ".join(f"{n}: int, {n}_: float" for n in names)
    shift, heat = " + ".join(names), " * ".join(f"(1 + 0.1 * {n}_)" for n in names)
    return f"attention zoo({params}):\n    mask j <= i + {shift}\n    score dot(q, k) * scale * {heat}\n"


def arrays(names: list[str]) -> str:
    params = ", ".join(f"{n}: float[H, N, M], {n}_: int[B, M]" for n in names)
    seen, bias = " or ".join(f"{n}_[b, j] < 3" for n in names), " + ".join(f"{n}[h, i, j]" for n in names)
    return f"attention zoo({params}):\n    mask {seen}\n    score dot(q, k) * scale + {bias}\n"


def lets(names: list[str]) -> str:
    lines = [f"    let {n} = dot(q, k) * scale * {at + 1}\n    let {n}_ = clamp(i - j, 0, {at + 1})\n"
             for at, n in enumerate(names)]  # fmt: skip
    sums = " + ".join(f"tanh({n}) * learned[h, {n}_] + 0.1 * {n} * {n}" for n in names)
    return f"attention zoo(learned: float[H, 9]):\n{''.join(lines)}    score {sums}\n"


def per_token(names: list[str]) -> str:
    params = ", ".join(f"{n}: float[B, M], x_{n}: float[B, H, N, DV]" for n in names)
    bias, value = " + ".join(f"{n}[b, j]" for n in names), " * ".join(f"(1 + {n}[b, j])" for n in names)
    output = " + ".join(f"x_{n}[b, h, i, :]" for n in names)
    return f"""attention zoo({params}):
    score  dot(q, k) * scale + {bias}
    value  v * ({value})
    output o * ({output})
"""


TEXTS = {"scalars": scalars, "arrays": arrays, "lets": lets, "per_token": per_token}
REFUSED = {"redefined-builtin", "reserved-name"}


def is_refused(compilation: Compilation) -> bool:
    """Names are refused when a spec is checked, before anything is made of it."""
    try:
        _ = compilation.attention
    except AttncError as refused:
        assert {d.code for d in refused.diagnostics} & REFUSED
        return True
    return False


@pytest.mark.parametrize("kind", TEXTS)
def test_names_of_parameters(measure: Measure, kind: str) -> None:
    write = TEXTS[kind]
    names = [name for name in TAKEN if not is_refused(compile_text(write([name])))]
    assert len(names) > len(TAKEN) * 0.8
    # `acc` brings its own `acc_`, so those that end so stand in a chunk of their own.
    plain = [name for name in names if not name.endswith("_")]
    size = CHUNKS[kind]
    chunks = [plain[start : start + size] for start in range(0, len(plain), size)]
    for chunk in in_turn([*chunks, [name for name in names if name.endswith("_")]], turns=8):
        compilation = compile_text(write(chunk))
        for case in SMALL:
            assert_holds(measure(compilation, case))


def test_names_of_attentions(measure: Measure) -> None:
    for name in in_turn(TAKEN, turns=8):
        compilation = compile_text(f"attention {name}({name}: int = 3):\n    mask j <= i + {name}\n")
        if not is_refused(compilation):
            assert_holds(measure(compilation, SMALL[0]))


def test_every_name_at_the_top_of_a_module_is_kept_for_it() -> None:
    text = "attention zoo(bias: float[H, N, M]):\n    mask j <= i\n    score dot(q, k) + bias[h, i, j]\n"
    top = set()
    for node in ast.parse(compile_text(text).module).body:
        match node:
            case ast.Assign(targets):
                top |= {t.id for t in targets if isinstance(t, ast.Name)}
            case ast.FunctionDef(name):
                top.add(name)
            case ast.Import(names) | ast.ImportFrom(_, names, _):
                top |= {alias.asname or alias.name for alias in names}
    assert {name for name in top if not name.startswith("_")} <= {"zoo", *MODULE_WORDS}
