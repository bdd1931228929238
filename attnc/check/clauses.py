"""The check of one attention and its clauses.

Enters: its tree, and the scope of its file. Leaves: the attention of the IR, with `let`s put in and a term for every
clause that was left out.
"""

from __future__ import annotations

from typing import cast

from attnc.check import vocabulary
from attnc.check.calls import function_signature, macro_signature
from attnc.check.definitions import uses_score
from attnc.check.expressions import Elaborator
from attnc.check.grid import check_grid, declare_extents
from attnc.check.hidden import warn_of_hidden
from attnc.check.imports import standard_entry
from attnc.check.names import Entry, Scope
from attnc.check.normalization import warn_of_formula
from attnc.check.parameters import check_parameters, declare_parameters
from attnc.check.sorts import array_without_index, as_bool, as_real, as_vec, wrong_sort
from attnc.check.terms import find_needs
from attnc.check.values import BROKEN, Array, Operand, Slice, Term, Value, quote
from attnc.check.vocabulary import PLACES, ClauseWord
from attnc.check.widths import WidthCheck
from attnc.errors import CompilerBug, Label
from attnc.ir import build
from attnc.ir import nodes as ir
from attnc.ir.compose import with_clauses
from attnc.source import Span
from attnc.syntax import tree


def check_attention(
    attention: tree.Attention, file_scope: Scope, elaborator: Elaborator
) -> ir.Attention | None:
    """The attention; None where it has mistakes, which are in the report."""
    report = elaborator.report
    scope = Scope(file_scope)
    kept = declare_parameters(attention.params, scope, elaborator)
    grids = [c for c in attention.clauses if isinstance(c, tree.Grid)]
    _check_words(attention, elaborator)
    extents = declare_extents(grids[0], scope, elaborator) if grids else ()
    params = (*check_parameters(kept, scope, elaborator), *extents)
    elaborator.axes.clear()
    grid = check_grid(grids[0], scope, elaborator) if grids else ()
    lets, clauses = _check_clauses(attention, scope, elaborator)
    _warn_unused(kept, attention, scope, elaborator)
    _check_vectors(clauses, attention, params, elaborator)
    if report.has_errors:
        return None
    lines = len(grids) + len(lets) + len(clauses)
    if len(kept) < len(attention.params) or lines < len(attention.clauses):
        raise CompilerBug(f"`{attention.name.id}` was refused without a word")
    span = elaborator.span(attention.name)
    found: dict[str, Term] = {**default_clauses(span, elaborator), **clauses}
    if found["mask"] == ir.Truth(False):
        masks = [c for c in attention.clauses if isinstance(c, tree.Clause) and c.word == "mask"]
        at = elaborator.span(masks[0].value)
        report.warning("mask-always-false", "this mask is false for every key, so the result is 0", at)
    formula, score = cast("ir.Real", found["normalize"]), cast("ir.Real", found["score"])
    for clause in attention.clauses:
        if isinstance(clause, tree.Clause) and clause.word == "normalize":
            of_inputs = with_clauses(score, cast("ir.Vec", found["query"]), cast("ir.Vec", found["key"]))
            warn_of_formula(formula, of_inputs, elaborator.span(clause.value), report)
        elif isinstance(clause, tree.Clause) and clause.word == "score":
            warn_of_hidden(score, elaborator.span(clause.value), report)
    return ir.Attention(
        attention.name.id,
        params,
        query=cast("ir.Vec", found["query"]),
        key=cast("ir.Vec", found["key"]),
        value=cast("ir.Vec", found["value"]),
        mask=cast("ir.Bool", found["mask"]),
        score=cast("ir.Real", found["score"]),
        normalize=cast("ir.Real", found["normalize"]),
        output=cast("ir.Vec", found["output"]),
        grid=grid,
        lets=tuple(lets),
        doc=attention.doc,
        span=span,
    )


def default_clauses(span: Span, elaborator: Elaborator) -> dict[str, Term]:
    """What each clause is where it is not written."""
    softmax = standard_entry("softmax")
    return {
        "query": ir.VecInput("q"),
        "key": ir.VecInput("k"),
        "value": ir.VecInput("v"),
        "mask": ir.Truth(True),
        "score": build.real("*", ir.Dot(ir.VecInput("q"), ir.VecInput("k")), ir.Scale()),
        "normalize": cast("Term", elaborator.expand(softmax, {}, span, PLACES["normalize"])),
        "output": ir.VecInput("o"),
    }


# ---- the lines -------------------------------------------------------------------------------------


def _check_words(attention: tree.Attention, elaborator: Elaborator) -> None:
    """Every clause at most once."""
    first: dict[str, Span] = {}
    for clause in attention.clauses:
        match clause:
            case tree.Grid():
                word, span = "grid", elaborator.span(clause)
            case tree.Clause():
                word, span = clause.word, clause.word_span or elaborator.span(clause)
            case tree.Let():
                continue
            case _:
                raise CompilerBug(f"unknown clause {clause!r}")
        if word in first:
            helps = ["join both with `and`"] if word == "mask" else []
            elaborator.report.error(
                "duplicate-clause",
                f"`{word}` is given twice",
                span,
                related=[Label(first[word], "first given here")],
                helps=helps,
            )
        first.setdefault(word, span)


def _check_clauses(
    attention: tree.Attention, scope: Scope, elaborator: Elaborator
) -> tuple[list[tuple[str, ir.Node]], dict[str, Term]]:
    lets: list[tuple[str, ir.Node]] = []
    clauses: dict[str, Term] = {}
    written = [c for c in attention.clauses if isinstance(c, tree.Let)]
    scope.later.update((c.name.id, elaborator.span(c.name)) for c in reversed(written))
    for clause in attention.clauses:
        match clause:
            case tree.Let(name, e):
                value = _check_let(e, scope, elaborator)
                scope.later.pop(name.id, None)
                if scope.declare(name.id, Entry("let", name.span, value), elaborator.report) and isinstance(
                    value, ir.Node
                ):
                    lets.append((name.id, value))
            case tree.Clause(word, e):
                term = _check_clause(word, e, scope, elaborator)
                if term is not None:
                    clauses.setdefault(word, term)
    return lets, clauses


def _check_let(e: tree.Expr, scope: Scope, elaborator: Elaborator) -> Value:
    value = elaborator.value(e, scope, PLACES["let"])
    if isinstance(value, Array):
        array_without_index(value.param, elaborator.span(e), elaborator.report)
        return BROKEN
    if isinstance(value, Slice):
        what, needed = "what a `let` names", "a number, a bool or a vector"
        wrong_sort(elaborator.span(e), value, what, needed, elaborator.report)
        return BROKEN
    return value


def _check_clause(word: ClauseWord, e: tree.Expr, scope: Scope, elaborator: Elaborator) -> Term | None:
    report, span = elaborator.report, elaborator.span(e)
    if word == "normalize":
        e = _applied_to_score(e, scope, elaborator)
    operand = Operand(elaborator.value(e, scope, PLACES[word]), span)
    match word:
        case "mask":
            return as_bool(operand, "`mask`", report)
        case "score":
            return as_real(operand, "`score`", report)
        case "normalize":
            weight = as_real(operand, "`normalize`", report)
            if weight is not None and "s" not in find_needs(weight):
                report.error(
                    "normalize-without-score",
                    f"{quote(span)} does not use the score `s`, so `q` and `k` have no say in the weights",
                    span,
                    helps=["write a formula in `s`, as in `exp(s) / sum(exp(s))`"],
                )
            return weight
        case "query" | "key" | "value" | "output":
            return as_vec(operand, f"`{word}`", report)
        case _:
            raise CompilerBug(f"unknown clause {word!r}")


def _applied_to_score(e: tree.Expr, scope: Scope, elaborator: Elaborator) -> tree.Expr:
    """`normalize sigmoid` is `normalize sigmoid(s)`. A macro that uses `s` itself wants another argument."""
    if not isinstance(e, tree.Name):
        return e
    score = tree.Name("s", span=e.span)
    if e.id in vocabulary.SIGNATURES:
        names = function_signature(e.id).names
        takes_one = names is None or len(names) == 1
        return tree.Call(e, (score,), span=e.span) if takes_one else e
    entry = scope.find(e.id) or elaborator.normalizations.get(e.id)
    if entry is None or entry.macro is None:
        return e
    signature = macro_signature(entry.macro)
    if len(signature.required) != 1 or uses_score(entry):
        return e
    return tree.Call(e, (), ((tree.Name(signature.required[0], span=e.span), score),), span=e.span)


# ---- afterwards ------------------------------------------------------------------------------------


def _warn_unused(
    kept: list[tree.Param], attention: tree.Attention, scope: Scope, elaborator: Elaborator
) -> None:
    if elaborator.report.has_errors:
        return
    for param in kept:
        if not scope.entries[param.name.id].is_used:
            elaborator.report.warning(
                "unused-parameter", f"`{param.name.id}` is never used", elaborator.span(param.name)
            )
    for clause in attention.clauses:
        if isinstance(clause, tree.Let) and not scope.entries[clause.name.id].is_used:
            elaborator.report.warning(
                "unused-let", f"`{clause.name.id}` is never used", elaborator.span(clause.name)
            )


def _check_vectors(
    clauses: dict[str, Term],
    attention: tree.Attention,
    params: tuple[ir.Param, ...],
    elaborator: Elaborator,
) -> None:
    widths = WidthCheck({p.name: p for p in params}, elaborator.report)
    spans = {c.word: elaborator.span(c.value) for c in attention.clauses if isinstance(c, tree.Clause)}
    for word, term in clauses.items():
        match word, term:
            case (("query" | "key"), ir.Vec()):
                widths.check_result(term, ir.Size("D"), word, spans[word])
            case (("value" | "output"), ir.Vec()):
                widths.check_result(term, ir.Size("DV"), word, spans[word])
            case _:
                widths.check(term)
