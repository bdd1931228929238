"""The tiled schedule: tiles of queries against the tiles of keys that they see, in any fold.

Enters: a sweep. Leaves: its forward kernel, that of few queries and what merges their shares, the backward kernels, the
CPU path, and what adds up the gradients of captured arrays. It fits every sweep.
"""

from __future__ import annotations

from attnc.algebra.fold import Largest, Softmax
from attnc.kernel.nodes import Function
from attnc.lower.at_key import lower_at_key
from attnc.lower.collect import lower_adder
from attnc.lower.cpu import lower_cpu
from attnc.lower.lists import lower_lists
from attnc.lower.per_token import lower_numbers
from attnc.lower.schedule import Schedule, SweepKernels
from attnc.lower.split.combine import lower_combine
from attnc.lower.split.forward import lower_split
from attnc.lower.sweep import Sweep
from attnc.lower.tiled.backward_keys import lower_backward_keys
from attnc.lower.tiled.backward_pairs import lower_backward_pairs
from attnc.lower.tiled.backward_queries import lower_backward_queries
from attnc.lower.tiled.delta import lower_delta
from attnc.lower.tiled.forward import lower_forward
from attnc.lower.tiled.pipeline import pipeline_values


def lower_tiled(sweep: Sweep, check: Function | None) -> SweepKernels:
    """Every function of a sweep."""
    triton = list(lower_forward(sweep))
    if sweep.split:
        triton += [fn for fn in (*lower_split(sweep), lower_combine(sweep)) if fn not in triton]
    if sweep.pipelines_values:
        add_keys, forward, *of_shares = triton
        triton = pipeline_values(add_keys, forward, of_shares)
    if isinstance(sweep.fold, Softmax) and sweep.weighs_values:
        triton.append(lower_delta(sweep))
    if sweep.has_gradient:
        triton += lower_backward_keys(sweep)
        triton += lower_backward_queries(sweep) or ()
        triton += lower_backward_pairs(sweep) or ()
    return SweepKernels(
        sweep=sweep,
        triton=tuple(triton),
        cpu=lower_cpu(sweep, check),
        adders=tuple(lower_adder(sweep, gradient) for gradient in sweep.gradients),
        lists=lower_lists(sweep),
        numbers=_lower_row_numbers(sweep),
    )


def _lower_row_numbers(sweep: Sweep) -> Function | None:
    if sweep.weighs_values:
        return None
    return lower_at_key(sweep) if isinstance(sweep.fold, Largest) else lower_numbers(sweep)


TILED = Schedule(
    name="tiled",
    says="forward, dK/dV and dQ kernels over tiles of queries and keys, and a CPU path",
    why_not=lambda sweep: None,
    lower=lower_tiled,
)
