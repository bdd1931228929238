"""How far rounding may carry each result of a call.

Enters: an attention and a call. Leaves: a limit for the output, the log-sum-exp and every gradient.

The reference is exact for our purposes: float64, from the same rounded inputs. So the whole difference is what emitted
code rounds on its way, and that can be replayed: the spec is evaluated in float64 as the kernels do it, forward and
backward, and every operation is followed by a random error of the size that its precision allows (Monte Carlo
arithmetic, Parker 1997; that such errors act as random ones is the model of Higham and Mary 2019). With u the unit
roundoff of the dtype (2^-53, 2^-24, 2^-11, 2^-8 for float64, float32, float16, bfloat16) and w that of the working
precision, which is float32 for half precision and else the dtype itself:

    where                                        relative error of
    q . k and dout . v                           w, of the product of the norms
    an operation of the score                    w, of its result
    a function of the score (exp, tanh, ...)     2 w; x ** y by way of logarithms: 2 w (1 + (|y| + 1) |log x|)
    their derivatives                            the same; those of tanh, sigmoid and silu come from rounded results,
                                                 as in 1 - tanh(x) ** 2, and are off by another w (1 + 2 tanh(x) ** 2)
    a sum in the score                           w, of its result
    log2(e), which a score in base 2 takes       w, of each of its summands
    exp(s - lse), forward and backward           w |s - lse|
    lse, as it is returned                       2 w, of |lse| + 1
    p in the backward pass                       w (3 + min(|s|, 1024) + min(|lse|, 1024) + |sums of products in s|)
    p and ds before the second product           u (w for float16 on the CPU path, which keeps them in float32)
    a sum over keys or queries, n of them        sqrt(n) w, of each term
    out, where it is saved: delta reads it       u
    a map of single tokens (`query l2(q)`)       u for each operation and each of its gradients, 2 u for a function
    sum_d, whose terms may cancel                u, of the sum of their sizes
    every gradient, as it is returned            u, and where there are several passes, what each of them adds

A dot product of n terms of any sign has partial sums that grow as their square root, so n roundings of them add up to
about w times the product of the norms; a sum over keys or queries is the same with the terms' own errors in front.

The weights of a row add up to 1 forward and backward, however large its scores are: a kernel that finds them from a
float32 log-sum-exp may do so next to scores up to 1024 alone. Sums of products are another number in each kernel, which
adds them up in its own order; what else is in a score is the same number wherever it is computed.

Each pass over the keys computes the scores itself, with errors of its own, forward and backward; so do the kernels that
find what a score says about the weights and what a number of its row does. Where a formula jumps, as in
`relu(count() * a - 1)` of a row with one key, they may see it on two sides: a weight that the sum of its row has not.

What is larger than 1000 is a number of the working precision, as it is in a kernel: next to 1e9 a float32 has no room
for the score of most pairs, and keys that differ in it weigh the same. An error of that range would part them.

The deviation of a result is the root mean square over `RUNS` replays, the largest over its elements; where a result has
few elements, or a row so large a score, over `MANY_RUNS`, as the largest of few says little. A limit is `FACTOR`
deviations, and never less than two roundings of its largest element. With independent errors `FACTOR` = 8 is passed by
accident once in 10^15 elements; what is left of it pays for `RUNS` being few and for errors that are not independent.
Without errors a replay has to be what the interpreter computes, and is compared with it. Nothing here ever sees what
emitted code computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import torch

from attnc.errors import CompilerBug
from attnc.ir.nodes import Attention, Real
from attnc.verify.inputs import Inputs
from attnc.verify.precision import UNIT, Precision, finite_part
from attnc.verify.replay import Results, compute_rounded
from attnc.verify.rounded_terms import LARGE

RUNS, MANY_RUNS, FACTOR = 3, 12, 8.0
FEW_ELEMENTS = 64


def find_limits(
    attention: Attention,
    inputs: Inputs,
    expected: Results,
    lost: Mapping[Real, Real],
    in_base_2: bool = True,
) -> dict[str, float]:
    """The largest difference from `expected` that rounding explains, for each result. A replay takes the last two."""
    case = inputs.case
    stored = UNIT[case.dtype]
    working = min(stored, UNIT["float32"])
    product = working if case.backend == "cpu" and case.dtype == "float16" else stored
    exact = compute_rounded(attention, inputs, Precision(0.0, 0.0, 0.0, torch.Generator()), lost, in_base_2)
    for name, x in expected.items():
        if not torch.allclose(finite_part(exact[name]), finite_part(x), rtol=1e-8, atol=1e-8):
            raise CompilerBug(
                f"the replay of `{attention.name}` computes another {name} than the interpreter"
            )
    says_little = any(0 < x.numel() < FEW_ELEMENTS for x in expected.values())
    is_large = bool((finite_part(expected["lse"]).abs() > LARGE).any())
    runs = MANY_RUNS if says_little or is_large else RUNS
    deviations = {name: torch.zeros_like(x) for name, x in expected.items()}
    for run in range(runs):
        generator = torch.Generator().manual_seed(run)
        replay = compute_rounded(
            attention, inputs, Precision(stored, working, product, generator), lost, in_base_2
        )
        for name, x in expected.items():
            deviations[name] += finite_part(replay[name] - x) ** 2 / runs
    limits = {}
    for name, x in expected.items():
        u = (
            working
            if name == "lse"
            else UNIT[str(inputs.floats[name].dtype)[6:]]
            if name in inputs.floats
            else stored
        )
        largest = float(finite_part(x).abs().max()) if x.numel() else 0.0
        deviation = sqrt(float(deviations[name].max())) if x.numel() else 0.0
        limits[name] = FACTOR * deviation + 2 * u * largest
    return limits
