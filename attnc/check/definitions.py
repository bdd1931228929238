"""Macros and constants, where they are defined.

Enters: the items of a file. Leaves: entries in its scope. The body of a macro has no sorts until it is used, but its
names and the arguments of its calls are looked at here, once, and so is recursion.
"""

from __future__ import annotations

from collections.abc import Iterator

from attnc.check import vocabulary
from attnc.check.calls import bind_arguments, function_signature, macro_signature, report_missing
from attnc.check.expressions import Elaborator
from attnc.check.lookup import report_unknown
from attnc.check.names import Entry, Scope
from attnc.check.values import BROKEN, Value
from attnc.check.vocabulary import PLACES
from attnc.ir import nodes as ir
from attnc.syntax import tree


def define_items(file: tree.File, scope: Scope, elaborator: Elaborator) -> None:
    """Add the macros and constants of a file to its scope, which holds its imports already."""
    report = elaborator.report
    macros = [item for item in file.items if isinstance(item, tree.Macro)]
    constants = [item for item in file.items if isinstance(item, tree.Const)]
    defined: list[tree.Macro] = []
    for macro in macros:
        if scope.declare(macro.name.id, Entry("macro", macro.name.span, macro=macro, home=scope), report):
            defined.append(macro)
    for item in file.items:
        if isinstance(item, tree.Attention):
            scope.declare(item.name.id, Entry("attention", item.name.span), report)
    scope.later.update((c.name.id, elaborator.span(c.name)) for c in constants)
    find_recursion(defined, scope, elaborator)
    for constant in constants:
        value = fold(constant.value, scope, elaborator)
        scope.later.pop(constant.name.id, None)
        scope.declare(constant.name.id, Entry("const", constant.name.span, value), report)
    passed = {p.name.id for item in file.items if isinstance(item, tree.Attention) for p in item.params}
    for macro in defined:
        check_macro(macro, scope, elaborator, passed)


def fold(e: tree.Expr, scope: Scope, elaborator: Elaborator) -> Value:
    """The value of a constant: a number or a truth, and nothing that is known at the call only."""
    value = elaborator.value(e, scope, PLACES["const"])
    match value:
        case ir.IntConst() | ir.RealConst() | ir.Truth():
            return value
        case ir.Node():
            span = elaborator.span(e)
            elaborator.report.error("not-constant", "this has no finite value", span)
            return BROKEN
        case _:
            return value if value is BROKEN else BROKEN


# ---- macros ----------------------------------------------------------------------------------------


def check_macro(macro: tree.Macro, scope: Scope, elaborator: Elaborator, passed: set[str]) -> None:
    """Look at the names of a macro; `passed` are parameters which it cannot see."""
    report = elaborator.report
    inner = Scope(scope)
    for param in macro.params or ():
        inner.declare(param.name.id, Entry("argument", param.name.span, BROKEN), report)
    for param in macro.params or ():
        if param.default is not None:
            _check_names(param.default, scope, elaborator, passed)
    _check_names(macro.body, inner, elaborator, passed)


def _check_names(e: tree.Expr, scope: Scope, elaborator: Elaborator, passed: set[str]) -> None:
    report, todo = elaborator.report, [e]
    while todo:
        here = todo.pop()
        span = elaborator.span(here)
        match here:
            case tree.Name(name):
                entry = _find(here, scope, elaborator, passed, is_call=False)
                if name in vocabulary.SIGNATURES and name != "count" and entry is None:
                    report_missing(function_signature(name), span, report)
                elif entry is not None and entry.macro is not None:
                    signature = macro_signature(entry.macro)
                    if signature.required:
                        report_missing(signature, span, report)
            case tree.Call(fn):
                entry = _find(fn, scope, elaborator, passed, is_call=True)
                if fn.id in vocabulary.SIGNATURES and entry is None:
                    bind_arguments(function_signature(fn.id), here, span, report)
                elif entry is not None and entry.macro is not None:
                    bind_arguments(macro_signature(entry.macro), here, span, report)
            case tree.Index(base) | tree.Axis(base):
                _find(base, scope, elaborator, passed, is_call=False)
        todo += reversed(parts(here))


def _find(
    e: tree.Name, scope: Scope, elaborator: Elaborator, passed: set[str], *, is_call: bool
) -> Entry | None:
    name, report, span = e.id, elaborator.report, elaborator.span(e)
    if name in vocabulary.BUILT_IN:
        return scope.find(name)
    if (entry := scope.find(name) or elaborator.normalizations.get(name)) is not None:
        return entry
    if name in passed and scope.find_later(name) is None:
        report.error(
            "unknown-name",
            f"`{name}` is a parameter of an attention, and a macro cannot see it",
            span,
            helps=[f"add `{name}` to the arguments of the macro"],
        )
    else:
        report_unknown(
            name, span, report, scope=scope, place=None, later=scope.find_later(name), is_call=is_call
        )
    return None


def parts(e: tree.Expr) -> list[tree.Expr]:
    """The expressions right below an expression; a name that is called or indexed is none of them."""
    match e:
        case tree.Unary(_, a):
            return [a]
        case tree.Binary(_, a, b):
            return [a, b]
        case tree.Compare(_, operands):
            return list(operands)
        case tree.In(item, table):
            return [item, table]
        case tree.Logic(_, items):
            return list(items)
        case tree.IfElse(then, cond, other):
            return [then, cond, other]
        case tree.Call(_, args, kwargs):
            return [*args, *(value for _, value in kwargs)]
        case tree.Index(_, items):
            return list(items)
        case tree.Slice(first, end):
            return [first, end]
        case _:
            return []


# ---- recursion -------------------------------------------------------------------------------------


def find_recursion(macros: list[tree.Macro], scope: Scope, elaborator: Elaborator) -> None:
    """Report every macro that expands into itself, and keep it from being expanded."""
    calls = {m.name.id: [n for n in dict.fromkeys(names_in(m)) if n in scope.entries] for m in macros}
    by_name = {m.name.id: m for m in macros}
    told: set[str] = set()
    for name, macro in by_name.items():
        cycle = _find_cycle(name, calls)
        if cycle is None:
            continue
        elaborator.recursive.add(id(macro))
        if told.isdisjoint(cycle):
            elaborator.report.error(
                "macro-recursion",
                f"the macro `{name}` uses itself: {' -> '.join(f'`{n}`' for n in cycle)}",
                elaborator.span(macro.name),
                helps=["a macro is expanded before anything is known, so it cannot end"],
            )
        told.update(cycle)


def _find_cycle(start: str, calls: dict[str, list[str]]) -> list[str] | None:
    """A shortest way from a macro back to itself."""
    came_from: dict[str, str] = {}
    todo = [start]
    for name in todo:
        for called in calls.get(name, ()):
            if called == start:
                way = [name]
                while way[-1] != start:
                    way.append(came_from[way[-1]])
                return [*reversed(way), start]
            if called not in came_from:
                came_from[called] = name
                todo.append(called)
    return None


def uses_score(entry: Entry) -> bool:
    """Does the body of a macro, or of one it uses, name `s`?"""
    todo, seen = [entry], set[int]()
    for here in todo:
        if here.macro is None or here.home is None or id(here.macro) in seen:
            continue
        seen.add(id(here.macro))
        for name in names_in(here.macro):
            if name == "s":
                return True
            if (found := here.home.find(name)) is not None:
                todo.append(found)
    return False


def names_in(macro: tree.Macro) -> Iterator[str]:
    """The names in a macro that are not its own arguments."""
    own = {p.name.id for p in macro.params or ()}
    todo = [macro.body, *(p.default for p in macro.params or () if p.default is not None)]
    while todo:
        here = todo.pop()
        match here:
            case tree.Name(name) if name not in own:
                yield name
            case tree.Call(fn) if fn.id not in own:
                yield fn.id
        todo += reversed(parts(here))
