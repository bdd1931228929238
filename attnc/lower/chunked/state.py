"""The state of linear attention between calls: what stands in front of the first token, and what is left by the last.

Enters: a sweep. Leaves: `_with_state`, which adds to the results of a call what its queries see of a state,
`_state_behind`, which makes the state for a later call, and the sweep whose positions count on; or why a call takes no
state. Both are torch beside the operator, which differentiates them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from attnc.algebra.fold import Sums
from attnc.algebra.separated import DotFactor, Term
from attnc.analyze.facts import Reason
from attnc.ir import build
from attnc.ir.nodes import (
    READINGS,
    TOTALS,
    Attention,
    Index,
    Int,
    IntConst,
    IntParam,
    Member,
    Node,
    Rank,
    RealOp,
    Size,
    Total,
    VecTotal,
)
from attnc.ir.text import print_ir
from attnc.ir.walk import axes_of, holds, replace_terms, walk
from attnc.kernel.build import Block, function
from attnc.kernel.expressions import Dict, Expr, Lit, Op, Tuple, Var
from attnc.kernel.nodes import Function, Param
from attnc.lower.chunked.form import Form
from attnc.lower.schedule import StateFunctions
from attnc.lower.torch_terms import torch
from attnc.sets.convert import to_int, to_polynomial

if TYPE_CHECKING:
    from attnc.lower.chunked.sweep import LinearSweep

TOKENS = (Size("N"), Size("M"))
POSITIONS = (Index("i"), Index("j"))
# How many tokens stand in front of the first.
BEFORE = IntParam("tokens_before")
STATE, V = Var("state"), Var("v")


def find_no_state(sweep: LinearSweep) -> Reason | None:
    """Why no tokens can stand in front of those of a call; None where they can."""
    spec, mask = sweep.spec, sweep.mask
    if sweep.number or sweep.rows_before:
        return Reason("an earlier pass is over all keys of a call", spec.normalize.span)
    if mask.causal is None or not _ends_at_own_token(mask.causal):
        return Reason("queries see other keys than those up to their own", spec.mask.span)
    if not isinstance(sweep.fold, Sums):
        return Reason("a state has no log-sum-exp", spec.normalize.span)
    for part in _clauses(sweep):
        if any(size in walk(part) for size in TOKENS):
            return Reason(
                f"`{print_ir(part)}` knows how many tokens a call has", part.span or spec.score.span
            )
        for inner in walk(part):
            if isinstance(inner, Rank | Member) or not _is_of_token(inner, spec):
                text = f"`{print_ir(inner)}` looks a position up that is one of the call"
                return Reason(text, part.span or spec.score.span)
    if spec.grid:
        return Reason("a grid has all its tokens in one call", spec.span)
    if BEFORE.name in (param.name for param in spec.params):
        return Reason(f"a parameter is called `{BEFORE.name}`", spec.span)
    late = (part for part in (spec.output, sweep.gate) if part is not None)
    if any(map(_knows_position, late)):
        return Reason("the output knows the position of its query", spec.output.span)
    if sum(bool(form.steps) for form in sweep.forms) > 1:
        return Reason("values and sums fade, each in its own way", spec.score.span)
    for form in sweep.forms:
        if reason := _why_not(form):
            return Reason(reason, spec.score.span)
    return None


def _ends_at_own_token(causal: Int) -> bool:
    """Is the last key that a query sees its own token, where there are as many keys as queries?"""
    at = replace_terms(causal, lambda part: Size("N") if part == Size("M") else None)
    assert isinstance(at, Int)
    return to_int(to_polynomial(at)) == IntConst(0)


def _why_not(form: Form) -> str | None:
    exponents = [pair for term in form.terms for pair in term.exponents]
    if exponents and not form.is_decay:
        return "exponents are counted from the largest of a call"
    if exponents and form.terms[1:]:
        return "several terms fade, each in its own way"
    of_keys = [of_key for _, of_key in exponents]
    summands = [part for each in of_keys for part in _summands(each)]
    if any(holds(part, *TOTALS) for part in summands) and not all(map(_is_total, summands)):
        return "a sum over tokens and something else fade together"
    return None


def _is_of_token(part: Node, spec: Attention) -> bool:
    """Is a reading that knows a position that of the token there, in an array of the call's tokens?"""
    if not isinstance(part, READINGS):
        return True
    items = part.index[:-1] if isinstance(part, TOTALS) else part.index
    of_tokens = zip(items, spec.param(part.array).sizes, strict=False)
    return all(item in POSITIONS and size in TOKENS for item, size in of_tokens if axes_of(item) & {"i", "j"})


def _clauses(sweep: LinearSweep) -> Iterator[Node]:
    """All that is computed for a token or a row."""
    spec, mask = sweep.spec, sweep.mask
    yield from (spec.query, spec.key, spec.value, spec.output, mask.sees_key, mask.sees_query)
    yield from (part for part in (mask.document, sweep.gate) if part is not None)
    for form in sweep.forms:
        for term in form.terms:
            yield from (term.share, term.query, term.key)
            yield from (side for dot in term.dots for side in (dot.query, dot.key))
            yield from (side for pair in term.exponents for side in pair)


def _summands(exponent: Node) -> Iterator[Node]:
    """The parts that it is the sum of."""
    match exponent:
        case RealOp("+" | "-", a, b):
            yield from _summands(a)
            yield from _summands(b)
        case _ if axes_of(exponent) & {"i", "j"}:
            yield exponent


def _is_total(summand: Node) -> bool:
    """Is it a sum over tokens, times numbers that no token knows?"""
    match summand:
        case Total() | VecTotal():
            return True
        case RealOp("*", a, b) if not axes_of(a) & {"i", "j"}:
            return _is_total(b)
        case RealOp("*" | "/", a, b) if not axes_of(b) & {"i", "j"}:
            return _is_total(a)
    return False


def _knows_position(term: Node) -> bool:
    """Is it another at another position, beside what is read there? Functions of positions are, also those of ints."""
    if isinstance(term, READINGS):
        return False
    return term in POSITIONS or any(map(_knows_position, term.children))


def counts_on(sweep: LinearSweep) -> bool:
    """Do its formulas know positions, so that those of a later call go on from those of a state?"""
    return any(map(_knows_position, _clauses(sweep)))


def counting_on(sweep: LinearSweep) -> LinearSweep:
    """The sweep where positions go on from the tokens before; what is read is that of the call."""
    spec, mask = sweep.spec, sweep.mask
    moved = replace(spec, query=_moved(spec.query), key=_moved(spec.key), value=_moved(spec.value))
    document = None if mask.document is None else _moved(mask.document)
    shown = {"sees_key": _moved(mask.sees_key), "sees_query": _moved(mask.sees_query)}
    seen = replace(mask, document=document, **shown)
    forms = tuple(replace(form, terms=tuple(map(_moved_term, form.terms))) for form in sweep.forms)
    return replace(sweep, spec=moved, mask=seen, forms=forms)


def _moved_term(term: Term) -> Term:
    exponent = term.exponent and (_moved(term.exponent[0]), _moved(term.exponent[1]))
    dots = tuple(map(_moved_dot, term.dots))
    return replace(term, query=_moved(term.query), key=_moved(term.key), exponent=exponent, dots=dots)


def _moved_dot(dot: DotFactor) -> DotFactor:
    gate = dot.gate and (_moved(dot.gate[0]), _moved(dot.gate[1]))
    return replace(dot, query=_moved(dot.query), key=_moved(dot.key), gate=gate)


def _moved(term: Any) -> Any:
    """The term where `i` is `i + tokens_before`, but for what is read."""

    def change(part: Node) -> Node | None:
        if isinstance(part, READINGS):
            return part
        return build.integer("+", part, BEFORE) if part in POSITIONS else None

    return replace_terms(term, change)


def lower_state(sweep: LinearSweep) -> StateFunctions | None:
    """The functions that take a state up and hand one on; None where a call takes none."""
    if sweep.why_no_state:
        return None
    return StateFunctions(
        enter=_lower_enter(sweep),
        leave=_lower_leave(sweep),
        names=tuple(_names(sweep)),
        before=BEFORE.name if counts_on(sweep) else None,
    )


def made_of_tokens(sweep: LinearSweep) -> tuple[str, ...]:
    """What the work on single tokens leaves: the tensors of the operator, and what runs on where states need it."""
    running = running_of(sweep) if sweep.why_no_state is None else None
    return (*sweep.vectors, *sweep.documents, *filter(None, [running]))


def running_of(sweep: LinearSweep) -> str | None:
    """The running exponent of keys, [B, H, M, 1 or F] in float64; None where nothing fades."""
    return "running" if any(form.steps for form in sweep.forms) else None


def _names(sweep: LinearSweep) -> Iterator[str]:
    """What a state has."""
    for form in sweep.forms:
        if form.weighs_values:
            yield "values"
        if form.sums:
            yield _sums_of(form)
    if running_of(sweep) and not _restarts(sweep):
        yield "gate"
    if sweep.documents:
        yield "document"
    if counts_on(sweep):
        yield "tokens"


def _sums_of(form: Form) -> str:
    return "sums" if form.number == 1 else f"sums_{form.number}"


def _restarts(sweep: LinearSweep) -> bool:
    """Do running exponents start at 0 in every call, as sums over its tokens do?"""
    return any(
        holds(of_key, *TOTALS) for form in sweep.forms for term in form.terms for _, of_key in term.exponents
    )


def _lower_enter(sweep: LinearSweep) -> Function:
    """`_with_state(state, query, ..., out, sum_1)`."""
    block = Block()
    running = running_of(sweep)
    goes_on: Expr = Lit(None)
    if sweep.documents:
        queries = Var(sweep.documents[0])[:, None, :, None]
        goes_on = block.let("goes_on", queries.equals(STATE["document"][:, None, None, None]))
    check = function("_check_sizes")
    for form in sweep.forms:
        if form.weighs_values:
            block.do(check(STATE, "values", Var(form.query), Var("out").attr("shape")[3:]))
        if form.sums:
            block.do(check(STATE, _sums_of(form), Var(form.query), Tuple(())))
    if running and not _restarts(sweep):
        block.do(check(STATE, "gate", Var(running), Tuple(())))
    for form in sweep.forms:
        fades: Expr = Lit(None)
        if form.steps and running:
            fades = Var(running) if _restarts(sweep) else Var(running) - STATE["gate"][:, :, None]
        seen = block.let("seen", function("_seen_of_state")(Var(form.query), fades, goes_on))
        if form.weighs_values:
            block.let("out", Var("out") + function("_times_state")(seen, STATE["values"], goes_on))
        for number in form.sums:
            sums = STATE[_sums_of(form)].call("unsqueeze", 3)
            sum_of_row = function("_times_state")(seen, sums, goes_on).call("squeeze", 3)
            block.let(f"sum_{number}", Var(f"sum_{number}") + sum_of_row)
    block.returns(*map(Var, sweep.results))
    names = [*(form.query for form in sweep.forms), running or "", *sweep.documents[:1], *sweep.results]
    doc = "The results of a call in front of which the tokens of a state stand."
    return _function("_with_state", block, names, doc)


def _lower_leave(sweep: LinearSweep) -> Function:
    """`_state_behind(state, key, ..., v)`."""
    block, behind = Block(), {}
    running = running_of(sweep)
    remains: Expr = Lit(None)
    goes_on: Expr = Lit(None)
    if sweep.documents:
        last = block.let("last", Var(sweep.documents[1])[:, -1].call("clone"))
        remains = block.let("remains", Var(sweep.documents[1]).equals(last[:, None])[:, None, :, None])
    for form in sweep.forms:
        fades: Expr = Lit(None)
        if form.steps and running:
            fades = Var(running)[:, :, -1:] - Var(running)
        left = block.let("left", function("_left_by_keys")(Var(form.key), fades, remains))
        if form.weighs_values:
            behind["values"] = block.let("values", function("_sum_of_products")(left, V, remains))
        if form.sums:
            behind[_sums_of(form)] = block.let(_sums_of(form), left.call("sum", 2))
    with block.when(Op("is not", STATE, Lit(None))) as taken:
        if sweep.documents:
            goes_on = taken.let("goes_on", Var("last").equals(STATE["document"]))
        for form in sweep.forms:
            fades = Lit(None)
            if form.steps and running:
                at_last = Var(running)[:, :, -1]
                fades = at_last if _restarts(sweep) else at_last - STATE["gate"]
            for name in (
                *(["values"] if form.weighs_values else []),
                *([_sums_of(form)] if form.sums else []),
            ):
                kept = function("_kept_of_state")(STATE[name], fades, goes_on)
                taken.let(name, Var(name) + kept)
    items: dict[str, Expr] = {name: Var(name) for name in behind}
    for name in _names(sweep):
        if name == "gate" and running:
            items[name] = Var(running)[:, :, -1].call("clone")
        elif name == "document":
            items[name] = Var("last")
        elif name == "tokens":
            tokens = Var(BEFORE.name) + Var(sweep.forms[0].key).attr("shape")[2]
            items[name] = torch.as_tensor(tokens)
    block.returns(Dict(tuple((Lit(name), value) for name, value in items.items())))
    names = [*(form.key for form in sweep.forms), "v", running or "", *sweep.documents[1:], BEFORE.name]
    doc = "The state that a call leaves to a later one."
    return _function("_state_behind", block, names, doc)


def _function(name: str, block: Block, names: list[str], doc: str) -> Function:
    """A function of a state and of those of the names that it reads."""
    params = map(Param, filter(None, names))
    return block.function(name, params, doc, "_without_autocast", (Param(STATE.name),))
