"""What must hold of the arguments of a call before ranges can be found.

Enters: a mask and its grid. Leaves: `Requirement`s. A position divided by a parameter, as in `i // c == j // c`, has a
closed form worth having only where the parameter is at least 1. Zero is the caller's error anyway; a negative divisor
means something in the language but no mask anybody wants, and is refused by the call rather than paid for in every
kernel.

That is fair only where nobody could mean to switch the division off. Two kinds of conditions before it can: those that
speak of the call alone (`not local or i // c == j // c`), and those that speak of the divisor (`c == 0 or i // c == j
// c`). Suffix them nothing is asked for, and the solver takes both cases side by side. Conditions on positions do not:
in `j < prefix or i // c == j // c` a pair divides as soon as there is a key behind the prefix. Nor does anybody switch
off a grid: its extents are at least 1 wherever there are tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from attnc.analyze.facts import Reason, Requirement
from attnc.ir.nodes import (
    And,
    Bool,
    BoolIf,
    GridAxis,
    Int,
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
from attnc.ir.walk import axes_of, walk
from attnc.sets.convert import to_polynomial, to_predicate
from attnc.sets.polynomial import Polynomial
from attnc.sets.predicate import every, nonnegative
from attnc.sets.prover import Prover

Decide = Callable[[Bool], bool | None]


def find_requirements(mask: Bool, grid: Sequence[GridAxis] = ()) -> tuple[Requirement, ...]:
    if not any(isinstance(node, IntOp) and _divides_a_position(node) for node in walk(mask)):
        return ()
    prover, extents = Prover(), {to_polynomial(axis.extent): axis.extent for axis in grid}
    with_tokens = prover.given(every(nonnegative(extent - 1) for extent in extents))
    found: dict[Polynomial, Requirement] = {}

    def require(divisor: Int, division: IntOp) -> None:
        form, by = to_polynomial(divisor), print_ir(divisor)
        if form.constant is None and not prover.prove_nonnegative(form - 1):
            what = f"`{print_ir(division)}` divides by `{by}`: the call checks that `{by}` is at least 1"
            found.setdefault(form, Requirement(divisor, Reason(what, division.span)))

    for division, before in _divisions(
        mask, Before(), lambda condition: prover.decide(to_predicate(condition))
    ):
        for each in _inside_out(division):
            if not before.may_switch_off(each.b):
                require(each.b, each)
            elif with_tokens.prove_nonnegative(to_polynomial(each.b) - 1):
                divisor = to_polynomial(each.b)
                for form, extent in extents.items():
                    if form.leaves & divisor.leaves:
                        require(extent, each)
    return tuple(found.values())


@dataclass(frozen=True)
class Before:
    """The conditions before a division: does one speak of the call alone, and what numbers do the others name?"""

    is_switch: bool = False
    names: frozenset[Node] = frozenset()

    def and_also(self, condition: Bool) -> Before:
        if self.is_switch or not _moves(condition):
            return Before(is_switch=True)
        return Before(names=self.names.union(_names(condition)))

    def may_switch_off(self, divisor: Node) -> bool:
        """Is one of them there to say whether one divides?"""
        return self.is_switch or not self.names.isdisjoint(_names(divisor))


def _inside_out(division: IntOp) -> Iterator[IntOp]:
    """The divisions that make its divisor, which have to be possible before it is, and the division itself."""
    inside = [part for part in walk(division.b) if isinstance(part, IntOp) and part.op in ("//", "%")]
    yield from reversed(inside)
    yield division


def _divisions(node: Node, before: Before, decide: Decide) -> Iterator[tuple[IntOp, Before]]:
    """Divisions of positions by scalars of the call, each with the conditions before it."""
    match node:
        case And(items) | Or(items):
            for item in items:
                yield from _divisions(item, before, decide)
                holds = decide(item)
                if holds is None:
                    before = before.and_also(item)
                elif holds is not isinstance(node, And):
                    return
        case BoolIf(cond, a, b) | IntIf(cond, a, b) | RealIf(cond, a, b):
            yield from _divisions(cond, before, decide)
            holds = decide(cond)
            if holds is not False:
                yield from _divisions(a, before if holds else before.and_also(cond), decide)
            if holds is not True:
                yield from _divisions(b, before if holds is False else before.and_also(cond), decide)
        case _:
            for child in node.children:
                yield from _divisions(child, before, decide)
            if isinstance(node, IntOp) and _divides_a_position(node):
                yield node, before


def _names(node: Node) -> Iterator[Node]:
    """The names that a term speaks of, other than to divide by them."""
    match node:
        case IntParam() | Size():
            yield node
        case IntOp("//" | "%", a, _):
            yield from _names(a)
        case _:
            for child in node.children:
                yield from _names(child)


def _divides_a_position(term: IntOp) -> bool:
    return term.op in ("//", "%") and _is_scalar(term.b) and _moves(term.a)


def _is_scalar(term: Node) -> bool:
    return all(isinstance(part, (IntConst, IntParam, Size, IntOp, IntAbs)) for part in walk(term))


def _moves(term: Node) -> bool:
    return bool(axes_of(term) & {"i", "j"})
