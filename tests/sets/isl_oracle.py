"""Masks as sets of the integer set library, which decides equality for every value of the parameters.

It knows no symbolic divisor and no array: `without_arrays` puts numbers for divisors and parameters for reads.
"""

from __future__ import annotations

import islpy

from attnc.ir import nodes as ir
from attnc.ir.walk import replace_terms, walk

DIVISORS = {"chunk": 7, "per_frame": 5, "period": 3, "stride": 4}


def without_arrays(mask: ir.Bool) -> ir.Bool:
    def change(node: ir.Node) -> ir.Node | None:
        match node:
            case ir.IntParam(name) if name in DIVISORS:
                return ir.IntConst(DIVISORS[name])
            case ir.IntLoad(array, _):
                return ir.IntParam(f"{array}_here")
            case ir.BoolParam(name):
                return ir.Compare("==", ir.IntParam(name), ir.IntConst(1))
            case ir.BoolLoad(array, _):
                return ir.Compare("==", ir.IntParam(f"{array}_here"), ir.IntConst(1))
            case _:
                return None

    changed = replace_terms(mask, change)
    assert isinstance(changed, ir.Bool)
    return changed


def to_set(mask: ir.Bool, names: list[str]) -> islpy.Set:
    """The pairs of a mask, inside of the sequences."""
    space = f"[{', '.join(['N', 'M', 'H', 'h', *names])}] -> "
    domain = "0 <= i < N and 0 <= j < M and 1 <= N and 1 <= M and 0 <= h < H"
    return islpy.Set(f"{space} {{ [i, j] : {domain} and ({_text(mask)}) }}")


def names_in(mask: ir.Bool) -> list[str]:
    return sorted({node.name for node in walk(mask) if isinstance(node, ir.IntParam)})


def _text(term: ir.Node) -> str:
    match term:
        case ir.Truth(value):
            return "0 = 0" if value else "0 = 1"
        case ir.IntConst(value):
            return str(value)
        case ir.Index(name) | ir.Size(name) | ir.IntParam(name):
            return name
        case ir.IntOp("//", a, b):
            return f"floor(({_text(a)})/{_text(b)})"
        case ir.IntOp("%", a, b):
            return f"(({_text(a)}) mod {_text(b)})"
        case ir.IntOp("min" | "max" as op, a, b):
            return f"{op}({_text(a)}, {_text(b)})"
        case ir.IntOp("*", a, ir.IntConst(value)):
            return f"({value} * {_text(a)})"
        case ir.IntOp(op, a, ir.IntConst(value)) if value < 0:
            return f"({_text(a)} {'+' if op == '-' else '-'} {-value})"
        case ir.IntOp(op, a, b):
            return f"({_text(a)} {op} {_text(b)})"
        case ir.IntAbs(a):
            return f"max({_text(a)}, 0 - {_text(a)})"
        case ir.Compare(op, a, b):
            choice = next((node for node in walk(term) if isinstance(node, ir.IntIf)), None)
            if choice is None:
                return f"({_text(a)} {'=' if op == '==' else op} {_text(b)})"
            then, otherwise = (
                replace_terms(term, lambda node, value=value: value if node == choice else None)
                for value in (choice.a, choice.b)
            )
            cond = _text(choice.cond)
            return f"(({cond} and {_text(then)}) or ((not {cond}) and {_text(otherwise)}))"
        case ir.And(items):
            return f"({' and '.join(map(_text, items))})"
        case ir.Or(items):
            return f"({' or '.join(map(_text, items))})"
        case ir.Not(a):
            return f"(not {_text(a)})"
        case ir.BoolIf(cond, a, b):
            return f"(({_text(cond)} and {_text(a)}) or ((not {_text(cond)}) and {_text(b)}))"
        case _:
            raise AssertionError(f"no set for {term!r}")
