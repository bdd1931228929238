"""Which terms of a loop get a name, what name, and on which side of the loop they are computed.

Enters: the terms that a loop body needs. Leaves: `name = value` lines, each in the outermost block that knows its
positions. A name is given to every element that is read, to every `let` of the spec, to a function that is needed more
than once (a derivative shares it with its score), and to what is the same for a whole program. Names come from the
spec or from the mathematics, never from a counter alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from attnc.ir.nodes import (
    LOADS,
    Attention,
    BoolLoad,
    FromInt,
    Index,
    IntConst,
    IntLoad,
    IntOp,
    IntParam,
    Node,
    Real,
    RealCall,
    RealConst,
    RealLoad,
    RealOp,
    RealParam,
    Scale,
    Size,
    TileEnd,
)
from attnc.ir.walk import Axis, axes_of, is_invariant, walk
from attnc.kernel.build import Block
from attnc.lower.conversions import name_by_token
from attnc.lower.names import SIZES, fresh_name
from attnc.lower.regroup import LOG2_E
from attnc.lower.terms import Terms

Place = Callable[[frozenset[Axis]], Block]
LEAVES = (IntConst, RealConst, IntParam, RealParam, Index, Size, Scale)
OPERATOR_NAMES = {
    "*": "times",
    "/": "over",
    "+": "plus",
    "-": "minus",
    "**": "to_the",
    "min": "min",
    "max": "max",
}


class Scope:
    """The names of one kernel, over its terms."""

    def __init__(self, attention: Attention, terms: Terms) -> None:
        self.terms = terms
        self._indices: dict[Node, str] = {}
        self._invariant = set[Node]()
        self._inside: Counter[Node] = Counter()  # how often a term is a part of an invariant one
        self.lets = {term: name for name, term in attention.lets if not isinstance(term, LEAVES)}
        self.taken = {*attention.apart, *SIZES, "scale", *terms.variables}

    def bind(self, roots: Iterable[Node], place: Place) -> None:
        """Name what deserves it in the roots; a root itself is named by whoever asked for it."""
        roots = list(roots)
        uses: Counter[Node] = Counter()
        order: dict[Node, None] = {}
        for root in roots:
            self._count(root, uses, order)
        self._indices = {item: part.array for part in order if isinstance(part, LOADS) for item in part.index}
        self._invariant = {term for term in order if isinstance(term, Real) and is_invariant(term)}
        self._inside = Counter([part for other in self._invariant for part in other.children])
        for term in order:
            if term not in self.terms.named and (name := self._name(term, uses, roots)):
                target = place(axes_of(term))
                note = note_of(term) if term in self.lets else ""
                if name_by_token(term):
                    note = "converted by token"
                name = fresh_name(name, self.taken)
                self.taken.add(name)
                self.terms.named[term] = target.let(name, self.terms(term), note, of_spec=True)

    def _count(self, term: Node, uses: Counter[Node], order: dict[Node, None]) -> None:
        """Occurrences of every term, shared parts once per user; and all of them, innermost first."""
        term = self.terms.instead(term)
        uses[term] += 1
        if uses[term] == 1:
            if term not in self.terms.named:
                for part in term.children:
                    self._count(part, uses, order)
            order[term] = None

    def _name(self, term: Node, uses: Counter[Node], roots: list[Node]) -> str | None:
        if term in self.lets:
            return self.lets[term]
        match term:
            case IntLoad(array, index) if ends := _tile_ends(index):
                return "_".join((self.terms.attention.variable(array), *ends))
            case RealLoad(array, index) | IntLoad(array, index) | BoolLoad(array, index):
                axes = frozenset[Axis]().union(*map(axes_of, index))
                positions = "".join([axis for axis in "ij" if axis in axes])
                read = self.terms.attention.variable(array)
                return f"{read}_{positions}" if positions else read
            case IntOp() if "i" in (axes := axes_of(term)) and "j" in axes and term in self._indices:
                return f"{self._indices[term]}_index"
            case RealOp() if name := name_by_token(term):
                return name
            case RealCall(fn) if uses[term] > 1 and not is_invariant(term):
                return f"{fn}_term"
            case RealOp() | RealCall() if self._is_worth_hoisting(term, uses):
                name = _spell(term)
                return name if name.isidentifier() else f"of_{name}"
        return None

    def _is_worth_hoisting(self, term: Real, uses: Counter[Node]) -> bool:
        """Invariant, of more than constants, and not only a part of a larger invariant term."""
        if term not in self._invariant:
            return False
        if all(isinstance(part, RealConst | IntConst | RealOp) for part in walk(term)):
            return False
        return uses[term] > self._inside[term]


def _tile_ends(index: tuple[Node, ...]) -> list[str]:
    """The ends of tiles that an index speaks of: `first`, `last`."""
    return [part.end for item in index for part in walk(item) if isinstance(part, TileEnd)]


def _spell(term: Node) -> str:
    """A name that says the formula: `scale_over_cap`."""
    match term:
        case Scale():
            return "scale"
        case RealConst() if term == LOG2_E:
            return "log2e"
        case RealConst(value):
            return f"{value:g}".replace(".", "p").replace("-", "minus_").replace("+", "")
        case IntConst(value):
            return f"{value}".replace("-", "minus_")
        case RealParam(name) | IntParam(name) | Size(name):
            return name
        case Index(axis):
            return axis
        case RealLoad(array, _) | IntLoad(array, _):
            return array
        case FromInt(a):
            return _spell(a)
        case RealCall(fn, a):
            return f"{fn}_{_spell(a)}"
        case RealOp(op, a, b):
            if op in ("+", "*") and isinstance(a, RealConst):
                a, b = b, a
            return f"{_spell(a)}_{OPERATOR_NAMES[op]}_{_spell(b)}"
    return "factor"


def note_of(term: Node) -> str:
    """Where a term stands in the spec, as emitted code cites it."""
    return term.span.cited if term.span else ""
