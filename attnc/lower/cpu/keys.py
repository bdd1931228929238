"""What a tile of queries sees, and what of that the mask hides: the only place of the CPU path that knows.

Enters: a sweep. Leaves: `_keys_seen`, which answers an index of the keys of a tile and its edges, the parts of the tile
where some pair may be hidden; and `_hide`, which evaluates the mask there and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from attnc.analyze.facts import Interval, Periods, Ranges, Shown
from attnc.ir.nodes import (
    Bool,
    BoolLoad,
    Index,
    Int,
    IntConst,
    IntLoad,
    IntParam,
    Member,
    Node,
    OverTile,
    Real,
    Truth,
)
from attnc.ir.walk import axes_of, holds, replace_terms
from attnc.kernel.build import Block, function
from attnc.kernel.expressions import Expr, List, Lit, Tuple, Unary, Var
from attnc.kernel.nodes import Do, For, Function, Param
from attnc.lower.scope import Scope, note_of
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.torch_terms import DTYPE, TorchTerms, is_number, torch
from attnc.sets.convert import to_predicate
from attnc.sets.folding import leaf
from attnc.sets.polynomial import Leaf
from attnc.sets.substitute import substitute_in

Q0, Q1, M = Var("q0"), Var("q1"), Var("M")
SEEN, EDGES = Var("seen"), Var("edges")
PLACES = ["b", "h", "i", "heads", "q0", "q1", "B", "H", "HKV", "N", "M", "D", "DV", "dtype"]


class _OfEveryHead(TorchTerms):
    """Terms where all heads are there at once."""

    here = TorchTerms.here | {"h": slice(None)}


def lower_keys(sweep: TiledSweep) -> Function:
    """`_keys_seen(q0, q1, ...)`."""
    block = Block()
    doc = "The keys that queries [q0, q1) see, and the edges, where some are hidden."
    if "j" in sweep.cover.listed:
        block.returns(function("_join_tiles")(M, Var("kinds")[:, :, Q0 // Var("TILE")]))
        return _function("_keys_seen", [], block, sweep, ["q0", "M", "kinds"], doc)
    terms = _OfEveryHead(sweep.attention, {}, sweep.cover.requires, sweep.tokens.places)
    block.let("i_first", Q0)
    block.let("i_last", Q1 - 1)
    block.let("b", torch.arange(Var("B"))[:, None, None, None])
    block.let("h", torch.arange(Var("H"))[:, None, None])
    block.let("i", torch.arange(Q0, Q1)[:, None])
    if sweep.attention.mask == Truth(True):
        block.returns(function("_join")(M, Tuple((Lit(0), M, Lit(0), M))))
    elif sweep.cover.keys.periods is None:
        ends = _ends(sweep.cover.keys.shown, lambda _, end, kind: _end(terms, end, kind))
        block.returns(function("_join")(M, *ends))
    else:
        block.returns(
            function("_join")(
                M, Unary("*", _in_periods(block, terms, sweep.cover.keys, sweep.cover.keys.periods))
            )
        )
    return _function("_keys_seen", [], block, sweep, ["q0", "q1", *PLACES[6:]], doc)


def _ends(shown: Sequence[Shown], end_of: Callable[[str, Int, str], Expr]) -> Iterator[Expr]:
    """First and end of each interval, of its keys and of those that every query sees; `_join` clamps them.

    `end_of` writes one, given a name for it, the term, and whether the least or the greatest of all heads counts.
    """
    for n, (visited, full) in enumerate(shown, 1):
        inner = full or Interval(IntConst(0), IntConst(0))
        yield Tuple(
            (
                end_of(f"lo_{n}", visited.lo, "min"),
                end_of(f"hi_{n}", visited.hi, "max"),
                end_of(f"full_lo_{n}", inner.lo, "max"),
                end_of(f"full_hi_{n}", inner.hi, "min"),
            )
        )


def _in_periods(block: Block, terms: TorchTerms, keys: Ranges, periods: Periods) -> Expr:
    """The ends of every period. The least and the greatest over the tile are found before, as numbers if they are."""
    numbers: dict[Node, Node] = {}
    for part in dict.fromkeys(part for part in keys.parts if isinstance(part, OverTile)):
        name = f"{'least' if part.kind == 'min' else 'greatest'}_{len(numbers) + 1}"
        is_one = not axes_of(part) & {"b", "h"}
        numbers[part] = IntParam(name) if is_one else part
        value = terms(part)
        terms.named[numbers[part]] = block.let(name, function("int")(value) if is_one else value)

    def end_of(block: Block, name: str, end: Int, kind: str) -> Expr:
        """By its name, if it is a tensor of all heads."""
        term = replace_terms(end, numbers.get)
        assert isinstance(term, Int)
        if not is_number(term):
            terms.named[term] = block.let(name, terms(term))
        return _end(terms, term, kind)

    lo, hi = end_of(block, "lo", periods.lo, "min"), end_of(block, "hi", periods.hi, "max")
    lo, hi = block.let("period_lo", lo), block.let("period_hi", hi)
    over: list[Expr] = [lo, hi]
    if keys.takes_several_periods:
        over.append(block.let("period_step", function("max")((Q1 - Q0) // terms(periods.length), 1)))
    spans = block.let("spans", List(()))
    with block.loop("period", function("range")(*over)) as inside:
        if keys.takes_several_periods:
            inside.let("period_last", function("min")(Var("period") + over[-1], hi) - 1)
        for ends in _ends(keys.shown, partial(end_of, inside)):
            inside.do(spans.call("append", ends))
    if keys.suffix:
        for ends in _ends([keys.suffix], partial(end_of, block)):
            block.do(spans.call("append", ends))
    return spans


def _end(terms: TorchTerms, term: Int, kind: str) -> Expr:
    """An end of an interval as a Python number: over all heads and batches, of which there may be none."""
    value = terms(term)
    if is_number(term):
        return value
    return function(kind)(value.call("flatten").call("tolist"), default=0)


def lower_hide(sweep: TiledSweep) -> tuple[Function, ...]:
    """`_hide(pairs, otherwise, edges, ...)` last, after what it calls; nothing where nothing is hidden."""
    mask = sweep.attention.mask
    if mask == Truth(True):
        return ()
    if _knows_distances_alone(mask):
        return _lower_hide_by_distance(sweep)
    terms = TorchTerms(sweep.attention, {}, sweep.cover.requires, sweep.tokens.places)
    block, edge = Block(), Block()
    edge.let("j", torch.arange(SEEN.attr("start"), SEEN.attr("stop"))[None, :])
    Scope(sweep.attention, terms).bind([mask], lambda axes: edge if "j" in axes else block)
    visible = terms(mask)
    if is_number(mask):
        visible = torch.tensor(visible)
    visible = edge.let("visible", visible, note_of(mask))
    columns = Var("pairs")[:, :, :, Var("columns")]
    bits = function("_bits_of_pairs")(visible, Var("pairs").attr("dtype"), Var("otherwise"))
    edge.do(function("_fill_hidden")(columns, Unary("*", bits)))
    block.stmts.append(For(Tuple((Var("columns"), SEEN)), EDGES, tuple(edge.stmts)))
    doc = "Fill in every pair of a tile that the mask hides."
    return (_function("_hide", ["pairs", "otherwise", "edges"], block, sweep, PLACES, doc),)


def _knows_distances_alone(mask: Bool) -> bool:
    """Is the mask the same for every pair at the same distance, of every head, and made of integers of the call?"""
    if holds(mask, Real, IntLoad, BoolLoad, Member):
        return False
    predicate = to_predicate(mask)
    for axis in (Index("i"), Index("j")):
        predicate = substitute_in(predicate, Leaf(axis), leaf(axis) + 1)
    return predicate == to_predicate(mask) and not axes_of(mask) & {"b", "h"}


def _lower_hide_by_distance(sweep: TiledSweep) -> tuple[Function, ...]:
    """Most tiles have the same edges, as seen from their first query: what hides there is kept."""
    mask, terms = (
        sweep.attention.mask,
        TorchTerms(sweep.attention, {}, sweep.cover.requires, sweep.tokens.places),
    )
    block = Block()
    block.let("i", torch.arange(Var("rows"))[:, None])
    block.let("j", torch.arange(Var("lo"), Var("hi"))[None, :])
    visible = block.let("visible", terms(mask), note_of(mask))
    block.returns(function("_bits_of_pairs")(visible, DTYPE, Var("otherwise")))
    doc = "What hides the unseen of the keys [lo, hi), counted from the first of `rows` queries."
    known = [*PLACES[6:-1], "dtype", "otherwise"]
    hidden = replace(
        _function("_hidden", ["rows", "lo", "hi"], block, sweep, known, doc),
        decorator="lru_cache(maxsize=16)",
    )
    here = [
        Var("q1") - Q0,
        SEEN.attr("start") - Q0,
        SEEN.attr("stop") - Q0,
        *(Var(p.name) for p in hidden.params[3:]),
    ]
    columns = Var("pairs")[:, :, :, Var("columns")]
    fill = Do(function("_fill_hidden")(columns, Unary("*", function("_hidden")(*here))))
    block = Block()
    block.stmts.append(For(Tuple((Var("columns"), SEEN)), EDGES, (fill,)))
    doc = "Fill in every pair of a tile that the mask hides."
    return hidden, _function("_hide", ["pairs", "otherwise", "edges"], block, sweep, PLACES, doc)


def call_keys(keys: Function, q0: Expr = Q0, q1: Expr = Q1) -> Expr:
    """Its call for these queries, where every other parameter has its own name."""
    rows = {"q0": q0, "q1": q1}
    return function(keys.name)(*(rows.get(p.name, Var(p.name)) for p in keys.params))


def call_hide(hide: Function, pairs: Expr, otherwise: Expr) -> Expr:
    return function(hide.name)(pairs, otherwise, *(Var(p.name) for p in hide.params[2:]))


def _function(
    name: str, first: list[str], block: Block, sweep: TiledSweep, known: list[str], doc: str
) -> Function:
    """The function, which takes of what is known what it reads."""
    given = map(Param, (*known, *sweep.signature.forward))
    return block.function(name, given, doc, first=tuple(map(Param, first)))
