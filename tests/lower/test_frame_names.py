"""No variable of a spec is one that emitted code has for itself."""

from __future__ import annotations

import ast
from functools import cache

import pytest
from compilations import NAMES, compiled, example
from turns import in_turn

from attnc.compiler import Compilation
from attnc.emit.support import SUPPORT, functions_of
from attnc.errors import AttncError
from attnc.lower.names import OF_OPERATORS, RESERVED
from attnc.lower.taken import bound_names

EVERYTHING = """
attention everything(doc: int[B, N], bias: float[H, 9], temp: float[B, H, N], col: float[B, M],
                     gate: float[B, H, N, DV], {name}: int{sizes} = 4, cap: float = 2.0):
    query     l2(q)
    key       rope(k, j, 10000.0)
    mask      doc[b, i] == doc[b, i] and (j < 3 or i - j < {name}{index}) and j <= i
    score     cap * tanh(dot(q, k) / cap) / temp[b, h, i] + bias[h, clamp(j - i, -4, 4) + 4] + col[b, j] + sum_d(q * q)
    output    o * sigmoid(gate[b, h, i, :])
"""
SCALAR = {"sizes": "", "index": ""}
ARRAY = {"sizes": "[H]", "index": "[h]"}


def everything(name: str, kind: dict[str, str]) -> Compilation:
    return compiled(EVERYTHING.format(name=name, **kind).replace("[H] = 4", "[H]"))


def bound_by(function: ast.AST) -> set[str]:
    """Every name that a function binds, and its parameters."""
    found = (node for node in ast.walk(function) if not isinstance(node, ast.Load))
    names = {node.id for node in found if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return names | {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}


def names_in(node: ast.AST) -> list[str]:
    """Every name in a module, in order; how lines are broken is of no account."""
    found: list[str] = []
    for part in ast.walk(node):
        match part:
            case ast.Name(name) | ast.arg(name) | ast.keyword(str(name)):
                found.append(name)
    return found


@cache
def functions(text: str) -> dict[str, set[str]]:
    """What each function of a module binds, but for those that are the same in every module."""
    same = {name for file in SUPPORT.glob("*.py") for name in functions_of(file.stem)}
    defined = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    return {node.name: bound_by(node) for node in defined if node.name not in {*same, "_few_rows"}}


NOBODY = "nobody"  # a name that no module has


def own_names() -> list[str]:
    """Those that the module of `NOBODY` has, but for those that it gives only where a spec has no such name."""
    compilation = everything(NOBODY, SCALAR)
    given = {param.name for param in compilation.plan.last.attention.params}
    for fn in compilation.kernels.functions:
        given |= bound_names(fn.body)[1]
    return sorted(RESERVED.union(*functions(compilation.module).values()) - given)


@pytest.mark.parametrize("kind", [SCALAR, ARRAY])
def test_no_name_of_a_spec_meets_another(kind: dict[str, str]) -> None:
    """Whatever a parameter is called: the module is that of a name which nobody has, with another in its place."""
    nobody = everything(NOBODY, kind)
    expected, known = ast.parse(nobody.module).body, nobody.kernels.plan.spec
    tried = 0
    for name in in_turn(own_names(), turns=16):
        compilation = everything(name, kind)
        try:
            _ = compilation.attention
        except AttncError:
            continue  # a word of the language, or a parameter that is there
        spec = compilation.kernels.plan.spec
        variable = spec.variable(name)
        # A tensor beside `temp_ptr` may be the one that is called otherwise.
        others = {known.variable(p.name): spec.variable(p.name) for p in spec.params if p.name != name}
        for found, like in zip(ast.parse(compilation.module).body, expected, strict=True):
            is_given = variable in names_in(found) and NOBODY in names_in(like)
            for here, there in zip(names_in(found), names_in(like), strict=True):
                if NOBODY in there:
                    assert here in (there.replace(NOBODY, variable), there.replace(NOBODY, name))
                else:
                    alike = [there.replace(one, two) for one, two in others.items() if one != two]
                    assert here in (there, f"{there}_2", *alike)
                    assert here != variable or not is_given, (name, found)
        tried += 1
    assert tried > 3


@pytest.mark.parametrize("name", in_turn(NAMES, turns=2))
def test_what_is_no_function_of_the_kernel_language_binds_listed_names(name: str) -> None:
    """Launchers and operators are text: what they bind is what their kernels take, or listed, or no name of a spec."""
    compilation = example(name)
    kernels = compilation.kernels
    known = {p.name for p in kernels.plan.last.params} | {f"{n}_" for n in kernels.plan.spec.apart}
    written = {fn.name for fn in kernels.functions} | {"_pairs_seen", "_check", compilation.attention.name}
    for fn in kernels.functions:
        known |= {p.name for p in fn.params} | {getattr(p, "of", "") for p in fn.params}
        known |= {bound for stmt in fn.body for bound in stmt.binds}
    for function, bound in functions(compilation.module).items():
        if function not in written:
            rest = {n for n in bound - known - OF_OPERATORS if not n.startswith(("_", "d_", "total_"))}
            assert rest == set(), f"{rest} in {function}"


@pytest.mark.parametrize(
    "name", ["window", "cap_2", "docs", "slope", "sinks", "key_padding", "length", "W", "prefix"]
)
def test_a_name_of_the_spec_is_kept(name: str) -> None:
    assert everything(name, SCALAR).kernels.plan.spec.variable(name) == name


@pytest.mark.parametrize("name", ["half_", "TILE", "tl", "num_warps", "floats", "print"])
def test_a_reserved_name_is_set_apart(name: str) -> None:
    assert everything(name, SCALAR).kernels.plan.spec.variable(name) == f"{name}_"
    assert "print" in RESERVED
