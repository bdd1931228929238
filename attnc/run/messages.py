"""What is wrong with a call, in words.

Enters: names and plain values. Leaves: one message each. An emitted module stands alone and raises the same words, so
nothing here knows of terms or tensors. Every message names the argument, what it needs and what it got.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Shape = Sequence[int]


def _brackets(items: Iterable[object]) -> str:
    return f"[{', '.join(map(str, items))}]"


def not_a_tensor(name: str, got: str) -> str:
    return f"`{name}` needs a tensor, got {got}"


def not_dense(name: str, got: str) -> str:
    return f"`{name}` needs a dense tensor, got {got}"


def not_one_number(name: str, needs: str) -> str:
    return f"`{name}` needs {needs}, the same for all samples"


def by_position(attention: str, got: int) -> str:
    """`got` values beside q, k and v."""
    values = "a value" if got == 1 else f"{got} values"
    return f"`{attention}` takes `q`, `k` and `v` by position, and got {values} more: parameters have names"


def wrong_rank(name: str, dimensions: Sequence[str], got: Shape) -> str:
    needs = f"{len(dimensions)} dimension{'s' * (len(dimensions) != 1)} {_brackets(dimensions)}"
    return f"`{name}` needs {needs}, got shape {_brackets(got)}"


def wrong_shape(name: str, dimensions: Sequence[str], needs: Sequence[int | str], got: Shape) -> str:
    """`needs` holds a name where any size will do."""
    same = " = " + _brackets(needs) if list(map(str, needs)) != list(dimensions) else ""
    return f"`{name}` needs shape {_brackets(dimensions)}{same}, got {_brackets(got)}"


def empty_dimension(name: str, dimension: str, got: Shape) -> str:
    return f"`{name}` needs `{dimension}` to be 1 or more, got shape {_brackets(got)}"


def wrong_heads(heads: int, groups: int) -> str:
    return f"`q` needs a multiple of the {groups} heads of `k`, got {heads}"


def wrong_dtype(name: str, needs: Sequence[str], got: str) -> str:
    options = ", ".join(needs[:-1]) + " or " + needs[-1] if len(needs) > 1 else needs[0]
    return f"`{name}` needs dtype {options}, got {got}"


def other_dtype(name: str, needs: str, got: str) -> str:
    return f"`{name}` needs the dtype of `q`, {needs}, got {got}"


def other_device(name: str, needs: str, got: str) -> str:
    return f"`{name}` needs the device of `q`, {needs}, got {got}"


def missing_argument(attention: str, name: str, declared: str) -> str:
    return f"`{attention}` needs `{name}`, {declared}, and it was not given"


def unknown_argument(attention: str, name: str) -> str:
    return f"`{attention}` has no parameter `{name}`"


def wrong_type(name: str, needs: str, got: str) -> str:
    return f"`{name}` needs {needs}, got {got}"


def divides_by_nothing(by: str, division: str) -> str:
    return f"`{by}` is 0, and `{division}` divides by it"


def no_gradient(name: str) -> str:
    return f"`{name}` is a scalar, which gets no gradient, and was given a tensor that requires one"


def not_sorted(name: str, at: Shape, before: object, after: object) -> str:
    return f"`{name}` is declared `sorted`, and decreases at {_brackets(at)}, from {before} to {after}"


def negative_size(owner: str, dimension: str, got: int) -> str:
    """`owner` is an array in backticks, or a grid."""
    return f"{owner} has the dimension `{dimension}`, which is {got}"


def size_divides_by_zero(owner: str, dimension: str) -> str:
    return f"{owner} has the dimension `{dimension}`, which divides by 0"


def wrong_grid(side: str, extents: Sequence[str], got: Shape, tokens: int) -> str:
    """`side` is `query` or `key`."""
    size = "N" if side == "query" else "M"
    return f"the {side} grid {_brackets(extents)} = {_brackets(got)} needs the product {size} = {tokens}"


def not_self_attention(queries: int, keys: int) -> str:
    return f"`v_i` needs as many keys as queries, got N = {queries} and M = {keys}"


def two_widths(what: str, a: int, b: int) -> str:
    return f"{what} meets vectors of two widths, {a} and {b}"


def wrong_width(clause: str, size: str, needs: int, got: int) -> str:
    return f"`{clause}` must give a vector of width `{size}` = {needs}, got {got}"


def odd_width(got: int) -> str:
    return f"`rope` needs a vector of even width, got {got}"


def out_of_range(array: str, axis: int, size: int, index: int, place: str) -> str:
    return f"`{array}` has size {size} along axis {axis}, and index {index} is read at {place}"


def divides_by_zero(op: str, place: str) -> str:
    return f"`{op}` divides by 0 at {place}"


def floor_of_no_number(value: str, place: str) -> str:
    return f"`floor` of {value} at {place}"
