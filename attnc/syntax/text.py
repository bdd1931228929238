"""The tree as text: what `attnc show --stage tree` prints and golden files hold.

Enters: any node. Leaves: a line for the node with what it holds that is not a node, and below it, indented, the nodes
it holds. Spans are left out, and so is what has its default.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from attnc.syntax.tree import Comments, Name, Node


def print_tree(node: Node) -> str:
    """The lines of a node, with a newline at the end."""
    return "".join(f"{line}\n" for line in _lines("", node))


def _lines(label: str, node: Node) -> Iterator[str]:
    plain: list[str] = []
    below: list[tuple[str, Node]] = []
    for field in fields(node):
        value = getattr(node, field.name)
        if field.name in ("span", "word_span", "links") or value == field.default:
            continue
        match value:
            case Name(id):
                plain.append(f"{field.name}={id}")
            case Comments(above, beside):
                plain += [f"comment={text!r}" for text in (*above, *([beside] if beside else []))]
            case Node():
                below.append((f"{field.name}: ", value))
            case tuple() if any(isinstance(part, Node | tuple) for part in value):
                below += [(f"{field.name}: ", part) for item in value for part in _parts(item)]
            case _:
                plain.append(f"{field.name}={value!r}")
    yield " ".join([f"{label}{type(node).__name__}", *plain])
    for inner, child in below:
        yield from (f"    {line}" for line in _lines(inner, child))


def _parts(item: object) -> Iterator[Node]:
    """The nodes of an item of a tuple: itself, or of a pair (name, value) both."""
    if isinstance(item, Node):
        yield item
    elif isinstance(item, tuple):
        for part in item:
            yield from _parts(part)
