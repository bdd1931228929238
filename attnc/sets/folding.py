"""Operations on integer terms, which fold as far as they can.

Enters: polynomials. Leaves: the polynomial of an operation on them. There is no `%` and no `abs`: `x % n` is
`x - n * (x // n)` wherever it means anything, so digits cancel by themselves, and `abs(x)` is `max(x, -x)`. All that is
here holds for every value of the leaves; what holds only for a positive divisor or a position inside its sequence is
the prover's business.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import gcd
from typing import TYPE_CHECKING

from attnc.errors import CompilerBug
from attnc.ir.nodes import Int, IntConst
from attnc.sets.polynomial import ZERO, Atom, Choice, Extreme, Kind, Leaf, Polynomial, Quotient, polynomial

if TYPE_CHECKING:
    from attnc.sets.predicate import Predicate


def leaf(term: Int) -> Polynomial:
    return polynomial(term.value) if isinstance(term, IntConst) else polynomial(Leaf(term))


def quotient(a: Polynomial, n: Polynomial) -> Polynomial:
    """`a // n`. A whole multiple of `n` inside `a` stands outside; a division by the number 0 is left as it is."""
    if n.constant == 0:
        return polynomial(Quotient(a, n))
    if n.constant is not None and n.constant < 0:
        return quotient(-a, -n)
    whole = multiples(a, n)
    a = a - whole * n
    if a.constant == 0:
        return whole
    if n.constant is not None:
        if a.constant is not None:
            return whole + a.constant // n.constant
        if isinstance(a.atom, Quotient) and (a.atom.n.constant or 0) > 0:
            return whole + quotient(a.atom.a, a.atom.n * n)
        common = gcd(n.constant, *(count for product, count in a.terms.items() if product))
        a = Polynomial({product: count // common for product, count in a.terms.items()})
        n = polynomial(n.constant // common)
    return whole + (a if n.constant == 1 else polynomial(Quotient(a, n)))


def multiples(a: Polynomial, n: Polynomial) -> Polynomial:
    """The `k` for which `k * n` can be taken out of `a` term by term; of a number `n`, also out of the offset."""
    if n.constant is not None:
        taken = {p: count // n.constant for p, count in a.terms.items() if not p or count % n.constant == 0}
        return Polynomial(taken)
    if len(n.terms) > 1:
        return next((polynomial(sign) for sign in (1, -1) if a == n * sign), ZERO)
    ((divisor, by),) = n.terms.items()
    taken = {}
    for product, count in a.terms.items():
        rest = _without(product, divisor)
        if count % by == 0 and rest is not None:
            taken[rest] = count // by
    return Polynomial(taken)


def _without(product: tuple[Atom, ...], divisor: tuple[Atom, ...]) -> tuple[Atom, ...] | None:
    rest = list(product)
    for atom in divisor:
        if atom not in rest:
            return None
        rest.remove(atom)
    return tuple(rest)


def extreme(kind: Kind, items: Iterable[Polynomial]) -> Polynomial:
    """The least or the greatest. Of two items that differ by a number, one is enough."""
    kept: list[Polynomial] = []
    for item in items:
        for new in item.atom.items if isinstance(item.atom, Extreme) and item.atom.kind == kind else (item,):
            gaps = [(new - old).constant for old in kept]
            if any(gap is not None and (gap >= 0 if kind == "min" else gap <= 0) for gap in gaps):
                continue
            kept = [old for old, gap in zip(kept, gaps, strict=True) if gap is None]
            kept.append(new)
    if not kept:
        raise CompilerBug(f"the {kind} of nothing")
    return kept[0] if len(kept) == 1 else polynomial(Extreme(kind, tuple(sorted(kept))))


def items_of(end: Polynomial, kind: Kind) -> tuple[Polynomial, ...]:
    """What to be at least (`max`) or at most (`min`) the term is to be at least or at most each of."""
    for atom in end.atoms:
        factor, rest = end.split(atom)
        if isinstance(atom, Extreme) and atom.kind == kind and factor.constant == 1:
            return tuple(item + rest for item in atom.items)
    return (end,)


def choice(condition: Predicate, a: Polynomial, b: Polynomial) -> Polynomial:
    """`a` where the condition holds, else `b`. Within either the condition is decided."""
    if condition.truth is not None:
        return a if condition.truth else b
    a, b = _decided(a, condition, True), _decided(b, condition, False)
    return a if a == b else polynomial(Choice(condition, a, b))


def _decided(a: Polynomial, condition: Predicate, holds: bool) -> Polynomial:
    """The term without choices by a condition that holds, or does not."""
    if f"?{condition.key}:" not in a.key:
        return a

    def change(atom: Atom) -> Polynomial:
        match atom:
            case Choice(other, x, y) if other == condition:
                return _decided(x if holds else y, condition, holds)
            case Choice(other, x, y):
                return choice(other, _decided(x, condition, holds), _decided(y, condition, holds))
            case Extreme(kind, items):
                return extreme(kind, (_decided(item, condition, holds) for item in items))
            case Quotient(x, n):
                return quotient(_decided(x, condition, holds), _decided(n, condition, holds))
            case _:
                return polynomial(atom)

    return a.map_atoms(change)
