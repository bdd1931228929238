"""Of how many features of a query and of a key a sum of terms is a dot product.

Enters: terms in which the query and the key stand apart, and the attention that they are of. Leaves: an integer in the
sizes of a call: one for each product of numbers, the width of a dot product, and of its powers the products of so many
features, each once.
"""

from __future__ import annotations

from collections import Counter

from attnc.algebra.separated import DotFactor, Term
from attnc.analyze.widths import width_of
from attnc.ir import build
from attnc.ir.nodes import Attention, Int, IntConst, Size


def features_of(terms: tuple[Term, ...], attention: Attention) -> Int:
    """How many there are, of all terms together."""
    counts: Counter[Int] = Counter()
    for term in terms:
        rows: Int = IntConst(1)
        for dot in term.dots:
            rows = build.integer("*", rows, _products(_width(dot, attention), dot.power))
        counts[rows] += 1
    whole: Int = IntConst(0)
    for rows, count in counts.items():
        whole = build.integer("+", whole, build.integer("*", IntConst(count), rows))
    return whole


def _width(dot: DotFactor, attention: Attention) -> Int:
    vectors = (dot.query, dot.key, *(dot.gate or ()))
    return next((width for vec in vectors if (width := width_of(vec, attention)) is not None), Size("D"))


def _products(width: Int, power: int) -> Int:
    """How many products of `power` numbers there are, of `width` of them: a binomial."""
    whole, below = width, 1
    for n in range(1, power):
        whole = build.integer("*", whole, build.integer("+", width, IntConst(n)))
        below *= n + 1
    return build.integer("//", whole, IntConst(below))
