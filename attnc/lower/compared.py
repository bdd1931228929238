"""Integers that only comparisons see, and what that says of arrays: which of them 32 bits can hold.

Enters: an attention as its kernels see it. Leaves: the parameters that are only compared, with their comparisons; the
arrays that are bounds of positions, and those of which the mask counts remainders (ADR 0019). A position is below
2**30. What is compared with one, and used for nothing else, may be cut off there: `j < end[b, i]` is true of the same
keys. And where a mask stays the same when a number grows by `size`, as `(i + shift[h]) // size == (j + shift[h]) //
size` does, its remainder says as much.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attnc.ir import build
from attnc.ir.nodes import Attention, Bool, Compare, Index, Int, IntConst, IntLoad, IntOp, IntParam, Node
from attnc.ir.walk import axes_of, replace_terms, walk
from attnc.sets.convert import to_predicate

Compared = Mapping[str, tuple[Compare, ...]]

FARTHEST = 2**20  # how far from a position what is compared may lie, so that their sum has room


def find_compared(attention: Attention) -> Compared:
    """Of each parameter that nothing else sees, the comparisons of integers that do, and are in no other."""
    pairs: dict[Compare, None] = {}
    others = {part for param in attention.params for size in param.sizes for part in walk(size)}

    def note(term: Node) -> Node | None:
        if not (isinstance(term, Compare) and isinstance(term.a, Int)):
            return None
        pairs[term] = None
        return build.TRUE

    for clause in attention.clauses.values():
        others.update(walk(replace_terms(clause, note, Compare)))
    found: dict[str, list[Compare]] = {}
    for pair in pairs:
        for name in _names_in(walk(pair)):
            found.setdefault(name, []).append(pair)
    elsewhere = _names_in(others)
    return {name: tuple(each) for name, each in found.items() if name not in elsewhere}


def find_bounds(attention: Attention) -> frozenset[str]:
    """The arrays of tokens whose every read is one side of a comparison with a position."""
    bounds, others = set[str](), set[str]()
    for part in (part for clause in attention.clauses.values() for part in walk(clause)):
        sides = part.children
        for read, other in zip(sides, reversed(sides), strict=True):
            if isinstance(read, IntLoad):
                is_compared = isinstance(part, Compare) and _is_near_position(other)
                (bounds if is_compared and axes_of(read) & {"i", "j"} else others).add(read.array)
    return frozenset(bounds - others)


def find_remainders(attention: Attention, compared: Compared) -> Mapping[str, Int]:
    """The arrays of which the mask counts only remainders, each with what it is divided by.

    Every read is a part of comparisons that stay the same, as canonical forms, where what is read grows by the divisor.
    """
    found: dict[str, Int] = {}
    for name in (param.name for param in attention.params if param.sizes and not param.sorted):
        pairs = compared.get(name, ())
        reads = {read for pair in pairs for read in reads_in(pair) if read.array == name}
        for divisor in dict.fromkeys(by for pair in pairs for by in _divisors_of(pair, name)):
            if all(_is_periodic(pair, read, divisor) for pair in pairs for read in reads):
                found[name] = divisor
                break
    return found


def reads_in(term: Node) -> list[IntLoad]:
    return [part for part in walk(term) if isinstance(part, IntLoad)]


def _names_in(parts: Iterable[Node]) -> Mapping[str, None]:
    """The parameters of integers among them, each once."""
    found = (part for part in parts if isinstance(part, IntLoad | IntParam))
    return dict.fromkeys(part.array if isinstance(part, IntLoad) else part.name for part in found)


def _divisors_of(pair: Compare, array: str) -> list[Int]:
    """What a number of the array is divided by, where every thread of a call divides by the same."""
    return [
        part.b
        for part in walk(pair)
        if isinstance(part, IntOp)
        and part.op in ("//", "%")
        and isinstance(part.b, IntConst | IntParam)
        and any(read.array == array for read in reads_in(part.a))
    ]


def _is_periodic(pair: Compare, read: IntLoad, divisor: Int) -> bool:
    """Is the comparison the same of a number that is greater by the divisor?"""
    more = build.integer("+", read, divisor)
    grown = replace_terms(pair, lambda part: more if part == read else None)
    assert isinstance(grown, Bool)
    return to_predicate(grown) == to_predicate(pair)


def _is_near_position(term: Node) -> bool:
    match term:
        case Index("i" | "j"):
            return True
        case IntOp("+" | "-", a, IntConst(value)):
            return _is_near_position(a) and abs(value) <= FARTHEST
        case _:
            return False
