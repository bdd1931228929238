"""Linear attention on the CPU, beside torch's own attention, which goes pair by pair: time by the number of tokens.

    python bench/linear.py [--write]

Medians of one run: forward, and forward with backward, of causal retention and of gates by channel, four heads of 64 in
float32; and a step of one token, which takes up the state of those before it and leaves one. `--write` keeps them in
`bench/results/linear.json`, with the machine.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

import attnc
from attnc.run.function import AttentionFunction

HEADS, WIDTH, RUNS, STEPS = 4, 64, 3, 200
TOKENS = (4096, 8192, 16384, 32768, 65536)
BEFORE = (1, 64, 4096, 65536)  # tokens before a step
LONGEST_OF_TORCH = 16384
RESULTS = Path(__file__).parent / "results" / "linear.json"
RETENTION = """attention retention(gamma: float[H]):
    mask      j <= i
    score     dot(q, k) * scale * gamma[h] ** (i - j)
    normalize none
"""
CHANNELS = """attention channels(G: float[B, H, N, D]):
    mask      j <= i
    score     sum_d(q * k * exp(G[b, h, i, :] - G[b, h, j, :])) * scale
    normalize none
"""


def median(call: Callable[[], object], runs: int = RUNS) -> float:
    """Seconds, after one call that is not counted."""
    call()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def timed(call: Callable[..., Tensor], tensors: dict[str, Tensor]) -> tuple[float, float]:
    """Forward, and forward with backward."""
    forward = median(lambda: call(**tensors))
    leaves = {name: x.clone().requires_grad_() for name, x in tensors.items()}
    return forward, median(lambda: torch.autograd.grad(call(**leaves).sum(), list(leaves.values())))


def calls(tokens: int) -> dict[str, tuple[AttentionFunction, dict[str, Tensor]]]:
    """The attentions, and their arguments for so many tokens."""
    generator = torch.Generator().manual_seed(0)
    shape = (1, HEADS, tokens, WIDTH)
    tensors = {name: torch.randn(shape, generator=generator) for name in "qkv"}
    gamma = 1 - 2.0 ** -torch.arange(5.0, 5.0 + HEADS)
    gates = -torch.rand(shape, generator=generator).mul_(0.1).cumsum(2)
    return {
        "retention": (attnc.compile(RETENTION), tensors | {"gamma": gamma}),
        "channels": (attnc.compile(CHANNELS), tensors | {"G": gates}),
    }


def measure(tokens: int) -> dict[str, tuple[float, float]]:
    found = {name: timed(call, tensors) for name, (call, tensors) in calls(tokens).items()}
    if tokens <= LONGEST_OF_TORCH:

        def torch_own(q: Tensor, k: Tensor, v: Tensor, **gates: Tensor) -> Tensor:
            return scaled_dot_product_attention(q, k, v, is_causal=True)

        _, tensors = calls(tokens)["retention"]
        found["torch"] = timed(torch_own, {name: tensors[name] for name in "qkv"})
    return found


def measure_step(before: int) -> dict[str, float]:
    """One token more, which takes a state up and leaves one, with so many tokens before it."""
    found = {}
    for name, (call, tensors) in calls(before + 1).items():
        first, one = (
            {n: x[:, :, part] if x.ndim == 4 else x for n, x in tensors.items()}
            for part in (slice(before), slice(before, None))
        )
        _, state = call(**first, return_state=True)
        step = partial(call, **one, initial_state=state, return_state=True)
        found[name] = median(step, STEPS)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="keep the figures")
    asked = parser.parse_args()
    rows = {tokens: measure(tokens) for tokens in TOKENS}
    steps = {tokens: measure_step(tokens) for tokens in BEFORE}
    for tokens, found in rows.items():
        cells = [f"{name} {1e3 * f:.0f} and {1e3 * b:.0f} ms" for name, (f, b) in found.items()]
        print(f"{tokens:6}  {', '.join(cells)}")
    for tokens, times in steps.items():
        cells = [f"{name} {1e3 * each:.2f} ms" for name, each in times.items()]
        print(f"{tokens:6}  step: {', '.join(cells)}")
    first, last = rows[TOKENS[0]], rows[TOKENS[-1]]
    span = math.log(TOKENS[-1] / TOKENS[0])
    for name in ("retention", "channels"):
        grows = [math.log(b / a) / span for a, b in zip(first[name], last[name], strict=True)]
        own, torchs = rows[LONGEST_OF_TORCH][name], rows[LONGEST_OF_TORCH]["torch"]
        ratios = [b / a for a, b in zip(own, torchs, strict=True)]
        print(
            f"{name}: exponents {grows[0]:.2f} and {grows[1]:.2f}; at {LONGEST_OF_TORCH} tokens {ratios[0]:.1f} and "
            f"{ratios[1]:.1f} times as fast as torch's own; a step behind {BEFORE[-1]} tokens takes "
            f"{steps[BEFORE[-1]][name] / steps[BEFORE[0]][name]:.2f} times what it takes behind {BEFORE[0]}, and "
            "should take the same"
        )
    if asked.write:
        machine = f"{platform.machine()}, {os.cpu_count()} processors, torch {torch.__version__}"
        kept = {"machine": machine, "seconds": rows, "seconds of a step": steps}
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
