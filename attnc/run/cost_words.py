"""What an attention costs, for a reader.

Enters: a `Cost`. Leaves: sentences with their reasons, and values for programs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnc.run.cost import Cost
from attnc.run.settings import say_call

if TYPE_CHECKING:
    from attnc.run.boxes import Box

# Shapes of boxes that are worth a line.
FEW = 3


def say_cost(cost: Cost, is_listed: bool) -> tuple[str, list[str]]:
    """`is_listed`: of the tiles that may be visited, those are that hold a visible pair."""
    tiles = cost.tiles
    sentence = f"{_percent(cost.work)} of the work of dense attention ({say_call(cost.values, cost.tile)})"
    least, most = map(_percent, cost.density)
    seen = f"{least} of all pairs are visible"
    if least != most:
        seen = f"between {least} and {most} of all pairs are visible"
    whose = [f"this is {cost.place} alone: others see other keys"] if cost.place else []
    counts = f"{tiles.visited} of {tiles.total} tiles are visited"
    if cost.passes > 1:
        counts += f" in each of {cost.passes} passes over the keys"
    if is_listed:
        counts = f"at most {counts}: of those, the ones with a visible pair"
        return f"at most {sentence}", [*whose, counts, seen]
    counts = f"{counts}; {tiles.full} of them are full and need no mask"
    visits = [_visits(cost, cost.visited, cost.worst)] if cost.boxes and cost.visited else []
    return sentence, [*whose, counts, seen, *visits]


def say_boxes(cost: Cost) -> tuple[str, list[str]] | None:
    """What tiles would visit that are boxes of the grid; None where nobody counted, or nothing is seen."""
    boxes = cost.boxes
    if boxes is None or not boxes.shapes or not boxes.shapes[0].visited:
        return None
    best, *others = boxes.shapes[:FEW]
    axes = " x ".join(boxes.axes)
    says = "no schedule makes boxes yet: tiles are runs of tokens"
    sentence = f"tiles that are boxes of {axes} would visit less ({says})"
    if best.visited >= cost.visited:
        sentence = f"tiles that are boxes of {axes} would visit no less than runs of tokens do"
    return sentence, [_of_box(cost, box) for box in (best, *others)]


def cost_json(cost: Cost) -> dict[str, Any]:
    """The same for programs."""
    tiles = cost.tiles
    found = {
        "visited": tiles.visited,
        "full": tiles.full,
        "total": tiles.total,
        "passes": cost.passes,
        "work": cost.work,
        "density": cost.density,
        "needed": cost.needed,
        **_visits_json(cost, cost.visited, cost.worst),
    }
    return found | {
        "boxes": None if cost.boxes is None else [_box_json(cost, box) for box in cost.boxes.shapes]
    }


def _of_box(cost: Cost, box: Box) -> str:
    keys = " and ".join(dict.fromkeys(_shape(shape) for shape in box.keys))
    return f"{_shape(box.queries)} queries, {keys} keys: {_visits(cost, box.visited, cost.worst_box(box))}"


def _visits(cost: Cost, visited: int, worst: float) -> str:
    parts = [f"{_times(cost.dense_per(visited))} times less than dense attention visits"]
    if cost.needed:
        parts.insert(0, f"{_times(cost.per_needed(visited))} multiply-adds for each one needed")
    return f"{', '.join(parts)}; the worst tile visits {_percent(worst)} of the keys"


def _visits_json(cost: Cost, visited: int, worst: float) -> dict[str, Any]:
    return {
        "visited_per_needed": cost.per_needed(visited),
        "dense_per_visited": cost.dense_per(visited),
        "worst": worst,
    }


def _box_json(cost: Cost, box: Box) -> dict[str, Any]:
    return {
        "queries": box.queries,
        "keys": box.keys,
        **_visits_json(cost, box.visited, cost.worst_box(box)),
    }


def _shape(sides: tuple[int, ...]) -> str:
    return " x ".join(map(str, sides))


def _times(ratio: float | None) -> str:
    return f"{ratio:.3g}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
