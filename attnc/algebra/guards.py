"""What a condition chooses between, made harmless where it is not chosen.

Enters: a `Sum`, and a condition that knows one side. Leaves: the same where the condition holds, and numbers elsewhere,
so that it can be multiplied with 0: in `dot(q, k) / j if j > 0 else 0` key 0 divides by 1.
"""

from __future__ import annotations

from collections.abc import Set

from attnc.algebra.atoms import Atoms, side_of
from attnc.algebra.divisors import settled
from attnc.algebra.exponentials import Sum
from attnc.algebra.polynomials import ONE, Monomial, Polynomial, Quotient, atom, number
from attnc.algebra.separated import DotFactor, Refused
from attnc.ir import build
from attnc.ir.nodes import Bool, Node, Real, RealCall, RealConst, RealOp, Splat, Vec, VecCall, VecOp
from attnc.ir.walk import walk
from attnc.ir.words import say

NUMBER = RealConst(1.0)


def guarded(whole: Sum, cond: Bool, atoms: Atoms, numbers: Set[Node]) -> Sum:
    """The sum, whose coefficients are numbers also where the condition fails; `numbers` are anyway."""
    terms = []
    for exponent, coefficient in whole.terms:
        parts = [each for monomial, _ in exponent.terms for each in monomial]
        if any(_may_be_no_number(atoms, at, power) and atoms[at] not in numbers for at, power in parts):
            raise Refused("chooses what may be no number in an exponent", cond)
        found = Polynomial()
        for monomial, value in settled(coefficient, atoms).terms:
            found = found + _guarded(monomial, cond, atoms) * number(value)
        terms.append((exponent, Quotient(found)))
    return Sum(tuple(terms))


def _guarded(monomial: Monomial, cond: Bool, atoms: Atoms) -> Polynomial:
    whole = ONE
    for at, power in monomial:
        value, factor = atoms[at], atom(at, power)
        if _may_be_no_number(atoms, at, power):
            if isinstance(value, DotFactor) or side_of(value) not in (side_of(cond), "call"):
                shown = value.term if isinstance(value, DotFactor) else value
                raise Refused(f"chooses, and where it does not hold {say(shown)} may be no number", cond)
            factor = atom(atoms.number_of(_choose(cond, value)), power)
        whole = whole * factor
    return whole


def _choose(cond: Bool, value: Real | Vec) -> Real | Vec:
    if isinstance(value, Vec):
        return build.choose(cond, value, Splat(NUMBER))
    return build.choose(cond, value, NUMBER)


def _may_be_no_number(atoms: Atoms, at: int, power: int) -> bool:
    value = atoms[at]
    return power < 0 or not is_total(value.term if isinstance(value, DotFactor) else value)


def is_total(term: Node) -> bool:
    """Is it a number, whatever numbers it is made of?"""
    for part in walk(term):
        match part:
            case RealOp("/") | VecOp("/") | RealCall("log" | "sqrt") | VecCall("log" | "sqrt"):
                return False
            case RealOp("**", _, n) | VecOp("**", _, n):
                exponent = n.a if isinstance(n, Splat) else n
                if not (
                    isinstance(exponent, RealConst) and exponent.value.is_integer() and exponent.value >= 0
                ):
                    return False
            case RealConst(value) if value - value != 0:
                return False
    return True
