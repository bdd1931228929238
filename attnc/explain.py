"""What was found out about an attention, for a reader.

Enters: an attention and its facts. Leaves: text for people, or JSON for programs. In the text `[i0, i1]` is a tile of
queries and `[j0, j1]` a tile of keys, as in the reasons of the facts; in JSON their ends are `first(i)` and so on.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from attnc.algebra.fold import Fold
from attnc.analyze.bias_words import bias_json, say_bias
from attnc.analyze.biases import find_bias
from attnc.analyze.facts import Bias, Facts, Interval, Linear, NotLinear, Periods, Ranges, Reason, Weights
from attnc.analyze.grid_facts import Grid
from attnc.analyze.grid_words import NO_AXES, grid_json, say_grid
from attnc.analyze.linear_words import linear_json, say_linear, say_products
from attnc.errors import AttncError, Diagnostic
from attnc.ir.nodes import Attention
from attnc.ir.text import print_ir
from attnc.lower.chunked.sweep import LinearSweep
from attnc.lower.plan import Plan
from attnc.lower.tiled.sweep import TiledSweep
from attnc.run.cost import Setting, complete_setting, find_cost
from attnc.run.cost_words import cost_json, say_boxes, say_cost

USUAL = Setting({})
WIDTH, INDENT, GLUE = 110, 9, "\u00a0"
MINUS = f"{GLUE}- "
NUMBERS = [("one", "first"), ("two", "second"), ("three", "third"), ("many", "last")]


def explain(
    attention: Attention,
    facts: Facts,
    plan: Plan | Diagnostic,
    setting: Setting = USUAL,
    grid: Grid | None = None,
) -> str:
    """A paragraph for each fact: what it says, and below that its reasons. No plan: why there is none."""
    lines = [
        f"{attention.name}{f'  ({attention.span.place})' if attention.span else ''}",
        "",
        *_found(attention, facts),
        *_bias(attention, facts, plan),
        *_linear(facts, plan, attention),
        *_grid(grid, attention),
        *_plan(plan, attention),
        *_cost(attention, facts, plan, setting, grid),
    ]
    return "\n".join(lines)


def find_lines(attention: Attention, facts: Facts, plan: Plan | Diagnostic) -> list[str]:
    """What was found and is made use of: an emitted module says it in its header."""
    return [*_found(attention, facts), *_plan(plan, attention)]


def _found(attention: Attention, facts: Facts) -> list[str]:
    rows = "a query may see no key: its output is 0" if facts.rows.can_be_empty else "every query sees a key"
    return [
        *_ranges("keys", facts.keys, attention),
        *_ranges("queries", facts.queries, attention),
        *_paragraph("rows", rows, [_reason(reason, attention) for reason in facts.rows.because]),
        *_weights(facts.weights, attention),
    ]


def _bias(attention: Attention, facts: Facts, plan: Plan | Diagnostic) -> list[str]:
    bias = _bias_of(attention, facts)
    if bias is None:
        return []
    sentence, because = say_bias(bias, isinstance(plan, Plan))
    texts = [_reason(reason, attention) for reason in because]
    if sentence is None:
        sentence, *texts = f"not separable: {texts[0]}", *texts[1:]
    return _paragraph("bias", sentence, texts)


def _bias_of(attention: Attention, facts: Facts) -> Bias | None:
    """Of weights that are linear all is taken apart already."""
    if isinstance(facts.linear, Linear):
        return None
    return find_bias(attention, facts.implied, facts.weights)


def _linear(facts: Facts, plan: Plan | Diagnostic, attention: Attention) -> list[str]:
    if isinstance(facts.linear, NotLinear):
        return _paragraph("linear", f"no: {_reason(facts.linear.because[0], attention)}", [])
    schedule = None if isinstance(plan, Diagnostic) else plan.schedule.name
    sentence, because = say_linear(facts.linear, schedule)
    return _paragraph("linear", sentence, [_reason(reason, attention) for reason in because])


def _grid(grid: Grid | None, attention: Attention) -> list[str]:
    if grid is None:
        return _paragraph("grid", NO_AXES, []) if attention.grid else []
    sentence, because = say_grid(grid)
    return _paragraph("grid", sentence, [_reason(reason, attention) for reason in because])


def _weights(weights: Weights, attention: Attention) -> list[str]:
    what = "a normalization without a kernel"
    fold = weights.fold
    if fold is not None:
        softmax = "softmax" if fold.has_lse else f"softmax of {print_ir(fold.score)}"
        what = softmax if fold.weight is None else f"{print_ir(fold.weight)} for each key"
    if weights.gate is not None:
        what = f"{what}, and the result of each row times {print_ir(weights.gate)}"
    if weights.before:
        count, last = NUMBERS[min(len(weights.before), 3)]
        what = f"{count} passes over the keys; in the {last}, {what}"
    return _paragraph("weights", what, [_reason(reason, attention) for reason in weights.because])


def _plan(plan: Plan | Diagnostic, attention: Attention) -> list[str]:
    if isinstance(plan, Diagnostic):
        return _paragraph("plan", f"no kernel: {plan.message}", plan.helps)
    sentence = f"{plan.schedule.name}: {plan.schedule.says}"
    return _paragraph("plan", sentence, [_reason(reason, attention) for reason in plan.because])


def print_plan(plan: Plan) -> str:
    """A plan, field by field."""
    sweep = plan.last
    lines = [f"schedule   {plan.schedule.name}"]
    if isinstance(sweep, TiledSweep):
        base = "  (times log2(e))" if sweep.score.is_in_base_2 else ""
        lines.append(f"score      {print_ir(sweep.score.term)}{base}")
        lines.append(f"mask       {print_ir(sweep.attention.mask)}")
    for each in plan.before:
        made = ", ".join(f"{name} = {print_ir(term)}" for name, term in each.numbers)
        kept = " and ".join(map(print_ir, each.fold.sums)) or print_ir(each.fold.score)
        lines.append(f"pass {each.number}     {each.fold.name} of {kept}: {made}")
    if sweep.fold.weight is not None:
        lines.append(f"weight     {' and '.join(map(print_ir, sweep.fold.terms))}")
    if sweep.gate is not None:
        lines.append(f"row times  {print_ir(sweep.gate)}")
    if isinstance(sweep, TiledSweep):
        lines += _pairs(sweep)
    if isinstance(sweep, LinearSweep):
        for form in sweep.forms:
            made = " + ".join(print_ir(term.term) for term in form.terms)
            lines.append(f"{', '.join(form.tensors):<10} {made}")
    lines += [f"because    {reason}" for reason in plan.because]
    return "\n".join(lines)


def _pairs(sweep: TiledSweep) -> list[str]:
    """What is done for tokens before pairs, for pairs, and for gradients."""
    lines = [
        f"map        {each.name} = {print_ir(each.term)}  (each {each.side})" for each in sweep.tokens.maps
    ]
    for pair, derivative in zip(sweep.score.dots, sweep.gradients.dots, strict=True):
        lines.append(
            f"dot        {pair.query} . {pair.key}, width {pair.width}, d score = {print_ir(derivative)}"
        )
    for gradient in sweep.gradients.arrays:
        read = f"{print_ir(gradient.load)}, d score = {print_ir(gradient.derivative)}"
        lines.append(f"gradient   {gradient.name}, summed by {gradient.home}: {read}")
    return lines


def _paragraph(title: str, sentence: str, reasons: Sequence[str]) -> list[str]:
    margin = " " * INDENT
    lines = _wrap(sentence, f"{title:<{INDENT}}", margin)
    for reason in reasons:
        lines += _wrap(reason, f"{margin}- ", f"{margin}  ")
    return lines


def _wrap(text: str, first: str, rest: str) -> list[str]:
    """The lines of a text, none of which breaks inside an interval that a line can hold, or begins with a minus."""
    room = WIDTH - len(rest)
    glued = "".join(
        part.replace(" ", GLUE) if part.startswith("[") and len(part) <= room else part.replace(" - ", MINUS)
        for part in _intervals_apart(text)
    )
    lines = textwrap.wrap(glued, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False)
    return [line.replace(GLUE, " ") for line in lines]


def _intervals_apart(text: str) -> Iterator[str]:
    """The text in parts, of which each interval is one."""
    depth = start = 0
    for at, char in enumerate(text):
        if char == "[" or (depth and char == "("):
            if not depth:
                yield text[start:at]
                start = at
            depth += 1
        elif depth and char in "])":
            depth -= 1
            if not depth:
                yield text[start : at + 1]
                start = at + 1
    yield text[start:]


def explain_json(
    attention: Attention,
    facts: Facts,
    plan: Plan | Diagnostic,
    setting: Setting = USUAL,
    grid: Grid | None = None,
) -> str:
    """The same as a JSON object; an end of a range is the text of a term."""
    found = {
        "attention": attention.name,
        "place": attention.span.place if attention.span else None,
        "keys": _ranges_json(facts.keys),
        "queries": _ranges_json(facts.queries),
        "rows": {
            "can_be_empty": facts.rows.can_be_empty,
            "because": [str(reason) for reason in facts.rows.because],
        },
        "weights": {
            **_fold_json(facts.weights.fold),
            "before": [
                {**_fold_json(each.fold), "numbers": {name: print_ir(term) for name, term in each.numbers}}
                for each in facts.weights.before
            ],
            "gate": None if facts.weights.gate is None else print_ir(facts.weights.gate),
            "because": [str(reason) for reason in facts.weights.because],
        },
        "bias": bias_json(_bias_of(attention, facts), isinstance(plan, Plan)),
        "linear": linear_json(facts.linear),
        "grid": grid_json(grid),
        "plan": _plan_json(plan),
        "cost": _cost_json(attention, facts, setting, grid),
    }
    return json.dumps(found, indent=2, ensure_ascii=False)


def _fold_json(fold: Fold | None) -> dict[str, Any]:
    known = fold or Fold()
    return {
        "kind": known.name or "other",
        "score": print_ir(known.score),
        "weight": None if known.weight is None else print_ir(known.weight),
        "sums": [print_ir(each) for each in known.sums],
    }


def _ranges(title: str, ranges: Ranges, attention: Attention) -> list[str]:
    *steps, sum_of_all = ranges.because
    return _paragraph(title, sum_of_all.text, [_reason(step, attention) for step in steps])


def _reason(reason: Reason, attention: Attention) -> str:
    """The reason and its place, which is a mere line where the heading has named the file."""
    if reason.span and attention.span and reason.span.source == attention.span.source:
        return f"{reason.text} (line {reason.span.line})"
    return str(reason)


def _cost(
    attention: Attention, facts: Facts, plan: Plan | Diagnostic, setting: Setting, grid: Grid | None
) -> list[str]:
    values = complete_setting(attention, facts.keys, setting, grid)
    if isinstance(facts.linear, Linear) and isinstance(plan, Plan):
        products = say_products(facts.linear, plan.schedule.name, values["M"])
        if products:
            return _paragraph("cost", products, [])
    try:
        cost = find_cost(facts, values, setting, grid)
    except AttncError as missing:
        return _paragraph("cost", missing.diagnostics[0].message, [])
    of_boxes = say_boxes(cost)
    lines = _paragraph("cost", *say_cost(cost, bool(facts.keys.loose)))
    return [*lines, *(_paragraph("boxes", *of_boxes) if of_boxes else [])]


def _cost_json(attention: Attention, facts: Facts, setting: Setting, grid: Grid | None) -> dict[str, Any]:
    values = complete_setting(attention, facts.keys, setting, grid)
    found: dict[str, Any] = {"at": values, "tile": setting.tile}
    try:
        return found | cost_json(find_cost(facts, values, setting, grid))
    except AttncError as missing:
        return found | {"missing": missing.diagnostics[0].message}


def _ranges_json(ranges: Ranges) -> dict[str, Any]:
    return {
        "closed": ranges.closed,
        "exact": ranges.exact,
        "visited": [_interval_json(each) for each in ranges.visited],
        "full": [each and _interval_json(each) for each in ranges.full],
        "periods": ranges.periods and _periods_json(ranges.periods),
        "suffix": ranges.suffix and [each and _interval_json(each) for each in ranges.suffix],
        "because": [str(reason) for reason in ranges.because],
    }


def _periods_json(periods: Periods) -> dict[str, str | list[str]]:
    length, start, lo, hi = map(print_ir, (periods.length, periods.start, periods.lo, periods.hi))
    return {"length": length, "start": start, "numbers": [lo, hi]}


def _plan_json(plan: Plan | Diagnostic) -> dict[str, Any]:
    if isinstance(plan, Diagnostic):
        return {"schedule": None, "because": [plan.message]}
    return {"schedule": plan.schedule.name, "because": [str(reason) for reason in plan.because]}


def _interval_json(interval: Interval) -> list[str]:
    return [print_ir(interval.lo), print_ir(interval.hi)]
