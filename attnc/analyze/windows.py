"""The window of a query along an axis: its ends by their form.

Enters: the pieces of a mask in one dimension, solved for the key. Leaves: a `Window`, or nothing where they are no
window; and of what was found along an axis, its kind. An end is looked at away from the border, without the numbers
that clamp it there: `i - before`, or `n * (i // n) - before` where `n` neighbors share it. Which numbers clamp it says
what becomes of the window at the border: it is cut by the grid itself, and shifted where its first place is held below
a number, or its last above one.
"""

from __future__ import annotations

from typing import Literal

from attnc.analyze.grid_facts import Along, Group, Window
from attnc.ir.nodes import Int, IntConst
from attnc.sets.convert import to_int, to_polynomial
from attnc.sets.folding import extreme
from attnc.sets.pieces import Pieces, Plane, Stretch
from attnc.sets.polynomial import ONE, Extreme, Kind, Polynomial, Quotient, polynomial

# What a query sees along an axis: all of it, all of its class, its own place, a window, its block, also with a halo,
# all up to its own place or block; or something else.
WindowKind = Literal["all", "classes", "own", "window", "blocks", "halo", "before", "other"]


def find_window(pieces: Pieces, plane: Plane) -> Window | None:
    """Of one piece that holds for every query."""
    if len(pieces) != 1 or not pieces[0].followed or pieces[0].other != Stretch():
        return None
    target, other = pieces[0].target, plane.other.key
    ends: list[tuple[Polynomial, Group | None] | None] = []
    is_shifted = False
    sides: tuple[tuple[tuple[Polynomial, ...], Kind], ...] = (target.lows, "max"), (target.highs, "min")
    for bounds, kind in sides:
        moving = [end for end in bounds if other in end.leaves]
        bare = _bare(moving[0], kind, plane) if len(moving) == 1 else None
        split = bare and _split(bare[0], plane)
        if moving and not split:
            return None
        ends.append(split)
        is_shifted |= bool(bare and bare[1])
    before, after = ends
    lows, highs = (
        tuple(end for end in each if other not in end.leaves) for each in (target.lows, target.highs)
    )
    return Window(
        to_int(-before[0]) if before else None,
        to_int(after[0]) if after else None,
        before[1] if before else None,
        after[1] if after else None,
        "shifted" if is_shifted else "cut",
        to_int(extreme("max", lows)) if lows else None,
        to_int(extreme("min", highs) + 1) if highs else None,
    )


def _bare(end: Polynomial, kind: Kind, plane: Plane) -> tuple[Polynomial, bool] | None:
    """An end without the numbers that clamp it, and whether one of them holds it back: a window is shifted there.

    None where it is clamped by another end that moves.
    """
    is_held = False
    while held := next(
        (atom for atom in end.atoms if isinstance(atom, Extreme) and _moves(atom, plane)), None
    ):
        factor, rest = end.split(held)
        moving = [item for item in held.items if plane.other.key in item.leaves]
        if factor != ONE or plane.other.key in rest.leaves or len(moving) != 1:
            return None
        is_held |= held.kind != kind
        end = moving[0] + rest
    return end, is_held


def _moves(atom: Extreme, plane: Plane) -> bool:
    return plane.other.key in atom.leaves


def _split(end: Polynomial, plane: Plane) -> tuple[Polynomial, Group | None] | None:
    """What is left of an end without the position, or the first place of the group of the position."""
    rest = end - polynomial(plane.other)
    if plane.other.key not in rest.leaves:
        return rest, None
    for atom in end.atoms:
        factor, rest = end.split(atom)
        if isinstance(atom, Quotient) and factor == atom.n and plane.other.key not in rest.leaves:
            shift = atom.a - polynomial(plane.other)
            if plane.other.key not in shift.leaves | atom.n.leaves:
                return rest + shift, Group(to_int(atom.n), to_int(shift))
    return None


# ---- what it is called -----------------------------------------------------------------------------


def kind_of(along: Along) -> WindowKind:
    """What an axis shows, by the ends of its window."""
    window = along.window
    if window is None:
        return "other"
    if window.is_whole:
        return "all" if along.dilation is None else "classes"
    ends = (window.before, window.after)
    match ends:
        case (None, None):
            return "other"
        case (None, after) if _is_last_of_its_own(after, window) and window.first is None:
            return "before"
        case (None, _) | (_, None):
            return "other"
    if not _is_plain(window):
        return "other"
    if window.group_before is None and window.group_after is None:
        is_own = ends == (IntConst(0), IntConst(0)) and along.dilation is None
        return "own" if is_own else "window"
    if window.group_after is None:
        return "window" if window.after == IntConst(0) else "other"
    if window.border == "cut" and _halo(window) is not None:
        return "blocks" if window.before == IntConst(0) else "halo"
    return "window"


def _is_plain(window: Window) -> bool:
    """Do both ends speak of one group, or the first alone of one?"""
    return window.group_after is None or window.group_before == window.group_after


def _is_last_of_its_own(after: Int | None, window: Window) -> bool:
    if after is None:
        return False
    own = IntConst(0) if window.group_after is None else to_int(to_polynomial(window.group_after.size) - 1)
    return after == own


def _halo(window: Window) -> Int | None:
    """How far a window reaches out of its block, where that is as far on either side."""
    if window.before is None or window.after is None or window.group_after is None:
        return None
    beyond = to_polynomial(window.after) - to_polynomial(window.group_after.size) + 1
    return window.before if beyond == to_polynomial(window.before) else None
