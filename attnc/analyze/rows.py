"""Can a query be left without a key?

Enters: an attention. Leaves: `Rows`. A row is proved not to be empty by finding a key in it: some piece of the mask
that every query is in and whose first key is not above its last. Where that hangs on a condition (`h < 4`, `i < p`)
the proof goes on with the condition and without it. A pair whose score is -inf is not seen, so where the score may be,
no key is sure to be seen. How many queries and keys there are is known of no call, so even
`j == i` can leave rows empty: where N > M.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attnc.analyze.clauses import LONGEST, explain_clauses, term_text
from attnc.analyze.facts import Reason, Rows
from attnc.analyze.ranges import make_plane, make_tile
from attnc.analyze.requirements import find_requirements
from attnc.ir.infinite import may_be_minus_infinity
from attnc.ir.nodes import Attention, Bool
from attnc.ir.text import print_ir
from attnc.sets.convert import to_bool, to_predicate
from attnc.sets.folding import extreme
from attnc.sets.pieces import Piece, Plane
from attnc.sets.polynomial import ONE, ZERO, Choice, Extreme, polynomial
from attnc.sets.predicate import NonNegative, Predicate, every, negation, nonnegative, some
from attnc.sets.project import Bound, Tile
from attnc.sets.solve import Solver
from attnc.sets.substitute import substitute_in

# How many conditions one after the other a proof may take apart.
DEPTH = 4

# How many pieces of a mask a reason speaks of.
MOST_CASES = 4

TOGETHER = "its clauses were not followed together, so a row may be empty"


def find_rows(attention: Attention) -> Rows:
    """Whether a query can be left without a key, by its mask or by scores that a call may make -inf."""
    rows, culprit = _find_rows_of_mask(attention), may_be_minus_infinity(attention.score)
    if culprit is None or rows.can_be_empty:
        return rows
    why = (
        f"the mask leaves no row empty, but a pair whose score is -inf is not seen: see `{print_ir(culprit)}`"
    )
    return Rows(True, (Reason(why, culprit.span),))


def _find_rows_of_mask(attention: Attention) -> Rows:
    plane = make_plane("j", find_requirements(attention.mask, attention.grid), attention.params)
    pieces = Solver(plane, "under").solve(to_predicate(attention.mask))
    for piece in pieces:
        if all(plane.prover.prove(condition) for condition in _conditions(piece, plane)):
            key = term_text(extreme("max", (*piece.target.lows, ZERO)))
            return Rows(False, (Reason(f"no row is empty: query i sees key {key}"),))
    if _always_sees_a_key(pieces, plane, DEPTH):
        return Rows(False, (Reason("no row is empty: every query sees a key, proved case by case"),))
    return Rows(True, tuple(_why_not(attention.mask, pieces, plane)))


def _conditions(piece: Piece, plane: Plane) -> Iterator[Predicate]:
    """What has to hold of a query for it to see a key in the piece."""
    yield from _belongs(piece, plane)
    lows, highs = (*piece.target.lows, ZERO), (*piece.target.highs, plane.target_last)
    yield from (nonnegative(high - low) for low in lows for high in highs)


def _belongs(piece: Piece, plane: Plane) -> Iterator[Predicate]:
    """What has to hold of a query for it to be in the piece, with a key or without."""
    yield from piece.guards
    query = polynomial(plane.other)
    yield from (nonnegative(query - low) for low in piece.other.lows)
    yield from (nonnegative(high - query) for high in piece.other.highs)


def _always_sees_a_key(pieces: Sequence[Piece], plane: Plane, depth: int) -> bool:
    if any(all(plane.prover.prove(condition) for condition in _conditions(piece, plane)) for piece in pieces):
        return True
    questions = (condition for piece in pieces for condition in _belongs(piece, plane))
    question = next((condition for condition in questions if plane.prover.decide(condition) is None), None)
    if question is None or depth == 0:
        return False
    return all(
        _always_sees_a_key(pieces, plane.given((answer,)), depth - 1)
        for answer in (question, negation(question))
    )


# ---- where it was not proved -----------------------------------------------------------------------


def _why_not(mask: Bool, pieces: Sequence[Piece], plane: Plane) -> Iterator[Reason]:
    first = substitute_in(to_predicate(mask), plane.target, polynomial(plane.other))
    if plane.prover.prove(first):
        yield Reason("query i sees key i, so a row is empty only where i >= M; that can be where N > M")
    elif not pieces and not Solver(plane, "over").solve(to_predicate(mask)):
        yield Reason("no query sees a key")
    elif not pieces:
        open_ones = [each for each in explain_clauses(mask, plane, make_tile("i")) if not each.is_closed]
        yield from (clause.unproved() for clause in open_ones)
        yield Reason("so a row may be empty" if open_ones else TOGETHER)
    else:
        cases = [_failures(piece, plane) for piece in pieces[:MOST_CASES]]
        shown = [case for case in cases if len(case) <= LONGEST]
        more = ", and so on" if shown and len(pieces) > len(shown) else ""
        cases = shown or ["a long condition holds"]
        yield Reason(f"query i may see no key where {', and where '.join(cases)}{more}")


def _failures(piece: Piece, plane: Plane) -> str:
    """For which arguments some query sees no key of the piece."""
    rows = Bound(plane, Tile(ZERO, plane.other_last))
    open_ones = [condition for condition in _conditions(piece, plane) if not plane.prover.prove(condition)]
    texts = []
    for condition in open_ones:
        least = rows.end(condition.a, "min") if isinstance(condition, NonNegative) else None
        fails = negation(condition) if least is None else nonnegative(-least - 1)
        texts.append(print_ir(to_bool(negation(condition) if fails.truth else _without_choice(fails, plane))))
    return " or ".join(dict.fromkeys(texts))


def _without_choice(predicate: Predicate, plane: Plane) -> Predicate:
    """`0 < (0 if h < 4 else 1 - w)` as `4 <= h and w < 1`."""
    for atom in predicate.a.atoms if isinstance(predicate, NonNegative) else ():
        if isinstance(predicate, NonNegative) and isinstance(atom, Choice):
            factor, rest = predicate.a.split(atom)
            then, otherwise = nonnegative(factor * atom.a + rest), nonnegative(factor * atom.b + rest)
            cases = (atom.condition, then), (negation(atom.condition), otherwise)
            kept = (every((case, _without_choice(value, plane))) for case, value in cases)
            return some(each for each in kept if not plane.prover.prove(negation(each)))
    return _without_idle_items(predicate, plane)


def _without_idle_items(predicate: Predicate, plane: Plane) -> Predicate:
    """`min(M - 1, w) < 0` as `w < 0`: without the items that are never the reason."""
    if not isinstance(predicate, NonNegative):
        return predicate
    for atom in predicate.a.atoms:
        factor, rest = predicate.a.split(atom)
        if isinstance(atom, Extreme) and factor == (ONE if atom.kind == "max" else -ONE):
            items = [factor * item + rest for item in atom.items]
            left = [item for item in items if not plane.prover.prove_nonnegative(-item - 1)]
            return nonnegative(extreme("max", left)) if len(left) in range(1, len(items)) else predicate
    return predicate
