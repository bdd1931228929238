"""Arrays of ints that a kernel may keep in 32 bits: bounds of positions, and remainders. And those it should get so.

Enters: an attention as its kernels see it. Leaves: their names, what a remainder is taken by, and reasons for who calls
it. A position is below 2**30. What is compared with one, and used for nothing else, may be cut off there:
`j < end[b, i]` is true of the same keys. And where a mask stays the same when a number grows by `size`, as
`(i + shift[h]) // size == (j + shift[h]) // size` does, its remainder says as much. Numbers of 64 bits take two
registers of every thread, and twice the instructions for each pair: smaller tiles, on a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping

from attnc.analyze.facts import Reason
from attnc.ir import build
from attnc.ir.nodes import Attention, Bool, Compare, Index, Int, IntConst, IntLoad, IntOp, IntParam, Node
from attnc.ir.text import print_ir
from attnc.ir.walk import axes_of, children, replace_terms, walk
from attnc.lower.compared import clauses_of, comparisons_of, elsewhere
from attnc.sets.convert import to_predicate

FARTHEST = 2**20  # how far from a position what is compared may lie, so that their sum has room


def find_narrow(attention: Attention) -> frozenset[str]:
    """The arrays of tokens whose every read is one side of a comparison with a position."""
    bounds, others = set[str](), set[str]()
    for part in (part for clause in clauses_of(attention) for part in walk(clause)):
        match part:
            case Compare(_, IntLoad() as read, other) | Compare(_, other, IntLoad() as read):
                is_bound = _is_near_position(other) and bool(axes_of(read) & {"i", "j"})
                (bounds if is_bound else others).add(read.array)
                others |= _arrays_in((*read.index, other))
            case _:
                others |= {child.array for child in children(part) if isinstance(child, IntLoad)}
    return frozenset(bounds - others)


def find_remainders(attention: Attention) -> Mapping[str, Int]:
    """The arrays of which the mask counts only remainders, each with what it is divided by.

    Every read is a part of comparisons that stay the same, as canonical forms, where what is read grows by the divisor.
    """
    reads_of: dict[str, set[IntLoad]] = {}
    pairs_of: dict[str, list[Compare]] = {}
    for pair in comparisons_of(attention):
        reads = {part for part in walk(pair) if isinstance(part, IntLoad)}
        for read in reads:
            reads_of.setdefault(read.array, set()).add(read)
        for name in {read.array for read in reads}:
            pairs_of.setdefault(name, []).append(pair)
    others = {part.array for part in elsewhere(attention) if isinstance(part, IntLoad)}
    found: dict[str, Int] = {}
    for param in attention.params:
        if param.name not in reads_of or param.sorted or param.name in others:
            continue
        reads, pairs = reads_of[param.name], pairs_of[param.name]
        for divisor in dict.fromkeys(by for pair in pairs for by in _divisors_of(pair, param.name)):
            if all(_is_periodic(pair, read, divisor) for pair in pairs for read in reads):
                found[param.name] = divisor
                break
    return found


def why_remainders(attention: Attention) -> list[Reason]:
    """What is read as its remainder."""
    return [
        Reason(
            f"`{name}` is read as its remainder by `{print_ir(by)}`: the mask counts no more, and 32 bits hold it"
        )
        for name, by in find_remainders(attention).items()
    ]


def why_int32(attention: Attention) -> Reason | None:
    """Where divisions of positions are as wide as an array is: a GPU divides 64 bits in a function that it calls."""
    divisions = [
        part
        for clause in (attention.mask, attention.score)
        for part in walk(clause)
        if isinstance(part, IntOp) and part.op in ("//", "%") and axes_of(part) & {"i", "j"}
    ]
    names = sorted(_arrays_in(tuple(divisions)) - set(find_remainders(attention)))
    if not names:
        return None
    arrays = " and ".join(f"`{name}`" for name in names)
    are = "has" if len(names) == 1 else "have"
    return Reason(
        f"positions are divided together with {arrays}, in 64 bits where {arrays} {are} 64: int32 is faster on a GPU"
    )


def _divisors_of(pair: Compare, array: str) -> list[Int]:
    """What a number of the array is divided by, where every thread of a call divides by the same."""
    return [
        part.b
        for part in walk(pair)
        if isinstance(part, IntOp)
        and part.op in ("//", "%")
        and isinstance(part.b, IntConst | IntParam)
        and array in _arrays_in((part.a,))
    ]


def _is_periodic(pair: Compare, read: IntLoad, divisor: Int) -> bool:
    """Is the comparison the same of a number that is greater by the divisor?"""
    more = build.integer("+", read, divisor)
    grown = replace_terms(pair, lambda part: more if part == read else None)
    assert isinstance(grown, Bool)
    return to_predicate(grown) == to_predicate(pair)


def _arrays_in(terms: tuple[Node, ...]) -> set[str]:
    return {part.array for term in terms for part in walk(term) if isinstance(part, IntLoad)}


def _is_near_position(term: Node) -> bool:
    match term:
        case Index("i" | "j"):
            return True
        case IntOp("+" | "-", a, IntConst(value)):
            return _is_near_position(a) and abs(value) <= FARTHEST
        case _:
            return False
