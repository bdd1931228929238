"""The traversal of terms.

Enters: a term. Leaves: all terms in it, the indices it depends on, or the term with parts replaced. All
of it is generic over the fields of a node, so a new node needs nothing here but its meaning in `axes_of` and
`rebuild`. A term that stands in several places is visited once: `let`s and macros share what they name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from operator import is_
from typing import Literal

from attnc.errors import CompilerBug
from attnc.ir import build
from attnc.ir.nodes import (
    And,
    BoolIf,
    Compare,
    Coordinate,
    Count,
    Dot,
    Floor,
    FromInt,
    Index,
    IntAbs,
    IntIf,
    IntOp,
    IsPow2,
    LogSumExp,
    Node,
    Not,
    Or,
    RealCall,
    RealIf,
    RealOp,
    Row,
    RowLog,
    RowMax,
    RowSum,
    Score,
    VecCall,
    VecIf,
    VecInput,
    VecOp,
    nodes_in,
)

Axis = Literal["b", "h", "i", "j"]

_NO_AXES: frozenset[Axis] = frozenset()
_OF_QUERY: frozenset[Axis] = frozenset({"b", "h", "i"})
_OF_KEY: frozenset[Axis] = frozenset({"b", "h", "j"})
_OF_PAIR = _OF_QUERY | _OF_KEY


def walk(node: Node) -> tuple[Node, ...]:
    """The node and every node below it, from the outside in and from left to right, each object once."""
    if not hasattr(node, "below"):
        seen, todo = {id(node)}, [*reversed(node.children)]
        below: list[Node] = []
        while todo:
            here = todo.pop()
            if id(here) not in seen:
                seen.add(id(here))
                below.append(here)
                todo += reversed(here.children)
        object.__setattr__(node, "below", tuple(below))
    return node, *node.below


def holds(node: Node, *kinds: type[Node]) -> bool:
    """Does a node of one of these kinds occur in the term, also inside of reductions?"""
    if not hasattr(node, "kinds"):
        found = {kind for part in walk(node) for kind in type(part).__mro__}
        object.__setattr__(node, "kinds", frozenset(found))
    return not node.kinds.isdisjoint(kinds)


def axes_of(node: Node) -> frozenset[Axis]:
    """The indices a term depends on. The vectors of a token depend on its position, a row reduction on its row."""
    if not hasattr(node, "axes"):
        below = _NO_AXES.union(*map(axes_of, node.children))
        match node:
            case Index(axis) | Coordinate(axis):
                below = frozenset({axis})
            case VecInput("q" | "o" | "v_i"):
                below = _OF_QUERY
            case VecInput("k" | "v"):
                below = _OF_KEY
            case Score():
                below = _OF_PAIR
            case Row() | Count() | LogSumExp() | RowMax() | RowLog() | RowSum():
                below = _OF_QUERY
        object.__setattr__(node, "axes", below)
    return node.axes


def replace_terms(node: Node, change: Callable[[Node], Node | None], *kinds: type[Node]) -> Node:
    """The node with parts replaced, in canonical form.

    `change` is asked for every term, outermost first. Where it answers a term, that stands in its place as it is;
    where it answers None, the children are replaced. What does not change stays the same object. It answers to nodes
    of these `kinds` alone, if any are named: what holds none of them is left as it is.
    """
    known: dict[int, Node] = {}

    def visit(here: Node) -> Node:
        if kinds and not holds(here, *kinds):
            return here
        if id(here) not in known:
            answer = change(here)
            known[id(here)] = map_children(here, visit) if answer is None else answer
        return known[id(here)]

    return visit(node)


def map_children(node: Node, change: Callable[[Node], Node]) -> Node:
    """The node with `change` done to each child; the same object where nothing changed."""
    before = node.children
    after = tuple(map(change, before))
    return node if all(map(is_, after, before)) else rebuild(node, after)


def rebuild(node: Node, parts: Sequence[Node]) -> Node:
    """A node like this one with other children (in the order of `children`), in canonical form."""
    given = iter(parts)

    def put(value: object) -> object:
        if isinstance(value, Node):
            return next(given)
        if isinstance(value, tuple):
            return tuple(put(item) for item in value)
        return value

    changed = {
        field.name: put(value)
        for field in fields(node)
        if field.name != "span" and any(nodes_in(value := getattr(node, field.name)))
    }
    if any(True for _ in given):
        raise CompilerBug(f"too many parts for {node}")
    return canonical(replace(node, **changed))  # type: ignore[arg-type]


def canonical(node: Node) -> Node:
    """The same node as its builder would have built it from its children as they are."""
    span = node.span
    match node:
        case IntOp(op, a, b):
            return build.integer(op, a, b, span=span)
        case IntAbs(a):
            return build.int_abs(a, span=span)
        case Floor(a):
            return build.floor(a, span=span)
        case IntIf(cond, a, b):
            return build.choose(cond, a, b, span=span)
        case BoolIf(cond, a, b):
            return build.choose(cond, a, b, span=span)
        case RealIf(cond, a, b):
            return build.choose(cond, a, b, span=span)
        case VecIf(cond, a, b):
            return build.choose(cond, a, b, span=span)
        case Compare(op, a, b):
            return build.compare(op, a, b, span=span)
        case And(items):
            return build.conj(*items, span=span)
        case Or(items):
            return build.disj(*items, span=span)
        case Not(a):
            return build.negate(a, span=span)
        case IsPow2(a):
            return build.is_pow2(a, span=span)
        case FromInt(a):
            return build.from_int(a, span=span)
        case RealOp(op, a, b):
            return build.real(op, a, b, span=span)
        case RealCall(fn, a):
            return build.call(fn, a, span=span)
        case VecOp(op, a, b):
            return build.vector(op, a, b, span=span)
        case VecCall(fn, a):
            return build.vec_call(fn, a, span=span)
        case _:
            return node


def is_invariant(term: Node) -> bool:
    """Free of both positions: one number for a whole program of a kernel."""
    return axes_of(term).isdisjoint("ij") and not holds(term, Dot)
