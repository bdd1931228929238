"""What each clause of a mask does for the ranges, in words.

Enters: a mask and the plane it is solved in. Leaves: `Clause`s: "`i - j < window` gives keys from i - window + 1", or
what about the clause has no closed form: "`doc[b, i] == doc[b, j]` reads an array at key positions".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from attnc.analyze.facts import Reason
from attnc.ir.nodes import (
    READINGS,
    And,
    Bool,
    BoolIf,
    Compare,
    Floor,
    IntOp,
    IntParam,
    IsPow2,
    Member,
    Node,
    Not,
    Or,
    Period,
    Real,
    TileEnd,
    Truth,
)
from attnc.ir.text import print_ir
from attnc.ir.walk import axes_of, replace_terms, walk
from attnc.sets.convert import to_bool, to_int, to_polynomial, to_predicate
from attnc.sets.folding import extreme
from attnc.sets.pieces import Piece, Plane, Stretch
from attnc.sets.polynomial import Polynomial
from attnc.sets.predicate import Predicate, every, negation
from attnc.sets.project import Tile, project_some
from attnc.sets.solve import Solver

MOST_CLAUSES = 100
LONGEST = 400  # of an interval or a condition: what is longer is there for programs

PLURAL = {"i": "queries", "j": "keys"}
SINGULAR = {"i": "query", "j": "key"}


@dataclass(frozen=True)
class Clause:
    """A comparison or a lookup of the mask.

    `is_closed`: it gives intervals whose ends are known for every tile; else `obstacle` says what stands in the way.
    """

    name: str
    reason: Reason
    is_closed: bool
    obstacle: str = ""

    def followed(self, how: str) -> Reason:
        """The reason, where the whole mask has a closed form."""
        return self.reason if self.is_closed else replace(self.reason, text=f"{self.name} is solved {how}")

    def unproved(self) -> Reason:
        """Why it leaves open whether a query sees a key, whatever is known of tiles."""
        what = f"{self.name} {self.obstacle}: not every query is known to find a key"
        return replace(self.reason, text=what)


def explain_clauses(mask: Bool, plane: Plane, tile: Tile) -> tuple[Clause, ...]:
    """One `Clause` for each clause, in written order, as far as anybody would read."""
    found: dict[Clause, None] = {}
    for term, is_negated in islice(_clauses(mask, False), MOST_CLAUSES):
        predicate = negation(to_predicate(term)) if is_negated else to_predicate(term)
        found.setdefault(_explain(term, is_negated, predicate, plane, tile))
    return tuple(found)


def _clauses(mask: Bool, is_negated: bool) -> Iterator[tuple[Bool, bool]]:
    match mask:
        case And(items) | Or(items):
            for item in items:
                yield from _clauses(item, is_negated)
        case Not(a):
            yield from _clauses(a, not is_negated)
        case BoolIf(cond, a, b):
            yield from _clauses(cond, False)
            yield from _clauses(a, is_negated)
            yield from _clauses(b, is_negated)
        case Truth():
            return
        case _:
            yield mask, is_negated


def _explain(term: Bool, is_negated: bool, predicate: Predicate, plane: Plane, tile: Tile) -> Clause:
    text = clause_text(term)
    name = f"`not ({text})`" if is_negated else f"`{text}`"
    pieces = Solver(plane, "over").solve(predicate)
    is_closed = all(piece.followed and project_some(piece, tile, plane).known for piece in pieces)
    if is_closed:
        return Clause(name, Reason(f"{name} {_effect(pieces, plane)}", term.span), True)
    is_spent = plane.prover.budget.is_spent
    obstacle = "takes more steps than the analysis has" if is_spent else _obstacle(term, plane)
    return Clause(name, Reason(f"{name} {obstacle}: no closed form", term.span), False, obstacle)


def clause_text(term: Bool) -> str:
    """As it was written, on one line; as the IR prints it where nobody wrote it."""
    return " ".join(term.span.text.split()) if term.span else print_ir(term)


# ---- what it gives ---------------------------------------------------------------------------------


def _effect(pieces: tuple[Piece, ...], plane: Plane) -> str:
    if not pieces:
        return "is never true"
    if pieces == (Piece(),):
        return "is always true"
    if all(piece.target == piece.other == Stretch() for piece in pieces):
        return "is the same for every pair"
    target = any(piece.target != Stretch() for piece in pieces)
    in_order = sorted(pieces, key=lambda piece: bool(piece.target.lows))
    texts = [_of_piece(piece, target, plane) for piece in in_order]
    return f"{'gives' if target else 'holds'} {', or '.join(texts)}"


def _of_piece(piece: Piece, target: bool, plane: Plane) -> str:
    keys, queries = PLURAL[plane.target.key], PLURAL[plane.other.key]
    words = [stretch_text(piece.target, keys)] if target else []
    if piece.other != Stretch():
        words.append(f"for {stretch_text(piece.other, queries)}")
    if piece.guards:
        guard = print_ir(to_bool(every(piece.guards)))
        words.append(f"where {guard}" if len(guard) <= LONGEST else "on a long condition")
    return " ".join(words)


def stretch_text(stretch: Stretch, positions: str) -> str:
    lo = term_text(extreme("max", stretch.lows)) if stretch.lows else ""
    hi = term_text(extreme("min", (high + 1 for high in stretch.highs))) if stretch.highs else ""
    if lo and hi:
        return f"{positions} {interval_text(lo, hi)}"
    if len(lo + hi) > LONGEST:
        return f"{positions} {long_text(1)}"
    return f"{positions} from {lo}" if lo else f"{positions} below {hi}" if hi else f"all {positions}"


def interval_text(lo: str, hi: str) -> str:
    """`[lo, hi)`, as far as anybody would read."""
    return f"[{lo}, {hi})" if len(lo + hi) <= LONGEST else long_text(1)


def long_text(count: int) -> str:
    """Instead of ends that nobody would read."""
    which = "an interval" if count == 1 else f"{count} intervals"
    return f"of {which} with long ends (`attnc explain --json` has them)"


def term_text(a: Polynomial) -> str:
    """A term for people: a tile of queries goes from `i0` to `i1`, one of keys from `j0` to `j1`, a period is `p`."""
    return print_ir(replace_terms(to_int(a), _short_name))


def _short_name(node: Node) -> Node | None:
    match node:
        case TileEnd(axis, end):
            return IntParam(f"{axis}{0 if end == 'first' else 1}")
        case Period():
            return IntParam("p")
    return None


# ---- what stands in the way ------------------------------------------------------------------------


def _obstacle(term: Bool, plane: Plane) -> str:
    """The part of a clause that has no closed form, as far as it has a name. Steps that ran out are no obstacle."""
    plane = plane.afresh()
    for node in walk(term):
        match node:
            case IntOp("//" | "%", a, n) if axes_of(a) & {"i", "j"}:
                if not plane.prover.prove_nonnegative(to_polynomial(n) - 1):
                    return f"divides by `{print_ir(n)}`, which may be below 1"
    for axis in (plane.target.key, plane.other.key):
        moving = [node for node in walk(term) if axis in axes_of(node)]
        if any(isinstance(node, READINGS) for node in moving):
            return f"reads an array at {SINGULAR[axis]} positions"
        if any(
            isinstance(node, Member) and any(axis in axes_of(item) for item in node.index) for node in moving
        ):
            return f"reads an array at {SINGULAR[axis]} positions"
        if any(isinstance(node, Member) for node in moving):
            return f"looks for {PLURAL[axis]} in an array"
        if any(isinstance(node, IsPow2) for node in moving):
            return "asks for a power of two"
        if any(isinstance(node, Floor) for node in moving):
            return "rounds a real number"
        if any(isinstance(node, Compare) and isinstance(node.a, Real) for node in moving):
            return "compares real numbers"
        if any(isinstance(node, IntOp) and node.op == "%" for node in moving):
            return f"picks {PLURAL[axis]} by a remainder"
    return f"is not solved for `{plane.target.key}`"
