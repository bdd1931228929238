"""A weight of a pair as a sum of terms in which the query and the key stand apart.

Enters: nothing. Leaves: `Term`s, as values. Of term after term

    W(i, j) = sum of  share * query(i) * key(j) * exp(G(i) - H(j)) * product of dots,
    dot     = (sum over d of  query_d(i) * key_d(j) * exp(P_d(i) - R_d(j))) ** power

a row of weights times values is a sum over keys that does not know the query, times what the query adds. All parts are
terms of the IR, in which `q` and `k` are those of a score: torch computes, and differentiates, each once for a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from attnc.ir import build
from attnc.ir.nodes import Dot, Index, Node, Real, RealConst, RealOp, SumD, Vec, VecInput
from attnc.ir.walk import holds, replace_terms
from attnc.ir.words import say

ONE = RealConst(1.0)


@dataclass(frozen=True, slots=True)
class DotFactor:
    """A dot product of the query's and the key's vector, to a whole power; `gate` knows each channel for itself."""

    query: Vec
    key: Vec
    gate: tuple[Vec, Vec] | None = None
    power: int = 1

    @property
    def term(self) -> Real:
        """As a term of a pair."""
        dot: Real = Dot(self.query, self.key)
        if self.gate:
            apart = build.vec_call("exp", build.vector("-", *self.gate))
            dot = SumD(build.vector("*", build.vector("*", self.query, self.key), apart))
        return build.real("**", dot, RealConst(float(self.power)))


@dataclass(frozen=True, slots=True)
class Term:
    """A summand of a weight: a product in which the query and the key stand apart.

    `share` knows the batch entry, the head, parameters and sizes. `query` and the first of each pair know position `i`
    beside them, and its numbers of a row, `key` and the second of each pair position `j`. A negative exponent of the
    key stands as it is subtracted: `exp(c[j])` has the pair `(0.0, -c[j])`.
    """

    share: Real = ONE
    query: Real = ONE
    key: Real = ONE
    exponent: tuple[Real, Real] | None = None
    dots: tuple[DotFactor, ...] = ()

    @property
    def exponents(self) -> tuple[tuple[Real, Real] | tuple[Vec, Vec], ...]:
        """Its own, and the gates of its dot products."""
        own = (self.exponent,) if self.exponent else ()
        return (*own, *(dot.gate for dot in self.dots if dot.gate))

    @property
    def term(self) -> Real:
        """As a term of a pair."""
        factors = [self.share, self.query, self.key]
        if self.exponent:
            factors.append(build.call("exp", difference(*self.exponent)))
        result: Real = ONE
        for factor in (*factors, *(dot.term for dot in self.dots)):
            result = build.real("*", result, factor)
        return result


def sum_of(terms: Sequence[Term]) -> Real:
    """Their sum, as a person would write it: what is added before what is subtracted, where it would come first."""
    parts = [signed(each) for each in terms]
    lead = next((part for part in parts if part[0] == "+"), None)
    whole: Real = RealConst(0.0) if lead is None else lead[1]
    for part in parts:
        if part is lead:
            continue
        sign, each = part
        whole = build.negative(each) if whole == RealConst(0.0) else build.real(sign, whole, each)
    return whole


def signed(term: Term) -> tuple[Literal["+", "-"], Real]:
    """Whether it is added or subtracted, and what."""
    match term.share:
        case RealConst(value) if value < 0:
            return "-", replace(term, share=RealConst(-value)).term
        case RealOp("-", RealConst(0.0), share):
            return "-", replace(term, share=share).term
    return "+", term.term


def difference(a: Real, b: Real) -> Real:
    """`a - b`, without what would be subtracted twice."""
    zero = RealConst(0.0)
    match a, b:
        case RealOp("-", RealConst(0.0), x), RealOp("-", RealConst(0.0), y):
            return build.real("-", y, x)
        case _, RealOp("-", RealConst(0.0), y):
            return build.real("+", a, y) if a != zero else y
    return build.real("-", a, b)


def at_key(term: Node) -> Node | None:
    """A term of a query at the place of a key; None where it speaks of the query's own vector."""
    if holds(term, VecInput):
        return None
    return replace_terms(term, lambda part: Index("j") if part == Index("i") else None)


class Refused(Exception):
    """Why a term does not split, in words that follow it; without a term, those of whatever term is at hand."""

    def __init__(self, words: str, term: Node | None = None) -> None:
        super().__init__(words)
        self.words, self.term = words, term

    @property
    def text(self) -> str:
        """As a sentence."""
        return f"{say(self.term)} {self.words}" if self.term else self.words

    def of(self, term: Node) -> Refused:
        """Said of this term, unless it is of another already."""
        return self if self.term is not None else Refused(self.words, term)
