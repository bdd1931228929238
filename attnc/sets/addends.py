"""What the items of a `min` or a `max` have in common, in front of it.

Enters: a term. Leaves: the same, as a person would write it: `p + max(x, 0)` for `max(p, p + x)`, and `p - min(x, y)`
for `max(p - x, p - y)`. Proofs do with either; the first is shorter to read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce

from attnc.sets.folding import extreme
from attnc.sets.polynomial import Atom, Extreme, Polynomial, polynomial


def in_front(a: Polynomial) -> Polynomial:
    """A number goes into the only `min` or `max` if fewer are left: `n + max(x, 0)` for `n + max(x - 1, -1) + 1`."""
    shorter = a.map_atoms(_in_front_of)
    for atom in shorter.atoms if shorter.offset else ():
        factor, rest = shorter.split(atom)
        if isinstance(atom, Extreme) and factor.constant in (1, -1) and not _has_others(atom, shorter):
            items = [item + rest.offset * factor.constant for item in atom.items]
            if _numbers(items) < _numbers(atom.items) + 1:
                return in_front(rest - rest.offset + extreme(atom.kind, items) * factor)
    return shorter


def _has_others(atom: Extreme, a: Polynomial) -> bool:
    return any(isinstance(other, Extreme) and other != atom for other in a.atoms)


def _numbers(items: Iterable[Polynomial]) -> int:
    return sum(1 for item in items if item.offset)


def _in_front_of(atom: Atom) -> Polynomial:
    match atom:
        case Extreme(kind, items):
            items = tuple(map(in_front, items))
            shared = reduce(_shared, items)
            left = [item - shared for item in items]
            if shared.terms and _is_rather_negative(left):
                return shared - extreme("max" if kind == "min" else "min", (-item for item in left))
            return shared + extreme(kind, left)
        case _:
            return polynomial(atom)


def _shared(a: Polynomial, b: Polynomial) -> Polynomial:
    """The products that stand in both, as often in one as in the other; a number stays where it is."""
    return Polynomial(
        {product: count for product, count in a.terms.items() if product and b.terms.get(product) == count}
    )


def _is_rather_negative(items: Sequence[Polynomial]) -> bool:
    signs = [1 if count > 0 else -1 for item in items for product, count in item.terms.items() if product]
    return sum(signs) < 0
