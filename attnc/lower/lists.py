"""The tiles of a mask that has no closed form, found by torch before the kernels run.

Enters: a sweep. Leaves: `_visible`, the mask for any pairs; `_tile_kinds`, which tells empty tiles from whole ones and
from those in between by the tile test, and looks at the undecided ones pair by pair; and the lists of a kernel's tiles.
All that grows with queries times keys is one number for each tile.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from attnc.analyze.facts import Requirement, TileTest
from attnc.ir.nodes import (
    LOADS,
    Attention,
    Bool,
    Index,
    Int,
    Node,
    OverTile,
    TileEnd,
)
from attnc.ir.walk import axes_of, replace_terms, walk
from attnc.kernel.build import Block, function
from attnc.kernel.expressions import Expr, Lit, Tuple, Var
from attnc.kernel.nodes import Function
from attnc.kernel.nodes import Param as Name
from attnc.lower.names import fresh_name
from attnc.lower.scope import note_of
from attnc.lower.tiled.sweep import TiledSweep
from attnc.lower.torch_terms import TorchTerms, is_number, torch

ROWS, COLUMNS, DEVICE = Var("rows"), Var("columns"), Var("device")
POSITIONS = ("b", "h", "i", "j")
Listed = Literal["keys", "queries"]
NOWHERE: Mapping[Node, Node] = MappingProxyType({})


def lower_lists(sweep: TiledSweep) -> tuple[Function, ...]:
    """`_visible` and `_tile_kinds`; nothing where every range has a closed form."""
    if not sweep.cover.listed:
        return ()
    visible = _lower_visible(sweep)
    return visible, _lower_kinds(sweep, [p.name for p in visible.params if p.name not in POSITIONS])


def lower_tile_lists(sweep: TiledSweep, lists: tuple[Function, ...]) -> dict[Listed, Function]:
    """The functions that list the tiles of a kernel, whose loops go over keys or over queries."""
    axes: tuple[tuple[Listed, Literal["i", "j"]], ...] = (("keys", "j"), ("queries", "i"))
    return {what: _lower_lists_of(what, lists[-1]) for what, axis in axes if axis in sweep.cover.listed}


def call_kinds(kinds: Function) -> Expr:
    """A call of `_tile_kinds`, where every parameter has its own name."""
    return function(kinds.name)(*(Var(p.name) for p in kinds.params))


def _lower_visible(sweep: TiledSweep) -> Function:
    block = Block()
    block.returns(_gathered(sweep)(sweep.attention.mask))
    return at_pairs("_visible", block, sweep.attention, "Does query i see key j? For any pairs.")


def at_pairs(name: str, block: Block, attention: Attention, doc: str) -> Function:
    """A function of any pairs."""
    return block.function(name, map(Name, _names(attention)), doc, first=tuple(map(Name, POSITIONS)))


def _lower_kinds(sweep: TiledSweep, given: list[str]) -> Function:
    doc = "Kinds of tiles, [B or 1, H or 1, ...]: 0 hides all its pairs, 2 shows all, 1 is an edge."
    return kinds_of_tiles(
        "_tile_kinds", _gathered(sweep), sweep.attention.mask, sweep.cover.test, "_visible", given, doc
    )


def kinds_of_tiles(
    name: str, terms: TorchTerms, mask: Bool, tiles: TileTest, visible: str, given: list[str], doc: str
) -> Function:
    """The function that finds the kinds of all tiles; those that the test leaves open are looked at pair by pair."""
    block = Block()
    block.let("b", torch.arange(Var("B"), device=DEVICE)[:, None, None, None])
    block.let("h", torch.arange(Var("H"), device=DEVICE)[:, None, None])
    block.let("i", torch.arange(Var("N"), device=DEVICE)[:, None])
    block.let("j", torch.arange(Var("M"), device=DEVICE))
    for axis, step in (("i", ROWS), ("j", COLUMNS)):
        size = Var("N" if axis == "i" else "M")
        first = torch.arange(0, size, step, device=DEVICE)
        block.let(f"{axis}_first", first[:, None] if axis == "i" else first)
        block.let(f"{axis}_last", (Var(f"{axis}_first") + step).call("clamp", max=size) - 1)
    some, every = _with_ends(tiles.some), _with_ends(tiles.every)
    for term in dict.fromkeys(part for test in (some, every) for part in walk(test)):
        if isinstance(term, OverTile) and term not in terms.named:
            step = ROWS if term.axis == "i" else COLUMNS
            reduce = "amin" if term.kind == "min" else "amax"
            value = function("_over_tiles")(terms(term.a), reduce, step, Var(term.axis))
            terms.named[term] = block.let(_fresh(term, terms), value)
    for word, test in (("some", some), ("every", every)):
        value = torch.tensor(terms(test), device=DEVICE) if is_number(test) else terms(test)
        block.let(word, value, note_of(mask))
    heads = [Var(size) if axis in axes_of(mask) else Lit(1) for axis, size in (("b", "B"), ("h", "H"))]
    block.let("shape", Tuple((*heads, Var("i_first").call("numel"), Var("j_first").call("numel"))))
    looked = (Var(visible), Var("some"), Var("every"), Var("shape"), ROWS, COLUMNS, Var("N"), Var("M"))
    block.returns(function("_look_inside")(*looked, *map(Var, given)))
    tile = (Name("rows"), Name("columns"), Name("device"))
    return block.function(name, map(Name, _names(terms.attention)), doc, "_remembered", tile)


def _lower_lists_of(what: Listed, kinds: Function) -> Function:
    block = Block()
    found = function(kinds.name)(*(Var(p.name) for p in kinds.params))
    if what == "keys":
        block.returns(function("_lists")(found, Var("M") // COLUMNS))
        doc = "Tiles of keys for each tile of queries: edge_start, edge_tiles, full_start, full_tiles."
    else:
        block.returns(function("_lists")(found.attr("mT"), Var("N") // ROWS))
        doc = "Tiles of queries for each tile of keys: edge_start, edge_tiles, full_start, full_tiles."
    return Function(f"_lists_of_{what}", kinds.params, doc, tuple(block.stmts), "_remembered")


def _names(attention: Attention) -> list[str]:
    """All that a mask may speak of, in order."""
    params = sorted(attention.params, key=lambda param: not param.sizes)
    return [
        "q",
        "k",
        "dtype",
        *(attention.variable(p.name) for p in params),
        "scale",
        "B",
        "H",
        "HKV",
        "N",
        "M",
        "D",
        "DV",
    ]


# ---- terms of tiles --------------------------------------------------------------------------------


def _with_ends(test: Bool) -> Bool:
    """The test with the ends of a tile as the least and the greatest of its positions: they move with the tile."""

    def change(node: Node) -> Node | None:
        match node:
            case TileEnd(axis, "first"):
                return OverTile("min", axis, Index(axis))
            case TileEnd(axis, "last"):
                return OverTile("max", axis, Index(axis))
        return None

    changed = replace_terms(test, change)
    assert isinstance(changed, Bool)
    return changed


def _fresh(term: OverTile, terms: TorchTerms) -> str:
    """`least_doc_i`: a name for the least or the greatest entry of an array over a tile."""
    arrays = [part.array for part in walk(term) if isinstance(part, LOADS)]
    word = f"{'least' if term.kind == 'min' else 'greatest'}_{arrays[0] if arrays else 'value'}_{term.axis}"
    return fresh_name(word, {name.name for name in terms.named.values() if isinstance(name, Var)})


def _gathered(sweep: TiledSweep) -> TorchTerms:
    return gathered_terms(sweep.attention, sweep.cover.requires, sweep.tokens.places)


def gathered_terms(
    attention: Attention, requires: tuple[Requirement, ...], places: Mapping[Node, Node] = NOWHERE
) -> TorchTerms:
    """Terms at any positions."""
    axes: tuple[Literal["i", "j"], ...] = ("i", "j")
    ends: dict[Node, Expr] = {OverTile("min", axis, Index(axis)): Var(f"{axis}_first") for axis in axes}
    ends |= {OverTile("max", axis, Index(axis)): Var(f"{axis}_last") for axis in axes}
    return _Gathered(attention, ends, requires, places)


class _Gathered(TorchTerms):
    """Terms in which every element is read by its index."""

    def is_whole_axis(self, index: Int, size: Int) -> bool:
        return False
