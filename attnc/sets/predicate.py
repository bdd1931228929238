"""Conditions in negation normal form.

Enters: polynomials and the boolean terms that polynomials cannot say. Leaves: `Predicate`s: a polynomial that is not
negative, all of several, any of several, and an opaque term or its negation. Every comparison of integers is of the
first form: `j <= i` is `i - j >= 0`, `j < i` is `i - j - 1 >= 0`, `j == i` is both of two.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from math import gcd
from typing import ClassVar

from attnc.errors import CompilerBug
from attnc.ir.nodes import Bool
from attnc.ir.walk import axes_of
from attnc.sets.polynomial import Polynomial
from attnc.sets.structural import Structural

# A term that is longer as text stands in keys by its digest.
LONGEST_TERM = 1_000


class Predicate(Structural):
    """A condition in negation normal form."""

    @property
    def truth(self) -> bool | None:
        """What it is, where it is the same for every value of the leaves and that is plain to see."""
        return None


@dataclass(frozen=True, eq=False, repr=False)
class NonNegative(Predicate):
    """`a >= 0`."""

    a: Polynomial

    @cached_property
    def key(self) -> str:
        return f"{self.a.key}>=0"

    @cached_property
    def leaves(self) -> frozenset[str]:
        return self.a.leaves


@dataclass(frozen=True, eq=False, repr=False)
class Several(Predicate):
    """Predicates under one word, which is `empty` without any."""

    items: tuple[Predicate, ...]
    word: ClassVar[str]
    empty: ClassVar[bool]

    @cached_property
    def key(self) -> str:
        return f"{self.word}({','.join(item.key for item in self.items)})"

    @cached_property
    def leaves(self) -> frozenset[str]:
        return frozenset[str]().union(*(item.leaves for item in self.items))

    @property
    def truth(self) -> bool | None:
        return None if self.items else self.empty


class All(Several):
    """Every item holds. Without items it is true."""

    word = "all"
    empty = True


class Some(Several):
    """At least one item holds. Without items it is false."""

    word = "some"
    empty = False


@dataclass(frozen=True, eq=False, repr=False)
class Opaque(Predicate):
    """A term the sets know nothing about, or its negation: a read of a bool array, a comparison of reals, ..."""

    term: Bool
    negated: bool = False

    @cached_property
    def key(self) -> str:
        text = repr(self.term)
        if len(text) > LONGEST_TERM:
            text = sha256(text.encode()).hexdigest()
        return f"{'!' if self.negated else ''}<{text}>"

    @cached_property
    def leaves(self) -> frozenset[str]:
        return frozenset(axes_of(self.term))


ALWAYS = All(())
NEVER = Some(())


def nonnegative(a: Polynomial) -> Predicate:
    """`a >= 0`, in lowest terms: `2 * j - 5 >= 0` is `j - 3 >= 0`."""
    if a.constant is not None:
        return ALWAYS if a.constant >= 0 else NEVER
    common = gcd(*(count for product, count in a.terms.items() if product))
    return NonNegative(Polynomial({product: count // common for product, count in a.terms.items()}))


def conditions_of(predicate: Predicate) -> tuple[Predicate, ...]:
    """Those that all have to hold."""
    return predicate.items if isinstance(predicate, All) else (predicate,)


def every(items: Iterable[Predicate]) -> Predicate:
    kept: dict[Predicate, None] = {}
    for item in items:
        for part in conditions_of(item):
            if part.truth is False:
                return NEVER
            kept.setdefault(part)
    return next(iter(kept)) if len(kept) == 1 else All(tuple(kept))


def some(items: Iterable[Predicate]) -> Predicate:
    kept: dict[Predicate, None] = {}
    for item in items:
        for part in item.items if isinstance(item, Some) else (item,):
            if part.truth is True:
                return ALWAYS
            kept.setdefault(part)
    return next(iter(kept)) if len(kept) == 1 else Some(tuple(kept))


def negation(predicate: Predicate) -> Predicate:
    match predicate:
        case NonNegative(a):
            return nonnegative(-a - 1)
        case All(items):
            return some(negation(item) for item in items)
        case Some(items):
            return every(negation(item) for item in items)
        case Opaque(term, negated):
            return Opaque(term, not negated)
        case _:
            raise CompilerBug(f"no negation of {predicate!r}")
