"""A sweep of linear attention: recurrences over the keys, in the place of pairs.

A value: the forms of the weight and of its sums, and the fold and the gate of what they leave.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from attnc.algebra.fold import Fold
from attnc.analyze.facts import Reason, TokenMask
from attnc.analyze.misreads import Misread
from attnc.ir.nodes import IntLoad, Real, Truth
from attnc.lower.chunked.form import Form
from attnc.lower.chunked.state import find_no_state
from attnc.lower.sweep import RowArray, Sweep


@dataclass(frozen=True)
class LinearSweep(Sweep):
    """A pass over the keys.

    `forms` begin with the one that weighs values, if the pass does. Where something that is made for keys knows the
    query head, keys and values are laid out `per_query_head`. `bases` are those of powers that fade: their logarithms
    are steps. `rows_before` are numbers of rows that earlier passes have left. `misreads` are there where a call has
    fewer queries than keys, or fewer keys than queries.
    """

    forms: tuple[Form, ...]
    mask: TokenMask
    per_query_head: bool
    bases: tuple[Real, ...]
    rows_before: tuple[RowArray, ...]
    misreads: tuple[Misread, ...]

    @property
    def is_both_ways(self) -> bool:
        """Do queries see keys on both sides, and not all the same?"""
        return _is_both_ways(self.mask)

    @property
    def is_torchs_alone(self) -> bool:
        """Is it what kernels of chunks do not know?"""
        return why_torch_alone(self.mask, self.fold, bool(self.number or self.rows_before)) is not None

    @property
    def has_kernels(self) -> bool:
        """Products are torch's on every device, and so is what kernels do not know."""
        return not self.mask.is_of_all and not self.is_torchs_alone

    @property
    def row_arrays(self) -> tuple[RowArray, ...]:
        return self.rows_before

    @cached_property
    def why_no_state(self) -> Reason | None:
        return find_no_state(self)

    @property
    def positive(self) -> tuple[Real, ...]:
        return self.bases

    @property
    def vectors(self) -> tuple[str, ...]:
        """The tensors that have gradients: q, k, v, steps, those of the other forms, the log-sum-exp of a softmax."""
        first, *others = self.forms
        more = [name for form in others for name in form.tensors]
        if first.divides:
            more.append("row_lse")
        values = ["v"] if self.weighs_values else []
        return (first.query, first.key, *values, *([first.steps] if first.steps else []), *more)

    @property
    def documents(self) -> tuple[str, ...]:
        """The tensors that say which document a query is in, and a key, where that matters."""
        if self.mask.document is None and self.mask.sees_query == Truth(True):
            return ()
        return ("of_queries", "of_keys")

    @property
    def numbered_by(self) -> str | None:
        """The sorted array that documents are the numbers of, as they stand in it."""
        document = self.mask.document
        return document.array if isinstance(document, IntLoad) else None


def why_torch_alone(mask: TokenMask, fold: Fold, is_of_several: bool) -> str | None:
    """What of a sweep kernels of chunks do not know; None where they know all."""
    if _is_both_ways(mask):
        return "keys on both sides of a query"
    if fold.divides:
        return "a log-sum-exp"
    return "several passes" if is_of_several else None


def _is_both_ways(mask: TokenMask) -> bool:
    return mask.causal is None and not mask.is_of_all
