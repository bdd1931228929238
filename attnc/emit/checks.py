"""The checks of a call, in print.

Enters: a plan. Leaves: `_check`, which raises the first mistake of a call, and the helpers that it needs. It is the
table of `analyze/checks.py`, which the interpreter evaluates, and what the ranges of the plan rest on. What cannot go
wrong with this spec is not checked, and what only the data of a tensor say is left to the operator, which has them
wherever it runs.
"""

from __future__ import annotations

import re

from attnc.analyze.call_check import ZERO, CallCheck, requirement_check
from attnc.analyze.checks import find_checks
from attnc.emit.expression import emit_expression, emit_operand
from attnc.emit.support import functions_of, select, whole
from attnc.emit.writer import Writer
from attnc.ir.nodes import Int, Node, Param, Size
from attnc.ir.text import print_sizes
from attnc.ir.walk import walk
from attnc.lower.names import SIZES
from attnc.lower.plan import Plan
from attnc.lower.torch_terms import TorchTerms

DTYPES = {"float": "FLOATS", "int": "INTS", "bool": "BOOLS"}
# Where a call has its sizes.
PLACES = {
    "B": "q.shape[0]", "H": "q.shape[1]", "HKV": "k.shape[1]", "N": "q.shape[2]", "M": "k.shape[2]",
    "D": "q.shape[3]", "DV": "v.shape[3]",
}  # fmt: skip
BROKEN = {"==": "!=", "!=": "==", ">=": "<"}
# A program that torch exports may read the number of a tensor: it asserts what torch cannot know.
ASSERTED = ("division-by-zero", "wrong-value")


def emit_checks(plan: Plan) -> str:
    """The text of what follows."""
    writer = Writer()
    write_checks(writer, plan)
    return writer.text.rstrip("\n")


def write_checks(writer: Writer, plan: Plan) -> None:
    """The helpers and `_check`, which returns the scale and the parameters, scalars as numbers of Python."""
    params = plan.spec.params
    terms = TorchTerms(plan.spec, {})
    checks = [check for check in find_checks(plan.spec) if not _is_proved(check, terms)]
    required = [requirement_check(each) for each in plan.last.requires]
    conditions = [check for check in (*checks, *required) if isinstance(check, CallCheck)]
    dtypes = {"FLOATS", *(DTYPES[p.sort] for p in params if p.sizes)}
    for line in whole("of_call").splitlines():
        if line.partition(" = ")[0] in dtypes:
            writer.line(line)
    holds = ["_holds"] if any(check.code in ASSERTED for check in conditions) else []
    _gap(writer)
    for text in select(functions_of("checks"), ["_check_inputs", "_number", *holds]).values():
        writer.lines(text)
        _gap(writer)
    names = ["scale", *(plan.spec.variable(p.name) for p in params)]
    writer.items("def _check(", ["q", "k", "v", *names], "):")
    with writer.indent():
        writer.line('"""Raise the first mistake of a call; return its parameters, numbers as Python\'s."""')
        writer.line("_check_inputs(q, k, v)")
        writer.line('scale = q.shape[3] ** -0.5 if scale is None else _number("scale", float, scale)')
        for param in params:
            if not param.sizes:
                name = plan.spec.variable(param.name)
                writer.items(f"{name} = _number(", [f'"{param.name}"', param.sort, name], ")")
        said = [part for check in conditions for part in (check.a, check.b, *check.words)]
        spoken = [
            *(size for p in params for size in p.sizes),
            *(part for part in said if isinstance(part, Node)),
        ]
        named = {part.name for term in spoken for part in walk(term) if isinstance(part, Size)}
        if named:
            used = [name for name in SIZES if name in named]
            writer.line(f"{', '.join(used)} = {', '.join(PLACES[name] for name in used)}")
        for check in checks:
            if isinstance(check, CallCheck):
                _write_condition(writer, check, terms)
            elif check.sizes:
                _write_array(writer, check, terms)
        for n, check in enumerate(required):
            # Those before it hold, so that what they are divided by is no 0.
            before = TorchTerms(plan.spec, {}, plan.last.requires[:n])
            for note in check.notes:
                writer.comment(f"{note} ({check.span.cited})" if check.span else note)
            _write_condition(writer, check, before)
        writer.items("return ", names, "")
    _gap(writer)


def _is_proved(check: Param | CallCheck, terms: TorchTerms) -> bool:
    """Can it not go wrong?"""
    match check:
        case CallCheck(_, Int() as a, ">=", b) if b == ZERO:
            return terms.proofs.is_nonnegative(a)
    return False


def _write_array(writer: Writer, param: Param, terms: TorchTerms) -> None:
    sizes = ", ".join(emit_expression(terms(size)) for size in param.sizes) + "," * (len(param.sizes) == 1)
    name, axes = f'"{param.name}"', f'"{print_sizes(param.sizes)}"'
    items = [name, terms.attention.variable(param.name), axes, f"({sizes})", DTYPES[param.sort], "q"]
    writer.items("_check_tensor(", items, ")")


def _write_condition(writer: Writer, check: CallCheck, terms: TorchTerms) -> None:
    """`if a != b: raise`; the message is the inside of an f-string."""
    a, b = (emit_operand(terms(term), check.op) for term in (check.a, check.b))
    is_asserted = check.code in ASSERTED
    condition = f"not _holds({a} {check.op} {b})" if is_asserted else f"{a} {BROKEN[check.op]} {b}"
    words = (part if isinstance(part, str) else f"{{{emit_expression(terms(part))}}}" for part in check.words)
    with writer.block(f"if {condition}:"):
        lines = [f'{"f" if "{" in line else ""}"{line}"' for line in _split("".join(words))]
        if len(lines) == 1 and writer.fits(f"raise ValueError({lines[0]})"):
            writer.line(f"raise ValueError({lines[0]})")
            return
        with writer.block("raise ValueError("):
            for line in lines:
                writer.line(line)
        writer.line(")")


def _split(message: str) -> list[str]:
    """A message as lines of at most 80 columns, where its words allow it."""
    lines = [""]
    for word in re.findall(r"(?:\{[^}]*\}|[^ {])+ ?", message):
        if lines[-1] and len(lines[-1] + word) > 80:
            lines.append("")
        lines[-1] += word
    return lines


def _gap(writer: Writer) -> None:
    writer.line()
    writer.line()
