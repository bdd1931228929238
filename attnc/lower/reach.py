"""How far kernels count, in 32 bits, and what a call has to check for that.

Enters: an attention as its kernels see it, and its ranges. Leaves: a `Reach`: what a call has to keep below 2**29, so
that no sum overflows, and the parameters that are cut off there, because they are compared and nothing else. Products
of two lengths are no part of it: `i * M` is beyond 32 bits where both sequences have 2**16 tokens, so it has 64.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass

from attnc.analyze.facts import Ranges, Reason
from attnc.ir.nodes import Attention, Floor, Int, IntConst, IntLoad, IntOp, IntParam, Node, Rank, Size
from attnc.ir.text import print_ir
from attnc.ir.walk import walk
from attnc.lower.compared import comparisons_of, elsewhere
from attnc.lower.magnitude import Magnitudes, Product, largest, without
from attnc.lower.proofs import Proofs
from attnc.sets.convert import MOST_PRODUCTS, to_int, to_polynomial
from attnc.sets.polynomial import ZERO, Leaf, Polynomial, polynomial

SMALL = 2**20  # numbers of a spec that have room beside all others


@dataclass(frozen=True, slots=True)
class Reach:
    """`most` is at least every count of a kernel, but for what is cut off and for products of 64 bits."""

    most: Int
    cut: frozenset[str]
    because: tuple[Reason, ...]


def find_reach(attention: Attention, ranges: tuple[Ranges, Ranges], proofs: Proofs) -> Reach:
    """What a call has to keep below 2**29, and what it may cut off there."""
    proofs = proofs.where(axis.extent for axis in attention.grid)
    sums = list(_sums(attention, ranges, proofs))
    with_param: dict[str, list[Polynomial]] = {}
    for _, far in sums:
        for name in frozenset[str]().union(*map(_params_of, far.terms)):
            with_param.setdefault(name, []).append(far)
    cut: dict[str, Polynomial] = {}
    neighbors = _Neighbors(attention, proofs)
    for param in attention.params:
        if param.sort == "int" and not param.sizes:
            beside = neighbors.of(param.name, cut.keys())
            names = {*cut, param.name} if beside is not None else set()
            if beside is not None and all(_has_room(far, names) for far in with_param.get(param.name, ())):
                cut[param.name] = beside
    lengths = polynomial(Leaf(Size("N"))) + polynomial(Leaf(Size("M")))
    most = largest((lengths, *cut.values(), *(reach for _, reach in sums)))
    kept = {
        product: count
        for product, count in most.terms.items()
        if not _params_of(product) & cut.keys() and (product or count >= SMALL)
    }
    reach = to_int(_shorter(kept, attention, proofs))
    magnitudes = Magnitudes(attention, proofs)
    products = (
        part
        for clause in (attention.mask, attention.score)
        for part in walk(clause)
        if isinstance(part, IntOp) and part.op == "*" and magnitudes.is_wide(part)
    )
    wide = dict.fromkeys(products)
    return Reach(reach, frozenset(cut), tuple(_reasons(reach, cut, wide)))


def _sums(
    attention: Attention, ranges: tuple[Ranges, Ranges], proofs: Proofs
) -> Iterator[tuple[Int, Polynomial]]:
    """Every integer of a kernel that may be large and has 32 bits, with its magnitude."""
    parts: list[tuple[Node, Proofs]] = [(attention.mask, proofs), (attention.score, proofs)]
    for each in ranges:
        inside = proofs.in_turn(each.periods) if each.periods else proofs
        starts = (each.periods.start, each.periods.length) if each.periods else ()
        parts += [(term, inside) for term in (*each.ends, *starts)]
    for term, known in parts:
        magnitudes = Magnitudes(attention, known)
        for part in walk(term):
            if isinstance(part, IntOp | IntParam) and not magnitudes.is_wide(part):
                yield part, magnitudes.of(part)


class _Neighbors:
    """What stands beside parameters in comparisons."""

    def __init__(self, attention: Attention, proofs: Proofs) -> None:
        self.magnitudes = Magnitudes(attention, proofs)
        sizes = (part for array in attention.params for size in array.sizes for part in walk(size))
        self.used = {part for part in (*elsewhere(attention), *sizes) if isinstance(part, IntParam)}
        for requirement in proofs.requires:
            term = to_polynomial(requirement.term)
            for param in _params_in(requirement.term):
                factor, rest = term.split(Leaf(param))
                if factor.constant is None or rest.constant is None:
                    self.used.add(param)
        self.gaps: dict[IntParam, list[Polynomial]] = {}
        for pair in comparisons_of(attention):
            assert isinstance(pair.a, Int) and isinstance(pair.b, Int)
            gap = to_polynomial(pair.b) - to_polynomial(pair.a)
            for param in _params_in(pair):
                self.gaps.setdefault(param, []).append(gap)

    def of(self, name: str, cut: Set[str]) -> Polynomial | None:
        """What a parameter is compared with, at most; None where that is not known, or it is used elsewhere."""
        param, most = IntParam(name), ZERO
        if param in self.used or param not in self.gaps:
            return None
        for gap in self.gaps[param]:
            factor, rest = gap.split(Leaf(param))
            if factor.constant not in (1, -1):
                return None
            beside = to_int(rest)
            others = set(walk(beside))
            if param in others or not all(map(_is_bounded, others)):
                return None
            reach = self.magnitudes.of(beside)
            if self.magnitudes.is_wide(beside) or any(_params_of(product) & cut for product in reach.terms):
                return None
            most = largest((most, reach))
        return most


def _params_in(term: Node) -> Iterable[IntParam]:
    """Each once, in written order."""
    return dict.fromkeys(part for part in walk(term) if isinstance(part, IntParam))


def _is_bounded(part: Node) -> bool:
    """Is it limited by the numbers of a call? Nothing is known of what arrays have."""
    return not isinstance(part, IntLoad | Floor | Rank)


def _has_room(reach: Polynomial, cut: set[str]) -> bool:
    """Do parameters that are cut off at 2**29 leave as much again for the rest of a sum?"""
    far = [(product, count) for product, count in reach.terms.items() if _params_of(product) & cut]
    return all(len(product) == 1 for product, _ in far) and sum(count for _, count in far) <= 2


def _shorter(terms: dict[Product, int], attention: Attention, proofs: Proofs) -> Polynomial:
    """At least as much in fewer products: all positions of a grid are its sequence, and `cols <= cols * size`."""
    found = Counter[Product]()
    for product, count in terms.items():
        found[_in_lengths(product, attention)] += count
    for product in sorted(found, key=len) if len(found) <= MOST_PRODUCTS else ():
        for other in found:
            more = without(other, product)
            is_part = len(more) == len(other) - len(product) > 0
            if (
                product
                and is_part
                and all(proofs.is_below(IntConst(0), to_int(polynomial(atom))) for atom in more)
            ):
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


def _reasons(most: Int, cut: Mapping[str, Polynomial], wide: Mapping[IntOp, None]) -> Iterator[Reason]:
    for name in cut:
        yield Reason(
            f"`{name}` is compared with positions and nothing else: kernels cut it off at 2**29, where none comes"
        )
    for term in wide:
        yield Reason(f"`{print_ir(term)}` is counted in 64 bits, all else that is no array in 32", term.span)
    if to_polynomial(most).offset or any(isinstance(part, IntParam) for part in walk(most)):
        yield Reason(f"kernels count in 32 bits: a call checks that `{print_ir(most)}` is below 2**29")
