"""Substitution of a value for a position.

Enters: a term or a condition, a position, and the term to put in its place. Leaves: the same with the value put in,
folded again; also inside of the terms the sets know nothing about.
"""

from __future__ import annotations

from typing import cast

from attnc.errors import CompilerBug
from attnc.ir.nodes import Bool, Int, Node
from attnc.ir.walk import replace_terms
from attnc.sets.convert import to_int, to_polynomial, to_predicate
from attnc.sets.folding import choice, extreme, quotient
from attnc.sets.polynomial import Atom, Choice, Extreme, Leaf, Polynomial, Quotient, Read, Search, polynomial
from attnc.sets.predicate import All, NonNegative, Opaque, Predicate, Some, every, negation, nonnegative, some


def substitute(a: Polynomial, position: Leaf, value: Polynomial) -> Polynomial:
    if position.key not in a.leaves:
        return a
    return a.map_atoms(lambda atom: _in_atom(atom, position, value))


def substitute_in(predicate: Predicate, position: Leaf, value: Polynomial) -> Predicate:
    if position.key not in predicate.leaves:
        return predicate
    match predicate:
        case NonNegative(a):
            return nonnegative(substitute(a, position, value))
        case All(items):
            return every(substitute_in(item, position, value) for item in items)
        case Some(items):
            return some(substitute_in(item, position, value) for item in items)
        case Opaque(term, negated):
            changed = to_predicate(cast(Bool, _in_term(term, position, value)))
            return negation(changed) if negated else changed
        case _:
            raise CompilerBug(f"no substitution in {predicate!r}")


def _in_atom(atom: Atom, position: Leaf, value: Polynomial) -> Polynomial:
    match atom:
        case Leaf(term):
            if atom == position:
                return value
            return to_polynomial(cast(Int, _in_term(term, position, value)))
        case Quotient(a, n):
            return quotient(substitute(a, position, value), substitute(n, position, value))
        case Extreme(kind, items):
            return extreme(kind, (substitute(item, position, value) for item in items))
        case Choice(condition, a, b):
            then, otherwise = substitute(a, position, value), substitute(b, position, value)
            return choice(substitute_in(condition, position, value), then, otherwise)
        case Read(array, index):
            return polynomial(Read(array, tuple(substitute(item, position, value) for item in index)))
        case Search(array, index, wanted):
            places = tuple(substitute(item, position, value) for item in index)
            return polynomial(Search(array, places, substitute(wanted, position, value)))
        case _:
            raise CompilerBug(f"no substitution in the atom {type(atom).__name__}")


def _in_term(term: Node, position: Leaf, value: Polynomial) -> Node:
    return replace_terms(term, lambda node: to_int(value) if node == position.term else None)
