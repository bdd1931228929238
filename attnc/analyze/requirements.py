"""What must hold of the arguments of a call before ranges can be found.

Enters: a mask. Leaves: `Requirement`s. A position divided by a parameter, as in `i // c == j // c`, has a closed form
only where the parameter is at least 1. Zero is the caller's error anyway; a negative divisor means something in the
language but no mask anybody wants, and is refused by the call rather than paid for in every kernel.

That is fair only where the division takes place in every call. It does where the pair of the first query and the
first key reaches it: there is always one. `c == 0 or i // c == j // c` does not, and asks for nothing: the solver
takes both cases side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attnc.analyze.facts import Reason, Requirement
from attnc.ir.nodes import (
    And,
    Bool,
    BoolIf,
    Index,
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
from attnc.sets.polynomial import ZERO, Leaf, Polynomial
from attnc.sets.prover import Prover
from attnc.sets.substitute import substitute_in

Decide = Callable[[Bool], bool | None]


def find_requirements(mask: Bool) -> tuple[Requirement, ...]:
    if not any(isinstance(node, IntOp) and _divides_a_position(node) for node in walk(mask)):
        return ()
    prover = Prover()
    found: dict[Polynomial, Requirement] = {}
    for division in _divisions(mask, lambda condition: _decide_at_first_pair(condition, prover)):
        divisor = to_polynomial(division.b)
        if divisor.constant is None and not prover.prove_nonnegative(divisor - 1):
            by = print_ir(division.b)
            what = f"`{print_ir(division)}` divides by `{by}`: the call checks that `{by}` is at least 1"
            found.setdefault(divisor, Requirement(division.b, Reason(what, division.span)))
    return tuple(found.values())


def _decide_at_first_pair(condition: Bool, prover: Prover) -> bool | None:
    predicate = to_predicate(condition)
    for axis in (Index("i"), Index("j")):
        predicate = substitute_in(predicate, Leaf(axis), ZERO)
    return prover.decide(predicate)


def _divisions(node: Node, decide: Decide) -> Iterator[IntOp]:
    """Divisions of positions by scalars of the call that the first pair is certain to reach."""
    match node:
        case And(items) | Or(items):
            for item in items:
                yield from _divisions(item, decide)
                if decide(item) is not isinstance(node, And):
                    return
        case BoolIf(cond, a, b) | IntIf(cond, a, b) | RealIf(cond, a, b):
            yield from _divisions(cond, decide)
            holds = decide(cond)
            if holds is not None:
                yield from _divisions(a if holds else b, decide)
        case _:
            for child in children(node):
                yield from _divisions(child, decide)
            if isinstance(node, IntOp) and _divides_a_position(node):
                yield node


def _divides_a_position(term: IntOp) -> bool:
    return term.op in ("//", "%") and _is_scalar(term.b) and bool(axes_of(term.a) & {"i", "j"})


def _is_scalar(term: Node) -> bool:
    return all(isinstance(part, (IntConst, IntParam, Size, IntOp, IntAbs)) for part in walk(term))
