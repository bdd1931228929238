"""Sizes and arguments of a call that is not made.

Enters: an attention, and sizes and arguments by name. Leaves: the same with everything that follows from them, and
numbers read from their text. Neither torch nor numpy is needed for it, but where there is a grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from math import prod
from typing import Any

from attnc.analyze.checks import grid_checks
from attnc.errors import AttncError, Diagnostic, raise_all
from attnc.ir.nodes import Attention, IntParam, Param, Size
from attnc.ir.text import print_sizes
from attnc.ir.walk import walk
from attnc.run import messages

SIZES = ("N", "M", "B", "H", "HKV", "D", "DV")
Number = int | float | bool


def check_names(attention: Attention, names: Iterable[str]) -> None:
    """Refuse what is neither a size nor a parameter, all of it at once."""
    params = [param.name for param in attention.params]
    known = ", ".join(f"`{name}`" for name in params) or "none"
    raise_all(
        Diagnostic(
            "unknown-argument",
            messages.unknown_argument(attention.name, name),
            notes=(f"its parameters: {known}", f"the sizes: {', '.join(f'`{size}`' for size in SIZES)}"),
            helps=tuple(f"did you mean `{c}`?" for c in get_close_matches(name, [*params, *SIZES], n=1)),
        )
        for name in names
        if name not in params and name not in SIZES
    )


def read_numbers(attention: Attention, texts: Mapping[str, str]) -> dict[str, Number]:
    """Sizes and scalar parameters, each read from its text."""
    check_names(attention, texts)
    params = {param.name: param for param in attention.params}
    mistakes: list[Diagnostic] = []
    found: dict[str, Number] = {}
    for name, text in texts.items():
        param = params.get(name, Param(name, "int"))
        try:
            found[name] = _scalar(param, text)
        except AttncError as mistake:
            mistakes += mistake.diagnostics
    raise_all(mistakes)
    return found


def _scalar(param: Param, text: str) -> Number:
    if not param.sizes:
        return read_number(param, text)
    what = f"`{param.name}` is an array, {declared(param)}, and no number"
    helps = (
        f"`attnc plot` takes it as `--array {param.name}=FILE.npy`",
        f"in Python: `f.tiles(..., {param.name}=...)`",
    )
    raise AttncError(Diagnostic("wrong-type", what, helps=helps))


def read_number(param: Param, text: str) -> Number:
    """A number of the parameter's sort, or an entry of its array."""
    try:
        match param.sort:
            case "bool":
                return {"true": True, "false": False}[text.lower()]
            case "float":
                return float(text)
            case "int" if -(2**62) < int(text) < 2**62:
                return int(text)
            case _:
                needs = "an int between -2**62 and 2**62"
    except (KeyError, ValueError):
        needs = {"bool": "`true` or `false`", "float": "a float", "int": "an int"}[param.sort]
    raise AttncError(Diagnostic("wrong-type", messages.wrong_type(param.name, needs, f"`{text}`")))


def complete(attention: Attention, given: Mapping[str, Any], tokens: int) -> dict[str, Any]:
    """What is given and what follows: defaults of the spec, the size of a grid, `tokens` queries, as many keys."""
    values = {p.name: p.default for p in attention.params if p.default is not None} | dict(given)
    if attention.grid:
        _complete_by_grid(attention, values)
    raise_all(
        Diagnostic("wrong-size", messages.wrong_type(size, "1 or more", str(values[size])))
        for size in SIZES
        if size in values and values[size] < 1
    )
    n = values.pop("N", tokens)
    return {"N": n, "M": values.pop("M", n), **values}


def _complete_by_grid(attention: Attention, values: dict[str, Any]) -> None:
    """As many tokens as a grid has positions, where everything that its extents speak of has a value."""
    from attnc.run.checks import check_condition
    from attnc.run.values import int_value

    for side, size in (("query", "N"), ("key", "M")):
        extents = [axis.extent for axis in attention.grid if axis.side == side]
        parts = [part for extent in extents for part in walk(extent)]
        if extents and {part.name for part in parts if isinstance(part, IntParam | Size)} <= values.keys():
            *of_extents, of_tokens = grid_checks(attention, side)
            for check in of_extents:
                check_condition(check, values)
            values.setdefault(size, prod(int_value(extent, values) for extent in extents))
            check_condition(of_tokens, values)


def check_place(values: Mapping[str, Any], head: int, batch: int) -> None:
    """Refuse a head or a batch entry that the sizes rule out."""
    raise_all(
        Diagnostic("wrong-value", messages.wrong_type(name, f"0 to {values[size] - 1}", str(at)))
        for name, size, at in (("h", "H", head), ("b", "B", batch))
        if size in values and not 0 <= at < values[size]
    )


def say_call(values: Mapping[str, Any], tile: tuple[int, int]) -> str:
    """Where a cost or a picture holds: `N = M = 8192, tiles of 128 x 128, window = 4096`."""
    n, m = values["N"], values["M"]
    sizes = f"N = M = {n}" if n == m else f"N = {n}, M = {m}"
    numbers = [
        f"{name} = {str(value).lower() if isinstance(value, bool) else value}"
        for name, value in values.items()
        if name not in ("N", "M")
    ]
    return ", ".join([sizes, f"tiles of {tile[0]} x {tile[1]}", *numbers])


def declared(param: Param) -> str:
    """The type of a parameter as its declaration says it: `an int`, `a float[H, 257]`."""
    article = "an" if param.sort == "int" else "a"
    return f"{article} {param.sort}{print_sizes(param.sizes)}"
