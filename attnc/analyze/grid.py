"""Tokens on a grid: a mask as products of masks along one axis each.

Enters: an attention. Leaves: a `Grid`, or None where no grid is declared and none inferred, or where no inner axis has
a clause of its own. An `and` of clauses that speak of one axis each is a product; an `or` of such is several. A clause
that speaks of more stays as it is: it only hides pairs, so what is found without it is a superset, and no box of keys
is known to be full.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, product

from attnc.analyze.along import Setting, find_along, find_dilation
from attnc.analyze.clauses import clause_text
from attnc.analyze.digits import declared_axes, in_coordinates, inferred_axes, line
from attnc.analyze.facts import Reason
from attnc.analyze.grid_facts import Axis, Grid, Product
from attnc.analyze.requirements import find_requirements
from attnc.ir import build
from attnc.ir.nodes import And, Attention, Bool, BoolIf, Coordinate, Int, IntOp, Node, Not, Or, Truth
from attnc.ir.walk import axes_of, walk
from attnc.sets.convert import to_polynomial
from attnc.sets.predicate import Predicate, every, nonnegative
from attnc.sets.prover import Prover

# More products than this cost a kernel more than the boxes they save.
MOST_PRODUCTS = 8

# Of a clause: it speaks of the token itself, and so of every axis.
TOKEN = ""

Clauses = tuple[Bool, ...]


def find_grid(attention: Attention) -> Grid | None:
    if not attention.grid and not any(
        isinstance(part, IntOp) and part.op == "%" for part in walk(attention.mask)
    ):
        return None
    requires = find_requirements(attention.mask, attention.grid)
    facts = [nonnegative(to_polynomial(each.term) - 1) for each in requires]
    facts += [nonnegative(to_polynomial(axis.extent) - 1) for axis in attention.grid]
    known = every(facts)
    found = _find_axes(attention, known)
    if found is None:
        return None
    axes, terms = found
    return Grid(
        tuple(axes),
        tuple(_find_products(terms, axes, Setting(known, attention.params))),
        is_declared=bool(attention.grid),
        requires=requires,
        because=tuple(_say_mixed(terms)),
    )


def _find_axes(attention: Attention, known: Predicate) -> tuple[Sequence[Axis], list[Clauses]] | None:
    """The axes, and the mask in products. What is inferred has to tell of an inner axis, or of classes of tokens."""
    if attention.grid:
        axes = declared_axes(attention)
        return None if axes is None else (axes, _products(in_coordinates(attention.mask, axes), False))
    inferred, tokens = inferred_axes(attention.mask, Prover().given(known)), line()
    if inferred:
        terms = _products(in_coordinates(attention.mask, inferred), False)
        is_told = any(axis.name in _only(terms) for axis in inferred[1:])
        if is_told and not any(map(_is_mixed, chain(*terms))):
            return inferred, terms
    in_a_row = _products(in_coordinates(attention.mask, tokens), False)
    if in_a_row and _dilation(in_a_row, tokens[0].name, known) is not None:
        return tokens, in_a_row
    return (inferred, terms) if inferred and is_told else None


def _find_products(terms: Sequence[Clauses], axes: Sequence[Axis], setting: Setting) -> Iterable[Product]:
    dilations = {axis.name: _dilation(terms, axis.name, setting.facts) for axis in axes}
    for clauses in terms:
        of = {axis.name: [each for each in clauses if _axes(each) == {axis.name}] for axis in axes}
        along = tuple(find_along(axis, of[axis.name], dilations[axis.name], setting) for axis in axes)
        guard = build.conj(*(each for each in clauses if not _axes(each)))
        if all(each.of_keys.visited for each in along):
            yield Product(along, guard, tuple(each for each in clauses if _is_mixed(each)))


def _dilation(terms: Sequence[Clauses], name: str, facts: Predicate) -> Int | None:
    """What all products are dilated by: a box of queries lies in one class for all of them."""
    found = [find_dilation((each for each in clauses if _axes(each) == {name}), name) for clauses in terms]
    first = found[0] if found else None
    if first is None or any(each != first for each in found):
        return None
    return first if Prover().given(facts).prove_nonnegative(to_polynomial(first) - 1) else None


# ---- products --------------------------------------------------------------------------------------


def _products(mask: Bool, negated: bool) -> list[Clauses]:
    """Conjunctions, one of which holds; a clause as it stands where they would be too many."""
    if not _is_mixed(mask):
        whole = build.negate(mask) if negated else mask
        return [] if whole == Truth(False) else [whole.items if isinstance(whole, And) else (whole,)]
    found = _taken_apart(mask, negated)
    if found is None or len(found) > MOST_PRODUCTS:
        return [(build.negate(mask) if negated else mask,)]
    return found


def _taken_apart(mask: Bool, negated: bool) -> list[Clauses] | None:
    match mask:
        case Not(a):
            return _products(a, not negated)
        case BoolIf(cond, a, b):
            cases = (cond, False, a), (cond, True, b)
            return [
                clauses
                for test, is_other, value in cases
                for clauses in _met([_products(test, is_other), _products(value, negated)])
            ]
        case And(items) | Or(items) if isinstance(mask, And) != negated:
            return _met([_products(item, negated) for item in items])
        case And(items) | Or(items):
            return [clauses for item in _gathered(items) for clauses in _products(item, negated)]
        case _:
            return None


def _met(parts: Sequence[list[Clauses]]) -> list[Clauses]:
    """All that hold one of each."""
    size = 1
    for part in parts:
        size *= len(part)
    if size > MOST_PRODUCTS:
        return [()] * (MOST_PRODUCTS + 1)
    return [tuple(clause for clauses in each for clause in clauses) for each in product(*parts)]


def _gathered(items: Sequence[Bool]) -> list[Bool]:
    """The items of an `or`, those that speak of the same axis alone as one."""
    found: dict[object, Bool] = {}
    for at, item in enumerate(items):
        key = at if _is_mixed(item) else _axes(item)
        found[key] = build.disj(found[key], item) if key in found else item
    return list(found.values())


def _axes(term: Node) -> frozenset[str]:
    """The axes that a term speaks of."""
    if not axes_of(term) & {"i", "j"}:
        return frozenset()
    match term:
        case Coordinate(_, name):
            return frozenset({name})
    below = frozenset[str]().union(*map(_axes, term.children))
    return below or frozenset({TOKEN})


def _is_mixed(term: Node) -> bool:
    found = _axes(term)
    return len(found) > 1 or TOKEN in found


def _only(terms: Sequence[Clauses]) -> frozenset[str]:
    """The axes that have clauses of their own."""
    return frozenset[str]().union(
        *(_axes(each) for clauses in terms for each in clauses if not _is_mixed(each))
    )


def _say_mixed(terms: Sequence[Clauses]) -> Iterable[Reason]:
    for clause in dict.fromkeys(each for clauses in terms for each in clauses if _is_mixed(each)):
        names = sorted(_axes(clause) - {TOKEN})
        what = "the token itself" if TOKEN in _axes(clause) else f"{' and '.join(names)} at once"
        text = f"`{clause_text(clause)}` speaks of {what}: it stays in the mask, and no box of keys is known to be full"
        yield Reason(text, clause.span)
