"""Which normalization a formula is.

Enters: the `normalize` term of an attention. Leaves: a `Normalization` with its reason. Today one class has a kernel:
softmax, also where its author subtracted something constant along the row, which changes nothing but the numerics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from attnc.analyze.facts import Reason
from attnc.ir.nodes import Attention, Real, RealCall, RealOp, Row, Score
from attnc.ir.walk import axes_of, walk


@dataclass(frozen=True, slots=True)
class Normalization:
    """`kind` is `other` where no kernel is known; `because` says what was looked for."""

    kind: Literal["softmax", "other"]
    because: tuple[Reason, ...]


def find_normalization(attention: Attention) -> Normalization:
    """The class of `attention.normalize`."""
    formula = attention.normalize
    match formula:
        case RealOp("/", RealCall("exp", above), Row("sum", RealCall("exp", below))) if above == below:
            if above == Score():
                return Normalization("softmax", (Reason("exp(s) / sum(exp(s)) is softmax", formula.span),))
            match above:
                case RealOp("-", Score(), shift) if _is_constant_along_row(shift):
                    why = "softmax: what is subtracted from s is constant along the row and cancels"
                    return Normalization("softmax", (Reason(why, formula.span),))
    why = "not exp(s) / sum(exp(s)), the only normalization with a kernel so far"
    return Normalization("other", (Reason(why, formula.span),))


def _is_constant_along_row(shift: Real) -> bool:
    """A row reduction is constant along its row, whatever stands in it; outside of one, `s` and `j` are not."""
    match shift:
        case Row():
            return True
        case RealOp(_, a, b):
            return _is_constant_along_row(a) and _is_constant_along_row(b)
        case RealCall(_, a):
            return _is_constant_along_row(a)
    return "j" not in axes_of(shift) and not any(isinstance(part, Score | Row) for part in walk(shift))
