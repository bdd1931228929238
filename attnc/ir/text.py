"""The IR as text: what `attnc show --stage ir` prints and golden files hold.

Enters: an attention or any term. Leaves: text that means one value alone: `tests/read_ir.py` reads it back. It
reads like the language it came from, and says what that leaves unsaid: `real(i)` and `splat(x)` change the sort.
What is subtracted from zero is a negative: `-s`. Parentheses come from one table of precedences.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from attnc.errors import CompilerBug
from attnc.ir.nodes import (
    KEY_HEAD,
    And,
    Attention,
    BoolIf,
    BoolLoad,
    BoolParam,
    Compare,
    Coordinate,
    Count,
    Dot,
    Floor,
    FromInt,
    GridAxis,
    Index,
    Int,
    IntAbs,
    IntConst,
    IntIf,
    IntLoad,
    IntOp,
    IntParam,
    IsPow2,
    LogSumExp,
    Member,
    Node,
    Not,
    Or,
    OverTile,
    Param,
    Period,
    Rank,
    RealCall,
    RealConst,
    RealIf,
    RealLoad,
    RealOp,
    RealParam,
    Residue,
    Rope,
    Row,
    RowLog,
    RowMax,
    RowSum,
    Scale,
    Score,
    Size,
    Splat,
    SumD,
    TileEnd,
    Total,
    Truth,
    VecCall,
    VecIf,
    VecInput,
    VecLoad,
    VecOp,
    VecTotal,
)

# How tightly a form holds its parts: a part that holds less tightly than asked for gets parentheses.
_IF, _OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _POWER, _ATOM = range(9)
_INFIX = {"+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT, "//": _PRODUCT, "%": _PRODUCT}


def print_ir(node: Node) -> str:
    """The text of an attention, several lines with a newline at the end, or of one term, one line without."""
    return _attention(node) if isinstance(node, Attention) else _term(node, _IF)


def print_sizes(sizes: Sequence[Int]) -> str:
    """The sizes of an array, `[H, 2 * window + 1]`; nothing for a number, which has none."""
    return f"[{', '.join(map(print_ir, sizes))}]" if sizes else ""


def _attention(attention: Attention) -> str:
    lines = [f"attention {attention.name}"]
    if attention.doc:
        lines.append(f"    doc {json.dumps(attention.doc)}")
    lines += [f"    param {_param(param)}" for param in attention.params]
    lines += [f"    grid {_grid_axis(axis)}" for axis in attention.grid]
    lines += [f"    let {name} = {print_ir(term)}" for name, term in attention.lets]
    lines += [f"    {word} {print_ir(term)}" for word, term in attention.clauses.items()]
    return "\n".join(lines) + "\n"


def _param(param: Param) -> str:
    words = ["const"] * param.const + ["sorted"] * param.sorted + [param.sort]
    return f"{param.name}: {' '.join(words)}{print_sizes(param.sizes)}{_default(param)}"


def _default(param: Param) -> str:
    match param.default:
        case None:
            return ""
        case bool(value):
            return f" = {_truth(value)}"
        case int(value):
            return f" = {value}"
        case float(value):
            return f" = {_real_text(value)}"


def _grid_axis(axis: GridAxis) -> str:
    return f"{axis.side} {axis.name}: {print_ir(axis.extent)}"


def _truth(value: bool) -> str:
    return "true" if value else "false"


def _real_text(value: float) -> str:
    if math.isnan(value):
        return "nan()"
    if math.isinf(value):
        return "inf()" if value > 0 else "-inf()"
    return repr(float(value))


def _list(items: tuple[Node, ...]) -> str:
    return ", ".join(_term(item, _IF) for item in items)


def _term(node: Node, tightness: int) -> str:
    text, own = _form(node)
    return text if own >= tightness else f"({text})"


def _form(node: Node) -> tuple[str, int]:
    """The text of a node and how tightly it holds together."""
    match node:
        case IntOp() if node == KEY_HEAD:
            return "h_kv", _ATOM
        case IntOp("-", zero, a) | RealOp("-", zero, a) | VecOp("-", zero, a) if _is_negated(zero, a):
            return f"-{_term(a, _POWER)}", _PRODUCT
        case IntOp(op, a, b) | RealOp(op, a, b) | VecOp(op, a, b):
            return _operation(op, a, b)
        case Compare(op, a, b):
            return f"{_term(a, _SUM)} {op} {_term(b, _SUM)}", _COMPARE
        case Member(item, array, index):
            return f"{_term(item, _SUM)} in {array}[{_list(index)}{', ' if index else ''}:]", _COMPARE
        case And(items) if len(items) > 1:
            return " and ".join(_term(item, _NOT) for item in items), _AND
        case Or(items) if len(items) > 1:
            return " or ".join(_term(item, _AND) for item in items), _OR
        case Not(a):
            return f"not {_term(a, _NOT)}", _NOT
        case IntIf(cond, a, b) | BoolIf(cond, a, b) | RealIf(cond, a, b) | VecIf(cond, a, b):
            return f"{_term(a, _OR)} if {_term(cond, _OR)} else {_term(b, _OR)}", _IF
        case IntConst(value):
            return str(value), _ATOM if value >= 0 else _PRODUCT
        case RealConst(value):
            return _real_text(value), _PRODUCT if math.copysign(1.0, value) < 0 else _ATOM
        case _:
            return _atom(node), _ATOM


def _is_negated(zero: Node, a: Node) -> bool:
    """Is `zero - a` the negative of a term? Of a constant it is another constant."""
    match zero:
        case IntConst(0) | Splat(RealConst(0.0)) | RealConst(0.0):
            is_zero = print_ir(zero) in ("0", "0.0", "splat(0.0)")
            return is_zero and not isinstance(a, IntConst | RealConst)
        case _:
            return False


def _operation(op: str, a: Node, b: Node) -> tuple[str, int]:
    if op == "**":
        return f"{_term(a, _ATOM)} ** {_term(b, _ATOM)}", _POWER
    if op in _INFIX:
        own = _INFIX[op]
        return f"{_term(a, own)} {op} {_term(b, own + 1)}", own
    return f"{op}({_list((a, b))})", _ATOM


def _atom(node: Node) -> str:
    match node:
        case Truth(value):
            return _truth(value)
        case Index(name) | Size(name) | VecInput(name) | IntParam(name) | RealParam(name) | BoolParam(name):
            return name
        case Scale():
            return "scale"
        case Score():
            return "s"
        case Count():
            return "count()"
        case LogSumExp():
            return "lse"
        case RowMax():
            return "row_max"
        case RowLog():
            return "row_log"
        case RowSum(number):
            return f"sum_{number}"
        case TileEnd(axis, end):
            return f"{end}({axis})"
        case Period(end):
            return f"{end}_period()"
        case Coordinate(axis, name):
            return f"{axis}.{name}"
        case Residue():
            return "residue()"
        case OverTile(kind, axis, a):
            return f"{'least' if kind == 'min' else 'greatest'}({axis}, {_term(a, _IF)})"
        case Rank(array, index, value):
            return f"rank({array}[{_list(index)}{', ' if index else ''}:], {_term(value, _IF)})"
        case IntLoad(array, index) | RealLoad(array, index) | BoolLoad(array, index):
            return f"{array}[{_list(index)}]"
        case Total(array, index):
            return f"total({array}[{_list(index[:-1])}{', ' if index[:-1] else ''}:{_term(index[-1], _IF)}])"
        case VecTotal(array, index):
            return (
                f"total({array}[{_list(index[:-1])}{', ' if index[:-1] else ''}:{_term(index[-1], _IF)}, :])"
            )
        case VecLoad(array, index):
            return f"{array}[{_list(index)}{', ' if index else ''}:]"
        case And(items):
            return f"all({_list(items)})"
        case Or(items):
            return f"any({_list(items)})"
        case _:
            return _call(node)


def _call(node: Node) -> str:
    match node:
        case RealCall(fn, a) | VecCall(fn, a):
            return f"{fn}({_term(a, _IF)})"
        case Row(kind, a):
            return f"{kind}({_term(a, _IF)})"
        case IntAbs(a):
            return f"abs({_term(a, _IF)})"
        case Floor(a):
            return f"floor({_term(a, _IF)})"
        case IsPow2(a):
            return f"ispow2({_term(a, _IF)})"
        case FromInt(a):
            return f"real({_term(a, _IF)})"
        case Splat(a):
            return f"splat({_term(a, _IF)})"
        case SumD(a):
            return f"sum_d({_term(a, _IF)})"
        case Dot(a, b):
            return f"dot({_list((a, b))})"
        case Rope(a, position, theta):
            return f"rope({_list((a, position, theta))})"
        case _:
            raise CompilerBug(f"no text for {node!r}")
