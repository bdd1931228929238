"""Expressions to terms.

Enters: an expression of the tree, the names around it and the place it stands in. Leaves: its value, in which macros
are expanded, constants put in and every sort is right; or `BROKEN`, once a diagnostic is on its way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from attnc.check import arrays, sorts, vocabulary
from attnc.check.calls import (
    Signature,
    bind_arguments,
    function_signature,
    macro_signature,
    report_missing,
)
from attnc.check.functions import apply_function
from attnc.check.lookup import report_unknown
from attnc.check.meaning import built_in, coordinate, stored
from attnc.check.names import KIND_TITLES, Entry, Scope
from attnc.check.report import Report
from attnc.check.terms import Measures, cite
from attnc.check.values import BROKEN, Array, Broken, Operand, Slice, Value, quote
from attnc.check.vocabulary import Place
from attnc.errors import CompilerBug
from attnc.ir import build
from attnc.ir import nodes as ir
from attnc.ir.arithmetic import Comparison
from attnc.source import Span
from attnc.syntax import tree

MOST_EXPANSIONS = 5_000
MOST_NESTED = 100
LARGEST = 2**63 - 1


@dataclass
class Elaborator:
    """The elaborator of the expressions of one file: it turns them into terms.

    `normalizations` are the named normalizations, which need no import; `axes` are the grid axes of `i` and of `j`.
    """

    report: Report
    normalizations: Mapping[str, Entry]
    axes: dict[str, dict[str, ir.Int]] = field(default_factory=dict)
    recursive: set[int] = field(default_factory=set)
    _measures: Measures = field(default_factory=Measures)
    _expansions: int = 0
    _level: int = 0
    _is_told: bool = False

    def value(self, e: tree.Expr, scope: Scope, place: Place) -> Value:
        """The value of an expression."""
        if self._level >= MOST_NESTED:
            self._too_large(self.span(e), "is nested too deeply")
            return BROKEN
        self._level += 1
        try:
            found = self._value(e, scope, place)
        finally:
            self._level -= 1
        if isinstance(found, ir.Node) and self._measures.is_too_large(found):
            self._too_large(self.span(e), "stands for a term that is too large")
            return BROKEN
        if isinstance(found, ir.IntConst) and abs(found.value) > LARGEST:
            self.report.error(
                "number-too-large", f"{quote(self.span(e))} does not fit into 64 bits", self.span(e)
            )
            return BROKEN
        return found

    def operand(self, e: tree.Expr, scope: Scope, place: Place) -> Operand:
        """The value of an expression, and where it was written."""
        return Operand(self.value(e, scope, place), self.span(e))

    def span(self, e: tree.Node) -> Span:
        return e.span or Span(self.report.source, 0, 0)

    def _value(self, e: tree.Expr, scope: Scope, place: Place) -> Value:
        span = self.span(e)
        match e:
            case tree.Number(value):
                return self._number(value, span)
            case tree.Truth(value):
                return ir.Truth(value, span=span)
            case tree.Name():
                return self._name(e, scope, place)
            case tree.Unary("-", a):
                return sorts.negative(self.operand(a, scope, place), span, self.report)
            case tree.Unary("not", a):
                negated = sorts.as_bool(self.operand(a, scope, place), "what follows `not`", self.report)
                return BROKEN if negated is None else build.negate(negated, span=span)
            case tree.Binary(op, a, b):
                left, right = self.operand(a, scope, place), self.operand(b, scope, place)
                return sorts.arithmetic(op, left, right, span, self.report)
            case tree.Compare(ops, operands, links):
                spans = links or (span,) * len(ops)
                return self._compare(ops, [self.operand(x, scope, place) for x in operands], spans, span)
            case tree.Logic(op, items):
                return self._logic(op, [self.operand(x, scope, place) for x in items], span)
            case tree.IfElse(then, cond, other):
                test, yes, no = (self.operand(x, scope, place) for x in (cond, then, other))
                return sorts.choose(test, yes, no, span, self.report)
            case tree.Call():
                return self._call(e, scope, place)
            case tree.Index(base, items):
                array = self._array(base, scope, place)
                parts = self._items(items, scope, place)
                return BROKEN if array is None else arrays.load(array, parts, span, self.report)
            case tree.In():
                return self._member(e, scope, place)
            case tree.Axis(base, axis):
                position = self.value(base, scope, place)
                return coordinate(position, base, axis, self.axes, span, self.report)
            case _:
                raise CompilerBug(f"unknown expression {e!r}")

    # ---- literals and operators --------------------------------------------------------------------

    def _number(self, value: int | float, span: Span) -> Value:
        if isinstance(value, int):
            return ir.IntConst(value, span=span)
        if value == float("inf"):
            self.report.error("number-too-large", f"{quote(span)} is larger than any double", span)
            return BROKEN
        return ir.RealConst(value, span=span)

    def _compare(
        self, ops: tuple[Comparison, ...], operands: list[Operand], spans: tuple[Span, ...], span: Span
    ) -> Value:
        links: list[ir.Bool] = []
        is_fine = True
        for op, a, b, link_span in zip(ops, operands[:-1], operands[1:], spans, strict=True):
            link = sorts.compare(op, a, b, link_span, self.report)
            if isinstance(link, ir.Bool):
                links.append(link)
            else:
                is_fine = False
        return build.conj(*links, span=span) if is_fine else BROKEN

    def _logic(self, op: Literal["and", "or"], operands: list[Operand], span: Span) -> Value:
        items = [sorts.as_bool(a, f"each side of `{op}`", self.report) for a in operands]
        found = [item for item in items if item is not None]
        if len(found) < len(items):
            return BROKEN
        return build.conj(*found, span=span) if op == "and" else build.disj(*found, span=span)

    # ---- names -------------------------------------------------------------------------------------

    def _name(self, e: tree.Name, scope: Scope, place: Place) -> Value:
        name, span = e.id, self.span(e)
        if _is_refused(name, scope):
            return BROKEN
        if name in vocabulary.NAMES:
            return built_in(name, place, span, self.report)
        if name in vocabulary.SIGNATURES:
            if scope.find(name):
                return BROKEN
            if name == "count":
                return apply_function(name, [], span, place, self.report)
            report_missing(function_signature(name), span, self.report)
            return BROKEN
        entry = self._find(name, scope, place, span, is_call=False)
        if entry is None:
            return BROKEN
        if entry.macro is not None:
            signature = macro_signature(entry.macro)
            if signature.required:
                report_missing(signature, span, self.report)
                return BROKEN
            return self.expand(entry, {}, span, place)
        return stored(name, entry, place, span, self.report)

    def _find(self, name: str, scope: Scope, place: Place, span: Span, is_call: bool) -> Entry | None:
        if (entry := scope.find(name)) is not None:
            return entry
        if (later := scope.find_later(name)) is not None:
            report_unknown(name, span, self.report, scope=scope, place=place, later=later, is_call=is_call)
            return None
        if (entry := self.normalizations.get(name)) is not None:
            if place.word == "normalize":
                return entry
            self.report.error(
                "name-not-here",
                f"`{name}` is a normalization and has no meaning in {place.title}",
                span,
                helps=[f"move it to its own clause, as in `normalize {name}`"],
            )
            return None
        # Names in the bodies of macros are looked at once, where the macro is defined.
        if not self.report.frames:
            report_unknown(name, span, self.report, scope=scope, place=place, later=None, is_call=is_call)
            scope.leave_broken(name, span)
        return None

    # ---- arrays ------------------------------------------------------------------------------------

    def _array(self, base: tree.Name, scope: Scope, place: Place) -> Array | None:
        span = self.span(base)
        if _is_refused(base.id, scope):
            return None
        if base.id in vocabulary.BUILT_IN:
            if scope.find(base.id):
                return None
            return arrays.find_array(base.id, ir.IntConst(0), span, self.report)
        entry = self._find(base.id, scope, place, span, is_call=False)
        if entry is None:
            return None
        if entry.macro is not None or entry.value is None:
            return arrays.find_array(base.id, ir.IntConst(0), span, self.report)
        value = stored(base.id, entry, place, span, self.report)
        return arrays.find_array(base.id, value, span, self.report)

    def _items(
        self, items: tuple[tree.Expr, ...], scope: Scope, place: Place
    ) -> list[Operand | arrays.Whole | arrays.Between]:
        return [self._item(item, scope, place) for item in items]

    def _item(self, item: tree.Expr, scope: Scope, place: Place) -> Operand | arrays.Whole | arrays.Between:
        match item:
            case tree.All():
                return arrays.Whole(self.span(item))
            case tree.Slice(first, end):
                ends = self.operand(first, scope, place), self.operand(end, scope, place)
                return arrays.Between(*ends, self.span(item))
        return self.operand(item, scope, place)

    def _member(self, e: tree.In, scope: Scope, place: Place) -> Value:
        item, table, span = self.operand(e.item, scope, place), self.span(e.table), self.span(e)
        if not isinstance(e.table, tree.Index):
            self.report.error(
                "not-a-table",
                "`in` looks into a row of an int array",
                table,
                helps=["write the row with a `:`, as in `x in table[b, h, :]`"],
            )
            return BROKEN
        array = self._array(e.table.base, scope, place)
        parts = self._items(e.table.items, scope, place)
        if array is None:
            return BROKEN
        found = arrays.member(item, array, parts, span, table, self.report)
        return build.negate(found, span=span) if e.negated and isinstance(found, ir.Bool) else found

    # ---- calls -------------------------------------------------------------------------------------

    def _call(self, e: tree.Call, scope: Scope, place: Place) -> Value:
        name, span, at = e.fn.id, self.span(e), self.span(e.fn)
        entry: Entry | None = None
        signature: Signature | None = None
        if name in vocabulary.SIGNATURES and not _is_refused(name, scope):
            signature = function_signature(name)
        elif name in vocabulary.NAMES and not _is_refused(name, scope):
            self._not_a_function(name, "a built-in name", at, hides=False)
        elif (entry := self._find(name, scope, place, at, is_call=True)) is not None:
            if entry.macro is not None:
                signature = macro_signature(entry.macro)
            elif entry.value is not BROKEN:
                self._not_a_function(name, KIND_TITLES[entry.kind], at, hides=name in self.normalizations)
        if signature is None:
            # Mistakes in the arguments are mistakes all the same.
            for arg in (*e.args, *(value for _, value in e.kwargs)):
                self.value(arg, scope, place)
            return BROKEN
        bound = bind_arguments(signature, e, span, self.report)
        values = {n: self.operand(a, scope, place) for n, a in (bound or {}).items()}
        if bound is None:
            return BROKEN
        if entry is not None:
            return self.expand(entry, values, span, place)
        return apply_function(name, list(values.values()), span, place, self.report)

    def _not_a_function(self, name: str, what: str, span: Span, *, hides: bool) -> None:
        self.report.error(
            "not-a-function",
            f"`{name}` is {what}, and cannot be called",
            span,
            helps=[f"it hides the normalization `{name}`: give it another name"] if hides else (),
        )

    def expand(self, entry: Entry, args: dict[str, Operand], call: Span, place: Place) -> Value:
        macro = entry.macro
        if macro is None or entry.home is None:
            raise CompilerBug(f"not a macro: {entry!r}")
        if id(macro) in self.recursive:
            return BROKEN
        self._expansions += 1
        if self._expansions > MOST_EXPANSIONS:
            self._too_large(call, f"takes more than {MOST_EXPANSIONS} expansions of macros")
            return BROKEN
        inner = Scope(entry.home)
        with self.report.inside(macro.name.id, call):
            for param in macro.params or ():
                if param.name.id in args:
                    value: Value = args[param.name.id].value
                elif param.default is not None:
                    value = self.value(param.default, entry.home, place)
                else:
                    value = BROKEN
                inner.entries[param.name.id] = Entry("argument", param.name.span, value)
            found = self.value(macro.body, inner, place)
        is_mine = call.source.name == self.report.source.name
        if isinstance(found, Array | Slice | Broken) or not is_mine:
            return found
        return cite(found, call)

    def _too_large(self, span: Span, why: str) -> None:
        if not self._is_told:
            self._is_told = True
            self.report.error("too-large", f"{quote(span)} {why}", span, helps=["write it in smaller steps"])


def _is_refused(name: str, scope: Scope) -> bool:
    """Was a built-in name given to something? It was refused there, and nobody is told twice."""
    return name in vocabulary.BUILT_IN and scope.find(name) is not None
