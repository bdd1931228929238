"""What a term may not do at a point: read outside an array, divide by zero, round what is no number.

Enters: the places of an array to read, or a test. Leaves: the entries, or an `AttncError` that names the first point at
fault. A negative index is outside: nothing wraps around.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from attnc.errors import AttncError, Diagnostic, Label
from attnc.ir.nodes import Node
from attnc.run.points import Points


def load(name: str, array: Tensor, places: Sequence[Tensor], term: Node, at: Points) -> Tensor:
    """`array[places]`, one entry for each point; a row of entries where the last axis has no place."""
    check_inside(name, array, places, term, at)
    return array[tuple(places)] if places else array.expand(len(at), *array.shape)


def total(name: str, array: Tensor, places: Sequence[Tensor], term: Node, at: Points) -> Tensor:
    """The sum of `array[*places[:-1], t]` over all t below the last place, for each point."""
    *before, end = places
    last = torch.where(end == 0, 0, end - 1)  # of nothing, nothing is read
    read = [place[end != 0] for place in (*before, last)]
    check_inside(name, array, read, term, at.select(end != 0))
    axis = len(before)
    nothing = torch.zeros_like(
        array.narrow(axis, 0, 1) if array.shape[axis] else array.sum(axis, keepdim=True)
    )
    return torch.cat([nothing, array.cumsum(axis)], axis)[(*before, end)]


def check_inside(name: str, array: Tensor, places: Sequence[Tensor], term: Node, at: Points) -> None:
    """Refuse to read outside of an array."""
    for axis, place in enumerate(places):
        size = array.shape[axis]
        outside = find((place < 0) | (place >= size))
        if outside is not None:
            read = f"index {int(place[outside])} is read at {at.name(outside)}"
            message = f"`{name}` has size {size} along axis {axis}, and {read}"
            raise error("index-out-of-range", message, term)


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
