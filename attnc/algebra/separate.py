"""Is a term of a pair a sum of products of what the query knows and what the key knows?

Enters: a real term and what is known where it stands. Leaves: its `Term`s; or a refusal that names the first part in
the way. What knows one position is an atom, and so is a dot product; sums, products, quotients, whole powers, and
exponentials of what splits are followed, and whatever else knows both positions is refused. Nothing is decided by
numbers: smooth functions of a distance look like few products and are none.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from attnc.algebra import exponentials
from attnc.algebra.atoms import Atoms, exact, side_of
from attnc.algebra.divisors import settled
from attnc.algebra.dots import sum_over_features
from attnc.algebra.exponentials import NONE, Sum, rational
from attnc.algebra.exponents import as_pair, raised, wave
from attnc.algebra.guards import guarded
from attnc.algebra.known import Known
from attnc.algebra.normal_form import to_terms
from attnc.algebra.polynomials import MOST_DEGREE, Polynomial
from attnc.algebra.products import logarithm
from attnc.algebra.roots import HALF, root, through
from attnc.algebra.separated import Refused, Term
from attnc.ir import build
from attnc.ir.nodes import (
    Bool,
    Dot,
    FromInt,
    Index,
    Int,
    IntAbs,
    IntConst,
    IntOp,
    Node,
    Real,
    RealCall,
    RealConst,
    RealIf,
    RealLoad,
    RealOp,
    Splat,
    SumD,
    Total,
    Vec,
    VecCall,
    VecIf,
    VecInput,
    VecLoad,
    VecOp,
    VecTotal,
)
from attnc.ir.signs import is_at_most_0
from attnc.ir.walk import holds
from attnc.ir.words import say

ONE, ZERO = RealConst(1.0), RealConst(0.0)


@dataclass(frozen=True, slots=True)
class Separated:
    """The terms, and what has to be above 0 for them to be the same."""

    terms: tuple[Term, ...]
    positive: tuple[Real, ...]


def separate(term: Real, known: Known) -> Separated:
    """The terms of a weight, or of what is summed over a row; raises `Refused`."""
    separator = Separator(known)
    whole = separator.sum_of(term)
    try:
        terms = to_terms(whole, separator.atoms)
    except Refused as refused:
        raise refused.of(term) from None
    return Separated(terms, tuple(separator.positive))


def separate_exponential(exponent: Real, known: Known) -> Separated:
    """`exp(exponent)` as a single term; raises `Refused`."""
    separator = Separator(known)
    try:
        pair = as_pair(separator.exponent_of(exponent), separator.atoms, separator.atoms.real)
    except Refused as refused:
        raise refused.of(exponent) from None
    return Separated((Term(exponent=pair),), tuple(separator.positive))


class Separator:
    """Goes through a term from the outside."""

    def __init__(self, known: Known) -> None:
        self.known, self.atoms = known, Atoms()
        self.positive: dict[Real, None] = {}
        self._done: dict[int, tuple[Node, Sum]] = {}

    def sum_of(self, term: Real | Vec) -> Sum:
        """The term as a sum of exponentials over atoms. Terms may be deep, so few calls stand in each other."""
        if id(term) not in self._done:
            try:
                self._done[id(term)] = term, self._sum_of(term)
            except Refused as refused:
                raise refused.of(term) from None
        return self._done[id(term)][1]

    def _sum_of(self, term: Real | Vec) -> Sum:
        simpler = self.known.simpler.get(term, term)
        if simpler is not term:
            assert isinstance(simpler, Real | Vec)
            return self.sum_of(simpler)
        side = side_of(term)
        match term:
            case RealConst(value) if isfinite(value):
                return rational(exact(value))
            case Splat(a):
                return self.sum_of(a)
            case FromInt(IntConst() | Index() as a):
                return rational(self._integer(a))
            case FromInt(a) if side == "pair":
                return rational(self._integer(a))
            case RealOp("-", RealConst(0.0), b) | VecOp("-", Splat(RealConst(0.0)), b):
                return -self.sum_of(b)
            case RealOp("*", a, b) | VecOp("*", a, b):
                return self.sum_of(a) * self.sum_of(b)
            case RealOp("/", a, b) | VecOp("/", a, b):
                return self.sum_of(a) * self._inverse(b)
        if side == "call":
            return rational(self.atoms.of(term))
        match term:
            case RealOp("**", a, b) | VecOp("**", a, b):
                return self._power(term, a, b)
            case RealCall("exp", a) | VecCall("exp", a):
                if isinstance(a, Vec) and side != "pair" and holds(a, VecInput):
                    return rational(self.atoms.of(term))  # a feature map, and no gate
                return raised(self.exponent_of(a), self.atoms)
        return rational(self.atoms.of(term)) if side != "pair" else self._of_pair(term)

    def _of_pair(self, term: Real | Vec) -> Sum:
        match term:
            case RealOp("+", a, b) | VecOp("+", a, b):
                return self.sum_of(a) + self.sum_of(b)
            case RealOp("-", a, b) | VecOp("-", a, b):
                return self.sum_of(a) + -self.sum_of(b)
            case Dot(x, y):
                features = self.sum_of(x) * self.sum_of(y)
                return sum_over_features(features, self.atoms, lambda: self._width(x, y))
            case SumD(x):
                return sum_over_features(self.sum_of(x), self.atoms, lambda: self._width(x))
            case RealCall("abs" | "relu", a) | VecCall("abs" | "relu", a) if self.known.is_at_least_0(a):
                return self.sum_of(a)
            case RealCall("abs" | "relu" | "log" as fn, a) | VecCall("abs" | "relu" | "log" as fn, a):
                return self._through(fn, term, a)
            case RealCall("sqrt", a) | VecCall("sqrt", a):
                return self._root(term, a, HALF)
            case RealCall("cos" | "sin" as fn, a) | VecCall("cos" | "sin" as fn, a):
                angle = self.exponent_of(a)
                if self.atoms.holds_dot(angle):
                    raise _refused(term)
                return wave(fn, angle, self.atoms)
            case RealIf(cond, a, b) | VecIf(cond, a, b):
                return self._choice(cond, self.sum_of(a), self.sum_of(b))
            case RealOp("max", a, b) | VecOp("max", a, b):
                return self._larger(term, a, b)
            case RealOp("min", a, b):
                if is_at_most_0(a) and self.known.is_at_least_0(b):
                    return self.sum_of(a)
            case RealLoad(name) | VecLoad(name) | Total(name) | VecTotal(name):
                raise Refused(f"reads `{name}` by the query and the key at once")
        raise _refused(term)

    # ---- integers and exponents --------------------------------------------------------------------

    def _integer(self, term: Int) -> Polynomial:
        simpler = self.known.simpler.get(term, term)
        assert isinstance(simpler, Int)
        match simpler:
            case IntConst(value):
                return exact(value)
            case IntOp("+", a, b):
                return self._integer(a) + self._integer(b)
            case IntOp("-", a, b):
                return self._integer(a) - self._integer(b)
            case IntOp("*", a, b):
                return self._integer(a) * self._integer(b)
        if side_of(simpler) != "pair":
            return self.atoms.of(build.from_int(simpler))
        text = "depends on the query and on the key at once"
        if isinstance(simpler, IntAbs):
            text += f"; where the mask says that {say(simpler.a)} is never negative, it is that"
        raise Refused(text, simpler)

    def _width(self, *vectors: Vec) -> Polynomial | None:
        found = next((width for each in vectors if (width := self.known.width(each)) is not None), None)
        return None if found is None else self._integer(found)

    def exponent_of(self, term: Real | Vec) -> Polynomial:
        """A term as a polynomial, also through sums that know one side: `G[i]` and `-G[j]` may meet."""
        match term:
            case _ if side_of(term) == "pair":
                return self._plain(term)
            case RealOp("+", a, b) | VecOp("+", a, b):
                return self.exponent_of(a) + self.exponent_of(b)
            case RealOp("-", a, b) | VecOp("-", a, b):
                return self.exponent_of(a) - self.exponent_of(b)
            case RealOp("*", a, b) | VecOp("*", a, b):
                return self.exponent_of(a) * self.exponent_of(b)
            case Splat(a):
                return self.exponent_of(a)
            case FromInt(a):
                return self._integer(a)
        return self._plain(term)

    def _plain(self, term: Real | Vec) -> Polynomial:
        """Where an exponential in it knows one side, it is an atom."""
        found = Polynomial()
        for exponent, coefficient in self.sum_of(term).terms:
            part = settled(coefficient, self.atoms)
            if exponent != NONE:
                if self.atoms.side_of(exponent, part) == "pair":
                    raise Refused("is no sum of what the query knows and what the key knows", term)
                power = self.atoms.term(exponent)
                factor = build.vec_call("exp", power) if isinstance(power, Vec) else build.call("exp", power)
                part = part * self.atoms.of(factor)
            found = found + part
        return found

    # ---- quotients and powers ----------------------------------------------------------------------

    def _inverse(self, term: Real | Vec) -> Sum:
        found = self.sum_of(term).one
        if found is None:
            raise Refused("divides, and is a sum that holds the query and the key", term)
        exponent, coefficient = found
        return Sum(((-exponent, coefficient.inverse),))

    def _power(self, term: Real | Vec, a: Real | Vec, b: Real | Vec) -> Sum:
        """A whole power is multiplied out; what knows neither position, to any power, is an exponential."""
        n = b.a if isinstance(b, Splat) else b
        if isinstance(n, RealConst) and n.value.is_integer() and abs(n.value) <= MOST_DEGREE:
            whole, base = exponentials.ONE, self.sum_of(a) if n.value > 0 else self._inverse(a)
            for _ in range(int(abs(n.value))):
                whole = whole * base
            return whole
        if side_of(n) == "call" and isinstance(n, Real):
            return self._root(term, a, n)
        one = self.sum_of(a).one
        of = None if one is None else settled(one[1], self.atoms)
        if one is None or of is None or self.atoms.side_of(of) != "call" or self.atoms.holds_vector(of):
            return self._no_power(term)
        return raised(self.exponent_of(b) * (self._logarithm(of) + one[0]), self.atoms)

    def _logarithm(self, base: Polynomial) -> Polynomial:
        """Of what knows neither position, and then has to be above 0."""
        if base.constant == 1:
            return Polynomial()
        term = self.atoms.real(base)
        if not self.known.is_positive(term):
            self.positive[term] = None
        return self.exponent_of(logarithm(term))

    def _root(self, term: Real | Vec, a: Real | Vec, power: Real) -> Sum:
        if side_of(term) != "pair":
            return rational(self.atoms.of(term))
        found = root(self.sum_of(a), power, self.exponent_of(power), self.atoms, self.known)
        return self._no_power(term) if found is None else found

    def _no_power(self, term: Real | Vec) -> Sum:
        """An atom, where it knows one side."""
        if side_of(term) == "pair":
            raise Refused("is no whole power of a sum that splits", term)
        return rational(self.atoms.of(term))

    # ---- signs and choices -------------------------------------------------------------------------

    def _through(self, fn: str, term: Real | Vec, a: Real | Vec) -> Sum:
        found = through(fn, self.sum_of(a), self.atoms, self.known)
        if found is None and fn == "abs":
            raise Refused(f"drops the sign of each pair, and {say(a)} may have either", term)
        if found is None:
            raise _refused(term)
        return found

    def _larger(self, term: Real | Vec, a: Real | Vec, b: Real | Vec) -> Sum:
        for one, two in ((a, b), (b, a)):
            if self.known.is_at_least_0(one) and is_at_most_0(two):
                return self.sum_of(one)
            if two in (ZERO, Splat(ZERO)):
                return self._through("relu", term, one)
        raise _refused(term)

    def _choice(self, cond: Bool, a: Sum, b: Sum) -> Sum:
        """By a condition on one side: it is a factor of what is chosen."""
        if side_of(cond) == "pair":
            raise Refused("chooses by the query and the key at once", cond)
        here, there = self.atoms.of(RealIf(cond, ONE, ZERO)), self.atoms.of(RealIf(cond, ZERO, ONE))
        logs = {build.call("log", each) for each in self.positive}
        one, two = guarded(a, cond, self.atoms, logs), guarded(b, build.negate(cond), self.atoms, logs)
        return rational(here) * one + rational(there) * two


def _refused(term: Node) -> Refused:
    """Where nothing more is known of it."""
    if holds(term, Dot, SumD):
        return Refused("is not a polynomial of dot products", term)
    return Refused("does not split into a part of the query and a part of the key", term)
