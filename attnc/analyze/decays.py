"""Decays: exponents that fade from the last key that a query sees to the keys before it.

Enters: the parts of the query and of the key of an exponent, and how far behind its position a query sees keys. Leaves:
what is left of it at that last key, where the query's position has no part in that. A state then fades by the key's
part from key to key, and what is left is a number of the call, as of `gamma ** (i + M - N - j)` nothing is under
`j <= i + M - N`.
"""

from __future__ import annotations

from attnc.algebra.known import Known
from attnc.algebra.polynomials import Polynomial
from attnc.algebra.separate import Separator
from attnc.algebra.separated import Refused
from attnc.ir import build
from attnc.ir.nodes import Index, Int, Node, Real, Vec, VecInput
from attnc.ir.walk import holds, replace_terms
from attnc.sets.convert import to_int, to_polynomial

I, J = Index("i"), Index("j")


def left_at_last_key(pair: tuple[Node, Node], offset: Int) -> Polynomial | None:
    """The query's part less the key's at position `i + offset`; None where that knows the query."""
    if any(holds(each, VecInput) for each in pair):
        return None
    separator = Separator(Known())
    last = build.integer("+", I, offset)
    of_query, of_key = (_at(each, last) for each in pair)
    try:
        left = separator.exponent_of(of_query) - separator.exponent_of(of_key)
    except Refused:
        return None
    return left if separator.atoms.side_of(left) == "call" else None


def _at(exponent: Node, last: Int) -> Real | Vec:
    """The exponent with the last key in the place of any key; what is the same position is the same term."""
    moved = replace_terms(exponent, lambda part: last if part == J else None)
    written = replace_terms(
        moved, lambda part: to_int(to_polynomial(part)) if isinstance(part, Int) else None
    )
    assert isinstance(written, Real | Vec)
    return written
