"""No loop over tiles branches, in any kernel of any spec there is: Triton pipelines only loops that do not.

`while`, `break` and `if` in a loop, or in what it calls, lose that; an `if` over constants is gone before it matters.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest
from compilations import NAMES, compiled, example, file, on_tiles, one_of
from listed_specs import LISTED, SWEPT
from mask_zoo import ALL, SORTS
from turns import in_turn

from attnc.compiler import Compilation

Compile = Callable[[], Compilation]
CORPUS = Path(__file__).parent.parent / "corpus" / "specs"
ARRAYS = {
    "windows": "int[H]", "offsets": "int[B]", "lengths": "int[B]", "global_head": "bool[H]",
    "doc": "sorted int[N]", "valid": "bool[N]", "start": "int[N]",
}  # fmt: skip


def _of_corpus() -> dict[str, Compile]:
    return {
        f"{path.stem}:{attention.name}": partial(one_of, path, attention.name)
        for path in sorted(CORPUS.glob("*.attn"))
        for attention in file(path).attentions
    }


def _of_zoo(name: str) -> Compilation:
    words = dict.fromkeys(re.findall(r"[a-z_]+", ALL[name]))
    params = ", ".join(f"{word}: {ARRAYS.get(word, SORTS[word])}" for word in words if word in SORTS)
    mask = ALL[name].replace("-1 * left", "-left").replace("real(", "(")
    return compiled(f"attention zoo({params}):\n    mask {mask}\n")


def _of_example(name: str) -> Compilation:
    return on_tiles(example(name))


SPECS: dict[str, Compile] = (
    _of_corpus()
    | {f"example:{name}": partial(_of_example, name) for name in NAMES}
    | {f"zoo:{name}": partial(_of_zoo, name) for name in ALL}
    | {f"listed:{name}": spec.compilation for name, spec in (LISTED | SWEPT).items()}
)


@cache
def functions_of(name: str) -> dict[str, ast.FunctionDef]:
    """What Triton compiles."""
    return {
        node.name: node
        for node in ast.parse(SPECS[name]().module).body
        if isinstance(node, ast.FunctionDef)
        and any("triton.jit" in ast.unparse(d) for d in node.decorator_list)
    }


def constants(function: ast.FunctionDef) -> set[str]:
    return {a.arg for a in function.args.args if a.annotation and "constexpr" in ast.unparse(a.annotation)}


def is_constant(test: ast.expr, function: ast.FunctionDef) -> bool:
    """Is it decided when the kernel is compiled? So are the dtypes of its tensors."""
    match test:
        case ast.Compare(ast.Attribute(tile, "dtype"), [ast.Eq()], [ast.Attribute(ast.Name("tl"))]):
            return isinstance(tile, ast.Name | ast.Subscript)
    return {n.id for n in ast.walk(test) if isinstance(n, ast.Name)} <= constants(function)


def called(node: ast.AST) -> set[str]:
    calls = (n for n in ast.walk(node) if isinstance(n, ast.Call))
    return {call.func.id for call in calls if isinstance(call.func, ast.Name)}


def reached(functions: dict[str, ast.FunctionDef], nodes: list[ast.AST]) -> set[str]:
    """The functions that these call, and those that they call."""
    inside: set[str] = set()
    todo = {name for node in nodes for name in called(node)} & functions.keys()
    while todo:
        inside |= todo
        todo = ({c for name in todo for c in called(functions[name])} & functions.keys()) - inside
    return inside


BRANCHES = ast.If | ast.IfExp | ast.While | ast.Break | ast.Continue | ast.Return | ast.Match | ast.Try


def check(functions: dict[str, ast.FunctionDef]) -> int:
    """How many loops there are over tiles."""
    loops = [n for f in functions.values() for n in ast.walk(f) if isinstance(n, ast.For)]
    tiles = [loop for loop in loops if called(loop) & {"_add_keys", "_add_queries", "_add_keys_backward"}]
    for loop in loops:
        assert not [n for n in ast.walk(loop) if isinstance(n, BRANCHES)], ast.unparse(loop)
    for name in sorted(reached(functions, [*loops])):
        function = functions[name]
        for node in ast.walk(function):
            assert not isinstance(node, ast.While | ast.Break | ast.Continue | ast.Match | ast.Try), name
            if isinstance(node, ast.If | ast.IfExp):
                assert is_constant(node.test, function), f"{name}: {ast.unparse(node.test)}"
    return len(tiles)


@pytest.mark.parametrize("name", in_turn(SPECS))
def test_no_tile_loop_branches(name: str) -> None:
    assert check(functions_of(name)) >= 3 or name == "zoo:empty", "no loops were found"


def test_there_are_many_specs() -> None:
    assert len(SPECS) > 200


def test_lists_are_read_where_a_loop_begins() -> None:
    """One load for the number of a tile; where it begins and ends is read before the loop."""
    functions = functions_of("listed:marked_keys")
    for kernel in ("_forward", "_backward_keys", "_backward_queries"):
        loops = [
            n for n in ast.walk(functions[kernel]) if isinstance(n, ast.For) and "edge" in ast.unparse(n)
        ]
        inner = loops[-1]
        assert ast.unparse(inner.iter).count("tl.load(edge_start_ptr") == 2
        assert sum(ast.unparse(n) == "tl.load" for s in inner.body for n in ast.walk(s)) == 1


@pytest.mark.parametrize(
    "line",
    ["if t > 3:\n            break", "acc = acc if t > 3 else acc * 2", "while t > 3:\n            t -= 1"],
)
def test_a_branch_is_noticed(line: str) -> None:
    text = (
        "@triton.jit\ndef _add_keys(k0, acc, EDGE: tl.constexpr):\n    if EDGE:\n        acc += 1\n    return acc\n"
        "@triton.jit\ndef _forward(n):\n    acc = 0\n    for t in range(0, n):\n"
        f"        acc = _add_keys(t, acc, EDGE=True)\n        {line}\n"
    )

    def functions(text: str) -> dict[str, ast.FunctionDef]:
        return {f.name: f for f in ast.parse(text).body if isinstance(f, ast.FunctionDef)}

    assert check(functions(text.replace(line, "pass"))) == 1
    with pytest.raises(AssertionError):
        check(functions(text))
    with pytest.raises(AssertionError):
        check(functions(text.replace(line, "pass").replace("if EDGE:", "if k0 > 3:")))
