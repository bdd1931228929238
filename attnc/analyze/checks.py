"""The checks of a call: what has to hold before it has a meaning, in the order in which it is asked.

Enters: an attention. Leaves: for each parameter the `Param` itself (its argument is a number of its sort, or a tensor
of its sizes and dtypes), and `CallCheck`s of what has to hold among sizes and numbers. Three things are not in the
table: q, k and v are checked alike in every call, names by Python or before all else, and the order of a `sorted` array
where its data are.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial, reduce
from typing import TypeAlias

from attnc.analyze.call_check import CallCheck, size_checks
from attnc.analyze.divisors import find_divisions
from attnc.analyze.widths import find_widths
from attnc.ir.nodes import Attention, Int, IntOp, Param, Size, VecInput
from attnc.ir.text import print_sizes
from attnc.ir.walk import walk

Check: TypeAlias = Param | CallCheck


def find_checks(attention: Attention) -> Iterator[Check]:
    """Each condition once: a call that breaks it does not come to where it would be asked again."""
    seen: set[tuple[object, str, Int]] = set()
    for check in _checks(attention):
        if isinstance(check, CallCheck):
            condition = check.a, check.op, check.b
            if condition in seen:
                continue
            seen.add(condition)
        yield check


def _checks(attention: Attention) -> Iterator[Check]:
    yield from (param for param in attention.params if not param.sizes)
    for param in attention.params:
        if param.sizes:
            for size in param.sizes:
                yield from size_checks(f"`{param.name}`", size)
            yield param
    yield from grid_checks(attention, "query")
    yield from grid_checks(attention, "key")
    yield from find_divisions(attention)
    if VecInput("v_i") in walk(attention.output):
        n, m = Size("N"), Size("M")
        words = ("`v_i` needs as many keys as queries, got N = ", n, " and M = ", m)
        yield CallCheck("not-self-attention", n, "==", m, words, None)
    yield from find_widths(attention)


def grid_checks(attention: Attention, side: str) -> Iterator[CallCheck]:
    """The grid of the `query` or `key` tokens, if there is one, has as many positions as there are tokens."""
    extents = [axis.extent for axis in attention.grid if axis.side == side]
    if extents:
        for extent in extents:
            yield from size_checks(f"the {side} grid", extent)
        tokens = Size("N" if side == "query" else "M")
        got = [part for extent in extents for part in (", ", extent)][1:]
        words = (
            f"the {side} grid {print_sizes(extents)} = [",
            *got,
            f"] needs the product {tokens.name} = ",
            tokens,
        )
        product = reduce(partial(IntOp, "*"), extents)
        yield CallCheck("wrong-grid", product, "==", tokens, words, None)
