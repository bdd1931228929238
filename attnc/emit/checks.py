"""The checks of a call.

Enters: a plan. Leaves: `_check`, which raises the first mistake of a call, and the helpers that it needs. What cannot
go wrong with this spec is not checked, and what only the data of a tensor say is left to the operator, which has them
wherever it runs. The words are those of `run/messages.py`, which the interpreter uses; an emitted
module stands alone, so they are written out here, and `tests/run/test_wrong_calls.py` holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from attnc.analyze.divisors import find_divisions
from attnc.analyze.facts import Requirement
from attnc.analyze.widths import EvenWidth, ResultWidth, SameWidths, WidthRule, find_width_rules
from attnc.emit.expression import emit_expression, emit_operand
from attnc.emit.support import text_of
from attnc.emit.writer import Writer
from attnc.errors import CompilerBug
from attnc.ir.nodes import Int, IntConst, IntOp, Param, Size, VecInput
from attnc.ir.text import print_ir
from attnc.ir.walk import walk
from attnc.lower.names import SIZES, variable
from attnc.lower.plan import Plan
from attnc.lower.torch_terms import TorchTerms

DTYPES = {
    "float": "FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)",
    "int": "INTS = (torch.int32, torch.int64)",
    "bool": "BOOLS = (torch.bool,)",
}
CHECKS = (
    "_names", "_listed", "_is_dense", "_layout", "_check_tensor", "_check_inputs", "_is_near", "_number",
)  # fmt: skip
# Where a call has its sizes.
PLACES = {
    "B": "q.shape[0]", "H": "q.shape[1]", "HKV": "k.shape[1]", "N": "q.shape[2]", "M": "k.shape[2]",
    "D": "q.shape[3]", "DV": "v.shape[3]",
}  # fmt: skip


def write_checks(writer: Writer, plan: Plan) -> None:
    """The helpers and `_check`, which returns the scale and the parameters, scalars as numbers of Python."""
    params = plan.spec.params
    sorts = {"float", *(p.sort for p in params if p.sizes)}
    for sort, line in DTYPES.items():
        if sort in sorts:
            writer.line(line)
    checks = _Checks(writer, plan)
    holds = ["_holds"] if checks.requirements or checks.divisions else []
    _gap(writer)
    writer.lines(text_of("checks", *CHECKS, *holds))
    _gap(writer)
    names = ["scale", *(variable(p.name) for p in params)]
    writer.items("def _check(", ["q", "k", "v", *names], "):")
    with writer.indent():
        writer.line('"""Raise the first mistake of a call; return its parameters, numbers as Python\'s."""')
        checks.write()
        writer.items("return ", names, "")
    _gap(writer)


class _Checks:
    """The body of `_check`, in the order of `run/arguments.py`."""

    def __init__(self, writer: Writer, plan: Plan) -> None:
        self.writer, self.plan = writer, plan
        self.params = plan.spec.params
        self.terms = TorchTerms(plan.spec, {})
        self.widths = find_width_rules(plan.spec)
        self.requirements = plan.last.requires
        self.divisions = find_divisions(plan.spec)
        self.checked: set[Int] = set()
        self.is_self_attention = VecInput("v_i") in walk(plan.spec.output)

    def write(self) -> None:
        self.writer.line("_check_inputs(q, k, v)")
        self.writer.line('scale = q.shape[3] ** -0.5 if scale is None else _number("scale", float, scale)')
        for param in self.params:
            if not param.sizes:
                name = variable(param.name)
                self.writer.items(f"{name} = _number(", [f'"{param.name}"', param.sort, name], ")")
        named = {size.name for term in self._terms() for size in walk(term) if isinstance(size, Size)}
        if named:
            used = [name for name in SIZES if name in named]
            self.writer.line(f"{', '.join(used)} = {', '.join(PLACES[name] for name in used)}")
        for param in self.params:
            if param.sizes:
                self._array(param)
        for side, tokens in (("query", Size("N")), ("key", Size("M"))):
            self._grid(side, tokens)
        for division in self.divisions:
            text = emit_operand(self.terms(division.by), "==")
            self._refuse(
                f"not _holds({text} != 0)", f"`{division.number}` is 0, and `{division.text}` divides by it"
            )
        if self.is_self_attention:
            self._refuse("N != M", "`v_i` needs as many keys as queries, got N = {N} and M = {M}")
        for rule in self.widths:
            self._width(rule)
        for n, requirement in enumerate(self.requirements):
            self._requirement(requirement, self.requirements[:n])

    def _terms(self) -> Iterator[Int]:
        """Every integer that a check speaks of."""
        for param in self.params:
            yield from param.sizes
        for axis in self.plan.spec.grid:
            yield from (axis.extent, Size("N" if axis.side == "query" else "M"))
        if self.is_self_attention:
            yield from (Size("N"), Size("M"))
        for rule in self.widths:
            match rule:
                case SameWidths(_, _, a, b) | ResultWidth(_, _, a, b):
                    yield from (a, b)
                case EvenWidth(_, a):
                    yield a
        for requirement in self.requirements:
            yield requirement.term

    def _array(self, param: Param) -> None:
        for size in param.sizes:
            self._size(f"`{param.name}`", size)
        sizes = ", ".join(map(self._text, param.sizes)) + ("," if len(param.sizes) == 1 else "")
        dtypes = DTYPES[param.sort].partition(" ")[0]
        name = f'"{param.name}"'
        items = [name, variable(param.name), f'"{_listed(param.sizes)}"', f"({sizes})", dtypes, "q"]
        self.writer.items("_check_tensor(", items, ")")

    def _size(self, owner: str, size: Int) -> None:
        """What is not a size: a number below 0, and a division by 0."""
        if size in self.checked:
            return
        self.checked.add(size)
        has = f"{owner} has the dimension `{print_ir(size)}`, which"
        for part in walk(size):
            match part:
                case IntOp("//" | "%", _, by) if not isinstance(by, IntConst):
                    self._refuse(f"{self._text(by)} == 0", f"{has} divides by 0")
        if not self.terms.proofs.is_nonnegative(size):
            text = self._text(size)
            self._refuse(f"{text} < 0", f"{has} is {{{text}}}")

    def _grid(self, side: str, tokens: Size) -> None:
        extents = [axis.extent for axis in self.plan.spec.grid if axis.side == side]
        if extents:
            for extent in extents:
                self._size(f"the {side} grid", extent)
            product = " * ".join(self._text(extent, "*") for extent in extents)
            got = ", ".join(f"{{{self._text(extent)}}}" for extent in extents)
            needs = f"needs the product {tokens.name} = {{{tokens.name}}}"
            self._refuse(
                f"{product} != {tokens.name}", f"the {side} grid {_listed(extents)} = [{got}] {needs}"
            )

    def _width(self, rule: WidthRule) -> None:
        match rule:
            case SameWidths(_, what, x, y):
                a, b = self._text(x), self._text(y)
                self._refuse(f"{a} != {b}", f"{what} meets vectors of two widths, {{{a}}} and {{{b}}}")
            case ResultWidth(_, clause, needs, width):
                must, got = f"`{clause}` must give a vector of width `{needs.name}`", self._text(width)
                self._refuse(f"{got} != {needs.name}", f"{must} = {{{needs.name}}}, got {{{got}}}")
            case EvenWidth(_, width):
                got = self._text(width)
                even = f"{self._text(width, '%')} % 2"
                self._refuse(even, f"`rope` needs a vector of even width, got {{{got}}}")
            case _:
                raise CompilerBug(f"no check for {rule!r}")

    def _requirement(self, requirement: Requirement, before: tuple[Requirement, ...]) -> None:
        """A check of one; those `before` it hold, so that what they are divided by is no 0."""
        term = emit_expression(TorchTerms(self.plan.spec, {}, before)(requirement.term))
        reason = requirement.reason
        self.writer.comment(f"{reason.text} ({reason.span.cited})" if reason.span else reason.text)
        self._refuse(
            f"not _holds({term} >= 1)", f"`{print_ir(requirement.term)}` needs 1 or more, got {{{term}}}"
        )

    def _text(self, term: Int, beside: str = "") -> str:
        """A size as Python."""
        return emit_operand(self.terms(term), beside) if beside else emit_expression(self.terms(term))

    def _refuse(self, condition: str, message: str) -> None:
        """`if condition: raise`; the message is the inside of an f-string."""
        with self.writer.block(f"if {condition}:"):
            lines = [f'{"f" if "{" in line else ""}"{line}"' for line in _split(message)]
            if len(lines) == 1 and self.writer.fits(f"raise ValueError({lines[0]})"):
                self.writer.line(f"raise ValueError({lines[0]})")
                return
            with self.writer.block("raise ValueError("):
                for line in lines:
                    self.writer.line(line)
            self.writer.line(")")


def _split(message: str) -> list[str]:
    """A message as lines of at most 80 columns, where its words allow it."""
    lines = [""]
    for word in re.findall(r"(?:\{[^}]*\}|[^ {])+ ?", message):
        if lines[-1] and len(lines[-1] + word) > 80:
            lines.append("")
        lines[-1] += word
    return lines


def _listed(sizes: Iterable[Int]) -> str:
    return f"[{', '.join(map(print_ir, sizes))}]"


def _gap(writer: Writer) -> None:
    writer.line()
    writer.line()
