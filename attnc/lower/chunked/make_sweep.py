"""The sweeps of linear attention: one for each pass over the keys, the last of which weighs values.

Enters: an attention that was found to be linear, and why it is computed so. Leaves: its `LinearSweep`s.
"""

from __future__ import annotations

from collections.abc import Iterator

from attnc.algebra.fold import Softmax, Sums
from attnc.analyze.facts import Facts, Linear, Reason
from attnc.analyze.misreads import find_misreads
from attnc.errors import CompilerBug
from attnc.ir.nodes import Attention, Node, Real, Size, VecInput
from attnc.ir.walk import axes_of
from attnc.lower.chunked.form import Form
from attnc.lower.chunked.make_forms import Terms, make_forms, make_softmax_form, with_count
from attnc.lower.chunked.sweep import LinearSweep, why_torch_alone
from attnc.lower.hoist import axes_of_arrays
from attnc.lower.sweep import RowArray

ROWS = (Size("B"), Size("H"), Size("N"))


class SweepMaker:
    """Makes the sweeps of an attention, in order."""

    def __init__(self, attention: Attention, linear: Linear, facts: Facts, why: str) -> None:
        self.attention, self.linear, self.facts = attention, linear, facts
        self.because = (*facts.implied.because, Reason(why), *self._computed_by())

    def _computed_by(self) -> Iterator[Reason]:
        """Products are torch's anyway."""
        if self.linear.mask.is_of_all:
            return
        weights = self.facts.weights
        assert weights.fold is not None
        unknown = why_torch_alone(self.linear.mask, weights.fold, bool(weights.before))
        if unknown is None:
            yield Reason("kernels compute it on a GPU, and torch on a CPU")
        else:
            yield Reason(f"torch computes it on every device: kernels of chunks do not know {unknown}")

    def make(self) -> tuple[LinearSweep, ...]:
        """Those of earlier passes, which leave numbers of each row, and the last."""
        weights, rows = self.facts.weights, tuple[RowArray, ...]()
        made: list[LinearSweep] = []
        for number, (each, sums) in enumerate(zip(weights.before, self.linear.before, strict=True), 1):
            if not isinstance(each.fold, Sums):
                raise CompilerBug("a pass of linear attention that is no sum")
            fold, sums = with_count(each.fold, sums) if self.facts.rows.can_be_empty else (each.fold, sums)
            forms = make_forms(None, sums, self.linear.mask)
            made.append(self._sweep(fold, forms, rows, number, each.numbers))
            rows += tuple(RowArray(name, "float", sizes=ROWS) for name, _ in each.numbers)
        return *made, self._last(rows)

    def _last(self, rows: tuple[RowArray, ...]) -> LinearSweep:
        linear, fold = self.linear, self.facts.weights.fold
        if isinstance(fold, Softmax):
            return self._sweep(fold, make_softmax_form(linear.weight, linear.mask), rows)
        assert isinstance(fold, Sums)
        sums: tuple[Terms, ...] = linear.sums
        is_finished_later = self.facts.weights.gate is not None or self.attention.output != VecInput("o")
        if self.facts.rows.can_be_empty and is_finished_later:
            fold, sums = with_count(fold, sums)
        return self._sweep(fold, make_forms(linear.weight, sums, linear.mask), rows)

    def _sweep(
        self,
        fold: Softmax | Sums,
        forms: tuple[Form, ...],
        rows: tuple[RowArray, ...],
        number: int = 0,
        numbers: tuple[tuple[str, Real], ...] = (),
    ) -> LinearSweep:
        is_first = number == 1 or not self.facts.weights.before
        return LinearSweep(
            spec=self.attention,
            fold=fold,
            gate=None if number else self.facts.weights.gate,
            rows=self.facts.rows,
            number=number,
            numbers=numbers,
            because=self.because,
            forms=forms,
            mask=self.linear.mask,
            bases=self.linear.positive,
            rows_before=rows,
            misreads=find_misreads(self.attention).checked if is_first else (),
            per_query_head=_knows_query_head(self.attention, forms),
        )


def _knows_query_head(attention: Attention, forms: tuple[Form, ...]) -> bool:
    """Does what is made for keys know the query head? Exponents of keys do, where they know any head."""
    exponents = (
        pair[1] for form in forms if not form.is_decay for term in form.terms for pair in term.exponents
    )
    of_keys = _of_keys(attention, forms)
    return any("h" in axes_of_arrays(each) for each in of_keys) or any(
        "h" in axes_of(each) for each in exponents
    )


def _of_keys(attention: Attention, forms: tuple[Form, ...]) -> Iterator[Node]:
    """What keys, values and features of keys are made of. Steps are of every query head."""
    yield from (attention.key, attention.value, forms[0].mask.sees_key)
    for form in forms:
        for term in form.terms:
            yield from (term.key, *(dot.key for dot in term.dots))
