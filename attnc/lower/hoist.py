"""Work on single tokens, moved out of the loops over pairs.

Enters: an attention. Leaves: the attention as its kernels see it, and `TokenMap`s: vectors and numbers of one query or
one key that torch computes before the kernel runs, once per token instead of once per tile, and whose gradients are
torch's own. What is left inside is a score over dot products of named tensors, captured arrays and positions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from attnc.algebra.atoms import side_of
from attnc.algebra.known import Known
from attnc.analyze.facts import Reason
from attnc.analyze.widths import width_of
from attnc.errors import AttncError, Diagnostic, Label
from attnc.ir.nodes import (
    KEY_HEAD,
    And,
    Attention,
    Bool,
    BoolIf,
    BoolLoad,
    Dot,
    Floor,
    Index,
    Int,
    IntConst,
    IntLoad,
    IntParam,
    Node,
    Not,
    Or,
    Param,
    Real,
    RealLoad,
    Size,
    SumD,
    Total,
    Vec,
    VecInput,
    VecLoad,
)
from attnc.ir.walk import axes_of, holds, replace_terms, walk
from attnc.lower.choices import shield_tokens
from attnc.lower.distances import TABLE_INDEX, TABLE_SIZE, find_by_distance
from attnc.lower.dot_products import as_dot, written_apart
from attnc.lower.token_maps import SIZES, DotPair, Hoisted, TokenMap

Q, K, V = VecInput("q"), VecInput("k"), VecInput("v")
OF_TOKENS = (SumD, Dot, Total)


def hoist_token_maps(attention: Attention, others: Iterable[Real] = ()) -> Hoisted:
    """Split an attention into per-token work and the work of pairs.

    `others` are all terms that its passes evaluate for pairs: their numbers have the same names in each of them.
    """
    work = _Hoist(attention)
    work.clause("q", "i", attention.query, Q, "D")
    work.clause("k", "j", attention.key, K, "D")
    work.clause("v", "j", attention.value, V, "DV")
    for other in others:
        work.terms(other)
    score = work.terms(attention.score)
    mask = replace_terms(attention.mask, work.condition, *OF_TOKENS)
    mask = replace_terms(mask, work.tabulate, Floor)
    assert isinstance(score, Real) and isinstance(mask, Bool)
    dots = _with_common_widths(
        [work.pair(part) for part in dict.fromkeys(p for p in walk(score) if isinstance(p, Dot))]
    )
    inner = replace(
        attention, query=Q, key=K, value=V, mask=mask, score=score, params=(*attention.params, *work.params)
    )
    return Hoisted(
        inner, tuple(work.maps), dots, work.per_query_head, work.reads, tuple(work.because), work.stands_for
    )


class _Hoist:
    def __init__(self, attention: Attention) -> None:
        self.attention = attention
        self.maps: list[TokenMap] = []
        self.params: list[Param] = []
        self.because: list[Reason] = []
        self.tables: dict[Node, str] = {}
        self.tensors: dict[Vec, tuple[str, str, str]] = {}  # side, name and width
        self.reads: dict[Node, Node] = {}
        self.stands_for: dict[Node, Node] = {}
        self.per_query_head = False

    def clause(self, name: str, side: str, term: Vec, identity: Vec, width: str) -> None:
        """`query`, `key` or `value`: a map of the input itself, which keeps its name."""
        if term == identity:
            return
        if side == "j" and "h" in axes_of_arrays(term):
            self._expand_heads(term)
        self.maps.append(TokenMap(name, side, term, width))
        self.because.append(
            Reason(f"the map of {name} is computed once per token, before the kernel", term.span)
        )

    def terms(self, term: Real) -> Node:
        """The term without what is computed once for each token or distance."""
        return replace_terms(replace_terms(shield_tokens(term), self.tabulate, Floor), self.take, *OF_TOKENS)

    def condition(self, term: Node) -> Node | None:
        """A condition that knows vectors becomes an array of truths that the kernel reads; None where there is none."""
        if (
            isinstance(term, And | Or | Not | BoolIf)
            or not isinstance(term, Bool)
            or not holds(term, *OF_TOKENS)
        ):
            return None
        if term not in self.reads:
            for part in walk(term):
                if isinstance(part, SumD | Total) and {"i", "j"} <= axes_of(part):
                    self._refuse(part)
                if isinstance(part, Dot) and any({"i", "j"} <= axes_of(side) for side in (part.a, part.b)):
                    self._refuse(part)
            axes = [axis for axis in SIZES if axis in axes_of(term)]
            name = self._fresh("condition", sum(each.side == "condition" for each in self.maps) + 1)
            self.maps.append(TokenMap(name, "condition", term, ""))
            self.params.append(Param(name, "bool", sizes=tuple(SIZES[a] for a in axes) or (IntConst(1),)))
            index = tuple(Index(axis) for axis in axes) or (IntConst(0),)
            self.reads[term] = BoolLoad(name, index, span=term.span)
            what = "every pair" if {"i", "j"} <= set(axes) else "every token"
            on = "vectors" if holds(term, SumD, Dot) else "sums over tokens"
            why = f"a condition on {on} is computed for {what} at once, before the kernel"
            self.because.append(Reason(why, term.span))
        return self.reads[term]

    def take(self, term: Node) -> Node | None:
        """A per-token number in the score becomes an array that the kernel reads; None where there is none."""
        if term not in self.reads:
            found = self._find_number(term)
            if not isinstance(found, RealLoad):
                return found
            self.reads[term] = found
        return self.reads[term]

    def _find_number(self, term: Node) -> Node | None:
        match term:
            case Dot(a, VecLoad() as load) | Dot(VecLoad() as load, a) if {"i", "j"} <= axes_of(load):
                return self._table(term, a, load)
            case Dot(a, b) if "pair" in (side_of(a), side_of(b)):
                return self._as_dot(term)
            case SumD(a) if side_of(a) == "pair":
                return self._as_dot(term)
            case SumD(a):
                return self._number(term, a)
            case Total():
                why = "sums of a slice are found in float64, and rounded once to the precision of scores"
                self.because.append(Reason(why, term.span))
                return self._number(term)
            case Dot(a, b) if not ("i" in axes_of(a) and "j" in axes_of(b)):
                if "j" in axes_of(a) and "i" in axes_of(b) and not ("i" in axes_of(a) or "j" in axes_of(b)):
                    return Dot(b, a, span=term.span)
                return self._number(term, a, b)
        return None

    def tabulate(self, term: Node) -> Node | None:
        """An int that is found through reals, as a logarithmic bucket is: once per distance, not once per pair."""
        relative = find_by_distance(term)
        if relative is None:
            return None
        if relative not in self.tables:
            name = self._fresh("by_distance", len(self.tables) + 1)
            self.tables[relative] = name
            self.maps.append(TokenMap(name, "distance", relative, ""))
            self.params.append(Param(name, "int", sizes=(TABLE_SIZE,)))
            why = "this depends on j - i alone and is found through reals: it is computed once for each distance"
            self.because.append(Reason(why, term.span))
        load = IntLoad(self.tables[relative], (TABLE_INDEX,), span=term.span)
        self.stands_for[load] = term
        return load

    def pair(self, dot: Dot) -> DotPair:
        if dot == Dot(Q, K):
            return DotPair(dot, "q", "k", "D")
        query, width = self._tensor(dot.a, "i", "query")
        key, _ = self._tensor(dot.b, "j", "key")
        return DotPair(dot, query, key, width)

    def _as_dot(self, term: Dot | SumD) -> Node:
        """A sum over features of a pair, where it is a dot product."""
        found = as_dot(term)
        if found is None:
            return self._refuse(term)
        why = Reason("this is a dot product of a vector of the query and one of the key", term.span)
        if why not in self.because:
            self.because.append(why)
        return replace_terms(found, self.take)

    def _number(self, term: Real, *vectors: Vec) -> Node:
        axes = axes_of(term)
        if {"i", "j"} <= axes:
            return self._refuse(term)
        side = "j" if "j" in axes else "i"
        if side == "j" and any("h" in axes_of_arrays(vector) for vector in vectors):
            self._expand_heads(term)
        name = self._fresh("key_number" if side == "j" else "query_number", len(self.params) + 1)
        sizes = (Size("B"), Size("H"), Size("M" if side == "j" else "N"))
        self.maps.append(TokenMap(name, side, term, ""))
        self.params.append(Param(name, "float", sizes=sizes))
        self.because.append(Reason("a number of one token is computed once, before the kernel", term.span))
        load = RealLoad(name, (Index("b"), Index("h"), Index(side)), span=term.span)  # type: ignore[arg-type]
        self.stands_for[load] = term
        return load

    def _table(self, term: Dot, vector: Vec, load: VecLoad) -> Node:
        """A vector of one token times a row that the pair chooses: its products with all rows, and then a choice."""
        sizes = self.attention.param(load.array).sizes
        side, mixed = (
            axes_of(vector) & {"i", "j"},
            [n for n, item in enumerate(load.index) if not _is_head(item)],
        )
        rest = [item for item in load.index if _is_head(item)]
        heads = [axis for item in rest for axis in axes_of(item)]
        if len(side) != 1 or len(mixed) != 1 or len(set(heads)) != len(heads):
            return self._refuse(term)
        (axis,), (dim,) = side, mixed
        if axis == "j" and "h" in axes_of_arrays(vector) | axes_of_arrays(load):
            self._expand_heads(term)
        name = self._fresh("key_products" if axis == "j" else "query_products", len(self.params) + 1)
        tokens = Size("M" if axis == "j" else "N")
        self.maps.append(TokenMap(name, axis, Dot(vector, load), "", dim))
        self.params.append(Param(name, "float", sizes=(Size("B"), Size("H"), tokens, sizes[dim])))
        what = "a query" if axis == "i" else "a key"
        why = f"the products of {what} with every row of `{load.array}` are computed once, before the kernel"
        self.because.append(Reason(why, term.span))
        product = RealLoad(name, (Index("b"), Index("h"), Index(axis), load.index[dim]), span=term.span)
        self.stands_for[product] = term
        return product

    def _tensor(self, term: Vec, side: str, prefix: str) -> tuple[str, str]:
        if term == (Q if side == "i" else K):
            return ("q" if side == "i" else "k"), "D"
        if term not in self.tensors:
            number = sum(of == side for of, *_ in self.tensors.values()) + 2
            name, width = self._fresh(prefix, number), f"D_{len(self.tensors) + 2}"
            if side == "j" and "h" in axes_of_arrays(term):
                self._expand_heads(term)
            self.maps.append(TokenMap(name, side, term, width))
            self.because.append(
                Reason("a vector of one token is computed once, before the kernel", term.span)
            )
            self.tensors[term] = (side, name, width)
        _, name, width = self.tensors[term]
        return name, width

    def _fresh(self, name: str, number: int) -> str:
        """A numbered name that no parameter of the spec has."""
        fresh = f"{name}_{number}"
        while any(fresh == param.name for param in self.attention.params):
            fresh += "_"
        return fresh

    def _expand_heads(self, term: Vec | Real) -> None:
        self.per_query_head = True
        self.because.append(
            Reason(
                "this depends on the query head, so keys and values are laid out per query head", term.span
            )
        )

    def _refuse(self, term: Real) -> Node:
        of = self.attention
        apart = written_apart(term, Known(of.query, of.key, width=lambda vec: width_of(vec, of)))
        raise why_no_kernel(of, term, (apart,) if apart else ())


def why_no_kernel(attention: Attention, term: Real, helps: tuple[str, ...] = ()) -> AttncError:
    """A vector or a product that only a pair has, and no kernel at that place."""
    return AttncError(
        Diagnostic(
            "no-kernel",
            f"`{attention.name}` has no kernel yet: a vector depends on a query and a key at once",
            Label(term.span) if term.span else None,
            helps=('`backend="reference"` runs it on the interpreter', *helps),
        )
    )


def find_key_heads(attention: Attention) -> Param | None:
    """An argument that says what `HKV` is, where kernels cannot: they see keys and values of every query head."""
    if Size("HKV") not in walk(attention) or not hoist_token_maps(attention).per_query_head:
        return None
    name = "key_heads"
    while any(name == param.name for param in attention.params):
        name += "_"
    return Param(name, "int")


def _with_common_widths(dots: list[DotPair]) -> tuple[DotPair, ...]:
    """The same pairs, where a tensor that stands in several has one width, and so has all it meets."""
    width: dict[str, str] = {}
    for _ in dots:
        for pair in dots:
            common = min(width.get(pair.query, pair.width), width.get(pair.key, pair.width))
            width[pair.query] = width[pair.key] = common
    return tuple(replace(pair, width=width[pair.query]) for pair in dots)


def _is_head(item: Int) -> bool:
    return item in (Index("b"), Index("h"), KEY_HEAD)


def axes_of_arrays(term: Node) -> frozenset[str]:
    """The indices that a term names itself, leaving out those its inputs stand for, and the key head of a head."""
    # A parameter: a constant would decide conditions, and drop what they choose from.
    by_query_head = replace_terms(term, lambda part: IntParam("h_kv") if part == KEY_HEAD else None)
    return frozenset(part.axis for part in walk(by_query_head) if isinstance(part, Index))
