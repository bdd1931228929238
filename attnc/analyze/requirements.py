"""What must hold of the arguments of a call before ranges can be found.

Enters: a mask. Leaves: `Requirement`s. A position divided by a parameter, as in `i // c == j // c`, has a closed form
only where the parameter is at least 1. Zero is the caller's error anyway; a negative divisor means something in the
language but no mask anybody wants, and is refused by the call rather than paid for in every kernel.

That is fair only where nobody could mean to switch the division off. Two kinds of conditions before it can: those that
speak of the call alone (`not local or i // c == j // c`), and those that speak of the divisor (`c == 0 or i // c == j
// c`). Behind them nothing is asked for, and the solver takes both cases side by side. Conditions on positions do not:
in `j < prefix or i // c == j // c` a pair divides as soon as there is a key behind the prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attnc.analyze.facts import Reason, Requirement
from attnc.ir.nodes import (
    And,
    Bool,
    BoolIf,
    IntAbs,
    IntConst,
    IntIf,
    IntOp,
    IntParam,
    Node,
    Or,
    RealIf,
    Size,
)
from attnc.ir.text import print_ir
from attnc.ir.walk import axes_of, children, walk
from attnc.sets.convert import to_polynomial, to_predicate
from attnc.sets.polynomial import Polynomial
from attnc.sets.prover import Prover

Decide = Callable[[Bool], bool | None]


def find_requirements(mask: Bool) -> tuple[Requirement, ...]:
    if not any(isinstance(node, IntOp) and _divides_a_position(node) for node in walk(mask)):
        return ()
    prover = Prover()
    found: dict[Polynomial, Requirement] = {}
    divisions = _divisions(mask, (), lambda condition: prover.decide(to_predicate(condition)))
    for division in (each for outer in divisions for each in _inside_out(outer)):
        divisor = to_polynomial(division.b)
        if divisor.constant is None and not prover.prove_nonnegative(divisor - 1):
            by = print_ir(division.b)
            what = f"`{print_ir(division)}` divides by `{by}`: the call checks that `{by}` is at least 1"
            found.setdefault(divisor, Requirement(division.b, Reason(what, division.span)))
    return tuple(found.values())


def _inside_out(division: IntOp) -> Iterator[IntOp]:
    """The divisions that make its divisor, which have to be possible before it is, and the division itself."""
    inside = [part for part in walk(division.b) if isinstance(part, IntOp) and part.op in ("//", "%")]
    yield from reversed(inside)
    yield division


def _divisions(node: Node, before: tuple[Bool, ...], decide: Decide) -> Iterator[IntOp]:
    """Divisions of positions by scalars of the call that no condition `before` them is there to switch off."""
    match node:
        case And(items) | Or(items):
            for item in items:
                yield from _divisions(item, before, decide)
                holds = decide(item)
                if holds is None:
                    before = (*before, item)
                elif holds is not isinstance(node, And):
                    return
        case BoolIf(cond, a, b) | IntIf(cond, a, b) | RealIf(cond, a, b):
            yield from _divisions(cond, before, decide)
            holds = decide(cond)
            if holds is not False:
                yield from _divisions(a, before if holds else (*before, cond), decide)
            if holds is not True:
                yield from _divisions(b, before if holds is False else (*before, cond), decide)
        case _:
            for child in children(node):
                yield from _divisions(child, before, decide)
            if (
                isinstance(node, IntOp)
                and _divides_a_position(node)
                and not any(_is_a_switch(condition, node.b) for condition in before)
            ):
                yield node


def _is_a_switch(condition: Bool, divisor: Node) -> bool:
    """Is it there to say whether one divides?"""
    return not _moves(condition) or bool(set(_names(condition)) & set(_names(divisor)))


def _names(node: Node) -> Iterator[Node]:
    """The names that a term speaks of, other than to divide by them."""
    match node:
        case IntParam() | Size():
            yield node
        case IntOp("//" | "%", a, _):
            yield from _names(a)
        case _:
            for child in children(node):
                yield from _names(child)


def _divides_a_position(term: IntOp) -> bool:
    return term.op in ("//", "%") and _is_scalar(term.b) and _moves(term.a)


def _is_scalar(term: Node) -> bool:
    return all(isinstance(part, (IntConst, IntParam, Size, IntOp, IntAbs)) for part in walk(term))


def _moves(term: Node) -> bool:
    return bool(axes_of(term) & {"i", "j"})
