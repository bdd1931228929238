"""The meaning of the language, in plain torch.

Enters: an attention, the tensors of a call and its parameters. Leaves: the output, and the log-sum-exp of each row if
wanted; torch differentiates through all of it. Quadratic on purpose: every clause is evaluated at every visible pair,
clause by clause as the spec reads. What a kernel computes is wrong where it differs.

Numbers are doubles whatever the dtype of the call, because the meaning is that of real numbers; the results have the
dtype of the call. A row that sees no key is never touched: its output stays 0, its log-sum-exp -inf, its gradients 0.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from attnc.ir.nodes import Attention
from attnc.run.arguments import as_autocast, check_arguments
from attnc.run.points import Points, all_pairs, weighted_sums
from attnc.run.rows import Rows
from attnc.run.sizes import sizes_of
from attnc.run.terms import Terms, as_working


def interpret(
    attention: Attention,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    arguments: Mapping[str, object],
    scale: float | None = None,
    return_lse: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """The output `[B, H, N, DV]`, and with `return_lse` the natural log-sum-exp of s `[B, H, N]`.

    The log-sum-exp is that of the scores over the visible keys, whatever the normalization makes of them. It is a
    float32 where the call is in half precision.
    """
    q, k, v = as_autocast(q), as_autocast(k), as_autocast(v)
    checked = check_arguments(attention, q, k, v, arguments, scale)
    sizes = sizes_of(q, k, v)
    values = {
        name: as_working(value) if isinstance(value, Tensor) else value for name, value in checked.items()
    }
    values |= sizes | {"scale": sizes["D"] ** -0.5 if scale is None else float(scale)}
    group = sizes["H"] // sizes["HKV"]
    inputs = {"q": as_working(q)} | {
        name: as_working(x).repeat_interleave(group, dim=1) for name, x in {"k": k, "v": v}.items()
    }

    def query(at: Points) -> Tensor:
        here = {"q": lambda p: inputs["q"][p.index["b"], p.index["h"], p.index["i"]]}
        return Terms(values, here).vector(attention.query, at)

    def key(at: Points) -> Tensor:
        here = {"k": lambda p: inputs["k"][p.index["b"], p.index["h"], p.index["j"]]}
        return Terms(values, here).vector(attention.key, at)

    def value(at: Points) -> Tensor:
        here = {"v": lambda p: inputs["v"][p.index["b"], p.index["h"], p.index["j"]]}
        return Terms(values, here).vector(attention.value, at)

    def value_of_query(at: Points) -> Tensor:
        return value(at.with_key(at.index["i"]))

    everything = all_pairs({"b": sizes["B"], "h": sizes["H"], "i": sizes["N"], "j": sizes["M"]}, q.device)
    with torch.no_grad():
        is_visible = Terms(values).condition(attention.mask, everything)
    pairs = everything.select(is_visible).as_origin()
    score = Terms(values, {"q": query, "k": key}).real(attention.score, pairs)
    if score.isneginf().any():  # such a pair is not seen, as if the mask had hidden it
        pairs = pairs.select(~score.isneginf()).as_origin()
        score = Terms(values, {"q": query, "k": key}).real(attention.score, pairs)
    rows = Rows(pairs, score)
    weight = Terms(values, rows=rows).real(attention.normalize, pairs)
    o = weighted_sums(pairs, weight, value(pairs.keys.points))
    seeing = pairs.rows.points.as_origin()
    result = Terms(values, {"o": lambda p: o[p.origin], "v_i": value_of_query}).vector(
        attention.output, seeing
    )

    places = tuple(seeing.index.values())
    shape = (sizes["B"], sizes["H"], sizes["N"])
    output = result.new_zeros(*shape, sizes["DV"]).index_put(places, result).to(q.dtype)
    if not return_lse:
        return output
    lse = result.new_full(shape, -torch.inf).index_put(places, rows.log_sum_exp())
    return output, lse.to(torch.promote_types(q.dtype, torch.float32))
