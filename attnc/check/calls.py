"""The arguments of a call in a spec, each given to its parameter.

Enters: a call, and what it calls: a function of the language or a macro. Leaves: the expression for each parameter, or
None and a diagnostic.
"""

from __future__ import annotations

from dataclasses import dataclass

from attnc.check.names import did_you_mean
from attnc.check.report import Report
from attnc.check.sorts import count
from attnc.check.vocabulary import REDUCTIONS, SIGNATURES
from attnc.errors import Label
from attnc.source import Span
from attnc.syntax import tree

LONGEST = 60  # a body that is quoted


@dataclass(frozen=True, slots=True)
class Signature:
    """The signature of a function or macro: its parameters, which have a default, where, and what a macro stands for.

    `names` is None where any number of arguments above zero is fine.
    """

    title: str
    names: tuple[str, ...] | None
    defaults: frozenset[str] = frozenset()
    declared: Span | None = None
    body: str = ""

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(n for n in self.names or () if n not in self.defaults)

    @property
    def text(self) -> str:
        """How a call of it reads: `near(p, r, w)`, and `causal` where there is nothing to give."""
        if self.names == () and self.body:
            return self.title
        return f"{self.title}({', '.join(self.names) if self.names is not None else 'a, b, ...'})"


def function_signature(name: str) -> Signature:
    """The signature of a function of the language."""
    return Signature(name, SIGNATURES[name])


def macro_signature(macro: tree.Macro) -> Signature:
    """The signature of a macro."""
    params = macro.params or ()
    return Signature(
        macro.name.id,
        tuple(p.name.id for p in params),
        frozenset(p.name.id for p in params if p.default is not None),
        macro.name.span,
        " ".join(macro.body.span.text.split()) if macro.body.span else macro.name.id,
    )


def bind_arguments(
    signature: Signature, call: tree.Call, span: Span, report: Report
) -> dict[str, tree.Expr] | None:
    """The argument of each parameter that got one, in the order of the parameters."""
    names = signature.names
    if names is None:
        return _bind_any(signature, call, span, report)
    if not names and (call.args or call.kwargs):
        _wrong_count(signature, call, span, report)
        return None
    bound: dict[str, tree.Expr] = dict(zip(names, call.args, strict=False))
    is_fine = len(call.args) <= len(names) or _wrong_count(signature, call, span, report)
    for name, value in call.kwargs:
        at = name.span or span
        if name.id not in names:
            report.error(
                "unknown-argument",
                f"`{signature.title}` has no argument `{name.id}`",
                at,
                related=_declared(signature),
                helps=did_you_mean(name.id, names, report) or (f"it is called as `{signature.text}`",),
            )
            is_fine = False
        elif name.id in bound:
            report.error("duplicate-argument", f"the argument `{name.id}` is given twice", at)
            is_fine = False
        else:
            bound[name.id] = value
    missing = [name for name in signature.required if name not in bound]
    if is_fine and missing:
        is_fine = _missing(signature, missing, span, report)
    return {name: bound[name] for name in names if name in bound} if is_fine else None


def report_missing(signature: Signature, span: Span, report: Report) -> None:
    """Say that a bare name needs its arguments."""
    names = signature.required if signature.names is not None else ("a", "b")
    _missing(signature, list(names), span, report)


def _bind_any(
    signature: Signature, call: tree.Call, span: Span, report: Report
) -> dict[str, tree.Expr] | None:
    if call.kwargs:
        name = call.kwargs[0][0]
        report.error(
            "unknown-argument", f"the arguments of `{signature.title}` have no names", name.span or span
        )
        return None
    if not call.args:
        report_missing(signature, span, report)
        return None
    return {str(at): arg for at, arg in enumerate(call.args)}


def _missing(signature: Signature, missing: list[str], span: Span, report: Report) -> bool:
    listed = " and ".join(f"`{name}`" for name in missing)
    report.error(
        "missing-argument",
        f"`{signature.title}` needs its {'argument' if len(missing) == 1 else 'arguments'} {listed}",
        span,
        related=_declared(signature),
        helps=[f"call it as `{signature.text}`"],
    )
    return False


def _wrong_count(signature: Signature, call: tree.Call, span: Span, report: Report) -> bool:
    most = len(signature.names or ())
    takes = count(most, "argument", "arguments") if most else "no arguments"
    notes: list[str] = []
    helps = [f"call it as `{signature.text}`"]
    if signature.title in REDUCTIONS:
        helps = [f"`{signature.title}` reduces one expression over the keys of the row"]
    elif signature.names == () and signature.body:
        notes = [f"it stands for `{signature.body}`"] if len(signature.body) <= LONGEST else []
        helps = [f"write `{signature.title}` alone"]
        if notes and not all(isinstance(arg, tree.Name) for arg in call.args):
            helps = [f"write `{signature.title}` alone, or what it stands for with another term in it"]
    report.error(
        "argument-count",
        f"`{signature.title}` takes {takes} and gets {len(call.args) + len(call.kwargs)}",
        span,
        related=[] if notes else _declared(signature),
        notes=notes,
        helps=helps,
    )
    return False


def _declared(signature: Signature) -> list[Label]:
    return [Label(signature.declared, "defined here")] if signature.declared else []
