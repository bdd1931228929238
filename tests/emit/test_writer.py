"""Where long lines are broken."""

from __future__ import annotations

import ast

from hypothesis import given
from hypothesis import strategies as st
from properties import cases

from attnc.emit.lines import WIDTH
from attnc.emit.writer import Writer
from attnc.kernel.build import Block, Namespace, dictionary, function, unpacked, without_dead
from attnc.kernel.expressions import Call, Expr, Lit, Ternary, Text, Tuple, Var
from attnc.kernel.nodes import Assign, Function, Param, Return, Try

tl = Namespace("tl")


def text_of(block: Block) -> str:
    writer = Writer()
    writer.body(block.stmts)
    return writer.text


def test_statements() -> None:
    block = Block()
    x = block.let("x", Var("a") + 1, "spec.attn:3")
    block.assign(Var("y"), x, "+=")
    with block.loop("t", function("range")(0, Var("n"))) as body:
        body.lets(("p", "q"), function("f")(Var("t")))
        with body.when(Var("p") < 0) as then:
            then.do(tl.store(Var("ptr"), Var("q")))
    block.blank()
    block.comment("Done")
    block.returns(x, Var("y"))
    assert text_of(block) == (
        "x = a + 1                                                               # spec.attn:3\n"
        "y += x\n"
        "for t in range(0, n):\n"
        "    p, q = f(t)\n"
        "    if p < 0:\n"
        "        tl.store(ptr, q)\n"
        "\n"
        "# Done\n"
        "return x, y\n"
    )


def test_a_long_call_is_filled() -> None:
    block = Block()
    block.let("value", function("helper")(*(Var(f"argument_{n}") for n in range(12))))
    assert text_of(block) == (
        "value = helper(\n"
        "    argument_0, argument_1, argument_2, argument_3, argument_4, argument_5, argument_6, argument_7,\n"
        "    argument_8, argument_9, argument_10, argument_11,\n"
        ")\n"
    )


def test_the_ends_of_a_loop_may_be_long() -> None:
    block = Block()
    ends = [tl.load(Var(name * 28)) for name in ("a", "b")]
    with block.loop("t", tl.range(*ends, num_stages=Var("AHEAD"))) as body:
        body.do(function("visit")(Var("t")))
    assert text_of(block) == (
        "for t in tl.range(\n"
        f"    tl.load({'a' * 28}), tl.load({'b' * 28}), num_stages=AHEAD,\n"
        "):\n"
        "    visit(t)\n"
    )


def test_a_long_chain_is_broken_before_its_operators() -> None:
    block, names = Block(), [Var(f"condition_number_{n}") for n in range(6)]
    chain: Expr = names[0]
    for name in names[1:]:
        chain = chain & (name | names[0])
    block.let("visible", chain, "spec.attn:9")
    lines = text_of(block).splitlines()
    assert lines[0] == "# spec.attn:9"
    assert lines[1:3] == ["visible = (", "    condition_number_0"]
    assert lines[3] == "    & (condition_number_1 | condition_number_0)"


def test_a_long_choice_in_a_chain_is_broken_too() -> None:
    long = [Var(name * 30) for name in "abc"]
    block = Block()
    block.let("x", Ternary(long[0], Var("w") < long[1], long[2]) + Var("d" * 60))
    assert text_of(block) == (
        "x = (\n"
        "    (\n"
        f"        {long[0].name}\n"
        f"        if w < {long[1].name}\n"
        f"        else {long[2].name}\n"
        "    )\n"
        f"    + {'d' * 60}\n"
        ")\n"
    )


def test_a_method_stays_behind_a_long_call() -> None:
    block = Block()
    place = Var("a_rather_long_pointer_name") + Var("an_even_longer_name_of_an_offset")
    load = tl.load(place, mask=Var("inside_of_it"))
    block.let("value", load.to(tl.value("float32")))
    assert text_of(block).splitlines()[-1] == ").to(tl.float32)"


def test_dead_names_are_dropped_until_none_is_left() -> None:
    block = Block()
    one = block.let("one", 1)
    two = block.let("two", one + 1)
    block.let("three", two + 1)
    four = block.let("four", one + 3)
    block.returns(four)
    kept = without_dead(tuple(block.stmts))
    assert [stmt.target.name for stmt in kept[:-1]] == ["one", "four"]  # type: ignore[union-attr]


@cases(200)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=40), st.integers(0, 3))
def test_no_line_is_too_long_and_nothing_is_lost(widths: list[int], depth: int) -> None:
    names = [f"{'n' * width}{n}" for n, width in enumerate(widths)]
    writer = Writer()
    for _ in range(depth):
        writer._depth += 1
    params = tuple(map(Param, names))
    block = Block()
    block.returns(function("f")(*map(Var, names)))
    writer.function(Function("f", params, "Doc.", tuple(block.stmts)))
    assert all(len(line) <= WIDTH for line in writer.text.splitlines())
    flat = "\n".join(line[4 * depth :] for line in writer.text.splitlines())
    fn = ast.parse(flat).body[0]
    assert isinstance(fn, ast.FunctionDef)
    assert [arg.arg for arg in fn.args.args] == names


def test_what_functions_of_the_host_have() -> None:
    block, x = Block(), Var("x")
    with block.within(function("lock")(), "one at a time") as inside:
        inside.lets(("a",), function("f")(x))
        inside.stmts.append(Assign(Tuple((x,)), Var("a")))
        inside.do(
            Call(
                Var("launch")[Tuple((Var("n"),))],
                (unpacked(x),),
                (("**", Var("tiles")), ("LARGE", Lit(True))),
            )
        )
    failed = Block()
    failed.fail(function("ValueError")("no"))
    block.stmts.append(Try((Return(x),), Tuple((Var("KeyError"),)), "mistake", tuple(failed.stmts)))
    params = (
        Param("x", "Tensor"),
        Param("*"),
        Param("tiles", default=Lit(None)),
        Param("n", "int", default=Lit(4)),
    )
    writer = Writer()
    writer.function(Function("host", params, "First.\n\nSecond.", tuple(block.stmts), returns="Tensor"))
    assert writer.text == (
        "def host(x: Tensor, *, tiles=None, n: int = 4) -> Tensor:\n"
        '    """First.\n'
        "\n"
        "    Second.\n"
        '    """\n'
        "    with lock():                                                        # one at a time\n"
        "        a = f(x)\n"
        "        (x,) = a\n"
        "        launch[(n,)](*x, **tiles, LARGE=True)\n"
        "    try:\n"
        "        return x\n"
        "    except (KeyError,) as mistake:\n"
        '        raise ValueError("no")\n'
    )


def test_a_dictionary_unpacks_others() -> None:
    block = Block()
    block.returns(dictionary(Var("tiles"), BLOCK_Q=16, num_warps=4))
    assert text_of(block) == 'return {**tiles, "BLOCK_Q": 16, "num_warps": 4}\n'


def test_names_of_a_result_may_need_lines_of_their_own() -> None:
    block, names = Block(), [f"a_long_name_{n}" for n in range(8)]
    block.lets(names, function("f")(Var("x")))
    assert text_of(block).splitlines() == [
        "(",
        f"    {', '.join(names[:6])},",
        f"    {', '.join(names[6:])},",
        ") = f(x)",
    ]


def test_a_long_text_is_broken_between_words() -> None:
    block, text = Block(), "positions " * 12
    block.do(function("check")(text, Var("n")))
    assert text_of(block) == (f'check(\n    "{"positions " * 8}"\n    "{"positions " * 4}",\n    n,\n)\n')


def test_a_value_that_a_text_quotes_stays_whole() -> None:
    block, text = Block(), "positions " * 7
    block.fail(function("ValueError")(Text((text, "after ", Var("n") + 1, " and ", Var("m")))))
    assert text_of(block) == f'raise ValueError(\n    "{text}after "\n    f"{{n + 1}} and {{m}}"\n)\n'
