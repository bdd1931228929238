"""What was found of a grid, for a reader.

Enters: a `Grid`. Leaves: a sentence with its reasons, and values for programs. What a mask is called follows from its
intervals alone: a neighborhood, blocks, a halo, classes, lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from attnc.analyze.clauses import interval_text
from attnc.analyze.facts import Ranges, Reason
from attnc.analyze.grid_facts import Along, Grid, Group, Product
from attnc.analyze.windows import kind_of
from attnc.ir.nodes import Coordinate, Index, Int, IntConst, IntParam, Node, Residue, TileEnd, Truth
from attnc.ir.text import print_ir
from attnc.ir.walk import holds, replace_terms
from attnc.ir.words import say
from attnc.sets.convert import to_int, to_polynomial

NOTHING = "no query sees a key"
NO_AXES = "queries and keys have other axes, so nothing is found along any"


def say_grid(grid: Grid) -> tuple[str, list[Reason]]:
    """The sentence: the axes, and what a query sees; and the intervals that it is made of."""
    axes = ", ".join(f"{axis.name}: {print_ir(axis.query.size)}" for axis in grid.axes)
    if any(axis.query != axis.key for axis in grid.axes) and grid.is_declared:
        axes += f"; of keys {', '.join(f'{axis.name}: {print_ir(axis.key.size)}' for axis in grid.axes)}"
    how = "" if grid.is_declared else " (as queries and keys are divided by the same numbers)"
    if len(grid.axes) == 1 and not grid.is_declared:
        how = " (as queries and keys leave the same remainder)"
    return f"{axes}{how}; {say_products(grid)}", [*_intervals(grid), *grid.because]


def say_products(grid: Grid) -> str:
    """`neighborhood on y (7, shifted at the border) and x (7)`, `blocks of 7 x 7`, `rows or columns`."""
    texts = [_say(product) for product in grid.products]
    return (", or " if any(" " in text for text in texts) else " or ").join(texts) or NOTHING


def grid_json(grid: Grid | None) -> dict[str, Any] | None:
    """The same for programs; in an interval, `i`, `j` and the ends of tiles are coordinates."""
    if grid is None:
        return None
    return {
        "declared": grid.is_declared,
        "axes": [
            {
                "name": axis.name,
                "query": {"stride": print_ir(axis.query.stride), "size": print_ir(axis.query.size)},
                "key": {"stride": print_ir(axis.key.stride), "size": print_ir(axis.key.size)},
            }
            for axis in grid.axes
        ],
        "says": say_products(grid),
        "products": [_product_json(product) for product in grid.products],
        "because": [str(reason) for reason in grid.because],
    }


def _product_json(product: Product) -> dict[str, Any]:
    return {
        "guard": print_ir(product.guard),
        "mixed": [print_ir(clause) for clause in product.mixed],
        "along": {
            along.axis.name: {
                "mask": print_ir(along.mask),
                "dilation": None if along.dilation is None else print_ir(along.dilation),
                "keys": _ranges_json(along.of_keys),
                "queries": _ranges_json(along.of_queries),
            }
            for along in product.along
        },
    }


def _ranges_json(ranges: Ranges) -> dict[str, Any]:
    return {
        "closed": ranges.closed,
        "exact": ranges.exact,
        "visited": [[print_ir(each.lo), print_ir(each.hi)] for each in ranges.visited],
        "full": [each and [print_ir(each.lo), print_ir(each.hi)] for each in ranges.full],
    }


# ---- what it is ------------------------------------------------------------------------------------


def _say(product: Product) -> str:
    parts = [_lines(product.along)] if _are_lines(product.along) else list(_parts(product.along))
    conditions = [each for each in (product.guard, *product.mixed) if each != Truth(True)]
    return ", ".join(parts) + (f" where {' and '.join(map(say, conditions))}" if conditions else "")


def _parts(along: Sequence[Along]) -> Iterator[str]:
    """Axes of a kind together, the kinds in the order of their first axes; those that nothing is said of come last."""
    tables = (_windows, _blocks, _halos, _classes, _before, _own, _other)
    found = [(some, text) for table in tables for some, text in [table(along)] if some]
    yield from (text for _, text in sorted(found, key=lambda each: along.index(each[0][0])))
    some, text = _all(along)
    if some:
        yield text


Some = tuple[list[Along], str]


def _windows(along: Sequence[Along]) -> Some:
    some = [each for each in along if kind_of(each) == "window"]
    texts = [f"{each.axis.name} ({', '.join(_of_window(each))})" for each in some]
    return some, f"neighborhood on {_listed(texts)}"


def _of_window(along: Along) -> Iterator[str]:
    window = along.window
    assert window is not None and window.before is not None and window.after is not None
    width = to_polynomial(window.before) + to_polynomial(window.after) + 1
    group = window.group_before or window.group_after
    is_causal = window.group_after is None and window.after == IntConst(0)
    if is_causal and group:
        width += to_polynomial(group.size) - 1
    yield _quoted(to_int(width))
    if is_causal:
        yield "causal"
    if window.border == "shifted" and not is_causal:
        yield "shifted at the border"
    if group:
        yield f"{_quoted(group.size)} neighbors share it"
    if along.dilation is not None:
        yield f"dilated by {_quoted(along.dilation)}"
    if window.first is not None:
        yield f"from {_quoted(window.first)} on"
    if window.last is not None and not holds(window.last, Residue):
        yield f"below {_quoted(window.last)}"


def _blocks(along: Sequence[Along]) -> Some:
    some = [each for each in along if kind_of(each) == "blocks"]
    return some, f"blocks of {_sizes(some, along)}{_moved(some)}"


def _halos(along: Sequence[Along]) -> Some:
    some = [each for each in along if kind_of(each) == "halo"]
    halos = [_quoted(each.window.before) for each in some if each.window and each.window.before is not None]
    return some, f"blocks of {_sizes(some, along)}{_moved(some)} with a halo of {' x '.join(halos)}"


def _sizes(some: Sequence[Along], along: Sequence[Along]) -> str:
    groups = _groups(some)
    sizes = " x ".join(_quoted(group.size) for group in groups)
    return sizes if len(some) == len(along) else f"{sizes} on {_listed([each.axis.name for each in some])}"


def _moved(some: Sequence[Along]) -> str:
    shifts = [_quoted(group.shift) for group in _groups(some)]
    if set(shifts) <= {"0"}:
        return ""
    return f", moved by {shifts[0] if len(set(shifts)) == 1 else ' x '.join(shifts)}"


def _groups(some: Sequence[Along]) -> list[Group]:
    windows = [each.window for each in some if each.window]
    return [window.group_after for window in windows if window.group_after]


def _quoted(term: Int) -> str:
    text = print_ir(term)
    return text if isinstance(term, IntConst) else f"`{text}`"


def _classes(along: Sequence[Along]) -> Some:
    some = [each for each in along if kind_of(each) == "classes"]
    texts = [f"every {_quoted(each.dilation)}-th of {each.axis.name}" for each in some if each.dilation]
    return some, _listed(texts)


def _before(along: Sequence[Along]) -> Some:
    some = [each for each in along if kind_of(each) == "before"]
    texts = [f"{each.axis.name}{_in_blocks(each)}" for each in some]
    return some, f"causal on {_listed(texts)}"


def _in_blocks(along: Along) -> str:
    groups = _groups([along])
    return f" by blocks of {_quoted(groups[0].size)}" if groups else ""


def _own(along: Sequence[Along]) -> Some:
    some = [each for each in along if kind_of(each) == "own"]
    return some, f"its own {_listed([each.axis.name for each in some])}"


def _all(along: Sequence[Along]) -> Some:
    some = [each for each in along if kind_of(each) == "all"]
    return some, f"all of {_listed([each.axis.name for each in some])}"


def _other(along: Sequence[Along]) -> Some:
    some = [each for each in along if kind_of(each) == "other"]
    return some, _listed([f"`{_in_coordinates(each)}`" for each in some])


def _in_coordinates(along: Along) -> str:
    def change(node: Node) -> Node | None:
        match node:
            case Index("i" | "j" as side):
                return Coordinate(side, along.axis.name)
        return None

    return print_ir(replace_terms(along.mask, change))


def _are_lines(along: Sequence[Along]) -> bool:
    kinds = {kind_of(each) for each in along}
    return len(along) > 1 and (kinds == {"own", "all"} or kinds in ({"own"}, {"all"}))


def _lines(along: Sequence[Along]) -> str:
    """Rows and columns of an image; else what runs along which axes."""
    running = [each.axis.name for each in along if kind_of(each) == "all"]
    match [kind_of(each) for each in along]:
        case ["own", "all"]:
            return "rows"
        case ["all", "own"]:
            return "columns"
    if len(running) == len(along):
        return "everything"
    return f"along {_listed(running)}" if running else "itself"


def _listed(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}" if texts else ""


# ---- the intervals ---------------------------------------------------------------------------------


def _intervals(grid: Grid) -> Iterator[Reason]:
    """Of each axis that has any bounds, once."""
    found: dict[str, None] = {}
    for product in grid.products:
        for along in product.along:
            if along.window is None or not along.window.is_whole:
                found.setdefault(_along_text(along))
    yield from map(Reason, found)


def _along_text(along: Along) -> str:
    name = along.axis.name

    def ends(node: Node) -> Node | None:
        match node:
            case TileEnd(_, end):
                return IntParam(f"{name}{0 if end == 'first' else 1}")
            case Residue():
                return IntParam("r")
        return None

    def text(term: Int) -> str:
        return print_ir(replace_terms(term, ends))

    visited = _list_text(along.of_keys.visited, text)
    full = _list_text([each for each in along.of_keys.full if each], text)
    step = along.dilation and print_ir(along.dilation)
    where = f", counted within the class of r, r + {step}, ..." if step else ""
    sees = f"read keys {visited}" if visited else "read no key"
    return (
        f"{name}: queries [{name}0, {name}1] {sees}" + (f"; all of them see {full}" if full else "") + where
    )


def _list_text(intervals: Sequence[Any], text: Callable[[Int], str]) -> str:
    return " and ".join(interval_text(text(each.lo), text(each.hi)) for each in intervals)
