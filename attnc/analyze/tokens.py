"""Masks of linear attention: those for which a running state of the keys before a query is enough.

Enters: an attention, and its mask without clauses that others imply. Leaves: a `TokenMask` and its reasons; or the
clause in the way. Clauses are taken one by one: a bound of the keys that grows with the query, one document for a query
and its keys, whose tokens stand together, and conditions on one of the two. Documents stand together where their number
does not fall from token to token, which `sorted` says of an array.
"""

from __future__ import annotations

from dataclasses import replace

from attnc.analyze.clauses import clause_text
from attnc.analyze.facts import Reason, TokenMask
from attnc.analyze.ranges import make_plane
from attnc.analyze.requirements import find_requirements
from attnc.ir import build
from attnc.ir.nodes import And, Attention, Bool, Index, Int, Truth
from attnc.ir.walk import axes_of, replace_terms
from attnc.sets.convert import to_bool, to_int, to_polynomial, to_predicate
from attnc.sets.polynomial import ZERO, Atom, Extreme, Leaf, Polynomial, Quotient, Read, Search, polynomial
from attnc.sets.predicate import NonNegative, conditions_of, nonnegative
from attnc.sets.prover import Prover

QUERY, KEY = polynomial(Leaf(Index("i"))), polynomial(Leaf(Index("j")))
WINDOW = (
    "keys leave the window again, and a state cannot forget one key; "
    "with a window, tiles are linear in the length already"
)
UNSORTED = "documents have to be `sorted`, else a state would have to be kept for each"
OTHER = "is neither causal nor a document nor a condition on one side"


def find_tokens(attention: Attention, mask: Bool) -> tuple[TokenMask, tuple[Reason, ...]] | Reason:
    """What the mask asks of a state, with its reasons; or why a state is not enough."""
    requires = find_requirements(attention.mask, attention.grid)
    prover = make_plane("j", requires, attention.params).prover
    found, because = TokenMask(), list[Reason]()
    for clause in mask.items if isinstance(mask, And) else (mask,):
        if clause == Truth(True):
            continue
        taken = _take(clause, found, prover)
        if isinstance(taken, str):
            return Reason(f"`{clause_text(clause)}`{taken}", clause.span)
        found, said = taken
        because += (Reason(f"`{clause_text(clause)}`: {each}", clause.span) for each in said)
    if found.causal is None and found.document is None:
        because.insert(0, Reason("a query does not choose its keys: sums over keys are those of every query"))
    return found, tuple(because)


def _take(clause: Bool, mask: TokenMask, prover: Prover) -> tuple[TokenMask, tuple[str, ...]] | str:
    """The mask with a clause more; or why not, in words that follow the clause."""
    if not {"i", "j"} <= axes_of(clause):
        return _with_condition(clause, mask)
    said: dict[str, None] = {}
    conditions = list(conditions_of(to_predicate(clause)))
    while conditions:
        condition = conditions.pop(0)
        if not {"i", "j"} <= condition.leaves:
            mask, _ = _with_condition(to_bool(condition), mask)
            continue
        if not isinstance(condition, NonNegative):
            return f" {OTHER}"
        other = nonnegative(-condition.a)
        if other in conditions:
            conditions.remove(other)
            document = _document(condition.a, prover)
            if isinstance(document, str):
                return document
            if mask.document is not None:
                document = build.integer("+", mask.document, document)
            mask = replace(mask, document=document)
            said["each document has a state of its own"] = None
            continue
        offset = condition.a - QUERY + KEY
        if not _moves(offset):
            bound = to_int(offset)
            if mask.causal is not None:
                bound = build.integer("min", mask.causal, bound)
            mask = replace(mask, causal=bound)
            said["a state of the keys up to the query is enough"] = None
            continue
        return f": {WINDOW}" if not _moves(condition.a + QUERY - KEY) else f" {OTHER}"
    return mask, tuple(said)


def _with_condition(clause: Bool, mask: TokenMask) -> tuple[TokenMask, tuple[str, ...]]:
    if "j" in axes_of(clause):
        return replace(mask, sees_key=build.conj(mask.sees_key, clause)), (
            "keys that are hidden have no part in it",
        )
    return replace(mask, sees_query=build.conj(mask.sees_query, clause)), (
        "queries that see nothing have the result 0",
    )


def _document(gap: Polynomial, prover: Prover) -> Int | str:
    """The number of the query's document, where a gap of 0 says that it is the key's; or why not."""
    of_query, of_key = (
        Polynomial({product: count for product, count in gap.terms.items() if axis in _axes(product)})
        for axis in ("i", "j")
    )
    if of_query + of_key != gap:
        return f" {OTHER}"
    if _rises(-of_query, prover):
        of_query, of_key = -of_query, -of_key
    number = to_int(of_query)
    at_key = replace_terms(number, lambda part: Index("j") if part == Index("i") else None)
    assert isinstance(at_key, Int)
    if to_polynomial(at_key) != -of_key:
        return ": the documents of queries and of keys are numbered by one array, or a state is kept for each"
    return number if _rises(of_query, prover) else f": {UNSORTED}"


def _axes(product: tuple[Atom, ...]) -> frozenset[str]:
    return frozenset[str]().union(*(atom.leaves for atom in product)) & {"i", "j"}


def _moves(a: Polynomial) -> bool:
    return bool(a.leaves & {"i", "j"})


def _rises(a: Polynomial, prover: Prover) -> bool:
    """Is it proved that it never falls from a query to the next?"""
    for product, count in a.terms.items():
        moving = [atom for atom in product if "i" in atom.leaves]
        factor = Polynomial({tuple(atom for atom in product if atom not in moving): count})
        if len(moving) > 1 or (moving and not prover.prove_nonnegative(factor)):
            return False
        if moving and not _atom_rises(moving[0], prover):
            return False
    return True


def _atom_rises(atom: Atom, prover: Prover) -> bool:
    match atom:
        case Leaf(Index("i")):
            return True
        case Read(array, (*first, last)):
            return (
                array in prover.in_order
                and not any("i" in each.leaves for each in first)
                and _rises(last, prover)
            )
        case Search(_, index, value):
            return not any("i" in each.leaves for each in index) and _rises(value, prover)
        case Quotient(a, n):
            return "i" not in n.leaves and prover.prove_less(ZERO, n) and _rises(a, prover)
        case Extreme(_, items):
            return all(_rises(item, prover) for item in items)
    return False
