"""The checks of a call as a function of the module.

Enters: a plan. Leaves: `_check`, which raises the first mistake of a call, and the names of the dtypes that it needs.
It has the table of `analyze/checks.py`, which the interpreter evaluates, and what the ranges of the plan rest on. What
cannot go wrong with this spec is not checked. What only the data of a tensor say is left to the operator, which has
them wherever it runs.
"""

from __future__ import annotations

from collections.abc import Sequence

from attnc.analyze.call_check import ZERO, CallCheck, requirement_check
from attnc.analyze.checks import Check, find_checks
from attnc.ir import nodes as ir
from attnc.ir.nodes import Attention, Int, Node, Size
from attnc.ir.text import print_sizes
from attnc.ir.walk import walk
from attnc.kernel.build import Block, function
from attnc.kernel.expressions import Expr, Lit, Op, Ternary, Text, Tuple, Unary, Var
from attnc.kernel.nodes import Function, Param
from attnc.lower.host.names import K, Q, V
from attnc.lower.names import SIZES
from attnc.lower.plan import Plan
from attnc.lower.torch_terms import TorchTerms

DOC = "Raise the first mistake of a call; return its parameters, numbers as Python's."
DTYPES = {"float": "FLOATS", "int": "INTS", "bool": "BOOLS"}
# Where a call has its sizes.
SHAPES = {"B": (Q, 0), "H": (Q, 1), "HKV": (K, 1), "N": (Q, 2), "M": (K, 2), "D": (Q, 3), "DV": (V, 3)}
BROKEN = {"==": "!=", "!=": "==", ">=": "<"}
# A program that torch exports may read the number of a tensor: it asserts what torch cannot know.
ASSERTED = ("division-by-zero", "wrong-value")


def find_dtypes(spec: Attention) -> tuple[str, ...]:
    """The tuples of dtypes that arguments of a call may have, by name."""
    return ("FLOATS", *(DTYPES[param.sort] for param in spec.params if param.sizes))


def lower_checks(plan: Plan) -> Function:
    """`_check`, which returns the scale and the parameters, scalars as numbers of Python."""
    spec, top, terms = plan.spec, Block(), TorchTerms(plan.spec, {})
    checks = [check for check in find_checks(spec) if not _is_proved(check, terms)]
    required = [requirement_check(each) for each in plan.last.requires]
    _check_inputs(top, spec)
    _bind_sizes(top, spec, [check for check in (*checks, *required) if isinstance(check, CallCheck)])
    for check in checks:
        if isinstance(check, CallCheck):
            _check_condition(top, check, terms)
        elif check.sizes:
            _check_array(top, check, terms)
    for n, check in enumerate(required):
        for note in check.notes:
            top.comment(f"{note} ({check.span.cited})" if check.span else note)
        # Those before it hold, so that what they are divided by is no 0.
        _check_condition(top, check, TorchTerms(spec, {}, plan.last.requires[:n]))
    names = ["scale", *(spec.variable(param.name) for param in spec.params)]
    top.returns(*map(Var, names))
    return Function("_check", tuple(map(Param, ["q", "k", "v", *names])), DOC, tuple(top.stmts))


def _is_proved(check: Check, terms: TorchTerms) -> bool:
    """Can it not go wrong?"""
    match check:
        case CallCheck(_, Int() as a, ">=", b) if b == ZERO:
            return terms.proofs.is_nonnegative(a)
    return False


def _check_inputs(block: Block, spec: Attention) -> None:
    """q, k and v, and numbers."""
    number, scale = function("_number"), Var("scale")
    block.do(function("_check_inputs")(Q, K, V))
    usual = Op("**", Q.attr("shape")[3], Lit(-0.5))
    is_missing = Op("is", scale, Lit(None))
    block.let("scale", Ternary(usual, is_missing, number("scale", Var("float"), scale)))
    for param in spec.params:
        if not param.sizes:
            name = spec.variable(param.name)
            block.let(name, number(param.name, Var(param.sort), Var(name)))


def _bind_sizes(block: Block, spec: Attention, conditions: Sequence[CallCheck]) -> None:
    """The sizes of the call that conditions and the shapes of arrays speak of."""
    said = [part for check in conditions for part in (check.a, check.b, *check.words)]
    terms = [part for part in said if isinstance(part, Node)]
    terms += [size for param in spec.params for size in param.sizes]
    named = {part.name for term in terms for part in walk(term) if isinstance(part, Size)}
    if used := [name for name in SIZES if name in named]:
        sizes = [tensor.attr("shape")[axis] for tensor, axis in (SHAPES[name] for name in used)]
        block.lets(used, Tuple(tuple(sizes)) if sizes[1:] else sizes[0])


def _check_array(block: Block, param: ir.Param, terms: TorchTerms) -> None:
    """Its type, dtype, device and shape."""
    array, sizes = terms.attention.variable(param.name), Tuple(tuple(map(terms, param.sizes)))
    given = (param.name, Var(array), print_sizes(param.sizes), sizes, Var(DTYPES[param.sort]), Q)
    block.do(function("_check_tensor")(*given))


def _check_condition(block: Block, check: CallCheck, terms: TorchTerms) -> None:
    """`if a != b: raise`."""
    a, b = terms(check.a), terms(check.b)
    if check.code in ASSERTED:
        broken: Expr = Unary("not", function("_holds")(Op(check.op, a, b)))
    else:
        broken = Op(BROKEN[check.op], a, b)
    words = tuple(part if isinstance(part, str) else terms(part) for part in check.words)
    with block.when(broken) as wrong:
        wrong.fail(function("ValueError")(Text(words)))
