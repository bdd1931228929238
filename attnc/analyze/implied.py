"""Simplification under the mask: terms and clauses that other clauses make shorter at every visible pair.

Enters: an attention. Leaves: `Implied`: terms of the score that are simpler under the mask (`abs(i - j)` is `i - j`
where no key is later than its query), and clauses of the mask that the others imply. At a hidden pair a term may then
have another value, or none: whatever a score is there, -inf or 0 takes its place.
"""

from __future__ import annotations

from attnc.analyze.clauses import clause_text
from attnc.analyze.facts import Implied, Reason
from attnc.analyze.ranges import make_plane
from attnc.analyze.requirements import find_requirements
from attnc.ir import build
from attnc.ir.nodes import (
    And,
    Attention,
    Bool,
    FromInt,
    Int,
    IntAbs,
    IntIf,
    IntOp,
    Node,
    RealCall,
    RealIf,
    VecIf,
)
from attnc.ir.text import print_ir
from attnc.ir.walk import axes_of, walk
from attnc.sets.convert import to_int, to_polynomial, to_predicate
from attnc.sets.predicate import every
from attnc.sets.prover import Prover


def find_implied(attention: Attention) -> Implied:
    plane = make_plane("j", find_requirements(attention.mask, attention.grid), attention.params)
    visible = plane.prover.given(to_predicate(attention.mask))
    terms: dict[Node, Node] = {}
    because: list[Reason] = []
    for term in dict.fromkeys(walk(attention.score)):
        simpler = _simpler(term, visible) if {"i", "j"} <= axes_of(term) else None
        if simpler is not None:
            terms[term] = simpler
            text = f"`{print_ir(term)}` is `{print_ir(simpler)}` wherever a key is visible"
            because.append(Reason(text, term.span))
    clauses, dropped = _without_implied(attention.mask, plane.prover)
    for clause in dropped:
        because.append(Reason(f"`{clause_text(clause)}` is implied by the other clauses", clause.span))
    mask = build.conj(*clauses, span=attention.mask.span) if dropped else attention.mask
    return Implied(mask, terms, tuple(because))


def _simpler(term: Node, visible: Prover) -> Node | None:
    """The term that it is at every visible pair, where one was found."""
    match term:
        case IntAbs(a):
            return _magnitude(a, visible)
        case RealCall("abs", FromInt(a)):
            found = _magnitude(a, visible)
            return None if found is None else build.from_int(found)
        case IntOp("min" | "max" as op, a, b):
            x, y = to_polynomial(a), to_polynomial(b)
            if visible.prove_at_most(x, y):
                return a if op == "min" else b
            return (b if op == "min" else a) if visible.prove_at_most(y, x) else None
        case IntIf(cond, a, b) | RealIf(cond, a, b) | VecIf(cond, a, b):
            holds = visible.decide(to_predicate(cond))
            return None if holds is None else a if holds else b
    return None


def _magnitude(a: Int, visible: Prover) -> Int | None:
    sign = visible.sign(to_polynomial(a))
    return a if sign > 0 else to_int(-to_polynomial(a)) if sign < 0 else None


def _without_implied(mask: Bool, prover: Prover) -> tuple[list[Bool], list[Bool]]:
    """The clauses that are left, and those that follow from them; later ones go first.

    All others are looked at for each, as long as there are steps for it.
    """
    clauses = mask.items if isinstance(mask, And) else (mask,)
    left, dropped = {clause: to_predicate(clause) for clause in clauses}, list[Bool]()
    for clause in clauses[::-1]:
        others = every(known for other, known in left.items() if other is not clause)
        if len(left) == 1 or not prover.budget.spend(len(others.key)):
            break
        if prover.given(others).prove(left[clause]):
            del left[clause]
            dropped.append(clause)
    return list(left), dropped
