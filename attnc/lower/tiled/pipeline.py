"""Software pipelining of P @ V: the product of a tile's weights with its values is issued one tile later (ADR 0015).

Enters: a sweep's terms, and then the finished functions of its forward pass. Leaves: whether they are to be pipelined,
with its reason; and the functions in which the weights of a tile wait until the dot products of the next tile are under
way. Their product with the values is then under way too while the weights of the next tile are computed (Shah et al.
2024, overlap within a warpgroup). That pays where products are asynchronous, so AHEAD, a constant of each launch, is
None elsewhere, and nothing of it is left there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from attnc.algebra.fold import Fold, Softmax
from attnc.analyze.facts import Reason
from attnc.errors import CompilerBug
from attnc.ir.nodes import Attention, Member, Node
from attnc.ir.walk import axes_of, walk
from attnc.kernel.arguments import flag
from attnc.kernel.build import Block, function
from attnc.kernel.expressions import Call, Expr, List, Lit, Tuple, Var
from attnc.kernel.nodes import Assign, For, Function, If, Param, Return, Stmt
from attnc.lower.per_pair import MANY, TOKENS, count_divisions, reads_pair
from attnc.lower.tiled.frame import BLOCK_K, BLOCK_Q, FLOAT32
from attnc.lower.tiled.layout import parts_of
from attnc.lower.token_maps import print_as_written
from attnc.lower.triton_terms import INT32, tl

AHEAD = Var("AHEAD")
# The weights that wait, which tile they are of, and what the sums before them are rescaled by.
LATE = K0, P, RESCALE = Var("late_k0"), Var("late_p"), Var("late_rescale")


def find_pipelining(
    attention: Attention, fold: Fold, sees_keys: bool, stands_for: Mapping[Node, Node]
) -> tuple[bool, Reason | None]:
    """Is P @ V pipelined? Only softmax takes long enough for its weights; of others nothing is said."""
    if not isinstance(fold, Softmax) or not sees_keys:
        return False, None
    why_not = _why_not(attention, stands_for)
    if why_not is None:
        return True, Reason(
            "the weights of a tile wait for the products of the next, where a GPU does both at once"
        )
    text = f"the weights of a tile do not wait for the products of the next, because {why_not.text}"
    return False, Reason(text, why_not.span)


def _why_not(attention: Attention, stands_for: Mapping[Node, Node]) -> Reason | None:
    """A tile that reads a number for each pair waits for those; many divisions leave no registers for what waits."""
    for part in (*walk(attention.score), *walk(attention.mask)):
        if reads_pair(part) or (isinstance(part, Member) and axes_of(part) >= TOKENS):
            return Reason(f"`{print_as_written(part, stands_for)}` is read for each pair", part.span)
    divisions = count_divisions(attention)
    if divisions >= MANY:
        return Reason(f"positions are divided {divisions} times for each pair")
    return None


def pipeline_values(helper: Function, kernel: Function, others: Iterable[Function] = ()) -> list[Function]:
    """The helper of one tile, the kernel, and what else calls the helper, with the values of each tile one tile late.

    The others carry what waits, and nothing waits there: a share of the keys waits for memory, not for products, so
    that weights which wait would only take registers.
    """
    return [
        _late(helper),
        _finished(_carrying(kernel, helper, AHEAD)),
        *(_carrying(fn, helper, Lit(None)) for fn in others),
    ]


def _late(helper: Function) -> Function:
    """Suffix the dot products of a tile, the values of the tile before it; its own weights wait, or meet theirs now."""
    *stmts, blank, _ = helper.body
    carried = _carried(helper)
    products = [n for n, stmt in enumerate(stmts) if "_dot_rows" in stmt.reads]
    at = 1 + max(products, default=0)  # behind the positions, where there are none
    own = next(n for n, stmt in enumerate(stmts) if isinstance(stmt, Assign) and stmt.target == Var("v"))
    late = Block()
    for name, value in zip(LATE, (tl.cast(Var("k0"), INT32), _bits(Var("p")), Var("rescale")), strict=True):
        late.assign(name, value)
    waiting = _add_waiting("The values of the last tile, while the weights of this one are computed.")
    now_or_late = If(AHEAD, tuple(late.stmts), tuple(stmts[own:]))
    left = Return(Tuple((*carried, *LATE)))
    params = list(helper.params)
    params[1 + len(carried) : 1 + len(carried)] = (Param(each.name) for each in LATE)
    return replace(
        helper,
        params=_with_flag(params),
        body=(*stmts[:at], waiting, *stmts[at:own], now_or_late, blank, left),
    )


def _carrying(fn: Function, helper: Function, ahead: Expr) -> Function:
    """A function whose loops carry what waits; of one that does not call the helper, nothing changes."""
    if not any(helper.name in stmt.reads for stmt in fn.body):
        return fn
    carried = _carried(helper)
    at = 1 + max(n for n, stmt in enumerate(fn.body) if isinstance(stmt, Assign) and stmt.target in carried)
    keep = Block()
    keep.comment("No weights wait for their values yet: behind the last key, rows are zero.")
    keep.assign(K0, Var("M"))
    keep.assign(P, _bits(tl.zeros(List((BLOCK_Q, BLOCK_K)), FLOAT32)))
    keep.assign(RESCALE, tl.zeros(List((BLOCK_Q,)), FLOAT32))
    body = _carrying_on((*fn.body[:at], *keep.stmts, *fn.body[at:]), helper.name, ahead)
    return replace(fn, body=tuple(body))


def _carrying_on(stmts: Iterable[Stmt], helper: str, ahead: Expr) -> Iterator[Stmt]:
    """Statements whose calls of the helper take and leave what waits."""
    for stmt in stmts:
        match stmt:
            case Assign(Tuple(items), Call(fn, args, kwargs)) if fn == Var(helper):
                args = (*args[: 1 + len(items)], *LATE, *args[1 + len(items) :])
                is_last = ahead == AHEAD
                args, kwargs = ((*args, ahead), kwargs) if is_last else (args, (("AHEAD", ahead), *kwargs))
                yield Assign(Tuple((*items, *LATE)), Call(fn, args, kwargs))
            case For(var, Call(_, ends) as over, body):
                inside = tuple(_carrying_on(body, helper, ahead))
                goes_ahead = ahead == AHEAD and not any(isinstance(each, For) for each in inside)
                # What tiles read is copied ahead, also what no product of the same tile needs.
                yield For(var, tl.range(*ends, num_stages=AHEAD) if goes_ahead else over, inside)
            case _:
                yield stmt


def _finished(kernel: Function) -> Function:
    """Suffix all tiles, the values of the last."""
    at = max(n for n, stmt in enumerate(kernel.body, 1) if isinstance(stmt, For))
    last = _add_waiting("The values of the last of all tiles.")
    return replace(
        kernel, params=_with_flag(kernel.params), body=(*kernel.body[:at], last, *kernel.body[at:])
    )


def _with_flag(params: Iterable[Param]) -> tuple[Param, ...]:
    """The parameters and AHEAD, in the order of every signature."""
    return tuple(sorted([*params, flag("AHEAD")], key=lambda param: param.name in ("EDGE", "LARGE")))


def _carried(helper: Function) -> tuple[Expr, ...]:
    """What a helper leaves for the next tile."""
    match helper.body[-1]:
        case Return(Tuple(items)):
            return items
    raise CompilerBug(f"`{helper.name}` carries nothing")


def _add_waiting(comment: str) -> Stmt:
    late = Block()
    late.comment(comment)
    names = ("v_ptr", "v_stride_t", "M", "DV", "BLOCK_K", parts_of("DV"))
    late.let("acc", function("_add_values")(Var("acc"), *LATE, *map(Var, names)))
    return If(AHEAD, tuple(late.stmts))


def _bits(p: Expr) -> Expr:
    """In the dtype of the values, and as ints: Triton sends numbers that a loop carries through shared memory."""
    return function("_bits")(p, Var("v_ptr").attr("dtype").attr("element_ty"))
