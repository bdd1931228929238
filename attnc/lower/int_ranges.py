"""Value ranges of the integers of a sweep: which have 32 bits, which 64, and which are cut off.

Enters: an attention as its kernels see it, and the ranges of its tiles. Leaves: `IntRanges`, which the sweep carries:
every lowering reads it, and none asks anew. Numbers of 64 bits take two registers of every thread, and twice the
instructions for each pair, so kernels count in 32 where a call can check that they suffice (ADR 0020). Products of two
lengths are no part of that: `i * M` is beyond 32 bits where both sequences have 2**16 tokens, so it has 64.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace

from attnc.analyze.facts import Periods, Ranges, Reason
from attnc.ir import build
from attnc.ir.nodes import (
    Attention,
    Compare,
    Floor,
    Int,
    IntConst,
    IntLoad,
    IntOp,
    IntParam,
    Node,
    Rank,
    Size,
)
from attnc.ir.text import print_ir
from attnc.ir.walk import axes_of, holds, walk
from attnc.lower.compared import Compared, find_bounds, find_compared, find_remainders, reads_in
from attnc.lower.conversions import Position
from attnc.lower.magnitude import Magnitudes, Product, largest, without
from attnc.lower.proofs import Proofs
from attnc.sets.convert import MOST_PRODUCTS, to_int, to_polynomial
from attnc.sets.polynomial import Leaf, Polynomial, polynomial

SMALL = 2**20  # numbers of a spec that have room beside all others


@dataclass(frozen=True, slots=True)
class IntRanges:
    """How many bits the integers of a kernel have: 32, but for those that `is_wide`, and for elements of arrays.

    `most` is at least every count of 32 bits; a call keeps it below 2**29. The parameters in `clamped` are only
    compared, and cut off there. Arrays have the bits that a call gives them, but 32 where they are `bounds` of
    positions, cut off as they are read, or where the mask counts only their `remainders`, by what is said here.
    """

    most: Int
    clamped: frozenset[str]
    bounds: frozenset[str]
    remainders: Mapping[str, Int]
    magnitudes: Mapping[Position, Magnitudes]
    because: tuple[Reason, ...]

    def is_wide(self, term: Node, moving: Position) -> bool:
        """Has it 64 bits? A product in it may be beyond 32 in calls of usual lengths and numbers, or a number is.

        Where it speaks of a period, that is one of the positions which a loop moves along.
        """
        return self.magnitudes[moving].is_wide(term)


def find_int_ranges(attention: Attention, ranges: tuple[Ranges, ...], proofs: Proofs) -> IntRanges:
    """What a call has to keep below 2**29, and what it may cut off there."""
    proofs = proofs.where(axis.extent for axis in attention.grid)
    compared = find_compared(attention)
    remainders = find_remainders(attention, compared)
    magnitudes = Magnitudes(attention, proofs, remainders)
    in_turn = {each.target: replace(magnitudes, numbers=_numbers(each.periods)) for each in ranges}
    counts = list(_magnitudes_of((attention.mask, attention.score), magnitudes))
    for each in ranges:
        starts = (each.periods.start, each.periods.length) if each.periods else ()
        counts += _magnitudes_of((*each.ends, *starts), in_turn[each.target])
    clamped = _find_clamped(compared, magnitudes, counts)
    lengths = polynomial(Leaf(Size("N"))) + polynomial(Leaf(Size("M")))
    kept = {
        product: count
        for product, count in largest((lengths, *clamped.values(), *counts)).terms.items()
        if not _params_of(product) & clamped.keys() and (product or count >= SMALL)
    }
    most = to_int(_shorter(kept, attention, proofs))
    parts = (part for clause in (attention.mask, attention.score) for part in walk(clause))
    products = (part for part in parts if isinstance(part, IntOp) and part.op == "*")
    wide = dict.fromkeys(part for part in products if magnitudes.is_wide(part))
    return IntRanges(
        most=most,
        clamped=frozenset(clamped),
        bounds=find_bounds(attention),
        remainders=remainders,
        magnitudes=in_turn,
        because=tuple(_reasons(most, clamped, wide)),
    )


def why_remainders(ints: IntRanges) -> list[Reason]:
    """What is read as its remainder."""
    why = "the mask counts no more, and 32 bits hold it"
    return [
        Reason(f"`{name}` is read as its remainder by `{print_ir(by)}`: {why}")
        for name, by in ints.remainders.items()
    ]


def why_int32(attention: Attention, ints: IntRanges) -> Reason | None:
    """Where divisions of positions are as wide as an array is: a GPU divides 64 bits in a function that it calls."""
    reads = (
        read
        for clause in (attention.mask, attention.score)
        for part in walk(clause)
        if isinstance(part, IntOp) and part.op in ("//", "%") and axes_of(part) & {"i", "j"}
        for read in reads_in(part)
    )
    names = sorted({read.array for read in reads} - ints.remainders.keys())
    if not names:
        return None
    arrays = " and ".join(f"`{name}`" for name in names)
    are = "has" if len(names) == 1 else "have"
    return Reason(
        f"positions are divided together with {arrays}, in 64 bits where {arrays} {are} 64: int32 is faster on a GPU"
    )


def _numbers(periods: Periods | None) -> tuple[Int, ...]:
    """Numbers of which none of a period is larger; what is behind all periods has the next one."""
    return (periods.lo, periods.hi, build.integer("+", periods.hi, IntConst(1))) if periods else ()


def _magnitudes_of(terms: tuple[Node, ...], magnitudes: Magnitudes) -> Iterator[Polynomial]:
    """Those of every integer of 32 bits that may be large."""
    for part in (part for term in terms for part in walk(term)):
        if isinstance(part, IntOp | IntParam) and not magnitudes.is_wide(part):
            yield magnitudes.of(part)


def _find_clamped(
    compared: Compared, magnitudes: Magnitudes, counts: list[Polynomial]
) -> dict[str, Polynomial]:
    """The parameters that are cut off, each with what it is compared with, at most."""
    required = {
        part.name
        for requirement in magnitudes.proofs.requires
        for part in walk(requirement.term)
        if isinstance(part, IntParam)
        and not to_polynomial(requirement.term).terms.keys() <= {(), (Leaf(part),)}
    }
    clamped: dict[str, Polynomial] = {}
    for name in (param.name for param in magnitudes.attention.params if not param.sizes):
        if name not in compared or name in required:
            continue
        found = [_beside(IntParam(name), pair, clamped.keys(), magnitudes) for pair in compared[name]]
        beside = [each for each in found if each is not None]
        if len(beside) == len(found) and all(_has_room(count, {*clamped, name}) for count in counts):
            clamped[name] = largest(beside)
    return clamped


def _beside(param: IntParam, pair: Compare, clamped: Set[str], magnitudes: Magnitudes) -> Polynomial | None:
    """What a parameter is compared with, at most; None where that is not known."""
    assert isinstance(pair.a, Int) and isinstance(pair.b, Int)
    factor, rest = (to_polynomial(pair.b) - to_polynomial(pair.a)).split(Leaf(param))
    if factor.constant not in (1, -1):
        return None
    beside = to_int(rest)
    # Nothing is known of what arrays have.
    if holds(beside, IntLoad, Floor, Rank) or param in walk(beside):
        return None
    most = magnitudes.of(beside)
    if magnitudes.is_wide(beside) or any(_params_of(product) & clamped for product in most.terms):
        return None
    return most


def _has_room(most: Polynomial, clamped: set[str]) -> bool:
    """Do parameters that are cut off at 2**29 leave as much again for the rest of a sum?"""
    far = [(product, count) for product, count in most.terms.items() if _params_of(product) & clamped]
    return all(len(product) == 1 for product, _ in far) and sum(count for _, count in far) <= 2


def _shorter(terms: dict[Product, int], attention: Attention, proofs: Proofs) -> Polynomial:
    """At least as much in fewer products: all positions of a grid are its sequence, and `cols <= cols * size`."""
    found = Counter[Product]()
    for product, count in terms.items():
        found[_in_lengths(product, attention)] += count
    for product in sorted(found, key=len) if len(found) <= MOST_PRODUCTS else ():
        for other in found:
            more = without(other, product)
            is_part = product and len(more) == len(other) - len(product) > 0
            if is_part and all(proofs.is_below(IntConst(0), to_int(polynomial(atom))) for atom in more):
                found[other] += found.pop(product)
                break
    return Polynomial(found)


def _in_lengths(product: Product, attention: Attention) -> Product:
    """The product with the length of a sequence for the extents of its grid; of extents alone, it is no longer."""
    for side, length in (("query", Size("N")), ("key", Size("M"))):
        extents = [to_polynomial(axis.extent).atom for axis in attention.grid if axis.side == side]
        atoms = tuple(atom for atom in extents if atom)
        rest = without(product, atoms)
        taken = len(product) - len(rest)
        if taken and all(extents) and (taken == len(atoms) or not rest):
            return tuple(sorted((*rest, Leaf(length))))
    return product


def _params_of(product: Product) -> frozenset[str]:
    leaves = (part for atom in product if isinstance(atom, Leaf) for part in walk(atom.term))
    return frozenset(part.name for part in leaves if isinstance(part, IntParam))


def _reasons(most: Int, clamped: Mapping[str, Polynomial], wide: Mapping[IntOp, None]) -> Iterator[Reason]:
    for name in clamped:
        yield Reason(
            f"`{name}` is compared with positions and nothing else: kernels cut it off at 2**29, where none comes"
        )
    for term in wide:
        yield Reason(f"`{print_ir(term)}` is counted in 64 bits, all else that is no array in 32", term.span)
    if to_polynomial(most).offset or holds(most, IntParam):
        yield Reason(f"kernels count in 32 bits: a call checks that `{print_ir(most)}` is below 2**29")
