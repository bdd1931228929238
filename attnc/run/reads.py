"""What a term may not do at a point: read outside an array, divide by zero, round what is no number.

Enters: the places of an array to read, or a test. Leaves: the entries, or an `AttncError` that names the first point at
fault. A negative index is outside: nothing wraps around.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from attnc.errors import AttncError, Diagnostic, Label
from attnc.ir.nodes import Node
from attnc.run.points import Points


def load(name: str, array: Tensor, places: Sequence[Tensor], term: Node, at: Points) -> Tensor:
    """`array[places]`, one entry for each point; a row of entries where the last axis has no place."""
    for axis, place in enumerate(places):
        size = array.shape[axis]
        outside = find((place < 0) | (place >= size))
        if outside is not None:
            read = f"index {int(place[outside])} is read at {at.name(outside)}"
            message = f"`{name}` has size {size} along axis {axis}, and {read}"
            raise error("index-out-of-range", message, term)
    return array[tuple(places)] if places else array.expand(len(at), *array.shape)


def check_divisor(divisor: Tensor, op: str, term: Node, at: Points) -> None:
    """Refuse an integer division by zero."""
    zero = find(divisor == 0)
    if zero is not None:
        raise error("division-by-zero", f"`{op}` divides by 0 at {at.name(zero)}", term)


def check_finite(x: Tensor, term: Node, at: Points) -> None:
    """Refuse to round inf or nan to an integer."""
    wild = find(~x.isfinite())
    if wild is not None:
        raise error("floor-of-no-number", f"`floor` of {x[wild].item()} at {at.name(wild)}", term)


def find(bad: Tensor) -> int | None:
    """The first point where `bad` holds."""
    return int(bad.nonzero()[0, 0]) if bad.any() else None


def error(code: str, message: str, term: Node) -> AttncError:
    """A mistake of the caller's that shows at a place of the spec."""
    return AttncError(Diagnostic(code, message, None if term.span is None else Label(term.span)))
