"""What must hold of an attention between any two stages.

Enters: an attention. Leaves: nothing, or a `CompilerBug` that names the clause and the term at fault:

1. every field holds what its class declares; both sides of a comparison have one sort, and nothing is left that
   belongs into facts (`TileEnd`, `Period`, `Coordinate`, `Residue`, `OverTile`, `Rank`, `LogSumExp`, `RowMax`,
   `RowLog`, `RowSum`);
2. every name is that of a parameter, of its sort; an array has one index for each dimension (a row of it, one less);
3. a clause speaks only of the positions and vectors it has; the score and reductions over a row stand in `normalize`;
4. a vector has a width: where one is needed stands an input or a load, not a number in place of a vector alone;
5. sizes and grid extents are made of sizes, int parameters and numbers;
6. a parameter stands once, a default has its sort, and only arrays are `sorted`.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from attnc.errors import CompilerBug
from attnc.ir.nodes import (
    Attention,
    BoolLoad,
    BoolParam,
    Compare,
    Coordinate,
    Count,
    Dot,
    Index,
    Int,
    IntAbs,
    IntConst,
    IntLoad,
    IntOp,
    IntParam,
    LogSumExp,
    Member,
    Node,
    OverTile,
    Param,
    Period,
    Rank,
    RealLoad,
    RealParam,
    Residue,
    Rope,
    Row,
    RowLog,
    RowMax,
    RowSum,
    Score,
    Size,
    SumD,
    TileEnd,
    Total,
    Vec,
    VecCall,
    VecIf,
    VecInput,
    VecLoad,
    VecOp,
    VecTotal,
)
from attnc.ir.walk import walk

# The positions and vectors that each clause has; `s` stands for the score and all that is known of a row.
CLAUSE_NAMES: dict[str, frozenset[str]] = {
    "query": frozenset({"b", "h", "i", "q"}),
    "key": frozenset({"b", "h", "j", "k"}),
    "value": frozenset({"b", "h", "j", "v"}),
    "mask": frozenset({"b", "h", "i", "j"}),
    "score": frozenset({"b", "h", "i", "j", "q", "k"}),
    "normalize": frozenset({"b", "h", "i", "j", "s"}),
    "output": frozenset({"b", "h", "i", "o", "v_i"}),
}
_ANYWHERE = frozenset[str]().union(*CLAUSE_NAMES.values())


def verify(attention: Attention) -> None:
    """Raise `CompilerBug` unless the attention is one."""
    params = {param.name: param for param in attention.params}
    _need(len(params) == len(attention.params), f"`{attention.name}` has two parameters of one name")
    _verify_fields(attention, f"`{attention.name}`")
    for param in attention.params:
        _verify_param(param, params)
    for axis in attention.grid:
        _verify_fields(axis, f"grid axis `{axis.name}`")
        _verify_size(axis.extent, params, f"grid axis `{axis.name}`")
    for name, term in attention.lets:
        _verify_clause(term, _ANYWHERE, params, f"`let {name}`")
    for word, names in CLAUSE_NAMES.items():
        clause = getattr(attention, word)
        _verify_clause(clause, names, params, f"`{word}`")
        _verify_width(clause, f"`{word}`")


def _need(holds: bool, complaint: str) -> None:
    if not holds:
        raise CompilerBug(complaint)


def _verify_clause(clause: Node, names: frozenset[str], params: dict[str, Param], where: str) -> None:
    for node in walk(clause):
        _verify_fields(node, where)
        _verify_names(node, names, where)
        _verify_reads(node, params, where)
        match node:
            case Dot(a, b):
                _verify_width(a, where)
                _verify_width(b, where)
            case SumD(a) | VecCall("l2", a) | Rope(a):
                _verify_width(a, where)


def _verify_width(clause: Node, where: str) -> None:
    if isinstance(clause, Vec):
        _need(
            _has_width(clause), f"{where} holds a number in place of a vector, which has no width: {clause!r}"
        )


def _has_width(vec: Vec) -> bool:
    match vec:
        case VecInput() | VecLoad() | VecTotal():
            return True
        case VecCall(_, a) | Rope(a):
            return _has_width(a)
        case VecOp(_, a, b) | VecIf(_, a, b):
            return _has_width(a) or _has_width(b)
        case _:
            return False


def _verify_names(node: Node, names: frozenset[str], where: str) -> None:
    match node:
        case Index(name) | VecInput(name):
            _need(name in names, f"{where} speaks of `{name}`, which it does not have")
        case Score() | Row() | Count():
            _need("s" in names, f"{where} holds {node!r}, which belongs into `normalize`")
        case (
            TileEnd() | Period() | Coordinate() | Residue() | OverTile() | Rank()
            | LogSumExp() | RowMax() | RowLog() | RowSum()
        ):  # fmt: skip
            raise CompilerBug(f"{where} holds {node!r}, which belongs into facts")
        case Compare(_, a, b):
            _need(isinstance(a, Int) == isinstance(b, Int), f"{where} compares two sorts: {node!r}")


def _verify_reads(node: Node, params: dict[str, Param], where: str) -> None:
    match node:
        case IntParam(name):
            _verify_read(name, "int", 0, params, where)
        case RealParam(name):
            _verify_read(name, "float", 0, params, where)
        case BoolParam(name):
            _verify_read(name, "bool", 0, params, where)
        case IntLoad(array, index):
            _verify_read(array, "int", len(index), params, where, is_array=True)
        case RealLoad(array, index):
            _verify_read(array, "float", len(index), params, where, is_array=True)
        case BoolLoad(array, index):
            _verify_read(array, "bool", len(index), params, where, is_array=True)
        case Total(array, index):
            _verify_read(array, "float", len(index), params, where, is_array=True)
        case VecLoad(array, index) | VecTotal(array, index):
            _verify_read(array, "float", len(index) + 1, params, where, is_array=True)
        case Member(_, array, index):
            _verify_read(array, "int", len(index) + 1, params, where, is_array=True)


def _verify_read(
    name: str, sort: str, rank: int, params: dict[str, Param], where: str, *, is_array: bool = False
) -> None:
    _need(name in params, f"{where} reads `{name}`, which is no parameter")
    param = params[name]
    _need(param.sort == sort, f"{where} reads `{name}` as {sort}, and it is {param.sort}")
    _need(
        bool(param.sizes) == is_array, f"{where} takes `{name}` for {'an array' if is_array else 'a scalar'}"
    )
    _need(len(param.sizes) == rank, f"{where} reads `{name}` in {rank} dimensions of its {len(param.sizes)}")


def _verify_param(param: Param, params: dict[str, Param]) -> None:
    where = f"parameter `{param.name}`"
    _verify_fields(param, where)
    for size in param.sizes:
        _verify_size(size, params, where)
    _need(bool(param.sizes) or not param.sorted, f"{where} is a scalar, and `sorted`")
    if param.default is not None:
        _need(not param.sizes, f"{where} is an array, and has a default")
        kind = type(param.default).__name__
        _need(kind == param.sort, f"{where} is {param.sort}, and has the default {param.default!r}")


def _verify_size(size: Int, params: dict[str, Param], where: str) -> None:
    for node in walk(size):
        _verify_fields(node, where)
        _verify_reads(node, params, where)
        _need(
            isinstance(node, IntConst | Size | IntParam | IntOp | IntAbs),
            f"{where} has a size that depends on {node!r}",
        )


# ---- what the classes declare ----------------------------------------------------------------------


def _verify_fields(node: Node, where: str) -> None:
    kind: Any = type(node)
    for name, declared in _declared(kind).items():
        value = getattr(node, name)
        _need(_fits(value, declared), f"{where}: `{name}` of {type(node).__name__} holds {value!r}")


@cache
def _declared(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _fits(value: object, declared: Any) -> bool:
    origin = get_origin(declared)
    if origin is Literal:
        return value in get_args(declared)
    if origin is UnionType:
        return any(_fits(value, option) for option in get_args(declared))
    if origin is tuple:
        parts = get_args(declared)
        if not isinstance(value, tuple):
            return False
        if parts[-1] is Ellipsis:
            return all(_fits(item, parts[0]) for item in value)
        return len(value) == len(parts) and all(map(_fits, value, parts))
    # A bool is an int to Python and not to us.
    return isinstance(value, declared) and (declared is not int or not isinstance(value, bool))
