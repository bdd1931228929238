"""The CPU path against what torch offers on a CPU, side by side in one run.

Enters: options. Leaves: a table of medians and of how many times faster attnc is, and the same as JSON in
`bench/results/`. Contenders take turns within every round, so what else the machine does meets all of them.

    python bench/cpu.py                # every case, some minutes
    python bench/cpu.py --only window  # one of: window, causal, decode
    python bench/cpu.py --quick        # small sizes and few rounds: does it run?
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

import attnc
from attnc.bench.machine import find_versions, name_processor
from attnc.bench.timing import take_turns, time_on_cpu

RESULTS = Path(__file__).parent / "results"
WINDOW = """
attention window(window: int):
    mask j <= i and i - j < window
"""
CAUSAL = """
attention causal():
    mask j <= i
"""
FULL = """
attention full():
    mask true
"""
Call = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """`tensors` are shapes of q, k and v; contenders have names, attnc's is `attnc`."""

    kind: str
    name: str
    dtype: str
    tensors: tuple[tuple[int, ...], ...]
    contenders: dict[str, Call]
    backward: tuple[str, ...] = ()


@dataclass
class Row:
    """Milliseconds: the median over rounds of every contender, and all of them."""

    case: str
    dtype: str
    direction: str
    median: dict[str, float] = field(default_factory=dict)
    rounds: dict[str, list[float]] = field(default_factory=dict)

    @property
    def faster(self) -> dict[str, float]:
        """How many times faster attnc is than each of the others."""
        return {name: ms / self.median["attnc"] for name, ms in self.median.items() if name != "attnc"}


# ---- the cases -------------------------------------------------------------------------------------


def window_cases(tokens: Sequence[int], window: int, flex: bool) -> Iterator[Case]:
    """A sliding window, against the dense mask and against FlexAttention, which has no backward on a CPU."""
    attend = attnc.compile(WINDOW)
    for n in tokens:
        i = torch.arange(n)
        mask = (i <= i[:, None]) & (i[:, None] - i < window)
        contenders: dict[str, Call] = {
            "attnc": partial(attend, window=window),
            "dense": partial(scaled_dot_product_attention, attn_mask=mask),
        }
        if flex:
            contenders["flex"] = flex_attention(lambda b, h, i, j: (j <= i) & (i - j < window), n)
        for dtype in ("float32", "bfloat16"):
            yield _case("window", f"window {window}, N {n}, D 64", dtype, n, 64, contenders)


def causal_cases(tokens: Sequence[int], flex: bool) -> Iterator[Case]:
    """Plain causal attention, which torch has a kernel for."""
    attend = attnc.compile(CAUSAL)
    for n in tokens:
        contenders: dict[str, Call] = {
            "attnc": attend,
            "sdpa": partial(scaled_dot_product_attention, is_causal=True),
        }
        if flex:
            contenders["flex"] = flex_attention(lambda b, h, i, j: j <= i, n)
        for width in (64, 128):
            for dtype in ("float32", "bfloat16"):
                yield _case("causal", f"causal, N {n}, D {width}", dtype, n, width, contenders)


def decode_cases(keys: int) -> Iterator[Case]:
    """One query, 32 heads that share 8."""
    attend = attnc.compile(FULL)
    contenders: dict[str, Call] = {
        "attnc": attend,
        "sdpa": partial(scaled_dot_product_attention, enable_gqa=True),
    }
    for width in (64, 128):
        shapes = ((1, 32, 1, width), *[(1, 8, keys, width)] * 2)
        for dtype in ("float32", "bfloat16"):
            yield Case("decode", f"decode, M {keys}, D {width}", dtype, shapes, contenders)


def _case(kind: str, name: str, dtype: str, n: int, width: int, contenders: dict[str, Call]) -> Case:
    backward = tuple(each for each in contenders if each != "flex")
    return Case(kind, name, dtype, ((1, 8, n, width),) * 3, contenders, backward)


def flex_attention(mask: Callable[..., Tensor], n: int) -> Call:
    """FlexAttention, compiled; its mask is made once, outside of the time."""
    from torch.nn.attention.flex_attention import create_block_mask
    from torch.nn.attention.flex_attention import flex_attention as attend

    return partial(torch.compile(attend), block_mask=create_block_mask(mask, None, None, n, n, device="cpu"))


# ---- the measurement -------------------------------------------------------------------------------


def measure(case: Case, rounds: int) -> Iterator[Row]:
    """Forward of all contenders without gradients, then backward of those that have one."""
    torch.manual_seed(0)
    dtype = getattr(torch, case.dtype)
    q, k, v = (torch.randn(shape, dtype=dtype) for shape in case.tensors)
    with torch.no_grad():
        check(case, q, k, v)
        yield _timed(case, "forward", {n: partial(f, q, k, v) for n, f in case.contenders.items()}, rounds)
    if not case.backward:
        return
    leaves = [x.requires_grad_() for x in (q, k, v)]
    dout = torch.randn(*q.shape[:3], v.shape[3], dtype=dtype)
    results = {name: case.contenders[name](q, k, v) for name in case.backward}
    differentiate = partial(torch.autograd.grad, inputs=leaves, grad_outputs=dout, retain_graph=True)
    yield _timed(case, "backward", {n: partial(differentiate, out) for n, out in results.items()}, rounds)


def check(case: Case, q: Tensor, k: Tensor, v: Tensor) -> None:
    """Contenders have to compute the same, or their times mean nothing."""
    expected, *others = (f(q, k, v).float() for f in case.contenders.values())
    for other in others:
        torch.testing.assert_close(other, expected, rtol=0.02, atol=0.02)


def _timed(case: Case, direction: str, calls: Mapping[str, Callable[[], Any]], rounds: int) -> Row:
    ready = {name: partial(_as_it_is, call) for name, call in calls.items()}
    times = take_turns(ready, rounds, time_on_cpu)
    median = {name: statistics.median(of_name) for name, of_name in times.items()}
    return Row(case.name, case.dtype, direction, median, times)


def _as_it_is(call: Callable[[], Any]) -> Callable[[], Any]:
    return call


# ---- the report ------------------------------------------------------------------------------------


def show(row: Row) -> str:
    """A line: medians in milliseconds, and how many times faster attnc is."""
    times = "  ".join(f"{name} {ms:8.2f}" for name, ms in row.median.items())
    faster = "  ".join(f"{times_:5.2f}x {name}" for name, times_ in row.faster.items())
    return f"{row.case:26} {row.dtype:9} {row.direction:9} {times:44} {faster}"


def save(rows: Sequence[Row], path: Path) -> None:
    """What was measured, and where."""
    found = {
        "command": shlex.join(["python", *sys.argv]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": name_processor(),
        "threads": torch.get_num_threads(),
        "versions": find_versions(),
        "rows": [{**asdict(row), "faster": row.faster} for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="The CPU path against torch's attention, in one run.")
    parser.add_argument("--only", choices=("window", "causal", "decode"), help="one kind of case")
    parser.add_argument("--tokens", type=int, nargs="*", help="lengths, instead of those of the kind")
    parser.add_argument("--rounds", type=int, default=7, help="repeats of every call (default: 7)")
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds: does it run?")
    parser.add_argument("--no-flex", action="store_true", help="without FlexAttention, which needs g++")
    parser.add_argument("--threads", type=int, help="threads of torch, instead of its own choice")
    parser.add_argument("--output", type=Path, help="the JSON file (default: bench/results/cpu.json)")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    rounds = 2 if options.quick else options.rounds
    flex, small = not options.no_flex, [256] if options.quick else None
    window = options.tokens or small or [8192]
    causal = options.tokens or small or [4096, 8192]
    keys = max(options.tokens or small or [32768])
    kinds: dict[str, Callable[[], Iterator[Case]]] = {
        "window": lambda: window_cases(window, 64 if options.quick else 256, flex),
        "causal": lambda: causal_cases(causal, flex),
        "decode": lambda: decode_cases(keys),
    }
    rows: list[Row] = []
    for kind in [options.only] if options.only else kinds:
        for case in kinds[kind]():
            for row in measure(case, rounds):
                print(show(row), flush=True)
                rows.append(row)
    if options.output or not options.quick:
        path = options.output or RESULTS / "cpu.json"
        save(rows, path)
        print(f"saved in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
