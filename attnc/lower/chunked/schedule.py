"""The schedules of linear attention: by chunks under a causal mask, by products where every key is seen.

Enters: an attention that was found to be linear. Leaves: its sweep, or why pairs are cheaper or surer, and its
functions: kernels of chunks on a GPU, and torch for all else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from attnc.algebra.fold import Softmax, Sums
from attnc.algebra.separated import Term
from attnc.analyze.facts import Facts, Linear, Reason, TokenMask
from attnc.analyze.linear_words import say_dear
from attnc.analyze.misreads import Misread, find_misreads
from attnc.ir import build
from attnc.ir.nodes import (
    Attention,
    FromInt,
    Index,
    Int,
    IntConst,
    IntLoad,
    IntParam,
    Node,
    Param,
    Real,
    RealCall,
    RealLoad,
    RealOp,
    RealParam,
    Size,
    Truth,
    VecLoad,
)
from attnc.ir.text import print_ir
from attnc.ir.walk import axes_of, walk
from attnc.kernel.module import Support
from attnc.lower.chunked.form import Form
from attnc.lower.chunked.make_forms import make_forms
from attnc.lower.chunked.make_sweep import SweepMaker
from attnc.lower.chunked.paths import lower_backward, lower_forward, lower_pairs, sign
from attnc.lower.chunked.per_token import lower_per_token
from attnc.lower.chunked.state import lower_state
from attnc.lower.chunked.sweep import LinearSweep
from attnc.lower.per_row import lower_numbers
from attnc.lower.schedule import ReadChecks, Schedule, SweepKernels

WHY_CHUNKED = (
    "a state goes from chunk to chunk, and pairs are only those of a chunk: time grows with the tokens"
)
WHY_BOTH_WAYS = (
    "a state goes from chunk to chunk, and another one back, for the keys behind a query: "
    "time grows with the tokens"
)
WHY_PRODUCTS = "one state for all queries: time grows with the tokens"


def make_chunked(attention: Attention, facts: Facts) -> tuple[LinearSweep, ...] | Reason | None:
    """Where queries differ in the keys that they see; None where there is nothing linear to compute so."""
    linear = facts.linear
    if not isinstance(linear, Linear) or linear.mask.is_of_all:
        return None
    why = WHY_CHUNKED if linear.mask.causal is not None else WHY_BOTH_WAYS
    return _why_not(attention, linear, facts) or SweepMaker(attention, linear, facts, why).make()


def make_products(attention: Attention, facts: Facts) -> tuple[LinearSweep, ...] | Reason | None:
    """Where every query sees every key that is not hidden from all of them."""
    linear = facts.linear
    if not isinstance(linear, Linear) or not linear.mask.is_of_all:
        return None
    return _why_not(attention, linear, facts) or SweepMaker(attention, linear, facts, WHY_PRODUCTS).make()


def _why_not(attention: Attention, linear: Linear, facts: Facts) -> Reason | None:
    mask, at = linear.mask, attention.normalize.span
    passes = (*linear.before, linear.sums)
    terms = [term for terms in (linear.weight, *(each for sums in passes for each in sums)) for term in terms]
    is_softmax = isinstance(facts.weights.fold, Softmax)
    if any(not isinstance(each.fold, Sums) for each in facts.weights.before) or (
        is_softmax and linear.before
    ):
        return Reason("a softmax is one of several passes over the keys", at)
    forms = [form for sums in linear.before for form in make_forms(None, sums, mask)]
    forms += make_forms(linear.weight, linear.sums, mask)
    if is_softmax and (mask.document is not None or mask.sees_query != Truth(True)):
        return Reason("a softmax is not taken up again in each document", attention.mask.span)
    if is_softmax and linear.positive:
        return Reason("a softmax has no check of what has to be above 0", at)
    if any(_is_product(term) and any(dot.gate for dot in term.dots) for term in terms):
        return Reason("products of features have no gates of single channels", at)
    if linear.infinite is not None and not isinstance(linear.infinite, RealCall | RealOp):
        what = f"`{print_ir(linear.infinite)}` may be -inf, and hide pairs"
        return Reason(what, linear.infinite.span)
    if any(_grows_along(term.query, "i") for term in terms) and any(
        _grows_along(term.key, "j") for term in terms
    ):
        return Reason("differences of positions would be those of large numbers", attention.score.span)
    if mask.causal is not None and not _is_of_call(mask.causal):
        return Reason("how far keys go behind a query is no one number of the call", attention.mask.span)
    if mask.document is not None and not _is_never_later(mask):
        return Reason("a state may be of a later document than the query", attention.mask.span)
    if mask.causal is not None and not is_softmax and any(map(_is_apart, forms)):
        return Reason("a decay is not counted from the last key that a query sees", attention.score.span)
    if mask.document is not None and any(map(_is_counted_from_largest, forms)):
        text = "an exponent would be counted from the largest of another document"
        return Reason(text, attention.score.span)
    for base in linear.positive:
        if mask.causal is None or not any(RealCall("log", base) in walk(each) for each in _exponents(terms)):
            return Reason(f"`{print_ir(base)}` may be below 0", base.span or at)
    if not all(map(_is_by_length, find_misreads(attention).checked)):
        return Reason(
            "an array may be read outside of its sizes, which is checked pair by pair", attention.score.span
        )
    if Size("HKV") in walk(attention):
        return Reason("it speaks of the number of key heads", attention.score.span)
    unnumbered = [p.name for p in attention.params if p.sorted and not _numbers(mask.document, p)]
    if unnumbered:
        return Reason(f"`{unnumbered[0]}` is sorted, and numbers no documents", attention.mask.span)
    return None


def find_dear(attention: Attention, facts: Facts) -> Reason | None:
    """Whether products of features are more than the keys of most calls; single features are not."""
    linear = facts.linear
    if not isinstance(linear, Linear) or not any(map(_is_product, linear.weight)):
        return None
    why = say_dear(linear)
    return Reason(why, attention.normalize.span) if why else None


def _is_product(term: Term) -> bool:
    """Are its features products of features?"""
    return bool(term.dots[1:]) or any(dot.power > 1 for dot in term.dots)


def _grows_along(number: Real, axis: Literal["i", "j"]) -> bool:
    """Does a number of a token grow with its position? Functions of it, as cosines, do not, though they know it."""
    if isinstance(number, RealCall):
        return False
    below = [part for part in number.children if isinstance(part, Real)]
    if isinstance(number, FromInt):
        return axis in axes_of(number)
    return any(_grows_along(part, axis) for part in below)


def _exponents(terms: list[Term]) -> Iterator[Node]:
    for term in terms:
        yield from term.exponent or ()


def _is_apart(form: Form) -> bool:
    """Have exponents of the query and the key parameters in common, and do not meet at the last key that it sees?

    They would be as long as the sequence, and the gradient of what they have in common the difference of large sums.
    """
    pairs = [pair for term in form.terms for pair in term.exponents]
    return not form.is_decay and any(_names(a) & _names(b) for a, b in pairs)


def _names(exponent: Node) -> set[str]:
    """The parameters that an exponent of a query or a key has a gradient for."""
    if not axes_of(exponent) & {"i", "j"}:
        return set()
    arrays = {part.array for part in walk(exponent) if isinstance(part, RealLoad | VecLoad)}
    return arrays | {part.name for part in walk(exponent) if isinstance(part, RealParam)}


def _is_of_call(term: Int) -> bool:
    """Is it made of ints and lengths of a call alone?"""
    leaves = (part for part in walk(term) if not part.children)
    return all(isinstance(leaf, IntConst | IntParam) or leaf in (Size("N"), Size("M")) for leaf in leaves)


def _is_by_length(misread: Misread) -> bool:
    """Is an array of queries read at every key, or the other way round, so that a call's lengths say all?"""
    index, size = misread.index, misread.size
    everywhere = misread.holds == build.compare("<=", size, index)
    return everywhere and (index, size) in ((Index("j"), Size("N")), (Index("i"), Size("M")))


def _is_never_later(mask: TokenMask) -> bool:
    """Is the last key of a state no later than the query? Both ways, that is so of each."""
    return mask.causal is None or (isinstance(mask.causal, IntConst) and mask.causal.value <= 0)


def _is_counted_from_largest(form: Form) -> bool:
    """Are there exponents that are no decay?"""
    return any(term.exponents for term in form.terms) and not form.is_decay


def _numbers(document: Node | None, param: Param) -> bool:
    return isinstance(document, IntLoad) and document.array == param.name


def lower_chunked(sweep: LinearSweep, checks: ReadChecks) -> SweepKernels:
    """Every function of the sweep; its kernels stand in support code, if there are some."""
    if sweep.is_torchs_alone:
        return lower_products(sweep, checks)
    launch = (lower_forward(sweep, "triton"), lower_backward(sweep, "triton"))
    return replace(lower_products(sweep, checks), launch=launch, is_for_any_device=False)


def lower_products(sweep: LinearSweep, checks: ReadChecks) -> SweepKernels:
    """Every function of the sweep, for any device."""
    return SweepKernels(
        sweep=sweep,
        signature=sign(sweep),
        per_token=lower_per_token(sweep),
        triton=(),
        launch=(),
        cpu=(lower_forward(sweep, "cpu"), lower_backward(sweep, "cpu")),
        adders=(),
        lists=(),
        tile_lists=(),
        numbers=lower_numbers(sweep) if sweep.number else None,
        pairs=lower_pairs(sweep) if sweep.weighs_values else None,
        is_for_any_device=True,
        state=lower_state(sweep),
    )


OF_LAUNCHERS = (
    Support("chunk_tiles", whole=True),
    *map(Support, ("chunk_call", "pair_launch", "chunk_launch", "channel_launch")),
)
CHUNKED = Schedule(
    name="chunked",
    says="a state of features and values for each head, handed from chunk to chunk",
    make=make_chunked,
    sign=sign,
    lower=lower_chunked,
    common=lambda sweeps, tiles: () if sweeps[-1].is_torchs_alone else OF_LAUNCHERS,
    constants=("CHUNK = 64  # tokens of the CPU path whose pairs are computed at once",),
    find_dear=find_dear,
    has_states=True,
)
PRODUCTS = Schedule(
    name="products",
    says="features of queries times the sum of features and values over all keys, by torch on every device",
    make=make_products,
    sign=sign,
    lower=lower_products,
    common=lambda sweeps, tiles: (),
    find_dear=find_dear,
    has_states=True,
)
