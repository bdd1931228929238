"""Do vectors that meet have the same width?

Enters: the clauses of an attention. Leaves: diagnostics. A width is known where it is a size or a number; one that
depends on a parameter is left to the call, which knows the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from attnc.check.report import Report
from attnc.check.values import quote
from attnc.errors import CompilerBug, Label
from attnc.ir import nodes as ir
from attnc.source import Span

WIDTHS: dict[str, ir.Int] = {
    "q": ir.Size("D"),
    "k": ir.Size("D"),
    "v": ir.Size("DV"),
    "v_i": ir.Size("DV"),
    "o": ir.Size("DV"),
}


@dataclass
class WidthCheck:
    """Widths of the vectors of one attention."""

    params: dict[str, ir.Param]
    report: Report
    _known: dict[int, ir.Int | None] = field(default_factory=dict)

    def check(self, term: ir.Node) -> None:
        """Look at every node of a term."""
        if id(term) in self._known:
            return
        for child in term.children:
            self.check(child)
        self._known[id(term)] = self._find(term)

    def check_result(self, term: ir.Vec, needed: ir.Size, word: str, span: Span) -> None:
        """The same, for a clause whose vector must be as wide as `needed`."""
        self.check(term)
        found = self._known[id(term)]
        if found is not None and differ(found, needed):
            self.report.error(
                "width-mismatch",
                f"`{word}` must be a vector of width {title(needed)}, and {quote(span)} has width {title(found)}",
                span,
            )

    def _find(self, node: ir.Node) -> ir.Int | None:
        match node:
            case ir.VecInput(name):
                return WIDTHS[name]
            case ir.VecLoad(array) | ir.VecTotal(array):
                sizes = self.params[array].sizes
                return sizes[-1] if sizes else None  # none: they are wrong, as the reader knows by now
            case ir.VecCall(_, a) | ir.Rope(a):
                return self._known[id(a)]
            case ir.VecOp(_, a, b) | ir.VecIf(_, a, b) | ir.Dot(a, b):
                return self._join(node, a, b)
            case ir.Node():
                return None
            case _:
                raise CompilerBug(f"no width for {node!r}")

    def _join(self, node: ir.Node, a: ir.Vec, b: ir.Vec) -> ir.Int | None:
        x, y = self._known[id(a)], self._known[id(b)]
        if x is None or y is None:
            return None if isinstance(node, ir.Dot) else x or y
        if differ(x, y) and node.span is not None:
            what = "`dot` takes" if isinstance(node, ir.Dot) else "an operator meets"
            self.report.error(
                "width-mismatch",
                f"{what} vectors of two widths, {title(x)} and {title(y)}",
                node.span,
                related=[
                    Label(v.span, f"width {title(w)}") for v, w in ((a, x), (b, y)) if v.span is not None
                ],
                helps=["`q` and `k` have the width `D`; `v` and `o` have the width `DV`"]
                if isinstance(x, ir.Size) and isinstance(y, ir.Size)
                else [],
            )
            return None
        return None if isinstance(node, ir.Dot) else x


def differ(a: ir.Int, b: ir.Int) -> bool:
    """Are two widths different for sure, or named differently?"""
    match a, b:
        case (ir.IntConst(x), ir.IntConst(y)):
            return x != y
        case (ir.Size(x), ir.Size(y)):
            return x != y
        case _:
            return False


def title(size: ir.Int) -> str:
    """A width as people write it."""
    match size:
        case ir.IntConst(value):
            return str(value)
        case ir.Size(name):
            return f"`{name}`"
        case _:
            raise CompilerBug(f"a width that is not known: {size!r}")
