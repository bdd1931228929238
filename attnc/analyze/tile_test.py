"""The three-valued test of a tile: empty, whole, or to be looked at.

Enters: an attention, and its mask as kernels have it, without clauses that others imply. Leaves: a `TileTest`, two
conditions over the ends of a tile of queries and a tile of keys.
"""

from __future__ import annotations

from attnc.analyze.facts import TileTest
from attnc.analyze.ranges import make_plane, make_tile
from attnc.analyze.requirements import find_requirements
from attnc.ir.nodes import Attention, Bool
from attnc.sets.convert import to_bool, to_predicate
from attnc.sets.tile_test import Pairs


def find_tile_test(attention: Attention, mask: Bool) -> TileTest:
    requires = find_requirements(attention.mask, attention.grid)
    keys = make_plane("i", requires, attention.params), make_tile("j")
    queries = make_plane("j", requires, attention.params), make_tile("i")
    pairs, predicate = Pairs((keys, queries)), to_predicate(mask)
    return TileTest(to_bool(pairs.may_hold(predicate)), to_bool(pairs.must_hold(predicate)))
