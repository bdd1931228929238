"""Between the IR and canonical form.

Enters: an `Int` or a `Bool` of the IR. Leaves: its `Polynomial` or `Predicate`; and back again, as a person would write
it: `i - window + 1`, `c * (i // c) + c`, `min(i + 1, 4)`, `h < 4`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import cast

from attnc.errors import CompilerBug
from attnc.ir import build
from attnc.ir.arithmetic import Comparison
from attnc.ir.nodes import (
    And,
    Bool,
    BoolIf,
    BoolLoad,
    BoolParam,
    Compare,
    Coordinate,
    Floor,
    Index,
    Int,
    IntAbs,
    IntConst,
    IntIf,
    IntLoad,
    IntOp,
    IntParam,
    IsPow2,
    Member,
    Not,
    Or,
    OverTile,
    Param,
    Period,
    Rank,
    Real,
    Residue,
    Size,
    TileEnd,
    Truth,
    Vec,
)
from attnc.ir.walk import holds
from attnc.sets.addends import in_front
from attnc.sets.folding import choice, extreme, leaf, quotient
from attnc.sets.fractions import find_fraction
from attnc.sets.polynomial import (
    Atom,
    Choice,
    Extreme,
    Kind,
    Leaf,
    Polynomial,
    Quotient,
    Read,
    Search,
    polynomial,
)
from attnc.sets.predicate import (
    ALWAYS,
    NEVER,
    All,
    NonNegative,
    Opaque,
    Predicate,
    Some,
    every,
    negation,
    nonnegative,
    some,
)

# A form longer than this, as text, says nothing that anybody would want to know. Nested remainders double it.
LONGEST = 4_000
MOST_PRODUCTS = 100
# Of many conditions, each of them short, more is looked at.
LONGEST_OF_MANY = 40_000

POSITIONS = frozenset(
    {"i", "j", *(f"{axis}.{end}" for axis in ("i", "j", "period") for end in ("first", "last"))}
)

# ---- from the IR -----------------------------------------------------------------------------------


def to_polynomial(term: Int) -> Polynomial:
    """The term in canonical form; as a leaf, which nothing is known of, where that form is too large to work with."""
    if not hasattr(term, "form"):
        found = _polynomial(term)
        is_short = len(found.terms) <= MOST_PRODUCTS and len(found.key) <= LONGEST
        object.__setattr__(term, "form", found if is_short else leaf(term))
    return cast("Polynomial", term.form)


def _polynomial(term: Int) -> Polynomial:
    match term:
        case IntConst() | Index() | Size() | IntParam() | Floor():
            return leaf(term)
        case TileEnd() | Period() | Coordinate() | Residue() | OverTile():
            return leaf(term)
        case IntOp("+", a, b):
            return to_polynomial(a) + to_polynomial(b)
        case IntOp("-", a, b):
            return to_polynomial(a) - to_polynomial(b)
        case IntOp("*", a, b):
            x, y = to_polynomial(a), to_polynomial(b)
            return x * y if len(x.terms) * len(y.terms) <= MOST_PRODUCTS else leaf(term)
        case IntOp("//", a, b):
            return quotient(to_polynomial(a), to_polynomial(b))
        case IntOp("%", a, b):
            x, n = to_polynomial(a), to_polynomial(b)
            return x - n * quotient(x, n)
        case IntOp("min" | "max" as kind, a, b):
            return extreme(kind, (to_polynomial(a), to_polynomial(b)))
        case IntAbs(a):
            x = to_polynomial(a)
            return extreme("max", (x, -x))
        case IntIf(cond, a, b):
            return choice(to_predicate(cond), to_polynomial(a), to_polynomial(b))
        case IntLoad(array, index):
            return polynomial(Read(array, tuple(map(to_polynomial, index))))
        case Rank(array, index, value):
            return polynomial(Search(array, tuple(map(to_polynomial, index)), to_polynomial(value)))
        case _:
            raise CompilerBug(f"no polynomial for {term!r}")


def to_predicate(term: Bool) -> Predicate:
    """The term in normal form; as it stands, where that form is too large to work with."""
    found = _predicate(term)
    longest = LONGEST_OF_MANY if isinstance(term, (And, Or)) else LONGEST
    return found if len(found.key) <= longest else Opaque(term)


def _predicate(term: Bool) -> Predicate:
    match term:
        case BoolParam() | BoolLoad() | Member() | IsPow2():
            return Opaque(term)
        case Compare() if holds(term, Vec):
            return Opaque(term)  # an integer that is found through vectors
        case Truth(value):
            return ALWAYS if value else NEVER
        case Compare("==" | "!=" as op, IntOp("%", IntAbs(a), n), IntConst(0)):
            return _predicate(Compare(op, IntOp("%", a, n), IntConst(0)))  # n divides both or neither
        case Compare(op, Int() as a, Int() as b):
            return _compared(op, to_polynomial(b) - to_polynomial(a))
        case Compare(op, Real() as a, Real() as b):
            less, more = find_fraction(a, to_polynomial), find_fraction(b, to_polynomial)
            return _compared(op, more.minus(less)) if less and more else Opaque(term)
        case And(items):
            return every(map(to_predicate, items))
        case Or(items):
            return some(map(to_predicate, items))
        case Not(a):
            return negation(to_predicate(a))
        case BoolIf(cond, a, b):
            test = to_predicate(cond)
            return some((every((test, to_predicate(a))), every((negation(test), to_predicate(b)))))
    raise CompilerBug(f"no predicate for {term!r}")


def _compared(op: Comparison, gap: Polynomial) -> Predicate:
    """`a op b` by the gap from `a` to `b`."""
    match op:
        case "<":
            return nonnegative(gap - 1)
        case "<=":
            return nonnegative(gap)
        case "==":
            return every((nonnegative(gap), nonnegative(-gap)))
        case "!=":
            return some((nonnegative(gap - 1), nonnegative(-gap - 1)))
        case _:
            raise CompilerBug(f"no comparison by `{op}`")


def sizes_in_order(params: Iterable[Param]) -> dict[str, tuple[Polynomial, ...]]:
    """The sizes of the arrays that do not fall along their last axis."""
    return {param.name: tuple(map(to_polynomial, param.sizes)) for param in params if param.sorted}


# ---- to the IR -------------------------------------------------------------------------------------


def to_int(a: Polynomial) -> Int:
    """Positions first, a positive term in front, the number last; a shift stands inside of `min`, `max` and `if`."""
    shorter = in_front(a)
    return _shifted(shorter) or _remainder(shorter) or _sum(shorter)


def to_bool(predicate: Predicate) -> Bool:
    match predicate:
        case NonNegative(a):
            return _comparison(a)
        case All(items):
            return build.conj(*_equations(items))
        case Some(items):
            return build.disj(*map(to_bool, items))
        case Opaque(term, negated):
            return build.negate(term) if negated else term
        case _:
            raise CompilerBug(f"no term for {predicate!r}")


def _sum(a: Polynomial) -> Int:
    products = sorted((product for product in a.terms if product), key=_reading_order)
    if len(products) > MOST_PRODUCTS:  # one within the other would be too deep for whoever reads them
        ahead = Polynomial({product: a.terms[product] for product in products[: len(products) // 2]})
        return build.integer("+", _sum(ahead), _sum(a - ahead))
    lead = next((product for product in products if a.terms[product] > 0), None)
    whole = IntConst(a.offset) if lead is None else _product(lead, a.terms[lead])
    for product in products:
        if product != lead:
            count = a.terms[product]
            whole = build.integer("+" if count > 0 else "-", whole, _product(product, abs(count)))
    if lead is None:
        return whole
    return build.integer("+" if a.offset > 0 else "-", whole, IntConst(abs(a.offset)))


def _product(product: tuple[Atom, ...], count: int) -> Int:
    whole: Int = IntConst(count)
    for atom in sorted(product, key=lambda atom: (-_weight(atom), atom)):
        whole = build.integer("*", whole, _atom(atom))
    return whole


def _reading_order(product: tuple[Atom, ...]) -> tuple[int, str]:
    return min(map(_weight, product)), "*".join(atom.key for atom in product)


def _weight(atom: Atom) -> int:
    """Positions, then sizes, then all else."""
    if atom.leaves & POSITIONS:
        return 0
    return 1 if isinstance(atom, Leaf) and isinstance(atom.term, Size) else 2


def _atom(atom: Atom) -> Int:
    match atom:
        case Leaf(term):
            return term
        case Quotient(a, n):
            return build.integer("//", to_int(a), to_int(n))
        case Extreme(kind, items):
            numbers_last = sorted(items, key=lambda item: (item.constant is not None, _first_read(item)))
            return reduce(lambda x, y: build.integer(kind, x, y), map(to_int, numbers_last))
        case Choice(condition, a, b):
            return build.choose(to_bool(condition), to_int(a), to_int(b))
        case Read(array, index):
            return IntLoad(array, tuple(map(to_int, index)))
        case Search(array, index, value):
            return Rank(array, tuple(map(to_int, index)), to_int(value))
        case _:
            raise CompilerBug(f"no term for the atom {type(atom).__name__}")


def _first_read(item: Polynomial) -> tuple[int, str]:
    return min((_reading_order(product) for product in item.terms if product), default=(0, ""))


def _shifted(a: Polynomial) -> Int | None:
    """`max(p - 1, i) + 1` as `max(i + 1, p)`, `-min(i, 3)` as `max(-i, -3)`."""
    rest = a - a.offset
    sign = 1 if rest.atom else -1
    match (rest * sign).atom:
        case Extreme(kind, items) if a != rest or sign < 0:
            turned: Kind = kind if sign > 0 else "max" if kind == "min" else "min"
            return to_int(extreme(turned, (item * sign + a.offset for item in items)))
        case Choice(condition, x, y) if a != rest or sign < 0:
            return to_int(choice(condition, x * sign + a.offset, y * sign + a.offset))
        case _:
            return None


def _remainder(a: Polynomial) -> Int | None:
    """`x - n * (x // n)` as `x % n`, wherever it is a part of the sum."""
    for atom in a.atoms:
        for sign in (1, -1):
            if isinstance(atom, Quotient):
                taken = atom.a - atom.n * polynomial(atom)
                rest = a - taken * sign
                if _size(rest) == _size(a) - _size(taken):
                    return to_int(rest + leaf(IntOp("%", to_int(atom.a), to_int(atom.n))) * sign)
    return None


def _size(a: Polynomial) -> int:
    return sum(1 for product in a.terms if product)


def _comparison(a: Polynomial) -> Bool:
    """`window - 1 >= 0` as `0 < window`, `3 - h >= 0` as `h < 4`."""
    less, more, offset = _sides(in_front(a))
    if offset == -1:
        return build.compare("<", to_int(less), to_int(more))
    if not more.terms:
        return build.compare("<", to_int(less), IntConst(offset + 1))
    return build.compare("<=", to_int(less + max(-offset, 0)), to_int(more + max(offset, 0)))


def _equations(items: tuple[Predicate, ...]) -> list[Bool]:
    """`a >= 0 and -a >= 0` as one comparison."""
    terms: list[Bool] = []
    for at, item in enumerate(items):
        if isinstance(item, NonNegative):
            turned = nonnegative(-item.a)
            if turned in items[:at]:
                continue
            if turned in items:
                less, more, offset = _sides(item.a)
                left, right = (more, less - offset) if more.terms else (less, polynomial(offset))
                terms.append(build.compare("==", to_int(left), to_int(right)))
                continue
        terms.append(to_bool(item))
    return terms


def _sides(a: Polynomial) -> tuple[Polynomial, Polynomial, int]:
    """`(less, more, offset)` with positive coefficients and `a == more - less + offset`."""
    less = Polynomial({product: -count for product, count in a.terms.items() if product and count < 0})
    more = Polynomial({product: count for product, count in a.terms.items() if product and count > 0})
    return less, more, a.offset
